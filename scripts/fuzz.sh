#!/usr/bin/env bash
# scripts/fuzz.sh FOLDER SECONDS: runs every fuzzer in FOLDER for SECONDS each.
#
# A fuzzer starts from tests/fuzz/corpus/NAME, which is kept in git, and collects what it finds in the
# build folder. An input that fails is written to the working folder; add it to the corpus with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob
folder=$1 seconds=$2
fuzzers=("$folder"/*_fuzz)
if [ "${#fuzzers[@]}" -eq 0 ]; then
    echo "No fuzzer yet: they come as tests/fuzz/NAME_fuzz.c"
fi
launcher=()
! command -v setarch >/dev/null || launcher=(setarch -R)
for fuzzer in ${fuzzers[@]+"${fuzzers[@]}"}; do
    name=${fuzzer##*/}
    kept=tests/fuzz/corpus/$name found=$folder/corpus/$name
    mkdir -p "$found"
    corpora=("$found")
    [ ! -d "$kept" ] || corpora+=("$kept")
    echo "== $name, $seconds s"
    log=$folder/$name.log
    if ! "${launcher[@]}" "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
        -print_final_stats=1 "${corpora[@]}" >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "$name failed; all of it is in $log"
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */  inputs run: /p; s/^stat::peak_rss_mb: */  peak MiB: /p' "$log"
done
