#!/usr/bin/env bash
# scripts/power_loss.sh [ROUNDS]: cuts the power of running programs, ROUNDS times each.
#
# build/bin/power-loss records what a program writes, builds the folders that a power cut could have left, and restarts
# the program on them. MUTANTS=1 does it with the slips that only a power cut shows (preset "mutants"): each must be
# caught within ROUNDS.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-200}
seed=${SEED:-1}

if [ "${MUTANTS:-0}" = 0 ]; then
    build/bin/power-loss --subject parts --rounds "$rounds" --seed "$seed"
    exit
fi

scripts/build.sh mutants "${JOBS:-2}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PANDO_MUTANT
tool=build-mutants/bin/power-loss
if ! "$tool" --rounds "$rounds" --seed "$seed" --work "$work"; then
    echo "fails without a mutant"
    exit 1
fi
killed=0
total=0
for name in ${NAMES:-WAL_NO_SYNC WAL_NO_NAME_SYNC WAL_CUT_TOO_EARLY WAL_VOTE_NOT_CARRIED STORE_INDEX_APART}; do
    total=$((total + 1))
    code=0
    PANDO_MUTANT=$name "$tool" --rounds "$rounds" --seed "$seed" --work "$work" >"$work/out" 2>&1 || code=$?
    if [ "$code" = 1 ]; then
        killed=$((killed + 1))
        echo "killed $name: $(head -n 1 "$work/out")"
    else
        echo "SURVIVED $name: $(head -n 1 "$work/out")"
    fi
done
echo "$killed/$total"
[ "$killed" = "$total" ]
