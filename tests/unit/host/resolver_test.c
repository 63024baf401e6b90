/* Names for guests, asked of a real name server of the loopback: good ones, slow ones, and those
 * that lie. With the thread for names, or without, where the test does its work. */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/host.h"
#include "host/sockets_internal.h"
#include "support/effort.h"
#include "support/name_server.h"

#define TIMEOUT_MS 60000u /* only ever waited for when a test is about to fail */
#define SOON_MS 20u       /* where waiting in vain is the test */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t is_woken;
    uint32_t wakes;
};

struct fixture {
    struct pd_real_sockets *real;
    struct pd_sockets *sockets;
    struct name_server *server;
    struct waiter waiter;
    bool is_inline;
    struct pd_lookup_result results[PD_LOOKUP_ADDRESSES_MAX];
    uint32_t count;
};

static void waiter_init(struct waiter *waiter)
{
    *waiter = (struct waiter){.wakes = 0};
    assert_int_equal(pthread_mutex_init(&waiter->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&waiter->is_woken, NULL), 0);
}

static void wake(void *process)
{
    struct waiter *waiter = process;
    (void)pthread_mutex_lock(&waiter->lock);
    waiter->wakes++;
    (void)pthread_cond_broadcast(&waiter->is_woken);
    (void)pthread_mutex_unlock(&waiter->lock);
}

/* Until it was woken; the count begins anew. */
static void await(struct fixture *f, struct waiter *waiter)
{
    (void)pthread_mutex_lock(&waiter->lock);
    while (waiter->wakes == 0) {
        if (!f->is_inline) {
            (void)pthread_cond_wait(&waiter->is_woken, &waiter->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&waiter->lock);
        assert_true(pd_real_sockets_poll(f->real, (int)TIMEOUT_MS));
        (void)pthread_mutex_lock(&waiter->lock);
    }
    waiter->wakes = 0;
    (void)pthread_mutex_unlock(&waiter->lock);
}

static void ask_within(struct fixture *f, uint32_t timeout_ms)
{
    const struct pd_name_servers servers = {
        .resolv_conf = f->server->resolv_conf,
        .port = f->server->port,
        .timeout_ms = timeout_ms,
    };
    pd_real_sockets_set_name_servers(f->real, &servers);
}

static int setup_of(void **state, bool is_inline)
{
    static struct fixture f;
    f = (struct fixture){.is_inline = is_inline, .server = name_server_open()};
    waiter_init(&f.waiter);
    assert_int_equal(pd_real_sockets_create(is_inline, &f.real), PD_OK);
    f.sockets = pd_real_sockets_interface(f.real);
    f.sockets->wake = wake;
    ask_within(&f, TIMEOUT_MS);
    *state = &f;
    return 0;
}

static int setup(void **state)
{
    return setup_of(state, false);
}

static int setup_inline(void **state)
{
    return setup_of(state, true);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pd_real_sockets_lookup_count(f->real), 0);
    pd_real_sockets_stop(f->real);
    assert_int_equal(pd_real_sockets_count(f->real), 0);
    pd_real_sockets_destroy(f->real);
    name_server_close(f->server);
    (void)pthread_cond_destroy(&f->waiter.is_woken);
    (void)pthread_mutex_destroy(&f->waiter.lock);
    return 0;
}

static int ask(struct fixture *f, uint64_t owner, const char *name, struct waiter *waiter,
               struct pd_lookup **lookup_out)
{
    return f->sockets->ops->lookup(f->sockets, owner, name, strlen(name), waiter, lookup_out);
}

/* Its error; on 0 the results are f's. */
static int take(struct fixture *f, struct pd_lookup *lookup, struct waiter *waiter)
{
    int error = 0;
    while (!f->sockets->ops->lookup_take(lookup, f->results, &f->count, &error)) {
        await(f, waiter);
    }
    f->sockets->ops->lookup_close(lookup);
    return error;
}

static int resolve(struct fixture *f, uint64_t owner, const char *name)
{
    struct pd_lookup *lookup = NULL;
    assert_int_equal(ask(f, owner, name, &f->waiter, &lookup), 0);
    int error = take(f, lookup, &f->waiter);
    (void)pthread_mutex_lock(&f->waiter.lock);
    f->waiter.wakes = 0; /* it was over before anybody waited */
    (void)pthread_mutex_unlock(&f->waiter.lock);
    return error;
}

/* 192.0.2.LAST with this TTL is the one address. */
static void expect_one(const struct fixture *f, uint8_t last, uint32_t ttl_s)
{
    const uint8_t ip[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = last};
    assert_int_equal(f->count, 1);
    assert_memory_equal(f->results[0].address.ip, ip, sizeof ip);
    assert_int_equal(f->results[0].ttl_s, ttl_s);
    assert_false(f->results[0].is_own);
}

/* --- What name servers say -------------------------------------------------------------------- */

static void addresses_come_with_their_ttl(void **state)
{
    static const struct {
        const char *name;
        uint32_t ttl_s;
    } cases[] = {
        {"ttl-7.test", 7},
        {"ttl-0.test", 0},
        {"ttl-604800.test.", 604800},
        {"ttl-2147483647.test", 2147483647},
        {"ttl-2147483648.test", 0}, /* RFC 2181, 8 */
        {"ttl-4294967295.test", 0},
        {"alias-20.test", 20}, /* the alias ends before what it leads to */
        {"alias-900.test", 300},
        {"alias-4294967295.test", 0},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(resolve(f, 1, cases[i].name), 0);
        expect_one(f, 7, cases[i].ttl_s);
    }
}

static void both_families_come(void **state)
{
    static const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    struct fixture *f = *state;
    assert_int_equal(resolve(f, 1, "six.test"), 0);
    assert_int_equal(f->count, 1);
    assert_memory_equal(f->results[0].address.ip, six, sizeof six);
    assert_int_equal(f->results[0].ttl_s, 60);
    assert_int_equal(resolve(f, 1, "both.test"), 0);
    assert_int_equal(f->count, 2);
    bool is_six_first = f->results[0].ttl_s == 60;
    assert_memory_equal(f->results[is_six_first ? 0 : 1].address.ip, six, sizeof six);
    assert_int_equal(f->results[is_six_first ? 1 : 0].ttl_s, 300);
}

static void there_may_be_no_address(void **state)
{
    struct fixture *f = *state;
    static const char *const none[] = {"none.test", "at.test.", "a..test"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(resolve(f, 1, none[i]), EAI_NONAME);
    }
    assert_string_equal(f->sockets->ops->lookup_text(EAI_NONAME), "Name or service not known");
    assert_int_equal(resolve(f, 1, "fail.test"), EAI_AGAIN);
}

static void names_are_searched_for(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(resolve(f, 1, "at"), 0); /* at.inner.test */
    expect_one(f, 7, 300);
    assert_int_equal(resolve(f, 1, "at.sub"), 0); /* as it is; then at.sub.inner.test */
    expect_one(f, 7, 300);
    assert_int_equal(resolve(f, 1, "at.sub."), EAI_NONAME); /* that is a whole name */
}

/* --- What needs no name server ---------------------------------------------------------------- */

static void what_is_at_hand_is_not_asked_for(void **state)
{
    static const uint8_t loopback[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
    static const char *const near[] = {"localhost", "LocalHost", "127.0.0.1",
                                       "127.1",     "0x7f.1",    "2130706433"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        assert_int_equal(resolve(f, 1, near[i]), 0);
        bool has_it = false;
        for (uint32_t j = 0; j < f->count; j++) {
            has_it |= memcmp(f->results[j].address.ip, loopback, sizeof loopback) == 0;
            assert_true(f->results[j].is_own);
            assert_int_equal(f->results[j].ttl_s, PD_LOOKUP_TTL_NONE);
        }
        assert_true(has_it);
    }
    assert_int_equal(resolve(f, 1, "fe80::7%lo"), 0);
    assert_int_equal(f->count, 1);
    assert_int_equal(f->results[0].address.ip[0], 0xfe);
    assert_int_not_equal(f->results[0].address.scope, 0);
    assert_int_equal(name_server_asked(f->server), 0);
}

/* --- The configuration ------------------------------------------------------------------------ */

static void a_new_configuration_is_noticed(void **state)
{
    struct fixture *f = *state;
    name_server_write_conf(f->server, "nameserver 127.0.0.2\n"); /* nobody is there */
    assert_int_equal(resolve(f, 1, "ttl-7.test"), EAI_AGAIN);
    assert_string_equal(f->sockets->ops->lookup_text(EAI_AGAIN),
                        "Temporary failure in name resolution");
    name_server_write_conf(f->server, "nameserver 127.0.0.1\n");
    assert_int_equal(resolve(f, 1, "ttl-7.test"), 0);
    assert_int_equal(resolve(f, 1, "at"), EAI_NONAME); /* nothing is searched any more */
    name_server_write_conf(f->server, "nameserver 127.0.0.2\nnameserver 127.0.0.1\n");
    assert_int_equal(resolve(f, 1, "ttl-8.test"), 0);
    expect_one(f, 7, 8);
}

/* More of them than a question may have sockets, and all dead: refused at once. */
static void many_dead_servers_are_an_error(void **state)
{
    struct fixture *f = *state;
    char text[2000] = "";
    for (int i = 2; i < 60; i++) {
        size_t size = strlen(text);
        (void)snprintf(text + size, sizeof text - size, "nameserver 127.0.0.%d\n", i);
    }
    name_server_write_conf(f->server, text);
    assert_int_equal(resolve(f, 1, "ttl-7.test"), EAI_AGAIN);
}

static void silence_ends(void **state)
{
    struct fixture *f = *state;
    ask_within(f, SOON_MS);
    assert_int_equal(resolve(f, 1, "silent.test"), EAI_AGAIN);
    name_server_await(f->server, 4); /* two tries, of both families */
    assert_int_equal(name_server_asked(f->server), 4);
    assert_int_equal(resolve(f, 1, "drip.test"), EAI_AGAIN);
}

/* --- Hostile ones ----------------------------------------------------------------------------- */

static void what_was_not_asked_for_is_not_believed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(resolve(f, 1, "spoof.test"), 0);
    expect_one(f, 7, 300);
    assert_int_equal(resolve(f, 1, "wrong.test"), EAI_NONAME);
}

static void broken_answers_are_errors(void **state)
{
    struct fixture *f = *state;
    static const char *const broken[] = {"loop.test", "pointer.test", "junk.test", "cut.test"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        int error = resolve(f, 1, broken[i]);
        assert_true(error == EAI_NONAME || error == EAI_FAIL || error == EAI_AGAIN);
    }
    assert_int_equal(resolve(f, 1, "ttl-7.test"), 0);
}

/* By TCP; the first ones are taken. */
static void a_huge_answer_is_cut_off(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(resolve(f, 1, "big.test"), 0);
    assert_int_equal(f->count, PD_LOOKUP_ADDRESSES_MAX);
}

/* Whatever it is taken for, it ends, and good ones are heard. */
static void noise_is_survived(void **state)
{
    struct fixture *f = *state;
    struct pd_lookup *noise[PD_LOOKUPS_OF_OWNER_MAX];
    ask_within(f, SOON_MS);
    for (uint32_t round = 0; round < PD_TEST_EFFORT(20, 6); round++) {
        static const char *const servers[] = {
            "nameserver 127.0.0.1\n", "nameserver 127.0.0.2\nnameserver 127.0.0.1\n",
            "nameserver 127.0.0.1\nnameserver 127.0.0.1\nsearch inner.test other.test\n"};
        name_server_write_conf(f->server, servers[round % 3]);
        for (uint32_t i = 0; i < PD_LOOKUPS_OF_OWNER_MAX; i++) {
            char name[32];
            (void)snprintf(name, sizeof name, "noise-%u.test", round * PD_LOOKUPS_OF_OWNER_MAX + i);
            assert_int_equal(ask(f, 1, name, &f->waiter, &noise[i]), 0);
        }
        for (uint32_t i = 0; i < PD_LOOKUPS_OF_OWNER_MAX; i++) {
            int error = take(f, noise[i], &f->waiter);
            assert_true(error <= 0);
            assert_true(error != 0 || f->count > 0);
        }
    }
}

/* --- Bounds and ends -------------------------------------------------------------------------- */

static void who_is_gone_is_asked_for_no_longer(void **state)
{
    struct fixture *f = *state;
    struct pd_lookup *lookup = NULL;
    struct pd_lookup *other = NULL;
    struct waiter elsewhere;
    waiter_init(&elsewhere);
    assert_int_equal(ask(f, 1, "silent.test", &f->waiter, &lookup), 0);
    assert_int_equal(ask(f, 2, "silent.test", &elsewhere, &other), 0);
    (void)pd_real_sockets_poll(f->real, 0);
    name_server_await(f->server, 2);
    assert_int_equal(pd_real_sockets_count(f->real), 1); /* a socket for both, and both families */
    f->sockets->ops->lookup_close(lookup);
    (void)pd_real_sockets_poll(f->real, 0);
    assert_int_equal(pd_real_sockets_count(f->real), 1); /* one still waits */
    f->sockets->ops->lookup_close(other);
    assert_int_equal(pd_real_sockets_lookup_count(f->real), 0);
    assert_true(pd_real_sockets_poll(f->real, 0));
    assert_int_equal(pd_real_sockets_count(f->real), 0);
    assert_int_equal(f->waiter.wakes + elsewhere.wakes, 0);
    (void)pthread_cond_destroy(&elsewhere.is_woken);
    (void)pthread_mutex_destroy(&elsewhere.lock);
}

/* Killed between the answer for one family and that for the other; also at the end of all. */
static void a_half_answered_question_can_end(void **state)
{
    struct fixture *f = *state;
    struct pd_lookup *lookup = NULL;
    static const char *const names[] = {"held.test", "held", "drip.test", "both.test", "none.test"};
    for (int turns = 0; turns < 6; turns++) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            uint32_t asked = name_server_asked(f->server);
            assert_int_equal(ask(f, 1, names[i], &f->waiter, &lookup), 0);
            (void)pd_real_sockets_poll(f->real, 0);
            name_server_await(f->server, asked + (turns > 0 ? 1 : 2));
            for (int j = 1; j < turns; j++) {
                (void)pd_real_sockets_poll(f->real, 0);
            }
            f->sockets->ops->lookup_close(lookup);
            (void)pd_real_sockets_poll(f->real, 0);
            assert_int_equal(pd_real_sockets_count(f->real), 0);
            assert_int_equal(pd_real_sockets_lookup_count(f->real), 0);
        }
    }
}

/* The descriptors of a question are its owner's. */
static void without_descriptors_there_is_an_error(void **state)
{
    struct fixture *f = *state;
    pd_real_sockets_set_max(f->real, 0);
    assert_int_equal(resolve(f, 1, "ttl-7.test"), EMFILE);
    assert_string_equal(f->sockets->ops->lookup_text(EMFILE), "Too many open files");
    pd_real_sockets_set_max(f->real, 4); /* three of an owner */
    struct pd_lookup *silent[3];
    for (int i = 0; i < 3; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "silent-%d.test", i);
        assert_int_equal(ask(f, 1, name, &f->waiter, &silent[i]), 0);
    }
    (void)pd_real_sockets_poll(f->real, 0);
    assert_int_equal(pd_real_sockets_count(f->real), 3);
    assert_int_equal(resolve(f, 1, "ttl-7.test"), EMFILE);
    assert_int_equal(resolve(f, 2, "ttl-7.test"), 0);
    for (int i = 0; i < 3; i++) {
        f->sockets->ops->lookup_close(silent[i]);
    }
    assert_int_equal(resolve(f, 1, "ttl-7.test"), 0);
    expect_one(f, 7, 7);
}

/* Slow names hold up nobody, not even who asks for them. */
static void slow_names_starve_nobody(void **state)
{
    struct fixture *f = *state;
    struct waiter patient;
    struct pd_lookup *slow[PD_LOOKUPS_OF_OWNER_MAX];
    struct pd_lookup *one_more = NULL;
    char name[32];
    waiter_init(&patient);
    for (uint32_t i = 0; i < PD_LOOKUPS_OF_OWNER_MAX - 1; i++) {
        (void)snprintf(name, sizeof name, "held-%u.test", i);
        assert_int_equal(ask(f, 1, name, &patient, &slow[i]), 0);
    }
    assert_int_equal(resolve(f, 1, "ttl-7.test"), 0); /* not one of them has an answer yet */
    assert_int_equal(ask(f, 1, "held.test", &patient, &slow[PD_LOOKUPS_OF_OWNER_MAX - 1]), 0);
    assert_int_equal(ask(f, 1, "held.test", &patient, &one_more), PD_SOCKET_AGAIN);
    assert_int_equal(resolve(f, 2, "ttl-7.test"), 0);
    for (uint32_t i = 0; i < PD_LOOKUPS_OF_OWNER_MAX; i += 2) {
        f->sockets->ops->lookup_close(slow[i]); /* begun or not */
    }
    assert_int_equal(resolve(f, 1, "ttl-7.test"), 0);
    name_server_await(f->server, 2);
    name_server_let_go(f->server);
    for (uint32_t i = 1; i < PD_LOOKUPS_OF_OWNER_MAX; i += 2) {
        assert_int_equal(take(f, slow[i], &patient), 0);
    }
    (void)pthread_cond_destroy(&patient.is_woken);
    (void)pthread_mutex_destroy(&patient.lock);
}

static void there_is_a_bound_for_all(void **state)
{
    struct fixture *f = *state;
    static struct pd_lookup *all[PD_LOOKUPS_MAX];
    struct pd_lookup *one_more = NULL;
    for (uint32_t i = 0; i < PD_LOOKUPS_MAX; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "silent-%u.test", i);
        assert_int_equal(ask(f, i / PD_LOOKUPS_OF_OWNER_MAX, name, &f->waiter, &all[i]), 0);
    }
    assert_int_equal(ask(f, 99, "silent.test", &f->waiter, &one_more), PD_SOCKET_AGAIN);
    for (uint32_t i = 0; i < PD_LOOKUPS_MAX; i++) {
        f->sockets->ops->lookup_close(all[i]);
    }
    assert_int_equal(resolve(f, 99, "ttl-7.test"), 0);
}

/* All who wait for a name wait for one question. */
static void a_name_is_asked_for_once(void **state)
{
    struct fixture *f = *state;
    struct waiter patient;
    struct pd_lookup *slow[PD_LOOKUPS_OF_OWNER_MAX];
    waiter_init(&patient);
    for (uint32_t i = 0; i < PD_LOOKUPS_OF_OWNER_MAX; i++) {
        assert_int_equal(ask(f, 1 + i % 2, "held.test", &patient, &slow[i]), 0);
    }
    name_server_await(f->server, 2);
    name_server_let_go(f->server);
    for (uint32_t i = 0; i < PD_LOOKUPS_OF_OWNER_MAX; i++) {
        assert_int_equal(take(f, slow[i], &patient), 0);
        expect_one(f, 7, 300);
    }
    assert_int_equal(name_server_asked(f->server), 2);
    (void)pthread_cond_destroy(&patient.is_woken);
    (void)pthread_mutex_destroy(&patient.lock);
}

/* Asked, answered, called off and asked again, by several threads at once. */
struct crowd {
    struct fixture *f;
    uint64_t owner;
};

static void *ask_and_leave(void *argument)
{
    struct crowd *crowd = argument;
    struct fixture *f = crowd->f;
    struct waiter waiter;
    waiter_init(&waiter);
    for (uint32_t i = 0; i < 200; i++) {
        char name[32];
        struct pd_lookup *lookup = NULL;
        (void)snprintf(name, sizeof name, "%s-%u.test", i % 3 == 0 ? "silent" : "ttl", i % 7);
        if (ask(f, crowd->owner, name, &waiter, &lookup) != 0) {
            continue;
        }
        if (i % 3 == 1) {
            struct pd_lookup_result results[PD_LOOKUP_ADDRESSES_MAX];
            uint32_t count = 0;
            int error = 0;
            while (!f->sockets->ops->lookup_take(lookup, results, &count, &error)) {
                await(f, &waiter);
            }
        }
        f->sockets->ops->lookup_close(lookup);
    }
    (void)pthread_cond_destroy(&waiter.is_woken);
    (void)pthread_mutex_destroy(&waiter.lock);
    return NULL;
}

static void many_threads_ask(void **state)
{
    struct fixture *f = *state;
    struct crowd crowds[4];
    pthread_t threads[4];
    ask_within(f, 2000); /* what the system has dropped is asked for again */
    for (uint32_t i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){.f = f, .owner = i};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_and_leave, &crowds[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

int main(void)
{
#define WITH_THREAD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITHOUT(test) cmocka_unit_test_setup_teardown(test, setup_inline, teardown)
    const struct CMUnitTest tests[] = {
        WITHOUT(addresses_come_with_their_ttl),
        WITHOUT(both_families_come),
        WITHOUT(there_may_be_no_address),
        WITHOUT(names_are_searched_for),
        WITHOUT(what_is_at_hand_is_not_asked_for),
        WITHOUT(a_new_configuration_is_noticed),
        WITHOUT(many_dead_servers_are_an_error),
        WITHOUT(silence_ends),
        WITHOUT(what_was_not_asked_for_is_not_believed),
        WITHOUT(broken_answers_are_errors),
        WITHOUT(a_huge_answer_is_cut_off),
        WITHOUT(noise_is_survived),
        WITHOUT(who_is_gone_is_asked_for_no_longer),
        WITHOUT(a_half_answered_question_can_end),
        WITHOUT(without_descriptors_there_is_an_error),
        WITH_THREAD(addresses_come_with_their_ttl),
        WITH_THREAD(what_was_not_asked_for_is_not_believed),
        WITH_THREAD(broken_answers_are_errors),
        WITH_THREAD(slow_names_starve_nobody),
        WITH_THREAD(there_is_a_bound_for_all),
        WITH_THREAD(a_name_is_asked_for_once),
        WITH_THREAD(many_threads_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
