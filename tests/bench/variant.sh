#!/bin/sh
# SPDX-License-Identifier: MIT
# variant.sh NAME [MESON-OPTION]...: builds the program once more, otherwise configured, as
# build/NAME/plyfs, to be compared with build/plyfs.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=$root/build/$1
shift
export PKG_CONFIG_PATH="$root/build/deps/prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
[ -f "$directory/build.ninja" ] || meson setup "$directory" "$root" -Dtests=false "$@" >&2
ninja -C "$directory" plyfs >&2
