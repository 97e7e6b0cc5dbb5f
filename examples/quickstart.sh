#!/bin/sh
# SPDX-License-Identifier: MIT
#
# quickstart.sh [--keep DIRECTORY]: plyfs from nothing, on a real Debian root.
#
# Installs what is missing, builds plyfs, unpacks a Debian minbase as one layer, puts a small layer
# of changes over it, mounts both under an empty upper directory, works in a chroot of the mount,
# and shows what the work cost: which files were copied up, and that the layers are unchanged.
# With --keep the layers and the upper stay in DIRECTORY (new or empty) to look at; else nothing is
# left but build/.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
keep=
case ${1:-} in
'') ;;
--keep)
    keep=${2:?--keep takes a directory}
    mkdir -p "$keep"
    keep=$(cd "$keep" && pwd)
    [ -z "$(ls -A "$keep")" ] || { echo "$keep is not empty" >&2; exit 2; }
    ;;
*) echo "usage: sh examples/quickstart.sh [--keep DIRECTORY]" >&2; exit 2 ;;
esac
if [ "$(id -u)" != 0 ]; then
    echo "the quickstart unpacks a root filesystem and works in a chroot: run it as root" >&2
    echo "(plyfs itself needs no root: see README.md)" >&2
    exit 1
fi
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
umask 022

step() { printf '\n== %s\n' "$*"; }

# Everything below is undone on every way out.
here=${keep:-$(mktemp -d "${TMPDIR:-/tmp}/plyfs-quickstart.XXXXXX")}
clean_up() {
    if mountpoint -q "$here/merged"; then
        umount "$here/merged" || umount -l "$here/merged"
    fi
    [ -n "$keep" ] || rm -rf --one-file-system "$here"
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

step "Set up and build"
sh "$root/tests/run.sh" --build
plyfs=$root/build/plyfs

step "Two layers: a Debian minbase, and a few changes over it"
sh "$root/tests/rootfs.sh" "$root/build/rootfs.tar"
read -r kind _ <"$root/build/rootfs.tar.packages"
base=$here/base changes=$here/changes upper=$here/upper merged=$here/merged
mkdir "$base" "$changes" "$upper" "$merged"
tar -C "$base" --numeric-owner --xattrs --xattrs-include='*' -xf "$root/build/rootfs.tar"
mkdir -p "$changes/etc" "$changes/usr/local/bin"
echo "Two layers, one tree." >"$changes/etc/motd"         # a new file, or one in place of the base's
mknod "$changes/etc/issue" c 0 0                          # a whiteout: the base's file is gone
printf '#!/bin/sh\ncat /etc/motd\n' >"$changes/usr/local/bin/greet"
chmod 755 "$changes/usr/local/bin/greet"
du -sh "$base" "$changes" | sed "s|$here/||"

# Everything of a layer but the access times: names, contents, owners, modes, times, xattrs.
digest() {
    tar -C "$1" --sort=name --numeric-owner --xattrs --xattrs-include='*' --format=pax \
        --pax-option=delete=atime,delete=ctime -cf - . | sha256sum | cut -c 1-32
}
base_before=$(digest "$base")
changes_before=$(digest "$changes")

step "Mount them"
set -- "$plyfs" mount --lower "$changes" --lower "$base" --upper "$upper" "$merged"
echo "$ $*"
"$@"
grep -F " $merged " /proc/self/mounts || true

# A real package, through this machine's own apt; without a network, one made on the spot.
find_package() {
    mkdir "$here/package"
    cd "$here/package"
    apt-get -qq download hello || { apt-get -qq update && apt-get -qq download hello; } || {
        mkdir -p hello/DEBIAN hello/usr/bin
        printf '%s\n' 'Package: hello' 'Version: 1' 'Architecture: all' \
            'Maintainer: plyfs <plyfs@localhost>' 'Description: says hello' >hello/DEBIAN/control
        printf '#!/bin/sh\necho "Hello, world!"\n' >hello/usr/bin/hello
        chmod 755 hello/usr/bin/hello
        dpkg-deb -b hello hello.deb
    }
}

# in_chroot SCRIPT: runs it in the mount, with /dev and /proc bound in a mount namespace of its own.
in_chroot() {
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root DEBIAN_FRONTEND=noninteractive \
        unshare -m --propagation unchanged sh -eu -c '
            mount --make-private "$1"
            mount --rbind /dev "$1/dev"
            mount -t proc proc "$1/proc" 2>/dev/null || mount --rbind /proc "$1/proc"
            exec chroot "$1" /bin/sh -euxc "$2"' sh "$merged" "$1"
}

step "Work in a chroot of the mount"
if [ "$kind" = debian ]; then
    (find_package) >"$here/package.log" 2>&1 || { cat "$here/package.log" >&2; exit 1; }
    cp "$here"/package/*.deb "$merged/root/hello.deb"
    in_chroot '
        greet
        test ! -e /etc/issue
        dpkg -i /root/hello.deb
        hello
        dpkg --verify hello
        apt-get -y -qq -o Dpkg::Use-Pty=0 remove hello
        apt-get -qq check
        useradd --create-home guest
        chmod 600 /usr/bin/perl
        mv /usr/share/perl5 /usr/share/perl5.moved
        rm -r /usr/share/doc/tzdata /root/hello.deb'
else
    in_chroot '
        greet
        test ! -e /etc/issue
        echo "guest:x:1000:1000::/home/guest:/bin/sh" >>/etc/passwd
        mkdir -p /home/guest
        chmod 600 /etc/group
        rm /bin/wget'
fi

step "Unmount"
"$plyfs" umount "$merged"

step "What the work left in the upper directory ($(du -sh "$upper" | cut -f 1))"
# explain PATH: what one entry of the upper is, told by what the layers have at the same path.
explain() {
    size=$(stat -c %s "$upper/$1")
    if [ -c "$upper/$1" ] && [ "$(stat -c %t:%T "$upper/$1")" = 0:0 ]; then
        echo "deleted            /$1"
    elif getfattr -h --absolute-names -n trusted.overlay.metacopy "$upper/$1" >/dev/null 2>&1; then
        echo "metadata copied up /$1 (its $size bytes stay below)"
    elif getfattr -h --absolute-names -n trusted.overlay.redirect "$upper/$1" >/dev/null 2>&1; then
        echo "moved              /$1 (its content stays below)"
    elif [ -d "$upper/$1" ]; then
        [ -e "$base/$1" ] || [ -e "$changes/$1" ] || echo "new directory      /$1"
    elif [ -e "$base/$1" ] || [ -e "$changes/$1" ]; then
        echo "copied up          /$1 ($size bytes)"
    else
        echo "new                /$1 ($size bytes)"
    fi
}
(cd "$upper" && find . -mindepth 1 | sed 's|^\./||') | while read -r path; do
    explain "$path"
done | sort

step "The layers are unchanged"
unchanged() {
    echo "$1: $2 before, $3 after"
    [ "$2" = "$3" ] || { echo "the layer $1 was changed" >&2; exit 1; }
}
unchanged base "$base_before" "$(digest "$base")"
unchanged changes "$changes_before" "$(digest "$changes")"
[ -z "$keep" ] || echo "everything is kept in $keep"

step "Your own directories, as root or as any user, the topmost first:"
echo "$plyfs mount --lower TOP --lower BOTTOM --upper CHANGES MOUNTPOINT"
