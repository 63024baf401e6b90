#include "kv/member.h"

#include "kv/codec.h"

#define VERSION 1u
#define VERSION_TOLD 2u /* its limit and its program follow */

_Static_assert(1 + PD_KV_MEMBER_KEY_SIZE + 1 + (1 + PD_KV_MEMBER_NAME_MAX) +
                       2 * (1 + PD_KV_MEMBER_ADDRESSES_MAX * (1 + PD_KV_MEMBER_ADDRESS_MAX)) + 5 +
                       (1 + PD_KV_MEMBER_PROGRAM_MAX) <=
                   PD_KV_MEMBER_BYTES_MAX,
               "the largest member fits");

static void write_texts(struct pd_kv_writer *writer, const struct pd_span *texts, uint32_t count)
{
    pd_kv_write_u64(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pd_kv_write_span(writer, texts[i]);
    }
}

void pd_kv_member_encode(struct pd_kv_writer *writer, const struct pd_kv_member *member)
{
    pd_kv_write_u8(writer, member->version == 0 ? VERSION : VERSION_TOLD);
    pd_kv_write_raw(writer, member->key, sizeof member->key);
    pd_kv_write_u64(writer, member->role);
    pd_kv_write_span(writer, member->name);
    write_texts(writer, member->peers, member->peer_count);
    write_texts(writer, member->clients, member->client_count);
    if (member->version != 0) {
        pd_kv_write_u64(writer, member->version);
        pd_kv_write_span(writer, member->program);
    }
}

static bool is_text(struct pd_span text, size_t size_max)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.bytes[i] <= ' ' || text.bytes[i] > '~') {
            return false;
        }
    }
    return text.size <= size_max;
}

static struct pd_span read_text(struct pd_kv_reader *reader, size_t size_max)
{
    struct pd_span text = pd_kv_read_span(reader);
    reader->is_bad = reader->is_bad || !is_text(text, size_max);
    return text;
}

static uint32_t read_texts(struct pd_kv_reader *reader, struct pd_span *texts)
{
    uint32_t count = pd_kv_read_below(reader, PD_KV_MEMBER_ADDRESSES_MAX + 1);
    for (uint32_t i = 0; i < count; i++) {
        texts[i] = read_text(reader, PD_KV_MEMBER_ADDRESS_MAX);
        reader->is_bad = reader->is_bad || texts[i].size == 0;
    }
    return count;
}

static void read_told(struct pd_kv_reader *reader, struct pd_kv_member *member)
{
    member->version = pd_kv_read_below(reader, UINT32_MAX);
    member->program = read_text(reader, PD_KV_MEMBER_PROGRAM_MAX);
    reader->is_bad = reader->is_bad || member->version == 0 || member->program.size == 0;
}

bool pd_kv_member_program_is_sound(struct pd_span program)
{
    return program.size > 0 && is_text(program, PD_KV_MEMBER_PROGRAM_MAX);
}

enum pd_status pd_kv_member_decode(struct pd_span bytes, struct pd_kv_member *member_out)
{
    struct pd_kv_reader reader;
    struct pd_kv_member member = {.node = member_out->node};
    pd_kv_reader_init(&reader, bytes);
    const uint8_t *version = pd_kv_read_raw(&reader, 1);
    const uint8_t *key = pd_kv_read_raw(&reader, sizeof member.key);
    if (version == NULL || (*version != VERSION && *version != VERSION_TOLD) || key == NULL) {
        return PD_ERR_CORRUPT;
    }
    memcpy(member.key, key, sizeof member.key);
    member.role = (enum pd_kv_member_role)pd_kv_read_below(&reader, PD_KV_MEMBER_WORKER + 1);
    member.name = read_text(&reader, PD_KV_MEMBER_NAME_MAX);
    member.peer_count = read_texts(&reader, member.peers);
    member.client_count = read_texts(&reader, member.clients);
    if (*version == VERSION_TOLD) {
        read_told(&reader, &member);
    }
    if (!pd_kv_read_is_whole(&reader)) {
        return PD_ERR_CORRUPT;
    }
    *member_out = member;
    return PD_OK;
}
