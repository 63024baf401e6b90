/* gRPC's health: Check, and Watch by the rules of its protocol: the status at once, then each
 * change; of an unknown service that it is unknown, without an end. */
#include <stdatomic.h>

#include "gateway/gateway_world.h"
#include "proto/health.pb-c.h"

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
#define CHECK "/grpc.health.v1.Health/Check"
#define WATCH "/grpc.health.v1.Health/Watch"

static struct world world;
static atomic_bool is_stopping;

static int open_world(void **state)
{
    struct pd_service_config config = pd_service_config_default();
    (void)state;
    config.is_stopping = &is_stopping;
    config.health_watches_max = 4;
    atomic_store(&is_stopping, false);
    world_open(&world, &config);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    assert_int_equal(world.client.health_watches, 0);
    world_close(&world);
    return 0;
}

static void ask(struct kept *kept, const char *path, const char *service)
{
    Grpc__Health__V1__HealthCheckRequest asked;
    grpc__health__v1__health_check_request__init(&asked);
    asked.service = (char *)(uintptr_t)service;
    kept_ask(&world, kept, path, &asked);
}

static void stop(void)
{
    atomic_store(&is_stopping, true);
    pd_service_health_changed(world.service);
}

/* What was told, in order; the last one. */
static void is_told(const struct kept *kept, uint32_t count, int last)
{
    assert_int_equal(kept->count, count);
    const Grpc__Health__V1__HealthCheckResponse *told = (const void *)kept->messages[count - 1];
    assert_int_equal(told->status, last);
}

static void test_check(void **state)
{
    (void)state;
    struct kept kept;
    ask(&kept, CHECK, "etcdserverpb.KV");
    kept_failed(&kept, PD_CODE_NOT_FOUND, "unknown service");
    kept_free(&kept);
    ask(&kept, CHECK, "");
    is_told(&kept, 1, SERVING);
    assert_int_equal(kept.code, PD_CODE_OK);
    kept_free(&kept);
    stop();
    ask(&kept, CHECK, "");
    is_told(&kept, 1, NOT_SERVING);
    kept_free(&kept);
}

static void test_watch(void **state)
{
    (void)state;
    struct kept kept;
    ask(&kept, WATCH, "");
    is_told(&kept, 1, SERVING);
    pd_service_health_changed(world.service); /* nothing has */
    is_told(&kept, 1, SERVING);
    stop();
    is_told(&kept, 2, NOT_SERVING);
    pd_service_health_changed(world.service);
    is_told(&kept, 2, NOT_SERVING);
    atomic_store(&is_stopping, false);
    pd_service_health_changed(world.service);
    is_told(&kept, 3, SERVING);
    assert_false(kept.has_ended);
    kept_free(&kept);
    stop(); /* who is gone is not told */
    ask(&kept, WATCH, "");
    is_told(&kept, 1, NOT_SERVING);
    kept_free(&kept);
}

/* "The server sends SERVICE_UNKNOWN but does not end the call": who watches would take an end for a
 * failure, and ask again and again. */
static void test_watch_of_what_is_unknown(void **state)
{
    (void)state;
    struct kept kept;
    ask(&kept, WATCH, "etcdserverpb.KV");
    is_told(&kept, 1, SERVICE_UNKNOWN);
    assert_false(kept.has_ended);
    stop();
    is_told(&kept, 1, SERVICE_UNKNOWN);
    assert_false(kept.has_ended);
    kept_free(&kept);
}

static void test_who_does_not_read_is_told_the_newest(void **state)
{
    (void)state;
    struct kept kept;
    kept_begin(&world, &kept, WATCH);
    kept.is_held = true;
    Grpc__Health__V1__HealthCheckRequest asked;
    grpc__health__v1__health_check_request__init(&asked);
    pd_service_request(kept.call, &asked.base);
    is_told(&kept, 1, SERVING);
    stop();
    atomic_store(&is_stopping, false);
    pd_service_health_changed(world.service);
    is_told(&kept, 1, SERVING);
    kept.is_held = false;
    pd_service_resume(kept.call); /* it is as it was: there is nothing to tell */
    is_told(&kept, 1, SERVING);
    kept_free(&kept);

    kept_begin(&world, &kept, WATCH);
    kept.is_held = true;
    pd_service_request(kept.call, &asked.base);
    stop();
    is_told(&kept, 1, SERVING);
    kept.is_held = false;
    pd_service_resume(kept.call);
    is_told(&kept, 2, NOT_SERVING);
    kept_free(&kept);
}

static void test_watches_have_a_bound(void **state)
{
    (void)state;
    struct kept kept[5];
    struct pd_service_client other = {0};
    for (int i = 0; i < 3; i++) { /* of four: one has no more than are left for all others */
        ask(&kept[i], WATCH, "");
    }
    is_told(&kept[0], 1, SERVING);
    is_told(&kept[1], 1, SERVING);
    kept_failed(&kept[2], PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
    const struct pd_service_client mine = world.client;
    world.client = other;
    ask(&kept[3], WATCH, "");
    is_told(&kept[3], 1, SERVING);
    kept_free(&kept[3]);
    assert_int_equal(world.client.health_watches, 0);
    world.client = mine;
    kept_free(&kept[0]);
    ask(&kept[4], WATCH, ""); /* one that has ended makes room */
    is_told(&kept[4], 1, SERVING);
    stop();
    is_told(&kept[1], 2, NOT_SERVING);
    is_told(&kept[4], 2, NOT_SERVING);
    kept_free(&kept[1]);
    kept_free(&kept[2]);
    kept_free(&kept[4]);
}

static void test_without_a_request(void **state)
{
    (void)state;
    struct kept kept;
    kept_begin(&world, &kept, WATCH);
    pd_service_half_close(kept.call);
    assert_true(kept.has_ended);
    assert_int_equal(kept.code, PD_CODE_INVALID_ARGUMENT);
    kept_free(&kept);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(test_check),
        CASE(test_watch),
        CASE(test_watch_of_what_is_unknown),
        CASE(test_who_does_not_read_is_told_the_newest),
        CASE(test_watches_have_a_bound),
        CASE(test_without_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
