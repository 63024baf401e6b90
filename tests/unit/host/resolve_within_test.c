/* Names are looked up for no longer than they may be. The system's resolver is the test's own: it
 * answers when the test says so. */
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/resolve_within.h"

#define LONG_NS UINT64_C(60000000000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_held; /* nothing is answered */
static uint32_t answered;

struct result {
    struct addrinfo info;
    struct sockaddr_in address;
};

/* The system's, in this program. */
int getaddrinfo(const char *restrict host, const char *restrict port,
                const struct addrinfo *restrict hints, struct addrinfo **restrict found_out)
{
    (void)port;
    (void)hints;
    (void)pthread_mutex_lock(&lock);
    while (is_held) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    answered++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    if (strcmp(host, "known.test") != 0) {
        return EAI_NONAME;
    }
    struct result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        return EAI_MEMORY;
    }
    result->address.sin_family = AF_INET;
    result->address.sin_addr.s_addr = htonl(0xc0000201);
    result->info.ai_family = AF_INET;
    result->info.ai_addr = (struct sockaddr *)(void *)&result->address;
    result->info.ai_addrlen = sizeof result->address;
    *found_out = &result->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *found)
{
    free((void *)found);
}

static void hold(bool is_wanted)
{
    (void)pthread_mutex_lock(&lock);
    is_held = is_wanted;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static void an_answer_is_handed_on(void **state)
{
    (void)state;
    struct pd_transport_address address;
    char text[PD_RESOLVE_TEXT_MAX];
    assert_int_equal(pd_host_resolve_within("known.test:2380", LONG_NS, &address, text), PD_OK);
    assert_int_equal(address.port, 2380);
    assert_int_equal(address.ip[12], 192);
    assert_int_equal(address.ip[15], 1);
    assert_string_equal(text, "");
    assert_int_equal(pd_host_resolve_within("unknown.test:2380", LONG_NS, &address, text),
                     PD_ERR_UNKNOWN);
    assert_non_null(strstr(text, "'unknown.test' has no address"));
    assert_int_equal(pd_host_resolve_within("known.test", LONG_NS, &address, text), PD_ERR_INVALID);
    char long_place[2 * PD_RESOLVE_HOST_MAX];
    memset(long_place, 'a', sizeof long_place);
    memcpy(long_place + sizeof long_place - 3, ":1", 3);
    assert_int_equal(pd_host_resolve_within(long_place, LONG_NS, &address, text), PD_ERR_INVALID);
}

/* It comes back while the system is silent, and what the system says later harms nobody. */
static void a_silent_system_is_not_waited_for(void **state)
{
    (void)state;
    struct pd_transport_address address = {.port = 7};
    char text[PD_RESOLVE_TEXT_MAX];
    hold(true);
    uint32_t before = answered; /* nobody answers meanwhile */
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(pd_host_resolve_within("known.test:2380", i * 1000, &address, text),
                         PD_ERR_TIMEOUT);
        assert_non_null(strstr(text, "'known.test:2380'"));
        assert_int_equal(address.port, 7);
    }
    hold(false);
    (void)pthread_mutex_lock(&lock);
    while (answered < before + 3) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
    assert_int_equal(pd_host_resolve_within("known.test:2380", LONG_NS, &address, text), PD_OK);
    assert_int_equal(address.port, 2380);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_handed_on),
        cmocka_unit_test(a_silent_system_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
