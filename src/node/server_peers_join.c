#include "node/server_peers_join.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "host/names.h"
#include "kv/codec.h"
#include "kv/version.h"
#include "net/address.h"
#include "node/members.h"
#include "node/replica_about.h"

#define VERSION 1u
#define VERSION_FIELDS 2u /* of a request: tagged fields follow; unknown ones are skipped */
#define VERSION_CLOCK 3u  /* of a question: nothing follows; of its answer: the time */
#define TAG_LIMIT 1u
#define SECOND_NS UINT64_C(1000000000)
#define TEXT_MAX 512u

/*   IDLE -> SIGNER -> DIRECTORY -> LEARNER -> LIST -> answered, IDLE
 *           |  ^ is the ticket's signer a member?        what the members are now
 *           v  |
 *         REPLACE: whose name and address it has leaves first */
enum step {
    STEP_SIGNER = 0,
    STEP_REPLACE,
    STEP_DIRECTORY,
    STEP_LEARNER,
    STEP_LIST
};

struct pd_join {
    struct pd_host *host;
    struct pd_names *names;       /* of members' addresses */
    _Atomic(struct pd_net *) net; /* NULL: not yet */
    atomic_bool is_open;
    atomic_uint inside; /* the net's thread looks at it */
    struct pd_event left;
    struct pd_server *server;
    struct pd_server_client client;
    struct pd_event closed;
    uint64_t cluster_id;
    /* Of the net's thread until a request is given to the server, then of the core until it is
     * answered. */
    atomic_bool is_busy;
    enum step step;
    uint64_t link;
    uint64_t correlation;
    uint8_t signer[PD_NET_KEY_SIZE];
    uint64_t node;
    uint32_t limit; /* the last version that its program can follow */
    enum pd_kv_member_role role;
    uint8_t member[PD_KV_MEMBER_BYTES_MAX];
    size_t member_size;
    struct pd_transport_address from; /* where it speaks from */
    uint64_t replaced;                /* the member that it takes the place of; 0: of none */
    char refusal[TEXT_MAX];           /* why it was not added as a learner; empty: it was */
};

/* -- Bytes ------------------------------------------------------------------------------------- */

void pd_join_put_request(struct pd_kv_writer *writer, const char *ticket,
                         const struct pd_kv_member *member, uint32_t limit)
{
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer inner = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_member_encode(&inner, member);
    writer->is_full = writer->is_full || inner.is_full;
    pd_kv_write_u8(writer, limit == PD_KV_VERSION_FIRST ? VERSION : VERSION_FIELDS);
    pd_kv_write_span(writer, pd_kv_span(ticket, strlen(ticket)));
    pd_kv_write_span(writer, pd_kv_span(room, inner.size));
    if (limit > PD_KV_VERSION_FIRST) {
        struct pd_kv_writer number = {.bytes = room, .bytes_max = sizeof room};
        pd_kv_write_u64(&number, limit);
        pd_kv_write_u64(writer, TAG_LIMIT);
        pd_kv_write_span(writer, pd_kv_span(room, number.size));
    }
}

enum pd_status pd_join_read_answer(struct pd_span bytes, struct pd_join_answer *answer_out)
{
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, bytes);
    const uint8_t *version = pd_kv_read_raw(&reader, 1);
    if (version == NULL || *version != VERSION) {
        return PD_ERR_CORRUPT;
    }
    answer_out->outcome = (enum pd_join_outcome)pd_kv_read_below(&reader, PD_JOIN_REFUSED + 1);
    answer_out->text = pd_kv_read_span(&reader);
    answer_out->members = reader;
    return reader.is_bad ? PD_ERR_CORRUPT : PD_OK;
}

void pd_join_put_clock_question(struct pd_kv_writer *writer)
{
    pd_kv_write_u8(writer, VERSION_CLOCK);
}

enum pd_status pd_join_read_clock(struct pd_span bytes, uint64_t *wall_ns_out)
{
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, bytes);
    const uint8_t *version = pd_kv_read_raw(&reader, 1);
    *wall_ns_out = pd_kv_read_u64(&reader);
    return version != NULL && *version == VERSION_CLOCK && pd_kv_read_is_whole(&reader)
               ? PD_OK
               : PD_ERR_CORRUPT;
}

/* It asks again, or somebody else. */
static void give_up(struct pd_net *net, uint64_t link, uint64_t correlation)
{
    enum pd_status status = pd_net_finish(net, link, correlation);
    (void)status; /* no memory for that either: its patience ends it */
}

static void reply(struct pd_net *net, uint64_t link, uint64_t correlation,
                  enum pd_join_outcome outcome, const char *text, struct pd_span members)
{
    size_t most = TEXT_MAX + 64 + members.size;
    struct pd_kv_writer writer = {.bytes = pd_alloc(most), .bytes_max = most};
    if (writer.bytes == NULL) {
        give_up(net, link, correlation);
        return;
    }
    pd_kv_write_u8(&writer, VERSION);
    pd_kv_write_u64(&writer, outcome);
    pd_kv_write_span(&writer, pd_kv_span(text, strnlen(text, TEXT_MAX)));
    pd_kv_write_raw(&writer, members.bytes, members.size);
    if (pd_net_answer(net, link, correlation, pd_kv_span(writer.bytes, writer.size), true) !=
        PD_OK) {
        give_up(net, link, correlation);
    }
    pd_free(writer.bytes);
}

static bool asks_for_clock(struct pd_span bytes)
{
    return bytes.size == 1 && bytes.bytes[0] == VERSION_CLOCK;
}

static void tell_clock(struct pd_join *join, uint64_t link, uint64_t correlation)
{
    uint8_t room[16];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_write_u8(&writer, VERSION_CLOCK);
    pd_kv_write_u64(&writer, join->host->ops->wall_ns(join->host));
    if (pd_net_answer(join->net, link, correlation, pd_kv_span(room, writer.size), true) != PD_OK) {
        give_up(join->net, link, correlation);
    }
}

/* -- Steps: in the core ------------------------------------------------------------------------ */

static void end(struct pd_join *join, enum pd_join_outcome outcome, const char *text,
                struct pd_span members)
{
    reply(join->net, join->link, join->correlation, outcome, text, members);
    atomic_store(&join->is_busy, false);
}

static void ask(struct pd_join *join, enum step step)
{
    uint8_t room[PD_REPLICA_REQUEST_HEAD_SIZE + PD_KV_MEMBER_BYTES_MAX + 64];
    struct pd_kv_writer writer = {.bytes = room + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max = sizeof room - PD_REPLICA_REQUEST_HEAD_SIZE};
    struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_MEMBERS};
    if (step == STEP_SIGNER) {
        head.kind = PD_REPLICA_REQUEST_ABOUT; /* the cluster's version, then the members */
    } else if (step == STEP_DIRECTORY) {
        head.kind = PD_REPLICA_REQUEST_WRITE;
        pd_kv_command_encode(&writer,
                             &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                                     .id = (int64_t)join->node,
                                                     .bytes = {join->member, join->member_size}});
        pd_assert(!writer.is_full);
    } else if (step == STEP_REPLACE) {
        head.kind = PD_REPLICA_REQUEST_LEAVE;
        head.number = join->replaced;
    } else if (step == STEP_LEARNER) {
        head.kind = PD_REPLICA_REQUEST_ADD_LEARNER;
        head.number = join->node;
    }
    pd_replica_request_put_head(room, &head);
    join->step = step;
    if (pd_server_submit(join->server, &join->client, (uint64_t)step,
                         pd_kv_span(room, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size)) != PD_OK) {
        end(join, PD_JOIN_AGAIN, "the member is busy, or stops", pd_kv_span(NULL, 0));
    }
}

/* A voter began with its log, and has promised others with it. Who asks to join anew under its key
 * has lost that: it could vote twice. Nor does who follows the log become a worker under its
 * key. */
static bool votes_already(const struct pd_join *join, struct pd_span members)
{
    struct pd_kv_reader reader;
    struct pd_members_item item;
    bool does_vote = false;
    pd_kv_reader_init(&reader, members);
    while (pd_members_next(&reader, &item)) {
        does_vote = does_vote ||
                    (item.member.node == join->node &&
                     (item.standing == PD_MEMBERS_VOTER ||
                      (item.standing != PD_MEMBERS_NONE && join->role == PD_KV_MEMBER_WORKER)));
    }
    return does_vote;
}

static bool is_taken(const struct pd_join *join, struct pd_span members)
{
    struct pd_kv_reader reader;
    struct pd_members_item item;
    bool is_member = false;
    pd_kv_reader_init(&reader, members);
    while (pd_members_next(&reader, &item)) {
        is_member =
            is_member || (item.member.node == join->node && item.is_listed &&
                          (item.standing != PD_MEMBERS_NONE || join->role == PD_KV_MEMBER_WORKER));
    }
    return is_member;
}

/* The store's word for a command. */
static void directory_answered(struct pd_join *join, struct pd_span body)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, body);
    pd_kv_answer_head(&reader, &head);
    if (reader.is_bad || head.error != PD_KV_OK) {
        end(join, PD_JOIN_REFUSED,
            reader.is_bad ? "the members cannot be read" : pd_kv_error_text(head.error),
            pd_kv_span(NULL, 0));
    } else {
        ask(join, join->role == PD_KV_MEMBER_WORKER ? STEP_LIST : STEP_LEARNER);
    }
}

/* -- One of its name --------------------------------------------------------------------------- */

static struct pd_kv_member own_row(const struct pd_join *join)
{
    struct pd_kv_member member = {.node = join->node};
    enum pd_status status =
        pd_kv_member_decode(pd_kv_span(join->member, join->member_size), &member);
    pd_assert(status == PD_OK); /* it was encoded here */
    return member;
}

static bool find_namesake(const struct pd_join *join, struct pd_span members,
                          struct pd_members_item *item_out)
{
    struct pd_kv_reader reader;
    struct pd_span name = own_row(join).name;
    pd_kv_reader_init(&reader, members);
    while (name.size > 0 && pd_members_next(&reader, item_out)) {
        if (item_out->is_listed && item_out->member.node != join->node &&
            item_out->member.name.size == name.size &&
            memcmp(item_out->member.name.bytes, name.bytes, name.size) == 0) {
            return true;
        }
    }
    return false;
}

/* Who speaks from the very address and port where the others found a member last has that one's
 * place: two processes cannot have it. The last one is where it is: those before it are older. */
static bool has_place_of(const struct pd_join *join, const struct pd_kv_member *member)
{
    char text[PD_KV_MEMBER_ADDRESS_MAX + 1];
    struct pd_transport_address address;
    if (member->peer_count == 0) {
        return false;
    }
    const struct pd_span *last = &member->peers[member->peer_count - 1];
    (void)snprintf(text, sizeof text, "%.*s", (int)last->size, (const char *)last->bytes);
    return (pd_net_address_parse(text, &address) == PD_OK ||
            (join->names != NULL && pd_names_find(join->names, text, &address))) &&
           pd_net_address_is_equal(&address, &join->from);
}

/* A node whose folder was emptied comes back as a new one, under the name and at the address of the
 * old one, which nobody is any more: that one goes. Anybody else chooses another name. */
static void judge_namesake(struct pd_join *join, const struct pd_kv_member *namesake,
                           uint32_t version)
{
    bool takes_place = version >= PD_REPLICA_LEAVE_VERSION && join->role != PD_KV_MEMBER_WORKER &&
                       namesake->role != PD_KV_MEMBER_WORKER && has_place_of(join, namesake);
    if (takes_place && memcmp(namesake->key, join->signer, sizeof join->signer) == 0) {
        /* It would be void as soon as that one is removed, and the node not in yet. */
        end(join, PD_JOIN_REFUSED,
            "the ticket was signed by the member whose place this node would take: ask another "
            "member for one (`pando cluster ticket`)",
            pd_kv_span(NULL, 0));
        return;
    }
    if (takes_place) {
        join->replaced = namesake->node;
        ask(join, STEP_REPLACE);
        return;
    }
    (void)snprintf(join->refusal, sizeof join->refusal,
                   "another member is called '%.*s' (%016" PRIx64
                   "): choose another name with --name, or, if that one is gone for ever, remove "
                   "it first (`pando cluster remove %016" PRIx64 "`)",
                   (int)namesake->name.size, (const char *)namesake->name.bytes, namesake->node,
                   namesake->node);
    end(join, PD_JOIN_REFUSED, join->refusal, pd_kv_span(NULL, 0));
}

static void signer_answered(struct pd_join *join, struct pd_span body)
{
    const struct pd_span none = pd_kv_span(NULL, 0);
    struct pd_replica_about about;
    struct pd_kv_reader reader;
    struct pd_members_item namesake;
    pd_kv_reader_init(&reader, body);
    pd_replica_about_get(&reader, &about);
    struct pd_span members = pd_kv_span(body.bytes + reader.at, body.size - reader.at);
    if (about.version > join->limit) {
        (void)snprintf(join->refusal, sizeof join->refusal,
                       "the cluster is of version %" PRIu32
                       ", and the new node's program can follow up to version %" PRIu32
                       ": use a program that is as new as the members'",
                       about.version, join->limit);
        end(join, PD_JOIN_REFUSED, join->refusal, none);
    } else if (votes_already(join, members)) {
        end(join, PD_JOIN_REFUSED,
            "this node votes there already, and its folder has lost what it promised: put the "
            "folder back; or remove the node (`pando cluster remove`), empty the folder, its "
            "key too, and join as a new one",
            none);
    } else if (!pd_members_may_sign(members, join->signer)) {
        end(join, PD_JOIN_REFUSED,
            "who signed the ticket is no member any more: ask for another one", none);
    } else if (find_namesake(join, members, &namesake)) {
        judge_namesake(join, &namesake.member, about.version);
    } else {
        ask(join, STEP_DIRECTORY);
    }
}

/* For good, as the leader says: with why. */
static void refuse(struct pd_join *join, const char *doing, struct pd_span why)
{
    int size = why.size < TEXT_MAX ? (int)why.size : (int)TEXT_MAX;
    (void)snprintf(join->refusal, sizeof join->refusal, "%s%.*s", doing, size,
                   (const char *)why.bytes);
    end(join, PD_JOIN_REFUSED, join->refusal, pd_kv_span(NULL, 0));
}

static void step(struct pd_join *join, const struct pd_replica_answer_head *answer)
{
    const struct pd_span none = pd_kv_span(NULL, 0);
    bool is_done = answer->outcome == PD_REPLICA_OK;
    if (!is_done && answer->outcome != PD_REPLICA_INVALID) {
        end(join, PD_JOIN_AGAIN, pd_replica_outcome_text(answer->outcome), none);
        return;
    }
    int size = answer->body.size < TEXT_MAX ? (int)answer->body.size : (int)TEXT_MAX - 1;
    switch (join->step) {
    case STEP_SIGNER:
        signer_answered(join, answer->body);
        return;
    case STEP_REPLACE:
        if (is_done) {
            ask(join, STEP_SIGNER); /* there may be one more of the name */
        } else {
            refuse(join, "the member whose name and address this is does not go: ", answer->body);
        }
        return;
    case STEP_DIRECTORY:
        if (is_done) {
            directory_answered(join, answer->body);
        } else {
            refuse(join, "", answer->body);
        }
        return;
    case STEP_LEARNER:
        (void)snprintf(join->refusal, sizeof join->refusal, "%.*s", is_done ? 0 : size,
                       is_done ? "" : (const char *)answer->body.bytes);
        ask(join, STEP_LIST); /* a member already: it asked before */
        return;
    case STEP_LIST:
        if (is_taken(join, answer->body)) {
            char text[TEXT_MAX] = "";
            if (join->replaced != 0) {
                (void)snprintf(text, sizeof text,
                               "it takes the place of node %016" PRIx64
                               ", which had its name and its address and was removed",
                               join->replaced);
            }
            end(join, PD_JOIN_TAKEN, text, answer->body);
        } else {
            end(join, PD_JOIN_REFUSED, join->refusal, none);
        }
        return;
    }
}

static void on_answer(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes)
{
    struct pd_join *join = pd_container_of(client, struct pd_join, client);
    struct pd_replica_answer_head answer;
    pd_assert(correlation == (uint64_t)join->step);
    enum pd_status status = pd_replica_answer_decode(bytes, &answer);
    pd_assert(status == PD_OK); /* this node's own */
    step(join, &answer);
}

static void on_closed_client(struct pd_server_client *client)
{
    struct pd_join *join = pd_container_of(client, struct pd_join, client);
    join->host->ops->event_set(join->host, &join->closed);
}

/* -- The service: on the net's thread ---------------------------------------------------------- */

static bool admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true; /* the ticket decides */
}

/* NULL, or why not. `ticket` is a text of its own. */
static const char *judge_ticket(struct pd_join *join, struct pd_span text)
{
    struct pd_ticket ticket;
    uint8_t room[PD_TICKET_BYTES_MAX];
    const char *refusal = pd_ticket_judge(
        text, join->cluster_id, join->host->ops->wall_ns(join->host) / SECOND_NS, room, &ticket);
    if (refusal != NULL) {
        return refusal;
    }
    if (ticket.role == PD_KV_MEMBER_WORKER && join->role != PD_KV_MEMBER_WORKER) {
        return "the ticket is for workers alone: join with --role worker, or ask for another one";
    }
    memcpy(join->signer, ticket.signer, sizeof join->signer);
    return NULL;
}

static uint32_t read_limit(struct pd_kv_reader *reader)
{
    uint32_t limit = PD_KV_VERSION_FIRST;
    while (!reader->is_bad && !pd_kv_read_is_whole(reader)) {
        uint64_t tag = pd_kv_read_u64(reader);
        struct pd_kv_reader field;
        pd_kv_reader_init(&field, pd_kv_read_span(reader));
        if (tag == TAG_LIMIT && !reader->is_bad) {
            limit = pd_kv_read_below(&field, UINT32_MAX);
            reader->is_bad = reader->is_bad || !pd_kv_read_is_whole(&field);
        }
    }
    return limit;
}

/* NULL: it may go on; or why not. */
static const char *take_request(struct pd_join *join, const uint8_t key[PD_NET_KEY_SIZE],
                                struct pd_span bytes)
{
    struct pd_kv_reader reader;
    struct pd_kv_member member = {0};
    pd_kv_reader_init(&reader, bytes);
    const uint8_t *version = pd_kv_read_raw(&reader, 1);
    struct pd_span ticket = pd_kv_read_span(&reader);
    struct pd_span row = pd_kv_read_span(&reader);
    bool has_fields = version != NULL && *version == VERSION_FIELDS && pd_kv_version_limit() >= 2;
    join->limit = has_fields ? read_limit(&reader) : PD_KV_VERSION_FIRST;
    if (version == NULL || (*version != VERSION && !has_fields) || !pd_kv_read_is_whole(&reader) ||
        pd_kv_member_decode(row, &member) != PD_OK || member.version != 0) {
        return PD_JOIN_UNKNOWN_TEXT;
    }
    memcpy(member.key, key, sizeof member.key); /* that alone is proven */
    struct pd_kv_writer writer = {.bytes = join->member, .bytes_max = sizeof join->member};
    pd_kv_member_encode(&writer, &member);
    pd_assert(!writer.is_full);
    join->member_size = writer.size;
    join->node = pd_members_node_of(member.key);
    join->role = member.role;
    join->refusal[0] = '\0';
    join->replaced = 0;
    return judge_ticket(join, ticket);
}

static void serve(struct pd_join *join, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    uint8_t key[PD_NET_KEY_SIZE];
    struct pd_transport_address from;
    if (!pd_net_link_key(join->net, link, key) || !pd_net_link_address(join->net, link, &from)) {
        return; /* who asked is gone */
    }
    if (atomic_exchange(&join->is_busy, true)) {
        reply(join->net, link, correlation, PD_JOIN_AGAIN, "another node is joining",
              pd_kv_span(NULL, 0));
        return;
    }
    join->link = link;
    join->from = from;
    join->correlation = correlation;
    const char *refusal = take_request(join, key, bytes);
    if (refusal != NULL) {
        end(join, PD_JOIN_REFUSED, refusal, pd_kv_span(NULL, 0));
    } else {
        ask(join, STEP_SIGNER);
    }
}

static void on_request(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_join *join = state;
    (void)atomic_fetch_add(&join->inside, 1);
    if (join->net != NULL && asks_for_clock(bytes)) {
        tell_clock(join, link, correlation);
    } else if (atomic_load(&join->is_open)) {
        serve(join, link, correlation, bytes);
    } else if (join->net != NULL) {
        reply(join->net, link, correlation, PD_JOIN_AGAIN, "the member is starting, or stops",
              pd_kv_span(NULL, 0));
    }
    (void)atomic_fetch_sub(&join->inside, 1);
    if (!atomic_load(&join->is_open)) {
        join->host->ops->event_set(join->host, &join->left);
    }
}

/* -- Life -------------------------------------------------------------------------------------- */

enum pd_status pd_join_create(struct pd_host *host, struct pd_join **join_out)
{
    struct pd_join *join = pd_alloc_zeroed(1, sizeof *join);
    if (join == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    join->host = host;
    *join_out = join;
    return PD_OK;
}

struct pd_net_handler pd_join_handler(struct pd_join *join)
{
    return (struct pd_net_handler){.admit = admit, .request = on_request, .state = join};
}

void pd_join_destroy(struct pd_join *join)
{
    pd_free(join);
}

void pd_join_attach(struct pd_join *join, struct pd_net *net, struct pd_names *names)
{
    join->names = names;
    join->net = net;
}

enum pd_status pd_join_open(struct pd_join *join, struct pd_server *server)
{
    struct pd_server_about about;
    join->client =
        (struct pd_server_client){.answer = on_answer, .closed = on_closed_client, .name = "join"};
    join->server = server;
    enum pd_status status = pd_server_client_open(server, &join->client);
    if (status != PD_OK) {
        return status;
    }
    pd_server_about(server, &about);
    join->cluster_id = about.cluster_id;
    atomic_store(&join->is_open, true);
    return PD_OK;
}

void pd_join_close(struct pd_join *join)
{
    if (atomic_exchange(&join->is_open, false)) {
        while (atomic_load(&join->inside) != 0) {
            (void)join->host->ops->event_wait(join->host, &join->left, PD_TIME_NEVER);
        }
        pd_server_client_close(join->server, &join->client);
        while (!join->host->ops->event_wait(join->host, &join->closed, PD_TIME_NEVER)) {
        }
    }
}
