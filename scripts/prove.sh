#!/usr/bin/env bash
# scripts/prove.sh [--replay|--tidy] [SOURCE...]: proves every module that proofs/goals.txt names, on the source that ships;
# with SOURCE, only those.
#
# --replay uses only the results in proofs/session, runs no prover, and so does not depend on the machine's load.
# --tidy, without SOURCE, removes from proofs/session what no goal uses any more.
# Ends with "proved P of T goals in M modules"; exits with 1 unless every goal is proved and each module has just
# the number of goals that the list names: a contract that was lost is noticed.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=update jobs=1
case ${1:-} in
    --replay) cache=offline jobs=$(nproc); shift ;;
    --tidy)
        cache=cleanup
        [ $# -eq 1 ] || { echo "--tidy looks at all modules: name none"; exit 1; } ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
why3 config list-provers 2>/dev/null | grep Z3 >/dev/null || why3 config detect >"$work/why3" 2>&1

# prove_one SOURCE WANTED: its report, as text, and "VALID GOALS FAILED" in $work/NAME.counts
prove_one() {
    local source=$1 wanted=$2 name valid goals failed=0
    name=$work/${source//\//_}
    # A replay must leave the session as it is, whatever the tools write into it; and what one module does not
    # use may be another's.
    local session=proofs/session
    if [ "$cache" != update ]; then
        session=$name.session
        cp -r proofs/session "$session"
    fi
    if ! frama-c -machdep gcc_x86_64 -cpp-extra-args="-Isrc" -warn-unsigned-overflow -wp -wp-rte \
        -wp-prover z3,cvc4 -wp-timeout 60 -wp-par 2 -wp-session "$session" -wp-cache "$cache" \
        -wp-report-json "$name.json" "$source" >"$name.log" 2>&1; then
        tail -n 20 "$name.log"
        echo "$source: Frama-C failed"
        echo "0 0 1" >"$name.counts"
        return
    fi
    read -r valid goals < <(python3 -c '
import json, sys
main = json.load(open(sys.argv[1]))["wp:global"]["wp:main"]
print(main.get("valid", 0), main["total"])' "$name.json")
    printf '%-28s %4s of %4s goals\n' "$source" "$valid" "$goals"
    if [ "$goals" -eq 0 ] || [ "$valid" -ne "$goals" ]; then
        grep -E '^\[wp\] \[.*\] Goal .* : (Unknown|Timeout|Failed|Stepout)|^\[wp\] \[Failed\] Goal' "$name.log" || true
        failed=1
    fi
    if [ "$goals" -ne "$wanted" ]; then
        echo "$source: proofs/goals.txt names $wanted goals, there are $goals: was a contract lost or added?"
        failed=1
    fi
    echo "$valid $goals $failed" >"$name.counts"
}

running=0
while read -r source wanted; do
    [[ $source != \#* && -n $source ]] || continue
    [[ $# -eq 0 || $cache = cleanup || " $* " == *" $source "* ]] || continue
    if [ "$running" -ge "$jobs" ]; then
        wait -n
    fi
    prove_one "$source" "$wanted" &
    running=$((running + 1))
done <proofs/goals.txt
wait

if cat "$work"/*.counts | awk '{ proved += $1; total += $2; failed += $3 }
    END { printf "proved %d of %d goals in %d modules\n", proved, total, NR; exit failed > 0 || NR == 0 || proved != total }'
then
    [ "$cache" = cleanup ] || exit 0
    rm -r proofs/session/cache
    mkdir proofs/session/cache
    for session in "$work"/*.session; do
        cp "$session"/cache/* proofs/session/cache/
    done
else
    exit 1
fi
