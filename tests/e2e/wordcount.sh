#!/usr/bin/env bash
# wordcount agrees with `cat FILES | LC_ALL=C wc -w`, whatever the text, whoever crashes.
set -euo pipefail
guest=$PANDO_BUILD_DIR/share/examples/wordcount.wasm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
any_byte=()
[ "$(printf '\001' | LC_ALL=C wc -w)" -eq 0 ] || any_byte=(--any-byte)

fail() { echo "FAIL $*"; failures=$((failures + 1)); }

# count NAME OPTION... -- FILE...: the words of the files, beside those of wc.
count() {
    local name=$1 status=0 expected counted
    local -a options=()
    shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    expected=$(cat -- "$@" | LC_ALL=C wc -w)
    timeout 400 "$PANDO" run --dir "$work" --dir /usr/share/common-licenses "$guest" "${any_byte[@]}" \
        "${options[@]}" -- "$@" >"$work/out" 2>"$work/err" || status=$?
    counted=$(sed -n 's/^added up by reducers: //p' "$work/out")
    if [ "$status" -ne 0 ] || [ "$counted" != "$expected" ]; then
        fail "$name: exit code $status, counted '$counted', wc says $expected"
        tail -n 5 "$work/err"
    else
        echo "ok $name: $counted"
    fi
}

# --- Texts -----------------------------------------------------------------------------------------

licences=()
for file in /usr/share/common-licenses/*; do
    if [ -f "$file" ] && [ ! -L "$file" ]; then licences+=("$file"); fi
done
printf 'one two three' >"$work/open1"
printf 'four five' >"$work/open2"
printf ' six \tseven\n' >"$work/closed"
: >"$work/empty"
printf ' \n\t \v\f\r   ' >"$work/blank"
head -c 300000 /dev/zero | tr '\0' x >"$work/huge"
printf 'a\001b \001 \002\003 \200\377 caf\303\251 \302\240 \0 x\0y\n' >"$work/odd"
head -c 2000000 "$PANDO" >"$work/binary"
mkdir "$work/tiny"
for i in $(seq 1500); do printf '%s' "$i" >"$work/tiny/open$i"; printf ' %s' "$i" >"$work/tiny/word$i"; done

count licences -- "${licences[@]}"
# "killed" is said when its successor's greeting came before the notice of its death, which has the reason.
grep -qE 'mapper\.[0-9]+ \(process [0-9]+\) died: (failure|killed); chunk [0-9]+ goes back' "$work/err" ||
    { fail "no mapper crashed:"; cat "$work/err"; }
grep -q 'mapper\.[0-9]* was restarted as process' "$work/err" || fail "no mapper was restarted"
count 'two crashes' --crash-reducer -- "${licences[@]}"
grep -q 'reducer\.0 was restarted as process' "$work/err" || fail "no reducer was restarted"
count 'no crash' --no-crash -- "${licences[@]}"
! grep -q died "$work/err" || fail "somebody died without being asked to"
count 'one mapper, one reducer' --mappers 1 --reducers 1 --crash-reducer -- "${licences[@]}"
count 'many of each, small chunks' --mappers 16 --reducers 8 --chunk 777 --crash-reducer -- \
    "${licences[@]}"
count 'words over file boundaries' -- "$work/open1" "$work/open2" "$work/empty" "$work/open1" \
    "$work/closed" "$work/open2"
count 'chunks of one byte' --chunk 1 -- "$work/open1" "$work/open2" "$work/closed" "$work/odd"
count 'only an empty file' -- "$work/empty"
count 'only empty files, a reducer crashes' --crash-reducer -- "$work/empty" "$work/empty"
count 'only white space' -- "$work/blank" "$work/empty" "$work/blank"
count 'one huge word' --chunk 4096 -- "$work/huge"
count 'a huge word over files' --chunk 5000 -- "$work/open1" "$work/huge" "$work/empty" "$work/huge" \
    "$work/open2" "$work/blank" "$work/huge"
count 'odd bytes' -- "$work/odd" "$work/odd"
count 'binary' -- "$work/binary" "$work/odd" "$work/binary"
count 'binary, small chunks' --chunk 1000 --crash-reducer -- "$work/binary"
count 'many tiny files, one word' -- "$work"/tiny/open*
count 'many tiny files' --chunk 100 -- "$work"/tiny/*
for chunk in 2 3 5 7 11 4096; do
    count "chunks of $chunk" --chunk "$chunk" --no-crash -- "$work/closed" "$work/odd" "$work/open2" \
        "$work/blank" "$work/open1"
done

# --- The most frequent words, counted by other means --------------------------------------------------

printf 'The the (the) THE end. end a\nDon'"'"'t don'"'"'t -- ...\n' >"$work/top"
count 'top words' --top 5 --chunk 3 --crash-reducer -- "$work/top"
diff - <(sed -n '/^the most frequent/,/^different/p' "$work/out") <<'TEXT' || fail 'top words differ'
the most frequent words:
           4  the
           2  (without letters)
           2  don't
           2  end
           1  a
different words: 5
TEXT

# --- Killed by the operator, in the middle of work ------------------------------------------------------

export XDG_RUNTIME_DIR=$work/runtime
mkdir -m 700 "$XDG_RUNTIME_DIR"
# Slow enough for six of them: of some fifteen chunks each mapper waits before every one.
begun=$(date +%s%N)
"$PANDO" ps >/dev/null 2>&1 || true # as long as a kill takes
pace=$((100 + 3 * ($(date +%s%N) - begun) / 1000000))
status=0
"$PANDO" run --dir /usr/share/common-licenses "$guest" "${any_byte[@]}" --pace "$pace" -- "${licences[@]}" \
    >"$work/out" 2>"$work/err" &
run=$!
for victim in mapper.1 reducer.0 mapper.3 reducer.1 reducer.0 mapper.1; do
    # Between a death and the restart nobody has the name: try again.
    killed=no
    for _ in $(seq 300); do
        if "$PANDO" kill "$victim" >/dev/null 2>&1; then killed=yes; break; fi
        sleep 0.02
    done
    [ "$killed" = yes ] || fail "could not kill $victim"
done
wait "$run" || status=$?
if [ "$status" -eq 0 ] && [ "$(grep -c 'died: killed' "$work/err")" -ge 6 ] &&
    [ "$(sed -n 's/^added up by reducers: //p' "$work/out")" = "$(cat "${licences[@]}" | LC_ALL=C wc -w)" ]
then
    echo "ok six killed by the operator"
else
    fail "killed by the operator: exit code $status: $(grep died "$work/err"; tail -n 3 "$work/out")"
fi

# --- Mistakes ------------------------------------------------------------------------------------------

# refuse NAME TEXT ARGUMENT...: exit code 2, and TEXT on standard error.
refuse() {
    local name=$1 wanted=$2 status=0
    shift 2
    timeout 400 "$PANDO" run --dir "$work" "$guest" "$@" >"$work/out" 2>"$work/err" || status=$?
    if [ "$status" -ne 2 ] || ! grep -qF -- "$wanted" "$work/err"; then
        fail "$name: exit code $status: $(cat "$work/err")"
    else
        echo "ok $name: refused"
    fi
}
mkfifo "$work/pipe"
refuse 'a missing file' 'No such file' "$work/open1" "$work/missing"
refuse 'a directory' 'is a directory' "$work/tiny"
refuse 'a pipe' 'no regular file' "$work/pipe"
refuse 'a file elsewhere' '--dir' /usr/share/common-licenses/BSD
refuse 'no files' 'usage:'
refuse 'a store without a prefix' '--store wants a prefix' --store
refuse 'an unknown option' 'unknown option --nonsense' --nonsense "$work/open1"
refuse 'no number' '--mappers wants a number from 1' --mappers 0 "$work/open1"
refuse 'two mistakes, both told' "$work/missing2" "$work/missing1" "$work/missing2"

# --- Deterministic runs ----------------------------------------------------------------------------------

hash_of() {
    "$PANDO" run --seed "$1" --dir /usr/share/common-licenses "$guest" --crash-reducer -- \
        "${licences[@]}" 2>&1 >"$work/out" | sed -n 's/.*trace \([0-9a-f]*\).*/\1/p'
}
first=$(hash_of 5) second=$(hash_of 5) other=$(hash_of 6)
if [ -n "$first" ] && [ "$first" = "$second" ] && [ "$first" != "$other" ]; then
    echo "ok deterministic: $first"
else
    fail "deterministic: '$first', again '$second', another seed '$other'"
fi
[ "$(sed -n 's/^added up by reducers: //p' "$work/out")" = "$(cat "${licences[@]}" | LC_ALL=C wc -w)" ] ||
    fail "deterministic: wrong sum"

# --- make run, alone (with a cluster: e2e/make_run) --------------------------------------------------

status=0
ALONE=1 FILES="$work/open1 $work/tiny/word1*" "$PANDO_SOURCE_DIR/scripts/run.sh" >"$work/out" 2>"$work/err" ||
    status=$?
[ "$status" -eq 0 ] && grep -q '^Equal' "$work/out" && grep -q '^What to try next' "$work/out" ||
    fail "run.sh: exit code $status: $(cat "$work/out" "$work/err")"
grep -q '^100 %' "$work/err" || fail "run.sh: no plain lines of progress"
status=0
FILES="$work/missing $work/tiny" "$PANDO_SOURCE_DIR/scripts/run.sh" >"$work/out" 2>"$work/err" || status=$?
[ "$status" -eq 2 ] && [ "$(grep -c '^make run: ' "$work/err")" -eq 2 ] ||
    fail "run.sh with mistakes: exit code $status: $(cat "$work/err")"
if command -v script >/dev/null; then
    ALONE=1 FILES='' script -qec "$PANDO_SOURCE_DIR/scripts/run.sh" /dev/null >"$work/out" </dev/null ||
        fail "run.sh on a terminal: exit code $?"
    grep -qF '[########################################] 100 %' "$work/out" ||
        fail "run.sh on a terminal: no bar"
fi

exit $((failures > 0))
