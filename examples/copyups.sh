#!/bin/sh
# SPDX-License-Identifier: MIT
#
# copyups.sh [--keep DIRECTORY]: who copies what up in a Debian root, and why.
#
# A package is installed and removed, a tree is given away, a configuration edited and a log written
# to, all in a chroot of a named mount; then the ledger tells which process copied what, for which
# operation and at what cost. With --keep the layer and the store stay in DIRECTORY (new or empty).
if [ "$(id -u)" != 0 ]; then
    echo "this example unpacks a root filesystem and works in a chroot: run it as root" >&2
    exit 1
fi
. "$(dirname "$0")/sandbox.sh"

if [ "${1:-}" = --keep ]; then
    kept=${2:?--keep takes a directory}
    mkdir -p "$kept"
    rmdir "$here"
    here=$(cd "$kept" && pwd)
    [ -z "$(ls -A "$here")" ] || { echo "$here is not empty" >&2; exit 2; }
    PLYFS_ROOT=$here/store
    trap - EXIT
fi
base=$here/base mnt=$here/mnt
mkdir "$base" "$mnt"

step "A Debian minbase, with some data that belongs to the wrong user"
sh "$root/tests/rootfs.sh" "$root/build/rootfs.tar"
tar -C "$base" --numeric-owner --xattrs --xattrs-include='*' -xf "$root/build/rootfs.tar"
mkdir -p "$base/srv/data/deep" "$base/etc/app" "$base/var/log"
for i in 1 2 3 4 5 6 7 8 9; do
    head -c "${i}0000" /dev/zero | tr '\0' x >"$base/srv/data/deep/$i"
done
ln "$base/srv/data/deep/1" "$base/srv/data/one"
echo 'color = red' >"$base/etc/app/app.conf"
head -c 200000 /dev/zero | tr '\0' '\n' >"$base/var/log/app.log"

plyfs create --name story --lower "$base"
plyfs mount --trace story "$mnt"

# A package as small as they get, made here so that no network is needed.
make_package() {
    mkdir -p "$here/package/DEBIAN" "$here/package/usr/bin" "$here/package/usr/share/doc/greeting"
    printf '%s\n' 'Package: greeting' 'Version: 1' 'Architecture: all' \
        'Maintainer: plyfs <plyfs@localhost>' 'Description: says hello' >"$here/package/DEBIAN/control"
    printf '#!/bin/sh\necho hello\n' >"$here/package/usr/bin/greeting"
    echo 'To be read.' >"$here/package/usr/share/doc/greeting/README"
    chmod 755 "$here/package/usr/bin/greeting"
    dpkg-deb --root-owner-group -b "$here/package" "$mnt/root/greeting.deb" >"$here/package.log"
}

step "Package work, chown -R, sed -i, and a log that is appended to"
if command -v dpkg-deb >/dev/null && [ -x "$base/usr/bin/dpkg" ]; then
    make_package
    package='
        dpkg -i /root/greeting.deb
        greeting
        apt-get -y -qq -o Dpkg::Use-Pty=0 remove greeting'
fi
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    DEBIAN_FRONTEND=noninteractive unshare -m --propagation unchanged sh -eu -c '
        mount --make-private "$1"
        mount --rbind /dev "$1/dev"
        mount -t proc proc "$1/proc" 2>/dev/null || mount --rbind /proc "$1/proc"
        exec chroot "$1" /bin/sh -eu -c "$2"' sh "$mnt" "${package:-}
        chown -R 33:33 /srv/data
        sed -i s/red/blue/ /etc/app/app.conf
        for i in 1 2 3; do date | tee -a /var/log/app.log; done
        cp /etc/passwd /etc/passwd.copy
        rm -r /usr/share/doc/apt" >"$here/work.log" 2>&1 || { cat "$here/work.log" >&2; exit 1; }

step "Which processes copied up, and how much"
plyfs copyups --by process story
step "For which operations"
plyfs copyups --by cause story
step "The log: appended to by one, copied whole for it"
plyfs copyups -f path=app.log story
step "chown -R moved no data: the files stay below"
plyfs copyups -f command=chown --top 5 story
step "The ledger stays when the mount is gone"
plyfs umount story
plyfs copyups --top 3 story
