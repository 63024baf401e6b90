/* What a node that starts decides from its log and its store: go on, rebuild, fetch, or refuse with
 * words. Every row of that decision once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/replica.h"
#include "raft/wire.h"

#define OTHER 2u

static struct pd_replica_config small_config(enum pd_replica_start start, uint32_t voters)
{
    struct pd_replica_config config = pd_replica_config_default();
    config.cluster_id = 7;
    config.start = start;
    config.raft.id = 1;
    config.raft.seed = 1;
    config.raft.log_entries_max = 256;
    config.raft.log_bytes_max = 1 << 20;
    config.kv.limits.request_bytes_max = 16 << 10;
    config.kv.answer_bytes_max = 16 << 10;
    config.kv.overlay_bytes = 1 << 20;
    config.kv.cache_bytes = 1 << 16;
    config.kv.leases_max = 16;
    config.kv.sessions_max = 16;
    config.overlay_reserve = 1 << 16;
    config.log_retain_entries = 4;
    for (uint32_t i = 1; i <= voters; i++) {
        config.initial_conf.voters[config.initial_conf.voter_count++] = i;
    }
    return config;
}

struct rig {
    uint32_t resets; /* of the store */
    uint32_t fetches_before_reset;
    struct pd_replica_config config;
    struct pd_replica *replica;
    pd_raft_node peers[1];
};

static void open_rig(struct rig *rig, enum pd_replica_start start, uint32_t voters, bool has_peer)
{
    *rig = (struct rig){.resets = 0};
    rig->config = small_config(start, voters);
    rig->peers[0] = OTHER;
    rig->config.peers = rig->peers;
    rig->config.peer_count = has_peer ? 1 : 0;
    assert_int_equal(pd_replica_open(&rig->config, &rig->replica), PD_OK);
}

static void close_rig(struct rig *rig)
{
    pd_replica_close(rig->replica);
}

static void give(struct rig *rig, const struct pd_wal_record *record)
{
    assert_int_equal(pd_replica_recover(rig->replica, record), PD_OK);
}

static void give_mark(struct rig *rig, uint64_t index, uint64_t term)
{
    uint8_t bytes[PD_RAFT_WIRE_CONF_SIZE_MAX];
    struct pd_span payload = {bytes, pd_raft_wire_conf_put(bytes, &rig->config.initial_conf)};
    give(rig, &(struct pd_wal_record){
                  .type = PD_WAL_SNAPSHOT, .index = index, .term = term, .payload = payload});
}

static void give_entries(struct rig *rig, uint64_t first, uint64_t last, uint64_t term)
{
    for (uint64_t index = first; index <= last; index++) {
        give(rig, &(struct pd_wal_record){.type = PD_WAL_ENTRY, .index = index, .term = term});
    }
}

static void give_state(struct rig *rig, uint64_t term, uint64_t commit)
{
    give(rig, &(struct pd_wal_record){
                  .type = PD_WAL_HARD_STATE, .term = term, .index = commit, .node = 1});
}

static enum pd_status start(struct rig *rig, uint64_t applied, bool is_lost)
{
    const struct pd_replica_store_state store = {
        .applied_index = applied, .durable_index = applied, .is_lost = is_lost};
    return pd_replica_start(rig->replica, &store, 1000, 2000);
}

static enum pd_replica_phase phase(const struct rig *rig)
{
    struct pd_replica_status status;
    pd_replica_status(rig->replica, &status);
    return status.phase;
}

static void assert_says(const struct rig *rig, const char *words)
{
    if (strstr(pd_replica_text(rig->replica), words) == NULL) {
        fail_msg("'%s' does not say '%s'", pd_replica_text(rig->replica), words);
    }
}

/* Answer FETCHes from an empty store until nothing more happens; count what the log is given. */
static uint32_t run_empty(struct rig *rig, struct pd_wal_record *first_out)
{
    uint32_t records = 0;
    do {
        struct pd_replica_output output;
        while (pd_replica_next(rig->replica, &output)) {
            if (output.kind == PD_REPLICA_LOG_WRITE) {
                if (records == 0 && first_out != NULL) {
                    *first_out = output.records[0];
                }
                records += output.record_count;
                pd_replica_log_durable(rig->replica, output.ticket);
            } else if (output.kind == PD_REPLICA_FETCH) {
                rig->fetches_before_reset += rig->resets == 0 ? 1 : 0;
                uint8_t room[64];
                const struct pd_store_page page = {
                    .bytes = room, .bytes_max = sizeof room, .is_complete = true};
                pd_replica_rows(rig->replica, output.fetch.id, PD_OK, &page);
            } else if (output.kind == PD_REPLICA_STORE_RESET) {
                rig->resets++;
                pd_replica_store_was_reset(rig->replica);
            }
        }
    } while (pd_replica_step(rig->replica));
    return records;
}

static void test_first_member_begins_with_its_configuration(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_BOOTSTRAP, 3, false);
    assert_int_equal(start(&rig, 0, false), PD_OK);
    struct pd_wal_record first = {0};
    assert_true(run_empty(&rig, &first) > 0);
    assert_int_equal(first.type, PD_WAL_SNAPSHOT);
    assert_int_equal(first.index, 0);
    assert_int_equal(phase(&rig), PD_REPLICA_RUNNING);
    struct pd_replica_status status;
    pd_replica_status(rig.replica, &status);
    assert_int_equal(status.raft.conf.voter_count, 3);
    pd_replica_check(rig.replica);
    close_rig(&rig);
}

static void test_nothing_at_all_is_refused_or_fetched(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 0, false);
    assert_int_equal(start(&rig, 0, false), PD_ERR_INVALID);
    assert_says(&rig, "restore it from a snapshot");
    close_rig(&rig);
    open_rig(&rig, PD_REPLICA_START_EXISTING, 0, true);
    assert_int_equal(start(&rig, 0, false), PD_OK);
    assert_int_equal(phase(&rig), PD_REPLICA_RESTORING);
    close_rig(&rig);
    open_rig(&rig, PD_REPLICA_START_JOIN, 0, true);
    assert_int_equal(start(&rig, 0, false), PD_OK);
    assert_int_equal(phase(&rig), PD_REPLICA_RESTORING);
    close_rig(&rig);
}

static void test_store_without_its_log_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 1, true);
    assert_int_equal(start(&rig, 5, false), PD_ERR_INVALID);
    assert_says(&rig, "the log's folder was lost");
    close_rig(&rig);
}

static void test_log_that_ends_before_the_store_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 1, true);
    give_mark(&rig, 0, 0);
    give_entries(&rig, 1, 10, 1);
    assert_int_equal(start(&rig, 11, false), PD_ERR_CORRUPT);
    assert_says(&rig, "entry 10");
    assert_says(&rig, "entry 11");
    close_rig(&rig);
}

static void test_lost_store_is_rebuilt_from_a_whole_log(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 3, false);
    give_mark(&rig, 0, 0);
    give_state(&rig, 1, 8);
    give_entries(&rig, 1, 10, 1);
    assert_int_equal(start(&rig, 0, true), PD_OK);
    (void)run_empty(&rig, NULL);
    assert_int_equal(phase(&rig), PD_REPLICA_RUNNING);
    struct pd_replica_status status;
    pd_replica_status(rig.replica, &status);
    assert_int_equal(status.raft.last_index, 10);
    assert_true(status.kv.applied_index >= 8); /* what the log said was committed */
    /* What an unfinished snapshot may have left in the store is gone before anything is read. */
    assert_int_equal(rig.resets, 1);
    assert_int_equal(rig.fetches_before_reset, 0);
    pd_replica_check(rig.replica);
    close_rig(&rig);
}

static void test_whole_log_larger_than_the_window_is_taken(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 3, false);
    give_mark(&rig, 0, 0);
    give_state(&rig, 1, 1000);
    give_entries(&rig, 1, 2000, 1);
    assert_int_equal(start(&rig, 0, true), PD_OK);
    (void)run_empty(&rig, NULL);
    assert_int_equal(phase(&rig), PD_REPLICA_RUNNING);
    struct pd_replica_status status;
    pd_replica_status(rig.replica, &status);
    assert_int_equal(status.raft.last_index, 2000);
    close_rig(&rig);
}

static void test_lost_store_and_a_cut_log(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 1, false);
    give_mark(&rig, 0, 0);
    give_entries(&rig, 5, 10, 1);
    assert_int_equal(start(&rig, 0, true), PD_ERR_INVALID);
    assert_says(&rig, "restore this node from a snapshot");
    close_rig(&rig);
    open_rig(&rig, PD_REPLICA_START_EXISTING, 3, false);
    give_mark(&rig, 0, 0);
    give_entries(&rig, 5, 10, 1);
    assert_int_equal(start(&rig, 0, true), PD_OK);
    assert_int_equal(phase(&rig), PD_REPLICA_RESTORING);
    close_rig(&rig);
}

static void test_store_right_before_the_log_and_one_too_old(void **state)
{
    (void)state;
    for (uint64_t applied = 3; applied <= 10; applied++) {
        struct rig rig;
        open_rig(&rig, PD_REPLICA_START_EXISTING, 3, false);
        give_mark(&rig, 0, 0);
        give_entries(&rig, 5, 10, 1);
        assert_int_equal(start(&rig, applied, false), PD_OK);
        assert_int_equal(phase(&rig), applied < 4 ? PD_REPLICA_RESTORING : PD_REPLICA_LOADING);
        close_rig(&rig);
    }
}

static void test_mark_of_an_installed_snapshot(void **state)
{
    (void)state;
    struct rig rig;
    /* The store has it; the log before the mark is another history. */
    open_rig(&rig, PD_REPLICA_START_EXISTING, 3, false);
    give_entries(&rig, 1, 10, 1);
    give_mark(&rig, 20, 4);
    assert_int_equal(start(&rig, 20, false), PD_OK);
    assert_int_equal(phase(&rig), PD_REPLICA_LOADING);
    close_rig(&rig);
    /* The store does not have it: it was being installed. */
    open_rig(&rig, PD_REPLICA_START_EXISTING, 3, false);
    give_mark(&rig, 0, 0);
    give_entries(&rig, 1, 10, 1);
    give_mark(&rig, 20, 4);
    assert_int_equal(start(&rig, 0, false), PD_OK);
    assert_int_equal(phase(&rig), PD_REPLICA_RESTORING);
    close_rig(&rig);
}

static void test_recovered_records_are_judged(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 3, false);
    give_state(&rig, 5, 0);
    const struct pd_wal_record back = {.type = PD_WAL_HARD_STATE, .term = 4};
    assert_int_equal(pd_replica_recover(rig.replica, &back), PD_ERR_CORRUPT);
    const struct pd_wal_record zero = {.type = PD_WAL_ENTRY, .index = 0, .term = 1};
    assert_int_equal(pd_replica_recover(rig.replica, &zero), PD_ERR_CORRUPT);
    const struct pd_wal_record kind = {.type = PD_WAL_ENTRY, .index = 1, .term = 1, .kind = 9};
    assert_int_equal(pd_replica_recover(rig.replica, &kind), PD_ERR_CORRUPT);
    const struct pd_wal_record conf = {
        .type = PD_WAL_SNAPSHOT, .index = 1, .payload = {(const uint8_t *)"x", 1}};
    assert_int_equal(pd_replica_recover(rig.replica, &conf), PD_ERR_CORRUPT);
    const struct pd_wal_record foreign = {.type = PD_WAL_ENTRY, .group_id = 9, .index = 77};
    assert_int_equal(pd_replica_recover(rig.replica, &foreign), PD_OK);
    close_rig(&rig);
}

static void test_tail_that_was_replaced_is_gone(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 3, false);
    give_mark(&rig, 0, 0);
    give_entries(&rig, 1, 10, 1);
    give_entries(&rig, 6, 7, 2);
    give_state(&rig, 2, 7);
    assert_int_equal(start(&rig, 0, true), PD_OK);
    (void)run_empty(&rig, NULL);
    struct pd_replica_status status;
    pd_replica_status(rig.replica, &status);
    assert_int_equal(status.phase, PD_REPLICA_RUNNING);
    assert_int_equal(status.raft.last_index, 7);
    close_rig(&rig);
}

static void test_commit_beyond_the_log_stops(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, PD_REPLICA_START_EXISTING, 1, false);
    give_mark(&rig, 0, 0);
    give_entries(&rig, 1, 10, 1);
    give_state(&rig, 1, 12);
    assert_int_equal(start(&rig, 0, false), PD_OK);
    (void)run_empty(&rig, NULL);
    assert_int_equal(phase(&rig), PD_REPLICA_DEAD);
    assert_says(&rig, "lost what was acknowledged");
    close_rig(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_member_begins_with_its_configuration),
        cmocka_unit_test(test_nothing_at_all_is_refused_or_fetched),
        cmocka_unit_test(test_store_without_its_log_is_refused),
        cmocka_unit_test(test_log_that_ends_before_the_store_is_refused),
        cmocka_unit_test(test_lost_store_is_rebuilt_from_a_whole_log),
        cmocka_unit_test(test_whole_log_larger_than_the_window_is_taken),
        cmocka_unit_test(test_lost_store_and_a_cut_log),
        cmocka_unit_test(test_store_right_before_the_log_and_one_too_old),
        cmocka_unit_test(test_mark_of_an_installed_snapshot),
        cmocka_unit_test(test_recovered_records_are_judged),
        cmocka_unit_test(test_tail_that_was_replaced_is_gone),
        cmocka_unit_test(test_commit_beyond_the_log_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
