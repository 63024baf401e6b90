#!/usr/bin/env bash
# `make run`: actors on three nodes count one text, the leader is killed midway, and the total in the store is that of
# `wc -w`. Nothing is left behind, also when it is interrupted.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
export TMPDIR=$work/tmp
mkdir "$TMPDIR" "$work/texts"
printf 'one two three' >"$work/texts/open"
seq 20000 >"$work/texts/numbers"
head -c 300000 "$PANDO" >"$work/texts/binary"
texts=$work/texts/*

# nothing_left NAME: no folder, and none of the processes that the banner named.
nothing_left() {
    local pid
    [ -z "$(ls "$TMPDIR")" ] || fail "$1: left behind: $(ls "$TMPDIR")"
    for pid in $(sed -n 's/^ *node-[0-9] .*pid \([0-9]*\)$/\1/p' "$out"); do
        [ ! -e "/proc/$pid" ] || fail "$1: process $pid is left behind"
    done
}

code=0
FILES=$texts timeout -k 5 400 "$PANDO_SOURCE_DIR/scripts/run.sh" >"$out" 2>"$err" || code=$?
shown="make run"
[ "$code" -eq 0 ] || { fail "make run: exit code $code"; tail -n 30 "$out" "$err"; }
expected=$(cat "$work"/texts/* | wc -w)
printed "Pando:                      $(printf '%12s' "$expected") words"
printed "Equal"
printed "killed with SIGKILL"
printed "ended by signal 9"
grep -Eq '^node-[0-9] \|  (10|20|30|40) %' "$out" || fail "make run: no progress"
[ "$(grep -c 'was restarted as process' "$out")" -ge 1 ] || fail "make run: no mapper was restarted"
[ "$(grep -c 'recorded .* chunks' "$out")" -ge 2 ] || { fail "make run: too few nodes counted"; cat "$out"; }
nothing_left "make run"

# Interrupted, once it counts.
mkfifo "$work/lines"
FILES=$texts "$PANDO_SOURCE_DIR/scripts/run.sh" >"$work/lines" 2>"$err" &
run=$!
children+=("$run")
: >"$out"
while IFS= read -r line; do
    printf '%s\n' "$line" >>"$out"
    case $line in *' %  '*) kill -TERM "$run" 2>/dev/null || true ;; esac # maybe it has ended already
done <"$work/lines"
code=0
wait "$run" || code=$?
[ "$code" -eq 143 ] || fail "make run that is ended: exit code $code"
grep -q ' %  ' "$out" || fail "make run that is ended: it did not get that far"
nothing_left "make run that is ended"
finish
