# SPDX-License-Identifier: MIT
#
# What the examples share, read by them with ".": a directory of their own with a store in it, gone
# at the end with whatever is mounted; an image made of a small tree; and words to tell and check.
# PLYFS chooses the program, else it is build/plyfs.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
program=${PLYFS:-$root/build/plyfs}
[ -x "$program" ] || { echo "there is no $program: run sh tests/run.sh --build first" >&2; exit 1; }
here=$(mktemp -d "${TMPDIR:-/tmp}/plyfs-example.XXXXXX")
PLYFS_ROOT=$here/store
export PLYFS_ROOT LC_ALL=C.UTF-8
exec 3>&1 # where it is told what happens, also while output is taken

clean_up() {
    for name in $("$program" ps -q 2>/dev/null); do
        "$program" umount "$name" || "$program" umount --lazy "$name"
    done
    for point in "$here/mnt" "$here/bundle/rootfs"; do # of a mount without a name
        if mountpoint -q "$point" 2>/dev/null; then "$program" umount --lazy "$point"; fi
    done
    rm -rf --one-file-system "$here"
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# Says the command, then runs it.
plyfs() {
    echo "\$ plyfs $*" >&3
    "$program" "$@"
}

step() { printf '\n== %s\n' "$*" >&3; }

# Ends the example when FILE does not hold TEXT.
holds() {
    [ "$(cat "$1")" = "$2" ] || { echo "$1 holds '$(cat "$1")' and not '$2'" >&2; exit 1; }
    echo "$1: $2" >&3
}

# The image shop:1, a small tree with a web site and a data directory.
make_image() {
    mkdir -p "$here/tree/etc" "$here/tree/srv/site" "$here/tree/var/lib/shop"
    echo 'open from 9 to 5' >"$here/tree/etc/shop.conf"
    echo 'the image says hello' >"$here/tree/srv/site/index.html"
    echo 'apples 3' >"$here/tree/var/lib/shop/stock"
    tar -C "$here/tree" -cf "$here/shop.tar" .
    plyfs image import shop:1 "$here/shop.tar"
}

# $here/root, a root filesystem of one program: busybox.
make_root() {
    mkdir -p "$here/root/bin" "$here/root/etc" "$here/root/proc" "$here/root/dev" "$here/root/tmp" \
        "$here/root/sys"
    cp "$(command -v busybox)" "$here/root/bin/busybox"
    for name in sh ls rm cat; do ln -s busybox "$here/root/bin/$name"; done
    echo 'welcome' >"$here/root/etc/motd"
}
