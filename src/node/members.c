#include "node/members.h"

#include <nettle/sha2.h>

#include "kv/codec.h"

uint64_t pd_members_node_of(const uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&context);
    sha256_update(&context, PD_KV_MEMBER_KEY_SIZE, key);
    sha256_digest(&context, sizeof digest, digest);
    uint64_t node = 0;
    for (uint32_t i = 0; i < 8; i++) {
        node = node << 8 | digest[i];
    }
    node &= INT64_MAX; /* it is a number of JSON's and of the command line's, too */
    return node == 0 ? 1 : node;
}

void pd_members_put(struct pd_kv_writer *writer, enum pd_members_standing standing, uint64_t node,
                    const struct pd_kv_member *member)
{
    pd_kv_write_u8(writer, 1);
    pd_kv_write_u64(writer, standing);
    pd_kv_write_u64(writer, node);
    if (member == NULL) {
        pd_kv_write_u64(writer, 0);
        return;
    }
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer inner = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_member_encode(&inner, member);
    writer->is_full = writer->is_full || inner.is_full;
    pd_kv_write_span(writer, pd_kv_span(room, inner.size));
}

void pd_members_put_end(struct pd_kv_writer *writer)
{
    pd_kv_write_u8(writer, 0);
}

bool pd_members_next(struct pd_kv_reader *reader, struct pd_members_item *item_out)
{
    *item_out = (struct pd_members_item){0};
    const uint8_t *mark = pd_kv_read_raw(reader, 1);
    if (mark == NULL || *mark == 0) {
        return false;
    }
    struct pd_kv_member *member = &item_out->member;
    item_out->standing = (enum pd_members_standing)pd_kv_read_below(reader, PD_MEMBERS_VOTER + 1);
    member->node = pd_kv_read_u64(reader);
    struct pd_span bytes = pd_kv_read_span(reader);
    item_out->is_listed = bytes.size > 0;
    reader->is_bad = reader->is_bad || *mark != 1 ||
                     (item_out->is_listed && pd_kv_member_decode(bytes, member) != PD_OK);
    return !reader->is_bad;
}

/* Whether the list has a member with this key; of workers only if they are wanted. */
static bool lists(struct pd_span list, const uint8_t key[PD_KV_MEMBER_KEY_SIZE], bool takes_workers)
{
    struct pd_kv_reader reader;
    struct pd_members_item item;
    bool is_member = false;
    pd_kv_reader_init(&reader, list);
    while (pd_members_next(&reader, &item)) {
        bool is_meant = takes_workers || item.member.role != PD_KV_MEMBER_WORKER;
        is_member = is_member || (item.is_listed && is_meant &&
                                  memcmp(item.member.key, key, PD_KV_MEMBER_KEY_SIZE) == 0);
    }
    return is_member;
}

bool pd_members_lists_key(struct pd_span list, const uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    return lists(list, key, true);
}

bool pd_members_may_sign(struct pd_span list, const uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    return lists(list, key, false);
}
