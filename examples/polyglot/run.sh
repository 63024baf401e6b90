#!/usr/bin/env bash
# Builds the shop and opens it.
#
#   run.sh [ORDERS]      a file with a line for each order, "-" for standard input; default orders.txt
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${POLYGLOT:-$here/../../build/polyglot}
pando=${PANDO:-$here/../../build/bin/pando}
[ -x "$pando" ] || pando=pando
"$here/build.sh" "$folder"
[ "${1:-}" = - ] || exec <"${1:-$here/orders.txt}"
exec "$pando" run "$folder/app.yaml"
