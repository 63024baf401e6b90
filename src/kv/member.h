/* member - what the cluster knows of one of its nodes, as bytes. Pure.
 *
 * Model      A member is {key, role, name, peer addresses, client URLs} under its node id. The key
 *            proves the node to its peers; an address is "HOST:PORT"; a URL is "http://HOST:PORT".
 *            From the cluster's version 2 on it has told its program and how far that can follow.
 *            Whether a member votes is the raft configuration's to say, and not told here.
 * Bounds     Those below. A member takes at most PD_KV_MEMBER_BYTES_MAX bytes.
 * Ownership  Decoded spans point into the bytes that were decoded.
 * Trust      Decoding accepts any bytes. Texts are of printable ASCII without spaces, so they can
 *            be shown as they are. */
#ifndef PD_KV_MEMBER_H
#define PD_KV_MEMBER_H

#include "kv/command.h"

#define PD_KV_MEMBER_KEY_SIZE 32u
#define PD_KV_MEMBER_ADDRESSES_MAX 4u /* of each kind */
#define PD_KV_MEMBER_NAME_MAX 63u
#define PD_KV_MEMBER_ADDRESS_MAX 127u
#define PD_KV_MEMBER_PROGRAM_MAX 31u
#define PD_KV_MEMBER_BYTES_MAX 1200u

enum pd_kv_member_role {
    PD_KV_MEMBER_VOTER = 0, /* votes, or stands by as a learner */
    PD_KV_MEMBER_WORKER = 1 /* runs actors: never votes, holds no log */
};

struct pd_kv_member {
    uint64_t node;
    uint8_t key[PD_KV_MEMBER_KEY_SIZE];
    enum pd_kv_member_role role;
    struct pd_span name;
    uint32_t peer_count;
    struct pd_span peers[PD_KV_MEMBER_ADDRESSES_MAX];
    uint32_t client_count;
    struct pd_span clients[PD_KV_MEMBER_ADDRESSES_MAX];
    uint32_t version;       /* the last one that its program can follow; 0: it told nothing */
    struct pd_span program; /* as `pando version` names it */
};

/* Everything but the node id. */
void pd_kv_member_encode(struct pd_kv_writer *writer, const struct pd_kv_member *member);
/* node is not touched. PD_ERR_CORRUPT: not what encode writes, or a text that may not be. */
PD_NODISCARD enum pd_status pd_kv_member_decode(struct pd_span bytes,
                                                struct pd_kv_member *member_out);
/* Printable, without spaces, not too long; not empty. */
bool pd_kv_member_program_is_sound(struct pd_span program);

#endif
