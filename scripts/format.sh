#!/usr/bin/env bash
# Formats every C file of the tree in place: first long comments, then the code.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files -co --exclude-standard -- '*.c' '*.h' |
    while read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done)
[ "${#files[@]}" -gt 0 ] || exit 0
scripts/wrap_comments.py "${files[@]}"
clang-format -i "${files[@]}"
echo "Formatted ${#files[@]} files."
