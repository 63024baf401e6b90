#include "store/rocks.h"

#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"
#include "store/ordered_map.h"

#define LARGE_ROW ((size_t)64 << 10) /* as large as a block of its own, and more */
#define PERF_OFF 1                   /* rocksdb::kDisable */
/* rocksdb::HEADER_LEVEL: what it was opened with. Its own log ends the process, by an assertion,
 * when it goes on after it could not be written once, as on a full disk: so it does not go on. */
#define LOG_LEVEL 5
#define PERSISTED_TIER 2 /* rocksdb::kPersistedTier: only what a crash would leave */

/* Of a memtable, for the filter of its groups: 10 bits for each row of 128 bytes. */
#define MEMTABLE_FILTER_SHARE 0.01

/* RocksDB is not instrumented: ThreadSanitizer sees that one thread wrote its memory and that
 * another reads it here, and not what orders the two. Between these it does not look. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNINSTRUMENTED 1
#endif
#endif
#if defined(UNINSTRUMENTED)
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define FOREIGN_BEGIN() AnnotateIgnoreReadsBegin(__FILE__, __LINE__)
#define FOREIGN_END() AnnotateIgnoreReadsEnd(__FILE__, __LINE__)
#else
#define FOREIGN_BEGIN() ((void)0)
#define FOREIGN_END() ((void)0)
#endif

#define WITHOUT_DESCRIPTORS "Too many open files" /* EMFILE; and ENFILE: "... in system" */

static const char index_key[1] = {0};

/* Of a batch. */
struct ordered {
    const struct pd_store_write *write;
    uint64_t head; /* the key's first bytes, in its order */
};

struct rocks {
    struct pd_store base;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    rocksdb_readoptions_t *read_persisted;
    rocksdb_readoptions_t *read_group;
    pd_store_group_size group_size; /* NULL: no groups */
    rocksdb_flushoptions_t *flush;
    rocksdb_writebatch_t *batch;
    struct ordered *order; /* room for order_max of a batch */
    size_t order_max;
    char *path;
    uint64_t applied; /* the writer's; others ask through __atomic */
    /* The durable index as it was read last, the version of the files in which it was (0: none),
     * and how often it was read. Through __atomic. */
    uint64_t durable;
    uint64_t durable_version;
    uint64_t durable_reads;
    enum pd_status failure; /* of an apply; PD_OK: none */
    bool lacks_descriptors; /* the writer's: so its last write or flush was refused */
};

struct pd_store_view {
    struct rocks *rocks;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read;
    uint64_t index;
};

static struct rocks *rocks_of(struct pd_store *store)
{
    return (struct rocks *)store;
}

/* What a text of RocksDB's means; it is freed. */
static enum pd_status judge(char *error, char *text)
{
    if (error == NULL) {
        return PD_OK;
    }
    enum pd_status status = PD_ERR_IO;
    if (strstr(error, "Corruption") != NULL || strstr(error, "No such file") != NULL ||
        strstr(error, "does not exist") != NULL || strstr(error, "checksum") != NULL) {
        status = PD_ERR_CORRUPT;
    } else if (strstr(error, WITHOUT_DESCRIPTORS) != NULL || strstr(error, "No space") != NULL ||
               strstr(error, "NoSpace") != NULL) {
        status = PD_ERR_FULL;
    }
    if (text != NULL) {
        snprintf(text, PD_STORE_ROCKS_TEXT_MAX, "%s", error);
    }
    rocksdb_free(error);
    return status;
}

/* Of the writer's. */
static enum pd_status judge_write(struct rocks *rocks, char *error)
{
    rocks->lacks_descriptors = error != NULL && strstr(error, WITHOUT_DESCRIPTORS) != NULL;
    return judge(error, NULL);
}

bool pd_store_rocks_lacks_descriptors(const struct pd_store *store)
{
    return ((const struct rocks *)store)->lacks_descriptors;
}

/* RocksDB counts each comparison of keys for the thread, in a place that is found anew each time:
 * unless it is told not to. */
static void count_nothing(void)
{
    rocksdb_set_perf_level(PERF_OFF);
}

/* The index in the row of that name, 0 when there is none. */
static enum pd_status read_index(struct rocks *rocks, const rocksdb_readoptions_t *options,
                                 uint64_t *index_out)
{
    char *error = NULL;
    *index_out = 0;
    rocksdb_pinnableslice_t *value =
        rocksdb_get_pinned(rocks->db, options, index_key, sizeof index_key, &error);
    if (value != NULL) {
        size_t size = 0;
        const char *bytes = rocksdb_pinnableslice_value(value, &size);
        if (size == 8) {
            uint8_t number[8];
            memcpy(number, bytes, 8);
            *index_out = pd_get_u64(number);
        }
        rocksdb_pinnableslice_destroy(value);
    }
    return judge(error, NULL);
}

static void add_index(rocksdb_writebatch_t *batch, uint64_t index)
{
    uint8_t bytes[8];
    char value[8];
    pd_put_u64(bytes, index);
    memcpy(value, bytes, 8);
    rocksdb_writebatch_put(batch, index_key, sizeof index_key, value, sizeof value);
}

static enum pd_status write_batch(struct rocks *rocks)
{
    char *error = NULL;
    count_nothing();
    rocksdb_write(rocks->db, rocks->write, rocks->batch, &error);
    rocksdb_writebatch_clear(rocks->batch);
    return judge_write(rocks, error);
}

static int by_key(const void *left, const void *right)
{
    const struct ordered *a = left;
    const struct ordered *b = right;
    if (a->head != b->head) {
        return a->head < b->head ? -1 : 1;
    }
    int order = pd_ordered_compare(a->write->key, b->write->key);
    if (order != 0) {
        return order;
    }
    return a->write < b->write ? -1 : 1; /* of one key's, the last one counts */
}

static uint64_t head_of(struct pd_span key)
{
    uint8_t head[8] = {0};
    memcpy(head, key.bytes, key.size < sizeof head ? key.size : sizeof head);
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof head; i++) {
        number = number << 8 | head[i];
    }
    return number;
}

/* In the order of their keys, where each finds its place beside the one before: half of the time of
 * a search for each. False: no memory. */
static bool put_in_order(struct rocks *rocks, const struct pd_store_write *writes, size_t count)
{
    if (count > rocks->order_max) {
        struct ordered *grown = pd_realloc(rocks->order, count * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        rocks->order = grown;
        rocks->order_max = count;
    }
    for (size_t i = 0; i < count; i++) {
        pd_assert(writes[i].key.size > 0 && writes[i].key.bytes[0] != 0);
        rocks->order[i] = (struct ordered){.write = &writes[i], .head = head_of(writes[i].key)};
    }
    if (count > 1) {
        qsort(rocks->order, count, sizeof rocks->order[0], by_key);
    }
    return true;
}

static void add_writes(struct rocks *rocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pd_store_write *write = rocks->order[i].write;
        if (i + 1 < count && pd_ordered_compare(write->key, rocks->order[i + 1].write->key) == 0) {
            continue;
        }
        if (write->kind == PD_STORE_PUT) {
            rocksdb_writebatch_put(rocks->batch, (const char *)write->key.bytes, write->key.size,
                                   (const char *)write->value.bytes, write->value.size);
        } else {
            rocksdb_writebatch_delete(rocks->batch, (const char *)write->key.bytes,
                                      write->key.size);
        }
    }
}

static enum pd_status apply_op(struct pd_store *store, const struct pd_store_write *writes,
                               size_t count, uint64_t applied_index)
{
    struct rocks *rocks = rocks_of(store);
    if (rocks->failure != PD_OK) {
        return rocks->failure;
    }
    pd_assert(applied_index >= rocks->applied);
    rocksdb_writebatch_clear(rocks->batch);
    if (!put_in_order(rocks, writes, count)) {
        return PD_ERR_NO_MEMORY;
    }
    add_writes(rocks, count);
    enum pd_status status = PD_OK;
    if (PD_MUTANT(STORE_INDEX_APART)) {
        status = write_batch(rocks);
    }
    add_index(rocks->batch, applied_index);
    status = status == PD_OK ? write_batch(rocks) : status;
    if (status == PD_OK) {
        __atomic_store_n(&rocks->applied, applied_index, __ATOMIC_RELEASE);
    }
    /* Refused for want of space, or of descriptors, before anything of it was taken: the same may
     * be tried again. */
    rocks->failure = status == PD_ERR_FULL ? PD_OK : status;
    return status;
}

static uint64_t applied_index_op(struct pd_store *store)
{
    return __atomic_load_n(&rocks_of(store)->applied, __ATOMIC_ACQUIRE);
}

/* It changes with the files, and is asked for after each batch. Its row comes first: of large rows
 * the next one stands in its block, and is read and unpacked with it. Two threads that read at once
 * may leave the older index, which is durable as well. */
static uint64_t durable_index_op(struct pd_store *store)
{
    struct rocks *rocks = rocks_of(store);
    uint64_t version = 0;
    bool has_version =
        rocksdb_property_int(rocks->db, "rocksdb.current-super-version-number", &version) == 0;
    if (has_version && version != 0 &&
        __atomic_load_n(&rocks->durable_version, __ATOMIC_ACQUIRE) == version) {
        return __atomic_load_n(&rocks->durable, __ATOMIC_ACQUIRE);
    }
    uint64_t index = 0;
    enum pd_status status = read_index(rocks, rocks->read_persisted, &index);
    (void)__atomic_fetch_add(&rocks->durable_reads, 1, __ATOMIC_RELAXED);
    if (status != PD_OK) {
        return 0;
    }
    __atomic_store_n(&rocks->durable, index, __ATOMIC_RELEASE);
    __atomic_store_n(&rocks->durable_version, has_version ? version : 0, __ATOMIC_RELEASE);
    return index;
}

uint64_t pd_store_rocks_durable_reads(const struct pd_store *store)
{
    return __atomic_load_n(&((const struct rocks *)store)->durable_reads, __ATOMIC_RELAXED);
}

static enum pd_status flush_op(struct pd_store *store)
{
    struct rocks *rocks = rocks_of(store);
    char *error = NULL;
    rocksdb_flush(rocks->db, rocks->flush, &error);
    return judge_write(rocks, error);
}

static enum pd_status get_op(struct pd_store *store, struct pd_span key, uint8_t *value,
                             size_t value_max, size_t *size_out)
{
    struct rocks *rocks = rocks_of(store);
    char *error = NULL;
    rocksdb_pinnableslice_t *found =
        rocksdb_get_pinned(rocks->db, rocks->read, (const char *)key.bytes, key.size, &error);
    enum pd_status status = judge(error, NULL);
    if (found == NULL) {
        return status == PD_OK ? PD_ERR_UNKNOWN : status;
    }
    size_t size = 0;
    const char *bytes = rocksdb_pinnableslice_value(found, &size);
    *size_out = size;
    if (size > value_max) {
        status = PD_ERR_RANGE;
    } else if (size > 0) {
        FOREIGN_BEGIN();
        memcpy(value, bytes, size);
        FOREIGN_END();
    }
    rocksdb_pinnableslice_destroy(found);
    return status;
}

/* The row under the iterator into the page; *size_out: what it takes. False: it does not fit. */
static bool add_row(struct pd_store_page *page, struct pd_span key, rocksdb_iterator_t *at,
                    size_t *size_out)
{
    size_t value_size = 0;
    const char *value = rocksdb_iter_value(at, &value_size);
    size_t size = 8 + key.size + value_size;
    *size_out = size;
    if (size > page->bytes_max - page->size ||
        (page->rows_max > 0 && page->row_count == page->rows_max)) {
        return false;
    }
    uint8_t *to = page->bytes + page->size;
    pd_put_u32(to, (uint32_t)key.size);
    pd_put_u32(to + 4, (uint32_t)value_size);
    memcpy(to + 8, key.bytes, key.size);
    if (value_size > 0) {
        memcpy(to + 8 + key.size, value, value_size);
    }
    page->size += size;
    page->row_count++;
    return true;
}

/* To the first row of the range in its direction. */
static void seek(rocksdb_iterator_t *at, struct pd_span low, struct pd_span high, bool descending)
{
    static const char first[1] = {1}; /* behind the row of the index */
    if (!descending) {
        bool has_low = low.size > 0;
        rocksdb_iter_seek(at, has_low ? (const char *)low.bytes : first,
                          has_low ? low.size : sizeof first);
    } else if (high.size == 0) {
        rocksdb_iter_seek_to_last(at);
    } else {
        rocksdb_iter_seek_for_prev(at, (const char *)high.bytes, high.size);
        size_t size = 0;
        const char *bytes = rocksdb_iter_valid(at) ? rocksdb_iter_key(at, &size) : NULL;
        if (bytes != NULL &&
            pd_ordered_compare((struct pd_span){(const uint8_t *)bytes, size}, high) == 0) {
            rocksdb_iter_prev(at);
        }
    }
}

static enum pd_status scan_with(struct rocks *rocks, const rocksdb_readoptions_t *options,
                                struct pd_span low, struct pd_span high, bool descending,
                                struct pd_store_page *page)
{
    count_nothing();
    rocksdb_iterator_t *at = rocksdb_create_iterator(rocks->db, options);
    size_t row = 0;
    page->size = 0;
    page->row_count = 0;
    page->is_complete = true;
    FOREIGN_BEGIN();
    for (seek(at, low, high, descending); rocksdb_iter_valid(at) != 0;
         descending ? rocksdb_iter_prev(at) : rocksdb_iter_next(at)) {
        size_t size = 0;
        const char *bytes = rocksdb_iter_key(at, &size);
        struct pd_span key = {(const uint8_t *)bytes, size};
        bool is_inside = descending ? size > 0 && bytes[0] != 0 && pd_ordered_compare(key, low) >= 0
                                    : high.size == 0 || pd_ordered_compare(key, high) < 0;
        if (!is_inside) {
            break;
        }
        bool has_room = add_row(page, key, at, &row);
        /* Only to see that the next large one has no room its block would be read and unpacked. */
        bool is_last = row >= LARGE_ROW && row > page->bytes_max - page->size;
        if (!has_room || is_last) {
            page->is_complete = false;
            break;
        }
    }
    FOREIGN_END();
    char *error = NULL;
    rocksdb_iter_get_error(at, &error);
    rocksdb_iter_destroy(at);
    enum pd_status status = judge(error, NULL);
    if (status == PD_OK && !page->is_complete && page->row_count == 0) {
        page->size = row;
        return PD_ERR_RANGE;
    }
    return status;
}

/* Whether all from low to high is of the group that low is in. */
static bool is_of_one_group(const struct rocks *rocks, struct pd_span low, struct pd_span high)
{
    size_t size = rocks->group_size != NULL ? rocks->group_size(low) : 0;
    return size > 0 && high.size == size && memcmp(low.bytes, high.bytes, size - 1) == 0 &&
           high.bytes[size - 1] == low.bytes[size - 1] + 1;
}

static enum pd_status scan_op(struct pd_store *store, struct pd_span low, struct pd_span high,
                              bool descending, struct pd_store_page *page)
{
    struct rocks *rocks = rocks_of(store);
    bool is_filtered = !descending && is_of_one_group(rocks, low, high);
    return scan_with(rocks, is_filtered ? rocks->read_group : rocks->read, low, high, descending,
                     page);
}

/* Of all rows in their order: once there are groups, that must be asked for. */
static rocksdb_readoptions_t *whole_reads(void)
{
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(read, 1);
    return read;
}

static void view_close_op(struct pd_store_view *view)
{
    rocksdb_release_snapshot(view->rocks->db, view->snapshot);
    rocksdb_readoptions_destroy(view->read);
    pd_free(view);
}

static struct pd_store_view *view_open_op(struct pd_store *store)
{
    struct pd_store_view *view = pd_alloc_zeroed(1, sizeof *view);
    if (view == NULL) {
        return NULL;
    }
    view->rocks = rocks_of(store);
    view->snapshot = rocksdb_create_snapshot(view->rocks->db);
    view->read = whole_reads();
    rocksdb_readoptions_set_snapshot(view->read, view->snapshot);
    rocksdb_readoptions_set_fill_cache(view->read, 0);
    if (read_index(view->rocks, view->read, &view->index) != PD_OK) {
        view_close_op(view);
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
    return scan_with(view->rocks, view->read, low, high, false, page);
}

/* RocksDB makes what is in its folder durable, and not the folder's own name: without that all of
 * it is gone after a power cut, and the log is cut by then. */
static enum pd_status sync_own_name(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int parent = folder < 0 ? -1 : openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum pd_status status = parent >= 0 && fsync(parent) == 0 ? PD_OK : PD_ERR_IO;
    if (parent >= 0) {
        close(parent);
    }
    if (folder >= 0) {
        close(folder);
    }
    return status;
}

/* The database of the path; judged. */
static enum pd_status open_database(struct rocks *rocks, char *text)
{
    char *error = NULL;
    __atomic_store_n(&rocks->durable_version, 0, __ATOMIC_RELEASE); /* of other files */
    rocks->db = rocksdb_open(rocks->options, rocks->path, &error);
    enum pd_status status = judge(error, text);
    if (status != PD_OK) {
        rocks->db = NULL;
        return status;
    }
    status = sync_own_name(rocks->path);
    return status == PD_OK ? read_index(rocks, rocks->read, &rocks->applied) : status;
}

static enum pd_status reset_op(struct pd_store *store)
{
    struct rocks *rocks = rocks_of(store);
    char *error = NULL;
    if (rocks->db != NULL) { /* the second time, when the first was refused */
        rocksdb_close(rocks->db);
    }
    rocks->db = NULL;
    rocksdb_destroy_db(rocks->options, rocks->path, &error);
    enum pd_status status = judge(error, NULL);
    if (status == PD_OK) {
        status = open_database(rocks, NULL);
    }
    pd_assert(status != PD_OK || rocks->applied == 0);
    rocks->failure = status;
    return status;
}

static void close_op(struct pd_store *store)
{
    struct rocks *rocks = rocks_of(store);
    if (rocks->db != NULL) {
        rocksdb_close(rocks->db);
    }
    rocksdb_writebatch_destroy(rocks->batch);
    pd_free(rocks->order);
    rocksdb_writeoptions_destroy(rocks->write);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_readoptions_destroy(rocks->read_persisted);
    rocksdb_readoptions_destroy(rocks->read_group);
    rocksdb_flushoptions_destroy(rocks->flush);
    rocksdb_options_destroy(rocks->options);
    rocksdb_cache_destroy(rocks->cache);
    pd_free(rocks->path);
    pd_free(rocks);
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

struct pd_store_rocks_config pd_store_rocks_config_default(void)
{
    return (struct pd_store_rocks_config){.cache_bytes = 32u << 20,
                                          .write_buffer_bytes = 16u << 20,
                                          .open_files_max = 512,
                                          .background_jobs = 2};
}

/* -- Groups, as RocksDB asks for them ---------------------------------------------------------- */

static size_t group_of(void *state, const char *key, size_t size)
{
    const struct rocks *rocks = state;
    return rocks->group_size((struct pd_span){(const uint8_t *)key, size});
}

static unsigned char has_group(void *state, const char *key, size_t size)
{
    return group_of(state, key, size) > 0;
}

static char *take_group(void *state, const char *key, size_t size, size_t *size_out)
{
    *size_out = group_of(state, key, size);
    return (char *)(uintptr_t)key;
}

static unsigned char is_group(void *state, const char *key, size_t size)
{
    return group_of(state, key, size) == size;
}

static void keep_state(void *state)
{
    (void)state; /* the store outlives its options */
}

static const char *group_name(void *state)
{
    (void)state;
    return "pando.group.1"; /* in the files: another rule needs another name */
}

static void set_groups(struct rocks *rocks, rocksdb_block_based_table_options_t *table)
{
    rocksdb_block_based_options_set_whole_key_filtering(table, 0);
    rocksdb_options_set_prefix_extractor(
        rocks->options, rocksdb_slicetransform_create(rocks, keep_state, take_group, has_group,
                                                      is_group, group_name));
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(rocks->options, MEMTABLE_FILTER_SHARE);
}

/* -- Opening ----------------------------------------------------------------------------------- */

static void set_options(struct rocks *rocks, const struct pd_store_rocks_config *config)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocks->options = options;
    rocks->cache = rocksdb_cache_create_lru(config->cache_bytes);
    rocksdb_block_based_options_set_block_cache(table, rocks->cache);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocks->group_size = config->group_size;
    if (config->group_size != NULL) {
        set_groups(rocks, table);
    }
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table); /* the options have their own share */
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_write_buffer_size(options, config->write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(options, 3);
    rocksdb_options_set_max_open_files(options, (int)config->open_files_max);
    rocksdb_options_set_max_background_jobs(options, (int)config->background_jobs);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_bytes_per_sync(options, 1u << 20);
    rocksdb_options_set_keep_log_file_num(options, 2);
    rocksdb_options_set_info_log_level(options, LOG_LEVEL);
    rocks->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(rocks->write, 1);
    rocks->read = whole_reads();
    rocks->read_group = rocksdb_readoptions_create();
    rocksdb_readoptions_set_prefix_same_as_start(rocks->read_group, 1);
    rocks->read_persisted = whole_reads();
    rocksdb_readoptions_set_read_tier(rocks->read_persisted, PERSISTED_TIER);
    rocks->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(rocks->flush, 1);
    rocks->batch = rocksdb_writebatch_create();
}

enum pd_status pd_store_rocks_open(const char *path, const struct pd_store_rocks_config *config,
                                   char text[PD_STORE_ROCKS_TEXT_MAX], struct pd_store **store_out)
{
    text[0] = '\0';
    struct rocks *rocks = pd_alloc_zeroed(1, sizeof *rocks);
    if (rocks == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    rocks->base.ops = &ops;
    rocks->path = pd_alloc_text(path, strlen(path));
    if (rocks->path == NULL) {
        pd_free(rocks);
        return PD_ERR_NO_MEMORY;
    }
    set_options(rocks, config);
    enum pd_status status = open_database(rocks, text);
    if (status != PD_OK) {
        close_op(&rocks->base);
        return status;
    }
    *store_out = &rocks->base;
    return PD_OK;
}

enum pd_status pd_store_rocks_destroy(const char *path, char text[PD_STORE_ROCKS_TEXT_MAX])
{
    char *error = NULL;
    text[0] = '\0';
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_destroy_db(options, path, &error);
    rocksdb_options_destroy(options);
    return judge(error, text);
}
