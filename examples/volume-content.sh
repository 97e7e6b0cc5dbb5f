#!/bin/sh
# SPDX-License-Identifier: MIT
#
# volume-content.sh: a named and an anonymous volume that begin with what the image has at their
# place, and the named one that outlives its mount.
. "$(dirname "$0")/sandbox.sh"

step "An image with data in it"
make_image

step "Empty volumes over two of its directories take over what it has there"
plyfs create --name shop -v stock:/var/lib/shop -v /srv/site shop:1
mkdir "$here/mnt"
plyfs mount shop "$here/mnt"
holds "$here/mnt/var/lib/shop/stock" 'apples 3'
holds "$here/mnt/srv/site/index.html" 'the image says hello'
plyfs volume ls

step "What is written goes to the volume, not into the mount's own layer"
echo 'apples 2' >"$here/mnt/var/lib/shop/stock"
plyfs shadow shop
[ -z "$(plyfs diff shop)" ]

step "The mount goes, and its anonymous volume with it; the named one stays"
plyfs umount shop
plyfs rm -v shop
[ "$(plyfs volume ls -q)" = stock ]

step "Another mount of it finds what was written: a volume that has content is not filled again"
plyfs create --name again -v stock:/var/lib/shop shop:1
plyfs mount again "$here/mnt"
holds "$here/mnt/var/lib/shop/stock" 'apples 2'
plyfs umount again
