#!/bin/sh
# vgg16 with weights of others, as a user trains it: a frozen base, whose features are kept; a base
# that is trained on; what is refused; runs that are stopped, killed and gone on with.
#
#   transfer.sh FMNIST WEIGHTS_TOOL DATA BACKEND
#
# BACKEND cpu: all of it. cuda (the simulated device): what computes alone, on fewer images.
# shellcheck disable=SC2086 # lists of words
set -eu

fmnist=$1
tool=$2
data=$3
backend=$4
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

# Threads that spin at a barrier starve one another when other tests have the cores.
export OMP_WAIT_POLICY=passive
export XDG_CACHE_HOME="$work/cache"
unset SIM_SEED SIM_DEVICE SIM_DRIVER SIM_MEMORY SIM_INJECT SIM_SHADOW

. "$tests/calls.sh"

. "$tests/run_figures.sh"

# The file of images or labels, of the first N ones.
first() {
    case $2 in
    *images*)
        size=784 header=16 dimensions='\003'
        ;;
    *)
        size=1 header=8 dimensions='\001'
        ;;
    esac
    {
        # shellcheck disable=SC2059 # octal escapes
        printf "\\000\\000\\010$dimensions\\000\\000\\000\\$(printf %03o "$1")"
        [ $size -eq 1 ] || printf '\000\000\000\034\000\000\000\034'
        gzip -dc "$data/$2" | tail -c +$((header + 1)) | head -c $(($1 * size))
    } | gzip -1 >"small/$2"
}
mkdir small
cp "$data/classes.txt" small
first 60 train-images-idx3-ubyte.gz
first 60 train-labels-idx1-ubyte.gz
first 20 t10k-images-idx3-ubyte.gz
first 20 t10k-labels-idx1-ubyte.gz

"$tool" make base.safetensors 1 || fail "no weights"
sum=$(sha256sum base.safetensors | cut -d' ' -f1)
plain="--shift 0 --flip false --erase 0"
base="--model vgg16 --weights base.safetensors --backend $backend"
# A tail batch, averages, the best epoch's weights.
some="--data small --batch 16"
few="$some --epochs 2 --ema-decay 0.5 --keep best"

# differing RUN OTHER: the tensors that differ, in a line.
differing() {
    "$tool" differ "$1/model.safetensors" "$2/model.safetensors" >names || fail "cannot compare"
    tr '\n' ' ' <names
}

# ---- A frozen base: the head alone is trained

call 0 train $base $plain $few --out frozen
err_has '^features of 60 images: [0-9,]+ images/s$'
out_has '^model +begun with .* features .* run folder$'
out_has '^vgg16 +frozen base \(torchvision\) '
for key in '"mode": "frozen"' "\"weights\": \"$work/base.safetensors\"" "\"sha256\": \"$sum\"" \
    '"source": "torchvision"' '"known": ""' '"unfreeze": null' '"base_rate": null' \
    '"feature_views": 0' '"feature_seconds": [0-9]' '"features_computed": 60'; do
    has frozen/result.json "$key"
done
has frozen/result.json "\"backend\": \"$backend\""
tr -d ' \n' <frozen/data.json >flat
has flat '"mean":\[0\.48[0-9]*,0\.45[0-9]*,0\.40[0-9]*\],"deviation":\[0\.22[0-9]*,0\.22'
[ "$(find cache/fmnist/features -name '*.safetensors' | wc -l)" -eq 1 ] || fail "no features are kept"
[ -z "$(find cache/fmnist/features -name '*.partial')" ] || fail "features are kept in part"

# Again, from the kept ones; and with none kept.
call 0 train $base $plain $few --out kept
err_has "^features of 60 images: kept by an earlier call in $work/cache/fmnist"
err_lacks '^features of .* images/s$'
has kept/result.json '"features_computed": 0'
same kept frozen

if [ "$backend" = cpu ]; then # the simulated device is slow
    find cache >cache-before
    call 0 train $base $plain $few --no-feature-cache --out none
    err_lacks 'kept (by|in) |not kept'
    has none/result.json '"features_computed": 60'
    same none frozen
    find cache | cmp -s - cache-before || fail "--no-feature-cache keeps features"

    # Another head on the same base: nothing of the base may differ.
    call 0 train $base $plain $few --seed 2 --out other
    [ "$(differing frozen other)" = "fc1.weight fc1.bias fc2.weight fc2.bias " ] ||
        fail "with a frozen base these differ: $(differing frozen other)"
fi

# ---- A base that is trained on: its last block, or all of it

tuning=$few
[ "$backend" = cpu ] || tuning="$some --epochs 1 --epoch-images 16 --train-eval 16"
call 0 train $base $plain $tuning --mode finetune --out last
has last/result.json '"mode": "finetune"'
has last/result.json '"unfreeze": "last"'
! grep -q 'feature_seconds' last/result.json || fail "a run without features tells of them"
out_has '^vgg16 +fine-tuned base \(torchvision\) '
head="fc1.weight fc1.bias fc2.weight fc2.bias "
block5="conv5_1.weight conv5_1.bias conv5_2.weight conv5_2.bias conv5_3.weight conv5_3.bias "
[ "$(differing frozen last)" = "$block5$head" ] ||
    fail "of a base whose last block is trained these differ: $(differing frozen last)"

[ "$backend" = cpu ] || exit 0

call 0 train $base $plain $some --mode finetune --unfreeze all --epochs 1 --out all
differing frozen all >/dev/null
[ "$(wc -l <names)" -eq 30 ] || fail "of 30 tensors these were trained: $(cat names)"
# No rate at all leaves the base as it is.
call 0 train $base $plain $some --mode finetune --unfreeze all --base-rate 0 --epochs 1 --out still
[ "$(differing frozen still)" = "$head" ] ||
    fail "at rate 0 of the base these differ: $(differing frozen still)"

# Once there is a checkpoint the file is not needed any more.
kill_at_checkpoint tuned $base $plain $few --mode finetune
mv base.safetensors moved.safetensors
call 0 train --resume tuned
err_has 'going on from'
same tuned last

# ---- A run that is moved away from its weights

mkdir unfinished
cp frozen/config.json frozen/data.json unfinished
call 1 train --resume unfinished
err_has "the run began with weights of SHA-256 $(echo $sum | cut -c1-16)\.\.\., and --weights FILE names where they are now: .*$work/base.safetensors"
"$tool" make base.safetensors 2
other=$(sha256sum base.safetensors | cut -c1-16)
call 1 train --resume unfinished
err_has "base.safetensors: its SHA-256 is $other\.\.\., the run began with weights of $(echo $sum | cut -c1-16)\.\.\.: --weights FILE"
call 0 train --resume unfinished --weights moved.safetensors
err_has 'kept by an earlier call'
same unfinished frozen
call 2 train --resume unfinished --mode finetune
err_has '--mode cannot stand beside --resume'
mv moved.safetensors base.safetensors

# ---- Killed and stopped: the same bits as an unbroken run's

big="$base $plain --data $data --epochs 12 --epoch-images 400 --batch 32"
call 0 train $big --feature-cache unbroken --checkpoint-seconds 0 --out whole
has whole/result.json '"features_computed": 1000'

# begin RUN FILE SIZE OPTION...: in the background, until a file of this name is of this size.
begin() {
    run=$1 file=$2 size=$3
    shift 3
    "$fmnist" train $big --checkpoint-seconds 0.001 --out "$run" "$@" >out 2>err &
    child=$!
    tries=0
    until find . -path "./$file" -size +"$size" 2>/dev/null | grep -q .; do
        kill -0 $child 2>/dev/null || fail "the training has ended before there was $file"
        tries=$((tries + 1))
        [ $tries -lt 3000 ] || fail "there was never $file"
        sleep 0.02
    done
}
# ends STATUS
ends() {
    status=0
    wait $child 2>/dev/null || status=$?
    child=
    [ $status -eq "$1" ] || fail "the training ends with status $status, expected $1"
}

begin killed 'features 1/features/*.partial' 500k --feature-cache 'features 1'
kill -KILL $child
ends 137
[ -e killed/config.json ] || fail "the run folder is not made before features are computed"
call 0 train --resume killed --feature-cache 'features 1'
err_has '^features of (256|512|768) images: kept by an earlier call in features 1$'
err_has '^features of 1,000 images: [0-9,]+ images/s$'
grep -qE '"features_computed": (744|488|232)$' killed/result.json ||
    fail "features that were kept count as computed: $(grep features_computed killed/result.json)"
same killed whole

begin stopped 'features 2/features/*.partial' 0 --feature-cache 'features 2'
kill -INT $child
ends 130
err_has "^fmnist: training vgg16: stopped by SIGINT after features of (256|512|768) of 1,000 images, kept in features 2; 'fmnist train --resume stopped --feature-cache 'features 2'' goes on from there$"
[ ! -e stopped/result.json ] || fail "a stopped training leaves a result"
call 0 train --resume stopped --feature-cache 'features 2'
err_has 'images: kept by an earlier call'
same stopped whole

# The head's training, and features that are lost meanwhile.
begin head head/last.safetensors 0 --feature-cache unbroken
kill -KILL $child
ends 137
[ ! -e head/result.json ] || fail "the head was trained before it could be killed"
call 0 train --resume head --no-feature-cache
err_has 'going on from head/last.safetensors'
has head/result.json '"features_computed": 1000'
same head whole

# ---- A damaged file of features

for file in unbroken/features/*.safetensors; do
    printf 'damaged' | dd of="$file" bs=1 seek=5000 conv=notrunc 2>/dev/null
done
call 0 train $big --feature-cache unbroken --out again
err_has 'warning: unbroken/features/.*its checksum is wrong: these features are computed again'
same again whole

# ---- Augmented views, all images, seeds, time, sizes

views="$base $some --epochs 2 --shift 2 --flip false --erase 0 --feature-views 2"
call 0 train $views --out views
err_has '^features of 60 images: kept'
err_has '^features of 60 images, view 1 of 2: '
err_has '^features of 60 images, view 2 of 2: '
has views/result.json '"features_computed": 120'
call 0 train $views --seeds 2 --full --keep last --out group
has group/seed-1/result.json '"features_computed": 0'
has group/seed-2/result.json '"features_computed": 120' # draws of its own
has group/seed-1/result.json '"select_accuracy": null'
out_has '^vgg16 +frozen base \(torchvision\) .* mean '
call 0 train $views --mix 0.5 --out mixed
has mixed/result.json '"features_computed": 0' # what is mixed is made from the same ones
[ "$(differing views mixed)" = "$head" ] || fail "mixing features changes no head, or a base"
call 0 train $base $plain $some --epochs 50 --max-minutes 0.001 --out short
has short/result.json '"ended_early": true'
err_has 'ended by --max-minutes'
call 0 train $base $plain $few --input-size 48 --out large
err_lacks 'kept (by|in) |not kept'
has large/config.json '"input_size": 48'
[ "$(differing frozen large)" = "$head" ] || fail "another input size changes the base"

# ---- What takes a run takes one with a frozen base

call 0 eval large --data small
out_has '^large +test '
call 0 eval frozen --data small --format json
tr -d ' \n' <out >flat
correct=$(sed -n '/^  "test": {/,/^  }/s/^    "correct": \([0-9]*\),/\1/p' frozen/result.json)
has flat "\"correct\":$correct,"
call 0 predict frozen small/t10k-images-idx3-ubyte.gz --format csv
[ "$(wc -l <out)" -eq 21 ] || fail "20 images have $(wc -l <out) lines"
call 0 report frozen large --out report
[ -s report/report.html ] || fail "there is no report: $(ls report)"

# ---- What is refused, before anything is made

refused() {
    message=$1
    shift
    call 2 train "$@" --data small --out refused
    err_has "$message"
    [ ! -e refused ] || fail "'$*' leaves a folder"
}
of="--weights base.safetensors $plain"
refused '--mode frozen begins with the weights of a file: --weights FILE' --model vgg16 --mode frozen
refused '--mode finetune begins with the weights of a file' --model vgg16 --mode finetune
refused '--mode scratch draws all weights' --model vgg16 $of --mode scratch
refused "--weights is for model 'vgg16', not for 'simple'" --model simple $of
refused "--input-size is for model 'vgg16', not for 'simple'" --model simple --input-size 32
refused '--input-size 40: expected 32, 48 or 64' --model vgg16 --input-size 40
refused '--feature-views is for --mode frozen, not for finetune' --model vgg16 $of --mode finetune --feature-views 2
refused '--no-feature-cache is for --mode frozen, not for finetune' --model vgg16 $of --mode finetune --no-feature-cache
refused '--unfreeze is for --mode finetune, not for frozen' --model vgg16 $of --unfreeze all
refused '--base-rate is for --mode finetune, not for frozen' --model vgg16 $of --base-rate 0.5
refused '--feature-cache says what becomes of the weights of a file' --model vgg16 --feature-cache x
refused 'augments images, .* --feature-views K' --model vgg16 --weights base.safetensors --shift 2
refused '--feature-views 2: .* augments nothing' --model vgg16 $of --feature-views 2
refused 'rectangles of images would be mixed .* --mix-cut 0 averages' --model vgg16 $of --mix 0.5 --mix-cut 0.5
refused '--feature-cache and --no-feature-cache exclude each other' --model vgg16 $of --feature-cache x --no-feature-cache
call 1 train --model vgg16 --weights none.safetensors $plain --data small --out refused
err_has 'none.safetensors: No such file'
call 1 train --model vgg16 --weights small/classes.txt $plain --data small --out refused
err_has 'classes.txt'
[ ! -e refused ] || fail "a file that holds no weights leaves a folder"

# ---- Weights of runs of ours, by what they were trained on

call 1 train --model vgg16 --weights group/seed-1/model.safetensors $plain --data small --out refused
err_has 'model.safetensors: these weights were trained with --full, on images that are held out here'
[ ! -e refused ] || fail "weights that know too much leave a folder"
call 0 train --model vgg16 --weights frozen/model.safetensors $plain $few --out from-split
err_lacks 'does not say what it was trained on'
LC_ALL=C sed 's/"trained_on"/"trained_xx"/' frozen/model.safetensors >unknown.safetensors
call 0 train --model vgg16 --weights unknown.safetensors $plain $few --out from-unknown
err_has 'warning: .*unknown.safetensors: does not say what it was trained on'
! grep -qa '"trained_on"' from-unknown/model.safetensors ||
    fail "a run on weights of which it is not known what they know says that it knows"
grep -qa '"trained_on":"split"' from-split/model.safetensors || fail "from-split does not say so"
call 1 train --model simple $some --epochs 1 --teacher from-unknown --out refused
err_has 'teacher .*from-unknown began with weights that do not say what they were trained on'
[ ! -e refused ] || fail "a teacher that may know too much leaves a folder"
call 0 train --model simple $some --epochs 1 --teacher from-split --out taught
out_has '^simple +vgg16 \(begun with weights of fmnist\), 0\.9 of the targets '

# Beside --resume, what the run has no use for.
mkdir drawn
sed -e '/"transfer": {/,/^  }/c\  "transfer": null,' frozen/config.json >drawn/config.json
call 2 train --resume drawn --weights base.safetensors
err_has '--weights: the run in drawn began with drawn weights'
call 2 train --resume drawn --no-feature-cache
err_has '--no-feature-cache is for --mode frozen, not for scratch'
