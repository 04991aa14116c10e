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

# kill_at_checkpoint RUN ARGUMENT...: a training into RUN, killed as soon as it has a checkpoint; a
# test that ends meanwhile has $child to kill.
kill_at_checkpoint() {
    run=$1
    shift
    "$fmnist" train "$@" --checkpoint-seconds 0.001 --out "$run" >out 2>err &
    child=$!
    tries=0
    until [ -e "$run/last.safetensors" ]; do
        kill -0 $child 2>/dev/null || fail "the training has ended before its first checkpoint"
        tries=$((tries + 1))
        [ $tries -lt 3000 ] || fail "there was never a checkpoint"
        sleep 0.02
    done
    kill -KILL $child
    wait $child 2>/dev/null || true
    child=
}
