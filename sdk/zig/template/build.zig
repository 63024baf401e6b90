const std = @import("std");

pub fn build(b: *std.Build) void {
    const exe = b.addExecutable(.{
        .name = "@NAME@",
        .root_source_file = b.path("main.zig"),
        .target = b.resolveTargetQuery(.{ .cpu_arch = .wasm32, .os_tag = .wasi }),
        .optimize = b.option(std.builtin.OptimizeMode, "optimize", "default: small") orelse .ReleaseSmall,
    });
    exe.root_module.addImport("pando", b.createModule(.{ .root_source_file = b.path("pando/pando.zig") }));
    exe.rdynamic = true; // `export fn`: what processes can be spawned with
    exe.stack_size = 64 * 1024; // of each process; Zig's default is 16 MiB
    b.installArtifact(exe);
}
