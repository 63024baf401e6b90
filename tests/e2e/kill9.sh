#!/usr/bin/env bash
# A few rounds of `make kill9`: a node that is killed under load loses nothing that it acknowledged.
set -euo pipefail
"$PANDO_SOURCE_DIR/scripts/kill9.sh" 5 1
echo "OK kill9"
