# Sourced by zsh.sh and fish.sh, after they have set fmnist, root and work: what is asked of the shell
# and what is expected, as far as the help pages tell it.

# expect LINE CANDIDATE...: all lines are asked of one shell, at the end.
expect() {
    line=$1
    shift
    printf '%s\n' "$line" >>"$work/lines"
    {
        printf '%s:' "$line"
        printf '%s\n' "$@" | LC_ALL=C sort | tr '\n' '|'
        echo
    } >>"$work/expected"
}

# Every command, every option and every choice.
expect_tables() {
    commands=$("$fmnist" help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
    # shellcheck disable=SC2086 # words
    expect "fmnist " $commands
    expect "fmnist --" --help --version
    expect "fmnist tr" train
    # shellcheck disable=SC2086
    expect "fmnist help " $commands
    for command in $commands; do
        "$fmnist" help "$command" | awk -f "$root/tests/completion/help_options.awk" >"$work/options"
        # shellcheck disable=SC2046 # words
        expect "fmnist $command --" $(cut -d ' ' -f 1 "$work/options" | grep -vx -e --help) --help
        while read -r option choices; do
            # shellcheck disable=SC2086
            [ -z "$choices" ] || expect "fmnist $command $option " $choices
        done <"$work/options"
    done
}
