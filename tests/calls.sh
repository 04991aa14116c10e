# Read by tests of the tool: calls of $fmnist in the working folder, and what they must have said.
# shellcheck shell=sh

# The test ends, and shows the last call's output.
fail() {
    echo "FAILED: $*"
    [ ! -s out ] || head -n 40 out | sed 's/^/    stdout: /'
    [ ! -s err ] || sed 's/^/    stderr: /' err
    exit 1
}

# call STATUS ARGUMENT...: out and err are what it wrote.
call() {
    wanted=$1
    shift
    status=0
    "$fmnist" "$@" >out 2>err || status=$?
    [ $status -eq "$wanted" ] || fail "'$*' exits with $status, expected $wanted"
}
# Extended regular expressions.
out_has() { grep -qE -- "$1" out || fail "standard output lacks '$1'"; }
err_has() { grep -qE -- "$1" err || fail "standard error lacks '$1'"; }
err_lacks() { ! grep -qE -- "$1" err || fail "standard error has '$1'"; }
has() { grep -qE -- "$2" "$1" || fail "$1 lacks '$2': $(cat "$1")"; }
