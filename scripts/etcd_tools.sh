#!/usr/bin/env bash
# Builds etcd's own programs and the Go clients of tests/etcd, with the versions of its go.mod, and prints the folder that
# holds them. Everything else goes to stderr.
#
#   scripts/etcd_tools.sh NAME...     names: etcdctl, etcd, benchmark (etcd's), or a folder of tests/etcd with a program
#
# They are kept in the user's cache, keyed by the modules' and Go's versions; each appears there by one rename. Our own are
# always built anew, which Go's own cache makes quick. Ends with 77 when there is no Go that can build them.
set -euo pipefail

package=$(cd "$(dirname "$0")/../tests/etcd" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pando/etcd
readonly package cache keep_results=3

say() { printf '%s\n' "$*" >&2; }

if ! version=$(cd "$package" && go version 2>/dev/null); then
    say "no Go that can build tests/etcd (its go.mod names the version)"
    exit 77
fi

key=$({
    printf '%s\n' "$version"
    cat "$package/go.mod" "$package/go.sum"
} | sha256sum | cut -c 1-32)
folder=$cache/$key

build() {
    local name=$1 from=./$1
    case $name in
        etcdctl) from=go.etcd.io/etcd/etcdctl/v3 ;;
        etcd) from=go.etcd.io/etcd/server/v3 ;;
        benchmark) from=go.etcd.io/etcd/v3/tools/benchmark ;;
    esac
    if [ "$from" != "./$name" ]; then
        [ ! -x "$folder/$name" ] || return 0
        say "Building $name with $version: a few minutes, once"
    fi
    (cd "$package" && CGO_ENABLED=0 go build -mod=readonly -o "$folder/.$name.$$" "$from") >&2
    mv "$folder/.$name.$$" "$folder/$name"
}

mkdir -p "$folder"
for name in "$@"; do
    build "$name"
done
touch "$folder"
# Older results, but for the newest few.
find "$cache" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +$((keep_results + 1)) |
    cut -d ' ' -f 2- | xargs -r rm -rf
printf '%s\n' "$folder"
