/* pando kv put|get|del: keys of a running node. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/store_text.h"

#define VALUE_MAX (UINT32_C(8) << 20)
#define COMPACTED_TIMEOUT_MS UINT64_C(1000) /* for words that can do without it */

struct arguments {
    struct pd_node_options node;
    const char *key;
    const char *value;
    bool is_read; /* the value, from standard input */
    int64_t lease;
    uint32_t output;
    bool is_prefix;
    bool is_serializable;
    uint64_t revision;
    uint64_t limit;
};

#define ARGUMENTS_DEFAULT                                                                          \
    {                                                                                              \
        .node = {.folder = PD_NODE_FOLDER, .timeout_s = PD_STORE_TIMEOUT_S }                       \
    }

static bool is_json(const struct arguments *arguments)
{
    return arguments->output == PD_OUTPUT_JSON;
}

static int key_is_empty(const struct pd_command *command)
{
    return pd_command_usage(command, "a key is not empty; '' with --prefix means all keys");
}

/* Of a key, or of all that begin with it. */
static int run_keys(const struct pd_command *command,
                    int (*ask)(void *arguments, struct pando_client *client), int count,
                    char **words)
{
    struct arguments arguments = ARGUMENTS_DEFAULT;
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(command, &count, words, &arguments, &code)) {
        return code;
    }
    arguments.key = words[0];
    if (arguments.key[0] == '\0' && !arguments.is_prefix) {
        return key_is_empty(command);
    }
    return pd_store_ask(&arguments.node, ask, &arguments);
}

/* -- get --------------------------------------------------------------------------------------- */

/* A watch is told what is kept: its first revision. 0: it was not told. */
static int64_t first_kept(struct pando_client *client, const struct pando_keys *keys,
                          uint64_t revision, uint64_t timeout_ms)
{
    struct pando_watch *watch = NULL;
    const struct pando_event *event = NULL;
    enum pando_status status = PANDO_OK;
    if (pando_watch_open(client, keys, (int64_t)revision, 0, &watch) != PANDO_OK) {
        return 0;
    }
    do {
        status = pando_watch_next(watch, timeout_ms, &event);
    } while (status == PANDO_OK && event->kind == PANDO_EVENT_LIVE);
    int64_t first = pando_watch_compacted(watch);
    pando_watch_close(watch);
    return first;
}

static int compacted(struct pando_client *client, const struct pando_keys *keys, uint64_t revision)
{
    int64_t first = first_kept(client, keys, revision, PD_STORE_TIMEOUT_S * UINT64_C(1000));
    return first == 0 ? pd_command_failed("revision %" PRIu64 " is compacted", revision)
                      : pd_command_failed("revision %" PRIu64 " is compacted: read with --rev "
                                          "%" PRId64 ", or a later one",
                                          revision, first);
}

/* What names a revision has failed: perhaps it is not there yet. */
static int failed_at(const struct pando_client *client, uint64_t revision)
{
    return strstr(pando_client_message(client), "future revision") == NULL
               ? pd_store_failed(client)
               : pd_command_failed("revision %" PRIu64 " is yet to come: `pando status` tells the "
                                   "current one",
                                   revision);
}

static int get(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    const struct pando_keys keys = pd_store_keys(arguments->key, arguments->is_prefix);
    struct pando_result *result = NULL;
    int code = PD_EXIT_CODE_OK;
    enum pando_status status =
        pando_get(client, &keys, (int64_t)arguments->revision, arguments->limit,
                  arguments->is_serializable ? PANDO_SERIALIZABLE : 0, &result);
    if (status != PANDO_OK) {
        return status == PANDO_COMPACTED ? compacted(client, &keys, arguments->revision)
                                         : failed_at(client, arguments->revision);
    }
    for (size_t i = 0; i < pando_result_count(result); i++) {
        pd_store_print_record(pando_result_record(result, i), is_json(arguments),
                              arguments->is_prefix);
    }
    if (pando_result_count(result) == 0 && !arguments->is_prefix) {
        code = pd_command_failed("there is no key '%s'", arguments->key);
    }
    pando_result_free(result);
    return code;
}

static const struct pd_option get_options[] = {
    {.name = "--prefix",
     .text = "all keys that begin with KEY, each with its key; '' is all",
     .offset = offsetof(struct arguments, is_prefix)},
    {.name = "--rev",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "as it was at this revision",
     .offset = offsetof(struct arguments, revision),
     .least = 1,
     .most = INT64_MAX},
    {.name = "--limit",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "so many keys at most",
     .offset = offsetof(struct arguments, limit),
     .least = 1,
     .most = INT64_MAX},
    {.name = "--serializable",
     .text = "what this node has applied, however old: without asking the others",
     .offset = offsetof(struct arguments, is_serializable)},
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

static const struct pd_command command_get;

static int run_get(int count, char **words)
{
    return run_keys(&command_get, get, count, words);
}

static const struct pd_command command_get = {
    .name = "kv get",
    .arguments = "KEY",
    .summary = "print the value of a key",
    .help =
        "A read sees every write that was answered before it. Exit code 1 when there is no such\n"
        "key. One value is printed byte by byte as it is; with --prefix each line is a key, a tab\n"
        "and its value, and bytes that are no printable text are \\xNN. As JSON each record is an\n"
        "object of its own line; what is not UTF-8 stands in key_hex and value_hex.\n",
    .options = get_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando kv get greeting\n"
                "pando kv get --prefix users/ -o json\n"
                "pando kv get --rev 7 greeting\n",
    .run = run_get,
};

/* -- put --------------------------------------------------------------------------------------- */

/* The word, or with "-" all of standard input. An exit code. */
static int value_of(const struct arguments *arguments, uint8_t *room, struct pando_bytes *value_out)
{
    bool is_long = false;
    if (!arguments->is_read) {
        *value_out = pando_text(arguments->value);
        is_long = value_out->size > VALUE_MAX;
    } else {
        *value_out = (struct pando_bytes){room, fread(room, 1, VALUE_MAX, stdin)};
        is_long = value_out->size == VALUE_MAX && getc(stdin) != EOF;
        if (ferror(stdin) != 0) {
            return pd_command_failed("cannot read the value from standard input: %s",
                                     strerror(errno));
        }
    }
    return is_long ? pd_command_failed("the value is longer than %u bytes", (unsigned)VALUE_MAX)
                   : PD_EXIT_CODE_OK;
}

static int put_value(const struct arguments *arguments, struct pando_client *client,
                     struct pando_bytes value)
{
    int64_t revision = 0;
    enum pando_status status =
        pando_put(client, pando_text(arguments->key), value, arguments->lease, &revision);
    if (status != PANDO_OK) {
        return status == PANDO_NOT_FOUND ? pd_store_no_lease(arguments->lease)
                                         : pd_store_failed(client);
    }
    if (is_json(arguments)) {
        json_t *object = json_object();
        json_object_set_new(object, "revision", json_integer(revision));
        pd_store_print_json(object);
    } else {
        (void)printf("revision %" PRId64 "\n", revision);
    }
    return PD_EXIT_CODE_OK;
}

static int put(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    uint8_t *room = pd_alloc(VALUE_MAX);
    struct pando_bytes value = {NULL, 0};
    int code = room == NULL ? pd_command_failed("no memory") : value_of(arguments, room, &value);
    if (code == PD_EXIT_CODE_OK) {
        code = put_value(arguments, client, value);
    }
    pd_free(room);
    return code;
}

static const char *take_lease(void *values, const char *value)
{
    struct arguments *arguments = values;
    return pd_store_lease_parse(value, &arguments->lease)
               ? NULL
               : "takes the id of a lease, as `pando lease list` shows it";
}

static const struct pd_option put_options[] = {
    {.name = "--lease",
     .kind = PD_OPTION_TAKE,
     .value = "ID",
     .text = "the key goes when this lease does (`pando lease grant`)",
     .take = take_lease},
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

static const struct pd_command command_put;

static bool has_marker(int count, char *const *words)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], "--") == 0) {
            return true;
        }
    }
    return false;
}

static int run_put(int count, char **words)
{
    struct arguments arguments = ARGUMENTS_DEFAULT;
    int code = PD_EXIT_CODE_OK;
    bool is_literal = has_marker(count, words);
    if (!pd_command_parse(&command_put, &count, words, &arguments, &code)) {
        return code;
    }
    arguments.key = words[0];
    arguments.value = words[1];
    arguments.is_read = !is_literal && strcmp(arguments.value, "-") == 0;
    return arguments.key[0] == '\0' ? key_is_empty(&command_put)
                                    : pd_store_ask(&arguments.node, put, &arguments);
}

static const struct pd_command command_put = {
    .name = "kv put",
    .arguments = "KEY VALUE",
    .summary = "set a key; '-' as the value reads it from standard input",
    .help =
        "The write is answered when it is durable, and applies once, also when the node restarts\n"
        "meanwhile. A value that begins with '-' follows a '--'; after it '-' is a value, too.\n",
    .options = put_options,
    .words_min = 2,
    .words_max = 2,
    .examples = "pando kv put greeting hello\n"
                "pando kv put photo - < photo.jpg\n"
                "pando kv put --lease 1af4d2c07b3e5a91 workers/a here\n"
                "pando kv put balance -- -5\n",
    .run = run_put,
};

/* -- del --------------------------------------------------------------------------------------- */

static int del(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    const struct pando_keys keys = pd_store_keys(arguments->key, arguments->is_prefix);
    int64_t count = 0;
    int64_t revision = 0;
    if (pando_delete(client, &keys, &count, &revision) != PANDO_OK) {
        return pd_store_failed(client);
    }
    if (is_json(arguments)) {
        json_t *object = json_object();
        json_object_set_new(object, "deleted", json_integer(count));
        json_object_set_new(object, "revision", json_integer(revision));
        pd_store_print_json(object);
    } else {
        (void)printf("%" PRId64 " deleted, revision %" PRId64 "\n", count, revision);
    }
    return PD_EXIT_CODE_OK;
}

static const struct pd_option del_options[] = {
    {.name = "--prefix",
     .text = "all keys that begin with KEY; '' is all",
     .offset = offsetof(struct arguments, is_prefix)},
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

static const struct pd_command command_del;

static int run_del(int count, char **words)
{
    return run_keys(&command_del, del, count, words);
}

static const struct pd_command command_del = {
    .name = "kv del",
    .arguments = "KEY",
    .summary = "delete a key",
    .help = "Says how many keys there were; none is no failure.\n",
    .options = del_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando kv del greeting\n"
                "pando kv del --prefix users/\n",
    .run = run_del,
};

/* -- compact ----------------------------------------------------------------------------------- */

/* How far it is: a watch from before what was asked for is told so. */
static int compacted_before(struct pando_client *client, uint64_t revision)
{
    const struct pando_keys all = pando_prefix(pando_text(""));
    int64_t first = first_kept(client, &all, revision > 1 ? revision - 1 : 1, COMPACTED_TIMEOUT_MS);
    return first == 0
               ? pd_command_failed("revision %" PRIu64 " is compacted already: give a later "
                                   "one; `pando status` tells the current one",
                                   revision)
               : pd_command_failed("revision %" PRIu64 " is compacted already, as all before "
                                   "revision %" PRId64 " are: give a later one; `pando "
                                   "status` tells the current one",
                                   revision, first);
}

static int compact(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    int64_t revision = 0;
    enum pando_status status = pando_compact(client, (int64_t)arguments->revision, &revision);
    if (status != PANDO_OK) {
        return status == PANDO_COMPACTED ? compacted_before(client, arguments->revision)
                                         : failed_at(client, arguments->revision);
    }
    if (is_json(arguments)) {
        json_t *object = json_object();
        json_object_set_new(object, "compacted_revision",
                            json_integer((json_int_t)arguments->revision));
        json_object_set_new(object, "revision", json_integer(revision));
        pd_store_print_json(object);
    } else {
        (void)printf("compacted up to revision %" PRIu64 "\n", arguments->revision);
    }
    return PD_EXIT_CODE_OK;
}

static const struct pd_option compact_options[] = {
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

static const struct pd_command command_compact;

static int run_compact(int count, char **words)
{
    struct arguments arguments = ARGUMENTS_DEFAULT;
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&command_compact, &count, words, &arguments, &code)) {
        return code;
    }
    if (!pd_option_number(words[0], &arguments.revision) || arguments.revision == 0 ||
        arguments.revision > INT64_MAX) {
        return pd_command_usage(&command_compact,
                                "'%s' is no revision: `pando status` tells the "
                                "current one",
                                words[0]);
    }
    return pd_store_ask(&arguments.node, compact, &arguments);
}

static const struct pd_command command_compact = {
    .name = "kv compact",
    .arguments = "REVISION",
    .summary = "forget what keys were before a revision",
    .help =
        "Keys keep the values that they have at that revision and after it. Reads and watches of\n"
        "what lies before are refused from then on.\n",
    .options = compact_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando kv compact 1000\n",
    .run = run_compact,
};

static const struct pd_command *const children[] = {&command_put, &command_get, &command_del,
                                                    &command_compact, NULL};

static const struct pd_command_hint hints[] = {
    {"delete", "kv del"},
    {"remove", "kv del"},
    {"rm", "kv del"},
    {"list", "kv get --prefix ''"},
    {"ls", "kv get --prefix ''"},
    {"keys", "kv get --prefix ''"},
    {"range", "kv get --prefix"},
    {"set", "kv put"},
    {"watch", "watch"},
    {"txn", "txn"},
    {NULL, NULL},
};

const struct pd_command pd_command_kv = {
    .name = "kv",
    .arguments = "",
    .summary = "put, get and delete keys of a running node",
    .children = children,
    .hints = hints,
};
