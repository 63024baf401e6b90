/* Whether this machine's addresses have changed: which ones count, and the system's word, in a
 * network of the test's own where it may have one. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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

/* In a process of its own: 0, which step failed, or NOT_ALLOWED. */
static int move_in_own_network(void)
{
    struct pd_addresses addresses;
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
        return NOT_ALLOWED;
    }
    int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (file < 0 || pd_addresses_open(&addresses) != PD_OK || !set_up(file, true)) {
        return NOT_ALLOWED;
    }
    if (!is_told(&addresses) || pd_addresses_have_changed(&addresses)) {
        return 1; /* 127.0.0.1 is none */
    }
    if (is_told(&addresses)) {
        return 2;
    }
    if (!set_address(file, "192.0.2.1") || !is_told(&addresses) ||
        !pd_addresses_have_changed(&addresses) || pd_addresses_have_changed(&addresses)) {
        return 3;
    }
    if (!set_address(file, "192.0.2.2") || !pd_addresses_have_changed(&addresses)) {
        return 4;
    }
    if (!set_up(file, false) || !is_told(&addresses) || !pd_addresses_have_changed(&addresses)) {
        return 5;
    }
    pd_addresses_close(&addresses);
    (void)close(file);
    return 0;
}

static void the_system_tells(void **state)
{
    (void)state;
    int result = 0;
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        _exit(move_in_own_network());
    }
    assert_int_equal(waitpid(process, &result, 0), process);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == NOT_ALLOWED) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(result), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_others_reach_count),
        cmocka_unit_test(the_system_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
