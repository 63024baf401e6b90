/* Snapshots for clients: of one index whatever is written meanwhile, at the client's pace, and gone
 * when the client is; and what becomes of such a state when it is raised to another cluster's. */
#include "node/replica_world.h"

#include "kv/raise.h"
#include "node/replica_internal.h"

#define ROWS_MAX 4096u
#define NUMBER 77u

struct row {
    struct pd_span key;
    struct pd_span value;
};

/* What came of a snapshot; rows are copies. */
struct taken {
    struct pd_snapshot_chain chain;
    struct row meta;
    struct row rows[ROWS_MAX];
    uint32_t row_count;
    uint64_t next;
    bool is_over;
};

static struct pd_span copy(struct pd_span from)
{
    uint8_t *bytes = malloc(from.size + 1);
    if (from.size > 0) {
        memcpy(bytes, from.bytes, from.size);
    }
    return (struct pd_span){bytes, from.size};
}

static void taken_free(struct taken *taken)
{
    for (uint32_t i = 0; i < taken->row_count; i++) {
        free((void *)(uintptr_t)taken->rows[i].key.bytes);
        free((void *)(uintptr_t)taken->rows[i].value.bytes);
    }
    free((void *)(uintptr_t)taken->meta.value.bytes);
    free(taken);
}

static uint64_t ask(struct world *world, pd_raft_node id, uint64_t sequence)
{
    const struct pd_replica_request_head head = {
        .kind = PD_REPLICA_REQUEST_SNAPSHOT, .number = NUMBER, .sequence = sequence};
    return world_ask(world, id, &head);
}

static void take(struct taken *taken, struct pd_span bytes)
{
    struct pd_snapshot_peek peek;
    struct pd_snapshot_chunk chunk;
    assert_int_equal(pd_snapshot_peek(bytes, &peek), PD_OK);
    if (taken->next == 0) {
        pd_snapshot_chain_init(&taken->chain, &peek.id);
    }
    assert_int_equal(pd_snapshot_take(&taken->chain, bytes, &chunk), PD_OK);
    taken->next++;
    taken->is_over = chunk.kind == PD_SNAPSHOT_END;
    if (chunk.kind == PD_SNAPSHOT_HEAD) {
        taken->meta.value = copy(chunk.head.meta);
    }
    struct pd_span key;
    struct pd_span value;
    size_t at = 0;
    while (chunk.kind == PD_SNAPSHOT_ROWS && pd_snapshot_row(&chunk, &at, &key, &value)) {
        assert_true(taken->row_count < ROWS_MAX);
        taken->rows[taken->row_count++] = (struct row){copy(key), copy(value)};
    }
}

/* The next chunk. */
static void take_next(struct world *world, pd_raft_node id, struct taken *taken)
{
    const struct world_answer *answer = world_await(world, ask(world, id, taken->next));
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    take(taken, answer->body);
}

static struct taken *take_all(struct world *world, pd_raft_node id)
{
    struct taken *taken = calloc(1, sizeof *taken);
    while (!taken->is_over) {
        take_next(world, id, taken);
    }
    return taken;
}

static uint32_t open_views(struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->count; i++) {
        for (uint32_t v = 0; v < WORLD_VIEWS; v++) {
            count += world->nodes[i].views[v].view != NULL ? 1 : 0;
        }
    }
    return count;
}

/* The rows from `skip` on are left out or changed by the caller; the status of the end. */
static enum pd_status raise(const struct taken *taken, const struct pd_kv_raise_config *config,
                            uint8_t meta[PD_KV_META_SIZE], struct pd_kv_raise *raise_out)
{
    enum pd_status status = pd_kv_raise_init(raise_out, config, taken->meta.value);
    for (uint32_t i = 0; i < taken->row_count && status == PD_OK; i++) {
        bool stays = false;
        status = pd_kv_raise_row(raise_out, taken->rows[i].key, taken->rows[i].value, &stays);
        assert_true(!stays || taken->rows[i].key.bytes[0] == 'x');
    }
    return status == PD_OK ? pd_kv_raise_end(raise_out, meta) : status;
}

static struct world *three_with_keys(uint64_t seed)
{
    struct world *world = world_open(3, 3, seed);
    world_start_all(world, 3);
    world_put(world, "early", "1");
    world_put_many(world, 60, 40, 200);
    assert_true(world_converges(world, 50));
    return world;
}

static void it_is_of_one_index_while_writes_go_on(void **state)
{
    (void)state;
    struct world *world = three_with_keys(1);
    pd_raft_node leader = world_elect(world);
    uint64_t keys = world_status(world, leader).kv.key_count;
    struct taken *taken = calloc(1, sizeof *taken);
    take_next(world, leader, taken);
    while (!taken->is_over) {
        world_put(world, "early", "changed");
        world_put_many(world, 5, 400, 100);
        take_next(world, leader, taken);
    }
    assert_true(taken->next > 4); /* several chunks */
    assert_int_equal(open_views(world), 0);
    uint8_t meta[PD_KV_META_SIZE];
    struct pd_kv_raise raised;
    const struct pd_kv_raise_config config = pd_kv_raise_config_default();
    assert_int_equal(raise(taken, &config, meta, &raised), PD_OK);
    assert_int_equal(raised.from.index, taken->chain.id.index);
    assert_int_equal(raised.to.key_count, keys);
    assert_true(world_status(world, leader).kv.key_count > keys);
    pd_kv_raise_deinit(&raised);
    taken_free(taken);
    world_close(world);
}

static void what_the_store_does_not_show_yet_is_in_it(void **state)
{
    (void)state;
    struct world *world = three_with_keys(2);
    pd_raft_node leader = world_elect(world);
    world_node(world, leader)->hold_store = true;
    world_put(world, "early", "fresh"); /* its record is in memory: nothing is read */
    uint64_t correlation = ask(world, leader, 0);
    world_ticks(world, 3);
    assert_null(world_answer(world, correlation)); /* it waits */
    world_node(world, leader)->hold_store = false;
    struct taken *taken = calloc(1, sizeof *taken);
    take(taken, world_await(world, correlation)->body);
    while (!taken->is_over) {
        take_next(world, leader, taken);
    }
    bool has_fresh = false;
    for (uint32_t i = 0; i < taken->row_count; i++) {
        const struct row *row = &taken->rows[i];
        has_fresh = has_fresh || (row->value.size > 5 &&
                                  memcmp(row->value.bytes + row->value.size - 5, "fresh", 5) == 0);
    }
    assert_true(has_fresh);
    taken_free(taken);
    world_close(world);
}

static void it_ends_with_its_client_and_without_a_majority_it_is_given(void **state)
{
    (void)state;
    struct world *world = three_with_keys(3);
    pd_raft_node leader = world_elect(world);
    pd_raft_node alone = leader % 3 + 1;
    for (pd_raft_node id = 1; id <= 3; id++) {
        if (id != alone) {
            world_crash(world, id);
        }
    }
    taken_free(take_all(world, alone));
    /* The client goes while a chunk is held, and while one is read. */
    assert_int_equal(world_await(world, ask(world, alone, 0))->outcome, PD_REPLICA_OK);
    assert_int_equal(open_views(world), 1);
    pd_replica_client_gone(world_node(world, alone)->replica, 1);
    world_settle(world);
    world_ticks(world, 2);
    assert_int_equal(open_views(world), 0);
    assert_int_equal(world_await(world, ask(world, alone, 0))->outcome, PD_REPLICA_OK);
    (void)ask(world, alone, 1);
    pd_replica_client_gone(world_node(world, alone)->replica, 1);
    world_settle(world);
    world_ticks(world, 2);
    assert_int_equal(open_views(world), 0);
    assert_true(pd_replica_backups_are_over(world_node(world, alone)->replica));
    world_close(world);
}

static void who_asks_wrongly_or_too_late_is_told(void **state)
{
    (void)state;
    struct world *world = three_with_keys(4);
    pd_raft_node leader = world_elect(world);
    assert_int_equal(world_await(world, ask(world, leader, 1))->outcome, PD_REPLICA_INVALID);
    assert_int_equal(world_await(world, ask(world, leader, 0))->outcome, PD_REPLICA_OK);
    assert_int_equal(world_await(world, ask(world, leader, 0))->outcome, PD_REPLICA_INVALID);
    assert_int_equal(world_await(world, ask(world, leader, 2))->outcome, PD_REPLICA_INVALID);
    assert_int_equal(world_await(world, ask(world, leader, 1))->outcome, PD_REPLICA_OK);
    uint32_t patience = 301 * world_node(world, leader)->config.snapshot_ticks;
    for (uint32_t i = 0; i < patience; i++) {
        pd_replica_tick(world_node(world, leader)->replica);
    }
    world_ticks(world, 2);
    assert_int_equal(open_views(world), 0);
    assert_true(pd_replica_backups_are_over(world_node(world, leader)->replica));
    world_close(world);
}

static void a_state_is_raised_whole_or_refused(void **state)
{
    (void)state;
    struct world *world = three_with_keys(5);
    struct taken *taken = take_all(world, world_elect(world));
    uint8_t meta[PD_KV_META_SIZE];
    struct pd_kv_raise raised;
    const struct pd_kv_raise_config config = {.revisions = 1000, .indices = 2000, .terms = 3000};
    assert_int_equal(raise(taken, &config, meta, &raised), PD_OK);
    assert_int_equal(raised.to.revision, raised.from.revision + 1000);
    assert_int_equal(raised.to.index, raised.from.index + 2000);
    assert_int_equal(raised.to.term, raised.from.term + 3000);
    uint64_t index = 0;
    uint64_t term = 0;
    assert_true(pd_kv_meta_row((struct pd_span){meta, sizeof meta}, &index, &term));
    assert_int_equal(index, raised.to.index);
    pd_kv_raise_deinit(&raised);
    const struct pd_kv_raise_config too_far = {.revisions = UINT64_MAX / 2};
    assert_int_equal(raise(taken, &too_far, meta, &raised), PD_ERR_RANGE);
    pd_kv_raise_deinit(&raised);
    /* One record changed, or any row gone that holds a live one. */
    uint32_t refused = 0;
    for (uint32_t i = 0; i < taken->row_count; i++) {
        struct row kept = taken->rows[i];
        if (kept.key.bytes[0] != 'x' || kept.value.size == 0) {
            continue;
        }
        uint8_t *last = (uint8_t *)(uintptr_t)kept.value.bytes + kept.value.size - 1;
        *last ^= 1;
        enum pd_status changed = raise(taken, &config, meta, &raised);
        pd_kv_raise_deinit(&raised);
        *last ^= 1;
        taken->rows[i] = taken->rows[taken->row_count - 1];
        taken->row_count--;
        enum pd_status lost = raise(taken, &config, meta, &raised);
        pd_kv_raise_deinit(&raised);
        taken->row_count++;
        taken->rows[i] = kept;
        refused += changed == PD_ERR_CORRUPT && lost == PD_ERR_CORRUPT;
    }
    assert_true(refused >= 30); /* the others are history */
    taken_free(taken);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_of_one_index_while_writes_go_on),
        cmocka_unit_test(what_the_store_does_not_show_yet_is_in_it),
        cmocka_unit_test(it_ends_with_its_client_and_without_a_majority_it_is_given),
        cmocka_unit_test(who_asks_wrongly_or_too_late_is_told),
        cmocka_unit_test(a_state_is_raised_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
