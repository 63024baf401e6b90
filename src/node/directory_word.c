#include "node/directory_word.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/codec.h"

#define TAG_ABOVE 1u
#define TAG_INDEX 2u
#define TAG_MEMBER 3u  /* the node, then its row (kv/member.h) */
#define TAG_REMOVED 4u /* the node */

_Static_assert(1 + 2 + PD_VARINT_SIZE_MAX + PD_KV_MEMBER_BYTES_MAX <= PD_KV_MEMBER_BYTES_MAX + 16u,
               "the field of the largest member fits");
_Static_assert(1 + 1 + PD_VARINT_SIZE_MAX <= 12u, "so does a removed node's, and a question");

/* -- Writing ----------------------------------------------------------------------------------- */

static void put_field(struct pd_kv_writer *writer, uint32_t tag, const struct pd_kv_writer *field)
{
    pd_assert(!field->is_full);
    pd_kv_write_u64(writer, tag);
    pd_kv_write_span(writer, pd_kv_span(field->bytes, field->size));
}

static void put_number(struct pd_kv_writer *writer, uint32_t tag, uint64_t number)
{
    uint8_t room[PD_VARINT_SIZE_MAX];
    struct pd_kv_writer field = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_write_u64(&field, number);
    put_field(writer, tag, &field);
}

static void put_member(struct pd_kv_writer *writer, const struct pd_kv_member *member)
{
    uint8_t room[PD_VARINT_SIZE_MAX + PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer field = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member row = *member;
    row.version = 0; /* it changes often, and is nothing that a dialer needs */
    row.program = pd_kv_span(NULL, 0);
    pd_kv_write_u64(&field, row.node);
    pd_kv_member_encode(&field, &row);
    put_field(writer, TAG_MEMBER, &field);
}

void pd_directory_question_put(struct pd_kv_writer *writer, uint64_t above)
{
    put_number(writer, TAG_ABOVE, above);
}

void pd_directory_word_put(struct pd_kv_writer *writer, const struct pd_kv *kv)
{
    struct pd_kv_member member = {0};
    uint64_t index = pd_kv_applied_index(kv);
    pd_assert(index > 0);
    put_number(writer, TAG_INDEX, index);
    while (pd_kv_member_next(kv, member.node, &member)) {
        if (member.role != PD_KV_MEMBER_WORKER) {
            put_member(writer, &member);
        }
    }
    uint64_t node = 0;
    while ((node = pd_kv_member_next_removed(kv, node)) != 0) {
        put_number(writer, TAG_REMOVED, node);
    }
}

/* -- Reading ----------------------------------------------------------------------------------- */

static uint64_t read_field(struct pd_kv_reader *reader, struct pd_kv_reader *field_out)
{
    uint64_t tag = pd_kv_read_u64(reader);
    pd_kv_reader_init(field_out, pd_kv_read_span(reader));
    return tag;
}

static uint64_t read_number(struct pd_kv_reader *reader, struct pd_kv_reader *field)
{
    uint64_t number = pd_kv_read_u64(field);
    reader->is_bad = reader->is_bad || !pd_kv_read_is_whole(field);
    return number;
}

bool pd_directory_question_get(struct pd_span bytes, uint64_t *above_out)
{
    struct pd_kv_reader reader;
    bool asks = false;
    *above_out = 0;
    pd_kv_reader_init(&reader, bytes);
    while (!pd_kv_read_is_whole(&reader) && !reader.is_bad) {
        struct pd_kv_reader field;
        if (read_field(&reader, &field) == TAG_ABOVE && !reader.is_bad) {
            *above_out = read_number(&reader, &field);
            asks = true;
        }
    }
    return asks && !reader.is_bad;
}

/* By node id, each once. */
static void read_member(struct pd_directory_word *word, struct pd_kv_reader *reader,
                        struct pd_kv_reader *field, uint64_t (*node_of)(const uint8_t *key))
{
    struct pd_kv_member member = {.node = pd_kv_read_u64(field)};
    uint64_t last = word->member_count == 0 ? 0 : word->members[word->member_count - 1].node;
    if (field->is_bad || member.node <= last || word->member_count == PD_KV_MEMBERS_MAX ||
        pd_kv_member_decode(
            pd_kv_span(field->bytes.bytes + field->at, field->bytes.size - field->at), &member) !=
            PD_OK ||
        node_of(member.key) != member.node || member.role == PD_KV_MEMBER_WORKER) {
        reader->is_bad = true;
        return;
    }
    word->members[word->member_count++] = member;
}

static void read_removed(struct pd_directory_word *word, struct pd_kv_reader *reader,
                         struct pd_kv_reader *field)
{
    uint64_t node = read_number(reader, field);
    uint64_t last = word->removed_count == 0 ? 0 : word->removed[word->removed_count - 1];
    if (reader->is_bad || node <= last || word->removed_count == PD_KV_MEMBERS_REMOVED_MAX) {
        reader->is_bad = true;
        return;
    }
    word->removed[word->removed_count++] = node;
}

static bool is_removed(const struct pd_directory_word *word, uint64_t node)
{
    for (uint32_t i = 0; i < word->removed_count; i++) {
        if (word->removed[i] == node) {
            return true;
        }
    }
    return false;
}

static bool is_sound(const struct pd_directory_word *word)
{
    for (uint32_t i = 0; i < word->member_count; i++) {
        if (is_removed(word, word->members[i].node)) {
            return false;
        }
    }
    return word->index > 0;
}

static enum pd_status decode(struct pd_span bytes, uint64_t (*node_of)(const uint8_t *key),
                             struct pd_directory_word *word)
{
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, bytes);
    while (!pd_kv_read_is_whole(&reader) && !reader.is_bad) {
        struct pd_kv_reader field;
        uint64_t tag = read_field(&reader, &field);
        if (reader.is_bad) {
            break;
        }
        if (tag == TAG_INDEX) {
            word->index = read_number(&reader, &field);
        } else if (tag == TAG_MEMBER) {
            read_member(word, &reader, &field, node_of);
        } else if (tag == TAG_REMOVED) {
            read_removed(word, &reader, &field);
        }
    }
    return reader.is_bad || !is_sound(word) ? PD_ERR_CORRUPT : PD_OK;
}

enum pd_status pd_directory_word_open(struct pd_span bytes, uint64_t (*node_of)(const uint8_t *key),
                                      struct pd_directory_word **word_out)
{
    /* A later version may have more fields; not that many. */
    if (bytes.size == 0 || bytes.size > 2 * PD_DIRECTORY_WORD_SIZE_MAX) {
        return PD_ERR_CORRUPT;
    }
    struct pd_directory_word *word = pd_alloc_zeroed(1, sizeof *word + bytes.size);
    if (word == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    memcpy(word->bytes, bytes.bytes, bytes.size);
    enum pd_status status = decode(pd_kv_span(word->bytes, bytes.size), node_of, word);
    if (status != PD_OK) {
        pd_free(word);
        return status;
    }
    *word_out = word;
    return PD_OK;
}

void pd_directory_word_close(struct pd_directory_word *word)
{
    pd_free(word);
}

/* -- What it says ------------------------------------------------------------------------------ */

enum pd_kv_member_standing pd_directory_word_standing(const struct pd_directory_word *word,
                                                      uint64_t node)
{
    for (uint32_t i = 0; i < word->member_count; i++) {
        if (word->members[i].node == node) {
            return PD_KV_MEMBER_LIVE;
        }
    }
    return is_removed(word, node) ? PD_KV_MEMBER_REMOVED : PD_KV_MEMBER_UNKNOWN;
}

bool pd_directory_word_may_have_forgotten(const struct pd_directory_word *word)
{
    return word->removed_count == PD_KV_MEMBERS_REMOVED_MAX;
}
