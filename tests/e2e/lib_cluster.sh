# Sourced by the end-to-end tests of clusters, after lib.sh: nodes on free ports, and what they say of themselves.
# shellcheck shell=bash
cluster=$work/cluster

# free_base: a port P such that P + 10 i and P + 10 i + 1 are free for five nodes, in $base. Nobody else who asks so gets it
# while the test runs, whether or not a node listens there at the moment: a process holds a name for it, which goes with it.
free_base() {
    local keeper
    exec {keeper}< <(exec python3 - $$ <<'PYTHON'
import os, random, select, socket, sys

def is_free(port, kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

def take():
    """Below what the system gives to clients, and below where `make run` looks."""
    while True:
        base = 10000 + 60 * random.randrange(160)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0pando-tests-{base}")
        except OSError:
            continue
        wanted = [(base + 10 * i, socket.SOCK_STREAM) for i in range(5)]
        wanted += [(base + 10 * i + 1, socket.SOCK_DGRAM) for i in range(5)]
        if all(is_free(port, kind) for port, kind in wanted):
            return base, name
        name.close()

base, name = take()
print(base, flush=True)
try:
    select.select([os.pidfd_open(int(sys.argv[1]))], [], [])  # until the test has ended
except ProcessLookupError:
    pass  # it has
PYTHON
    )
    children+=("$!")
    read -r base <&"$keeper"
    exec {keeper}<&-
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
