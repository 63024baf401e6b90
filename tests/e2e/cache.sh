#!/usr/bin/env bash
# The cache of compiled modules: the second start takes the code from it, and nothing that is wrong with it or its folder
# keeps a program from running.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
folder=$XDG_CACHE_HOME/pando/modules
hello=$examples/hello.wasm

# comes_from HOW [ARGUMENT...]: where the code of the module came from: compiled, or taken from the cache.
comes_from() {
    local how=$1
    shift
    runs 0 run --stats "$@"
    said "the module was $how"
}
compiled() { comes_from compiled "$@"; }
cached() { comes_from 'taken from the cache' "$@"; }
entries() { find "$folder" -type f | wc -l; }

# --- A key for everything that matters ------------------------------------------------------------
compiled "$hello"
cached "$hello"
[ "$(stat -c %a "$folder")" = 700 ] || fail "the folder's mode is $(stat -c %a "$folder")"
[ "$(find "$folder" -type f -perm /077 | wc -l)" -eq 0 ] || fail 'others can read entries'
compiled --profile guarded "$hello"
cached --profile guarded "$hello"
compiled --seed 1 "$hello"
cached --seed 2 "$hello"
cached --max-memory 16MiB --max-fuel 1000 --threads 1 "$hello"
cp "$hello" "$work/copy.wasm" # the bytes count, not the name
cached "$work/copy.wasm"
[ "$(entries)" -eq 3 ] || fail "$(entries) entries instead of 3"

# --- A large one, for the figures ---------------------------------------------------------------------
# 5 MB of functions that differ; a tenth where the compiler is slow for another reason.
awk -v count="$(effort 8600 860)" 'BEGIN {
    print "(module (memory (export \"memory\") 1) (func (export \"_start\"))"
    for (i = 0; i < count; i++) {
        print "(func (export \"f" i "\") (param i32 i32) (result i32)"
        for (j = 0; j < 24; j++)
            print "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const " i * 7919 + j * 104729 \
                ")) (i32.xor (local.get 1) (i32.load offset=" (i + j * 64) % 60000 " (i32.and (local.get 0) (i32.const 1023))))))"
        print "(local.get 0))"
    }
    print ")"
}' >"$work/large.wat"
wat2wasm -o "$work/large.wasm" "$work/large.wat"
size=$(stat -c %s "$work/large.wasm")
[ "$size" -ge "$(effort 5000000 500000)" ] || fail "the large module has only $size bytes"
compiled "$work/large.wasm"
echo "a module of $size bytes: $(grep -o 'module was.*' "$err")"
cached "$work/large.wasm"
echo "a module of $size bytes: $(grep -o 'module was.*' "$err")"
cached "$hello"
echo "hello: $(grep -o 'module was.*' "$err")"

# --- Entries that are not what they should be ------------------------------------------------------------
rm "$folder"/*
compiled "$hello"
entry=$(find "$folder" -type f)
good=$work/good
cp -p "$entry" "$good"
spoilt() {
    compiled "$hello" # and the entry is mended
    printed 'Hello from process 1.'
    cached "$hello"
}
: >"$entry"
spoilt
truncate -s -1 "$entry"
spoilt
truncate -s 40 "$entry"
spoilt
printf 'extra' >>"$entry"
spoilt
for at in 0 8 16 64 5000; do # magic, size, hash, payload
    printf '\xa5\x5a' | dd of="$entry" bs=1 seek=$at conv=notrunc status=none
    spoilt
done
chmod 666 "$entry"
spoilt
rm "$entry" && ln -s "$good" "$entry"
spoilt
rm -f "$entry" && mkdir "$entry"
compiled "$hello"
rmdir "$entry"
mkfifo "$entry"
compiled "$hello"
rm -f "$entry"

# A sound entry under another module's name: its code is Pando's own, but not of this module.
compiled "$hello"
compiled --seed 1 "$hello"
other=$(find "$folder" -type f ! -path "$entry")
cp "$entry" "$other"
runs 0 run --seed 1 "$hello"
printed 'Hello from process 1.'

# Whoever can write the folder could write the code: it is not used.
if [ "$(id -u)" -eq 0 ]; then
    chown nobody "$entry"
    spoilt
    rm -rf "$folder"
    compiled "$hello"
    chown nobody "$folder"
    compiled "$hello"
    compiled "$hello"
    chown root "$folder"
fi
chmod 777 "$folder"
compiled "$hello"
compiled "$hello"
rm -rf "$folder"

# --- Folders that are not there, or not to be written --------------------------------------------------------
printf 'not a folder' >"$work/file"
XDG_CACHE_HOME=$work/file compiled "$hello"
XDG_CACHE_HOME=/proc/nowhere compiled "$hello"
# A relative path is no cache home, says its specification: the one below HOME is used.
HOME=$work/nobody XDG_CACHE_HOME=relative compiled "$hello"
[ ! -e relative ] || fail 'a relative cache home was used'
if [ "$(id -u)" -ne 0 ]; then
    compiled "$hello"
    chmod 500 "$folder"
    cached "$hello"
    compiled --profile guarded "$hello"
    compiled --profile guarded "$hello"
    chmod 700 "$folder"
fi
(
    unset XDG_CACHE_HOME
    export HOME=$work/home
    compiled "$hello"
    cached "$hello"
    [ -d "$work/home/.cache/pando/modules" ] || fail 'no cache below the home folder'
    unset HOME
    compiled "$hello"
    compiled "$hello"
    exit $((failures > 0))
) || failures=$((failures + 1))

# --- Many at once, from nothing ----------------------------------------------------------------------------------
rm -rf "$folder"
running=()
for i in {1..8}; do
    "$PANDO" run "$hello" >"$work/many$i" 2>&1 &
    running+=($!)
    children+=($!)
done
for i in {1..8}; do
    wait "${running[i - 1]}" && grep -q 'Hello from process 1.' "$work/many$i" || {
        fail "concurrent start $i"
        cat "$work/many$i"
    }
done
[ "$(entries)" -eq 1 ] || fail "concurrent starts left $(entries) files"
cached "$hello"

finish
