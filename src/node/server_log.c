/* The log thread: one batch at a time is written and synced; in between it looks after the space.
 */
#include "base/assert.h"
#include "host/descriptors.h"
#include "node/server_internal.h"

#define MS_NS UINT64_C(1000000)
#define LOOK_NS (250 * MS_NS) /* between two looks at the free space */
#define RETRY_NS (100 * MS_NS)
#define PROBES 4u /* descriptors that a new segment may take */

static uint64_t now(const struct pd_server *server)
{
    return pd_host_now_ns(server->host);
}

/* The core hears of a change, and of each once. */
static void tell_space(struct pd_server *server)
{
    struct pd_server_log *log = &server->log;
    /* Before it is told that there is no room. */
    atomic_store(&log->lacks_descriptors, log->is_full && !pd_descriptors_are_left(PROBES));
    bool is_low = log->is_full || log->space_is_low || pd_wal_is_low(log->wal);
    if (is_low == log->low_told) {
        return;
    }
    atomic_store(&log->is_low, is_low);
    log->low_told = is_low;
    if (!atomic_exchange(&log->space_is_told, true)) {
        pd_server_wake_core(server, &log->space);
    }
}

/* Refuse before the store, which copes badly, finds the disk full. */
static void look_at_space(struct pd_server *server)
{
    struct pd_server_log *log = &server->log;
    uint64_t now_ns = now(server);
    if (now_ns - log->looked_ns < LOOK_NS) {
        return;
    }
    log->looked_ns = now_ns;
    uint64_t free_bytes = 0;
    if (log->disk->ops->free_bytes(log->disk, &free_bytes) == PD_OK) {
        uint64_t low = server->config.disk_low_bytes;
        /* It does not flutter: room again is a quarter more than low. */
        log->space_is_low = free_bytes < (log->space_is_low ? low + low / 4 : low);
    }
}

/* At most one file's work. True: there is more. */
static bool maintain(struct pd_server *server)
{
    struct pd_server_log *log = &server->log;
    log->cut_done = atomic_load(&log->cut);
    pd_wal_cut(log->wal, log->group_id, log->cut_done);
    bool more = false;
    enum pd_status status = pd_wal_maintain(log->wal, &more);
    if (status != PD_OK && status != PD_ERR_FULL) {
        pd_fatal("the log in '%s/log' could not be looked after (%s): what the disk holds is not "
                 "known. Look at the disk, then start again",
                 server->folder, pd_status_text(status));
    }
    look_at_space(server);
    tell_space(server);
    return more;
}

/* A log that never rests is looked after all the same. */
static bool is_overdue(const struct pd_server *server)
{
    const struct pd_server_log *log = &server->log;
    return log->cut_done != atomic_load(&log->cut) || now(server) - log->looked_ns >= LOOK_NS;
}

/* False: there is no room for it, and the server is closing: it is given up. */
static bool write_batch(struct pd_server *server)
{
    struct pd_server_log *log = &server->log;
    enum pd_status status = pd_wal_write(log->wal, log->records, log->record_count);
    while (status == PD_ERR_FULL) {
        log->is_full = true;
        while (maintain(server)) {
        }
        status = pd_wal_write(log->wal, log->records, log->record_count);
        if (status == PD_ERR_FULL) {
            if (atomic_load(&server->is_closed)) {
                return false;
            }
            pd_server_sleep(server->host, &log->queue, now(server) + RETRY_NS);
        }
    }
    log->is_full = false;
    if (status == PD_OK) {
        uint64_t begun_ns = now(server);
        status = pd_wal_sync(log->wal);
        pd_histogram_add(&server->gauges.sync, now(server) - begun_ns);
    }
    if (status != PD_OK) {
        pd_fatal("the log in '%s/log' could not be written (%s): what the disk holds is not known. "
                 "Look at the disk, then start again: nothing that was acknowledged is lost unless "
                 "the disk lost it",
                 server->folder, pd_status_text(status));
    }
    return true;
}

void pd_server_log_main(void *argument)
{
    struct pd_server *server = argument;
    struct pd_server_log *log = &server->log;
    for (;;) {
        struct pd_server_message *message = pd_server_take(&log->queue);
        if (message != NULL) {
            log->gave_up = !write_batch(server);
            pd_server_put(&server->inbox, &log->durable);
            pd_server_core_from_log(server);
            if (!is_overdue(server)) {
                continue; /* the next one may be there by now */
            }
        }
        if (atomic_load(&log->stops)) {
            return;
        }
        bool more = maintain(server);
        if (!more && pd_postbox_is_empty(&log->queue.box)) {
            /* Low: room may come back without anything happening here. */
            uint64_t deadline_ns = log->low_told ? now(server) + LOOK_NS : PD_TIME_NEVER;
            pd_server_sleep(server->host, &log->queue, deadline_ns);
        }
    }
}
