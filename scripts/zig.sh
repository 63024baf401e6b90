#!/usr/bin/env bash
# Brings Zig, from PyPI's `ziglang` with the versions and hashes of tests/e2e/languages/zig_requirements.txt, and prints the
# folder that has the command `zig`. Everything else goes to stderr.
#
#   PANDO_ZIG_VERSION   one of that file instead of its first
#
# It is kept in the user's cache (80 MB to fetch, 340 to 410 MB on disk), keyed by its hashes, and appears there by one
# rename. Ends with 77 when there is no wheel for this machine, no Python that can make an environment (Debian:
# python3-venv), or when PyPI cannot be reached; the last line on stderr says which. A wheel with another hash is an error.
set -euo pipefail

requirements=$(cd "$(dirname "$0")/.." && pwd)/tests/e2e/languages/zig_requirements.txt
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pando/zig
readonly requirements cache fetch_limit_s=400

version=${PANDO_ZIG_VERSION:-$(sed -n 's/^ziglang==\([^ ]*\).*/\1/p;T;q' "$requirements")}
wanted=$(awk -v name="ziglang==$version" '/^[a-z#]/ { inside = $1 == name } inside' "$requirements")
if [ -z "$wanted" ]; then
    echo "zig.sh: $requirements has no ziglang==$version" >&2
    exit 1
fi
case $(uname -sm) in
    'Linux x86_64' | 'Linux aarch64') ;;
    *)
        echo "no wheel of ziglang is pinned for $(uname -sm)" >&2
        exit 77
        ;;
esac
folder=$cache/$version-$(uname -m)-$(sha256sum <<<"$wanted" | cut -c 1-16)

# Under a lock: several tests begin at once, and what one that was killed had begun is in the way of nobody.
install() {
    local made=$cache/.made log=$cache/.log code=0
    rm -rf "$made"
    echo "Fetching Zig $version from PyPI: 80 MB, once" >&2
    if ! python3 -m venv "$made/python" >"$log" 2>&1; then
        cat "$log" >&2
        echo "no Python with venv" >&2
        exit 77
    fi
    printf '%s\n' "$wanted" >"$made/requirements.txt"
    timeout -k 5 "$fetch_limit_s" "$made/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --timeout 20 --retries 2 --no-deps --only-binary :all: --require-hashes --target "$made/zig" -r "$made/requirements.txt" \
        >"$log" 2>&1 || code=$?
    if [ "$code" -ne 0 ]; then
        cat "$log" >&2
        # What pip says when nobody answers; it goes on to say that there is no such version.
        if [ "$code" -eq 124 ] || grep -E 'Retrying|[Cc]onnection|timed out|[Nn]ame resolution' "$log" >/dev/null; then
            echo "PyPI cannot be reached" >&2
            exit 77
        fi
        exit 1
    fi
    mv -T "$made/zig" "$folder"
    rm -rf "$made" "$log"
}

if [ ! -x "$folder/ziglang/zig" ]; then
    mkdir -p "$cache"
    exec {lock}>"$cache/.lock"
    flock "$lock"
    [ -x "$folder/ziglang/zig" ] || (trap 'rm -rf "$cache/.made" "$cache/.log"' EXIT; install)
fi
printf '%s\n' "$folder/ziglang"
