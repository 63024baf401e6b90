#!/usr/bin/env bash
# The client library as a program meets it: installed, found by pkg-config, linked shared and static, and at a node.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
data=$work/data
prefix=$work/prefix
shown=example

node_starts() {
    start_pando start --data "$data" --listen-client off --log-segment 16MiB --disk-low 0B
    node=$started
    wait_for_text "try "
}

# --- Installed ----------------------------------------------------------------------------------------------------------
cmake --install "$PANDO_BUILD_DIR" --prefix "$prefix" --component client >"$work/install" ||
    { fail "cmake --install:"; cat "$work/install"; finish; }
mv "$prefix" "$work/elsewhere" # it may be moved
prefix=$work/elsewhere
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name pando.pc)")
export PKG_CONFIG_PATH
libraries=$(pkg-config --variable=libdir pando)
[ -f "$prefix/include/pando/client.h" ] || fail "no header"
foreign=$(nm -D --defined-only "$libraries/libpando.so" | awk '$2 != "A" {print $3}' | grep -v '^pando_' || true)
[ -z "$foreign" ] || [ -n "$PANDO_SANITIZE" ] || fail "libpando.so also shows: $foreign"
foreign=$(nm -g --defined-only "$libraries/libpando.a" | awk 'NF == 3 {print $3}' | grep -v '^pando_' || true)
[ -z "$foreign" ] || [ -n "$PANDO_SANITIZE" ] || fail "libpando.a also shows: $foreign"
# Every function of the header is there.
for name in $(grep -o 'pando_[a-z_]*(' "$prefix/include/pando/client.h" | tr -d '(' | sort -u); do
    nm -D --defined-only "$libraries/libpando.so" | grep -q " T $name\(@\|$\)" || fail "no $name in the library"
done

flags=(-std=c99 -Wall -Wextra -Wpedantic -Werror -O1 -g)
[ -z "$PANDO_SANITIZE" ] || flags+=("-fsanitize=$PANDO_SANITIZE")
source=$prefix/share/pando/client/example.c
# shellcheck disable=SC2046 # words of options
cc "${flags[@]}" "$source" $(pkg-config --cflags --libs pando) -Wl,-rpath,"$libraries" -o "$work/shared" || fail "shared"
# shellcheck disable=SC2046
cc "${flags[@]}" "$source" $(pkg-config --cflags pando) "$libraries/libpando.a" $(pkg-config --libs gnutls) -pthread \
    -o "$work/static" || fail "static"
echo '#include <pando/client.h>
int main() { return pando_status_text(PANDO_OK) == nullptr; }' >"$work/plus.cc"
if command -v c++ >/dev/null; then
    # shellcheck disable=SC2046
    c++ -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags pando) "$work/plus.cc" || fail "C++"
fi

# --- At a node ----------------------------------------------------------------------------------------------------------
"$work/shared" "unix:$data/pando.sock" >"$out" 2>"$err" && fail "no node, and it says nothing"
said "no node listens"
said "no node can be reached"
"$work/shared" "http://here" >"$out" 2>"$err" && fail "not an endpoint, and it says nothing"
said "is no endpoint"
node_starts
shown=example
for way in shared static; do
    # The first endpoint is nobody's: the next one is tried.
    "$work/$way" "unix:$work/nobody" "unix:$data/pando.sock" >"$out" 2>"$err" || fail "$way: $(cat "$err")"
    output_is "example/a = 1
example/b = 2
lock: taken, then held, the lease is alive
2 deleted
put example/a
put example/b
put example/lock
deleted example/lock
deleted example/a
deleted example/b"
done
kill -TERM "$node"
wait "$node" || fail "the node: exit code $?"

finish
