#include "kv/collect.h"

#include <string.h>

#include "base/alloc.h"
#include "base/mutant.h"
#include "kv/codec.h"

#define RECORD_HEAD_MAX 128u       /* beside its key and value */
#define DEAD_MIN ((size_t)1 << 16) /* less is not tidied up */

static bool is_sorted(const struct pd_kv_range *range)
{
    return range->sort_order == PD_KV_SORT_DESCEND || range->sort_target != PD_KV_SORT_KEY;
}

/* As etcd: without an order and without bounds no more than the first `limit` and one more, in key
 * order, are looked at; these are sorted by the target, then cut. */
static bool takes_the_first(const struct pd_kv_range *range)
{
    return range->limit > 0 && range->sort_order == PD_KV_SORT_NONE &&
           range->min_mod_revision == 0 && range->max_mod_revision == 0 &&
           range->min_create_revision == 0 && range->max_create_revision == 0;
}

void pd_kv_collect_begin(struct pd_kv_collect *collect, const struct pd_kv_range *range,
                         const struct pd_kv_writer *writer, bool keeps_best)
{
    collect->range = *range;
    collect->keeps_best = keeps_best;
    collect->begin = writer->size;
    collect->dead = 0;
    collect->taken = 0;
    collect->is_heap = false;
    collect->kept_count = 0;
    collect->count = 0;
    collect->given = 0;
    collect->more = false;
    collect->no_memory = false;
}

static bool passes(const struct pd_kv_range *range, const struct pd_kv_record *record)
{
    return (range->min_mod_revision == 0 || record->mod_revision >= range->min_mod_revision) &&
           (range->max_mod_revision == 0 || record->mod_revision <= range->max_mod_revision) &&
           (range->min_create_revision == 0 ||
            record->create_revision >= range->min_create_revision) &&
           (range->max_create_revision == 0 ||
            record->create_revision <= range->max_create_revision);
}

static int64_t sort_number(enum pd_kv_sort_target target, const struct pd_kv_record *record)
{
    switch (target) {
    case PD_KV_SORT_VERSION:
        return record->version;
    case PD_KV_SORT_CREATE:
        return record->create_revision;
    case PD_KV_SORT_MOD:
        return record->mod_revision;
    case PD_KV_SORT_KEY:
    case PD_KV_SORT_VALUE:
        break;
    }
    return 0;
}

/* The value is a record's last field. */
static struct pd_span value_of(const struct pd_kv_writer *writer,
                               const struct pd_kv_collected *collected)
{
    size_t size = collected->value.size;
    return collected->value.bytes != NULL
               ? collected->value
               : pd_kv_span(writer->bytes + collected->at + collected->size - size, size);
}

static bool is_less(const struct pd_kv_collect *collect, const struct pd_kv_writer *writer,
                    const struct pd_kv_collected *a, const struct pd_kv_collected *b)
{
    int order = a->number < b->number ? -1 : a->number > b->number;
    if (collect->range.sort_target == PD_KV_SORT_VALUE) {
        order = pd_kv_span_compare(value_of(writer, a), value_of(writer, b));
    } else if (collect->range.sort_target == PD_KV_SORT_KEY) {
        order = a->order < b->order ? -1 : 1;
    }
    if (collect->range.sort_order == PD_KV_SORT_DESCEND) {
        order = -order;
    }
    return order != 0 ? order < 0 : a->order < b->order;
}

static void sift(struct pd_kv_collect *collect, const struct pd_kv_writer *writer, size_t at,
                 size_t count)
{
    struct pd_kv_collected *kept = collect->kept;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && is_less(collect, writer, &kept[child], &kept[child + 1])) {
            child++;
        }
        if (!is_less(collect, writer, &kept[at], &kept[child])) {
            return;
        }
        struct pd_kv_collected moved = kept[at];
        kept[at] = kept[child];
        kept[child] = moved;
        at = child;
    }
}

static void heapify(struct pd_kv_collect *collect, const struct pd_kv_writer *writer)
{
    size_t count = collect->kept_count;
    for (size_t i = count / 2; i-- > 0;) {
        sift(collect, writer, i, count);
    }
}

static void rise(struct pd_kv_collect *collect, const struct pd_kv_writer *writer, size_t at)
{
    struct pd_kv_collected *kept = collect->kept;
    while (at > 0 && is_less(collect, writer, &kept[(at - 1) / 2], &kept[at])) {
        struct pd_kv_collected moved = kept[at];
        kept[at] = kept[(at - 1) / 2];
        kept[(at - 1) / 2] = moved;
        at = (at - 1) / 2;
    }
}

static void fail(struct pd_kv_collect *collect, struct pd_kv_writer *writer)
{
    collect->no_memory = true;
    writer->is_full = true;
}

/* What is kept, without what was given up between. */
static void tidy(struct pd_kv_collect *collect, struct pd_kv_writer *writer)
{
    size_t live = writer->size - collect->begin - collect->dead;
    uint8_t *copy = pd_alloc(live > 0 ? live : 1);
    size_t at = 0;
    if (copy == NULL) {
        fail(collect, writer);
        return;
    }
    for (size_t i = 0; i < collect->kept_count; i++) {
        struct pd_kv_collected *kept = &collect->kept[i];
        memcpy(copy + at, writer->bytes + kept->at, kept->size);
        kept->at = collect->begin + at;
        at += kept->size;
    }
    memcpy(writer->bytes + collect->begin, copy, at);
    writer->size = collect->begin + at;
    collect->dead = 0;
    pd_free(copy);
}

/* Its bytes, behind the others. */
static void put(struct pd_kv_collect *collect, struct pd_kv_writer *writer,
                const struct pd_kv_record *record, struct pd_kv_collected *collected)
{
    size_t most = record->key.size + record->value.size + RECORD_HEAD_MAX;
    size_t live = writer->size - collect->begin - collect->dead;
    bool has_room = most <= writer->bytes_max - writer->size;
    if (collect->dead > 0 && (!has_room || collect->dead > live + DEAD_MIN)) {
        tidy(collect, writer);
    }
    collected->at = writer->size;
    pd_kv_answer_put_record(writer, record);
    collected->size = writer->size - collected->at;
    collected->value.bytes = NULL;
}

/* One of the best so far, or not. */
static void contend(struct pd_kv_collect *collect, struct pd_kv_writer *writer,
                    const struct pd_kv_record *record, struct pd_kv_collected *collected)
{
    size_t count = collect->kept_count;
    collect->more = true;
    if (!collect->is_heap) {
        heapify(collect, writer);
        collect->is_heap = true;
    }
    if (!is_less(collect, writer, collected, &collect->kept[0])) {
        return;
    }
    collect->dead += collect->kept[0].size;
    collect->kept[0] = collect->kept[count - 1]; /* tidy looks at those that stay */
    collect->kept_count = count - 1;
    sift(collect, writer, 0, count - 1);
    put(collect, writer, record, collected);
    if (writer->is_full) {
        return;
    }
    collect->kept_count = count;
    collect->kept[count - 1] = *collected;
    rise(collect, writer, count - 1);
}

static void keep(struct pd_kv_collect *collect, struct pd_kv_writer *writer,
                 const struct pd_kv_record *record)
{
    const struct pd_kv_range *range = &collect->range;
    struct pd_kv_record kept = *record;
    if (collect->keeps_best && range->keys_only && range->sort_target != PD_KV_SORT_VALUE) {
        kept.value = pd_kv_span(NULL, 0);
    }
    struct pd_kv_collected collected = {
        .value = kept.value,
        .number = sort_number(range->sort_target, record),
        .order = collect->taken++,
    };
    if (collect->keeps_best && range->limit > 0 && !takes_the_first(range) &&
        collect->kept_count == (uint64_t)range->limit) {
        contend(collect, writer, &kept, &collected);
        return;
    }
    if (collect->kept_count == collect->kept_max) {
        size_t max = collect->kept_max == 0 ? 64 : 2 * collect->kept_max;
        void *grown = pd_realloc(collect->kept, max * sizeof *collect->kept);
        if (grown == NULL) {
            fail(collect, writer);
            return;
        }
        collect->kept = grown;
        collect->kept_max = max;
    }
    put(collect, writer, &kept, &collected);
    collect->kept[collect->kept_count++] = collected;
}

uint64_t pd_kv_collect_bytes(const struct pd_kv_collect *collect, const struct pd_kv_record *record)
{
    const struct pd_kv_range *range = &collect->range;
    bool is_cut = !is_sorted(range) && range->limit > 0 && collect->given == range->limit;
    if (range->count_only || is_cut || !passes(range, record)) {
        return 0;
    }
    bool is_bare = range->keys_only && range->sort_target != PD_KV_SORT_VALUE;
    uint64_t bytes = record->key.size + (is_bare ? 0 : record->value.size) + RECORD_HEAD_MAX;
    return is_sorted(range) ? 2 * bytes : bytes;
}

uint64_t pd_kv_collect_held(const struct pd_kv_collect *collect, const struct pd_kv_writer *writer)
{
    return is_sorted(&collect->range) ? 2 * (uint64_t)writer->size : writer->size;
}

void pd_kv_collect_record(struct pd_kv_collect *collect, struct pd_kv_writer *writer,
                          const struct pd_kv_record *record)
{
    const struct pd_kv_range *range = &collect->range;
    collect->count++;
    if (PD_MUTANT(KV_COUNT_OF_GIVEN) && range->limit > 0 && collect->count > range->limit) {
        collect->count--;
    }
    if (range->count_only || writer->is_full || !passes(range, record)) {
        return;
    }
    if (is_sorted(range)) {
        if (!takes_the_first(range) || collect->kept_count <= (uint64_t)range->limit) {
            keep(collect, writer, record);
        }
        return;
    }
    if (range->limit > 0 && collect->given == range->limit) {
        collect->more = true;
        return;
    }
    struct pd_kv_record given = *record;
    if (range->keys_only) {
        given.value = pd_kv_span(NULL, 0);
    }
    collect->given++;
    pd_kv_answer_put_record(writer, &given);
}

static void sort(struct pd_kv_collect *collect, const struct pd_kv_writer *writer)
{
    size_t count = collect->kept_count;
    heapify(collect, writer);
    for (size_t end = count; end > 1; end--) {
        struct pd_kv_collected last = collect->kept[end - 1];
        collect->kept[end - 1] = collect->kept[0];
        collect->kept[0] = last;
        sift(collect, writer, 0, end - 1);
    }
}

/* Write the kept ones in order behind the unordered ones, then move them to the front. */
static void put_in_order(struct pd_kv_collect *collect, struct pd_kv_writer *writer)
{
    if (collect->dead > 0) {
        tidy(collect, writer);
        if (writer->is_full) {
            return;
        }
    }
    sort(collect, writer);
    size_t front = writer->size;
    size_t count = collect->kept_count;
    if (collect->range.limit > 0 && (uint64_t)collect->range.limit < count) {
        count = (size_t)collect->range.limit;
        collect->more = true;
    }
    for (size_t i = 0; i < count && !writer->is_full; i++) {
        const struct pd_kv_collected *kept = &collect->kept[i];
        if (collect->range.keys_only) {
            struct pd_kv_reader reader;
            struct pd_kv_record record;
            pd_kv_reader_init(&reader, pd_kv_span(writer->bytes + kept->at, kept->size));
            (void)pd_kv_answer_record(&reader, &record);
            record.value = pd_kv_span(NULL, 0);
            pd_kv_answer_put_record(writer, &record);
        } else {
            pd_kv_write_raw(writer, writer->bytes + kept->at, kept->size);
        }
    }
    if (!writer->is_full) {
        memmove(writer->bytes + collect->begin, writer->bytes + front, writer->size - front);
        writer->size -= front - collect->begin;
    }
}

void pd_kv_collect_end(struct pd_kv_collect *collect, struct pd_kv_writer *writer)
{
    if (is_sorted(&collect->range) && collect->kept_count > 0 && !writer->is_full) {
        put_in_order(collect, writer);
    }
    pd_kv_answer_put_end(writer);
    pd_kv_write_u8(writer, collect->more);
    pd_kv_answer_put_number(writer, collect->count);
}

void pd_kv_collect_deinit(struct pd_kv_collect *collect)
{
    pd_free(collect->kept);
    *collect = (struct pd_kv_collect){0};
}
