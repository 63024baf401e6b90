//! seal - puts a checksum behind all that the others have written.
//!
//! What each stage does, in its own language: receive an order, do one thing to it, add a word to its
//! trail, ask the next stage of its route, and answer with that answer. See ../README.md.
const std = @import("std");
const pando = @import("pando");

const tag_order = 1;
const attempts = 3;
const wait_ms = 30_000;
const look_ms = 5;
const order_size = 512;

/// Who has the name; waits a while, since a stage that has crashed has none until it is back.
fn find(name: []const u8) pando.Pid {
    var waited: u64 = 0;
    while (waited < wait_ms) : (waited += look_ms) {
        if (pando.whereis(name)) |pid| return pid;
        pando.sleep(look_ms);
    }
    return 0;
}

/// Hand the order to the stage `next`, if there is one. What the caller is to be answered.
fn passOn(next: []const u8, order: []const u8, room: []u8) ![]const u8 {
    if (next.len == 0) return order;
    for (0..attempts) |_| {
        pando.begin(tag_order);
        pando.write(order);
        pando.call(find(next), wait_ms) catch continue;
        return pando.read(room);
    }
    return std.fmt.bufPrint(room, "refused: {s} died of it", .{next});
}

fn handle(order: []const u8, sealed: []u8, answer: []u8) ![]const u8 {
    var fields: [7][]const u8 = undefined;
    var count: usize = 0;
    var parts = std.mem.splitScalar(u8, order, '\t');
    while (parts.next()) |part| : (count += 1) {
        if (count == fields.len) return error.NoOrder;
        fields[count] = part;
    }
    if (count != fields.len) return error.NoOrder;
    var route = std.mem.splitScalar(u8, fields[4], ' ');
    const next = route.first();
    const body = try std.fmt.bufPrint(sealed, "{s}\t{s}\t{s}\t{s}\t{s}\t{s} zig#{d}", .{
        fields[0], fields[1], fields[2], fields[3], route.rest(), fields[5], pando.self(),
    });
    const seal = try std.fmt.bufPrint(sealed[body.len..], "\t{x:0>8}", .{std.hash.Crc32.hash(body)});
    return passOn(next, sealed[0 .. body.len + seal.len], answer);
}

pub fn main() !void {
    while (pando.receive(pando.forever)) |_| {
        var order: [order_size]u8 = undefined;
        var sealed: [order_size]u8 = undefined;
        var room: [order_size]u8 = undefined;
        const caller = pando.messagePid();
        const ref = pando.messageRef();
        const answer = try handle(pando.read(&order), &sealed, &room);
        pando.begin(0);
        pando.write(answer);
        pando.reply(caller, ref) catch {}; // a caller that is gone asks again
    }
}
