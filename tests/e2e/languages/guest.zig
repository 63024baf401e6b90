// A plain program of std: an allocator, a list, arguments, output, an exit code; and a panic. For Zig 0.13 to 0.17, whose std
// differs: since 0.16 `main` is handed what it used to ask for.
const std = @import("std");

extern "lunatic::process" fn process_id() u64;

pub const main = if (@hasDecl(std.process, "Init")) handed else asking;

fn handed(init: std.process.Init) !void {
    const allocator = init.arena.allocator();
    const arguments = try init.minimal.args.toSlice(allocator);
    try std.Io.File.stdout().writeStreamingAll(init.io, try line(allocator, arguments[1]));
    end(arguments.len);
}

fn asking() !void {
    var arena = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
    defer arena.deinit();
    const allocator = arena.allocator();
    const arguments = try std.process.argsAlloc(allocator);
    const output = if (@hasDecl(std.io, "getStdOut")) std.io.getStdOut() else std.fs.File.stdout();
    try output.writeAll(try line(allocator, arguments[1]));
    end(arguments.len);
}

fn line(allocator: std.mem.Allocator, word: []const u8) ![]u8 {
    var list = try std.ArrayListUnmanaged(u64).initCapacity(allocator, 1);
    var number: u64 = 0;
    while (number < 1000) : (number += 1) {
        try list.append(allocator, number * number);
    }
    var sum: u64 = 0;
    for (list.items) |item| sum += item;
    return std.fmt.allocPrint(allocator, "zig {d} {d} {s}\n", .{ process_id(), sum, word });
}

fn end(arguments: usize) noreturn {
    if (arguments > 2) @panic("one word too many");
    std.process.exit(6);
}
