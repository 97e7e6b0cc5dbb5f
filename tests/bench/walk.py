# SPDX-License-Identifier: MIT
"""The walk that image tools make: walk.py TREE... does lstat, lgetxattr(security.capability) and llistxattr
on every file of each tree, and prints how many there were, and how many attributes."""
import errno
import os
import sys


def attributes(path):
    try:
        os.getxattr(path, "security.capability", follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
    return len(os.listxattr(path, follow_symlinks=False))


def walk(tree):
    """Files, bytes and attributes beneath a directory."""
    files = size = found = 0
    below = [tree]
    while below:
        with os.scandir(below.pop()) as entries:
            for entry in entries:
                files, size = files + 1, size + os.lstat(entry.path).st_size * entry.is_file(follow_symlinks=False)
                found += attributes(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
    return files, size, found


for tree in sys.argv[1:]:
    print(*walk(tree))
