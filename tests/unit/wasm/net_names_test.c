/* lunatic::networking: names, and UDP; and what rights let through. */
#include "net_world.h"
#include "support/name_server.h"

#define TEXT_AT 2048u
#define S (1000 * MS)

/* resolve(text); its result. */
static uint64_t resolve(struct net_fixture *f, struct actor *actor, const char *text)
{
    uint32_t size = actor_put(actor, TEXT_AT, text);
    return WAIT_CALL(f, actor, "resolve", TEXT_AT, size, FOREVER, OUT_AT);
}

static const char *denied(struct net_fixture *f, struct actor *actor, uint64_t result)
{
    assert_int_equal(result, 1);
    const char *text = net_error(f, actor);
    assert_says(text, "permission denied: this actor may not ");
    assert_says(text, "--net");
    return text;
}

/* --- Names ------------------------------------------------------------------------------------ */

static void addresses_resolve_to_themselves(void **state)
{
    struct net_fixture *f = *state;
    struct actor actor = net_actor(f, "all");
    assert_int_equal(resolve(f, &actor, "192.0.2.7:8080"), 0);
    uint64_t list = net_out(&actor);
    assert_int_equal(CALL(&actor, NET, "resolve_next", list, 700, 704, 720, 724, 728), 0);
    static const uint8_t v4[] = {192, 0, 2, 7};
    assert_int_equal(actor_memory(&actor, 700)[0], 4);
    assert_memory_equal(actor_memory(&actor, 704), v4, 4);
    assert_int_equal(pd_get_u32(actor_memory(&actor, 720)) & 0xFFFF, 8080);
    assert_int_equal(CALL(&actor, NET, "resolve_next", list, 700, 704, 720, 724, 728), 1);
    assert_int_equal(CALL(&actor, NET, "resolve_next", list, 700, 704, 720, 724, 728), 1);
    (void)CALL(&actor, NET, "drop_dns_iterator", list);
    assert_int_equal(resolve(f, &actor, "[2001:db8::5]:1"), 0);
    list = net_out(&actor);
    assert_int_equal(CALL(&actor, NET, "resolve_next", list, 700, 704, 720, 724, 728), 0);
    assert_int_equal(actor_memory(&actor, 700)[0], 6);
    assert_int_equal(actor_memory(&actor, 704)[15], 5);
    /* Each place is checked before anything is written. */
    assert_int_equal(resolve(f, &actor, "[2001:db8::5]:1"), 0);
    list = net_out(&actor);
    assert_says(TRAP(&actor, NET, "resolve_next", list, 700, FAKE_MEMORY_SIZE - 15, 720, 724, 728),
                "address: pointer out of bounds");
}

static void localhost_is_a_name(void **state)
{
    struct net_fixture *f = *state;
    assert_int_equal(resolve(f, &f->actor, "localhost:4711"), 0);
    assert_int_equal(
        CALL(&f->actor, NET, "resolve_next", net_out(&f->actor), 700, 704, 720, 724, 728), 0);
    assert_int_equal(pd_get_u32(actor_memory(&f->actor, 720)) & 0xFFFF, 4711);
    bool is_v4 = actor_memory(&f->actor, 700)[0] == 4;
    assert_int_equal(actor_memory(&f->actor, is_v4 ? 707 : 719)[0], 1);
}

static void what_is_no_name_is_an_error(void **state)
{
    struct net_fixture *f = *state;
    struct actor actor = net_actor(f, "all");
    static const char *const bad[] = {"",        "localhost", ":80",  "localhost:", "localhost:x",
                                      "a:65536", "a:123456",  "[]:80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(resolve(f, &actor, bad[i]), 1);
        assert_says(net_error(f, &actor), "invalid socket address");
    }
    char text[400];
    memset(text, 'a', sizeof text);
    memcpy(text + 300, ":80", 4);
    assert_int_equal(resolve(f, &actor, text), 1);
    assert_says(net_error(f, &actor), "longer than 253 bytes");
    memcpy(text + 70, ".:80", 5); /* a label of 70 letters is never asked for */
    assert_int_equal(resolve(f, &actor, text), 1);
    assert_says(net_error(f, &actor), "failed to lookup address information: ");
    actor = net_actor(f, "all");
    *actor_memory(&actor, TEXT_AT) = 0xff;
    assert_says(TRAP(&actor, NET, "resolve", TEXT_AT, 1, FOREVER, OUT_AT), "not valid UTF-8");
    actor = net_actor(f, "all");
    assert_says(TRAP(&actor, NET, "resolve", FAKE_MEMORY_SIZE, 1, FOREVER, OUT_AT),
                "out of bounds");
}

static void a_lookup_can_time_out_and_be_killed(void **state)
{
    struct net_fixture *f = *state;
    uint32_t size = actor_put(&f->actor, TEXT_AT, "localhost:1");
    /* Nobody polls: the lookup does not even begin. */
    assert_int_equal(CALL(&f->actor, NET, "resolve", TEXT_AT, size, 30, OUT_AT), TIMED_OUT);
    assert_int_equal(pd_real_sockets_lookup_count(f->sockets), 0); /* nobody begins it any more */
    struct actor victim = net_actor(f, "local");
    size = actor_put(&victim, TEXT_AT, "localhost:1");
    BEGIN(&victim, NET, "resolve", TEXT_AT, size, FOREVER, OUT_AT);
    assert_true(actor_is_waiting(&victim));
    assert_int_equal(pd_real_sockets_lookup_count(f->sockets), 1);
    net_kill(f, &victim);
    assert_int_equal(pd_real_sockets_lookup_count(f->sockets), 0);
    assert_false(pd_real_sockets_poll(f->sockets, 0));
}

static void lookups_wait_their_turn(void **state)
{
    struct net_fixture *f = *state;
    struct actor actors[PD_LOOKUPS_OF_OWNER_MAX + 2];
    for (uint32_t i = 0; i < PD_LOOKUPS_OF_OWNER_MAX + 2; i++) {
        actors[i] = net_actor(f, "local");
        uint32_t size = actor_put(&actors[i], TEXT_AT, "localhost:1");
        BEGIN(&actors[i], NET, "resolve", TEXT_AT, size, FOREVER, OUT_AT);
        assert_true(actor_is_waiting(&actors[i]));
    }
    assert_int_equal(pd_real_sockets_lookup_count(f->sockets), PD_LOOKUPS_OF_OWNER_MAX);
    (void)pd_real_sockets_poll(f->sockets, 0);
    world_pass(&f->world, 50 * MS); /* now the last two begin */
    (void)pd_real_sockets_poll(f->sockets, 0);
    world_pass(&f->world, MS);
    for (uint32_t i = 0; i < PD_LOOKUPS_OF_OWNER_MAX + 2; i++) {
        assert_int_equal(actor_result(&actors[i]), 0);
    }
}

/* A name server of the test's own. */
static struct name_server *serve(struct net_fixture *f)
{
    struct name_server *server = name_server_open();
    const struct pd_name_servers servers = {
        .resolv_conf = server->resolv_conf, .port = server->port, .timeout_ms = POLL_MS};
    pd_real_sockets_set_name_servers(f->sockets, &servers);
    return server;
}

/* Whether 192.0.2.7 is within its right, without going there. */
static bool may_reach(const struct net_fixture *f, const struct actor *actor, uint16_t port)
{
    const struct pd_wasm_process *self = actor_wasm(actor);
    const struct pd_socket_address to = {
        .ip = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 7}, .port = port};
    return pd_net_may_reach(PD_NETWORK_LIST, self->rights->network_list, &self->net->grants, &to,
                            f->world.host.now_ns);
}

static void a_name_admits_until_its_ttl_ends(void **state)
{
    static const struct {
        const char *name;
        uint64_t lasts_s;
    } cases[] = {
        {"ttl-30.test:80", 30}, {"ttl-0.test:80", 5},         {"ttl-900000.test:80", 3600},
        {"alias-7.test:80", 7}, {"alias-86400.test:80", 300},
    };
    struct net_fixture *f = *state;
    struct name_server *server = serve(f);
    struct actor other = net_actor(f, "*.test:80");
    assert_int_equal(resolve(f, &other, "none.test:80"), 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct actor actor = net_actor(f, "*.test:80");
        assert_int_equal(resolve(f, &actor, cases[i].name), 0);
        assert_true(may_reach(f, &actor, 80));
        assert_false(may_reach(f, &actor, 81));
        assert_false(may_reach(f, &other, 80)); /* what another one resolved */
        world_pass(&f->world, (cases[i].lasts_s - 1) * S);
        assert_true(may_reach(f, &actor, 80));
        world_pass(&f->world, S);
        assert_false(may_reach(f, &actor, 80));
        static const uint8_t ip[] = {192, 0, 2, 7};
        memcpy(actor_memory(&actor, IP_AT), ip, sizeof ip);
        (void)denied(f, &actor,
                     CALL(&actor, NET, "tcp_connect", 4, IP_AT, 80, 0, 0, FOREVER, OUT_AT));
        assert_int_equal(resolve(f, &actor, cases[i].name), 0);
        assert_true(may_reach(f, &actor, 80));
    }
    name_server_close(server);
}

/* Killed while the name server thinks: nothing of it is left. */
static void a_question_ends_with_its_actor(void **state)
{
    struct net_fixture *f = *state;
    struct name_server *server = serve(f);
    struct actor victim = net_actor(f, "all");
    uint32_t size = actor_put(&victim, TEXT_AT, "silent.test:1");
    BEGIN(&victim, NET, "resolve", TEXT_AT, size, FOREVER, OUT_AT);
    (void)pd_real_sockets_poll(f->sockets, 0);
    name_server_await(server, 2);
    assert_int_equal(pd_real_sockets_count(f->sockets), 1);
    net_kill(f, &victim);
    assert_int_equal(pd_real_sockets_lookup_count(f->sockets), 0);
    (void)pd_real_sockets_poll(f->sockets, 0);
    assert_int_equal(pd_real_sockets_count(f->sockets), 0);
    name_server_close(server);
}

/* --- Rights ----------------------------------------------------------------------------------- */

static void without_a_right_nothing_is_reached(void **state)
{
    struct net_fixture *f = *state;
    struct actor actor = net_actor(f, "none");
    net_put_local(&actor, 4);
    assert_says(denied(f, &actor, CALL(&actor, NET, "tcp_bind", 4, IP_AT, 80, 0, 0, OUT_AT)),
                "listen at 127.0.0.1:80: its right 'network' is none");
    assert_says(
        denied(f, &actor, CALL(&actor, NET, "tcp_connect", 4, IP_AT, 80, 0, 0, FOREVER, OUT_AT)),
        "connect to 127.0.0.1:80");
    assert_says(denied(f, &actor, CALL(&actor, NET, "udp_bind", 4, IP_AT, 80, 0, 0, OUT_AT)),
                "bind 127.0.0.1:80");
    assert_says(denied(f, &actor, resolve(f, &actor, "localhost:80")), "resolve localhost:80");
    assert_says(denied(f, &actor, resolve(f, &actor, "127.0.0.1:80")), "resolve 127.0.0.1:80");
    assert_int_equal(pd_real_sockets_count(f->sockets), 0);
}

static void local_is_loopback_however_it_is_written(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    static const uint8_t outside[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7};
    memcpy(actor_memory(actor, IP_AT), outside, 16);
    (void)denied(f, actor, CALL(actor, NET, "tcp_connect", 6, IP_AT, 80, 0, 0, FOREVER, OUT_AT));
    (void)denied(f, actor,
                 CALL(actor, NET, "tcp_connect", 4, IP_AT + 12, 80, 0, 0, FOREVER, OUT_AT));
    (void)denied(f, actor, resolve(f, actor, "example.invalid:80"));
    memset(actor_memory(actor, IP_AT), 0, 16);
    (void)denied(f, actor, CALL(actor, NET, "tcp_bind", 4, IP_AT, 0, 0, 0, OUT_AT));
    (void)denied(f, actor, CALL(actor, NET, "udp_bind", 6, IP_AT, 0, 0, 0, OUT_AT));
    /* Mapped loopback, and nowhere at all, are loopback. */
    uint16_t port = 0;
    (void)net_listen(actor, &port);
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    memcpy(actor_memory(actor, IP_AT), mapped, 16);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 6, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    memset(actor_memory(actor, IP_AT), 0, 16);
    assert_int_equal(WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    /* The port is cut to 16 bits before it is looked at. */
    memcpy(actor_memory(actor, IP_AT), mapped + 12, 4);
    assert_int_equal(
        WAIT_CALL(f, actor, "tcp_connect", 4, IP_AT, port + 65536, 0, 0, FOREVER, OUT_AT), 0);
}

static void a_list_names_ports_too(void **state)
{
    struct net_fixture *f = *state;
    uint16_t port = 0;
    (void)net_listen(&f->actor, &port);
    char right[64];
    (void)snprintf(right, sizeof right, "127.0.0.0/8:%u,localhost:%u", port, port);
    struct actor actor = net_actor(f, right);
    net_put_local(&actor, 4);
    assert_int_equal(WAIT_CALL(f, &actor, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT), 0);
    (void)denied(f, &actor,
                 CALL(&actor, NET, "tcp_connect", 4, IP_AT, port ^ 1, 0, 0, FOREVER, OUT_AT));
    assert_says(denied(f, &actor, CALL(&actor, NET, "tcp_bind", 4, IP_AT, 0, 0, 0, OUT_AT)),
                "a list without it");
    /* A name of this machine resolves, and grants nothing. */
    (void)snprintf(right, sizeof right, "localhost:%u", port);
    struct actor named = net_actor(f, right);
    assert_int_equal(resolve(f, &named, right), 0);
    net_put_local(&named, 4);
    (void)denied(f, &named,
                 CALL(&named, NET, "tcp_connect", 4, IP_AT, port, 0, 0, FOREVER, OUT_AT));
    (void)denied(f, &named, resolve(f, &named, "elsewhere:80"));
}

static void children_get_no_more(void **state)
{
    struct net_fixture *f = *state;
    struct actor actor = net_actor(f, "10.0.0.0/8,127.0.0.0/8:80");
    uint64_t config = CALL(&actor, "lunatic::process", "create_config");
    static const struct {
        const char *right;
        const char *error;
    } cases[] = {{"10.1.0.0/16:443", NULL},           {"none", NULL},
                 {"10.0.0.0/8,127.0.0.0/8:80", NULL}, {"all", "beyond its parent's"},
                 {"local", "beyond its parent's"},    {"127.0.0.1", "beyond its parent's"},
                 {"10.0.0.1/8", "is no entry"},       {"", "is no entry"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t size = actor_put(&actor, TEXT_AT, cases[i].right);
        uint64_t result =
            CALL(&actor, "pando::network", "config_allow", config, TEXT_AT, size, OUT_AT);
        assert_int_equal(result, cases[i].error != NULL);
        if (cases[i].error != NULL) {
            assert_says(net_error(f, &actor), cases[i].error);
        }
    }
    assert_int_equal(CALL(&actor, "pando::network", "config_allow", config, 0, 8193, OUT_AT), 1);
    assert_says(net_error(f, &actor), "at most 8192 bytes");
    assert_says(TRAP(&actor, "pando::network", "config_allow", config + 1, TEXT_AT, 0, OUT_AT),
                "configuration");
}

static void a_deterministic_run_has_no_network(void **state)
{
    struct net_fixture *f = *state;
    f->world.system.sockets = NULL;
    net_put_local(&f->actor, 4);
    assert_int_equal(CALL(&f->actor, NET, "tcp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, &f->actor), "has no network");
    assert_int_equal(CALL(&f->actor, NET, "tcp_connect", 4, IP_AT, 1, 0, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, &f->actor), "has no network");
    assert_int_equal(CALL(&f->actor, NET, "udp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, &f->actor), "has no network");
    assert_int_equal(resolve(f, &f->actor, "localhost:1"), 1);
    assert_says(net_error(f, &f->actor), "has no network");
}

/* --- UDP -------------------------------------------------------------------------------------- */

static uint64_t open_udp(struct actor *actor, uint16_t *port_out)
{
    net_put_local(actor, 4);
    assert_int_equal(CALL(actor, NET, "udp_bind", 4, IP_AT, 0, 0, 0, OUT_AT), 0);
    uint64_t socket = net_out(actor);
    assert_int_equal(CALL(actor, NET, "udp_local_addr", socket, OUT_AT), 0);
    *port_out = net_port(actor, net_out(actor));
    return socket;
}

static void datagrams_come_and_go(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint16_t near_port = 0;
    uint16_t far_port = 0;
    uint64_t near = open_udp(actor, &near_port);
    uint64_t far = open_udp(actor, &far_port);
    (void)actor_put(actor, DATA_AT, "hello");
    assert_int_equal(
        WAIT_CALL(f, actor, "udp_send_to", near, DATA_AT, 5, 4, IP_AT, far_port, 0, 0, OUT_AT), 0);
    assert_int_equal(net_out(actor), 5);
    assert_int_equal(WAIT_CALL(f, actor, "udp_receive_from", far, 8000, 4, OUT_AT, PEER_AT), 0);
    assert_int_equal(net_out(actor), 4); /* cut off */
    assert_memory_equal(actor_memory(actor, 8000), "hell", 4);
    assert_int_equal(net_port(actor, actor_u64(actor, PEER_AT)), near_port);
    /* Connected. */
    assert_int_equal(CALL(actor, NET, "udp_peer_addr", near, OUT_AT), 1);
    assert_says(net_error(f, actor), "not connected");
    assert_int_equal(
        CALL(actor, NET, "udp_connect", near, 4, IP_AT, far_port, 0, 0, FOREVER, OUT_AT), 0);
    assert_int_equal(CALL(actor, NET, "udp_peer_addr", near, OUT_AT), 0);
    assert_int_equal(net_port(actor, net_out(actor)), far_port);
    assert_int_equal(WAIT_CALL(f, actor, "udp_send", near, DATA_AT, 0, OUT_AT), 0);
    assert_int_equal(WAIT_CALL(f, actor, "udp_receive", far, 8000, 100, OUT_AT), 0);
    assert_int_equal(net_out(actor), 0); /* an empty one is one */
    assert_int_equal(WAIT_CALL(f, actor, "udp_send", far, DATA_AT, 5, OUT_AT), 1);
    assert_says(net_error(f, actor), "sending: Destination address required (os error 89)");
    assert_int_equal(
        WAIT_CALL(f, actor, "udp_send_to", far, 0, 65530, 4, IP_AT, near_port, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, actor), "Message too long (os error 90)");
    uint64_t clone = CALL(actor, NET, "clone_udp_socket", far);
    (void)CALL(actor, NET, "drop_udp_socket", far);
    assert_int_equal(WAIT_CALL(f, actor, "udp_send", near, DATA_AT, 5, OUT_AT), 0);
    assert_int_equal(WAIT_CALL(f, actor, "udp_receive", clone, 8000, 100, OUT_AT), 0);
}

/* Nobody is at the other end any more: the system says so to who is connected. */
static void who_is_gone_is_an_error(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint16_t near_port = 0;
    uint16_t far_port = 0;
    uint64_t near = open_udp(actor, &near_port);
    uint64_t far = open_udp(actor, &far_port);
    static const char *const receives[] = {"udp_receive", "udp_receive_from"};
    assert_int_equal(
        CALL(actor, NET, "udp_connect", near, 4, IP_AT, far_port, 0, 0, FOREVER, OUT_AT), 0);
    (void)CALL(actor, NET, "drop_udp_socket", far);
    for (size_t i = 0; i < 2; i++) {
        uint32_t lists = actor_wasm(actor)->net->names.count;
        assert_int_equal(WAIT_CALL(f, actor, "udp_send", near, DATA_AT, 5, OUT_AT), 0);
        assert_int_equal(WAIT_CALL(f, actor, receives[i], near, 8000, 100, OUT_AT, PEER_AT), 1);
        assert_says(net_error(f, actor), "receiving: Connection refused (os error 111)");
        assert_int_equal(actor_wasm(actor)->net->names.count, lists);
    }
    assert_int_equal(WAIT_CALL(f, actor, "udp_send", near, DATA_AT, 5, OUT_AT), 0);
    assert_int_equal(WAIT_CALL(f, actor, "udp_send", near, DATA_AT, 5, OUT_AT), 1);
    assert_says(net_error(f, actor), "sending: Connection refused (os error 111)");
}

static void a_socket_has_one_address_and_one_family(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint16_t port = 0;
    uint64_t socket = open_udp(actor, &port);
    assert_int_equal(CALL(actor, NET, "udp_bind", 4, IP_AT, port, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, actor), "Address already in use (os error 98)");
    net_put_local(actor, 6);
    assert_int_equal(CALL(actor, NET, "udp_connect", socket, 6, IP_AT, 9, 0, 0, FOREVER, OUT_AT),
                     1);
    assert_says(net_error(f, actor), "(os error ");
    assert_int_equal(
        WAIT_CALL(f, actor, "udp_send_to", socket, DATA_AT, 1, 6, IP_AT, 9, 0, 0, OUT_AT), 1);
    assert_says(net_error(f, actor), "sending: ");
}

static void a_udp_socket_moves_and_its_reader_can_be_killed(void **state)
{
    struct net_fixture *f = *state;
    uint16_t port = 0;
    uint64_t socket = open_udp(&f->actor, &port);
    struct actor reader = net_actor(f, "none");
    (void)CALL(&f->actor, MESSAGE, "create_data", 0, 0);
    assert_int_equal(CALL(&f->actor, MESSAGE, "push_udp_socket", socket), 0);
    (void)CALL(&f->actor, MESSAGE, "send", reader.pid);
    assert_int_equal(CALL(&reader, MESSAGE, "receive", 0, 0, 0), 0);
    uint64_t taken = CALL(&reader, MESSAGE, "take_udp_socket", 0);
    /* It receives without a right, and sends only with one. */
    net_put_local(&reader, 4);
    (void)denied(f, &reader,
                 CALL(&reader, NET, "udp_send_to", taken, 0, 1, 4, IP_AT, port, 0, 0, OUT_AT));
    (void)denied(f, &reader,
                 CALL(&reader, NET, "udp_connect", taken, 4, IP_AT, port, 0, 0, 0, OUT_AT));
    BEGIN(&reader, NET, "udp_receive", taken, 8000, 100, OUT_AT);
    assert_true(actor_is_waiting(&reader));
    net_kill(f, &reader);
    assert_int_equal(pd_real_sockets_count(f->sockets), 0);
    socket = open_udp(&f->actor, &port);
    BEGIN(&f->actor, NET, "udp_receive_from", socket, 8000, 100, OUT_AT, PEER_AT);
    assert_true(actor_is_waiting(&f->actor));
    net_kill(f, &f->actor);
}

static void options_are_set_and_told(void **state)
{
    struct net_fixture *f = *state;
    struct actor *actor = &f->actor;
    uint16_t port = 0;
    uint64_t socket = open_udp(actor, &port);
    assert_int_equal(CALL(actor, NET, "get_udp_socket_broadcast", socket), 0);
    (void)CALL(actor, NET, "set_udp_socket_broadcast", socket, 1);
    assert_int_equal(CALL(actor, NET, "get_udp_socket_broadcast", socket), 1);
    (void)CALL(actor, NET, "set_udp_socket_ttl", socket, 9);
    assert_int_equal(CALL(actor, NET, "get_udp_socket_ttl", socket), 9);
    assert_says(TRAP(actor, NET, "set_udp_socket_ttl", socket, 256), "256 is no value");
}

static void unknown_sockets_trap(void **state)
{
    struct net_fixture *f = *state;
    static const char *const names[] = {
        "udp_local_addr",
        "udp_peer_addr",
        "udp_receive",
        "udp_receive_from",
        "udp_send",
        "udp_send_to",
        "udp_connect",
        "clone_udp_socket",
        "drop_udp_socket",
        "set_udp_socket_ttl",
        "get_udp_socket_ttl",
        "set_udp_socket_broadcast",
        "get_udp_socket_broadcast",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct actor actor = net_actor(f, "all");
        assert_says(TRAP(&actor, NET, names[i], 3, 0, 0, 0, 0, 0, 0, 0),
                    "no UDP socket has the id 3");
    }
    const struct {
        const char *name;
        uint64_t arguments[4];
    } bad[] = {
        {"udp_receive", {FAKE_MEMORY_SIZE, 1, OUT_AT, 0}},
        {"udp_receive_from", {0xFFFFFFFF, 0xFFFFFFFF, OUT_AT, PEER_AT}},
        {"udp_send", {FAKE_MEMORY_SIZE - 1, 2, OUT_AT, 0}},
        {"udp_local_addr", {FAKE_MEMORY_SIZE - 7, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct actor actor = net_actor(f, "local");
        uint16_t port = 0;
        uint64_t socket = open_udp(&actor, &port);
        assert_says(TRAP(&actor, NET, bad[i].name, socket, bad[i].arguments[0], bad[i].arguments[1],
                         bad[i].arguments[2], bad[i].arguments[3]),
                    "out of bounds");
    }
}

int main(void)
{
#define NET_TEST(test) cmocka_unit_test_setup_teardown(test, net_setup, net_teardown)
    const struct CMUnitTest tests[] = {
        NET_TEST(addresses_resolve_to_themselves),
        NET_TEST(localhost_is_a_name),
        NET_TEST(what_is_no_name_is_an_error),
        NET_TEST(a_lookup_can_time_out_and_be_killed),
        NET_TEST(lookups_wait_their_turn),
        NET_TEST(a_name_admits_until_its_ttl_ends),
        NET_TEST(a_question_ends_with_its_actor),
        NET_TEST(without_a_right_nothing_is_reached),
        NET_TEST(local_is_loopback_however_it_is_written),
        NET_TEST(a_list_names_ports_too),
        NET_TEST(children_get_no_more),
        NET_TEST(a_deterministic_run_has_no_network),
        NET_TEST(datagrams_come_and_go),
        NET_TEST(who_is_gone_is_an_error),
        NET_TEST(a_socket_has_one_address_and_one_family),
        NET_TEST(a_udp_socket_moves_and_its_reader_can_be_killed),
        NET_TEST(options_are_set_and_told),
        NET_TEST(unknown_sockets_trap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
