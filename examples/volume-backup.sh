#!/bin/sh
# SPDX-License-Identifier: MIT
#
# volume-backup.sh: a mount that is never mounted and only keeps volumes, a backup of them with tar
# through a second mount, and the restore into new ones.
. "$(dirname "$0")/sandbox.sh"

make_image
mkdir "$here/mnt"

step "A data-only mount: it holds the volume, nobody mounts it"
plyfs create --name data -v /var/lib/shop shop:1

step "A worker uses the volume"
plyfs create --name worker --volumes-from data shop:1
plyfs mount worker "$here/mnt"
echo 'apples 2, pears 5' >"$here/mnt/var/lib/shop/stock"
ln "$here/mnt/var/lib/shop/stock" "$here/mnt/var/lib/shop/stock.link"
plyfs umount worker
plyfs rm -v worker # the data's anonymous volume stays: data has it still

step "Backup: a mount of the same volumes for reading, and tar"
plyfs create --name backup --volumes-from data:ro shop:1
plyfs mount backup "$here/mnt"
tar -C "$here/mnt" -cf "$here/backup.tar" var/lib/shop
plyfs umount backup
plyfs rm backup

step "Everything is lost"
plyfs rm -v data
[ -z "$(plyfs volume ls -q)" ]

step "Restore: a new data-only mount, and tar through a second one"
plyfs create --name data -v /var/lib/shop shop:1
plyfs create --name restore --volumes-from data shop:1
plyfs mount restore "$here/mnt"
tar -C "$here/mnt" -xf "$here/backup.tar"
holds "$here/mnt/var/lib/shop/stock" 'apples 2, pears 5'
[ "$here/mnt/var/lib/shop/stock" -ef "$here/mnt/var/lib/shop/stock.link" ]
plyfs umount restore
