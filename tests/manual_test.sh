#!/bin/sh
# The man pages: one for each command, every option with every choice in it, every variable of the
# environment that the sources read; the same bytes when they are written again.
#
#   manual_test.sh FMNIST FMNIST-DOCUMENTS FOLDER_OF_PAGES SOURCE_ROOT
set -u

fmnist=$1
documents=$2
pages=$3
root=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

complain() {
    echo "FAILED: $*"
    failed=1
}

# A page's text as it is read, for searching: without roff's fonts and escapes.
plain() {
    sed -e '/^\.\\"/d' -e 's/\\f[BIR]//g' -e 's/\\-/-/g' -e "s/\\\\(aq/'/g" -e 's/\\&//g' "$1"
}

"$fmnist" help >"$work/overview" || complain "'fmnist help' fails"
commands=$(sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$work/overview")
[ -n "$commands" ] || complain "'fmnist help' lists no commands"

ls "$pages" >"$work/found"
{
    echo fmnist.1
    for command in $commands; do
        echo "fmnist-$command.1"
    done
} | LC_ALL=C sort >"$work/expected"
LC_ALL=C sort "$work/found" | cmp -s - "$work/expected" ||
    complain "the pages are $(tr '\n' ' ' <"$work/found"), expected $(tr '\n' ' ' <"$work/expected")"

for command in $commands; do
    page=$pages/fmnist-$command.1
    plain "$page" >"$work/page"
    grep -q "^fmnist-$command - ." "$work/page" || complain "$page: no name with a summary"
    grep -qF "fmnist $command" "$work/page" || complain "$page: no synopsis"
    plain "$pages/fmnist.1" | grep -q "^fmnist-$command (1)\|^\.BR fmnist-$command (1)" ||
        complain "fmnist.1 does not refer to fmnist-$command(1)"

    "$fmnist" help "$command" >"$work/help"
    awk -f "$root/tests/completion/help_options.awk" "$work/help" >"$work/options"
    while read -r option choices; do
        # The entry: from the label to the next request.
        awk -v label="$option" '
            inside && /^\./ { exit }
            inside
            $1 == label { inside = 1; print }' "$work/page" | tr '\n' ' ' >"$work/entry"
        [ -s "$work/entry" ] || complain "$page: no entry for $option"
        for choice in $choices; do
            grep -q "[ ,]${choice}[ ,.]" "$work/entry" || complain "$page: $option without $choice"
        done
    done <"$work/options"
    sed -n '/^example/,$s/^  //p' "$work/help" | while read -r example; do
        grep -qxF "$example" "$work/page" || echo "$example"
    done >"$work/lacking"
    [ ! -s "$work/lacking" ] || complain "$page: no example '$(cat "$work/lacking")'"
done

plain "$pages/fmnist-train.1" >"$work/page.train"
plain "$pages/fmnist.1" >"$work/page"
for variable in $(grep -rhoE 'getenv\("[A-Z_]+"\)' "$root/src" --include='*.c' |
    sed 's/.*"\(.*\)".*/\1/' | sort -u) FMNIST_DATA; do
    grep -qx "$variable" "$work/page" || complain "fmnist.1: the variable $variable is missing"
done
# The files of a run, as the module that writes them lists them.
files=$(sed -n '1,/^#ifndef/s|^//   \([a-z.]*\).*|\1|p' "$root/src/run/run.h")
[ -n "$files" ] || complain "src/run/run.h lists no files"
for file in $files; do
    grep -qx "RUN/$file" "$work/page" || complain "fmnist.1: the run's file $file is missing"
done
# The letters that the help pages tell of.
for letter in o h; do
    grep -q "^-$letter does as well" "$work/page.train" || complain "fmnist-train.1 without -$letter"
done
tr '\n' ' ' <"$work/page" | grep -qF -- '-h does as well' || complain "fmnist.1 without -h"
for status in 0 1 2 130 143; do
    grep -qx "$status" "$work/page" || complain "fmnist.1: the exit status $status is missing"
done
version=$("$fmnist" --version)
for page in "$pages"/*.1; do
    grep -q "^\.TH .* 1 \"\" \"$version\"" "$page" || complain "$page: not of $version, or with a date"
done

"$documents" "$work/man" "$work/completion" "$root/data/recipes" || complain "$documents fails"
diff -r "$pages" "$work/man" || complain "written again, the pages are others"
diff -r "$(dirname "$pages")/completion" "$work/completion" ||
    complain "written again, the completion scripts are others"

exit $failed
