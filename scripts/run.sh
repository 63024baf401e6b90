#!/usr/bin/env bash
# `make run`: counts words with supervised actors, one of which is made to crash, and compares the
# total with `wc -w`. FILES names the texts; without it, the licences that every Debian machine has.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${FILES:-}" ]; then
    read -r -a files <<<"$FILES"
else
    files=()
    # Regular files only: the folder also holds links like GPL, which would count a text twice.
    for file in /usr/share/common-licenses/*; do
        [ ! -f "$file" ] || [ -L "$file" ] || files+=("$file")
    done
fi
for file in "${files[@]}"; do
    [ -r "$file" ] || { echo "make run: cannot read '$file'; give readable files with FILES=..." >&2; exit 2; }
done

build/bin/pando run examples/wordcount/app.yaml "${files[@]}"
