//! Pando for guests in Zig (0.13 to 0.17): processes, messages, names, and the store. See README.md.
//!
//! Model      A process has a mailbox and ONE message at hand: the one that it is writing, or the one
//!            that it received last. `begin` and `receive` replace it; `send` gives it away.
//! Times      Milliseconds; `forever` never ends, 0 does not wait.
//! Texts      UTF-8, borrowed for the call. Nothing here allocates.
//! Mistakes   Invalid UTF-8 or an id that does not exist ends the process with a trap whose text says
//!            what was wrong. Everything that can happen to a correct program is a result.

const std = @import("std");

/// A timeout that never ends.
pub const forever = std.math.maxInt(u64);

/// Whom messages go to. Unique for ever within a program; 0 is nobody.
pub const Pid = u64;

/// Why a process ended.
pub const Reason = enum(u32) {
    normal = 0,
    shutdown = 1,
    failure = 2,
    killed = 3,
    no_process = 4,
    fuel = 5,
    memory = 6,
    denied = 7,
    _,
};

const imports = struct {
    extern "lunatic::error" fn string_size(id: u64) u32;
    extern "lunatic::error" fn to_string(id: u64, to: [*]u8) void;
    extern "lunatic::error" fn drop(id: u64) void;
    extern "lunatic::message" fn create_data(tag: u64, capacity: u64) void;
    extern "lunatic::message" fn write_data(bytes: [*]const u8, size: u32) u32;
    extern "lunatic::message" fn read_data(to: [*]u8, size: u32) u32;
    extern "lunatic::message" fn get_tag() u64;
    extern "lunatic::message" fn data_size() u64;
    extern "lunatic::message" fn receive(tags: [*]const u64, count: u32, timeout_ms: u64) u32;
    extern "lunatic::process" fn spawn(link_tag: u64, config: u64, module: u64, name: [*]const u8, name_size: u32, params: [*]const u8, params_size: u32, out: *u64) u32;
    extern "lunatic::process" fn process_id() u64;
    extern "lunatic::process" fn exists(pid: u64) u32;
    extern "lunatic::process" fn sleep_ms(ms: u64) void;
    extern "lunatic::process" fn link(tag: u64, pid: u64) void;
    extern "lunatic::process" fn unlink(pid: u64) void;
    extern "lunatic::process" fn kill(pid: u64) void;
    extern "pando::message" fn ref() u64;
    extern "pando::message" fn pid() u64;
    extern "pando::message" fn reason() u32;
    extern "pando::message" fn reason_text(to: [*]u8, room: u32) u32;
    extern "pando::process" fn monitor(pid: u64) u64;
    extern "pando::process" fn demonitor(ref: u64, flush: u32) u32;
    extern "pando::process" fn trap_exit(traps: u32) void;
    extern "pando::process" fn call(pid: u64, timeout_ms: u64) u32;
    extern "pando::process" fn reply(pid: u64, ref: u64) u32;
    extern "pando::process" fn last_reason() u32;
    extern "pando::process" fn exit(pid: u64, reason: u32, text: [*]const u8, size: u32) void;
    extern "pando::process" fn exit_self(reason: u32, text: [*]const u8, size: u32) void;
    extern "pando::registry" fn register(name: [*]const u8, size: u32, pid: u64) u32;
    extern "pando::registry" fn whereis(name: [*]const u8, size: u32, out: *u64) u32;
    extern "pando::registry" fn unregister(name: [*]const u8, size: u32) u32;
    extern "pando::supervisor" fn ready() void;
};

// `send` is the name of one function of lunatic::message and of one of pando::process.
const blocking = struct {
    extern "lunatic::message" fn send(pid: u64) u32;
};
const waitless = struct {
    extern "pando::process" fn send(pid: u64) u32;
};

fn size32(bytes: []const u8) u32 {
    return @intCast(bytes.len);
}

/// Copy the words of an error into `to`, cut to what fits, and forget it.
fn takeError(id: u64, to: []u8) []const u8 {
    var room: [1024]u8 = undefined; // no text is longer
    const size = imports.string_size(id);
    defer imports.drop(id);
    if (size > room.len) return to[0..0];
    imports.to_string(id, &room);
    const count = @min(size, to.len);
    @memcpy(to[0..count], room[0..count]);
    return to[0..count];
}

// --- Writing ---------------------------------------------------------------------------------------

/// Begin a message; tag 0 is "no tag".
pub fn begin(tag: u64) void {
    imports.create_data(tag, 0);
}

/// Append bytes as they are. Traps: the message would pass 32 MiB.
pub fn write(bytes: []const u8) void {
    _ = imports.write_data(bytes.ptr, size32(bytes));
}

/// Append a number, little-endian: `writeInt(u32, 7)`.
pub fn writeInt(comptime T: type, value: T) void {
    var bytes: [@sizeOf(T)]u8 = undefined;
    std.mem.writeInt(T, &bytes, value, .little);
    write(&bytes);
}

// --- Sending ---------------------------------------------------------------------------------------

/// What became of a message that may not wait, or of a call.
pub const SendError = error{
    /// The mailbox is full; the message is still at hand.
    Full,
    /// Nobody has this pid (any more); the message is still at hand.
    Gone,
};
pub const CallError = SendError || error{
    /// No reply came in time.
    Late,
};

/// Send what is at hand. Waits while the receiver's mailbox is full; a pid that nobody has drops the
/// message silently.
pub fn send(pid: Pid) void {
    _ = blocking.send(pid);
}

/// Send without waiting.
pub fn trySend(pid: Pid) SendError!void {
    return sent(waitless.send(pid));
}

fn sent(code: u32) SendError!void {
    return switch (code) {
        0 => {},
        1 => error.Full,
        else => error.Gone,
    };
}

// --- Receiving -------------------------------------------------------------------------------------

/// What a receive brought.
pub const Received = enum(u32) {
    data = 0,
    /// A linked process ended, and this one traps that: `trapExit`.
    link_died = 1,
    /// A process that Lunatic's monitor watched.
    process_died = 2,
    /// A process that `monitor` watched: `messageRef`, `messagePid`.
    down = 3,
    _,
};

const timed_out = 9027;

fn receiveOf(tags: []const u64, timeout_ms: u64) ?Received {
    const code = imports.receive(tags.ptr, @intCast(tags.len), timeout_ms);
    return if (code == timed_out) null else @enumFromInt(code);
}

/// The first message of all. null: none came in time; the message at hand is the former one.
pub fn receive(timeout_ms: u64) ?Received {
    return receiveOf(&.{}, timeout_ms);
}

/// The first message with this tag (not 0); others stay in their order.
pub fn receiveTag(tag: u64, timeout_ms: u64) ?Received {
    return receiveOf(&.{tag}, timeout_ms);
}

/// The first message that has one of the tags (not 0).
pub fn receiveTags(tags: []const u64, timeout_ms: u64) ?Received {
    return receiveOf(tags, timeout_ms);
}

// --- Reading ---------------------------------------------------------------------------------------

/// The tag, 0 if it has none; of a link_died the link's.
pub fn messageTag() u64 {
    return imports.get_tag();
}

/// All bytes of it, those that were read included.
pub fn messageSize() u64 {
    return imports.data_size();
}

/// The reference of a call that waits for a reply (0: none), or of the monitor that fired.
pub fn messageRef() u64 {
    return imports.ref();
}

/// Who called and waits for a reply, or whose death this is; 0 of other messages.
pub fn messagePid() Pid {
    return imports.pid();
}

/// Why it died, of a notice.
pub fn messageReason() Reason {
    return @enumFromInt(imports.reason());
}

/// What it said when it died, of a notice, cut to what fits.
pub fn messageReasonText(to: []u8) []const u8 {
    const size = imports.reason_text(to.ptr, size32(to));
    return to[0..@min(size, to.len)];
}

/// Copy the next bytes; the result is shorter than `to` at the message's end.
pub fn read(to: []u8) []u8 {
    return to[0..imports.read_data(to.ptr, size32(to))];
}

/// The next number, little-endian.
pub fn readInt(comptime T: type) error{EndOfMessage}!T {
    var bytes: [@sizeOf(T)]u8 = undefined;
    if (read(&bytes).len != bytes.len) return error.EndOfMessage;
    return std.mem.readInt(T, &bytes, .little);
}

// --- Starting --------------------------------------------------------------------------------------

/// What a spawned function takes, one to one.
pub const Param = union(enum) { i32: i32, i64: i64 };

const params_max = 16;
const param_size = 17; // a type, and 16 bytes for its value
const inherit = std.math.maxInt(u64);

/// Options of a spawn.
pub const Spawn = struct {
    /// Not 0: linked to this process, which sees this tag if it traps exits.
    link_tag: u64 = 0,
    /// 16 at most.
    params: []const Param = &.{},
};

var spawn_error: u64 = 0;
var has_spawn_error = false;

/// A process that runs an exported function of this module (`export fn`, built with `-rdynamic`), with
/// this process's rights; without the right to spawn this one ends with reason `denied`. SpawnFailed:
/// see `spawnErrorText`. A function that does not exist, or takes other parameters, is no error here:
/// the child dies of it.
pub fn spawn(name: []const u8, options: Spawn) error{ SpawnFailed, TooManyParams }!Pid {
    var bytes: [params_max * param_size]u8 = undefined;
    var id: u64 = 0;
    if (options.params.len > params_max) return error.TooManyParams;
    @memset(&bytes, 0);
    for (options.params, 0..) |param, i| {
        const to = bytes[i * param_size ..][0..param_size];
        switch (param) {
            .i32 => |value| {
                to[0] = 0x7f;
                std.mem.writeInt(i32, to[1..5], value, .little);
            },
            .i64 => |value| {
                to[0] = 0x7e;
                std.mem.writeInt(i64, to[1..9], value, .little);
            },
        }
    }
    const params_size: u32 = @intCast(options.params.len * param_size);
    if (imports.spawn(options.link_tag, inherit, inherit, name.ptr, size32(name), &bytes, params_size, &id) != 0) {
        if (has_spawn_error) imports.drop(spawn_error);
        spawn_error = id;
        has_spawn_error = true;
        return error.SpawnFailed;
    }
    return id;
}

/// Why the last spawn that failed did so, once; cut to what fits.
pub fn spawnErrorText(to: []u8) []const u8 {
    if (!has_spawn_error) return to[0..0];
    has_spawn_error = false;
    return takeError(spawn_error, to);
}

/// For a child whose supervisor waits until it says so.
pub fn ready() void {
    imports.ready();
}

// --- Identity --------------------------------------------------------------------------------------

/// One's own pid.
pub fn self() Pid {
    return imports.process_id();
}

/// The same, as a parameter for a child.
pub fn selfParam() Param {
    return .{ .i64 = @bitCast(self()) };
}

/// Alive right now? It may not be when you read the answer: prefer a monitor.
pub fn exists(pid: Pid) bool {
    return imports.exists(pid) != 0;
}

/// Do nothing for a while; messages and signals arrive meanwhile.
pub fn sleep(ms: u64) void {
    imports.sleep_ms(ms);
}

// --- Watching --------------------------------------------------------------------------------------

/// Share fate with `pid`; both sides see `tag` (not 0). Nobody there: as if it died at once with reason
/// `no_process`.
pub fn link(tag: u64, pid: Pid) void {
    imports.link(tag, pid);
}

pub fn unlink(pid: Pid) void {
    imports.unlink(pid);
}

/// Whether the end of a linked process, and exit signals, arrive as messages (link_died) instead of
/// ending this process. A kill cannot be trapped.
pub fn trapExit(traps: bool) void {
    imports.trap_exit(@intFromBool(traps));
}

/// Be told of the end of `pid`, once, by a `down` with the reference returned. Nobody there: told at
/// once, reason `no_process`. 0: the limit of monitors is reached.
pub fn monitor(pid: Pid) u64 {
    return imports.monitor(pid);
}

/// Stop that; a notice that is in the mailbox already is removed. True: nothing had been told.
pub fn demonitor(ref: u64) bool {
    return imports.demonitor(ref, 1) != 0;
}

// --- Calling ---------------------------------------------------------------------------------------

/// Send what is at hand and wait for the `reply`, which is at hand then. Gone: it was or is dead, see
/// `lastReason`. A reply that comes late is dropped.
pub fn call(pid: Pid, timeout_ms: u64) CallError!void {
    const code = imports.call(pid, timeout_ms);
    return if (code == timed_out) error.Late else sent(code);
}

/// Send what is at hand as the answer to a call: `messagePid` and `messageRef` of the message that
/// asked, read before the answer was begun. Never waits.
pub fn reply(pid: Pid, ref: u64) SendError!void {
    return sent(imports.reply(pid, ref));
}

/// Why the process that was called is gone.
pub fn lastReason() Reason {
    return @enumFromInt(imports.last_reason());
}

// --- Ending ----------------------------------------------------------------------------------------

/// End with a reason that links and monitors see.
pub fn exitSelf(reason: Reason, text: []const u8) noreturn {
    imports.exit_self(@intFromEnum(reason), text.ptr, size32(text));
    unreachable; // the import never returns
}

/// Ask another to end, as if a process linked to it had ended for this reason: it may trap that, and
/// ignores `normal`.
pub fn exit(pid: Pid, reason: Reason, text: []const u8) void {
    imports.exit(pid, @intFromEnum(reason), text.ptr, size32(text));
}

/// End it now, whatever it traps.
pub fn kill(pid: Pid) void {
    imports.kill(pid);
}

// --- Output ----------------------------------------------------------------------------------------

const print_max = 1024;

/// Write text to standard output, as `std.fmt` formats it, cut to 1,024 bytes. What std has for that is
/// another in each version of Zig. Output that nobody takes is lost.
pub fn print(comptime format: []const u8, values: anytype) void {
    var room: [print_max]u8 = undefined;
    const text = std.fmt.bufPrint(&room, format, values) catch &room;
    var left: []const u8 = text;
    while (left.len > 0) {
        var written: usize = 0;
        const part = [_]std.os.wasi.ciovec_t{.{ .base = left.ptr, .len = left.len }};
        if (std.os.wasi.fd_write(1, &part, part.len, &written) != .SUCCESS or written == 0) return;
        left = left[written..];
    }
}

// --- Names -----------------------------------------------------------------------------------------

pub const RegisterError = error{
    /// Another process has it.
    NameTaken,
    /// Nobody has this pid.
    NoProcess,
    /// The limit of names is reached.
    NamesFull,
};

/// Give `pid` a name of 1 to 255 bytes, unless another has it. It goes with its process.
pub fn register(name: []const u8, pid: Pid) RegisterError!void {
    return switch (imports.register(name.ptr, size32(name), pid)) {
        0 => {},
        1 => error.NameTaken,
        2 => error.NoProcess,
        else => error.NamesFull,
    };
}

/// Who has the name; null: nobody.
pub fn whereis(name: []const u8) ?Pid {
    var pid: Pid = 0;
    return if (imports.whereis(name.ptr, size32(name), &pid) == 0) pid else null;
}

/// Forget the name. False: nobody had it.
pub fn unregister(name: []const u8) bool {
    return imports.unregister(name.ptr, size32(name)) == 0;
}

// --- The store -------------------------------------------------------------------------------------

/// Keys, ranges of them, and what happens to them. (Transactions and leases: the same imports as in
/// sdk/c/include/pando/kv.h.)
///
/// Where    Inside a node (pando start --app) or beside one (pando run --node DIR); else Unavailable.
/// Rights   Nothing unless it was given: --allow-kv PREFIX, or `kv` in the application file.
/// Waiting  A call suspends this process alone, until the store has answered or ten seconds are over.
///          A write happens at most once: it has when there is no error, and nobody knows when Unknown.
pub const kv = struct {
    const store = struct {
        extern "pando::kv" fn get(key: [*]const u8, size: u32, value: [*]u8, room: u32, found: *Found) u32;
        extern "pando::kv" fn put(key: [*]const u8, size: u32, value: [*]const u8, value_size: u32, lease: i64, flags: u32, revision: *i64) u32;
        extern "pando::kv" fn delete(key: [*]const u8, size: u32, end: [*]const u8, end_size: u32, flags: u32, deleted: *Deleted) u32;
        extern "pando::kv" fn range(key: [*]const u8, size: u32, end: [*]const u8, end_size: u32, limit: i64, revision: i64, flags: u32, ranged: *Ranged) u32;
        extern "pando::kv" fn answer_read(to: [*]u8, size: u32) u32;
        extern "pando::kv" fn watch(key: [*]const u8, size: u32, end: [*]const u8, end_size: u32, revision: i64, tag: u64, flags: u32, watch: *Watch) u32;
        extern "pando::kv" fn unwatch(watch: u64) u32;
        extern "pando::kv" fn last_error() u64;
    };

    /// About a key.
    pub const Found = extern struct {
        /// All of the value, also when less was copied.
        value_size: u32 = 0,
        unused: u32 = 0,
        create_revision: i64 = 0,
        mod_revision: i64 = 0,
        /// Writes since it was created, 1 at first.
        version: i64 = 0,
        lease: i64 = 0,
    };
    const Deleted = extern struct { revision: i64 = 0, count: i64 = 0 };

    pub const Error = error{
        /// Certainly not done: no store, no leader, no time. Try again.
        Unavailable,
        /// It may or may not have happened: look.
        Unknown,
        Denied,
        Invalid,
        TooLarge,
        Full,
        /// The revision is not in history any more, or not yet.
        Compacted,
    };

    fn judged(code: u32) Error!void {
        return switch (code) {
            0, 1 => {},
            2 => error.Unavailable,
            3 => error.Unknown,
            4 => error.Denied,
            6 => error.TooLarge,
            7 => error.Full,
            8 => error.Compacted,
            else => error.Invalid,
        };
    }

    /// The value of a key, not older than any write that was answered before the call; null: there is no
    /// such key. RoomTooSmall: `found.value_size` says how much it takes.
    pub fn get(key: []const u8, room: []u8, found: *Found) (Error || error{RoomTooSmall})!?[]u8 {
        const code = store.get(key.ptr, size32(key), room.ptr, size32(room), found);
        try judged(code);
        if (code == 1) return null;
        if (found.value_size > room.len) return error.RoomTooSmall;
        return room[0..found.value_size];
    }

    pub fn put(key: []const u8, value: []const u8) Error!void {
        var revision: i64 = 0;
        return judged(store.put(key.ptr, size32(key), value.ptr, size32(value), 0, 0, &revision));
    }

    /// True: there was such a key.
    pub fn delete(key: []const u8) Error!bool {
        var deleted = Deleted{};
        try judged(store.delete(key.ptr, size32(key), key.ptr, 0, 0, &deleted));
        return deleted.count > 0;
    }

    /// Keys from `key` on, up to `end`, which is not one of them. "" is `key` alone, and a single zero
    /// byte all keys from `key` on.
    pub const Range = struct {
        key: []const u8,
        end: []const u8 = "",
        /// 0: none.
        limit: i64 = 0,
        /// 0: now.
        revision: i64 = 0,
    };

    /// All keys that begin with `text`, which is not empty and does not end with the byte 255. `room` is
    /// for as many bytes, and outlives the range.
    pub fn prefix(text: []const u8, room: []u8) Range {
        const end = room[0..text.len];
        @memcpy(end, text);
        end[end.len - 1] += 1;
        return .{ .key = text, .end = end };
    }

    /// What a range has.
    pub const Ranged = extern struct {
        revision: i64 = 0,
        /// Keys in the range, whatever the limit.
        count: i64 = 0,
        /// 1: the limit cut it off.
        more: u32 = 0,
        /// To be read with `next`.
        record_count: u32 = 0,
    };

    /// About a key, in answers.
    pub const Record = extern struct {
        key_size: u32 = 0,
        value_size: u32 = 0,
        create_revision: i64 = 0,
        mod_revision: i64 = 0,
        /// Writes since it was created, 1 at first; 0 of a deletion.
        version: i64 = 0,
        lease: i64 = 0,
    };

    /// A key and its value, cut to the rooms that they were read into: `record` has their sizes.
    pub const Entry = struct { record: Record, key: []u8, value: []u8 };

    /// Read a range. Its records are then the answer at hand: read them with `next` before the next call
    /// of `kv`. TooLarge: ask for fewer at a time.
    pub fn range(of: Range) Error!Ranged {
        var ranged = Ranged{};
        try judged(store.range(of.key.ptr, size32(of.key), of.end.ptr, size32(of.end), of.limit, of.revision, 0, &ranged));
        return ranged;
    }

    /// The next record of the answer at hand; null: there is none.
    pub fn next(key: []u8, value: []u8) ?Entry {
        return entryFrom(answerRead, key, value);
    }

    fn answerRead(to: []u8) []u8 {
        return to[0..store.answer_read(to.ptr, size32(to))];
    }

    fn entryFrom(comptime source: fn ([]u8) []u8, key: []u8, value: []u8) ?Entry {
        var record = Record{};
        if (source(std.mem.asBytes(&record)).len != @sizeOf(Record)) return null;
        const key_read = cutFrom(source, key, record.key_size);
        return .{ .record = record, .key = key_read, .value = cutFrom(source, value, record.value_size) };
    }

    /// The next `size` bytes, or as many as fit; the others are passed over.
    fn cutFrom(comptime source: fn ([]u8) []u8, to: []u8, size: u32) []u8 {
        var waste: [64]u8 = undefined;
        const bytes = source(to[0..@min(size, to.len)]);
        var left = size - bytes.len;
        while (left > 0) {
            const passed = source(waste[0..@min(left, waste.len)]).len;
            if (passed == 0) break; // the message is shorter than it says
            left -= passed;
        }
        return bytes;
    }

    pub const Watch = extern struct {
        id: u64 = 0,
        /// Of the store when it began.
        revision: i64 = 0,
    };

    /// Let what happens to a range, from its revision on (0: from now on), come as messages with this tag.
    /// All of one revision come before those of the next, nothing is left out, nothing comes twice. 16
    /// watches a process.
    pub fn watch(of: Range, tag: u64) Error!Watch {
        var begun = Watch{};
        try judged(store.watch(of.key.ptr, size32(of.key), of.end.ptr, size32(of.end), of.revision, tag, 0, &begun));
        return begun;
    }

    /// No further events; those that have arrived stay in the mailbox. False: there is no such watch.
    pub fn unwatch(id: u64) bool {
        return store.unwatch(id) == 0;
    }

    /// At the beginning of a message of a watch.
    pub const Events = extern struct {
        watch: u64 = 0,
        /// 1: the last message of this watch, which ended for what the rest of it says.
        has_ended: u32 = 0,
        /// Of events, to be read with `nextEvent`; of the end a code.
        count: u32 = 0,
        /// Everything up to here was told.
        revision: i64 = 0,
    };

    /// Read the beginning of the message at hand, which came with the tag of a watch.
    pub fn events() error{EndOfMessage}!Events {
        var told = Events{};
        if (read(std.mem.asBytes(&told)).len != @sizeOf(Events)) return error.EndOfMessage;
        return told;
    }

    /// What happened to a key: its new value, or that it is gone.
    pub const Event = struct { is_delete: bool, entry: Entry };

    /// The next event of the message at hand; null: there is none.
    pub fn nextEvent(key: []u8, value: []u8) ?Event {
        const kind = readInt(u64) catch return null;
        const entry = entryFrom(read, key, value) orelse return null;
        return .{ .is_delete = kind & 1 == 1, .entry = entry };
    }

    /// The words of the last failure, cut to what fits.
    pub fn errorText(to: []u8) []const u8 {
        return takeError(store.last_error(), to);
    }
};
