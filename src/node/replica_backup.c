/* Snapshots for clients: backups.
 *
 *   WAITING -> OPENING -> READING <-> HELD -> ... -> the END chunk was given
 *   for the    the view   a page      a chunk is
 *   store to   is         becomes a   asked for
 *   show what  opened     chunk
 *   is applied
 *              \-> CLOSING <-/   over, and the store still owes an answer; then the view goes
 *
 * Model      The client asks for one chunk after the other (PD_REPLICA_REQUEST_SNAPSHOT), so it
 *            sets the pace, and nothing gathers here: a chunk is read when it is asked for, on a
 *            reader's thread, and is copied into its answer. The view is of one index, whatever is
 *            written meanwhile; it costs the store what it would have given up since.
 * Content    All that was applied here when the snapshot was asked for: so also what the store did
 *            not show yet, which is waited for. No leader is needed: what is left of a cluster can
 *            still be saved.
 * Bounds     PD_REPLICA_BACKUPS_MAX at once, each given up when no chunk was asked for in a while,
 *            or the client is gone. The log is not held for them. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/replica_internal.h"

#define PATIENCE 300u /* times snapshot_ticks: a minute, as shipped */

static struct pd_replica_backup *find(struct pd_replica *replica, uint64_t id)
{
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX; i++) {
        struct pd_replica_backup *backup = &replica->backups[i];
        if (backup->state != PD_REPLICA_BACKUP_FREE && backup->id == id) {
            return backup;
        }
    }
    return NULL;
}

static bool is_live(const struct pd_replica_backup *backup)
{
    return backup->state != PD_REPLICA_BACKUP_FREE && backup->state != PD_REPLICA_BACKUP_CLOSING;
}

static struct pd_replica_backup *find_of(struct pd_replica *replica, uint64_t client,
                                         uint64_t number)
{
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX; i++) {
        struct pd_replica_backup *backup = &replica->backups[i];
        if (is_live(backup) && backup->client == client && backup->number == number) {
            return backup;
        }
    }
    return NULL;
}

/* -- End --------------------------------------------------------------------------------------- */

static void view_close(struct pd_replica *replica, struct pd_replica_backup *backup)
{
    if (backup->is_view_open) {
        backup->is_view_open = false;
        pd_replica_emit(replica, PD_REPLICA_SNAPSHOT_CLOSE)->transfer = backup->id;
    }
}

static void end(struct pd_replica *replica, struct pd_replica_backup *backup)
{
    if (backup->state == PD_REPLICA_BACKUP_OPENING || backup->state == PD_REPLICA_BACKUP_READING) {
        backup->state = PD_REPLICA_BACKUP_CLOSING;
        return;
    }
    view_close(replica, backup);
    backup->state = PD_REPLICA_BACKUP_FREE;
}

static void fail(struct pd_replica *replica, struct pd_replica_backup *backup,
                 enum pd_replica_outcome outcome, const char *text)
{
    if (backup->is_asked) {
        backup->is_asked = false;
        pd_replica_answer_text(replica, backup->client, backup->correlation, outcome, text);
    }
    end(replica, backup);
}

void pd_replica_backups_stop(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX; i++) {
        if (is_live(&replica->backups[i])) {
            fail(replica, &replica->backups[i], PD_REPLICA_NOT_READY,
                 "this node is fetching its state from another member");
        }
    }
}

bool pd_replica_backups_are_over(const struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX; i++) {
        if (replica->backups[i].state != PD_REPLICA_BACKUP_FREE) {
            return false;
        }
    }
    return true;
}

void pd_replica_backups_free(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX; i++) {
        pd_free(replica->backups[i].low.bytes);
    }
}

void pd_replica_backup_end(struct pd_replica *replica, uint64_t client, uint64_t number)
{
    struct pd_replica_backup *backup = find_of(replica, client, number);
    if (backup != NULL) {
        backup->is_asked = false;
        end(replica, backup);
    }
}

void pd_replica_backups_client_gone(struct pd_replica *replica, uint64_t client)
{
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX; i++) {
        struct pd_replica_backup *backup = &replica->backups[i];
        if (is_live(backup) && backup->client == client) {
            backup->is_asked = false;
            end(replica, backup);
        }
    }
}

void pd_replica_backups_tick(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX; i++) {
        struct pd_replica_backup *backup = &replica->backups[i];
        uint64_t idle = replica->tick - backup->progress_tick;
        if (backup->state == PD_REPLICA_BACKUP_HELD &&
            idle > PATIENCE * (uint64_t)replica->config.snapshot_ticks) {
            end(replica, backup);
        } else if (backup->state == PD_REPLICA_BACKUP_WAITING &&
                   idle >= replica->config.request_ticks_max) {
            fail(replica, backup, PD_REPLICA_NOT_READY,
                 "the store is far behind what was applied: is its disk full, or slow?");
        }
    }
}

/* -- Begin ------------------------------------------------------------------------------------- */

static void begin(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                  uint64_t number)
{
    struct pd_replica_backup *backup = NULL;
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX && backup == NULL; i++) {
        if (replica->backups[i].state == PD_REPLICA_BACKUP_FREE) {
            backup = &replica->backups[i];
        }
    }
    if (backup == NULL) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_BUSY,
                               "as many snapshots are under way as may be: try again");
        return;
    }
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    struct pd_replica_bytes low = backup->low;
    *backup = (struct pd_replica_backup){.state = PD_REPLICA_BACKUP_WAITING,
                                         .id = ++replica->transfer_next,
                                         .client = client,
                                         .correlation = correlation,
                                         .number = number,
                                         .is_asked = true,
                                         .index = kv.applied_index,
                                         .low = low,
                                         .page_bytes = replica->config.snapshot_chunk_bytes,
                                         .progress_tick = replica->tick};
}

void pd_replica_backups_step(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < PD_REPLICA_BACKUPS_MAX; i++) {
        struct pd_replica_backup *backup = &replica->backups[i];
        if (backup->state == PD_REPLICA_BACKUP_WAITING && backup->index == 0) {
            struct pd_kv_status kv;
            pd_kv_status(replica->kv, &kv);
            backup->index = kv.applied_index; /* of a cluster that has only begun */
        }
        if (backup->state == PD_REPLICA_BACKUP_WAITING && backup->index > 0 &&
            replica->store_visible >= backup->index &&
            replica->install.state == PD_REPLICA_INSTALL_NONE) {
            backup->state = PD_REPLICA_BACKUP_OPENING;
            pd_replica_emit(replica, PD_REPLICA_SNAPSHOT_OPEN)->transfer = backup->id;
        }
    }
}

/* -- Chunks ------------------------------------------------------------------------------------ */

static void set_low(struct pd_replica_backup *backup, struct pd_span key, bool behind)
{
    backup->low.size = 0;
    uint8_t *to = pd_replica_bytes_add(&backup->low, key.size + (behind ? 1 : 0));
    memcpy(to, key.bytes, key.size);
    if (behind) {
        to[key.size] = 0;
    }
}

static void read_page(struct pd_replica *replica, struct pd_replica_backup *backup)
{
    backup->state = PD_REPLICA_BACKUP_READING;
    struct pd_replica_output *output = pd_replica_emit(replica, PD_REPLICA_SNAPSHOT_READ);
    output->transfer = backup->id;
    output->fetch.low = (struct pd_span){backup->low.bytes, backup->low.size};
    output->fetch.bytes_max = backup->page_bytes;
}

static void give(struct pd_replica *replica, struct pd_replica_backup *backup, const uint8_t *bytes,
                 size_t size)
{
    pd_assert(backup->is_asked);
    backup->is_asked = false;
    backup->state = PD_REPLICA_BACKUP_HELD;
    backup->progress_tick = replica->tick;
    pd_replica_answer(replica, backup->client, backup->correlation, PD_REPLICA_OK,
                      (struct pd_span){bytes, size});
}

static void give_end(struct pd_replica *replica, struct pd_replica_backup *backup)
{
    uint8_t bytes[PD_SNAPSHOT_END_SIZE];
    pd_snapshot_put_end(&backup->chain, bytes, &(struct pd_snapshot_end){.is_for_raft = false});
    give(replica, backup, bytes, sizeof bytes);
    end(replica, backup);
}

static bool give_head(struct pd_replica *replica, struct pd_replica_backup *backup,
                      const struct pd_store_page *page)
{
    struct pd_snapshot_head head;
    struct pd_raft_conf conf;
    uint8_t room[PD_RAFT_WIRE_CONF_SIZE_MAX];
    if (!pd_replica_snapshot_head(replica, page, backup->index, room, &head, &conf)) {
        return false;
    }
    const struct pd_snapshot_id id = {.cluster_id = replica->config.cluster_id,
                                      .group_id = replica->config.raft.group_id,
                                      .transfer = backup->id,
                                      .index = backup->index};
    pd_snapshot_chain_init(&backup->chain, &id);
    size_t size = pd_snapshot_head_size(&head);
    uint8_t *bytes = pd_alloc(size);
    if (bytes == NULL) {
        return false;
    }
    pd_snapshot_put_head(&backup->chain, bytes, &head);
    backup->low.size = 0;
    give(replica, backup, bytes, size);
    pd_free(bytes);
    return true;
}

static bool give_rows(struct pd_replica *replica, struct pd_replica_backup *backup,
                      const struct pd_store_page *page)
{
    uint8_t *bytes = pd_alloc(PD_SNAPSHOT_ROWS_AT + page->size);
    if (bytes == NULL) {
        return false;
    }
    size_t size = 0;
    struct pd_span last = {NULL, 0};
    uint32_t count = pd_replica_snapshot_rows_copy(page, bytes + PD_SNAPSHOT_ROWS_AT, &size, &last);
    if (last.size > 0) {
        set_low(backup, last, true);
    }
    if (page->is_complete || page->row_count == 0) {
        backup->is_read = true;
        view_close(replica, backup);
    }
    if (count > 0) {
        pd_snapshot_seal_rows(&backup->chain, bytes, count, size);
        give(replica, backup, bytes, PD_SNAPSHOT_ROWS_AT + size);
    } else if (backup->is_read) {
        backup->state = PD_REPLICA_BACKUP_HELD;
        give_end(replica, backup);
    } else {
        read_page(replica, backup); /* nothing of this page travels */
    }
    pd_free(bytes);
    return true;
}

/* -- Events ------------------------------------------------------------------------------------ */

bool pd_replica_backup_opened(struct pd_replica *replica, uint64_t id, enum pd_status status,
                              uint64_t index)
{
    static const uint8_t meta = 'm';
    struct pd_replica_backup *backup = find(replica, id);
    if (backup == NULL) {
        return false;
    }
    backup->is_view_open = status == PD_OK;
    if (backup->state == PD_REPLICA_BACKUP_CLOSING) {
        view_close(replica, backup);
        backup->state = PD_REPLICA_BACKUP_FREE;
        return true;
    }
    pd_assert(backup->state == PD_REPLICA_BACKUP_OPENING);
    backup->state = PD_REPLICA_BACKUP_HELD;
    if (status != PD_OK || index < backup->index) {
        fail(replica, backup, PD_REPLICA_BUSY, "the store cannot hold a snapshot now: try again");
        return true;
    }
    backup->index = index;
    set_low(backup, (struct pd_span){&meta, 1}, false);
    read_page(replica, backup);
    return true;
}

bool pd_replica_backup_rows(struct pd_replica *replica, uint64_t id, enum pd_status status,
                            const struct pd_store_page *page)
{
    struct pd_replica_backup *backup = find(replica, id);
    if (backup == NULL) {
        return false;
    }
    if (backup->state == PD_REPLICA_BACKUP_CLOSING) {
        view_close(replica, backup);
        backup->state = PD_REPLICA_BACKUP_FREE;
        return true;
    }
    pd_assert(backup->state == PD_REPLICA_BACKUP_READING);
    backup->state = PD_REPLICA_BACKUP_HELD;
    size_t row_max = pd_kv_row_bytes_max(replica->kv) + PD_SNAPSHOT_ROW_HEAD_SIZE;
    if (status == PD_ERR_RANGE && backup->page_bytes < row_max) {
        backup->page_bytes = row_max; /* one row is larger than a chunk: it travels whole */
        read_page(replica, backup);
        return true;
    }
    backup->page_bytes = replica->config.snapshot_chunk_bytes;
    if (status != PD_OK || !(backup->chain.number == 0 ? give_head(replica, backup, page)
                                                       : give_rows(replica, backup, page))) {
        pd_replica_note(replica, "the store's rows cannot be read for a backup: %s",
                        pd_status_text(status == PD_OK ? PD_ERR_NO_MEMORY : status));
        fail(replica, backup, PD_REPLICA_BUSY, "the store's rows cannot be read");
    }
    return true;
}

void pd_replica_backup(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                       const struct pd_replica_request_head *head)
{
    struct pd_replica_backup *backup = find_of(replica, client, head->number);
    if (backup == NULL && head->sequence == 0) {
        begin(replica, client, correlation, head->number);
        return;
    }
    if (backup == NULL || backup->state != PD_REPLICA_BACKUP_HELD ||
        head->sequence != backup->chain.number) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_INVALID,
                               "no such chunk of a snapshot can be given now: it is over, or was "
                               "given up because nobody asked for its next chunk for a minute");
        return;
    }
    backup->is_asked = true;
    backup->correlation = correlation;
    backup->progress_tick = replica->tick;
    if (backup->is_read) {
        give_end(replica, backup);
    } else {
        read_page(replica, backup);
    }
}
