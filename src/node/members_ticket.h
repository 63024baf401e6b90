/* members_ticket - what a new node shows to be taken into a cluster: one line to copy. Pure.
 *
 * Model      A member signs {cluster id, expiry, role, members that can be asked, with their keys
 *            and addresses}. Who holds the line may join until it expires, any number of times; so
 *            it is a secret. It is void when its signer is no member any more.
 * Text       "pando1." and base64url without padding.
 * Ownership  A parsed ticket's spans point into `room`, the caller's.
 * Trust      Parsing accepts any bytes; it says whose signature it is, and not whether to believe
 *            that one. */
#ifndef PD_NODE_MEMBERS_TICKET_H
#define PD_NODE_MEMBERS_TICKET_H

#include "kv/answer.h"
#include "kv/member.h"
#include "net/identity.h"

#define PD_TICKET_MEMBERS_MAX 5u
#define PD_TICKET_BYTES_MAX 4096u
#define PD_TICKET_TEXT_MAX 5632u

struct pd_ticket {
    uint64_t cluster_id;
    uint64_t expires_s; /* since the Unix epoch */
    enum pd_kv_member_role role;
    uint8_t signer[PD_NET_KEY_SIZE];
    uint32_t count;
    struct pd_kv_member members[PD_TICKET_MEMBERS_MAX]; /* key and peers alone */
};

/* Sign and print. PD_ERR_RANGE: it does not fit; PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_ticket_print(const struct pd_ticket *ticket,
                                            const struct pd_net_identity *signer,
                                            char text[PD_TICKET_TEXT_MAX]);
/* White space around it is passed over. PD_ERR_CORRUPT: no ticket, or not whole; PD_ERR_DENIED: its
 * signature is not its signer's; PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_ticket_parse(const char *text, uint8_t room[PD_TICKET_BYTES_MAX],
                                            struct pd_ticket *ticket_out);
/* A text that somebody showed, of any size: NULL, or why it is not good here and now. Whether its
 * signer is a member is left to be seen. */
const char *pd_ticket_judge(struct pd_span shown, uint64_t cluster_id, uint64_t now_s,
                            uint8_t room[PD_TICKET_BYTES_MAX], struct pd_ticket *ticket_out);

#endif
