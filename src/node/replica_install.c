/* The receiver of snapshots.
 *
 *   NONE -> DRAINING -> RESETTING -> READY <-> WRITING (rows) -> WRITING (meta) -> LOADING
 *   head    the old     the store     each chunk becomes          the kv takes the rows up and
 *   chunk   state's     is emptied    one batch                   compares them with their hashes
 *           work ends
 *        -> LOGGING -> WRITING (index) -> FLUSHING -> NONE
 *           raft and the log are told      done: raft goes on, or begins
 *
 * The order is what a crash makes of it:
 *   before the reset               the old log and the old store
 *   until the log's record         the old log and a store without applied index: it counts as
 *                                  empty. The start rebuilds it from a whole log or fetches anew
 *   until the index                the log begins behind the snapshot, the store counts as empty:
 *                                  fetched anew, at or after that index
 *   after the index                log and store go together
 * The store is never ahead of the log, never half a state under an applied index, and what the log
 * promised stays in it: raft's entries are dropped only for a snapshot that is committed, complete
 * and verified.
 *
 * Raft       When the sender's raft asked for it, ours is stepped with the message that would have
 *            carried the rows: the term and session of the end chunk, the index, term and
 *            configuration of the head. If that term is over by then, raft would not look at it;
 *            but the store holds the new state already. What is in a snapshot is committed, so
 *            pd_raft_restore takes it whatever the term is. If the log holds the entry at the index
 *            already, raft only commits up to there, and apply finds that the kv has it all.
 * No raft    A node without a state has none yet: pd_replica_begin_raft makes it at the end. Until
 *            then it votes for nobody and acknowledges nothing.
 * Stalls     A sender that is silent for four times snapshot_ticks is given up; then peers are
 *            asked in turn (FRAME_WANT), and any snapshot that fits is taken. One of a later raft
 *            term takes the place of another at once.
 * Damage     Rows that are not what their hashes say are thrown away, and their sender is refused
 *            for a while: with a damaged leader another member's snapshot must have its turn. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "node/replica_internal.h"

#define PATIENCE 4u /* times snapshot_ticks */
#define GRUDGE 16u  /* times snapshot_ticks: so long another sender's rows are preferred */

static void answer(struct pd_replica *replica, pd_raft_node to, uint64_t transfer, uint64_t next,
                   enum pd_replica_chunk_answer what)
{
    uint8_t *bytes =
        pd_replica_emit_frame(replica, PD_REPLICA_FRAME_CHUNK_ACK, to, PD_REPLICA_CHUNK_ACK_SIZE);
    pd_put_u64(bytes, transfer);
    pd_put_u64(bytes + 8, next);
    bytes[16] = (uint8_t)what;
}

static void answer_sender(struct pd_replica *replica, enum pd_replica_chunk_answer what)
{
    const struct pd_replica_install *install = &replica->install;
    answer(replica, install->from, install->transfer, install->written, what);
}

static void chunk_free(struct pd_replica_chunk *chunk)
{
    pd_free(chunk->bytes);
    *chunk = (struct pd_replica_chunk){NULL, 0};
}

static void queue_clear(struct pd_replica_install *install)
{
    for (uint32_t i = 0; i < PD_REPLICA_WINDOW_MAX; i++) {
        chunk_free(&install->queue[i]);
    }
    install->queue_head = 0;
    install->queue_count = 0;
}

void pd_replica_install_free(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    queue_clear(install);
    chunk_free(&install->writing);
    pd_free(install->conf_bytes.bytes);
    pd_free(install->meta.bytes);
    pd_free(install->writes);
}

/* -- An empty store ---------------------------------------------------------------------------- */

static void reset(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    install->state = PD_REPLICA_INSTALL_RESETTING;
    install->is_dirty = false;
    install->reset_is_due = false;
    install->is_load_begun = false;
    install->done_transfer = 0;
    (void)pd_replica_emit(replica, PD_REPLICA_STORE_RESET);
}

static void begin_draining(struct pd_replica *replica)
{
    replica->install.state = PD_REPLICA_INSTALL_DRAINING;
    replica->is_verifying = false;
    pd_replica_reads_drop(replica);
    pd_replica_watches_drop(replica);
    pd_replica_transfers_stop(replica);
    pd_replica_backups_stop(replica);
}

static bool is_drained(const struct pd_replica *replica)
{
    if (PD_MUTANT(NODE_INSTALL_WITHOUT_DRAINING)) {
        return true;
    }
    return !replica->is_applying && !replica->store_is_writing && !replica->store_is_flushing &&
           replica->fetches_open == 0 && pd_replica_transfers_are_over(replica) &&
           pd_replica_backups_are_over(replica);
}

static void become_ready(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    install->state = PD_REPLICA_INSTALL_READY;
    install->progress_tick = replica->tick;
    if (install->transfer != 0) {
        install->written = 1; /* the head */
        answer_sender(replica, PD_REPLICA_CHUNK_TAKEN);
    }
}

void pd_replica_store_was_reset(struct pd_replica *replica)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    if (replica->load_waits_for_reset) {
        pd_replica_load_was_reset(replica);
        return;
    }
    pd_assert(replica->install.state == PD_REPLICA_INSTALL_RESETTING);
    replica->store_visible = 0;
    replica->store_durable = 0;
    become_ready(replica);
}

/* Whatever came is not to be used; somebody else is asked. */
static void give_up(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    PD_SOMETIMES(NODE_INSTALL_RESTARTED, true);
    install->transfer = 0;
    queue_clear(install);
    if (install->state == PD_REPLICA_INSTALL_WRITING) {
        install->reset_is_due = true;
    } else if (install->is_dirty) {
        /* A load may have rows under way. */
        install->state = PD_REPLICA_INSTALL_DRAINING;
    }
}

void pd_replica_restore(struct pd_replica *replica)
{
    reset(replica); /* whatever the store holds, the log does not go on from it */
}

/* -- Asking ------------------------------------------------------------------------------------ */

/* Below it the log does not join, or raft has applied more. */
static uint64_t least_index(const struct pd_replica *replica)
{
    uint64_t least = replica->raft != NULL ? replica->apply_raft : replica->mark_index;
    if (replica->raft == NULL && replica->recovered_count > 0 &&
        replica->recovered[0].index > least + 1) {
        least = replica->recovered[0].index - 1;
    }
    return least > 0 ? least : 1;
}

void pd_replica_add_nodes(pd_raft_node *nodes, uint32_t *count, const pd_raft_node *more,
                          uint32_t more_count, pd_raft_node own)
{
    for (uint32_t i = 0; i < more_count; i++) {
        bool is_known = more[i] == own;
        for (uint32_t j = 0; j < *count && !is_known; j++) {
            is_known = nodes[j] == more[i];
        }
        if (!is_known) {
            nodes[(*count)++] = more[i];
        }
    }
}

uint32_t pd_replica_known(const struct pd_replica *replica,
                          pd_raft_node nodes[PD_REPLICA_KNOWN_MAX])
{
    const struct pd_raft_conf *conf = replica->raft != NULL ? &replica->conf : &replica->mark_conf;
    pd_raft_node heard = replica->install.heard;
    pd_raft_node own = replica->config.raft.id;
    uint32_t count = 0;
    /* All others that it knows of may have been removed since. */
    pd_replica_add_nodes(nodes, &count, &heard, heard != 0 ? 1 : 0, own);
    pd_replica_add_nodes(nodes, &count, conf->voters, conf->voter_count, own);
    pd_replica_add_nodes(nodes, &count, conf->learners, conf->learner_count, own);
    pd_replica_add_nodes(nodes, &count, replica->peers, replica->config.peer_count, own);
    return count;
}

static void ask(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    pd_raft_node nodes[PD_REPLICA_KNOWN_MAX];
    uint32_t count = pd_replica_known(replica, nodes);
    install->asked_tick = replica->tick;
    if (count == 0) {
        return;
    }
    pd_raft_node to = nodes[install->asked_turn++ % count];
    uint8_t *bytes =
        pd_replica_emit_frame(replica, PD_REPLICA_FRAME_WANT, to, PD_REPLICA_WANT_SIZE);
    pd_put_u64(bytes, least_index(replica));
    bytes[8] = replica->raft != NULL || replica->is_log_used ? PD_REPLICA_WANT_HAS_LOG : 0;
}

void pd_replica_install_tick(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    uint64_t pace = replica->config.snapshot_ticks;
    bool is_taking =
        install->state == PD_REPLICA_INSTALL_READY ||
        (install->state == PD_REPLICA_INSTALL_WRITING && install->write == PD_REPLICA_INSTALL_ROWS);
    if (install->state == PD_REPLICA_INSTALL_NONE) {
        return;
    }
    if (install->transfer != 0 && !is_taking && replica->tick % (1 + pace / 4) == 0) {
        answer_sender(replica, PD_REPLICA_CHUNK_WORKING);
        return;
    }
    bool is_idle = install->state == PD_REPLICA_INSTALL_READY && install->queue_count == 0;
    if (install->transfer != 0 && is_idle &&
        replica->tick - install->progress_tick > PATIENCE * pace) {
        pd_replica_note(replica,
                        "node %llu has stopped sending its snapshot after %llu chunks: another "
                        "member is asked",
                        (unsigned long long)install->from, (unsigned long long)install->written);
        give_up(replica);
    }
    if (install->transfer == 0 && install->state == PD_REPLICA_INSTALL_READY &&
        replica->tick - install->asked_tick >= pace) {
        ask(replica);
    }
}

/* -- Chunks come in ---------------------------------------------------------------------------- */

static void refused(struct pd_replica *replica)
{
    PD_SOMETIMES(NODE_CHUNK_REFUSED, true);
    replica->counters.messages_dropped++;
}

static bool takes_rows(const struct pd_replica_install *install)
{
    return install->state == PD_REPLICA_INSTALL_DRAINING ||
           install->state == PD_REPLICA_INSTALL_RESETTING ||
           install->state == PD_REPLICA_INSTALL_READY ||
           (install->state == PD_REPLICA_INSTALL_WRITING &&
            install->write == PD_REPLICA_INSTALL_ROWS);
}

/* Whether nothing of it is needed: applied already, or in the log, from which apply goes on. */
static bool is_held(const struct pd_replica *replica, const struct pd_snapshot_head *head,
                    uint64_t index)
{
    struct pd_raft_entry entry;
    return index <= pd_kv_applied_index(replica->kv) ||
           (pd_raft_entry_at(replica->raft, index, &entry) == PD_OK && entry.term == head->term);
}

/* This node voted, and its log is gone: whatever it promised is forgotten, so it takes no state
 * under its old name. Its sender may not know: the transfer began before the log was lost, or by
 * raft. */
static bool has_forgotten(const struct pd_replica *replica, const struct pd_raft_conf *conf)
{
    return replica->raft == NULL && !replica->is_log_used &&
           pd_replica_is_voter(conf, replica->config.raft.id) &&
           !PD_MUTANT(NODE_WIPED_VOTER_SERVED);
}

/* Whether the snapshot that this head begins helps; if not, *what_out is for its sender, 0:
 * silence, it may ask again. */
static bool is_welcome(struct pd_replica *replica, pd_raft_node from,
                       const struct pd_snapshot_head *head, uint64_t index, uint8_t *what_out)
{
    const struct pd_replica_install *install = &replica->install;
    *what_out = 0;
    if (install->state == PD_REPLICA_INSTALL_NONE && replica->phase != PD_REPLICA_RUNNING) {
        return false; /* it is starting, and will know soon what it has */
    }
    if (install->state == PD_REPLICA_INSTALL_NONE && is_held(replica, head, index)) {
        *what_out = PD_REPLICA_CHUNK_DONE;
        return false;
    }
    if (install->state != PD_REPLICA_INSTALL_NONE && !takes_rows(install)) {
        return false;
    }
    bool was_unsound =
        install->unsound_from == from &&
        replica->tick - install->unsound_tick < GRUDGE * (uint64_t)replica->config.snapshot_ticks;
    if (was_unsound || index < least_index(replica) ||
        (replica->raft != NULL && head->sender_term < replica->term)) {
        *what_out = PD_REPLICA_CHUNK_REFUSED;
        return false;
    }
    bool is_stalled =
        replica->tick - install->progress_tick > (uint64_t)replica->config.snapshot_ticks;
    return install->transfer == 0 || install->from == from || is_stalled ||
           head->sender_term > install->sender_term;
}

static void copy(struct pd_replica_bytes *to, struct pd_span from)
{
    to->size = 0;
    uint8_t *bytes = pd_replica_bytes_add(to, from.size);
    if (from.size > 0) {
        memcpy(bytes, from.bytes, from.size);
    }
}

static void begin(struct pd_replica *replica, pd_raft_node from,
                  const struct pd_snapshot_chain *chain, const struct pd_snapshot_head *head,
                  const struct pd_raft_conf *conf)
{
    struct pd_replica_install *install = &replica->install;
    PD_SOMETIMES(NODE_INSTALL_RESTARTED, install->is_dirty);
    queue_clear(install);
    install->transfer = chain->id.transfer;
    install->from = from;
    install->chain = *chain;
    install->end = (struct pd_snapshot_end){.is_for_raft = false};
    install->term = head->term;
    install->sender_term = head->sender_term;
    install->conf = *conf;
    copy(&install->conf_bytes, head->conf);
    copy(&install->meta, head->meta);
    install->written = 0;
    install->progress_tick = replica->tick;
    switch (install->state) {
    case PD_REPLICA_INSTALL_NONE:
        begin_draining(replica);
        break;
    case PD_REPLICA_INSTALL_READY:
        if (install->is_dirty) {
            reset(replica);
        } else {
            become_ready(replica);
        }
        break;
    case PD_REPLICA_INSTALL_WRITING:
        install->reset_is_due = true;
        break;
    case PD_REPLICA_INSTALL_DRAINING:
    case PD_REPLICA_INSTALL_RESETTING:
    case PD_REPLICA_INSTALL_LOADING:
    case PD_REPLICA_INSTALL_LOGGING:
    case PD_REPLICA_INSTALL_FLUSHING:
        break;
    }
}

static void take_head(struct pd_replica *replica, pd_raft_node from,
                      const struct pd_snapshot_peek *peek, struct pd_span body)
{
    struct pd_replica_install *install = &replica->install;
    if (install->transfer == peek->id.transfer && install->from == from) {
        /* Sent again: the acknowledgement was lost, or the store is not empty yet. */
        answer_sender(replica,
                      install->written > 0 ? PD_REPLICA_CHUNK_TAKEN : PD_REPLICA_CHUNK_WORKING);
        return;
    }
    struct pd_snapshot_chain chain;
    struct pd_snapshot_chunk chunk;
    struct pd_raft_conf conf;
    uint64_t index = 0;
    uint64_t term = 0;
    pd_snapshot_chain_init(&chain, &peek->id);
    if (pd_snapshot_take(&chain, body, &chunk) != PD_OK ||
        pd_raft_wire_conf_get(chunk.head.conf, &conf) != PD_OK ||
        !pd_kv_meta_row(chunk.head.meta, &index, &term) || index != peek->id.index ||
        term != chunk.head.term || !pd_replica_is_member(&conf, replica->config.raft.id) ||
        has_forgotten(replica, &conf)) {
        refused(replica);
        return;
    }
    uint8_t what = 0;
    if (is_welcome(replica, from, &chunk.head, index, &what)) {
        begin(replica, from, &chain, &chunk.head, &conf);
    } else if (what != 0) {
        answer(replica, from, peek->id.transfer, 1, (enum pd_replica_chunk_answer)what);
    }
}

/* Only rows that a sender sends: the head has the others, and the store its own. */
static bool rows_are_sound(const struct pd_snapshot_chunk *chunk)
{
    struct pd_span key;
    struct pd_span value;
    size_t at = 0;
    while (pd_snapshot_row(chunk, &at, &key, &value)) {
        if (!pd_replica_row_travels(key)) {
            return false;
        }
    }
    return true;
}

static void take_next(struct pd_replica *replica, const struct pd_snapshot_peek *peek,
                      struct pd_span body)
{
    struct pd_replica_install *install = &replica->install;
    if (!takes_rows(install)) {
        answer_sender(replica, PD_REPLICA_CHUNK_WORKING);
        return;
    }
    if (peek->number < install->chain.number) {
        answer_sender(replica, PD_REPLICA_CHUNK_TAKEN);
        return;
    }
    if (install->queue_count == PD_REPLICA_WINDOW_MAX) {
        return; /* more than any window: it comes again */
    }
    struct pd_snapshot_chain before = install->chain;
    struct pd_snapshot_chunk chunk;
    if (pd_snapshot_take(&install->chain, body, &chunk) != PD_OK || !rows_are_sound(&chunk)) {
        install->chain = before;
        refused(replica);
        answer_sender(replica, PD_REPLICA_CHUNK_AGAIN);
        return;
    }
    install->progress_tick = replica->tick;
    if (chunk.kind == PD_SNAPSHOT_END) {
        install->end = chunk.end;
        return;
    }
    struct pd_replica_chunk *kept =
        &install->queue[(install->queue_head + install->queue_count) % PD_REPLICA_WINDOW_MAX];
    kept->bytes = pd_alloc(body.size);
    if (kept->bytes == NULL) {
        install->chain = before; /* it comes again */
        return;
    }
    memcpy(kept->bytes, body.bytes, body.size);
    kept->size = body.size;
    install->queue_count++;
}

/* Whatever the sender's configuration: a chunk, or one row that is larger. */
static size_t chunk_size_max(const struct pd_replica *replica)
{
    size_t row = pd_kv_row_bytes_max(replica->kv);
    return PD_SNAPSHOT_ROWS_AT + PD_SNAPSHOT_ROW_HEAD_SIZE +
           (row > PD_REPLICA_CHUNK_BYTES_MAX ? row : PD_REPLICA_CHUNK_BYTES_MAX);
}

void pd_replica_chunk(struct pd_replica *replica, pd_raft_node from, struct pd_span body)
{
    const struct pd_replica_install *install = &replica->install;
    struct pd_snapshot_peek peek;
    if (body.size > chunk_size_max(replica) || pd_snapshot_peek(body, &peek) != PD_OK ||
        peek.id.cluster_id != replica->config.cluster_id ||
        peek.id.group_id != replica->config.raft.group_id || peek.id.transfer == 0) {
        refused(replica);
        return;
    }
    if (install->done_transfer == peek.id.transfer && install->done_from == from) {
        answer(replica, from, peek.id.transfer, peek.number + 1, PD_REPLICA_CHUNK_DONE);
    } else if (peek.kind == PD_SNAPSHOT_HEAD) {
        take_head(replica, from, &peek, body);
    } else if (install->transfer == peek.id.transfer && install->from == from) {
        take_next(replica, &peek, body);
    } else if (replica->phase != PD_REPLICA_LOADING) {
        /* This node has started anew, or another snapshot took its place. */
        refused(replica);
        answer(replica, from, peek.id.transfer, 0, PD_REPLICA_CHUNK_REFUSED);
    }
}

/* -- Into the store ---------------------------------------------------------------------------- */

static void write_batch(struct pd_replica *replica, enum pd_replica_install_write what,
                        size_t count, uint64_t index)
{
    struct pd_replica_install *install = &replica->install;
    install->state = PD_REPLICA_INSTALL_WRITING;
    install->write = what;
    install->is_dirty = true;
    struct pd_replica_output *output = pd_replica_emit(replica, PD_REPLICA_STORE_WRITE);
    output->writes = install->writes;
    output->write_count = count;
    output->index = PD_MUTANT(NODE_INSTALL_INDEX_FIRST) ? install->chain.id.index : index;
}

static void write_rows(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    chunk_free(&install->writing);
    install->writing = install->queue[install->queue_head];
    install->queue[install->queue_head] = (struct pd_replica_chunk){NULL, 0};
    install->queue_head = (install->queue_head + 1) % PD_REPLICA_WINDOW_MAX;
    install->queue_count--;
    const struct pd_snapshot_chunk chunk = {.rows = {install->writing.bytes + PD_SNAPSHOT_ROWS_AT,
                                                     install->writing.size - PD_SNAPSHOT_ROWS_AT}};
    struct pd_span key;
    struct pd_span value;
    uint32_t count = 0;
    size_t at = 0;
    while (pd_snapshot_row(&chunk, &at, &key, &value)) {
        install->writes = pd_replica_grow(install->writes, &install->write_capacity, count + 1,
                                          sizeof install->writes[0]);
        install->writes[count++] = (struct pd_store_write){PD_STORE_PUT, key, value};
    }
    write_batch(replica, PD_REPLICA_INSTALL_ROWS, count, 0);
}

static void write_meta(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    install->writes =
        pd_replica_grow(install->writes, &install->write_capacity, 2, sizeof install->writes[0]);
    install->writes[0] = (struct pd_store_write){
        PD_STORE_PUT, {(const uint8_t *)"m", 1}, {install->meta.bytes, install->meta.size}};
    install->writes[1] =
        (struct pd_store_write){PD_STORE_PUT,
                                {(const uint8_t *)"r", 1},
                                {install->conf_bytes.bytes, install->conf_bytes.size}};
    write_batch(replica, PD_REPLICA_INSTALL_META, 2, 0);
}

void pd_replica_install_written(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    chunk_free(&install->writing);
    if (install->reset_is_due) {
        reset(replica);
        return;
    }
    switch (install->write) {
    case PD_REPLICA_INSTALL_ROWS:
        install->written++;
        install->state = PD_REPLICA_INSTALL_READY;
        install->progress_tick = replica->tick;
        answer_sender(replica, PD_REPLICA_CHUNK_TAKEN);
        break;
    case PD_REPLICA_INSTALL_META:
        install->state = PD_REPLICA_INSTALL_LOADING;
        install->is_load_begun = false;
        install->is_verifying = false;
        break;
    case PD_REPLICA_INSTALL_INDEX:
        replica->store_visible = install->chain.id.index;
        install->state = PD_REPLICA_INSTALL_FLUSHING;
        (void)pd_replica_emit(replica, PD_REPLICA_STORE_FLUSH);
        break;
    }
}

/* -- Judged ------------------------------------------------------------------------------------ */

static void is_unsound(struct pd_replica *replica, const char *why)
{
    pd_replica_note(replica,
                    "the snapshot of node %llu at entry %llu is not used: %s. Another member is "
                    "asked",
                    (unsigned long long)replica->install.from,
                    (unsigned long long)replica->install.chain.id.index, why);
    replica->install.unsound_from = replica->install.from;
    replica->install.unsound_tick = replica->tick;
    answer_sender(replica, PD_REPLICA_CHUNK_REFUSED);
    give_up(replica);
}

void pd_replica_install_unreadable(struct pd_replica *replica)
{
    if (replica->install.state == PD_REPLICA_INSTALL_LOADING) {
        is_unsound(replica, "its rows cannot be read from the store");
    }
}

static bool is_as_told(const struct pd_replica *replica)
{
    const struct pd_replica_install *install = &replica->install;
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    struct pd_span conf = pd_kv_conf(replica->kv);
    return kv.applied_index == install->chain.id.index && kv.applied_term == install->term &&
           conf.size == install->conf_bytes.size &&
           memcmp(conf.bytes, install->conf_bytes.bytes, conf.size) == 0;
}

static void begin_logging(struct pd_replica *replica);

/* true: there is more at once. */
static bool load(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    if (!install->is_load_begun) {
        install->is_load_begun = true;
        pd_kv_load_begin(replica->kv);
    }
    uint32_t budget = replica->config.apply_budget;
    switch (install->is_verifying ? pd_kv_verify_step(replica->kv, budget)
                                  : pd_kv_load_step(replica->kv, budget)) {
    case PD_KV_MORE:
        return true;
    case PD_KV_FETCH:
    case PD_KV_FULL:
        return false;
    case PD_KV_FAILED:
        if (pd_replica_version_stops(replica)) {
            return false;
        }
        is_unsound(replica, "its rows are not what its hashes say");
        return true;
    case PD_KV_DONE:
        break;
    }
    if (!is_as_told(replica)) {
        is_unsound(replica, "its rows are of another index or configuration");
        return true;
    }
    if (install->is_verifying || PD_MUTANT(NODE_INSTALL_UNVERIFIED)) {
        begin_logging(replica);
    } else {
        install->is_verifying = true;
        pd_kv_verify_begin(replica->kv);
    }
    return true;
}

/* -- Raft and the log are told ----------------------------------------------------------------- */

static struct pd_raft_snapshot_meta meta_of(const struct pd_replica_install *install)
{
    return (struct pd_raft_snapshot_meta){
        .index = install->chain.id.index, .term = install->term, .conf = install->conf};
}

static void tell_raft(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    struct pd_raft_snapshot_meta meta = meta_of(install);
    struct pd_raft_status *status = &replica->raft_status;
    enum pd_status restored = PD_OK;
    pd_raft_status(replica->raft, status);
    uint64_t first = status->first_index;
    if (install->end.is_for_raft) {
        const struct pd_raft_message message = {.type = PD_RAFT_MSG_SNAP,
                                                .group_id = replica->config.raft.group_id,
                                                .from = install->from,
                                                .to = replica->config.raft.id,
                                                .term = install->end.raft_term,
                                                .session = install->end.raft_session,
                                                .snapshot = &meta};
        /* What it makes of it shows in its commit index. */
        enum pd_status stepped = pd_raft_step(replica->raft, &message);
        (void)stepped;
    }
    pd_raft_status(replica->raft, status);
    if (status->hard_state.commit < meta.index) {
        PD_SOMETIMES(NODE_INSTALL_STALE_TERM, install->end.is_for_raft);
        restored = pd_raft_restore(replica->raft, &meta);
        pd_raft_status(replica->raft, status);
    }
    if (restored != PD_OK) {
        pd_replica_fatal(replica,
                         "the log contradicts the snapshot of node %llu at entry %llu: one of them "
                         "is of another history. Remove this node from its cluster and add it as a "
                         "new one",
                         (unsigned long long)install->from, (unsigned long long)meta.index);
        return;
    }
    install->is_told = true;
    install->is_replaced = status->first_index != first;
    if (status->first_index > meta.index) {
        /* Raft's log is replaced: whoever waited for entries before it will not hear of them. */
        pd_replica_proposals_lost(replica, 0);
        pd_replica_conf_save(replica, &meta.conf);
    } else {
        PD_SOMETIMES(NODE_INSTALL_FAST_FORWARD, true);
    }
}

/* Whether the log as it was found holds the snapshot's entry, and goes on from it. */
static bool log_joins(const struct pd_replica *replica)
{
    const struct pd_replica_install *install = &replica->install;
    uint64_t index = install->chain.id.index;
    if (replica->has_mark && replica->mark_index == index && replica->mark_term == install->term) {
        return true;
    }
    if (replica->recovered_count == 0 || index < replica->recovered[0].index) {
        return false;
    }
    uint64_t at = index - replica->recovered[0].index;
    return at < replica->recovered_count && replica->recovered[at].term == install->term;
}

/* There is no raft: its log begins with the snapshot, and what it may have promised stays. */
static void tell_log(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    struct pd_raft_snapshot_meta meta = meta_of(install);
    struct pd_raft_hard_state *state = &replica->hard_state;
    install->is_told = true;
    if (log_joins(replica)) {
        install->is_logged = true;
        return;
    }
    pd_replica_recovered_free(replica);
    replica->has_mark = true;
    replica->mark_index = meta.index;
    replica->mark_term = meta.term;
    replica->mark_conf = meta.conf;
    uint64_t term = install->sender_term > meta.term ? install->sender_term : meta.term;
    if (term > state->term) {
        /* A node without a log may have voted in any term that was; not in later ones. */
        *state = (struct pd_raft_hard_state){.term = term, .commit = state->commit};
    }
    state->commit = state->commit > meta.index ? state->commit : meta.index;
    replica->is_log_used = true;
    pd_replica_log_snapshot(replica, &meta);
    pd_replica_log_hard_state(replica);
    pd_replica_log_flush(replica);
}

static void begin_logging(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    install->state = PD_REPLICA_INSTALL_LOGGING;
    install->is_told = false;
    install->is_replaced = false;
    install->is_logged = false;
    if (PD_MUTANT(NODE_INSTALL_BEFORE_LOG)) {
        write_batch(replica, PD_REPLICA_INSTALL_INDEX, 0, install->chain.id.index);
        return;
    }
    if (replica->raft != NULL) {
        tell_raft(replica);
    } else {
        tell_log(replica);
    }
}

void pd_replica_install_logged(struct pd_replica *replica)
{
    if (replica->install.state == PD_REPLICA_INSTALL_LOGGING) {
        replica->install.is_logged = true;
    }
}

/* The log holds the snapshot's record, or the entry itself, durably. */
static bool is_in_log(struct pd_replica *replica)
{
    const struct pd_replica_install *install = &replica->install;
    if (install->is_logged || replica->raft == NULL) {
        return install->is_logged;
    }
    if (install->is_replaced) {
        return false;
    }
    /* The log may begin right behind it without a record on its way: with a state that was
     * installed before and is not there any more (seed 4191). */
    pd_raft_status(replica->raft, &replica->raft_status);
    uint64_t index = install->chain.id.index;
    return replica->raft_status.first_index <= index + 1 &&
           replica->raft_status.stable_index >= index;
}

/* -- The end ----------------------------------------------------------------------------------- */

static void finish(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    replica->store_durable = install->chain.id.index;
    replica->is_paused = false;
    replica->counters.snapshots_installed++;
    install->state = PD_REPLICA_INSTALL_NONE;
    install->is_dirty = false;
    install->done_transfer = install->transfer;
    install->done_from = install->from;
    install->transfer = 0;
    queue_clear(install);
    pd_replica_hash_forget(replica);
    answer(replica, install->done_from, install->done_transfer, install->chain.number,
           PD_REPLICA_CHUNK_DONE);
    pd_replica_note(replica, "the state at entry %llu was taken from node %llu",
                    (unsigned long long)install->chain.id.index,
                    (unsigned long long)install->done_from);
    if (replica->raft == NULL) {
        pd_replica_begin_raft(replica);
        return;
    }
    /* What the store holds is what others can be sent, should this node lead. */
    const struct pd_raft_snapshot_meta meta = meta_of(install);
    pd_raft_snapshot_available(replica->raft, &meta);
}

void pd_replica_install_flushed(struct pd_replica *replica, uint64_t durable_index)
{
    struct pd_replica_install *install = &replica->install;
    if (durable_index < install->chain.id.index) {
        return;
    }
    if (PD_MUTANT(NODE_INSTALL_BEFORE_LOG) && !install->is_told) {
        install->state = PD_REPLICA_INSTALL_LOGGING;
        if (replica->raft != NULL) {
            tell_raft(replica);
        } else {
            tell_log(replica);
        }
        return;
    }
    finish(replica);
}

bool pd_replica_install_step(struct pd_replica *replica)
{
    struct pd_replica_install *install = &replica->install;
    switch (install->state) {
    case PD_REPLICA_INSTALL_DRAINING:
        if (!is_drained(replica)) {
            return false;
        }
        reset(replica);
        return true;
    case PD_REPLICA_INSTALL_READY:
        if (install->transfer != 0 && install->queue_count > 0) {
            write_rows(replica);
            return true;
        }
        if (install->transfer != 0 && install->chain.is_ended) {
            write_meta(replica);
            return true;
        }
        return false;
    case PD_REPLICA_INSTALL_LOADING:
        return load(replica);
    case PD_REPLICA_INSTALL_LOGGING:
        if (!install->is_told || !is_in_log(replica)) {
            return false;
        }
        if (PD_MUTANT(NODE_INSTALL_BEFORE_LOG)) {
            finish(replica);
        } else {
            write_batch(replica, PD_REPLICA_INSTALL_INDEX, 0, install->chain.id.index);
        }
        return true;
    case PD_REPLICA_INSTALL_NONE:
    case PD_REPLICA_INSTALL_RESETTING:
    case PD_REPLICA_INSTALL_WRITING:
    case PD_REPLICA_INSTALL_FLUSHING:
        return false;
    }
    return false;
}
