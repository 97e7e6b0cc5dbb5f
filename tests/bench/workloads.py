# SPDX-License-Identifier: MIT
"""What is measured: a table. A workload is a set of layers and shell commands run on a fresh mount.

`cold` is the first run after the mount, `warm` the second; the page cache of the layers below is warm
in both. Commands print what they found, and every contender must print the same. Workloads that write
end in syncfs, so that nobody gains by leaving the work for later; those also have the digest of their
resulting tree compared (once a run, untimed).
"""
import dataclasses

# Counts of lines, words and bytes check the work without the cost of sorting: the order of names is free.
FIND = "find . -type d -printf 'd %m %U %P\\n' -o -printf '%y %m %U %s %P\\n' | wc"
LIST = "ls -lR | wc -l"
TAR = "tar -c . | wc -c"  # to /dev/null GNU tar would not read the files
GREP = "grep -rlI Copyright . | wc"
SYNC = " && sync -f ."


@dataclasses.dataclass(frozen=True)
class Step:
    name: str            # "" when the workload has one step
    command: str
    timed: bool = True


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    layers: str          # a name of trees.Trees
    steps: tuple
    writes: bool = False
    mount_counts: bool = False  # the time that the mount takes is a result too


def once(command):
    return (Step("", command),)


def twice(command):
    return (Step("cold", command), Step("warm", command))


UNTAR = "tar -xf $ARCHIVE" + SYNC

WORKLOADS = (
    Workload("find", "real", twice(FIND)),
    Workload("tar", "real", twice(TAR)),
    Workload("grep", "real", twice(GREP)),
    Workload("untar", "empty", once(UNTAR), writes=True),
    Workload("rm-upper", "empty", (Step("", UNTAR, timed=False), Step("", "rm -rf ./*")), writes=True),
    Workload("rm-lower", "real", once("rm -rf ./*"), writes=True),
    Workload("chown", "real", once("chown -R 1234:1234 ." + SYNC), writes=True),
    Workload("chmod", "real", once("chmod -R g+w ." + SYNC), writes=True),
    Workload("write-4k", "empty",
             once("dd if=/dev/zero of=file bs=4k count=20000 status=none" + SYNC), writes=True),
    Workload("write-1m", "empty",
             once("dd if=/dev/zero of=file bs=1M count=256 status=none" + SYNC), writes=True),
    Workload("layers-2", "deep-2", twice(LIST), mount_counts=True),
    Workload("layers-500", "deep-500", twice(LIST), mount_counts=True),
)

# What was promised: (measure, contender, peer, at most this many times the peer's median).
PROMISES = (
    ("tar/warm", "plyfs-stateless", "kernel", 1.0),
    ("find/cold", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("untar", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("rm-upper", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("rm-lower", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("chown", "plyfs-stateless", "fuse-overlayfs", 0.5),
)
