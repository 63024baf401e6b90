#!/usr/bin/env bash
# bench/store/run.sh [--seconds S] [--keys N] [--only SECTION] ...: builds store-bench and runs it. The files it measures
# with lie in the build's folder, unless --folder names another one: a folder in memory would measure nothing.
#
#   PANDO_BUILD_DIR   the build to use (default: build, made with the preset `release`)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${PANDO_BUILD_DIR:-$root/build}
log=$build/bench-store-build.log
cmake --build "$build" --target store-bench >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    echo "bench-store: the build failed; all of it is in $log" >&2
    exit 1
}
exec "$build/bin/store-bench" --folder "$build" "$@"
