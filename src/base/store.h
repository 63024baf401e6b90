/* store - ordered rows on disk, behind the log: the interface of src/store and of the simulator's
 * store.
 *
 * Model      Rows are (key, value) byte strings in bytewise key order. apply() makes a whole batch
 *            and its applied index visible at once; a crash keeps a prefix of the applied batches,
 *            always whole ones, and never less than durable_index() has told. The store never syncs
 *            by itself before an answer: the log does.
 * Threads    apply, flush, reset: one writer thread. scan, get, view_*: any thread, beside the
 *            writer.
 * Ownership  Buffers are borrowed for the call. Pages belong to the caller.
 * Errors     PD_ERR_IO, PD_ERR_FULL or PD_ERR_NO_MEMORY from apply: nothing of the batch is
 *            visible; stop applying, reopen and catch up from the log. PD_ERR_CORRUPT: the rows
 *            cannot be trusted: rebuild or stop. */
#ifndef PD_BASE_STORE_H
#define PD_BASE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct pd_store;
struct pd_store_view; /* one state of the rows, at one applied index */

enum pd_store_write_kind {
    PD_STORE_PUT = 0,
    PD_STORE_DELETE = 1
};

struct pd_store_write {
    enum pd_store_write_kind kind;
    struct pd_span key;
    struct pd_span value;
};

/* Rows copied out of a store: `row_count` times (key size u32, value size u32, key, value) in
 * `bytes`. */
struct pd_store_page {
    uint8_t *bytes; /* the caller's room */
    size_t bytes_max;
    size_t size;       /* used */
    uint32_t rows_max; /* 0: as many as fit */
    uint32_t row_count;
    bool is_complete; /* no row of the range is left beyond these */
};

struct pd_store_ops {
    enum pd_status (*apply)(struct pd_store *store, const struct pd_store_write *writes,
                            size_t count, uint64_t applied_index);
    uint64_t (*applied_index)(
        struct pd_store *store); /* of the newest visible batch; 0: empty store */
    uint64_t (*durable_index)(
        struct pd_store *store); /* survives a crash; the log may be cut up to it */
    enum pd_status (*flush)(
        struct pd_store *store); /* durable_index becomes applied_index; may take long */
    /* The value of a key into `value` (value_max bytes). *size_out is its whole size; PD_ERR_RANGE
     * when it is more than value_max, PD_ERR_UNKNOWN when there is no such row. */
    enum pd_status (*get)(struct pd_store *store, struct pd_span key, uint8_t *value,
                          size_t value_max, size_t *size_out);
    /* Rows with low <= key < high (an empty high: no end), ascending, or descending from high. At
     * least one row is given if one exists; PD_ERR_RANGE when the first does not fit into the
     * page: page->size tells how much it takes, or 0. */
    enum pd_status (*scan)(struct pd_store *store, struct pd_span low, struct pd_span high,
                           bool descending, struct pd_store_page *page);
    /* A view for snapshots: unmoved by later applies. NULL: out of memory. */
    struct pd_store_view *(*view_open)(struct pd_store *store);
    uint64_t (*view_index)(struct pd_store_view *view);
    enum pd_status (*view_scan)(struct pd_store_view *view, struct pd_span low, struct pd_span high,
                                struct pd_store_page *page);
    void (*view_close)(struct pd_store_view *view);
    /* Remove every row and set applied and durable index to 0, durably: before a snapshot is
     * installed. Until the first apply with the snapshot's index the store counts as empty. */
    enum pd_status (*reset)(struct pd_store *store);
    void (*close)(struct pd_store *store);
};

struct pd_store {
    const struct pd_store_ops *ops;
};

#endif
