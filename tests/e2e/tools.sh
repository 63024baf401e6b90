#!/usr/bin/env bash
# What people have of the commands before they run one: help, words that are nearly right, completion, man pages.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"

# --- Words that are nearly right ----------------------------------------------------------------------------------
runs 2 kv gte greeting
said "Did you mean 'get'?"
runs 2 clutser status
said "Did you mean 'cluster'?"
runs 2 cluster memebrs
said "Did you mean 'members'?"
runs 2 start --listen-cleint off
said "Did you mean --listen-client?"
runs 2 kv get --prefx users/
said "Did you mean --prefix?"
runs 2 kv --data x get a
said "options follow the command"
runs 2 kv
said "which of its commands?"
said "del KEY"
runs 2 start x
said "one word too many: 'x'"
runs 0 start --help
printed "--log-segment SIZE"
printed "--store-lag N"
runs 2 kv get --endpoints foo greeting
said "'foo' is no endpoint"
runs 2 kv get --timeout 0 greeting
said "--timeout takes a time such as 90s, 30m, 24h, 7d: 1s to 1d"
runs 2 cluster ticket --expires 10000d
said "1s to 3650d"
runs 2 kv get --endpoints "" greeting
said "--endpoints takes a text that is not empty"
runs 2 nope
said "there is no command 'nope'"
said_not "Did you mean"
runs 2 kv delete greeting
said "there is no command 'kv delete'. Did you mean 'pando kv del'?"
runs 2 kv list
said "Did you mean 'pando kv get --prefix"
runs 2 kv ptu
said "Did you mean 'put'?"
for words in kv "kv put" "wal verify" run man start cluster "cluster remove" top; do
    # shellcheck disable=SC2086
    runs 0 $words --help
    printed "usage: pando $words"
done

# --- Completion: what each shell offers -----------------------------------------------------------------------------
"$PANDO" completion bash >"$work/pando.bash"
# offers WORD...: what bash offers for the last one.
offers() {
    shown="bash: $*"
    bash -c 'source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pando
        printf "%s\n" "${COMPREPLY[@]}"' bash "$work/pando.bash" "$@" >"$out" 2>"$err" || fail "$shown: failed"
    [ ! -s "$err" ] || { fail "$shown:"; cat "$err"; }
}
offers pando clus
output_is cluster
offers pando kv ''
printed put
printed del
offers pando completion z
output_is zsh
offers pando man clu
output_is cluster
offers pando kv get --pre
output_is --prefix
offers pando kv get --prefix users/ -o j
output_is json
mkdir "$work/a folder"
offers pando kv get --data "$work/a f"
output_is "$work/a folder"
runs 2 completion tcsh
said "none of bash, zsh, fish"
if command -v zsh >/dev/null; then
    "$PANDO" completion zsh >"$work/_pando"
    zsh -f -n "$work/_pando" || fail "zsh: the script is wrong"
else
    skip zsh "not installed"
fi
if command -v fish >/dev/null; then
    "$PANDO" completion fish >"$work/pando.fish"
    HOME=$work fish --no-config -c "source $work/pando.fish; complete -C 'pando kv get --pre'" >"$out"
    shown=fish
    printed "--prefix"
else
    skip fish "not installed"
fi

# --- Man pages --------------------------------------------------------------------------------------------------------
runs 0 man --folder "$work/man"
for page in "$work/man"/*.1; do
    if command -v mandoc >/dev/null; then
        mandoc -T lint -W warning "$page" >"$out" 2>&1 || { fail "$page"; cat "$out"; }
    fi
done
if command -v man >/dev/null; then
    shown="man -l pando-kv.1"
    MANWIDTH=80 man -l "$work/man/pando-kv.1" >"$out" 2>"$err" || fail "$shown: failed"
    [ ! -s "$err" ] || { fail "$shown:"; cat "$err"; }
    printed "pando kv put [OPTION ...] KEY VALUE"
    printed "--serializable"
    printed "EXIT STATUS"
fi
runs 1 man --folder "$work/no/such/folder"
said "cannot make the folder"
runs 2 man fly
said "there is no command 'fly'"

finish
