// A plain program of std: an allocator, a list, output, an exit code; and a panic.
const std = @import("std");

extern "lunatic::process" fn process_id() u64;

pub fn main() !void {
    var arena = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
    defer arena.deinit();
    var list = std.ArrayList(u64).init(arena.allocator());
    var number: u64 = 0;
    while (number < 1000) : (number += 1) {
        try list.append(number * number);
    }
    var sum: u64 = 0;
    for (list.items) |item| sum += item;
    const arguments = try std.process.argsAlloc(arena.allocator());
    try std.io.getStdOut().writer().print("zig {d} {d} {s}\n", .{ process_id(), sum, arguments[1] });
    if (arguments.len > 2) @panic("one word too many");
    std.process.exit(6);
}
