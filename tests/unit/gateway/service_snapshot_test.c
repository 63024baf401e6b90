/* Maintenance.Snapshot: chunks are asked for one by one, at the client's pace, and what arrives
 * ends in its own checksum. */
#include "gateway/gateway_world.h"

#include "gateway/seal.h"

#define PATH "/etcdserverpb.Maintenance/Snapshot"

static struct world world;
static struct kept kept;

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

static void begin(void)
{
    Etcdserverpb__SnapshotRequest request = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    kept_ask(&world, &kept, PATH, &request);
}

/* `size` bytes of a chunk of this kind. */
static void chunk(uint8_t kind, size_t size)
{
    static uint8_t bytes[3u << 20];
    assert_true(size <= sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(i * 7 + size);
    }
    bytes[5] = kind;
    (void)world_asked(&world, PD_BACKEND_SNAPSHOT);
    const struct pd_backend_answer answer = {.outcome = PD_BACKEND_OK, .body = {bytes, size}};
    world_answer(&world, &answer);
}

static const Etcdserverpb__SnapshotResponse *response(uint32_t at)
{
    assert_true(at < kept.count);
    return (const Etcdserverpb__SnapshotResponse *)kept.messages[at];
}

static void what_arrives_is_sealed(void **state)
{
    (void)state;
    begin();
    chunk(1, 100);
    chunk(2, 5000);
    chunk(3, 96);
    assert_true(kept.has_ended);
    assert_int_equal(kept.code, PD_CODE_OK);
    struct sha256_ctx hash;
    uint8_t digest[SHA256_DIGEST_SIZE];
    uint64_t size = 0;
    sha256_init(&hash);
    for (uint32_t i = 0; i + 1 < kept.count; i++) {
        assert_true(response(i)->remaining_bytes > 0);
        sha256_update(&hash, response(i)->blob.len, response(i)->blob.data);
        size += response(i)->blob.len;
    }
    sha256_digest(&hash, sizeof digest, digest);
    const Etcdserverpb__SnapshotResponse *last = response(kept.count - 1);
    assert_int_equal(size % 512, 0);
    assert_int_equal(size, 11 * 512);
    assert_int_equal(last->blob.len, sizeof digest);
    assert_memory_equal(last->blob.data, digest, sizeof digest);
    assert_int_equal(last->remaining_bytes, 0);
    assert_string_equal(last->version, "3.6.0");
    assert_int_equal(world.cancelled, 0); /* it is over there as well */
}

static void a_large_chunk_is_given_in_pieces(void **state)
{
    (void)state;
    begin();
    chunk(2, (size_t)5 << 19);
    assert_int_equal(kept.count, 3);
    assert_int_equal(response(0)->blob.len, 1 << 20);
    assert_int_equal(response(2)->blob.len, 1 << 19);
}

static void nothing_is_asked_for_while_the_client_does_not_read(void **state)
{
    (void)state;
    begin();
    kept.is_held = true;
    chunk(1, 100);
    assert_int_equal(world.asked_count, 0);
    kept.is_held = false;
    pd_service_resume(kept.call);
    assert_int_equal(world_asked(&world, PD_BACKEND_SNAPSHOT)->number, 1);
    chunk(3, 96);
    assert_true(kept.has_ended);
}

static void who_goes_is_told_to_the_backend(void **state)
{
    (void)state;
    begin();
    chunk(1, 100);
    uint64_t number = world_asked(&world, PD_BACKEND_SNAPSHOT)->number;
    kept_free(&kept);
    assert_int_equal(world.cancelled, 2); /* the chunk, and then the snapshot */
    assert_int_equal(world.cancelled_last, number);
}

static void an_end_in_the_middle_is_an_error(void **state)
{
    (void)state;
    begin();
    chunk(1, 100);
    world_outcome(&world, PD_BACKEND_NO_LEADER);
    kept_failed(&kept, PD_CODE_UNAVAILABLE, "etcdserver: no leader");
    kept_free(&kept);
    begin();
    chunk(1, 3); /* none */
    assert_true(kept.has_ended);
    assert_int_equal(kept.code, PD_CODE_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_arrives_is_sealed, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_large_chunk_is_given_in_pieces, open_world, close_world),
        cmocka_unit_test_setup_teardown(nothing_is_asked_for_while_the_client_does_not_read,
                                        open_world, close_world),
        cmocka_unit_test_setup_teardown(who_goes_is_told_to_the_backend, open_world, close_world),
        cmocka_unit_test_setup_teardown(an_end_in_the_middle_is_an_error, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
