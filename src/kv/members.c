/* The directory of members: who may speak for the cluster, by which key, and where it listens.
 *
 * A node that was removed leaves its id behind, so that nobody comes back under it; of those the
 * ones that were removed first are forgotten when they are too many. Its row then holds nothing but
 * the index at which it went. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/internal.h"

/* The place of `node`, or where it would stand. */
static uint32_t place_of(const struct pd_kv_members *members, uint64_t node)
{
    uint32_t low = 0;
    uint32_t high = members->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (members->rows[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct pd_kv_member_row *find(const struct pd_kv_members *members, uint64_t node)
{
    uint32_t at = place_of(members, node);
    return at < members->count && members->rows[at].node == node ? &members->rows[at] : NULL;
}

bool pd_kv_members_init(struct pd_kv_members *members)
{
    /* One more than may be held, while the oldest of the removed ones goes. */
    members->rows =
        pd_alloc_zeroed(PD_KV_MEMBERS_MAX + PD_KV_MEMBERS_REMOVED_MAX + 1, sizeof *members->rows);
    return members->rows != NULL;
}

static void forget(struct pd_kv_members *members, struct pd_kv_member_row *row)
{
    uint32_t at = (uint32_t)(row - members->rows);
    if (row->removed_index == 0) {
        members->live--;
    }
    pd_free(row->bytes);
    members->count--;
    memmove(row, row + 1, (members->count - at) * sizeof *row);
    members->version++;
}

void pd_kv_members_clear(struct pd_kv_members *members)
{
    while (members->count > 0) {
        forget(members, &members->rows[members->count - 1]);
    }
}

void pd_kv_members_deinit(struct pd_kv_members *members)
{
    pd_kv_members_clear(members);
    pd_free(members->rows);
}

static struct pd_kv_member_row *insert(struct pd_kv_members *members, uint64_t node)
{
    uint32_t at = place_of(members, node);
    memmove(&members->rows[at + 1], &members->rows[at],
            (members->count - at) * sizeof members->rows[0]);
    members->count++;
    members->rows[at] = (struct pd_kv_member_row){.node = node};
    return &members->rows[at];
}

/* `row` becomes live with these bytes. */
static void fill(struct pd_kv_members *members, struct pd_kv_member_row *row, struct pd_span bytes)
{
    uint8_t *room = pd_realloc(row->bytes, bytes.size);
    if (room == NULL) {
        /* A member that one replica forgets would be refused by it alone. */
        pd_fatal("no memory for a member of %zu bytes: give the node more memory", bytes.size);
    }
    memcpy(room, bytes.bytes, bytes.size);
    row->bytes = room;
    row->size = (uint32_t)bytes.size;
    members->version++;
}

static struct pd_span bytes_of(const struct pd_kv_member_row *row)
{
    return pd_kv_span(row->bytes, row->size);
}

struct pd_kv_hash pd_kv_member_hash(const struct pd_kv_member_row *row)
{
    uint64_t parts[2] = {row->node, row->removed_index};
    struct pd_kv_hash hash = pd_kv_bytes_hash(pd_kv_span("member", 6), bytes_of(row));
    pd_kv_hash_add(&hash, pd_kv_bytes_hash(pd_kv_span(parts, sizeof parts), bytes_of(row)));
    return hash;
}

/* -- Commands ---------------------------------------------------------------------------------- */

static bool holds_key(const struct pd_kv_members *members, const struct pd_kv_member *wanted)
{
    for (uint32_t i = 0; i < members->count; i++) {
        struct pd_kv_member member = {0};
        if (members->rows[i].removed_index == 0 && members->rows[i].node != wanted->node &&
            pd_kv_member_decode(bytes_of(&members->rows[i]), &member) == PD_OK &&
            memcmp(member.key, wanted->key, sizeof member.key) == 0) {
            return true;
        }
    }
    return false;
}

/* Why `wanted` may not be written. */
static enum pd_kv_error judge(const struct pd_kv_members *members,
                              const struct pd_kv_member *wanted)
{
    const struct pd_kv_member_row *row = find(members, wanted->node);
    if (row != NULL && row->removed_index != 0) {
        return PD_KV_ERR_MEMBER_REMOVED;
    }
    if (row == NULL && members->live == PD_KV_MEMBERS_MAX) {
        return PD_KV_ERR_MEMBERS_FULL;
    }
    struct pd_kv_member before = {0};
    bool is_same = row == NULL || (pd_kv_member_decode(bytes_of(row), &before) == PD_OK &&
                                   memcmp(before.key, wanted->key, sizeof before.key) == 0);
    return is_same && !holds_key(members, wanted) ? PD_KV_OK : PD_KV_ERR_MEMBER_KEY;
}

static struct pd_span encode(const struct pd_kv_member *member,
                             uint8_t room[PD_KV_MEMBER_BYTES_MAX])
{
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = PD_KV_MEMBER_BYTES_MAX};
    pd_kv_member_encode(&writer, member);
    pd_assert(!writer.is_full);
    return pd_kv_span(room, writer.size);
}

/* What a member told of its program stays when it moves, or has another name. */
static struct pd_span keep_told(const struct pd_kv_member_row *row, struct pd_kv_member *wanted,
                                uint8_t before[PD_KV_MEMBER_BYTES_MAX],
                                uint8_t room[PD_KV_MEMBER_BYTES_MAX])
{
    struct pd_kv_member told = {0};
    memcpy(before, row->bytes, row->size); /* the row's bytes are replaced */
    enum pd_status status = pd_kv_member_decode(pd_kv_span(before, row->size), &told);
    pd_assert(status == PD_OK); /* it was when it was put */
    wanted->version = told.version;
    wanted->program = told.program;
    return encode(wanted, room);
}

enum pd_kv_error pd_kv_members_put(struct pd_kv *kv, uint64_t node, struct pd_span bytes)
{
    struct pd_kv_members *members = &kv->members;
    struct pd_kv_member wanted = {.node = node};
    if (node == 0 || pd_kv_member_decode(bytes, &wanted) != PD_OK) {
        return PD_KV_ERR_INVALID;
    }
    enum pd_kv_error error = judge(members, &wanted);
    if (error != PD_KV_OK) {
        return error;
    }
    struct pd_kv_member_row *row = find(members, node);
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    uint8_t before[PD_KV_MEMBER_BYTES_MAX];
    if (row != NULL) {
        bytes = keep_told(row, &wanted, before, room);
        pd_kv_hash_subtract(&kv->apply.next.tables_hash, pd_kv_member_hash(row));
    } else {
        row = insert(members, node);
        members->live++;
    }
    fill(members, row, bytes);
    pd_kv_hash_add(&kv->apply.next.tables_hash, pd_kv_member_hash(row));
    kv->apply.member_row = node;
    return PD_KV_OK;
}

enum pd_kv_error pd_kv_members_tell(struct pd_kv *kv, uint64_t node, uint32_t version,
                                    struct pd_span program)
{
    struct pd_kv_member_row *row = find(&kv->members, node);
    struct pd_kv_member member = {.node = node};
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    if (row == NULL) {
        return PD_KV_ERR_MEMBER_NOT_FOUND;
    }
    if (row->removed_index != 0) {
        return PD_KV_ERR_MEMBER_REMOVED;
    }
    enum pd_status status = pd_kv_member_decode(bytes_of(row), &member);
    pd_assert(status == PD_OK); /* it was when it was put */
    member.version = version;
    member.program = program;
    struct pd_span told = encode(&member, room);
    pd_kv_hash_subtract(&kv->apply.next.tables_hash, pd_kv_member_hash(row));
    fill(&kv->members, row, told);
    pd_kv_hash_add(&kv->apply.next.tables_hash, pd_kv_member_hash(row));
    kv->apply.member_row = node;
    return PD_KV_OK;
}

static struct pd_kv_member_row *oldest_removed(struct pd_kv_members *members)
{
    struct pd_kv_member_row *oldest = NULL;
    for (uint32_t i = 0; i < members->count; i++) {
        struct pd_kv_member_row *row = &members->rows[i];
        if (row->removed_index != 0 &&
            (oldest == NULL || row->removed_index < oldest->removed_index)) {
            oldest = row;
        }
    }
    return oldest;
}

enum pd_kv_error pd_kv_members_remove(struct pd_kv *kv, uint64_t node)
{
    struct pd_kv_members *members = &kv->members;
    struct pd_kv_hash *hash = &kv->apply.next.tables_hash;
    struct pd_kv_member_row *row = find(members, node);
    if (row == NULL) {
        return PD_KV_ERR_MEMBER_NOT_FOUND;
    }
    if (row->removed_index != 0) {
        return PD_KV_OK; /* asked for again: it is gone */
    }
    pd_kv_hash_subtract(hash, pd_kv_member_hash(row));
    pd_free(row->bytes);
    *row = (struct pd_kv_member_row){.node = node, .removed_index = kv->apply.index};
    members->live--;
    members->version++;
    pd_kv_hash_add(hash, pd_kv_member_hash(row));
    kv->apply.member_row = node;
    if (members->count - members->live > PD_KV_MEMBERS_REMOVED_MAX) {
        struct pd_kv_member_row *oldest = oldest_removed(members);
        pd_kv_hash_subtract(hash, pd_kv_member_hash(oldest));
        kv->apply.member_row_gone = oldest->node;
        forget(members, oldest);
    }
    return PD_KV_OK;
}

/* -- Rows -------------------------------------------------------------------------------------- */

size_t pd_kv_member_row_value(const struct pd_kv *kv, uint64_t node,
                              uint8_t room[PD_KV_MEMBER_ROW_MAX])
{
    const struct pd_kv_member_row *row = find(&kv->members, node);
    if (row == NULL) {
        return 0;
    }
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = PD_KV_MEMBER_ROW_MAX};
    pd_kv_write_u64(&writer, row->removed_index);
    pd_kv_write_raw(&writer, row->bytes, row->size);
    pd_assert(!writer.is_full);
    return writer.size;
}

bool pd_kv_members_load(struct pd_kv *kv, struct pd_span key, struct pd_span value)
{
    struct pd_kv_members *members = &kv->members;
    struct pd_kv_reader reader;
    if (key.size != 9) {
        return false;
    }
    pd_kv_reader_init(&reader, value);
    struct pd_kv_member member = {.node = pd_kv_get_be64(key.bytes + 1)};
    uint64_t removed_index = pd_kv_read_u64(&reader);
    struct pd_span bytes = pd_kv_span(value.bytes + reader.at, value.size - reader.at);
    bool is_live = removed_index == 0;
    bool is_good =
        !reader.is_bad && member.node != 0 && find(members, member.node) == NULL &&
        bytes.size <= PD_KV_MEMBER_BYTES_MAX &&
        (is_live ? members->live < PD_KV_MEMBERS_MAX && pd_kv_member_decode(bytes, &member) == PD_OK
                 : bytes.size == 0 && members->count - members->live < PD_KV_MEMBERS_REMOVED_MAX);
    if (!is_good) {
        return false;
    }
    struct pd_kv_member_row *row = insert(members, member.node);
    row->removed_index = removed_index;
    if (is_live) {
        members->live++;
        fill(members, row, bytes);
    }
    return true;
}

/* -- Looking ----------------------------------------------------------------------------------- */

uint64_t pd_kv_members_version(const struct pd_kv *kv)
{
    return kv->members.version;
}

bool pd_kv_members_may_have_forgotten(const struct pd_kv *kv)
{
    return kv->members.count - kv->members.live >= PD_KV_MEMBERS_REMOVED_MAX;
}

enum pd_kv_member_standing pd_kv_member_find(const struct pd_kv *kv, uint64_t node,
                                             struct pd_kv_member *member_out)
{
    const struct pd_kv_member_row *row = find(&kv->members, node);
    *member_out = (struct pd_kv_member){.node = node};
    if (row == NULL) {
        return PD_KV_MEMBER_UNKNOWN;
    }
    if (row->removed_index != 0) {
        return PD_KV_MEMBER_REMOVED;
    }
    enum pd_status status = pd_kv_member_decode(bytes_of(row), member_out);
    pd_assert(status == PD_OK); /* it was when it was put */
    return PD_KV_MEMBER_LIVE;
}

bool pd_kv_member_next(const struct pd_kv *kv, uint64_t after, struct pd_kv_member *member_out)
{
    const struct pd_kv_members *members = &kv->members;
    uint32_t at = after == UINT64_MAX ? members->count : place_of(members, after + 1);
    while (at < members->count && members->rows[at].removed_index != 0) {
        at++;
    }
    return at < members->count &&
           pd_kv_member_find(kv, members->rows[at].node, member_out) == PD_KV_MEMBER_LIVE;
}

uint64_t pd_kv_member_named(const struct pd_kv *kv, struct pd_span name, uint64_t but)
{
    struct pd_kv_member member = {0};
    while (name.size > 0 && pd_kv_member_next(kv, member.node, &member)) {
        if (member.node != but && member.name.size == name.size &&
            memcmp(member.name.bytes, name.bytes, name.size) == 0) {
            return member.node;
        }
    }
    return 0;
}

uint64_t pd_kv_member_next_removed(const struct pd_kv *kv, uint64_t after)
{
    const struct pd_kv_members *members = &kv->members;
    uint32_t at = after == UINT64_MAX ? members->count : place_of(members, after + 1);
    while (at < members->count && members->rows[at].removed_index == 0) {
        at++;
    }
    return at < members->count ? members->rows[at].node : 0;
}
