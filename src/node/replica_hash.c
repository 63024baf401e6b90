/* Replicas that applied the same index are equal: here they show it to each other.
 *
 * What       After each applied index that is a multiple of hash_interval a node remembers its two
 *            hashes: the fold over all history (effects and answers; it lies in the kv's meta row,
 *            so it goes along with a snapshot) and the set hash of all live records. Every
 *            hash_ticks it shows the newest few to the other members, who compare what they
 *            remember of the same index.
 * Verdict    One flipped bit anywhere makes the fold differ from then on, so any later index shows
 *            it too. When two nodes differ, both ask all others for theirs of that index:
 *              a majority of voters agrees against this node: it is the odd one. It stops; its
 *              state must be fetched anew.
 *              a majority of voters agrees with this node: it goes on, and says loudly who is odd.
 *              That one stops by itself.
 *              nobody can tell (one of three is away, or there are two voters): after a grace both
 *              stop. One of them is wrong, and a wrong answer is worse than none.
 *            A state that came with a snapshot is a new beginning: nothing older is compared.
 * Frame      count u8, flags u8 (1: tell me yours), then {index, fold, set low, set high} u64
 *            each. */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "node/replica_internal.h"

#define SHOWN_MAX 8u
#define ENTRY_SIZE 32u
#define HEAD_SIZE 2u
#define FLAG_ASKS 1u
#define GRACE 8u /* times hash_ticks */

static struct pd_replica_hash *slot_of(struct pd_replica *replica, uint64_t index)
{
    return &replica->hashes[index / replica->config.hash_interval % PD_REPLICA_HASHES_MAX];
}

static bool is_equal(const struct pd_replica_hash *a, const struct pd_replica_hash *b)
{
    return a->fold == b->fold && a->set.low == b->set.low && a->set.high == b->set.high;
}

void pd_replica_hash_applied(struct pd_replica *replica)
{
    uint64_t index = replica->apply_raft;
    if (replica->config.hash_interval == 0 || index % replica->config.hash_interval != 0) {
        return;
    }
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    if (kv.applied_index == index) { /* else the kv was ahead when raft came by */
        *slot_of(replica, index) = (struct pd_replica_hash){index, kv.fold_hash, kv.set_hash};
    }
}

void pd_replica_hash_forget(struct pd_replica *replica)
{
    memset(replica->hashes, 0, sizeof replica->hashes);
    replica->dispute.is_open = false;
}

/* -- Showing ----------------------------------------------------------------------------------- */

static void show(struct pd_replica *replica, pd_raft_node to, const struct pd_replica_hash *hashes,
                 uint32_t count, uint8_t flags)
{
    uint8_t *bytes = pd_replica_emit_frame(replica, PD_REPLICA_FRAME_HASH, to,
                                           HEAD_SIZE + (size_t)count * ENTRY_SIZE);
    bytes[0] = (uint8_t)count;
    bytes[1] = flags;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *entry = bytes + HEAD_SIZE + (size_t)i * ENTRY_SIZE;
        pd_put_u64(entry, hashes[i].index);
        pd_put_u64(entry + 8, hashes[i].fold);
        pd_put_u64(entry + 16, hashes[i].set.low);
        pd_put_u64(entry + 24, hashes[i].set.high);
    }
}

static uint32_t members(const struct pd_replica *replica, pd_raft_node *nodes)
{
    const struct pd_raft_conf *conf = &replica->conf;
    uint32_t count = 0;
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        nodes[count++] = conf->voters[i];
    }
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        nodes[count++] = conf->learners[i];
    }
    return count;
}

static void show_all(struct pd_replica *replica, const struct pd_replica_hash *hashes,
                     uint32_t count, uint8_t flags)
{
    pd_raft_node nodes[2 * PD_RAFT_MEMBERS_MAX];
    uint32_t node_count = members(replica, nodes);
    for (uint32_t i = 0; i < node_count; i++) {
        if (nodes[i] != replica->config.raft.id) {
            show(replica, nodes[i], hashes, count, flags);
        }
    }
}

static void show_newest(struct pd_replica *replica)
{
    struct pd_replica_hash newest[SHOWN_MAX];
    uint32_t count = 0;
    uint64_t interval = replica->config.hash_interval;
    uint64_t index = replica->apply_raft / interval * interval;
    for (; count < SHOWN_MAX && index > 0; index -= interval) {
        const struct pd_replica_hash *hash = slot_of(replica, index);
        if (hash->index != index) {
            break;
        }
        newest[count++] = *hash;
    }
    if (count > 0) {
        show_all(replica, newest, count, 0);
    }
}

/* -- Verdict ----------------------------------------------------------------------------------- */

static pd_raft_node *odd_slot(struct pd_replica *replica, pd_raft_node node)
{
    pd_raft_node *unused = NULL;
    for (uint32_t i = 0; i < PD_RAFT_MEMBERS_MAX; i++) {
        if (replica->odd[i] == node) {
            return &replica->odd[i];
        }
        unused = replica->odd[i] == 0 ? &replica->odd[i] : unused;
    }
    return unused;
}

static bool is_voter(const struct pd_replica *replica, pd_raft_node node)
{
    for (uint32_t i = 0; i < replica->conf.voter_count; i++) {
        if (replica->conf.voters[i] == node) {
            return true;
        }
    }
    return false;
}

/* Voters that are known to have this hash, this node included. */
static uint32_t voters_with(const struct pd_replica *replica, const struct pd_replica_hash *hash)
{
    const struct pd_replica_dispute *dispute = &replica->dispute;
    uint32_t count =
        is_voter(replica, replica->config.raft.id) && is_equal(hash, &dispute->own) ? 1 : 0;
    for (uint32_t i = 0; i < dispute->vote_count; i++) {
        if (is_voter(replica, dispute->votes[i].node) && is_equal(hash, &dispute->votes[i].hash)) {
            count++;
        }
    }
    return count;
}

static void judge(struct pd_replica *replica)
{
    struct pd_replica_dispute *dispute = &replica->dispute;
    uint32_t majority = replica->conf.voter_count / 2 + 1;
    if (PD_MUTANT(NODE_HASH_MISMATCH_IGNORED)) {
        return;
    }
    for (uint32_t i = 0; i < dispute->vote_count; i++) {
        const struct pd_replica_hash *other = &dispute->votes[i].hash;
        if (!is_equal(other, &dispute->own) && voters_with(replica, other) >= majority) {
            replica->store_is_damaged = true;
            pd_replica_fatal(replica,
                             "this node's state at entry %llu is not that of the majority: its "
                             "hashes are %016llx %016llx, theirs %016llx %016llx. Remove the store "
                             "folder and start again: it is rebuilt from the log or from another "
                             "member. Keep a copy of it: this must never happen",
                             (unsigned long long)dispute->own.index,
                             (unsigned long long)dispute->own.fold,
                             (unsigned long long)dispute->own.set.low,
                             (unsigned long long)other->fold, (unsigned long long)other->set.low);
            return;
        }
    }
    if (voters_with(replica, &dispute->own) >= majority) {
        dispute->is_open = false;
        pd_raft_node *slot = odd_slot(replica, dispute->with);
        if (slot != NULL && *slot == 0) {
            *slot = dispute->with;
            pd_replica_note(
                replica,
                "NODE %llu DIFFERS FROM THE MAJORITY at entry %llu. It stops by itself: "
                "remove its store folder and start it again",
                (unsigned long long)dispute->with, (unsigned long long)dispute->own.index);
        }
        return;
    }
    if (replica->tick - dispute->since_tick > GRACE * (uint64_t)replica->config.hash_ticks) {
        pd_replica_fatal(replica,
                         "nodes %llu and %llu differ at entry %llu, and no majority says which one "
                         "is right: both stop. Start a third member, or compare them with a "
                         "backup; then remove the store folder of the one that is wrong",
                         (unsigned long long)replica->config.raft.id,
                         (unsigned long long)dispute->with, (unsigned long long)dispute->own.index);
    }
}

static void vote(struct pd_replica_dispute *dispute, pd_raft_node node,
                 const struct pd_replica_hash *hash)
{
    uint32_t i = 0;
    while (i < dispute->vote_count && dispute->votes[i].node != node) {
        i++;
    }
    if (i == PD_RAFT_MEMBERS_MAX) {
        return;
    }
    dispute->vote_count += i == dispute->vote_count ? 1 : 0;
    dispute->votes[i] = (struct pd_replica_vote_hash){node, *hash};
}

/* A difference with `node`; a newer one takes the place of an older one with the same. */
static void differs(struct pd_replica *replica, pd_raft_node node,
                    const struct pd_replica_hash *own, const struct pd_replica_hash *other)
{
    struct pd_replica_dispute *dispute = &replica->dispute;
    const pd_raft_node *odd = odd_slot(replica, node);
    if (odd != NULL && *odd == node) {
        return; /* known already */
    }
    PD_SOMETIMES(NODE_HASHES_DIFFER, true);
    if (dispute->is_open && (dispute->with != node || dispute->own.index >= own->index)) {
        return;
    }
    uint64_t since = dispute->is_open ? dispute->since_tick : replica->tick;
    *dispute = (struct pd_replica_dispute){
        .is_open = true, .with = node, .since_tick = since, .own = *own};
    vote(dispute, node, other);
    show_all(replica, own, 1, FLAG_ASKS);
}

static void agrees(struct pd_replica *replica, pd_raft_node node, uint64_t index)
{
    pd_raft_node *odd = odd_slot(replica, node);
    if (odd != NULL && *odd == node) {
        *odd = 0; /* it has a state anew */
    }
    struct pd_replica_dispute *dispute = &replica->dispute;
    if (dispute->is_open && dispute->with == node && index >= dispute->own.index) {
        dispute->is_open = false;
    }
}

/* -- Frames ------------------------------------------------------------------------------------ */

static bool frame_is_sound(struct pd_span body)
{
    return body.size >= HEAD_SIZE && body.bytes[0] > 0 && body.bytes[0] <= SHOWN_MAX &&
           body.bytes[1] <= FLAG_ASKS &&
           body.size == HEAD_SIZE + (size_t)body.bytes[0] * ENTRY_SIZE;
}

static struct pd_replica_hash frame_entry(struct pd_span body, uint32_t i)
{
    const uint8_t *entry = body.bytes + HEAD_SIZE + (size_t)i * ENTRY_SIZE;
    return (struct pd_replica_hash){
        .index = pd_get_u64(entry),
        .fold = pd_get_u64(entry + 8),
        .set = {.low = pd_get_u64(entry + 16), .high = pd_get_u64(entry + 24)}};
}

void pd_replica_hash_message(struct pd_replica *replica, pd_raft_node from, struct pd_span body)
{
    if (!frame_is_sound(body)) {
        replica->counters.messages_dropped++;
        return;
    }
    if (replica->phase != PD_REPLICA_RUNNING || replica->config.hash_interval == 0 ||
        replica->install.state != PD_REPLICA_INSTALL_NONE ||
        !pd_replica_is_member(&replica->conf, from)) {
        return;
    }
    /* The newest index that both remember tells: a difference stays in the fold, and a state that
     * was fetched anew has none. */
    struct pd_replica_hash newest = {0};
    for (uint32_t i = 0; i < body.bytes[0]; i++) {
        struct pd_replica_hash other = frame_entry(body, i);
        if (replica->dispute.is_open && replica->dispute.own.index == other.index) {
            vote(&replica->dispute, from, &other);
        }
        const struct pd_replica_hash *own = slot_of(replica, other.index);
        if (other.index == 0 || own->index != other.index) {
            continue;
        }
        replica->counters.hashes_compared++;
        newest = other.index > newest.index ? other : newest;
        if (body.bytes[1] == FLAG_ASKS) {
            show(replica, from, own, 1, 0);
        }
    }
    if (newest.index != 0) {
        const struct pd_replica_hash *own = slot_of(replica, newest.index);
        if (is_equal(own, &newest)) {
            agrees(replica, from, newest.index);
        } else {
            differs(replica, from, own, &newest);
        }
    }
    if (replica->dispute.is_open) {
        judge(replica);
    }
}

void pd_replica_hash_tick(struct pd_replica *replica)
{
    if (replica->config.hash_interval == 0 || replica->config.hash_ticks == 0 ||
        replica->tick % replica->config.hash_ticks != 0 ||
        replica->install.state != PD_REPLICA_INSTALL_NONE) {
        return;
    }
    show_newest(replica);
    if (replica->dispute.is_open) {
        show_all(replica, &replica->dispute.own, 1, FLAG_ASKS);
        judge(replica);
    }
}
