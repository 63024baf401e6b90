/* Sequences of host calls as a hostile guest would make them: any function, any arguments, any
 * memory. The input is a script; what it may break is the sandbox, and the invariants that
 * world_close checks.
 *
 *   step = 0x00-0x1F  poke: address (2 bytes), size (1 byte), bytes
 *          0x20-0x27  a scene: calls as an honest guest makes them, so that what follows finds a
 *                     database with statements, or a supervisor with children
 *          0x28-0x2F  a scene with a watch and a lease of the store, or with sockets of each kind;
 *                     or what the store answers from here on, or a block of events for a watch
 *          else       call: function (2 bytes), then per argument a selector: below 0xE0 an entry
 *                     of the table of hostile numbers, else 8 bytes that follow */
#include "drawn_sockets.h"
#include "wasm/abi_hostile.h"
#include "wasm/abi_kv.h"
#include "wasm/net.h"

#define STEPS_MAX 64
#define NAME_AT 512u
#define OUT_AT 24u
#define FOREVER UINT64_MAX
/* Where, and as long as, numbers of the table say. */
#define LIST_AT 64u
#define SQL_AT 1024u
#define SQL_SIZE 64u
#define NETWORK "lunatic::networking"
#define IP_AT 100u
#define PEER_AT 520u
#define PARTS_AT 600u
#define STORE_ANSWER_MAX 256u

static uint64_t next_number(struct script *script)
{
    uint8_t selector = next_byte(script);
    if (selector < 0xE0) {
        return hostile_numbers[selector % HOSTILE_NUMBER_COUNT];
    }
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) {
        number = number << 8 | next_byte(script);
    }
    return number;
}

static void poke(struct actor *actor, struct script *script)
{
    uint32_t address = next_u16(script);
    uint32_t size = next_byte(script);
    for (uint32_t i = 0; i < size && address + i < FAKE_MEMORY_SIZE; i++) {
        *actor_memory(actor, address + i) = next_byte(script);
    }
}

static void call(struct actor *actor, struct script *script, size_t import_count)
{
    const struct pd_import *import = hostile_import(next_u16(script) % import_count);
    uint64_t numbers[PD_CALL_ARGUMENTS_MAX] = {0};
    size_t count = hostile_argument_count(import);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = next_number(script);
    }
    (void)hostile_call(actor, import, numbers);
}

/* A step of a scene. Who is gone in the middle of one does nothing more. */
#define DO(actor, module, name, ...)                                                               \
    ((void)(actor_lives(actor) &&                                                                  \
            hostile_call(actor, abi_find(module, name),                                            \
                         (const uint64_t[PD_CALL_ARGUMENTS_MAX]){__VA_ARGS__})))

/* Two statements (0 and 1), one at a row, and a list of values for their parameters. */
static void open_database(struct actor *actor)
{
    static const uint8_t list[] = {
        2, 0, 0, 0, 0,    0,    0,    0,                                      /* pairs */
        1, 0, 0, 0, 2,    0,    0,    0,    0,    0,    0,    0,              /* parameter 2 */
        2, 0, 0, 0, 2,    0,    0,    0,    0,    0,    0,    0,    'h', 'i', /* is a text */
        2, 0, 0, 0, 1,    0,    0,    0,    0,    0,    0,    0,    'a',      /* and one called a */
        5, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F,           /* is a number */
    };
    static const char sql[] = "SELECT :a,?2,1.5; -- and so on, for as long as the table's sizes";
    _Static_assert(sizeof sql - 1 == SQL_SIZE, "a size of the table");
    memcpy(actor_memory(actor, LIST_AT), list, sizeof list);
    memcpy(actor_memory(actor, SQL_AT), sql, SQL_SIZE);
    uint32_t size = actor_put(actor, NAME_AT, ":memory:");
    DO(actor, "lunatic::sqlite", "open", NAME_AT, size, OUT_AT);
    DO(actor, "lunatic::sqlite", "query_prepare", 0, SQL_AT, SQL_SIZE);
    DO(actor, "lunatic::sqlite", "query_prepare", 0, SQL_AT, 17);
    DO(actor, "lunatic::sqlite", "bind_value", 0, LIST_AT, SQL_SIZE);
    DO(actor, "lunatic::sqlite", "sqlite3_step", 0);
}

/* A supervisor that runs, with a worker and another below it, and a specification (2). */
static void start_supervisor(struct actor *actor)
{
    static const char module[] = "pando::supervisor";
    DO(actor, module, "create", 0, 3, 1000);
    DO(actor, module, "create", 1, 3, 1000);
    for (uint64_t spec = 0; spec < 2; spec++) {
        DO(actor, module, "set_name", spec, HOSTILE_TEXT_AT, 4 + spec);
        DO(actor, module, "add_worker", spec, HOSTILE_TEXT_AT, 5, UINT64_MAX, 0, HOSTILE_TEXT_AT, 5,
           0, 0, spec, 0, 5);
    }
    DO(actor, module, "add_supervisor", 1, 0, HOSTILE_TEXT_AT, 4, 0, UINT64_MAX);
    DO(actor, module, "start", 1, 0, OUT_AT);
    DO(actor, module, "create", 3, 3, 1000);
    DO(actor, module, "add_worker", 2, HOSTILE_TEXT_AT, 5, UINT64_MAX, 0, HOSTILE_TEXT_AT, 5, 0, 0,
       0, 0, 0);
    /* Its number is nowhere in the table of hostile ones. */
    uint64_t pid = actor_lives(actor) ? actor_u64(actor, OUT_AT) : 0;
    DO(actor, module, "count", pid, NAME_AT, FOREVER, OUT_AT);
    DO(actor, module, "list", pid, 0, NAME_AT, 256, FOREVER, OUT_AT);
    DO(actor, module, "stop_child", pid, pid + 1, FOREVER, OUT_AT);
    DO(actor, module, "restart_child", pid, HOSTILE_TEXT_AT, 5, FOREVER, OUT_AT);
    DO(actor, module, "delete_child", pid, HOSTILE_TEXT_AT, 4, FOREVER, OUT_AT);
}

/* A watch, a lease, and an answer that is not read yet. */
static void ask_store(struct actor *actor)
{
    static uint8_t answer[STORE_ANSWER_MAX];
    fake_kv.bytes = answer;
    fake_kv.size = fake_kv_record(answer, "hello", "value");
    fake_kv.code = fake_kv.begin_code = PD_KV_CODE_OK;
    fake_kv.holds = false;
    DO(actor, KV, "watch", HOSTILE_TEXT_AT, 5, 0, 0, 0, 7, 0, OUT_AT);
    DO(actor, KV, "lease_grant", 30, 0, OUT_AT);
    DO(actor, KV, "get", HOSTILE_TEXT_AT, 5, NAME_AT, 64, 1024);
    DO(actor, KV, "range", HOSTILE_TEXT_AT, 5, 0, 0, 0, 0, 0, OUT_AT);
}

/* What the store says to all that follows. */
static void draw_answers(struct script *script)
{
    static uint8_t answer[STORE_ANSWER_MAX];
    static const enum pd_status now[] = {PD_ERR_RANGE, PD_OK, PD_ERR_UNKNOWN};
    fake_kv.code = next_byte(script) % (PD_KV_CODE_COMPACTED + 1u);
    fake_kv.begin_code = next_byte(script) % (PD_KV_CODE_COMPACTED + 1u);
    fake_kv.holds = next_byte(script) % 4 == 3;
    fake_kv.is_behind = next_byte(script) % 4 == 3;
    fake_kv.revision = (int64_t)next_number(script);
    fake_kv.size = next_byte(script);
    next_bytes(script, answer, fake_kv.size);
    fake_kv.bytes = answer;
    /* What is there at once is a record, or the store would be wrong. */
    bool is_record = fake_kv.size >= PD_KV_PORT_RECORD_SIZE &&
                     pd_get_u32(answer) + (uint64_t)pd_get_u32(answer + 4) ==
                         fake_kv.size - PD_KV_PORT_RECORD_SIZE;
    fake_kv.now_status = now[is_record ? next_byte(script) % 3 : 0];
}

static void draw_block(struct actor *actor, struct script *script)
{
    uint8_t bytes[UINT8_MAX];
    size_t size = next_byte(script);
    next_bytes(script, bytes, size);
    bool is_last = next_byte(script) % 8 == 7;
    if (fake_kv.block_count < BLOCKS_MAX) {
        fake_kv_give(bytes, size, is_last);
    }
    if (actor_lives(actor)) {
        pd_wasm_wake(actor->process);
        world_pass(actor->world, MS);
    }
}

static void put_part(struct actor *actor)
{
    pd_put_u32(actor_memory(actor, PARTS_AT), 0);
    pd_put_u32(actor_memory(actor, PARTS_AT + 4), 64);
}

/* A listener, streams that were accepted and connected, one in a message, a name. */
static void open_streams(struct actor *actor)
{
    uint32_t size = actor_put(actor, NAME_AT, "a.example:80");
    put_part(actor);
    DO(actor, NETWORK, "resolve", NAME_AT, size, FOREVER, OUT_AT);
    DO(actor, NETWORK, "tcp_bind", 4, IP_AT, 0, 0, 0, OUT_AT);
    DO(actor, NETWORK, "tcp_accept", 0, OUT_AT, PEER_AT);
    DO(actor, NETWORK, "tcp_connect", 4, IP_AT, 80, 0, 0, FOREVER, OUT_AT);
    DO(actor, NETWORK, "tcp_write_vectored", 0, PARTS_AT, 1, OUT_AT);
    DO(actor, NETWORK, "set_peek_timeout", 0, 1);
    DO(actor, NETWORK, "tcp_peek", 0, 1024, 64, OUT_AT);
    DO(actor, NETWORK, "tcp_read", 0, 1024, 64, OUT_AT);
    DO(actor, NETWORK, "tcp_peer_addr", 0, OUT_AT);
    DO(actor, NETWORK, "tcp_local_addr", 0, OUT_AT);
    size = actor_lives(actor) ? actor_put(actor, NAME_AT, "[::1]:80") : 0;
    DO(actor, NETWORK, "resolve", NAME_AT, size, FOREVER, OUT_AT);
    DO(actor, NETWORK, "resolve_next", 0, 1024, 1032, 1056, 1064, 1072);
    DO(actor, "lunatic::message", "push_tcp_stream", 1);
}

static void open_sessions(struct actor *actor)
{
    uint32_t size = actor_put(actor, NAME_AT, "a.example");
    put_part(actor);
    DO(actor, NETWORK, "tls_bind", 4, IP_AT, 0, 0, 0, OUT_AT, 0, 64, 0, 64);
    DO(actor, NETWORK, "tls_accept", 0, OUT_AT, PEER_AT);
    DO(actor, NETWORK, "tls_connect", NAME_AT, size, 443, FOREVER, OUT_AT, 0, 0);
    DO(actor, NETWORK, "tls_read", 0, 1024, 64, OUT_AT);
    DO(actor, NETWORK, "tls_write_vectored", 0, PARTS_AT, 1, OUT_AT);
    DO(actor, NETWORK, "tls_flush", 0, OUT_AT);
    DO(actor, NETWORK, "tls_local_addr", 0, OUT_AT);
    DO(actor, "lunatic::message", "push_tls_stream", 1);
}

static void open_datagrams(struct actor *actor)
{
    DO(actor, NETWORK, "udp_bind", 6, IP_AT, 0, 0, 0, OUT_AT);
    DO(actor, NETWORK, "udp_bind", 4, IP_AT, 0, 0, 0, OUT_AT);
    DO(actor, NETWORK, "udp_connect", 0, 6, IP_AT, 53, 0, 0, FOREVER, OUT_AT);
    DO(actor, NETWORK, "udp_send", 0, 1024, 64, OUT_AT);
    DO(actor, NETWORK, "udp_send_to", 1, 1024, 64, 4, IP_AT, 53, 0, 0, OUT_AT);
    DO(actor, NETWORK, "udp_receive", 0, 1024, 64, OUT_AT);
    DO(actor, NETWORK, "udp_receive_from", 0, 1024, 64, OUT_AT, PEER_AT);
    DO(actor, NETWORK, "udp_local_addr", 0, OUT_AT);
    DO(actor, NETWORK, "udp_peer_addr", 0, OUT_AT);
    DO(actor, "lunatic::message", "push_udp_socket", 1);
}

static void play(struct actor *actor, uint8_t scene, struct script *script)
{
    switch (scene) {
    case 0x28:
        ask_store(actor);
        break;
    case 0x29:
    case 0x2A:
        draw_answers(script);
        break;
    case 0x2B:
    case 0x2C:
        draw_block(actor, script);
        break;
    case 0x2D:
        open_streams(actor);
        break;
    case 0x2E:
        open_sessions(actor);
        break;
    case 0x2F:
        open_datagrams(actor);
        break;
    default:
        if (scene % 2 == 0) {
            open_database(actor);
        } else {
            start_supervisor(actor);
        }
    }
}

/* A network whose answers are drawn, of which it may have all, or some; and keys that begin with
 * what the actor has as a text. */
static struct actor make_actor(struct world *world, size_t choice)
{
    static const char *const lists[] = {"*.example:*,10.0.0.0/8,::/1", "127.0.0.1:80,[::1]"};
    struct pd_rights *rights = world_rights(world);
    char why[256];
    rights->network = PD_NETWORK_ALL;
    rights->memory_bytes_max = UINT64_C(64) << 20; /* TLS counts */
    if (choice % 4 < 2) {
        enum pd_status parsed =
            pd_net_list_parse(lists[choice % 4], &rights->network_list, why, sizeof why);
        pd_assert(parsed == PD_OK);
        rights->network = PD_NETWORK_LIST;
    }
    enum pd_status allowed = pd_rights_allow_kv(rights, "h", choice % 3 == 0 ? 0 : 1);
    pd_assert(allowed == PD_OK);
    struct actor actor = hostile_actor_with(world, rights);
    pd_rights_release(rights);
    return actor;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct script script = {.bytes = bytes, .size = size};
    struct world world;
    struct pd_runtime_config config = hostile_config();
    world_open(&world, &config);
    drawn_sockets.interface.ops = &drawn_sockets_ops;
    drawn_sockets.interface.wake = pd_wasm_wake;
    drawn_sockets.script = &script;
    world.system.sockets = &drawn_sockets.interface;
    fake_kv_open(&world);
    struct actor actor = make_actor(&world, size);
    size_t import_count = hostile_import_count();
    for (int step = 0; step < STEPS_MAX && script.at < script.size; step++) {
        if (!actor_lives(&actor)) {
            actor = make_actor(&world, size);
        }
        uint8_t kind = next_byte(&script);
        if (kind < 0x20) {
            poke(&actor, &script);
        } else if (kind < 0x30) {
            play(&actor, kind, &script);
        } else {
            call(&actor, &script, import_count);
        }
    }
    world_close(&world);
    fake_kv_close();
    pd_assert(drawn_sockets.open == 0);
    return 0;
}
