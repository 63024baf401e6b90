;; Spawns a module whose start function traps: spawn answers 1 (an error id), the process goes on. Exit code 41.
(module
 (import "lunatic::process" "spawn" (func $spawn (param i64 i64 i64 i32 i32 i32 i32 i32) (result i32)))
 (import "lunatic::process" "compile_module" (func $compile (param i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)
 ;; child module: (module (func $s unreachable) (start $s) (func (export "f"))) 
 (data (i32.const 64) "\00asm\01\00\00\00\01\04\01\60\00\00\03\03\02\00\00\07\05\01\01f\00\01\08\01\00\0a\08\02\03\00\00\0b\02\00\0b")
 (data (i32.const 32) "f")
 (func (export "_start") (local $r i32)
   (if (i32.ne (call $compile (i32.const 64) (i32.const 39) (i32.const 0)) (i32.const 0)) (then (call $exit (i32.const 9))))
   (local.set $r (call $spawn (i64.const 0) (i64.const -1) (i64.load (i32.const 0)) (i32.const 32) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 8)))
   (call $exit (i32.add (local.get $r) (i32.const 40)))))
