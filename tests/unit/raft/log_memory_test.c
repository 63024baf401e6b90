/* The log's memory: wrapping, cutting at both ends, being full. Against a plain list. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "raft/log_memory.h"

#define SLOTS 16u
#define BYTES 100u

static struct pd_raft_entry slots[2 * SLOTS];
static uint8_t bytes[BYTES];

static struct pd_raft_entry entry_of(uint64_t index, uint8_t *room, size_t size)
{
    memset(room, (int)(index & 0xff), size);
    return (struct pd_raft_entry){.term = 1, .index = index, .data = {.bytes = room, .size = size}};
}

static void check_contents(const struct pd_log_memory *memory, const size_t *sizes)
{
    pd_log_memory_check(memory);
    if (memory->count == 0) {
        return;
    }
    const struct pd_raft_entry *run = pd_log_memory_at(memory, memory->first);
    for (uint32_t i = 0; i < memory->count; i++) {
        assert_int_equal(run[i].index, memory->first + i);
        assert_int_equal(run[i].data.size, sizes[run[i].index]);
        for (size_t k = 0; k < run[i].data.size; k++) {
            assert_int_equal(run[i].data.bytes[k], run[i].index & 0xff);
        }
    }
}

static void any_history_keeps_what_it_holds(void **state)
{
    (void)state;
    static size_t sizes[20001];
    struct pd_log_memory memory;
    struct pd_random random;
    uint8_t room[BYTES];
    pd_random_init(&random, 7, "log_memory");
    pd_log_memory_init(&memory, slots, SLOTS, bytes, BYTES, 1);
    for (int step = 0; step < 20000; step++) {
        uint64_t next = memory.first + memory.count;
        uint64_t what = pd_random_below(&random, 10);
        if (what < 7 && next < 20000) {
            size_t size = (size_t)pd_random_below(&random, 40);
            struct pd_raft_entry entry = entry_of(next, room, size);
            bool fits = pd_log_memory_fits(&memory, &entry.data, 1, 0);
            assert_int_equal(pd_log_memory_append(&memory, &entry), fits ? PD_OK : PD_ERR_FULL);
            if (fits) {
                sizes[next] = size;
            }
        } else if (what < 8) {
            pd_log_memory_cut_from(&memory,
                                   memory.first + pd_random_below(&random, memory.count + 1));
        } else {
            pd_log_memory_cut_before(&memory,
                                     memory.first + pd_random_below(&random, memory.count + 1));
        }
        check_contents(&memory, sizes);
    }
    assert_true(memory.first > 1000);
}

static void full_is_a_status(void **state)
{
    (void)state;
    struct pd_log_memory memory;
    uint8_t room[BYTES + 1];
    pd_log_memory_init(&memory, slots, SLOTS, bytes, BYTES, 1);
    struct pd_raft_entry entry = entry_of(1, room, BYTES + 1);
    assert_int_equal(pd_log_memory_append(&memory, &entry), PD_ERR_FULL);
    entry = entry_of(1, room, BYTES);
    assert_int_equal(pd_log_memory_append(&memory, &entry), PD_OK);
    entry = entry_of(2, room, 1);
    assert_int_equal(pd_log_memory_append(&memory, &entry), PD_ERR_FULL);
    for (uint64_t index = 2; index <= SLOTS; index++) {
        entry = entry_of(index, room, 0);
        assert_int_equal(pd_log_memory_append(&memory, &entry), PD_OK);
    }
    entry = entry_of(SLOTS + 1, room, 0);
    assert_int_equal(pd_log_memory_append(&memory, &entry), PD_ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_history_keeps_what_it_holds),
        cmocka_unit_test(full_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
