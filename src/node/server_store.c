/* The store thread writes behind, and makes durable; the readers fetch rows and hold snapshots'
 * views. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/descriptors.h"
#include "node/server_internal.h"
#include "node/server_members.h"

#define MS_NS UINT64_C(1000000)
#define RETRY_NS (250 * MS_NS)
#define READ_RETRY_NS (20 * MS_NS)
/* Files that a job of the store may have to open: the log's and the tables that it brings about. */
#define PROBES 8u
/* Refusals, RETRY_NS apart, after which the store does not recover by itself. */
#define REFUSALS_MAX 8u
#define PAGE_BYTES_MIN ((size_t)4096)
#define READS_TOGETHER 16u /* that one reader is given before another is woken */

/* -- The writer -------------------------------------------------------------------------------- */

static enum pd_status run_job(struct pd_server *server, struct pd_server_store_job *job)
{
    struct pd_store *store = server->store;
    switch (job->kind) {
    case PD_SERVER_JOB_WRITE:
        return store->ops->apply(store, job->writes, job->write_count, job->index);
    case PD_SERVER_JOB_FLUSH:
        return store->ops->flush(store);
    case PD_SERVER_JOB_RESET:
        return store->ops->reset(store);
    case PD_SERVER_JOB_MEMBERS:
    case PD_SERVER_JOB_FETCH:
    case PD_SERVER_JOB_SNAPSHOT_OPEN:
    case PD_SERVER_JOB_SNAPSHOT_READ:
    case PD_SERVER_JOB_SNAPSHOT_CLOSE:
        break;
    }
    pd_assert(false);
    return PD_ERR_INVALID;
}

/* What RocksDB begins to write and cannot end it begins again and again until there is space: so it
 * is given nothing to write on a disk that is full to the last byte. */
static bool has_room(const struct pd_server *server)
{
    uint64_t free_bytes = 0;
    struct pd_disk *disk = server->writer.disk;
    return disk->ops->free_bytes(disk, &free_bytes) != PD_OK ||
           free_bytes >= server->config.disk_low_bytes / PD_SERVER_ROOM_PART;
}

static enum pd_status try_job(struct pd_server *server, struct pd_server_store_job *job)
{
    if (!has_room(server)) {
        return PD_ERR_FULL;
    }
    bool has_descriptors = pd_descriptors_are_left(PROBES);
    atomic_store(&server->writer.lacks_descriptors, !has_descriptors);
    if (!has_descriptors) { /* likewise: what fails by it in the background fails for good */
        return PD_ERR_FULL;
    }
    uint64_t begun_ns = pd_host_now_ns(server->host);
    enum pd_status status = run_job(server, job);
    bool lacks_some = status == PD_ERR_FULL && pd_store_rocks_lacks_descriptors(server->store);
    atomic_store(&server->writer.lacks_descriptors, lacks_some);
    server->writer.refusals = lacks_some ? server->writer.refusals + 1 : 0;
    if (job->kind == PD_SERVER_JOB_WRITE) {
        pd_histogram_add(&server->gauges.store_write, pd_host_now_ns(server->host) - begun_ns);
    }
    return status;
}

/* A disk that is full is waited for: nothing of the batch is visible, and the log holds it. */
static void do_job(struct pd_server *server, struct pd_server_store_job *job)
{
    struct pd_server_writer *writer = &server->writer;
    enum pd_status status = try_job(server, job);
    while (status == PD_ERR_FULL) {
        if (!atomic_exchange(&writer->is_full, true) &&
            !atomic_exchange(&server->log.space_is_told, true)) {
            pd_server_wake_core(server, &server->log.space);
        }
        if (atomic_load(&server->is_closed)) {
            job->gave_up = true;
            return;
        }
        if (writer->refusals >= REFUSALS_MAX) {
            job->is_stuck = true;
            return;
        }
        pd_server_sleep(server->host, &writer->queue, pd_host_now_ns(server->host) + RETRY_NS);
        status = try_job(server, job);
    }
    if (status != PD_OK) {
        pd_fatal("the store in '%s/store' could not be written (%s). The log holds everything: "
                 "look at the disk, then start again",
                 server->folder, pd_status_text(status));
    }
    atomic_store(&writer->is_full, false);
    job->durable_index = server->store->ops->durable_index(server->store);
}

void pd_server_writer_main(void *argument)
{
    struct pd_server *server = argument;
    struct pd_server_writer *writer = &server->writer;
    for (;;) {
        struct pd_server_message *message = pd_server_take(&writer->queue);
        while (message != NULL) {
            struct pd_server_message *next = pd_server_next(message);
            struct pd_server_store_job *job =
                pd_container_of(message, struct pd_server_store_job, message);
            if (job->kind == PD_SERVER_JOB_MEMBERS) {
                job->status = pd_server_members_write(server);
            } else {
                do_job(server, job);
            }
            pd_server_wake_core(server, &job->message);
            message = next;
        }
        if (atomic_load(&writer->stops)) {
            return;
        }
        pd_server_sleep(server->host, &writer->queue, PD_TIME_NEVER);
    }
}

/* -- Readers ----------------------------------------------------------------------------------- */

void pd_server_read_free(struct pd_server_read *read)
{
    pd_free(read->page.bytes);
    pd_free(read);
}

static struct pd_server_view *view_of(struct pd_server_reader *reader, uint64_t transfer)
{
    for (uint32_t i = 0; i < PD_SERVER_VIEWS_MAX; i++) {
        struct pd_server_view *view = &reader->views[i];
        if (view->view != NULL && view->transfer == transfer) {
            return view;
        }
    }
    return NULL;
}

static void close_view(struct pd_server_reader *reader, struct pd_server_view *view)
{
    reader->server->store->ops->view_close(view->view);
    view->view = NULL;
}

static enum pd_status open_view(struct pd_server_reader *reader, struct pd_server_read *read)
{
    struct pd_store *store = reader->server->store;
    for (uint32_t i = 0; i < PD_SERVER_VIEWS_MAX; i++) {
        struct pd_server_view *place = &reader->views[i];
        if (place->view == NULL) {
            place->view = store->ops->view_open(store);
            if (place->view == NULL) {
                return PD_ERR_NO_MEMORY;
            }
            place->transfer = read->transfer;
            read->index = store->ops->view_index(place->view);
            return PD_OK;
        }
    }
    return PD_ERR_FULL;
}

static bool give_room(struct pd_store_page *page, size_t bytes)
{
    uint8_t *room = pd_realloc(page->bytes, bytes);
    if (room != NULL) {
        page->bytes = room;
        page->bytes_max = bytes;
    }
    return room != NULL;
}

static enum pd_status scan(struct pd_server_reader *reader, struct pd_server_read *read)
{
    struct pd_store *store = reader->server->store;
    struct pd_span low = {read->bounds, read->low_size};
    struct pd_span high = {read->bounds + read->low_size, read->high_size};
    if (read->kind == PD_SERVER_JOB_FETCH) {
        return store->ops->scan(store, low, high, read->descending, &read->page);
    }
    struct pd_server_view *view = view_of(reader, read->transfer);
    return view == NULL ? PD_ERR_UNKNOWN
                        : store->ops->view_scan(view->view, low, high, &read->page);
}

static enum pd_status fetch(struct pd_server_reader *reader, struct pd_server_read *read)
{
    size_t whole = reader->server->row_bytes_max;
    size_t wanted = read->page.rows_max == 1 ? 0 : read->page.bytes_max; /* most rows are small */
    if (!give_room(&read->page, wanted < PAGE_BYTES_MIN ? PAGE_BYTES_MIN : wanted)) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = scan(reader, read);
    if (status == PD_ERR_RANGE && read->page.bytes_max < whole) {
        size_t row = read->page.size;
        bool is_told = row > read->page.bytes_max && row < whole;
        status =
            give_room(&read->page, is_told ? row : whole) ? scan(reader, read) : PD_ERR_NO_MEMORY;
    }
    return status;
}

/* Without a descriptor for a file of the store: until there is one. Nothing is wrong with it. */
static enum pd_status fetch_patiently(struct pd_server_reader *reader, struct pd_server_read *read)
{
    enum pd_status status = fetch(reader, read);
    while (status == PD_ERR_FULL && !atomic_load(&reader->stops) &&
           !atomic_load(&reader->server->is_closed)) {
        pd_server_sleep(reader->server->host, &reader->queue,
                        pd_host_now_ns(reader->server->host) + READ_RETRY_NS);
        status = fetch(reader, read);
    }
    return status;
}

static void do_read(struct pd_server_reader *reader, struct pd_server_read *read)
{
    switch (read->kind) {
    case PD_SERVER_JOB_FETCH:
    case PD_SERVER_JOB_SNAPSHOT_READ:
        read->status = fetch_patiently(reader, read);
        return;
    case PD_SERVER_JOB_SNAPSHOT_OPEN:
        read->status = open_view(reader, read);
        return;
    case PD_SERVER_JOB_SNAPSHOT_CLOSE: {
        struct pd_server_view *view = view_of(reader, read->transfer);
        if (view != NULL) {
            close_view(reader, view);
        }
        read->status = PD_OK;
        return;
    }
    case PD_SERVER_JOB_WRITE:
    case PD_SERVER_JOB_FLUSH:
    case PD_SERVER_JOB_RESET:
    case PD_SERVER_JOB_MEMBERS:
        break;
    }
    pd_assert(false);
}

void pd_server_reader_main(void *argument)
{
    struct pd_server_reader *reader = argument;
    struct pd_server *server = reader->server;
    for (;;) {
        struct pd_server_message *message = pd_server_take(&reader->queue);
        while (message != NULL) {
            struct pd_server_message *next = pd_server_next(message);
            struct pd_server_read *read = pd_container_of(message, struct pd_server_read, message);
            bool is_urgent = read->is_urgent;
            do_read(reader, read);
            message->kind = PD_SERVER_READ_DONE;
            pd_server_put(&server->inbox, message);
            if (is_urgent || next == NULL) {
                pd_server_nudge_core(server); /* not for each of many rows */
            }
            message = next;
        }
        if (atomic_load(&reader->stops)) {
            for (uint32_t i = 0; i < PD_SERVER_VIEWS_MAX; i++) {
                if (reader->views[i].view != NULL) {
                    close_view(reader, &reader->views[i]);
                }
            }
            return;
        }
        pd_server_sleep(server->host, &reader->queue, PD_TIME_NEVER);
    }
}

/* -- The core's side --------------------------------------------------------------------------- */

/* Views stay with the first reader. Rows go to one that is going to be woken anyway, so that one
 * wake-up serves some of them; or to the one with the least to do. */
static uint32_t choose_reader(const struct pd_server *server, enum pd_server_job_kind kind)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < server->reader_count && kind == PD_SERVER_JOB_FETCH; i++) {
        const struct pd_server_reader *reader = &server->readers[i];
        if (reader->unwoken > 0 && reader->under_way < READS_TOGETHER) {
            return i;
        }
        if (reader->under_way <= server->readers[best].under_way) {
            best = i;
        }
    }
    return best;
}

static void hand_out(struct pd_server *server, struct pd_server_read *read)
{
    struct pd_server_reader *reader = &server->readers[read->reader];
    reader->under_way++;
    reader->unwoken++;
    server->reads_under_way++;
    pd_server_put(&reader->queue, &read->message);
}

void pd_server_readers_wake(struct pd_server *server)
{
    for (uint32_t i = 0; i < server->reader_count; i++) {
        if (server->readers[i].unwoken > 0) {
            server->readers[i].unwoken = 0;
            pd_server_wake(server->host, &server->readers[i].queue);
        }
    }
}

void pd_server_read_rows(struct pd_server *server, enum pd_server_job_kind kind,
                         const struct pd_replica_output *output)
{
    size_t low_size = output->fetch.low.size;
    size_t high_size = output->fetch.high.size;
    struct pd_server_read *read = pd_alloc_zeroed(1, sizeof *read + low_size + high_size);
    if (read == NULL) {
        pd_fatal("no memory for a read of the store: give the node more memory");
    }
    read->kind = kind;
    read->reader = choose_reader(server, kind);
    read->fetch_id = output->fetch.id;
    read->transfer = output->transfer;
    read->descending = output->fetch.descending;
    read->is_urgent = output->fetch.is_urgent;
    read->low_size = low_size;
    read->high_size = high_size;
    read->page.bytes_max = output->fetch.bytes_max;
    read->page.rows_max = output->fetch.rows_max;
    /* Copied: the replica may give the fetch up while a reader looks at it. */
    if (low_size > 0) {
        memcpy(read->bounds, output->fetch.low.bytes, low_size);
    }
    if (high_size > 0) {
        memcpy(read->bounds + low_size, output->fetch.high.bytes, high_size);
    }
    if (server->reset_runs) {
        read->message.link.next =
            server->reads_held == NULL ? NULL : &server->reads_held->message.link;
        server->reads_held = read;
    } else {
        hand_out(server, read);
    }
}

void pd_server_reads_release(struct pd_server *server)
{
    struct pd_server_read *read = server->reads_held;
    server->reads_held = NULL;
    while (read != NULL) {
        struct pd_server_message *next = pd_server_next(&read->message);
        hand_out(server, read);
        read = next == NULL ? NULL : pd_container_of(next, struct pd_server_read, message);
    }
}
