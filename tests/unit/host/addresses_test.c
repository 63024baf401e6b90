/* Whether this machine's addresses have changed: which ones count, which of the system's words, how
 * often is looked; and the system itself, in a network of the test's own where it may have one. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host.h"
#include "host/addresses.h"

#define UP (IFF_UP | IFF_RUNNING)
#define ENTRIES_MAX 4u
#define NOT_ALLOWED 77

struct list {
    struct ifaddrs entries[ENTRIES_MAX];
    struct sockaddr_in6 addresses[ENTRIES_MAX];
    uint32_t count;
};

static void add(struct list *list, const char *text, unsigned flags)
{
    struct ifaddrs *entry = &list->entries[list->count];
    struct sockaddr_in6 *v6 = &list->addresses[list->count];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(v6, &v4, sizeof v4);
    } else {
        v6->sin6_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    }
    *entry = (struct ifaddrs){.ifa_flags = flags, .ifa_addr = (struct sockaddr *)v6};
    if (list->count > 0) {
        list->entries[list->count - 1].ifa_next = entry;
    }
    list->count++;
}

static uint64_t digest_of(const char *one, const char *two, unsigned flags_of_two)
{
    struct list list = {.count = 0};
    add(&list, one, UP);
    add(&list, two, flags_of_two);
    return pd_addresses_digest(list.entries);
}

static void addresses_that_others_reach_count(void **state)
{
    (void)state;
    uint64_t alone = digest_of("192.0.2.1", "127.0.0.1", UP);
    assert_true(alone != pd_addresses_digest(NULL));
    assert_int_equal(digest_of("192.0.2.1", "::1", UP), alone);
    assert_int_equal(digest_of("192.0.2.1", "fe80::1", UP), alone);
    assert_int_equal(digest_of("192.0.2.1", "169.254.7.7", UP), alone);
    assert_int_equal(digest_of("192.0.2.1", "192.0.2.2", IFF_UP), alone); /* no carrier */
    assert_int_equal(digest_of("192.0.2.1", "192.0.2.2", 0), alone);
    assert_true(digest_of("192.0.2.1", "192.0.2.2", UP) != alone);
    assert_true(digest_of("192.0.2.1", "2001:db8::2", UP) != alone);
    assert_true(digest_of("192.0.2.2", "127.0.0.1", UP) != alone);
    assert_int_equal(digest_of("192.0.2.1", "2001:db8::2", UP),
                     digest_of("2001:db8::2", "192.0.2.1", UP));
}

/* -- Words ------------------------------------------------------------------------------------- */

#define WORDS_MAX 512u

struct words {
    _Alignas(4) uint8_t bytes[WORDS_MAX];
    size_t size;
    size_t begun; /* where the last one begins */
};

static void put(struct words *words, const void *bytes, size_t size)
{
    assert_true(words->size + size + 4 <= WORDS_MAX);
    memcpy(words->bytes + words->size, bytes, size);
    words->size += NLMSG_ALIGN(size);
    struct nlmsghdr head;
    memcpy(&head, words->bytes + words->begun, sizeof head);
    head.nlmsg_len = (uint32_t)(words->size - words->begun);
    memcpy(words->bytes + words->begun, &head, sizeof head);
}

static void begin(struct words *words, uint16_t type)
{
    const struct nlmsghdr head = {.nlmsg_type = type};
    words->begun = words->size;
    put(words, &head, sizeof head);
}

static void put_attribute(struct words *words, uint16_t type, const void *bytes, size_t size)
{
    uint8_t room[64] = {0};
    const struct rtattr head = {.rta_type = type, .rta_len = (uint16_t)(sizeof head + size)};
    memcpy(room, &head, sizeof head);
    memcpy(room + sizeof head, bytes, size);
    put(words, room, sizeof head + size);
}

static void put_ip(struct words *words, uint16_t type, const char *text)
{
    uint8_t ip[16] = {0};
    bool is_v4 = inet_pton(AF_INET, text, ip) == 1;
    assert_true(is_v4 || inet_pton(AF_INET6, text, ip) == 1);
    put_attribute(words, type, ip, is_v4 ? 4 : 16);
}

static void say_address(struct words *words, uint16_t type, const char *text)
{
    const struct ifaddrmsg head = {.ifa_family = strchr(text, ':') == NULL ? AF_INET : AF_INET6};
    const uint32_t flags = 0x80;
    begin(words, type);
    put(words, &head, sizeof head);
    put_attribute(words, IFA_FLAGS, &flags, sizeof flags);
    put_ip(words, IFA_ADDRESS, text);
}

static void say_link(struct words *words, uint8_t family, uint16_t attribute)
{
    const struct ifinfomsg head = {.ifi_family = family};
    begin(words, RTM_NEWLINK);
    put(words, &head, sizeof head);
    put_attribute(words, IFLA_IFNAME, "lo", 3);
    if (attribute != 0) {
        put_attribute(words, attribute, "", 0);
    }
}

static bool count(const struct words *words)
{
    return pd_addresses_word_counts(words->bytes, words->size);
}

static bool counts_address(uint16_t type, const char *text)
{
    struct words words = {.size = 0};
    say_address(&words, type, text);
    return count(&words);
}

static void words_of_addresses_that_count_do(void **state)
{
    (void)state;
    assert_true(counts_address(RTM_NEWADDR, "192.0.2.1"));
    assert_true(counts_address(RTM_DELADDR, "192.0.2.1"));
    assert_true(counts_address(RTM_NEWADDR, "2001:db8::1"));
    assert_false(counts_address(RTM_NEWADDR, "127.0.0.1"));
    assert_false(counts_address(RTM_NEWADDR, "169.254.1.1"));
    assert_false(counts_address(RTM_DELADDR, "fe80::1"));
    assert_false(counts_address(RTM_NEWADDR, "::1"));
    assert_false(counts_address(RTM_NEWROUTE, "192.0.2.1"));
    assert_false(counts_address(NLMSG_DONE, "192.0.2.1"));
    /* Its own one beside that of the other end of the line. */
    struct words words = {.size = 0};
    say_address(&words, RTM_NEWADDR, "127.0.0.1");
    put_ip(&words, IFA_LOCAL, "192.0.2.1");
    assert_true(count(&words));
    words = (struct words){.size = 0};
    say_address(&words, RTM_NEWADDR, "192.0.2.1");
    put_ip(&words, IFA_LOCAL, "127.0.0.1");
    assert_false(count(&words));
    say_address(&words, RTM_NEWADDR, "fe80::1"); /* several in one read */
    assert_false(count(&words));
    say_address(&words, RTM_DELADDR, "2001:db8::1");
    assert_true(count(&words));
}

static void words_of_interfaces_count_but_of_bridges_and_radios(void **state)
{
    (void)state;
    struct words words = {.size = 0};
    say_link(&words, AF_BRIDGE, 0);
    say_link(&words, AF_UNSPEC, IFLA_WIRELESS);
    assert_false(count(&words));
    say_link(&words, AF_UNSPEC, 0);
    assert_true(count(&words));
}

/* Cut off anywhere, it counts; and nothing behind its end is read. */
static void words_that_are_not_understood_count(void **state)
{
    (void)state;
    struct words words = {.size = 0};
    assert_false(count(&words));
    say_address(&words, RTM_NEWADDR, "127.0.0.1");
    for (size_t size = 1; size < words.size; size++) {
        uint8_t *bytes = malloc(size); /* of just that size, for the sanitizer */
        assert_non_null(bytes);
        memcpy(bytes, words.bytes, size);
        assert_true(pd_addresses_word_counts(bytes, size));
        const struct nlmsghdr head = {.nlmsg_type = RTM_NEWADDR, .nlmsg_len = (uint32_t)size};
        if (size >= sizeof head) { /* what it holds is cut off */
            memcpy(bytes, &head, sizeof head);
            assert_true(pd_addresses_word_counts(bytes, size));
        }
        free(bytes);
    }
    words = (struct words){.size = 0};
    begin(&words, NLMSG_OVERRUN);
    assert_true(count(&words));
    memset(words.bytes, 0, words.size);
    assert_true(count(&words));
    memset(words.bytes, 0xff, words.size);
    assert_true(count(&words));
}

/* -- The system -------------------------------------------------------------------------------- */

static bool set_address(int file, const char *text)
{
    struct ifreq request = {.ifr_name = "lo"};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    bool is_good = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
    memcpy(&request.ifr_addr, &v4, sizeof v4);
    return is_good && ioctl(file, SIOCSIFADDR, &request) == 0;
}

static bool set_up(int file, bool is_up)
{
    struct ifreq request = {.ifr_name = "lo"};
    request.ifr_flags = is_up ? IFF_UP : 0;
    return ioctl(file, SIOCSIFFLAGS, &request) == 0;
}

/* The system's word is there when the change is made: nobody waits. */
static bool is_told(const struct pd_addresses *addresses)
{
    struct pollfd watched = {.fd = addresses->file, .events = POLLIN};
    return poll(&watched, 1, 0) == 1;
}

/* An interface, up or down, in a network of this process alone. False: that is not allowed. */
static bool enter_own_network(struct pd_addresses *addresses, int *file_out)
{
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
        return false;
    }
    *file_out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return *file_out >= 0 && pd_addresses_open(addresses) == PD_OK && set_up(*file_out, true);
}

/* Long after the last look. */
static bool have_changed(struct pd_addresses *addresses)
{
    static uint64_t now_ns;
    now_ns += 2 * PD_ADDRESSES_PAUSE_NS;
    pd_addresses_read(addresses);
    return pd_addresses_have_changed(addresses, now_ns);
}

/* In a process of its own: 0, which step failed, or NOT_ALLOWED. */
static int move_in_own_network(void)
{
    struct pd_addresses addresses;
    int file = -1;
    if (!enter_own_network(&addresses, &file)) {
        return NOT_ALLOWED;
    }
    if (!is_told(&addresses) || have_changed(&addresses)) {
        return 1; /* 127.0.0.1 is none */
    }
    if (is_told(&addresses)) {
        return 2;
    }
    if (!set_address(file, "192.0.2.1") || !is_told(&addresses) || !have_changed(&addresses) ||
        have_changed(&addresses)) {
        return 3;
    }
    if (!set_address(file, "192.0.2.2") || !have_changed(&addresses)) {
        return 4;
    }
    if (!set_up(file, false) || !is_told(&addresses) || !have_changed(&addresses)) {
        return 5;
    }
    pd_addresses_close(&addresses);
    (void)close(file);
    return 0;
}

static int look_in_own_network(void)
{
    const uint64_t pause_ns = PD_ADDRESSES_PAUSE_NS;
    struct pd_addresses addresses;
    int file = -1;
    uint64_t now_ns = 7 * pause_ns;
    if (!enter_own_network(&addresses, &file)) {
        return NOT_ALLOWED;
    }
    if (pd_addresses_due_ns(&addresses) != PD_TIME_NEVER) {
        return 1; /* nothing was read yet */
    }
    if (!set_address(file, "192.0.2.1")) {
        return 2;
    }
    pd_addresses_read(&addresses);
    if (pd_addresses_due_ns(&addresses) > now_ns ||
        !pd_addresses_have_changed(&addresses, now_ns) ||
        pd_addresses_due_ns(&addresses) != PD_TIME_NEVER || addresses.looks != 1) {
        return 3; /* the first one at once */
    }
    for (uint32_t i = 0; i < 100; i++) { /* it ends at another one */
        if (!set_address(file, i % 2 == 0 ? "192.0.2.1" : "192.0.2.2")) {
            return 4;
        }
        pd_addresses_read(&addresses);
        if (pd_addresses_have_changed(&addresses, now_ns + pause_ns - 1)) {
            return 5;
        }
    }
    if (addresses.looks != 1 || pd_addresses_due_ns(&addresses) != now_ns + pause_ns) {
        return 6;
    }
    now_ns += pause_ns;
    if (!pd_addresses_have_changed(&addresses, now_ns) || addresses.looks != 2 ||
        pd_addresses_have_changed(&addresses, now_ns + 9 * pause_ns) || addresses.looks != 2) {
        return 7; /* one look for all; and none without a word */
    }
    /* One that took long makes the next one wait longer. */
    pd_addresses_rest(&addresses, now_ns + pause_ns);
    if (!set_address(file, "192.0.2.3")) {
        return 8;
    }
    pd_addresses_read(&addresses);
    if (pd_addresses_due_ns(&addresses) != now_ns + PD_ADDRESSES_SHARE * pause_ns ||
        pd_addresses_have_changed(&addresses, now_ns + 2 * pause_ns)) {
        return 9;
    }
    /* But not for ever: the machine may have slept meanwhile. */
    pd_addresses_rest(&addresses, now_ns + 1000000 * pause_ns);
    if (pd_addresses_due_ns(&addresses) !=
        now_ns + 1000000 * pause_ns + PD_ADDRESSES_PAUSE_MAX_NS) {
        return 10;
    }
    pd_addresses_close(&addresses);
    (void)close(file);
    return 0;
}

static void in_own_network(int (*steps)(void))
{
    int result = 0;
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        _exit(steps());
    }
    assert_int_equal(waitpid(process, &result, 0), process);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == NOT_ALLOWED) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(result), 0);
}

static void the_system_tells(void **state)
{
    (void)state;
    in_own_network(move_in_own_network);
}

static void many_changes_make_few_looks(void **state)
{
    (void)state;
    in_own_network(look_in_own_network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_others_reach_count),
        cmocka_unit_test(words_of_addresses_that_count_do),
        cmocka_unit_test(words_of_interfaces_count_but_of_bridges_and_radios),
        cmocka_unit_test(words_that_are_not_understood_count),
        cmocka_unit_test(the_system_tells),
        cmocka_unit_test(many_changes_make_few_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
