/* pando txn: compare and change keys in one step. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
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

/* One response for people, or into `list`. */
static void show_response(struct pd_kv_reader *reader, json_t *list)
{
    enum pd_kv_answer_kind kind = pd_kv_answer_response(reader);
    struct pd_kv_record record;
    json_t *records = json_array();
    json_t *object = json_object();
    int64_t count = 0;
    bool more = false;
    while (pd_kv_answer_record(reader, &record)) {
        if (list == NULL && kind == PD_KV_ANSWER_RANGE) {
            (void)printf("get   ");
            pd_store_print_bytes(record.key);
            (void)printf("  ");
            pd_store_print_bytes(record.value);
            (void)putchar('\n');
        }
        (void)json_array_append_new(records, pd_store_record_json(&record));
        count++;
    }
    if (kind == PD_KV_ANSWER_RANGE) {
        pd_kv_answer_range_tail(reader, &more, &count);
        json_object_set(object, "get", records);
        if (list == NULL && json_array_size(records) == 0) {
            (void)printf("get   nothing\n");
        }
    } else if (kind == PD_KV_ANSWER_DELETE) {
        count = pd_kv_answer_delete_tail(reader);
        json_object_set_new(object, "deleted", json_integer(count));
        if (list == NULL) {
            (void)printf("del   %" PRId64 " deleted\n", count);
        }
    } else if (kind == PD_KV_ANSWER_PUT) {
        json_object_set_new(object, "put", json_true());
        if (list == NULL) {
            (void)printf("put   done\n");
        }
    } else {
        reader->is_bad = true; /* we ask for no others */
    }
    json_decref(records);
    if (list != NULL) {
        (void)json_array_append(list, object);
    }
    json_decref(object);
}

static int show(const struct arguments *arguments, int64_t revision, struct pd_kv_reader *reader)
{
    bool succeeded = false;
    uint32_t count = 0;
    pd_kv_answer_txn(reader, &succeeded, &count);
    json_t *list = arguments->output == PD_OUTPUT_JSON ? json_array() : NULL;
    if (list == NULL) {
        (void)printf("%s, revision %" PRId64 "\n",
                     succeeded ? "then" : "else: a compare is not true", revision);
    }
    for (uint32_t i = 0; i < count && !reader->is_bad; i++) {
        show_response(reader, list);
    }
    if (reader->is_bad) {
        json_decref(list);
        return pd_command_failed("the node's answer cannot be read: is it of another version?");
    }
    if (list != NULL) {
        json_t *object = json_object();
        json_object_set_new(object, "succeeded", json_boolean(succeeded));
        json_object_set_new(object, "revision", json_integer(revision));
        json_object_set_new(object, "responses", list);
        pd_store_print_json(object);
    }
    return succeeded ? PD_EXIT_CODE_OK : PD_EXIT_CODE_ELSE;
}

/* -- Asking ------------------------------------------------------------------------------------ */

static int ask_encoded(const struct arguments *arguments, struct pd_node_client *client,
                       struct pd_span command)
{
    struct pd_kv_answer_head head;
    struct pd_kv_reader reader;
    if (pd_node_client_open_session(client) != PD_OK) {
        return pd_store_failed(client);
    }
    int code = pd_node_client_write(client, command, &head, &reader) == PD_OK
                   ? show(arguments, head.revision, &reader)
                   : pd_store_failed(client);
    pd_node_client_close_session(client);
    return code;
}

static int ask(void *state, struct pd_node_client *client)
{
    static struct pd_txn txn; /* too large for a frame */
    const struct arguments *arguments = state;
    enum pd_status status = pd_txn_read(&txn, arguments->text);
    int code = PD_EXIT_CODE_FAILED;
    if (status == PD_ERR_INVALID) {
        code = pd_command_usage(&pd_command_txn, "%s", txn.wrong);
    } else if (status != PD_OK) {
        code = pd_command_failed("no memory");
    } else {
        struct pd_kv_command command = pd_txn_command(&txn);
        size_t size = txn.size_max + 64 * (size_t)(txn.op_count + txn.compare_count) + 1024;
        uint8_t *room = pd_alloc(size);
        struct pd_kv_writer writer = {.bytes = room, .bytes_max = size};
        if (room == NULL) {
            code = pd_command_failed("no memory");
        } else {
            pd_kv_command_encode(&writer, &command);
            code = ask_encoded(arguments, client, (struct pd_span){room, writer.size});
        }
        pd_free(room);
    }
    pd_txn_deinit(&txn);
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
