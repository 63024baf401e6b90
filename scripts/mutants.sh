#!/usr/bin/env bash
# Break the code on purpose, one slip of src/base/mutant_list.h at a time, and see whether a test notices.
#
# One build (preset "mutants") holds all of them; PANDO_MUTANT chooses. For each the unit tests of the folders below
# run first, those of its own folder before the others, then SEEDS=60 seeds of the simulator. Prints
# "killed NAME by TEST" or "SURVIVED NAME" and ends with "killed/total". MUTANTS="NAME..." looks at some only.
#
# A test that is still running after TEST_SECONDS=120 proves little, so the others are asked first; if none of them fails,
# the mutant is "hung NAME in TEST": it counts as killed, and is counted apart. A test that is slow without a mutant is
# not used at all.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build-mutants
jobs=${JOBS:-$(nproc 2>/dev/null || echo 2)}
seeds=${SEEDS:-60}
limit=${TEST_SECONDS:-120}

# A name may stand on a line of its own behind the parenthesis.
known=$(tr '\n' ' ' <src/base/mutant_list.h | grep -o 'PD_MUTANT_ENTRY( *[A-Z0-9_]*' | sed 's/.*( *//')
names=${MUTANTS:-$known}
for name in $names; do
    grep -qxF -- "$name" <<<"$known" || { echo "'$name' is no name in src/base/mutant_list.h" >&2; exit 2; }
done

cmake --preset mutants >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
rm -f "$build.log"
targets=(pando)
for source in tests/unit/{base,raft,wal,kv,store,node,sim}/*_test.c; do
    [ -e "$source" ] || continue
    folder=$(basename "$(dirname "$source")")
    name=$(basename "$source" _test.c)
    # What knows nothing of the log's side cannot notice.
    if [ "$folder" = node ] && ! grep -q 'node/replica\|node/server\|node/snapshot' "$source"; then
        continue
    fi
    targets+=("test_${folder}_$name")
done
ninja -C "$build" -j "$jobs" "${targets[@]}" >"$build/mutants.log" 2>&1 || { tail -n 40 "$build/mutants.log"; exit 1; }

unset PANDO_MUTANT
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

program_of() { # test_FOLDER_NAME -> path
    local rest=${1#test_}
    echo "$build/tests/unit/${rest%%_*}/${rest#*_}_test"
}

# How COMMAND... ends: 0 it passes, 1 it fails or crashes, 2 it does not end.
run() {
    local status=0
    timeout -k 5 "$limit" "$@" >"$work/out" 2>&1 || status=$?
    case $status in
        0) return 0 ;;
        124 | 137) return 2 ;;
        *) return 1 ;;
    esac
}

# Without a mutant everything must pass, or a kill means nothing.
usable=()
for target in "${targets[@]:1}"; do
    if run "$(program_of "$target")"; then
        usable+=("$target")
    else
        echo "not used: $target fails or hangs without a mutant"
    fi
done
sim=("$build/bin/pando" sim --seeds "1..$seeds" --no-shrink)
use_sim=1
if ! run "${sim[@]}"; then
    echo "not used: the simulator fails or hangs without a mutant"
    use_sim=0
fi

look() { # NAME: prints its verdict
    local name=$1 folder target status hung="" own=() others=()
    folder=$(tr '[:upper:]' '[:lower:]' <<<"${name%%_*}")
    case $folder in session | lease | watch) folder=kv ;; esac
    for target in "${usable[@]}"; do
        case $target in "test_${folder}_"*) own+=("$target") ;; *) others+=("$target") ;; esac
    done
    export PANDO_MUTANT=$name
    for target in "${own[@]}" "${others[@]}"; do
        status=0
        run "$(program_of "$target")" || status=$?
        case $status in
            1) echo "killed $name by ${target#test_}"; return ;;
            2) hung=${hung:-${target#test_}} ;;
        esac
    done
    if [ "$use_sim" = 1 ]; then
        status=0
        run "${sim[@]}" || status=$?
        case $status in
            1) echo "killed $name by sim $(grep -o 'seed [0-9]* FAILED' "$work/out" | sed -n 1p)"; return ;;
            2) hung=${hung:-sim} ;;
        esac
    fi
    if [ -n "$hung" ]; then
        echo "hung $name in $hung"
    else
        echo "SURVIVED $name"
    fi
}

killed=0
hung=0
total=0
for name in $names; do
    verdict=$(look "$name")
    echo "$verdict"
    total=$((total + 1))
    case $verdict in
        killed*) killed=$((killed + 1)) ;;
        hung*) killed=$((killed + 1)) hung=$((hung + 1)) ;;
    esac
done
[ "$hung" = 0 ] || echo "$hung of the killed only made a test hang"
echo "$killed/$total"
[ "$killed" = "$total" ]
