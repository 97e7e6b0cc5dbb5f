#!/bin/sh
# SPDX-License-Identifier: MIT
#
# deb.sh [DIRECTORY]: builds plyfs as a Debian package, DIRECTORY/plyfs_VERSION_ARCHITECTURE.deb (build/
# where nothing is said), and prints its path. libfuse 3.17 or newer is linked into the program where the
# distribution has an older one (tests/libfuse.sh builds it), so the package needs nothing but what the
# distribution has. Needs no root. tests/setup.sh --build installs what it takes.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
to=${1:-build}
mkdir -p "$to"
to=$(cd "$to" && pwd)
build=$root/build/package
for tool in meson dpkg-deb dpkg-shlibdeps dpkg-buildflags strip; do
    command -v "$tool" >/dev/null ||
        { echo "deb.sh: needs $tool; sh tests/setup.sh --build installs it" >&2; exit 1; }
done
scratch=$(mktemp -d "${TMPDIR:-/tmp}/plyfs-deb.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
umask 022

# The time of the last change is the package's, so that the same tree makes the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(dpkg-parsechangelog -l packaging/changelog -S Timestamp)}
export SOURCE_DATE_EPOCH
version=$(dpkg-parsechangelog -l packaging/changelog -S Version)
architecture=$(dpkg --print-architecture)
package=$scratch/plyfs

# ---- the program ---------------------------------------------------------------------------------

DEB_BUILD_MAINT_OPTIONS=hardening=+all
export DEB_BUILD_MAINT_OPTIONS
CFLAGS="$(dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS)"
LDFLAGS=$(dpkg-buildflags --get LDFLAGS)
export CFLAGS LDFLAGS
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" . --prefix=/usr --sysconfdir=/etc --buildtype=plain -Dtests=false \
        --pkg-config-path="$root/build/deps/prefix/lib/pkgconfig" >&2
fi
ninja -C "$build" >&2
DESTDIR="$package" meson install -C "$build" --no-rebuild >&2
strip --remove-section=.comment --remove-section=.note "$package/usr/bin/plyfs"
find "$package/usr/share/man" -type f -exec gzip -9n {} +

# ---- what Debian wants beside it -----------------------------------------------------------------

document=$package/usr/share/doc/plyfs
mkdir -p "$document/examples"
cp packaging/copyright README.md "$document/"
cp examples/*.conf examples/*.service examples/fstab examples/*.md "$document/examples/"
gzip -9n <packaging/changelog >"$document/changelog.gz"
find "$document" -type f -exec chmod 644 {} +

# dpkg-shlibdeps wants a source package around it.
mkdir -p "$scratch/debian" "$package/DEBIAN"
cp packaging/control "$scratch/debian/control"
depends=$(cd "$scratch" && dpkg-shlibdeps -O plyfs/usr/bin/plyfs | sed -n 's/^shlibs:Depends=//p')
size=$(du -k -s --apparent-size "$package/usr" | cut -f1)
# The paragraph of the package, without that of the source.
sed -e '1,/^$/d' -e "s/^Architecture: .*/Architecture: $architecture/" \
    -e "s/\${shlibs:Depends}/$depends/" "$scratch/debian/control" >"$scratch/paragraph"
{
    sed -n '/^Package:/p' "$scratch/paragraph"
    echo "Version: $version"
    sed -n '/^Maintainer:/p' packaging/control
    echo "Installed-Size: $size"
    sed -e '/^Package:/d' "$scratch/paragraph"
} >"$package/DEBIAN/control"
(cd "$package" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$package/DEBIAN/md5sums"
find "$package" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
deb=$to/plyfs_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$package" "$deb" >&2
echo "$deb"
