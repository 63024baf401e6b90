/* Every function that Lunatic 0.13.2 registers, with its signature, read off its sources, and those
 * that it had otherwise before: each is there exactly once, and a guest that imports them all
 * loads. */
#include "abi_engine.h"
#include "wasm/abi_tables.h"

struct function {
    const char *module;
    const char *name;
    const char *signature;
};

/* The 140, the legacy get_or_put_later that published crates still import, and what the crates of
 * before 0.13 import under the same name with another signature. */
static const struct function lunatic[] = {
    {"lunatic::distributed", "copy_lookup_nodes_results", "Iiii->i"},
    {"lunatic::distributed", "default_server_certificates", "iiiii->i"},
    {"lunatic::distributed", "exec_lookup_nodes", "iiiii->i"},
    {"lunatic::distributed", "get_nodes", "ii->i"},
    {"lunatic::distributed", "module_id", "->I"},
    {"lunatic::distributed", "node_id", "->I"},
    {"lunatic::distributed", "nodes_count", "->i"},
    {"lunatic::distributed", "send", "II->i"},
    {"lunatic::distributed", "send_receive_skip_search", "III->i"},
    {"lunatic::distributed", "send_receive_skip_search", "IIII->i"},
    {"lunatic::distributed", "sign_node", "iiiiiii->i"},
    {"lunatic::distributed", "spawn", "IIIiiiii->i"},
    {"lunatic::distributed", "test_root_cert", "i->i"},
    {"lunatic::error", "drop", "I->"},
    {"lunatic::error", "string_size", "I->i"},
    {"lunatic::error", "to_string", "Ii->"},
    {"lunatic::message", "create_data", "II->"},
    {"lunatic::message", "data_size", "->I"},
    {"lunatic::message", "get_process_id", "->I"},
    {"lunatic::message", "get_tag", "->I"},
    {"lunatic::message", "push_module", "I->I"},
    {"lunatic::message", "push_tcp_stream", "I->I"},
    {"lunatic::message", "push_tls_stream", "I->I"},
    {"lunatic::message", "push_udp_socket", "I->I"},
    {"lunatic::message", "read_data", "ii->i"},
    {"lunatic::message", "receive", "iiI->i"},
    {"lunatic::message", "seek_data", "I->"},
    {"lunatic::message", "send", "I->i"},
    {"lunatic::message", "send_receive_skip_search", "II->i"},
    {"lunatic::message", "send_receive_skip_search", "III->i"},
    {"lunatic::message", "take_module", "I->I"},
    {"lunatic::message", "take_tcp_stream", "I->I"},
    {"lunatic::message", "take_tls_stream", "I->I"},
    {"lunatic::message", "take_udp_socket", "I->I"},
    {"lunatic::message", "write_data", "ii->i"},
    {"lunatic::metrics", "counter", "iiI->"},
    {"lunatic::metrics", "decrement_gauge", "iiD->"},
    {"lunatic::metrics", "gauge", "iiD->"},
    {"lunatic::metrics", "histogram", "iiD->"},
    {"lunatic::metrics", "increment_counter", "ii->"},
    {"lunatic::metrics", "increment_gauge", "iiD->"},
    {"lunatic::networking", "clone_tcp_stream", "I->I"},
    {"lunatic::networking", "clone_tls_stream", "I->I"},
    {"lunatic::networking", "clone_udp_socket", "I->I"},
    {"lunatic::networking", "drop_dns_iterator", "I->"},
    {"lunatic::networking", "drop_tcp_listener", "I->"},
    {"lunatic::networking", "drop_tcp_stream", "I->"},
    {"lunatic::networking", "drop_tls_listener", "I->"},
    {"lunatic::networking", "drop_tls_stream", "I->"},
    {"lunatic::networking", "drop_udp_socket", "I->"},
    {"lunatic::networking", "get_peek_timeout", "I->I"},
    {"lunatic::networking", "get_read_timeout", "I->I"},
    {"lunatic::networking", "get_tls_read_timeout", "I->I"},
    {"lunatic::networking", "get_tls_write_timeout", "I->I"},
    {"lunatic::networking", "get_udp_socket_broadcast", "I->i"},
    {"lunatic::networking", "get_udp_socket_ttl", "I->i"},
    {"lunatic::networking", "get_write_timeout", "I->I"},
    {"lunatic::networking", "resolve", "iiIi->i"},
    {"lunatic::networking", "resolve_next", "Iiiiii->i"},
    {"lunatic::networking", "set_peek_timeout", "II->"},
    {"lunatic::networking", "set_read_timeout", "II->"},
    {"lunatic::networking", "set_tls_read_timeout", "II->"},
    {"lunatic::networking", "set_tls_write_timeout", "II->"},
    {"lunatic::networking", "set_udp_socket_broadcast", "Ii->"},
    {"lunatic::networking", "set_udp_socket_ttl", "Ii->"},
    {"lunatic::networking", "set_write_timeout", "II->"},
    {"lunatic::networking", "tcp_accept", "Iii->i"},
    {"lunatic::networking", "tcp_bind", "iiiiii->i"},
    {"lunatic::networking", "tcp_connect", "iiiiiIi->i"},
    {"lunatic::networking", "tcp_flush", "Ii->i"},
    {"lunatic::networking", "tcp_local_addr", "Ii->i"},
    {"lunatic::networking", "tcp_peek", "Iiii->i"},
    {"lunatic::networking", "tcp_peer_addr", "Ii->i"},
    {"lunatic::networking", "tcp_read", "Iiii->i"},
    {"lunatic::networking", "tcp_write_vectored", "Iiii->i"},
    {"lunatic::networking", "tls_accept", "Iii->i"},
    {"lunatic::networking", "tls_bind", "iiiiiiiiii->i"},
    {"lunatic::networking", "tls_connect", "iiiIiii->i"},
    {"lunatic::networking", "tls_flush", "Ii->i"},
    {"lunatic::networking", "tls_local_addr", "Ii->i"},
    {"lunatic::networking", "tls_read", "Iiii->i"},
    {"lunatic::networking", "tls_write_vectored", "Iiii->i"},
    {"lunatic::networking", "udp_bind", "iiiiii->i"},
    {"lunatic::networking", "udp_connect", "IiiiiiIi->i"},
    {"lunatic::networking", "udp_local_addr", "Ii->i"},
    {"lunatic::networking", "udp_peer_addr", "Ii->i"},
    {"lunatic::networking", "udp_receive", "Iiii->i"},
    {"lunatic::networking", "udp_receive_from", "Iiiii->i"},
    {"lunatic::networking", "udp_send", "Iiii->i"},
    {"lunatic::networking", "udp_send_to", "Iiiiiiiii->i"},
    {"lunatic::process", "compile_module", "iii->i"},
    {"lunatic::process", "config_can_compile_modules", "I->i"},
    {"lunatic::process", "config_can_create_configs", "I->i"},
    {"lunatic::process", "config_can_spawn_processes", "I->i"},
    {"lunatic::process", "config_get_max_fuel", "I->I"},
    {"lunatic::process", "config_get_max_memory", "I->I"},
    {"lunatic::process", "config_set_can_compile_modules", "Ii->"},
    {"lunatic::process", "config_set_can_create_configs", "Ii->"},
    {"lunatic::process", "config_set_can_spawn_processes", "Ii->"},
    {"lunatic::process", "config_set_max_fuel", "II->"},
    {"lunatic::process", "config_set_max_memory", "II->"},
    {"lunatic::process", "create_config", "->I"},
    {"lunatic::process", "die_when_link_dies", "i->"},
    {"lunatic::process", "drop_config", "I->"},
    {"lunatic::process", "drop_module", "I->"},
    {"lunatic::process", "environment_id", "->I"},
    {"lunatic::process", "exists", "I->i"},
    {"lunatic::process", "get_or_spawn", "iiIIIiiiiii->i"},
    {"lunatic::process", "kill", "I->"},
    {"lunatic::process", "link", "II->"},
    {"lunatic::process", "monitor", "I->"},
    {"lunatic::process", "process_id", "->I"},
    {"lunatic::process", "sleep_ms", "I->"},
    {"lunatic::process", "spawn", "IIIiiiii->i"},
    {"lunatic::process", "stop_monitoring", "I->"},
    {"lunatic::process", "unlink", "I->"},
    {"lunatic::registry", "get", "iiii->i"},
    {"lunatic::registry", "get_or_put_later", "iiii->i"},
    {"lunatic::registry", "put", "iiII->"},
    {"lunatic::registry", "remove", "ii->"},
    {"lunatic::sqlite", "bind_value", "Iii->"},
    {"lunatic::sqlite", "column_count", "I->i"},
    {"lunatic::sqlite", "column_name", "Iii->i"},
    {"lunatic::sqlite", "column_names", "Ii->i"},
    {"lunatic::sqlite", "execute", "Iii->i"},
    {"lunatic::sqlite", "last_error", "Ii->i"},
    {"lunatic::sqlite", "open", "iii->I"},
    {"lunatic::sqlite", "query_prepare", "Iii->I"},
    {"lunatic::sqlite", "read_column", "Iii->i"},
    {"lunatic::sqlite", "read_row", "Ii->i"},
    {"lunatic::sqlite", "sqlite3_changes", "I->i"},
    {"lunatic::sqlite", "sqlite3_finalize", "I->"},
    {"lunatic::sqlite", "sqlite3_step", "I->i"},
    {"lunatic::sqlite", "statement_reset", "I->"},
    {"lunatic::timer", "cancel_timer", "I->i"},
    {"lunatic::timer", "send_after", "II->I"},
    {"lunatic::trap", "catch", "ii->i"},
    {"lunatic::version", "major", "->i"},
    {"lunatic::version", "minor", "->i"},
    {"lunatic::version", "patch", "->i"},
    {"lunatic::wasi", "config_add_command_line_argument", "Iii->"},
    {"lunatic::wasi", "config_add_environment_variable", "Iiiii->"},
    {"lunatic::wasi", "config_preopen_dir", "Iii->"},
};

#define LUNATIC_COUNT (sizeof lunatic / sizeof lunatic[0])
_Static_assert(LUNATIC_COUNT == 143, "140 functions, a legacy one, and two former versions");

static size_t occurrences(const struct function *wanted)
{
    const struct pd_import_table *tables = NULL;
    size_t table_count = pd_abi_tables(&tables);
    size_t count = 0;
    for (size_t i = 0; i < table_count; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            const struct pd_import *import = &tables[i].imports[j];
            count += strcmp(import->module, wanted->module) == 0 &&
                     strcmp(import->name, wanted->name) == 0 &&
                     strcmp(import->signature, wanted->signature) == 0;
        }
    }
    return count;
}

static void every_function_of_lunatic_is_there_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < LUNATIC_COUNT; i++) {
        size_t count = occurrences(&lunatic[i]);
        if (count != 1) {
            fail_msg("%s::%s as \"%s\": %zu times, wanted once", lunatic[i].module, lunatic[i].name,
                     lunatic[i].signature, count);
        }
    }
}

static void nothing_is_registered_twice_or_badly(void **state)
{
    (void)state;
    const struct pd_import_table *tables = NULL;
    size_t table_count = pd_abi_tables(&tables);
    size_t lunatic_count = 0;
    for (size_t i = 0; i < table_count; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            const struct pd_import *import = &tables[i].imports[j];
            const struct function self = {import->module, import->name, import->signature};
            assert_int_equal(occurrences(&self), 1);
            const char *arrow = strstr(import->signature, "->");
            assert_non_null(arrow);
            assert_true(arrow - import->signature <= PD_CALL_ARGUMENTS_MAX);
            assert_int_equal(strspn(import->signature, "iID"), (size_t)(arrow - import->signature));
            assert_true(strlen(arrow + 2) <= 1);
            assert_non_null(import->function);
            lunatic_count += strncmp(import->module, "lunatic::", 9) == 0;
        }
    }
    assert_int_equal(lunatic_count, LUNATIC_COUNT);
}

static void write_type(FILE *out, char letter)
{
    (void)fprintf(out, " %s", letter == 'i' ? "i32" : letter == 'I' ? "i64" : "f64");
}

static void write_import(FILE *out, const struct pd_import *import)
{
    (void)fprintf(out, "(import \"%s\" \"%s\" (func (param", import->module, import->name);
    const char *at = import->signature;
    for (; *at != '-'; at++) {
        write_type(out, *at);
    }
    (void)fprintf(out, ")");
    if (at[2] != '\0') {
        (void)fprintf(out, " (result");
        write_type(out, at[2]);
        (void)fprintf(out, ")");
    }
    (void)fprintf(out, "))\n");
}

/* The row of that name that is not this one. */
static const struct pd_import *other_version(const struct pd_import *import)
{
    const struct pd_import_table *tables = NULL;
    size_t table_count = pd_abi_tables(&tables);
    for (size_t i = 0; i < table_count; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            const struct pd_import *other = &tables[i].imports[j];
            if (other != import && strcmp(other->module, import->module) == 0 &&
                strcmp(other->name, import->name) == 0) {
                return other;
            }
        }
    }
    return NULL;
}

static bool is_former(const struct engine_world *opened, const struct pd_import *import)
{
    return pd_linker_find(&opened->linker, import->module, strlen(import->module), import->name,
                          strlen(import->name)) != import;
}

static void run_to_its_end(struct engine_world *opened, const char *wat)
{
    struct pd_module *module = engine_load(opened, wat);
    struct pd_rights *rights = world_rights(&opened->world);
    uint64_t count = opened->world.exit_count;
    (void)world_spawn(&opened->world, module, rights, "main");
    world_settle(&opened->world);
    assert_int_equal(opened->world.exit_count, count + 1);
    assert_int_equal(opened->world.last_reason, PD_EXIT_NORMAL);
    pd_rights_release(rights);
    pd_module_release(module);
}

/* Functions as they are, or, where they were otherwise, as they were. */
static void import_everything(struct engine_world *opened, bool wants_former)
{
    char *wat = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&wat, &size);
    (void)fprintf(out, "(module\n");
    const struct pd_import_table *tables = NULL;
    size_t table_count = pd_abi_tables(&tables);
    for (size_t i = 0; i < table_count; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            const struct pd_import *import = &tables[i].imports[j];
            if (other_version(import) == NULL || is_former(opened, import) == wants_former) {
                write_import(out, import);
            }
        }
    }
    (void)fprintf(out, "(memory (export \"memory\") 1) (func (export \"main\")))\n");
    (void)fclose(out);
    run_to_its_end(opened, wat);
    free(wat);
}

static void a_guest_that_imports_everything_loads(void **state)
{
    (void)state;
    struct engine_world opened;
    engine_world_open(&opened);
    import_everything(&opened, false);
    import_everything(&opened, true);
    engine_world_close(&opened);
}

/* Asks itself by `ask`, imported as it says, and traps unless the answer has tag 7: it is its own
 * request. */
#define ASKING_WAT(MODULE, PARAMS, ARGUMENTS)                                                      \
    "(module"                                                                                      \
    "  (import \"" MODULE "\" \"send_receive_skip_search\""                                        \
    "    (func $ask (param" PARAMS ") (result i32)))"                                              \
    "  (import \"lunatic::message\" \"create_data\" (func $create (param i64 i64)))"               \
    "  (import \"lunatic::message\" \"get_tag\" (func $tag (result i64)))"                         \
    "  (import \"lunatic::process\" \"process_id\" (func $self (result i64)))"                     \
    "  (memory (export \"memory\") 1)"                                                             \
    "  (func (export \"main\")"                                                                    \
    "    (call $create (i64.const 7) (i64.const 0))"                                               \
    "    (if (call $ask " ARGUMENTS ") (then unreachable))"                                        \
    "    (if (i64.ne (call $tag) (i64.const 7)) (then unreachable))))"

static void each_guest_gets_the_version_that_it_imports(void **state)
{
    (void)state;
    static const char *const guests[] = {
        ASKING_WAT("lunatic::message", " i64 i64 i64", "(call $self) (i64.const 7) (i64.const -1)"),
        ASKING_WAT("lunatic::message", " i64 i64", "(call $self) (i64.const -1)"),
        ASKING_WAT("lunatic::distributed", " i64 i64 i64 i64",
                   "(i64.const 0) (call $self) (i64.const 7) (i64.const -1)"),
        ASKING_WAT("lunatic::distributed", " i64 i64 i64",
                   "(i64.const 0) (call $self) (i64.const -1)"),
    };
    struct engine_world opened;
    engine_world_open(&opened);
    for (size_t i = 0; i < sizeof guests / sizeof guests[0]; i++) {
        run_to_its_end(&opened, guests[i]);
    }
    engine_world_close(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_of_lunatic_is_there_once),
        cmocka_unit_test(nothing_is_registered_twice_or_badly),
        cmocka_unit_test(a_guest_that_imports_everything_loads),
        cmocka_unit_test(each_guest_gets_the_version_that_it_imports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
