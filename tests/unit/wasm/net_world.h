/* net_world - fake guests with real sockets of the loopback, and no other thread: what the I/O
 * thread would do happens in net_poll. */
#ifndef PD_TEST_NET_WORLD_H
#define PD_TEST_NET_WORLD_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "abi_actor.h"
#include "host/sockets.h"
#include "host/sockets_internal.h"
#include "wasm/net.h"

#define NET "lunatic::networking"
#define MESSAGE "lunatic::message"
#define IP_AT 100u
#define OUT_AT 512u
#define PEER_AT 520u
#define DATA_AT 4096u
#define VECTORS_AT 600u
#define FOREVER UINT64_MAX
#define TIMED_OUT 9027u
#define POLL_MS 120000 /* only ever waited for when a test is about to fail */

struct net_fixture {
    struct world world;
    struct pd_real_sockets *sockets;
    struct actor actor;
    char text[1100]; /* of the last error */
};

static inline struct actor net_actor(struct net_fixture *f, const char *right)
{
    struct pd_rights *rights = world_rights(&f->world);
    char why[256] = "";
    if (strcmp(right, "all") == 0) {
        rights->network = PD_NETWORK_ALL;
    } else if (strcmp(right, "local") == 0) {
        rights->network = PD_NETWORK_LOCAL;
    } else if (strcmp(right, "none") != 0) {
        rights->network = PD_NETWORK_LIST;
        assert_int_equal(pd_net_list_parse(right, &rights->network_list, why, sizeof why), PD_OK);
    }
    struct actor actor = actor_spawn_with(&f->world, rights);
    pd_rights_release(rights);
    return actor;
}

static inline int net_setup(void **state)
{
    struct net_fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    assert_int_equal(pd_real_sockets_create(true, &f->sockets), PD_OK);
    f->world.system.sockets = pd_real_sockets_interface(f->sockets);
    f->world.system.sockets->wake = pd_wasm_wake;
    f->actor = net_actor(f, "local");
    *state = f;
    return 0;
}

static inline int net_teardown(void **state)
{
    struct net_fixture *f = *state;
    world_close(&f->world);
    (void)pd_real_sockets_poll(f->sockets, 0); /* late events find nobody */
    /* Nothing leaked, whoever was killed; the last words of TLS may take a moment. */
    while (pd_real_sockets_count(f->sockets) > 0) {
        assert_true(pd_real_sockets_poll(f->sockets, POLL_MS));
    }
    assert_int_equal(pd_real_sockets_lookup_count(f->sockets), 0);
    pd_real_sockets_destroy(f->sockets);
    free(f);
    return 0;
}

struct net_turns {
    const struct actor *actor;
    uint32_t left; /* more than a handful of fake actors ever take at once */
};

static inline bool net_has_had_its_turns(void *context)
{
    struct net_turns *turns = context;
    return !actor_is_waiting(turns->actor) || turns->left-- == 0;
}

/* Let what happened at sockets reach those who wait, and `actor` go on. */
static inline void net_poll(struct net_fixture *f, struct actor *actor)
{
    while (actor_is_waiting(actor)) {
        assert_true(pd_real_sockets_poll(f->sockets, POLL_MS));
        /* Time stands still, so a wake for nothing leaves it waiting for a timeout far away. */
        struct net_turns turns = {.actor = actor, .left = 200};
        struct world_until until = {
            .world = &f->world, .is_done = net_has_had_its_turns, .context = &turns};
        f->world.pass_until_ns = f->world.host.now_ns;
        (void)pd_runtime_run(&f->world.runtime, world_is_over, &until, world_advance_within);
    }
}

/* A call that may wait for the network. */
static inline uint64_t net_call(struct net_fixture *f, struct actor *actor, const char *name,
                                const uint64_t *arguments, size_t count)
{
    actor_begin(actor, abi_find(NET, name), arguments, count);
    net_poll(f, actor);
    return actor_result(actor);
}

/* WAIT_CALL(f, &actor, "tcp_read", id, ...): its result. */
#define WAIT_CALL(f, actor, ...) WAIT_CALL_(f, actor, __VA_ARGS__, 0)
#define WAIT_CALL_(f, actor, name, ...)                                                            \
    net_call(f, actor, name, (const uint64_t[]){__VA_ARGS__},                                      \
             sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t) - 1)

/* What was written to OUT_AT. */
static inline uint64_t net_out(const struct actor *actor)
{
    return actor_u64(actor, OUT_AT);
}

/* The text of the error whose id is at OUT_AT, which is dropped. */
static inline const char *net_error(struct net_fixture *f, struct actor *actor)
{
    const char *text = actor_error_text(actor, net_out(actor), 20000);
    assert_true(strlen(text) < sizeof f->text);
    memcpy(f->text, text, strlen(text) + 1);
    return f->text;
}

/* 127.0.0.1, or ::1, at IP_AT. */
static inline void net_put_local(struct actor *actor, uint32_t type)
{
    static const uint8_t v4[4] = {127, 0, 0, 1};
    static const uint8_t v6[16] = {[15] = 1};
    memcpy(actor_memory(actor, IP_AT), type == 4 ? v4 : v6, type == 4 ? sizeof v4 : sizeof v6);
}

/* The port in the list of addresses with this id, which is dropped. */
static inline uint16_t net_port(struct actor *actor, uint64_t list)
{
    assert_int_equal(CALL(actor, NET, "resolve_next", list, 700, 704, 720, 724, 728), 0);
    uint16_t port = (uint16_t)(actor_memory(actor, 720)[0] | actor_memory(actor, 720)[1] << 8);
    assert_int_equal(CALL(actor, NET, "resolve_next", list, 700, 704, 720, 724, 728), 1);
    (void)CALL(actor, NET, "drop_dns_iterator", list);
    return port;
}

/* A listener at a free port of the loopback. */
static inline uint64_t net_listen(struct actor *actor, uint16_t *port_out)
{
    net_put_local(actor, 4);
    assert_int_equal(CALL(actor, NET, "tcp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 0);
    uint64_t listener = net_out(actor);
    assert_int_equal(CALL(actor, NET, "tcp_local_addr", listener, OUT_AT), 0);
    *port_out = net_port(actor, net_out(actor));
    return listener;
}

/* Two ends of one connection, both of this actor. */
static inline void net_pair(struct net_fixture *f, struct actor *actor, uint64_t *near_out,
                            uint64_t *far_out)
{
    uint16_t port = 0;
    uint64_t listener = net_listen(actor, &port);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    *near_out = net_out(actor);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_accept", listener, OUT_AT, PEER_AT), 0);
    *far_out = net_out(actor);
    (void)CALL(actor, NET, "drop_dns_iterator", actor_u64(actor, PEER_AT));
    (void)CALL(actor, NET, "drop_tcp_listener", listener);
}

/* What is written is not held back until the peer acknowledges what was written before. */
static inline bool net_sends_at_once(const struct pd_id_table *streams, uint64_t stream)
{
    int value = 0;
    socklen_t size = sizeof value;
    const struct pd_net_socket *socket = pd_id_table_get(streams, stream);
    int got = getsockopt(socket->socket->descriptor, IPPROTO_TCP, TCP_NODELAY, &value, &size);
    return got == 0 && value != 0;
}

static inline void net_write(struct net_fixture *f, struct actor *actor, uint64_t stream,
                             const char *text)
{
    uint32_t size = actor_put(actor, DATA_AT, text);
    pd_put_u32(actor_memory(actor, VECTORS_AT), DATA_AT);
    pd_put_u32(actor_memory(actor, VECTORS_AT + 4), size);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_write_vectored", stream, VECTORS_AT, 1, OUT_AT), 0);
    assert_int_equal(net_out(actor), size);
}

/* Reads or peeks what must be exactly `text`. */
static inline void net_expect(struct net_fixture *f, struct actor *actor, const char *name,
                              uint64_t stream, const char *text)
{
    assert_int_equal(WAIT_CALL(f, actor, name, stream, DATA_AT, 1000, OUT_AT), 0);
    assert_int_equal(net_out(actor), strlen(text));
    assert_memory_equal(actor_memory(actor, DATA_AT), text, strlen(text));
}

static inline bool net_is_gone(void *context)
{
    return !actor_lives(context);
}

/* Kill it, wherever it is. */
static inline void net_kill(struct net_fixture *f, struct actor *actor)
{
    assert_int_equal(pd_mailbox_kill(f->world.environment, actor->pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    f->world.pass_until_ns = f->world.host.now_ns;
    struct world_until until = {.world = &f->world, .is_done = net_is_gone, .context = actor};
    (void)pd_runtime_run(&f->world.runtime, world_is_over, &until, world_advance_within);
    assert_false(actor_lives(actor));
}

#endif
