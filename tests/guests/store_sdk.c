/* Every function of pando/kv.h once, against a node: what each answers when it works, and when it
 * does not. Its keys begin with sdk/; it is started with that right. Exit code 0, or the line that
 * is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pando/pando.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            char words[1025];                                                                      \
            (void)pando_kv_error_take(words, sizeof words);                                        \
            (void)fprintf(stderr, "store_sdk: line %d: %s (%s)\n", __LINE__, #condition, words);   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define TAG 7

static char value[64];
static char key[64];

static void one_key(void)
{
    struct pando_kv_found found;
    int64_t count = -1;
    CHECK(pando_kv_get("sdk/one", value, sizeof value, &found) == PANDO_KV_ABSENT);
    CHECK(pando_kv_put("sdk/one", "first", 5) == PANDO_KV_OK);
    CHECK(pando_kv_put("sdk/one", "second", 6) == PANDO_KV_OK);
    CHECK(pando_kv_get("sdk/one", value, 3, &found) == PANDO_KV_OK);
    CHECK(found.value_size == 6 && memcmp(value, "sec", 3) == 0 && found.version == 2);
    CHECK(found.mod_revision == found.create_revision + 1 && found.lease == 0);
    CHECK(pando_kv_get_local("sdk/one", value, sizeof value, &found) == PANDO_KV_OK);
    CHECK(found.value_size == 6 && memcmp(value, "second", 6) == 0);
    CHECK(pando_kv_delete("sdk/one", &count) == PANDO_KV_OK && count == 1);
    CHECK(pando_kv_delete("sdk/one", &count) == PANDO_KV_OK && count == 0);
    CHECK(pando_kv_put("other/one", "x", 1) == PANDO_KV_DENIED);
    CHECK(pando_kv_get("", value, 1, &found) == PANDO_KV_DENIED);
    CHECK(pando_kv_get("sdk", value, 1, &found) == PANDO_KV_DENIED);
}

static void ranges(void)
{
    char end[16];
    struct pando_kv_ranged ranged;
    struct pando_kv_record record;
    struct pando_kv_deleted deleted;
    struct pando_kv_range all = pando_kv_prefix("sdk/r/", end);
    for (int i = 0; i < 5; i++) {
        (void)snprintf(key, sizeof key, "sdk/r/%d", i);
        (void)snprintf(value, sizeof value, "value %d", i);
        CHECK(pando_kv_put(key, value, 7) == PANDO_KV_OK);
    }
    all.limit = 2;
    all.flags = PANDO_KV_DESCEND;
    CHECK(pando_kv_range(&all, &ranged) == PANDO_KV_OK);
    CHECK(ranged.count == 5 && ranged.more == 1 && ranged.record_count == 2);
    CHECK(pando_kv_next(&record, key, sizeof key, value, 5));
    CHECK(strcmp(key, "sdk/r/4") == 0 && strcmp(value, "valu") == 0 && record.value_size == 7);
    CHECK(pando_kv_next(&record, key, 4, value, sizeof value));
    CHECK(strcmp(key, "sdk") == 0 && strcmp(value, "value 3") == 0);
    CHECK(!pando_kv_next(&record, key, sizeof key, value, sizeof value));
    all.flags = PANDO_KV_COUNT_ONLY | PANDO_KV_LOCAL;
    CHECK(pando_kv_range(&all, &ranged) == PANDO_KV_OK && ranged.count == 5);
    all.flags = PANDO_KV_KEYS_ONLY;
    all.limit = 0;
    CHECK(pando_kv_range(&all, &ranged) == PANDO_KV_OK && ranged.record_count == 5);
    CHECK(pando_kv_next(&record, key, sizeof key, value, sizeof value) && record.value_size == 0);
    all.revision = INT64_MAX / 2;
    CHECK(pando_kv_range(&all, &ranged) == PANDO_KV_COMPACTED); /* in the future */
    all.revision = 0;
    all.end = "";
    all.end_size = 1; /* to the end of all keys */
    CHECK(pando_kv_range(&all, &ranged) == PANDO_KV_DENIED);
    all = pando_kv_prefix("sdk/r/", end);
    CHECK(pando_kv_delete_range(&all, &deleted) == PANDO_KV_OK && deleted.count == 5);
}

static void transactions(void)
{
    char room[512];
    struct pando_kv_committed committed;
    struct pando_kv_response response;
    struct pando_kv_ranged ranged;
    struct pando_kv_record record;
    for (uint32_t succeeds = 0; succeeds < 2; succeeds++) {
        CHECK(pando_kv_put("sdk/t", "state", 5) == PANDO_KV_OK);
        struct pando_kv_txn txn = pando_kv_txn(room, sizeof room);
        pando_kv_if(&txn, "sdk/none", PANDO_KV_VERSION, PANDO_KV_EQUAL, 0);
        pando_kv_if_value(&txn, "sdk/t", PANDO_KV_EQUAL, succeeds ? "state" : "other", 5);
        pando_kv_then_put(&txn, "sdk/t/then", "then", 4);
        pando_kv_then_get(&txn, "sdk/t");
        pando_kv_then_delete(&txn, "sdk/t");
        pando_kv_else_put(&txn, "sdk/t/else", "else", 4);
        pando_kv_else_get(&txn, "sdk/t");
        pando_kv_else_delete(&txn, "sdk/t");
        CHECK(pando_kv_commit(&txn, &committed) == PANDO_KV_OK);
        CHECK(committed.succeeded == succeeds && committed.response_count == 3);
        CHECK(pando_kv_next_response(&response));
        CHECK(response.kind == PANDO_KV_OP_PUT && response.size == 0);
        CHECK(pando_kv_next_response(&response) && response.kind == PANDO_KV_OP_RANGE);
        CHECK(pando_kv_read((uint8_t *)&ranged + 8, 16) == 16 && ranged.record_count == 1);
        CHECK(pando_kv_next(&record, key, sizeof key, value, sizeof value));
        CHECK(strcmp(value, "state") == 0);
        int64_t count = 0;
        CHECK(pando_kv_next_response(&response) && response.kind == PANDO_KV_OP_DELETE);
        CHECK(pando_kv_read(&count, sizeof count) == sizeof count && count == 1);
        CHECK(!pando_kv_next_response(&response));
    }
    struct pando_kv_txn txn = pando_kv_txn(room, 40);
    pando_kv_then_put(&txn, "sdk/t", "does not fit", 12);
    CHECK(pando_kv_commit(&txn, &committed) == PANDO_KV_INVALID);
    txn = pando_kv_txn(room, sizeof room);
    pando_kv_then_put(&txn, "sdk/t", "x", 1);
    pando_kv_if(&txn, "sdk/t", PANDO_KV_VERSION, PANDO_KV_EQUAL, 1); /* too late */
    CHECK(pando_kv_commit(&txn, &committed) == PANDO_KV_INVALID);
    txn = pando_kv_txn(room, sizeof room);
    pando_kv_then_put(&txn, "outside", "x", 1);
    CHECK(pando_kv_commit(&txn, &committed) == PANDO_KV_DENIED);
}

static void watches(void)
{
    char end[16];
    struct pando_kv_watch watch;
    struct pando_kv_events events;
    struct pando_kv_event event;
    struct pando_kv_record previous;
    struct pando_kv_range all = pando_kv_prefix("sdk/w/", end);
    all.flags = PANDO_KV_PREVIOUS;
    CHECK(pando_kv_watch(&all, TAG, &watch) == PANDO_KV_OK && watch.revision > 0);
    CHECK(pando_kv_put("sdk/w/1", "before", 6) == PANDO_KV_OK);
    CHECK(pando_kv_put("sdk/w/1", "after", 5) == PANDO_KV_OK);
    CHECK(pando_kv_delete("sdk/w/1", NULL) == PANDO_KV_OK);
    uint32_t seen = 0;
    int64_t last = watch.revision;
    while (seen < 3) {
        CHECK(pando_receive_tag(TAG, 10000) == PANDO_DATA && pando_kv_events(&events));
        CHECK(events.watch == watch.id && events.has_ended == 0 && events.count > 0);
        while (pando_kv_next_event(&event, key, sizeof key, value, sizeof value)) {
            /* A follower's present may lie a little behind: other keys' changes come between. */
            last = seen == 0 && event.record.mod_revision > last ? event.record.mod_revision - 1
                                                                 : last;
            CHECK(strcmp(key, "sdk/w/1") == 0 && event.record.mod_revision == ++last);
            CHECK((event.is_delete != 0) == (seen == 2));
            CHECK((event.has_previous != 0) == (seen > 0));
            CHECK(seen == 2 || strcmp(value, seen == 0 ? "before" : "after") == 0);
            if (event.has_previous != 0) {
                CHECK(pando_kv_previous(&previous, value, sizeof value));
                CHECK(strcmp(value, seen == 1 ? "before" : "after") == 0);
            }
            seen++;
        }
    }
    CHECK(pando_kv_unwatch(watch.id));
    CHECK(!pando_kv_unwatch(watch.id));
    CHECK(pando_kv_put("sdk/w/1", "unseen", 6) == PANDO_KV_OK);
    all.revision = watch.revision + 1; /* the past is told, too */
    all.flags = PANDO_KV_NO_PUT;
    CHECK(pando_kv_watch(&all, TAG, &watch) == PANDO_KV_OK);
    CHECK(pando_receive_tag(TAG, 10000) == PANDO_DATA && pando_kv_events(&events));
    CHECK(pando_kv_next_event(&event, key, sizeof key, value, sizeof value));
    CHECK(event.is_delete == 1 && event.record.mod_revision == last);
    CHECK(pando_kv_unwatch(watch.id));
}

static void leases(void)
{
    struct pando_kv_lease lease;
    struct pando_kv_found found;
    CHECK(pando_kv_lease_grant(60, &lease) == PANDO_KV_OK && lease.id != 0 && lease.ttl_s == 60);
    CHECK(pando_kv_put_leased("sdk/leased", "x", 1, lease.id) == PANDO_KV_OK);
    CHECK(pando_kv_get("sdk/leased", value, 1, &found) == PANDO_KV_OK && found.lease == lease.id);
    CHECK(pando_kv_lease_keepalive(lease.id, &lease) == PANDO_KV_OK && lease.ttl_s == 60);
    CHECK(pando_kv_lease_keepalive(lease.id + 1, &lease) == PANDO_KV_DENIED);
    CHECK(pando_kv_lease_revoke(lease.id) == PANDO_KV_OK);
    CHECK(pando_kv_get("sdk/leased", value, 1, &found) == PANDO_KV_ABSENT);
    CHECK(pando_kv_put_leased("sdk/leased", "x", 1, 12345) == PANDO_KV_ABSENT);
    /* One that ends by itself is not there to be kept. */
    CHECK(pando_kv_lease_grant(1, &lease) == PANDO_KV_OK);
    CHECK(pando_kv_put_leased("sdk/leased", "x", 1, lease.id) == PANDO_KV_OK);
    while (pando_kv_get("sdk/leased", value, 1, &found) == PANDO_KV_OK) {
        pando_sleep(20);
    }
    CHECK(pando_kv_lease_keepalive(lease.id, &lease) == PANDO_KV_ABSENT);
}

PANDO_EXPORT("child") void child(int64_t parent);
void child(int64_t parent)
{
    enum pando_kv_code inside = pando_kv_put("sdk/child/1", "x", 1);
    enum pando_kv_code outside = pando_kv_put("sdk/1", "x", 1);
    pando_send_u64((uint64_t)parent, 1, (uint64_t)inside << 8 | (uint64_t)outside);
}

static uint64_t ask_child(uint64_t config)
{
    const struct pando_param parent = pando_i64((int64_t)pando_self());
    struct pando_spawn_options options = pando_spawn_options("child", &parent, 1);
    uint64_t pid = 0;
    uint64_t codes = 0;
    options.config = config;
    CHECK(pando_spawn_with(&options, &pid) == PANDO_OK);
    CHECK(pando_receive_tag(1, 20000) == PANDO_DATA && pando_message_read_u64(&codes));
    return codes;
}

static void children(void)
{
    uint64_t config = pando_config_create();
    CHECK(ask_child(PANDO_INHERIT) == 0);
    CHECK(ask_child(config) == (PANDO_KV_DENIED << 8 | PANDO_KV_DENIED));
    pando_kv_config_allow(config, "sdk/child/");
    CHECK(ask_child(config) == PANDO_KV_DENIED);
    pando_config_drop(config);
}

int main(void)
{
    pando_kv_set_timeout(20000);
    one_key();
    ranges();
    transactions();
    watches();
    leases();
    children();
    printf("all is well\n");
    return 0;
}
