#!/usr/bin/env bash
# scripts/test.sh PRESET JOBS: runs the tests of a build, JOBS at a time, and counts them one by one.
#
# A cmocka program counts once for each of its tests, anything else once. Skipped tests print
# "SKIP name: reason". A program that fails is run again, alone, and passes only when it does so twice;
# then it is told as "UNSTABLE name" (ADR 24). The last line, alone, is "N passed, N failed" and, if
# any, ", N skipped".
#
#   PANDO_TEST_TREE   the folder with the tests, instead of the preset's
#   PANDO_TEST_AGAIN  how many failing programs may be run again (3; 0: none)
set -euo pipefail
cd "$(dirname "$0")/.."
case $1 in
    release) build=build ;;
    *) build=build-$1 ;;
esac
build=$(realpath "${PANDO_TEST_TREE:-$build}")
jobs=$2
again_max=${PANDO_TEST_AGAIN:-3}

# What no load explains is never tried again: an end by a signal, which ctest names, an assertion, a word of a sanitizer.
certain='Sanitizer: |runtime error: |[Aa]ssertion (.* )?failed|Test failed with exception|exit code (66|134|139)'

# run NAME OPTION...: its result in $build/NAME.xml, its log in $build/NAME.log, what was shown in $build/NAME.out.
run() {
    local name=$build/$1
    shift
    rm -f "$name.xml" "$name.log"
    ctest --test-dir "$build" --output-on-failure --no-tests=ignore --output-junit "$name.xml" "$@" 2>&1 |
        tee "$name.out" || true
    cp "$build/Testing/Temporary/LastTest.log" "$name.log" 2>/dev/null || true
}

# part_of NAME: what a program printed in the first run.
part_of() {
    awk -v name="$1" '/^[0-9]+\/[0-9]+ Testing: / { inside = $0 ~ (": " name "$") } inside' "$build/tests.log"
}

run tests -j "$jobs"
if [ ! -s "$build/tests.xml" ] || [ ! -s "$build/tests.log" ]; then
    echo "ctest left no result in $build/tests.xml" >&2
    echo "0 passed, 1 failed"
    exit 1
fi

# "<tab>  4 - e2e/cluster (Failed)"; in the parentheses "Timeout", or a signal
mapfile -t failed < <(sed -n '/^The following tests FAILED:/,$ s/^\t *[0-9]* - \([^ ]*\) (\(.*\))$/\1 \2/p' "$build/tests.out")
results=("$build/tests.xml")
logs=("$build/tests.log")
if [ "${#failed[@]}" -gt 0 ] && [ "${#failed[@]}" -le "$again_max" ]; then
    for line in "${failed[@]}"; do
        name=${line%% *} how=${line#* }
        if [[ $how != Failed && $how != Timeout ]] || part_of "$name" | grep -cE "$certain" >/dev/null; then
            echo "$name is not run again: it crashed, or a sanitizer spoke"
            continue
        fi
        echo "$name failed; again, alone, twice:"
        file=again-${name//\//-}
        run "$file" -R "^$name\$" --repeat until-fail:2
        results+=("$build/$file.xml")
        logs+=("$build/$file.log")
        if grep -c 'status="run"' "$build/$file.xml" >/dev/null; then
            echo "UNSTABLE $name: it failed beside other tests and passed twice alone"
        fi
    done
fi
cat "${results[@]}" >"$build/all.xml"
cat "${logs[@]}" >"$build/all.log"
awk -f scripts/count_tests.awk "$build/all.xml" "$build/all.log"
