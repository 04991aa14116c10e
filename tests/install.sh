#!/bin/sh
# Installs build/ twice, into a DESTDIR for the prefix /usr and under a prefix of its own, and uses both as
# others would: the files, the installed program, and the example as a project of its own that finds the
# library through CMake in one and through pkg-config in the other. Nothing of it may need build/.
#
#   install.sh SOURCE BUILD
set -eu

source=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive

fail() {
    echo "FAILED: $*"
    exit 1
}

# quietly COMMAND...: shows what it said only if it fails.
quietly() {
    "$@" >log 2>&1 || {
        cat log
        fail "'$*' exits with $?"
    }
}

# Where CMake puts libraries (lib, lib/x86_64-linux-gnu) and modules' names end.
libdir=$(sed -n 's/^CMAKE_INSTALL_LIBDIR:[A-Z]*=//p' "$build/CMakeCache.txt")
DESTDIR=$work/stage quietly cmake --install "$build" --prefix /usr
quietly cmake --install "$build" --prefix "$work/moved-from"

# The files, and none besides: no static library, no test.
list() { # ROOT
    (cd "$1" && find . ! -type d | sed 's/^\.\///' | LC_ALL=C sort)
}
commands=$("$build/fmnist" help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ] || fail "'fmnist help' lists no commands"
{
    echo bin/fmnist
    echo include/fmnist/fmnist.h
    for file in cmake/fmnist/fmnistConfig.cmake cmake/fmnist/fmnistConfigVersion.cmake \
        cmake/fmnist/fmnistTargets-release.cmake cmake/fmnist/fmnistTargets.cmake fmnist/fmnist-charts.so fmnist/fmnist-cpu.so \
        libfmnist.so libfmnist.so.0 libfmnist.so.0.1.0 pkgconfig/fmnist.pc; do
        echo "$libdir/$file"
    done
    for module in cuda hdf5; do
        [ ! -e "$build/modules/fmnist-$module.so" ] || echo "$libdir/fmnist/fmnist-$module.so"
    done
    echo share/bash-completion/completions/fmnist
    echo share/doc/fmnist/LICENSE
    echo share/doc/fmnist/README.md
    echo share/fish/vendor_completions.d/fmnist.fish
    for recipe in "$source"/data/recipes/*.json; do
        echo "share/fmnist/recipes/$(basename "$recipe")"
    done
    echo share/man/man1/fmnist.1
    for command in $commands; do
        echo "share/man/man1/fmnist-$command.1"
    done
    echo share/zsh/site-functions/_fmnist
} | LC_ALL=C sort >expected
for root in stage/usr moved-from; do
    list "$root" >found
    diff -u expected found || fail "$root has other files (+) than expected (-)"
done

# Installed files lead to one another: so they work where the whole was moved to, and name no folder of
# the build.
mv moved-from moved
if grep -rlF -e "$build" -e "$source/" -e moved-from stage moved; then
    fail "these files name the build's folders"
fi
readelf -d stage/usr/bin/fmnist >dynamic
grep -q 'NEEDED.*\[libfmnist.so.0\]' dynamic || fail "the program is no client of the library"
grep 'R.*PATH.*\[/' dynamic && fail "an absolute path to the library"

# The installed program trains: it finds library, module and recipes.
run_fmnist() {
    quietly env -u LD_LIBRARY_PATH "$@"
}
run_fmnist stage/usr/bin/fmnist train --model simple --data "$source/data/tiny" --recipe quick --epochs 2 \
    --epoch-images 0 --batch 64 --shift 0 --precision fp32 --out run
run_fmnist moved/bin/fmnist eval run --data "$source/data/tiny"
if [ -e "$build/modules/fmnist-hdf5.so" ]; then
    run_fmnist moved/bin/fmnist export run --format h5 --out exported
    run_fmnist moved/bin/fmnist inspect exported/model.h5
fi

# A module that is damaged is told of before the work begins, which would be lost; what takes none goes on.
echo damaged >"moved/$libdir/fmnist/fmnist-charts.so"
if moved/bin/fmnist train --model simple --data "$source/data/tiny" --out lost >out 2>err; then
    fail "trained without the charts' module"
fi
grep -q "cannot load module 'charts': " err || fail "the module is not named: $(cat err)"
! grep -q epoch err || fail "trained before it failed: $(cat err)"
moved/bin/fmnist info >out 2>err || fail "no info without charts: $(cat err)"
grep -q "^cairo .*cannot load module 'charts': .*, which cannot draw charts" out ||
    fail "info does not tell of the module: $(cat out)"
run_fmnist moved/bin/fmnist models

# Its manual is read, where there is a man (a minimized system has one that only says so), and its
# options are completed in a shell that has loaded nothing but the script.
if command -v man >/dev/null && man --version 2>/dev/null | grep -q '^man '; then
    for page in stage/usr/share/man/man1/*.1; do
        LC_ALL=C.UTF-8 man -P cat -l "$page" >manual 2>err || fail "man -l $page: $(cat err)"
        grep -q "^ *$(basename "$page" .1) - ." manual || fail "$page, read: $(cat manual)"
    done
else
    echo "SKIP: no man to read the pages with"
fi
cat >complete.bash <<'END'
source "$1/share/bash-completion/completions/fmnist" || exit 1
COMP_WORDS=(fmnist train --model vgg) COMP_CWORD=3
_fmnist
printf '%s\n' "${COMPREPLY[@]}"
END
bash complete.bash stage/usr >completed
[ "$(cat completed)" = vgg16 ] || fail "the installed script completes 'vgg' to: $(cat completed)"

# The example, a project of its own.
gunzip -c "$source/data/tiny/t10k-images-idx3-ubyte.gz" >images
gunzip -c "$source/data/tiny/t10k-labels-idx1-ubyte.gz" | tail -c +9 | od -An -v -tu1 -w1 | tr -d ' ' >labels
mkdir outside
cp "$source"/docs/examples/* outside
quietly cmake -G Ninja -S outside -B by-cmake -DCMAKE_PREFIX_PATH="$work/stage/usr" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_FLAGS="-Wall -Wextra -Wpedantic -Werror -std=c99"
quietly cmake --build by-cmake
! grep -rE 'jansson|cairo|libfm_' by-cmake --include=link.txt --include=build.ninja ||
    fail "what the library needs leaks to those who link it"

export PKG_CONFIG_PATH="$work/moved/$libdir/pkgconfig"
[ "$(pkg-config --modversion fmnist)" = "$(stage/usr/bin/fmnist --version | cut -d' ' -f2)" ] ||
    fail "fmnist.pc has another version than the program"
# shellcheck disable=SC2046 # several words
quietly cc -std=c99 -Wall -Wextra -Wpedantic -Werror -o by-pkg-config outside/classify.c \
    $(pkg-config --cflags --libs fmnist) -Wl,-rpath,"$(pkg-config --variable=libdir fmnist)"

# The header for C++, where there is a compiler for it.
if command -v c++ >/dev/null; then
    echo '#include <fmnist/fmnist.h>' >header.cpp
    quietly c++ -Wall -Wextra -Wpedantic -Werror -fsyntax-only -Imoved/include header.cpp
fi

classify() { # PROGRAM PATH COUNT OUTPUT
    env -u LD_LIBRARY_PATH "$1" "$2" images "$3" >"$4" || fail "$1 exits with $?"
}
classify by-cmake/classify run 400 all
classify ./by-pkg-config run/model.safetensors 400 again
cmp all again || fail "the two programs disagree"
[ "$(wc -l <all)" -eq 400 ] || fail "not a line for each image: $(wc -l <all)"
classify ./by-pkg-config run 3 few
[ "$(wc -l <few)" -eq 3 ] || fail "not 3 lines"

# What it says is what the program's own evaluation says.
sed 's/^[0-9]*: \(.*\), [0-9.]* %$/\1/' all >names
awk 'NR == FNR { name[NR - 1] = $0; next } { getline said <"names"; right += said == name[$1] }
    END { printf "%.4f\n", right / FNR }' "$source/data/tiny/classes.txt" labels >ours
env -u LD_LIBRARY_PATH stage/usr/bin/fmnist eval run --data "$source/data/tiny" --format csv 2>/dev/null |
    tr -d '\r' | awk -F, '$1 == "accuracy" { printf "%.4f\n", $4 }' >theirs
cmp ours theirs || fail "accuracy $(cat ours) by the library, $(cat theirs) by the program"

# Failures.
status=0
by-cmake/classify /nonexistent images 2>err || status=$?
[ "$status" -eq 1 ] || fail "a missing run: exit status $status"
grep -q '^/nonexistent: no such file or folder' err || fail "a missing run: $(cat err)"
mv "moved/$libdir/fmnist" moved/elsewhere
status=0
./by-pkg-config run images 2>err || status=$?
[ "$status" -eq 1 ] || fail "no backend: exit status $status"
grep -q 'no usable backend' err || fail "no backend: $(cat err)"
