#!/bin/sh
# Labels for photographs of every kind, for folders, lists, standard input and IDX files, in every
# format; what cannot be read is told of, and the rest goes on.
#
#   predict.sh FMNIST DATA MAKE_PHOTOGRAPHS
set -eu

fmnist=$1
data=$2
make_photographs=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive

fail() {
    echo "FAILED: $*"
    for stream in out err; do
        [ ! -s "$stream" ] || sed "s/^/    $stream: /" "$stream"
    done
    exit 1
}

# predict STATUS ARGUMENT...: out and err are what it wrote.
predict() {
    wanted=$1
    shift
    status=0
    "$fmnist" predict "$@" >out 2>err || status=$?
    [ "$status" -eq "$wanted" ] || fail "'predict $*' exits with $status, expected $wanted"
}
out_has() { grep -qE -- "$1" out || fail "standard output lacks '$1'"; }
err_has() { grep -qF -- "$1" err || fail "standard error lacks '$1'"; }
# lines FILE NUMBER
lines() { [ "$(wc -l <"$1")" -eq "$2" ] || fail "$1 has not $2 lines"; }

"$fmnist" train --model simple --data "$data" --epochs 3 --batch 64 --precision fp32 --out run --quiet \
    >out 2>err || fail "training"
"$make_photographs" "$data/t10k-images-idx3-ubyte.gz" 0 . || fail "making photographs"

# Every kind of the same picture gets the same label, the data set's for it.
predict 0 run good --format csv --quiet
[ ! -s err ] || fail "--quiet is not quiet"
lines out 11

# Nothing is loaded for it that it does not take: charts and Keras's files need libraries of a long start.
mapped=$(LD_DEBUG=files "$fmnist" predict run good/plain.png 2>&1 >out)
case $mapped in
*fmnist-cpu.so*) ;;
*) fail "the loader does not tell which files it maps" ;;
esac
case $mapped in
*cairo* | *libhdf5* | *fmnist-charts* | *fmnist-hdf5*) fail "'predict' maps a module that it has no use for" ;;
esac
predict 0 run good --format csv --quiet
head -n 1 out | tr -d '\r' | grep -qx 'image,class,probability,error' || fail "the CSV's heading"
for name in 'cut out.png' deep.png palette.png photo.jpg plain.png print.jpg slow.JPEG turned.jpg \
    woven.png ycck.jpg; do
    out_has "^good/$name,Ankle boot,0\.[0-9]+,"
done

# In every format the same; the bad ones are told of, and the exit status says so.
predict 1 run good bad --format csv
out_has '^bad/bomb.png,,,"the picture is of 16384x16384 pixels, expected'
out_has '^bad/empty.png,,,"the file is empty'
lines out 17
err_has "warning: bad/cut.jpg: the JPEG file is cut off"
err_has "warning: bad/cut.png: the PNG file is cut off"
err_has "warning: bad/text.png: no picture"
err_has "warning: bad/white.png: nothing but background"
[ "$(tail -n 1 err)" = "fmnist: error: 6 of 16 images could not be classified" ] || fail "the last line"
predict 1 run good bad
lines out 12
out_has '^image +class +probability$'
out_has '^good/deep.png +Ankle boot +[0-9.]+ %$'
for format in text markdown; do # no row, no head
    predict 1 run bad/white.png --format $format
    [ ! -s out ] || fail "a table of nothing"
    err_has "1 of 1 image could not be classified"
done
predict 1 run good bad --format markdown --top 2
out_has '^\| good/deep.png \| Ankle boot \| [0-9.]+ % \| [A-Z]'
predict 1 run good bad --format json --top 3
lines out 16
out_has '^\{"name": "good/deep.png", "top": \[\{"class": "Ankle boot", "probability": 0\.[0-9]+\}, \{'
out_has '^\{"name": "bad/text.png", "error": "no picture'
[ "$(grep -c '"top": \[\({"class": "[^"]*", "probability": [0-9.e-]*}[], ]*\)\{3\}' out)" -eq 10 ] ||
    fail "not three classes each"
predict 0 run good/deep.png --top 200 --format json
[ "$(grep -o '"class"' out | wc -l)" -eq 10 ] || fail "--top of more than there are"

# Standard input, a list, and names that would steer a terminal.
predict 0 run - --format csv <good/photo.jpg
out_has '^"?.?-"?,Ankle boot,'
printf 'good/deep.png\r\n\ngood/none.png\n' >list
predict 1 run --from list --format csv
out_has '^good/deep.png,Ankle boot,'
out_has '^good/none.png,,,no image there'

# A name that there is not is as one in a list; where there is no other, too.
predict 1 run good/deep.png good/none.png good/photo.jpg --format json --quiet
out_has '^\{"name": "good/none.png", "error": "no image there: No such file or directory"\}'
[ "$(cut -d '"' -f 4 out | tr '\n' ' ')" = "good/deep.png good/none.png good/photo.jpg " ] ||
    fail "the pictures around one that there is not"
err_has "warning: good/none.png: no image there"
[ "$(tail -n 1 err)" = "fmnist: error: 1 of 3 images could not be classified" ] || fail "the last line"
for source in list/none "--from none.list"; do
    echo list/none >none.list
    # shellcheck disable=SC2086 # a list of words
    predict 1 run $source --format csv --quiet
    out_has '^list/none,,,no image there: Not a directory'
    err_has "1 of 1 image could not be classified"
done
# Files of a folder that are no pictures by their names are counted in a line; hidden ones are not.
mkdir -p mixed/deep
cp good/photo.jpg mixed/photo.JFIF
cp good/photo.jpg mixed/deep/photo.jpe
cp good/photo.jpg mixed/photo
cp good/photo.jpg mixed/.hidden
echo webp >mixed/deep/shirt.webp
predict 0 run mixed --format csv --quiet
lines out 3
out_has '^mixed/deep/photo.jpe,Ankle boot,'
[ "$(cat err)" = "warning: 2 files are passed over: the pictures of a folder are named *.png, *.jpg, \
*.jpeg, *.jpe or *.jfif" ] || fail "what is passed over is not told, or not in a line"
odd=$(printf 'odd\033[2J\n\377.png')
mkdir odd
cp good/deep.png "odd/$odd"
cp bad/text.png "odd/bad$odd"
for format in text markdown csv json; do
    predict 1 run odd --format "$format"
    ! LC_ALL=C grep -qa "$(printf '[\033\377]')" out err || fail "a name steers the terminal"
    out_has 'Ankle boot'
    grep -qaF '[2J' out || fail "the name is not told"
done
[ "$(grep -c odd err)" -eq 1 ] || fail "a message of several lines"

# What the network sees: of one that is read again as it is, the label is the same to the last digit.
predict 1 run good bad --show seen --format csv
[ "$(ls seen | wc -l)" -eq 10 ] || fail "--show writes $(ls seen | wc -l) files"
sed -n 's/^good\/turned.jpg,\([^,]*,[0-9.]*\).*/\1/p' out >expected
[ -s expected ] || fail "no row"
predict 0 run seen/8-turned.png --convert none --format csv
sed -n 's/^seen\/8-turned.png,\([^,]*,[0-9.]*\).*/\1/p' out >found
cmp -s expected found || fail "other probabilities for what --show wrote: $(cat expected found)"
predict 1 run good --show seen
err_has "seen/1-cut out.png is there already: --force replaces what has the same name, or name another"
lines out 0
predict 0 run good --show seen --force

# A first batch without a row leaves the head to the next.
seq 256 | sed 's/.*/none.png/' >list
echo good/deep.png >>list
predict 1 run --from list --quiet
lines out 3
head -n 1 out | grep -q '^image  *class  *probability$' || fail "no heading"

# As text, a later batch stands in the columns of the first, whose names are longer.
cp good/deep.png "good/a name that is longer than the others.png"
{
    echo "good/a name that is longer than the others.png"
    for _ in $(seq 300); do echo good/deep.png; done
} >list
predict 0 run --from list
lines out 303
[ "$(awk '{ print length }' out | sort -u | wc -l)" -eq 1 ] || fail "the columns are shifted"
rm "good/a name that is longer than the others.png"

# The test images, in batches, are labelled as 'eval' has it.
predict 0 run "$data/t10k-images-idx3-ubyte.gz" --format csv
lines out 401
[ "$(grep -c '^image,' out)" -eq 1 ] || fail "several headings"
gzip -dc "$data/t10k-labels-idx1-ubyte.gz" | tail -c +9 | od -An -v -t u1 -w1 >labels
"$fmnist" eval run --data "$data" --format csv >eval 2>err || fail "eval"
right=$(tr -d '\r' <out | tail -n +2 | cut -d , -f 2 | paste -d , labels - |
    awk -F , 'FNR == NR { name[NR - 1] = $1; next } name[$1 + 0] == $2 { n++ } END { print n + 0 }' \
        "$data/classes.txt" -)
grep -q "^correct,,,$right" eval || fail "$right right labels, but: $(grep ^correct eval)"

# A weights file alone does as well as the run that it is of, wherever it lies.
cp run/model.safetensors alone.safetensors
cp out of-run
predict 0 alone.safetensors "$data/t10k-images-idx3-ubyte.gz" --format csv
err_has "alone.safetensors is taken for a weights file: computed in fp32"
cmp -s out of-run || fail "other labels from the weights alone"
"$fmnist" eval alone.safetensors --data "$data" --format csv >out 2>err || fail "eval of weights"
grep -vE '^(taught|same_data),' eval >expected
cmp -s out expected || fail "another evaluation of the weights alone"
err_has "it says that it was trained on the training split, not of which data"
"$fmnist" eval alone.safetensors --data "$data" >out 2>err || fail "eval of weights"
out_has '^alone.safetensors +test +training split of data not known '

# It is believed where it says that nothing was held out; where it says nothing, nothing is known.
LC_ALL=C sed 's/"trained_on":"split"/"trained_on":"all"  /' alone.safetensors >all.safetensors
LC_ALL=C sed 's/"trained_on"/"trained_xx"/' alone.safetensors >unknown.safetensors
"$fmnist" eval all.safetensors --data "$data" >out 2>err || fail "eval of weights of --full"
out_has '^all.safetensors +test +all training images of data not known '
for split in select calibrate; do
    status=0
    "$fmnist" eval all.safetensors --data "$data" --split $split >out 2>err || status=$?
    [ "$status" -eq 2 ] || fail "eval --split $split of weights of --full exits with $status"
    err_has "says that it was trained on all training images (--full): there is no $split split"
done
"$fmnist" eval unknown.safetensors --data "$data" --split select >out 2>err || fail "eval"
err_has "what it was trained on is not known"
out_has '^unknown.safetensors +select +not known '
"$fmnist" eval unknown.safetensors --data "$data" --format csv >out 2>err || fail "eval"
! grep -q '^full,' out || fail "it is told what is not known"
predict 1 "$data/classes.txt" good
err_has "is neither safetensors nor HDF5 nor ONNX"
! grep -q 'before the pictures' err || fail "a text is taken for a picture"

# A picture where the run belongs, whatever it is called.
cp good/photo.jpg named.safetensors
for picture in good/plain.png named.safetensors; do
    predict 1 "$picture" good
    err_has "$picture: is neither safetensors nor HDF5 nor ONNX: a "
    err_has "; predict takes a RUN before the pictures: 'fmnist predict RUN $picture'"
    [ ! -s out ] || fail "'$picture' prints a result"
done
for command in "label alone.safetensors good -o labels" "audit alone.safetensors" \
    "drift alone.safetensors good" "bench alone.safetensors" "report alone.safetensors"; do
    # shellcheck disable=SC2086 # a list of words
    "$fmnist" $command >out 2>err && fail "'$command' takes a weights file"
    err_has "alone.safetensors is a file, expected a run folder"
done

# What cannot work is told before a device is opened.
for arguments in "none good" "run --from none"; do
    # shellcheck disable=SC2086 # a list of words
    predict 1 $arguments
    lines err 1
    [ ! -s out ] || fail "'$arguments' prints a result"
done
predict 2 run
err_has "no images named"
predict 2 run good --top 0
