/* gather - the first members of a cluster find each other and agree who they are, without anybody
 * to lead them. Pure: no I/O, clock or heap.
 *
 * Model      Every node has the same list of places (addresses), of which the first `founders` are
 *            the first members'. It asks each place who is there, again and again, and says of
 *            itself: FREE, and the set of founders that it sees; AGREED on a set; or MEMBER of a
 *            cluster. A set is known by its id, which is made of its keys in order, and is the
 *            cluster's id at the same time.
 *
 *     FREE --(all founders see the same set, or agreed on it)--> AGREED --(all agreed)--> MEMBER
 *     FREE --(somebody is a member already, and gives a ticket)--> it joins that cluster
 *
 * Safety     AGREED is made durable before it is told, and never taken back: a node agrees to one
 *            set in its life. A cluster begins when every member of its set has agreed; so of two
 *            sets with a common node at most one becomes a cluster. docs/cluster.md has the rest.
 * Trust      What is asked and answered carries a proof: HMAC-SHA256 under the secret over both
 *            sides' keys, which the connection has proven, and the message. Without the secret
 *            nothing is told but that the proof is wrong. Any bytes may come.
 * Ownership  Rows are copied. */
#ifndef PD_NODE_GATHER_H
#define PD_NODE_GATHER_H

#include "kv/answer.h"
#include "kv/member.h"
#include "node/members_file.h"

#define PD_GATHER_PLACES_MAX PD_MEMBERS_FILE_MAX
#define PD_GATHER_SECRET_SIZE 32u
#define PD_GATHER_TICKET_MAX 5632u
#define PD_GATHER_MESSAGE_MAX (PD_KV_MEMBER_BYTES_MAX + PD_GATHER_TICKET_MAX + 128u)
#define PD_GATHER_NOWHERE UINT32_MAX
#define PD_GATHER_TEXT_MAX 512u

enum pd_gather_state {
    PD_GATHER_FREE = 0,
    PD_GATHER_AGREED,
    PD_GATHER_MEMBER
};

struct pd_gather_place {
    bool is_heard; /* somebody answered with a good proof; what follows is the last that it said */
    bool is_refused; /* the last one who answered does not believe this node's proof */
    uint8_t key[PD_KV_MEMBER_KEY_SIZE];
    enum pd_gather_state state;
    uint64_t set_id; /* FREE: what it sees, or 0; AGREED: on what; MEMBER: the cluster */
    uint32_t founders;
    uint8_t row[PD_KV_MEMBER_BYTES_MAX];
    size_t row_size;
};

struct pd_gather {
    uint8_t secret[PD_GATHER_SECRET_SIZE];
    uint8_t key[PD_KV_MEMBER_KEY_SIZE];
    enum pd_gather_state state;
    uint64_t set_id; /* AGREED, MEMBER */
    uint32_t founders;
    uint32_t place_count;
    uint32_t own_place; /* or PD_GATHER_NOWHERE */
    uint8_t row[PD_KV_MEMBER_BYTES_MAX];
    size_t row_size;
    struct pd_gather_place places[PD_GATHER_PLACES_MAX];
    char ticket[PD_GATHER_TICKET_MAX]; /* the first that was given */
    bool has_ticket;
};

/* The secret's bytes as they are in its file; own: this node, its key too. */
void pd_gather_init(struct pd_gather *gather, struct pd_span secret,
                    const struct pd_kv_member *own);
/* Whom to look for; own_place: where this node itself is, or NOWHERE. A member needs none. */
void pd_gather_look_for(struct pd_gather *gather, uint32_t place_count, uint32_t founders,
                        uint32_t own_place);
/* This node agreed on the set, durably; is a member. */
void pd_gather_set_state(struct pd_gather *gather, enum pd_gather_state state, uint64_t set_id);

/* The id of a set of keys, in whatever order they stand here; never 0. PD_GATHER_PLACES_MAX keys at
 * most. */
uint64_t pd_gather_set_id(const uint8_t (*keys)[PD_KV_MEMBER_KEY_SIZE], uint32_t count);

/* What to ask the holder of `to`. */
void pd_gather_put_question(const struct pd_gather *gather, const uint8_t *to,
                            struct pd_kv_writer *writer);
/* Whether the holder of `from` knows the secret, and has no cluster yet. PD_ERR_DENIED: not the
 * secret; PD_ERR_CORRUPT: not a question of this version. */
PD_NODISCARD enum pd_status pd_gather_read_question(const struct pd_gather *gather,
                                                    const uint8_t *from, struct pd_span bytes,
                                                    bool *is_free_out);
/* The answer to it; ticket: of a member, for who is free; else empty. status: what was read. */
void pd_gather_put_answer(const struct pd_gather *gather, const uint8_t *to, enum pd_status status,
                          struct pd_span ticket, struct pd_kv_writer *writer);
/* What the holder of `from` answered at a place. PD_OK; PD_ERR_DENIED: one of the two has another
 * secret; PD_ERR_CORRUPT. */
PD_NODISCARD enum pd_status pd_gather_hear(struct pd_gather *gather, uint32_t place,
                                           const uint8_t *from, struct pd_span bytes);

enum pd_gather_next {
    PD_GATHER_WAIT = 0,
    PD_GATHER_AGREE, /* write the set, durably, as start "gather"; then set_state AGREED */
    PD_GATHER_BEGIN, /* write the set as start "new", and be a first member */
    PD_GATHER_JOIN,  /* the cluster is there: gather->ticket */
    PD_GATHER_STUCK  /* it cannot go on: text says why and what to do */
};
/* What follows from all that was heard. text: of WAIT and STUCK, for a person. */
enum pd_gather_next pd_gather_next(const struct pd_gather *gather, char text[PD_GATHER_TEXT_MAX]);
/* After AGREE: the set, by node, as FOLDER/cluster.json is to have it. Spans point into gather. */
void pd_gather_put_set(const struct pd_gather *gather, struct pd_members_file *file);

#endif
