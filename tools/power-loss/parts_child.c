/* The child: a log and a store on a real disk, kept busy until it is killed. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/disk.h"
#include "parts.h"
#include "store/rocks.h"
#include "subject.h"
#include "wal/wal.h"

#define ROWS 97u
#define PAYLOAD_MAX 6000u
#define ENTRIES_MAX 4u
#define KEPT 40u /* entries of the other groups that are not cut */

/* Of a group, as the log holds it. */
struct group {
    uint64_t first; /* 0: no entry */
    uint64_t last;
    uint64_t term;
    uint64_t vote;
};

struct child {
    struct group groups[PD_PARTS_GROUPS];
    struct pd_wal *wal;
    struct pd_store *store;
    struct pd_random random;
    uint64_t logged;  /* of group 0: what the store may apply; shared */
    uint64_t durable; /* of the store; shared */
};

static uint64_t content(uint32_t group, uint64_t index)
{
    return (index * UINT64_C(0x9e3779b97f4a7c15)) ^ ((uint64_t)group << 56);
}

static void wrong(const char *what, uint64_t number)
{
    printf("W %s %" PRIu64 "\n", what, number);
}

static enum pd_status visit(void *state, const struct pd_wal_record *record)
{
    struct child *child = state;
    if (record->group_id >= PD_PARTS_GROUPS) {
        return PD_ERR_CORRUPT;
    }
    struct group *group = &child->groups[record->group_id];
    switch (record->type) {
    case PD_WAL_ENTRY:
        if (record->payload.size < 8 ||
            pd_get_u64(record->payload.bytes) != content(record->group_id, record->index)) {
            wrong("the log holds another entry at", record->index);
        }
        if (group->last != 0 && record->index != group->last + 1) {
            group->first = 0; /* what is there begins anew behind a gap */
        }
        group->first = group->first == 0 ? record->index : group->first;
        group->last = record->index;
        break;
    case PD_WAL_HARD_STATE:
        group->term = record->term;
        group->vote = record->node;
        break;
    case PD_WAL_SNAPSHOT:
    case PD_WAL_FIRST:
        break;
    }
    return PD_OK;
}

static uint64_t row_index(struct pd_store *store, const uint8_t *key, size_t size)
{
    static uint8_t value[PAYLOAD_MAX];
    size_t got = 0;
    enum pd_status status =
        store->ops->get(store, (struct pd_span){key, size}, value, sizeof value, &got);
    return status == PD_OK && got >= 8 ? pd_get_u64(value) : 0;
}

/* The rows are those of one applied index: the store kept whole batches. */
static void check_rows(struct pd_store *store)
{
    uint64_t applied = store->ops->applied_index(store);
    uint64_t durable = store->ops->durable_index(store);
    if (row_index(store, (const uint8_t *)"a", 1) != applied ||
        row_index(store, (const uint8_t *)"z", 1) != applied) {
        wrong("the rows are not those of the applied index", applied);
    }
    for (uint64_t index = applied; index > 0 && index + ROWS > applied; index--) {
        uint8_t key[2] = {'r', (uint8_t)(index % ROWS)};
        if (row_index(store, key, 2) != index) {
            wrong("the store has lost the row of", index);
        }
    }
    printf("S %" PRIu64 " %" PRIu64 "\n", applied, durable);
}

/* The store's own thread: applies what the log holds, and now and then makes it durable. */
static void *apply(void *state)
{
    struct child *child = state;
    struct pd_store *store = child->store;
    static uint8_t value[PAYLOAD_MAX];
    for (uint64_t index = store->ops->applied_index(store) + 1;; index++) {
        while (__atomic_load_n(&child->logged, __ATOMIC_ACQUIRE) < index) {
            usleep(200);
        }
        uint8_t key[2] = {'r', (uint8_t)(index % ROWS)};
        pd_put_u64(value, index);
        struct pd_store_write writes[3] = {
            {.key = {(const uint8_t *)"a", 1}, .value = {value, 8}},
            {.key = {key, 2}, .value = {value, 8 + (size_t)(index * 37 % (PAYLOAD_MAX - 8))}},
            {.key = {(const uint8_t *)"z", 1}, .value = {value, 8}}};
        enum pd_status status = store->ops->apply(store, writes, 3, index);
        if (status == PD_OK && index % 64 == 0) {
            status = store->ops->flush(store);
        }
        if (status != PD_OK) {
            wrong("the store failed at", index);
            return NULL;
        }
        __atomic_store_n(&child->durable, store->ops->durable_index(store), __ATOMIC_RELEASE);
    }
}

/* One batch of a group into the log. */
static enum pd_status write_batch(struct child *child, uint32_t number)
{
    static uint8_t payloads[ENTRIES_MAX][PAYLOAD_MAX];
    struct pd_wal_record records[ENTRIES_MAX + 1];
    struct group after = child->groups[number];
    uint32_t count = 0;
    uint32_t entries = (uint32_t)pd_random_below(&child->random, ENTRIES_MAX + 1);
    if (entries == 0 || pd_random_below(&child->random, 10) == 0) {
        after.term++;
        after.vote = pd_parts_vote(number, after.term);
        records[count++] = (struct pd_wal_record){
            .type = PD_WAL_HARD_STATE, .group_id = number, .term = after.term, .node = after.vote};
    }
    for (uint32_t i = 0; i < entries; i++) {
        after.last++;
        after.first = after.first == 0 ? after.last : after.first;
        pd_put_u64(payloads[i], content(number, after.last));
        size_t size = 8 + (size_t)pd_random_below(&child->random, PAYLOAD_MAX - 8);
        records[count++] = (struct pd_wal_record){.type = PD_WAL_ENTRY,
                                                  .group_id = number,
                                                  .index = after.last,
                                                  .term = after.term,
                                                  .payload = {payloads[i], size}};
    }
    printf("T %" PRIu64 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", pd_power_now_ns(),
           number, after.last, after.term, after.vote);
    enum pd_status status = pd_wal_write(child->wal, records, count);
    status = status == PD_OK ? pd_wal_sync(child->wal) : status;
    if (status == PD_OK) {
        child->groups[number] = after;
        printf("A %" PRIu64 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", pd_power_now_ns(),
               number, after.last, after.term, after.vote);
    }
    return status;
}

static void cut(struct child *child, uint32_t number, uint64_t index)
{
    if (index > 1) {
        printf("C %" PRIu64 " %" PRIu32 " %" PRIu64 "\n", pd_power_now_ns(), number, index);
        pd_wal_cut(child->wal, number, index);
    }
}

/* Group 0 feeds the store, group 1 is busy, group 2 says little and holds old segments for long. */
static enum pd_status work(struct child *child)
{
    for (uint64_t step = 1;; step++) {
        uint64_t draw = pd_random_below(&child->random, 100);
        enum pd_status status = write_batch(child, draw < 60 ? 0 : draw < 99 ? 1 : 2);
        if (status != PD_OK) {
            return status;
        }
        __atomic_store_n(&child->logged, child->groups[0].last, __ATOMIC_RELEASE);
        if (step % 8 == 0) {
            cut(child, 0, __atomic_load_n(&child->durable, __ATOMIC_ACQUIRE) + 1);
            cut(child, 1, child->groups[1].last > KEPT ? child->groups[1].last - KEPT : 0);
        }
        if (step % 150 == 0) {
            cut(child, 2, child->groups[2].last + 1);
        }
        bool more = true;
        while (more) {
            status = pd_wal_maintain(child->wal, &more);
            if (status != PD_OK) {
                return status;
            }
        }
    }
}

static enum pd_status open_parts(struct child *child, const char *folder)
{
    char path[4096];
    char text[PD_STORE_ROCKS_TEXT_MAX];
    struct pd_disk *disk = NULL;
    struct pd_wal_report report = {.text = ""};
    struct pd_wal_config config = pd_wal_config_default();
    struct pd_store_rocks_config rocks = pd_store_rocks_config_default();
    config.identity = 1 + pd_random_below(&child->random, 1u << 30);
    config.segment_bytes = 24 * (uint64_t)PD_DISK_BLOCK_SIZE;
    config.reserve_bytes = 4 * (uint64_t)PD_DISK_BLOCK_SIZE;
    config.groups_max = PD_PARTS_GROUPS;
    config.mark_bytes_max = 64;
    rocks.write_buffer_bytes = 64u << 10;
    snprintf(path, sizeof path, "%s/log", folder);
    enum pd_status status = pd_host_disk_open(path, true, &disk);
    if (status == PD_OK) {
        status = pd_wal_open(disk, &config, visit, child, &report, &child->wal);
    }
    if (status != PD_OK) {
        printf("W the log cannot be opened: %s: %s\n", pd_status_text(status), report.text);
        return status;
    }
    snprintf(path, sizeof path, "%s/store", folder);
    status = pd_store_rocks_open(path, &rocks, text, &child->store);
    if (status != PD_OK) {
        printf("W the store cannot be opened: %s\n", text);
    }
    return status;
}

int pd_power_parts_main(const char *folder, uint64_t seed)
{
    static struct child child;
    pthread_t applier;
    setvbuf(stdout, NULL, _IOLBF, 4096);
    pd_random_init(&child.random, seed, "parts");
    if (open_parts(&child, folder) != PD_OK) {
        return 1;
    }
    for (uint32_t i = 0; i < PD_PARTS_GROUPS; i++) {
        const struct group *group = &child.groups[i];
        printf("H %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", i, group->first,
               group->last, group->term, group->vote);
    }
    check_rows(child.store);
    child.logged = child.groups[0].last;
    child.durable = child.store->ops->durable_index(child.store);
    printf("R %" PRIu64 "\n", pd_power_now_ns());
    if (pthread_create(&applier, NULL, apply, &child) != 0) {
        return 1;
    }
    enum pd_status status = work(&child);
    printf("W the log failed: %s\n", pd_status_text(status));
    return 1;
}
