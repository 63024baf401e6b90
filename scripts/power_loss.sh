#!/usr/bin/env bash
# scripts/power_loss.sh [ROUNDS]: cuts the power of running programs, ROUNDS times each.
#
# build/bin/power-loss records what a program writes, builds the folders that a power cut could have left, and restarts
# the program on them: `pando start` under clients, and log and store alone. MUTANTS=1 does it with the slips that only a
# power cut shows (preset "mutants"), and prints which of the two catches each; one of them must.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-200}
seed=${SEED:-1}
subjects=${SUBJECTS:-node parts}

if [ "${MUTANTS:-0}" = 0 ]; then
    for subject in $subjects; do
        echo "$subject: seed $seed"
        build/bin/power-loss --subject "$subject" --rounds "$rounds" --seed "$seed"
    done
    exit
fi

scripts/build.sh mutants "${JOBS:-2}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PANDO_MUTANT
tool=build-mutants/bin/power-loss
killed=0
total=0
for name in ${NAMES:-WAL_NO_SYNC WAL_NO_NAME_SYNC WAL_CUT_TOO_EARLY WAL_VOTE_NOT_CARRIED STORE_INDEX_APART}; do
    is_killed=0
    total=$((total + 1))
    for subject in $subjects; do
        code=0
        PANDO_MUTANT=$name "$tool" --subject "$subject" --rounds "$rounds" --seed "$seed" --work "$work" \
            >"$work/out" 2>&1 || code=$?
        if [ "$code" = 1 ]; then
            is_killed=1
            echo "killed $name by $subject: $(head -n 1 "$work/out")"
        else
            echo "not seen: $name by $subject: $(head -n 1 "$work/out")"
        fi
        rm -rf "$work"/*
    done
    killed=$((killed + is_killed))
done
echo "$killed/$total"
[ "$killed" = "$total" ]
