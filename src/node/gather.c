#include "node/gather.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>

#include "base/assert.h"
#include "kv/codec.h"
#include "node/members.h"

#define VERSION 1u
#define PROOF_SIZE SHA256_DIGEST_SIZE
#define KEY_SIZE PD_KV_MEMBER_KEY_SIZE
#define PURPOSE "pando gather 1"
#define SET_PURPOSE "pando cluster 1"
#define SECRET_PURPOSE "pando secret 1"

_Static_assert(PROOF_SIZE == PD_GATHER_SECRET_SIZE, "a secret is a hash");

enum verdict {
    BELIEVED = 0,
    WRONG_SECRET,
    WRONG_VERSION
};

enum side {
    QUESTION = 0,
    ANSWER
};

/* -- Sets -------------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, KEY_SIZE);
}

uint64_t pd_gather_set_id(const uint8_t (*keys)[KEY_SIZE], uint32_t count)
{
    uint8_t sorted[PD_GATHER_PLACES_MAX][KEY_SIZE];
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    pd_assert(count <= PD_GATHER_PLACES_MAX);
    memcpy(sorted, keys, (size_t)count * KEY_SIZE);
    qsort(sorted, count, KEY_SIZE, by_bytes);
    sha256_init(&context);
    sha256_update(&context, sizeof SET_PURPOSE, (const uint8_t *)SET_PURPOSE);
    sha256_update(&context, (size_t)count * KEY_SIZE, &sorted[0][0]);
    sha256_digest(&context, sizeof digest, digest);
    uint64_t id = 0;
    for (uint32_t i = 0; i < 8; i++) {
        id = id << 8 | digest[i];
    }
    return id == 0 ? 1 : id;
}

static bool is_founder(const struct pd_gather *gather)
{
    return gather->own_place < gather->founders;
}

static const uint8_t *key_at(const struct pd_gather *gather, uint32_t place)
{
    return place == gather->own_place       ? gather->key
           : gather->places[place].is_heard ? gather->places[place].key
                                            : NULL;
}

/* The set that this node sees at the founders' places. 0: not all of them, or not itself among
 * them, or one key at two places. */
static uint64_t seen_set(const struct pd_gather *gather)
{
    uint8_t keys[PD_GATHER_PLACES_MAX][KEY_SIZE];
    if (!is_founder(gather)) {
        return 0;
    }
    for (uint32_t i = 0; i < gather->founders; i++) {
        const uint8_t *key = key_at(gather, i);
        if (key == NULL) {
            return 0;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (memcmp(keys[j], key, KEY_SIZE) == 0) {
                return 0;
            }
        }
        memcpy(keys[i], key, KEY_SIZE);
    }
    return pd_gather_set_id((const uint8_t(*)[KEY_SIZE])keys, gather->founders);
}

/* -- Life -------------------------------------------------------------------------------------- */

void pd_gather_init(struct pd_gather *gather, struct pd_span secret, const struct pd_kv_member *own)
{
    struct sha256_ctx context;
    struct pd_kv_writer writer = {.bytes = gather->row, .bytes_max = sizeof gather->row};
    *gather = (struct pd_gather){.own_place = PD_GATHER_NOWHERE};
    sha256_init(&context);
    sha256_update(&context, sizeof SECRET_PURPOSE, (const uint8_t *)SECRET_PURPOSE);
    sha256_update(&context, secret.size, secret.bytes);
    sha256_digest(&context, sizeof gather->secret, gather->secret);
    memcpy(gather->key, own->key, sizeof gather->key);
    pd_kv_member_encode(&writer, own);
    pd_assert(!writer.is_full); /* its texts were looked at */
    gather->row_size = writer.size;
}

void pd_gather_look_for(struct pd_gather *gather, uint32_t place_count, uint32_t founders,
                        uint32_t own_place)
{
    pd_assert(place_count <= PD_GATHER_PLACES_MAX && founders <= place_count);
    gather->place_count = place_count;
    gather->founders = founders;
    gather->own_place = own_place;
}

void pd_gather_set_state(struct pd_gather *gather, enum pd_gather_state state, uint64_t set_id)
{
    pd_assert(state != PD_GATHER_FREE && set_id != 0);
    gather->state = state;
    gather->set_id = set_id;
}

/* -- Bytes ------------------------------------------------------------------------------------- */

static void prove(const struct pd_gather *gather, enum side side, const uint8_t *from,
                  const uint8_t *to, struct pd_span message, uint8_t proof[PROOF_SIZE])
{
    struct hmac_sha256_ctx context;
    uint8_t which = (uint8_t)side;
    hmac_sha256_set_key(&context, sizeof gather->secret, gather->secret);
    hmac_sha256_update(&context, sizeof PURPOSE, (const uint8_t *)PURPOSE);
    hmac_sha256_update(&context, 1, &which);
    hmac_sha256_update(&context, KEY_SIZE, from);
    hmac_sha256_update(&context, KEY_SIZE, to);
    hmac_sha256_update(&context, message.size, message.bytes);
    hmac_sha256_digest(&context, PROOF_SIZE, proof);
}

/* Proof, and what this node says of itself. */
static void put_message(const struct pd_gather *gather, enum side side, const uint8_t *to,
                        struct pd_span ticket, struct pd_kv_writer *writer)
{
    uint8_t bytes[PD_GATHER_MESSAGE_MAX];
    uint8_t proof[PROOF_SIZE];
    struct pd_kv_writer message = {.bytes = bytes, .bytes_max = sizeof bytes};
    pd_kv_write_u64(&message, gather->state);
    pd_kv_write_u64(&message, gather->state == PD_GATHER_FREE ? seen_set(gather) : gather->set_id);
    pd_kv_write_u64(&message, gather->founders);
    pd_kv_write_span(&message, pd_kv_span(gather->row, gather->row_size));
    pd_kv_write_span(&message, ticket);
    prove(gather, side, gather->key, to, pd_kv_span(bytes, message.size), proof);
    writer->is_full = writer->is_full || message.is_full;
    pd_kv_write_raw(writer, proof, sizeof proof);
    pd_kv_write_raw(writer, bytes, message.size);
}

struct message {
    struct pd_gather_place said;
    struct pd_span ticket;
};

/* What follows the version and the verdict. */
static enum pd_status read_message(const struct pd_gather *gather, enum side side,
                                   const uint8_t *from, struct pd_kv_reader *reader,
                                   struct message *message_out)
{
    struct pd_gather_place *said = &message_out->said;
    uint8_t wanted[PROOF_SIZE];
    struct pd_kv_member member = {0};
    const uint8_t *proof = pd_kv_read_raw(reader, PROOF_SIZE);
    if (proof == NULL) {
        return PD_ERR_CORRUPT;
    }
    struct pd_span rest = {reader->bytes.bytes + reader->at, reader->bytes.size - reader->at};
    prove(gather, side, from, gather->key, rest, wanted);
    if (!memeql_sec(proof, wanted, sizeof wanted)) {
        return PD_ERR_DENIED;
    }
    *said = (struct pd_gather_place){.is_heard = true};
    said->state = (enum pd_gather_state)pd_kv_read_below(reader, PD_GATHER_MEMBER + 1);
    said->set_id = pd_kv_read_u64(reader);
    said->founders = pd_kv_read_below(reader, PD_GATHER_PLACES_MAX + 1);
    struct pd_span row = pd_kv_read_span(reader);
    message_out->ticket = pd_kv_read_span(reader);
    if (!pd_kv_read_is_whole(reader) || pd_kv_member_decode(row, &member) != PD_OK ||
        message_out->ticket.size >= PD_GATHER_TICKET_MAX) {
        return PD_ERR_CORRUPT;
    }
    memcpy(said->key, from, KEY_SIZE);
    memcpy(member.key, from, KEY_SIZE); /* that alone is proven */
    struct pd_kv_writer writer = {.bytes = said->row, .bytes_max = sizeof said->row};
    pd_kv_member_encode(&writer, &member);
    pd_assert(!writer.is_full);
    said->row_size = writer.size;
    return PD_OK;
}

void pd_gather_put_question(const struct pd_gather *gather, const uint8_t *to,
                            struct pd_kv_writer *writer)
{
    pd_kv_write_u8(writer, VERSION);
    put_message(gather, QUESTION, to, pd_kv_span(NULL, 0), writer);
}

enum pd_status pd_gather_read_question(const struct pd_gather *gather, const uint8_t *from,
                                       struct pd_span bytes, bool *is_free_out)
{
    struct pd_kv_reader reader;
    struct message message;
    pd_kv_reader_init(&reader, bytes);
    const uint8_t *version = pd_kv_read_raw(&reader, 1);
    *is_free_out = false;
    if (version == NULL || *version != VERSION) {
        return PD_ERR_CORRUPT;
    }
    enum pd_status status = read_message(gather, QUESTION, from, &reader, &message);
    *is_free_out = status == PD_OK && message.said.state == PD_GATHER_FREE;
    return status;
}

void pd_gather_put_answer(const struct pd_gather *gather, const uint8_t *to, enum pd_status status,
                          struct pd_span ticket, struct pd_kv_writer *writer)
{
    pd_kv_write_u8(writer, VERSION);
    pd_kv_write_u8(writer, status == PD_OK           ? BELIEVED
                           : status == PD_ERR_DENIED ? WRONG_SECRET
                                                     : WRONG_VERSION);
    if (status == PD_OK) {
        put_message(gather, ANSWER, to, ticket, writer);
    }
}

enum pd_status pd_gather_hear(struct pd_gather *gather, uint32_t place, const uint8_t *from,
                              struct pd_span bytes)
{
    struct pd_kv_reader reader;
    struct message message;
    pd_assert(place < gather->place_count && place != gather->own_place);
    pd_kv_reader_init(&reader, bytes);
    const uint8_t *head = pd_kv_read_raw(&reader, 2);
    if (head == NULL || head[0] != VERSION || head[1] == WRONG_VERSION) {
        return PD_ERR_CORRUPT;
    }
    struct pd_gather_place *known = &gather->places[place];
    enum pd_status status =
        head[1] == BELIEVED ? read_message(gather, ANSWER, from, &reader, &message) : PD_ERR_DENIED;
    if (status == PD_OK) {
        *known = message.said;
        if (known->state == PD_GATHER_MEMBER && message.ticket.size > 0 && !gather->has_ticket) {
            memcpy(gather->ticket, message.ticket.bytes, message.ticket.size);
            gather->ticket[message.ticket.size] = '\0';
            gather->has_ticket = true;
        }
    } else if (status == PD_ERR_DENIED) {
        known->is_refused = true;
    }
    return status;
}

/* -- What follows ------------------------------------------------------------------------------ */

static void say(char *text, const char *format, ...) PD_PRINTF(2, 3);

static void say(char *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, PD_GATHER_TEXT_MAX, format, arguments);
    va_end(arguments);
}

static const struct pd_gather_place *place_at(const struct pd_gather *gather, uint32_t at)
{
    return at != gather->own_place && gather->places[at].is_heard ? &gather->places[at] : NULL;
}

/* One cluster, of which somebody told. 0: nobody; *is_one_out false: there are two. */
static uint64_t find_cluster(const struct pd_gather *gather, bool *is_one_out)
{
    uint64_t cluster = 0;
    *is_one_out = true;
    for (uint32_t i = 0; i < gather->place_count; i++) {
        const struct pd_gather_place *place = place_at(gather, i);
        if (place != NULL && place->state == PD_GATHER_MEMBER) {
            *is_one_out = *is_one_out && (cluster == 0 || cluster == place->set_id);
            cluster = place->set_id;
        }
    }
    return cluster;
}

/* More than half of all places do not believe this node: it is the one with the wrong secret. */
static bool is_refused(const struct pd_gather *gather)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < gather->place_count; i++) {
        count += gather->places[i].is_refused && i != gather->own_place;
    }
    return 2 * count > gather->place_count;
}

static enum pd_gather_next next_of_agreed(const struct pd_gather *gather, char *text)
{
    uint64_t seen = seen_set(gather);
    uint32_t agreed = 1; /* this node */
    for (uint32_t i = 0; i < gather->founders; i++) {
        const struct pd_gather_place *place = place_at(gather, i);
        agreed +=
            place != NULL && place->state == PD_GATHER_AGREED && place->set_id == gather->set_id;
    }
    if (seen != 0 && seen != gather->set_id) {
        say(text, "the nodes had agreed who begins the cluster, and one of them is another node "
                  "now: was its folder emptied, or its address given away? Nothing was stored yet: "
                  "stop all first members, empty their folders, and start them again");
        return PD_GATHER_STUCK;
    }
    say(text, "%" PRIu32 " of %" PRIu32 " first members have agreed to begin", agreed,
        gather->founders);
    return agreed == gather->founders && seen == gather->set_id ? PD_GATHER_BEGIN : PD_GATHER_WAIT;
}

static enum pd_gather_next next_of_free(const struct pd_gather *gather, char *text)
{
    uint64_t seen = seen_set(gather);
    uint32_t heard = is_founder(gather);
    uint32_t same = is_founder(gather);
    for (uint32_t i = 0; i < gather->founders; i++) {
        const struct pd_gather_place *place = place_at(gather, i);
        heard += place != NULL;
        same += place != NULL && seen != 0 && place->set_id == seen;
        if (place != NULL && place->founders != gather->founders) {
            say(text,
                "a node expects %" PRIu32 " first members, and this one %" PRIu32
                ": give all of them the same file",
                place->founders, gather->founders);
            return PD_GATHER_WAIT;
        }
    }
    if (same == gather->founders && seen != 0) {
        return PD_GATHER_AGREE;
    }
    if (!is_founder(gather)) {
        say(text,
            "this node is none of the first members, and waits until they have begun: "
            "%" PRIu32 " of %" PRIu32 " are there",
            heard, gather->founders);
    } else if (heard < gather->founders) {
        say(text, "%" PRIu32 " of %" PRIu32 " first members are there", heard, gather->founders);
    } else if (seen == 0) {
        say(text, "the same node answers at two of the addresses: name each node once");
    } else {
        say(text, "%" PRIu32 " of %" PRIu32 " first members see each other", same,
            gather->founders);
    }
    return PD_GATHER_WAIT;
}

enum pd_gather_next pd_gather_next(const struct pd_gather *gather, char text[PD_GATHER_TEXT_MAX])
{
    bool is_one = true;
    uint64_t cluster = find_cluster(gather, &is_one);
    text[0] = '\0';
    if (is_refused(gather)) {
        say(text, "the secret of this node is not the others': compare the files that secret_file "
                  "names");
        return PD_GATHER_STUCK;
    }
    if (!is_one) {
        say(text, "the nodes are of two clusters already: this node cannot tell which one is "
                  "meant. Leave one of them out, or join by a ticket");
        return PD_GATHER_STUCK;
    }
    if (gather->state == PD_GATHER_AGREED && cluster != 0) {
        if (cluster == gather->set_id) {
            return PD_GATHER_BEGIN; /* who has begun knew that all had agreed */
        }
        say(text,
            "this node had agreed to begin a cluster, and others are in cluster %016" PRIx64
            " by now. It has stored nothing: empty its folder, and it joins them",
            cluster);
        return PD_GATHER_STUCK;
    }
    if (gather->state == PD_GATHER_FREE && cluster != 0 && gather->has_ticket) {
        return PD_GATHER_JOIN;
    }
    return gather->state == PD_GATHER_AGREED ? next_of_agreed(gather, text)
                                             : next_of_free(gather, text);
}

static int by_node(const void *a, const void *b)
{
    uint64_t left = ((const struct pd_kv_member *)a)->node;
    uint64_t right = ((const struct pd_kv_member *)b)->node;
    return left < right ? -1 : left > right;
}

void pd_gather_put_set(const struct pd_gather *gather, struct pd_members_file *file)
{
    *file = (struct pd_members_file){.cluster_id = seen_set(gather), .count = gather->founders};
    pd_assert(file->cluster_id != 0);
    for (uint32_t i = 0; i < gather->founders; i++) {
        const struct pd_gather_place *place = place_at(gather, i);
        struct pd_span row = place == NULL ? pd_kv_span(gather->row, gather->row_size)
                                           : pd_kv_span(place->row, place->row_size);
        enum pd_status status = pd_kv_member_decode(row, &file->members[i]);
        pd_assert(status == PD_OK); /* it was encoded here */
        file->members[i].role = PD_KV_MEMBER_VOTER;
        file->members[i].node = pd_members_node_of(file->members[i].key);
    }
    qsort(file->members, file->count, sizeof file->members[0], by_node);
}
