/* Watches: clients' names for the watchers of the kv's hub, their answers, and the history that
 * those behind need. */
#include "node/replica_watch.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mutant.h"
#include "base/table.h"
#include "node/replica_internal.h"

#define READERS_MAX 4u
#define TURNS 64u                   /* of one slice */
#define SLICE_BYTES (256u * 1024u)  /* of answers in one slice, and one answer more */
#define KEY_BYTES_MIN (32u << 20)   /* of all watches' keys */
#define RECENT_BYTES_MAX (4u << 20) /* of the ring of recent revisions */
#define WHOLE_BYTES_MAX (1u << 30)
#define PAGE_BYTES_MIN 4096u /* of history: the fetch that finds its place serves many events */
#define HEAD_BYTES 128u

struct client {
    struct pd_table_node node;
    uint64_t id;
    struct pd_list watches;
    uint32_t count;
    uint64_t key_bytes;
};

struct watch {
    struct pd_table_node node;
    struct pd_list link;
    struct client *client; /* NULL: the slot is free */
    uint64_t correlation;
    uint64_t watcher; /* in the hub */
    uint32_t key_bytes;
};

/* A page of history for a reader of the hub. */
struct reader {
    bool is_open;
    bool is_given; /* the hub has it */
    uint32_t read; /* in the kv */
};

struct pd_replica_watches {
    struct pd_kv_watch_hub *hub;
    bool is_begun; /* the hub knows the state from which on events are published */
    uint32_t watches_max;
    uint64_t key_bytes_max;
    struct watch *watches;
    uint32_t *free_watches;
    uint32_t free_count;
    struct client *clients; /* watches_max */
    uint32_t *free_clients;
    uint32_t free_client_count;
    struct pd_table by_name;
    struct pd_table by_client;
    uint32_t readers_max;
    struct reader readers[READERS_MAX];
    struct pd_replica_bytes body;
};

/* -- Open -------------------------------------------------------------------------------------- */

static struct pd_kv_watch_config hub_config(const struct pd_replica_config *config,
                                            uint32_t readers_max)
{
    struct pd_kv_watch_config hub = pd_kv_watch_config_default();
    /* A transaction's events fit into one answer: its request, and as much again. */
    uint64_t whole = 2 * (uint64_t)config->kv.limits.request_bytes_max + config->watch_bytes_max;
    uint64_t keys = 4 * (uint64_t)config->kv.limits.key_bytes_max;
    hub.watches_max = config->watches_max;
    hub.key_bytes_max = keys > KEY_BYTES_MIN ? keys : KEY_BYTES_MIN;
    hub.recent_bytes =
        (uint32_t)(config->kv.overlay_bytes / 4 < RECENT_BYTES_MAX ? config->kv.overlay_bytes / 4
                                                                   : RECENT_BYTES_MAX);
    hub.readers_max = readers_max;
    hub.answer_bytes_max = config->watch_bytes_max;
    hub.whole_bytes_max = (uint32_t)(whole < WHOLE_BYTES_MAX ? whole : WHOLE_BYTES_MAX);
    uint32_t page = config->kv.page_bytes > PAGE_BYTES_MIN ? config->kv.page_bytes : PAGE_BYTES_MIN;
    /* Not much more than an answer: what is read for one whose credit ends is read in vain. */
    uint64_t answers = 2 * (uint64_t)config->watch_bytes_max;
    page = page < answers ? page : (uint32_t)answers;
    hub.page_bytes = page < hub.whole_bytes_max ? page : hub.whole_bytes_max;
    return hub;
}

enum pd_status pd_replica_watch_open(struct pd_replica *replica)
{
    const struct pd_replica_config *config = &replica->config;
    struct pd_replica_watches *watches = pd_alloc_zeroed(1, sizeof *watches);
    if (watches == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    replica->watches = watches;
    uint32_t max = config->watches_max;
    watches->readers_max =
        config->kv.histories_max < READERS_MAX ? config->kv.histories_max : READERS_MAX;
    watches->watches_max = max;
    struct pd_kv_watch_config hub = hub_config(config, watches->readers_max);
    watches->key_bytes_max = hub.key_bytes_max;
    enum pd_status status = pd_kv_watch_open(&hub, &watches->hub);
    if (status != PD_OK) {
        return status;
    }
    watches->watches = pd_alloc_zeroed(max, sizeof *watches->watches);
    watches->clients = pd_alloc_zeroed(max, sizeof *watches->clients);
    watches->free_watches = pd_alloc_zeroed(max, sizeof *watches->free_watches);
    watches->free_clients = pd_alloc_zeroed(max, sizeof *watches->free_clients);
    if (watches->watches == NULL || watches->clients == NULL || watches->free_watches == NULL ||
        watches->free_clients == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < max; i++) {
        watches->free_watches[i] = max - 1 - i;
        watches->free_clients[i] = max - 1 - i;
    }
    watches->free_count = max;
    watches->free_client_count = max;
    return PD_OK;
}

void pd_replica_watch_free(struct pd_replica *replica)
{
    struct pd_replica_watches *watches = replica->watches;
    if (watches == NULL) {
        return;
    }
    pd_kv_watch_close(watches->hub);
    pd_table_deinit(&watches->by_name);
    pd_table_deinit(&watches->by_client);
    pd_free(watches->watches);
    pd_free(watches->clients);
    pd_free(watches->free_watches);
    pd_free(watches->free_clients);
    pd_free(watches->body.bytes);
    pd_free(watches);
    replica->watches = NULL;
}

/* -- Names ------------------------------------------------------------------------------------- */

static uint64_t name_hash(uint64_t client, uint64_t correlation)
{
    return pd_hash_u64(pd_hash_u64(0x7761746368, client), correlation);
}

static uint64_t client_hash(uint64_t client)
{
    return pd_hash_u64(0x636c69656e74, client);
}

static struct watch *find(const struct pd_replica_watches *watches, uint64_t client,
                          uint64_t correlation)
{
    struct pd_table_node *node = pd_table_find(&watches->by_name, name_hash(client, correlation));
    for (; node != NULL; node = pd_table_next(node)) {
        struct watch *watch = pd_container_of(node, struct watch, node);
        if (watch->client->id == client && watch->correlation == correlation) {
            return watch;
        }
    }
    return NULL;
}

static struct client *find_client(const struct pd_replica_watches *watches, uint64_t id)
{
    struct pd_table_node *node = pd_table_find(&watches->by_client, client_hash(id));
    for (; node != NULL; node = pd_table_next(node)) {
        struct client *client = pd_container_of(node, struct client, node);
        if (client->id == id) {
            return client;
        }
    }
    return NULL;
}

/* There are as many clients' slots as watches': whoever has a free watch has a free client. */
static struct client *client_of(struct pd_replica_watches *watches, uint64_t id)
{
    struct client *client = find_client(watches, id);
    if (client == NULL) {
        pd_assert(watches->free_client_count > 0);
        client = &watches->clients[watches->free_clients[--watches->free_client_count]];
        client->id = id;
        client->count = 0;
        client->key_bytes = 0;
        pd_list_init(&client->watches);
        pd_table_insert(&watches->by_client, &client->node, client_hash(id));
    }
    return client;
}

/* The name and its slot. The hub's watcher is gone, or goes with it. */
static void forget(struct pd_replica_watches *watches, struct watch *watch)
{
    struct client *client = watch->client;
    pd_assert(client != NULL);
    pd_table_remove(&watches->by_name, &watch->node);
    pd_list_remove(&watch->link);
    client->count--;
    client->key_bytes -= watch->key_bytes;
    watch->client = NULL;
    watches->free_watches[watches->free_count++] = (uint32_t)(watch - watches->watches);
    if (pd_list_is_empty(&client->watches)) {
        pd_table_remove(&watches->by_client, &client->node);
        watches->free_clients[watches->free_client_count++] = (uint32_t)(client - watches->clients);
    }
}

static void remove_watch(struct pd_replica_watches *watches, struct watch *watch)
{
    enum pd_status status = pd_kv_watch_remove(watches->hub, watch->watcher);
    pd_assert(status == PD_OK);
    forget(watches, watch);
}

/* -- Answers ----------------------------------------------------------------------------------- */

static void answer(struct pd_replica *replica, const struct watch *watch,
                   enum pd_replica_outcome outcome, const struct pd_replica_watch_head *head)
{
    uint8_t room[HEAD_BYTES + PD_REPLICA_TEXT_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_replica_watch_head_put(&writer, head);
    pd_replica_watch_end_put(&writer);
    pd_assert(!writer.is_full);
    struct pd_span body = {room, writer.size};
    pd_replica_answer(replica, watch->client->id, watch->correlation, outcome, body);
}

static int64_t revision_now(const struct pd_replica_watches *watches)
{
    struct pd_kv_watch_status status;
    pd_kv_watch_status(watches->hub, &status);
    return status.revision;
}

static void cancel(struct pd_replica *replica, struct watch *watch, int64_t compact_revision,
                   const char *reason)
{
    const struct pd_replica_watch_head head = {
        .kind = PD_REPLICA_WATCH_CANCELLED,
        .revision = revision_now(replica->watches),
        .compact_revision = compact_revision,
        .reason = {(const uint8_t *)reason, strlen(reason)},
    };
    answer(replica, watch, PD_REPLICA_CANCELLED, &head);
}

/* What the hub gives: the size of its body. */
static size_t give(struct pd_replica *replica, const struct pd_kv_watch_answer *given)
{
    struct pd_replica_watches *watches = replica->watches;
    struct watch *watch = &watches->watches[given->owner];
    pd_assert(watch->client != NULL);
    if (given->kind == PD_KV_WATCH_COMPACTED) {
        cancel(replica, watch, given->compact_revision, pd_kv_error_text(PD_KV_ERR_COMPACTED));
        forget(watches, watch);
        return 0;
    }
    const struct pd_replica_watch_head head = {
        .kind =
            given->kind == PD_KV_WATCH_EVENTS ? PD_REPLICA_WATCH_EVENTS : PD_REPLICA_WATCH_PROGRESS,
        .revision = given->revision,
        .through_revision = given->through_revision,
        .is_fragment = given->is_fragment,
    };
    size_t room = HEAD_BYTES;
    for (uint32_t i = 0; i < given->count; i++) {
        room += pd_replica_watch_event_bytes_max(given->events[i]);
    }
    watches->body.size = 0;
    struct pd_kv_writer writer = {.bytes = pd_replica_bytes_add(&watches->body, room),
                                  .bytes_max = room};
    pd_replica_watch_head_put(&writer, &head);
    for (uint32_t i = 0; i < given->count; i++) {
        pd_replica_watch_event_put(&writer, given->events[i], given->with_previous);
    }
    pd_replica_watch_end_put(&writer);
    pd_assert(!writer.is_full);
    struct pd_span body = {writer.bytes, writer.size};
    pd_replica_answer(replica, watch->client->id, watch->correlation, PD_REPLICA_OK, body);
    uint32_t cost = PD_MUTANT(NODE_WATCH_CREDIT_NOT_SPENT) ? 0 : (uint32_t)writer.size;
    enum pd_status status = pd_kv_watch_spend(watches->hub, given->id, cost);
    pd_assert(status == PD_OK);
    return writer.size;
}

/* -- Requests ---------------------------------------------------------------------------------- */

/* The hub starts at what is applied now. */
static void begin(struct pd_replica *replica)
{
    struct pd_replica_watches *watches = replica->watches;
    if (!watches->is_begun) {
        struct pd_kv_status status;
        pd_kv_status(replica->kv, &status);
        pd_kv_watch_begin(watches->hub, status.revision, status.compacted_revision);
        watches->is_begun = true;
    }
}

/* Why a watch cannot be; NULL: it can. */
static const char *refusal(const struct pd_replica *replica, struct pd_span body,
                           struct pd_replica_watch_request *request_out)
{
    uint32_t key_max = replica->config.kv.limits.key_bytes_max;
    if (pd_replica_watch_request_decode(body, request_out) != PD_OK) {
        return "this is not a watch request of a known version";
    }
    if (request_out->key.size > key_max || request_out->range_end.size > key_max) {
        return "a watch's key is longer than a key may be";
    }
    return NULL;
}

/* Why there is no room for a watch, or NULL. What no client may have alone is left to others. */
static const char *crowding(const struct pd_replica_watches *watches, uint64_t id,
                            uint64_t key_bytes)
{
    const struct client *client = find_client(watches, id);
    if (watches->free_count == 0) {
        return "this node holds as many watches as it may";
    }
    if (client == NULL) {
        return NULL;
    }
    if (client->count >= watches->watches_max - watches->watches_max / 4) {
        return "this client holds as many watches as one may";
    }
    return client->key_bytes + key_bytes > watches->key_bytes_max / 4 * 3
               ? "this client's watches have as many bytes of keys as they may"
               : NULL;
}

void pd_replica_watch(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                      const struct pd_replica_request_head *head)
{
    struct pd_replica_watches *watches = replica->watches;
    struct pd_replica_watch_request request;
    const char *why = refusal(replica, head->body, &request);
    struct watch *before = find(watches, client, correlation);
    if (before != NULL) {
        why = "the correlation is that of a watch, which has ended by this";
        remove_watch(watches, before);
    }
    if (why != NULL) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_INVALID, why);
        return;
    }
    if (replica->install.state != PD_REPLICA_INSTALL_NONE) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_NOT_READY,
                               "this node is taking over a snapshot");
        return;
    }
    begin(replica);
    size_t key_bytes = request.key.size + request.range_end.size;
    why = crowding(watches, client, key_bytes);
    if (why != NULL) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_BUSY, why);
        return;
    }
    uint32_t slot = watches->free_watches[watches->free_count - 1];
    struct watch *watch = &watches->watches[slot];
    const struct pd_kv_watch asked = {
        .key = request.key,
        .range_end = request.range_end,
        .start_revision = request.start_revision,
        .no_put = request.no_put,
        .no_delete = request.no_delete,
        .with_previous = request.with_previous,
        .with_progress = request.with_progress,
        .may_fragment = request.may_fragment,
        .credit = request.credit,
        .owner = slot,
    };
    enum pd_status status = pd_kv_watch_add(watches->hub, &asked, &watch->watcher);
    if (status != PD_OK) {
        bool is_invalid = status == PD_ERR_INVALID;
        pd_replica_answer_text(
            replica, client, correlation, is_invalid ? PD_REPLICA_INVALID : PD_REPLICA_BUSY,
            is_invalid ? "the range to watch is empty" : "no room for the keys of another watch");
        return;
    }
    watches->free_count--;
    watch->client = client_of(watches, client);
    watch->correlation = correlation;
    watch->key_bytes = (uint32_t)key_bytes;
    watch->client->count++;
    watch->client->key_bytes += key_bytes;
    pd_list_append(&watch->client->watches, &watch->link);
    pd_table_insert(&watches->by_name, &watch->node, name_hash(client, correlation));
    int64_t now = revision_now(watches);
    const struct pd_replica_watch_head created = {
        .kind = PD_REPLICA_WATCH_CREATED,
        .revision = now,
        .through_revision = request.start_revision == 0 ? now : request.start_revision - 1,
    };
    answer(replica, watch, PD_REPLICA_OK, &created);
}

void pd_replica_unwatch(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                        const struct pd_replica_request_head *head)
{
    struct watch *watch = find(replica->watches, client, head->number);
    if (watch == NULL) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_INVALID,
                               "there is no such watch");
        return;
    }
    cancel(replica, watch, 0, "its client has ended it");
    remove_watch(replica->watches, watch);
    pd_replica_answer_text(replica, client, correlation, PD_REPLICA_OK, "");
}

void pd_replica_watch_credit(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                             const struct pd_replica_request_head *head)
{
    struct pd_replica_watch_credit credit;
    if (pd_replica_watch_credit_decode(head->body, &credit) != PD_OK) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_INVALID,
                               "this is not credit for a watch, of a known version");
        return;
    }
    struct watch *watch = find(replica->watches, client, head->number);
    if (watch == NULL) {
        return; /* it has ended meanwhile, and the client was told */
    }
    struct pd_kv_watch_hub *hub = replica->watches->hub;
    enum pd_status status = pd_kv_watch_grant(hub, watch->watcher, credit.credit);
    pd_assert(status == PD_OK);
    if (credit.wants_progress) {
        status = pd_kv_watch_ask_progress(hub, watch->watcher);
        pd_assert(status == PD_OK);
    }
}

/* -- What happens ------------------------------------------------------------------------------ */

void pd_replica_watch_applied(struct pd_replica *replica)
{
    struct pd_replica_watches *watches = replica->watches;
    struct pd_kv_events events;
    pd_kv_take_events(replica->kv, &events);
    if (!watches->is_begun) {
        return; /* there is no watch yet */
    }
    pd_kv_watch_publish(watches->hub, &events);
    struct pd_kv_status status;
    pd_kv_status(replica->kv, &status);
    pd_assert(status.revision == revision_now(watches));
    pd_kv_watch_compacted(watches->hub, status.compacted_revision);
}

static void end_read(struct pd_replica *replica, struct reader *reader)
{
    pd_kv_read_end(replica->kv, reader->read);
    *reader = (struct reader){0};
}

/* Pages of history on their way to the hub. true: there is more to do at once. */
static bool read_history(struct pd_replica *replica)
{
    struct pd_replica_watches *watches = replica->watches;
    bool more = false;
    for (uint32_t i = 0; i < watches->readers_max; i++) {
        struct reader *reader = &watches->readers[i];
        bool has_page = pd_kv_watch_has_page(watches->hub);
        if (reader->is_open && reader->is_given && !has_page) {
            end_read(replica, reader);
        }
        if (!reader->is_open || reader->is_given || has_page) {
            continue;
        }
        switch (pd_kv_read_step(replica->kv, reader->read, replica->config.apply_budget)) {
        case PD_KV_MORE:
            more = true;
            break;
        case PD_KV_DONE: {
            struct pd_kv_history history;
            pd_kv_read_history_result(replica->kv, reader->read, &history);
            pd_kv_watch_page(watches->hub, i, &history);
            reader->is_given = true;
            more = true;
            break;
        }
        case PD_KV_FETCH:
        case PD_KV_FULL:
        case PD_KV_FAILED:
            break;
        }
    }
    return more;
}

/* As many pages as there are slots for in the kv; the others are wanted on. true: one was begun. */
static bool want_history(struct pd_replica *replica)
{
    struct pd_replica_watches *watches = replica->watches;
    struct pd_kv_watch_want want;
    bool any = false;
    while (pd_kv_watch_next_want(watches->hub, &want)) {
        struct reader *reader = &watches->readers[want.reader];
        if (reader->is_open) {
            end_read(replica, reader);
        }
        if (pd_kv_read_history(replica->kv, want.revision, want.sub, want.bytes_max,
                               &reader->read) != PD_OK) {
            pd_kv_watch_want_again(watches->hub, want.reader);
            break;
        }
        reader->is_open = true;
        any = true;
    }
    return any;
}

bool pd_replica_watch_step(struct pd_replica *replica)
{
    struct pd_replica_watches *watches = replica->watches;
    if (!watches->is_begun) {
        return false;
    }
    bool more = read_history(replica);
    size_t bytes = 0;
    enum pd_kv_watch_turn turn = PD_KV_WATCH_MORE;
    for (uint32_t i = 0; i < TURNS && bytes < SLICE_BYTES && turn != PD_KV_WATCH_IDLE; i++) {
        struct pd_kv_watch_answer given;
        turn = pd_kv_watch_next(watches->hub, &given);
        if (turn == PD_KV_WATCH_ANSWER) {
            bytes += give(replica, &given);
        }
    }
    more = want_history(replica) || more;
    return more || turn != PD_KV_WATCH_IDLE;
}

void pd_replica_watch_tick(struct pd_replica *replica)
{
    if (replica->watches->is_begun) {
        pd_kv_watch_tick(replica->watches->hub);
    }
}

void pd_replica_watch_client_gone(struct pd_replica *replica, uint64_t client_id)
{
    struct pd_replica_watches *watches = replica->watches;
    struct client *client = find_client(watches, client_id);
    while (client != NULL) {
        struct watch *watch = pd_container_of(pd_list_first(&client->watches), struct watch, link);
        bool is_last = watch->link.next == &client->watches; /* then the client's slot goes too */
        remove_watch(watches, watch);
        client = is_last ? NULL : client;
    }
}

void pd_replica_watches_drop(struct pd_replica *replica)
{
    struct pd_replica_watches *watches = replica->watches;
    for (uint32_t i = 0; i < watches->readers_max; i++) {
        if (watches->readers[i].is_open) {
            end_read(replica, &watches->readers[i]);
        }
    }
    for (uint32_t i = 0; i < watches->watches_max && watches->free_count < watches->watches_max;
         i++) {
        struct watch *watch = &watches->watches[i];
        if (watch->client != NULL && !PD_MUTANT(NODE_WATCH_SURVIVES_INSTALL)) {
            cancel(replica, watch, 0,
                   "this node takes over a newer state: watch again from the next revision");
            remove_watch(watches, watch);
        }
    }
    watches->is_begun = false;
}
