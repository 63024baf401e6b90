/* Any text as a ticket, and any bytes in a ticket's clothes: what reads as one comes back the same
 * when it is signed and printed anew, and is believed then; nothing else passes. */
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "node/members_ticket.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool equal(const struct pd_ticket *a, const struct pd_ticket *b)
{
    bool is_equal = a->cluster_id == b->cluster_id && a->expires_s == b->expires_s &&
                    a->role == b->role && a->count == b->count;
    for (uint32_t i = 0; is_equal && i < a->count; i++) {
        const struct pd_kv_member *left = &a->members[i];
        const struct pd_kv_member *right = &b->members[i];
        is_equal = left->node == right->node && left->peer_count == right->peer_count &&
                   memcmp(left->key, right->key, sizeof left->key) == 0;
        for (uint32_t p = 0; is_equal && p < left->peer_count; p++) {
            is_equal =
                left->peers[p].size == right->peers[p].size &&
                memcmp(left->peers[p].bytes, right->peers[p].bytes, left->peers[p].size) == 0;
        }
    }
    return is_equal;
}

static void read_ticket(const char *text)
{
    uint8_t room[PD_TICKET_BYTES_MAX];
    uint8_t other_room[PD_TICKET_BYTES_MAX];
    struct pd_ticket ticket;
    struct pd_ticket again;
    enum pd_status status = pd_ticket_parse(text, room, &ticket);
    pd_assert(status == PD_OK || status == PD_ERR_CORRUPT || status == PD_ERR_DENIED);
    if (status == PD_ERR_CORRUPT) {
        return;
    }
    pd_assert(ticket.count > 0 && ticket.count <= PD_TICKET_MEMBERS_MAX);
    struct pd_net_identity signer;
    pd_net_identity_init(&signer, (const uint8_t[PD_NET_KEY_SIZE]){7});
    char printed[PD_TICKET_TEXT_MAX];
    pd_assert(pd_ticket_print(&ticket, &signer, printed) == PD_OK);
    pd_assert(pd_ticket_parse(printed, other_room, &again) == PD_OK);
    pd_assert(equal(&ticket, &again));
    pd_assert(memcmp(again.signer, signer.key, sizeof signer.key) == 0);
    /* Another signer's name on it is noticed. */
    printed[strlen(printed) - 20] ^= 1;
    pd_assert(pd_ticket_parse(printed, other_room, &again) != PD_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0 || size > PD_TICKET_BYTES_MAX + 64) {
        return 0;
    }
    /* Texts of exactly their size: a byte too much is told by the sanitizer. */
    if (bytes[0] % 8 == 0) {
        char *text = malloc(size);
        pd_assert(text != NULL);
        memcpy(text, bytes + 1, size - 1);
        text[size - 1] = '\0';
        read_ticket(text);
        free(text);
        return 0;
    }
    static const char head[] = "pando1.";
    char *text = malloc(sizeof head + BASE64_ENCODE_RAW_LENGTH(size - 1));
    struct base64_encode_ctx context;
    char tail[BASE64_ENCODE_FINAL_LENGTH];
    pd_assert(text != NULL);
    memcpy(text, head, sizeof head - 1);
    size_t at = sizeof head - 1;
    base64url_encode_init(&context);
    at += base64_encode_update(&context, text + at, size - 1, bytes + 1);
    size_t tail_size = base64_encode_final(&context, tail);
    memcpy(text + at, tail, tail_size);
    at += tail_size;
    while (at > 0 && text[at - 1] == '=') {
        at--;
    }
    text[at] = '\0';
    read_ticket(text);
    free(text);
    return 0;
}
