#!/bin/sh
# Reports of small runs: which files there are, what is refused, and that a class whose name is
# markup stays a name. Leaves a page for report_browser.sh.
#
#   report.sh FMNIST DATA FOLDER
set -eu

fmnist=$1
data=$2
work=$3
rm -rf "$work"
mkdir -p "$work"
cd "$work"

# Threads that spin at a barrier starve one another when other tests have the cores.
export OMP_WAIT_POLICY=passive

fail() {
    echo "FAILED: $*"
    [ ! -s err ] || sed 's/^/    stderr: /' err
    exit 1
}

call() {
    "$fmnist" "$@" >out 2>err || fail "'$*' exits with $?"
}
# refused STATUS PATTERN ARGUMENT...
refused() {
    expected=$1
    pattern=$2
    shift 2
    status=0
    "$fmnist" "$@" >out 2>err || status=$?
    [ "$status" -eq "$expected" ] || fail "'$*' exits with $status, expected $expected"
    grep -qE -- "$pattern" err || fail "'$*': standard error lacks '$pattern'"
    [ ! -s out ] || fail "'$*' prints a result"
}
train() {
    call train --epochs 1 --epoch-images 0 --batch 64 --shift 0 --quiet "$@"
}

# Classes whose names would be markup, end a script, or both. Tested on the training images, which
# are more: cells then count more images than they show.
cp -r "$data" hostile
for part in images-idx3 labels-idx1; do
    cp "hostile/train-$part-ubyte.gz" "hostile/t10k-$part-ubyte.gz"
done
sed -i -e '1s/.*/<img src=x onerror=alert(1)>/' -e '4s/.*/"><\/script><script>alert(2)<\/script>/' \
    -e "7s/.*/'\\&quot;<!-- \${7*7} \\&amp;/" hostile/classes.txt

train --model simple --data hostile --out runs/a
train --model simple --data hostile --out runs/b --seed 2
train --model simple-ref --data hostile --out runs/ref

# The files of a report, and where it is told that it is.
call report runs/a runs/ref -o both
[ "$(cat out)" = both/report.html ] || fail "the page is not told: $(cat out)"
for stem in accuracy accuracy-parameters accuracy-latency coverage curve-accuracy-simple \
    curve-loss-simple confusion-simple confusion-percent-simple reliability-simple samples-simple \
    mistakes-simple mistakes-simple-ref; do
    head -c 8 "both/$stem.png" | grep -q PNG || fail "both/$stem.png is no PNG"
    grep -q '<svg' "both/$stem.svg" || fail "both/$stem.svg is no SVG"
done
[ "$(grep -c '\.png"' both/report.json)" -eq "$(ls both | grep -c '\.png$')" ] ||
    fail "report.json lists other pictures than there are"
grep -q '"test_accuracy": 0\.[0-9]' both/report.json || fail "report.json has no accuracy"
accuracy=$(grep -m 1 '"accuracy"' runs/a/result.json | tr -dc '0-9.' | cut -c 1-6)
grep -q "\"test_accuracy\": $accuracy" both/report.json || fail "report.json: not $accuracy, the run's"
grep -q 'not Fashion-MNIST' both/report.html || fail "the page hides which data it is about"
# Names that are markup: nowhere as they are.
! grep -qE '<img src=x|<script>alert|<!-- [$]' both/report.html || fail "a name became markup"
grep -q '&lt;img src=x onerror=alert(1)&gt;' both/report.html || fail "a name is missing"

# Not over what is there, unless told to; then without what was of other runs, and nothing else goes.
refused 1 'both: holds a report already; --force' report runs/a -o both
echo mine >both/mine.png
call report runs/a --out both --force
[ ! -e both/mistakes-simple-ref.png ] || fail "--force leaves pictures of a run that is not told of"
[ -s both/mistakes-simple.svg ] && [ -s both/mine.png ] || fail "--force takes too much"

# Two runs of one model are told apart by their folders; the folder has a name of its own.
call report runs/a runs/b
page=$(cat out)
case $page in report-2*/report.html) ;; *) fail "the folder is called $page" ;; esac
[ -s "${page%/*}/confusion-b.png" ] || fail "runs of one model are not told apart"

# Folders' names that are not UTF-8, or longer than a picture's name should be.
latin=runs/$(printf 'caf\351')
long=runs/$(printf '\303\274%.0s' $(seq 90))
cp -r runs/a "$latin"
cp -r runs/a "$long"
call report "$latin" "$long" -o named
for name in "$(printf 'caf\357\277\275')" "$(printf '\303\274%.0s' $(seq 62))"; do
    [ -s "named/confusion-$name.svg" ] || fail "no named/confusion-$name.svg: $(ls named)"
    grep -qF "\"run\": \"$name\"" named/report.json || fail "report.json does not name $name"
done
[ "$(grep -c '\.png"' named/report.json)" -eq "$(ls named | grep -c '\.png$')" ] ||
    fail "named/report.json lists other pictures than there are"

# Or that end like a picture's.
cp -r runs/a runs/a.svg
cp -r runs/a runs/b.png
call report runs/a.svg runs/b.png -o suffixes
for name in a.svg b.png; do
    for kind in curve-accuracy curve-loss confusion confusion-percent reliability samples mistakes; do
        head -c 8 "suffixes/$kind-$name.png" | grep -q PNG || fail "$kind-$name.png is no PNG"
        grep -q '<svg' "suffixes/$kind-$name.svg" || fail "$kind-$name.svg is no SVG"
    done
done
[ "$(grep -cE '^ *"[^:]*\.(png|svg)"' suffixes/report.json)" -eq "$(ls suffixes | grep -cE '\.(png|svg)$')" ] ||
    fail "suffixes/report.json lists other pictures than there are"

# Curves of several runs have symbols, so that their colours are not all that tells them apart.
for colour in '0%, *45' '84%, *37'; do
    [ "$(grep -cE "fill:rgb\($colour" suffixes/coverage.svg)" -gt 3 ] || fail "no symbols on a curve"
done

# A loss of targets that are not the labels is another quantity than that of the selection images: chart
# and page say so, and of no other. Of what a chart says a file has the letters' shapes alone.
train --model simple --data hostile --out runs/smoothed --label-smoothing 0.1 --mix 0.5
train --model simple --data hostile --out runs/mixed --mix 0.5 --full
call report runs/a runs/smoothed runs/mixed -o losses
letters() { grep -o '<use ' "losses/curve-$1.svg" | wc -l; }
more() { echo $(($(letters "loss-$1") - $(letters "accuracy-$1"))); } # than in the chart of accuracies
[ "$(more a)" -lt 20 ] || fail "a chart tells of two losses that are the same"
[ "$(more mixed)" -gt 20 ] || fail "a chart does not say what its loss is"
[ "$(more smoothed)" -gt 100 ] || fail "a chart does not say that its losses are two"
grep -oE 'Training images: the loss against [^<]*' losses/report.html >said
cat >expected <<'EOF'
Training images: the loss against smoothed and mixed targets. Selection images: the negative log-likelihood of their labels, which is another quantity.
Training images: the loss against mixed targets.
EOF
cmp said expected || fail "the page says of its losses: $(cat said)"

# What is refused, before anything is computed.
cp -r hostile changed
gzip -d changed/t10k-labels-idx1-ubyte.gz
printf '\003' | dd of=changed/t10k-labels-idx1-ubyte bs=1 seek=8 conv=notrunc 2>/dev/null
train --model simple --data changed --out runs/changed
refused 1 'trained on the data in .*, runs/changed on others' report runs/a runs/changed -o other
refused 2 'runs/a/\. is named twice' report runs/a runs/ref runs/a/. -o other
refused 1 'none: no such file or folder' report runs/a none -o other
refused 1 'mine.png is a file' report runs/a -o both/mine.png
mv hostile moved
refused 1 '--data' report runs/a -o other
refused 1 "are not those that runs/a was trained on.*--data DIR" report runs/a -o other --data changed
[ ! -e other ] || fail "what is refused leaves a folder"
call report runs/a -o other --data moved
[ -s other/report.html ] || fail "no page of data that were moved"
mv moved hostile

# A comparison ends with its page.
call compare --data hostile --models simple,simple-ref --epochs 1 --epoch-images 128 --batch 64 \
    --out compared
grep -q 'its page: compared/report.html' err || fail "compare does not tell of its page"
for file in compare.json compare.png report.html report.json accuracy.svg mistakes-simple-ref.png; do
    [ -s "compared/$file" ] || fail "compared/$file is missing"
done
for text in 'What the original claims' 'Nothing in its code measures' 'ECE: expected'; do
    grep -q "$text" compared/report.html || fail "the comparison's page lacks '$text'"
done
echo ok
