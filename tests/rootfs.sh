#!/bin/sh
# SPDX-License-Identifier: MIT
#
# rootfs.sh OUT.tar [PACKAGE...]: makes a tar of a real Debian minbase (this machine's own suite, from
# its own mirror), with the packages given beside it. An OUT.tar that was made with the same packages
# is left as it is, so that many tests can share one. Where neither mmdebstrap nor debootstrap can
# make one, it is a small busybox root. OUT.tar.packages says which it is, and with what packages.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?usage: rootfs.sh OUT.tar [PACKAGE...]}
shift
packages=$(echo "$*" | tr ' ' ',')
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
umask 022

if [ -s "$out" ] && [ "$(cat "$out.packages" 2>/dev/null)" = "debian $packages" ]; then
    exit 0
fi
mkdir -p "$(dirname "$out")"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/plyfs-rootfs.XXXXXX")
trap 'rm -rf --one-file-system "$scratch" "$out.new"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$scratch"
log=$scratch/log
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

# The bootstrappers read no apt configuration of ours: a proxy is handed over in the environment.
if [ -z "${http_proxy:-}" ] && command -v apt-config >/dev/null; then
    eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
    [ -z "${http_proxy:-}" ] || export http_proxy
fi

with_mmdebstrap() {
    command -v mmdebstrap >/dev/null || return 1
    list=$(sh "$root/tests/sources.sh" deb own "$scratch/suite") || return 1
    mmdebstrap --variant=minbase ${packages:+--include="$packages"} --aptopt='Acquire::Retries "3"' \
        --format=tar "$suite" "$out.new" "$list"
}

with_debootstrap() {
    command -v debootstrap >/dev/null && [ "$(id -u)" = 0 ] || return 1
    list=$(sh "$root/tests/sources.sh" deb own "$scratch/suite") || return 1
    mirror=$(grep -o -m 1 '[a-z]*://[^ ]*' "$list") || return 1
    debootstrap --variant=minbase ${packages:+--include="$packages"} "$suite" "$scratch/root" \
        "$mirror" || return 1
    # What mmdebstrap leaves out as well: the packages that were fetched, and the lists.
    rm -rf "$scratch"/root/var/cache/apt/archives/*.deb "$scratch"/root/var/lib/apt/lists/*
    tar -C "$scratch/root" --numeric-owner --xattrs --xattrs-include='*' --one-file-system \
        -cf "$out.new" .
}

with_busybox() {
    busybox=$(command -v busybox) || return 1
    for directory in bin dev etc proc root sys tmp usr/bin var/lib; do
        mkdir -p "$scratch/root/$directory"
    done
    chmod 1777 "$scratch/root/tmp"
    cp "$busybox" "$scratch/root/bin/busybox"
    for name in $("$busybox" --list); do
        [ "$name" = busybox ] || ln -s busybox "$scratch/root/bin/$name"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$scratch/root/etc/passwd"
    echo 'root:x:0:' >"$scratch/root/etc/group"
    tar -C "$scratch/root" --numeric-owner --owner=0 --group=0 -cf "$out.new" .
}

kind=debian
if ! with_mmdebstrap >"$log" 2>&1 && ! with_debootstrap >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "no Debian root can be made here: a busybox root takes its place" >&2
    with_busybox || { echo "and there is no busybox either" >&2; exit 1; }
    kind=busybox
fi
mv "$out.new" "$out"
echo "$kind $packages" >"$out.packages"
