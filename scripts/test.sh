#!/usr/bin/env bash
# scripts/test.sh PRESET JOBS: runs the tests of a build, JOBS at a time, and counts them one by one.
#
# A cmocka program counts once for each of its tests, anything else once. Skipped tests print
# "SKIP name: reason". The last line, alone, is "N passed, N failed" and, if any, ", N skipped".
set -euo pipefail
cd "$(dirname "$0")/.."
case $1 in
    release) build=build ;;
    *) build=build-$1 ;;
esac

jobs=$2
junit=$build/tests.xml
rm -f "$junit"
ctest --test-dir "$build" -j "$jobs" --output-on-failure --no-tests=ignore --output-junit "$PWD/$junit" || true

log=$build/Testing/Temporary/LastTest.log
if [ ! -s "$junit" ]; then
    echo "ctest left no result in $junit" >&2
    echo "0 passed, 1 failed"
    exit 1
fi
awk -f scripts/count_tests.awk "$junit" "$log"
