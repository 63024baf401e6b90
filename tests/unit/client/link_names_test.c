/* Names of hosts are looked up for no longer than a deadline. The system's resolver is the test's
 * own: it answers when the test says so. */
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

#include "client/link_names.h"

#define LONG_MS UINT64_C(60000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_held;   /* names are not answered */
static uint32_t begun; /* to find any: what is no number is asked for as one first */
static uint32_t asked;
static uint32_t answered;

struct result {
    struct addrinfo info;
    struct sockaddr_in address;
};

/* The system's, in this program. */
int getaddrinfo(const char *restrict host, const char *restrict port,
                const struct addrinfo *restrict hints, struct addrinfo **restrict found_out)
{
    struct in_addr number;
    bool is_number = inet_pton(AF_INET, host, &number) == 1;
    bool takes_names = (hints->ai_flags & AI_NUMERICHOST) == 0;
    (void)pthread_mutex_lock(&lock);
    if (!takes_names) {
        begun++;
    } else {
        asked++;
        (void)pthread_cond_broadcast(&changed);
        while (is_held) {
            (void)pthread_cond_wait(&changed, &lock);
        }
        answered++;
    }
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    if (!is_number && !(takes_names && strcmp(host, "known.test") == 0)) {
        return EAI_NONAME;
    }
    struct result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        return EAI_MEMORY;
    }
    result->address.sin_family = AF_INET;
    result->address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
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

static struct pd_link_endpoint endpoint_of(const char *host)
{
    struct pd_link_endpoint endpoint = {.kind = PD_LINK_TCP, .port = "2379"};
    assert_true(strlen(host) < sizeof endpoint.host);
    memcpy(endpoint.host, host, strlen(host) + 1);
    return endpoint;
}

static void hold(bool is_wanted)
{
    (void)pthread_mutex_lock(&lock);
    is_held = is_wanted;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static uint32_t count_asked(void)
{
    (void)pthread_mutex_lock(&lock);
    uint32_t count = asked;
    (void)pthread_mutex_unlock(&lock);
    return count;
}

static void wait_count(const uint32_t *counter, uint32_t count)
{
    (void)pthread_mutex_lock(&lock);
    while (*counter < count) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
}

/* So many in all: a thread that nobody waits for may not have come to ask yet. */
static void wait_answered(uint32_t count)
{
    wait_count(&answered, count);
}

static enum pd_status find(const char *host, uint64_t patience_ms)
{
    struct pd_link link;
    struct addrinfo *found = NULL;
    const struct pd_link_endpoint endpoint = endpoint_of(host);
    pd_link_init(&link);
    enum pd_status status = pd_link_find(&link, &endpoint, pd_link_now_ms() + patience_ms, &found);
    assert_int_equal(found != NULL, status == PD_OK);
    assert_int_equal(link.text[0] == '\0', status == PD_OK);
    if (found != NULL) {
        assert_int_equal(found->ai_family, AF_INET);
        freeaddrinfo(found);
    }
    return status;
}

static void names_are_found(void **state)
{
    (void)state;
    uint32_t before = count_asked();
    assert_int_equal(find("known.test", LONG_MS), PD_OK);
    assert_int_equal(find("unknown.test", LONG_MS), PD_ERR_CLOSED);
    assert_int_equal(count_asked(), before + 2);
    assert_int_equal(find("127.0.0.1", 0), PD_OK); /* in numbers: without a thread, or a wait */
    assert_int_equal(count_asked(), before + 2);
}

static void a_silent_resolver_is_not_waited_for(void **state)
{
    (void)state;
    uint32_t before = count_asked();
    hold(true);
    assert_int_equal(find("known.test", 20), PD_ERR_TIMEOUT);
    assert_int_equal(find("unknown.test", 0), PD_ERR_TIMEOUT);
    struct pd_link link;
    const struct pd_link_config config = {.ca_file = NULL};
    pd_link_init(&link);
    assert_int_equal(pd_link_open(&link, "tcp:known.test:1", &config, pd_link_now_ms() + 20),
                     PD_ERR_TIMEOUT);
    assert_non_null(strstr(link.text, "known.test"));
    pd_link_close(&link);
    hold(false);
    wait_answered(before + 3);
    assert_int_equal(find("known.test", LONG_MS), PD_OK);
}

static void threads_that_wait_for_the_resolver_are_few(void **state)
{
    (void)state;
    uint32_t before = count_asked();
    hold(true);
    while (count_asked() < before + PD_LINK_LOOKUPS_MAX) { /* an earlier test's may end late */
        assert_int_equal(find("known.test", 1), PD_ERR_TIMEOUT);
    }
    /* it has no place, and does not ask */
    assert_int_equal(find("known.test", 20), PD_ERR_TIMEOUT);
    assert_int_equal(find("127.0.0.1", 0), PD_OK);
    assert_int_equal(count_asked(), before + PD_LINK_LOOKUPS_MAX);
    hold(false);
    wait_answered(before + PD_LINK_LOOKUPS_MAX);
    assert_int_equal(find("known.test", LONG_MS), PD_OK);
    assert_int_equal(count_asked(), before + PD_LINK_LOOKUPS_MAX + 1);
}

static void *find_known(void *argument)
{
    enum pd_status *status_out = argument;
    *status_out = find("known.test", LONG_MS);
    return NULL;
}

static void those_who_come_then_wait_for_a_place(void **state)
{
    (void)state;
    pthread_t threads[2 * PD_LINK_LOOKUPS_MAX];
    enum pd_status statuses[2 * PD_LINK_LOOKUPS_MAX];
    const uint32_t count = sizeof threads / sizeof threads[0];
    uint32_t asked_before = count_asked();
    uint32_t begun_before = begun; /* there is no other thread that begins */
    hold(true);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, find_known, &statuses[i]), 0);
    }
    wait_count(&begun, begun_before + count);
    wait_count(&asked, asked_before + PD_LINK_LOOKUPS_MAX);
    assert_int_equal(count_asked(), asked_before + PD_LINK_LOOKUPS_MAX);
    hold(false);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(statuses[i], PD_OK);
    }
    assert_int_equal(count_asked(), asked_before + count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(a_silent_resolver_is_not_waited_for),
        cmocka_unit_test(threads_that_wait_for_the_resolver_are_few),
        cmocka_unit_test(those_who_come_then_wait_for_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
