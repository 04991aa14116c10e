#!/bin/sh
# Runs nvcc (CMake's compiler launcher) and keeps what ptxas says of registers and spills beside the
# object, as OBJECT.ptxas, where a test reads it. Everything else that nvcc says is passed on.
object=
previous=
for argument; do
    [ "$previous" = -o ] && object=$argument
    previous=$argument
done
"$@" 2>"$object.ptxas"
status=$?
grep -vE '^ptxas info|^ +[0-9]+ bytes stack frame|^$' "$object.ptxas" >&2
exit $status
