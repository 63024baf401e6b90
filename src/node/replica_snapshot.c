/* The sender of snapshots: a view of the store at one index -> pages -> chunks in a window.
 *
 *   OPENING -> SENDING -> the peer has installed it, or refuses, or is silent too long
 *           \-> CLOSING <-/   while the store still owes an answer; then the view goes
 *
 * What it is  The view is of whatever index the store shows when it is opened: at or after the one
 *             that raft has named. Raft takes any acknowledgement that its log reaches from there
 *             (item 18). Only the head is sent at first: the peer has its store to empty.
 * Raft        Its MSG_SNAP never travels by itself: it would be believed before the rows are there.
 *             The last chunk carries the term and the session of the newest one, if this node still
 *             leads in that term, and the peer steps its raft with what they and the head say.
 * The log     Appends go on meanwhile. Nothing behind the view's index is cut from the log before
 *             the transfer ends (item 18) and the peer has had the time to answer an append:
 *             pd_replica_log_cut asks pd_replica_transfers_hold. When the log's window fills up all
 *             the same, the hold is let go: a peer that then finds a gap is sent another snapshot,
 *             but no client waits.
 * Members     Only who is a member at the view's index is sent one, else its raft would refuse it.
 *             A voter whose log is gone gets none: it could vote twice (RethinkDB).
 * Newcomers   Who has no log and is a learner here may be a voter elsewhere: a member that is
 *             behind does not know yet. So only a leader serves it, after a round that says that
 *             it still leads, and with no change of the membership in its log that is not applied:
 *             then nobody has made a voter of it before it asked. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "node/replica_internal.h"

#define PATIENCE 4u /* times snapshot_ticks */

static bool is_among(const pd_raft_node *nodes, uint32_t count, pd_raft_node node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i] == node) {
            return true;
        }
    }
    return false;
}

bool pd_replica_is_voter(const struct pd_raft_conf *conf, pd_raft_node node)
{
    return is_among(conf->voters, conf->voter_count, node) ||
           is_among(conf->voters_outgoing, conf->voter_outgoing_count, node);
}

bool pd_replica_is_member(const struct pd_raft_conf *conf, pd_raft_node node)
{
    return pd_replica_is_voter(conf, node) || is_among(conf->learners, conf->learner_count, node);
}

static struct pd_replica_transfer *find(struct pd_replica *replica, uint64_t id)
{
    for (uint32_t i = 0; i < PD_REPLICA_TRANSFERS_MAX; i++) {
        struct pd_replica_transfer *transfer = &replica->transfers[i];
        if (transfer->state != PD_REPLICA_TRANSFER_FREE && transfer->id == id) {
            return transfer;
        }
    }
    return NULL;
}

/* -- End --------------------------------------------------------------------------------------- */

static void window_free(struct pd_replica_transfer *transfer)
{
    for (uint32_t i = 0; i < PD_REPLICA_WINDOW_MAX; i++) {
        pd_free(transfer->window[i].bytes);
        transfer->window[i] = (struct pd_replica_chunk){NULL, 0};
    }
}

static void view_close(struct pd_replica *replica, struct pd_replica_transfer *transfer)
{
    if (transfer->is_view_open) {
        transfer->is_view_open = false;
        pd_replica_emit(replica, PD_REPLICA_SNAPSHOT_CLOSE)->transfer = transfer->id;
    }
}

static void end(struct pd_replica *replica, struct pd_replica_transfer *transfer, bool is_done)
{
    window_free(transfer);
    if ((transfer->is_for_raft || is_done) && replica->raft != NULL) {
        pd_raft_report_snapshot(replica->raft, transfer->to, is_done ? transfer->index : 0);
    }
    if (is_done) {
        transfer->done_index = transfer->index;
        transfer->done_tick = replica->tick;
    }
    transfer->is_for_raft = false;
    replica->counters.snapshots_sent += is_done ? 1 : 0;
    if (transfer->state == PD_REPLICA_TRANSFER_OPENING || transfer->is_reading) {
        transfer->state = PD_REPLICA_TRANSFER_CLOSING;
        return;
    }
    view_close(replica, transfer);
    transfer->state = PD_REPLICA_TRANSFER_FREE;
}

void pd_replica_transfers_stop(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_TRANSFERS_MAX; i++) {
        enum pd_replica_transfer_state state = replica->transfers[i].state;
        if (state == PD_REPLICA_TRANSFER_OPENING || state == PD_REPLICA_TRANSFER_SENDING) {
            end(replica, &replica->transfers[i], false);
        }
    }
}

bool pd_replica_transfers_are_over(const struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_TRANSFERS_MAX; i++) {
        if (replica->transfers[i].state != PD_REPLICA_TRANSFER_FREE) {
            return false;
        }
    }
    return true;
}

void pd_replica_transfers_free(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_TRANSFERS_MAX; i++) {
        window_free(&replica->transfers[i]);
        pd_free(replica->transfers[i].low.bytes);
    }
}

uint64_t pd_replica_transfers_hold(const struct pd_replica *replica)
{
    uint64_t hold = UINT64_MAX;
    if (pd_raft_log_fill(replica->raft) >= PD_REPLICA_LOG_FILL_MAX) {
        return hold;
    }
    for (uint32_t i = 0; i < PD_REPLICA_TRANSFERS_MAX; i++) {
        const struct pd_replica_transfer *transfer = &replica->transfers[i];
        uint64_t index = transfer->state == PD_REPLICA_TRANSFER_OPENING   ? replica->cut_index
                         : transfer->state == PD_REPLICA_TRANSFER_SENDING ? transfer->index
                                                                          : UINT64_MAX;
        hold = index < hold ? index : hold;
        bool is_fresh = transfer->done_index != 0 &&
                        replica->tick - transfer->done_tick <= replica->config.raft.election_ticks;
        hold = is_fresh && transfer->done_index < hold ? transfer->done_index : hold;
    }
    return hold;
}

/* -- Begin ------------------------------------------------------------------------------------- */

static struct pd_replica_transfer *find_slot(struct pd_replica *replica, pd_raft_node to)
{
    struct pd_replica_transfer *slot = NULL;
    for (uint32_t i = 0; i < PD_REPLICA_TRANSFERS_MAX; i++) {
        struct pd_replica_transfer *transfer = &replica->transfers[i];
        bool is_live = transfer->state == PD_REPLICA_TRANSFER_OPENING ||
                       transfer->state == PD_REPLICA_TRANSFER_SENDING;
        if (is_live && transfer->to == to) {
            return transfer;
        }
        if (transfer->state == PD_REPLICA_TRANSFER_FREE) {
            slot = transfer;
        }
    }
    return slot;
}

void pd_replica_transfer_begin(struct pd_replica *replica, pd_raft_node to, bool is_for_raft,
                               uint64_t raft_term, uint64_t raft_session)
{
    struct pd_replica_transfer *transfer = find_slot(replica, to);
    if (transfer == NULL || replica->install.state != PD_REPLICA_INSTALL_NONE) {
        if (is_for_raft) {
            pd_raft_report_snapshot(replica->raft, to, 0); /* it asks again after a while */
        }
        return;
    }
    if (transfer->state == PD_REPLICA_TRANSFER_FREE) {
        struct pd_replica_bytes low = transfer->low;
        uint64_t done_index = transfer->done_index;
        uint64_t done_tick = transfer->done_tick;
        *transfer = (struct pd_replica_transfer){
            .state = PD_REPLICA_TRANSFER_OPENING,
            .id = ++replica->transfer_next,
            .to = to,
            .low = low,
            .done_index = done_index,
            .done_tick = done_tick,
            .page_bytes = replica->config.snapshot_chunk_bytes,
            .progress_tick = replica->tick,
            .sent_tick = replica->tick,
        };
        pd_replica_emit(replica, PD_REPLICA_SNAPSHOT_OPEN)->transfer = transfer->id;
    }
    if (is_for_raft) {
        transfer->is_for_raft = true;
        transfer->raft_term = raft_term;
        transfer->raft_session = raft_session;
    }
}

/* A change of the membership is in the log and not applied: who is a voter is open. */
static bool is_changing(const struct pd_replica *replica)
{
    struct pd_raft_entry entry;
    for (uint64_t index = replica->apply_raft + 1;
         pd_raft_entry_at(replica->raft, index, &entry) == PD_OK; index++) {
        if (entry.type != PD_RAFT_ENTRY_NORMAL) {
            return true;
        }
    }
    return false;
}

static void want_of_newcomer(struct pd_replica *replica, pd_raft_node from)
{
    if (PD_MUTANT(NODE_NEWCOMER_UNCONFIRMED)) {
        pd_replica_transfer_begin(replica, from, false, 0, 0);
        return;
    }
    uint64_t context = PD_REPLICA_NEWCOMER_ROUND | (replica->newcomer_round + 1);
    if (replica->role != PD_RAFT_LEADER || pd_raft_read_index(replica->raft, context) != PD_OK) {
        return; /* it asks the leader in its turn, or again */
    }
    replica->newcomer_round++;
    replica->newcomer = from;
}

void pd_replica_newcomer_ready(struct pd_replica *replica, uint64_t context)
{
    pd_raft_node to = replica->newcomer;
    if (to == 0 || context != (PD_REPLICA_NEWCOMER_ROUND | replica->newcomer_round)) {
        return; /* another one has asked since */
    }
    replica->newcomer = 0;
    if (replica->role == PD_RAFT_LEADER && !is_changing(replica) &&
        pd_replica_is_member(&replica->conf, to) && !pd_replica_is_voter(&replica->conf, to)) {
        pd_replica_transfer_begin(replica, to, false, 0, 0);
    }
}

/* A node whose state is gone asks everybody in turn. */
void pd_replica_want(struct pd_replica *replica, pd_raft_node from, struct pd_span body)
{
    if (body.size != PD_REPLICA_WANT_SIZE || body.bytes[8] > PD_REPLICA_WANT_HAS_LOG) {
        replica->counters.messages_dropped++;
        return;
    }
    if (replica->phase != PD_REPLICA_RUNNING || replica->raft == NULL ||
        !pd_replica_is_member(&replica->conf, from) ||
        replica->store_visible < pd_get_u64(body.bytes)) {
        return; /* it asks somebody else, or again */
    }
    bool has_log = body.bytes[8] == PD_REPLICA_WANT_HAS_LOG;
    if (!has_log && pd_replica_is_voter(&replica->conf, from) &&
        !PD_MUTANT(NODE_WIPED_VOTER_SERVED)) {
        if (replica->wiped_told != from) {
            pd_replica_note(replica,
                            "node %llu is a voter and has lost its log: it could vote twice, so it "
                            "is given no state. Remove it from the cluster and add it as a new one",
                            (unsigned long long)from);
        }
        replica->wiped_told = from;
        return;
    }
    if (!has_log) {
        want_of_newcomer(replica, from);
        return;
    }
    pd_replica_transfer_begin(replica, from, false, 0, 0);
}

/* -- Sending ----------------------------------------------------------------------------------- */

static void send_chunk(struct pd_replica *replica, const struct pd_replica_transfer *transfer,
                       uint64_t number)
{
    const struct pd_replica_chunk *chunk = &transfer->window[number % PD_REPLICA_WINDOW_MAX];
    uint8_t *to = pd_replica_emit_frame(replica, PD_REPLICA_FRAME_CHUNK, transfer->to, chunk->size);
    memcpy(to, chunk->bytes, chunk->size);
}

static void resend(struct pd_replica *replica, struct pd_replica_transfer *transfer)
{
    transfer->sent_tick = replica->tick;
    for (uint64_t number = transfer->acked; number < transfer->chain.number; number++) {
        send_chunk(replica, transfer, number);
    }
}

/* Room for the next chunk; NULL: no memory. */
static uint8_t *next_chunk(struct pd_replica_transfer *transfer, size_t size)
{
    struct pd_replica_chunk *chunk =
        &transfer->window[transfer->chain.number % PD_REPLICA_WINDOW_MAX];
    pd_assert(transfer->chain.number - transfer->acked < PD_REPLICA_WINDOW_MAX);
    pd_assert(chunk->bytes == NULL);
    chunk->bytes = pd_alloc(size);
    chunk->size = size;
    return chunk->bytes;
}

static void set_low(struct pd_replica_transfer *transfer, struct pd_span key, bool behind)
{
    transfer->low.size = 0;
    uint8_t *to = pd_replica_bytes_add(&transfer->low, key.size + (behind ? 1 : 0));
    memcpy(to, key.bytes, key.size);
    if (behind) {
        to[key.size] = 0;
    }
}

static void read_page(struct pd_replica *replica, struct pd_replica_transfer *transfer)
{
    transfer->is_reading = true;
    struct pd_replica_output *output = pd_replica_emit(replica, PD_REPLICA_SNAPSHOT_READ);
    output->transfer = transfer->id;
    output->fetch.low = (struct pd_span){transfer->low.bytes, transfer->low.size};
    output->fetch.bytes_max = transfer->page_bytes;
}

static void make_end(struct pd_replica *replica, struct pd_replica_transfer *transfer)
{
    bool is_for_raft = transfer->is_for_raft && replica->role == PD_RAFT_LEADER &&
                       replica->term == transfer->raft_term;
    const struct pd_snapshot_end last = {
        .is_for_raft = is_for_raft,
        .raft_term = is_for_raft ? transfer->raft_term : 0,
        .raft_session = is_for_raft ? transfer->raft_session : 0,
    };
    uint64_t number = transfer->chain.number;
    uint8_t *bytes = next_chunk(transfer, PD_SNAPSHOT_END_SIZE);
    if (bytes == NULL) {
        end(replica, transfer, false);
        return;
    }
    pd_snapshot_put_end(&transfer->chain, bytes, &last);
    send_chunk(replica, transfer, number);
}

/* Whatever can be done now. */
static void go_on(struct pd_replica *replica, struct pd_replica_transfer *transfer)
{
    uint64_t under_way = transfer->chain.number - transfer->acked;
    if (transfer->state != PD_REPLICA_TRANSFER_SENDING || transfer->is_reading ||
        transfer->chain.is_ended || transfer->acked == 0 ||
        under_way >= replica->config.snapshot_window) {
        return;
    }
    if (transfer->is_read) {
        make_end(replica, transfer);
    } else {
        read_page(replica, transfer);
    }
}

/* -- Rows -------------------------------------------------------------------------------------- */

/* The next row of a page; false: none, or the page is not one. */
static bool page_row(const struct pd_store_page *page, size_t *at, struct pd_span *key_out,
                     struct pd_span *value_out)
{
    struct pd_snapshot_chunk rows = {.rows = {page->bytes, page->size}};
    return pd_snapshot_row(&rows, at, key_out, value_out);
}

bool pd_replica_row_travels(struct pd_span key)
{
    uint8_t letter = key.size == 0 ? 0 : key.bytes[0];
    return letter != 'c' && !(key.size == 1 && (letter == 'm' || letter == 'r'));
}

bool pd_replica_snapshot_head(struct pd_replica *replica, const struct pd_store_page *page,
                              uint64_t index, uint8_t room[PD_RAFT_WIRE_CONF_SIZE_MAX],
                              struct pd_snapshot_head *head_out, struct pd_raft_conf *conf_out)
{
    struct pd_snapshot_head head = {.sender_term = replica->term};
    struct pd_span key;
    struct pd_span value;
    size_t at = 0;
    while (page_row(page, &at, &key, &value) && key.size == 1) {
        head.meta = key.bytes[0] == 'm' ? value : head.meta;
        head.conf = key.bytes[0] == 'r' ? value : head.conf;
    }
    if (head.conf.size == 0) {
        /* No change was ever applied: the cluster is as it began. */
        head.conf = (struct pd_span){room, pd_raft_wire_conf_put(room, &replica->mark_conf)};
    }
    uint64_t meta_index = 0;
    if (!pd_kv_meta_row(head.meta, &meta_index, &head.term) || meta_index != index ||
        pd_raft_wire_conf_get(head.conf, conf_out) != PD_OK) {
        pd_replica_note(replica, "the store's own account of its state is damaged: no snapshot can "
                                 "be taken of it");
        return false;
    }
    *head_out = head;
    return true;
}

uint32_t pd_replica_snapshot_rows_copy(const struct pd_store_page *page, uint8_t *rows,
                                       size_t *size_out, struct pd_span *last_out)
{
    struct pd_span key = {NULL, 0};
    struct pd_span value;
    uint32_t count = 0;
    size_t at = 0;
    *size_out = 0;
    while (page_row(page, &at, &key, &value)) {
        if (pd_replica_row_travels(key)) {
            *size_out = pd_snapshot_put_row(rows, *size_out, key, value);
            count++;
        }
    }
    *last_out = key;
    return count;
}

static bool make_head(struct pd_replica *replica, struct pd_replica_transfer *transfer,
                      const struct pd_store_page *page)
{
    struct pd_snapshot_head head;
    struct pd_raft_conf conf;
    uint8_t room[PD_RAFT_WIRE_CONF_SIZE_MAX];
    if (!pd_replica_snapshot_head(replica, page, transfer->index, room, &head, &conf)) {
        return false;
    }
    if (!pd_replica_is_member(&conf, transfer->to)) {
        return false; /* the store does not show yet that it was added: soon */
    }
    const struct pd_snapshot_id id = {.cluster_id = replica->config.cluster_id,
                                      .group_id = replica->config.raft.group_id,
                                      .transfer = transfer->id,
                                      .index = transfer->index};
    pd_snapshot_chain_init(&transfer->chain, &id);
    uint8_t *bytes = next_chunk(transfer, pd_snapshot_head_size(&head));
    if (bytes == NULL) {
        return false;
    }
    pd_snapshot_put_head(&transfer->chain, bytes, &head);
    transfer->low.size = 0;
    send_chunk(replica, transfer, 0);
    return true;
}

static bool make_rows(struct pd_replica *replica, struct pd_replica_transfer *transfer,
                      const struct pd_store_page *page)
{
    uint64_t number = transfer->chain.number;
    uint8_t *bytes = next_chunk(transfer, PD_SNAPSHOT_ROWS_AT + page->size);
    if (bytes == NULL) {
        return false;
    }
    struct pd_replica_chunk *chunk = &transfer->window[number % PD_REPLICA_WINDOW_MAX];
    size_t size = 0;
    struct pd_span last;
    uint32_t count = pd_replica_snapshot_rows_copy(page, bytes + PD_SNAPSHOT_ROWS_AT, &size, &last);
    if (last.size > 0) {
        set_low(transfer, last, true);
    }
    if (count == 0) {
        pd_free(bytes);
        *chunk = (struct pd_replica_chunk){NULL, 0};
    } else {
        pd_snapshot_seal_rows(&transfer->chain, bytes, count, size);
        chunk->size = PD_SNAPSHOT_ROWS_AT + size;
        send_chunk(replica, transfer, number);
    }
    if (page->is_complete || page->row_count == 0) {
        transfer->is_read = true;
        view_close(replica, transfer);
    }
    return true;
}

/* -- Events ------------------------------------------------------------------------------------ */

/* The transfer is over already and only waited for this answer. */
static bool was_owed(struct pd_replica *replica, struct pd_replica_transfer *transfer)
{
    if (transfer->state != PD_REPLICA_TRANSFER_CLOSING) {
        return false;
    }
    view_close(replica, transfer);
    transfer->state = PD_REPLICA_TRANSFER_FREE;
    return true;
}

void pd_replica_snapshot_opened(struct pd_replica *replica, uint64_t id, enum pd_status status,
                                uint64_t index)
{
    struct pd_replica_transfer *transfer = find(replica, id);
    if (replica->phase == PD_REPLICA_DEAD || pd_replica_backup_opened(replica, id, status, index) ||
        transfer == NULL) {
        return;
    }
    transfer->is_view_open = status == PD_OK;
    if (was_owed(replica, transfer)) {
        return;
    }
    pd_assert(transfer->state == PD_REPLICA_TRANSFER_OPENING);
    transfer->state = PD_REPLICA_TRANSFER_SENDING;
    transfer->index = index;
    transfer->progress_tick = replica->tick;
    if (status != PD_OK || index == 0) {
        end(replica, transfer, false);
        return;
    }
    const struct pd_span meta = {(const uint8_t *)"m", 1};
    set_low(transfer, meta, false);
    read_page(replica, transfer);
}

void pd_replica_snapshot_rows(struct pd_replica *replica, uint64_t id, enum pd_status status,
                              const struct pd_store_page *page)
{
    struct pd_replica_transfer *transfer = find(replica, id);
    if (replica->phase == PD_REPLICA_DEAD || pd_replica_backup_rows(replica, id, status, page) ||
        transfer == NULL) {
        return;
    }
    pd_assert(transfer->is_reading);
    transfer->is_reading = false;
    if (was_owed(replica, transfer)) {
        return;
    }
    transfer->progress_tick = replica->tick;
    size_t row_max = pd_kv_row_bytes_max(replica->kv) + PD_SNAPSHOT_ROW_HEAD_SIZE;
    if (status == PD_ERR_RANGE && transfer->page_bytes < row_max) {
        transfer->page_bytes = row_max; /* one row is larger than a chunk: it travels whole */
        read_page(replica, transfer);
        return;
    }
    bool is_good =
        status == PD_OK && (transfer->chain.number == 0 ? make_head(replica, transfer, page)
                                                        : make_rows(replica, transfer, page));
    if (status != PD_OK) {
        pd_replica_note(replica, "the store's rows cannot be read for a snapshot: %s",
                        pd_status_text(status));
    }
    if (!is_good) {
        end(replica, transfer, false);
        return;
    }
    transfer->page_bytes = replica->config.snapshot_chunk_bytes;
    go_on(replica, transfer);
}

static void forget_acked(struct pd_replica_transfer *transfer, uint64_t next)
{
    for (; transfer->acked < next; transfer->acked++) {
        struct pd_replica_chunk *chunk = &transfer->window[transfer->acked % PD_REPLICA_WINDOW_MAX];
        pd_free(chunk->bytes);
        *chunk = (struct pd_replica_chunk){NULL, 0};
    }
}

void pd_replica_transfer_ack(struct pd_replica *replica, pd_raft_node from, struct pd_span body)
{
    if (body.size != PD_REPLICA_CHUNK_ACK_SIZE || body.bytes[16] < PD_REPLICA_CHUNK_TAKEN ||
        body.bytes[16] > PD_REPLICA_CHUNK_REFUSED) {
        replica->counters.messages_dropped++;
        return;
    }
    struct pd_replica_transfer *transfer = find(replica, pd_get_u64(body.bytes));
    uint64_t next = pd_get_u64(body.bytes + 8);
    if (transfer == NULL || transfer->state != PD_REPLICA_TRANSFER_SENDING ||
        transfer->to != from || transfer->chain.number == 0 || next > transfer->chain.number) {
        return; /* of one that is over */
    }
    if (next > transfer->acked) {
        forget_acked(transfer, next);
        transfer->progress_tick = replica->tick;
    }
    switch ((enum pd_replica_chunk_answer)body.bytes[16]) {
    case PD_REPLICA_CHUNK_TAKEN:
        break;
    case PD_REPLICA_CHUNK_AGAIN:
        if (transfer->sent_tick != replica->tick) {
            PD_SOMETIMES(NODE_CHUNK_RESENT, true);
            resend(replica, transfer);
        }
        break;
    case PD_REPLICA_CHUNK_WORKING:
        transfer->progress_tick = replica->tick;
        break;
    case PD_REPLICA_CHUNK_DONE:
        end(replica, transfer, true);
        return;
    case PD_REPLICA_CHUNK_REFUSED:
        end(replica, transfer, false);
        return;
    }
    go_on(replica, transfer);
}

void pd_replica_transfers_tick(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_TRANSFERS_MAX; i++) {
        struct pd_replica_transfer *transfer = &replica->transfers[i];
        if (transfer->state != PD_REPLICA_TRANSFER_SENDING || transfer->is_reading) {
            continue;
        }
        uint64_t idle = replica->tick - transfer->progress_tick;
        if (idle > PATIENCE * (uint64_t)replica->config.snapshot_ticks) {
            PD_SOMETIMES(NODE_TRANSFER_GIVEN_UP, true);
            end(replica, transfer, false);
        } else if (idle >= replica->config.snapshot_ticks &&
                   replica->tick - transfer->sent_tick >= replica->config.snapshot_ticks) {
            PD_SOMETIMES(NODE_CHUNK_RESENT, true);
            resend(replica, transfer);
        }
    }
}
