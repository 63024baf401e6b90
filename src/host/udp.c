#include "host/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/addresses.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define READS_MAX 16u
#define READ_BYTES 65536u /* with UDP_GRO one read gives a train of datagrams */
#define ECN_MASK 3u
#define SECOND_NS UINT64_C(1000000000)
#define ROUNDS_MAX 4u /* of reading, before others get their turn */
/* So many trains in a row, and no other between them: then it is not one path's fault. */
#define TRAINS_REFUSED_MAX 16u

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct control {
    _Alignas(struct cmsghdr) uint8_t bytes[2 * CMSG_SPACE(sizeof(int))];
};

union address {
    struct sockaddr base;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct pd_udp {
    struct pd_datagram_loop base; /* first */
    struct pd_udp_config config;
    struct pd_datagram_user user;
    struct pd_transport_address local;
    int socket;
    bool is_v6;
    bool has_trains;
    uv_loop_t loop;
    uv_poll_t poll;
    uv_poll_t timer; /* of alarm: QUIC's deadlines are finer than the milliseconds of uv_timer */
    int alarm;
    uint64_t alarm_ns; /* when it goes off; PD_TIME_NEVER: it does not */
    uv_async_t async;
    struct pd_addresses addresses;
    uv_poll_t moves; /* of addresses, if the system tells */
    struct pd_thread thread;
    bool is_started;
    atomic_bool is_stopping;
    bool has_pending; /* what the socket did not take */
    bool polls_writable;
    struct pd_datagram pending;
    size_t pending_at;
    bool pending_is_refused; /* as a train: it leaves packet by packet */
    bool pending_is_counted; /* in the next one */
    uint32_t trains_refused; /* in a row */
    struct pd_udp_counters counters;
    /* Room for one call of recvmmsg. */
    struct mmsghdr heads[READS_MAX];
    struct iovec parts[READS_MAX];
    union address names[READS_MAX];
    struct control controls[READS_MAX];
    uint8_t bytes[READS_MAX][READ_BYTES];
    struct pd_datagram datagrams[PD_DATAGRAM_BATCH_MAX];
    uint32_t datagram_count;
};

static struct pd_udp *of(struct pd_datagram_loop *loop)
{
    return (struct pd_udp *)(void *)loop;
}

/* -- Addresses --------------------------------------------------------------------------------- */

static socklen_t to_system(const struct pd_udp *udp, const struct pd_transport_address *address,
                           union address *system_out)
{
    memset(system_out, 0, sizeof *system_out);
    if (udp->is_v6) {
        system_out->v6.sin6_family = AF_INET6;
        system_out->v6.sin6_port = htons(address->port);
        memcpy(&system_out->v6.sin6_addr, address->ip, sizeof address->ip);
        return sizeof system_out->v6;
    }
    system_out->v4.sin_family = AF_INET;
    system_out->v4.sin_port = htons(address->port);
    memcpy(&system_out->v4.sin_addr, address->ip + sizeof mapped, 4);
    return sizeof system_out->v4;
}

static void from_system(const union address *system, struct pd_transport_address *address_out)
{
    if (system->base.sa_family == AF_INET6) {
        address_out->port = ntohs(system->v6.sin6_port);
        memcpy(address_out->ip, &system->v6.sin6_addr, sizeof address_out->ip);
    } else {
        address_out->port = ntohs(system->v4.sin_port);
        memcpy(address_out->ip, mapped, sizeof mapped);
        memcpy(address_out->ip + sizeof mapped, &system->v4.sin_addr, 4);
    }
}

/* -- Receiving --------------------------------------------------------------------------------- */

/* What the system says beside the bytes. */
static void read_control(struct msghdr *head, uint8_t *ecn_out, size_t *segment_out)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(head); control != NULL;
         control = CMSG_NXTHDR(head, control)) {
        int level = control->cmsg_level;
        int type = control->cmsg_type;
        if ((level == IPPROTO_IP && type == IP_TOS) ||
            (level == IPPROTO_IPV6 && type == IPV6_TCLASS)) {
            *ecn_out = *CMSG_DATA(control) & ECN_MASK;
        } else if (level == SOL_UDP && type == UDP_GRO) {
            int segment = 0;
            memcpy(&segment, CMSG_DATA(control), sizeof segment);
            *segment_out = segment > 0 ? (size_t)segment : *segment_out;
        }
    }
}

static void give(struct pd_udp *udp)
{
    if (udp->datagram_count > 0) {
        udp->counters.received += udp->datagram_count;
        udp->user.received(udp->user.state, pd_host_now_ns(udp->config.host), udp->datagrams,
                           udp->datagram_count);
        udp->datagram_count = 0;
    }
}

/* One read: one datagram, or several of one size behind each other. */
static void take(struct pd_udp *udp, uint32_t at)
{
    struct msghdr *head = &udp->heads[at].msg_hdr;
    size_t whole = udp->heads[at].msg_len;
    size_t segment = whole;
    struct pd_datagram datagram = {.ecn = 0};
    from_system(&udp->names[at], &datagram.remote);
    read_control(head, &datagram.ecn, &segment);
    if ((head->msg_flags & MSG_TRUNC) != 0 || segment > PD_DATAGRAM_BYTES_MAX) {
        udp->counters.too_large++;
        return;
    }
    for (size_t from = 0; from < whole; from += segment) {
        datagram.bytes = udp->bytes[at] + from;
        datagram.size = whole - from < segment ? whole - from : segment;
        udp->datagrams[udp->datagram_count++] = datagram;
        if (udp->datagram_count == PD_DATAGRAM_BATCH_MAX) {
            give(udp);
        }
    }
}

/* False: nothing is left to read. */
static bool receive(struct pd_udp *udp)
{
    for (uint32_t i = 0; i < READS_MAX; i++) {
        udp->parts[i] = (struct iovec){udp->bytes[i], READ_BYTES};
        udp->heads[i].msg_hdr = (struct msghdr){
            .msg_name = &udp->names[i],
            .msg_namelen = sizeof udp->names[i],
            .msg_iov = &udp->parts[i],
            .msg_iovlen = 1,
            .msg_control = &udp->controls[i],
            .msg_controllen = sizeof udp->controls[i],
        };
    }
    int count = recvmmsg(udp->socket, udp->heads, READS_MAX, MSG_DONTWAIT, NULL);
    if (count <= 0) {
        return count < 0 && errno == EINTR;
    }
    udp->counters.reads++;
    for (uint32_t i = 0; i < (uint32_t)count; i++) {
        take(udp, i);
    }
    give(udp); /* before the room is used again */
    return count == (int)READS_MAX;
}

/* -- Sending ----------------------------------------------------------------------------------- */

static void add_control(struct msghdr *head, struct cmsghdr **control, int level, int type,
                        const void *value, size_t size)
{
    *control = *control == NULL ? CMSG_FIRSTHDR(head) : CMSG_NXTHDR(head, *control);
    pd_assert(*control != NULL); /* there is room for all of them */
    (*control)->cmsg_level = level;
    (*control)->cmsg_type = type;
    (*control)->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(*control), value, size);
}

/* One call. 0, or the system's errno. */
static int send_part(struct pd_udp *udp, const struct pd_datagram *datagram, size_t at, size_t size,
                     bool is_train)
{
    union address name;
    struct control room;
    memset(&room, 0, sizeof room);
    /* sendmsg reads it only. */
    union {
        const uint8_t *given;
        uint8_t *wanted;
    } bytes = {.given = datagram->bytes + at};
    struct iovec part = {bytes.wanted, size};
    struct msghdr head = {.msg_name = &name,
                          .msg_namelen = to_system(udp, &datagram->remote, &name),
                          .msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = &room,
                          .msg_controllen = sizeof room};
    struct cmsghdr *control = NULL;
    size_t used = 0;
    if (datagram->ecn != 0) {
        int mark = datagram->ecn;
        bool is_v4 = memcmp(datagram->remote.ip, mapped, sizeof mapped) == 0;
        add_control(&head, &control, is_v4 ? IPPROTO_IP : IPPROTO_IPV6,
                    is_v4 ? IP_TOS : IPV6_TCLASS, &mark, sizeof mark);
        used += CMSG_SPACE(sizeof mark);
    }
    if (is_train) {
        uint16_t segment = (uint16_t)datagram->segment_size;
        add_control(&head, &control, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
        used += CMSG_SPACE(sizeof segment);
    }
    head.msg_controllen = used;
    head.msg_control = used == 0 ? NULL : head.msg_control;
    udp->counters.writes++;
    if (udp->config.refuse != NULL) {
        int error = udp->config.refuse(udp->config.state, size, is_train);
        if (error != 0) {
            return error;
        }
    }
    ssize_t sent;
    do {
        sent = sendmsg(udp->socket, &head, MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? errno : 0;
}

/* Errors that a train may meet where its packets alone do not: the device or the path's transforms
 * cannot take it apart (EIO), or its packets are larger than the path's (EINVAL). */
static bool may_be_the_train(int error)
{
    return error == EIO || error == EINVAL || error == EOPNOTSUPP;
}

/* A train was refused, and a packet of it alone was taken: so trains are what is refused. (An error
 * that strikes both, as when this machine's own address is gone, says nothing about trains.) */
static void count_refused_train(struct pd_udp *udp)
{
    char text[PD_UDP_TEXT_MAX];
    udp->pending_is_counted = true;
    udp->counters.trains_refused++;
    udp->trains_refused++;
    if (udp->trains_refused < TRAINS_REFUSED_MAX) {
        return;
    }
    udp->has_trains = false;
    if (udp->config.note != NULL) {
        (void)snprintf(text, sizeof text,
                       "the system refused %u trains of datagrams in a row (UDP_SEGMENT): from "
                       "here on each datagram is sent alone, which takes more processor time",
                       udp->trains_refused);
        udp->config.note(udp->config.state, text);
    }
}

static void count_sent(struct pd_udp *udp, size_t size, size_t segment, bool is_train)
{
    udp->counters.sent += (size + segment - 1) / segment;
    if (is_train) {
        udp->counters.trains++;
        udp->trains_refused = 0;
    } else if (udp->pending_is_refused && !udp->pending_is_counted && size == segment) {
        count_refused_train(udp);
    }
}

/* What is left of what waits: the whole train, or packet by packet. False: the socket takes no more
 * now. */
static bool send_pending(struct pd_udp *udp)
{
    const struct pd_datagram *datagram = &udp->pending;
    size_t segment = datagram->segment_size == 0 ? datagram->size : datagram->segment_size;
    while (udp->pending_at < datagram->size) {
        size_t rest = datagram->size - udp->pending_at;
        bool is_train = udp->has_trains && !udp->pending_is_refused && rest > segment;
        size_t size = is_train || rest < segment ? rest : segment;
        int error = send_part(udp, datagram, udp->pending_at, size, is_train);
        if (error == EAGAIN || error == EWOULDBLOCK) {
            udp->counters.waits++;
            return false;
        }
        if (is_train && may_be_the_train(error)) {
            udp->pending_is_refused = true;
            continue;
        }
        if (error != 0) {
            udp->counters.refused++; /* lost, as on any path: QUIC sends it again */
        } else {
            count_sent(udp, size, segment, is_train);
        }
        udp->pending_at += size;
    }
    return true;
}

static void send_all(struct pd_udp *udp)
{
    uint64_t now_ns = pd_host_now_ns(udp->config.host);
    for (;;) {
        if (!udp->has_pending) {
            if (!udp->user.next(udp->user.state, now_ns, &udp->pending)) {
                return;
            }
            udp->pending_at = 0;
            udp->pending_is_refused = false;
            udp->pending_is_counted = false;
            udp->has_pending = true;
        }
        if (!send_pending(udp)) {
            return;
        }
        udp->has_pending = false;
    }
}

/* -- The loop ---------------------------------------------------------------------------------- */

static void on_ready(uv_poll_t *poll, int status, int events);

/* It may go off too early, when the deadline has moved away: that costs less than setting it for
 * each packet. */
static void set_alarm(struct pd_udp *udp, uint64_t deadline_ns)
{
    if (deadline_ns >= udp->alarm_ns) {
        return;
    }
    uint64_t now_ns = pd_host_now_ns(udp->config.host);
    uint64_t wait_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 1;
    const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(wait_ns / SECOND_NS),
                                                 .tv_nsec = (long)(wait_ns % SECOND_NS)}};
    int result = timerfd_settime(udp->alarm, 0, &when, NULL);
    pd_assert(result == 0);
    udp->alarm_ns = deadline_ns;
}

/* At the machine's addresses, if that is due. True: they have changed. */
static bool look_at_addresses(struct pd_udp *udp)
{
    uint64_t now_ns = pd_host_now_ns(udp->config.host);
    uint64_t looks = udp->addresses.looks;
    bool have_changed = pd_addresses_have_changed(&udp->addresses, now_ns);
    if (udp->addresses.looks != looks) {
        now_ns = pd_host_now_ns(udp->config.host);
        pd_addresses_rest(&udp->addresses, now_ns);
    }
    if (have_changed) {
        udp->counters.moves++;
        if (udp->user.moved != NULL) {
            udp->user.moved(udp->user.state, now_ns);
        }
    }
    return have_changed;
}

static void turn(struct pd_udp *udp)
{
    udp->user.turn(udp->user.state, pd_host_now_ns(udp->config.host));
    send_all(udp);
    if (udp->has_pending != udp->polls_writable) {
        udp->polls_writable = udp->has_pending;
        (void)uv_poll_start(&udp->poll, udp->has_pending ? UV_READABLE | UV_WRITABLE : UV_READABLE,
                            on_ready);
    }
    set_alarm(udp, udp->user.deadline_ns(udp->user.state));
    set_alarm(udp, pd_addresses_due_ns(&udp->addresses));
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct pd_udp *udp = poll->data;
    (void)status;
    (void)events;
    for (uint32_t i = 0; i < ROUNDS_MAX && receive(udp); i++) {
    }
    turn(udp);
}

static void on_due(uv_poll_t *timer, int status, int events)
{
    struct pd_udp *udp = timer->data;
    uint64_t times = 0;
    (void)status;
    (void)events;
    if (read(udp->alarm, &times, sizeof times) == (ssize_t)sizeof times) {
        udp->alarm_ns = PD_TIME_NEVER;
        (void)look_at_addresses(udp);
        turn(udp);
    }
}

static void on_moves(uv_poll_t *poll, int status, int events)
{
    struct pd_udp *udp = poll->data;
    (void)events;
    pd_addresses_read(&udp->addresses);
    if (status != 0) { /* there were too many words (ENOBUFS): libuv has stopped at the error */
        (void)uv_poll_start(poll, UV_READABLE, on_moves);
    }
    if (look_at_addresses(udp)) {
        turn(udp);
    } else {
        set_alarm(udp, pd_addresses_due_ns(&udp->addresses));
    }
}

static void close_handles(struct pd_udp *udp)
{
    if (udp->addresses.file >= 0) {
        uv_close((uv_handle_t *)&udp->moves, NULL);
    }
    uv_close((uv_handle_t *)&udp->poll, NULL);
    uv_close((uv_handle_t *)&udp->timer, NULL);
    uv_close((uv_handle_t *)&udp->async, NULL);
}

static void on_wake(uv_async_t *async)
{
    struct pd_udp *udp = async->data;
    turn(udp);
    if (atomic_load(&udp->is_stopping)) {
        close_handles(udp); /* nothing is left to wait for: the loop ends */
    }
}

static void run(void *argument)
{
    struct pd_udp *udp = argument;
    (void)uv_poll_start(&udp->timer, UV_READABLE, on_due);
    (void)uv_poll_start(&udp->poll, UV_READABLE, on_ready);
    if (udp->addresses.file >= 0) {
        (void)uv_poll_start(&udp->moves, UV_READABLE, on_moves);
    }
    turn(udp);
    (void)uv_run(&udp->loop, UV_RUN_DEFAULT);
}

static enum pd_status start(struct pd_datagram_loop *loop, const struct pd_datagram_user *user)
{
    struct pd_udp *udp = of(loop);
    pd_assert(!udp->is_started);
    struct pd_host *host = udp->config.host;
    udp->user = *user;
    enum pd_status status =
        host->ops->thread_start(host, "pando-net", PD_THREAD_HIGH, run, udp, &udp->thread);
    udp->is_started = status == PD_OK;
    return status;
}

static void wake(struct pd_datagram_loop *loop)
{
    (void)uv_async_send(&of(loop)->async);
}

static void stop(struct pd_datagram_loop *loop)
{
    struct pd_udp *udp = of(loop);
    if (udp->is_started) {
        atomic_store(&udp->is_stopping, true);
        wake(loop);
        udp->config.host->ops->thread_join(udp->config.host, udp->thread);
        udp->is_started = false;
    }
}

static void local(struct pd_datagram_loop *loop, struct pd_transport_address *address_out)
{
    *address_out = of(loop)->local;
}

static void counters(struct pd_datagram_loop *loop, struct pd_datagram_counters *counters_out)
{
    const struct pd_udp_counters *all = &of(loop)->counters;
    *counters_out = (struct pd_datagram_counters){
        .trains = all->trains, .trains_refused = all->trains_refused, .moves = all->moves};
}

/* -- Opening ----------------------------------------------------------------------------------- */

static void set_option(int file, int level, int name, int value)
{
    /* Each makes it better and none is needed. */
    (void)setsockopt(file, level, name, &value, sizeof value);
}

static void set_options(struct pd_udp *udp)
{
    int file = udp->socket;
    if (udp->is_v6) {
        set_option(file, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
        set_option(file, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    set_option(file, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    set_option(file, IPPROTO_IP, IP_RECVTOS, 1);
    if (udp->config.buffer_bytes > 0) {
        set_option(file, SOL_SOCKET, SO_RCVBUF, (int)udp->config.buffer_bytes);
        set_option(file, SOL_SOCKET, SO_SNDBUF, (int)udp->config.buffer_bytes);
    }
    int segment = 0;
    socklen_t size = sizeof segment;
    udp->has_trains =
        !udp->config.no_trains && getsockopt(file, SOL_UDP, UDP_SEGMENT, &segment, &size) == 0;
    set_option(file, SOL_UDP, UDP_GRO, udp->config.no_trains ? 0 : 1);
}

static enum pd_status open_socket(struct pd_udp *udp)
{
    const struct pd_transport_address *wanted = &udp->config.address;
    bool is_mapped = memcmp(wanted->ip, mapped, sizeof mapped) == 0;
    int kind = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    udp->socket = socket(AF_INET6, kind, 0);
    udp->is_v6 = udp->socket >= 0;
    if (udp->is_v6) {
        set_option(udp->socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    } else if (is_mapped) {
        udp->socket = socket(AF_INET, kind, 0);
    }
    if (udp->socket < 0) {
        return PD_ERR_IO;
    }
    union address name;
    socklen_t size = to_system(udp, wanted, &name);
    if (bind(udp->socket, &name.base, size) != 0) {
        return errno == EADDRINUSE                         ? PD_ERR_EXISTS
               : errno == EACCES || errno == EADDRNOTAVAIL ? PD_ERR_DENIED
                                                           : PD_ERR_IO;
    }
    size = sizeof name;
    if (getsockname(udp->socket, &name.base, &size) != 0) {
        return PD_ERR_IO;
    }
    from_system(&name, &udp->local);
    set_options(udp);
    return PD_OK;
}

static void close_files(struct pd_udp *udp)
{
    pd_addresses_close(&udp->addresses);
    if (udp->socket >= 0) {
        (void)close(udp->socket);
    }
    if (udp->alarm >= 0) {
        (void)close(udp->alarm);
    }
}

static bool open_loop(struct pd_udp *udp)
{
    /* The host's clock counts suspended time. */
    udp->alarm = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    udp->alarm_ns = PD_TIME_NEVER;
    if (udp->alarm < 0 || uv_loop_init(&udp->loop) != 0) {
        return false;
    }
    if (uv_async_init(&udp->loop, &udp->async, on_wake) != 0) {
        (void)uv_loop_close(&udp->loop);
        return false;
    }
    int result = uv_poll_init(&udp->loop, &udp->timer, udp->alarm);
    result |= uv_poll_init(&udp->loop, &udp->poll, udp->socket);
    if (pd_addresses_open(&udp->addresses) == PD_OK) {
        result |= uv_poll_init(&udp->loop, &udp->moves, udp->addresses.file);
    }
    pd_assert(result == 0); /* they fail for arguments only */
    udp->async.data = udp;
    udp->timer.data = udp;
    udp->poll.data = udp;
    udp->moves.data = udp;
    return true;
}

enum pd_status pd_udp_open(const struct pd_udp_config *config, char text[PD_UDP_TEXT_MAX],
                           struct pd_udp **udp_out)
{
    static const struct pd_datagram_loop_ops ops = {
        .start = start, .stop = stop, .wake = wake, .local = local, .counters = counters};
    text[0] = '\0';
    struct pd_udp *udp = pd_alloc_zeroed(1, sizeof *udp);
    if (udp == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    udp->base.ops = &ops;
    udp->config = *config;
    udp->socket = -1;
    udp->alarm = -1;
    udp->addresses.file = -1;
    enum pd_status status = open_socket(udp);
    if (status != PD_OK && config->address.port == 0) {
        (void)snprintf(text, PD_UDP_TEXT_MAX, "cannot open a UDP socket: %s", strerror(errno));
    } else if (status != PD_OK) {
        (void)snprintf(text, PD_UDP_TEXT_MAX,
                       "cannot listen for nodes on UDP port %u: %s; choose another with "
                       "--listen-peer HOST:PORT",
                       (unsigned)config->address.port, strerror(errno));
    } else if (!open_loop(udp)) {
        (void)snprintf(text, PD_UDP_TEXT_MAX, "cannot make an event loop: no memory or files");
        status = PD_ERR_NO_MEMORY;
    }
    if (status != PD_OK) {
        close_files(udp);
        pd_free(udp);
        return status;
    }
    *udp_out = udp;
    return PD_OK;
}

struct pd_datagram_loop *pd_udp_loop(struct pd_udp *udp)
{
    return &udp->base;
}

void pd_udp_close(struct pd_udp *udp)
{
    if (udp == NULL) {
        return;
    }
    pd_assert(!udp->is_started);
    if (!atomic_load(&udp->is_stopping)) {
        close_handles(udp); /* it never ran */
        (void)uv_run(&udp->loop, UV_RUN_DEFAULT);
    }
    int result = uv_loop_close(&udp->loop);
    pd_assert(result == 0);
    close_files(udp);
    pd_free(udp);
}

void pd_udp_counters(const struct pd_udp *udp, struct pd_udp_counters *counters_out)
{
    *counters_out = udp->counters;
    counters_out->has_trains = udp->has_trains;
}
