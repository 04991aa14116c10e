# awk -f skipped.awk CTEST_OUTPUT LAST_TEST_LOG
#
# Prints "SKIPPED name: reason" for everything that a ctest run skipped: whole tests, which
# ctest's output names and whose reason is in their own output in LastTest.log (the line with
# "skip" in it, else the last one); what a test that has passed left out (its lines of "SKIP: ");
# single cmocka cases; and what a nested ctest run has reported in the same form.

FNR == 1 {
    file++
}

file == 1 {
    if ($0 ~ /^[ \t]+[0-9]+ - .* \((Skipped|Disabled)\)$/) {
        name = $0
        sub(/^[ \t]+[0-9]+ - /, "", name)
        sub(/ \([A-Za-z]*\)$/, "", name)
        skipped[name] = 1
    }
    next
}

/^[0-9]+\/[0-9]+ Test: / {
    name = $0
    sub(/^[0-9]+\/[0-9]+ Test: /, "", name)
    reason = last = ""
}

/^Output:$/ {
    output = 1
    next
}

/^<end of output>$/ {
    output = 0
    if (name in skipped) {
        if (reason == "")
            reason = last
        sub(/^[Ss][Kk][Ii][Pp][A-Za-z]*: */, "", reason)
        print "SKIPPED " name ": " (reason == "" ? "no reason given" : reason)
    }
    next
}

!output {
    next
}

/^SKIPPED / {
    print "SKIPPED " name " > " substr($0, 9)
    next
}

/^SKIP: / && !(name in skipped) {
    print "SKIPPED " name ", in part: " substr($0, 7)
    next
}

# cmocka names a skipped case as it ends and once more in its summary.
/^\[  SKIPPED \] / && !/test\(s\)/ {
    if (!((name, $0) in seen)) {
        seen[name, $0] = 1
        print "SKIPPED " name ", case " substr($0, 14) ": " (last == "" ? "no reason given" : last)
    }
    next
}

/[A-Za-z]/ && !/^\[[ =A-Z-]*\]/ {
    last = $0
    if (reason == "" && tolower($0) ~ /skip/)
        reason = $0
}
