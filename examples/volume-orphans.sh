#!/bin/sh
# SPDX-License-Identifier: MIT
#
# volume-orphans.sh: volumes that no mount has any more, found, told apart and removed.
. "$(dirname "$0")/sandbox.sh"

make_image
plyfs create --name one -v /var/lib/shop -v keep:/srv/site shop:1
plyfs create --name two -v /var/lib/shop shop:1

step "rm without -v leaves the volumes of a mount behind"
plyfs rm one
plyfs volume ls -f dangling=true

step "An orphan knows who it was made for"
orphan=$(plyfs volume ls -q -f dangling=true | grep -v '^keep$')
plyfs volume inspect "$orphan" | grep '"/var/lib/shop"'

step "What is in use cannot be removed"
used=$(plyfs volume ls -q -f dangling=false)
if plyfs volume rm "$used" 2>"$here/error"; then
    echo "a volume that a mount has was removed" >&2
    exit 1
fi
grep 'volume is in use' "$here/error"

step "prune takes the anonymous orphans, with -a the named ones too"
plyfs volume prune -f
plyfs volume ls -q | grep -x keep
plyfs volume prune -a -f
[ "$(plyfs volume ls -q)" = "$used" ]
