#!/usr/bin/env bash
# Makes sure that what the build needs is there: Debian packages and a Rust toolchain.
#
#   scripts/deps.sh GROUP...     groups: build, test, tidy, prove, bench, package
#
# Missing packages are listed, then installed as root or through sudo. Without either, the exact
# command is printed and the script ends with 1. Takes a fraction of a second when nothing is missing.
set -euo pipefail

# The Rust that Wasmtime's lock file was made with; older ones are refused by its crates.
readonly rust_min_major=1 rust_min_minor=95

packages_of() {
    case $1 in
        # wasi-libc, lld and the wasm32 runtime build guests; libclang-rt carries the sanitizers.
        build) echo cmake ninja-build pkg-config libyaml-dev libjansson-dev \
            nettle-dev libuv1-dev libc-ares-dev libnghttp2-dev libhttp-parser-dev libprotobuf-c-dev protobuf-c-compiler \
            librocksdb-dev libgnutls28-dev libngtcp2-dev libngtcp2-crypto-gnutls-dev \
            libjemalloc-dev libsqlite3-dev libcmocka-dev clang lld wasi-libc libclang-rt-14-dev-wasm32 wabt ;;
        # rustc and cargo build Rust guests, with the library for wasm32; Wasmtime takes the newer Rust below.
        test) echo libclang-rt-14-dev python3 python3-venv curl openssl mandoc zsh etcd-client \
            cargo rustc libstd-rust-dev-wasm32 ;;
        tidy) echo clang-tidy clang-format gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
            libclang-rt-14-dev python3 ;;
        prove) echo frama-c-base why3 z3 cvc4 python3 ;;
        bench) echo erlang-base python3 wrk ;;
        package) echo dpkg-dev file ;;
        *) echo "deps.sh: no such group '$1'; build, test, tidy, prove, bench or package" >&2; exit 2 ;;
    esac
}

install_packages() {
    local command="apt-get update && apt-get install -y --no-install-recommends $*"
    local -a as_root=()
    echo "Missing Debian packages: $*"
    if [ "$(id -u)" -ne 0 ]; then
        # Without a terminal nobody can type a password.
        local -a ask=(); [ -t 0 ] || ask=(-n)
        if ! command -v sudo >/dev/null || ! sudo "${ask[@]}" true; then
            printf 'Install them as root, then try again:\n  %s\n' "$command" >&2
            exit 1
        fi
        as_root=(sudo "${ask[@]}" env)
    fi
    echo "Installing them: $command"
    export DEBIAN_FRONTEND=noninteractive
    if ! { "${as_root[@]}" apt-get update -q &&
           "${as_root[@]}" apt-get install -y -q --no-install-recommends "$@"; }; then
        printf 'apt-get failed. Install them as root, then try again:\n  %s\n' "$command" >&2
        exit 1
    fi
}

check_packages() {
    local -a wanted=() missing=()
    local group name
    for group in "$@"; do
        for name in $(packages_of "$group"); do wanted+=("$name"); done
    done
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "Not a Debian system: make sure that these are installed: ${wanted[*]}" >&2
        return
    fi
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "${wanted[@]}" 2>/dev/null |
        sed -n 's/^ii //p') || true
    for name in "${wanted[@]}"; do
        grep -qxF -- "$name" <<<"$installed" || missing+=("$name")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
        install_packages "${missing[@]}"
    fi
}

check_rust() {
    if [ -n "${PANDO_WASMTIME_DIR:-}" ]; then
        return # a released C API needs no Rust
    fi
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH" # rustup's before Debian's, which builds guests
    local found version major minor
    if ! found=$(cargo --version 2>/dev/null); then
        cat >&2 <<MESSAGE
No Rust toolchain: 'cargo' is not in PATH. Wasmtime is built from source, with Rust $rust_min_major.$rust_min_minor or newer.
Install it from https://rustup.rs, or set PANDO_WASMTIME_DIR to an unpacked wasmtime-*-c-api release.
MESSAGE
        exit 1
    fi
    version=${found#cargo }
    major=${version%%.*}
    minor=${version#*.}; minor=${minor%%.*}
    if [ "$major" -lt "$rust_min_major" ] ||
       { [ "$major" -eq "$rust_min_major" ] && [ "$minor" -lt "$rust_min_minor" ]; }; then
        cat >&2 <<MESSAGE
Rust is too old: $found; Wasmtime needs $rust_min_major.$rust_min_minor or newer.
Update it with 'rustup update stable', or set PANDO_WASMTIME_DIR to an unpacked wasmtime-*-c-api release.
MESSAGE
        exit 1
    fi
}

check_packages "${@:-build}"
check_rust
