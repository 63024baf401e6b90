#!/usr/bin/env bash
# `make run`: counts words with supervised actors, one of which is made to crash, and compares the total
# with `wc -w`. Exit code 0: they are equal; 1: they are not, or counting failed; 2: mistakes in FILES.
#
#   FILES="..."   the texts, separated by blanks; patterns are expanded. Without it, the licences that
#                 every Debian machine has.
#   PACE=MS       wait so long before each chunk, to have time to look inside from another terminal
#   SEED=N        deterministic: one thread, virtual time; prints the hash of all that happened
#   OPTIONS="..." more options of the guest: OPTIONS=--help lists them
set -euo pipefail
cd "$(dirname "$0")/.."
build=${PANDO_BUILD_DIR:-build}
pando=${PANDO:-$build/bin/pando}
guest=$build/share/examples/wordcount.wasm
readonly directories_max=32

fail() { printf 'make run: %s\n' "$*" >&2; mistakes=$((mistakes + 1)); }

# Canonical names: a guest sees directories, and no link leads out of them.
mistakes=0 files=() names=()
if [ -n "${FILES:-}" ]; then
    # Splitting and patterns are wanted here.
    # shellcheck disable=SC2206
    names=($FILES)
else
    # Regular files only: the folder also holds links like GPL, which would count a text twice.
    for name in /usr/share/common-licenses/*; do
        if [ -f "$name" ] && [ ! -L "$name" ]; then names+=("$name"); fi
    done
    [ "${#names[@]}" -gt 0 ] || fail "no text in /usr/share/common-licenses; name yours with FILES=..."
fi
for name in ${names[@]+"${names[@]}"}; do
    if [ ! -e "$name" ]; then
        fail "there is no '$name'; FILES=... wants files that exist (names without blanks)"
    elif [ -d "$name" ]; then
        fail "'$name' is a directory; name the files in it: FILES='$name/*'"
    elif [ ! -f "$name" ]; then
        fail "'$name' is no regular file; copy it to one"
    elif [ ! -r "$name" ]; then
        fail "'$name' cannot be read by $(id -un)"
    fi
done
[ "$mistakes" -eq 0 ] || exit 2
mapfile -d '' files < <(realpath -ze -- "${names[@]}")

# The directories that the guest is given: those of the files, or, where they are many, what is above.
directories=$(printf '%s\n' "${files[@]}" | sed 's|/[^/]*$||; s|^$|/|' | sort -u)
while [ "$(wc -l <<<"$directories")" -gt "$directories_max" ]; do
    depth=$(awk -F/ 'NF > max { max = NF } END { print max }' <<<"$directories")
    directories=$(awk -F/ -v depth="$depth" 'NF == depth { sub("/[^/]*$", "") } { print $0 == "" ? "/" : $0 }' \
        <<<"$directories" | sort -u)
done
options=()
while IFS= read -r directory; do options+=(--dir "$directory"); done <<<"$directories"
[ -z "${SEED:-}" ] || options+=(--seed "$SEED")

# What a word is changed in GNU wc 9.5: ask the one that is here.
guest_options=()
[ "$(printf '\001' | LC_ALL=C wc -w)" -eq 0 ] || guest_options+=(--any-byte)
[ -z "${PACE:-}" ] || guest_options+=(--pace "$PACE")
read -r -a more <<<"${OPTIONS:-}"
guest_options+=(${more[@]+"${more[@]}"})

output=$(mktemp)
trap 'rm -f "$output"' EXIT
echo "Counting words with supervised WebAssembly actors. One of them will crash on the way."
status=0
"$pando" run "${options[@]}" "$guest" ${guest_options[@]+"${guest_options[@]}"} -- "${files[@]}" |
    tee "$output" || status=$?
if [ "$status" -ge 128 ]; then
    echo "make run: interrupted" >&2
    exit "$status"
elif [ "$status" -ne 0 ]; then
    echo "make run: counting failed: exit code $status" >&2
    exit "$status"
fi

counted=$(sed -n 's/^added up by reducers: //p' "$output")
expected=$(cat -- "${files[@]}" | LC_ALL=C wc -w)
printf '\n'
printf '%-28s%12s words\n' 'Pando:' "$counted" 'cat FILES | LC_ALL=C wc -w:' "$expected"
if [ "$counted" != "$expected" ]; then
    echo "They differ. Did a file change meanwhile? If not, this is a bug: please report it with the files."
    exit 1
fi
echo "Equal: the crash lost no word, and none was counted twice."

cat <<TEXT

What to try next:
  make run FILES='README.md src/*/*.c'   your own text; large files are welcome
  make run SEED=7                        the same run twice: look at the hash of all that happened
  make run OPTIONS=--crash-reducer       one of those who add up crashes too
TEXT
if "$pando" help 2>/dev/null | grep -qE '^ +ps\b'; then
    cat <<TEXT
  make run PACE=500                      slowly, and meanwhile in another terminal:
      $pando ps --tree
      $pando kill mapper.2     kill any mapper or reducer: the sums stay right
TEXT
fi
cat <<TEXT
  $pando run examples/supervisor/app.yaml
                                         a smaller tree, declared in YAML; its source is beside it
  make test, make bench-actors, make help
TEXT
