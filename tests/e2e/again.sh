#!/usr/bin/env bash
# scripts/test.sh with programs that are known: what fails once is run again and told, what crashes or is wrong is not
# forgiven, and each is counted once.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"

tree=$work/tree
mkdir "$tree"
# program NAME TEXT: a test of the tree. In the text $1 is a file that no run has made yet.
program() {
    local file=$tree/${1//\//-}
    echo "$2" >"$file.sh"
    printf 'add_test("%s" "bash" "%s" "%s")\n' "$1" "$file.sh" "$file.ran" >>"$tree/CTestTestfile.cmake"
}
# counts CODE LINE: scripts/test.sh must end so, and print this line at last.
counts() {
    local code=0
    shown="scripts/test.sh of $(grep -c add_test "$tree/CTestTestfile.cmake") programs"
    PANDO_TEST_TREE=$tree "$PANDO_SOURCE_DIR/scripts/test.sh" release 2 >"$out" 2>&1 || code=$?
    [ "$code" -eq "$1" ] && [ "$(tail -n 1 "$out")" = "$2" ] || fail "$shown: ended with $code: $(cat "$out")"
}
again() { : >"$tree/CTestTestfile.cmake" && rm -f "$tree"/*.ran; }

again
program good 'true'
program cmocka/two 'echo "[       OK ] one"; echo "[       OK ] two"'
program skips 'echo "SKIP skips: nothing is here"; exit 77'
sed -i '$a set_tests_properties(skips PROPERTIES SKIP_RETURN_CODE 77)' "$tree/CTestTestfile.cmake"
counts 0 "3 passed, 0 failed, 1 skipped"

program e2e/once '[ -e "$1" ] || { : >"$1"; echo "[       OK ] one"; echo "[  FAILED  ] two"; exit 1; }; echo "[       OK ] one"; echo "[       OK ] two"'
counts 0 "5 passed, 0 failed, 1 skipped"
printed "UNSTABLE e2e/once"
PANDO_TEST_AGAIN=0
export PANDO_TEST_AGAIN
rm -f "$tree"/*.ran
counts 1 "4 passed, 1 failed, 1 skipped"
unset PANDO_TEST_AGAIN

again
program good 'true'
program wrong 'exit 1'
program thrice 'echo x >>"$1"; [ "$(wc -l <"$1")" -eq 2 ]' # it passes one time of three
counts 1 "1 passed, 2 failed"
! grep -c UNSTABLE "$out" >/dev/null || fail "$shown: forgave what failed twice: $(cat "$out")"

again
program good 'true'
program crash '[ -e "$1" ] || { : >"$1"; kill -SEGV $$; }'
program asan '[ -e "$1" ] || { : >"$1"; echo "==1==ERROR: AddressSanitizer: heap-use-after-free"; exit 1; }'
program tsan '[ -e "$1" ] || { : >"$1"; echo "WARNING: ThreadSanitizer: data race (pid=1)"; exit 66; }'
counts 1 "1 passed, 3 failed"
printed "asan is not run again"
printed "tsan is not run again"
printed "crash is not run again"


# The words that Pando itself, cmocka and a node's end have for it.
again
program bug '[ -e "$1" ] || { : >"$1"; echo "pando: bug: assertion failed: x > 0 (file.c:1)"; exit 1; }'
program fault '[ -e "$1" ] || { : >"$1"; echo "Test failed with exception: Segmentation fault(11)"; exit 1; }'
program race '[ -e "$1" ] || { : >"$1"; echo "FAIL pando start: exit code 66 instead of 0"; exit 1; }'
counts 1 "0 passed, 3 failed"
for name in bug fault race; do printed "$name is not run again"; done

again
for number in 1 2 3 4; do program "many/$number" '[ -e "$1" ] || { : >"$1"; exit 1; }'; done
counts 1 "0 passed, 4 failed"
finish
