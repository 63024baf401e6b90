/* Slots, waits, and the thread that wakes. */
#include "host/sockets.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/sockets_internal.h"

#define EVENTS_MAX 64
#define LINGERING_MAX 256u
#define SIGNAL UINT64_MAX
#define GENERATION_SHIFT 32u

/* --- Events ----------------------------------------------------------------------------------- */

uint32_t pd_socket_wake_waits(struct pd_socket *socket, uint32_t events)
{
    uint32_t left = 0;
    struct pd_list *next = NULL;
    for (struct pd_list *at = socket->waits.next; at != &socket->waits; at = next) {
        next = at->next;
        struct pd_socket_wait *wait = pd_container_of(at, struct pd_socket_wait, node);
        if ((wait->events & events) != 0) {
            pd_list_remove(at);
            socket->owner->interface.wake(wait->process);
        } else {
            left |= wait->events;
        }
    }
    return left;
}

int pd_socket_arm(struct pd_socket *socket, uint32_t events)
{
    struct pd_real_sockets *owner = socket->owner;
    uint64_t index = (uint64_t)(socket - owner->slots);
    struct epoll_event event = {
        .events = EPOLLONESHOT | ((events & PD_SOCKET_READABLE) != 0 ? EPOLLIN | EPOLLRDHUP : 0u) |
                  ((events & PD_SOCKET_WRITABLE) != 0 ? EPOLLOUT : 0u),
        .data.u64 = ((uint64_t)socket->generation << GENERATION_SHIFT) | index,
    };
    int operation = socket->is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(owner->epoll, operation, socket->descriptor, &event) != 0) {
        return errno;
    }
    socket->is_registered = true;
    return 0;
}

static void take_event(struct pd_real_sockets *sockets, const struct epoll_event *event)
{
    struct pd_socket *socket = &sockets->slots[(uint32_t)event->data.u64];
    uint32_t generation = (uint32_t)(event->data.u64 >> GENERATION_SHIFT);
    uint32_t events = 0;
    if ((event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        events |= PD_SOCKET_READABLE;
    }
    if ((event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        events |= PD_SOCKET_WRITABLE;
    }
    struct pd_socket_tls *tls = NULL;
    (void)pthread_mutex_lock(&socket->lock);
    if (socket->descriptor >= 0 && socket->generation == generation && socket->tls != NULL) {
        tls = socket->tls;
    } else if (socket->descriptor >= 0 && socket->generation == generation) {
        uint32_t left = pd_socket_wake_waits(socket, events);
        if (left != 0 && pd_socket_arm(socket, left) != 0) {
            /* Nobody would ever wake them: they find out by trying. */
            (void)pd_socket_wake_waits(socket, left);
        }
    }
    (void)pthread_mutex_unlock(&socket->lock);
    if (tls != NULL) { /* which only this thread ends */
        pd_socket_tls_step(tls, true);
    }
}

void pd_real_sockets_signal(struct pd_real_sockets *sockets)
{
    uint64_t one = 1;
    ssize_t written = write(sockets->signal, &one, sizeof one);
    pd_assert(written == (ssize_t)sizeof one);
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
            take_event(sockets, &events[i]);
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
    if (sockets->epoll >= 0) {
        count = pd_real_sockets_listen(sockets, has_resolved ? 0 : timeout_ms);
    }
    return has_resolved || count > 0;
}

/* --- Waits ------------------------------------------------------------------------------------ */

int pd_socket_wait(struct pd_socket *socket, struct pd_socket_wait *wait)
{
    (void)pthread_mutex_lock(&socket->lock);
    int error = 0;
    bool is_linked = pd_list_is_linked(&wait->node);
    if (!is_linked && socket->tls != NULL) {
        pd_list_append(&socket->waits, &wait->node);
        (void)pd_socket_wake_waits(socket, pd_socket_tls_events(socket->tls));
    } else if (!is_linked) {
        uint32_t events = wait->events;
        for (struct pd_list *at = socket->waits.next; at != &socket->waits; at = at->next) {
            events |= pd_container_of(at, struct pd_socket_wait, node)->events;
        }
        error = pd_socket_arm(socket, events);
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

/* The first socket starts it all; under the lock. */
static int start(struct pd_real_sockets *sockets)
{
    sockets->epoll = epoll_create1(EPOLL_CLOEXEC);
    sockets->signal = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = SIGNAL};
    int error = 0;
    if (sockets->epoll < 0 || sockets->signal < 0 ||
        epoll_ctl(sockets->epoll, EPOLL_CTL_ADD, sockets->signal, &event) != 0) {
        error = errno;
    } else if (!sockets->is_inline) {
        error = pthread_create(&sockets->thread, NULL, io_main, sockets);
    }
    if (error == 0) {
        sockets->is_started = true;
        return 0;
    }
    (void)(sockets->epoll >= 0 && close(sockets->epoll));
    (void)(sockets->signal >= 0 && close(sockets->signal));
    sockets->epoll = -1;
    sockets->signal = -1;
    return error;
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

void pd_socket_adopt(struct pd_socket *socket, int descriptor)
{
    (void)pthread_mutex_lock(&socket->lock);
    socket->descriptor = descriptor;
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

/* Half of the descriptors that there may be; as many as the system lets this process have. */
static uint32_t descriptors_for_guests(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return PD_SOCKETS_MAX;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit wanted = limit;
        wanted.rlim_cur = limit.rlim_max < 2 * (rlim_t)PD_SOCKETS_MAX ? limit.rlim_max
                                                                      : 2 * (rlim_t)PD_SOCKETS_MAX;
        if (wanted.rlim_cur > limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &wanted) == 0) {
            limit = wanted;
        }
    }
    return limit.rlim_cur / 2 < PD_SOCKETS_MAX ? (uint32_t)(limit.rlim_cur / 2) : PD_SOCKETS_MAX;
}

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
    sockets->sockets_max = descriptors_for_guests();
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
    if (sockets->is_started) {
        (void)close(sockets->epoll);
        (void)close(sockets->signal);
    }
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
