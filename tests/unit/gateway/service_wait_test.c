/* What one client has under way at the node, and what is left for the others. */
#include "gateway/gateway_world.h"
#include "gateway/service_internal.h"

#define KEEPALIVE "/etcdserverpb.Lease/LeaseKeepAlive"
#define PUT "/etcdserverpb.KV/Put"
#define RANGE "/etcdserverpb.KV/Range"
#define WAITS 16u
#define WRITES 8u
#define WRITE_BYTES 1000u
#define CALLS_MAX 16u
#define BUSY "etcdserver: too many requests"

static struct world world;
static struct pd_service_client clients[4];
static struct kept calls[CALLS_MAX];
static uint32_t call_count;

static int open_world(void **state)
{
    struct pd_service_config config = pd_service_config_default();
    (void)state;
    config.waits_max = WAITS;
    config.writes_max = WRITES;
    config.write_bytes_max = WRITE_BYTES;
    world_open(&world, &config);
    memset(clients, 0, sizeof clients);
    call_count = 0;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    while (call_count > 0) {
        kept_free(&calls[--call_count]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        pd_service_client_leave(&clients[i]);
    }
    world_close(&world);
    return 0;
}

static struct kept *begin(uint32_t client, const char *path)
{
    const struct pd_service_method *method =
        pd_service_find((struct pd_span){(const uint8_t *)path, strlen(path)});
    assert_non_null(method);
    assert_true(call_count < CALLS_MAX);
    struct kept *kept = &calls[call_count++];
    *kept = (struct kept){.type = method->response};
    kept->call = pd_service_begin(world.service, method, &kept_carrier, kept, &clients[client]);
    assert_non_null(kept->call);
    return kept;
}

static struct kept *read_key(uint32_t client)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bytes_of("k");
    struct kept *kept = begin(client, RANGE);
    pd_service_request(kept->call, &range.base);
    return kept;
}

static struct kept *put(uint32_t client, size_t size)
{
    static uint8_t value[WRITE_BYTES];
    Etcdserverpb__PutRequest request = ETCDSERVERPB__PUT_REQUEST__INIT;
    request.key = bytes_of("k");
    request.value = (ProtobufCBinaryData){.len = size, .data = value};
    struct kept *kept = begin(client, PUT);
    pd_service_request(kept->call, &request.base);
    return kept;
}

static struct kept *lock(uint32_t client)
{
    V3lockpb__LockRequest request = V3LOCKPB__LOCK_REQUEST__INIT;
    request.name = bytes_of("name");
    request.lease = 7;
    struct kept *kept = begin(client, "/v3lockpb.Lock/Lock");
    pd_service_request(kept->call, &request.base);
    return kept;
}

/* How many keep-alives of one stream went to the node before it was refused. */
static uint32_t beat_until_refused(struct kept *kept)
{
    Etcdserverpb__LeaseKeepAliveRequest beat = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    uint32_t before = world.submitted;
    for (uint32_t i = 0; i < 2 * WAITS && !kept->has_ended; i++) {
        pd_service_request(kept->call, &beat.base);
    }
    return world.submitted - before;
}

static void is_refused(const struct kept *kept)
{
    kept_failed(kept, PD_CODE_RESOURCE_EXHAUSTED, BUSY);
}

/* The oldest that is under way is answered. */
static void answer_put(void)
{
    pd_kv_answer_put_end(world_begin(&world, PD_KV_OK, 1, PD_KV_ANSWER_PUT));
    world_kv(&world);
}

/* Before there were shares, one client took all places, and nobody else had any. */
static void keepalives_leave_room_for_others(void **state)
{
    (void)state;
    struct kept *greedy = begin(0, KEEPALIVE);
    assert_int_equal(beat_until_refused(greedy), WRITES / 2);
    is_refused(greedy);
    assert_false(put(1, 1)->has_ended);
    assert_false(read_key(1)->has_ended);
    assert_false(put(2, 1)->has_ended);
}

/* Of sixteen: a half for the first, a half of the rest for the next. */
static void each_has_what_is_left_for_all_others(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < WAITS / 2; i++) {
        assert_false(read_key(0)->has_ended);
    }
    is_refused(read_key(0));
    call_count--;
    for (uint32_t i = 0; i < WAITS / 4; i++) {
        assert_false(read_key(1)->has_ended);
    }
    is_refused(read_key(1));
    call_count--;
    assert_false(read_key(2)->has_ended);
    world_outcome(&world, PD_BACKEND_BUSY); /* the first one's */
    assert_true(calls[0].has_ended);
    assert_false(read_key(2)->has_ended);
    assert_int_equal(clients[0].account->requests, WAITS / 2 - 1);
    assert_int_equal(clients[1].account->requests, WAITS / 4);
    assert_int_equal(clients[2].account->requests, 2);
    assert_int_equal(world.service->account.requests, WAITS / 2 + WAITS / 4 + 1);
}

/* The node keeps a write though nobody waits: to open and give up is no way to have more. */
static void what_is_not_wanted_any_more_counts(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < WRITES / 2; i++) {
        kept_free(put(0, 1));
    }
    assert_int_equal(clients[0].account->writes, WRITES / 2);
    is_refused(put(0, 1));
    assert_false(put(1, 1)->has_ended);
    answer_put();
    assert_int_equal(clients[0].account->writes, WRITES / 2 - 1);
    assert_false(read_key(0)->has_ended);
    for (uint32_t i = 0; i < 2; i++) {
        answer_put();
    }
    assert_false(put(0, 1)->has_ended);
    kept_free(read_key(0)); /* a read is given up at once */
    assert_int_equal(clients[0].account->requests, 3);
}

static void bytes_of_writes_have_shares(void **state)
{
    (void)state;
    assert_false(put(0, WRITE_BYTES * 4 / 10)->has_ended);
    is_refused(put(0, WRITE_BYTES * 3 / 10));
    assert_false(put(1, WRITE_BYTES * 2 / 10)->has_ended);
    answer_put();
    assert_false(put(0, WRITE_BYTES * 3 / 10)->has_ended);
    assert_false(read_key(0)->has_ended); /* and reads have none */
}

/* What it wrote is answered after it has gone. */
static void a_client_leaves_before_its_writes_end(void **state)
{
    (void)state;
    kept_free(put(0, 1));
    kept_free(put(0, 1));
    pd_service_client_leave(&clients[0]);
    assert_null(clients[0].account);
    assert_int_equal(world.service->account.writes, 2);
    answer_put();
    assert_int_equal(world.service->account.writes, 1);
    assert_false(put(0, 1)->has_ended); /* another one, at the same place */
    assert_int_equal(clients[0].account->writes, 1);
    answer_put();
    assert_int_equal(world.service->account.writes, 1);
    kept_free(put(1, 1)); /* which is not answered before all ends */
    pd_service_client_leave(&clients[1]);
}

/* A lock that was given up removes its key, whatever share its client has; and that counts. */
static void cleaning_up_is_not_refused(void **state)
{
    (void)state;
    kept_free(lock(0)); /* until it is known whether its key was made */
    while (!put(0, 1)->has_ended) {
    }
    assert_int_equal(clients[0].account->writes, WRITES / 2);
    struct pd_service_account *account = clients[0].account;
    account->holders++; /* ours, to look at */
    while (call_count > 0) {
        kept_free(&calls[--call_count]);
    }
    pd_service_client_leave(&clients[0]);
    uint32_t before = world.submitted;
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, 42, PD_KV_ANSWER_TXN);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_response(writer, PD_KV_ANSWER_PUT);
    pd_kv_answer_put_end(writer);
    world_kv(&world);
    assert_int_equal(world.submitted, before + 1);
    assert_int_equal(account->writes, WRITES / 2); /* one was answered, and one has come */
    while (world.asked_count > 0) {
        world_outcome(&world, PD_BACKEND_BUSY);
    }
    assert_int_equal(account->writes, 0);
    assert_int_equal(account->holders, 1);
    pd_free(account);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(keepalives_leave_room_for_others),      CASE(each_has_what_is_left_for_all_others),
        CASE(what_is_not_wanted_any_more_counts),    CASE(bytes_of_writes_have_shares),
        CASE(a_client_leaves_before_its_writes_end), CASE(cleaning_up_is_not_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
