#!/bin/sh
# The tool on folders of pictures: trained, evaluated and compared like a data set in IDX format.
#
#   own_pictures.sh FMNIST MAKE_PICTURES DATA
set -eu

fmnist=$1
make=$2
data=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive XDG_CACHE_HOME="$work/cache"

fail() {
    echo "FAILED: $*"
    [ ! -s err ] || sed 's/^/    stderr: /' err
    exit 1
}
call() {
    "$fmnist" "$@" >out 2>err || fail "'$*' exits with $?"
}
out_has() { grep -qE -- "$1" out || fail "standard output lacks '$1': $(cat out)"; }
err_has() { grep -qE -- "$1" err || fail "standard error lacks '$1'"; }
err_lacks() { ! grep -qE -- "$1" err || fail "standard error has '$1'"; }

recipe="--model simple --epochs 2 --epoch-images 0 --batch 32 --precision fp32"
# shellcheck disable=SC2086 # a list of words
train() { call train $recipe "$@"; }

"$make" "$data" mine 20 5
train --data mine --out run
err_has '^pictures: 250 in 10 classes converted in '
err_has '^data: mine, 180 images to train on, 10 to select, 10 to calibrate, 50 to test, 10 classes'
warned='^warning: the kept epoch is chosen on 10 images, fewer than 100, .*--keep last'
err_has "$warned"
out_has 'simple +mine +fp32 '
grep -q '"T-shirt-top"' run/data.json || fail "the class names are not the folders'"
grep -q "\"directory\": \"$work/mine\"" run/data.json || fail "data.json does not name the folder"
grep -q '"pictures": true' run/result.json || fail "result.json does not tell of pictures"
grep -q '"test_held_out": false' run/result.json || fail "result.json tells of held out pictures"

# From the run alone, with what has been kept.
call eval run --format json
out_has '"same_data": true'
out_has '"count": 50'
err_lacks 'converted'
call train --resume run
err_lacks 'converted'

# The cache is a data set like any other, and gives the same training.
train --data cache/fmnist/datasets/* --out again
err_lacks 'pictures'
for file in log.jsonl last.safetensors; do
    cmp run/$file again/$file || fail "the same data in another format give another $file"
done

# A comparison finds the finished run by its data.
call compare --models simple --data mine --epochs 2 --epoch-images 0 --batch 32 --precision fp32 \
    --runs . --out compared
err_has 'reusing the finished run \./(run|again)'
err_lacks 'converted'

# Without a test folder a tenth is held out, and that is said.
mv mine/test test
train --data mine --out held
err_has 'a tenth of each class, are held out'
err_has '^data: mine, 162 images to train on, 9 to select, 9 to calibrate, 20 to test'
grep -q '"test_held_out": true' held/result.json || fail "result.json does not tell what is held out"
mv mine/train/* mine && rmdir mine/train # the same classes without a folder around them
train --data mine --out held --force
err_has '^data: mine, 162 images to train on'

# Other pictures are other data.
for picture in mine/Bag/*.png; do
    rm "$picture"
    break
done
status=0
"$fmnist" eval held --format json >out 2>err || status=$?
[ $status -eq 0 ] || fail "eval on changed pictures exits with $status"
err_has 'converted in'
out_has '"same_data": false'

# Where nothing can be kept it is done in memory, and said; what cannot be read is named.
printf 'no picture' >mine/Bag/broken.jpg
XDG_CACHE_HOME=/proc/version call train --model simple --data mine --epochs 1 --epoch-images 32 \
    --batch 32 --out memory
err_has 'not kept, and will be converted again'
err_has '^warning: Bag/broken.jpg: left out: '

# JPEGs turned by EXIF, in inks and in grey, PNGs with alpha, palettes and 16 bits: three of a class
# are enough, just.
if [ "$("$fmnist" info | grep -cE '^(libjpeg|libexif).*compiled against')" -eq 2 ]; then
    sed 1d "$data/../photos/labels.csv" | tr / - | while IFS=, read -r name label; do
        mkdir -p "photos/$label"
        cp "$data/../photos/$name" "photos/$label"
    done
    train --data photos --out photographs
    err_has '^pictures: 30 in 10 classes converted in '
    err_has '^data: photos, 18 images to train on, 1 to select, 1 to calibrate, 10 to test, 10 classes'
    err_has '^warning: the kept epoch is chosen on 1 image, fewer'
    out_has ' epochs +kept '
    train --data photos --out last --keep last
    err_lacks '^warning'
    out_has ' 2 +2 +last$'
    cp "$data"/../photos-odd/* photos/Bag
    call eval photographs
    [ "$(grep -c '^warning: Bag/.*: left out: ' err)" -eq 3 ] || fail "odd files are not named"
    out_has '^photographs +test +training split +10 '
fi

# info finds them; a folder that is none is told what one looks like.
call info --data mine
out_has '^data +mine'
mkdir none
"$fmnist" train --model simple --data none >out 2>err && fail "an empty folder is taken for data"
err_has 'a folder of PNG or JPEG files for each class'
