#!/bin/sh
# Checks the import rule of docs/architecture.md on every file of src/ and kernels/:
#
#   - a folder includes itself and those below it in this order, never one above;
#   - nothing but src/backend/cpu/ includes oneDNN;
#   - src/train/ names no data set, which would give it the test images;
#   - the program and the public header need nothing but the library and the standard headers.
#
# Prints each line that breaks a rule, as FILE:LINE:TEXT, and fails if there is one.
#
#   check_imports.sh [ROOT]
set -eu

cd "${1-$(dirname "$0")/..}"
lowest_first="base data net backend run eval train report app cli api"

broken=0
complain() { # LINES REASON
    if [ -n "$1" ]; then
        echo "$1"
        echo "    ^ $2"
        broken=1
    fi
}

# "a|b|c" of the folders that may be included so far.
allowed=
for folder in $lowest_first; do
    allowed=${allowed:+$allowed|}$folder
    complain "$(grep -rnE --include='*.[ch]' '^ *# *include "[^"]*/' "src/$folder" |
        grep -vE "\"($allowed)/" || :)" "src/$folder may include $allowed"
done

for folder in src/*/; do
    case " $lowest_first " in
    *" $(basename "$folder") "*) ;;
    *) complain "$folder" "has no place in the order of the imports" ;;
    esac
done

complain "$(grep -rnE --include='*.[ch]' --include='*.cu' '^ *# *include "[^"]*/' kernels || :)" \
    "kernels/ includes the standard library and its own headers"

# Without a folder only the headers of kernels/ are named.
complain "$(grep -rnE --include='*.[ch]' '^ *# *include "[^"/]*"' src kernels |
    while IFS= read -r line; do
        header=${line#*\"}
        [ -f "kernels/${header%%\"*}" ] || echo "$line"
    done)" "name the folder: #include \"folder/file.h\""

complain "$(grep -rnE --include='*.[ch]' '# *include [<"](oneapi/)?dnnl' src kernels |
    grep -v '^src/backend/cpu/' || :)" "only src/backend/cpu/ may include oneDNN"

complain "$(grep -nE 'struct fm_dataset\b|fm_dataset_open' src/train/*.[ch] || :)" \
    "src/train/ gets samples and a split: nothing there may have a handle on the test images"

complain "$(grep -nE '^ *# *include' src/*.c | grep -vE '# *include <(fmnist/fmnist|std[a-z]*).h>' || :)" \
    "the program is a client of the library: src/main.c includes <fmnist/fmnist.h>"

complain "$(grep -rnE '^ *# *include' include | grep -vE '# *include <std[a-z]*.h>' || :)" \
    "the public header includes the standard library alone"

exit $broken
