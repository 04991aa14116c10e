#!/bin/sh
# From a folder of pictures to a reviewed set of labels.
#
#   label.sh FMNIST DATA [KEEP]
#
# KEEP: a folder that is left with a run, pictures and the files of their labels.
set -eu

fmnist=$1
data=$2
keep=${3-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive

fail() {
    echo "FAILED: $*"
    [ ! -s err ] || sed 's/^/    stderr: /' err
    exit 1
}
call() {
    "$fmnist" "$@" >out 2>err || fail "'$*' exits with $?"
}
# refuse STATUS PATTERN ARGUMENT...: must fail, print nothing, and say why.
refuse() {
    wanted=$1 pattern=$2 status=0
    shift 2
    "$fmnist" "$@" >out 2>err || status=$?
    [ "$status" -eq "$wanted" ] || fail "'$*' exits with $status, expected $wanted"
    [ ! -s out ] || fail "'$*' fails and prints a result"
    err_has "$pattern"
}
out_has() { grep -qE -- "$1" out || fail "standard output lacks '$1': $(cat out)"; }
err_has() { grep -qE -- "$1" err || fail "standard error lacks '$1'"; }
has() { grep -qE -- "$2" "$1" || fail "$1 lacks '$2': $(head -n 5 "$1")"; }
rows() { echo $(($(wc -l <"$1") - 1)); }
column() { tail -n +2 "$1" | tr -d '\r' | cut -d, -f "$2"; }

call train --model simple --data "$data" --precision fp32 --epochs 4 --epoch-images 0 --batch 32 \
    --shift 0 --out run --quiet
call predict run "$data/t10k-images-idx3-ubyte.gz" --show pictures --quiet --format csv
[ "$(ls pictures | wc -l)" -eq 400 ] || fail "no folder of pictures to label"
rm pictures/[1-9][0-9][0-9]-*
pictures=$(ls pictures | wc -l)

# What is wrong is told before a result is printed or a file written.
refuse 2 'name pictures to label' label run
refuse 2 '--out DIR says' label run pictures
refuse 2 '--reviewed needs' label run --evaluate --reviewed none.csv
refuse 1 'none of the 1 pictures could be classified' label run nowhere -o none
err_has 'warning: nowhere: no image there'
echo nowhere >list
refuse 1 'none of the 1 pictures could be classified' label run --from list -o none
refuse 1 'reviewed.csv' label run pictures -o none --reviewed reviewed.csv
[ ! -e none ] || fail "a folder for nothing"

# All pictures are either labelled or for people.
asked="--precision 0.85 --cost 0.5"
call label run pictures -o labelled $asked
auto=$(rows labelled/auto.csv)
review=$(rows labelled/review.csv)
[ "$auto" -gt 0 ] && [ "$review" -gt 0 ] || fail "$auto labelled and $review for people: no test"
[ $((auto + review)) -eq "$pictures" ] || fail "$auto labelled and $review for people of $pictures"
out_has "^$pictures pictures: $auto labelled \([0-9.]+ %\), $review to people\.\$"
out_has "right in at least 85 % of cases, with 95 % confidence"
out_has 'open labelled/review.html'
{ column labelled/auto.csv 1 && column labelled/review.csv 1; } | sort >named
for file in pictures/*; do echo "$file"; done | sort | cmp -s - named || fail "other names than there are"
has labelled/auto.csv '^name,label,probability.$'
has labelled/review.csv '^name,suggestion,probability,second,second_probability,worth.$'
column labelled/review.csv 6 | sort -c -g -r || fail "review.csv is not in order of worth"
[ ! -e labelled/failed.csv ] && [ ! -e labelled/labels.csv ] || fail "files of nothing"
has labelled/label.json "\"review\": $review"

# What is labelled is what predict says.
call predict run pictures --quiet --format csv
tail -n +2 out | cut -d, -f 1,2 | sort >predicted
tail -n +2 labelled/auto.csv | cut -d, -f 1,2 | sort >given
[ "$(comm -12 predicted given | wc -l)" -eq "$auto" ] || fail "labels that predict does not give"

# The page holds the pictures for people, and nothing from a network.
has labelled/review.html '<script type="application/json" id="review">'
has labelled/review.html 'fmnist --reviewed|label --reviewed'
[ "$(grep -o 'pictures/[^"]*\.png' labelled/review.html | sort -u | wc -l)" -eq "$review" ] ||
    fail "the page does not name the pictures for people"
! grep -qE '(src|href)="https?:' labelled/review.html || fail "the page asks the network"

if [ -n "$keep" ]; then
    rm -rf "$keep"
    mkdir -p "$keep"
    cp -r run pictures "$keep"
    cp "$(column labelled/review.csv 1 | head -n 1)" "$keep/pictures/odd, \"<i>\"'name.png"
    (cd "$keep" && "$fmnist" label run pictures -o labelled $asked --quiet >out)
fi

# A folder in use is left alone; --force replaces what is fmnist's.
before=$(cksum <labelled/auto.csv)
refuse 1 'holds labels already' label run pictures -o labelled $asked
[ "$(cksum <labelled/auto.csv)" = "$before" ] || fail "the folder in use was changed"
echo mine >labelled/notes.txt

# A person answers: the second choice for the first, the suggestion for the others.
answers() { # ROWS
    printf 'name,label\r\n'
    tail -n +2 labelled/review.csv | tr -d '\r' | head -n "$1" |
        awk -F, '{ print $1 "," (NR == 1 ? $4 : $2) "\r" }'
}
answers "$review" >reviewed.csv
call label run pictures -o labelled --force $asked --reviewed reviewed.csv
[ "$(rows labelled/labels.csv)" -eq "$pictures" ] || fail "labels.csv is not complete"
[ "$(column labelled/labels.csv 3 | grep -c '^person$')" -eq "$review" ] || fail "labels by people"
[ "$(column labelled/labels.csv 3 | grep -c '^auto$')" -eq "$auto" ] || fail "labels by itself"
first=$(sed -n 2p reviewed.csv | tr -d '\r')
tr -d '\r' <labelled/labels.csv | grep -qxF "$first,person" || fail "a person's answer was lost"
out_has "People have labelled $review; 0 answers are missing"
[ "$(cat labelled/notes.txt)" = mine ] || fail "--force touched a file that is not fmnist's"

# Missing answers are counted and told, wrong ones are errors with their line.
answers $((review - 1)) >part.csv
printf '"note, of ""mine""",label,name\n,,%s\n' "$(column labelled/review.csv 1 | tail -n 1)" >other.csv
call label run pictures -o labelled --force $asked --reviewed part.csv
err_has "1 of $review pictures for people have no answer"
[ "$(rows labelled/labels.csv)" -eq $((pictures - 1)) ] || fail "a label without an answer"
call label run pictures -o labelled --force $asked --reviewed other.csv --format csv
err_has "$review of $review pictures for people have no answer"
out_has "^reviewed,,missing,$review"
before=$(cksum <labelled/label.json)
wrong() { # PATTERN TEXT
    printf "$2" >wrong.csv
    refuse 1 "wrong.csv:$1" label run pictures -o labelled --force $asked --reviewed wrong.csv
}
name=$(column labelled/review.csv 1 | head -n 1)
wrong "3: 'nobody.png' is none of the pictures" "name,label\n$name,Coat\nnobody.png,Coat\n"
wrong "2: 'Coats' is no class of run; did you mean 'Coat'" "name,label\n$name,Coats\n"
wrong "3: .* has been answered with 'Coat' before" "name,label\n$name,Coat\n$name,Bag\n"
wrong '1: no column "label"' "name,class\n$name,Coat\n"
wrong '2: a quote is opened and not closed' "name,label\n\"$name,Coat\n"
wrong '2: text behind a closing quote' "name,label\n\"$name\"x,Coat\n"
[ "$(cksum <labelled/label.json)" = "$before" ] || fail "wrong answers changed the folder"

# What cannot be read is told, the rest is done, and the exit status says so.
mkdir odd
cp "$name" odd/good.png
cp "$name" "odd/=1+1,\"<b>.png"
echo no picture >odd/bad.png
status=0
"$fmnist" label run odd -o oddly --precision 0.9999 --quiet >out 2>err || status=$?
[ "$status" -eq 1 ] || fail "a picture that cannot be read: exit status $status"
err_has '1 of 3 pictures could not be classified: oddly/failed.csv'
out_has '^All: to people: the bound needs more than [0-9]+ calibration images'
has oddly/failed.csv '^odd/bad.png,'
[ "$(rows oddly/review.csv)" -eq 2 ] && [ "$(rows oddly/auto.csv)" -eq 0 ] || fail "the rest is not done"
has oddly/review.csv '^"odd/=1\+1,""<b>.png",'
! grep -q '<b>' oddly/review.html || fail "a name is markup"
# A name that there is no picture of, in a list or not, is one of these.
printf '%s\n' odd/good.png odd/none.png >list
for source in "odd/good.png odd/none.png" "--from list"; do
    status=0
    # shellcheck disable=SC2086 # a list of words
    "$fmnist" label run $source -o missing --force $asked --quiet >out 2>err || status=$?
    [ "$status" -eq 1 ] || fail "'$source' with a name that there is not: exit status $status"
    err_has 'warning: odd/none.png: no image there'
    err_has '1 of 2 pictures could not be classified: missing/failed.csv'
    has missing/failed.csv '^odd/none.png,no image there'
    [ $(($(rows missing/review.csv) + $(rows missing/auto.csv))) -eq 1 ] || fail "the rest is not done"
done
# So is what is read but shows nothing; files that are no pictures by their names are counted.
mkdir mixed
cp "$name" mixed/good.jfif # what it is, it says itself
cp "$name" mixed/other.webp
cp "$data/../photos-odd/blank.png" mixed
echo notes >mixed/notes
status=0
"$fmnist" label run mixed -o mixture $asked --quiet >out 2>err || status=$?
[ "$status" -eq 1 ] || fail "a picture of nothing: exit status $status"
err_has '1 of 2 pictures could not be classified: mixture/failed.csv'
[ "$(head -n 1 err)" = "warning: 2 files are passed over: the pictures of a folder are named *.png, \
*.jpg, *.jpeg, *.jpe or *.jfif" ] || fail "what is passed over is not told first"
[ "$(grep -c 'passed over' err)" -eq 1 ] || fail "what is passed over is told more than once"
# A formula's name goes through and comes back.
(cd odd && "$fmnist" label ../run "=1+1,\"<b>.png" bad.png -o ../formula $asked >out 2>err || true)
printf 'name,label\r\n"'"'"'=1+1,""<b>.png",Bag\r\nbad.png,Coat\r\n' >odd/answers.csv
(cd odd && "$fmnist" label ../run "=1+1,\"<b>.png" bad.png -o ../formula --force $asked \
    --reviewed answers.csv >out 2>err || true)
has formula/labels.csv "^\"'=1\\+1,\"\"<b>.png\",Bag,person.\$"
has formula/labels.csv '^bad.png,Coat,person.$'
# One name for two files, as their bytes are no text: an answer is for neither, not for both.
mkdir bytes
cp "$name" "bytes/$(printf '\351').png"
cp "$name" "bytes/$(printf '\352').png"
printf 'name,label\r\nbytes/\357\277\275.png,Bag\r\n' >same.csv
refuse 1 'same.csv:2: .* stands for several pictures' label run bytes -o same $asked --reviewed same.csv
cp "$name" once.png # but one file that is named twice is one
printf 'name,label\r\nonce.png,Bag\r\n' >same.csv
call label run once.png once.png -o same $asked --reviewed same.csv
[ "$(grep -c '^once.png,Bag,person' same/labels.csv)" -eq 2 ] || fail "an answer to one named twice"

# Answers that the browser keeps are for the pictures, not for their names.
key() { grep -o '"key": *"[0-9a-f]*"' keyed/review.html; }
label_one() {
    cp "$1" one.png
    call label run one.png -o keyed --force --precision 0.9999
}
label_one "$name"
first=$(key)
label_one "$(column labelled/review.csv 1 | tail -n 1)"
[ "$(key)" != "$first" ] || fail "another picture of the same name has the same key"
label_one "$name"
[ "$(key)" = "$first" ] || fail "the same picture has another key"

# A run whose name JSON cannot say as it is.
latin=$(printf 'caf\351')
cp -r run "$latin"
call label "$latin" one.png -o latin $asked --format json
out_has '"run": "caf�"'
has latin/label.json '"run": "caf�"'

# An answer that cannot be written leaves the one before.
call label run pictures -o kept $asked --reviewed reviewed.csv
before=$(cat kept/* | cksum)
status=0
(
    trap '' XFSZ
    ulimit -f 16
    "$fmnist" label run pictures -o kept --force $asked >out 2>err
) || status=$?
[ "$status" -eq 1 ] || fail "a file that grows too large: exit status $status"
err_has 'review.html: cannot write'
[ "$(cat kept/* | cksum)" = "$before" ] || fail "a failure has changed the answer before"
[ "$(ls -A kept | wc -l)" -eq "$(ls kept | wc -l)" ] || fail "a failure leaves what it began"

# Measured on the test images, in every format; with a threshold for each class, all go to people.
call label run --evaluate $asked -o measured
out_has '^400 test images: [0-9.]+ % labelled without a person, [0-9.]+ % of that right'
out_has 'cost [0-9.]+ in place of 200.00, at 0.5 each: [0-9.]+ % saved'
out_has 'claims 60-70 %, simulated'
for file in label.json risk-coverage.png risk-coverage.svg; do
    [ -s "measured/$file" ] || fail "measured/$file is missing"
done
[ ! -e measured/auto.csv ] || fail "labels of no pictures"
call label run --evaluate $asked --format json --per-class
out_has '"reason": "the bound needs more than [0-9]+ calibration images'
[ "$(grep -c '"met": false' out)" -eq 10 ] || fail "5 calibration images are enough for a class"
call label run --evaluate $asked --format csv
out_has '^evaluation,Coat,precision,[01]'
out_has '^threshold,,bound,0\.8'
call label run --evaluate $asked --format markdown
out_has '^\| Coat '

# Neither other data nor a run that knows the calibration images can calibrate.
mkdir other
for part in train t10k; do
    cp "$data/$part-images-idx3-ubyte.gz" "$data/$part-labels-idx1-ubyte.gz" other
done
cp "$data/t10k-images-idx3-ubyte.gz" other/train-images-idx3-ubyte.gz
cp "$data/t10k-labels-idx1-ubyte.gz" other/train-labels-idx1-ubyte.gz
refuse 1 'are not the data that run was trained on' label run --evaluate --data other
call train --model simple --data "$data" --precision fp32 --epochs 1 --epoch-images 64 --batch 64 \
    --full --out full --quiet
refuse 2 'all training images \(--full\)' label full --evaluate
