/* Network rights: entries, what they admit, what two have in common, and what names grant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wasm/net_rights.h"

#define S UINT64_C(1000000000)

static struct pd_net_list *list_of(const char *text)
{
    char why[400] = "";
    struct pd_net_list *list = NULL;
    if (pd_net_list_parse(text, &list, why, sizeof why) != PD_OK) {
        fail_msg("%s: %s", text, why);
    }
    return list;
}

static struct pd_socket_address address_of(const char *ip, uint16_t port)
{
    struct pd_socket_address address = {.port = port};
    assert_true(pd_net_ip_parse(ip, strlen(ip), address.ip));
    return address;
}

static bool reaches(const char *entries, const char *ip, uint16_t port)
{
    struct pd_net_list *list = list_of(entries);
    struct pd_socket_address address = address_of(ip, port);
    bool may = pd_net_may_reach(PD_NETWORK_LIST, list, NULL, &address, 0);
    pd_net_list_release(list);
    return may;
}

static bool resolves(const char *entries, const char *name, uint16_t port)
{
    struct pd_net_list *list = list_of(entries);
    bool may = pd_net_may_resolve(PD_NETWORK_LIST, list, name, strlen(name), port);
    pd_net_list_release(list);
    return may;
}

static void entries_are_strict(void **state)
{
    (void)state;
    static const char *const good[] = {
        "api.example:443",
        "api.example:*",
        "*.example:443",
        "10.0.0.0/8",
        "10.0.0.0/8:443",
        "10.0.0.0/8:*",
        "192.0.2.7",
        "192.0.2.7:80",
        "::1",
        "[::1]:80",
        "fd00::/8",
        "[fd00::]/8:443",
        "[fd00::/8]:443",
        "0.0.0.0/0",
        "::/0",
        "localhost:1",
        "::ffff:10.0.0.0/104",
        "a_b.example.:65535",
        "x1:80",
    };
    static const char *const bad[] = {
        "",
        ":80",
        "api.example",
        "api.example:0",
        "api.example:65536",
        "api.example:",
        "api.example:x",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/x",
        "1.2.3:80",
        "256.0.0.1:80",
        "[::1",
        "[::1]80",
        "[::1]:",
        "::g",
        "fd00::1/8",
        "a..b:80",
        "-*:80",
        "*:80",
        "a b:80",
        "caf\xc3\xa9:80",
        "[name]:80",
        "10.0.0.0/8:80:1",
        "::1/129",
        "0x7f.1:80x",
        "*.*.example:1",
        "a.example/8:80",
        "1.2.3.4.5:80",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!pd_net_entry_is_valid(good[i], strlen(good[i]))) {
            fail_msg("'%s' is refused", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (pd_net_entry_is_valid(bad[i], strlen(bad[i]))) {
            fail_msg("'%s' is accepted", bad[i]);
        }
    }
    char why[400] = "";
    struct pd_net_list *list = NULL;
    assert_int_equal(pd_net_list_parse("::1, oops", &list, why, sizeof why), PD_ERR_INVALID);
    assert_non_null(strstr(why, "'oops' is no entry"));
    char many[4 * PD_NET_ENTRIES_MAX + 8];
    for (uint32_t i = 0; i <= PD_NET_ENTRIES_MAX; i++) {
        memcpy(many + (size_t)4 * i, "::1,", 4);
    }
    many[4 * PD_NET_ENTRIES_MAX + 3] = '\0';
    assert_int_equal(pd_net_list_parse(many, &list, why, sizeof why), PD_ERR_FULL);
}

static void addresses_are_admitted_by_prefix_and_port(void **state)
{
    (void)state;
    assert_true(reaches("10.0.0.0/8:443", "10.255.1.2", 443));
    assert_false(reaches("10.0.0.0/8:443", "10.255.1.2", 80));
    assert_false(reaches("10.0.0.0/8", "11.0.0.0", 443));
    assert_true(reaches("10.128.0.0/9", "10.128.0.1", 1));
    assert_false(reaches("10.128.0.0/9", "10.127.255.255", 1));
    assert_true(reaches("192.0.2.7", "192.0.2.7", 9));
    assert_true(reaches("0.0.0.0/0", "8.8.8.8", 53));
    assert_false(reaches("0.0.0.0/0", "2001:db8::1", 53));
    assert_true(reaches("2001:db8::/32", "2001:db8:ffff::1", 53));
    assert_false(reaches("2001:db8::/32", "2001:db9::1", 53));
    /* Mapped is what it maps. */
    assert_true(reaches("10.0.0.0/8", "::ffff:10.1.2.3", 1));
    assert_true(reaches("::ffff:10.0.0.0/104", "10.1.2.3", 1));
    assert_false(reaches("192.0.2.0/24", "::ffff:127.0.0.1", 1));
    assert_false(reaches("api.example:*", "192.0.2.7", 443)); /* a name alone admits none */
    assert_true(reaches("::1,10.0.0.0/8", "10.1.2.3", 1));
}

static void kinds_admit_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        bool is_local;
    } cases[] = {
        {"127.0.0.1", true},  {"127.255.255.254", true}, {"::1", true},  {"::ffff:127.0.0.1", true},
        {"128.0.0.1", false}, {"10.0.0.1", false},       {"::2", false}, {"0.0.0.0", false},
        {"::", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pd_socket_address address = address_of(cases[i].ip, 80);
        assert_false(pd_net_may_reach(PD_NETWORK_NONE, NULL, NULL, &address, 0));
        assert_false(pd_net_may_bind(PD_NETWORK_NONE, NULL, &address));
        assert_int_equal(pd_net_may_reach(PD_NETWORK_LOCAL, NULL, NULL, &address, 0),
                         cases[i].is_local);
        assert_int_equal(pd_net_may_bind(PD_NETWORK_LOCAL, NULL, &address), cases[i].is_local);
        assert_true(pd_net_may_reach(PD_NETWORK_ALL, NULL, NULL, &address, 0));
        assert_true(pd_net_may_bind(PD_NETWORK_ALL, NULL, &address));
        assert_false(pd_net_may_reach(PD_NETWORK_LIST, NULL, NULL, &address, 0));
    }
    /* To reach for no address is to reach for the loopback; to bind it is to bind all. */
    struct pd_socket_address any = address_of("0.0.0.0", 80);
    pd_net_normalize(&any);
    assert_true(pd_net_may_reach(PD_NETWORK_LOCAL, NULL, NULL, &any, 0));
    any = address_of("::", 80);
    pd_net_normalize(&any);
    assert_true(pd_net_may_reach(PD_NETWORK_LOCAL, NULL, NULL, &any, 0));
    struct pd_net_list *list = list_of("127.0.0.0/8:80");
    struct pd_socket_address free_port = address_of("127.0.0.1", 0);
    assert_false(pd_net_may_bind(PD_NETWORK_LIST, list, &free_port)); /* 0 is any port */
    free_port.port = 80;
    assert_true(pd_net_may_bind(PD_NETWORK_LIST, list, &free_port));
    pd_net_list_release(list);
    assert_true(pd_net_may_resolve(PD_NETWORK_LOCAL, NULL, "LocalHost.", 10, 1));
    assert_false(pd_net_may_resolve(PD_NETWORK_LOCAL, NULL, "localhost.example", 17, 1));
    assert_false(pd_net_may_resolve(PD_NETWORK_NONE, NULL, "localhost", 9, 1));
    assert_true(pd_net_may_resolve(PD_NETWORK_ALL, NULL, "any.example", 11, 1));
}

static void names_are_compared_as_names(void **state)
{
    (void)state;
    assert_true(resolves("api.example:443", "API.Example", 443));
    assert_true(resolves("api.example:443", "api.example.", 443));
    assert_false(resolves("api.example:443", "api.example", 80));
    assert_true(resolves("api.example:*", "api.example", 80));
    assert_false(resolves("api.example:*", "xapi.example", 80));
    assert_false(resolves("api.example:*", "api.example.evil", 80));
    assert_true(resolves("*.example:443", "a.b.example", 443));
    assert_false(resolves("*.example:443", "example", 443));
    assert_false(resolves("*.example:443", "badexample", 443));
    assert_false(resolves("10.0.0.0/8", "ten.example", 443)); /* nor do addresses admit names */
    struct pd_net_list *list = list_of("api.example:443");
    assert_false(pd_net_may_resolve(PD_NETWORK_LIST, list, "api.example\0.evil", 17, 443));
    pd_net_list_release(list);
}

static void a_name_grants_what_it_resolved_to_for_a_while(void **state)
{
    (void)state;
    static const char name[] = "api.example";
    struct pd_net_list *list = list_of("api.example:443,other.example:*");
    struct pd_net_grants grants = {.count = 0};
    struct pd_lookup_result result = {.address = address_of("192.0.2.7", 0), .ttl_s = 30};
    pd_net_grant(&grants, list, name, sizeof name - 1, 443, &result, 10 * S);
    struct pd_socket_address to = address_of("192.0.2.7", 443);
    assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 10 * S));
    assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 40 * S - 1));
    assert_false(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 40 * S));
    assert_false(pd_net_may_reach(PD_NETWORK_LIST, list, NULL, &to, 10 * S)); /* another actor */
    assert_false(pd_net_may_bind(PD_NETWORK_LIST, list, &to));
    to.port = 80;
    assert_false(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 10 * S));
    /* All ports, where the entry says so. */
    result.address = address_of("192.0.2.8", 0);
    pd_net_grant(&grants, list, "other.example", 13, 1, &result, 10 * S);
    to = address_of("192.0.2.8", 4711);
    assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 10 * S));
    /* Newer ones push the oldest out. */
    for (uint32_t i = 0; i < PD_NET_GRANTS_MAX; i++) {
        result.address.ip[15] = (uint8_t)(100 + i);
        pd_net_grant(&grants, list, name, sizeof name - 1, 443, &result, 10 * S);
    }
    assert_int_equal(grants.count, PD_NET_GRANTS_MAX);
    assert_false(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 10 * S));
    /* A further lookup of the same only prolongs it. */
    for (uint32_t i = 0; i < 2 * PD_NET_GRANTS_MAX; i++) {
        pd_net_grant(&grants, list, name, sizeof name - 1, 443, &result, 20 * S);
    }
    to = result.address;
    to.port = 443;
    assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 50 * S - 1));
    assert_false(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 50 * S));
    to.ip[15] = 100;
    assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 10 * S));
    pd_net_list_release(list);
}

/* Within bounds; and the longest of several answers counts. */
static void a_grant_lasts_as_long_as_its_answer(void **state)
{
    (void)state;
    static const struct {
        uint32_t ttl_s;
        uint64_t lasts_s;
    } cases[] = {{0, 5},
                 {4, 5},
                 {5, 5},
                 {6, 6},
                 {3599, 3599},
                 {3600, 3600},
                 {3601, 3600},
                 {2147483647, 3600},
                 {60, 60},
                 {86400, 3600},
                 {PD_LOOKUP_TTL_NONE - 1, 3600},
                 {PD_LOOKUP_TTL_NONE, 60}};
    struct pd_net_list *list = list_of("api.example:443");
    struct pd_lookup_result result = {.address = address_of("192.0.2.7", 0)};
    struct pd_socket_address to = address_of("192.0.2.7", 443);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pd_net_grants grants = {.count = 0};
        uint64_t end_ns = (1 + cases[i].lasts_s) * S;
        result.ttl_s = cases[i].ttl_s;
        pd_net_grant(&grants, list, "api.example", 11, 443, &result, S);
        assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, end_ns - 1));
        assert_false(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, end_ns));
        result.ttl_s = 0;
        pd_net_grant(&grants, list, "api.example", 11, 443, &result, S);
        assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, end_ns - 1));
        result.ttl_s = 3600;
        pd_net_grant(&grants, list, "api.example", 11, 443, &result, S);
        assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 3601 * S - 1));
        assert_int_equal(grants.count, 1);
    }
    pd_net_list_release(list);
}

static void no_name_grants_this_machine(void **state)
{
    (void)state;
    static const char *const ips[] = {
        "127.0.0.1",       "127.9.9.9", "::1",          "::ffff:127.0.0.1",
        "0.0.0.0",         "0.1.2.3",   "::",           "169.254.1.1",
        "169.254.169.254", "fe80::1",   "::127.0.0.1",  "64:ff9b::7f00:1",
        "2002:7f00:1::",   "224.0.0.1", "239.1.1.1",    "255.255.255.255",
        "ff02::1",         "fec0::1",   "64:ff9b:1::1",
    };
    struct pd_net_list *list = list_of("api.example:*");
    struct pd_net_grants grants = {.count = 0};
    for (size_t i = 0; i < sizeof ips / sizeof ips[0]; i++) {
        struct pd_lookup_result result = {.address = address_of(ips[i], 0)};
        pd_net_grant(&grants, list, "api.example", 11, 80, &result, 0);
        if (grants.count != 0) {
            fail_msg("%s was granted", ips[i]);
        }
    }
    struct pd_lookup_result own = {.address = address_of("192.0.2.7", 0), .is_own = true};
    pd_net_grant(&grants, list, "api.example", 11, 80, &own, 0);
    assert_int_equal(grants.count, 0);
    pd_net_list_release(list);
    /* A CIDR can name it. */
    list = list_of("api.example:*,127.0.0.0/8:80");
    struct pd_socket_address to = address_of("127.0.0.1", 80);
    assert_true(pd_net_may_reach(PD_NETWORK_LIST, list, &grants, &to, 0));
    pd_net_list_release(list);
}

/* A right as a word or a list. */
static enum pd_network_right right_of(const char *text, struct pd_net_list **list_out)
{
    *list_out = NULL;
    if (strcmp(text, "none") == 0) {
        return PD_NETWORK_NONE;
    }
    if (strcmp(text, "local") == 0) {
        return PD_NETWORK_LOCAL;
    }
    if (strcmp(text, "all") == 0) {
        return PD_NETWORK_ALL;
    }
    *list_out = list_of(text);
    return PD_NETWORK_LIST;
}

static bool within(const char *child, const char *parent)
{
    struct pd_net_list *child_list = NULL;
    struct pd_net_list *parent_list = NULL;
    enum pd_network_right child_right = right_of(child, &child_list);
    enum pd_network_right parent_right = right_of(parent, &parent_list);
    bool is_within = pd_net_right_within(child_right, child_list, parent_right, parent_list);
    pd_net_list_release(child_list);
    pd_net_list_release(parent_list);
    return is_within;
}

static void rights_only_shrink(void **state)
{
    (void)state;
    static const struct {
        const char *child;
        const char *parent;
        bool is_within;
    } cases[] = {
        {"none", "none", true},
        {"local", "none", false},
        {"local", "local", true},
        {"all", "local", false},
        {"local", "all", true},
        {"::1", "none", false},
        {"127.0.0.1:80", "local", true},
        {"localhost:80", "local", true},
        {"10.1.0.0/16:80", "10.0.0.0/8", true},
        {"10.0.0.0/8", "10.0.0.0/8:80", false},
        {"10.0.0.0/8", "10.1.0.0/16", false},
        {"10.1.0.0/16,192.0.2.1", "192.0.2.0/24,10.0.0.0/8", true},
        {"10.1.0.0/16,192.0.3.1", "192.0.2.0/24,10.0.0.0/8", false},
        {"a.example:80", "*.example:*", true},
        {"*.a.example:80", "*.example:80", true},
        {"*.example:80", "*.example:80", true},
        {"*.example:80", "a.example:80", false},
        {"example:80", "*.example:80", false},
        {"local", "127.0.0.0/8,::1,localhost:*", true},
        {"local", "127.0.0.0/8,::1", false},
        {"a.example:80", "all", true},
        {"all", "0.0.0.0/0,::/0", false},
        /* No network of IPv6 holds IPv4, whose addresses are mapped ones within. */
        {"10.0.0.1", "::/0", false},
        {"127.0.0.0/8", "::/8", false},
        {"fd00::1", "::/0", true},
        {"10.0.0.1", "::ffff:0:0/96", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool is_within = within(cases[i].child, cases[i].parent);
        if (is_within != cases[i].is_within) {
            fail_msg("%s within %s: %d", cases[i].child, cases[i].parent, is_within);
        }
    }
    assert_true(pd_net_entry_within("127.0.0.1:80", NULL));
    assert_false(pd_net_entry_within("128.0.0.1:80", NULL));
    assert_true(pd_net_entry_within("a.example:80", "*.example:80"));
}

/* What both admit, no more and no less: held against the two themselves. */
static void the_common_right_is_the_common_one(void **state)
{
    (void)state;
    static const char *const rights[] = {
        "none",        "local",
        "all",         "10.0.0.0/8:80,a.example:*",
        "10.1.0.0/16", "*.example:80,127.0.0.1",
        "0.0.0.0/0",   "b.example:80,10.1.2.3:443",
    };
    static const char *const ips[] = {"127.0.0.1", "10.1.2.3", "10.2.0.0", "192.0.2.1", "::1"};
    static const char *const names[] = {"a.example", "b.example", "localhost", "example"};
    static const uint16_t ports[] = {80, 443};
    size_t count = sizeof rights / sizeof rights[0];
    for (size_t i = 0; i < count * count; i++) {
        struct pd_net_list *one_list = NULL;
        struct pd_net_list *other_list = NULL;
        struct pd_net_list *list = NULL;
        enum pd_network_right one = right_of(rights[i / count], &one_list);
        enum pd_network_right other = right_of(rights[i % count], &other_list);
        enum pd_network_right kind = PD_NETWORK_ALL;
        assert_int_equal(pd_net_right_common(one, one_list, other, other_list, &kind, &list),
                         PD_OK);
        assert_true(pd_net_right_within(kind, list, one, one_list));
        assert_true(pd_net_right_within(kind, list, other, other_list));
        for (size_t p = 0; p < 2; p++) {
            for (size_t j = 0; j < sizeof ips / sizeof ips[0]; j++) {
                struct pd_socket_address to = address_of(ips[j], ports[p]);
                assert_int_equal(pd_net_may_reach(kind, list, NULL, &to, 0),
                                 pd_net_may_reach(one, one_list, NULL, &to, 0) &&
                                     pd_net_may_reach(other, other_list, NULL, &to, 0));
            }
            for (size_t j = 0; j < sizeof names / sizeof names[0]; j++) {
                size_t size = strlen(names[j]);
                assert_int_equal(
                    pd_net_may_resolve(kind, list, names[j], size, ports[p]),
                    pd_net_may_resolve(one, one_list, names[j], size, ports[p]) &&
                        pd_net_may_resolve(other, other_list, names[j], size, ports[p]));
            }
        }
        pd_net_list_release(one_list);
        pd_net_list_release(other_list);
        pd_net_list_release(list);
    }
}

static void addresses_have_texts(void **state)
{
    (void)state;
    char text[PD_NET_ADDRESS_TEXT_SIZE];
    struct pd_socket_address address = address_of("::ffff:192.0.2.7", 80);
    pd_net_address_text(&address, text);
    assert_string_equal(text, "192.0.2.7:80");
    address = address_of("fe80::1", 65535);
    address.scope = 4294967295u;
    pd_net_address_text(&address, text);
    assert_string_equal(text, "[fe80::1%4294967295]:65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_strict),
        cmocka_unit_test(addresses_are_admitted_by_prefix_and_port),
        cmocka_unit_test(kinds_admit_what_they_say),
        cmocka_unit_test(names_are_compared_as_names),
        cmocka_unit_test(a_name_grants_what_it_resolved_to_for_a_while),
        cmocka_unit_test(a_grant_lasts_as_long_as_its_answer),
        cmocka_unit_test(no_name_grants_this_machine),
        cmocka_unit_test(rights_only_shrink),
        cmocka_unit_test(the_common_right_is_the_common_one),
        cmocka_unit_test(addresses_have_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
