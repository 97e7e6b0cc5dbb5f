# SPDX-License-Identifier: MIT
"""Layers as a mount with mapped ids has them on disk: every owner is another number there."""
import os
import stat
import struct

NAMED = (0x02, 0x08)  # the tags of ACL entries that name a user or a group (linux/posix_acl.h)


def _shifted_acl(value, by):
    shifted = value[:4]
    for tag, perm, number in struct.iter_unpack("<HHI", value[4:]):
        shifted += struct.pack("<HHI", tag, perm, number + by if tag in NAMED else number)
    return shifted


def _shift_one(path, by):
    st = os.lstat(path)
    capability = None
    attributes = os.listxattr(path, follow_symlinks=False)
    if "security.capability" in attributes:
        capability = os.getxattr(path, "security.capability", follow_symlinks=False)
    os.lchown(path, st.st_uid + by, st.st_gid + by)
    for name in attributes:
        if name.startswith("system.posix_acl_"):
            value = os.getxattr(path, name, follow_symlinks=False)
            os.setxattr(path, name, _shifted_acl(value, by), follow_symlinks=False)
    # chown(2) has taken both away.
    if not stat.S_ISLNK(st.st_mode):
        os.chmod(path, stat.S_IMODE(st.st_mode))
    if capability is not None:
        os.setxattr(path, "security.capability", capability, follow_symlinks=False)


def shift(directory, by):
    """Adds `by` to the ids of everything in the directory and of itself, once to each inode."""
    seen = set()
    for where, names, files in os.walk(os.fsencode(directory)):
        for path in [os.path.join(where, name) for name in names + files] + [where]:
            st = os.lstat(path)
            if (st.st_dev, st.st_ino) not in seen:
                seen.add((st.st_dev, st.st_ino))
                _shift_one(path, by)
