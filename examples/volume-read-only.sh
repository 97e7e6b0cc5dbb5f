#!/bin/sh
# SPDX-License-Identifier: MIT
#
# volume-read-only.sh: a volume that the mount may only read, while the host goes on writing to it.
. "$(dirname "$0")/sandbox.sh"

make_image
mkdir "$here/mnt" "$here/prices"
echo 'apples 1.20' >"$here/prices/list"
plyfs create --name shop -v "$here/prices:/srv/prices:ro" shop:1
plyfs mount shop "$here/mnt"
holds "$here/mnt/srv/prices/list" 'apples 1.20'

step "The mount cannot write there"
if (echo 'apples 0.00' >"$here/mnt/srv/prices/list") 2>"$here/error"; then
    echo "a read-only volume was written to" >&2
    exit 1
fi
grep -i 'read-only' "$here/error"

step "The host can, and the mount sees it"
echo 'apples 1.30' >"$here/prices/list"
holds "$here/mnt/srv/prices/list" 'apples 1.30'

step "The rest of the mount is as writable as before"
echo 'open all day' >"$here/mnt/etc/shop.conf"
holds "$here/mnt/etc/shop.conf" 'open all day'
plyfs umount shop
