#!/bin/sh
# SPDX-License-Identifier: MIT
#
# volume-bind.sh: a host directory over a path of the image while it is mounted, what it hides, and
# the image's own content seen again when it is detached.
. "$(dirname "$0")/sandbox.sh"

make_image
mkdir "$here/mnt" "$here/draft"
echo 'a draft on the host' >"$here/draft/index.html"
plyfs create --name shop shop:1
plyfs mount shop "$here/mnt"
page=$here/mnt/srv/site/index.html
holds "$page" 'the image says hello'

step "The host's directory over the site, without a remount"
plyfs attach shop "$here/draft:/srv/site"
holds "$page" 'a draft on the host'

step "A change on either side is seen on the other"
echo 'a better draft' >"$here/draft/index.html"
holds "$page" 'a better draft'
echo 'written in the mount' >"$here/mnt/srv/site/new.html"
holds "$here/draft/new.html" 'written in the mount'

step "What it hides is still there to be read"
plyfs shadow shop
plyfs shadow shop /srv/site
[ "$(plyfs cat --under shop /srv/site/index.html)" = 'the image says hello' ]

step "Detached, the image's own page is back"
plyfs detach shop /srv/site
holds "$page" 'the image says hello'
[ ! -e "$here/mnt/srv/site/new.html" ]
plyfs umount shop
