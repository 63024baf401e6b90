/* lunatic::networking over real loopback sockets: TCP. */
#include <errno.h>

#include "net_world.h"

static void bytes_go_both_ways_and_end(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, actor, &near, &far);
    net_write(f, actor, near, "ping");
    net_expect(f, actor, "tcp_peek", far, "ping");
    net_expect(f, actor, "tcp_peek", far, "ping"); /* it never takes */
    net_expect(f, actor, "tcp_read", far, "ping");
    net_write(f, actor, far, "pong");
    assert_int_equal(CALL(actor, NET, "tcp_flush", far, OUT_AT), 0);
    net_expect(f, actor, "tcp_read", near, "pong");
    (void)CALL(actor, NET, "drop_tcp_stream", near);
    net_expect(f, actor, "tcp_read", far, ""); /* the end */
    net_expect(f, actor, "tcp_peek", far, "");
    /* A reset is an error, and no signal ends the program. */
    pd_put_u32(actor_memory(actor, VECTORS_AT), DATA_AT);
    pd_put_u32(actor_memory(actor, VECTORS_AT + 4), 4);
    uint64_t result = 0;
    for (int i = 0; i < 1000 && result == 0; i++) {
        result = WAIT_CALL(f, actor, "tcp_write_vectored", far, VECTORS_AT, 1, OUT_AT);
    }
    assert_int_equal(result, 1);
    assert_says(net_error(f, actor), "writing: Broken pipe (os error 32)");
}

/* An answer in two writes takes no longer because who asked acknowledges the first late. */
static void small_writes_are_not_held_back(void **state)
{
    struct net_fixture *f = *state;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, &f->actor, &near, &far);
    const struct pd_id_table *streams = &actor_wasm(&f->actor)->net->streams;
    assert_true(net_sends_at_once(streams, near)); /* connected */
    assert_true(net_sends_at_once(streams, far));  /* accepted */
}

static void several_parts_are_one_write(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, actor, &near, &far);
    (void)actor_put(actor, DATA_AT, "onetwothree");
    const uint32_t parts[] = {DATA_AT, 3, FAKE_MEMORY_SIZE, 0, DATA_AT + 3, 3, DATA_AT + 6, 5};
    for (uint32_t i = 0; i < 8; i++) {
        pd_put_u32(actor_memory(actor, VECTORS_AT + 4 * i), parts[i]);
    }
    assert_int_equal(WAIT_CALL(f, actor, "tcp_write_vectored", near, VECTORS_AT, 4, OUT_AT), 0);
    assert_int_equal(net_out(actor), 11);
    net_expect(f, actor, "tcp_read", far, "onetwothree");
    assert_int_equal(WAIT_CALL(f, actor, "tcp_write_vectored", near, VECTORS_AT, 0, OUT_AT), 0);
    assert_int_equal(net_out(actor), 0);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_read", far, DATA_AT, 0, OUT_AT), 0);
    assert_int_equal(net_out(actor), 0);
}

static void a_reader_waits_and_only_it(void **state)
{
    struct net_fixture *f = *state;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, &f->actor, &near, &far);
    struct actor reader = net_actor(f, "none"); /* who was given a stream needs no right */
    actor_create_message(&f->actor, 5, "take it");
    assert_int_equal(CALL(&f->actor, MESSAGE, "push_tcp_stream", far), 0);
    (void)CALL(&f->actor, MESSAGE, "send", reader.pid);
    assert_int_equal(CALL(&reader, MESSAGE, "receive", 0, 0, 0), 0);
    uint64_t stream = CALL(&reader, MESSAGE, "take_tcp_stream", 0);
    BEGIN(&reader, NET, "tcp_read", stream, DATA_AT, 1000, OUT_AT);
    assert_true(actor_is_waiting(&reader));
    net_write(f, &f->actor, near, "at last"); /* others go on */
    net_poll(f, &reader);
    assert_int_equal(actor_result(&reader), 0);
    assert_int_equal(net_out(&reader), 7);
    /* The sender has it no more. */
    assert_says(TRAP(&f->actor, NET, "tcp_read", far, DATA_AT, 10, OUT_AT), "no TCP stream");
}

static void what_a_message_carries_is_closed_with_it(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, actor, &near, &far);
    uint64_t clone = CALL(actor, NET, "clone_tcp_stream", near);
    uint32_t before = pd_real_sockets_count(f->sockets);
    /* Nobody has this pid. */
    actor_create_message(actor, 5, "lost");
    (void)CALL(actor, MESSAGE, "push_tcp_stream", near);
    (void)CALL(actor, MESSAGE, "send", 4711);
    assert_int_equal(pd_real_sockets_count(f->sockets), before); /* the clone keeps it */
    net_write(f, actor, clone, "still there");
    net_expect(f, actor, "tcp_read", far, "still there");
    actor_create_message(actor, 5, "lost");
    (void)CALL(actor, MESSAGE, "push_tcp_stream", clone);
    (void)CALL(actor, MESSAGE, "create_data", 0, 0); /* replaces it */
    assert_int_equal(pd_real_sockets_count(f->sockets), before - 1);
    net_expect(f, actor, "tcp_read", far, "");
    /* In the mailbox of one that is killed. */
    struct actor victim = net_actor(f, "none");
    actor_create_message(actor, 5, "lost");
    (void)CALL(actor, MESSAGE, "push_tcp_stream", far);
    (void)CALL(actor, MESSAGE, "send", victim.pid);
    assert_int_equal(pd_real_sockets_count(f->sockets), before - 1);
    net_kill(f, &victim);
    assert_int_equal(pd_real_sockets_count(f->sockets), before - 2);
}

static void what_is_taken_must_be_there(void **state)
{
    struct net_fixture *f = *state;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, &f->actor, &near, &far);
    (void)CALL(&f->actor, MESSAGE, "create_data", 0, 0);
    (void)CALL(&f->actor, MESSAGE, "push_tcp_stream", near);
    (void)CALL(&f->actor, MESSAGE, "push_tcp_stream", far);
    /* A message of one's own can be taken apart again; other indexes stay. */
    near = CALL(&f->actor, MESSAGE, "take_tcp_stream", 0);
    far = CALL(&f->actor, MESSAGE, "take_tcp_stream", 1);
    net_write(f, &f->actor, near, "x");
    net_expect(f, &f->actor, "tcp_read", far, "x");
    static const uint64_t wrong[] = {0, 2, 255, 256, UINT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct actor actor = net_actor(f, "local");
        (void)CALL(&actor, MESSAGE, "create_data", 0, 0);
        assert_says(TRAP(&actor, MESSAGE, "take_tcp_stream", wrong[i]), "no TCP stream at index");
    }
    struct actor actor = net_actor(f, "local");
    net_pair(f, &actor, &near, &far);
    (void)CALL(&actor, MESSAGE, "create_data", 0, 0);
    (void)CALL(&actor, MESSAGE, "push_tcp_stream", near);
    assert_says(TRAP(&actor, MESSAGE, "take_udp_socket", 0), "no UDP socket at index");
}

static void timeouts_end_a_wait(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, actor, &near, &far);
    static const char *const gets[] = {"get_read_timeout", "get_write_timeout", "get_peek_timeout"};
    static const char *const sets[] = {"set_read_timeout", "set_write_timeout", "set_peek_timeout"};
    uint64_t clone = CALL(actor, NET, "clone_tcp_stream", far);
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(CALL(actor, NET, gets[i], far) == FOREVER);
        (void)CALL(actor, NET, sets[i], far, 50 + i);
        assert_int_equal(CALL(actor, NET, gets[i], clone), 50 + i); /* clones share them */
    }
    uint64_t began_ns = f->world.host.now_ns;
    assert_int_equal(CALL(actor, NET, "tcp_read", far, DATA_AT, 10, OUT_AT), TIMED_OUT);
    assert_in_range(f->world.host.now_ns - began_ns, 50 * MS, 51 * MS);
    assert_int_equal(CALL(actor, NET, "tcp_peek", far, DATA_AT, 10, OUT_AT), TIMED_OUT);
    assert_in_range(f->world.host.now_ns - began_ns, 102 * MS, 104 * MS);
    (void)CALL(actor, NET, "set_read_timeout", far, 0); /* only look */
    assert_int_equal(CALL(actor, NET, "tcp_read", far, DATA_AT, 10, OUT_AT), TIMED_OUT);
    net_write(f, actor, near, "here");
    net_expect(f, actor, "tcp_peek", far, "here");
    net_expect(f, actor, "tcp_read", far, "here");
}

/* Milliseconds that no count of nanoseconds holds are for ever, and not a time that is over. */
static void the_longest_timeouts_last(void **state)
{
    struct net_fixture *f = *state;
    static const uint64_t ages[] = {UINT64_MAX / 1000000, UINT64_C(1) << 63, UINT64_MAX - 1};
    static const char *const calls[][2] = {{"set_read_timeout", "tcp_read"},
                                           {"set_peek_timeout", "tcp_peek"}};
    for (size_t i = 0; i < 3 * 2; i++) {
        struct actor reader = net_actor(f, "local");
        uint64_t near = 0;
        uint64_t far = 0;
        net_pair(f, &reader, &near, &far);
        (void)CALL(&reader, NET, calls[i % 2][0], far, ages[i / 2]);
        BEGIN(&reader, NET, calls[i % 2][1], far, DATA_AT, 10, OUT_AT);
        world_pass(&f->world, 1000 * MS);
        assert_true(actor_is_waiting(&reader));
        net_kill(f, &reader);
    }
    for (size_t i = 0; i < 3; i++) { /* nobody polls: it is neither connected nor found */
        struct actor client = net_actor(f, "local");
        uint32_t size = actor_put(&client, DATA_AT, "localhost:1");
        BEGIN(&client, NET, "resolve", DATA_AT, size, ages[i], OUT_AT);
        world_pass(&f->world, 1000 * MS);
        assert_true(actor_is_waiting(&client));
        net_kill(f, &client);
    }
}

/* As much as the peer's and the own buffers take. */
static void fill(struct actor *actor, uint64_t stream)
{
    pd_put_u32(actor_memory(actor, VECTORS_AT), 0);
    pd_put_u32(actor_memory(actor, VECTORS_AT + 4), FAKE_MEMORY_SIZE);
    (void)CALL(actor, NET, "set_write_timeout", stream, 0);
    uint64_t result = 0;
    for (int i = 0; i < 10000 && result == 0; i++) {
        result = CALL(actor, NET, "tcp_write_vectored", stream, VECTORS_AT, 1, OUT_AT);
        pd_put_u32(actor_memory(actor, VECTORS_AT), 0);
        pd_put_u32(actor_memory(actor, VECTORS_AT + 4), FAKE_MEMORY_SIZE);
    }
    assert_int_equal(result, TIMED_OUT);
    (void)CALL(actor, NET, "set_write_timeout", stream, FOREVER);
}

static void a_writer_waits_for_room(void **state)
{
    struct net_fixture *f = *state;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, &f->actor, &near, &far);
    struct actor writer = net_actor(f, "none");
    (void)CALL(&f->actor, MESSAGE, "create_data", 0, 0);
    (void)CALL(&f->actor, MESSAGE, "push_tcp_stream", near);
    (void)CALL(&f->actor, MESSAGE, "send", writer.pid);
    assert_int_equal(CALL(&writer, MESSAGE, "receive", 0, 0, 0), 0);
    uint64_t stream = CALL(&writer, MESSAGE, "take_tcp_stream", 0);
    fill(&writer, stream);
    BEGIN(&writer, NET, "tcp_write_vectored", stream, VECTORS_AT, 1, OUT_AT);
    assert_true(actor_is_waiting(&writer));
    for (int i = 0; i < 10000 && actor_is_waiting(&writer); i++) {
        assert_int_equal(WAIT_CALL(f, &f->actor, "tcp_read", far, 8192, 57000, OUT_AT), 0);
        (void)pd_real_sockets_poll(f->sockets, 0);
        world_pass(&f->world, 0);
    }
    assert_int_equal(actor_result(&writer), 0);
    assert_true(net_out(&writer) > 0);
}

static void a_kill_ends_every_wait(void **state)
{
    struct net_fixture *f = *state;
    uint16_t port = 0;
    struct actor acceptor = net_actor(f, "local");
    uint64_t listener = net_listen(&acceptor, &port);
    BEGIN(&acceptor, NET, "tcp_accept", listener, OUT_AT, PEER_AT);
    assert_true(actor_is_waiting(&acceptor));
    net_kill(f, &acceptor);
    static const char *const names[] = {"tcp_read", "tcp_peek"};
    for (int i = 0; i < 2; i++) {
        struct actor reader = net_actor(f, "local");
        uint64_t near = 0;
        uint64_t far = 0;
        net_pair(f, &reader, &near, &far);
        BEGIN(&reader, NET, names[i], far, DATA_AT, 10, OUT_AT);
        assert_true(actor_is_waiting(&reader));
        net_kill(f, &reader);
    }
    struct actor writer = net_actor(f, "local");
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, &writer, &near, &far);
    fill(&writer, near);
    BEGIN(&writer, NET, "tcp_write_vectored", near, VECTORS_AT, 1, OUT_AT);
    assert_true(actor_is_waiting(&writer));
    net_kill(f, &writer);
    (void)pd_real_sockets_poll(f->sockets, 0);
    assert_int_equal(pd_real_sockets_count(f->sockets), 0);
}

/* Its event and its death at once: the event came first, and finds nobody. */
static void a_kill_beside_the_event_is_harmless(void **state)
{
    struct net_fixture *f = *state;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, &f->actor, &near, &far);
    struct actor reader = net_actor(f, "none");
    (void)CALL(&f->actor, MESSAGE, "create_data", 0, 0);
    (void)CALL(&f->actor, MESSAGE, "push_tcp_stream",
               CALL(&f->actor, NET, "clone_tcp_stream", far));
    (void)CALL(&f->actor, MESSAGE, "send", reader.pid);
    assert_int_equal(CALL(&reader, MESSAGE, "receive", 0, 0, 0), 0);
    uint64_t stream = CALL(&reader, MESSAGE, "take_tcp_stream", 0);
    BEGIN(&reader, NET, "tcp_read", stream, DATA_AT, 1000, OUT_AT);
    net_write(f, &f->actor, near, "for whom?");
    net_kill(f, &reader);
    (void)pd_real_sockets_poll(f->sockets, 0);
    net_expect(f, &f->actor, "tcp_read", far, "for whom?"); /* nothing is lost */
}

/* A connection is being made, and never is: the backlog of the listener is full. */
static void a_connect_times_out_and_can_be_killed(void **state)
{
    struct net_fixture *f = *state;
    uint64_t result = 0;
    uint16_t port = 0;
    struct pd_sockets *sockets = f->world.system.sockets;
    struct pd_socket_address address = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    struct pd_socket *listener = NULL;
    assert_int_equal(sockets->ops->listen(sockets, 1, &address, true, &listener), 0);
    assert_int_equal(sockets->ops->local_address(listener, &address), 0);
    port = address.port;
    net_put_local(&f->actor, 4);
    /* The system queues at most as many as were asked for, or less where it is so set up. */
    for (int i = 0; i < 2 * PD_SOCKET_BACKLOG + 4000 && result == 0; i++) {
        BEGIN(&f->actor, NET, "tcp_connect", 4, IP_AT, port, 0, 0, 5, OUT_AT);
        (void)pd_real_sockets_poll(f->sockets, 0);
        actor_finish(&f->actor);
        result = actor_result(&f->actor);
    }
    if (result == TIMED_OUT) {
        struct actor victim = net_actor(f, "local");
        uint32_t before = pd_real_sockets_count(f->sockets);
        net_put_local(&victim, 4);
        BEGIN(&victim, NET, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT);
        assert_true(actor_is_waiting(&victim));
        assert_int_equal(pd_real_sockets_count(f->sockets), before + 1);
        net_kill(f, &victim);
        assert_int_equal(pd_real_sockets_count(f->sockets), before);
    } else {
        assert_int_equal(result, 1); /* descriptors or sockets ran out before */
        (void)net_error(f, &f->actor);
    }
    sockets->ops->close(listener);
}

static void errors_have_words(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint16_t port = 0;
    uint64_t listener = net_listen(actor, &port);
    assert_int_equal(CALL(actor, NET, "tcp_bind", 4, IP_AT, port, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, actor), "Address already in use (os error 98)");
    (void)CALL(actor, NET, "drop_tcp_listener", listener);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 1);
    assert_says(net_error(f, actor), "Connection refused (os error 111)");
    /* The end of descriptors. */
    pd_real_sockets_set_max(f->sockets, 1);
    listener = net_listen(actor, &port);
    assert_int_equal(CALL(actor, NET, "tcp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, actor), "Too many open files (os error 24)");
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 1);
    assert_says(net_error(f, actor), "Too many open files (os error 24)");
    pd_real_sockets_set_max(f->sockets, 2);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_accept", listener, OUT_AT, PEER_AT), 1);
    assert_says(net_error(f, actor), "Too many open files (os error 24)");
}

/* One environment leaves some to others, and a connection that has no place yet is not lost. */
static void an_environment_has_its_share(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    struct pd_sockets *sockets = f->world.system.sockets;
    struct pd_socket_address address = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    struct pd_socket *theirs = NULL;
    struct pd_socket *more = NULL;
    uint16_t port = 0;
    pd_real_sockets_set_max(f->sockets, 4);
    uint64_t listener = net_listen(actor, &port);
    uint64_t spare = net_listen(actor, &(uint16_t){0});
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    uint64_t near = net_out(actor);
    net_write(f, actor, near, "patience");
    assert_int_equal(WAIT_CALL(f, actor, "tcp_accept", listener, OUT_AT, PEER_AT), 1);
    assert_says(net_error(f, actor), "Too many open files (os error 24)");
    assert_int_equal(sockets->ops->listen(sockets, 77, &address, true, &theirs), 0);
    assert_int_equal(sockets->ops->listen(sockets, 77, &address, true, &more), EMFILE);
    /* Nobody has come to this one: it waits, and does not fail again and again. */
    BEGIN(actor, NET, "tcp_accept", spare, OUT_AT, PEER_AT);
    assert_true(actor_is_waiting(actor));
    struct actor other = net_actor(f, "local");
    net_kill(f, actor);
    assert_int_equal(pd_real_sockets_count(f->sockets), 1);
    sockets->ops->close(theirs);
    /* Once more, and then there is room. */
    *actor = other;
    listener = net_listen(actor, &port);
    spare = net_listen(actor, &(uint16_t){0});
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    near = net_out(actor);
    net_write(f, actor, near, "patience");
    assert_int_equal(WAIT_CALL(f, actor, "tcp_accept", listener, OUT_AT, PEER_AT), 1);
    (void)net_error(f, actor);
    (void)CALL(actor, NET, "drop_tcp_listener", spare);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_accept", listener, OUT_AT, PEER_AT), 0);
    net_expect(f, actor, "tcp_read", net_out(actor), "patience");
}

static int no_wait(struct pd_socket *socket, struct pd_socket_wait *wait)
{
    (void)socket;
    (void)wait;
    return ENOSPC;
}

/* The system may refuse to tell of events: an error of the call, which ends nobody. */
static void a_wait_that_cannot_be_is_an_error(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    struct pd_sockets *sockets = f->world.system.sockets;
    const struct pd_sockets_ops *ops = sockets->ops;
    struct pd_sockets_ops refusing = *ops;
    uint64_t near = 0;
    uint64_t far = 0;
    refusing.wait = no_wait;
    net_pair(f, actor, &near, &far);
    struct actor reader = net_actor(f, "local");
    (void)CALL(actor, MESSAGE, "create_data", 0, 0);
    assert_int_equal(CALL(actor, MESSAGE, "push_tcp_stream", far), 0);
    (void)CALL(actor, MESSAGE, "send", reader.pid);
    assert_int_equal(CALL(&reader, MESSAGE, "receive", 0, 0, 0), 0);
    far = CALL(&reader, MESSAGE, "take_tcp_stream", 0);
    sockets->ops = &refusing;
    assert_int_equal(CALL(&reader, NET, "tcp_read", far, DATA_AT, 10, OUT_AT), 1);
    assert_says(net_error(f, &reader), "waiting for a socket: ");
    sockets->ops = ops; /* and when it waits a second time */
    BEGIN(&reader, NET, "tcp_read", far, DATA_AT, 10, OUT_AT);
    sockets->ops = &refusing;
    pd_wasm_wake(actor_wasm(&reader)->process);
    world_pass(&f->world, MS);
    assert_int_equal(actor_result(&reader), 1);
    assert_says(net_error(f, &reader), "No space left on device (os error 28)");
    sockets->ops = ops;
    net_write(f, actor, near, "well");
    net_expect(f, &reader, "tcp_read", far, "well");
}

static void every_stream_has_a_peer(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, actor, &near, &far);
    assert_int_equal(CALL(actor, NET, "tcp_peer_addr", near, OUT_AT), 0);
    assert_true(net_port(actor, net_out(actor)) > 0);
    assert_int_equal(actor_memory(actor, 700)[0], 4);
    assert_int_equal(actor_memory(actor, 704)[0], 127);
}

/* The peer closes with bytes unread, which is a reset: every call is told, each of a pair anew. */
static void a_reset_is_an_error(void **state)
{
    struct net_fixture *f = *state;
    static const struct {
        const char *name;
        uint64_t arguments[3];
        const char *says;
    } calls[] = {
        {"tcp_read", {DATA_AT, 10, OUT_AT}, "reading: Connection reset by peer (os error 104)"},
        {"tcp_peek", {DATA_AT, 10, OUT_AT}, "reading: Connection reset by peer (os error 104)"},
        {"tcp_write_vectored",
         {VECTORS_AT, 1, OUT_AT},
         "writing: Connection reset by peer (os error 104)"},
        {"tcp_peer_addr", {OUT_AT}, "not connected (os error 107)"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct actor *actor = &f->actor;
        uint64_t near = 0;
        uint64_t far = 0;
        net_pair(f, actor, &near, &far);
        net_write(f, actor, near, "unread");
        (void)CALL(actor, NET, "drop_tcp_stream", far);
        assert_int_equal(WAIT_CALL(f, actor, calls[i].name, near, calls[i].arguments[0],
                                   calls[i].arguments[1], calls[i].arguments[2]),
                         1);
        assert_says(net_error(f, actor), calls[i].says);
        assert_int_equal(WAIT_CALL(f, actor, "tcp_flush", near, OUT_AT), 0); /* it holds nothing */
    }
}

static void ipv6_is_the_same(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    net_put_local(actor, 6);
    if (CALL(actor, NET, "tcp_bind", 6, IP_AT, 0, 0, 0, OUT_AT) != 0) {
        print_message("no IPv6 here: %s\n", net_error(f, actor));
        skip();
    }
    uint64_t listener = net_out(actor);
    assert_int_equal(CALL(actor, NET, "tcp_local_addr", listener, OUT_AT), 0);
    uint16_t port = net_port(actor, net_out(actor));
    assert_int_equal(actor_memory(actor, 700)[0], 6);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 6, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    /* The unspecified address is the loopback for who connects. */
    memset(actor_memory(actor, IP_AT), 0, 16);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 6, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_accept", listener, OUT_AT, PEER_AT), 0);
}

static void unknown_ids_and_bad_pointers_trap(void **state)
{
    struct net_fixture *f = *state;
    static const char *const names[] = {
        "tcp_local_addr",    "tcp_peer_addr",     "tcp_accept",        "tcp_write_vectored",
        "tcp_read",          "tcp_peek",          "tcp_flush",         "set_read_timeout",
        "get_read_timeout",  "set_write_timeout", "get_write_timeout", "set_peek_timeout",
        "get_peek_timeout",  "clone_tcp_stream",  "drop_tcp_listener", "drop_tcp_stream",
        "drop_dns_iterator", "resolve_next",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct actor actor = net_actor(f, "all");
        assert_says(TRAP(&actor, NET, names[i], 0, 0, 0, 0, 0, 0), "has the id 0");
    }
    struct actor actor = net_actor(f, "all");
    assert_says(TRAP(&actor, NET, "tcp_bind", 5, 0, 0, 0, 0, OUT_AT), "5 is no type of address");
    actor = net_actor(f, "all");
    assert_says(TRAP(&actor, NET, "tcp_connect", 6, FAKE_MEMORY_SIZE - 15, 0, 0, 0, 0, OUT_AT),
                "address: pointer out of bounds");
    actor = net_actor(f, "local");
    assert_says(TRAP(&actor, MESSAGE, "push_tcp_stream", 3), "no message");
    actor = net_actor(f, "local");
    (void)CALL(&actor, MESSAGE, "create_data", 0, 0);
    assert_says(TRAP(&actor, MESSAGE, "push_tcp_stream", 3), "no TCP stream has the id 3");
    const struct {
        const char *name;
        uint64_t arguments[3];
    } bad[] = {
        {"tcp_read", {FAKE_MEMORY_SIZE - 1, 2, OUT_AT}},
        {"tcp_read", {DATA_AT, 10, FAKE_MEMORY_SIZE - 7}},
        {"tcp_peek", {0xFFFFFFFF, 0xFFFFFFFF, OUT_AT}},
        {"tcp_write_vectored", {FAKE_MEMORY_SIZE - 8, 2, OUT_AT}},
        {"tcp_write_vectored", {VECTORS_AT, 0xFFFFFFFF, OUT_AT}},
        {"tcp_write_vectored", {VECTORS_AT, 1, OUT_AT}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t near = 0;
        uint64_t far = 0;
        actor = net_actor(f, "local");
        net_pair(f, &actor, &near, &far);
        net_write(f, &actor, near, "data");
        pd_put_u32(actor_memory(&actor, VECTORS_AT), FAKE_MEMORY_SIZE - 1);
        pd_put_u32(actor_memory(&actor, VECTORS_AT + 4), 2);
        assert_says(TRAP(&actor, NET, bad[i].name, far, bad[i].arguments[0], bad[i].arguments[1],
                         bad[i].arguments[2]),
                    "out of bounds");
    }
}

static void ids_are_bounded(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t near = 0;
    uint64_t far = 0;
    net_pair(f, actor, &near, &far);
    const struct pd_net_state *net = actor_wasm(actor)->net;
    uint16_t port = 0;
    uint64_t listener = net_listen(actor, &port);
    struct actor client = net_actor(f, "local");
    net_put_local(&client, 4);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            WAIT_CALL(f, &client, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    }
    while (net->names.count < PD_NET_NAMES_MAX) {
        assert_int_equal(CALL(actor, NET, "tcp_peer_addr", near, OUT_AT), 0);
    }
    uint64_t last = net_out(actor);
    assert_int_equal(CALL(actor, NET, "tcp_peer_addr", near, OUT_AT), 1);
    assert_says(net_error(f, actor), "too many are open");
    uint32_t sockets = pd_real_sockets_count(f->sockets);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_accept", listener, OUT_AT, PEER_AT), 1);
    assert_says(net_error(f, actor), "too many are open");
    (void)CALL(actor, NET, "drop_dns_iterator", last);
    while (pd_net_has_room(net)) {
        (void)CALL(actor, NET, "clone_tcp_stream", near);
    }
    assert_int_equal(WAIT_CALL(f, actor, "tcp_accept", listener, OUT_AT, PEER_AT), 1);
    assert_says(net_error(f, actor), "too many are open");
    assert_int_equal(pd_real_sockets_count(f->sockets), sockets); /* none of the two is kept */
    assert_int_equal(net->names.count, PD_NET_NAMES_MAX - 1);
    net_put_local(actor, 4);
    assert_int_equal(CALL(actor, NET, "tcp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, actor), "too many are open");
    assert_says(TRAP(actor, NET, "clone_tcp_stream", near), "4096 sockets are the most");
}

int main(void)
{
#define NET_TEST(test) cmocka_unit_test_setup_teardown(test, net_setup, net_teardown)
    const struct CMUnitTest tests[] = {
        NET_TEST(bytes_go_both_ways_and_end),
        NET_TEST(small_writes_are_not_held_back),
        NET_TEST(several_parts_are_one_write),
        NET_TEST(a_reader_waits_and_only_it),
        NET_TEST(what_a_message_carries_is_closed_with_it),
        NET_TEST(what_is_taken_must_be_there),
        NET_TEST(timeouts_end_a_wait),
        NET_TEST(the_longest_timeouts_last),
        NET_TEST(a_writer_waits_for_room),
        NET_TEST(a_kill_ends_every_wait),
        NET_TEST(a_kill_beside_the_event_is_harmless),
        NET_TEST(a_connect_times_out_and_can_be_killed),
        NET_TEST(errors_have_words),
        NET_TEST(an_environment_has_its_share),
        NET_TEST(a_wait_that_cannot_be_is_an_error),
        NET_TEST(every_stream_has_a_peer),
        NET_TEST(a_reset_is_an_error),
        NET_TEST(ipv6_is_the_same),
        NET_TEST(unknown_ids_and_bad_pointers_trap),
        NET_TEST(ids_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
