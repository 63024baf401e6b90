/* Slots, waits, and the thread that wakes. */
#include "host/sockets.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/host.h"
#include "host/descriptors.h"
#include "host/sockets_internal.h"

#define EVENTS_MAX 64
#define LINGERING_MAX 256u
#define SIGNAL UINT64_MAX
#define GENERATION_SHIFT 32u
#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* --- Events ----------------------------------------------------------------------------------- */

void pd_socket_wake_waits(struct pd_socket *socket, uint32_t events)
{
    struct pd_list *next = NULL;
    for (struct pd_list *at = socket->waits.next; at != &socket->waits; at = next) {
        next = at->next;
        struct pd_socket_wait *wait = pd_container_of(at, struct pd_socket_wait, node);
        if ((wait->events & events) != 0) {
            pd_list_remove(at);
            socket->owner->interface.wake(wait->process);
        }
    }
}

/* What an epoll tells with its events. */
static uint64_t mark_of(const struct pd_socket *socket)
{
    uint64_t index = (uint64_t)(socket - socket->owner->slots);
    return ((uint64_t)socket->generation << GENERATION_SHIFT) | index;
}

int pd_socket_arm(struct pd_socket *socket, uint32_t events)
{
    struct epoll_event event = {
        .events = EPOLLONESHOT | ((events & PD_SOCKET_READABLE) != 0 ? EPOLLIN | EPOLLRDHUP : 0u) |
                  ((events & PD_SOCKET_WRITABLE) != 0 ? EPOLLOUT : 0u),
        .data.u64 = mark_of(socket),
    };
    int operation = socket->is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(socket->owner->epoll, operation, socket->descriptor, &event) != 0) {
        return errno;
    }
    socket->is_registered = true;
    return 0;
}

/* Where the events of a socket that is no session's are told. */
static int epoll_of(const struct pd_real_sockets *sockets)
{
    return sockets->polled >= 0 ? sockets->polled : sockets->epoll;
}

/* Let every change be told, from what is there now on, once for all waits. Under the lock. */
static int watch(struct pd_socket *socket)
{
    if (socket->is_registered) {
        return 0;
    }
    struct epoll_event event = {
        .events = EPOLLET | EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI,
        .data.u64 = mark_of(socket),
    };
    /* The system hands on, with an event, what was done before; in the words of C it is this
     * pair. */
    (void)atomic_fetch_add_explicit(&socket->owner->watched, 1, memory_order_release);
    if (epoll_ctl(epoll_of(socket->owner), EPOLL_CTL_ADD, socket->descriptor, &event) != 0) {
        return errno;
    }
    socket->is_registered = true;
    return 0;
}

void pd_socket_forget(struct pd_socket *socket)
{
    if (socket->is_registered) {
        int result = epoll_ctl(epoll_of(socket->owner), EPOLL_CTL_DEL, socket->descriptor, NULL);
        pd_assert(result == 0);
        socket->is_registered = false;
    }
}

/* An event of a socket that is no session's: note what it may be ready for, and wake. Under the
 * lock. */
static void become_ready(struct pd_socket *socket, uint32_t told)
{
    uint32_t events = 0;
    if ((told & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR)) != 0) {
        events |= PD_SOCKET_READABLE;
    }
    if ((told & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        events |= PD_SOCKET_WRITABLE;
    }
    uint32_t odd =
        (told & (EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR)) != 0 ? PD_READINESS_ODD : 0u;
    /* In this order: an attempt that began before the event cannot clear its bits. */
    (void)atomic_fetch_add_explicit(&socket->readiness, PD_READINESS_EVENT, memory_order_acq_rel);
    (void)atomic_fetch_or_explicit(&socket->readiness, events | odd, memory_order_acq_rel);
    pd_socket_wake_waits(socket, events);
}

/* A session's events are the I/O thread's: a late one of who polls, from before it was a
 * session, is dropped. */
static void take_event(struct pd_real_sockets *sockets, const struct epoll_event *event,
                       bool is_io_thread)
{
    struct pd_socket *socket = &sockets->slots[(uint32_t)event->data.u64];
    uint32_t generation = (uint32_t)(event->data.u64 >> GENERATION_SHIFT);
    struct pd_socket_tls *tls = NULL;
    (void)pthread_mutex_lock(&socket->lock);
    if (socket->descriptor >= 0 && socket->generation == generation) {
        tls = socket->tls;
        if (tls == NULL) {
            become_ready(socket, event->events);
        }
    }
    (void)pthread_mutex_unlock(&socket->lock);
    if (tls != NULL && is_io_thread) { /* which alone ends it */
        pd_socket_tls_step(tls, true);
    }
}

static void set_event(int descriptor)
{
    uint64_t one = 1;
    ssize_t written = write(descriptor, &one, sizeof one);
    pd_assert(written == (ssize_t)sizeof one);
}

void pd_real_sockets_signal(struct pd_real_sockets *sockets)
{
    set_event(sockets->signal);
}

int pd_real_sockets_listen(struct pd_real_sockets *sockets, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int linger_ms = pd_socket_tls_linger_ms(sockets);
    if (linger_ms >= 0 && (timeout_ms < 0 || linger_ms < timeout_ms)) {
        timeout_ms = linger_ms;
    }
    int count = epoll_wait(sockets->epoll, events, EVENTS_MAX, timeout_ms);
    if (count < 0 && errno != EINTR) {
        pd_fatal("waiting for sockets fails with error %d", errno);
    }
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == SIGNAL) {
            uint64_t signals = 0;
            (void)!read(sockets->signal, &signals, sizeof signals);
            pd_socket_tls_step_line(sockets);
        } else {
            take_event(sockets, &events[i], true);
        }
    }
    pd_socket_tls_end_lingering(sockets, false);
    return count;
}

static void *io_main(void *argument)
{
    struct pd_real_sockets *sockets = argument;
    (void)pthread_setname_np(pthread_self(), "pando-guest-io");
    while (!atomic_load(&sockets->is_ending)) {
        (void)pd_real_sockets_listen(sockets, -1);
    }
    return NULL;
}

bool pd_real_sockets_poll(struct pd_real_sockets *sockets, int timeout_ms)
{
    pd_assert(sockets->is_inline);
    bool has_resolved = pd_resolver_poll(sockets);
    int count = 0;
    int left_ms = has_resolved ? 0 : timeout_ms;
    int names = pd_resolver_wait(sockets, &left_ms);
    if (names >= 0 && !has_resolved) {
        struct pollfd both[] = {{.fd = names, .events = POLLIN},
                                {.fd = sockets->epoll, .events = POLLIN}};
        has_resolved = poll(both, sizeof both / sizeof both[0], left_ms) > 0;
        has_resolved |= left_ms != timeout_ms; /* a question's time was up */
        has_resolved |= pd_resolver_poll(sockets);
        left_ms = 0;
    }
    if (sockets->epoll >= 0) {
        count = pd_real_sockets_listen(sockets, left_ms);
    }
    return has_resolved || count > 0;
}

/* --- For who polls ---------------------------------------------------------------------------- */

/* As epoll_wait, to the nanosecond where the system can. */
static int wait_ns(int epoll, struct epoll_event *events, uint64_t timeout_ns)
{
    if (timeout_ns == 0 || timeout_ns == PD_TIME_NEVER) {
        return epoll_wait(epoll, events, EVENTS_MAX, timeout_ns == 0 ? 0 : -1);
    }
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                               .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    int count = epoll_pwait2(epoll, events, EVENTS_MAX, &timeout, NULL);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) {
        return count;
    }
    uint64_t timeout_ms = (timeout_ns - 1) / NS_PER_MS + 1;
    return epoll_wait(epoll, events, EVENTS_MAX, timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX);
}

void pd_real_sockets_wait(struct pd_sockets *interface, uint64_t timeout_ns)
{
    struct pd_real_sockets *sockets = pd_real_sockets_of(interface);
    struct epoll_event events[EVENTS_MAX];
    int count = wait_ns(sockets->polled, events, timeout_ns);
    if (count < 0 && errno != EINTR) {
        pd_fatal("waiting for sockets fails with error %d", errno);
    }
    (void)atomic_load_explicit(&sockets->watched, memory_order_acquire); /* see `watch` */
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 != SIGNAL) { /* each write of it is an event: nobody reads it */
            take_event(sockets, &events[i], false);
        }
    }
}

void pd_real_sockets_interrupt(struct pd_sockets *interface)
{
    set_event(pd_real_sockets_of(interface)->interruption);
}

/* --- Waits ------------------------------------------------------------------------------------ */

bool pd_socket_may_be_ready(const struct pd_socket *socket, uint32_t events)
{
    return (pd_socket_readiness(socket) & events) != 0;
}

void pd_socket_is_dry(struct pd_socket *socket, uint32_t event, uint32_t then)
{
    uint32_t now = pd_socket_readiness(socket);
    while (now / PD_READINESS_EVENT == then / PD_READINESS_EVENT && (now & event) != 0 &&
           !atomic_compare_exchange_weak_explicit(&socket->readiness, &now, now & ~event,
                                                  memory_order_acq_rel, memory_order_acquire)) {
    }
}

int pd_socket_wait(struct pd_socket *socket, struct pd_socket_wait *wait)
{
    (void)pthread_mutex_lock(&socket->lock);
    int error = 0;
    bool is_linked = pd_list_is_linked(&wait->node);
    if (!is_linked && socket->tls != NULL) {
        pd_list_append(&socket->waits, &wait->node);
        pd_socket_wake_waits(socket, pd_socket_tls_events(socket->tls));
    } else if (!is_linked && pd_socket_may_be_ready(socket, wait->events)) {
        socket->owner->interface.wake(wait->process); /* to try, which nobody has since */
    } else if (!is_linked) {
        error = watch(socket);
        if (error == 0) {
            pd_list_append(&socket->waits, &wait->node);
        }
    }
    (void)pthread_mutex_unlock(&socket->lock);
    return error;
}

void pd_socket_cancel(struct pd_socket *socket, struct pd_socket_wait *wait)
{
    (void)pthread_mutex_lock(&socket->lock);
    pd_list_remove(&wait->node);
    (void)pthread_mutex_unlock(&socket->lock);
}

/* --- Slots ------------------------------------------------------------------------------------ */

static void close_if_open(int *descriptor)
{
    if (*descriptor >= 0) {
        (void)close(*descriptor);
        *descriptor = -1;
    }
}

static void close_epolls(struct pd_real_sockets *sockets)
{
    close_if_open(&sockets->epoll);
    close_if_open(&sockets->signal);
    close_if_open(&sockets->polled);
    close_if_open(&sockets->interruption);
}

/* An epoll that is told of an eventfd's events of these kinds. */
static int open_epoll(int *epoll_out, int *eventfd_out, uint32_t events)
{
    *epoll_out = epoll_create1(EPOLL_CLOEXEC);
    *eventfd_out = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = events, .data.u64 = SIGNAL};
    return *epoll_out >= 0 && *eventfd_out >= 0 &&
                   epoll_ctl(*epoll_out, EPOLL_CTL_ADD, *eventfd_out, &event) == 0
               ? 0
               : errno;
}

/* The first socket starts it all; under the lock. */
static int start(struct pd_real_sockets *sockets)
{
    int error = open_epoll(&sockets->epoll, &sockets->signal, EPOLLIN);
    if (error == 0 && sockets->interface.is_polled) {
        error = open_epoll(&sockets->polled, &sockets->interruption, EPOLLIN | EPOLLET);
    }
    if (error == 0 && !sockets->is_inline) {
        error = pthread_create(&sockets->thread, NULL, io_main, sockets);
    }
    if (error != 0) {
        close_epolls(sockets);
        return error;
    }
    sockets->is_started = true;
    atomic_store_explicit(&sockets->interface.is_open, true, memory_order_release);
    return 0;
}

/* An owner leaves a quarter of all to others; under the lock. */
static bool has_room(const struct pd_real_sockets *sockets, const struct pd_socket_account *account)
{
    uint32_t of_owner_max = sockets->sockets_max - sockets->sockets_max / 4;
    return sockets->count < sockets->sockets_max && account->count < of_owner_max;
}

/* The owner's, made if there is none; NULL: no memory. Under the lock. */
static struct pd_socket_account *account_of(struct pd_real_sockets *sockets, uint64_t owner)
{
    struct pd_socket_account *account = sockets->accounts;
    while (account != NULL && account->owner != owner) {
        account = account->next;
    }
    if (account == NULL && (account = pd_alloc_zeroed(1, sizeof *account)) != NULL) {
        account->owner = owner;
        account->next = sockets->accounts;
        sockets->accounts = account;
    }
    return account;
}

/* Nothing is kept of an owner without sockets; under the lock. */
static void account_drop_empty(struct pd_real_sockets *sockets, struct pd_socket_account *account)
{
    if (account->count > 0) {
        return;
    }
    struct pd_socket_account **at = &sockets->accounts;
    while (*at != account) {
        at = &(*at)->next;
    }
    *at = account->next;
    pd_free(account);
}

/* A slot that is free; there is one. Under the lock. */
static struct pd_socket *take_slot(struct pd_real_sockets *sockets)
{
    struct pd_socket *slot = sockets->free;
    if (slot != NULL) {
        sockets->free = slot->next_free;
    } else {
        slot = &sockets->slots[sockets->slots_used++];
        slot->owner = sockets;
        slot->descriptor = -1;
        (void)pthread_mutex_init(&slot->lock, NULL);
        pd_list_init(&slot->waits);
    }
    sockets->count++;
    return slot;
}

int pd_socket_reserve(struct pd_real_sockets *sockets, uint64_t owner,
                      struct pd_socket **socket_out)
{
    (void)pthread_mutex_lock(&sockets->lock);
    int error = sockets->is_started ? 0 : start(sockets);
    struct pd_socket_account *account = error == 0 ? account_of(sockets, owner) : NULL;
    if (error == 0) {
        error = account == NULL ? ENOMEM : 0;
    }
    if (error == 0 && !has_room(sockets, account)) {
        account_drop_empty(sockets, account);
        error = EMFILE;
    }
    if (error == 0) {
        *socket_out = take_slot(sockets);
        (*socket_out)->account = account;
        account->count++;
    }
    (void)pthread_mutex_unlock(&sockets->lock);
    return error;
}

int pd_real_sockets_take_descriptor(struct pd_real_sockets *sockets, uint64_t owner)
{
    (void)pthread_mutex_lock(&sockets->lock);
    struct pd_socket_account *account = account_of(sockets, owner);
    int error = account == NULL ? ENOMEM : 0;
    if (error == 0 && !has_room(sockets, account)) {
        account_drop_empty(sockets, account);
        error = EMFILE;
    }
    if (error == 0) {
        sockets->count++;
        account->count++;
    }
    (void)pthread_mutex_unlock(&sockets->lock);
    return error;
}

void pd_real_sockets_give_descriptor(struct pd_real_sockets *sockets, uint64_t owner)
{
    (void)pthread_mutex_lock(&sockets->lock);
    struct pd_socket_account *account = sockets->accounts;
    while (account->owner != owner) { /* it has one: this descriptor */
        account = account->next;
    }
    sockets->count--;
    account->count--;
    account_drop_empty(sockets, account);
    (void)pthread_mutex_unlock(&sockets->lock);
}

void pd_socket_adopt(struct pd_socket *socket, int descriptor)
{
    (void)pthread_mutex_lock(&socket->lock);
    socket->descriptor = descriptor;
    atomic_store_explicit(&socket->readiness, PD_READINESS_UNKNOWN, memory_order_release);
    (void)pthread_mutex_unlock(&socket->lock);
}

void pd_socket_close(struct pd_socket *socket)
{
    struct pd_real_sockets *sockets = socket->owner;
    (void)pthread_mutex_lock(&socket->lock);
    pd_assert(pd_list_is_empty(&socket->waits));
    int descriptor = socket->descriptor;
    socket->descriptor = -1;
    socket->generation++;
    socket->is_registered = false;
    socket->tls = NULL;
    (void)pthread_mutex_unlock(&socket->lock);
    (void)(descriptor >= 0 && close(descriptor)); /* and with it its registration */
    (void)pthread_mutex_lock(&sockets->lock);
    socket->next_free = sockets->free;
    sockets->free = socket;
    sockets->count--;
    socket->account->count--;
    account_drop_empty(sockets, socket->account);
    socket->account = NULL;
    (void)pthread_mutex_unlock(&sockets->lock);
}

uint32_t pd_real_sockets_count(struct pd_real_sockets *sockets)
{
    (void)pthread_mutex_lock(&sockets->lock);
    uint32_t count = sockets->count;
    (void)pthread_mutex_unlock(&sockets->lock);
    return count;
}

void pd_real_sockets_set_lingering_max(struct pd_real_sockets *sockets, uint32_t streams_max)
{
    atomic_store(&sockets->lingering_max, streams_max);
}

void pd_real_sockets_set_max(struct pd_real_sockets *sockets, uint32_t sockets_max)
{
    (void)pthread_mutex_lock(&sockets->lock);
    sockets->sockets_max = sockets_max < PD_SOCKETS_MAX ? sockets_max : PD_SOCKETS_MAX;
    (void)pthread_mutex_unlock(&sockets->lock);
}

/* --- Begin and end ---------------------------------------------------------------------------- */

enum pd_status pd_real_sockets_create(bool is_inline, struct pd_real_sockets **sockets_out)
{
    struct pd_real_sockets *sockets = pd_alloc_zeroed(1, sizeof *sockets);
    if (sockets == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    /* Zeroed pages that nobody touches cost nothing: slots are used from the first one on. */
    sockets->slots = pd_alloc_zeroed(PD_SOCKETS_MAX, sizeof *sockets->slots);
    if (sockets->slots == NULL) {
        pd_free(sockets);
        return PD_ERR_NO_MEMORY;
    }
    sockets->interface.ops = &pd_real_sockets_ops;
    sockets->is_inline = is_inline;
    sockets->epoll = -1;
    sockets->signal = -1;
    sockets->polled = -1;
    sockets->interruption = -1;
    sockets->sockets_max = pd_descriptors_of_process().sockets;
    (void)pthread_mutex_init(&sockets->lock, NULL);
    (void)pthread_mutex_init(&sockets->roots.lock, NULL);
    pd_list_init(&sockets->line);
    pd_list_init(&sockets->lingering);
    atomic_init(&sockets->lingering_max, LINGERING_MAX);
    pd_resolver_init(&sockets->resolver);
    *sockets_out = sockets;
    return PD_OK;
}

void pd_real_sockets_stop(struct pd_real_sockets *sockets)
{
    if (sockets == NULL || sockets->is_stopped) {
        return;
    }
    sockets->is_stopped = true;
    pd_resolver_deinit(&sockets->resolver);
    if (sockets->is_started && !sockets->is_inline) {
        atomic_store(&sockets->is_ending, true);
        pd_real_sockets_signal(sockets);
        (void)pthread_join(sockets->thread, NULL);
    }
}

void pd_real_sockets_destroy(struct pd_real_sockets *sockets)
{
    if (sockets == NULL) {
        return;
    }
    pd_real_sockets_stop(sockets);
    pd_socket_tls_finish(sockets);
    pd_socket_tls_roots_deinit(&sockets->roots);
    pd_assert(sockets->count == 0);
    close_epolls(sockets);
    for (uint32_t i = 0; i < sockets->slots_used; i++) {
        (void)pthread_mutex_destroy(&sockets->slots[i].lock);
    }
    (void)pthread_mutex_destroy(&sockets->roots.lock);
    (void)pthread_mutex_destroy(&sockets->lock);
    pd_free(sockets->slots);
    pd_free(sockets);
}

struct pd_sockets *pd_real_sockets_interface(struct pd_real_sockets *sockets)
{
    return &sockets->interface;
}
