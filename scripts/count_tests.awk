# Counts tests from ctest's JUnit file (which program ended how) and its log (what each printed). Where
# a program comes twice, the last time counts. Exit status 1 if any failed.

# <testcase name="base/hash" ... status="run|fail|notrun|disabled">
FNR == NR {
    if ($0 ~ /<testcase /) {
        name = $0; sub(/.* name="/, "", name); sub(/".*/, "", name)
        status = $0; sub(/.* status="/, "", status); sub(/".*/, "", status)
        if (!(name in outcome)) {
            order[++programs] = name
        }
        outcome[name] = status
    }
    next
}

# "3/9 Testing: base/hash" begins a program's part of the log; "<end of output>" ends it.
/^[0-9]+\/[0-9]+ Testing: / {
    current = $0; sub(/^[0-9]+\/[0-9]+ Testing: /, "", current)
    passed_in[current] = failed_in[current] = skipped_in[current] = reasons[current] = 0
    round[current]++
    next
}
/^<end of output>/ { current = ""; next }
current == "" { next }

# Found anywhere in the line: a program under test may have left its own line unfinished.
match($0, /\[       OK \] /) { passed_in[current]++ }
match($0, /\[  FAILED  \] /) && $0 !~ /test\(s\)/ { note(failed_in, "\\[  FAILED  \\] ") }
match($0, /\[  SKIPPED \] /) && $0 !~ /test\(s\)/ { note(skipped_in, "\\[  SKIPPED \\] ") }
/^SKIP [^:]+: / { reasons[current]++; print }

# cmocka names a failed or skipped test twice, once more in its closing list.
function note(counts, mark, test) {
    test = $0; sub(".*" mark, "", test)
    if (!((current, round[current], mark, test) in seen)) {
        seen[current, round[current], mark, test] = 1
        counts[current]++
    }
}

END {
    for (i = 1; i <= programs; i++) {
        name = order[i]
        ok = passed_in[name] + 0; bad = failed_in[name] + 0; skips = skipped_in[name] + 0
        if (outcome[name] == "notrun" || outcome[name] == "disabled") {
            ok = 0; bad = 0; skips = 1
        } else if (outcome[name] == "fail" && bad == 0) {
            bad = 1 # it crashed, hung, or is not a cmocka program
        } else if (outcome[name] == "run" && ok + skips == 0) {
            ok = 1
        }
        if (skips > 0 && reasons[name] + 0 == 0) {
            print "SKIP " name ": it gave no reason"
        }
        passed += ok; failed += bad; skipped += skips
    }
    line = passed + 0 " passed, " failed + 0 " failed"
    if (skipped > 0) {
        line = line ", " skipped " skipped"
    }
    print line
    exit failed > 0
}
