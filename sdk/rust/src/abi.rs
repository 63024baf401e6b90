//! The imports, as Pando declares them, and the one export that it calls back.
#![allow(clippy::too_many_arguments)]

/// "The parent's own", where an id of a module or a configuration is asked for.
pub const INHERIT: u64 = u64::MAX;

pub mod error {
    #[link(wasm_import_module = "lunatic::error")]
    extern "C" {
        pub fn string_size(error: u64) -> u32;
        pub fn to_string(error: u64, to: *mut u8);
        pub fn drop(error: u64);
    }
}

pub mod message {
    #[link(wasm_import_module = "lunatic::message")]
    extern "C" {
        pub fn create_data(tag: u64, capacity: u64);
        pub fn write_data(bytes: *const u8, size: u32) -> u32;
        pub fn read_data(to: *mut u8, size: u32) -> u32;
        pub fn get_tag() -> u64;
        pub fn data_size() -> u64;
        pub fn send(pid: u64) -> u32;
        pub fn receive(tags: *const u64, count: u32, timeout_ms: u64) -> u32;
        pub fn push_tcp_stream(stream: u64) -> u64;
        pub fn take_tcp_stream(index: u64) -> u64;
        pub fn push_tls_stream(stream: u64) -> u64;
        pub fn take_tls_stream(index: u64) -> u64;
        pub fn push_udp_socket(socket: u64) -> u64;
        pub fn take_udp_socket(index: u64) -> u64;
    }
    #[link(wasm_import_module = "pando::message")]
    extern "C" {
        #[link_name = "ref"]
        pub fn reference() -> u64;
        pub fn pid() -> u64;
        pub fn reason() -> u32;
        pub fn reason_text(to: *mut u8, room: u32) -> u32;
    }
}

pub mod timer {
    #[link(wasm_import_module = "lunatic::timer")]
    extern "C" {
        pub fn send_after(pid: u64, ms: u64) -> u64;
        pub fn cancel_timer(timer: u64) -> u32;
    }
}

pub mod process {
    #[link(wasm_import_module = "lunatic::process")]
    extern "C" {
        pub fn spawn(
            link: u64,
            config: u64,
            module: u64,
            function: *const u8,
            function_size: u32,
            params: *const u8,
            params_size: u32,
            id_out: *mut u64,
        ) -> u32;
        pub fn get_or_spawn(
            name: *const u8,
            name_size: u32,
            link: u64,
            config: u64,
            module: u64,
            function: *const u8,
            function_size: u32,
            params: *const u8,
            params_size: u32,
            node_out: *mut u64,
            id_out: *mut u64,
        ) -> u32;
        pub fn sleep_ms(ms: u64);
        pub fn process_id() -> u64;
        pub fn environment_id() -> u64;
        pub fn link(tag: u64, pid: u64);
        pub fn unlink(pid: u64);
        pub fn kill(pid: u64);
        pub fn exists(pid: u64) -> u32;
        pub fn compile_module(bytes: *const u8, size: u32, id_out: *mut u64) -> i32;
        pub fn drop_module(module: u64);
        pub fn create_config() -> u64;
        pub fn drop_config(config: u64);
        pub fn config_set_max_memory(config: u64, bytes: u64);
        pub fn config_set_max_fuel(config: u64, portions: u64);
        pub fn config_set_can_compile_modules(config: u64, can: u32);
        pub fn config_set_can_create_configs(config: u64, can: u32);
        pub fn config_set_can_spawn_processes(config: u64, can: u32);
    }
    #[link(wasm_import_module = "lunatic::wasi")]
    extern "C" {
        pub fn config_add_environment_variable(
            config: u64,
            name: *const u8,
            name_size: u32,
            value: *const u8,
            value_size: u32,
        );
        pub fn config_add_command_line_argument(config: u64, text: *const u8, size: u32);
        pub fn config_preopen_dir(config: u64, path: *const u8, size: u32);
    }
    #[link(wasm_import_module = "pando::process")]
    extern "C" {
        #[link_name = "send"]
        pub fn try_send(pid: u64) -> u32;
        pub fn call(pid: u64, timeout_ms: u64) -> u32;
        pub fn reply(pid: u64, reference: u64) -> u32;
        pub fn monitor(pid: u64) -> u64;
        pub fn demonitor(reference: u64, flush: u32) -> u32;
        pub fn trap_exit(traps: u32);
        pub fn exit(pid: u64, reason: u32, text: *const u8, size: u32);
        pub fn exit_self(reason: u32, text: *const u8, size: u32);
        pub fn last_reason() -> u32;
    }
}

pub mod registry {
    #[link(wasm_import_module = "pando::registry")]
    extern "C" {
        pub fn register(name: *const u8, size: u32, pid: u64) -> u32;
        pub fn whereis(name: *const u8, size: u32, pid_out: *mut u64) -> u32;
        pub fn unregister(name: *const u8, size: u32) -> u32;
    }
    #[link(wasm_import_module = "lunatic::registry")]
    extern "C" {
        pub fn put(name: *const u8, size: u32, node: u64, pid: u64);
    }
}

pub mod group {
    #[link(wasm_import_module = "pando::group")]
    extern "C" {
        pub fn join(name: *const u8, size: u32) -> u32;
        pub fn leave(name: *const u8, size: u32) -> u32;
        pub fn members(name: *const u8, size: u32, pids: *mut u64, pids_max: u32) -> u32;
        pub fn broadcast(name: *const u8, size: u32, skipped_out: *mut u32) -> u32;
    }
}

pub mod metrics {
    #[link(wasm_import_module = "lunatic::metrics")]
    extern "C" {
        pub fn counter(name: *const u8, size: u32, value: u64);
        pub fn increment_counter(name: *const u8, size: u32);
        pub fn gauge(name: *const u8, size: u32, value: f64);
        pub fn increment_gauge(name: *const u8, size: u32, value: f64);
        pub fn decrement_gauge(name: *const u8, size: u32, value: f64);
        pub fn histogram(name: *const u8, size: u32, value: f64);
    }
}

pub mod supervisor {
    #[link(wasm_import_module = "pando::supervisor")]
    extern "C" {
        pub fn create(strategy: u32, restarts_max: u32, period_ms: u64) -> u64;
        pub fn drop(spec: u64);
        pub fn set_name(spec: u64, name: *const u8, size: u32);
        pub fn set_limits(spec: u64, children_max: u32, auto_shutdown: u32);
        pub fn add_worker(
            spec: u64,
            id: *const u8,
            id_size: u32,
            config: u64,
            module: u64,
            function: *const u8,
            function_size: u32,
            params: *const u8,
            params_size: u32,
            restart: u32,
            flags: u32,
            stop_ms: u64,
        );
        pub fn add_supervisor(
            spec: u64,
            child: u64,
            id: *const u8,
            id_size: u32,
            restart: u32,
            stop_ms: u64,
        );
        pub fn set_ready(spec: u64, ready_ms: u64);
        pub fn start(spec: u64, link_tag: u64, out: *mut u64) -> u32;
        pub fn start_child(
            pid: u64,
            params: *const u8,
            params_size: u32,
            timeout_ms: u64,
            out: *mut u64,
        ) -> u32;
        pub fn restart_child(
            pid: u64,
            id: *const u8,
            size: u32,
            timeout_ms: u64,
            out: *mut u64,
        ) -> u32;
        pub fn stop_child(pid: u64, child: u64, timeout_ms: u64, out: *mut u64) -> u32;
        pub fn delete_child(
            pid: u64,
            id: *const u8,
            size: u32,
            timeout_ms: u64,
            out: *mut u64,
        ) -> u32;
        pub fn count(pid: u64, counts_out: *mut u32, timeout_ms: u64, out: *mut u64) -> u32;
        pub fn stop(pid: u64, is_brutal: u32, timeout_ms: u64, out: *mut u64) -> u32;
        pub fn ready();
    }
}

pub mod info {
    #[link(wasm_import_module = "pando::info")]
    extern "C" {
        pub fn fuel_used() -> u64;
        pub fn fuel_limit() -> u64;
        pub fn memory_size() -> u64;
        pub fn memory_limit() -> u64;
        pub fn message_count() -> u64;
        pub fn received() -> u64;
        pub fn process_count() -> u64;
        pub fn now_ns() -> u64;
    }
}

pub mod kv {
    #[link(wasm_import_module = "pando::kv")]
    extern "C" {
        pub fn get(key: *const u8, size: u32, value: *mut u8, room: u32, found: *mut u8) -> u32;
        pub fn get_local(
            key: *const u8,
            size: u32,
            value: *mut u8,
            room: u32,
            found: *mut u8,
        ) -> u32;
        pub fn put(
            key: *const u8,
            key_size: u32,
            value: *const u8,
            value_size: u32,
            lease: i64,
            flags: u32,
            revision_out: *mut i64,
        ) -> u32;
        pub fn delete(
            key: *const u8,
            key_size: u32,
            end: *const u8,
            end_size: u32,
            flags: u32,
            deleted_out: *mut i64,
        ) -> u32;
        pub fn range(
            key: *const u8,
            key_size: u32,
            end: *const u8,
            end_size: u32,
            limit: i64,
            revision: i64,
            flags: u32,
            ranged_out: *mut u8,
        ) -> u32;
        pub fn txn(txn: *const u8, size: u32, committed_out: *mut u8) -> u32;
        pub fn answer_left() -> u32;
        pub fn answer_read(to: *mut u8, size: u32) -> u32;
        pub fn lease_grant(ttl_s: i64, id: i64, lease_out: *mut i64) -> u32;
        pub fn lease_revoke(id: i64) -> u32;
        pub fn lease_keepalive(id: i64, lease_out: *mut i64) -> u32;
        pub fn watch(
            key: *const u8,
            key_size: u32,
            end: *const u8,
            end_size: u32,
            revision: i64,
            tag: u64,
            flags: u32,
            watch_out: *mut u64,
        ) -> u32;
        pub fn unwatch(id: u64) -> u32;
        pub fn set_timeout(ms: u64);
        pub fn last_error() -> u64;
        pub fn config_allow(config: u64, prefix: *const u8, size: u32);
    }
}

pub mod net {
    /// Bytes to be written or looked at, as the functions take several of them.
    #[repr(C)]
    pub struct Part {
        pub bytes: *const u8,
        pub size: u32,
    }

    /// An address as the functions write it.
    #[derive(Default)]
    pub struct Address {
        pub kind: u32,
        pub ip: [u8; 16],
        pub port: u16,
        pub flow: u32,
        pub scope: u32,
    }

    #[link(wasm_import_module = "lunatic::networking")]
    extern "C" {
        pub fn resolve(name: *const u8, size: u32, timeout_ms: u64, out: *mut u64) -> u32;
        pub fn resolve_next(
            list: u64,
            kind: *mut u32,
            ip: *mut u8,
            port: *mut u16,
            flow: *mut u32,
            scope: *mut u32,
        ) -> u32;
        pub fn drop_dns_iterator(list: u64);
        pub fn tcp_bind(
            kind: u32,
            ip: *const u8,
            port: u32,
            flow: u32,
            scope: u32,
            out: *mut u64,
        ) -> u32;
        pub fn tcp_local_addr(listener: u64, out: *mut u64) -> u32;
        pub fn tcp_peer_addr(stream: u64, out: *mut u64) -> u32;
        pub fn tcp_accept(listener: u64, out: *mut u64, peer_out: *mut u64) -> u32;
        pub fn tcp_connect(
            kind: u32,
            ip: *const u8,
            port: u32,
            flow: u32,
            scope: u32,
            timeout_ms: u64,
            out: *mut u64,
        ) -> u32;
        pub fn tcp_write_vectored(
            stream: u64,
            parts: *const Part,
            count: u32,
            out: *mut u64,
        ) -> u32;
        pub fn tcp_read(stream: u64, to: *mut u8, size: u32, out: *mut u64) -> u32;
        pub fn tcp_peek(stream: u64, to: *mut u8, size: u32, out: *mut u64) -> u32;
        pub fn tcp_flush(stream: u64, out: *mut u64) -> u32;
        pub fn set_read_timeout(stream: u64, ms: u64);
        pub fn set_write_timeout(stream: u64, ms: u64);
        pub fn set_peek_timeout(stream: u64, ms: u64);
        pub fn clone_tcp_stream(stream: u64) -> u64;
        pub fn drop_tcp_listener(listener: u64);
        pub fn drop_tcp_stream(stream: u64);
        pub fn udp_bind(
            kind: u32,
            ip: *const u8,
            port: u32,
            flow: u32,
            scope: u32,
            out: *mut u64,
        ) -> u32;
        pub fn udp_local_addr(socket: u64, out: *mut u64) -> u32;
        pub fn udp_receive_from(
            socket: u64,
            to: *mut u8,
            size: u32,
            out: *mut u64,
            from_out: *mut u64,
        ) -> u32;
        pub fn udp_send_to(
            socket: u64,
            bytes: *const u8,
            size: u32,
            kind: u32,
            ip: *const u8,
            port: u32,
            flow: u32,
            scope: u32,
            out: *mut u64,
        ) -> u32;
        pub fn clone_udp_socket(socket: u64) -> u64;
        pub fn drop_udp_socket(socket: u64);
        pub fn set_udp_socket_broadcast(socket: u64, may: u32);
        pub fn tls_bind(
            kind: u32,
            ip: *const u8,
            port: u32,
            flow: u32,
            scope: u32,
            out: *mut u64,
            certificate: *const u8,
            certificate_size: u32,
            key: *const u8,
            key_size: u32,
        ) -> u32;
        pub fn tls_local_addr(listener: u64, out: *mut u64) -> u32;
        pub fn tls_accept(listener: u64, out: *mut u64, peer_out: *mut u64) -> u32;
        pub fn tls_connect(
            host: *const u8,
            size: u32,
            port: u32,
            timeout_ms: u64,
            out: *mut u64,
            roots: *const Part,
            count: u32,
        ) -> u32;
        pub fn tls_write_vectored(
            stream: u64,
            parts: *const Part,
            count: u32,
            out: *mut u64,
        ) -> u32;
        pub fn tls_read(stream: u64, to: *mut u8, size: u32, out: *mut u64) -> u32;
        pub fn tls_flush(stream: u64, out: *mut u64) -> u32;
        pub fn set_tls_read_timeout(stream: u64, ms: u64);
        pub fn set_tls_write_timeout(stream: u64, ms: u64);
        pub fn clone_tls_stream(stream: u64) -> u64;
        pub fn drop_tls_listener(listener: u64);
        pub fn drop_tls_stream(stream: u64);
    }
    #[link(wasm_import_module = "pando::network")]
    extern "C" {
        pub fn config_allow(config: u64, text: *const u8, size: u32, out: *mut u64) -> u32;
    }
}

pub mod sqlite {
    #[link(wasm_import_module = "lunatic::sqlite")]
    extern "C" {
        pub fn open(path: *const u8, size: u32, out: *mut u64) -> u64;
        pub fn execute(database: u64, sql: *const u8, size: u32) -> u32;
        pub fn sqlite3_changes(database: u64) -> u32;
        pub fn statement_reset(statement: u64);
        pub fn sqlite3_finalize(statement: u64);
    }
    #[link(wasm_import_module = "pando::sqlite")]
    extern "C" {
        pub fn prepare(database: u64, sql: *const u8, size: u32, out: *mut u64) -> u32;
        pub fn bind(statement: u64, list: *const u8, size: u32) -> u32;
        pub fn step(statement: u64) -> u32;
        pub fn row(statement: u64, to: *mut u8, room: u32) -> u32;
        pub fn names(statement: u64, to: *mut u8, room: u32) -> u32;
        pub fn error(database: u64, to: *mut u8, room: u32) -> u32;
        pub fn close(database: u64) -> u32;
    }
}

/// The export that every process of this crate begins with.
pub const ENTRY: &str = "_pando_spawn";

/// Parameters as Pando reads them: for each a byte of its type and 16 of its value.
pub type Params = [u8; 34];

/// What [`ENTRY`] is given, so that it calls `function(argument)`.
pub fn params(function: fn(u64), argument: u64) -> Params {
    const I32: u8 = 0x7f;
    const I64: u8 = 0x7e;
    let mut params = [0; 34];
    params[0] = I32;
    params[1..5].copy_from_slice(&(function as usize as u32).to_le_bytes());
    params[17] = I64;
    params[18..26].copy_from_slice(&argument.to_le_bytes());
    params
}

/// A function pointer is an index into the module's table, which is the same in every process.
#[export_name = "_pando_spawn"]
extern "C" fn enter(function: usize, argument: u64) {
    // SAFETY: `function` is what `params` made of a `fn(u64)` of this very module. A host that
    // called with another number would trap at the indirect call: its type is checked there.
    let function: fn(u64) = unsafe { std::mem::transmute(function) };
    function(argument);
}
