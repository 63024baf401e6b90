#!/usr/bin/env bash
# bench/actors/run.sh [--quick] [--rows LIST] [--rounds N] [--json FILE] [--install-lunatic] ...
#
# Builds what the actor benchmark needs, then measures Pando, bare Wasmtime, Erlang/OTP and Lunatic side by
# side and prints one table. A peer that is not there costs its column, and the table says so.
#
#   PANDO_BUILD_DIR   the build to use (default: build, made with the preset `release`)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${PANDO_BUILD_DIR:-$root/build}
lunatic_version=0.13.2
lunatic_root=${XDG_CACHE_HOME:-$HOME/.cache}/pando/lunatic-$lunatic_version

command -v python3 > /dev/null || {
    echo "bench-actors needs python3: apt-get install python3" >&2
    exit 1
}

arguments=()
for argument in "$@"; do
    if [[ $argument != --install-lunatic ]]; then
        arguments+=("$argument")
    elif [[ ! -x $lunatic_root/bin/lunatic ]]; then
        echo "Building Lunatic $lunatic_version into $lunatic_root: about six minutes on two cores"
        cargo install lunatic-runtime --version "$lunatic_version" --root "$lunatic_root"
    fi
done

if [[ ! -f $build/CMakeCache.txt ]]; then
    (cd "$root" && cmake --preset release -B "$build" > /dev/null)
fi
targets=(bench-actors-programs)
if cmake --build "$build" --target help | grep '^pando:' >/dev/null; then
    targets+=(pando)
fi
# Ninja lists every target; only failures are worth reading here.
log=$build/bench-actors-build.log
cmake --build "$build" --target "${targets[@]}" > "$log" 2>&1 || {
    tail -n 30 "$log" >&2
    echo "bench-actors: the build failed; all of it is in $log" >&2
    exit 1
}

exec env PATH="$PATH:$lunatic_root/bin" python3 "$here/run.py" --build "$build" \
    ${arguments[@]+"${arguments[@]}"}
