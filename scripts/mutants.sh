#!/usr/bin/env bash
# Break the code on purpose, one slip of src/base/mutant_list.h at a time, and see whether a test notices.
#
# One build (preset "mutants") holds all of them; PANDO_MUTANT chooses. For each the unit tests of the folders below
# run first, those of its own folder before the others, then SEEDS=60 seeds of the simulator. Prints
# "killed NAME by TEST" or "SURVIVED NAME" and ends with "killed/total". MUTANTS="NAME..." looks at some only.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build-mutants
jobs=${JOBS:-$(nproc 2>/dev/null || echo 2)}
seeds=${SEEDS:-60}
limit=${TEST_SECONDS:-120}

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

fails() { # COMMAND...: true when it fails, hangs or crashes
    ! timeout -k 5 "$limit" "$@" >"$work/out" 2>&1
}

# Without a mutant everything must pass, or a kill means nothing.
usable=()
for target in "${targets[@]:1}"; do
    if fails "$(program_of "$target")"; then
        echo "not used: $target fails without a mutant"
    else
        usable+=("$target")
    fi
done
sim=("$build/bin/pando" sim --seeds "1..$seeds" --no-shrink)
use_sim=1
if fails "${sim[@]}"; then
    echo "not used: the simulator fails without a mutant"
    use_sim=0
fi

look() { # NAME: prints its verdict
    local name=$1 folder target own=() others=()
    folder=$(tr '[:upper:]' '[:lower:]' <<<"${name%%_*}")
    case $folder in session | lease | watch) folder=kv ;; esac
    for target in "${usable[@]}"; do
        case $target in "test_${folder}_"*) own+=("$target") ;; *) others+=("$target") ;; esac
    done
    export PANDO_MUTANT=$name
    for target in "${own[@]}" "${others[@]}"; do
        if fails "$(program_of "$target")"; then
            echo "killed $name by ${target#test_}"
            return
        fi
    done
    if [ "$use_sim" = 1 ] && fails "${sim[@]}"; then
        echo "killed $name by sim $(grep -o 'seed [0-9]* FAILED' "$work/out" | head -n 1)"
        return
    fi
    echo "SURVIVED $name"
}

killed=0
total=0
# A name may stand on a line of its own behind the parenthesis.
names=${MUTANTS:-$(tr '\n' ' ' <src/base/mutant_list.h | grep -o 'PD_MUTANT_ENTRY( *[A-Z0-9_]*' | sed 's/.*( *//')}
for name in $names; do
    verdict=$(look "$name")
    echo "$verdict"
    total=$((total + 1))
    case $verdict in killed*) killed=$((killed + 1)) ;; esac
done
echo "$killed/$total"
[ "$killed" = "$total" ]
