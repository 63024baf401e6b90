;; Opens a file in its first directory again and again until that is refused, ends with 1 unless it was for want of
;; descriptors of the program ("nfile", 41), says so, and keeps what it has.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "lunatic::process" "sleep_ms" (func $sleep (param i64)))
  (memory (export "memory") 1)
  (data (i32.const 100) "held")
  (data (i32.const 120) "no more files\0a")
  (data (i32.const 140) "\78\00\00\00\0e\00\00\00") ;; 120, 14
  (func (export "_start") (local $error i32)
    (loop $files
      (local.set $error
        (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 4)
          (i32.const 1) (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 0)))
      (br_if $files (i32.eqz (local.get $error))))
    (if (i32.ne (local.get $error) (i32.const 41)) (then (call $exit (i32.const 1))))
    (drop (call $write (i32.const 1) (i32.const 140) (i32.const 1) (i32.const 160)))
    (call $sleep (i64.const 600000))))
