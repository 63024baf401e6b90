#!/usr/bin/env bash
# Builds Wasmtime's C API from third_party/wasmtime/Cargo.lock and prints the folder that holds it:
# include/ and lib/libpando_wasmtime.a. Everything else goes to stderr.
#
# The result is kept in the user's cache, keyed by the lock file, the package and the compiler, so that
# a fresh clone does not build again. It appears there by one rename: what was interrupted is never
# used, but the next call goes on from where it stopped. PANDO_WASMTIME_DIR replaces all of this.
set -euo pipefail

if [ -n "${PANDO_WASMTIME_DIR:-}" ]; then
    printf '%s\n' "$PANDO_WASMTIME_DIR"
    exit 0
fi

package=$(cd "$(dirname "$0")/../third_party/wasmtime" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pando/wasmtime
readonly package cache keep_results=3
PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH" # rustup's before Debian's, which builds guests

say() { printf '%s\n' "$*" >&2; }

result_key() {
    {
        cat "$package/Cargo.lock" "$package/Cargo.toml" "$package/src/lib.rs"
        rustc -vV # version, commit and host triple
        printf '%s\n' "${RUSTFLAGS:-}"
    } | sha256sum | cut -c 1-32
}

# Shows "crates compiled N/M" from cargo's own lines: in place on a terminal, else every tenth and every
# half minute, because the last few crates take longest. The lines themselves go to the log.
show_progress() {
    local total=$1 log=$2 line name count=0 status
    while true; do
        status=0
        IFS= read -r -t 30 line || status=$?
        if [ "$status" -gt 128 ]; then
            [ -t 2 ] || say "  crates compiled $count/$total, $SECONDS s"
            continue
        fi
        [ "$status" -eq 0 ] || break
        printf '%s\n' "$line" >>"$log"
        case $line in
            *' Compiling '*)
                count=$((count + 1))
                [ "$count" -le "$total" ] || total=$count
                name=${line#*Compiling }
                if [ -t 2 ]; then
                    printf '\r\033[K  crates compiled %d/%d  %s' "$count" "$total" "${name%% *}" >&2
                elif [ $((count % 10)) -eq 0 ]; then
                    say "  crates compiled $count/$total"
                fi ;;
            *' Updating '* | *' Downloading '*) say "  ${line#"${line%%[! ]*}"}" ;;
        esac
    done
    [ ! -t 2 ] || printf '\n' >&2
}

# The headers of the C API, with conf.h as the crate's own CMake build would have written it.
install_headers() {
    local to=$1 source features
    source=$(cargo metadata --manifest-path "$package/Cargo.toml" --locked --format-version 1 \
        --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" |
        grep -o '"manifest_path":"[^"]*wasmtime-c-api-impl-[^"]*/Cargo.toml"' | sed -n 1p |
        sed 's/^"manifest_path":"//; s|/Cargo.toml"$||')
    cp -R "$source/include" "$to/include"
    features=$(sed -n '/^features = \[/,/^\]/s/^ *"\(.*\)",$/\1/p' "$package/Cargo.toml" |
        tr 'a-z-' 'A-Z_' | tr '\n' ' ')
    awk -v features="$features" '
        BEGIN { count = split(features, list, " ")
                for (i = 1; i <= count; i++) enabled["WASMTIME_FEATURE_" list[i]] = 1 }
        /^#cmakedefine / { print ($2 in enabled) ? "#define " $2 : "/* #undef " $2 " */"; next }
        { print }' "$to/include/wasmtime/conf.h.in" >"$to/include/wasmtime/conf.h"
    rm "$to/include/wasmtime/conf.h.in"
}

build() {
    local result=$1 work=$1.build total started=$SECONDS
    mkdir -p "$work"
    say "Building Wasmtime's C API: once, about four minutes on two cores (log: $work/log)"
    : >"$work/log"
    total=$(cargo tree --manifest-path "$package/Cargo.toml" --locked --prefix none \
        -e normal,build 2>>"$work/log" | sed 's/ (\*)$//; s/ (proc-macro)$//' | sort -u | wc -l)
    if ! cargo build --manifest-path "$package/Cargo.toml" --locked --release --color never \
        --target-dir "$work/target" 2>&1 | show_progress "$total" "$work/log"; then
        tail -n 30 "$work/log" >&2
        say "Wasmtime did not build; the lines above are from $work/log"
        exit 1
    fi
    rm -rf "$work/out"
    mkdir -p "$work/out/lib"
    cp "$work/target/release/libpando_wasmtime.a" "$work/out/lib/"
    install_headers "$work/out"
    mv -T "$work/out" "$result"
    rm -rf "$work"
    say "Wasmtime's C API is built, in $((SECONDS - started)) s: $result"
}

result=$cache/$(result_key)
if [ ! -d "$result" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock -n 9 || { say "Another build of Wasmtime is running; waiting for it"; flock 9; }
    if [ ! -d "$result" ]; then
        build "$result"
        # Results of older lock files and compilers: the newest few stay, for switching branches.
        find "$cache" -mindepth 1 -maxdepth 1 -type d ! -path "$result" -printf '%T@ %p\n' |
            sort -rn | tail -n "+$keep_results" | cut -d ' ' -f 2- | xargs -r -d '\n' rm -rf
    fi
fi
printf '%s\n' "$result"
