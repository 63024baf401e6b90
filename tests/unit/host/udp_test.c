/* The UDP socket: trains that the system refuses, one of them, some of them, all of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/real.h"
#include "host/udp.h"
#include "net/address.h"

#define WAIT_S 120
#define TRAINS_MAX 64u
#define SEGMENT 100u
#define TRAIN_SIZE (2 * SEGMENT + 50) /* three datagrams, the last one shorter */
#define REFUSED_MAX 16u               /* in a row, then there are no more trains */

/* Sends `train_count` trains to a plain socket. */
struct sender {
    struct pd_real_host *host;
    struct pd_udp *udp;
    int receiver;
    struct pd_transport_address to;
    uint8_t bytes[TRAIN_SIZE];
    uint32_t train_count;
    /* The loop's. */
    uint32_t train;               /* how many it has been given */
    int train_errors[TRAINS_MAX]; /* of each train, as one */
    int errors[TRAINS_MAX];       /* of each of its datagrams alone */
    bool spares_short;            /* but the last, shorter one */
    bool is_full;                 /* once before each datagram alone */
    bool was_full;
    uint32_t trains_asked;
    uint32_t notes;
    uint32_t odd; /* what should not be */
};

static int on_refuse(void *state, size_t size, bool is_train)
{
    struct sender *sender = state;
    uint32_t at = sender->train - 1;
    if (is_train) {
        sender->odd += size == TRAIN_SIZE ? 0 : 1;
        sender->trains_asked++;
        return sender->train_errors[at];
    }
    sender->odd += size <= SEGMENT ? 0 : 1;
    if (sender->is_full && !sender->was_full) {
        sender->was_full = true;
        return EAGAIN;
    }
    sender->was_full = false;
    return sender->spares_short && size < SEGMENT ? 0 : sender->errors[at];
}

static void on_note(void *state, const char *text)
{
    struct sender *sender = state;
    sender->odd += strstr(text, "UDP_SEGMENT") != NULL ? 0 : 1;
    sender->notes++;
}

static void on_received(void *state, uint64_t now_ns, const struct pd_datagram *datagrams,
                        uint32_t count)
{
    (void)state;
    (void)now_ns;
    (void)datagrams;
    (void)count;
}

static void on_turn(void *state, uint64_t now_ns)
{
    (void)state;
    (void)now_ns;
}

static bool on_next(void *state, uint64_t now_ns, struct pd_datagram *datagram_out)
{
    struct sender *sender = state;
    (void)now_ns;
    if (sender->train == sender->train_count) {
        return false;
    }
    sender->train++;
    *datagram_out = (struct pd_datagram){
        .remote = sender->to, .bytes = sender->bytes, .size = TRAIN_SIZE, .segment_size = SEGMENT};
    return true;
}

static uint64_t on_deadline(void *state)
{
    (void)state;
    return PD_TIME_NEVER;
}

static void open_receiver(struct sender *sender)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    const struct timeval wait = {.tv_sec = WAIT_S};
    sender->receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(sender->receiver >= 0);
    assert_int_equal(setsockopt(sender->receiver, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    assert_int_equal(bind(sender->receiver, (struct sockaddr *)&name, size), 0);
    assert_int_equal(getsockname(sender->receiver, (struct sockaddr *)&name, &size), 0);
    assert_int_equal(pd_net_address_parse("127.0.0.1:1", &sender->to), PD_OK);
    sender->to.port = ntohs(name.sin_port);
}

static void close_all(struct sender *sender)
{
    pd_udp_close(sender->udp);
    pd_real_host_destroy(sender->host);
    (void)close(sender->receiver);
}

static void prepare(struct sender *sender, uint32_t train_count)
{
    char text[PD_UDP_TEXT_MAX];
    struct pd_udp_counters counters;
    memset(sender, 0, sizeof *sender);
    open_receiver(sender);
    assert_int_equal(pd_real_host_create(1, 16, &sender->host), PD_OK);
    struct pd_udp_config config = {.host = pd_real_host_interface(sender->host),
                                   .note = on_note,
                                   .refuse = on_refuse,
                                   .state = sender};
    assert_int_equal(pd_net_address_parse("127.0.0.1:0", &config.address), PD_OK);
    assert_int_equal(pd_udp_open(&config, text, &sender->udp), PD_OK);
    sender->train_count = train_count;
    pd_udp_counters(sender->udp, &counters);
    if (!counters.has_trains) {
        close_all(sender);
        skip(); /* a kernel without UDP_SEGMENT */
    }
}

/* All trains leave; so many of their datagrams come, of which so many are short, none more. */
static struct pd_udp_counters run(struct sender *sender, uint32_t datagram_count,
                                  uint32_t short_count)
{
    const struct pd_datagram_user user = {.received = on_received,
                                          .turn = on_turn,
                                          .next = on_next,
                                          .deadline_ns = on_deadline,
                                          .state = sender};
    struct pd_datagram_loop *loop = pd_udp_loop(sender->udp);
    struct pd_udp_counters counters;
    uint8_t bytes[2 * TRAIN_SIZE];
    uint32_t short_ones = 0;
    assert_int_equal(loop->ops->start(loop, &user), PD_OK);
    for (uint32_t i = 0; i < datagram_count; i++) {
        ssize_t size = recv(sender->receiver, bytes, sizeof bytes, 0);
        assert_true(size == SEGMENT || size == TRAIN_SIZE % SEGMENT);
        short_ones += size == SEGMENT ? 0 : 1;
    }
    loop->ops->stop(loop);
    assert_int_equal(sender->train, sender->train_count);
    assert_int_equal(short_ones, short_count);
    assert_true(recv(sender->receiver, bytes, sizeof bytes, MSG_DONTWAIT) < 0);
    pd_udp_counters(sender->udp, &counters);
    assert_int_equal(counters.sent, datagram_count);
    struct pd_datagram_counters told;
    loop->ops->counters(loop, &told);
    assert_int_equal(told.trains, counters.trains);
    assert_int_equal(told.trains_refused, counters.trains_refused);
    assert_int_equal(told.moves, counters.moves);
    assert_int_equal(sender->odd, 0);
    close_all(sender);
    return counters;
}

static void a_train_that_is_refused_leaves_packet_by_packet(void **state)
{
    (void)state;
    static const int errors[] = {EIO, EINVAL, EOPNOTSUPP};
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t is_full = 0; is_full < 2; is_full++) {
            struct sender sender;
            prepare(&sender, 3);
            sender.train_errors[1] = errors[i];
            sender.is_full = is_full == 1; /* each packet waits for the socket */
            struct pd_udp_counters counters = run(&sender, 9, 3);
            assert_true(counters.has_trains);
            assert_int_equal(counters.trains, 2);
            assert_int_equal(counters.trains_refused, 1);
            assert_int_equal(counters.refused, 0);
            assert_int_equal(counters.waits, is_full == 1 ? 3 : 0);
            assert_int_equal(sender.trains_asked, 3);
            assert_int_equal(sender.notes, 0);
        }
    }
}

static void trains_go_on_while_some_are_taken(void **state)
{
    (void)state;
    struct sender sender;
    prepare(&sender, 3 * REFUSED_MAX);
    for (uint32_t i = 0; i < 3 * REFUSED_MAX; i++) {
        sender.train_errors[i] = i % REFUSED_MAX == REFUSED_MAX - 1 ? 0 : EIO;
    }
    struct pd_udp_counters counters = run(&sender, 9 * REFUSED_MAX, 3 * REFUSED_MAX);
    assert_true(counters.has_trains);
    assert_int_equal(counters.trains, 3);
    assert_int_equal(counters.trains_refused, 3 * (REFUSED_MAX - 1));
    assert_int_equal(sender.trains_asked, 3 * REFUSED_MAX);
    assert_int_equal(sender.notes, 0);
}

static void trains_end_when_none_is_taken(void **state)
{
    (void)state;
    struct sender sender;
    prepare(&sender, 2 * REFUSED_MAX);
    for (uint32_t i = 0; i < 2 * REFUSED_MAX; i++) {
        sender.train_errors[i] = EIO;
    }
    struct pd_udp_counters counters = run(&sender, 6 * REFUSED_MAX, 2 * REFUSED_MAX);
    assert_false(counters.has_trains);
    assert_int_equal(counters.trains, 0);
    assert_int_equal(counters.trains_refused, REFUSED_MAX);
    assert_int_equal(sender.trains_asked, REFUSED_MAX); /* nobody asks any more */
    assert_int_equal(sender.notes, 1);
}

static void check_lost_either_way(bool spares_short)
{
    struct sender sender;
    uint32_t lost = 2 * REFUSED_MAX;
    prepare(&sender, lost + 2);
    for (uint32_t i = 1; i <= lost; i++) {
        sender.train_errors[i] = EINVAL;
        sender.errors[i] = spares_short ? EMSGSIZE : EINVAL;
    }
    sender.spares_short = spares_short;
    uint32_t spared = spares_short ? lost : 0;
    struct pd_udp_counters counters = run(&sender, 6 + spared, 2 + spared);
    assert_true(counters.has_trains);
    assert_int_equal(counters.trains, 2);
    assert_int_equal(counters.trains_refused, 0);
    assert_int_equal(counters.refused, 3 * lost - spared);
    assert_int_equal(sender.trains_asked, lost + 2);
    assert_int_equal(sender.notes, 0);
}

/* What strikes each packet too is not the trains' fault. */
static void what_is_lost_either_way_is_not_counted(void **state)
{
    (void)state;
    check_lost_either_way(false); /* this machine's own address is gone */
    check_lost_either_way(true);  /* the path's packets are smaller than the train's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_train_that_is_refused_leaves_packet_by_packet),
        cmocka_unit_test(trains_go_on_while_some_are_taken),
        cmocka_unit_test(trains_end_when_none_is_taken),
        cmocka_unit_test(what_is_lost_either_way_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
