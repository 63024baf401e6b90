/* The store on RocksDB: the contract of base/store.h, kill -9, damaged and missing files. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/random.h"
#include "store/memory.h"
#include "store/rocks.h"

#define PAGE 4096u

static char folder[64];
static char text[PD_STORE_ROCKS_TEXT_MAX];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/pando-rocks-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[400];
    DIR *list = opendir(folder);
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(list);
    return rmdir(folder);
}

static struct pd_store *open_store(uint64_t buffer_bytes)
{
    struct pd_store_rocks_config config = pd_store_rocks_config_default();
    config.write_buffer_bytes = buffer_bytes;
    struct pd_store *store = NULL;
    enum pd_status status = pd_store_rocks_open(folder, &config, text, &store);
    if (status != PD_OK) {
        fprintf(stderr, "%s\n", text);
    }
    assert_int_equal(status, PD_OK);
    return store;
}

/* The same random batch to both. */
static void apply_both(struct pd_store *left, struct pd_store *right, struct pd_random *random,
                       uint64_t index)
{
    uint8_t keys[8][3];
    uint8_t values[8][32];
    struct pd_store_write writes[8];
    size_t count = (size_t)pd_random_below(random, 8);
    for (size_t i = 0; i < count; i++) {
        size_t size = (size_t)pd_random_below(random, 33);
        keys[i][0] = (uint8_t)(1 + pd_random_below(random, 255));
        keys[i][1] = (uint8_t)pd_random_below(random, 3);
        pd_random_fill(random, values[i], 32);
        writes[i] = (struct pd_store_write){
            .kind = pd_random_below(random, 3) == 0 ? PD_STORE_DELETE : PD_STORE_PUT,
            .key = {keys[i], 1 + (size_t)pd_random_below(random, 2)},
            .value = {values[i], size}};
    }
    assert_int_equal(left->ops->apply(left, writes, count, index), PD_OK);
    assert_int_equal(right->ops->apply(right, writes, count, index), PD_OK);
}

/* Of one range, into `room` bytes, at most PAGE. What both say. */
static enum pd_status expect_equal_pages(struct pd_store *left, struct pd_store *right,
                                         struct pd_span from, struct pd_span to, bool descending,
                                         size_t room, uint32_t rows)
{
    static uint8_t left_room[PAGE];
    static uint8_t right_room[PAGE];
    struct pd_store_page a = {.bytes = left_room, .bytes_max = room, .rows_max = rows};
    struct pd_store_page b = {.bytes = right_room, .bytes_max = room, .rows_max = rows};
    enum pd_status status = left->ops->scan(left, from, to, descending, &a);
    assert_int_equal(right->ops->scan(right, from, to, descending, &b), status);
    assert_int_equal(a.row_count, b.row_count);
    assert_int_equal(a.size, b.size);
    assert_int_equal(a.is_complete, b.is_complete);
    assert_memory_equal(left_room, right_room, a.size);
    return status;
}

static void expect_equal_scans(struct pd_store *left, struct pd_store *right,
                               struct pd_random *random)
{
    uint8_t low = (uint8_t)pd_random_below(random, 256);
    uint8_t high = (uint8_t)pd_random_below(random, 256);
    struct pd_span from = {&low, low == 0 ? 0 : 1};
    struct pd_span to = {&high, high == 0 ? 0 : 1};
    bool descending = pd_random_below(random, 2) == 0;
    size_t room = 64 + (size_t)pd_random_below(random, PAGE - 64);
    uint32_t rows = (uint32_t)pd_random_below(random, 20);
    (void)expect_equal_pages(left, right, from, to, descending, room, rows);
}

static void rows_are_those_of_the_store_in_memory(void **state)
{
    (void)state;
    struct pd_store *rocks = open_store(1u << 20);
    struct pd_store *memory = pd_store_memory_open();
    struct pd_random random;
    pd_random_init(&random, 1, "rocks");
    for (uint64_t index = 1; index < 400; index++) {
        apply_both(rocks, memory, &random, index);
        expect_equal_scans(rocks, memory, &random);
        if (pd_random_below(&random, 40) == 0) {
            assert_int_equal(rocks->ops->flush(rocks), PD_OK);
            assert_int_equal(rocks->ops->durable_index(rocks), index);
        }
        assert_int_equal(rocks->ops->applied_index(rocks), index);
    }
    struct pd_store_view *view = rocks->ops->view_open(rocks);
    struct pd_store_view *other = memory->ops->view_open(memory);
    for (uint64_t index = 400; index < 420; index++) {
        apply_both(rocks, memory, &random, index);
    }
    static uint8_t room[2][65536];
    struct pd_store_page a = {.bytes = room[0], .bytes_max = sizeof room[0]};
    struct pd_store_page b = {.bytes = room[1], .bytes_max = sizeof room[1]};
    assert_int_equal(rocks->ops->view_scan(view, (struct pd_span){0}, (struct pd_span){0}, &a),
                     PD_OK);
    assert_int_equal(memory->ops->view_scan(other, (struct pd_span){0}, (struct pd_span){0}, &b),
                     PD_OK);
    assert_int_equal(rocks->ops->view_index(view), 399);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(room[0], room[1], a.size);
    rocks->ops->view_close(view);
    memory->ops->view_close(other);
    uint8_t key = 'k';
    uint8_t value[8];
    size_t size = 0;
    struct pd_store_write write = {.key = {&key, 1}, .value = {value, 0}};
    assert_int_equal(rocks->ops->apply(rocks, &write, 1, 420), PD_OK);
    assert_int_equal(rocks->ops->get(rocks, write.key, value, 8, &size), PD_OK);
    assert_int_equal(size, 0);
    assert_int_equal(rocks->ops->reset(rocks), PD_OK);
    assert_int_equal(rocks->ops->get(rocks, write.key, value, 8, &size), PD_ERR_UNKNOWN);
    assert_int_equal(rocks->ops->applied_index(rocks), 0);
    assert_int_equal(rocks->ops->durable_index(rocks), 0);
    rocks->ops->close(rocks);
    memory->ops->close(memory);
}

/* It is asked for after each batch, and its row stands in one block with the first large one. */
static void the_durable_index_is_read_when_the_files_have_changed(void **state)
{
    (void)state;
    struct pd_store *store = open_store(1u << 20);
    uint8_t key = 'k';
    const struct pd_store_write write = {.key = {&key, 1}, .value = {&key, 1}};
    for (uint64_t round = 0; round < 3; round++) {
        uint64_t before = pd_store_rocks_durable_reads(store);
        for (uint64_t index = 1; index <= 100; index++) {
            assert_int_equal(store->ops->apply(store, &write, 1, 100 * round + index), PD_OK);
            assert_int_equal(store->ops->durable_index(store), 100 * round);
        }
        assert_true(pd_store_rocks_durable_reads(store) - before <= 2);
        assert_int_equal(store->ops->flush(store), PD_OK);
        assert_int_equal(store->ops->durable_index(store), 100 * (round + 1));
    }
    assert_int_equal(store->ops->reset(store), PD_OK);
    assert_int_equal(store->ops->durable_index(store), 0);
    assert_int_equal(store->ops->apply(store, &write, 1, 7), PD_OK);
    assert_int_equal(store->ops->flush(store), PD_OK);
    assert_int_equal(store->ops->durable_index(store), 7);
    store->ops->close(store);
}

/* -- Groups ------------------------------------------------------------------------------------ */

/* Of a key: "g", some bytes, "." . What follows is the row's own. */
static size_t group_size(struct pd_span key)
{
    const uint8_t *dot = key.size > 0 && key.bytes[0] == 'g'
                             ? memchr(key.bytes, '.', key.size < 6 ? key.size : 6)
                             : NULL;
    return dot == NULL ? 0 : (size_t)(dot - key.bytes) + 1;
}

static struct pd_store *open_with_groups(pd_store_group_size groups)
{
    struct pd_store_rocks_config config = pd_store_rocks_config_default();
    config.write_buffer_bytes = 64u << 10;
    config.group_size = groups;
    struct pd_store *store = NULL;
    assert_int_equal(pd_store_rocks_open(folder, &config, text, &store), PD_OK);
    return store;
}

/* "g", one to three letters of two, and mostly ".", and a tail: groups whose names begin alike,
 * and rows that are in none. */
static struct pd_span random_row(struct pd_random *random, uint8_t row[8])
{
    size_t size = 0;
    row[size++] = pd_random_below(random, 8) == 0 ? 'f' : 'g';
    for (size_t i = 0; i <= pd_random_below(random, 3); i++) {
        row[size++] = (uint8_t)('a' + pd_random_below(random, 2));
    }
    if (pd_random_below(random, 8) != 0) {
        row[size++] = '.';
        row[size++] = (uint8_t)pd_random_below(random, 256);
    }
    return (struct pd_span){row, size};
}

static void change_some_rows(struct pd_store *left, struct pd_store *right,
                             struct pd_random *random, uint64_t index)
{
    uint8_t keys[8][8] = {{0}};
    struct pd_store_write writes[8];
    size_t count = (size_t)pd_random_below(random, 8);
    for (size_t i = 0; i < count; i++) {
        writes[i] = (struct pd_store_write){
            .kind = pd_random_below(random, 3) == 0 ? PD_STORE_DELETE : PD_STORE_PUT,
            .key = random_row(random, keys[i]),
            .value = {keys[i], 4}};
    }
    assert_int_equal(left->ops->apply(left, writes, count, index), PD_OK);
    assert_int_equal(right->ops->apply(right, writes, count, index), PD_OK);
}

/* Half of them within one group, from its first row or behind it to the end, or a little further;
 * half of anything. */
static void expect_equal_ranges(struct pd_store *left, struct pd_store *right,
                                struct pd_random *random)
{
    uint8_t low[8] = {0};
    uint8_t high[8] = {0};
    struct pd_span from = random_row(random, low);
    struct pd_span to = random_row(random, high);
    size_t size = group_size(from);
    if (size > 0 && pd_random_below(random, 2) == 0) {
        memcpy(high, low, size);
        high[size - 1] = pd_random_below(random, 2) == 0 ? high[size - 1] + 1 : 'c';
        to = (struct pd_span){high, size};
    }
    bool descending = pd_random_below(random, 4) == 0;
    uint32_t rows = (uint32_t)pd_random_below(random, 4);
    assert_int_equal(expect_equal_pages(left, right, from, to, descending, PAGE, rows), PD_OK);
}

/* In memory, in files with a filter of groups, and in those of a store that had none. */
static void scans_within_a_group_find_what_others_find(void **state)
{
    (void)state;
    struct pd_store *memory = pd_store_memory_open();
    struct pd_random random;
    pd_random_init(&random, 3, "rocks");
    uint64_t index = 0;
    for (uint32_t round = 0; round < 8; round++) {
        struct pd_store *rocks = open_with_groups(round % 4 == 0 ? NULL : group_size);
        for (uint32_t i = 0; i < 300; i++) {
            change_some_rows(rocks, memory, &random, ++index);
            expect_equal_ranges(rocks, memory, &random);
            if (pd_random_below(&random, 40) == 0) {
                assert_int_equal(rocks->ops->flush(rocks), PD_OK);
            }
        }
        assert_int_equal(rocks->ops->flush(rocks), PD_OK);
        rocks->ops->close(rocks);
    }
    memory->ops->close(memory);
}

/* Batch i sets both rows to i: they always tell the applied index, whatever moment it was killed
 * at. */
static void write_until_killed(struct pd_store *store, int pipe_end)
{
    static uint8_t fill[3000];
    uint64_t index = store->ops->applied_index(store);
    for (;;) {
        index++;
        uint8_t number[8];
        pd_put_u64(number, index);
        uint8_t row[3] = {'r', (uint8_t)(index % 251), (uint8_t)(index % 7)};
        struct pd_store_write writes[3] = {
            {.key = {(const uint8_t *)"a", 1}, .value = {number, 8}},
            {.key = {row, 3}, .value = {fill, sizeof fill}},
            {.key = {(const uint8_t *)"z", 1}, .value = {number, 8}}};
        if (store->ops->apply(store, writes, 3, index) != PD_OK) {
            _exit(1);
        }
        if (index % 64 == 0 && write(pipe_end, number, 8) != 8) {
            _exit(1);
        }
    }
}

static uint64_t row_number(struct pd_store *store, const char *key)
{
    uint8_t number[8] = {0};
    size_t size = 0;
    enum pd_status status =
        store->ops->get(store, (struct pd_span){(const uint8_t *)key, 1}, number, 8, &size);
    assert_true(status == PD_OK || status == PD_ERR_UNKNOWN);
    return pd_get_u64(number);
}

/* Open what a killed process left and judge it. Exits with 0 if all is well; the index goes into
 * the pipe. */
static void judge_and_exit(int pipe_end)
{
    struct pd_store *store = open_store(64u << 10);
    uint8_t number[8];
    uint64_t applied = store->ops->applied_index(store);
    pd_put_u64(number, applied);
    bool is_good = row_number(store, "a") == applied && row_number(store, "z") == applied &&
                   store->ops->durable_index(store) == applied;
    store->ops->close(store);
    _exit(is_good && write(pipe_end, number, 8) == 8 ? 0 : 1);
}

/* A process of its own for each: RocksDB's threads do not survive a fork. Returns the pipe's end to
 * read from. */
static int fork_child(bool is_writer, pid_t *child_out)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    *child_out = fork();
    assert_true(*child_out >= 0);
    if (*child_out == 0) {
        close(ends[0]);
        if (is_writer) {
            write_until_killed(open_store(64u << 10), ends[1]);
        }
        judge_and_exit(ends[1]);
    }
    close(ends[1]);
    return ends[0];
}

static void a_killed_process_leaves_whole_batches(void **state)
{
    (void)state;
    uint64_t before = 0;
    for (uint32_t round = 0; round < 12; round++) {
        pid_t child = 0;
        int status = 1;
        uint8_t number[8];
        int from = fork_child(true, &child);
        for (uint32_t i = 0; i < 3 + round; i++) {
            assert_int_equal(read(from, number, 8), 8);
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        close(from);
        from = fork_child(false, &child);
        assert_int_equal(read(from, number, 8), 8);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        close(from);
        assert_true(pd_get_u64(number) >= before);
        before = pd_get_u64(number);
    }
    assert_true(before > 0);
}

/* Do something to each table file. Returns their number. */
static uint32_t spoil_tables(bool is_removed)
{
    uint32_t count = 0;
    char path[400];
    DIR *list = opendir(folder);
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        if (strstr(entry->d_name, ".sst") == NULL) {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        count++;
        if (is_removed) {
            assert_int_equal(unlink(path), 0);
        } else {
            assert_int_equal(truncate(path, 100), 0);
        }
    }
    closedir(list);
    return count;
}

static void damage_is_told(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 2; round++) {
        struct pd_store *store = open_store(1u << 20);
        struct pd_random random;
        struct pd_store *memory = pd_store_memory_open();
        pd_random_init(&random, 2, "rocks");
        for (uint64_t index = 1; index < 100; index++) {
            apply_both(store, memory, &random, index);
        }
        assert_int_equal(store->ops->flush(store), PD_OK);
        store->ops->close(store);
        memory->ops->close(memory);
        assert_true(spoil_tables(round == 0) > 0);
        struct pd_store_rocks_config config = pd_store_rocks_config_default();
        assert_int_equal(pd_store_rocks_open(folder, &config, text, &store), PD_ERR_CORRUPT);
        assert_true(text[0] != '\0');
        assert_int_equal(pd_store_rocks_destroy(folder, text), PD_OK);
        store = open_store(1u << 20);
        assert_int_equal(store->ops->applied_index(store), 0);
        store->ops->close(store);
        assert_int_equal(pd_store_rocks_destroy(folder, text), PD_OK);
        assert_int_equal(make_folder(NULL), 0);
    }
}

/* Nothing more can be opened from here on: nothing is free below what is free first. */
static struct rlimit take_descriptors(void)
{
    struct rlimit before;
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(first >= 0);
    close(first);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)first, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return before;
}

static void without_descriptors_it_refuses_and_goes_on_when_opened_anew(void **state)
{
    (void)state;
    static uint8_t value[4096];
    uint8_t key[1] = {1};
    struct pd_store_write write = {
        .kind = PD_STORE_PUT, .key = {key, sizeof key}, .value = {value, sizeof value}};
    struct pd_store *store = open_store(64u << 10);
    assert_int_equal(store->ops->apply(store, &write, 1, 1), PD_OK);
    assert_int_equal(store->ops->flush(store), PD_OK);
    assert_false(pd_store_rocks_lacks_descriptors(store));
    struct rlimit before = take_descriptors();
    enum pd_status status = PD_OK;
    uint64_t index = 1;
    while (status == PD_OK && index < 10000) {
        status = store->ops->apply(store, &write, 1, ++index);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status, PD_ERR_FULL);
    assert_true(pd_store_rocks_lacks_descriptors(store));
    assert_int_equal(store->ops->applied_index(store), index - 1);
    store->ops->close(store);
    store = open_store(64u << 10);
    uint64_t applied = store->ops->applied_index(store);
    assert_true(applied >= 1 && applied < index);
    assert_int_equal(store->ops->apply(store, &write, 1, applied + 1), PD_OK);
    assert_int_equal(store->ops->flush(store), PD_OK);
    store->ops->close(store);
}

static void a_store_that_finds_no_descriptor_is_not_damaged(void **state)
{
    (void)state;
    struct pd_store *store = open_store(1u << 20);
    store->ops->close(store);
    struct pd_store_rocks_config config = pd_store_rocks_config_default();
    struct rlimit before = take_descriptors();
    enum pd_status status = pd_store_rocks_open(folder, &config, text, &store);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status, PD_ERR_FULL);
    assert_non_null(strstr(text, "Too many open files"));
}

/* One that does not fit tells how much it takes; and behind one that fits nothing is looked at for
 * which there is no room: the next page tells whether there was more. */
static void large_rows_are_read_once(void **state)
{
    (void)state;
    enum {
        VALUE = 100000,
        ROW = 8 + 2 + VALUE
    };
    static uint8_t value[VALUE];
    static uint8_t room[2 * ROW];
    static const uint8_t keys[2][2] = {{'k', '0'}, {'k', '1'}};
    static const uint8_t behind[2] = {'k', '2'};
    struct pd_store_write writes[2];
    for (size_t i = 0; i < 2; i++) {
        writes[i] = (struct pd_store_write){
            .kind = PD_STORE_PUT, .key = {keys[i], 2}, .value = {value, sizeof value}};
    }
    struct pd_store *stores[] = {open_store(1u << 20), pd_store_memory_open()};
    for (size_t i = 0; i < 2; i++) {
        struct pd_store *store = stores[i];
        const struct pd_span from = {keys[0], 2};
        const struct pd_span to = {behind, 2};
        assert_int_equal(store->ops->apply(store, writes, 2, 1), PD_OK);
        struct pd_store_page page = {.bytes = room, .bytes_max = 4096};
        assert_int_equal(store->ops->scan(store, from, to, false, &page), PD_ERR_RANGE);
        assert_int_equal(page.size, ROW);
        page.bytes_max = page.size;
        assert_int_equal(store->ops->scan(store, from, to, false, &page), PD_OK);
        assert_int_equal(page.row_count, 1);
        assert_false(page.is_complete);
        page.bytes_max = sizeof room;
        assert_int_equal(store->ops->scan(store, from, to, false, &page), PD_OK);
        assert_int_equal(page.row_count, 2);
        assert_int_equal(page.is_complete, i == 1); /* the disk's did not look further */
        assert_int_equal(store->ops->scan(store, to, (struct pd_span){0}, false, &page), PD_OK);
        assert_int_equal(page.row_count, 0);
        assert_true(page.is_complete);
        store->ops->close(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_whole_batches, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(rows_are_those_of_the_store_in_memory, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_durable_index_is_read_when_the_files_have_changed,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(scans_within_a_group_find_what_others_find, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(damage_is_told, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(without_descriptors_it_refuses_and_goes_on_when_opened_anew,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_store_that_finds_no_descriptor_is_not_damaged,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(large_rows_are_read_once, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
