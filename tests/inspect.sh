#!/bin/sh
# `fmnist inspect`: what it says of files, and how it ends.
#
#   inspect.sh FMNIST DATA
set -eu

fmnist=$1
data=$2
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

. "$tests/calls.sh"

header='{"conv1.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
printf '%b' "\\0$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0" >small
printf '%s' "$header" >>small
printf '\0\0\0\0\0\0\0\0' >>small

call 0 inspect small
out_has '^format +safetensors$'
out_has '^tensors +1$'
out_has '^conv1.weight +F32 +\[2\] +2 +8$'
[ ! -s err ] || fail "standard error is not empty"
call 0 inspect small --format markdown
out_has '^\| conv1.weight +\|'
call 0 inspect small --format csv
[ "$(tr -d '\r' <out)" = 'name,type,shape,elements,bytes
conv1.weight,F32,[2],2,8' ] || fail "not the CSV expected"
call 0 inspect small --format json
out_has '"sha256": "'"$(sha256sum small | cut -d ' ' -f 1)"'"'

call 0 inspect "$data/t10k-labels-idx1-ubyte.gz"
out_has '^format +IDX$'
call 1 inspect nothing
err_has 'nothing: No such file'
call 2 inspect .
err_has 'model\.safetensors'
call 2 inspect
printf 'PK\3\4' >zip
call 1 inspect zip
err_has 'save the tensors as safetensors'
head -c 40 small >"cut"
call 1 inspect "cut"
err_has 'cut: the header is said to have 65 bytes, but 32 follow'
