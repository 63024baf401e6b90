/* pd_kv_get_hot by several threads beside the one that writes: what they see was written as a
 * whole, and never goes back. Run under ThreadSanitizer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "kv_world.h"

#define KEYS 40u
#define ROUNDS 200u
#define READERS 3u

struct shared {
    struct pd_kv *kv;
    bool is_over; /* atomic */
};

struct reader {
    struct shared *shared;
    pthread_t thread;
    uint64_t seen;   /* records */
    uint64_t absent; /* deleted keys */
    bool is_wrong;
};

static void name(uint32_t key, char text[8])
{
    (void)snprintf(text, 8, "k%02u", key);
}

/* The value repeats the record's version and its key: torn ones would show. */
static bool is_whole(const struct pd_kv_record *record, const char *key)
{
    char want[64];
    (void)snprintf(want, sizeof want, "%s:%lld:%lld", key, (long long)record->version,
                   (long long)record->version);
    return pd_kv_span_equal(record->key, pd_kv_span(key, strlen(key))) &&
           pd_kv_span_equal(record->value, pd_kv_span(want, strlen(want)));
}

static void *read_on(void *context)
{
    struct reader *reader = context;
    int64_t newest[KEYS] = {0};
    char key[8];
    uint8_t room[256];
    while (!__atomic_load_n(&reader->shared->is_over, __ATOMIC_ACQUIRE)) {
        for (uint32_t k = 0; k < KEYS; k++) {
            struct pd_kv_record record;
            name(k, key);
            enum pd_status status = pd_kv_get_hot(reader->shared->kv, pd_kv_span(key, strlen(key)),
                                                  room, sizeof room, &record);
            if (status == PD_OK) {
                reader->is_wrong =
                    reader->is_wrong || !is_whole(&record, key) || record.mod_revision < newest[k];
                newest[k] = record.mod_revision;
                reader->seen++;
            }
            reader->absent += status == PD_ERR_UNKNOWN;
        }
    }
    return NULL;
}

static void apply(struct world *world, struct script *script, const struct pd_kv_op *op)
{
    static uint8_t inner_room[4096];
    static uint8_t outer_room[4096];
    struct pd_kv_op copy = *op;
    struct pd_kv_writer inner = {.bytes = inner_room, .bytes_max = sizeof inner_room};
    pd_kv_command_encode(&inner,
                         &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &copy, .op_count = 1});
    struct pd_kv_writer outer = {.bytes = outer_room, .bytes_max = sizeof outer_room};
    pd_kv_envelope_encode(&outer, &(struct pd_kv_envelope){.command = {inner_room, inner.size}});
    script_add(script, pd_kv_span(outer_room, outer.size));
    world_catch_up(world);
}

static void readers_see_whole_records_that_do_not_go_back(void **state)
{
    (void)state;
    static struct script script;
    struct chooser chooser = {0};
    struct world world;
    struct pd_kv_config config = world_config();
    config.cache_bytes = 16384; /* sets are shared, and records pushed out */
    pd_random_init(&chooser.random, 3, "hot");
    world_open(&world, &config, &script, &chooser);
    struct shared shared = {.kv = world.kv};
    struct reader readers[READERS] = {{0}};
    for (uint32_t i = 0; i < READERS; i++) {
        readers[i].shared = &shared;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    char key[8];
    char value[64];
    int64_t versions[KEYS] = {0};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t k = 0; k < KEYS; k++) {
            name(k, key);
            struct pd_span span = pd_kv_span(key, strlen(key));
            bool is_delete = choose(&chooser, 7) == 0;
            versions[k] = is_delete ? 0 : versions[k] + 1;
            (void)snprintf(value, sizeof value, "%s:%lld:%lld", key, (long long)versions[k],
                           (long long)versions[k]);
            struct pd_kv_op op = {.kind = PD_KV_OP_DELETE, .as.delete_range = {.key = span}};
            if (!is_delete) {
                op = (struct pd_kv_op){
                    .kind = PD_KV_OP_PUT,
                    .as.put = {.key = span, .value = pd_kv_span(value, strlen(value))}};
            }
            apply(&world, &script, &op);
        }
    }
    __atomic_store_n(&shared.is_over, true, __ATOMIC_RELEASE);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_false(readers[i].is_wrong);
        seen += readers[i].seen + readers[i].absent;
    }
    assert_true(seen > 0);
    world_close(&world);
    script_clear(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_records_that_do_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
