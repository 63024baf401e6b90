#!/usr/bin/env bash
# The etcdctl that Debian 12 ships (3.4), whose `:authority` is the whole URL that it was given, or that the member list has.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
etcdctl=/usr/bin/etcdctl
if [ ! -x "$etcdctl" ]; then
    skip e2e/etcdctl_debian "no $etcdctl: apt-get install etcd-client"
    exit 77
fi
export ETCDCTL_API=3
start_pando start --data "$work/data" --listen-client 127.0.0.1:0 --disk-low 0B
wait_for_text "try "
url=$(awk '$1 == "etcd" { print $2 }' "$out")

# does ENDPOINT TEXT WORD...: `etcdctl WORD...` succeeds and prints the text.
does() {
    local endpoint=$1 text=$2 told
    shift 2
    # Its own patience, 5 s, is not that of a loaded machine.
    if ! told=$(timeout -k 5 240 "$etcdctl" --command-timeout 60s --endpoints "$endpoint" "$@" 2>&1); then
        fail "etcdctl --endpoints $endpoint $*: $told"
    elif [[ $told != *"$text"* ]]; then
        fail "etcdctl --endpoints $endpoint $*: printed '$told' instead of '$text'"
    fi
}

for endpoint in "$url" "${url#http://}"; do
    does "$endpoint" OK put greeting hello
    does "$endpoint" hello get greeting
    does "$endpoint" ", 3.6.0," endpoint status
    does "$endpoint" ", 3.6.0," endpoint status --cluster
    does "$endpoint" "$endpoint, " endpoint hashkv
    does "$endpoint" "$url, " endpoint hashkv --cluster
    does "$endpoint" "is healthy" endpoint health --cluster
    does "$endpoint" "$endpoint" defrag
    does "$endpoint" "$url" defrag --cluster
    does "$endpoint" "Snapshot saved" snapshot save "$work/snapshot"
    does "$endpoint" "$url" member list
done
finish
