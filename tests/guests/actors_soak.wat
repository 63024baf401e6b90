;; What the actors of the soak do. "lead" spawns `count` children one after the other, each with a
;; seed of its own and a sibling to play with, then looks at what came, kills them, ends or crashes.
;; "act" does one of thirty things, most of them fatal to itself or to others.
(module
  (import "lunatic::process" "spawn"
    (func $spawn (param i64 i64 i64 i32 i32 i32 i32 i32) (result i32)))
  (import "lunatic::process" "get_or_spawn"
    (func $get_or_spawn (param i32 i32 i64 i64 i64 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "lunatic::process" "kill" (func $kill (param i64)))
  (import "lunatic::process" "link" (func $link (param i64 i64)))
  (import "lunatic::process" "unlink" (func $unlink (param i64)))
  (import "lunatic::process" "monitor" (func $monitor (param i64)))
  (import "lunatic::process" "die_when_link_dies" (func $die_when_link_dies (param i32)))
  (import "lunatic::process" "sleep_ms" (func $sleep (param i64)))
  (import "lunatic::process" "process_id" (func $self (result i64)))
  (import "lunatic::process" "create_config" (func $create_config (result i64)))
  (import "lunatic::process" "config_set_max_fuel" (func $set_max_fuel (param i64 i64)))
  (import "lunatic::message" "create_data" (func $create_data (param i64 i64)))
  (import "lunatic::message" "write_data" (func $write_data (param i32 i32) (result i32)))
  (import "lunatic::message" "send" (func $send (param i64) (result i32)))
  (import "lunatic::message" "receive" (func $receive (param i32 i32 i64) (result i32)))
  (import "lunatic::timer" "send_after" (func $send_after (param i64 i64) (result i64)))
  (import "lunatic::timer" "cancel_timer" (func $cancel_timer (param i64) (result i32)))
  (import "lunatic::registry" "put" (func $put (param i32 i32 i64 i64)))
  (import "lunatic::trap" "catch" (func $catch (param i32 i32) (result i32)))
  (import "pando::process" "monitor" (func $watch (param i64) (result i64)))
  (import "pando::process" "demonitor" (func $unwatch (param i64 i32) (result i32)))
  (import "pando::process" "trap_exit" (func $trap_exit (param i32)))
  (import "pando::process" "exit" (func $exit (param i64 i32 i32 i32)))
  (import "pando::process" "call" (func $call (param i64 i64) (result i32)))
  (import "pando::message" "pid" (func $message_pid (result i64)))
  (import "pando::message" "ref" (func $message_ref (result i64)))
  (import "pando::process" "reply" (func $reply (param i64 i64) (result i32)))
  (import "pando::group" "join" (func $join (param i32 i32) (result i32)))
  (import "pando::group" "broadcast" (func $broadcast (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (global $random (mut i64) (i64.const 0))
  ;; 0: results · 16: the name "act" · 32: "shared" · 48: text · 64: parameters (3 x 17) ·
  ;; 4096: pids of the children, 8192 of them at most
  (data (i32.const 16) "act")
  (data (i32.const 32) "shared")
  (data (i32.const 48) "because")

  (func $next (result i64)
    (global.set $random (i64.xor (global.get $random) (i64.shl (global.get $random) (i64.const 13))))
    (global.set $random (i64.xor (global.get $random) (i64.shr_u (global.get $random) (i64.const 7))))
    (global.set $random (i64.xor (global.get $random) (i64.shl (global.get $random) (i64.const 17))))
    (global.get $random))

  ;; Spawn an actor whose sibling is `sibling`; its pid, or 0.
  (func $make (param $tag i64) (param $config i64) (param $leader i64) (param $sibling i64)
    (result i64)
    (i64.store (i32.const 65) (call $next))
    (i64.store (i32.const 82) (local.get $leader))
    (i64.store (i32.const 99) (local.get $sibling))
    (if (result i64) (i32.eqz (call $spawn (local.get $tag) (local.get $config) (i64.const -1)
          (i32.const 16) (i32.const 3) (i32.const 64) (i32.const 51) (i32.const 0)))
      (then (i64.load (i32.const 0)))
      (else (i64.const 0))))

  (func $types
    (i32.store8 (i32.const 64) (i32.const 0x7e))
    (i32.store8 (i32.const 81) (i32.const 0x7e))
    (i32.store8 (i32.const 98) (i32.const 0x7e)))

  (func (export "lead") (param $seed i64) (param $count i32)
    (local $i i32) (local $self i64) (local $pid i64) (local $config i64)
    (global.set $random (local.get $seed))
    (call $types)
    (call $die_when_link_dies (i32.const 0))
    (local.set $self (call $self))
    (local.set $config (call $create_config))
    (call $set_max_fuel (local.get $config) (i64.const 2))
    (local.set $pid (local.get $self))
    (block $spawned (loop $more
      (br_if $spawned (i32.ge_u (local.get $i) (local.get $count)))
      (local.set $pid (call $make
        (i64.and (call $next) (i64.const 1))
        (select (i64.const -1) (local.get $config) (i64.ne (i64.and (call $next) (i64.const 7)) (i64.const 0)))
        (local.get $self)
        (local.get $pid)))
      (i64.store (i32.add (i32.const 4096) (i32.shl (i32.and (local.get $i) (i32.const 4095)) (i32.const 3)))
        (local.get $pid))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      ;; now and then, look at what came
      (if (i32.eqz (i32.and (local.get $i) (i32.const 15)))
        (then (block $empty (loop $take
          (br_if $empty (i32.eq (call $receive (i32.const 0) (i32.const 0) (i64.const 0)) (i32.const 9027)))
          (br $take)))))
      (br $more)))
    ;; a leader in eight crashes and leaves its children alone
    (if (i64.eqz (i64.and (call $next) (i64.const 7))) (then unreachable))
    (drop (call $receive (i32.const 0) (i32.const 0) (i64.const 1)))
    ;; one in four kills them all, most of which live and some of which wait for ever
    (if (i64.ne (i64.and (call $next) (i64.const 3)) (i64.const 0)) (then return))
    (local.set $i (i32.const 0))
    (block $killed (loop $more
      (br_if $killed (i32.ge_u (local.get $i) (local.get $count)))
      (br_if $killed (i32.ge_u (local.get $i) (i32.const 4096)))
      (call $kill (i64.load (i32.add (i32.const 4096) (i32.shl (local.get $i) (i32.const 3)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $more))))

  (func (export "_lunatic_catch_trap") (param $what i32) (param $with i32) (result i32)
    (if (i32.eq (local.get $what) (i32.const 1)) (then unreachable))
    (if (i32.eq (local.get $what) (i32.const 2)) (then (call $sleep (i64.const 1000000))))
    (if (i32.eq (local.get $what) (i32.const 3))
      (then (drop (call $receive (i32.const 0) (i32.const 0) (i64.const -1)))))
    (if (i32.eq (local.get $what) (i32.const 4))
      (then (drop (call $catch (i32.const 3) (i32.const 0)))))
    (if (i32.eq (local.get $what) (i32.const 5))
      (then (drop (call $catch (i32.const 1) (i32.const 0)))))
    (local.get $with))

  (func $say (param $tag i64) (param $size i32)
    (call $create_data (local.get $tag) (i64.const 0))
    (drop (call $write_data (i32.const 0) (local.get $size))))

  (func $spin (param $rounds i32)
    (loop $l
      (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
      (br_if $l (local.get $rounds))))

  ;; Wait for one message, answer it if it is a call.
  (func $serve (param $timeout i64)
    (if (i32.eqz (call $receive (i32.const 0) (i32.const 0) (local.get $timeout)))
      (then (if (i64.ne (call $message_ref) (i64.const 0))
        (then
          (i64.store (i32.const 0) (call $message_pid))
          (i64.store (i32.const 8) (call $message_ref))
          (drop (call $reply (i64.load (i32.const 0)) (i64.load (i32.const 8)))))))))

  (func (export "act") (param $seed i64) (param $leader i64) (param $sibling i64)
    (local $i i32)
    (global.set $random (local.get $seed))
    (call $types)
    (block $0 (block $1 (block $2 (block $3 (block $4 (block $5 (block $6 (block $7
    (block $8 (block $9 (block $10 (block $11 (block $12 (block $13 (block $14 (block $15
    (block $16 (block $17 (block $18 (block $19 (block $20 (block $21 (block $22 (block $23
    (block $24 (block $25 (block $26 (block $27 (block $28 (block $29
      (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $14 $15 $16 $17 $18 $19 $20 $21
        $22 $23 $24 $25 $26 $27 $28 $29 $0
        (i32.wrap_i64 (i64.rem_u (i64.shr_u (local.get $seed) (i64.const 11)) (i64.const 31)))))
    ;; 29: linked to the leader, which traps it
    (call $link (i64.const 5) (local.get $leader)) (unreachable))
    ;; 28: exits with a code
    (call $proc_exit (i32.const 3)) (return))
    ;; 27: a pointer out of bounds
    (drop (call $write_data (i32.const -1) (i32.const 8))) (return))
    ;; 26: a name that many want
    (drop (call $get_or_spawn (i32.const 32) (i32.const 6) (i64.const 0) (i64.const -1) (i64.const -1)
      (i32.const 16) (i32.const 3) (i32.const 64) (i32.const 51) (i32.const 128) (i32.const 136)))
    (return))
    ;; 25: divides by zero
    (drop (i32.div_u (i32.const 1) (local.get $i))) (return))
    ;; 24: traps exits and waits
    (call $trap_exit (i32.const 1))
    (call $link (i64.const 1) (local.get $sibling))
    (drop (call $receive (i32.const 0) (i32.const 0) (i64.const 2))) (return))
    ;; 23: a child of its own
    (call $say (i64.const 1) (i32.const 8))
    (drop (call $send (call $make (i64.const 1) (i64.const -1) (local.get $leader) (local.get $sibling))))
    (drop (call $receive (i32.const 0) (i32.const 0) (i64.const 1))) (return))
    ;; 22: twenty kilobytes for the leader
    (call $say (i64.const 2) (i32.const 20000)) (drop (call $send (local.get $leader))) (return))
    ;; 21: some slices of work
    (call $spin (i32.const 100000)) (return))
    ;; 20: grows, and traps
    (drop (memory.grow (i32.const 1))) (i32.store (i32.const 70000) (i32.const 1)) (unreachable))
    ;; 19: asks its sibling to exit
    (call $exit (local.get $sibling) (i32.const 2) (i32.const 48) (i32.const 7)) (return))
    ;; 18: calls its sibling
    (call $say (i64.const 3) (i32.const 8))
    (drop (call $call (local.get $sibling) (i64.const 1))) (return))
    ;; 17: waits for ever
    (call $serve (i64.const -1)) (return))
    ;; 16: waits for ever, two levels deep
    (drop (call $catch (i32.const 4) (i32.const 0))) (return))
    ;; 15: sleeps within a caught call
    (drop (call $catch (i32.const 2) (i32.const 0))) (return))
    ;; 14: catches a trap of the second level
    (drop (call $catch (i32.const 5) (i32.const 0))) (unreachable))
    ;; 13: catches one
    (drop (call $catch (i32.const 1) (i32.const 0))) (return))
    ;; 12: sleeps
    (call $sleep (i64.const 2)) (return))
    ;; 11: serves for a while
    (call $serve (i64.const 3)) (return))
    ;; 10: speaks to a group
    (call $say (i64.const 4) (i32.const 16))
    (drop (call $broadcast (i32.const 48) (i32.const 7) (i32.const 0))) (return))
    ;; 9: joins it
    (drop (call $join (i32.const 48) (i32.const 7)))
    (drop (call $receive (i32.const 0) (i32.const 0) (i64.const 1))) (return))
    ;; 8: takes a name of its own and one that many want, and traps
    (i64.store (i32.const 0) (local.get $seed))
    (call $put (i32.const 0) (i32.const 4) (i64.const 0) (call $self))
    (call $put (i32.const 48) (i32.const 7) (i64.const 0) (call $self)) (unreachable))
    ;; 7: a late message for the leader, cancelled or not
    (call $say (i64.const 5) (i32.const 100))
    (i64.store (i32.const 0) (call $send_after (local.get $leader) (i64.const 1)))
    (if (i64.eqz (i64.and (call $next) (i64.const 1)))
      (then (drop (call $cancel_timer (i64.load (i32.const 0))))))
    (return))
    ;; 6: late messages for itself, who does not wait
    (call $say (i64.const 6) (i32.const 10)) (drop (call $send_after (call $self) (i64.const 30)))
    (return))
    ;; 5: kills
    (call $kill (local.get $sibling)) (return))
    ;; 4: many small messages
    (local.set $i (i32.const 20))
    (loop $l
      (call $say (i64.const 7) (i32.const 8)) (drop (call $send (local.get $sibling)))
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (br_if $l (local.get $i)))
    (return))
    ;; 3: monitors of both kinds
    (call $monitor (local.get $sibling))
    (drop (call $unwatch (call $watch (local.get $sibling)) (i32.const 1)))
    (drop (call $watch (local.get $leader)))
    (drop (call $receive (i32.const 0) (i32.const 0) (i64.const 1))) (return))
    ;; 2: links, unlinks, links
    (call $link (i64.const 8) (local.get $sibling)) (call $unlink (local.get $sibling))
    (call $link (i64.const 9) (local.get $sibling)) (return))
    ;; 1: crashes
    unreachable)
    ;; 0: returns
    ))
