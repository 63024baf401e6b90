/* pando lease grant|revoke|keep-alive|ttl|list: leases of a running node. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/store_text.h"
#include "kv/command.h"

#define RETRY_NS 200000000

struct arguments {
    struct pd_node_options node;
    uint32_t output;
    int64_t id; /* grant: 0: the node chooses */
    uint64_t ttl_s;
    bool with_keys;
    bool is_once;
};

#define ARGUMENTS_DEFAULT                                                                          \
    {                                                                                              \
        .node = {.folder = PD_NODE_FOLDER, .timeout_s = PD_STORE_TIMEOUT_S }                       \
    }

static bool is_json(const struct arguments *arguments)
{
    return arguments->output == PD_OUTPUT_JSON;
}

/* {"lease":"1af4...","id":19...}: the text of etcd's tools, the number that records carry. */
static json_t *lease_json(int64_t id)
{
    char text[17];
    json_t *object = json_object();
    (void)snprintf(text, sizeof text, "%016" PRIx64, (uint64_t)id);
    json_object_set_new(object, "lease", json_string(text));
    json_object_set_new(object, "id", json_integer(id));
    return object;
}

/* -- grant ------------------------------------------------------------------------------------- */

static int grant(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    int64_t id = 0;
    int64_t ttl_s = 0;
    if (pando_lease_grant(client, (int64_t)arguments->ttl_s, arguments->id, &id, &ttl_s) !=
        PANDO_OK) {
        return pd_store_failed(client);
    }
    if (is_json(arguments)) {
        json_t *object = lease_json(id);
        json_object_set_new(object, "ttl_s", json_integer(ttl_s));
        pd_store_print_json(object);
    } else {
        (void)printf("lease %016" PRIx64 ", %" PRId64 " s\n", (uint64_t)id, ttl_s);
    }
    return PD_EXIT_CODE_OK;
}

static const char *take_id(void *values, const char *value)
{
    struct arguments *arguments = values;
    return pd_store_lease_parse(value, &arguments->id) ? NULL
                                                       : "takes an id, hexadecimal and not 0";
}

static const struct pd_option grant_options[] = {
    {.name = "--id",
     .kind = PD_OPTION_TAKE,
     .value = "ID",
     .text = "its id, hexadecimal (default: the node chooses one)",
     .take = take_id},
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

static const struct pd_command command_grant;

static int run_grant(int count, char **words)
{
    struct arguments arguments = ARGUMENTS_DEFAULT;
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&command_grant, &count, words, &arguments, &code)) {
        return code;
    }
    if (!pd_option_seconds(words[0], &arguments.ttl_s) || arguments.ttl_s == 0 ||
        arguments.ttl_s > PD_KV_LEASE_TTL_MAX_S) {
        return pd_command_usage(&command_grant, "'%s' is no time to live: 10, 90s, 30m, 24h, 7d",
                                words[0]);
    }
    return pd_store_ask(&arguments.node, grant, &arguments);
}

static const struct pd_command command_grant = {
    .name = "lease grant",
    .arguments = "TTL",
    .summary = "make a lease that lives so long unless it is kept alive",
    .help = "Keys that are put with it go when it does. Ids are hexadecimal, as etcd's tools show\n"
            "them. A very short time is raised to the least that the cluster grants.\n",
    .options = grant_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando lease grant 60\n"
                "pando lease grant 30m -o json\n"
                "pando kv put --lease 1af4d2c07b3e5a91 workers/a here\n",
    .run = run_grant,
};

/* -- revoke ------------------------------------------------------------------------------------ */

/* The end of those that name a lease. */
static int failed(const struct arguments *arguments, const struct pando_client *client,
                  enum pando_status status)
{
    return status == PANDO_NOT_FOUND ? pd_store_no_lease(arguments->id) : pd_store_failed(client);
}

static int revoke(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    int64_t revision = 0;
    enum pando_status status = pando_lease_revoke(client, arguments->id, &revision);
    if (status != PANDO_OK) {
        return failed(arguments, client, status);
    }
    if (is_json(arguments)) {
        json_t *object = lease_json(arguments->id);
        json_object_set_new(object, "revision", json_integer(revision));
        pd_store_print_json(object);
    } else {
        (void)printf("revoked %016" PRIx64 ", and its keys are gone, revision %" PRId64 "\n",
                     (uint64_t)arguments->id, revision);
    }
    return PD_EXIT_CODE_OK;
}

/* The words of a command that takes one id. */
static bool parse_id(const struct pd_command *command, int count, char **words,
                     struct arguments *arguments, int *code_out)
{
    if (!pd_command_parse(command, &count, words, arguments, code_out)) {
        return false;
    }
    if (!pd_store_lease_parse(words[0], &arguments->id)) {
        *code_out = pd_command_usage(
            command, "'%s' is no lease: ids are hexadecimal, as `pando lease list` shows them",
            words[0]);
        return false;
    }
    return true;
}

static const struct pd_option plain_options[] = {
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

static const struct pd_command command_revoke;

static int run_revoke(int count, char **words)
{
    struct arguments arguments = ARGUMENTS_DEFAULT;
    int code = PD_EXIT_CODE_OK;
    return parse_id(&command_revoke, count, words, &arguments, &code)
               ? pd_store_ask(&arguments.node, revoke, &arguments)
               : code;
}

static const struct pd_command command_revoke = {
    .name = "lease revoke",
    .arguments = "ID",
    .summary = "end a lease and delete its keys",
    .options = plain_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando lease revoke 1af4d2c07b3e5a91\n",
    .run = run_revoke,
};

/* -- keep-alive -------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void pause_ns(uint64_t ns)
{
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u),
                                  .tv_nsec = (long)(ns % 1000000000u)};
    (void)nanosleep(&time, NULL);
}

static void say_kept(const struct arguments *arguments, int64_t ttl_s)
{
    if (is_json(arguments)) {
        json_t *object = lease_json(arguments->id);
        json_object_set_new(object, "ttl_s", json_integer(ttl_s));
        pd_store_print_json(object);
    } else {
        (void)printf("lease %016" PRIx64 " lives for another %" PRId64 " s\n",
                     (uint64_t)arguments->id, ttl_s);
    }
    (void)fflush(stdout);
}

/* Asking again does no harm: a lease that is kept alive twice lives as long. */
static int keep_alive(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    uint64_t until_ns = 0; /* the lease lives until then at least; 0: never heard of it */
    bool is_lost = false;
    for (;;) {
        int64_t ttl_s = 0;
        uint64_t begun_ns = now_ns();
        enum pando_status status = pando_lease_keep_alive(client, arguments->id, &ttl_s);
        bool may_come_back = status != PANDO_NOT_FOUND && status != PANDO_PROTOCOL &&
                             status != PANDO_NO_MEMORY && status != PANDO_INVALID;
        if (status != PANDO_OK && (!may_come_back || until_ns == 0 || now_ns() >= until_ns)) {
            return failed(arguments, client, status);
        }
        if (status == PANDO_OK) {
            say_kept(arguments, ttl_s);
            until_ns = begun_ns + (uint64_t)ttl_s * 1000000000u;
            is_lost = false;
        } else if (!is_lost) {
            (void)fprintf(stderr, "pando: %s. Trying again until its time has run out\n",
                          pando_client_message(client));
            is_lost = true;
        }
        if (arguments->is_once) {
            return PD_EXIT_CODE_OK;
        }
        pause_ns(status == PANDO_OK ? (uint64_t)ttl_s * 1000000000u / 3 : RETRY_NS);
    }
}

static const struct pd_option keep_alive_options[] = {
    {.name = "--once",
     .text = "renew it now, and end",
     .offset = offsetof(struct arguments, is_once)},
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

static const struct pd_command command_keep_alive;

static int run_keep_alive(int count, char **words)
{
    struct arguments arguments = ARGUMENTS_DEFAULT;
    int code = PD_EXIT_CODE_OK;
    return parse_id(&command_keep_alive, count, words, &arguments, &code)
               ? pd_store_ask(&arguments.node, keep_alive, &arguments)
               : code;
}

static const struct pd_command command_keep_alive = {
    .name = "lease keep-alive",
    .arguments = "ID",
    .summary = "renew a lease every third of its time, until Ctrl-C",
    .help = "When the node is lost it is asked again, until the lease's time has surely run out.\n"
            "Exit code 1 when the lease is gone.\n",
    .options = keep_alive_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando lease keep-alive 1af4d2c07b3e5a91\n"
                "pando lease keep-alive --once 1af4d2c07b3e5a91\n",
    .run = run_keep_alive,
};

/* -- ttl, list --------------------------------------------------------------------------------- */

static int ttl(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    struct pando_result *result = NULL;
    int64_t left_s = 0;
    int64_t granted_s = 0;
    enum pando_status status =
        pando_lease_look(client, arguments->id, &left_s, &granted_s, &result);
    if (status != PANDO_OK) {
        return failed(arguments, client, status);
    }
    json_t *object = lease_json(arguments->id);
    json_t *keys = json_array();
    json_object_set_new(object, "ttl_s", json_integer(left_s));
    json_object_set_new(object, "granted_ttl_s", json_integer(granted_s));
    if (!is_json(arguments)) {
        (void)printf("lease %016" PRIx64 ": %" PRId64 " s left of %" PRId64 "\n",
                     (uint64_t)arguments->id, left_s, granted_s);
    }
    for (size_t i = 0; i < pando_result_count(result); i++) {
        struct pando_bytes key = pando_result_record(result, i)->key;
        if (arguments->with_keys && !is_json(arguments)) {
            pd_store_print_bytes(key);
            (void)putchar('\n');
        }
        json_t *one = json_object();
        pd_store_set_bytes(one, "key", key);
        (void)json_array_append_new(keys, one);
    }
    pando_result_free(result);
    if (arguments->with_keys) {
        json_object_set(object, "keys", keys);
    }
    json_decref(keys);
    if (is_json(arguments)) {
        pd_store_print_json(json_incref(object));
    }
    json_decref(object);
    return PD_EXIT_CODE_OK;
}

static const struct pd_option ttl_options[] = {
    {.name = "--keys",
     .text = "the keys that go with it, too",
     .offset = offsetof(struct arguments, with_keys)},
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = NULL},
};

static const struct pd_command command_ttl;

static int run_ttl(int count, char **words)
{
    struct arguments arguments = ARGUMENTS_DEFAULT;
    int code = PD_EXIT_CODE_OK;
    return parse_id(&command_ttl, count, words, &arguments, &code)
               ? pd_store_ask(&arguments.node, ttl, &arguments)
               : code;
}

static const struct pd_command command_ttl = {
    .name = "lease ttl",
    .arguments = "ID",
    .summary = "how long a lease lives without being renewed",
    .help = "Exit code 1 when there is no such lease.\n",
    .options = ttl_options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando lease ttl 1af4d2c07b3e5a91\n"
                "pando lease ttl --keys -o json 1af4d2c07b3e5a91\n",
    .run = run_ttl,
};

static int list(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    size_t room = 0;
    size_t count = 0;
    int64_t *ids = NULL;
    enum pando_status status = pando_lease_list(client, NULL, 0, &count);
    while (status == PANDO_OK && count > room) { /* more may have come meanwhile */
        pd_free(ids);
        room = count + 64;
        ids = pd_alloc_zeroed(room, sizeof *ids);
        if (ids == NULL) {
            return pd_command_failed("no memory");
        }
        status = pando_lease_list(client, ids, room, &count);
    }
    for (size_t i = 0; status == PANDO_OK && i < count; i++) {
        if (is_json(arguments)) {
            pd_store_print_json(lease_json(ids[i]));
        } else {
            (void)printf("%016" PRIx64 "\n", (uint64_t)ids[i]);
        }
    }
    pd_free(ids);
    return status == PANDO_OK ? PD_EXIT_CODE_OK : pd_store_failed(client);
}

static const struct pd_command command_list;

static int run_list(int count, char **words)
{
    struct arguments arguments = ARGUMENTS_DEFAULT;
    int code = PD_EXIT_CODE_OK;
    return pd_command_parse(&command_list, &count, words, &arguments, &code)
               ? pd_store_ask(&arguments.node, list, &arguments)
               : code;
}

static const struct pd_command command_list = {
    .name = "lease list",
    .arguments = "",
    .summary = "the ids of all leases, the one that ends first in front",
    .options = plain_options,
    .examples = "pando lease list\n"
                "pando lease list -o json\n",
    .run = run_list,
};

static const struct pd_command *const children[] = {
    &command_grant, &command_revoke, &command_keep_alive, &command_ttl, &command_list, NULL};

const struct pd_command pd_command_lease = {
    .name = "lease",
    .arguments = "",
    .summary = "leases: keys that go when nobody keeps them alive",
    .help = "Ids are hexadecimal, as etcd's tools show them. As JSON, \"lease\" is that text and "
            "\"id\" the\n"
            "number that records carry.\n",
    .children = children,
};
