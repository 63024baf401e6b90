/* The log against its opponents: every torn byte, every flipped byte, every step at which a disk
 * stops or is full, and what a recycled file still holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/random.h"
#include "sim/disk.h"
#include "support/effort.h"
#include "wal/internal.h"

#define GROUPS 3u
#define BLOCK ((uint64_t)PD_DISK_BLOCK_SIZE)
#define SEGMENT (8 * BLOCK)
#define PAYLOAD_MAX (6u * PD_DISK_BLOCK_SIZE)

/* -- A disk that stops -------------------------------------------------------------------------
 */

/* Passes `left` calls that change something on to the disk behind it, and refuses all after: the
 * machine has stopped. */
struct stopping {
    struct pd_disk base;
    struct pd_sim_disk *disk;
    uint64_t left;
};

static struct pd_disk *behind(struct pd_disk *base)
{
    return &pd_container_of(base, struct stopping, base)->disk->base;
}

static bool stops(struct pd_disk *base)
{
    struct stopping *stopping = pd_container_of(base, struct stopping, base);
    if (stopping->left == 0) {
        return true;
    }
    stopping->left--;
    return false;
}

static enum pd_status stop_create(struct pd_disk *base, const char *name, struct pd_disk_file *file)
{
    return stops(base) ? PD_ERR_IO : behind(base)->ops->create(behind(base), name, file);
}

static enum pd_status stop_open(struct pd_disk *base, const char *name, struct pd_disk_file *file,
                                uint64_t *size)
{
    return behind(base)->ops->open(behind(base), name, file, size);
}

static void stop_close(struct pd_disk *base, struct pd_disk_file file)
{
    behind(base)->ops->close(behind(base), file);
}

static enum pd_status stop_write(struct pd_disk *base, struct pd_disk_file file, uint64_t offset,
                                 const uint8_t *bytes, size_t size)
{
    return stops(base) ? PD_ERR_IO
                       : behind(base)->ops->write(behind(base), file, offset, bytes, size);
}

static enum pd_status stop_read(struct pd_disk *base, struct pd_disk_file file, uint64_t offset,
                                uint8_t *bytes, size_t size, size_t *size_out)
{
    return behind(base)->ops->read(behind(base), file, offset, bytes, size, size_out);
}

static enum pd_status stop_truncate(struct pd_disk *base, struct pd_disk_file file, uint64_t size)
{
    return stops(base) ? PD_ERR_IO : behind(base)->ops->truncate(behind(base), file, size);
}

static enum pd_status stop_sync(struct pd_disk *base, struct pd_disk_file file)
{
    return stops(base) ? PD_ERR_IO : behind(base)->ops->sync(behind(base), file);
}

static enum pd_status stop_rename(struct pd_disk *base, const char *from, const char *to)
{
    return stops(base) ? PD_ERR_IO : behind(base)->ops->rename(behind(base), from, to);
}

static enum pd_status stop_remove(struct pd_disk *base, const char *name)
{
    return stops(base) ? PD_ERR_IO : behind(base)->ops->remove(behind(base), name);
}

static enum pd_status stop_sync_names(struct pd_disk *base)
{
    return stops(base) ? PD_ERR_IO : behind(base)->ops->sync_names(behind(base));
}

static enum pd_status stop_list(struct pd_disk *base, struct pd_disk_name *names, uint32_t max,
                                uint32_t *count_out)
{
    return behind(base)->ops->list(behind(base), names, max, count_out);
}

static enum pd_status stop_free_bytes(struct pd_disk *base, uint64_t *bytes_out)
{
    return behind(base)->ops->free_bytes(behind(base), bytes_out);
}

static void stop_close_disk(struct pd_disk *base)
{
    behind(base)->ops->close_disk(behind(base));
}

static const struct pd_disk_ops stop_ops = {
    .create = stop_create,
    .open = stop_open,
    .close = stop_close,
    .write = stop_write,
    .read = stop_read,
    .truncate = stop_truncate,
    .sync = stop_sync,
    .rename = stop_rename,
    .remove = stop_remove,
    .sync_names = stop_sync_names,
    .list = stop_list,
    .free_bytes = stop_free_bytes,
    .close_disk = stop_close_disk,
};

/* -- A log and what it must hold ---------------------------------------------------------------
 */

struct state {
    uint64_t last;
    uint64_t term;
    uint64_t first;  /* told by a FIRST record, or cut */
    uint64_t lowest; /* entry that is there */
};

struct world {
    struct pd_sim_disk disk;
    struct stopping stopping;
    struct pd_wal_config config;
    struct pd_wal *wal;
    struct pd_wal_report report;
    struct state written[GROUPS];
    struct state durable[GROUPS];
    struct state found[GROUPS];
};

static uint64_t content(uint32_t group, uint64_t index, uint64_t size)
{
    return index * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)group << 60 ^ size;
}

static enum pd_status visit(void *context, const struct pd_wal_record *record)
{
    struct state *state = (struct state *)context + record->group_id;
    assert_true(record->group_id < GROUPS);
    switch (record->type) {
    case PD_WAL_ENTRY:
        assert_true(record->payload.size >= 8);
        assert_int_equal(pd_get_u64(record->payload.bytes),
                         content(record->group_id, record->index, record->payload.size));
        assert_true(state->last == 0 || record->index == state->last + 1);
        state->lowest = state->lowest == 0 ? record->index : state->lowest;
        state->last = record->index;
        break;
    case PD_WAL_HARD_STATE:
        assert_int_equal(record->node, record->term % 3 + 1);
        state->term = record->term;
        break;
    case PD_WAL_SNAPSHOT:
        break;
    case PD_WAL_FIRST:
        state->first = record->index;
        break;
    }
    return PD_OK;
}

static enum pd_status reopen(struct world *world)
{
    memset(world->found, 0, sizeof world->found);
    world->wal = NULL;
    return pd_wal_open(&world->stopping.base, &world->config, visit, world->found, &world->report,
                       &world->wal);
}

static void prepare(struct world *world, uint64_t capacity)
{
    memset(world, 0, sizeof *world);
    pd_sim_disk_init(&world->disk, capacity);
    world->stopping =
        (struct stopping){.base = {.ops = &stop_ops}, .disk = &world->disk, .left = UINT64_MAX};
    world->config = pd_wal_config_default();
    world->config.identity = 41;
    world->config.segment_bytes = SEGMENT;
    world->config.segments_max = 64;
    world->config.groups_max = GROUPS;
    world->config.mark_bytes_max = 64;
    world->config.reserve_bytes = 2 * BLOCK;
}

static void begin(struct world *world)
{
    prepare(world, UINT64_C(1) << 24);
    assert_int_equal(reopen(world), PD_OK);
}

static void end(struct world *world)
{
    pd_wal_close(world->wal);
    pd_sim_disk_deinit(&world->disk);
}

/* One entry of `payload` bytes, with a new term or not. */
static enum pd_status write_entry(struct world *world, uint32_t group, size_t payload,
                                  bool has_term)
{
    static uint8_t bytes[PAYLOAD_MAX];
    struct state *state = &world->written[group];
    struct pd_wal_record records[2];
    uint32_t count = 0;
    memset(bytes, 0xa5, payload);
    pd_put_u64(bytes, content(group, state->last + 1, payload));
    if (has_term) {
        records[count++] = (struct pd_wal_record){.type = PD_WAL_HARD_STATE,
                                                  .group_id = group,
                                                  .term = state->term + 1,
                                                  .node = (state->term + 1) % 3 + 1};
    }
    records[count++] = (struct pd_wal_record){.type = PD_WAL_ENTRY,
                                              .group_id = group,
                                              .index = state->last + 1,
                                              .payload = {bytes, payload}};
    enum pd_status status = pd_wal_write(world->wal, records, count);
    if (status == PD_OK) {
        state->last++;
        state->term += has_term;
    }
    return status;
}

static void put(struct world *world, uint32_t group, size_t payload)
{
    assert_int_equal(write_entry(world, group, payload, true), PD_OK);
    assert_int_equal(pd_wal_sync(world->wal), PD_OK);
    memcpy(world->durable, world->written, sizeof world->durable);
}

static void cut(struct world *world, uint32_t group, uint64_t first)
{
    pd_wal_cut(world->wal, group, first);
    world->written[group].first = world->durable[group].first = first;
}

static void maintain(struct world *world)
{
    bool more = true;
    while (more) {
        assert_int_equal(pd_wal_maintain(world->wal, &more), PD_OK);
    }
}

/* What was found is all of `least`, and nothing beyond `most`. */
static void assert_between(const struct state *found, const struct state *least,
                           const struct state *most)
{
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_in_range(found[i].term, least[i].term, most[i].term);
        if (least[i].last >= least[i].first) {
            assert_in_range(found[i].last, least[i].last, most[i].last);
        }
        uint64_t needed = least[i].first > 0 ? least[i].first : 1;
        if (found[i].last >= needed) {
            assert_in_range(found[i].lowest, 1, needed);
        }
    }
}

static uint8_t *read_file(struct world *world, const char *name, uint8_t *bytes)
{
    struct pd_disk *disk = &world->disk.base;
    struct pd_disk_file file;
    uint64_t size = 0;
    size_t got = 0;
    assert_int_equal(disk->ops->open(disk, name, &file, &size), PD_OK);
    assert_int_equal(size, SEGMENT);
    assert_int_equal(disk->ops->read(disk, file, 0, bytes, SEGMENT, &got), PD_OK);
    disk->ops->close(disk, file);
    return bytes;
}

static void write_file(struct world *world, const char *name, const uint8_t *bytes)
{
    struct pd_disk *disk = &world->disk.base;
    struct pd_disk_file file;
    uint64_t size = 0;
    assert_int_equal(disk->ops->open(disk, name, &file, &size), PD_OK);
    assert_int_equal(disk->ops->write(disk, file, 0, bytes, SEGMENT), PD_OK);
    assert_int_equal(disk->ops->sync(disk, file), PD_OK);
    disk->ops->close(disk, file);
}

static struct pd_disk_name last_segment(const struct world *world)
{
    struct pd_disk_name name;
    pd_wal_segment_name(world->wal->segments[world->wal->segment_count - 1].sequence, &name);
    return name;
}

/* -- Torn tails --------------------------------------------------------------------------------
 */

/* Any number of the last batch's bytes are there, on a file of zeroes or of an earlier life. */
static void a_tail_torn_at_every_byte_is_cut(void **context)
{
    (void)context;
    static uint8_t before[SEGMENT];
    static uint8_t after[SEGMENT];
    static uint8_t torn[SEGMENT];
    for (int is_recycled = 0; is_recycled <= 1; is_recycled++) {
        struct world world;
        begin(&world);
        for (uint32_t i = 0; is_recycled && i < 12; i++) {
            put(&world, 0, 5000);
            cut(&world, 0, world.written[0].last);
            maintain(&world);
        }
        put(&world, 0, 100);
        while (world.wal->offset + 3 * BLOCK > SEGMENT) {
            put(&world, 0, 5000);
        }
        struct pd_disk_name name = last_segment(&world);
        uint64_t offset = world.wal->offset;
        read_file(&world, name.text, before);
        size_t payload = 9000;
        assert_int_equal(write_entry(&world, 0, payload, true), PD_OK);
        read_file(&world, name.text, after);
        uint64_t size = PD_WAL_BATCH_HEADER_SIZE + 2 * PD_WAL_RECORD_HEADER_SIZE + payload;
        pd_wal_close(world.wal);
        uint64_t near = PD_TEST_EFFORT(1, 4);
        uint64_t far = PD_TEST_EFFORT(7, 101);
        for (uint64_t kept = 0; kept <= size; kept += kept + far + 2 > size ? 1
                                                      : kept < 300          ? near
                                                                            : far) {
            memcpy(torn, before, SEGMENT);
            memcpy(torn + offset, after + offset, kept);
            write_file(&world, name.text, torn);
            assert_int_equal(reopen(&world), PD_OK);
            /* The earlier life may have left the very bytes that are missing. */
            bool is_whole = memcmp(torn + offset, after + offset, size) == 0;
            const struct state *wanted = is_whole ? world.written : world.durable;
            assert_between(world.found, wanted, wanted);
            pd_wal_close(world.wal);
            assert_int_equal(reopen(&world), PD_OK); /* nothing is left to be cut */
            assert_int_equal(world.report.torn_bytes, 0);
            assert_between(world.found, wanted, wanted);
            pd_wal_close(world.wal);
        }
        assert_int_equal(reopen(&world), PD_OK);
        memcpy(world.durable, world.written, sizeof world.durable);
        put(&world, 0, 100);
        pd_wal_close(world.wal);
        assert_int_equal(reopen(&world), PD_OK);
        assert_between(world.found, world.durable, world.durable);
        end(&world);
    }
}

/* -- Damage ------------------------------------------------------------------------------------
 */

/* Whether a byte of a segment means anything: not the padding of blocks. */
static bool is_meant(const uint8_t *bytes, uint64_t at)
{
    if (at < BLOCK) {
        return at < 60; /* header and its checksum */
    }
    uint64_t offset = BLOCK;
    for (;;) {
        uint64_t size = PD_WAL_BATCH_HEADER_SIZE + pd_get_u32(bytes + offset + 4);
        uint64_t padded = (size + BLOCK - 1) / BLOCK * BLOCK;
        if (at < offset + padded) {
            return at < offset + size;
        }
        offset += padded;
    }
}

static void every_damaged_byte_before_the_tail_is_told(void **context)
{
    (void)context;
    static uint8_t sound[SEGMENT];
    static uint8_t bytes[SEGMENT];
    static uint8_t left[SEGMENT];
    struct world world;
    begin(&world);
    for (uint32_t i = 0; i < 9; i++) {
        put(&world, i % 2, 700);
    }
    assert_int_equal(pd_wal_segment_count(world.wal), 2);
    uint64_t tail = world.wal->offset - BLOCK; /* the last batch looks torn when it is damaged */
    pd_wal_close(world.wal);
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        struct pd_disk_name name;
        pd_wal_segment_name(sequence, &name);
        read_file(&world, name.text, sound);
        uint64_t size = sequence == 1 ? SEGMENT : tail;
        for (uint64_t at = 0; at < size; at += is_meant(sound, at) ? PD_TEST_EFFORT(1, 5) : 61) {
            memcpy(bytes, sound, SEGMENT);
            bytes[at] ^= (uint8_t)(1u << at % 8);
            write_file(&world, name.text, bytes);
            enum pd_status status = reopen(&world);
            if (!is_meant(sound, at)) {
                assert_int_equal(status, PD_OK);
                assert_between(world.found, world.durable, world.durable);
                pd_wal_close(world.wal);
                continue;
            }
            assert_true(status == PD_ERR_CORRUPT);
            assert_non_null(strstr(world.report.text, name.text));
            assert_non_null(strstr(world.report.text, "offset"));
            assert_memory_equal(read_file(&world, name.text, left), bytes, SEGMENT);
        }
        write_file(&world, name.text, sound);
    }
    assert_int_equal(reopen(&world), PD_OK);
    assert_between(world.found, world.durable, world.durable);
    end(&world);
}

/* A segment is born with its beginning and a batch, both durable before it has its name: what does
 * not verify there was never torn, and a vote may be in it. */
static void a_damaged_beginning_of_the_last_segment_is_told(void **context)
{
    (void)context;
    static uint8_t sound[SEGMENT];
    static uint8_t bytes[SEGMENT];
    struct world world;
    begin(&world);
    for (uint32_t i = 0; i < 8; i++) {
        put(&world, 0, 700);
    }
    assert_int_equal(world.wal->offset, 3 * BLOCK);
    struct pd_disk_name name = last_segment(&world);
    pd_wal_close(world.wal);
    read_file(&world, name.text, sound);
    for (uint64_t at = BLOCK; at < 2 * BLOCK; at++) {
        if (is_meant(sound, at)) {
            memcpy(bytes, sound, SEGMENT);
            bytes[at] ^= 0x10;
            memset(bytes + 2 * BLOCK, 0, BLOCK); /* nor is there a later batch to tell it by */
            write_file(&world, name.text, bytes);
            assert_int_equal(reopen(&world), PD_ERR_CORRUPT);
            assert_non_null(strstr(world.report.text, name.text));
        }
    }
    write_file(&world, name.text, sound);
    assert_int_equal(reopen(&world), PD_OK);
    assert_between(world.found, world.durable, world.durable);
    end(&world);
}

/* -- What a recycled file holds ----------------------------------------------------------------
 */

/* A batch that is right in all but one thing lies where the next one is looked for. */
static void a_batch_of_another_life_is_never_taken(void **context)
{
    (void)context;
    static uint8_t bytes[SEGMENT];
    for (int wrong = 0; wrong < 5; wrong++) {
        struct world world;
        begin(&world);
        for (uint32_t i = 0; i < 9; i++) {
            put(&world, 0, 700);
        }
        struct pd_disk_name name = last_segment(&world);
        uint64_t sequence = world.wal->segments[world.wal->segment_count - 1].sequence;
        uint64_t chain = world.wal->chain + (wrong == 4);
        uint8_t value[8];
        pd_put_u64(value, content(0, world.written[0].last + 1, 8));
        struct pd_wal_record record = {
            .type = PD_WAL_ENTRY, .index = world.written[0].last + 1, .payload = {value, 8}};
        read_file(&world, name.text, bytes);
        pd_wal_batch_encode(bytes + world.wal->offset, world.wal->identity + (wrong == 1),
                            sequence - (wrong == 2), world.wal->batch_sequence - (wrong == 3),
                            &record, 1, &chain);
        pd_wal_close(world.wal);
        write_file(&world, name.text, bytes);
        assert_int_equal(reopen(&world), PD_OK);
        world.written[0].last += wrong == 0; /* the one that is right in all */
        assert_between(world.found, world.written, world.written);
        end(&world);
    }
}

/* A spare was filled as the next segment, and the power went before it had its name. What is then
 * written into it again is shorter. */
static void a_segment_that_got_no_name_leaves_nothing(void **context)
{
    (void)context;
    for (size_t payload = 8; payload < 4 * BLOCK; payload += BLOCK / 2) {
        struct world world;
        begin(&world);
        while (world.wal->offset < SEGMENT) {
            put(&world, 0, 700);
        }
        maintain(&world);
        assert_int_equal(write_entry(&world, 0, 4 * BLOCK, true), PD_OK);
        pd_wal_close(world.wal); /* written, not synced, not renamed */
        memcpy(world.written, world.durable, sizeof world.written);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(reopen(&world), PD_OK);
            assert_int_equal(world.report.torn_bytes, 0);
            assert_between(world.found, world.durable, world.durable);
            put(&world, 1, payload);
            pd_wal_close(world.wal);
        }
        assert_int_equal(reopen(&world), PD_OK);
        assert_between(world.found, world.durable, world.durable);
        end(&world);
    }
}

/* -- Space -------------------------------------------------------------------------------------
 */

static void a_lagging_group_holds_its_segment(void **context)
{
    (void)context;
    struct world world;
    begin(&world);
    put(&world, 2, 8);
    for (uint32_t i = 0; i < 60; i++) {
        put(&world, i % 2, 3000);
        cut(&world, i % 2, world.written[i % 2].last);
        maintain(&world);
    }
    assert_true(pd_wal_segment_count(world.wal) > 6);
    pd_wal_close(world.wal);
    assert_int_equal(reopen(&world), PD_OK);
    assert_between(world.found, world.durable, world.durable);
    assert_int_equal(world.found[2].lowest, 1);
    /* A restart does not make it forget what it may let go of. */
    assert_true(world.found[0].first > 20);
    put(&world, 0, 3000);
    cut(&world, 0, world.written[0].last);
    cut(&world, 1, world.written[1].last);
    cut(&world, 2, 2);
    maintain(&world);
    assert_true(pd_wal_segment_count(world.wal) <= 3);
    for (uint32_t i = 0; i < 8; i++) {
        put(&world, 0, 3000); /* a new segment, which says where the groups begin */
    }
    pd_wal_close(world.wal);
    assert_int_equal(reopen(&world), PD_OK);
    assert_int_equal(world.found[2].term, world.durable[2].term);
    assert_int_equal(world.found[2].first, 2);
    assert_between(world.found, world.durable, world.durable);
    end(&world);
}

static void a_log_of_all_its_segments_refuses(void **context)
{
    (void)context;
    struct world world;
    prepare(&world, UINT64_C(1) << 24);
    world.config.segments_max = 3;
    assert_int_equal(reopen(&world), PD_OK);
    /* Of eight blocks one is the header, and in later segments one the beginning. */
    for (uint32_t i = 0; i < 7 + 6 + 6; i++) {
        put(&world, 0, 3000);
        maintain(&world);
    }
    assert_int_equal(world.wal->offset, SEGMENT);
    assert_int_equal(pd_wal_segment_count(world.wal), 3);
    assert_int_equal(write_entry(&world, 0, 3000, true), PD_ERR_FULL);
    pd_wal_close(world.wal);
    assert_int_equal(reopen(&world), PD_OK);
    assert_between(world.found, world.durable, world.durable);
    cut(&world, 0, world.written[0].last);
    maintain(&world);
    put(&world, 0, 3000);
    pd_wal_close(world.wal);
    assert_int_equal(reopen(&world), PD_OK);
    assert_between(world.found, world.durable, world.durable);
    end(&world);
}

/* Fewer segments are configured than there are: refused, with words, and nothing is changed. */
static void more_segments_than_are_configured(void **context)
{
    (void)context;
    struct world world;
    begin(&world);
    for (uint32_t i = 0; i < 30; i++) {
        put(&world, 0, 3000);
    }
    assert_true(pd_wal_segment_count(world.wal) > 3);
    pd_wal_close(world.wal);
    world.config.segments_max = 3;
    assert_int_equal(reopen(&world), PD_ERR_INVALID);
    assert_non_null(strstr(world.report.text, "log-"));
    world.config.segments_max = 64;
    assert_int_equal(reopen(&world), PD_OK);
    assert_between(world.found, world.durable, world.durable);
    end(&world);
}

/* The longest batch fits behind the longest beginning of a segment, and one byte more is
 * refused. */
static void the_longest_batch_fits(void **context)
{
    (void)context;
    static uint8_t mark[64];
    struct world world;
    begin(&world);
    for (uint32_t i = 0; i < GROUPS; i++) {
        put(&world, i, 8);
        struct pd_wal_record record = {
            .type = PD_WAL_SNAPSHOT, .group_id = i, .payload = {mark, sizeof mark}};
        assert_int_equal(pd_wal_write(world.wal, &record, 1), PD_OK);
        assert_int_equal(pd_wal_sync(world.wal), PD_OK);
        cut(&world, i, 1);
    }
    uint64_t most = pd_wal_batch_bytes_max(&world.config);
    size_t payload = (size_t)(most - PD_WAL_BATCH_HEADER_SIZE - PD_WAL_RECORD_HEADER_SIZE);
    assert_true(payload <= PAYLOAD_MAX);
    assert_int_equal(write_entry(&world, 0, payload + 1, false), PD_ERR_INVALID);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(write_entry(&world, 0, payload, false), PD_OK);
        assert_int_equal(pd_wal_sync(world.wal), PD_OK);
    }
    assert_int_equal(world.wal->offset, SEGMENT);
    memcpy(world.durable, world.written, sizeof world.durable);
    pd_wal_close(world.wal);
    assert_int_equal(reopen(&world), PD_OK);
    assert_between(world.found, world.durable, world.durable);
    put(&world, 1, 8);
    end(&world);
}

/* The disk has any number of blocks: what does not fit is refused, nothing acknowledged is lost,
 * and when space returns the log goes on. */
static void a_disk_that_is_full_at_every_step(void **context)
{
    (void)context;
    uint32_t gave_reserve_back = 0;
    for (uint64_t blocks = 0; blocks < 60; blocks++) {
        struct world world;
        prepare(&world, blocks * BLOCK);
        enum pd_status status = reopen(&world);
        while (status == PD_ERR_FULL) {
            assert_null(world.wal);
            world.disk.capacity += BLOCK;
            status = reopen(&world);
        }
        assert_int_equal(status, PD_OK);
        for (uint32_t i = 0; i < 40 && status == PD_OK; i++) {
            status = write_entry(&world, 0, 3000, true);
            if (status == PD_OK) {
                assert_int_equal(pd_wal_sync(world.wal), PD_OK);
                memcpy(world.durable, world.written, sizeof world.durable);
                bool had_reserve = world.wal->has_reserve;
                bool more = true;
                enum pd_status maintained = PD_OK;
                while (more && maintained == PD_OK) {
                    maintained = pd_wal_maintain(world.wal, &more);
                }
                assert_true(maintained == PD_OK || maintained == PD_ERR_FULL);
                assert_int_equal(maintained == PD_ERR_FULL, pd_wal_is_low(world.wal));
                if (maintained == PD_ERR_FULL) {
                    assert_false(world.wal->has_reserve);
                }
                gave_reserve_back += had_reserve && !world.wal->has_reserve;
            }
        }
        assert_true(status == PD_OK || status == PD_ERR_FULL);
        if (blocks % 2 == 0) {
            pd_wal_close(world.wal); /* a full disk is no reason not to start */
            assert_int_equal(reopen(&world), PD_OK);
            assert_between(world.found, world.durable, world.durable);
        }
        cut(&world, 0, world.written[0].last);
        world.disk.capacity += 4 * SEGMENT;
        maintain(&world);
        assert_false(pd_wal_is_low(world.wal));
        assert_true(world.wal->has_reserve);
        put(&world, 0, 3000);
        pd_wal_close(world.wal);
        assert_int_equal(reopen(&world), PD_OK);
        assert_between(world.found, world.durable, world.durable);
        end(&world);
    }
    assert_true(gave_reserve_back > 0);
}

/* -- Power cuts at every step ------------------------------------------------------------------
 */

/* Rotation, recycling, new spares, until the disk stops. */
static void work_until_it_stops(struct world *world)
{
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t group = i % 5 == 4 ? 2 : i % 2;
        if (write_entry(world, group, 3000 + 300 * i, i % 3 == 0) != PD_OK ||
            pd_wal_sync(world->wal) != PD_OK) {
            return;
        }
        memcpy(world->durable, world->written, sizeof world->durable);
        if (i % 4 == 3) {
            for (uint32_t n = 0; n < GROUPS; n++) {
                cut(world, n, world->written[n].last);
            }
        }
        bool more = true;
        while (more) {
            if (pd_wal_maintain(world->wal, &more) != PD_OK) {
                return;
            }
        }
    }
}

/* The machine stops after any number of calls; of the names and blocks that are not durable, every
 * choice is left, by many draws. What recovery makes of that is cut again, at every call too. */
static void a_cut_at_every_step_loses_nothing(void **context)
{
    (void)context;
    const uint32_t draws = PD_TEST_EFFORT(24, 5);
    uint64_t draw = 0;
    bool has_stopped = true;
    for (uint64_t step = 0; has_stopped; step++) {
        for (uint32_t again = 0; again < draws; again++) {
            struct world world;
            struct pd_random random;
            pd_random_init(&random, ++draw, "crash test");
            begin(&world);
            maintain(&world);
            world.stopping.left = step;
            work_until_it_stops(&world);
            has_stopped = world.stopping.left == 0;
            pd_wal_close(world.wal);
            pd_sim_disk_power_cut(&world.disk, &random);
            world.stopping.left = again * 8 / draws; /* recovery itself may be cut short */
            if (reopen(&world) == PD_OK) {
                bool more = true;
                while (more && pd_wal_maintain(world.wal, &more) == PD_OK) {
                }
                pd_wal_close(world.wal);
            }
            pd_sim_disk_power_cut(&world.disk, &random);
            world.stopping.left = UINT64_MAX;
            assert_int_equal(reopen(&world), PD_OK);
            assert_between(world.found, world.durable, world.written);
            for (uint32_t i = 0; i < GROUPS; i++) {
                uint64_t first = world.written[i].first;
                world.written[i] = world.found[i];
                world.written[i].first = first;
                world.written[i].last = world.found[i].last < first - (first > 0)
                                            ? first - (first > 0)
                                            : world.found[i].last;
            }
            maintain(&world);
            put(&world, 0, 3000);
            put(&world, 1, 3000);
            pd_wal_close(world.wal);
            assert_int_equal(reopen(&world), PD_OK);
            assert_int_equal(world.report.torn_bytes, 0);
            end(&world);
        }
    }
    assert_true(draw > (uint64_t)draws * 40);
}

/* A sync fails, of the node or of a start, and the process is started again on the same machine:
 * the system's cache still has the batch and takes it for written. What is put behind it must not
 * outlive it when the power is cut. */
static void a_failed_sync_leaves_no_hole(void **context)
{
    (void)context;
    for (uint32_t draw = 0; draw < 60; draw++) {
        struct world world;
        struct pd_random random;
        bool fails_at_start = draw % 2 == 1;
        pd_random_init(&random, draw, "failed sync");
        begin(&world);
        maintain(&world);
        put(&world, 0, 100);
        assert_int_equal(write_entry(&world, 1, 100 + draw * 300, true), PD_OK);
        if (!fails_at_start) {
            world.disk.fail_sync = 1;
            assert_int_equal(pd_wal_sync(world.wal), PD_ERR_IO);
        }
        pd_wal_close(world.wal);
        if (fails_at_start) {
            world.disk.fail_sync = 1;
            assert_int_equal(reopen(&world), PD_ERR_IO);
            pd_wal_close(world.wal);
        }
        assert_int_equal(reopen(&world), PD_OK);
        memcpy(world.written, world.found, sizeof world.written);
        put(&world, 0, 3000);
        put(&world, 1, 3000);
        pd_wal_close(world.wal);
        pd_sim_disk_power_cut(&world.disk, &random);
        assert_int_equal(reopen(&world), PD_OK);
        assert_int_equal(world.found[0].last, world.durable[0].last);
        assert_int_equal(world.found[1].last, world.durable[1].last);
        end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tail_torn_at_every_byte_is_cut),
        cmocka_unit_test(every_damaged_byte_before_the_tail_is_told),
        cmocka_unit_test(a_damaged_beginning_of_the_last_segment_is_told),
        cmocka_unit_test(a_batch_of_another_life_is_never_taken),
        cmocka_unit_test(a_segment_that_got_no_name_leaves_nothing),
        cmocka_unit_test(a_lagging_group_holds_its_segment),
        cmocka_unit_test(a_log_of_all_its_segments_refuses),
        cmocka_unit_test(more_segments_than_are_configured),
        cmocka_unit_test(the_longest_batch_fits),
        cmocka_unit_test(a_disk_that_is_full_at_every_step),
        cmocka_unit_test(a_cut_at_every_step_loses_nothing),
        cmocka_unit_test(a_failed_sync_leaves_no_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
