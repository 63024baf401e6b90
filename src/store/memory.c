#include "store/memory.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "store/ordered_map.h"

/* One batch that is visible and not durable: its writes, as they came. */
struct batch {
    struct batch *next;
    uint64_t index;
    size_t count;
    size_t size;
    uint8_t bytes[]; /* kind u8, key size u32, value size u32, key, value */
};

struct memory {
    struct pd_store base;
    struct pd_ordered_map rows;
    struct pd_ordered_map durable;
    struct batch *first;
    struct batch *last;
    uint64_t applied;
    uint64_t durable_index;
};

struct pd_store_view {
    struct pd_ordered_map rows;
    uint64_t index;
};

#define WRITE_HEADER 9u

static struct memory *memory_of(struct pd_store *store)
{
    return (struct memory *)store;
}

static struct batch *copy_batch(const struct pd_store_write *writes, size_t count, uint64_t index)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += WRITE_HEADER + writes[i].key.size + writes[i].value.size;
    }
    struct batch *batch = pd_alloc(sizeof *batch + size);
    if (batch == NULL) {
        return NULL;
    }
    *batch = (struct batch){.index = index, .count = count, .size = size};
    uint8_t *to = batch->bytes;
    for (size_t i = 0; i < count; i++) {
        const struct pd_store_write *write = &writes[i];
        to[0] = (uint8_t)write->kind;
        pd_put_u32(to + 1, (uint32_t)write->key.size);
        pd_put_u32(to + 5, (uint32_t)write->value.size);
        to += WRITE_HEADER;
        memcpy(to, write->key.bytes, write->key.size);
        to += write->key.size;
        if (write->value.size > 0) {
            memcpy(to, write->value.bytes, write->value.size);
            to += write->value.size;
        }
    }
    return batch;
}

static enum pd_status replay(struct pd_ordered_map *rows, const struct batch *batch)
{
    const uint8_t *from = batch->bytes;
    enum pd_status status = PD_OK;
    for (size_t i = 0; status == PD_OK && i < batch->count; i++) {
        struct pd_span key = {.bytes = from + WRITE_HEADER, .size = pd_get_u32(from + 1)};
        struct pd_span value = {.bytes = key.bytes + key.size, .size = pd_get_u32(from + 5)};
        if (from[0] == PD_STORE_PUT) {
            status = pd_ordered_map_put(rows, key, value);
        } else {
            pd_ordered_map_remove(rows, key);
        }
        from = value.bytes + value.size;
    }
    return status;
}

static enum pd_status apply_op(struct pd_store *store, const struct pd_store_write *writes,
                               size_t count, uint64_t applied_index)
{
    struct memory *memory = memory_of(store);
    pd_assert(applied_index >= memory->applied);
    struct batch *batch = copy_batch(writes, count, applied_index);
    if (batch == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = replay(&memory->rows, batch);
    if (status != PD_OK) {
        pd_free(batch);
        return status;
    }
    if (memory->last == NULL) {
        memory->first = batch;
    } else {
        memory->last->next = batch;
    }
    memory->last = batch;
    memory->applied = applied_index;
    return PD_OK;
}

static uint64_t applied_index_op(struct pd_store *store)
{
    return memory_of(store)->applied;
}

static uint64_t durable_index_op(struct pd_store *store)
{
    return memory_of(store)->durable_index;
}

static struct batch *take_batch(struct memory *memory)
{
    struct batch *batch = memory->first;
    if (batch != NULL) {
        memory->first = batch->next;
        memory->last = memory->first == NULL ? NULL : memory->last;
    }
    return batch;
}

static enum pd_status flush_op(struct pd_store *store)
{
    struct memory *memory = memory_of(store);
    while (memory->first != NULL) {
        enum pd_status status = replay(&memory->durable, memory->first);
        if (status != PD_OK) {
            /* a batch may be replayed again: it says what rows are, not how they change */
            return status;
        }
        memory->durable_index = memory->first->index;
        pd_free(take_batch(memory));
    }
    return PD_OK;
}

static enum pd_status get_op(struct pd_store *store, struct pd_span key, uint8_t *value,
                             size_t value_max, size_t *size_out)
{
    const struct pd_ordered_row *row = pd_ordered_map_find(&memory_of(store)->rows, key);
    if (row == NULL) {
        return PD_ERR_UNKNOWN;
    }
    *size_out = row->value.size;
    if (row->value.size > value_max) {
        return PD_ERR_RANGE;
    }
    if (row->value.size > 0) {
        memcpy(value, row->value.bytes, row->value.size);
    }
    return PD_OK;
}

/* False: it does not fit. */
static bool add_row(struct pd_store_page *page, const struct pd_ordered_row *row)
{
    size_t size = 8 + row->key.size + row->value.size;
    if (size > page->bytes_max - page->size ||
        (page->rows_max > 0 && page->row_count == page->rows_max)) {
        return false;
    }
    uint8_t *to = page->bytes + page->size;
    pd_put_u32(to, (uint32_t)row->key.size);
    pd_put_u32(to + 4, (uint32_t)row->value.size);
    memcpy(to + 8, row->key.bytes, row->key.size);
    if (row->value.size > 0) {
        memcpy(to + 8 + row->key.size, row->value.bytes, row->value.size);
    }
    page->size += size;
    page->row_count++;
    return true;
}

static enum pd_status scan_rows(const struct pd_ordered_map *rows, struct pd_span low,
                                struct pd_span high, bool descending, struct pd_store_page *page)
{
    page->size = 0;
    page->row_count = 0;
    page->is_complete = true;
    const struct pd_ordered_row *row =
        descending ? pd_ordered_map_before(rows, high) : pd_ordered_map_at_or_after(rows, low);
    while (row != NULL) {
        bool is_inside = descending ? pd_ordered_compare(row->key, low) >= 0
                                    : high.size == 0 || pd_ordered_compare(row->key, high) < 0;
        if (!is_inside) {
            return PD_OK;
        }
        if (!add_row(page, row)) {
            page->is_complete = false;
            if (page->row_count == 0) {
                page->size = 8 + row->key.size + row->value.size;
                return PD_ERR_RANGE;
            }
            return PD_OK;
        }
        row = !descending ? row->next[0]
              : row->key.size == 0
                  ? NULL /* nothing is before the empty key, which would mean no bound */
                  : pd_ordered_map_before(rows, row->key);
    }
    return PD_OK;
}

static enum pd_status scan_op(struct pd_store *store, struct pd_span low, struct pd_span high,
                              bool descending, struct pd_store_page *page)
{
    return scan_rows(&memory_of(store)->rows, low, high, descending, page);
}

/* A copy of all rows: views are rare, and small where this store is used. */
static enum pd_status copy_rows(struct pd_ordered_map *to, const struct pd_ordered_map *from)
{
    const struct pd_ordered_row *row = from->heads[0];
    for (; row != NULL; row = row->next[0]) {
        enum pd_status status = pd_ordered_map_put(to, row->key, row->value);
        if (status != PD_OK) {
            pd_ordered_map_deinit(to);
            return status;
        }
    }
    return PD_OK;
}

static struct pd_store_view *view_open_op(struct pd_store *store)
{
    struct pd_store_view *view = pd_alloc_zeroed(1, sizeof *view);
    if (view == NULL) {
        return NULL;
    }
    view->index = memory_of(store)->applied;
    if (copy_rows(&view->rows, &memory_of(store)->rows) != PD_OK) {
        pd_free(view);
        return NULL;
    }
    return view;
}

static uint64_t view_index_op(struct pd_store_view *view)
{
    return view->index;
}

static enum pd_status view_scan_op(struct pd_store_view *view, struct pd_span low,
                                   struct pd_span high, struct pd_store_page *page)
{
    return scan_rows(&view->rows, low, high, false, page);
}

static void view_close_op(struct pd_store_view *view)
{
    pd_ordered_map_deinit(&view->rows);
    pd_free(view);
}

static void drop_batches(struct memory *memory)
{
    for (struct batch *batch = take_batch(memory); batch != NULL; batch = take_batch(memory)) {
        pd_free(batch);
    }
}

static enum pd_status reset_op(struct pd_store *store)
{
    struct memory *memory = memory_of(store);
    drop_batches(memory);
    pd_ordered_map_deinit(&memory->rows);
    pd_ordered_map_deinit(&memory->durable);
    memory->applied = 0;
    memory->durable_index = 0;
    return PD_OK;
}

static void close_op(struct pd_store *store)
{
    enum pd_status status = reset_op(store);
    pd_assert(status == PD_OK);
    pd_free(memory_of(store));
}

static const struct pd_store_ops ops = {
    .apply = apply_op,
    .applied_index = applied_index_op,
    .durable_index = durable_index_op,
    .flush = flush_op,
    .get = get_op,
    .scan = scan_op,
    .view_open = view_open_op,
    .view_index = view_index_op,
    .view_scan = view_scan_op,
    .view_close = view_close_op,
    .reset = reset_op,
    .close = close_op,
};

struct pd_store *pd_store_memory_open(void)
{
    struct memory *memory = pd_alloc_zeroed(1, sizeof *memory);
    if (memory == NULL) {
        return NULL;
    }
    memory->base.ops = &ops;
    return &memory->base;
}

enum pd_status pd_store_memory_crash(struct pd_store *store, struct pd_random *random)
{
    struct memory *memory = memory_of(store);
    enum pd_status status = PD_OK;
    while (status == PD_OK && memory->first != NULL && random != NULL &&
           pd_random_below(random, 2) == 0) {
        status = replay(&memory->durable, memory->first);
        memory->durable_index = memory->first->index;
        pd_free(take_batch(memory));
    }
    drop_batches(memory);
    pd_ordered_map_deinit(&memory->rows);
    memory->applied = memory->durable_index;
    return status == PD_OK ? copy_rows(&memory->rows, &memory->durable) : status;
}

size_t pd_store_memory_row_count(const struct pd_store *store)
{
    return ((const struct memory *)store)->rows.count;
}
