#!/bin/sh
# Runs that are stopped, starved, damaged and gone on with: what is told, what stays, what comes of it.
#
#   stop_test.sh FMNIST DATA
# shellcheck disable=SC2059,SC2086 # octal escapes; lists of words
set -eu

program=$1
data=$2
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"
cd "$work"

# Threads that spin at a barrier starve one another when other tests have the cores.
export OMP_WAIT_POLICY=passive

# Copies that any user may read: one of the cases below is another user's. The program finds its
# modules beside the file that it was loaded from, and the recipes in data/ beside that folder.
mkdir bin tiny data
cp -L "$program" "$(dirname "$program")"/libfmnist.so.? bin
cp -r "$(dirname "$program")/modules" bin
cp -r "$data/../recipes" data
cp "$data"/*.gz "$data"/classes.txt tiny
chmod -R a+rX bin tiny data
fmnist=$work/bin/fmnist

. "$tests/calls.sh"

# Epochs of 10 steps, the last of an epoch a smaller one. So many of them that a run which is stopped
# early is far from its end, however late the signal comes.
epochs=6
all=$((10 * epochs))
steps="--model simple --precision fp32 --epochs $epochs --epoch-images 158 --batch 16 --threads 2"
recipe="$steps --data tiny"

. "$tests/run_figures.sh"

# start ARGUMENT...: in the background, a checkpoint after every step.
start() {
    "$fmnist" train --checkpoint-seconds 0.001 "$@" >out 2>err &
    child=$!
}
# alive WHEN: the process started last must not have ended.
alive() {
    kill -0 $child 2>/dev/null || fail "the training has ended $1"
}
# Until the program has the file open; what becomes the program may have the shell's descriptors yet.
wait_open() {
    tries=0
    until [ "$(readlink "/proc/$child/exe")" = "$fmnist" ] &&
        find "/proc/$child/fd" -lname "*/$1" 2>/dev/null | grep -q .; do
        alive "before it opened $1"
        tries=$((tries + 1))
        [ $tries -lt 6000 ] || fail "$1 was never opened"
        sleep 0.02
    done
}
# Until the process has taken the signal: of two that wait at once one is lost.
taken() {
    tries=0
    while grep -qE '^S[ih][gd]Pnd:.*[1-9a-f]' "/proc/$child/status"; do
        tries=$((tries + 1))
        [ $tries -lt 6000 ] || fail "a signal was never taken"
        sleep 0.02
    done
}
# Until the file has so many lines.
wait_lines() {
    tries=0
    while [ "$(cat "$1" 2>/dev/null | wc -l)" -lt "$2" ]; do
        alive "before $1 had $2 lines"
        tries=$((tries + 1))
        [ $tries -lt 6000 ] || fail "$1 never had $2 lines"
        sleep 0.02
    done
}
# The process started last must end with this status.
ends() {
    status=0
    wait $child 2>/dev/null || status=$?
    child=
    [ $status -eq "$1" ] || fail "the training ends with status $status, expected $1"
}
# fresh NAME: a copy of the run that SIGINT stopped, as it was then.
fresh() {
    rm -rf "$1"
    cp -r stopped "$1"
}
resume() {
    call 0 train --resume "$@"
}

call 0 train $recipe --checkpoint-seconds 0 --out whole
cp out whole.out

# ---- SIGINT and SIGTERM: the step is finished, a checkpoint written, it is told how to go on

start $recipe --out int
wait_lines int/times.jsonl 12
kill -INT $child
ends 130
err_has "^fmnist: training simple: stopped by SIGINT after step [0-9]+ of $all; 'fmnist train --resume int' goes on from there\$"
[ ! -s out ] || fail "a stopped training prints a result"
step=$(sed -n 's/.*stopped by SIGINT after step \([0-9]*\) of.*/\1/p' err)
tail -n 1 int/times.jsonl >line
has line "^\{\"step\":$step,"
[ "$step" -lt $all ] || fail "the stop came after the last step"
[ ! -e int/result.json ] || fail "a stopped training leaves a result"
mv int stopped

fresh int
resume int
err_has "^simple: going on from int/last.safetensors: step $step of $all, $(((step - 1) / 10)) of $epochs epochs done"
same int whole

start $recipe --quiet --out term
wait_lines term/times.jsonl 4
kill -TERM $child
ends 143
err_has "^fmnist: training simple: stopped by SIGTERM after step [0-9]+ of $all; "
err_has '^warning: the kept epoch is chosen on 50 images' # which --quiet leaves
[ "$(wc -l <err)" -eq 2 ] || fail "--quiet is not quiet"
# Lines that came after the checkpoint are cut, and one that a crash cut short.
lines=$(cat term/log.jsonl 2>/dev/null | wc -l)
tail -n $((epochs - lines)) whole/log.jsonl >>term/log.jsonl
printf '{"epoch":7,"step"' >>term/log.jsonl
tail -n 1 term/times.jsonl >line
sed 's/"step":[0-9]*/"step":'$((all - 1))'/; s/"total_seconds":[0-9.]*/"total_seconds":7200.5/' line >>term/times.jsonl
resume term
same term whole
! grep -q '7200.5' term/times.jsonl || fail "a surplus line of times stays"
! grep -qE '"total_seconds": 7[0-9]{3}' term/result.json || fail "a surplus line of times counts"

# ---- Of a finished run the result is printed again, and nothing computed

before=$(cksum <whole/result.json)
resume whole --data nowhere
cmp -s out whole.out || fail "the result of a finished run is told otherwise the second time"
[ "$(cat err)" = "whole: finished; its result again" ] ||
    fail "something is told besides the result of a finished run"
[ "$(cksum <whole/result.json)" = "$before" ] || fail "the result of a finished run was changed"

# ---- Before the data are there: the configuration is; a second SIGINT ends at once

mkdir slow
cp tiny/* slow
last=t10k-labels-idx1-ubyte.gz
rm slow/$last
mkfifo slow/$last
exec 4<>slow/$last # opened both ways, which waits for no other side
start $steps --data slow --out early 4>&-
wait_open $last
[ -s early/config.json ] || fail "there is no config.json before the data are read"
[ ! -e early/data.json ] || fail "there is a data.json before the data are read"
kill -INT $child
taken
sleep 0.1 # or it is taken for an echo of the first (FM_INTERRUPT_ECHO)
alive "by the first SIGINT, while it was reading its data"
kill -INT $child
ends 130
! grep -q 'stopped by' err || fail "the second SIGINT is answered as the first"

# One SIGINT while the data are read: the first step is finished, and it is told as ever.
start --resume early 4>&-
wait_open $last
kill -INT $child
cat tiny/$last >&4
exec 4>&-
ends 130
err_has "stopped by SIGINT after step 1 of $all"
rm early/last.safetensors
call 1 train --resume early --data nowhere
err_has 'nowhere'
[ -s early/config.json ] || fail "a run is taken away because its data are"
resume early --data tiny
! grep -q 'going on from' err || fail "a run without a checkpoint goes on from one"
same early whole

# ---- One process a folder; a disk that is full for a while

fresh busy
start --resume busy
wait_lines busy/times.jsonl $((step + 3))
kill -STOP $child
call 1 train --resume busy
err_has 'busy: another process is training in this folder'
kill -KILL $child
ends 137
cp busy/last.safetensors last
status=0
(
    trap '' XFSZ
    ulimit -f 2000
    exec "$fmnist" train --resume busy --checkpoint-seconds 0.001 >out 2>err
) || status=$?
[ $status -eq 1 ] || fail "a checkpoint that is too large for the disk: exit status $status"
err_has '^fmnist: error: training simple: the checkpoint of step [0-9]+: busy/last.safetensors.*: File too large$'
cmp -s busy/last.safetensors last || fail "a full disk costs the checkpoint that was there"
[ -z "$(find busy -name '*.tmp*')" ] || fail "a full disk leaves half written files: $(ls busy)"
resume busy
same busy whole

# The same on a file system that is really full: two checkpoints do not fit on it.
cat >full-disk.sh <<'END'
set -eu
mount -t tmpfs -o size=20m fmnist "$1"
cp -r stopped/config.json stopped/data.json "$1"
status=0
"$2" train --resume "$1" --checkpoint-seconds 0.001 >out 2>err || status=$?
echo $status >full-status
ls "$1" >full-files
mount -o remount,size=200m fmnist "$1"
"$2" train --resume "$1" >out 2>full-err
cp -r "$1" full-disk
END
mkdir full
if unshare -m sh -c 'mount -t tmpfs -o size=20m fmnist full' 2>/dev/null; then
    unshare -m sh full-disk.sh full "$fmnist" || fail "after a full disk: $(cat full-err)"
    [ "$(cat full-status)" -eq 1 ] || fail "a full disk: exit status $(cat full-status)"
    err_has 'the checkpoint of step [0-9]+: full/last.safetensors.*: No space left on device$'
    grep -qx last.safetensors full-files || fail "a full disk costs the checkpoint that was there"
    ! grep -q tmp full-files || fail "a full disk leaves half written files: $(cat full-files)"
    has full-err 'going on from full/last.safetensors: step [1-9]'
    same full-disk whole
else
    echo "SKIP: a full file system: none can be mounted here"
fi

# ---- Write permission taken away

fresh locked
as=
if [ "$(id -u)" -eq 0 ]; then
    as="setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all"
    chown -R 65534:65534 locked
fi
if $as true 2>/dev/null; then
    chmod 555 locked
    status=0
    $as "$fmnist" train --resume locked --checkpoint-seconds 0.001 >out 2>err || status=$?
    chmod 755 locked
    [ $status -eq 1 ] || fail "a folder that must not be written to: exit status $status"
    err_has 'the checkpoint of step [0-9]+: locked/last.safetensors.*: Permission denied$'
    for file in last.safetensors previous.safetensors; do
        cmp -s locked/$file stopped/$file || fail "$file is not what it was"
    done
    resume locked
    same locked whole
else
    echo "SKIP: write permission: root cannot become another user here"
fi

# ---- Damage is noticed, told with what to do, and costs no more than the newest checkpoint

# flip FILE OFFSET: one bit of it.
flip() {
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
refused() {
    call 1 train --resume hurt
    err_has "hurt/last.safetensors"
    err_has "cannot be used \(without it the training goes on from previous.safetensors: move it away\)"
    cmp -s hurt/previous.safetensors stopped/previous.safetensors || fail "the previous is touched"
    cp stopped/last.safetensors hurt
}
fresh hurt
size=$(wc -c <stopped/last.safetensors)
state=$(grep -abo 'epoch_step' stopped/last.safetensors | head -n 1 | cut -d : -f 1)
[ "$state" -gt 0 ] || fail "no state in the checkpoint's header"
# The header's length, a digit of the position, the first and the last tensor's bits.
for offset in 1 $((state + 13)) $((size / 5)) $((size - 1)); do
    flip hurt/last.safetensors "$offset"
    ! cmp -s hurt/last.safetensors stopped/last.safetensors || fail "nothing flipped at $offset"
    refused
done
for bytes in 0 7 $((size / 2)) $((size - 1)); do
    truncate -s "$bytes" hurt/last.safetensors
    refused
done
mv hurt/last.safetensors hurt/away
resume hurt
err_has "going on from hurt/previous.safetensors: step $((step - 1)) of $all"
same hurt whole
# Without any, from step 0.
fresh hurt
rm hurt/*.safetensors
resume hurt
same hurt whole

# ---- What a run goes on with is what it began with

fresh other
before=$(cat other/* | cksum)
for option in "--epochs 6" --tf32 --allow-nondeterministic "--workspace 64" "--model simple" "--seed 1" "--seeds 2" "--out x" --force --full --emulate \
    "--precision fp32" "--recipe best" "--batch 32"; do
    call 2 train --resume other $option
    err_has "${option%% *} cannot stand beside --resume"
done
call 2 train $recipe --strict
err_has '--strict is for --resume'
mkdir others
for kind in images-idx3 labels-idx1; do
    cp tiny/t10k-$kind-ubyte.gz others
    cp tiny/t10k-$kind-ubyte.gz others/train-$kind-ubyte.gz
done
cp tiny/classes.txt others
call 1 train --resume other --data others
err_has 'other: the data or the configuration are not those that the run began with'
call 1 train --resume other --threads 1 --strict
err_has 'what computes has changed: .*threads was 2, is 1'
[ "$(cat other/* | cksum)" = "$before" ] || fail "a refusal changes the run"
resume other --threads 1
err_has 'warning: what computes has changed since the run began: .*threads was 2, is 1'
has other/compute.json '"changed"'
call 1 train --resume nowhere
err_has 'nowhere: no such file or folder'
mkdir empty
call 1 train --resume empty
err_has 'empty holds no run: there is no config.json in it'

# ---- --max-minutes counts the time of all calls and ends with an epoch

fresh minutes
sed '$s/"total_seconds":[0-9.]*/"total_seconds":3600.5/' stopped/times.jsonl >minutes/times.jsonl
resume minutes --max-minutes 60
has minutes/result.json '"ended_early": true'
ended=$(wc -l <minutes/log.jsonl)
[ "$ended" -eq $(((step + 9) / 10)) ] || fail "--max-minutes: $ended epochs after a stop at $step"
has minutes/result.json "\"steps\": $((10 * ended)),"
has minutes/result.json '"total_seconds": 360[0-9]'
out_has "  $ended +$epochs +[0-9]+ .*minutes\$"
fresh minutes
sed '$s/"total_seconds":[0-9.]*/"total_seconds":3600.5/' stopped/times.jsonl >minutes/times.jsonl
resume minutes --max-minutes 100
has minutes/result.json '"ended_early": false'
has minutes/result.json "\"epochs\": $epochs,"

# ---- --full: every image, nothing to select on, and all that is told says so

call 0 train $recipe --full --out everything
out_has 'tiny, all 1,000 training images'
! grep -q selection out || fail "--full has a selection accuracy"
has everything/result.json '"full": true'
has everything/result.json '"train_images": 1000,'
for key in select_accuracy select_nll gap; do
    has everything/result.json "\"$key\": null"
done
has everything/log.jsonl '"select_accuracy":null,"select_nll":null'
call 0 eval everything --data tiny
for split in select calibrate; do
    call 2 eval everything --data tiny --split $split
    err_has "was trained on all training images \(--full\): there is no $split split"
done
call 2 train $recipe --full --keep best --out never
err_has '--full leaves no images'

# ---- --seeds: killed in the second, gone on with, one table

start $recipe --seeds 3 --out group
wait_lines group/seed-2/times.jsonl 5
kill -KILL $child
ends 137
[ -e group/seed-1/result.json ] && [ -e group/seed-3/config.json ] || fail "the group: $(ls group/*)"
before=$(cksum <group/seed-1/result.json)

# Stopped by a signal it names the folder of all, as a shell takes it.
mv group 'the group'
lines=$(wc -l <'the group/seed-2/times.jsonl')
start --resume 'the group'
wait_lines 'the group/seed-2/times.jsonl' $((lines + 2))
kill -INT $child
ends 130
err_has "stopped by SIGINT after step [0-9]+ of $all; 'fmnist train --resume 'the group'' goes on from there\$"
[ ! -s out ] || fail "a stopped group prints a result"
[ ! -e 'the group/seed-2/result.json' ] || fail "the stop came after the second seed's end"
mv 'the group' group
call 0 train --resume group
[ "$(cksum <group/seed-1/result.json)" = "$before" ] || fail "a finished seed was trained again"
out_has '^simple .* 3  .* group/seed-3$'
out_has '^simple .* mean '
out_has '^simple .* deviation '
has group/summary.md '^\| simple .*\| *deviation'
same group/seed-1 whole
call 0 train $recipe --seed 2 --checkpoint-seconds 0 --out second
same group/seed-2 second
call 0 train --resume group --format json
tr -d ' ,\n' <out >flat
for i in 1 2 3; do
    sed -n '/^  "test": {/,/^  }/s/^    "accuracy": \([0-9.]*\),/\1/p' group/seed-$i/result.json
done >accuracies
[ "$(sort -u accuracies | wc -l)" -gt 1 ] || fail "all seeds have the same accuracy: $(cat accuracies)"
number='"test_accuracy":\([0-9.e-]*\)'
sed "s/.*\"mean\":{$number.*\"deviation\":{$number.*/\1 \2/" flat >told
awk 'NR == FNR { sum += $1; value[FNR] = $1; next }
    { mean = sum / 3
      for (i = 1; i <= 3; i++) squares += (value[i] - mean) ^ 2
      off = $1 - mean; off2 = $2 - sqrt(squares / 2)
      exit !(off ^ 2 < 1e-18 && off2 ^ 2 < 1e-18 && $2 > 0) }' accuracies told ||
    fail "of $(tr '\n' ' ' <accuracies)mean and deviation are told as $(cat told)"

# ---- Precisions by rounding: what loss scaling did is in the log

short="--model simple --data tiny --epoch-images 96 --batch 32"
call 0 train $short --epochs 1 --precision fp16 --out half
out_has 'fp16, by rounding'
has half/log.jsonl '"skipped":[0-9]+,"growths":0,"loss_scale":(65536|32768|16384|8192)\.0\}'
has half/result.json '"emulate": true'
call 0 train $short --epochs 1 --precision bf16 --emulate --out brain
out_has 'bf16, by rounding'
has brain/log.jsonl '"skipped":0,"growths":0,"loss_scale":1\.0\}'

# ---- A loss that is no number ends the run with the layer in which that began

call 1 train $recipe --optimiser sgd --learning-rate 100 --schedule constant --out burst
err_has 'is not finite by step [0-9]+ \(epoch [1-6]\); it began in .* layer (conv|fc)[0-9]'
err_has '--learning-rate \(now 100\)'
[ ! -e burst/result.json ] || fail "a training without a result leaves one"
