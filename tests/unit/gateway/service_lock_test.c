/* Locks and elections: who holds, who waits for whom, and what is left when a waiter goes. */
#include "gateway/gateway_world.h"

static struct world world;
static struct kept kept;
static struct pd_kv_op ops[4096];
static struct pd_kv_compare compares[4096];
static const struct pd_kv_command_room room = {ops, compares, 4096, 4096};
static struct pd_kv_command command;

static int open_world(void **state)
{
    (void)state;
    const struct pd_service_config config = pd_service_config_default();
    world_open(&world, &config);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    kept_free(&kept);
    world_close(&world);
    return 0;
}

static void lock(int64_t lease)
{
    V3lockpb__LockRequest request = V3LOCKPB__LOCK_REQUEST__INIT;
    request.name = bytes_of("name");
    request.lease = lease;
    kept_ask(&world, &kept, "/v3lockpb.Lock/Lock", &request);
}

static void campaign(int64_t lease, const char *value)
{
    V3electionpb__CampaignRequest request = V3ELECTIONPB__CAMPAIGN_REQUEST__INIT;
    request.name = bytes_of("name");
    request.lease = lease;
    request.value = bytes_of(value);
    kept_ask(&world, &kept, "/v3electionpb.Election/Campaign", &request);
}

static void is_span(struct pd_span span, const char *text)
{
    assert_int_equal(span.size, strlen(text));
    assert_memory_equal(span.bytes, text, span.size);
}

/* The txn that enters: if the key is not there, put it with the lease. */
static void entering(const char *key, int64_t lease)
{
    (void)world_asked(&world, PD_BACKEND_WRITE);
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.ops[0].kind, PD_KV_OP_TXN);
    assert_int_equal(command.compares[0].target, PD_KV_COMPARE_CREATE);
    assert_int_equal(command.compares[0].number, 0);
    is_span(command.compares[0].key, key);
    is_span(command.ops[1].as.put.key, key);
    assert_int_equal(command.ops[1].as.put.lease, lease);
    is_span(command.ops[2].as.range.key, key);
}

static void entered(int64_t revision)
{
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, revision, PD_KV_ANSWER_TXN);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_response(writer, PD_KV_ANSWER_PUT);
    pd_kv_answer_put_end(writer);
    world_kv(&world);
}

/* A txn's answer; succeeded or not. */
static void txn_came(bool succeeded, int64_t revision)
{
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, revision, PD_KV_ANSWER_TXN);
    pd_kv_answer_put_number(writer, succeeded);
    pd_kv_answer_put_number(writer, 0);
    world_kv(&world);
}

static void range_came(const char *key, const char *value, int64_t created, int64_t revision)
{
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, revision, PD_KV_ANSWER_RANGE);
    if (key != NULL) {
        const struct pd_kv_record record = {.key = {(const uint8_t *)key, strlen(key)},
                                            .value = {(const uint8_t *)value, strlen(value)},
                                            .create_revision = created,
                                            .mod_revision = created,
                                            .version = 1};
        pd_kv_answer_put_record(writer, &record);
    }
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, key != NULL);
    world_kv(&world);
}

/* The read of the last key before ours. */
static void looking(int64_t before)
{
    (void)world_asked(&world, PD_BACKEND_READ);
    (void)world_command(&world, &command, &room);
    const struct pd_kv_range *range = &command.ops[0].as.range;
    is_span(range->key, "name/");
    is_span(range->range_end, "name0");
    assert_int_equal(range->limit, 1);
    assert_int_equal(range->sort_target, PD_KV_SORT_CREATE);
    assert_int_equal(range->sort_order, PD_KV_SORT_DESCEND);
    assert_int_equal(range->max_create_revision, before);
}

static bool next_event(struct pd_kv_reader *reader, struct pd_kv_event *event_out)
{
    *event_out = (struct pd_kv_event){0};
    bool is_any = pd_kv_answer_record(reader, &event_out->record);
    event_out->is_delete = event_out->record.version == 0;
    return is_any;
}

static void event_came(uint64_t watch, const char *key, const char *value, int64_t revision)
{
    uint8_t bytes[256];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_record record = {
        .key = {(const uint8_t *)key, strlen(key)},
        .value = {(const uint8_t *)value, value == NULL ? 0 : strlen(value)},
        .mod_revision = revision,
        .version = value == NULL ? 0 : 1};
    pd_kv_answer_put_record(&writer, &record);
    pd_kv_answer_put_end(&writer);
    struct pd_backend_watch_answer told = {
        .kind = PD_BACKEND_WATCH_EVENTS, .cost = 50, .event = next_event};
    pd_kv_reader_init(&told.events, (struct pd_span){bytes, writer.size});
    const struct pd_backend_answer answer = {.outcome = PD_BACKEND_OK, .term = 9, .watch = &told};
    world_give(&world, watch, &answer);
}

/* A watch that was asked for, taken from the list. */
static uint64_t watching(const char *key, int64_t revision)
{
    const struct asked *asked = world_asked(&world, PD_BACKEND_WATCH);
    is_span(asked->watch.key, key);
    assert_int_equal(asked->watch.start_revision, revision);
    uint64_t correlation = asked->correlation;
    world.asked_count--;
    memmove(&world.asked[0], &world.asked[1], world.asked_count * sizeof world.asked[0]);
    return correlation;
}

static void test_a_free_lock(void **state)
{
    (void)state;
    lock(0x1f);
    entering("name/1f", 0x1f);
    entered(50);
    looking(49);
    range_came(NULL, NULL, 0, 51);
    range_came("name/1f", "", 50, 52); /* it is still there */
    assert_true(kept.has_ended);
    assert_int_equal(kept.code, PD_CODE_OK);
    const V3lockpb__LockResponse *locked = (const void *)kept.messages[0];
    is_bytes(locked->key, "name/1f");
    assert_int_equal(locked->header->revision, 52);
    assert_int_equal(world.asked_count, 0); /* and it stays */
}

static void test_a_lease_is_granted_if_there_is_none(void **state)
{
    (void)state;
    lock(0);
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.kind, PD_KV_LEASE_GRANT);
    assert_int_equal(command.ttl_s, 60);
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, 40, PD_KV_ANSWER_LEASE);
    pd_kv_answer_put_number(writer, 0x77);
    pd_kv_answer_put_number(writer, 60);
    world_kv(&world);
    entering("name/77", 0x77);
    world_outcome(&world, PD_BACKEND_NO_LEADER);
    kept_failed(&kept, PD_CODE_UNAVAILABLE, "etcdserver: no leader");
}

/* etcd's words, and not their code: its server is a client of itself there. */
static void test_a_lease_that_is_not_there(void **state)
{
    (void)state;
    lock(0x1f);
    entering("name/1f", 0x1f);
    (void)world_begin(&world, PD_KV_ERR_LEASE_NOT_FOUND, 40, PD_KV_ANSWER_NONE);
    world_kv(&world);
    kept_failed(&kept, PD_CODE_UNKNOWN, "etcdserver: requested lease not found");
}

static void test_waiting_for_the_one_before(void **state)
{
    (void)state;
    lock(0x1f);
    entered(50);
    range_came("name/e", "", 45, 51);
    uint64_t watch = watching("name/e", 52);
    event_came(watch, "name/e", NULL, 60);
    assert_int_equal(world.cancelled, 1); /* its watch */
    looking(49);
    range_came("name/d", "", 44, 61); /* another one before that */
    watch = watching("name/d", 62);
    assert_false(kept.has_ended);
    event_came(watch, "name/d", NULL, 70);
    range_came(NULL, NULL, 0, 71);
    range_came("name/1f", "", 50, 72);
    assert_int_equal(kept.code, PD_CODE_OK);
    assert_int_equal(kept.count, 1);
}

static void test_a_key_that_expired_while_it_waited(void **state)
{
    (void)state;
    lock(0x1f);
    entered(50);
    range_came(NULL, NULL, 0, 51);
    range_came(NULL, NULL, 0, 51);
    assert_int_equal(kept.code, PD_CODE_UNKNOWN);
    assert_int_equal(kept.count, 0);
}

/* The removal: if the key is the one that was made at this revision. */
static void removing(const char *key, int64_t revision)
{
    (void)world_asked(&world, PD_BACKEND_WRITE);
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.compares[0].number, revision);
    is_span(command.ops[1].as.delete_range.key, key);
}

static void test_a_waiter_that_goes_takes_its_key_along(void **state)
{
    (void)state;
    lock(0x1f);
    entered(50);
    range_came("name/e", "", 45, 51);
    (void)watching("name/e", 52);
    kept_free(&kept);
    removing("name/1f", 50);
    txn_came(true, 60);
}

static void test_a_waiter_that_goes_before_it_has_a_key(void **state)
{
    (void)state;
    lock(0x1f);
    kept_free(&kept);
    entered(50); /* it is made nevertheless */
    removing("name/1f", 50);
    txn_came(true, 60);
    lock(0x1f);
    kept_free(&kept);
    world_outcome(&world, PD_BACKEND_UNKNOWN); /* the lease's end removes it */
    assert_int_equal(world.asked_count, 0);
    lock(0x1f); /* and one that is still there when all is closed */
}

static void test_a_key_of_another_call_stays(void **state)
{
    (void)state;
    lock(0x1f);
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, 55, PD_KV_ANSWER_TXN);
    const struct pd_kv_record record = {
        .key = {(const uint8_t *)"name/1f", 7}, .create_revision = 33, .version = 1};
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_response(writer, PD_KV_ANSWER_RANGE);
    pd_kv_answer_put_record(writer, &record);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 1);
    world_kv(&world);
    looking(32);
    kept_free(&kept);
    assert_int_equal(world.asked_count, 1); /* the read alone: nothing is removed */
}

static void test_campaign(void **state)
{
    (void)state;
    campaign(0x1f, "me");
    entering("name/1f", 0x1f);
    is_span(command.ops[1].as.put.value, "me");
    /* The key is there with another value: it is proclaimed. */
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, 55, PD_KV_ANSWER_TXN);
    const struct pd_kv_record record = {.key = {(const uint8_t *)"name/1f", 7},
                                        .value = {(const uint8_t *)"you", 3},
                                        .create_revision = 33,
                                        .version = 1};
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_response(writer, PD_KV_ANSWER_RANGE);
    pd_kv_answer_put_record(writer, &record);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 1);
    world_kv(&world);
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.compares[0].number, 33);
    is_span(command.ops[1].as.put.value, "me");
    txn_came(true, 56);
    range_came(NULL, NULL, 0, 57);
    range_came("name/1f", "me", 33, 58);
    const V3electionpb__CampaignResponse *won = (const void *)kept.messages[0];
    is_bytes(won->leader->name, "name");
    is_bytes(won->leader->key, "name/1f");
    assert_int_equal(won->leader->rev, 33);
    assert_int_equal(won->leader->lease, 0x1f);
    assert_int_equal(won->header->revision, 55);
}

static void test_proclaim_resign_unlock(void **state)
{
    (void)state;
    V3electionpb__LeaderKey leader = V3ELECTIONPB__LEADER_KEY__INIT;
    leader.name = bytes_of("name");
    leader.key = bytes_of("name/1f");
    leader.rev = 33;
    leader.lease = 0x1f;
    V3electionpb__ProclaimRequest proclaim = V3ELECTIONPB__PROCLAIM_REQUEST__INIT;
    kept_ask(&world, &kept, "/v3electionpb.Election/Proclaim", &proclaim);
    kept_failed(&kept, PD_CODE_UNKNOWN, "\"leader\" field must be provided");
    kept_free(&kept);
    proclaim.leader = &leader;
    proclaim.value = bytes_of("new");
    for (int is_leader = 0; is_leader < 2; is_leader++) {
        kept_ask(&world, &kept, "/v3electionpb.Election/Proclaim", &proclaim);
        (void)world_command(&world, &command, &room);
        assert_int_equal(command.compares[0].number, 33);
        is_span(command.ops[1].as.put.value, "new");
        assert_int_equal(command.ops[1].as.put.lease, 0x1f);
        txn_came(is_leader, 60);
        if (is_leader) {
            assert_int_equal(kept.code, PD_CODE_OK);
        } else {
            kept_failed(&kept, PD_CODE_UNKNOWN, "election: not leader");
        }
        kept_free(&kept);
    }
    V3electionpb__ResignRequest resign = V3ELECTIONPB__RESIGN_REQUEST__INIT;
    resign.leader = &leader;
    kept_ask(&world, &kept, "/v3electionpb.Election/Resign", &resign);
    removing("name/1f", 33);
    txn_came(false, 61); /* somebody else's by now: that is as good */
    assert_int_equal(kept.code, PD_CODE_OK);
    kept_free(&kept);
    V3lockpb__UnlockRequest unlock = V3LOCKPB__UNLOCK_REQUEST__INIT;
    unlock.key = bytes_of("name/1f");
    kept_ask(&world, &kept, "/v3lockpb.Lock/Unlock", &unlock);
    (void)world_command(&world, &command, &room);
    is_span(command.ops[0].as.delete_range.key, "name/1f");
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, 62, PD_KV_ANSWER_DELETE);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 1);
    world_kv(&world);
    assert_int_equal(
        ((const V3lockpb__UnlockResponse *)(const void *)kept.messages[0])->header->revision, 62);
}

static void test_leader(void **state)
{
    (void)state;
    V3electionpb__LeaderRequest request = V3ELECTIONPB__LEADER_REQUEST__INIT;
    request.name = bytes_of("name");
    kept_ask(&world, &kept, "/v3electionpb.Election/Leader", &request);
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.ops[0].as.range.sort_order, PD_KV_SORT_ASCEND);
    range_came(NULL, NULL, 0, 50);
    kept_failed(&kept, PD_CODE_UNKNOWN, "election: no leader");
    kept_free(&kept);
    kept_ask(&world, &kept, "/v3electionpb.Election/Leader", &request);
    range_came("name/1f", "me", 33, 51);
    const V3electionpb__LeaderResponse *leader = (const void *)kept.messages[0];
    is_bytes(leader->kv->value, "me");
    assert_int_equal(leader->header->revision, 51);
}

static void test_observe(void **state)
{
    (void)state;
    V3electionpb__LeaderRequest request = V3ELECTIONPB__LEADER_REQUEST__INIT;
    request.name = bytes_of("name");
    kept_ask(&world, &kept, "/v3electionpb.Election/Observe", &request);
    range_came(NULL, NULL, 0, 50);
    uint64_t watch = watching("name/", 51); /* nobody yet: of the whole name */
    event_came(watch, "name/x", NULL, 55);
    assert_int_equal(world.credited, 50);
    event_came(watch, "name/1f", "me", 60);
    range_came("name/1f", "me", 60, 61);
    watch = watching("name/1f", 62);
    assert_int_equal(kept.count, 1);
    event_came(watch, "name/1f", "changed", 70);
    assert_int_equal(kept.count, 2);
    is_bytes(((const V3electionpb__LeaderResponse *)(const void *)kept.messages[1])->kv->value,
             "changed");
    kept.is_held = true;
    event_came(watch, "name/1f", "again", 71);
    assert_int_equal(world.credited, 100);
    kept.is_held = false;
    pd_service_resume(kept.call);
    assert_int_equal(world.credited, 150);
    event_came(watch, "name/1f", NULL, 72);
    range_came("name/2", "other", 65, 73);
    assert_int_equal(kept.count, 4);
    assert_false(kept.has_ended);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(test_a_free_lock),
        CASE(test_a_lease_is_granted_if_there_is_none),
        CASE(test_a_lease_that_is_not_there),
        CASE(test_waiting_for_the_one_before),
        CASE(test_a_key_that_expired_while_it_waited),
        CASE(test_a_waiter_that_goes_takes_its_key_along),
        CASE(test_a_waiter_that_goes_before_it_has_a_key),
        CASE(test_a_key_of_another_call_stays),
        CASE(test_campaign),
        CASE(test_proclaim_resign_unlock),
        CASE(test_leader),
        CASE(test_observe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
