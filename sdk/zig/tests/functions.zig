//! Each function of the SDK, and its answers. Ends with one line on standard output, or with an error. With the argument
//! `store`: those of the store, beside a node, on keys below `sdk/`.
const std = @import("std");
const pando = @import("pando");

const tag = 7;
const step = 60_000; // ms that nothing here should need
const params = [_]pando.Param{ .{ .i32 = -1 }, .{ .i64 = -2 } };

fn check(is_right: bool, what: []const u8) void {
    if (!is_right) pando.exitSelf(.failure, what);
}

/// Replies to each call with the number it got, doubled; ends at 0.
export fn doubler(first: i32, second: i64) void {
    check(first == -1 and second == -2, "parameters");
    var number: u64 = 1;
    while (number != 0) {
        check(pando.receive(step) == .data, "a call");
        const pid = pando.messagePid();
        const ref = pando.messageRef();
        number = pando.readInt(u64) catch unreachable;
        pando.begin(0);
        pando.writeInt(u64, 2 * number);
        pando.reply(pid, ref) catch unreachable;
    }
}

export fn failing() void {
    pando.exitSelf(.failure, "as it was told");
}

export fn waiting() void {
    pando.sleep(pando.forever);
}

fn messages() !void {
    const self = pando.self();
    check(pando.receive(0) == null, "nothing is here");
    pando.begin(tag);
    pando.write("text");
    pando.writeInt(u32, 32);
    pando.writeInt(i64, -64);
    pando.send(self);
    pando.begin(tag + 1);
    try pando.trySend(self);
    check(pando.receiveTags(&.{ tag + 2, tag + 1 }, step) == .data and pando.messageTag() == tag + 1, "by tags");
    check(pando.receiveTag(tag + 1, 0) == null, "once");
    check(pando.receiveTag(tag, step) == .data and pando.messageTag() == tag, "by tag");
    check(pando.messageSize() == 16 and pando.messageRef() == 0 and pando.messagePid() == 0, "size");
    var text: [4]u8 = undefined;
    check(std.mem.eql(u8, pando.read(&text), "text"), "text");
    check(try pando.readInt(u32) == 32 and try pando.readInt(i64) == -64, "numbers");
    check(pando.readInt(u32) == error.EndOfMessage, "the end");
    pando.begin(0);
    check(pando.trySend(self + 1000) == error.Gone, "nobody");
}

fn calls() !void {
    const pid = try pando.spawn("doubler", .{ .params = &params });
    check(pando.exists(pid), "it lives");
    const ref = pando.monitor(pid);
    pando.begin(0);
    pando.writeInt(u64, 21);
    try pando.call(pid, step);
    check(try pando.readInt(u64) == 42, "doubled");
    pando.begin(0);
    pando.writeInt(u64, 0);
    try pando.call(pid, step);
    check(pando.receive(step) == .down and pando.messageRef() == ref, "its end is told");
    check(pando.messagePid() == pid and pando.messageReason() == .normal, "a normal one");
    pando.begin(0);
    check(pando.call(pid, step) == error.Gone and pando.lastReason() == .no_process, "gone");
    const deaf = try pando.spawn("waiting", .{});
    pando.begin(0);
    check(pando.call(deaf, 1) == error.Late, "late");
    check(pando.demonitor(pando.monitor(deaf)), "nothing was told");
    pando.kill(deaf);
    var many: [17]pando.Param = undefined;
    @memset(&many, .{ .i32 = 0 });
    check(pando.spawn("waiting", .{ .params = &many }) == error.TooManyParams, "too many");
    var room: [64]u8 = undefined;
    check(pando.spawnErrorText(&room).len == 0, "no spawn has failed");
}

/// The notice of a linked process's end.
fn died(with: u64, reason: pando.Reason, text: []const u8) void {
    var room: [64]u8 = undefined;
    check(pando.receiveTag(with, step) == .link_died and pando.messageReason() == reason, text);
    check(std.mem.eql(u8, pando.messageReasonText(&room), text), text);
}

fn links() !void {
    pando.trapExit(true);
    _ = try pando.spawn("failing", .{ .link_tag = tag });
    died(tag, .failure, "as it was told");
    const pid = try pando.spawn("waiting", .{ .link_tag = tag });
    pando.unlink(pid);
    pando.link(tag + 1, pid);
    pando.exit(pid, .shutdown, "enough");
    died(tag + 1, .shutdown, "enough");
    pando.trapExit(false);
}

fn names() !void {
    check(pando.whereis("tester") == null and !pando.unregister("tester"), "nobody yet");
    try pando.register("tester", pando.self());
    check(pando.whereis("tester") == pando.self(), "found");
    const other = try pando.spawn("waiting", .{});
    check(pando.register("tester", other) == error.NameTaken, "taken");
    check(pando.register("nobody", other + 1000) == error.NoProcess, "no process");
    pando.kill(other);
    check(pando.unregister("tester") and pando.whereis("tester") == null, "forgotten");
}

fn store() !void {
    var room: [8]u8 = undefined;
    var words: [256]u8 = undefined;
    var found = pando.kv.Found{};
    _ = try pando.kv.delete("sdk/a");
    check(try pando.kv.get("sdk/a", &room, &found) == null, "absent");
    try pando.kv.put("sdk/a", "value");
    check(std.mem.eql(u8, (try pando.kv.get("sdk/a", &room, &found)).?, "value"), "as it was put");
    check(found.value_size == 5 and found.version == 1, "what is said of it");
    check(pando.kv.get("sdk/a", room[0..4], &found) == error.RoomTooSmall and found.value_size == 5, "too small");
    check(try pando.kv.delete("sdk/a") and !try pando.kv.delete("sdk/a"), "deleted");
    check(pando.kv.put("other", "") == error.Denied and pando.kv.errorText(&words).len > 0, "denied");
    check(pando.kv.errorText(words[0..3]).len == 3, "cut");
}

fn ranges() !void {
    var end: [16]u8 = undefined;
    var key: [8]u8 = undefined;
    var value: [8]u8 = undefined;
    try pando.kv.put("sdk/r/0", "zero");
    try pando.kv.put("sdk/r/1", "something long");
    var of = pando.kv.prefix("sdk/r/", &end);
    var ranged = try pando.kv.range(of);
    check(ranged.count == 2 and ranged.more == 0 and ranged.record_count == 2, "both of them");
    const first = pando.kv.next(&key, &value).?;
    check(std.mem.eql(u8, first.key, "sdk/r/0") and std.mem.eql(u8, first.value, "zero"), "the first");
    check(first.record.version == 1 and first.record.lease == 0, "what is said of it");
    const second = pando.kv.next(key[0..3], &value).?;
    check(std.mem.eql(u8, second.key, "sdk") and std.mem.eql(u8, second.value, "somethin"), "cut");
    check(second.record.key_size == 7 and second.record.value_size == 14, "its sizes");
    check(pando.kv.next(&key, &value) == null, "the end");
    of.limit = 1;
    ranged = try pando.kv.range(of);
    check(ranged.count == 2 and ranged.more == 1 and ranged.record_count == 1, "the limit");
    check(pando.kv.range(.{ .key = "other" }) == error.Denied, "denied");
    of.limit = 0;
    of.revision = 1 << 40;
    check(pando.kv.range(of) == error.Compacted, "not yet");
}

fn watches() !void {
    var end: [16]u8 = undefined;
    var key: [8]u8 = undefined;
    var value: [8]u8 = undefined;
    const watched = try pando.kv.watch(pando.kv.prefix("sdk/r/", &end), tag);
    try pando.kv.put("sdk/r/1", "something long");
    check(try pando.kv.delete("sdk/r/0"), "deleted");
    var seen: u32 = 0;
    while (seen < 2) {
        check(pando.receiveTag(tag, step) == .data, "events");
        const told = try pando.kv.events();
        check(told.watch == watched.id and told.has_ended == 0 and told.count > 0, "whose they are");
        while (pando.kv.nextEvent(&key, &value)) |event| : (seen += 1) {
            check(event.is_delete == (seen == 1), "what happened");
            check(std.mem.eql(u8, event.entry.key, if (seen == 0) "sdk/r/1" else "sdk/r/0"), "to whom");
            check(event.entry.record.mod_revision > watched.revision, "when");
        }
    }
    check(pando.kv.unwatch(watched.id) and !pando.kv.unwatch(watched.id), "no more of it");
    check(pando.kv.watch(.{ .key = "other" }, tag) == error.Denied, "denied");
}

pub fn main() !void {
    var argument_count: usize = 0;
    var argument_bytes: usize = 0;
    _ = std.os.wasi.args_sizes_get(&argument_count, &argument_bytes);
    pando.ready();
    if (argument_count > 1) {
        try store();
        try ranges();
        try watches();
    } else {
        check(pando.kv.put("sdk/a", "") == error.Unavailable, "there is no store");
        try messages();
        try calls();
        try links();
        try names();
    }
    pando.print("all {s}", .{"functions "});
    pando.print("answered\n", .{});
}
