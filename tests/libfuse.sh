#!/bin/sh
# SPDX-License-Identifier: MIT
#
# libfuse.sh: sees to it that a libfuse3 new enough for plyfs can be built against.
#
# Where pkg-config has 3.17 or newer nothing is done. Elsewhere the source package fuse3 of a newer
# suite is fetched with this machine's own apt (own mirror, own keyring, signature checked), built as
# a static library, and published as build/deps/prefix by one rename; a later run finds it there.
# 3.18 is wanted, because FUSE over io_uring came with it; 3.17 will do.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
deps=$root/build/deps
prefix=$deps/prefix

if pkg-config --atleast-version=3.17 fuse3 2>/dev/null ||
    PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --atleast-version=3.17 fuse3 2>/dev/null; then
    exit 0
fi
for tool in apt-get dpkg-source meson ninja; do
    command -v "$tool" >/dev/null || {
        echo "libfuse3 >= 3.17 is needed and is not here: install it (or $tool, to build it)" >&2
        exit 1
    }
done

# Beneath the temporary directory and not in the tree: apt fetches as its own user, who must get in.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/plyfs-libfuse.XXXXXX")
trap 'rm -rf "$scratch" "$deps/stage.$$"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$scratch"
mkdir -p "$root/build/log"
log=$root/build/log/libfuse.log
: >"$log"

# apt_with LIST COMMAND...: apt-get that knows this one source list and keeps its state to itself.
apt_with() {
    list=$1
    shift
    apt-get -q -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=- \
        -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" \
        -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Get::List-Cleanup=false "$@"
}

# fetch SUITE LOWEST: unpacks the suite's libfuse into $scratch/src if it is at least LOWEST.
fetch() {
    rm -rf "$scratch/lists" "$scratch/cache" "$scratch/get" "$scratch/src"
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$scratch/get"
    if [ "$(id -u)" = 0 ] && id _apt >/dev/null 2>&1; then
        chown _apt "$scratch/get" "$scratch/lists/partial" "$scratch/cache/archives/partial"
    fi
    list=$(sh "$root/tests/sources.sh" deb-src "$1" "$scratch/suite") || return 1
    apt_with "$list" update || return 1
    found=$(apt-cache -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=- \
        -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" \
        showsrc --only-source fuse3 | sed -n 's/^Version: //p' | sort -V | tail -n 1)
    echo "fuse3 of $1 is '$found'"
    dpkg --compare-versions "${found:-0}" ge "$2" || return 1
    (cd "$scratch/get" && apt_with "$list" source --download-only "fuse3=$found") || return 1
    # apt has compared the files with the signed index: the signature of the .dsc need not be asked.
    dpkg-source --no-check -x "$scratch"/get/*.dsc "$scratch/src"
}

# build: the library alone, into a staging directory, then one rename.
build() {
    meson setup "$scratch/src/build" "$scratch/src" --prefix="$prefix" --libdir=lib \
        --bindir=/usr/bin --buildtype=release -Ddefault_library=static -Dutils=false \
        -Dexamples=false -Dtests=false -Duseroot=false -Dpkgconfig.relocatable=true || return 1
    ninja -C "$scratch/src/build" || return 1
    mkdir -p "$deps/stage.$$" || return 1
    DESTDIR="$deps/stage.$$" meson install -C "$scratch/src/build" --no-rebuild || return 1
    rm -rf "$prefix"
    mv "$deps/stage.$$$prefix" "$prefix"
}

for attempt in "forky 3.18" "sid 3.18" "trixie 3.17"; do
    set -- $attempt
    echo "libfuse3 >= 3.17 is not installed: building the source package of $1"
    if { fetch "$1" "$2" && build; } >>"$log" 2>&1; then
        exit 0
    fi
    echo "that of $1 will not do: see $log" >&2
done
tail -n 40 "$log" >&2
echo "no libfuse3 >= 3.17 could be built; all of it is in $log" >&2
exit 1
