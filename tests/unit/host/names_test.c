/* Names and addresses: what is one, what the system says of it, and that nobody waits for that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/names.h"
#include "host/real.h"
#include "host/resolve.h"

static void test_places(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",     "a",        ":1",     "a:",      "a:65536",
                                        "a:1x", "[::1]",    "[::1]1", "a b:1",   "[]:1",
                                        "a:-1", "a:00001x", "::1:2x", "a:123456"};
    static const struct {
        const char *place;
        const char *host;
        uint16_t port;
    } good[] = {{"a:0", "a", 0},
                {"node-1.example.org:2380", "node-1.example.org", 2380},
                {"127.0.0.1:65535", "127.0.0.1", 65535},
                {"[2001:db8::1]:7", "2001:db8::1", 7}};
    char host[PD_RESOLVE_HOST_MAX];
    uint16_t port = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(pd_host_split_place(wrong[i], host, &port));
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(pd_host_split_place(good[i].place, host, &port));
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    char long_name[PD_RESOLVE_HOST_MAX + 3];
    memset(long_name, 'a', sizeof long_name);
    memcpy(long_name + PD_RESOLVE_HOST_MAX, ":1", 3);
    assert_false(pd_host_split_place(long_name, host, &port));
}

static void test_resolve(void **state)
{
    (void)state;
    static const uint8_t loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    static const uint8_t loopback_6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    struct pd_transport_address address;
    char text[PD_RESOLVE_TEXT_MAX];
    assert_int_equal(pd_host_resolve("localhost:2380", &address, text), PD_OK);
    assert_string_equal(text, "");
    assert_int_equal(address.port, 2380);
    assert_true(pd_host_is_own_address(&address));
    assert_int_equal(pd_host_resolve("127.0.0.1:1", &address, text), PD_OK);
    assert_memory_equal(address.ip, loopback, sizeof loopback);
    assert_int_equal(pd_host_resolve("[::1]:1", &address, text), PD_OK);
    assert_memory_equal(address.ip, loopback_6, sizeof loopback_6);
    assert_int_equal(pd_host_resolve("192.0.2.1:1", &address, text), PD_OK);
    assert_false(pd_host_is_own_address(&address)); /* an address of documents alone */
    assert_int_equal(pd_host_resolve("nowhere", &address, text), PD_ERR_INVALID);
    assert_non_null(strstr(text, "'nowhere' is no place"));
    assert_int_equal(pd_host_resolve("300.300.300.300:1", &address, text), PD_ERR_UNKNOWN);
    assert_non_null(strstr(text, "'300.300.300.300' has no address"));
}

/* The first look never knows; the version tells when to look again. */
static void test_names(void **state)
{
    (void)state;
    struct pd_real_host *real = NULL;
    struct pd_names *names = NULL;
    struct pd_transport_address address;
    struct pd_event never = {0};
    assert_int_equal(pd_real_host_create(1, 4, &real), PD_OK);
    struct pd_host *host = pd_real_host_interface(real);
    assert_int_equal(pd_names_open(&names), PD_OK);
    assert_int_equal(pd_names_version(names), 0);
    assert_false(pd_names_find(names, "localhost:7", &address));
    uint64_t deadline_ns = pd_host_now_ns(host) + UINT64_C(120000000000);
    while (pd_names_version(names) == 0 && pd_host_now_ns(host) < deadline_ns) {
        (void)host->ops->event_wait(host, &never, pd_host_now_ns(host) + 1000000);
    }
    assert_int_equal(pd_names_version(names), 1);
    assert_true(pd_names_find(names, "localhost:7", &address));
    assert_int_equal(address.port, 7);
    /* What is no name is never known, and does not change what others know. */
    assert_false(pd_names_find(names, "300.300.300.300:1", &address));
    assert_false(pd_names_find(names, "nothing", &address));
    assert_true(pd_names_find(names, "localhost:7", &address));
    pd_names_close(names);
    pd_real_host_destroy(real);
}

/* Full is full: more names are not known, and those before stay. */
static void test_bounds(void **state)
{
    (void)state;
    struct pd_names *names = NULL;
    struct pd_transport_address address;
    char place[32];
    assert_int_equal(pd_names_open(&names), PD_OK);
    for (uint32_t i = 0; i < PD_NAMES_MAX + 8; i++) {
        (void)snprintf(place, sizeof place, "127.0.0.1:%u", (unsigned)i + 1);
        (void)pd_names_find(names, place, &address);
    }
    assert_false(pd_names_find(names, place, &address));
    pd_names_close(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
