#!/bin/sh
# SPDX-License-Identifier: MIT
#
# setup.sh [--build]: installs what is missing for building plyfs and for its tests, and nothing
# else; with --build, what the tests alone need is left out.
#
# Each line of a table names a thing that can be looked for and the Debian package that brings it;
# so a machine that has everything needs neither root nor apt, whatever its distribution. What the
# build needs must be had; a missing tool of the tests is a warning (its tests skip by name).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
export DEBIAN_FRONTEND=noninteractive
PATH=$PATH:/usr/sbin:/sbin

for_building='
command gcc           gcc
header  stdio.h       libc6-dev
header  linux/fuse.h  linux-libc-dev
command meson         meson
command ninja         ninja-build
command pkg-config    pkg-config
module  sqlite3       libsqlite3-dev
module  libxxhash     libxxhash-dev
module  libarchive    libarchive-dev
module  zlib          zlib1g-dev
module  libcrypto     libssl-dev
module  jansson       libjansson-dev
module  libcurl       libcurl4-openssl-dev
module  cmocka        libcmocka-dev
'
# Only where libfuse must be built from source.
for_libfuse='
command dpkg-source   dpkg-dev
module  liburing      liburing-dev
module  numa          libnuma-dev
'
# Where the distribution's own libfuse is new enough.
for_packaged_libfuse='
module  fuse3         libfuse3-dev
'
# What mounting and the quickstart need at run time.
for_mounting='
command fusermount3   fuse3
command mount         mount
command getfattr      attr
command mmdebstrap    mmdebstrap
command busybox       busybox-static
'
for_tests='
python  pytest        python3-pytest
command clang         clang
command clang-format  clang-format
command pyflakes3     pyflakes3
runtime tsan          libclang-rt-dev
header  sys/sdt.h     systemtap-sdt-dev
command bpftrace      bpftrace
command git           git
command fuse-overlayfs fuse-overlayfs
command getfacl       acl
command newuidmap     uidmap
command mkfs.ext4     e2fsprogs
command mkfs.xfs      xfsprogs
command mkfs.btrfs    btrfs-progs
command sqlite3       sqlite3
command setcap        libcap2-bin
command setpriv       util-linux
command bwrap         bubblewrap
command pgrep         procps
command strace        strace
command fio           fio
command bindfs        bindfs
command unionfs       unionfs-fuse
command mergerfs      mergerfs
command groff         groff-base
command debootstrap   debootstrap
command buildah       buildah
command podman        podman
command skopeo        skopeo
command rclone        rclone
command rsync         rsync
command chromium      chromium
command crun          crun
command lintian       lintian
command dpkg-shlibdeps dpkg-dev
command systemd-analyze systemd
command containerd    containerd
command runc          runc
python  grpc          python3-grpcio
'

present() {
    case $1 in
    command) command -v "$2" >/dev/null ;;
    header) echo "#include <$2>" | gcc -E - >/dev/null 2>&1 ;;
    module) pkg-config --exists "$2" 2>/dev/null ;;
    python) /usr/bin/python3 -c "import $2" 2>/dev/null ;;
    runtime) [ -e "$(clang -print-file-name="libclang_rt.$2-$(uname -m).a" 2>/dev/null)" ] ;;
    esac
}

# missing TABLE: the packages of those lines whose thing is not here.
missing() {
    echo "$1" | while read -r kind name package; do
        [ -z "$kind" ] || present "$kind" "$name" || echo "$package"
    done
}

apt() {
    apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

have_libfuse() {
    pkg-config --atleast-version=3.17 fuse3 2>/dev/null || [ -d "$root/build/deps/prefix" ]
}

# can_install: root with apt; the lists are brought up to date once, before anything is looked up.
can_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

packaged_libfuse() {
    apt-cache madison libfuse3-dev 2>/dev/null | cut -d'|' -f2 | sort -V | tail -n 1 | tr -d ' '
}

required=$(missing "$for_building")
wanted=$(missing "$for_mounting")
[ "${1:-}" = --build ] || wanted="$wanted $(missing "$for_tests")"
have_libfuse && libfuse=here || libfuse=
if [ -n "$(echo $required $wanted)" ] || [ -z "$libfuse" ]; then
    if can_install; then
        apt update || echo "apt-get update failed; trying with the lists that are here" >&2
    fi
fi
if [ -z "$libfuse" ]; then
    packaged=$(packaged_libfuse)
    if [ -n "$packaged" ] && dpkg --compare-versions "$packaged" ge 3.17; then
        required="$required $(missing "$for_packaged_libfuse")"
    else
        required="$required $(missing "$for_libfuse")"
    fi
fi

required=$(echo $required) wanted=$(echo $wanted) # one line
if [ -n "$required$wanted" ] && can_install; then
    echo "installing $required $wanted"
    if ! apt install --no-install-recommends $required $wanted >/dev/null; then
        # One name that this suite does not have must not cost the others.
        [ -z "$required" ] || apt install --no-install-recommends $required >/dev/null
        for package in $wanted; do
            apt install --no-install-recommends "$package" >/dev/null ||
                echo "no package $package here: what needs it will be skipped" >&2
        done
    fi
elif [ -n "$required" ]; then
    echo "missing, and only root can install it: $required $wanted" >&2
    echo "on Debian: apt-get install $required $wanted" >&2
    exit 1
elif [ -n "$wanted" ]; then
    echo "missing, so some tests will be skipped: $wanted" >&2
fi
exec sh "$root/tests/libfuse.sh"
