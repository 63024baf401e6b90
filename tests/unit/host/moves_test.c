/* The UDP socket on a machine whose addresses change: in a network of the test's own, where it may
 * have one. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/addresses.h"
#include "host/real.h"
#include "host/udp.h"
#include "net/address.h"

#define WAIT_MS 120000
#define NOT_ALLOWED 77
#define FLOOD_MAX 100000

/* In a child that has no place for cmocka. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* What happened on the loop's thread goes into a pipe, a letter each. */
struct world {
    struct pd_real_host *host;
    struct pd_udp *udp;
    struct pd_datagram_loop *loop;
    int configure; /* a socket for the interface's ioctls */
    int told[2];
    int other; /* a plain socket at 127.0.0.1 */
    struct pd_transport_address to;
    uint8_t letter;        /* of the datagram that leaves */
    atomic_bool must_send; /* it, with the next turn */
};

static void tell(struct world *world, char letter)
{
    MUST(write(world->told[1], &letter, 1) == 1);
}

static void on_received(void *state, uint64_t now_ns, const struct pd_datagram *datagrams,
                        uint32_t count)
{
    (void)now_ns;
    for (uint32_t i = 0; i < count; i++) {
        MUST(datagrams[i].size == 1);
        tell(state, (char)datagrams[i].bytes[0]);
    }
}

static void on_turn(void *state, uint64_t now_ns)
{
    (void)state;
    (void)now_ns;
}

static bool on_next(void *state, uint64_t now_ns, struct pd_datagram *datagram_out)
{
    struct world *world = state;
    (void)now_ns;
    if (!atomic_exchange(&world->must_send, false)) {
        return false;
    }
    *datagram_out = (struct pd_datagram){.remote = world->to, .bytes = &world->letter, .size = 1};
    return true;
}

/* The system was asked to send what `next` gave. */
static uint64_t on_deadline(void *state)
{
    tell(state, 't');
    return PD_TIME_NEVER;
}

static void on_moved(void *state, uint64_t now_ns)
{
    (void)now_ns;
    tell(state, 'm');
}

/* Wait until this has happened. */
static void wait_for(struct world *world, char wanted)
{
    char letter = 0;
    while (letter != wanted) {
        struct pollfd watched = {.fd = world->told[0], .events = POLLIN};
        MUST(poll(&watched, 1, WAIT_MS) == 1);
        MUST(read(world->told[0], &letter, 1) == 1);
    }
}

/* Forget what has happened. */
static void drain(struct world *world)
{
    char letter;
    struct pollfd watched = {.fd = world->told[0], .events = POLLIN};
    while (poll(&watched, 1, 0) == 1) {
        MUST(read(world->told[0], &letter, 1) == 1);
    }
}

/* -- The network ------------------------------------------------------------------------------- */

static bool enter_own_network(void)
{
    return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

/* Beside 127.0.0.1; there is none of these. */
static void add_address(struct world *world, const char *text)
{
    struct ifreq request = {.ifr_name = "lo:1"};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    MUST(inet_pton(AF_INET, text, &v4.sin_addr) == 1);
    memcpy(&request.ifr_addr, &v4, sizeof v4);
    MUST(ioctl(world->configure, SIOCSIFADDR, &request) == 0);
}

static void remove_address(struct world *world)
{
    struct ifreq request = {.ifr_name = "lo:1"};
    MUST(ioctl(world->configure, SIOCSIFFLAGS, &request) == 0);
}

static void prepare(struct world *world)
{
    memset(world, 0, sizeof *world);
    MUST(pipe(world->told) == 0);
    world->configure = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(world->configure >= 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    MUST(ioctl(world->configure, SIOCSIFFLAGS, &request) == 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    world->other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(world->other >= 0 && bind(world->other, (struct sockaddr *)&name, size) == 0);
    MUST(getsockname(world->other, (struct sockaddr *)&name, &size) == 0);
    MUST(pd_net_address_parse("127.0.0.1:1", &world->to) == PD_OK);
    world->to.port = ntohs(name.sin_port);
}

static void open_udp(struct world *world, const char *address)
{
    char text[PD_UDP_TEXT_MAX];
    MUST(pd_real_host_create(1, 16, &world->host) == PD_OK);
    struct pd_udp_config config = {.host = pd_real_host_interface(world->host)};
    MUST(pd_net_address_parse(address, &config.address) == PD_OK);
    MUST(pd_udp_open(&config, text, &world->udp) == PD_OK);
    world->loop = pd_udp_loop(world->udp);
}

static void start(struct world *world)
{
    const struct pd_datagram_user user = {.received = on_received,
                                          .turn = on_turn,
                                          .next = on_next,
                                          .deadline_ns = on_deadline,
                                          .moved = on_moved,
                                          .state = world};
    MUST(world->loop->ops->start(world->loop, &user) == PD_OK);
}

static struct pd_udp_counters end(struct world *world)
{
    struct pd_udp_counters counters;
    world->loop->ops->stop(world->loop);
    pd_udp_counters(world->udp, &counters);
    pd_udp_close(world->udp);
    pd_real_host_destroy(world->host);
    return counters;
}

static uint64_t now(const struct world *world)
{
    return pd_host_now_ns(pd_real_host_interface(world->host));
}

/* -- Steps ------------------------------------------------------------------------------------- */

/* So many changes that the system has no room for what it says: libuv gives up a file that has an
 * error. */
static void overflow(void)
{
    struct world world;
    struct pd_addresses twin;
    uint8_t byte;
    prepare(&world);
    open_udp(&world, "0.0.0.0:0");
    MUST(pd_addresses_open(&twin) == PD_OK);
    errno = 0;
    for (uint32_t i = 0; i < FLOOD_MAX && errno != ENOBUFS; i++) {
        if (i > 0) {
            remove_address(&world);
        }
        add_address(&world, "192.0.2.1");
        /* The error comes before what waits. */
        MUST(i % 100 != 99 || recv(twin.file, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0 ||
             errno == ENOBUFS);
    }
    MUST(errno == ENOBUFS);
    pd_addresses_close(&twin);
    start(&world);
    wait_for(&world, 'm');
    remove_address(&world); /* and on it goes */
    wait_for(&world, 'm');
    add_address(&world, "192.0.2.1");
    wait_for(&world, 'm');
    MUST(end(&world).moves == 3);
}

/* However often they change. */
static void flap(void)
{
    struct world world;
    prepare(&world);
    open_udp(&world, "0.0.0.0:0");
    start(&world);
    uint64_t begun_ns = now(&world);
    add_address(&world, "192.0.2.1");
    for (uint32_t i = 0; i < 1000; i++) {
        remove_address(&world);
        add_address(&world, "192.0.2.1");
    }
    wait_for(&world, 'm');
    world.loop->ops->stop(world.loop);
    uint64_t pauses = (now(&world) - begun_ns) / PD_ADDRESSES_PAUSE_NS;
    struct pd_udp_counters counters = end(&world);
    MUST(counters.moves >= 1);
    MUST(counters.moves <= pauses + 1);
}

/* A datagram there, and one back. The one there may be in vain. */
static void exchange(struct world *world, uint8_t letter, bool arrives)
{
    struct pd_transport_address local;
    uint8_t taken = 0;
    drain(world);
    world->letter = letter;
    atomic_store(&world->must_send, true);
    world->loop->ops->wake(world->loop);
    wait_for(world, 't');
    if (!arrives) {
        MUST(recv(world->other, &taken, 1, MSG_DONTWAIT) < 0);
        return;
    }
    struct pollfd watched = {.fd = world->other, .events = POLLIN};
    MUST(poll(&watched, 1, WAIT_MS) == 1);
    MUST(recv(world->other, &taken, 1, MSG_DONTWAIT) == 1 && taken == letter);
    world->loop->ops->local(world->loop, &local);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(local.port)};
    MUST(inet_pton(AF_INET, "192.0.2.1", &name.sin_addr) == 1);
    MUST(sendto(world->other, &letter, 1, 0, (struct sockaddr *)&name, sizeof name) == 1);
    wait_for(world, (char)letter);
}

static void leave_and_return(void)
{
    struct world world;
    prepare(&world);
    add_address(&world, "192.0.2.1");
    open_udp(&world, "192.0.2.1:0");
    start(&world);
    exchange(&world, 'A', true);
    for (uint8_t i = 0; i < 3; i++) {
        remove_address(&world);
        wait_for(&world, 'm');
        exchange(&world, (uint8_t)('B' + i), false);
        add_address(&world, "192.0.2.1");
        wait_for(&world, 'm');
        exchange(&world, (uint8_t)('F' + i), true);
    }
    struct pd_udp_counters counters = end(&world);
    MUST(counters.refused == 3);
    MUST(counters.sent == 4);
    MUST(counters.moves == 6);
}

static void in_own_network(void (*steps)(void))
{
    int result = 0;
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        if (!enter_own_network()) {
            _exit(NOT_ALLOWED);
        }
        steps();
        _exit(0);
    }
    assert_int_equal(waitpid(process, &result, 0), process);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == NOT_ALLOWED) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(result), 0);
}

static void words_without_room_are_not_missed(void **state)
{
    (void)state;
    in_own_network(overflow);
}

static void many_changes_are_few_moves(void **state)
{
    (void)state;
    in_own_network(flap);
}

static void a_socket_at_one_address_works_again_when_that_returns(void **state)
{
    (void)state;
    in_own_network(leave_and_return);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_without_room_are_not_missed),
        cmocka_unit_test(many_changes_are_few_moves),
        cmocka_unit_test(a_socket_at_one_address_works_again_when_that_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
