#!/bin/sh
# SPDX-License-Identifier: MIT
#
# crun.sh: a command in a mounted tree by crun, the runtime beneath podman, from an OCI bundle made by
# hand: the mount is the bundle's root filesystem. As root; a user adds a user namespace to config.json.
. "$(dirname "$0")/sandbox.sh"

make_root
mkdir -p "$here/changes" "$here/bundle/rootfs"
plyfs mount --lower "$here/root" --upper "$here/changes" "$here/bundle/rootfs"

step "The bundle: what to run, and in which namespaces"
cat >"$here/bundle/config.json" <<'END'
{
  "ociVersion": "1.0.2",
  "root": {"path": "rootfs"},
  "process": {
    "args": ["/bin/sh", "-euc", "echo written inside >/etc/note; rm /etc/motd"],
    "cwd": "/",
    "user": {"uid": 0, "gid": 0},
    "capabilities": {"bounding": [], "effective": [], "permitted": []}
  },
  "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
  "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]}
}
END
echo "\$ crun run --bundle $here/bundle example"
crun --root "$here/state" --cgroup-manager disabled run --bundle "$here/bundle" "plyfs-example-$$"

step "What it changed lies in the upper, and nothing in the root"
holds "$here/changes/etc/note" 'written inside'
holds "$here/root/etc/motd" 'welcome'
[ ! -e "$here/bundle/rootfs/etc/motd" ]
plyfs umount "$here/bundle/rootfs"
