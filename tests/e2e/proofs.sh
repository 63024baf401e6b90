#!/usr/bin/env bash
# The proofs are replayed from the committed session: no prover runs, so the machine's load decides nothing.
set -euo pipefail
case $PANDO_BUILD_DIR in
    */build) ;;
    *) echo "SKIP e2e/proofs: the proofs do not depend on how the program is built; the release build replays them"
       exit 77 ;;
esac
if ! command -v frama-c >/dev/null; then
    echo "SKIP e2e/proofs: no frama-c; 'scripts/deps.sh prove' installs it"
    exit 77
fi
"$PANDO_SOURCE_DIR/scripts/prove.sh" --replay
