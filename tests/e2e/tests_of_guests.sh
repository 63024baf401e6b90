#!/usr/bin/env bash
# pando test: which tests run, what is told, exit codes; and pando run as cargo's runner.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
own=$guests/tests_own.wasm
cd "$work"

# Told in any order, so sorted.
sorted_is() {
    [ "$(grep '^test ' "$out" | grep -v '^test result' | LC_ALL=C sort)" = "$1" ] || {
        fail "$shown: told"; cat "$out" "$err"; }
}
result_is() { printed "test result: $1; 0 measured; $2 filtered out; finished in "; }

runs 0 test "$own"
printed 'running 10 tests'
sorted_is 'test own::alone ... ok
test own::alone_too ... ok
test own::dies - should panic ... ok
test own::fails ... ignored
test own::for_ever ... ignored
test own::leaves_a_child ... ok
test own::lives_on - should panic ... ignored
test own::panics - should panic ... ok
test own::panics_otherwise - should panic ... ignored
test own::traps_instead - should panic ... ignored'
result_is 'ok. 5 passed; 0 failed; 5 ignored' 0
! grep -q 'said by a test' "$out" || fail 'the output of a passed test was shown'

# What fails is shown with what it wrote and why.
runs 1 test "$own" --ignored --skip for_ever
result_is 'FAILED. 0 passed; 4 failed; 0 ignored' 6
printed '---- own::fails stdout ----'
printed "thread 'main' panicked at 'only #1 is left', src/a.rs:1:2"
printed 'note: test did not panic as expected'
printed 'expected substring: `only 2`'
printed 'note: a panic with `only 2` was expected, but the test ended by failure'
grep -A4 '^failures:$' "$out" | grep -x '    own::fails' >/dev/null || fail 'the list of failures is missing'

runs 0 test "$own" alone --test-threads 1 --show-output
result_is 'ok. 2 passed; 0 failed; 0 ignored' 8
printed '---- own::alone_too stdout ----'
printed 'said by a test'
runs 0 test "$own" --exact own::alone --nocapture
result_is 'ok. 1 passed; 0 failed; 0 ignored' 9
said 'said by a test'
runs 1 test --include-ignored "$own" own::fails own::dies
result_is 'FAILED. 1 passed; 1 failed; 0 ignored' 8
runs 0 test "$own" --quiet --color always alone
grep -q '\.' "$out" || fail 'quiet tells nothing'
runs 0 test "$own" nothing
result_is 'ok. 0 passed; 0 failed; 0 ignored' 10
runs 0 test "$own" --list --format terse alone
output_is 'own::alone: test
own::alone_too: test'
runs 0 test "$own" --list --exact own::dies
output_is 'own::dies: test

1 test, 0 benchmarks'

# Words that are wrong, files that are none.
for words in '' "$own --unknown" "$own --test-threads 0" "$own --format json" "$own --skip"; do
    # shellcheck disable=SC2086 # several words
    runs 2 test $words
done
runs 1 test missing.wasm
said 'missing.wasm: cannot open'

# A test that never ends is given up at the first interrupt.
start_pando test "$own" --exact own::for_ever --ignored
wait_for_text 'running 1 test'
kill -INT "$started"
wait_for_end 130

# cargo's runner: a file among the deps of a target runs as tests, others run as programs.
for target in wasm32-wasi wasm32-wasip1 wasm32-unknown-unknown; do
    mkdir -p "target/$target/debug/deps"
    cp "$own" "target/$target/debug/deps/own-12ab.wasm"
    cp "$own" "target/$target/debug/own.wasm"
    CARGO_MANIFEST_DIR=$work runs 0 run "target/$target/debug/deps/own-12ab.wasm" alone --quiet
    result_is 'ok. 2 passed; 0 failed; 0 ignored' 8
    CARGO_MANIFEST_DIR=$work runs 0 run "$work/target/$target/debug/own.wasm" alone
    said 'said by a test'
done
runs 0 run target/wasm32-wasi/debug/deps/own-12ab.wasm
said 'said by a test'
CARGO_MANIFEST_DIR=$work runs 0 run target/wasm32-wasi/debug/deps/own-12ab.wasm --bench
said 'said by a test'

# By the name of lunatic, with its arguments: the environment and the current directory are there.
ln -s "$PANDO" lunatic
PANDO=$work/lunatic
runs 0 run "$own" a b
said 'said by a test'
runs 0 "$own"
said 'said by a test'
runs 0 run --bench --dir / "$own"
said 'said by a test'
CARGO_MANIFEST_DIR=$work runs 0 target/wasm32-wasi/debug/deps/own-12ab.wasm alone
result_is 'ok. 2 passed; 0 failed; 0 ignored' 8
runs 2 deploy
said 'lunatic deploy'

finish
