#!/usr/bin/env bash
# examples/polyglot: orders pass through actors in five languages; a stage that crashes or is killed comes back, alone, and
# no order is lost. Then what the SDKs of AssemblyScript and Zig offer, function by function. Every wait is for a line of the
# program or for an answer. A language whose tools are not here is skipped, and the other stages run.
# shellcheck source=tests/e2e/lib.sh
user_cache=${XDG_CACHE_HOME-}
. "$(dirname "$0")/lib.sh"
if [ -n "$user_cache" ]; then export XDG_CACHE_HOME=$user_cache; else unset XDG_CACHE_HOME; fi # large modules: keep their code
export XDG_RUNTIME_DIR=$work/runtime # nobody else's programs are seen
mkdir -m 700 "$XDG_RUNTIME_DIR"
# shellcheck source=tests/e2e/lib_zig.sh
. "$(dirname "$0")/lib_zig.sh"
shop=$work/shop

"$PANDO_SOURCE_DIR/examples/polyglot/build.sh" "$shop" >"$work/built"
declare -A stages=([rust]=check [go]=price [assemblyscript]=discount [zig]=seal)
present=()
for language in rust go assemblyscript zig; do
    if grep -q "^without $language: " "$work/built"; then
        reason=$(sed -n "s/^without $language: //p" "$work/built")
        if [ "$language" = zig ]; then reason=${without_zig:-$reason}; fi
        skip "e2e/polyglot/$language" "$reason"
    else
        present+=("$language")
    fi
done
has() { [[ " ${present[*]} " == *" $1 "* ]]; }

# --- The shop --------------------------------------------------------------------------------------------
# order LINE: hand it in; its answer is in $answer, which takes long when Go's code is compiled first.
order() {
    printf '%s\n' "$1" >&"$orders"
    answer=
    IFS= read -r -t 400 -u "$answers" answer || { fail "no answer to '$1'"; tail -n 30 "$work/log"; finish; }
}

# answers_like EXPRESSION: the last answer is this, whole.
answers_like() {
    [[ $answer =~ ^$1$ ]] || fail "'$answer' is not like '$1'"
}

pid_of() { sed -n "s/.* $1#\([0-9]*\).*/\1/p" <<<"$answer"; }

if [ "${#present[@]}" -gt 0 ]; then
    mkfifo "$work/orders" "$work/answers"
    "$PANDO" run "$shop/app.yaml" <"$work/orders" >"$work/answers" 2>"$work/log" &
    program=$!
    children+=("$program")
    exec {orders}>"$work/orders" {answers}<"$work/answers"

    trail=' c#[0-9]+'
    for language in "${present[@]}"; do trail+=" $language#[0-9]+"; done
    tea=0 coffee=0 seal=unsealed
    if has go; then
        tea=500
        coffee=3600
        if has assemblyscript; then coffee=3240; fi
    fi
    if has zig; then seal=sealed; fi
    order '2 tea'
    answers_like "order 1: 2 x tea, $tea cents, $seal, by$trail"
    order '12 coffee'
    answers_like "order 2: 12 x coffee, $coffee cents, $seal, by$trail"
    order 'tea'
    answers_like 'order 3 is refused: it is no QUANTITY ITEM'
    order '100 tea'
    if has rust; then answers_like 'order 4 is refused: 100 pieces are not 1 to 99'; fi
    order '1 anvil' # a crash by an order, each time that it is tried
    if has go; then answers_like 'order 5 is refused: price died of it'; fi

    # Each stage is killed; the next order passes a new process of it, and the same of all others.
    number=6
    order '2 tea'
    for language in "${present[@]}"; do
        before=$answer
        "$PANDO" kill "${stages[$language]}" >>"$work/killed" 2>&1 || true # slow machines: told that it will end
        for ((tries = 0; tries < 500; tries++)); do
            number=$((number + 1))
            order '2 tea'
            answers_like "order $number: 2 x tea, $tea cents, $seal, by$trail"
            [ "$(pid_of "$language")" = "$(answer=$before pid_of "$language")" ] || break
        done
        [ "$tries" -lt 500 ] || fail "$language was killed and is the same: $answer"
        for other in c "${present[@]}"; do
            [ "$other" = "$language" ] || [ "$(pid_of "$other")" = "$(answer=$before pid_of "$other")" ] ||
                fail "$language was killed, and $other is another one: '$before', then '$answer'"
        done
    done

    # The till too: it waits for orders and is another process with the next one.
    c=$(pid_of c)
    "$PANDO" kill till >>"$work/killed" 2>&1 || true
    for ((tries = 0; tries < 500; tries++)); do
        runs 0 ps -o json
        python3 - "$out" "$c" <<'CHECK' && break
import json, sys
rows = [row for row in json.load(open(sys.argv[1])) if row.get("name") == "till"]
sys.exit(0 if len(rows) == 1 and rows[0]["pid"] != int(sys.argv[2]) else 1)
CHECK
    done
    order '2 tea'
    answers_like "order 1: 2 x tea, $tea cents, $seal, by$trail"
    [ "$(pid_of c)" != "$c" ] || fail "the till was killed and is the same: $answer"

    # No further orders: the till ends, and the shop with it.
    exec {orders}>&-
    code=0
    wait "$program" || code=$?
    [ "$code" -eq 0 ] || { fail "the shop ended with $code"; tail -n 30 "$work/log"; }
    if has go; then grep -qF 'no price for anvil' "$work/log" || fail "the crash of Go's stage was not told"; fi
fi

# --- The SDKs of the small ones: with and without a store -----------------------------------------------------
node_starts() {
    [ -z "${data-}" ] || return 0
    data=$work/data
    start_pando start --listen-client off --data "$data" --log-segment 16MiB --disk-low 0B
    wait_for_text "try "
}

# functions MODULE WORD...: `sdk/<lang>/tests/functions` answers; without a store it takes the words.
functions() {
    local module=$1
    shift
    runs 0 run --env 'NAME=its value' "$module" "$@"
    output_is 'all functions answered'
    node_starts
    runs 0 kv del --data "$data" --prefix sdk/ # what another language has left
    runs 0 run --node "$data" --allow-kv sdk/ "$module" store
    output_is 'all functions answered'
}

if has assemblyscript; then
    mkdir "$shop/assemblyscript/pando/tests"
    cp "$PANDO_SOURCE_DIR/sdk/assemblyscript/tests/functions.ts" "$shop/assemblyscript/pando/tests/"
    (cd "$shop/assemblyscript" && node node_modules/assemblyscript/bin/asc.js pando/tests/functions.ts \
        -o "$work/functions-as.wasm" --use abort=pandoAbort)
    functions "$work/functions-as.wasm" two words
fi
if has zig; then
    zig=(zig)
    command -v zig >/dev/null || zig=(python3 -m ziglang)
    "${zig[@]}" build-exe -target wasm32-wasi -O ReleaseSmall -rdynamic --stack 65536 -femit-bin="$work/functions-zig.wasm" \
        --cache-dir "$shop/zig" --dep pando \
        -Mroot="$PANDO_SOURCE_DIR/sdk/zig/tests/functions.zig" -Mpando="$PANDO_SOURCE_DIR/sdk/zig/pando.zig"
    functions "$work/functions-zig.wasm"
fi

finish
