#!/bin/sh
# The completion script in a zsh on a pseudo-terminal, where its completion alone works: every
# command, every option and every choice of the help pages, then what the tables cannot tell.
#
#   zsh.sh FMNIST SCRIPT SOURCE_ROOT
set -u

fmnist=$1
script=$2
root=$3
if ! command -v zsh >/dev/null; then
    echo "skipped: zsh is not installed"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/functions" "$work/here/a folder" "$work/here/runs/one"
touch "$work/here/mine.json" "$work/here/notes.txt"
: >"$work/lines"
: >"$work/expected"

. "$root/tests/completion/lines.sh"

zsh -n "$script" || exit 1
"$fmnist" completion zsh | cmp - "$script" || exit 1

expect_tables
expect "fmnist train --model d" deeper deeper-ref
expect "fmnist train --model=d" deeper deeper-ref
expect "fmnist compare --models simple,d" deeper deeper-ref
expect "fmnist compare --models=simple,s" simple-ref
expect "fmnist completion " bash fish zsh
expect "fmnist train --seed " ""
expect "fmnist train --force --fo" --format
expect "fmnist help train --" --help
expect "fmnist -h tr" train
expect "fmnist --help tr" train
expect "fmnist train --out " 'a\ folder' runs
expect "fmnist train --out=ru" runs
expect "fmnist audit " 'a\ folder' runs
expect "fmnist audit --folds 5 runs/" one
expect "fmnist train --trace n" notes.txt
expect "fmnist train --recipe m" mine.json
expect "fmnist train --recipe b" best

# The inner zsh: compadd notes each candidate that fits before it does its work, and a key asks for
# the candidates of the line and clears it.
cp "$script" "$work/functions/_fmnist"
cat >"$work/inner.zsh" <<'ZSH'
PS1= PS2=
fpath=($WORK/functions $fpath)
autoload -Uz compinit
compinit -u -d $WORK/dump
zstyle ':completion:*' insert-tab false
cd $WORK/here
compadd() {
    # A call that fills arrays adds nothing.
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
        local -a hits
        builtin compadd -O hits "$@"
        print -rl -- $hits >>$WORK/hits
    fi
    builtin compadd "$@"
}
ask() {
    : >$WORK/hits
    zle list-choices 2>/dev/null
    print -r -- "$BUFFER:${(j:|:)${(f)"$(grep . $WORK/hits | LC_ALL=C sort -u)"}}|" >>$WORK/found
    BUFFER=
    print -r -- answered >>$WORK/answers
}
zle -N ask
bindkey '^T' ask
: >$WORK/ready
ZSH
cat >"$work/outer.zsh" <<'ZSH'
zmodload zsh/zpty
export WORK=$1
wait_for() { # a condition, for 20 seconds
    integer i
    for (( i = 0; i < 2000; i++ )); do
        eval $1 && return
        zpty -r -t inner trash && continue
        sleep 0.01
    done
    print "FAILED: no $1" >&2
    exit 1
}
if ! zpty inner zsh -f -i; then
    print "skipped: no pseudo-terminal can be made here"
    exit 77
fi
zpty -w inner "source $WORK/inner.zsh"
wait_for '[[ -e $WORK/ready ]]'
: >$WORK/answers
integer asked=0
while IFS= read -r line; do
    (( asked++ ))
    zpty -w -n inner "$line"$'\C-T'
    wait_for "(( \$(wc -l <\$WORK/answers) >= $asked ))"
done <$WORK/lines
zpty -d inner
ZSH
TERM=dumb zsh -f "$work/outer.zsh" "$work" || exit $?
if ! diff "$work/expected" "$work/found" >"$work/difference"; then
    echo "FAILED: LINE:CANDIDATE|..., < as expected, > as completed"
    cat "$work/difference"
    exit 1
fi
