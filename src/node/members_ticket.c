#include "node/members_ticket.h"

#include <nettle/base64.h>
#include <string.h>

#include "kv/codec.h"
#include "node/members.h"

#define HEAD "pando1."
#define HEAD_SIZE (sizeof HEAD - 1)
#define PURPOSE "pando ticket 1"

_Static_assert(BASE64_ENCODE_RAW_LENGTH(PD_TICKET_BYTES_MAX) + HEAD_SIZE < PD_TICKET_TEXT_MAX,
               "the largest ticket has room as text");

static void put_member(struct pd_kv_writer *writer, const struct pd_kv_member *member)
{
    pd_kv_write_raw(writer, member->key, sizeof member->key);
    pd_kv_write_u64(writer, member->peer_count);
    for (uint32_t i = 0; i < member->peer_count; i++) {
        pd_kv_write_span(writer, member->peers[i]);
    }
}

enum pd_status pd_ticket_print(const struct pd_ticket *ticket, const struct pd_net_identity *signer,
                               char text[PD_TICKET_TEXT_MAX])
{
    uint8_t bytes[PD_TICKET_BYTES_MAX];
    uint8_t signature[PD_NET_SIGNATURE_SIZE];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes - sizeof signature};
    pd_kv_write_u64(&writer, ticket->cluster_id);
    pd_kv_write_u64(&writer, ticket->expires_s);
    pd_kv_write_u64(&writer, ticket->role);
    pd_kv_write_raw(&writer, signer->key, sizeof signer->key);
    pd_kv_write_u64(&writer, ticket->count);
    for (uint32_t i = 0; i < ticket->count; i++) {
        put_member(&writer, &ticket->members[i]);
    }
    if (writer.is_full) {
        return PD_ERR_RANGE;
    }
    enum pd_status status = pd_net_identity_sign(
        signer, PURPOSE, (struct pd_span){writer.bytes, writer.size}, signature);
    if (status != PD_OK) {
        return status;
    }
    memcpy(bytes + writer.size, signature, sizeof signature);
    struct base64_encode_ctx context;
    base64url_encode_init(&context);
    memcpy(text, HEAD, HEAD_SIZE);
    size_t size =
        base64_encode_update(&context, text + HEAD_SIZE, writer.size + sizeof signature, bytes);
    char tail[BASE64_ENCODE_FINAL_LENGTH];
    size_t tail_size = base64_encode_final(&context, tail);
    while (tail_size > 0 && tail[tail_size - 1] == '=') {
        tail_size--; /* padding says nothing */
    }
    memcpy(text + HEAD_SIZE + size, tail, tail_size);
    text[HEAD_SIZE + size + tail_size] = '\0';
    return PD_OK;
}

/* PD_ERR_CORRUPT: not that text. */
static enum pd_status decode(const char *text, uint8_t room[PD_TICKET_BYTES_MAX], size_t *size_out)
{
    text += strspn(text, " \t\r\n");
    size_t size = strcspn(text, " \t\r\n");
    char padded[PD_TICKET_TEXT_MAX + 3];
    if (size < HEAD_SIZE || size >= PD_TICKET_TEXT_MAX || strncmp(text, HEAD, HEAD_SIZE) != 0 ||
        text[size + strspn(text + size, " \t\r\n")] != '\0') {
        return PD_ERR_CORRUPT;
    }
    text += HEAD_SIZE;
    size -= HEAD_SIZE;
    memcpy(padded, text, size);
    while (size % 4 != 0) {
        padded[size++] = '=';
    }
    if (BASE64_DECODE_LENGTH(size) > PD_TICKET_BYTES_MAX) {
        return PD_ERR_CORRUPT;
    }
    struct base64_decode_ctx context;
    base64url_decode_init(&context);
    *size_out = PD_TICKET_BYTES_MAX;
    return base64_decode_update(&context, size_out, room, size, padded) == 1 &&
                   base64_decode_final(&context) == 1
               ? PD_OK
               : PD_ERR_CORRUPT;
}

static void read_member(struct pd_kv_reader *reader, struct pd_kv_member *member)
{
    const uint8_t *key = pd_kv_read_raw(reader, sizeof member->key);
    if (key != NULL) {
        memcpy(member->key, key, sizeof member->key);
        member->node = pd_members_node_of(member->key);
    }
    member->peer_count = pd_kv_read_below(reader, PD_KV_MEMBER_ADDRESSES_MAX + 1);
    for (uint32_t i = 0; i < member->peer_count; i++) {
        member->peers[i] = pd_kv_read_span(reader);
        reader->is_bad = reader->is_bad || member->peers[i].size == 0 ||
                         member->peers[i].size > PD_KV_MEMBER_ADDRESS_MAX;
    }
}

enum pd_status pd_ticket_parse(const char *text, uint8_t room[PD_TICKET_BYTES_MAX],
                               struct pd_ticket *ticket_out)
{
    size_t size = 0;
    enum pd_status status = decode(text, room, &size);
    if (status != PD_OK || size <= PD_NET_SIGNATURE_SIZE) {
        return PD_ERR_CORRUPT;
    }
    size -= PD_NET_SIGNATURE_SIZE;
    struct pd_span bytes = {room, size};
    struct pd_kv_reader reader;
    struct pd_ticket ticket = {0};
    pd_kv_reader_init(&reader, bytes);
    ticket.cluster_id = pd_kv_read_u64(&reader);
    ticket.expires_s = pd_kv_read_u64(&reader);
    ticket.role = (enum pd_kv_member_role)pd_kv_read_below(&reader, PD_KV_MEMBER_WORKER + 1);
    const uint8_t *signer = pd_kv_read_raw(&reader, sizeof ticket.signer);
    if (signer == NULL) {
        return PD_ERR_CORRUPT;
    }
    memcpy(ticket.signer, signer, sizeof ticket.signer);
    ticket.count = pd_kv_read_below(&reader, PD_TICKET_MEMBERS_MAX + 1);
    for (uint32_t i = 0; i < ticket.count; i++) {
        read_member(&reader, &ticket.members[i]);
    }
    if (!pd_kv_read_is_whole(&reader) || ticket.count == 0) {
        return PD_ERR_CORRUPT;
    }
    *ticket_out = ticket;
    return pd_net_key_verify(ticket.signer, PURPOSE, bytes, room + size);
}

const char *pd_ticket_judge(struct pd_span shown, uint64_t cluster_id, uint64_t now_s,
                            uint8_t room[PD_TICKET_BYTES_MAX], struct pd_ticket *ticket_out)
{
    char text[PD_TICKET_TEXT_MAX];
    if (shown.size == 0 || shown.size >= sizeof text ||
        memchr(shown.bytes, 0, shown.size) != NULL) {
        return "that is no ticket, or not a whole one";
    }
    memcpy(text, shown.bytes, shown.size);
    text[shown.size] = '\0';
    if (pd_ticket_parse(text, room, ticket_out) != PD_OK) {
        return "that is no ticket, or not a whole one";
    }
    if (ticket_out->cluster_id != cluster_id) {
        return "the ticket is of another cluster";
    }
    if (ticket_out->expires_s < now_s) {
        return "the ticket has expired: ask for another one with `pando cluster ticket`";
    }
    return NULL;
}
