#!/usr/bin/env bash
# scripts/tidy.sh JOBS [STEP...]: everything about the code that can be checked without running it.
#
# All steps run, so that one call shows all that is wrong; with names, only those run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
jobs=${1:-2}
shift
only=("$@")

pure_folders=(base raft kv coord jobs actor proto)
warnings=(-std=c11 -Wall -Wextra -Werror -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wswitch-enum -Wundef -Wvla -Walloca -Wcast-qual -Wformat=2 -fno-common)

c_files() { git ls-files -co --exclude-standard -- "$@" | while read -r file; do
    [ ! -f "$file" ] || printf '%s\n' "$file"; done; }

# The pure folders that exist, as git patterns with the ending $1.
pure_patterns() {
    local folder
    for folder in "${pure_folders[@]}"; do printf 'src/%s/*.%s\n' "$folder" "$1"; done
}

step_sources() { scripts/check_sources.py; }

step_banned() {
    local compiler
    for compiler in gcc clang; do
        if printf '#include <string.h>\nchar *f(char *a);\nchar *f(char *a) { return strcpy(a, "b"); }\n' |
            "$compiler" "${warnings[@]}" -include src/base/banned.h -fsyntax-only -x c - 2>/dev/null; then
            echo "$compiler accepts a banned function: src/base/banned.h does not work"
            return 1
        fi
    done
}

step_format() {
    local failed=0 file
    while read -r file; do
        clang-format --dry-run -Werror "$file" 2>/dev/null || { echo "$file"; failed=1; }
    done < <(c_files '*.c' '*.h')
    return "$failed"
}

step_headers() {
    local failed=0 header
    while read -r header; do
        gcc "${warnings[@]}" -D_GNU_SOURCE -Isrc -Iinclude -isystem "$(scripts/wasmtime.sh)/include" \
            -isystem build-clang/generated \
            -fsyntax-only -x c -include "$header" /dev/null || failed=1
    done < <(c_files 'src/*.h' 'include/*.h' | grep -v '_list\.h$') # lists are for X-macros: never included alone
    return "$failed"
}

step_gcc() { scripts/build.sh release "$jobs"; }

step_clang() { scripts/build.sh clang "$jobs"; }

step_aarch64() {
    local patterns sources
    mapfile -t patterns < <(pure_patterns c)
    mapfile -t sources < <(c_files "${patterns[@]}")
    [ "${#sources[@]}" -eq 0 ] ||
        aarch64-linux-gnu-gcc "${warnings[@]}" -include src/base/banned.h -D_POSIX_C_SOURCE=200809L -O2 \
            -Isrc -fsyntax-only "${sources[@]}"
}

# Memory, text, and what the compiler makes of them. Everything else is the system's.
pure_calls='pd_.*|bcmp|mem(cpy|set|cmp|move|chr)|str(len|nlen|cmp|ncmp|chr)|v?snprintf'
pure_calls+='|protobuf_c_message_descriptor_get_field' # a search in a table
pure_calls+='|__(mem|str|v?snprintf)[a-z]*_chk|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__cpu_model'

# What pure code calls from outside is visible in its objects, whatever it included.
step_symbols() {
    local folder library failed=0 foreign
    for folder in "${pure_folders[@]}"; do
        library=build-clang/lib/libpando_$folder.a
        [ -f "$library" ] || continue
        # base/assert.c writes the last words of the process, and may. What protobuf-c generates is not ours.
        foreign=$(nm -A -u "$library" | grep -vE ':(assert\.c|[a-z]+\.pb-c\.c)\.o:' | sed 's/.* U //' | sort -u |
            grep -vxE "$pure_calls")
        if [ -n "$foreign" ]; then
            echo "src/$folder is pure, but calls: $(tr '\n' ' ' <<<"$foreign")"
            failed=1
        fi
    done
    return "$failed"
}

step_clang_tidy() {
    c_files 'src/*.c' | xargs -r -n 4 -P "$jobs" clang-tidy -p build-clang --quiet 2>/dev/null
}

failures=()
run_step() {
    local name=$1 text=$2
    if [ "${#only[@]}" -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then
        return
    fi
    echo "== $name: $text"
    "step_$name" || failures+=("$name")
}

run_step sources 'include rule, columns, file lengths'
run_step banned 'banned functions are refused by both compilers'
run_step format 'clang-format has nothing to change (make format)'
run_step gcc 'builds without a warning'
run_step clang 'builds without a warning'
run_step headers 'every header compiles alone'
run_step aarch64 'pure folders compile for another processor'
run_step symbols 'pure folders call nothing from the system'
run_step clang_tidy 'bugprone, static analyzer, no recursion, function length'

if [ "${#failures[@]}" -gt 0 ]; then
    echo "tidy: failed: ${failures[*]}"
    exit 1
fi
echo "tidy: all clean"
