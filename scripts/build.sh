#!/usr/bin/env bash
# scripts/build.sh PRESET JOBS: configures and builds one preset, quietly unless something fails.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1 jobs=$2
case $preset in
    release) folder=build ;;
    *) folder=build-$preset ;;
esac

# Before cmake, which would ask for it too: here its progress reaches the terminal.
scripts/wasmtime.sh >/dev/null

mkdir -p "$folder"
log=$folder/configure.log
if ! cmake --preset "$preset" -DPANDO_WASMTIME_DIR="${PANDO_WASMTIME_DIR:-}" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "Configuring '$preset' failed; all of it is in $log" >&2
    exit 1
fi

if [ -t 1 ]; then
    cmake --build "$folder" -j "$jobs"
else
    # Without a terminal ninja's lines would bury what the caller wants to read.
    log=$folder/build.log
    if ! cmake --build "$folder" -j "$jobs" >"$log" 2>&1; then
        grep -vE '^\[[0-9]+/[0-9]+\] ' "$log" | sed -n 1,100p >&2
        echo "Building '$preset' failed; all of it is in $log" >&2
        exit 1
    fi
    echo "Built $folder: $(tail -n 1 "$log")"
fi
