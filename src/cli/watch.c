/* pando watch KEY: what happens to keys, as it happens. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "cli/store_text.h"

struct arguments {
    struct pd_node_options node;
    const char *key;
    uint64_t revision; /* 0: from now on */
    uint64_t events_max;
    uint32_t output;
    bool is_prefix;
    bool with_previous;
};

/* -- Printing ---------------------------------------------------------------------------------- */

static bool is_delete(const struct pando_event *event)
{
    return event->kind == PANDO_EVENT_DELETE;
}

static void print_event_json(const struct pando_event *event)
{
    json_t *object = pd_store_record_json(&event->record);
    json_object_set_new(object, "type", json_string(is_delete(event) ? "delete" : "put"));
    json_object_set_new(object, "revision", json_integer(event->record.mod_revision));
    if (is_delete(event)) {
        (void)json_object_del(object, "value");
        (void)json_object_del(object, "create_revision");
        (void)json_object_del(object, "version");
        (void)json_object_del(object, "lease");
    }
    if (event->has_previous) {
        json_object_set_new(object, "previous", pd_store_record_json(&event->previous));
    }
    pd_store_print_json(object);
}

static void print_event(const struct pando_event *event)
{
    (void)printf("%8" PRId64 "  %-6s  ", event->record.mod_revision,
                 is_delete(event) ? "delete" : "put");
    pd_store_print_bytes(event->record.key);
    if (!is_delete(event)) {
        (void)printf("  ");
        pd_store_print_bytes(event->record.value);
    }
    if (event->has_previous) {
        (void)printf("  (was ");
        pd_store_print_bytes(event->previous.value);
        (void)putchar(')');
    }
    (void)putchar('\n');
}

/* -- Following --------------------------------------------------------------------------------- */

static uint64_t now_s(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec;
}

static int failed(const struct pando_watch *watch, enum pando_status status)
{
    if (status != PANDO_COMPACTED) {
        return pd_command_failed("%s", pando_watch_message(watch));
    }
    int64_t first = pando_watch_compacted(watch);
    (void)pd_command_failed("revision %" PRId64 " is compacted: what happened before revision "
                            "%" PRId64 " cannot be told any more. Read the keys (`pando kv get`), "
                            "and watch on with --rev %" PRId64,
                            pando_watch_revision(watch), first, first);
    return PD_EXIT_CODE_LOST;
}

/* How far it is. */
struct progress {
    uint64_t events;
    uint64_t lost_s; /* since when the node is away */
    bool was_live;
    bool is_lost;
};

static void say_state(struct progress *progress, const struct pando_watch *watch,
                      const struct pando_event *event)
{
    if (event->kind == PANDO_EVENT_LIVE) {
        (void)fprintf(stderr, "pando: watching%s from revision %" PRId64 " on\n",
                      progress->was_live ? " again," : "", event->revision);
        progress->was_live = true;
        progress->is_lost = false;
    } else {
        (void)fprintf(stderr, "pando: %s. Trying again from revision %" PRId64 " on\n",
                      pando_watch_message(watch), event->revision);
        progress->is_lost = true;
        progress->lost_s = now_s();
    }
}

/* False: standard output takes no more. */
static bool take(struct progress *progress, const struct arguments *arguments,
                 const struct pando_watch *watch, const struct pando_event *event)
{
    if (event->kind == PANDO_EVENT_LIVE || event->kind == PANDO_EVENT_LOST) {
        say_state(progress, watch, event);
        return true;
    }
    if (arguments->output == PD_OUTPUT_JSON) {
        print_event_json(event);
    } else {
        print_event(event);
    }
    progress->events++;
    return fflush(stdout) == 0;
}

static int follow(const struct arguments *arguments, struct pando_watch *watch)
{
    struct progress progress = {.events = 0};
    const struct pando_event *event = NULL;
    uint64_t patience_s = arguments->node.timeout_s;
    while (arguments->events_max == 0 || progress.events < arguments->events_max) {
        uint64_t wait_ms = progress.is_lost && patience_s != 0 ? 1000 : UINT64_MAX;
        enum pando_status status = pando_watch_next(watch, wait_ms, &event);
        if (status == PANDO_OK && !take(&progress, arguments, watch, event)) {
            return pd_command_failed("cannot write to standard output");
        }
        if (status != PANDO_OK && status != PANDO_TIMEOUT) {
            return failed(watch, status);
        }
        if (progress.is_lost && patience_s != 0 && now_s() - progress.lost_s >= patience_s) {
            return pd_command_failed("%s. Go on later with --rev %" PRId64,
                                     pando_watch_message(watch), pando_watch_revision(watch));
        }
    }
    return PD_EXIT_CODE_OK;
}

static int watch_keys(void *state, struct pando_client *client)
{
    const struct arguments *arguments = state;
    const struct pando_keys keys = pd_store_keys(arguments->key, arguments->is_prefix);
    struct pando_watch *watch = NULL;
    pando_client_set_timeout(client, PD_STORE_TIMEOUT_S * UINT64_C(1000)); /* of what is sent */
    if (pando_watch_open(client, &keys, (int64_t)arguments->revision,
                         arguments->with_previous ? PANDO_WATCH_PREVIOUS : 0, &watch) != PANDO_OK) {
        return pd_store_failed(client);
    }
    int code = follow(arguments, watch);
    pando_watch_close(watch);
    return code;
}

static int run_watch(int count, char **words)
{
    struct arguments arguments = {.node = {.folder = PD_NODE_FOLDER}};
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_watch, &count, words, &arguments, &code)) {
        return code;
    }
    arguments.key = words[0];
    if (arguments.key[0] == '\0' && !arguments.is_prefix) {
        return pd_command_usage(&pd_command_watch,
                                "a key is not empty; '' with --prefix means all keys");
    }
    return pd_store_ask(&arguments.node, watch_keys, &arguments);
}

static const struct pd_option options[] = {
    {.name = "--prefix",
     .text = "all keys that begin with KEY; '' is all",
     .offset = offsetof(struct arguments, is_prefix)},
    {.name = "--rev",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "from this revision on, also what is past (default: from now on)",
     .offset = offsetof(struct arguments, revision),
     .least = 1,
     .most = INT64_MAX},
    {.name = "--prev-kv",
     .text = "with each event what was there before it",
     .offset = offsetof(struct arguments, with_previous)},
    {.name = "--events",
     .kind = PD_OPTION_NUMBER,
     .value = "N",
     .text = "end after so many events (default: at Ctrl-C)",
     .offset = offsetof(struct arguments, events_max),
     .least = 1},
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE_PLACE(struct arguments, node),
    PD_OPTIONS_ENDPOINTS(struct arguments, node),
    {.name = "--timeout",
     .kind = PD_OPTION_SECONDS,
     .value = "TIME",
     .text = "give up when the node is away for that long (default: never)",
     .offset = offsetof(struct arguments, node.timeout_s),
     .least = 1,
     .most = 86400},
    {.name = NULL},
};

const struct pd_command pd_command_watch = {
    .name = "watch",
    .arguments = "KEY",
    .summary = "show what happens to a key as it happens",
    .help =
        "Every event once and in order, a line each: revision, put or delete, key, value. When "
        "the\n"
        "node is lost the watch goes on where it was as soon as the node is back, without a gap\n"
        "and without a duplicate; standard error tells.\n"
        "\n"
        "Exit code 3 when the revision to begin at is compacted, so that something may have been\n"
        "missed: the message says where to go on.\n",
    .options = options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando watch greeting\n"
                "pando watch --prefix users/ --prev-kv -o json\n"
                "pando watch --rev 1 --events 10 --prefix ''\n",
    .run = run_watch,
};
