#!/usr/bin/env bash
# scripts/soak.sh FOLDER: runs every soak program in FOLDER, one after the other.
set -euo pipefail
shopt -s nullglob
programs=("$1"/*_soak)
if [ "${#programs[@]}" -eq 0 ]; then
    echo "No soak program yet: they come as tests/soak/NAME_soak.c"
fi
for program in ${programs[@]+"${programs[@]}"}; do
    echo "== ${program##*/}"
    "$program"
done
