/* held_names - the system's resolver, in a test: it knows addresses in numbers (IPv4) and no name,
 * and of one, held.test, it says so only when the test ends. For one source file of a program. */
#ifndef PD_TEST_HELD_NAMES_H
#define PD_TEST_HELD_NAMES_H

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HELD_NAME "held.test:1"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    bool is_held;
    uint32_t begun; /* look-ups of the name */
    uint32_t ended;
    void (*on_begun)(void); /* NULL: nothing; under the lock */
} held_names = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct held_names_address {
    struct addrinfo info;
    struct sockaddr_in address;
};

static inline int held_names_number(const char *host, struct addrinfo **found_out)
{
    struct in_addr number;
    if (host == NULL || inet_pton(AF_INET, host, &number) != 1) {
        return EAI_NONAME;
    }
    struct held_names_address *found = calloc(1, sizeof *found);
    if (found == NULL) {
        return EAI_MEMORY;
    }
    found->address.sin_family = AF_INET;
    found->address.sin_addr = number;
    found->info.ai_family = AF_INET;
    found->info.ai_addr = (struct sockaddr *)(void *)&found->address;
    found->info.ai_addrlen = sizeof found->address;
    *found_out = &found->info;
    return 0;
}

/* The system's, in this program. */
int getaddrinfo(const char *restrict host, const char *restrict port,
                const struct addrinfo *restrict hints, struct addrinfo **restrict found_out)
{
    (void)port;
    (void)hints;
    if (host == NULL || strcmp(host, "held.test") != 0) {
        return held_names_number(host, found_out);
    }
    (void)pthread_mutex_lock(&held_names.lock);
    held_names.begun++;
    if (held_names.on_begun != NULL) {
        held_names.on_begun();
    }
    (void)pthread_cond_broadcast(&held_names.changed);
    while (held_names.is_held) {
        (void)pthread_cond_wait(&held_names.changed, &held_names.lock);
    }
    held_names.ended++;
    (void)pthread_cond_broadcast(&held_names.changed);
    (void)pthread_mutex_unlock(&held_names.lock);
    return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *found)
{
    free((void *)found);
}

static inline void held_names_open(void (*on_begun)(void))
{
    (void)pthread_mutex_lock(&held_names.lock);
    held_names.is_held = true;
    held_names.begun = 0;
    held_names.ended = 0;
    held_names.on_begun = on_begun;
    (void)pthread_mutex_unlock(&held_names.lock);
}

/* Until the name is being looked up; at once after held_names_close. */
static inline void held_names_wait(void)
{
    (void)pthread_mutex_lock(&held_names.lock);
    while (held_names.is_held && held_names.begun == 0) {
        (void)pthread_cond_wait(&held_names.changed, &held_names.lock);
    }
    (void)pthread_mutex_unlock(&held_names.lock);
}

/* Every look-up ends. */
static inline void held_names_close(void)
{
    (void)pthread_mutex_lock(&held_names.lock);
    held_names.is_held = false;
    (void)pthread_cond_broadcast(&held_names.changed);
    while (held_names.ended < held_names.begun) {
        (void)pthread_cond_wait(&held_names.changed, &held_names.lock);
    }
    (void)pthread_mutex_unlock(&held_names.lock);
}

#endif
