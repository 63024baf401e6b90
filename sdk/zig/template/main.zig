//! @NAME@: a process that adds, and one that asks it.
const pando = @import("pando");

/// A process: it runs from here, in a memory of its own, and answers until it is killed.
export fn adder() void {
    while (pando.receive(pando.forever)) |received| {
        if (received != .data or pando.messageRef() == 0) continue;
        const caller = pando.messagePid();
        const ref = pando.messageRef();
        const left = pando.readInt(u64) catch continue;
        const right = pando.readInt(u64) catch continue;
        pando.begin(0);
        pando.writeInt(u64, left +% right);
        pando.reply(caller, ref) catch {}; // it does not wait any more
    }
}

pub fn main() !void {
    const pid = try pando.spawn("adder", .{ .link_tag = 1 });
    pando.begin(0);
    pando.writeInt(u64, 20);
    pando.writeInt(u64, 22);
    try pando.call(pid, 5000);
    const sum = try pando.readInt(u64);
    pando.print("hello from @NAME@: 20 + 22 = {d}\n", .{sum});
}
