#!/usr/bin/env bash
# Real wasi-libc programs in `pando run`: files in a preopened directory, the rest of WASI, and kills while a guest
# waits for its input.
set -euo pipefail

guests=$PANDO_BUILD_DIR/tests/guests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $1"
    [ ! -s "$work/out" ] || sed 's/^/  | /' "$work/out"
    exit 1
}

# expect CODE LAST_LINE COMMAND...: the exit code and the last line of the output.
expect() {
    local want_code=$1 want_line=$2 code=0
    shift 2
    "$@" >"$work/out" 2>"$work/err" || code=$?
    [ "$code" -eq "$want_code" ] || { cat "$work/err" >>"$work/out"; fail "$*: exit code $code"; }
    [ "$(tail -n 1 "$work/out")" = "$want_line" ] || fail "$*: wanted the line '$want_line'"
}

mkdir "$work/dir"
expect 0 "OK all" "$PANDO" run --dir "$work/dir::/" "$guests/wasi_files.wasm"
[ -z "$(ls -A "$work/dir")" ] || fail "wasi_files left something behind"

# The same run of the same seed is the same run, in whatever directory.
for i in 1 2; do
    mkdir "$work/seeded$i"
    expect 0 "OK all" "$PANDO" run --seed 5 --dir "$work/seeded$i::/" "$guests/wasi_files.wasm"
    grep -o 'trace [0-9a-f]*' "$work/err" >"$work/trace$i"
done
cmp -s "$work/trace1" "$work/trace2" || fail "two runs of one seed differ"

# Without a directory there is nothing to write to.
code=0
"$PANDO" run "$guests/wasi_files.wasm" >"$work/out" 2>&1 || code=$?
[ "$code" -eq 1 ] || fail "wasi_files without a directory: exit code $code"

printf 'line one\nline two\n' >"$work/input"
for seed in "" "--seed 1"; do
    # shellcheck disable=SC2086 # no words for the empty seed
    expect 7 "the end, without a newline" "$PANDO" run $seed --env PANDO_TEST=yes \
        "$guests/wasi_system.wasm" one "two words" <"$work/input"
    grep -q '^to the error stream$' "$work/err" || fail "nothing came to the error stream"
done
printf 'line one\nline two\n' | expect 7 "the end, without a newline" "$PANDO" run \
    --env PANDO_TEST=yes "$guests/wasi_system.wasm" one "two words"

# Input that never comes: SIGTERM still ends the program.
mkfifo "$work/silent"
sleep 500 >"$work/silent" &
sleeper=$!
code=0
timeout -k 200 -s TERM 1 "$PANDO" run --env PANDO_TEST=yes "$guests/wasi_system.wasm" one "two words" \
    <"$work/silent" >"$work/out" 2>&1 || code=$?
kill "$sleeper" 2>/dev/null || true
[ "$code" -ne 137 ] || fail "a guest that waits for its input held the program for ever"

# Output that nobody takes: the guest is told why.
mkfifo "$work/unread"
exec 3<>"$work/unread" 4>"$work/unread" 3<&-
for seed in "" "--seed 1"; do
    # shellcheck disable=SC2086 # no words for the empty seed
    heard() { "$PANDO" run $seed "$guests/verbs.wasm" heard:word 2>"$work/err"; }
    heard >/dev/full
    grep -qx "word: No space left on device" "$work/err" || fail "a full disk: $(cat "$work/err")"
    heard 1</dev/null
    grep -qx "word: Bad file descriptor" "$work/err" || fail "no output: $(cat "$work/err")"
    heard >&4
    grep -qx "word: Broken pipe" "$work/err" || fail "a pipe without a reader: $(cat "$work/err")"
    heard >"$work/out"
    grep -qx "word: heard" "$work/err" || fail "a file: $(cat "$work/err")"
done
exec 4>&-

# --dir: under another name, several, and nothing but what is beneath them.
verbs=$guests/verbs.wasm
mkdir "$work/one" "$work/two"
echo inside >"$work/one/file"
echo secret >"$work/secret"
ln -s ../secret "$work/one/out"
ln -s "$work/secret" "$work/one/absolute"
ln -s .. "$work/one/up"
for seed in "" "--seed 1"; do
    for path in /a/../secret /a/out /a/absolute /a/up/secret "$work/secret" /a/../../etc/passwd /etc/passwd; do
        # shellcheck disable=SC2086 # no words for the empty seed
        expect 9 "" "$PANDO" run $seed --dir "$work/one::/a" "$verbs" once:"$path"
    done
    # shellcheck disable=SC2086
    expect 0 "read" "$PANDO" run $seed --dir "$work/one::/a" --dir "$work/two::/b" "$verbs" once:/a/file say:read
done
[ "$(cat "$work/secret")" = secret ] || fail "a guest wrote outside of its directory"
expect 1 "" "$PANDO" run --dir "$work/two::/b" "$verbs" once:/b/new
[ -e "$work/two/new" ] || fail "a guest could not write in its directory"
(cd "$work" && expect 0 "read" "$PANDO" run --dir one "$verbs" once:one/file say:read) || exit 1
expect 1 "" "$PANDO" run --dir "$work/nowhere" "$verbs"
grep -q "nowhere" "$work/err" || fail "--dir of a directory that is not there: $(cat "$work/err")"
expect 1 "" "$PANDO" run --dir "$work/secret" "$verbs"

echo "OK wasi"
