#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bubblewrap.sh: a command in a mounted tree by bubblewrap alone, as an ordinary user may do it: the mount
# is the root, and what the command changes lies in the upper. (`plyfs run` does the same in one command.)
. "$(dirname "$0")/sandbox.sh"

make_root
mkdir "$here/changes" "$here/mnt"
plyfs mount --lower "$here/root" --upper "$here/changes" "$here/mnt"

step "A shell in it, with a /proc and a /dev of its own"
bwrap --bind "$here/mnt" / --proc /proc --dev /dev --tmpfs /tmp --unshare-pid --die-with-parent \
    /bin/sh -euc 'echo written inside >/etc/note; rm /etc/motd; ls /etc'

step "What it changed lies in the upper, and nothing in the root"
holds "$here/changes/etc/note" 'written inside'
holds "$here/root/etc/motd" 'welcome'
[ ! -e "$here/mnt/etc/motd" ]
plyfs umount "$here/mnt"
