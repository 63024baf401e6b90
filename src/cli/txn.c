/* pando txn: compare and change keys in one step. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/command.h"
#include "cli/store_text.h"
#include "cli/txn_text.h"

#define TEXT_MAX (UINT32_C(16) << 20)

struct arguments {
    struct pd_node_options node;
    struct pd_span text;
    uint32_t output;
};

/* -- The answer -------------------------------------------------------------------------------- */

/* What was read, for people or into a list. */
static void show_records(const struct pando_result *result, json_t *object, bool is_text)
{
    json_t *records = json_array();
    for (size_t i = 0; i < pando_result_count(result); i++) {
        const struct pando_record *record = pando_result_record(result, i);
        if (is_text) {
            (void)printf("get   ");
            pd_store_print_bytes(record->key);
            (void)printf("  ");
            pd_store_print_bytes(record->value);
            (void)putchar('\n');
        }
        (void)json_array_append_new(records, pd_store_record_json(record));
    }
    if (is_text && pando_result_count(result) == 0) {
        (void)printf("get   nothing\n");
    }
    json_object_set_new(object, "get", records);
}

/* One response for people, or into `list`. */
static void show_response(const struct pando_txn_result *result, size_t index, json_t *list)
{
    json_t *object = json_object();
    switch (pando_txn_op(result, index)) {
    case PANDO_OP_GET:
        show_records(pando_txn_records(result, index), object, list == NULL);
        break;
    case PANDO_OP_DELETE:
        json_object_set_new(object, "deleted", json_integer(pando_txn_deleted(result, index)));
        if (list == NULL) {
            (void)printf("del   %" PRId64 " deleted\n", pando_txn_deleted(result, index));
        }
        break;
    case PANDO_OP_PUT:
        json_object_set_new(object, "put", json_true());
        if (list == NULL) {
            (void)printf("put   done\n");
        }
        break;
    case PANDO_OP_NONE:
        break;
    }
    if (list != NULL) {
        (void)json_array_append(list, object);
    }
    json_decref(object);
}

static int show(const struct arguments *arguments, const struct pando_txn_result *result)
{
    bool succeeded = pando_txn_succeeded(result);
    json_t *list = arguments->output == PD_OUTPUT_JSON ? json_array() : NULL;
    if (list == NULL) {
        (void)printf("%s, revision %" PRId64 "\n",
                     succeeded ? "then" : "else: a compare is not true",
                     pando_txn_revision(result));
    }
    for (size_t i = 0; i < pando_txn_count(result); i++) {
        show_response(result, i, list);
    }
    if (list != NULL) {
        json_t *object = json_object();
        json_object_set_new(object, "succeeded", json_boolean(succeeded));
        json_object_set_new(object, "revision", json_integer(pando_txn_revision(result)));
        json_object_set_new(object, "responses", list);
        pd_store_print_json(object);
    }
    return succeeded ? PD_EXIT_CODE_OK : PD_EXIT_CODE_ELSE;
}

/* -- Asking ------------------------------------------------------------------------------------ */

static struct pando_bytes bytes_of(struct pd_span span)
{
    return (struct pando_bytes){span.bytes, span.size};
}

static struct pando_keys keys_of(struct pd_span key, struct pd_span end)
{
    struct pando_keys keys = {.kind = PANDO_KEY, .key = bytes_of(key), .end = bytes_of(end)};
    if (end.size > 0) {
        keys.kind = end.size == 1 && end.bytes[0] == 0 ? PANDO_FROM : PANDO_RANGE;
    }
    return keys;
}

static void add_op(struct pando_txn *txn, enum pando_branch branch, const struct pd_kv_op *op)
{
    struct pando_keys keys;
    switch (op->kind) {
    case PD_KV_OP_PUT:
        pando_txn_put(txn, branch, bytes_of(op->as.put.key), bytes_of(op->as.put.value),
                      op->as.put.lease);
        break;
    case PD_KV_OP_RANGE:
        keys = keys_of(op->as.range.key, op->as.range.range_end);
        pando_txn_get(txn, branch, &keys);
        break;
    case PD_KV_OP_DELETE:
        keys = keys_of(op->as.delete_range.key, op->as.delete_range.range_end);
        pando_txn_delete(txn, branch, &keys);
        break;
    case PD_KV_OP_TXN:
        pd_assert(false); /* the text has no nested ones */
    }
}

static void add_compare(struct pando_txn *txn, const struct pd_kv_compare *compare)
{
    static const enum pando_is is[] = {[PD_KV_EQUAL] = PANDO_IS_EQUAL,
                                       [PD_KV_GREATER] = PANDO_IS_GREATER,
                                       [PD_KV_LESS] = PANDO_IS_LESS,
                                       [PD_KV_NOT_EQUAL] = PANDO_IS_NOT_EQUAL};
    static const enum pando_compare targets[] = {[PD_KV_COMPARE_VERSION] = PANDO_COMPARE_VERSION,
                                                 [PD_KV_COMPARE_CREATE] = PANDO_COMPARE_CREATE,
                                                 [PD_KV_COMPARE_MOD] = PANDO_COMPARE_MOD,
                                                 [PD_KV_COMPARE_VALUE] = PANDO_COMPARE_VALUE,
                                                 [PD_KV_COMPARE_LEASE] = PANDO_COMPARE_LEASE};
    if (compare->target == PD_KV_COMPARE_VALUE) {
        pando_txn_if_value(txn, bytes_of(compare->key), is[compare->result],
                           bytes_of(compare->value));
    } else {
        pando_txn_if_number(txn, targets[compare->target], bytes_of(compare->key),
                            is[compare->result], compare->number);
    }
}

static int commit(const struct arguments *arguments, struct pando_client *client,
                  const struct pd_txn *text)
{
    struct pando_txn_result *result = NULL;
    struct pando_txn *txn = pando_txn_new();
    if (txn == NULL) {
        return pd_command_failed("no memory");
    }
    for (uint32_t i = 0; i < text->compare_count; i++) {
        add_compare(txn, &text->compares[i]);
    }
    for (uint32_t i = 1; i < text->op_count; i++) {
        add_op(txn, i <= text->ops[0].as.txn.then_count ? PANDO_THEN : PANDO_ELSE, &text->ops[i]);
    }
    int code = pando_txn_commit(client, txn, &result) == PANDO_OK ? show(arguments, result)
                                                                  : pd_store_failed(client);
    pando_txn_result_free(result);
    pando_txn_free(txn);
    return code;
}

static int ask(void *state, struct pando_client *client)
{
    static struct pd_txn text; /* too large for a frame */
    const struct arguments *arguments = state;
    int code = PD_EXIT_CODE_FAILED;
    enum pd_status status = pd_txn_read(&text, arguments->text);
    if (status == PD_ERR_INVALID) {
        code = pd_command_usage(&pd_command_txn, "%s", text.wrong);
    } else if (status != PD_OK) {
        code = pd_command_failed("no memory");
    } else {
        code = commit(arguments, client, &text);
    }
    pd_txn_deinit(&text);
    return code;
}

static int run_txn(int count, char **words)
{
    struct arguments arguments = {
        .node = {.folder = PD_NODE_FOLDER, .timeout_s = PD_STORE_TIMEOUT_S}};
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_txn, &count, words, &arguments, &code)) {
        return code;
    }
    if (count == 1 && strcmp(words[0], "-") != 0) {
        arguments.text = pd_store_span(words[0]);
        return pd_store_ask(&arguments.node, ask, &arguments);
    }
    uint8_t *text = pd_alloc(TEXT_MAX);
    if (text == NULL) {
        return pd_command_failed("no memory");
    }
    arguments.text = (struct pd_span){text, fread(text, 1, TEXT_MAX, stdin)};
    code = ferror(stdin) == 0 && feof(stdin) != 0
               ? pd_store_ask(&arguments.node, ask, &arguments)
               : pd_command_failed("cannot read standard input, or it is longer than 16 MiB");
    pd_free(text);
    return code;
}

static const struct pd_option options[] = {
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

const struct pd_command pd_command_txn = {
    .name = "txn",
    .arguments = "[TEXT]",
    .summary = "compare and change keys in one step",
    .help =
        "TEXT, or standard input, says what is compared, what happens if all of it is true, and\n"
        "what happens else:\n"
        "\n"
        "  if COMPARE [and COMPARE ...]\n"
        "  then OP ...\n"
        "  else OP ...\n"
        "\n"
        "  COMPARE  value|version|create|mod|lease KEY =|!=|<|> OPERAND\n"
        "           exists KEY, missing KEY\n"
        "  OP       put KEY VALUE [lease ID]\n"
        "           get [prefix] KEY\n"
        "           del [prefix] KEY\n"
        "\n"
        "Any part may be left out; OP ... alone always happens. Words are parted by blanks, line\n"
        "breaks or ';'. A word with blanks stands in double quotes, where \\\" \\\\ \\n \\t \\xNN\n"
        "stand for bytes. '#' begins a comment. Ids of leases are hexadecimal. What is wrong is "
        "told\n"
        "with its line and column.\n"
        "\n"
        "Text that begins with '{' is JSON:\n"
        "\n"
        "  {\"if\":[{\"value\":KEY,\"is\":\"=\",\"to\":OPERAND}, {\"exists\":KEY}],\n"
        "   \"then\":[{\"put\":KEY,\"value\":VALUE,\"lease\":ID}, {\"get\":KEY,\"prefix\":true},\n"
        "           {\"del\":KEY}],\n"
        "   \"else\":[]}\n"
        "\n"
        "Exit code 4 when a compare is not true.\n",
    .options = options,
    .words_max = 1,
    .examples =
        "pando txn 'if missing lock then put lock me lease 1af4d2c07b3e5a91 else get lock'\n"
        "pando txn 'put a 1; put b 2; del prefix old/'\n"
        "pando txn -o json < transfer.txn\n"
        "echo '{\"if\":[{\"version\":\"a\",\"is\":\">\",\"to\":1}],\"then\":[{\"del\":\"a\"}]}' | "
        "pando "
        "txn\n",
    .run = run_txn,
};
