/* Names become addresses on one thread of their own, which asks all questions at once (dns.h) and
 * waits for none of them.
 *
 *              asked ──► in `questions` ──the thread begins it──► running ──► over: its lookups
 *                  │             └ the last lookup is closed:         │       have the answer
 *                  │               freed                              └ the last lookup is closed:
 *                  └ joins the question for the same name               the thread calls it off
 *
 * Fairness   An owner (an environment) has at most PD_LOOKUPS_OF_OWNER_MAX lookups, and a name is
 *            asked for once for all that wait for it. All are asked at a time, so slow names hold
 *            up nobody, not even who asks for them. To begin takes a while (files are read): in a
 *            turn each owner has one begun.
 * Locks      `lock` of the resolver guards lookups and `questions`. What a question has of dns.h,
 *            and `running`, is the thread's; nothing is asked, read or opened under the lock. */
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/host.h"
#include "host/dns.h"
#include "host/sockets_internal.h"

#define EVENTS_MAX 64
#define BEGIN_MAX 16u /* in a turn */
#define PORT 53
#define TIMEOUT_MS 2000u
#define NS_PER_MS UINT64_C(1000000)

struct question {
    struct pd_list node;    /* in `questions`, until it is over or called off */
    struct pd_list lookups; /* that wait for it */
    bool is_begun;          /* then the thread frees it */
    uint64_t owner;         /* whose descriptors it takes: who asked first */
    struct pd_real_sockets *sockets;
    /* The thread's: */
    struct pd_list run_node; /* in `running`, or in one of the lists of a turn */
    struct pd_dns *dns;      /* NULL: it could not begin */
    struct pd_dns_answer answer;
    char name[PD_LOOKUP_NAME_MAX + 1];
};

struct pd_lookup {
    struct pd_real_sockets *sockets;
    struct pd_list node;       /* its question's */
    struct question *question; /* NULL: it is over */
    uint64_t owner;
    void *process;
    int error;
    uint32_t count;
    struct pd_lookup_result results[PD_LOOKUP_ADDRESSES_MAX];
};

static struct question *question_of(struct pd_list *node)
{
    return pd_container_of(node, struct question, node);
}

static struct question *running_of(struct pd_list *node)
{
    return pd_container_of(node, struct question, run_node);
}

static struct pd_lookup *lookup_of(struct pd_list *node)
{
    return pd_container_of(node, struct pd_lookup, node);
}

/* --- One question: the thread's --------------------------------------------------------------- */

static void mark_own(struct pd_dns_answer *answer)
{
    struct ifaddrs *first = NULL;
    if (answer->count > 0 && getifaddrs(&first) != 0) {
        for (uint32_t i = 0; i < answer->count; i++) {
            answer->results[i].is_own = true; /* nobody knows: then rather not */
        }
        return;
    }
    for (const struct ifaddrs *at = first; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr == NULL ||
            (at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != AF_INET6)) {
            continue;
        }
        struct pd_socket_address own;
        union pd_system_address system;
        memcpy(&system, at->ifa_addr,
               at->ifa_addr->sa_family == AF_INET ? sizeof system.v4 : sizeof system.v6);
        pd_address_from_system(&system, &own);
        for (uint32_t i = 0; i < answer->count; i++) {
            struct pd_lookup_result *result = &answer->results[i];
            result->is_own |= memcmp(result->address.ip, own.ip, sizeof own.ip) == 0;
        }
    }
    freeifaddrs(first);
}

static int take_descriptor(void *context)
{
    const struct question *question = context;
    return pd_real_sockets_take_descriptor(question->sockets, question->owner);
}

static void give_descriptor(void *context)
{
    const struct question *question = context;
    pd_real_sockets_give_descriptor(question->sockets, question->owner);
}

static void begin(const struct pd_resolver *resolver, struct question *question)
{
    const struct pd_dns_config config = {
        .epoll = resolver->epoll,
        .mark = question,
        .resolv_conf = resolver->servers.resolv_conf,
        .port = resolver->servers.port,
        .timeout_ms = resolver->servers.timeout_ms,
        .take_descriptor = take_descriptor,
        .give_descriptor = give_descriptor,
        .context = question,
    };
    int error = pd_dns_open(&config, question->name, &question->answer, &question->dns);
    if (error != 0) {
        question->answer.error = error;
    }
}

static bool is_over(const struct question *question)
{
    return question->dns == NULL || pd_dns_is_over(question->dns);
}

static void close_question(struct question *question)
{
    if (question->dns != NULL) {
        pd_dns_close(question->dns);
    }
    pd_free(question);
}

/* --- The thread ------------------------------------------------------------------------------- */

/* How long until a question has to go on though nothing is told; -1: none. */
static int timeout_ms_of(const struct pd_resolver *resolver, int timeout_ms)
{
    uint64_t deadline_ns = resolver->has_more ? 0 : PD_TIME_NEVER;
    for (struct pd_list *at = resolver->running.next; at != &resolver->running; at = at->next) {
        const struct question *question = running_of(at);
        uint64_t own_ns = question->dns == NULL ? 0 : pd_dns_deadline_ns(question->dns);
        deadline_ns = own_ns < deadline_ns ? own_ns : deadline_ns;
    }
    if (deadline_ns == PD_TIME_NEVER) {
        return timeout_ms;
    }
    uint64_t now_ns = pd_dns_now_ns();
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns - 1) / NS_PER_MS + 1 : 0;
    return timeout_ms < 0 || left_ms < (uint64_t)timeout_ms ? (int)left_ms : timeout_ms;
}

/* Wait for what is told, and let those questions go on that it concerns, and those whose time it
 * is: how many. None is closed here, so that each told of is there. */
static uint32_t step_questions(const struct pd_resolver *resolver, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count =
        epoll_wait(resolver->epoll, events, EVENTS_MAX, timeout_ms_of(resolver, timeout_ms));
    if (count < 0 && errno != EINTR) {
        pd_fatal("waiting for name servers fails with error %d", errno);
    }
    uint32_t stepped = 0;
    for (int i = 0; i < count; i++) {
        struct question *question = events[i].data.ptr;
        uint64_t signals = 0;
        if (question == NULL) {
            (void)!read(resolver->signal, &signals, sizeof signals);
        } else if (!is_over(question)) {
            pd_dns_step(question->dns);
            stepped++;
        }
    }
    uint64_t now_ns = pd_dns_now_ns();
    for (struct pd_list *at = resolver->running.next; at != &resolver->running; at = at->next) {
        struct question *question = running_of(at);
        if (!is_over(question) && pd_dns_deadline_ns(question->dns) <= now_ns) {
            pd_dns_step(question->dns);
            stepped++;
        }
    }
    return stepped;
}

/* Those who wait for it have its answer. Under the lock. */
static void tell(struct pd_resolver *resolver, struct question *question)
{
    const struct pd_dns_answer *answer = &question->answer;
    while (!pd_list_is_empty(&question->lookups)) {
        struct pd_lookup *lookup = lookup_of(question->lookups.next);
        pd_list_remove(&lookup->node);
        resolver->count--;
        lookup->question = NULL;
        lookup->error = answer->error;
        lookup->count = answer->error == 0 ? answer->count : 0;
        memcpy(lookup->results, answer->results, lookup->count * sizeof lookup->results[0]);
        lookup->sockets->interface.wake(lookup->process);
    }
}

/* Owners of which one question begins in this turn. */
struct begun {
    uint64_t owners[BEGIN_MAX];
    uint32_t count;
};

/* Whether one of this owner may begin; then it counts. */
static bool may_begin(struct begun *begun, uint64_t owner)
{
    for (uint32_t i = 0; i < begun->count; i++) {
        if (begun->owners[i] == owner) {
            return false;
        }
    }
    if (begun->count == BEGIN_MAX) {
        return false;
    }
    begun->owners[begun->count++] = owner;
    return true;
}

/* Questions that are over, or that nobody waits for, become `ended`; new ones are to begin. */
static void sort_questions(struct pd_resolver *resolver, struct pd_list *ended,
                           struct pd_list *new_ones)
{
    struct pd_list *next = NULL;
    struct begun begun = {.count = 0};
    resolver->has_more = false;
    (void)pthread_mutex_lock(&resolver->lock);
    for (struct pd_list *at = resolver->questions.next; at != &resolver->questions; at = next) {
        next = at->next;
        struct question *question = question_of(at);
        if (!question->is_begun && may_begin(&begun, question->owner)) {
            question->is_begun = true;
            pd_list_append(new_ones, &question->run_node);
        } else if (!question->is_begun) {
            resolver->has_more = true;
        } else if (is_over(question) || pd_list_is_empty(&question->lookups)) {
            tell(resolver, question);
            pd_list_remove(&question->node);
            pd_list_remove(&question->run_node);
            pd_list_append(ended, &question->run_node);
        }
    }
    (void)pthread_mutex_unlock(&resolver->lock);
}

/* One turn, that waits for so long at most. True: something happened. */
static bool turn(struct pd_resolver *resolver, int timeout_ms)
{
    struct pd_list ended;
    struct pd_list new_ones;
    pd_list_init(&ended);
    pd_list_init(&new_ones);
    bool has_some = step_questions(resolver, timeout_ms) > 0;
    for (struct pd_list *at = resolver->running.next; at != &resolver->running; at = at->next) {
        struct question *question = running_of(at);
        if (is_over(question)) {
            mark_own(&question->answer);
        }
    }
    sort_questions(resolver, &ended, &new_ones);
    has_some |= !pd_list_is_empty(&ended) || !pd_list_is_empty(&new_ones);
    while (!pd_list_is_empty(&ended)) {
        struct question *question = running_of(ended.next);
        pd_list_remove(&question->run_node);
        close_question(question);
    }
    while (!pd_list_is_empty(&new_ones)) {
        struct question *question = running_of(new_ones.next);
        pd_list_remove(&question->run_node);
        pd_list_append(&resolver->running, &question->run_node);
        begin(resolver, question);
    }
    return has_some;
}

static void *resolver_main(void *argument)
{
    struct pd_resolver *resolver = argument;
    (void)pthread_setname_np(pthread_self(), "pando-names");
    while (!atomic_load(&resolver->is_stopping)) {
        (void)turn(resolver, -1);
    }
    return NULL;
}

bool pd_resolver_poll(struct pd_real_sockets *sockets)
{
    struct pd_resolver *resolver = &sockets->resolver;
    bool has_some = false;
    while (resolver->epoll >= 0 && turn(resolver, 0)) {
        has_some = true;
    }
    return has_some;
}

int pd_resolver_wait(const struct pd_real_sockets *sockets, int *timeout_ms)
{
    *timeout_ms = timeout_ms_of(&sockets->resolver, *timeout_ms);
    return pd_list_is_empty(&sockets->resolver.running) ? -1 : sockets->resolver.epoll;
}

void pd_resolver_init(struct pd_resolver *resolver)
{
    (void)pthread_mutex_init(&resolver->lock, NULL);
    pd_list_init(&resolver->questions);
    pd_list_init(&resolver->running);
    resolver->epoll = -1;
    resolver->signal = -1;
    resolver->servers = (struct pd_name_servers){.port = PORT, .timeout_ms = TIMEOUT_MS};
}

static void signal_thread(const struct pd_resolver *resolver)
{
    uint64_t one = 1;
    ssize_t written = write(resolver->signal, &one, sizeof one);
    pd_assert(written == (ssize_t)sizeof one);
}

static void close_epoll(struct pd_resolver *resolver)
{
    (void)(resolver->epoll >= 0 && close(resolver->epoll));
    (void)(resolver->signal >= 0 && close(resolver->signal));
    resolver->epoll = -1;
    resolver->signal = -1;
}

void pd_resolver_deinit(struct pd_resolver *resolver)
{
    if (resolver->has_thread) {
        atomic_store(&resolver->is_stopping, true);
        signal_thread(resolver);
        (void)pthread_join(resolver->thread, NULL);
    }
    pd_assert(resolver->count == 0); /* nobody asks any more */
    while (!pd_list_is_empty(&resolver->questions)) {
        struct question *question = question_of(resolver->questions.next);
        pd_list_remove(&question->node);
        pd_list_remove(&question->run_node);
        close_question(question);
    }
    pd_assert(pd_list_is_empty(&resolver->running));
    close_epoll(resolver);
    (void)pthread_mutex_destroy(&resolver->lock);
}

/* --- For who asks ----------------------------------------------------------------------------- */

/* The first name starts it all; under the lock. */
static int start(struct pd_real_sockets *sockets)
{
    struct pd_resolver *resolver = &sockets->resolver;
    if (resolver->epoll >= 0) {
        return 0;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    resolver->epoll = epoll_create1(EPOLL_CLOEXEC);
    resolver->signal = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = resolver->epoll >= 0 && resolver->signal >= 0 &&
                        epoll_ctl(resolver->epoll, EPOLL_CTL_ADD, resolver->signal, &event) == 0
                    ? 0
                    : errno;
    if (error == 0 && !sockets->is_inline) {
        error = pthread_create(&resolver->thread, NULL, resolver_main, resolver);
        resolver->has_thread = error == 0;
    }
    if (error != 0) {
        close_epoll(resolver);
    }
    return error;
}

/* How many lookups an owner has. Under the lock. */
static uint32_t count_of(const struct pd_resolver *resolver, uint64_t owner)
{
    uint32_t count = 0;
    for (struct pd_list *at = resolver->questions.next; at != &resolver->questions; at = at->next) {
        const struct pd_list *lookups = &question_of(at)->lookups;
        for (struct pd_list *each = lookups->next; each != lookups; each = each->next) {
            count += lookup_of(each)->owner == owner ? 1u : 0u;
        }
    }
    return count;
}

/* The question for this name, asked if it is not yet; NULL: no memory. Under the lock. */
static struct question *question_for(struct pd_real_sockets *sockets, uint64_t owner,
                                     const char *name, size_t name_size)
{
    struct pd_resolver *resolver = &sockets->resolver;
    for (struct pd_list *at = resolver->questions.next; at != &resolver->questions; at = at->next) {
        struct question *known = question_of(at);
        if (strlen(known->name) == name_size && memcmp(known->name, name, name_size) == 0) {
            return known;
        }
    }
    struct question *question = pd_alloc_zeroed(1, sizeof *question);
    if (question != NULL) {
        question->sockets = sockets;
        question->owner = owner;
        memcpy(question->name, name, name_size);
        pd_list_init(&question->lookups);
        pd_list_init(&question->run_node);
        pd_list_append(&resolver->questions, &question->node);
        signal_thread(resolver);
    }
    return question;
}

/* Under the lock. */
static int ask(struct pd_lookup *lookup, const char *name, size_t name_size)
{
    struct pd_resolver *resolver = &lookup->sockets->resolver;
    if (resolver->count >= PD_LOOKUPS_MAX ||
        count_of(resolver, lookup->owner) >= PD_LOOKUPS_OF_OWNER_MAX) {
        return PD_SOCKET_AGAIN;
    }
    int error = start(lookup->sockets);
    if (error != 0) {
        return error;
    }
    lookup->question = question_for(lookup->sockets, lookup->owner, name, name_size);
    if (lookup->question == NULL) {
        return ENOMEM;
    }
    pd_list_append(&lookup->question->lookups, &lookup->node);
    resolver->count++;
    return 0;
}

int pd_resolver_lookup(struct pd_sockets *sockets, uint64_t owner, const char *name,
                       size_t name_size, void *process, struct pd_lookup **lookup_out)
{
    pd_assert(name_size <= PD_LOOKUP_NAME_MAX);
    struct pd_real_sockets *real = pd_real_sockets_of(sockets);
    struct pd_lookup *lookup = pd_alloc_zeroed(1, sizeof *lookup);
    if (lookup == NULL) {
        return ENOMEM;
    }
    lookup->sockets = real;
    lookup->owner = owner;
    lookup->process = process;
    pd_list_init(&lookup->node);
    (void)pthread_mutex_lock(&real->resolver.lock);
    int error = ask(lookup, name, name_size);
    (void)pthread_mutex_unlock(&real->resolver.lock);
    if (error != 0) {
        pd_free(lookup);
        return error;
    }
    *lookup_out = lookup;
    return 0;
}

bool pd_resolver_take(struct pd_lookup *lookup, struct pd_lookup_result *results,
                      uint32_t *count_out, int *error_out)
{
    struct pd_resolver *resolver = &lookup->sockets->resolver;
    (void)pthread_mutex_lock(&resolver->lock);
    bool is_answered = lookup->question == NULL;
    (void)pthread_mutex_unlock(&resolver->lock);
    if (is_answered) {
        *error_out = lookup->error;
        *count_out = lookup->count;
        memcpy(results, lookup->results, lookup->count * sizeof *results);
    }
    return is_answered;
}

void pd_resolver_close(struct pd_lookup *lookup)
{
    struct pd_resolver *resolver = &lookup->sockets->resolver;
    (void)pthread_mutex_lock(&resolver->lock);
    struct question *question = lookup->question;
    bool is_unwanted = false;
    if (question != NULL) {
        pd_list_remove(&lookup->node);
        resolver->count--;
        is_unwanted = pd_list_is_empty(&question->lookups);
    }
    if (is_unwanted && question->is_begun) {
        signal_thread(resolver); /* which calls it off */
    } else if (is_unwanted) {
        pd_list_remove(&question->node);
        pd_free(question);
    }
    (void)pthread_mutex_unlock(&resolver->lock);
    pd_free(lookup);
}

const char *pd_resolver_text(int error)
{
    const char *text = error < 0 ? gai_strerror(error) : strerrordesc_np(error);
    return text == NULL ? "unknown error" : text;
}

void pd_real_sockets_set_name_servers(struct pd_real_sockets *sockets,
                                      const struct pd_name_servers *servers)
{
    sockets->resolver.servers = *servers;
}

uint32_t pd_real_sockets_lookup_count(struct pd_real_sockets *sockets)
{
    (void)pthread_mutex_lock(&sockets->resolver.lock);
    uint32_t count = sockets->resolver.count;
    (void)pthread_mutex_unlock(&sockets->resolver.lock);
    return count;
}
