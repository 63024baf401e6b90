#!/usr/bin/env bash
# The long search of the simulator: SEEDS=10000 of one simulated minute each, from FIRST=1, with floors and marks.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${SEEDS:-10000}
first=${FIRST:-1}
build/bin/pando sim --speed --seed "$first"
exec build/bin/pando sim --seeds "$first..$((first + seeds - 1))" --floors tests/sim/floors.txt --marks
