/* The division of file descriptors: no part can take what another needs, whatever the limit is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host_sockets.h"
#include "host/descriptors.h"

static void parts_come_to_the_limit_at_most(void **state)
{
    (void)state;
    for (uint64_t limit = PD_DESCRIPTORS_MIN; limit <= PD_DESCRIPTORS_USEFUL; limit += 7) {
        struct pd_descriptors parts = pd_descriptors_divide(limit);
        uint64_t sum =
            (uint64_t)parts.own + parts.clients + parts.tools + parts.sockets + parts.files;
        assert_int_equal(parts.limit, limit);
        assert_true(sum <= limit);
        assert_true(parts.own >= PD_DESCRIPTORS_OWN_MIN);
        assert_true(parts.store >= 20); /* RocksDB takes no less */
        assert_true(parts.store <= parts.own / 2);
        assert_true(parts.clients >= 16 && parts.tools >= 8);
        assert_true(parts.sockets >= 24 && parts.files >= 16);
    }
}

static void common_limits_are_divided_as_documented(void **state)
{
    (void)state;
    struct pd_descriptors parts = pd_descriptors_divide(256);
    assert_int_equal(parts.own, 96);
    assert_int_equal(parts.store, 48);
    assert_int_equal(parts.clients, 40);
    assert_int_equal(parts.tools, 20);
    assert_int_equal(parts.sockets, 60);
    assert_int_equal(parts.files, 40);
    parts = pd_descriptors_divide(1024);
    assert_int_equal(parts.own, 256);
    assert_int_equal(parts.clients, 192);
    assert_int_equal(parts.tools, 96);
    assert_int_equal(parts.sockets, 288);
    assert_int_equal(parts.files, 192);
    parts = pd_descriptors_divide(PD_DESCRIPTORS_USEFUL);
    assert_int_equal(parts.own, PD_DESCRIPTORS_OWN_MAX);
    assert_int_equal(parts.store, 512);
    assert_int_equal(parts.clients, PD_DESCRIPTORS_CLIENTS_MAX);
    assert_int_equal(parts.tools, PD_DESCRIPTORS_TOOLS_MAX);
    assert_int_equal(parts.sockets, PD_SOCKETS_MAX);
    parts = pd_descriptors_divide(UINT64_MAX);
    assert_int_equal(parts.sockets, PD_SOCKETS_MAX);
    assert_int_equal(parts.files, PD_DESCRIPTORS_FILES_MAX);
    parts = pd_descriptors_divide(0); /* as of the least, so that no bound is 0 */
    assert_int_equal(parts.limit, 0);
    assert_int_equal(parts.clients, 24);
}

static struct rlimit limit_of_process(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit;
}

static void the_soft_limit_is_raised_as_far_as_it_is_useful(void **state)
{
    (void)state;
    struct rlimit before = limit_of_process();
    struct rlimit low = {.rlim_cur = 300, .rlim_max = before.rlim_max};
    assert_true(before.rlim_max >= 300);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(pd_descriptors_of_process().limit, 300);
    pd_descriptors_raise();
    rlim_t raised =
        before.rlim_max < PD_DESCRIPTORS_USEFUL ? before.rlim_max : PD_DESCRIPTORS_USEFUL;
    assert_int_equal(limit_of_process().rlim_cur, raised);
    assert_int_equal(limit_of_process().rlim_max, before.rlim_max);
    assert_int_equal(pd_descriptors_of_process().limit, raised);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void it_is_seen_how_many_are_left(void **state)
{
    (void)state;
    struct rlimit before = limit_of_process();
    int first = dup(STDIN_FILENO);
    int free_ones[3];
    assert_true(first >= 0);
    struct rlimit low = {.rlim_cur = (rlim_t)first + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_false(pd_descriptors_are_left(1));
    low.rlim_cur += 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_true(pd_descriptors_are_left(3));
    assert_false(pd_descriptors_are_left(4));
    for (int i = 0; i < 3; i++) { /* a look keeps none */
        free_ones[i] = dup(STDIN_FILENO);
        assert_true(free_ones[i] >= 0);
    }
    assert_false(pd_descriptors_are_left(1));
    for (int i = 0; i < 3; i++) {
        close(free_ones[i]);
    }
    close(first);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_to_the_limit_at_most),
        cmocka_unit_test(common_limits_are_divided_as_documented),
        cmocka_unit_test(the_soft_limit_is_raised_as_far_as_it_is_useful),
        cmocka_unit_test(it_is_seen_how_many_are_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
