/* Watches on one stream: ids, order, fragments, ends, progress, credit; and going on by
 * themselves. */
#include "gateway/gateway_world.h"

#define WATCH "/etcdserverpb.Watch/Watch"

static struct world world;
static struct kept kept;

static int open_world(void **state)
{
    (void)state;
    struct pd_service_config config = pd_service_config_default();
    config.watch_credit = 1000;
    config.watch_response_max = 300;
    world_open(&world, &config);
    kept_begin(&world, &kept, WATCH);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    kept_free(&kept);
    world_close(&world);
    return 0;
}

/* Events as records: without a version it is a delete. */
static bool next_event(struct pd_kv_reader *reader, struct pd_kv_event *event_out)
{
    *event_out = (struct pd_kv_event){0};
    if (!pd_kv_answer_record(reader, &event_out->record)) {
        return false;
    }
    event_out->is_delete = event_out->record.version == 0;
    return true;
}

static uint64_t create(const char *key, int64_t id, bool may_fragment, int64_t start)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest asked = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest__FilterType filters[] = {
        ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE};
    asked.key = bytes_of(key);
    asked.watch_id = id;
    asked.fragment = may_fragment;
    asked.start_revision = start;
    asked.prev_kv = true;
    asked.n_filters = 1;
    asked.filters = filters;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &asked;
    uint32_t before = world.asked_count;
    pd_service_request(kept.call, &request.base);
    return world.asked_count > before ? world.asked[before].correlation : 0;
}

static void give(uint64_t correlation, const struct pd_backend_watch_answer *watch)
{
    const struct pd_backend_answer answer = {
        .outcome = watch->kind == PD_BACKEND_WATCH_ENDED ? PD_BACKEND_CANCELLED : PD_BACKEND_OK,
        .term = 9,
        .watch = watch};
    world_give(&world, correlation, &answer);
}

static void give_created(uint64_t correlation, int64_t revision)
{
    give(correlation, &(struct pd_backend_watch_answer){.kind = PD_BACKEND_WATCH_CREATED,
                                                        .revision = revision,
                                                        .through_revision = revision});
}

static void give_events(uint64_t correlation, unsigned count, int64_t revision, bool is_fragment)
{
    static uint8_t room[4096];
    static const uint8_t value[40];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    for (unsigned i = 0; i < count; i++) {
        const struct pd_kv_record record = {.key = {(const uint8_t *)"k", 1},
                                            .value = {value, sizeof value},
                                            .mod_revision = revision,
                                            .version = 1};
        pd_kv_answer_put_record(&writer, &record);
    }
    pd_kv_answer_put_end(&writer);
    struct pd_backend_watch_answer watch = {.kind = PD_BACKEND_WATCH_EVENTS,
                                            .revision = revision + 10,
                                            .through_revision = is_fragment ? 0 : revision,
                                            .is_fragment = is_fragment,
                                            .cost = 400,
                                            .event = next_event};
    pd_kv_reader_init(&watch.events, (struct pd_span){room, writer.size});
    give(correlation, &watch);
}

static const Etcdserverpb__WatchResponse *last(void)
{
    assert_true(kept.count > 0);
    return (const void *)kept.messages[kept.count - 1];
}

static void test_created_then_events(void **state)
{
    (void)state;
    uint64_t watch = create("k", 0, false, 4);
    const struct asked *asked = world_asked(&world, PD_BACKEND_WATCH);
    assert_int_equal(asked->watch.start_revision, 4);
    assert_true(asked->watch.no_delete && !asked->watch.no_put && asked->watch.with_previous);
    assert_int_equal(asked->watch.credit, 1000);
    give_created(watch, 20);
    assert_true(last()->created);
    assert_int_equal(last()->watch_id, 0);
    assert_int_equal(last()->header->revision, 20);
    give_events(watch, 2, 21, false);
    assert_int_equal(last()->n_events, 2);
    assert_int_equal(last()->header->revision, 21);
    assert_int_equal(last()->header->cluster_id, 77);
    assert_false(last()->fragment);
    is_bytes(last()->events[1]->kv->key, "k");
    (void)create("k", 0, false, 0); /* the next id */
    give_created(world.asked[1].correlation, 22);
    assert_int_equal(last()->watch_id, 1);
}

static void test_ids(void **state)
{
    (void)state;
    uint64_t watch = create("k", 7, false, 0);
    give_created(watch, 20);
    assert_int_equal(last()->watch_id, 7);
    assert_int_equal(create("k", 7, false, 0), 0);
    assert_true(last()->created && last()->canceled);
    assert_int_equal(last()->watch_id, -1);
    assert_string_equal(last()->cancel_reason,
                        "mvcc: duplicate watch ID provided on the WatchStream");
    assert_int_equal(create("k", -3, false, 0), 0);
    assert_true(last()->canceled);
}

static void test_an_empty_range(void **state)
{
    (void)state;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest asked = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    asked.key = bytes_of("b");
    asked.range_end = bytes_of("a");
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &asked;
    pd_service_request(kept.call, &request.base);
    assert_string_equal(last()->cancel_reason, "mvcc: watcher range is empty");
    assert_int_equal(world.submitted, 0);
}

static void cancel(int64_t id)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCancelRequest asked = ETCDSERVERPB__WATCH_CANCEL_REQUEST__INIT;
    asked.watch_id = id;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    request.cancel_request = &asked;
    pd_service_request(kept.call, &request.base);
}

static void test_cancelled_by_the_client(void **state)
{
    (void)state;
    uint64_t watch = create("k", 3, false, 0);
    give_created(watch, 20);
    cancel(4); /* nothing is said of one that is not there */
    assert_int_equal(world.cancelled, 0);
    cancel(3);
    cancel(3);
    assert_int_equal(world.cancelled, 1);
    assert_int_equal(world.cancelled_last, watch);
    uint32_t before = kept.count;
    give_events(watch, 1, 21, false); /* on its way already: not given any more */
    assert_int_equal(kept.count, before);
    world.asked_count = 0;
    uint64_t next = create("k", 3, false, 0); /* the id is free at once, as in etcd */
    assert_int_not_equal(next, 0);
    assert_int_equal(kept.count, before);
    give(watch, &(struct pd_backend_watch_answer){.kind = PD_BACKEND_WATCH_ENDED, .revision = 25});
    assert_true(last()->canceled);
    assert_int_equal(last()->watch_id, 3);
    assert_int_equal(last()->header->revision, 25);
    give_created(next, 26);
    assert_true(last()->created && !last()->canceled);
    assert_int_equal(last()->watch_id, 3);
    cancel(3);
    assert_int_equal(world.cancelled_last, next);
}

static void test_compacted(void **state)
{
    (void)state;
    uint64_t watch = create("k", 3, false, 2);
    give_created(watch, 20);
    give(watch, &(struct pd_backend_watch_answer){
                    .kind = PD_BACKEND_WATCH_ENDED, .revision = 25, .compact_revision = 15});
    assert_true(last()->canceled);
    assert_false(last()->created);
    assert_int_equal(last()->compact_revision, 15);
    assert_int_equal(last()->header->revision, 0); /* as in etcd */
}

/* The node ended it: it goes on behind what was given, and the client does not notice. */
static void test_it_goes_on(void **state)
{
    (void)state;
    uint64_t watch = create("k", 3, false, 0);
    give_created(watch, 20);
    give_events(watch, 1, 30, false);
    uint32_t before = kept.count;
    world.asked_count = 0;
    give(watch, &(struct pd_backend_watch_answer){.kind = PD_BACKEND_WATCH_ENDED, .revision = 33});
    assert_int_equal(world_asked(&world, PD_BACKEND_WATCH)->watch.start_revision, 31);
    uint64_t again = world.asked[0].correlation;
    assert_int_not_equal(again, watch);
    give_created(again, 40);
    assert_int_equal(kept.count, before);
    give_events(again, 1, 41, false);
    assert_int_equal(last()->watch_id, 3);
    assert_int_equal(last()->header->revision, 41);
    /* Without room for it the client is told. */
    world.refuse = PD_ERR_FULL;
    give(again, &(struct pd_backend_watch_answer){.kind = PD_BACKEND_WATCH_ENDED});
    assert_true(last()->canceled);
}

static void test_fragments(void **state)
{
    (void)state;
    uint64_t whole = create("k", 1, false, 0);
    uint64_t parts = create("k", 2, true, 0);
    give_created(whole, 20);
    give_created(parts, 20);
    uint32_t before = kept.count;
    give_events(whole, 1, 21, true);
    give_events(whole, 1, 21, true);
    assert_int_equal(kept.count, before);
    give_events(whole, 1, 21, false);
    assert_int_equal(kept.count, before + 1);
    assert_int_equal(last()->n_events, 3);
    assert_int_equal(last()->watch_id, 1);
    assert_int_equal(last()->header->revision, 21);
    assert_false(last()->fragment);
    /* Fragments come together: etcd's client loses those before another watch's answer. */
    before = kept.count;
    give_events(parts, 1, 21, true);
    give_events(parts, 2, 21, true);
    assert_int_equal(kept.count, before);
    give_events(whole, 1, 22, false);
    assert_int_equal(kept.count, before + 1);
    give_events(parts, 0, 21, false); /* the last part may be empty */
    assert_int_equal(kept.count, before + 4);
    static const unsigned counts[] = {1, 2, 0};
    for (uint32_t i = 0; i < 3; i++) {
        const Etcdserverpb__WatchResponse *part = (const void *)kept.messages[before + 1 + i];
        assert_int_equal(part->watch_id, 2);
        assert_int_equal(part->n_events, counts[i]);
        assert_int_equal(part->fragment, i < 2);
    }
    /* More than is kept is given as it comes. */
    give_events(parts, 3, 22, true);
    give_events(parts, 3, 22, true);
    assert_int_equal(kept.count, before + 6);
    assert_true(last()->fragment);
    give_events(parts, 1, 22, false);
    assert_int_equal(kept.count, before + 7);
    assert_false(last()->fragment);
    /* More than a response may take. */
    give_events(whole, 3, 23, true);
    give_events(whole, 3, 23, true);
    assert_true(last()->canceled);
    assert_int_equal(last()->watch_id, 1);
}

static void ask_progress(void)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchProgressRequest asked = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &asked;
    pd_service_request(kept.call, &request.base);
}

static void give_progress(uint64_t correlation, int64_t through)
{
    give(correlation, &(struct pd_backend_watch_answer){.kind = PD_BACKEND_WATCH_PROGRESS,
                                                        .revision = 99,
                                                        .through_revision = through});
}

static void test_progress(void **state)
{
    (void)state;
    ask_progress(); /* of nobody: as in etcd, silence */
    assert_int_equal(kept.count, 0);
    uint64_t first = create("k", 1, false, 0);
    uint64_t second = create("k", 2, false, 0);
    give_created(first, 20);
    give_created(second, 20);
    give_progress(first, 30); /* of its own */
    assert_int_equal(last()->watch_id, 1);
    assert_int_equal(last()->header->revision, 30);
    uint32_t before = kept.count;
    ask_progress();
    assert_int_equal(world.progress_asked, 2);
    ask_progress(); /* once more, when this one is answered */
    give_progress(second, 31);
    assert_int_equal(kept.count, before);
    give_progress(first, 33);
    assert_int_equal(kept.count, before + 1);
    assert_int_equal(last()->watch_id, -1);
    assert_int_equal(last()->header->revision, 31);
    assert_int_equal(world.progress_asked, 4);
    /* One of them ends: nobody waits for it. */
    give_progress(first, 35);
    give(second,
         &(struct pd_backend_watch_answer){.kind = PD_BACKEND_WATCH_ENDED, .compact_revision = 5});
    assert_int_equal(kept.count, before + 3);
    const Etcdserverpb__WatchResponse *all = (const void *)kept.messages[before + 1];
    assert_int_equal(all->watch_id, -1);
    assert_int_equal(all->header->revision, 35);
}

static void test_credit(void **state)
{
    (void)state;
    uint64_t watch = create("k", 1, false, 0);
    give_created(watch, 20);
    give_events(watch, 1, 21, false);
    assert_int_equal(world.credited, 0); /* less than half of it is used */
    give_events(watch, 1, 22, false);
    assert_int_equal(world.credited, 800);
    kept.is_held = true;
    give_events(watch, 1, 23, false);
    give_events(watch, 1, 24, false);
    assert_int_equal(world.credited, 800);
    kept.is_held = false;
    pd_service_resume(kept.call);
    assert_int_equal(world.credited, 1600);
}

static void test_no_leader_ends_the_stream(void **state)
{
    (void)state;
    (void)create("k", 1, false, 0);
    (void)create("k", 2, false, 0);
    world_outcome(&world, PD_BACKEND_NO_LEADER);
    kept_failed(&kept, PD_CODE_UNAVAILABLE, "etcdserver: no leader");
    assert_int_equal(world.cancelled, 1); /* the other one */
}

static void test_a_node_that_is_full(void **state)
{
    (void)state;
    (void)create("k", 1, false, 0);
    world_outcome(&world, PD_BACKEND_BUSY);
    assert_true(last()->created && last()->canceled);
    assert_int_equal(last()->watch_id, -1);
    assert_string_equal(last()->cancel_reason, "etcdserver: too many requests");
    assert_false(kept.has_ended);
}

/* What it gives up it may have again. */
static void test_a_client_has_so_many(void **state)
{
    struct pd_service_config config = pd_service_config_default();
    (void)state;
    kept_free(&kept);
    world_close(&world);
    config.watches_max = 2;
    world_open(&world, &config);
    kept_begin(&world, &kept, WATCH);
    uint64_t first = create("k", 1, false, 0);
    give_created(first, 20);
    give_created(create("k", 2, false, 0), 20);
    assert_int_equal(create("k", 3, false, 0), 0);
    assert_true(last()->created && last()->canceled);
    assert_string_equal(last()->cancel_reason, "etcdserver: too many watches of one connection");
    assert_int_equal(world.client.watches, 2);
    cancel(1);
    give(first, &(struct pd_backend_watch_answer){.kind = PD_BACKEND_WATCH_ENDED, .revision = 25});
    assert_int_equal(world.client.watches, 1);
    assert_int_not_equal(create("k", 3, false, 0), 0);
}

/* Long keys are few watches' worth; and watches leave room for requests. */
static void test_watches_leave_room(void **state)
{
    struct pd_service_config config = pd_service_config_default();
    (void)state;
    kept_free(&kept);
    world_close(&world);
    config.watch_key_bytes_max = 10;
    config.waits_max = 8; /* of these six watches */
    world_open(&world, &config);
    kept_begin(&world, &kept, WATCH);
    uint64_t first = create("123456", 1, false, 0);
    give_created(first, 20);
    assert_int_equal(create("12345", 2, false, 0), 0);
    assert_true(last()->created && last()->canceled);
    assert_string_equal(last()->cancel_reason,
                        "etcdserver: too many bytes of keys in the watches of one connection");
    assert_int_not_equal(create("1234", 2, false, 0), 0);
    cancel(1);
    give(first, &(struct pd_backend_watch_answer){.kind = PD_BACKEND_WATCH_ENDED, .revision = 25});
    assert_int_equal(world.client.watch_key_bytes, 4);
    assert_int_not_equal(create("12", 3, false, 0), 0);
    assert_int_not_equal(create("12", 4, false, 0), 0);
    assert_int_equal(create("1", 5, false, 0), 0); /* three are for others */
    assert_string_equal(last()->cancel_reason, "etcdserver: too many requests");
}

/* A client that sends no more still watches. */
static void test_half_closed(void **state)
{
    (void)state;
    uint64_t watch = create("k", 1, false, 0);
    pd_service_half_close(kept.call);
    give_created(watch, 20);
    assert_false(kept.has_ended);
    assert_true(last()->created);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(test_created_then_events),
        CASE(test_ids),
        CASE(test_an_empty_range),
        CASE(test_cancelled_by_the_client),
        CASE(test_compacted),
        CASE(test_it_goes_on),
        CASE(test_fragments),
        CASE(test_progress),
        CASE(test_credit),
        CASE(test_no_leader_ends_the_stream),
        CASE(test_a_node_that_is_full),
        CASE(test_a_client_has_so_many),
        CASE(test_watches_leave_room),
        CASE(test_half_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
