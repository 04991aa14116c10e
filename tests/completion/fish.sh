#!/bin/sh
# The completion script in a fish, which itself says what a line completes to: every command, every
# option and every choice of the help pages, then what the tables cannot tell.
#
#   fish.sh FMNIST SCRIPT SOURCE_ROOT
set -u

fmnist=$1
script=$2
root=$3
if ! command -v fish >/dev/null; then
    echo "skipped: fish is not installed"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/home" XDG_DATA_HOME="$work/home"
mkdir -p "$HOME" "$work/here/a folder" "$work/here/runs/one"
touch "$work/here/mine.json" "$work/here/notes.txt"
: >"$work/lines"
: >"$work/expected"

. "$root/tests/completion/lines.sh"

fish -n "$script" || exit 1
"$fmnist" completion fish | cmp - "$script" || exit 1

expect_tables
expect "fmnist train --model d" deeper deeper-ref
expect "fmnist train --model=d" --model=deeper --model=deeper-ref
expect "fmnist compare --models simple,d" simple,deeper simple,deeper-ref
expect "fmnist compare --models=simple,s" --models=simple,simple-ref
expect "fmnist completion " bash fish zsh
expect "fmnist train --seed " ""
expect "fmnist help train --" --help
expect "fmnist -h tr" train
expect "fmnist --help tr" train
expect "fmnist train --out " "a folder/" runs/
expect "fmnist train --out=ru" --out=runs/
expect "fmnist audit " "a folder/" runs/
expect "fmnist audit --folds 5 runs/" runs/one/
expect "fmnist train --trace n" notes.txt
expect "fmnist train --recipe m" mine.json
expect "fmnist train --recipe b" best

cat >"$work/ask.fish" <<'FISH'
source $argv[1]
cd $argv[2]
while read -l line
    # Without descriptions.
    printf '%s:%s|\n' $line (complete -C $line | string replace -r '\t.*' '' | LC_ALL=C sort | string join '|')
end
FISH
fish --no-config "$work/ask.fish" "$script" "$work/here" <"$work/lines" >"$work/found" || exit 1
if ! diff "$work/expected" "$work/found" >"$work/difference"; then
    echo "FAILED: LINE:CANDIDATE|..., < as expected, > as completed"
    cat "$work/difference"
    exit 1
fi
