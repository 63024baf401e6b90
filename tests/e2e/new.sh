#!/usr/bin/env bash
# `pando new`: names and folders that it refuses; then each language's project, written far from the source tree, built
# and run by the very commands that it prints. A language whose tools are missing has a SKIP line of its own.
# shellcheck source=tests/e2e/lib.sh
user_cache=${XDG_CACHE_HOME-}
. "$(dirname "$0")/lib.sh"
if [ -n "$user_cache" ]; then export XDG_CACHE_HOME=$user_cache; else unset XDG_CACHE_HOME; fi # large modules: keep their code
ln -s "$PANDO" "$work/pando"
export PATH=$work:$PATH
mkdir "$work/projects"
cd "$work/projects"

# --- What it refuses -------------------------------------------------------------------------------
runs 2 new hello
said '--lang is missing'
runs 2 new --lang c
said 'NAME is missing'
runs 2 new --lang cobol hello
said '--lang takes c, rust, go, assemblyscript or zig'
runs 2 new --lang c 'My App'
said "Did you mean 'my-app'?"
for name in '' 9lives -- ../up a/b . hello. "$(printf '%065d' 0 | tr 0 a)" $'a\nb'; do
    runs 2 new --lang c -- "$name"
    said "letter"
done
for name in pando test while self; do
    runs 2 new --lang c "$name"
    said "'$name' has a meaning of its own"
    said "$name-guest"
done
echo mine >taken
mkdir full && echo mine >full/file
ln -s nowhere dangling
for name in taken full dangling; do
    runs 1 new --lang c "$name"
    said "'$name' is here already"
done
[ "$(cat taken full/file)" = $'mine\nmine' ] && [ ! -e nowhere ] || fail "pando new: touched what was there"
rm -r taken full dangling

# What cannot be written leaves nothing behind: files of one KiB at most fit, the SDK's do not.
shown='pando new under a limit of file sizes'
(trap '' XFSZ; ulimit -f 1; runs 1 new --lang c limited; said "cannot write 'limited/"; said 'nothing of it was kept'; exit "$failures") ||
    fail "$shown"
[ -z "$(ls -A)" ] || fail "$shown: left $(find . -mindepth 1 | sed -n 1,5p)"

# --- Each language ----------------------------------------------------------------------------------
# project LANGUAGE NAME: write it and do what is printed. A name with '-' in it, since languages differ about that.
project() {
    local language=$1 name=$2 code=0
    runs 0 new --lang "$language" "$name"
    printed "$name/ is a guest in"
    printed "  cd $name"
    [ -s "$name/README.md" ] && [ -d "$name/pando" ] && [ ! -e "$name/NEXT" ] || fail "$shown: did not write $(ls -A "$name")"
    ! grep -rqE '@(NAME|IDENTIFIER)@' "$name" --exclude-dir=pando || fail "$shown: left a name unfilled"
    sed -n 's/^  //p' "$out" >"$work/next"
    shown="what pando new --lang $language printed"
    # As a terminal would: one command after the other.
    timeout -k 5 600 bash -euo pipefail "$work/next" >"$out" 2>"$err" </dev/null || code=$?
    [ "$code" -eq 0 ] || { fail "$shown: exit code $code"; tail -n 25 "$out" "$err"; }
    [ "$(tail -n 1 "$out")" = "hello from $name: 20 + 22 = 42" ] || { fail "$shown: printed"; tail -n 5 "$out" "$err"; }
}
has_template() { [ -d "$PANDO_SOURCE_DIR/sdk/$1/template" ]; }

project c my-c_guest2
cmp -s my-c_guest2/pando/include/pando/kv.h "$PANDO_SOURCE_DIR/sdk/c/include/pando/kv.h" || fail "the SDK was not copied as it is"

# Where the language's tools are not, it tells how to get them; where they are, nothing.
runs_with_tools() { # LANGUAGE TOOL...
    rm -rf "$work/tools" "$1-tools"
    mkdir "$work/tools"
    local tool
    for tool in "${@:2}"; do ln -s /bin/true "$work/tools/$tool"; done
    shown="pando new --lang $1 with $work/tools alone in PATH"
    PATH=/nowhere::$work/tools "$PANDO" new --lang "$1" "$1-tools" >"$out" 2>"$err" || fail "$shown: exit code $?"
}
for pair in c:clang rust:cargo go:go assemblyscript:npm zig:zig; do
    runs_with_tools "${pair%:*}" other
    printed "There is no '${pair#*:}' in PATH. To get it: "
    runs_with_tools "${pair%:*}" "${pair#*:}"
    ! grep -q 'in PATH' "$out" || fail "$shown: told of its tool"
done
runs_with_tools zig
printed 'pip install ziglang=='

# What a sanitizer watches is Pando, whatever the guest was written in: there C stands for all.
[ -z "${PANDO_SANITIZE-}" ] || finish

# elsewhere LANGUAGE NAME VARIABLE=VALUE...: a project, with tools that are told so.
elsewhere() {
    local language=$1 name=$2
    shift 2
    (failures=0; export "$@"; project "$language" "$name"; exit $((failures > 0))) || failures=$((failures + 1))
}

# Rust of rustup with the target, or Debian's, whose cargo and rustc belong together. Nothing is fetched.
if [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/wasm32-wasip1" ]; then
    elsewhere rust my-rust_guest2 CARGO_NET_OFFLINE=true CARGO_TARGET_DIR="$work/target"
elif [ -d "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/wasm32-wasi" ] && [ -x /usr/bin/cargo ]; then
    elsewhere rust my-rust_guest2 CARGO_NET_OFFLINE=true CARGO_TARGET_DIR="$work/target" \
        PATH="$work:/usr/bin:$PATH" CARGO_HOME="$work/cargo" CARGO_BUILD_TARGET=wasm32-wasi
else
    skip e2e/new/rust 'no cargo here has std for wasm32-wasip1 or wasm32-wasi'
fi

# Go. -trimpath: the same bytes as the last time, so that their compiled code is found again.
go_version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go1\.//; s/[^0-9].*//')
if [ "${go_version:-0}" -ge 24 ]; then
    elsewhere go my-go_guest2 GOTOOLCHAIN=local GOFLAGS=-trimpath GOWORK=off GOPROXY=off
else
    skip e2e/new/go 'there is no Go 1.24 or newer'
fi

# AssemblyScript: its compiler is fetched, with a lock file; whether it can be is tried first.
node_major=$(node --version 2>/dev/null | sed 's/^v//; s/\..*//')
if ! has_template assemblyscript; then
    :
elif [ "${node_major:-0}" -lt 20 ]; then
    skip e2e/new/assemblyscript 'there is no Node 20 or newer'
else
    export npm_config_prefer_offline=true npm_config_audit=false npm_config_fund=false npm_config_ignore_scripts=true
    runs 0 new --lang assemblyscript probe
    if (cd probe && timeout 120 npm ci >"$work/npm.log" 2>&1); then
        project assemblyscript my-as_guest2
    else
        skip e2e/new/assemblyscript 'npm cannot fetch its compiler'
    fi
fi

# Zig.
# shellcheck source=tests/e2e/lib_zig.sh
. "$PANDO_SOURCE_DIR/tests/e2e/lib_zig.sh"
if ! has_template zig; then
    :
elif [ -z "$without_zig" ]; then
    elsewhere zig my-zig_guest2 ZIG_LOCAL_CACHE_DIR="$work/zig-cache" ZIG_GLOBAL_CACHE_DIR="$work/zig-cache"
else
    skip e2e/new/zig "$without_zig"
fi

# --- What is put into the program: in a checkout what git knows, in an archive all but backups --------
if ! command -v git >/dev/null || ! command -v cmake >/dev/null; then
    skip e2e/new/embed 'there is no git or no cmake'
else
    embed=(cmake "-DSDK_DIR=$work/embed/sdk" "-DOUTPUT=$work/embed/templates.c" -P "$PANDO_SOURCE_DIR/cmake/embed_templates.cmake")
    embedded() {
        "${embed[@]}" || fail 'the templates cannot be embedded'
        grep -o '"[a-z]*", "[^"]*"' "$work/embed/templates.c" | tr -d '",' | tr '\n' ';'
    }
    mkdir -p "$work/embed/sdk/c/template" "$work/embed/sdk/c/tests"
    for file in sdk.h sdk.h~ template/main.c template/main.c.orig template/.gitignore tests/all.c; do
        echo text >"$work/embed/sdk/c/$file"
    done
    all='c pando/sdk.h;c .gitignore;c main.c;'
    found=$(embedded)
    [ "$found" = "$all" ] || fail "of an archive it takes $found"
    unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE # of a hook that runs this
    git -C "$work/embed" init -q
    git -C "$work/embed" add sdk/c/sdk.h sdk/c/template/main.c sdk/c/template/.gitignore sdk/c/tests/all.c
    echo text >"$work/embed/sdk/c/template/notes"
    found=$(embedded)
    [ "$found" = "$all" ] || fail "of a checkout it takes $found"

    # Of the build too: a file that is only added after it was seen is taken by the next one.
    cp -r "$PANDO_SOURCE_DIR/cmake" "$work/embed/cmake"
    # shellcheck disable=SC2016 # it is CMake's variable
    printf '%s\n' 'cmake_minimum_required(VERSION 3.25)' 'project(embed NONE)' 'include(cmake/PandoTemplates.cmake)' \
        'add_custom_target(embed ALL DEPENDS ${PANDO_TEMPLATES})' >"$work/embed/CMakeLists.txt"
    built() {
        cmake -S "$work/embed" -B "$work/embed-build" >"$work/cmake.log" 2>&1 &&
            cmake --build "$work/embed-build" >>"$work/cmake.log" 2>&1 || { fail 'embedding'; tail -n 20 "$work/cmake.log"; }
        grep -o '"[a-z]*", "[^"]*"' "$work/embed-build/generated/templates.c" | tr -d '",' | tr '\n' ';'
    }
    found=$(built)
    [ "$found" = "$all" ] || fail "of a checkout a build takes $found"
    git -C "$work/embed" add sdk/c/template/notes
    found=$(cmake --build "$work/embed-build" >/dev/null && built)
    [ "$found" = "${all}c notes;" ] || fail "of a file that was added a build takes $found"
fi

finish
