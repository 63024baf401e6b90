/* The hub of watchers, against a list of all events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/sometimes.h"
#include "kv/watch_index.h"
#include "kv/watch_world.h"
#include "support/effort.h"
#include "support/seed.h"

static struct pd_kv_watch_config tiny(void)
{
    struct pd_kv_watch_config c = pd_kv_watch_config_default();
    c.watches_max = WORLD_WATCHES;
    c.key_bytes_max = 1024;
    c.recent_revisions_max = 8;
    c.recent_events_max = 16;
    c.recent_bytes = 512;
    c.readers_max = 2;
    c.near_revisions = 3;
    c.answer_bytes_max = 300;
    c.answer_events_max = 8;
    c.whole_bytes_max = 2000;
    c.page_bytes = 500;
    c.progress_ticks = 10;
    return c;
}

/* -- The index --------------------------------------------------------------------------------- */

static struct pd_span text(const char *given)
{
    return (struct pd_span){(const uint8_t *)given, strlen(given)};
}

#define NODES 300u

static bool holds(const struct pd_kv_watch_node *node, struct pd_span key)
{
    struct pd_span end = node->end;
    if (end.size == 0) {
        return world_is(node->low, key);
    }
    char a[8] = {0};
    char k[8] = {0};
    char b[8] = {0};
    memcpy(a, node->low.bytes, node->low.size);
    memcpy(k, key.bytes, key.size);
    memcpy(b, end.bytes, end.size);
    bool is_open = end.size == 1 && end.bytes[0] == 0;
    return strcmp(a, k) <= 0 && (is_open || strcmp(k, b) < 0);
}

static void random_word(struct pd_random *random, char word[8])
{
    size_t size = 1 + pd_random_below(random, 3);
    memset(word, 0, 8);
    for (size_t i = 0; i < size; i++) {
        word[i] = (char)('a' + pd_random_below(random, 4));
    }
}

static void a_query_finds_what_a_look_at_all_finds(void **state)
{
    (void)state;
    struct pd_random random = test_random("index");
    static struct pd_kv_watch_node nodes[NODES];
    static char words[NODES][2][8];
    bool is_in[NODES] = {false};
    struct pd_kv_watch_index index;
    pd_kv_watch_index_init(&index, 7);
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t n = (uint32_t)pd_random_below(&random, NODES);
        if (is_in[n]) {
            pd_kv_watch_index_remove(&index, &nodes[n]);
        } else {
            random_word(&random, words[n][0]);
            random_word(&random, words[n][1]);
            nodes[n] =
                (struct pd_kv_watch_node){.low = text(words[n][0]), .end = text(words[n][1])};
            if (pd_random_below(&random, 8) == 0) {
                nodes[n].end = (struct pd_span){(const uint8_t *)"\0", 1};
            } else if (strcmp(words[n][0], words[n][1]) >= 0) {
                nodes[n].end.size = 0;
            }
            pd_kv_watch_index_insert(&index, &nodes[n]);
        }
        is_in[n] = !is_in[n];
        char word[8];
        random_word(&random, word);
        bool found[NODES] = {false};
        for (struct pd_kv_watch_node *node = pd_kv_watch_index_first(&index, text(word));
             node != NULL; node = pd_kv_watch_index_next(&index, node, text(word))) {
            assert_false(found[node - nodes]);
            found[node - nodes] = true;
        }
        for (uint32_t i = 0; i < NODES; i++) {
            assert_int_equal(found[i], is_in[i] && holds(&nodes[i], text(word)));
        }
        if (step % 64 == 0) {
            pd_kv_watch_index_check(&index);
        }
    }
    pd_kv_watch_index_deinit(&index);
}

/* -- The whole --------------------------------------------------------------------------------- */

static void turn_at_random(struct world *world, uint32_t round)
{
    uint32_t what = world_below(world, 40);
    if (what < 14) {
        world_command(world, round % 7 == 0 ? WORLD_VALUE : 40, 1 + round % 6);
    } else if (what < 17) {
        world_add(world);
    } else if (what < 26) {
        world_poke(world);
    } else if (what < 32) {
        (void)world_turn(world, 1 + world_below(world, round % 4 == 3 ? 3 : 12));
    } else if (what < 37) {
        world_serve(world, false);
    } else if (what < 38) {
        world_write(world);
    } else if (what < 39) {
        pd_kv_watch_tick(world->hub);
    } else if (world_below(world, 12) == 0) {
        world_compact(world);
    }
}

static void every_watcher_is_told_of_exactly_its_events(void **state)
{
    (void)state;
    struct pd_random random = test_random("watch");
    static uint64_t hits[PD_SOMETIMES_COUNT];
    pd_sometimes_hits = hits;
    uint32_t given = 0;
    uint32_t fragments = 0;
    uint32_t ended = 0;
    uint32_t progress = 0;
    for (uint32_t round = 0; round < PD_TEST_EFFORT(120u, 24u); round++) {
        struct pd_kv_watch_config config = tiny();
        struct pd_kv_config kv = world_kv_config();
        if (round % 2 == 0) {
            config.recent_revisions_max = 1 + round % 5;
            config.readers_max = 1 + round % 4;
            config.near_revisions = round % 3;
            config.page_bytes = 1 + round % 7 * 300;
        }
        if (round % 3 == 0) {
            config.recent_bytes = 4096;
            config.recent_events_max = 64;
            config.recent_revisions_max = 32;
            config.answer_events_max = 64;
            config.whole_bytes_max = 16384;
        }
        if (round % 4 == 3) {
            config.recent_bytes = 8192;
            config.recent_events_max = 64;
            config.recent_revisions_max = 12;
        }
        kv.events_max = round % 4 == 0 ? 3 : 64;
        kv.event_bytes_max = round % 5 == 0 ? 70 : 1 << 16;
        struct world *world = world_open(&kv, &config, pd_random_next(&random));
        for (uint32_t step = 0; step < 1200; step++) {
            turn_at_random(world, round);
            if (step % 100 == 0) {
                pd_kv_watch_check(world->hub);
            }
            if (step % 600 == 599) {
                world_settle(world);
            }
        }
        given += world->given;
        fragments += world->fragments;
        ended += world->ended;
        progress += world->progress;
        world_close(world);
    }
    printf("%u events, %u fragments, %u ended, %u progress\n", given, fragments, ended, progress);
    assert_true(given > 20000);
    assert_true(fragments > 100);
    assert_true(ended > 50);
    assert_true(progress > 500);
    pd_sometimes_hits = NULL;
    for (enum pd_sometimes_id id = PD_SOMETIMES_KV_WATCH_FELL_BEHIND;
         id <= PD_SOMETIMES_KV_WATCH_PARKED; id++) {
        printf("%s: %llu\n", pd_sometimes_name(id), (unsigned long long)hits[id]);
        assert_true(hits[id] > 0);
    }
}

/* -- Cases ------------------------------------------------------------------------------------- */

static void publish(struct pd_kv_watch_hub *hub, int64_t revision, const char *key,
                    const char *value)
{
    struct pd_kv_event event = {
        .record = {.key = text(key), .value = text(value), .mod_revision = revision, .version = 1}};
    struct pd_kv_events events = {.revision = revision, .events = &event, .count = 1};
    pd_kv_watch_publish(hub, &events);
}

/* The next answer, without history. */
static bool next(struct pd_kv_watch_hub *hub, struct pd_kv_watch_answer *answer)
{
    enum pd_kv_watch_turn turn;
    while ((turn = pd_kv_watch_next(hub, answer)) == PD_KV_WATCH_MORE) {
    }
    return turn == PD_KV_WATCH_ANSWER;
}

static struct pd_kv_watch_hub *hub_of(uint32_t watches_max)
{
    struct pd_kv_watch_config config = pd_kv_watch_config_default();
    config.watches_max = watches_max;
    struct pd_kv_watch_hub *hub;
    assert_int_equal(pd_kv_watch_open(&config, &hub), PD_OK);
    return hub;
}

#define MANY 10000u

/* Visits of the index for 1,000 events under m/, with `count` watchers that want none of them. */
static uint64_t visits_beside(uint32_t count)
{
    struct pd_kv_watch_hub *hub = hub_of(MANY);
    for (uint32_t i = 0; i < count; i++) {
        char key[16];
        char end[32];
        snprintf(key, sizeof key, "%c/%06u", i % 3 == 0 ? 'a' : i % 3 == 1 ? 'z' : 'm', i);
        snprintf(end, sizeof end, "%s~", key);
        if (i % 3 == 2) { /* between the keys that are written */
            snprintf(key, sizeof key, "m/0%03u!", i % 1000);
            snprintf(end, sizeof end, "m/0%03u~", i % 1000);
        }
        struct pd_kv_watch watch = {
            .key = text(key), .range_end = i % 2 == 0 ? text(end) : text(""), .credit = 1};
        uint64_t id;
        assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_OK);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "m/0%03u", i);
        publish(hub, 2 + (int64_t)i, key, "v");
    }
    struct pd_kv_watch_status status;
    pd_kv_watch_status(hub, &status);
    assert_int_equal(status.in_step_count, count);
    struct pd_kv_watch_answer answer;
    assert_false(next(hub, &answer));
    pd_kv_watch_close(hub);
    return status.visits;
}

static void watchers_that_do_not_match_cost_a_logarithm(void **state)
{
    (void)state;
    uint64_t few = visits_beside(100);
    uint64_t many = visits_beside(MANY);
    printf("visits for 1,000 events: %llu beside 100 watchers, %llu beside %u\n",
           (unsigned long long)few, (unsigned long long)many, MANY);
    /* A treap of 5,000 is some 30 deep. */
    assert_true(many <= 1000 * 40);
}

static void of_ten_thousand_watchers_a_stuck_one_falls_behind_alone(void **state)
{
    (void)state;
    struct pd_kv_watch_hub *hub = hub_of(MANY);
    uint64_t stuck = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        struct pd_kv_watch watch = {.key = text("k"), .credit = i == 77 ? 0 : 1 << 30, .owner = i};
        uint64_t id;
        assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_OK);
        stuck = i == 77 ? id : stuck;
    }
    uint64_t told = 0;
    uint32_t revisions = 3000;
    for (uint32_t i = 0; i < revisions; i++) {
        publish(hub, 2 + (int64_t)i, "k", "v");
        struct pd_kv_watch_answer answer;
        while (i % 100 == 99 && next(hub, &answer)) {
            assert_int_not_equal(answer.owner, 77);
            assert_int_equal(answer.count, 100);
            told += answer.count;
        }
    }
    assert_int_equal(told, (uint64_t)(MANY - 1) * revisions);
    struct pd_kv_watch_status status;
    pd_kv_watch_status(hub, &status);
    assert_int_equal(status.behind_count, 1);
    assert_int_equal(status.watch_count, MANY);
    pd_kv_watch_check(hub);
    /* It reads on from where it was. */
    struct pd_kv_watch_want want;
    struct pd_kv_watch_answer answer;
    assert_int_equal(pd_kv_watch_grant(hub, stuck, 1), PD_OK);
    assert_false(next(hub, &answer));
    assert_true(pd_kv_watch_next_want(hub, &want));
    assert_int_equal(want.revision, 2);
    assert_int_equal(want.sub, 0);
    pd_kv_watch_close(hub);
}

static void a_start_in_the_future_waits(void **state)
{
    (void)state;
    struct pd_kv_watch_hub *hub = hub_of(4);
    struct pd_kv_watch watch = {.key = text("k"), .start_revision = 4, .credit = 9};
    struct pd_kv_watch_answer answer;
    uint64_t id;
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_OK);
    publish(hub, 2, "k", "2");
    publish(hub, 3, "k", "3");
    assert_false(next(hub, &answer));
    publish(hub, 4, "k", "4");
    assert_true(next(hub, &answer));
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.events[0]->record.mod_revision, 4);
    assert_int_equal(answer.through_revision, 4);
    pd_kv_watch_close(hub);
}

static void the_ring_goes_on_while_its_revisions_are_given_out(void **state)
{
    (void)state;
    struct pd_kv_watch_config config = tiny();
    struct pd_kv_watch_hub *hub;
    config.recent_revisions_max = 4;
    assert_int_equal(pd_kv_watch_open(&config, &hub), PD_OK);
    struct pd_kv_watch watch = {.key = text("other"), .credit = 9}; /* for whom the ring is kept */
    struct pd_kv_watch_answer answer;
    uint64_t ids[3];
    assert_int_equal(pd_kv_watch_add(hub, &watch, &ids[0]), PD_OK);
    for (int64_t revision = 2; revision < 6; revision++) {
        publish(hub, revision, "k", "v");
    }
    for (uint64_t i = 1; i < 3; i++) {
        watch =
            (struct pd_kv_watch){.key = text("k"), .start_revision = 2, .credit = 9, .owner = i};
        assert_int_equal(pd_kv_watch_add(hub, &watch, &ids[i]), PD_OK);
    }
    /* One has its events when the ring needs the room of the first. */
    assert_true(next(hub, &answer));
    uint64_t first = answer.owner;
    assert_int_equal(answer.count, 4);
    publish(hub, 6, "k", "v");
    pd_kv_watch_check(hub);
    assert_true(next(hub, &answer));
    assert_int_equal(answer.owner, first);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.events[0]->record.mod_revision, 6);
    assert_false(next(hub, &answer));
    /* The other reads on from where it stood. */
    struct pd_kv_watch_want want;
    assert_true(pd_kv_watch_next_want(hub, &want));
    assert_int_equal(want.revision, 2);
    assert_int_equal(want.sub, 0);
    assert_false(pd_kv_watch_next_want(hub, &want));
    pd_kv_watch_want_again(hub, want.reader);
    assert_true(pd_kv_watch_next_want(hub, &want));
    pd_kv_watch_close(hub);
}

/* A page of history with one event in each of its revisions. */
static void give_page(struct pd_kv_watch_hub *hub, const struct pd_kv_watch_want *want,
                      uint32_t count)
{
    static struct pd_kv_event events[16];
    assert_true(count <= 16);
    for (uint32_t i = 0; i < count; i++) {
        events[i] = (struct pd_kv_event){.record = {.key = text("k"),
                                                    .value = text("v"),
                                                    .mod_revision = want->revision + i,
                                                    .version = 1}};
    }
    const struct pd_kv_history history = {
        .events = events, .count = count, .next_revision = want->revision + count};
    pd_kv_watch_page(hub, want->reader, &history);
}

/* History is read for those who can be given it: one reader serves a watcher with little credit
 * and, a thousand revisions on, another (seed 5832). */
static void a_reader_goes_where_somebody_waits(void **state)
{
    (void)state;
    struct pd_kv_watch_config config = pd_kv_watch_config_default();
    struct pd_kv_watch_hub *hub;
    struct pd_kv_watch_answer answer;
    struct pd_kv_watch_want want;
    uint64_t ids[2];
    config.watches_max = 4;
    config.readers_max = 1;
    assert_int_equal(pd_kv_watch_open(&config, &hub), PD_OK);
    for (int64_t revision = 2; revision < 3000; revision++) {
        publish(hub, revision, "k", "v");
    }
    for (uint64_t i = 0; i < 2; i++) {
        const struct pd_kv_watch watch = {.key = text("k"),
                                          .start_revision = i == 0 ? 2 : 1000,
                                          .credit = i == 0 ? 1 : 100,
                                          .owner = i};
        assert_int_equal(pd_kv_watch_add(hub, &watch, &ids[i]), PD_OK);
    }
    assert_false(next(hub, &answer));
    assert_true(pd_kv_watch_next_want(hub, &want));
    assert_int_equal(want.revision, 2);
    give_page(hub, &want, 10);
    assert_true(next(hub, &answer));
    assert_int_equal(answer.owner, 0);
    assert_int_equal(answer.count, 10);
    assert_int_equal(pd_kv_watch_spend(hub, ids[0], 10), PD_OK);
    assert_false(next(hub, &answer));
    pd_kv_watch_check(hub);
    assert_true(pd_kv_watch_next_want(hub, &want));
    assert_int_equal(want.revision, 1000);
    give_page(hub, &want, 10);
    assert_true(next(hub, &answer));
    assert_int_equal(answer.owner, 1);
    assert_int_equal(pd_kv_watch_spend(hub, ids[1], 100), PD_OK);

    /* Nobody has credit: nothing is read, until somebody has. */
    assert_false(next(hub, &answer));
    assert_false(pd_kv_watch_next_want(hub, &want));
    assert_int_equal(pd_kv_watch_grant(hub, ids[0], 100), PD_OK);
    assert_false(next(hub, &answer));
    assert_true(pd_kv_watch_next_want(hub, &want));
    assert_int_equal(want.revision, 12);
    pd_kv_watch_check(hub);
    pd_kv_watch_close(hub);
}

static void progress_comes_after_what_waits(void **state)
{
    (void)state;
    struct pd_kv_watch_config config = tiny();
    struct pd_kv_watch_hub *hub;
    assert_int_equal(pd_kv_watch_open(&config, &hub), PD_OK);
    struct pd_kv_watch watch = {.key = text("k"), .credit = 0, .with_progress = true};
    struct pd_kv_watch_answer answer;
    uint64_t id;
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_OK);
    publish(hub, 2, "k", "2");
    publish(hub, 3, "other", "3");
    assert_int_equal(pd_kv_watch_ask_progress(hub, id), PD_OK);
    assert_false(next(hub, &answer));
    assert_int_equal(pd_kv_watch_grant(hub, id, 9), PD_OK);
    assert_true(next(hub, &answer));
    assert_int_equal(answer.kind, PD_KV_WATCH_EVENTS);
    assert_int_equal(answer.through_revision, 3);
    assert_true(next(hub, &answer));
    assert_int_equal(answer.kind, PD_KV_WATCH_PROGRESS);
    assert_int_equal(answer.through_revision, 3);
    assert_false(next(hub, &answer));
    /* Idle: once a while, and not more often. */
    uint32_t heard = 0;
    for (uint32_t i = 0; i < 100; i++) {
        pd_kv_watch_tick(hub);
        heard += next(hub, &answer);
    }
    assert_in_range(heard, 4, 11);
    pd_kv_watch_close(hub);
}

static void bounds_are_told(void **state)
{
    (void)state;
    struct pd_kv_watch_config config = tiny();
    struct pd_kv_watch_hub *hub;
    uint64_t id;
    uint64_t first;
    config.watches_max = 2;
    config.key_bytes_max = 8;
    config.whole_bytes_max = config.answer_bytes_max - 1;
    assert_int_equal(pd_kv_watch_open(&config, &hub), PD_ERR_INVALID);
    config.whole_bytes_max = config.answer_bytes_max + 1000;
    for (uint64_t nth = 1; nth < 8; nth++) {
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_kv_watch_open(&config, &hub), PD_ERR_NO_MEMORY);
    }
    pd_alloc_fail_nth(0);
    assert_int_equal(pd_kv_watch_open(&config, &hub), PD_OK);
    struct pd_kv_watch watch = {.key = text("b"), .range_end = text("b")};
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_ERR_INVALID);
    watch = (struct pd_kv_watch){.key = text("b"), .start_revision = -1};
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_ERR_INVALID);
    watch = (struct pd_kv_watch){.key = text("123456789")};
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_ERR_FULL);
    watch = (struct pd_kv_watch){.key = text("a"), .range_end = text("b")};
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_ERR_NO_MEMORY);
    assert_int_equal(pd_kv_watch_add(hub, &watch, &first), PD_OK);
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_OK);
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_ERR_FULL);
    assert_int_equal(pd_kv_watch_remove(hub, first), PD_OK);
    assert_int_equal(pd_kv_watch_remove(hub, first), PD_ERR_UNKNOWN);
    assert_int_equal(pd_kv_watch_grant(hub, first, 1), PD_ERR_UNKNOWN);
    assert_int_equal(pd_kv_watch_spend(hub, first, 1), PD_ERR_UNKNOWN);
    assert_int_equal(pd_kv_watch_ask_progress(hub, first), PD_ERR_UNKNOWN);
    assert_int_equal(pd_kv_watch_add(hub, &watch, &id), PD_OK);
    assert_int_not_equal(id, first);
    pd_kv_watch_check(hub);
    pd_kv_watch_close(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_finds_what_a_look_at_all_finds),
        cmocka_unit_test(every_watcher_is_told_of_exactly_its_events),
        cmocka_unit_test(watchers_that_do_not_match_cost_a_logarithm),
        cmocka_unit_test(of_ten_thousand_watchers_a_stuck_one_falls_behind_alone),
        cmocka_unit_test(a_start_in_the_future_waits),
        cmocka_unit_test(the_ring_goes_on_while_its_revisions_are_given_out),
        cmocka_unit_test(a_reader_goes_where_somebody_waits),
        cmocka_unit_test(progress_comes_after_what_waits),
        cmocka_unit_test(bounds_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
