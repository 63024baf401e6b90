/* Every limit and every missing right that a function of lunatic::* meets: it fails in words, takes
 * nothing and leaves nothing, and works again when there is room. */
#include "abi_stage.h"

/* --- How it comes that a call fails ----------------------------------------------------------- */

static void keep_all_name_lists(struct stage *stage)
{
    struct pd_net_state *net = actor_wasm(&stage->furnished.actor)->net;
    const struct pd_socket_address address = {.port = 1};
    uint64_t id = 0;
    while (net->names.count < PD_NET_NAMES_MAX) {
        assert_int_equal(pd_net_names_add(net, &address, 1, &id), PD_OK);
    }
}

static void keep_all_sockets(struct stage *stage)
{
    struct pd_net_state *net = actor_wasm(&stage->furnished.actor)->net;
    struct pd_net_socket *stream = pd_id_table_get(&net->streams, stage->furnished.ids[A_STREAM]);
    uint64_t id = 0;
    while (pd_net_has_room(net)) {
        assert_int_equal(pd_id_table_add(&net->streams, pd_net_socket_share(stream), &id), PD_OK);
    }
}

static void keep_all_modules(struct stage *stage)
{
    struct pd_wasm_process *self = actor_wasm(&stage->furnished.actor);
    struct pd_module *module = actor_guest(&stage->furnished.actor)->module;
    uint64_t id = 0;
    while (self->modules.count < PD_ID_TABLE_MAX) {
        assert_int_equal(pd_id_table_add(&self->modules, pd_module_acquire(module), &id), PD_OK);
    }
}

static void keep_all_configs(struct stage *stage)
{
    struct pd_wasm_process *self = actor_wasm(&stage->furnished.actor);
    uint64_t id = 0;
    while (self->configs.count < PD_ID_TABLE_MAX) {
        assert_int_equal(pd_id_table_add(&self->configs, pd_rights_share(self->rights), &id),
                         PD_OK);
    }
}

static void keep_all_errors(struct stage *stage)
{
    struct pd_wasm_process *self = actor_wasm(&stage->furnished.actor);
    uint64_t id = 0;
    while (self->errors.count < PD_ERROR_TEXTS_MAX) {
        assert_int_equal(pd_error_texts_add(&self->errors, NULL, "full", 4, &id), PD_OK);
    }
}

static void release_module(void *module)
{
    pd_module_release(module);
}

static void fill_message(struct stage *stage)
{
    struct pd_message *message = actor_wasm(&stage->furnished.actor)->scratch;
    while (message->resource_count < PD_MESSAGE_RESOURCES_MAX) {
        const struct pd_resource module = {
            .kind = PD_RESOURCE_MODULE,
            .object = pd_module_acquire(actor_guest(&stage->furnished.actor)->module),
            .release = release_module};
        uint32_t index = 0;
        assert_int_equal(pd_message_attach(message, module, &index), PD_OK);
    }
}

static void bind_all(struct stage *stage)
{
    struct world *world = &stage->house->net.world;
    for (uint32_t i = 0; i < world->runtime.config.bonds_max; i++) {
        struct actor other = actor_spawn(world);
        (void)CALL(&stage->furnished.actor, "lunatic::process", "link", 1, other.pid);
    }
}

static void open_all_databases(struct stage *stage)
{
    while (actor_wasm(&stage->furnished.actor)->sqlite->connections.count <
           PD_SQLITE_CONNECTIONS_MAX) {
        (void)furnish_connection(&stage->furnished);
    }
}

static void prepare_all_statements(struct stage *stage)
{
    while (actor_wasm(&stage->furnished.actor)->sqlite->statements.count <
           PD_SQLITE_STATEMENTS_MAX) {
        (void)furnish_statement(&stage->furnished);
    }
}

static void empty_message(struct stage *stage)
{
    pd_wasm_process_set_scratch(actor_wasm(&stage->furnished.actor), NULL);
}

static void be_instantiated(struct stage *stage)
{
    (void)stage;
    fake_is_uninstantiated = true;
}

/* Nobody else has these rights: house_actor made them. */
static struct pd_rights *own_rights(struct stage *stage)
{
    struct pd_rights *rights = actor_wasm(&stage->furnished.actor)->rights;
    assert_int_equal(atomic_load(&rights->references), 1);
    return rights;
}

static void lose_rights(struct stage *stage)
{
    struct pd_rights *rights = own_rights(stage);
    rights->can_compile = false;
    rights->can_configure = false;
    rights->can_spawn = false;
    rights->network = PD_NETWORK_NONE;
}

static void lose_fuel(struct stage *stage)
{
    own_rights(stage)->fuel_portions_max = 3;
}

static void lose_network(struct stage *stage)
{
    stage->house->net.world.system.sockets = NULL;
}

static void lose_certificates(struct stage *stage)
{
    stage->house->net.world.system.certificates = NULL;
}

static void lose_descriptors(struct stage *stage)
{
    pd_real_sockets_set_max(stage->house->net.sockets,
                            pd_real_sockets_count(stage->house->net.sockets));
}

static void lose_memory_for_tls(struct stage *stage)
{
    own_rights(stage)->memory_bytes_max = 1;
}

static void compile_elsewhere(struct stage *stage)
{
    stage->house->net.world.system.compile.jobs_max = 0;
}

static void compile_only_small_ones(struct stage *stage)
{
    stage->house->net.world.system.compile.wasm_bytes_max = 3;
}

static void be_the_last_process(struct stage *stage)
{
    struct world *world = &stage->house->net.world;
    world->runtime.config.processes_max = pd_environment_count(world->environment);
}

/* And ask for one that nobody has. */
static void keep_all_names(struct stage *stage)
{
    struct pd_registry *registry = &stage->house->net.world.environment->registry;
    registry->names_max = registry->names.count;
    (void)actor_put(&stage->furnished.actor, NAME_AT, "none");
}

static void keep_all_timers(struct stage *stage)
{
    struct pd_runtime *runtime = &stage->house->net.world.runtime;
    runtime->config.message_timers_max = runtime->message_timer_count;
}

static void send_only_small_ones(struct stage *stage)
{
    stage->house->net.world.runtime.config.message_bytes_max = 5;
}

static void read_behind_the_end(struct stage *stage)
{
    (void)CALL(&stage->furnished.actor, MESSAGE, "seek_data", 6);
}

static void carry_a_notice(struct stage *stage)
{
    actor_wasm(&stage->furnished.actor)->scratch->kind = PD_MESSAGE_PROCESS_DIED;
}

static void attach_a_module(struct stage *stage)
{
    (void)CALL(&stage->furnished.actor, MESSAGE, "push_module", stage->furnished.ids[A_MODULE]);
}

static void fill_own_mailbox(struct stage *stage)
{
    struct actor *actor = &stage->furnished.actor;
    for (uint32_t i = 0; i < stage->house->net.world.runtime.config.messages_max; i++) {
        (void)CALL(actor, MESSAGE, "create_data", 0, 0);
        (void)CALL(actor, MESSAGE, "send", actor->pid);
    }
    furnish_message(&stage->furnished, false);
}

static void change_name(struct stage *stage)
{
    (void)actor_put(&stage->furnished.actor, ADDRESS_AT, "a.invalid:80");
    own_rights(stage)->network = PD_NETWORK_ALL;
}

/* --- What then -------------------------------------------------------------------------------- */

#define REQUEST "send_receive_skip_search"

enum then {
    THEN_TRAP,
    THEN_ERROR,      /* answers 1 */
    THEN_ERROR_OF_2, /* answers 2, with an error */
    THEN_REFUSAL     /* answers -1, of its width */
};

static const struct meeting {
    void (*make)(struct stage *stage);
    const char *module;
    const char *name; /* "NAME@SIGNATURE" of a former version */
    enum then then;
    const char *words;
} meetings[] = {
#define NET_ROW(make, name, then, words)                                                           \
    {                                                                                              \
        make, NET, name, then, words                                                               \
    }
#define TOO_MANY "too many are open: 4096 sockets and 4096 lists of addresses"
    NET_ROW(keep_all_name_lists, "resolve", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_name_lists, "tcp_local_addr", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_name_lists, "tcp_peer_addr", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_name_lists, "tcp_accept", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_name_lists, "tls_local_addr", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_name_lists, "tls_accept", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_name_lists, "udp_local_addr", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_name_lists, "udp_peer_addr", THEN_ERROR_OF_2, TOO_MANY),
    NET_ROW(keep_all_name_lists, "udp_receive_from", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_sockets, "tcp_bind", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_sockets, "tcp_accept", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_sockets, "tcp_connect", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_sockets, "udp_bind", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_sockets, "tls_bind", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_sockets, "tls_accept", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_sockets, "tls_connect", THEN_ERROR, TOO_MANY),
    NET_ROW(keep_all_sockets, "clone_tcp_stream", THEN_TRAP, "4096 sockets are the most"),
    NET_ROW(keep_all_sockets, "clone_tls_stream", THEN_TRAP, "4096 sockets are the most"),
    NET_ROW(keep_all_sockets, "clone_udp_socket", THEN_TRAP, "4096 sockets are the most"),
    {keep_all_sockets, MESSAGE, "take_tcp_stream", THEN_TRAP, "too many sockets are held"},
    {keep_all_sockets, MESSAGE, "take_tls_stream", THEN_TRAP, "too many sockets are held"},
    {keep_all_sockets, MESSAGE, "take_udp_socket", THEN_TRAP, "too many sockets are held"},
    {keep_all_modules, MESSAGE, "take_module", THEN_TRAP, "too many modules are held"},
    {fill_message, MESSAGE, "push_module", THEN_TRAP, "as many resources as it can"},
    {fill_message, MESSAGE, "push_tcp_stream", THEN_TRAP, "as many resources as it can"},
    {fill_message, MESSAGE, "push_tls_stream", THEN_TRAP, "as many resources as it can"},
    {fill_message, MESSAGE, "push_udp_socket", THEN_TRAP, "as many resources as it can"},
    NET_ROW(lose_descriptors, "tcp_bind", THEN_ERROR, "Too many open files (os error 24)"),
    NET_ROW(lose_descriptors, "tcp_accept", THEN_ERROR, "Too many open files (os error 24)"),
    NET_ROW(lose_descriptors, "tcp_connect", THEN_ERROR, "Too many open files (os error 24)"),
    NET_ROW(lose_descriptors, "udp_bind", THEN_ERROR, "Too many open files (os error 24)"),
    NET_ROW(lose_descriptors, "tls_bind", THEN_ERROR, "Too many open files (os error 24)"),
    NET_ROW(lose_descriptors, "tls_accept", THEN_ERROR, "Too many open files (os error 24)"),
    NET_ROW(lose_memory_for_tls, "tls_bind", THEN_ERROR, "no memory for TLS"),
    NET_ROW(lose_memory_for_tls, "tls_accept", THEN_ERROR, "no memory for TLS"),
    NET_ROW(lose_memory_for_tls, "tls_connect", THEN_ERROR, "no memory for TLS"),
    NET_ROW(lose_network, "tcp_bind", THEN_ERROR, "has no network"),
    NET_ROW(lose_network, "tcp_connect", THEN_ERROR, "has no network"),
    NET_ROW(lose_network, "udp_bind", THEN_ERROR, "has no network"),
    NET_ROW(lose_network, "tls_bind", THEN_ERROR, "has no network"),
    NET_ROW(lose_network, "tls_connect", THEN_ERROR, "has no network"),
    NET_ROW(change_name, "resolve", THEN_ERROR, "failed to lookup address information"),
    NET_ROW(lose_rights, "resolve", THEN_ERROR, "may not resolve"),
    NET_ROW(lose_rights, "tcp_bind", THEN_ERROR, "may not listen at"),
    NET_ROW(lose_rights, "tcp_connect", THEN_ERROR, "may not connect to"),
    NET_ROW(lose_rights, "udp_bind", THEN_ERROR, "may not bind"),
    NET_ROW(lose_rights, "udp_send_to", THEN_ERROR, "may not send to"),
    NET_ROW(lose_rights, "udp_connect", THEN_ERROR, "may not connect to"),
    NET_ROW(lose_rights, "tls_bind", THEN_ERROR, "may not listen at"),
#define CERTIFICATE(name)                                                                          \
    {                                                                                              \
        lose_certificates, "lunatic::distributed", name, THEN_TRAP, "makes no certificates"        \
    }
    CERTIFICATE("test_root_cert"),
    CERTIFICATE("default_server_certificates"),
    CERTIFICATE("sign_node"),
#define PROCESS_ROW(make, name, then, words)                                                       \
    {                                                                                              \
        make, "lunatic::process", name, then, words                                                \
    }
#define GRANTING "permission denied: granting a child a permission that its parent lacks"
    PROCESS_ROW(keep_all_modules, "compile_module", THEN_ERROR, "too many modules are held"),
    PROCESS_ROW(compile_elsewhere, "compile_module", THEN_ERROR, "are being compiled: try again"),
    PROCESS_ROW(compile_only_small_ones, "compile_module", THEN_ERROR, "larger than modules may"),
    PROCESS_ROW(lose_rights, "compile_module", THEN_REFUSAL, ""),
    PROCESS_ROW(lose_rights, "create_config", THEN_REFUSAL, ""),
    PROCESS_ROW(keep_all_configs, "create_config", THEN_TRAP, "no room for another configuration"),
    PROCESS_ROW(lose_fuel, "config_set_max_fuel", THEN_TRAP, "fuel limit beyond its parent's"),
    PROCESS_ROW(lose_rights, "config_set_can_compile_modules", THEN_TRAP, GRANTING),
    PROCESS_ROW(lose_rights, "config_set_can_create_configs", THEN_TRAP, GRANTING),
    PROCESS_ROW(lose_rights, "config_set_can_spawn_processes", THEN_TRAP, GRANTING),
    PROCESS_ROW(lose_rights, "spawn", THEN_TRAP, "permission denied: spawning processes"),
    PROCESS_ROW(lose_rights, "get_or_spawn", THEN_TRAP, "permission denied: spawning processes"),
    PROCESS_ROW(lose_fuel, "spawn", THEN_TRAP, "may not have more rights than its parent"),
    PROCESS_ROW(lose_fuel, "get_or_spawn", THEN_TRAP, "may not have more rights than its parent"),
    PROCESS_ROW(be_instantiated, "spawn", THEN_TRAP, "while the module is instantiated"),
    PROCESS_ROW(be_instantiated, "get_or_spawn", THEN_TRAP, "while the module is instantiated"),
    PROCESS_ROW(bind_all, "spawn", THEN_ERROR, "the limit of processes or links is reached"),
    PROCESS_ROW(bind_all, "get_or_spawn", THEN_ERROR, "the limit of processes or links is"),
    PROCESS_ROW(bind_all, "link", THEN_TRAP, "cannot link or monitor"),
    PROCESS_ROW(bind_all, "monitor", THEN_TRAP, "cannot link or monitor"),
#define DISTRIBUTED_ROW(make, name, words)                                                         \
    {                                                                                              \
        make, "lunatic::distributed", name, THEN_TRAP, words                                       \
    }
    DISTRIBUTED_ROW(lose_rights, "spawn", "permission denied: spawning processes"),
    DISTRIBUTED_ROW(lose_fuel, "spawn", "may not have more rights than its parent"),
    DISTRIBUTED_ROW(be_instantiated, "spawn", "while the module is instantiated"),
    DISTRIBUTED_ROW(empty_message, "send", "no message"),
    DISTRIBUTED_ROW(empty_message, "send_receive_skip_search", "no message"),
#define NO_MESSAGE(name)                                                                           \
    {                                                                                              \
        empty_message, MESSAGE, name, THEN_TRAP, "no message"                                      \
    }
    NO_MESSAGE("write_data"),
    NO_MESSAGE("read_data"),
    NO_MESSAGE("seek_data"),
    NO_MESSAGE("get_tag"),
    NO_MESSAGE("get_process_id"),
    NO_MESSAGE("data_size"),
    NO_MESSAGE("push_module"),
    NO_MESSAGE("push_tcp_stream"),
    NO_MESSAGE("push_tls_stream"),
    NO_MESSAGE("push_udp_socket"),
    NO_MESSAGE("take_module"),
    NO_MESSAGE("take_tcp_stream"),
    NO_MESSAGE("take_tls_stream"),
    NO_MESSAGE("take_udp_socket"),
    NO_MESSAGE("send"),
    NO_MESSAGE("send_receive_skip_search"),
    {empty_message, "lunatic::timer", "send_after", THEN_TRAP, "no message"},
    {empty_message, MESSAGE, REQUEST "@II->i", THEN_TRAP, "no message"},
    {empty_message, "lunatic::distributed", REQUEST "@III->i", THEN_TRAP, "no message"},
#define NOTICE(name)                                                                               \
    {                                                                                              \
        carry_a_notice, MESSAGE, name, THEN_TRAP, "notice of a death"                              \
    }
    NOTICE("write_data"),
    NOTICE("read_data"),
    NOTICE("seek_data"),
    NOTICE("data_size"),
    NOTICE("push_module"),
    NOTICE("push_tcp_stream"),
    NOTICE("push_tls_stream"),
    NOTICE("push_udp_socket"),
    NOTICE("take_module"),
    NOTICE("take_tcp_stream"),
    NOTICE("take_tls_stream"),
    NOTICE("take_udp_socket"),
#define NO_PLAIN_DATA(make, words)                                                                 \
    DISTRIBUTED_ROW(make, "send", words), DISTRIBUTED_ROW(make, REQUEST, words),                   \
        DISTRIBUTED_ROW(make, REQUEST "@III->i", words)
    NO_PLAIN_DATA(carry_a_notice, "notice of a death"),
    NO_PLAIN_DATA(attach_a_module, "a message with attached resources stays on its node"),
    {fill_own_mailbox, MESSAGE, "send", THEN_TRAP, "its own mailbox is full"},
    {open_all_databases, "lunatic::sqlite", "open", THEN_ERROR, "at most 16 databases open"},
    {prepare_all_statements, "lunatic::sqlite", "query_prepare", THEN_TRAP, "finalize those"},
    PROCESS_ROW(be_the_last_process, "spawn", THEN_ERROR, "the limit of processes or links"),
    PROCESS_ROW(be_the_last_process, "get_or_spawn", THEN_ERROR, "the limit of processes or"),
    DISTRIBUTED_ROW(be_the_last_process, "spawn", "the limit of processes or links is reached"),
    PROCESS_ROW(keep_all_names, "get_or_spawn", THEN_ERROR, "cannot hold the name"),
    {keep_all_names, "lunatic::registry", "put", THEN_TRAP, "the registry is full"},
    {keep_all_names, "lunatic::registry", "get_or_put_later", THEN_TRAP, "limit reached"},
    {keep_all_timers, "lunatic::timer", "send_after", THEN_TRAP, "the limit of pending timers"},
    {send_only_small_ones, MESSAGE, "write_data", THEN_TRAP, "beyond the largest size allowed"},
    {read_behind_the_end, MESSAGE, "read_data", THEN_TRAP, "reading behind the end"},
    /* An error that cannot be kept is a trap. */
    NET_ROW(keep_all_errors, "resolve", THEN_TRAP, "4096 errors are kept for this process"),
};

/* The system is as it was. */
static void restore(struct house *house)
{
    struct world *world = &house->net.world;
    const struct pd_runtime_config config = hostile_config();
    fake_is_uninstantiated = false;
    world->runtime.config = config;
    world->environment->registry.names_max = config.names_max;
    pd_real_sockets_set_max(house->net.sockets, PD_SOCKETS_MAX);
    world->system.sockets = pd_real_sockets_interface(house->net.sockets);
    world->system.certificates = pd_real_certificates();
    world->system.compile.jobs_max = 2;
    world->system.compile.wasm_bytes_max = 1u << 16;
}

static void check_then(struct stage *stage, const struct meeting *meeting,
                       const struct outcome *outcome)
{
    uint64_t refusal = strstr(stage->row->signature, "->i") != NULL ? UINT32_MAX : UINT64_MAX;
    bool is_trap = outcome->how == TRAPPED;
    bool is_answer = outcome->how == ANSWERED;
    bool is_so = false;
    switch (meeting->then) {
    case THEN_TRAP:
        is_so = is_trap;
        break;
    case THEN_ERROR:
        is_so = is_answer && outcome->result == 1;
        break;
    case THEN_ERROR_OF_2:
        is_so = is_answer && outcome->result == 2;
        break;
    case THEN_REFUSAL:
        is_so = is_answer && outcome->result == refusal;
        break;
    }
    if (!is_so || strstr(outcome->text, meeting->words) == NULL) {
        blame(stage, 0, value_of(stage, 0), outcome, meeting->words);
    }
    bool is_error = meeting->then == THEN_ERROR || meeting->then == THEN_ERROR_OF_2;
    check_nothing_changed(stage, 0, value_of(stage, 0), is_error);
}

static bool is_of(const struct row *row, const struct meeting *meeting)
{
    size_t size = strcspn(meeting->name, "@");
    const char *signature = meeting->name + size;
    return strcmp(row->module, meeting->module) == 0 && strlen(row->name) == size &&
           memcmp(row->name, meeting->name, size) == 0 &&
           (*signature == '\0' || strcmp(row->signature, signature + 1) == 0);
}

static const struct row *row_of(const struct meeting *meeting)
{
    for (size_t i = 0; row_at(i) != NULL; i++) {
        if (is_of(row_at(i), meeting)) {
            return row_at(i);
        }
    }
    fail_msg("there is no %s::%s", meeting->module, meeting->name);
    return NULL;
}

static void meet(struct house *house, const struct meeting *meeting)
{
    struct stage stage;
    const struct row *row = row_of(meeting);
    begin(&stage, house, row, row_needs(row) | NEEDS_SOCKETS | NEEDS_SQLITE);
    meeting->make(&stage);
    if (meeting->make == keep_all_errors) { /* and the call must fail */
        own_rights(&stage)->network = PD_NETWORK_NONE;
    }
    stage.before = count_all(house, &stage.furnished);
    uint64_t arguments[PD_CALL_ARGUMENTS_MAX];
    good_arguments(&stage, arguments);
    if (meeting->make == fill_own_mailbox) {
        arguments[0] = stage.furnished.actor.pid;
    }
    struct outcome outcome = call_for(&stage, arguments, ROUNDS_MANY);
    restore(house);
    check_then(&stage, meeting, &outcome);
}

static void what_has_an_end_fails_in_words(void **state)
{
    for (size_t i = 0; i < sizeof meetings / sizeof meetings[0]; i++) {
        meet(*state, &meetings[i]);
    }
    clear_house(*state);
}

/* What is refused for want of room is still there, and works when there is room. */
static void nothing_is_lost_by_a_limit(void **state)
{
    static const struct {
        void (*make)(struct stage *stage);
        const char *name;
    } takers[] = {{keep_all_sockets, "take_tcp_stream"}, {keep_all_sockets, "take_tls_stream"},
                  {keep_all_sockets, "take_udp_socket"}, {fill_message, "push_tcp_stream"},
                  {fill_message, "push_tls_stream"},     {fill_message, "push_udp_socket"}};
    struct house *house = *state;
    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++) {
        struct stage stage;
        const struct meeting meeting = {.module = MESSAGE, .name = takers[i].name};
        begin(&stage, house, row_of(&meeting), NEEDS_TLS);
        takers[i].make(&stage);
        struct outcome outcome = call_with(&stage, 0, value_of(&stage, 0));
        assert_int_equal(outcome.how, TRAPPED);
        struct actor *actor = &stage.furnished.actor;
        if (takers[i].make == fill_message) {
            (void)CALL(actor, MESSAGE, "create_data", 0, 0);
        } else {
            struct pd_net_state *net = actor_wasm(actor)->net;
            pd_net_socket_release(pd_id_table_take(&net->streams, net->streams.next_id - 1));
        }
        outcome = call_with(&stage, 0, value_of(&stage, 0));
        if (outcome.how != ANSWERED) {
            blame(&stage, 0, value_of(&stage, 0), &outcome, "success, as there is room now");
        }
    }
    clear_house(house);
}

#define ALLOCATIONS_MAX 12u

/* Each allocation of each function fails once, with everything there that it needs: it traps, fails
 * or gets by without, and when it did not do what it should, it did nothing. */
static void a_failed_allocation_takes_nothing(void **state)
{
    struct house *house = *state;
    uint32_t failed_count = 0;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        struct stage stage;
        begin(&stage, house, row_at(i), row_needs(row_at(i)));
        for (uint64_t nth = 1; nth <= ALLOCATIONS_MAX; nth++) {
            uint64_t arguments[PD_CALL_ARGUMENTS_MAX];
            good_arguments(&stage, arguments);
            pd_alloc_fail_nth(nth);
            struct outcome outcome = call_for(&stage, arguments, ROUNDS_FEW);
            pd_alloc_fail_nth(0);
            world_pass(&house->net.world, MS); /* who was spawned in vain is gone */
            bool is_error =
                outcome.how == ANSWERED && outcome.result == 1 && row_at(i)->answers_errors;
            if (outcome.how == TRAPPED || is_error) {
                check_nothing_changed(&stage, 0, nth, is_error);
                failed_count++;
            } else {
                renew(&stage);
            }
        }
    }
    clear_house(house);
    assert_true(failed_count > 50);
    print_message("%u failed\n", failed_count);
}

/* Nor does what could not be started end who is linked to it. */
static void a_start_that_fails_ends_nobody(void **state)
{
    struct house *house = *state;
    const struct meeting meeting = {.module = SUPERVISOR, .name = "start"};
    uint32_t failed_count = 0;
    for (uint64_t nth = 1; nth <= ALLOCATIONS_MAX; nth++) {
        struct stage stage;
        begin(&stage, house, row_of(&meeting), 0);
        (void)CALL(&stage.furnished.actor, "lunatic::process", "die_when_link_dies", 1);
        pd_alloc_fail_nth(nth);
        struct outcome outcome = call_with(&stage, 1, 3);
        pd_alloc_fail_nth(0);
        world_pass(&house->net.world, MS);
        assert_true(actor_lives(&stage.furnished.actor));
        failed_count += outcome.how == TRAPPED || outcome.result != 0;
    }
    clear_house(house);
    assert_true(failed_count > 3);
}

int main(void)
{
#define HOUSE_TEST(test) cmocka_unit_test_setup_teardown(test, open_house, close_house)
    const struct CMUnitTest tests[] = {
        HOUSE_TEST(what_has_an_end_fails_in_words),
        HOUSE_TEST(nothing_is_lost_by_a_limit),
        HOUSE_TEST(a_failed_allocation_takes_nothing),
        HOUSE_TEST(a_start_that_fails_ends_nobody),
    };
    return cmocka_run_group_tests(tests, make_house_certificates, NULL);
}
