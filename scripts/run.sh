#!/usr/bin/env bash
# `make run`: three nodes, each a process, are one cluster and count words together with supervised actors inside of them.
# Midway the leader is killed with SIGKILL, and on every node an actor crashes; the others carry on. Their total, which
# lies in the store, is compared with `wc -w`. Exit code 0: they are equal; 1: they are not, or counting failed; 2: mistakes
# in FILES. The cluster's folder is a temporary one, and nothing is left behind.
#
#   FILES="..."   the texts, separated by blanks; patterns are expanded. Without it, the licences that
#                 every Debian machine has.
#   PACE=MS       wait so long before each chunk, to have time to look inside from another terminal
#   ALONE=1       without a cluster: one process, whose actors have no store
#   SEED=N        likewise, and deterministic: one thread, virtual time; prints the hash of all that happened
#   OPTIONS="..." more options of the guest: OPTIONS=--help lists them
set -euo pipefail
cd "$(dirname "$0")/.."
build=${PANDO_BUILD_DIR:-build}
pando=${PANDO:-$build/bin/pando}
guest=$build/share/examples/wordcount.wasm
readonly directories_max=32

fail() { printf 'make run: %s\n' "$*" >&2; mistakes=$((mistakes + 1)); }

# Canonical names: a guest sees directories, and no link leads out of them.
mistakes=0 files=() names=()
if [ -n "${FILES:-}" ]; then
    # Splitting and patterns are wanted here.
    # shellcheck disable=SC2206
    names=($FILES)
else
    # Regular files only: the folder also holds links like GPL, which would count a text twice.
    for name in /usr/share/common-licenses/*; do
        if [ -f "$name" ] && [ ! -L "$name" ]; then names+=("$name"); fi
    done
    [ "${#names[@]}" -gt 0 ] || fail "no text in /usr/share/common-licenses; name yours with FILES=..."
fi
for name in ${names[@]+"${names[@]}"}; do
    if [ ! -e "$name" ]; then
        fail "there is no '$name'; FILES=... wants files that exist (names without blanks)"
    elif [ -d "$name" ]; then
        fail "'$name' is a directory; name the files in it: FILES='$name/*'"
    elif [ ! -f "$name" ]; then
        fail "'$name' is no regular file; copy it to one"
    elif [ ! -r "$name" ]; then
        fail "'$name' cannot be read by $(id -un)"
    fi
done
[ "$mistakes" -eq 0 ] || exit 2
mapfile -d '' files < <(realpath -ze -- "${names[@]}")

# The directories that the guest is given: those of the files, or, where they are many, what is above.
directories=$(printf '%s\n' "${files[@]}" | sed 's|/[^/]*$||; s|^$|/|' | sort -u)
while [ "$(wc -l <<<"$directories")" -gt "$directories_max" ]; do
    depth=$(awk -F/ 'NF > max { max = NF } END { print max }' <<<"$directories")
    directories=$(awk -F/ -v depth="$depth" 'NF == depth { sub("/[^/]*$", "") } { print $0 == "" ? "/" : $0 }' \
        <<<"$directories" | sort -u)
done
options=()
while IFS= read -r directory; do options+=(--dir "$directory"); done <<<"$directories"
[ -z "${SEED:-}" ] || options+=(--seed "$SEED")

# What a word is changed in GNU wc 9.5: ask the one that is here.
guest_options=()
[ "$(printf '\001' | LC_ALL=C wc -w)" -eq 0 ] || guest_options+=(--any-byte)
[ -z "${PACE:-}" ] || guest_options+=(--pace "$PACE")
read -r -a more <<<"${OPTIONS:-}"
guest_options+=(${more[@]+"${more[@]}"})

work=$(mktemp -d "${TMPDIR:-/tmp}/pando-run.XXXXXX")
output=$work/output
cluster=$work/cluster
dev=
expected=$(cat -- "${files[@]}" | LC_ALL=C wc -w)
cleanup() {
    if [ -n "$dev" ]; then
        kill -TERM "$dev" 2>/dev/null || true
        wait "$dev" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'echo "make run: interrupted" >&2; exit 130' INT
trap 'exit 143' TERM

# --- Alone -----------------------------------------------------------------------------------------

count_alone() {
    echo "Counting words with supervised WebAssembly actors. One of them will crash on the way."
    local status=0
    "$pando" run "${options[@]}" "$guest" ${guest_options[@]+"${guest_options[@]}"} -- "${files[@]}" |
        tee "$output" || status=$?
    if [ "$status" -ge 128 ]; then
        echo "make run: interrupted" >&2
        exit "$status"
    elif [ "$status" -ne 0 ]; then
        echo "make run: counting failed: exit code $status" >&2
        exit "$status"
    fi
    counted=$(sed -n 's/^added up by reducers: //p' "$output")
}

# --- Together --------------------------------------------------------------------------------------

# Enough chunks for all, and a pace at which the kill comes midway of a few seconds, unless told otherwise.
plan_chunks() {
    local bytes
    bytes=$(cat -- "${files[@]}" | wc -c)
    local chunk=$(((bytes + 95) / 96))
    [ "$chunk" -le 131072 ] || chunk=131072
    [ "$chunk" -ge 1 ] || chunk=1
    local chunks=$(((bytes + chunk - 1) / chunk + 1))
    guest_options=(--store words/ --chunk "$chunk" --pace $((24000 / chunks))
        ${guest_options[@]+"${guest_options[@]}"})
}

# start_cluster: on the first ports that are free, from a random one on. Its lines come through $lines.
start_cluster() {
    local line try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        coproc dev_process {
            exec "$pando" dev --data "$cluster" --base-port $((20000 + RANDOM % 12000)) --app "$guest" --allow-kv words/ \
                "${options[@]}" -- "${guest_options[@]}" -- "${files[@]}" 2>&1
        }
        dev=$dev_process_PID
        exec {lines}<&"${dev_process[0]}"
        while IFS= read -r -u "$lines" line; do
            printf '%s\n' "$line" >>"$output"
            case $line in
                ready:*)
                    echo "$line"
                    return
                    ;;
            esac
        done
        wait "$dev" || true
        dev=
        exec {lines}<&-
        grep -q 'cannot be had' "$output" || break
        [ "$try" -eq 10 ] || : >"$output"
    done
    tail -n 5 "$output" >&2
    echo "make run: the cluster did not start" >&2
    exit 1
}

# kill_leader: whoever that is now, as those say who live.
kill_leader() {
    local node pid
    for node in 0 1 2; do
        leader=$("$pando" cluster members --data "$cluster/node-$node" 2>/dev/null |
            sed -n 's/.*\(node-[0-9]\) .*leader.*/\1/p') || true
        [ -z "$leader" ] || break
    done
    pid=$(sed -n "s/^ *$leader .*pid \([0-9]*\)$/\1/p" "$output")
    if [ -z "$leader" ] || [ -z "$pid" ]; then
        echo "make run: nobody says who leads" >&2
        exit 1
    fi
    kill -KILL "$pid"
    echo "$leader leads, process $pid: killed with SIGKILL, and its actors with it"
}

# Show what the nodes say, but for the long reports of crashes; kill the leader midway; until the two others have counted.
follow() {
    local line tenth=0 ended=0 percent
    leader=
    while [ "$ended" -lt 2 ] && IFS= read -r -u "$lines" line; do
        printf '%s\n' "$line" >>"$output"
        case $line in
            *' | '*'0 %  '*)
                percent=${line%% %*}
                percent=${percent##* }
                if [ "$percent" -gt "$tenth" ]; then
                    tenth=$percent
                    echo "$line"
                fi
                if [ "$percent" -ge 50 ] && [ -z "$leader" ]; then kill_leader; fi
                ;;
            "$leader |"*'has ended with exit code'*) ;; # its last words, maybe before its death
            *'has ended with exit code 0') ended=$((ended + 1)) ;;
            *'has ended with exit code'*)
                echo "$line" >&2
                return 1
                ;;
            '  node-'*) echo "$line" ;;
            *' |   '* | '  '* | '') ;;
            *) echo "$line" ;;
        esac
    done
    [ "$ended" -eq 2 ]
}

count_together() {
    local node status=0
    plan_chunks
    echo "Three nodes, each a process with WebAssembly actors inside, count words together. Midway their leader is killed."
    start_cluster
    follow || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$output" >&2
        echo "make run: counting failed" >&2
        exit 1
    fi
    for node in 0 1 2; do
        [ "node-$node" != "$leader" ] || continue
        counted=$("$pando" kv get --data "$cluster/node-$node" words/total)
        printf '\nin the store of node-%s, words/:\n' "$node"
        "$pando" kv get --data "$cluster/node-$node" --prefix words/chunk/ |
            awk '{ chunks[$3]++; words[$3] += $2 }
                END { for (name in chunks) printf "  %-8s recorded %4d chunks, %9d words\n", name, chunks[name], words[name] }' |
            sort
        break
    done
}

if [ -n "${SEED:-}${ALONE:-}" ]; then count_alone; else count_together; fi

printf '\n'
printf '%-28s%12s words\n' 'Pando:' "$counted" 'cat FILES | LC_ALL=C wc -w:' "$expected"
if [ "$counted" != "$expected" ]; then
    echo "They differ. Did a file change meanwhile? If not, this is a bug: please report it with the files."
    exit 1
fi
echo "Equal: the crash lost no word, and none was counted twice."

cat <<TEXT

What to try next:
  make run FILES='README.md src/*/*.c'   your own text; large files are welcome
  make run OPTIONS=--crash-reducer       one of those who add up crashes too
  make run ALONE=1                       in one process, with its most frequent words
  make run SEED=7                        the same run twice: look at the hash of all that happened
  $pando dev                    a cluster that stays, until Ctrl-C
TEXT
if "$pando" help 2>/dev/null | grep -E '^ +ps\b' >/dev/null; then
    cat <<TEXT
  make run ALONE=1 PACE=500              slowly, and meanwhile in another terminal:
      $pando ps --tree
      $pando kill mapper.2     kill any mapper or reducer: the sums stay right
TEXT
fi
cat <<TEXT
  $pando run examples/supervisor/app.yaml
                                         a smaller tree, declared in YAML; its source is beside it
  make test, make bench-actors, make help
TEXT
