#!/usr/bin/env bash
# What today's toolchains emit by default loads and runs, in both profiles and in the deterministic mode. C is always
# here; the others where their compilers are, each else with a SKIP line of its own.
# shellcheck source=tests/e2e/lib.sh
user_cache=${XDG_CACHE_HOME-}
. "$(dirname "$0")/lib.sh"
sources=$PANDO_SOURCE_DIR/tests/e2e/languages
if [ -n "$user_cache" ]; then export XDG_CACHE_HOME=$user_cache; else unset XDG_CACHE_HOME; fi # large modules: keep their code

# everywhere CODE FIRST_LINE ARGUMENT...: dense, guarded and seeded.
everywhere() {
    local code=$1 line=$2 mode
    shift 2
    for mode in '--profile dense' '--profile guarded' '--profile guarded --seed 6' '--seed 6'; do
        # Code for the seeded dense mode is a third of what Go takes to compile; its settings differ in one switch only.
        case "$mode $*" in --seed*go.wasm*) continue ;; esac
        # shellcheck disable=SC2086 # several words
        runs "$code" run $mode "$@" <"$work/input"
        [ "$(head -n 1 "$out")" = "$line" ] || { fail "$shown: wrote"; head -n 3 "$out" "$err"; }
    done
}
printf 'b a b\n' >"$work/input"

# --- C ---------------------------------------------------------------------------------------------
# As clang builds it for wasm32 when nothing is said, and with every feature that newer ones turn on by default.
cat >"$work/plain.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **arguments)
{
    int *numbers = calloc(1000, sizeof *numbers);
    for (int i = 0; i < 1000; i++) numbers[i] = i;
    volatile double large = 1e20;
    printf("c %d %s %d\n", numbers[999], arguments[1], count);
    return 4 + 0 * (int)large;
}
C
modern=(-mmutable-globals -msign-ext -mbulk-memory -mreference-types -mmultivalue -mnontrapping-fptoint -msimd128)
clang --target=wasm32-wasi --sysroot=/usr -o "$work/plain.wasm" "$work/plain.c"
clang --target=wasm32-wasi --sysroot=/usr -O3 "${modern[@]}" -o "$work/modern.wasm" "$work/plain.c"
for name in plain modern; do everywhere 4 'c 999 x 2' "$work/$name.wasm" x; done

# Without a libc: nothing but exports.
cat >"$work/bare.c" <<'C'
__attribute__((import_module("lunatic::process"), import_name("process_id"))) unsigned long long process_id(void);
__attribute__((import_module("lunatic::process"), import_name("sleep_ms"))) void sleep_ms(unsigned long long ms);
__attribute__((export_name("_start"))) void start(void)
{
    sleep_ms(1);
    if (process_id() != 1) __builtin_trap();
}
C
for flags in -O0 "-O2 ${modern[*]}"; do
    # shellcheck disable=SC2086 # several words
    clang --target=wasm32 $flags -nostdlib -Wl,--no-entry -o "$work/bare.wasm" "$work/bare.c"
    everywhere 0 '' "$work/bare.wasm"
done

# Each feature by its instructions, as text: references to functions in the one table that a guest has (externref needs a
# collector, which Pando's engine has not: ADR 2), several results, bulk memory, extension, saturation, vectors.
cat >"$work/features.wat" <<'WAT'
(module
  (memory (export "memory") 1)
  (table $references 4 funcref)
  (elem declare func $two)
  (data $bytes "\01\02\03\04")
  (func $two (param i32) (result i32 i64) (local.get 0) (i64.const 7))
  (func (export "_start") (local $vector v128)
    (table.set $references (i32.const 1) (ref.null func))
    (if (i32.eqz (ref.is_null (table.get $references (i32.const 1)))) (then unreachable))
    (if (i32.ne (table.grow $references (ref.null func) (i32.const 3)) (i32.const 4)) (then unreachable))
    (table.set $references (i32.const 0) (ref.func $two))
    (call $two (i32.const 5)) (if (i64.ne (i64.const 7)) (then unreachable))
    (if (i32.ne (i32.const 5)) (then unreachable))
    (memory.init $bytes (i32.const 64) (i32.const 0) (i32.const 4)) (data.drop $bytes)
    (memory.copy (i32.const 128) (i32.const 64) (i32.const 4))
    (memory.fill (i32.const 132) (i32.const 255) (i32.const 4))
    (if (i32.ne (i32.load (i32.const 128)) (i32.const 0x04030201)) (then unreachable))
    (if (i32.ne (i32.extend8_s (i32.load8_u (i32.const 133))) (i32.const -1)) (then unreachable))
    (if (i32.ne (i32.trunc_sat_f32_s (f32.const inf)) (i32.const 0x7fffffff)) (then unreachable))
    (local.set $vector (i32x4.add (v128.load (i32.const 128)) (i32x4.splat (i32.const 1))))
    (if (i32.ne (i32x4.extract_lane 0 (local.get $vector)) (i32.const 0x04030202)) (then unreachable))))
WAT
wat2wasm -o "$work/features.wasm" "$work/features.wat"
everywhere 0 '' "$work/features.wasm"

# --- Go: a command, and a reactor that it spawns -------------------------------------------------------
go_is_there() {
    local version
    version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
    version=${version#go1.}
    [ "${version%%[!0-9]*}" -ge 24 ] 2>/dev/null
}
if go_is_there; then
    export GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local GOFLAGS=-trimpath GOWORK=off
    mkdir "$work/go"
    (cd "$sources/go_command" && go build -buildvcs=false -o "$work/go.wasm" .)
    (cd "$sources/go_reactor" && go build -buildvcs=false -buildmode=c-shared -o "$work/go/reactor.wasm" .)
    everywhere 3 'go 3 goroutine x+y of Go' --env 'NAME=of Go' --dir "$work/go::/" "$work/go.wasm" x y
    printed 'recovered: assignment to entry in nil map'
    printed 'spawned 0 received 0 tag 42'
else
    skip e2e/languages/go 'there is no Go 1.24 or newer'
fi

# --- Rust: Debian's rustc with libstd-rust-dev-wasm32, or any other with the target ------------------------
rust_built=
for attempt in '/usr/bin/rustc --target wasm32-wasi -C linker=wasm-ld-14' '/usr/bin/rustc --target wasm32-wasi -C linker=wasm-ld' \
    'rustc --target wasm32-wasip1'; do
    # shellcheck disable=SC2086 # a command of several words
    if $attempt -o "$work/rust.wasm" "$sources/guest.rs" >"$work/rust.log" 2>&1; then
        rust_built=yes
        break
    fi
done
if [ -n "$rust_built" ]; then
    everywhere 5 'rust 1 {"a": 1, "b": 2} ["x"]' "$work/rust.wasm" x
    everywhere 1 'rust 1 {"a": 1, "b": 2} ["x", "y"]' "$work/rust.wasm" x y
    said 'a value is missing'
    said 'guest.rs:' # file and line of the panic

    # shellcheck disable=SC2086 # a command of several words
    $attempt --edition 2021 -O -C strip=debuginfo -o "$work/distributed.wasm" "$sources/distributed.rs"
    everywhere 0 'distributed 40 42' "$work/distributed.wasm"
    everywhere 1 '' "$work/distributed.wasm" elsewhere
    said 'lunatic::distributed::send: no node has the id 7'
else
    skip e2e/languages/rust 'no rustc here has std for wasm32-wasi'
fi

# --- Zig ----------------------------------------------------------------------------------------------------
# shellcheck source=tests/e2e/lib_zig.sh
. "$(dirname "$0")/lib_zig.sh"
if [ -z "$without_zig" ]; then
    zig build-exe "$sources/guest.zig" -target wasm32-wasi -femit-bin="$work/zig.wasm" --cache-dir "$work/zig"
    everywhere 6 'zig 1 332833500 x' "$work/zig.wasm" x
    everywhere 1 'zig 1 332833500 x' "$work/zig.wasm" x y
    said 'one word too many'
else
    skip e2e/languages/zig "$without_zig"
fi

# --- AssemblyScript --------------------------------------------------------------------------------------------
node_major=$(node --version 2>/dev/null | sed 's/^v//; s/\..*//')
if [ "${node_major:-0}" -lt 20 ]; then
    skip e2e/languages/assemblyscript 'there is no Node 20 or newer'
else
    cp -r "$sources/assemblyscript" "$work/as"
    if (cd "$work/as" && timeout 120 npm ci --no-audit --no-fund --ignore-scripts --prefer-offline >npm.log 2>&1); then
        for options in '' '--runtime minimal -O'; do
            # shellcheck disable=SC2086 # several words
            (cd "$work/as" && node node_modules/assemblyscript/bin/asc.js guest.ts -o guest.wasm --use abort= $options)
            everywhere 0 'assemblyscript 1 999000' "$work/as/guest.wasm"
        done
    else
        skip e2e/languages/assemblyscript 'npm cannot fetch its compiler'
    fi
fi

finish
