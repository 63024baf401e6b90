/* pando watch KEY: what happens to keys, as it happens. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/store_text.h"
#include "node/replica_watch.h"

#define CREDIT (UINT32_C(1) << 20)
#define CREDIT_BACK (UINT32_C(1) << 18) /* what was taken in is given back in portions */
#define RETRY_NS 200000000

struct arguments {
    struct pd_node_options node;
    const char *key;
    uint64_t revision; /* 0: from now on */
    uint64_t events_max;
    uint32_t output;
    bool is_prefix;
    bool with_previous;
};

/* Where we are. What has been printed is known by (revision, how many of it), so that a revision
 * that broke off in its middle goes on there and not at its beginning. */
struct watch {
    const struct arguments *arguments;
    struct pd_node_client *client;
    struct pd_span range_end;
    int64_t next_revision; /* to begin at; 0: now */
    int64_t printed_revision;
    uint64_t printed_count;
    int64_t seen_revision; /* of the answers since the watch was made */
    uint64_t seen_count;
    uint64_t events;
    uint32_t taken; /* bytes, not yet given back */
    bool was_made;  /* once at least */
    bool is_lost;   /* and told */
};

/* What an answer comes to. */
enum turn {
    TURN_ON = 0,
    TURN_AGAIN, /* make the watch anew */
    TURN_END
};

/* -- Printing ---------------------------------------------------------------------------------- */

static void print_event_json(const struct pd_kv_event *event)
{
    json_t *object = pd_store_record_json(&event->record);
    json_object_set_new(object, "type", json_string(event->is_delete ? "delete" : "put"));
    json_object_set_new(object, "revision", json_integer(event->record.mod_revision));
    if (event->is_delete) {
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

static void print_event(const struct pd_kv_event *event)
{
    (void)printf("%8" PRId64 "  %-6s  ", event->record.mod_revision,
                 event->is_delete ? "delete" : "put");
    pd_store_print_bytes(event->record.key);
    if (!event->is_delete) {
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

/* False: it was printed before the connection broke. */
static bool is_new(struct watch *watch, int64_t revision)
{
    if (revision != watch->seen_revision) {
        watch->seen_revision = revision;
        watch->seen_count = 0;
    }
    watch->seen_count++;
    if (revision < watch->printed_revision ||
        (revision == watch->printed_revision && watch->seen_count <= watch->printed_count)) {
        return false;
    }
    watch->printed_revision = revision;
    watch->printed_count = watch->seen_count;
    return true;
}

static bool has_enough(const struct watch *watch)
{
    return watch->arguments->events_max != 0 && watch->events == watch->arguments->events_max;
}

/* -- Answers ----------------------------------------------------------------------------------- */

static int unreadable(void)
{
    return pd_command_failed("the node's answer cannot be read: is it of another version?");
}

static enum turn take_events(struct watch *watch, struct pd_kv_reader *reader, int *code_out)
{
    struct pd_kv_event event;
    while (!has_enough(watch) && pd_replica_watch_event_get(reader, &event)) {
        if (!is_new(watch, event.record.mod_revision)) {
            continue;
        }
        if (watch->arguments->output == PD_OUTPUT_JSON) {
            print_event_json(&event);
        } else {
            print_event(&event);
        }
        watch->events++;
    }
    if (fflush(stdout) != 0) {
        *code_out = pd_command_failed("cannot write to standard output");
        return TURN_END;
    }
    if (has_enough(watch)) {
        return TURN_END;
    }
    if (!pd_kv_answer_is_whole(reader)) {
        *code_out = unreadable();
        return TURN_END;
    }
    return TURN_ON;
}

/* The watch ended by the node's word. */
static enum turn take_end(struct watch *watch, const struct pd_replica_answer_head *answer,
                          int *code_out)
{
    struct pd_kv_reader reader;
    struct pd_replica_watch_head head;
    if (answer->outcome != PD_REPLICA_CANCELLED) {
        (void)pd_node_client_refused(watch->client, answer);
        if (answer->outcome != PD_REPLICA_INVALID && watch->was_made) {
            return TURN_AGAIN;
        }
        *code_out = pd_store_failed(watch->client);
        return TURN_END;
    }
    pd_kv_reader_init(&reader, answer->body);
    pd_replica_watch_head_get(&reader, &head);
    if (reader.is_bad) {
        *code_out = unreadable();
        return TURN_END;
    }
    if (head.compact_revision == 0) {
        (void)snprintf(watch->client->text, sizeof watch->client->text, "the watch ended: %.*s",
                       (int)(head.reason.size < 200 ? head.reason.size : 200),
                       head.reason.size == 0 ? "" : (const char *)head.reason.bytes);
        return TURN_AGAIN;
    }
    (void)pd_command_failed("revision %" PRId64 " is compacted: what happened before revision "
                            "%" PRId64 " cannot be told any more. Read the keys (`pando kv get`), "
                            "and watch on with --rev %" PRId64,
                            watch->next_revision, head.compact_revision, head.compact_revision);
    *code_out = PD_EXIT_CODE_LOST;
    return TURN_END;
}

static void say_watching(struct watch *watch)
{
    if (watch->is_lost || !watch->was_made) {
        (void)fprintf(stderr, "pando: watching%s from revision %" PRId64 " on\n",
                      watch->is_lost ? " again," : "", watch->next_revision);
    }
    watch->was_made = true;
    watch->is_lost = false;
}

static enum turn take_answer(struct watch *watch, const struct pd_replica_answer_head *answer,
                             int *code_out)
{
    struct pd_kv_reader reader;
    struct pd_replica_watch_head head;
    enum turn turn = TURN_ON;
    if (answer->outcome != PD_REPLICA_OK) {
        return take_end(watch, answer, code_out);
    }
    pd_kv_reader_init(&reader, answer->body);
    pd_replica_watch_head_get(&reader, &head);
    if (reader.is_bad) {
        *code_out = unreadable();
        return TURN_END;
    }
    switch (head.kind) {
    case PD_REPLICA_WATCH_EVENTS:
        turn = take_events(watch, &reader, code_out);
        watch->taken += (uint32_t)answer->body.size;
        break;
    case PD_REPLICA_WATCH_PROGRESS:
        watch->taken += (uint32_t)answer->body.size;
        break;
    case PD_REPLICA_WATCH_CREATED:
    case PD_REPLICA_WATCH_CANCELLED: /* never with OK */
        break;
    }
    if (!head.is_fragment) {
        watch->next_revision = head.through_revision + 1;
    }
    if (head.kind == PD_REPLICA_WATCH_CREATED) {
        say_watching(watch);
    }
    return turn;
}

/* -- Asking ------------------------------------------------------------------------------------ */

static enum pd_status make(struct watch *watch)
{
    const struct pd_replica_watch_request wanted = {
        .key = pd_store_span(watch->arguments->key),
        .range_end = watch->range_end,
        .start_revision = watch->next_revision,
        .credit = CREDIT,
        .with_previous = watch->arguments->with_previous,
        .with_progress = true, /* how far it is, so that it need not begin far behind */
    };
    size_t size = 2 * strlen(watch->arguments->key) + 256;
    uint8_t *room = pd_alloc(size);
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = size};
    if (room == NULL) {
        (void)snprintf(watch->client->text, sizeof watch->client->text, "no memory");
        return PD_ERR_NO_MEMORY;
    }
    pd_replica_watch_request_put(&writer, &wanted);
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_WATCH,
                                                    .body = {room, writer.size}};
    enum pd_status status = pd_node_client_begin(watch->client, &request);
    pd_free(room);
    watch->taken = 0;
    watch->seen_revision = 0;
    watch->seen_count = 0;
    return status;
}

static enum pd_status give_back(struct watch *watch)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_replica_watch_credit credit = {.credit = watch->taken};
    if (watch->taken < CREDIT_BACK) {
        return PD_OK;
    }
    pd_replica_watch_credit_put(&writer, &credit);
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_WATCH_CREDIT,
                                                    .number = watch->client->correlation,
                                                    .body = {room, writer.size}};
    watch->taken = 0;
    return pd_node_client_also(watch->client, &request);
}

/* Until the connection breaks, or the watch has ended. */
static enum turn follow(struct watch *watch, int *code_out)
{
    struct pd_replica_answer_head answer;
    enum turn turn = TURN_ON;
    enum pd_status status = make(watch);
    while (status == PD_OK && turn == TURN_ON) {
        status = pd_node_client_next(watch->client, &answer);
        if (status == PD_OK) {
            turn = take_answer(watch, &answer, code_out);
        }
        if (status == PD_OK && turn == TURN_ON) {
            status = give_back(watch);
        }
    }
    if (turn == TURN_END) {
        return TURN_END;
    }
    if (status == PD_ERR_CORRUPT || status == PD_ERR_NO_MEMORY || status == PD_ERR_INVALID ||
        !watch->was_made) {
        *code_out = pd_store_failed(watch->client);
        return TURN_END;
    }
    return TURN_AGAIN;
}

static uint64_t now_s(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec;
}

static int watch_keys(void *state, struct pd_node_client *client)
{
    const struct arguments *arguments = state;
    struct watch watch = {
        .arguments = arguments, .client = client, .next_revision = (int64_t)arguments->revision};
    uint8_t *room = pd_alloc(strlen(arguments->key) + 1);
    uint64_t lost_s = 0;
    int code = PD_EXIT_CODE_OK;
    if (room == NULL) {
        return pd_command_failed("no memory");
    }
    if (arguments->is_prefix) {
        watch.range_end = pd_store_prefix_end(pd_store_span(arguments->key), room);
    }
    client->timeout_ms = PD_STORE_TIMEOUT_S * UINT64_C(1000); /* of what is sent */
    while (follow(&watch, &code) == TURN_AGAIN) {
        const struct timespec pause = {.tv_nsec = RETRY_NS};
        pd_node_client_disconnect(client);
        if (!watch.is_lost) {
            (void)fprintf(stderr, "pando: %s. Trying again from revision %" PRId64 " on\n",
                          client->text, watch.next_revision);
            lost_s = now_s();
        }
        watch.is_lost = true;
        if (arguments->node.timeout_s != 0 && now_s() - lost_s >= arguments->node.timeout_s) {
            code = pd_command_failed("%s. Go on later with --rev %" PRId64, client->text,
                                     watch.next_revision);
            break;
        }
        (void)nanosleep(&pause, NULL);
    }
    pd_free(room);
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
