#!/bin/sh
# `fmnist drift` on images that have drifted and on such that have not: by a small run that is
# trained here, on Fashion-MNIST where it is, else on the small data set.
#
#   drift.sh FMNIST DRIFT_CASES TINY
set -eu

fmnist=$1
cases=$2
tiny=$3
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive

. "$tests/calls.sh"

# Cases of drift, and how often untouched images fire.
data=$("$fmnist" info --format json | sed -n '/"data"/,/}/s/.*"directory": "\(.*\)".*/\1/p')
if [ -z "$data" ]; then
    echo "SKIP: the rate over untouched samples: Fashion-MNIST is not here, only $tiny"
    data=$tiny
fi
call 0 train --model simple --data "$data" --epochs 1 --epoch-images 6000 --batch 64 --out cases --quiet
"$cases" cases "$data" || fail "cases of drift (drift_cases RUN DATA repeats them)"

# The tool, on the small data set: 50 calibration images, 400 to take from.
call 0 train --model simple --data "$tiny" --epochs 2 --epoch-images 0 --batch 64 --shift 0 --out run --quiet
count=150

# slice FIRST COUNT: so many test images as an IDX file on standard output; changed by a filter.
slice() {
    printf '\000\000\010\003\000\000'
    printf "\\$(printf %03o $(($2 / 256)))\\$(printf %03o $(($2 % 256)))"
    printf '\000\000\000\034\000\000\000\034'
    gzip -dc "$tiny/t10k-images-idx3-ubyte.gz" | tail -c +$((17 + 784 * $1)) | head -c $((784 * $2)) | "${3:-cat}"
}
all=$(awk 'BEGIN { for (i = 0; i < 256; i++) printf "\\%03o", i }')
reversed=$(awk 'BEGIN { for (i = 255; i >= 0; i--) printf "\\%03o", i }')
invert() { LC_ALL=C tr "$all" "$reversed"; }
# Packed bytes are as good as random ones, and the same on every call.
noise() { head -c "$(wc -c)" "$tiny/train-images-idx3-ubyte.gz"; }
slice 100 $count >clean.idx
slice 100 $count invert >inverted.idx
slice 0 4 >four.idx
slice 0 12 >few.idx
echo 'no picture' >broken.png

# Untouched: 0. Drift: 3, after the result, and not called an error.
call 0 drift run clean.idx
out_has "^$count images against [0-9,]+ calibration images, level 0.05: no drift"
out_has '^images +sharpness '
call 3 drift run inverted.idx --quiet
out_has 'drift in outputs, images'
out_has 'inverted.idx#'
err_has '^fmnist: drift in outputs, images'
! grep -q 'error' err || fail "drift is called an error"
call 3 drift run inverted.idx --quiet --format json
out_has '"drift": true'
out_has '"class_shares": true'
out_has '"name": "sharpness"'
cp out first
call 3 drift run inverted.idx --quiet --format json
[ "$(grep -v finished out)" = "$(grep -v finished first)" ] || fail "another answer the second time"
call 3 drift run inverted.idx --format csv
out_has '^kind,name,reference,images,effect,statistic,p,bonferroni,corrected,within,drift'
out_has '^images,mean,0\.[0-9]+,0\.[0-9]+,'
call 3 drift run inverted.idx --format markdown
out_has '^\| images +\| mean '

# What could not be read is told; drift comes first.
call 1 drift run clean.idx broken.png
err_has 'warning: broken.png: '
err_has "no drift in $count images, but 1 more could not be compared"
out_has 'no drift'
call 3 drift run inverted.idx broken.png --format json
out_has '"unreadable": 1'
latin=$(printf 'caf\351')
cp -r run "$latin"
cp broken.png "$latin.png"
cp clean.idx "$latin.idx"
call 1 drift "$latin" "$latin.idx" "$latin.png" --format json # a name that JSON cannot say as it is
out_has '"run": "caf�"'
[ "$(grep -c '"name": "caf�.idx#[0-9]*"' out)" -eq 10 ] || fail "the images furthest off have no names: $(cat out)"
out_has '"name": "caf�.png"'
call 1 drift run clean.idx nowhere.png
err_has 'warning: nowhere.png: no image there'
err_has "no drift in $count images, but 1 more"
call 1 drift run broken.png nowhere.png
err_has 'none of the 2 images could be compared'
mkdir mixed
cp broken.png mixed/broken.jfif
cp broken.png mixed/broken.webp
call 0 drift run clean.idx --quiet
[ ! -s err ] || fail "--quiet is not quiet"
call 1 drift run clean.idx mixed --quiet
err_has '^warning: 1 file is passed over: the pictures of a folder are named .*\.jpe or \*\.jfif$'
err_has 'mixed/broken.jfif: no picture'

# Few images.
call 1 drift run four.idx
err_has '4 images, expected at least 5'
call 0 drift run few.idx
out_has '12 images show little'

# Few calibration images: white noise, which is gross, is not called free of drift.
mkdir scant
cp "$tiny"/t10k-*.gz "$tiny/classes.txt" scant
{
    printf '\000\000\010\003\000\000\000\144\000\000\000\034\000\000\000\034'
    gzip -dc "$tiny/train-images-idx3-ubyte.gz" | tail -c +17 | head -c $((100 * 784))
} >scant/train-images-idx3-ubyte
{
    printf '\000\000\010\001\000\000\000\144'
    gzip -dc "$tiny/train-labels-idx1-ubyte.gz" | tail -c +9 | head -c 100
} >scant/train-labels-idx1-ubyte
slice 0 100 noise >noise.idx
call 3 drift run noise.idx
call 0 train --model simple --data scant --epochs 1 --epoch-images 64 --batch 32 --out five --quiet
call 3 drift five noise.idx
out_has '; 5 calibration images show little'
head -c $((16 + 60 * 784)) scant/train-images-idx3-ubyte >images
head -c $((8 + 60)) scant/train-labels-idx1-ubyte >labels
printf '\074' | dd of=images bs=1 seek=7 conv=notrunc 2>err
printf '\074' | dd of=labels bs=1 seek=7 conv=notrunc 2>err
mv images scant/train-images-idx3-ubyte
mv labels scant/train-labels-idx1-ubyte
call 0 train --model simple --data scant --epochs 1 --epoch-images 32 --batch 32 --out three --quiet
call 1 drift three noise.idx
err_has '3 calibration images, expected at least 5: .*more training images'
[ ! -s out ] || fail "a refusal prints a result"

# Files; those of others stay.
call 3 drift run inverted.idx -o answer
echo mine >answer/mine
[ "$(wc -l <answer/drift.csv)" -eq $((count + 1)) ] || fail "drift.csv has not a line an image"
grep -q '"drift": true' answer/drift.json || fail "drift.json"
grep -q 'furthest off' answer/drift.html || fail "drift.html"
call 1 drift run clean.idx -o answer
err_has 'answer/drift.json is there already: --force replaces it'
mkdir own
echo mine >own/drift.csv
call 1 drift run clean.idx -o own
err_has 'own/drift.csv is there already: --force replaces it'
call 0 drift run clean.idx -o answer --force
grep -q '"drift": false' answer/drift.json || fail "drift.json was not replaced"
[ "$(cat answer/mine)" = mine ] || fail "another's file was touched"

# What cannot be compared.
call 2 drift run clean.idx --level 0
call 2 drift run
[ "$data" = "$tiny" ] || call 1 drift cases clean.idx --data "$tiny"
[ "$data" = "$tiny" ] || err_has 'not the data that the run cases was trained on'
call 0 train --model simple --data "$tiny" --epochs 1 --epoch-images 64 --batch 32 --full --out full --quiet
call 2 drift full clean.idx
err_has '\(--full\): it has no calibration images'
