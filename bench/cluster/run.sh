#!/usr/bin/env bash
# bench/cluster/run.sh [--rounds N] [--keys N] [--kills N] [--only one,floor,three,raw,keys,failover,harm] ...
#
# Builds etcd and its own `benchmark` into the user's cache, and measures Pando beside it with that. What the nodes write
# lies in the build's folder, unless --folder names another one: a folder in memory would measure nothing.
#
#   PANDO_BUILD_DIR   the build to use (default: build, made with the preset `release`)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${PANDO_BUILD_DIR:-$root/build}

command -v python3 >/dev/null || {
    echo "bench-cluster needs python3: apt-get install python3" >&2
    exit 1
}
tools=$("$root/scripts/etcd_tools.sh" etcd benchmark) || {
    echo "bench-cluster needs a Go that can build etcd $(sed -n 's|.*go.etcd.io/etcd/server/v3 v||p' "$root/tests/etcd/go.mod" | sed -n 1p | cut -d ' ' -f 1)" >&2
    exit 1
}
log=$build/bench-cluster-build.log
cmake --build "$build" --target gateway-floor raw-limits >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    exit 1
}
exec python3 "$here/run.py" --pando "$build/bin/pando" --etcd "$tools/etcd" --benchmark "$tools/benchmark" --floor "$build/bin/gateway-floor" \
    --limits "$build/bin/raw-limits" --folder "$build" \
    --guest "$build/tests/guests/burden.wasm" "$@"
