#!/bin/sh
# The tool as a user calls it: exit statuses, messages, what goes to which stream. Trains nothing.
#
#   cli_test.sh FMNIST
set -u

fmnist=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

complain() {
    echo "FAILED: $*"
    sed 's/^/    stdout: /' "$work/out"
    sed 's/^/    stderr: /' "$work/err"
    failed=1
}

# run STATUS ARGUMENT...: runs the tool and checks its exit status.
run() {
    wanted=$1
    shift
    "$fmnist" "$@" >"$work/out" 2>"$work/err"
    status=$?
    [ "$status" -eq "$wanted" ] || complain "'$*' exits with $status, expected $wanted"
}

# The last run's output: a fixed string in it, or nothing at all.
out_has() { grep -qF -- "$1" "$work/out" || complain "standard output lacks '$1'"; }
err_has() { grep -qF -- "$1" "$work/err" || complain "standard error lacks '$1'"; }
out_empty() { [ ! -s "$work/out" ] || complain "standard output is not empty"; }
err_empty() { [ ! -s "$work/err" ] || complain "standard error is not empty"; }

# Help and version are results: standard output, status 0.
for command in train eval compare predict recipe models info completion help; do
    run 0 help "$command"
    out_has "usage: fmnist $command"
    out_has "example"
    err_empty
    cp "$work/out" "$work/page"
    for line in "$command --help" "$command -h" "--help $command" "-h $command"; do
        # shellcheck disable=SC2086 # words
        run 0 $line
        cmp -s "$work/out" "$work/page" || complain "'$line' differs from 'help $command'"
    done
done
run 0 help
out_has "commands:"
err_empty
cp "$work/out" "$work/page"
for line in --help -h; do
    run 0 $line
    cmp -s "$work/out" "$work/page" || complain "'$line' differs from 'help'"
done
run 0 --version
out_has "fmnist "
err_empty

# Wrong usage: status 2, nothing on standard output, the message and a hint.
run 2
out_empty
err_has "fmnist: error: no command given"
err_has "hint: 'fmnist help' lists the commands"
run 2 completion tcsh
out_empty
err_has "unknown shell 'tcsh'"
run 2 completion
err_has "'completion' needs SHELL"
run 2 trian
out_empty
err_has "unknown command 'trian'; did you mean 'train'?"
run 2 train --model deeper --epochs 1O
out_empty
err_has "fmnist: error: invalid number '1O' for --epochs: expected a whole number from 1 to 100000"
err_has "hint: 'fmnist help train' lists its options"
run 2 train --model deeper --recipe quikc
err_has "unknown recipe 'quikc'"
err_has "did you mean 'quick'"
run 2 train --model deper
err_has "did you mean 'deeper'?"
run 2 models deper
err_has "did you mean 'deeper'?"
run 2 help trian
err_has "did you mean 'train'?"
run 2 --help trian
err_has "did you mean 'train'?"
run 2 train --model deeper --lr 0.1
err_has "did you mean '--learning-rate'?"
run 2 train --model deeper --backend gpu
err_has "unknown backend 'gpu' for --backend; expected auto, cpu or cuda"
run 2 compare --full
err_has "fmnist: error: --full is an option of 'train', not of 'compare'"
run 2 compare --models simple,
out_empty

# Failures: status 1, before anything is computed.
# A name that there is not is told from a folder without a run.
mkdir "$work/empty"
for command in eval predict label drift audit bench report export train\ --resume; do
    case $command in
    predict | drift) pictures="$work/none.png" ;;
    label) pictures="$work/none.png -o $work/labels" ;;
    *) pictures= ;;
    esac
    # shellcheck disable=SC2086 # lists of words
    run 1 $command "$work/none" $pictures
    out_empty
    err_has "$work/none: no such file or folder"
    # shellcheck disable=SC2086 # lists of words
    run 1 $command "$work/empty" $pictures
    out_empty
    err_has "$work/empty holds no run: there is no config.json in it"
done
run 1 train --model simple --data "$work/none" --out "$work/run"
out_empty
err_has "$work/none"
[ ! -e "$work/run" ] || complain "a run folder was made without data"
run 1 train --model simple --recipe "$work/none.json"
err_has "$work/none.json"

# What is for GPUs is taken anywhere, and told where it does nothing.
run 1 train --model simple --backend cpu --data "$work/none" --out "$work/run" --tf32 --resident --workspace 64
err_has "--tf32, --workspace, --resident: for GPUs alone, without effect on backend 'cpu'"
run 1 train --model simple --backend cpu --data "$work/none" --out "$work/run"
! grep -q "GPUs" "$work/err" || complain "a GPU is told of that nobody asked for"
run 2 train --model simple --plan-cache "$work/plans" --no-plan-cache --out "$work/run"
err_has "--plan-cache and --no-plan-cache exclude each other"
run 2 train --model simple --backend cpu --device 1 --out "$work/run"
err_has "device 1 of backend 'cpu': there is only device 0"
[ ! -e "$work/run" ] || complain "a run folder was made without a device"

# A name from outside cannot steer the terminal.
run 2 models "$(printf 'a\033[2Jb')"
! grep -q "$(printf '\033')" "$work/err" || complain "an escape sequence reached standard error"

# A result that cannot be written is a failure, a reader that went away too.
if [ -c /dev/full ]; then
    "$fmnist" models >/dev/full 2>"$work/err"
    [ $? -eq 1 ] || complain "a full disk is not reported"
    err_has "cannot write to standard output"
fi
"$fmnist" models >&- 2>"$work/err"
[ $? -eq 1 ] || complain "a closed standard output is not reported"
mkfifo "$work/pipe"
# The reader opens the pipe, so that the tool can, and is gone before anything is written.
{ exec 3<"$work/pipe"; exec 3<&-; : >"$work/gone"; } &
(
    exec 4>"$work/pipe"
    while [ ! -e "$work/gone" ]; do sleep 0.05; done
    "$fmnist" models >&4 2>"$work/err"
    echo $? >"$work/status"
)
wait
[ "$(cat "$work/status")" -eq 1 ] || complain "a reader that went away is not reported"
err_has "cannot write to standard output: Broken pipe"

# Models: the four formats, and no backend's library is mapped.
run 0 models
out_has "deeper"
out_has "3,770,442"
err_empty
run 0 models --format json
out_has '"name": "deeper"'
out_has '"parameters": 3770442'
run 0 models --format=csv
out_has "deeper,3770442,"
run 0 models --format markdown
out_has "| deeper | 3,770,442 |"
run 0 models deeper
out_has "total: 3,770,442 parameters"
run 0 models deeper --format json
out_has '"layers"'
out_has '"output"'
mapped=$(LD_DEBUG=files "$fmnist" models 2>&1 >/dev/null)
case $mapped in
*file=*) ;;
*) complain "the loader does not tell which files it maps" ;;
esac
case $mapped in
*dnnl* | *cudnn* | *cudart* | *cairo* | *libhdf5* | */fmnist-*.so*) complain "'models' maps a module" ;;
esac

# Recipes: the list in four formats; one as a file that says the same when it is read.
run 0 recipe
err_empty
for name in best quick reference speedrun; do
    out_has "$name"
done
run 0 recipe --format json
out_has '"name": "speedrun"'
run 0 recipe --format=csv
out_has "name,about"
run 0 recipe --format markdown
out_has "| best |"
for name in best quick reference speedrun; do
    run 0 recipe "$name"
    out_has '"learning_rate"'
    err_empty
    cp "$work/out" "$work/mine.json"
    run 0 recipe "$work/mine.json"
    cmp -s "$work/out" "$work/mine.json" || complain "$name changes when it is read back"
    for model in simple deeper vgg16 simple-ref deeper-ref; do
        run 0 recipe "$name" --model "$model"
        ! grep -q '"models"' "$work/out" || complain "--model leaves other models' values"
        cp "$work/out" "$work/page"
        run 0 recipe "$work/mine.json" --model "$model"
        cmp -s "$work/out" "$work/page" || complain "$name for $model changes"
    done
done
# A relative path, to a folder in which training ends before it begins: the recipe has been taken.
(
    cd "$work" || exit
    "$fmnist" recipe best >mine.json
    "$fmnist" train --model simple --recipe ./mine.json --data none --out taken 2>err
    grep -qF none err && ! grep -qF mine.json err
) || complain "a printed recipe is not taken"
run 2 recipe bset
out_empty
err_has "did you mean 'best'?"
run 2 recipe --model simple
err_has "'recipe' needs NAME"
run 2 recipe best --format csv
err_has "printed as JSON, not as csv"
printf '{\n"epochs": 0}' >"$work/wrong.json"
run 1 recipe "$work/wrong.json"
err_has "wrong.json:2: epochs: found 0"
out_empty

# Info: everything has a line, also what is absent.
run 0 info
err_empty
for item in version build "backend cuda" "backend cpu" zlib jansson cairo libpng libjpeg-turbo libexif data processor; do
    out_has "$item"
done
out_has "; auto is "
run 0 info --backend cpu --device 1
out_has "not usable: device 1 of backend 'cpu': there is only device 0"
run 0 info --data "$work/none"
out_has "$work/none"
run 0 info --format json
out_has '"backends"'
out_has '"found"'
run 0 info --format csv
out_has "item,value"

exit $failed
