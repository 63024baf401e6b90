#!/usr/bin/env bash
# Installs etcd's client for Python from PyPI, with the versions and hashes of tests/etcd/python_requirements.txt, and
# prints the Python that has it. Everything else goes to stderr.
#
# It is kept in the user's cache, keyed by what it was made of, and appears there by one rename. Ends with 77 when there is
# no Python that the pinned packages are for, or none that can make an environment (Debian: python3-venv).
set -euo pipefail

requirements=$(cd "$(dirname "$0")/.." && pwd)/tests/etcd/python_requirements.txt
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pando/etcd-python
readonly requirements cache

if ! version=$(python3 -c 'import ensurepip, platform, sys, venv
assert (3, 11) <= sys.version_info[:2] <= (3, 13) and platform.machine() in ("x86_64", "aarch64")
print(sys.version, sys.executable, platform.machine())' 2>/dev/null); then
    echo "no Python 3.11 to 3.13 with venv" >&2
    exit 77
fi
key=$({
    printf '%s\n' "$version"
    cat "$requirements"
} | sha256sum | cut -c 1-32)
folder=$cache/$key

if [ ! -x "$folder/bin/python" ]; then
    echo "Installing etcd's Python client: half a minute, once" >&2
    mkdir -p "$cache"
    made=$cache/.$key.$$
    trap 'rm -rf "$made"' EXIT
    python3 -m venv "$made" >&2
    # What builds the source package comes first, since its own download would not be looked at.
    install=("$made/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes)
    awk '/^(setuptools|wheel)==/ { wanted = 1 } /^[a-z#]/ && !/^(setuptools|wheel)==/ { wanted = 0 } wanted' \
        "$requirements" >"$made/build.txt"
    "${install[@]}" -r "$made/build.txt" >&2
    "${install[@]}" --no-build-isolation -r "$requirements" >&2
    mv -T "$made" "$folder" 2>/dev/null || [ -x "$folder/bin/python" ] # another one was quicker
fi
printf '%s\n' "$folder/bin/python"
