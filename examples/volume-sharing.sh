#!/bin/sh
# SPDX-License-Identifier: MIT
#
# volume-sharing.sh: a second mount that takes all volumes of the first, one of them at one time in
# both, and once more for reading only.
. "$(dirname "$0")/sandbox.sh"

make_image
mkdir "$here/shop" "$here/till" "$here/auditor"
plyfs create --name shop -v stock:/var/lib/shop shop:1
plyfs create --name till --volumes-from shop shop:1
plyfs create --name auditor --volumes-from shop:ro shop:1
for name in shop till auditor; do
    plyfs mount "$name" "$here/$name"
done

step "What one writes the others see"
echo 'apples 2' >"$here/till/var/lib/shop/stock"
holds "$here/shop/var/lib/shop/stock" 'apples 2'
holds "$here/auditor/var/lib/shop/stock" 'apples 2'

step "But the auditor only looks"
if (echo 'apples 9' >"$here/auditor/var/lib/shop/stock") 2>/dev/null; then
    echo "a read-only volume was written to" >&2
    exit 1
fi

step "The volume outlives the mount that it came from"
plyfs umount shop
plyfs rm shop
echo 'apples 1' >"$here/till/var/lib/shop/stock"
holds "$here/auditor/var/lib/shop/stock" 'apples 1'
plyfs umount till
plyfs umount auditor
