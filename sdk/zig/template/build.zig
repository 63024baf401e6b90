const std = @import("std");

pub fn build(b: *std.Build) void {
    const Mode = std.builtin.OptimizeMode;
    const optimize = b.option(Mode, "optimize", "default: small") orelse Mode.ReleaseSmall;
    const target = b.resolveTargetQuery(.{ .cpu_arch = .wasm32, .os_tag = .wasi });
    const exe = b.addExecutable(if (comptime @hasField(std.Build.ExecutableOptions, "root_module")) .{
        .name = "@NAME@",
        .root_module = b.createModule(.{ .root_source_file = b.path("main.zig"), .target = target, .optimize = optimize }),
    } else .{ // Zig 0.13
        .name = "@NAME@",
        .root_source_file = b.path("main.zig"),
        .target = target,
        .optimize = optimize,
    });
    exe.root_module.addImport("pando", b.createModule(.{ .root_source_file = b.path("pando/pando.zig") }));
    exe.rdynamic = true; // `export fn`: what processes can be spawned with
    exe.stack_size = 64 * 1024; // of each process; Zig's default is 16 MiB
    b.installArtifact(exe);
}
