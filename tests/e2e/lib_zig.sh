# Sourced after lib.sh by the tests that build guests in Zig, where the user's cache is in XDG_CACHE_HOME: puts the Zig that
# scripts/zig.sh brings first in PATH. Where that cannot be had, one of this machine will do; with none that Pando's SDK is
# for, $without_zig says why.
# shellcheck shell=bash
without_zig=
zig_code=0
zig_folder=$("$PANDO_SOURCE_DIR/scripts/zig.sh" 2>"$work/zig.log") || zig_code=$?
case $zig_code in
    # What it compiles for every program of a kind is kept; a test's own are in its folder.
    0) export PATH=$zig_folder:$PATH ZIG_GLOBAL_CACHE_DIR=${zig_folder%/*}/compiled ;;
    77) [[ $(zig version 2>/dev/null) == 0.1[3-7].* ]] || without_zig=$(tail -n 1 "$work/zig.log") ;;
    *)
        without_zig='scripts/zig.sh failed'
        fail "scripts/zig.sh: exit code $zig_code"
        tail -n 20 "$work/zig.log"
        ;;
esac
