#!/usr/bin/env bash
# `pando run`: its exit codes, its words when something is wrong, its limits and rights, its output and its signals.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
verbs=$guests/verbs.wasm

# --- Ends ---------------------------------------------------------------------------------------
runs 0 run "$verbs" say:hi
output_is hi
runs 0 "$verbs" say:short # `run` may be left out
output_is short
runs 7 run "$verbs" exit:7
said_not crashed
runs 255 run "$verbs" exit:255

for profile in dense guarded; do
    runs 1 run --profile $profile "$verbs" say:before divide
    output_is before
    said 'integer divide by zero'
    said 'divide'
    said 'tests/guests/verbs.c:' # file and line, from DWARF
    runs 1 run --profile $profile "$verbs" abort:'no more tea'
    said 'unreachable'
    said 'panic: no more tea'
    runs 1 run --profile $profile "$verbs" outside
    said 'out of bounds memory access'
    runs 1 run --profile $profile "$verbs" recurse
    said 'deeper'
done
runs 1 run "$verbs" fail:'because I say so'
said 'because I say so'

cat >"$work/names.wat" <<'WAT'
(module (memory (export "memory") 1)
  (func $inner unreachable) (func $outer call $inner) (func (export "_start") call $outer))
WAT
wat2wasm --debug-names -o "$work/names.wasm" "$work/names.wat"
runs 1 run "$work/names.wasm"
said inner
said outer

# A library that is also a program, as Go builds them: what prepares it comes first.
cat >"$work/prepared.wat" <<'WAT'
(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (global $prepared (mut i32) (i32.const 3))
  (func (export "_initialize") (global.set $prepared (i32.const 7)))
  (func (export "_start") (call $exit (global.get $prepared))))
WAT
wat2wasm -o "$work/prepared.wasm" "$work/prepared.wat"
runs 7 run "$work/prepared.wasm"
cat >"$work/prepared.yaml" <<'YAML'
name: prepared
supervisor: {strategy: one_for_one, auto_shutdown: all_significant}
children:
  - {id: only, module: prepared.wasm, restart: temporary, significant: true}
YAML
runs 0 run "$work/prepared.yaml"
said 'exited with code 7'
cat >"$work/deep.wat" <<'WAT'
(module (memory (export "memory") 1) (func $deep (export "_start") call $deep))
WAT
wat2wasm --debug-names -o "$work/deep.wasm" "$work/deep.wat"
for profile in dense guarded; do
    runs 1 run --profile $profile "$work/deep.wasm"
    said 'call stack exhausted'
done

# --- The words are wrong ----------------------------------------------------------------------------
usage() {
    local words=$1
    shift
    runs 2 "$@"
    said "$words"
}
usage 'usage: pando COMMAND'
usage "no command 'fly'" fly
usage 'FILE is missing' run
usage "no such option: '--fast'" run --fast "$verbs"
usage '--seed' run --seed soon "$verbs"
usage '--seed' run --seed
usage '--max-memory' run --max-memory lots "$verbs"
usage '--max-memory' run --max-memory 5GiB "$verbs"
usage '--max-memory' run --max-memory 99999999999999999999 "$verbs"
usage '--max-fuel' run --max-fuel 0 "$verbs"
usage '--max-fuel' run --max-fuel -1 "$verbs"
usage 'one of spawn, compile' run --deny joy "$verbs"
usage 'dense or guarded' run --profile fluffy "$verbs"
usage '--threads' run --threads 0 "$verbs"
usage '--threads' run --threads 65 "$verbs"
usage 'NAME=VALUE' run --env NAME "$verbs"
usage '--env' run --env =value "$verbs"
usage 'application' run --watch "$verbs"
usage 'FILE.yaml is missing' check
runs 0 --help
runs 0 run --help
printed '--max-memory'
runs 0 version
printed 'engine'

# --- The file is wrong ------------------------------------------------------------------------------
refused() {
    local words=$1
    shift
    runs 1 run "$@"
    said "$words"
    said_not crashed
}
refused 'No such file' "$work/missing.wasm"
refused 'not a file' "$work"
: >"$work/empty.wasm"
refused '(0 bytes)' "$work/empty.wasm"
printf '\0asm\x0d\0\x01\0' >"$work/component.wasm"
refused 'component' "$work/component.wasm"
refused 'WebAssembly text' "$work/names.wat"
printf 'GIF89a, and so on' >"$work/picture.wasm"
refused 'not a WebAssembly module' "$work/picture.wasm"
printf '\0asm\x02\0\0\0' >"$work/version.wasm"
refused 'version' "$work/version.wasm"
head -c 200 "$verbs" >"$work/cut.wasm"
refused 'cut.wasm' "$work/cut.wasm"
printf '\0asm' >"$work/short.wasm"
refused 'short.wasm' "$work/short.wasm"
if [ "$(id -u)" -ne 0 ]; then
    install -m 000 "$verbs" "$work/secret.wasm"
    refused 'Permission denied' "$work/secret.wasm"
fi

cat >"$work/imports.wat" <<'WAT'
(module (import "env" "alarm" (func (param i32))) (import "lunatic::process" "fly" (func))
  (import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))
  (memory (export "memory") 1) (func (export "_start")))
WAT
wat2wasm -o "$work/imports.wasm" "$work/imports.wat"
refused 'env' "$work/imports.wasm"
said alarm
said fly
said proc_exit

module() { echo "$2" >"$work/$1.wat" && wat2wasm -o "$work/$1.wasm" "$work/$1.wat"; }
module no_start '(module (memory (export "memory") 1) (func (export "other")))'
runs 1 run "$work/no_start.wasm"
said '"_start", with which a program begins: build it as a program, or export one'
module no_memory '(module (func (export "_start")))'
runs 0 run "$work/no_memory.wasm" # only host functions need one
module takes '(module (memory (export "memory") 1) (func (export "_start") (param i32)))'
runs 1 run "$work/takes.wasm"
said _start
module start_traps '(module (memory (export "memory") 1) (func $s unreachable) (start $s) (func (export "_start")))'
runs 1 run "$work/start_traps.wasm"
said unreachable
module large '(module (memory (export "memory") 65536) (func (export "_start")))'
runs 0 run "$work/large.wasm"
runs 1 run --max-memory 1MiB "$work/large.wasm"
said "KiB, and --max-memory allows 1048576 bytes"
module two '(module (memory (export "memory") 1) (memory 1) (func (export "_start")))' 2>/dev/null ||
    wat2wasm --enable-multi-memory -o "$work/two.wasm" "$work/two.wat"
runs 1 run "$work/two.wasm"
said memor

# --- Limits and rights --------------------------------------------------------------------------------
runs 0 run --max-memory 3MiB "$verbs" grow:100
output_is 'grown by 2 MiB'
runs 0 run --profile guarded --max-memory 3MiB "$verbs" grow:100
output_is 'grown by 2 MiB'
runs 1 run --max-fuel 10 "$verbs" spin
said 'fuel'

runs 0 run "$verbs" spawn compile configure
output_is $'spawn: 0\ncompile: 0\nconfigure: ok'
runs 1 run --deny spawn "$verbs" configure spawn
output_is 'configure: ok'
said 'permission denied: spawning'
runs 0 run --deny compile "$verbs" compile spawn
output_is $'compile: -1\nspawn: 0'
runs 0 run --deny configure "$verbs" configure spawn
output_is $'configure: denied\nspawn: 0'
runs 3 run --deny stdio "$verbs" say:hidden exit:3
output_is ''
runs 0 run --deny network --net none --net local --net api.example:443 "$verbs" say:ok
runs 0 run --deny compile --deny configure --deny=stdio --deny network "$verbs"

runs 1 run --deny compile "$verbs" widen:compile
said 'permission denied'
runs 1 run --max-memory 16MiB "$verbs" widen:memory
said 'permission denied'
runs 1 run --max-fuel 100 "$verbs" widen:fuel
said 'permission denied'
runs 1 run --dir "$work::/inside" "$verbs" widen:/
said 'permission denied'
runs 0 run --dir "$work::/inside" "$verbs" widen:/inside
output_is 'widen /inside: 0'

runs 0 run --env A=b --env EMPTY= --env 'C=d=e f' "$verbs" environment
output_is $'A=b\nEMPTY=\nC=d=e f'
runs 0 run --env A=b --env A=c "$verbs" environment
output_is 'A=c'
SECRET=shown runs 0 run "$verbs" environment
output_is ''
runs 0 run -- "$verbs" say:--env # options end where they are said to, or at the file
output_is --env
runs 0 run --env=A=b "$verbs" environment say:--deny
output_is $'A=b\n--deny'

# --- Input and output ---------------------------------------------------------------------------------
runs 0 run "$verbs" copy < <(printf 'one\ntwo')
output_is $'one\ntwoend of input'
runs 0 run "$verbs" copy </dev/null
output_is 'end of input'
runs 0 run "$verbs" copy <&-
output_is 'end of input'
head -c 3000000 /dev/urandom | base64 >"$work/large.txt"
runs 0 run "$verbs" copy <"$work/large.txt"
cmp <(head -c -13 "$out") "$work/large.txt" || fail "3 MB did not come through"

# Whole lines, however many write at once, and each with its name if asked.
for options in '--threads 4' '--seed 3'; do
    # shellcheck disable=SC2086 # several words
    runs 0 run $options "$verbs" printers:40
    [ "$(grep -cxE '<[0-9]+:[0-9]+:abcdefghijklmnopqrstuvwxyz>' "$out")" -eq 2000 ] ||
        fail "$shown: lines are torn: $(grep -vxE '<[0-9]+:[0-9]+:abcdefghijklmnopqrstuvwxyz>' "$out" | sed -n 1,3p)"
    [ "$(sort -u "$out" | wc -l)" -eq 2000 ] || fail "$shown: lines are lost"
done
runs 0 run --tag "$verbs" printers:3 say:done
[ "$(grep -cxE '\[printer-([0-2])\] <\1:[0-9]+:[a-z]+>' "$out")" -eq 150 ] && printed '[<1>] done' || {
    fail "$shown: tags"
    sort -u "$out" | sed -n 1,5p
}

# Nobody reads any more: the guest is told, or ends; nothing hangs and nothing crashes.
code=0
timeout -k 5 200 "$PANDO" run "$verbs" printers:20 2>"$err" | head -n 1 >"$out" || code=$? # ends early
[ "$code" -ne 124 ] && [ "$code" -ne 137 ] || fail 'a closed output held the program'
code=0
"$PANDO" run "$verbs" say:unheard exit:4 >&- 2>&- || code=$?
[ "$code" -eq 4 ] || fail "closed streams: exit code $code"

# --- Signals --------------------------------------------------------------------------------------------
for signal in INT TERM HUP; do
    number=$(kill -l $signal)
    start_pando run "$verbs" wait
    wait_for_text waiting
    kill -$signal "$started"
    wait_for_end $((128 + number))
    grep -q 'shutting down' "$out" || fail "SIG$signal: did not say that it shuts down"

    # Who traps exits gets its message, and may end in its own way.
    start_pando run "$verbs" last_words:me exit:5
    wait_for_text waiting
    kill -$signal "$started"
    wait_for_end 5
    grep -q '^me: asked to end: shutdown' "$out" || fail "SIG$signal: no message for who traps exits"

    # Who takes no notice goes with the second one.
    start_pando run "$verbs" stubborn
    wait_for_text waiting
    kill -$signal "$started"
    wait_for_text no
    kill -$signal "$started"
    wait_for_end $((128 + number))

    start_pando run "$verbs" spin
    wait_for_text spinning
    kill -$signal "$started"
    wait_for_end $((128 + number))
done

finish
