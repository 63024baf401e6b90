#!/usr/bin/env bash
# Application files: strategies, limits, the order of shutdown, names, rights, --watch, and words for mistakes. Where no
# signal is needed the tree runs in virtual time and ends by itself.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$work"
cp "$guests/verbs.wasm" verbs.wasm
app=$work/app.yaml

count_is() {
    local got
    got=$(grep -cxF -- "$2" "$out" || true)
    [ "$got" -eq "$1" ] || { fail "$shown: '$2' $got times instead of $1"; head -n 25 "$out"; }
}

# --- Strategies: b fails once; the end of d is the end of all ------------------------------------------
for case in 'one_for_one 1 2 1' 'one_for_all 2 2 2' 'rest_for_one 1 2 2'; do
    read -r strategy a b c <<<"$case"
    rm -rf room && mkdir room
    cat >"$app" <<YAML
name: shop
supervisor: {strategy: $strategy, auto_shutdown: any_significant}
children:
  - {id: a, module: verbs.wasm, args: ["say:a-up", "last_words:a"]}
  - id: b
    module: verbs.wasm
    args: ["say:b-up", "sleep:100", "once:/room/mark", "last_words:b"]
    permissions: {directories: ["room::/room"]}
  - {id: c, module: verbs.wasm, args: ["say:c-up", "last_words:c"]}
  - {id: d, module: verbs.wasm, args: ["sleep:1000"], restart: transient, significant: true}
YAML
    for profile in dense guarded; do
        rm -f room/mark
        runs 0 run --seed 5 --profile $profile "$app"
        count_is "$a" a-up
        count_is "$b" b-up
        count_is "$c" c-up
        [ "$(tail -n 3 "$out" | paste -sd,)" = \
            'c: asked to end: shutdown,b: asked to end: shutdown,a: asked to end: shutdown' ] ||
            { fail "$strategy: the order of shutdown"; tail -n 3 "$out"; }
        said 'the first time'
        said '1 of 3'
    done
done

# --- Who is started again, and how often -----------------------------------------------------------------
cat >"$app" <<'YAML'
name: shop
supervisor: {strategy: one_for_one, auto_shutdown: any_significant}
children:
  - {id: fine, module: verbs.wasm, args: ["say:fine"], restart: transient}
  - {id: brief, module: verbs.wasm, args: ["say:brief", "fail:why not"], restart: temporary}
  - {id: end, module: verbs.wasm, args: ["sleep:1000"], restart: transient, significant: true}
YAML
runs 0 run --seed 5 "$app"
count_is 1 fine
count_is 1 brief

cat >"$app" <<'YAML'
name: shop
children:
  - id: kitchen
    supervisor: {max_restarts: 1, period: 1m}
    children:
      - {id: cook, module: verbs.wasm, args: ["say:cook", "fail:no more tea"]}
YAML
for mode in '' '--seed 5'; do
    # shellcheck disable=SC2086 # no word or two
    runs 1 run $mode "$app"
    count_is 8 cook # twice by each of four kitchens
    said 'no more tea'
    said 'shop/kitchen'
    said 'gave up'
    said 'child kitchen ended'
done

cat >"$app" <<'YAML'
name: shop
supervisor: {max_restarts: 2}
children:
  - {id: always, module: verbs.wasm, args: ["say:again"], restart: permanent} # normal ends count, too
YAML
runs 1 run --seed 5 "$app"
count_is 3 again

# --- Shutdown ------------------------------------------------------------------------------------------------
cat >"$app" <<'YAML'
name: shop
supervisor: {auto_shutdown: any_significant}
children:
  - {id: stubborn, module: verbs.wasm, args: ["stubborn"], shutdown: 300ms}
  - {id: brutal, module: verbs.wasm, args: ["last_words:brutal"], shutdown: brutal}
  - {id: patient, module: verbs.wasm, args: ["last_words:patient", "sleep:60000", "say:patience"], shutdown: infinity, handles_shutdown: true}
  - {id: end, module: verbs.wasm, args: ["sleep:1000"], restart: transient, significant: true}
YAML
runs 0 run --seed 5 "$app"
count_is 1 patience
count_is 1 no
count_is 0 'brutal: asked to end: shutdown'

cat >"$app" <<'YAML'
name: shop
children:
  - {id: a, module: verbs.wasm, args: ["last_words:a"], ready: false}
  - id: sub
    supervisor: one_for_all
    children:
      - {id: b, module: verbs.wasm, args: ["last_words:b"]}
      - {id: c, module: verbs.wasm, args: ["ready", "last_words:c"], ready: true}
  - {id: d, module: verbs.wasm, args: ["spin"]}
  - {id: e, module: verbs.wasm, args: ["ready", "say:all are up", "last_words:e"], ready: true}
YAML
for signal in INT TERM; do
    start_pando run "$app"
    wait_for_text 'waiting e'
    for name in a b c; do grep -q "waiting $name" "$out" || wait_for_text "waiting $name"; done
    kill -$signal "$started"
    wait_for_end $((128 + $(kill -l $signal)))
    [ "$(grep -o '^.: asked' "$out" | tr -d '\n')" = 'e: askedc: askedb: askeda: asked' ] ||
        { fail "SIG$signal: the order of shutdown"; cat "$out"; }
done

# --- Names, rights, environment -------------------------------------------------------------------------------
cat >"$app" <<'YAML'
name: shop
supervisor: {auto_shutdown: any_significant}
defaults: {env: {MODE: test}}
children:
  - {id: till, module: verbs.wasm, args: ["wait"], register: till}
  - {id: asks, module: verbs.wasm, args: ["whereis:till", "whereis:nobody", "environment", "compile"], env: {LEVEL: "2"}, restart: temporary}
  - {id: tagged, module: verbs.wasm, args: ["say:with a tag"], output_tag: bell, restart: temporary}
  - {id: quiet, module: verbs.wasm, args: ["say:hidden"], permissions: {stdio: false}, restart: temporary}
  - {id: poor, module: verbs.wasm, args: ["say:poor", "spawn"], restart: temporary}
  - {id: rich, module: verbs.wasm, args: ["spawn:-rich"], permissions: {spawn: true}, restart: temporary}
  - {id: small, module: verbs.wasm, args: ["grow:50"], permissions: {max_memory: 3MiB}, restart: temporary}
  - {id: short, module: verbs.wasm, args: ["spin:-short"], permissions: {max_fuel: 20}, restart: temporary}
  - {id: end, module: verbs.wasm, args: ["sleep:1000"], restart: transient, significant: true}
YAML
runs 0 run --seed 5 "$app"
for line in 'whereis till: found' 'whereis nobody: absent' MODE=test LEVEL=2 'compile: -1' '[bell] with a tag' poor \
    'spawn-rich: 0' 'grown by 2 MiB' spinning-short; do
    count_is 1 "$line"
done
count_is 0 hidden
said 'permission denied: spawning'
said 'out of fuel'
runs 0 run --seed 5 --deny spawn --tag "$app"
count_is 0 'spawn-rich: 0'
printed '[shop/poor] poor'
runs 0 check "$app"
printed 'rich'
printed 'spawn'

# --- Mistakes ---------------------------------------------------------------------------------------------------
# mistake LINE KEY WORDS: `pando check` and `pando run` on the file say this.
mistake() {
    local command
    for command in check run; do
        runs 1 $command "$app"
        grep -qE "app\.yaml:$1:[0-9]+: $2: .*$3" "$err" || {
            fail "$shown: did not say line $1, $2, $3:"
            head -n 12 "$err"
        }
        [ ! -s "$out" ] || fail "$shown: printed something"
    done
}
cat >"$app" <<'YAML'
name: shop
supervisor: {strategy: fancy}
permissions: {spawn: false, max_memory: 1MiB}
children:
  - {id: one, module: missing.wasm}
  - {id: one, module: verbs.wasm, colour: red}
  - {id: three, module: verbs.wasm, shutdown: infinity}
  - {id: four, module: verbs.wasm, permissions: {spawn: true}}
  - {id: five, module: verbs.wasm, restart: never}
  - {id: six, module: app.yaml}
YAML
mistake 2 'supervisor\.strategy' 'one_for_all'
mistake 5 'children\[0\]\.module' 'missing.wasm'
mistake 6 'children\[1\]\.id' 'line 5'
mistake 6 'children\[1\]\.colour' 'unknown key'
mistake 7 'children\[2\]\.shutdown' 'handles_shutdown'
mistake 8 'children\[3\]\.permissions\.spawn' ''
mistake 9 'children\[4\]\.restart' 'transient'
mistake 10 'children\[5\]\.module' ''
printf 'name: shop\nchildren:\n  - {id: one, module: verbs.wasm, function: nope}\n' >"$app"
for command in run check; do
    runs 1 "$command" "$app"
    said 'app.yaml: line 3: shop/one: verbs.wasm exports no function "nope"; it exports '
done

# checks LINES WORDS: what is said, checking and running, of a worker whose module has another function than the file.
checks() {
    local command
    printf 'name: shop\nchildren:\n%s\n' "$1" >"$app"
    for command in run check; do
        runs 1 "$command" "$app"
        said "app.yaml: line 3: shop/one: verbs.wasm exports $2"
    done
}
checks '  - {id: one, module: verbs.wasm, function: printer, arguments: [1]}' \
    '"printer" with the parameters (i64, i32): `arguments` gives 1'
checks '  - {id: one, module: verbs.wasm, function: nothing, arguments: [1]}' \
    '"nothing" with the parameters (): `arguments` gives 1'
checks '  - {id: one, module: verbs.wasm, function: printer, arguments: [1, {v128: "0x01"}]}' \
    '"printer" with the parameters (i64, i32): argument 2 is a v128'
printf 'name: shop\nchildren:\n  - {id: one, module: verbs.wasm, function: printer, arguments: [1, 2]}\n' >"$app"
runs 0 check "$app"
printf 'name: shop\nchildren: [{id: a\n' >"$app"
runs 1 check "$app"
said 'app.yaml:'
: >"$app"
runs 1 check "$app"
said 'app.yaml'
runs 1 check "$work/nowhere.yaml"
said 'nowhere.yaml'
runs 2 check
runs 2 check "$app" "$app"

# --- Watching -----------------------------------------------------------------------------------------------------
cp verbs.wasm changing.wasm
cat >"$app" <<'YAML'
name: shop
children:
  - {id: same, module: verbs.wasm, args: ["last_words:same"]}
  - {id: changing, module: changing.wasm, args: ["last_words:changing"]}
YAML
start_pando run --watch "$app"
wait_for_text 'waiting changing'
grep -q 'waiting same' "$out" || wait_for_text 'waiting same'
printf 'no module at all' >next.wasm && mv next.wasm changing.wasm
wait_for_text 'not a WebAssembly module'
{ cat verbs.wasm && printf '\0\2\1x'; } >next.wasm && mv next.wasm changing.wasm # one more custom section
wait_for_text 'waiting changing'
kill -INT "$started"
wait_for_end 130
count_is 1 'waiting same'
count_is 2 'waiting changing'
count_is 1 'same: asked to end: shutdown'

finish
