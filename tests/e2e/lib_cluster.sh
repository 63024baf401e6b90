# Sourced by the end-to-end tests of clusters, after lib.sh: nodes on free ports, and what they say of themselves.
# shellcheck shell=bash
cluster=$work/cluster

# free_base: a port P such that P + 10 i and P + 10 i + 1 are free for five nodes, in $base.
free_base() {
    base=$(python3 - <<'PYTHON'
import random, socket

def is_free(port, kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

while True:
    base = random.randrange(20000, 32000)
    wanted = [(base + 10 * i, socket.SOCK_STREAM) for i in range(5)]
    wanted += [(base + 10 * i + 1, socket.SOCK_DGRAM) for i in range(5)]
    if all(is_free(port, kind) for port, kind in wanted):
        print(base)
        break
PYTHON
)
}

# eventually WORD...: until the command succeeds, a minute at most. Each look costs a process or two.
eventually() {
    local end=$((SECONDS + 60))
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then
            fail "not within a minute: $*"
            tail -n 5 "$work"/node-*.log 2>/dev/null || true
            finish
        fi
        sleep 0.05
    done
}

# field NODE KEY: of `pando status` at the node NODE (a number); empty when it does not answer.
field() {
    timeout 20 "$PANDO" status -o json --data "$cluster/node-$1" 2>/dev/null |
        sed -n "s/.*\"$2\":\"\{0,1\}\([^,\"}]*\).*/\1/p" || true
}

# agree NODE...: whether they name one leader that is among them; in $leader.
agree() {
    local node told=
    leader=
    for node in "$@"; do
        : "${told:=$(field "$node" leader)}"
        [ -n "$told" ] || return 1 # it does not answer yet
        [ "$(field "$node" leader)" = "$told" ] || return 1
        [ "$(field "$node" node)" != "$told" ] || leader=$node
    done
    [ -n "$leader" ]
}

# leader_index NODE...: waits for it.
leader_index() { eventually agree "$@"; }

# equal NODE...: whether they have applied the same, and its hash is the same.
equal() {
    local node
    for node in "$@"; do
        echo "$(field "$node" phase) $(field "$node" applied_index) $(field "$node" hash)"
    done | sort -u >"$work/states"
    [ "$(wc -l <"$work/states")" -eq 1 ] && grep -q "^running [0-9]* [0-9a-f]*$" "$work/states"
}
same_state() { eventually equal "$@"; }

# pid_of NODE: of the process that `pando dev` shows in its banner.
pid_of() {
    sed -n "s/^ *node-$1 .*pid \([0-9]*\)$/\1/p" "$out" | tail -n 1
}
