#!/usr/bin/env bash
# The completion script in a bash: sourced, its function called as bash calls it, for every command,
# every option and every choice of the help pages; then what the tables cannot tell.
#
#   bash.sh FMNIST SCRIPT SOURCE_ROOT
set -u

fmnist=$1
script=$2
root=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# What the last of the words can become, a line each, sorted.
candidates() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=(left over)
    _fmnist
    [ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}" | sort
}

# expect_lines LINES WORD...: exactly these lines, in any order, for the words of the line.
expect_lines() {
    local wanted found
    wanted=$(printf '%s' "$1" | sort)
    shift
    found=$(candidates "$@")
    [ "$found" = "$wanted" ] && return
    echo "FAILED: '$*' completes to: ${found//$'\n'/ }; expected: ${wanted//$'\n'/ }"
    failed=1
}

# expect "CANDIDATE..." WORD...: the same with candidates that have no spaces.
expect() {
    local wanted
    # shellcheck disable=SC2086 # words
    wanted=$(printf '%s\n' $1)
    shift
    expect_lines "$wanted" "$@"
}

# shellcheck disable=SC1090 # the script to test
source "$script" || exit 1
[ "$(complete -p fmnist)" = "complete -F _fmnist fmnist" ] || {
    echo "FAILED: the script leaves '$(complete -p fmnist)'"
    failed=1
}
"$fmnist" completion bash >"$work/printed"
cmp "$work/printed" "$script" || failed=1

commands=$("$fmnist" help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
expect "$commands --help --version" fmnist ''
expect train fmnist tr
expect --version fmnist --v
expect "$commands" fmnist help ''
expect "$commands" fmnist --help ''
expect train fmnist -h tr
expect "" fmnist --help train ''
for command in $commands; do
    "$fmnist" help "$command" | awk -f "$root/tests/completion/help_options.awk" >"$work/options"
    options=$(cut -d ' ' -f 1 "$work/options" | grep -vx -- --help)
    expect "$options --help" fmnist "$command" --
    while read -r option choices; do
        [ -z "$choices" ] || expect "$choices" fmnist "$command" "$option" ''
    done <"$work/options"
done

# In a folder with folders and files.
mkdir -p "$work/here/a folder" "$work/here/runs/one" && cd "$work/here" || exit 1
touch mine.json notes.txt runs/theirs.json

models=$("$fmnist" models --format csv | sed -n '1d; s/,.*//p')
expect "$models" fmnist train --model ''
expect "deeper deeper-ref" fmnist train --model d
expect "deeper deeper-ref" fmnist train --model = d             # where '=' parts words
expect "$models" fmnist train --model =                     # right after it
expect "--model=deeper --model=deeper-ref" fmnist train --model=d # where it does not
expect "$models" fmnist models ''
expect "vgg16" fmnist compare --models v
expect "simple,deeper simple,deeper-ref" fmnist compare --models simple,d
expect "simple,simple-ref" fmnist compare --models simple,s     # none twice
expect "" fmnist compare --models nonsense,,x
expect "bash fish zsh" fmnist completion ''

expect "--force --format" fmnist train --fo
expect "--format" fmnist train --force --fo                     # no option twice
expect "--force" fmnist train --format=json --fo
expect "--force" fmnist train --format = json --fo
expect "" fmnist train --seed ''                                # a number
expect "" fmnist nonsense ''
expect "" fmnist nonsense --

directories=$'a folder\nruns'
expect_lines "$directories" fmnist train --out ''
expect_lines "$directories" fmnist train -o ''
expect "--force --format" fmnist train -o runs --fo
expect "--optimiser" fmnist train -o runs --o                      # no option twice
expect "" fmnist train -h --he
expect "runs/one" fmnist label -o out runs/                     # "out" is no operand
expect_lines "$directories" fmnist audit ''
expect "runs/one" fmnist audit runs/
expect "runs/one" fmnist audit --folds 5 runs/
expect "runs/one" fmnist audit --folds = 5 runs/
expect "runs/one" fmnist audit -- runs/
expect "runs/one runs/theirs.json" fmnist eval runs/ # or a file of weights
expect "" fmnist eval -- --                                     # no options after --
expect "--split" fmnist eval runs/one --sp
expect "notes.txt" fmnist train --trace n
recipes=$(basename -s .json "$root"/data/recipes/*.json)
expect_lines "$recipes"$'\nmine.json\n'"$directories" fmnist train --recipe ''
expect "runs/one runs/theirs.json" fmnist train --recipe runs/
expect_lines "$recipes"$'\nmine.json\n'"$directories" fmnist recipe ''

exit $failed
