# SPDX-License-Identifier: MIT
"""What is measured: a table. A workload is a set of layers and shell commands run on a fresh mount.

`cold` is the first run after the mount, `warm` the second; the page cache of the layers below is warm
in both. Commands print what they found, and every contender must print the same. Workloads that write
end in syncfs, so that nobody gains by leaving the work for later; those also have the digest of their
resulting tree compared (once a run, untimed; for a volume in the host's directory).

Workloads named volume-* run on a host directory that is shown through a mount, and are done by an
ordinary user. Reading and writing of one file is fio's, and timed by fio: its start is longer than
what a bind mount takes.
"""
import dataclasses
import json

# Counts of lines, words and bytes check the work without the cost of sorting: the order of names is free.
FIND = "find . -type d -printf 'd %m %U %P\\n' -o -printf '%y %m %U %s %P\\n' | wc"
LIST = "ls -lR | wc -l"
TAR = "tar -c . | wc -c"  # to /dev/null GNU tar would not read the files
GREP = "grep -rlI Copyright . | wc"
SYNC = " && sync -f ."
STAT = "xargs -0 -a $NAMES stat -c '%A %u %s %n' | wc"
CREATE = "mkdir new && for i in $(seq 2000); do echo $i > new/$i; done" + SYNC


@dataclasses.dataclass(frozen=True)
class Step:
    name: str            # "" when the workload has one step
    command: str
    timed: bool = True
    clock: object = None  # output -> (seconds, what was done); None: the wall's, and the output
    calls: int = 0       # reads or writes that it makes, where that is known
    from_mount: bool = False  # its time begins when the mount is asked for
    resident: bool = False    # what counts is the daemon's memory after it, not its time


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    layers: str          # a name of trees.Trees
    steps: tuple
    family: str = "union"  # a name of contenders.FAMILIES
    writes: bool = False
    mount_counts: bool = False  # the time that the mount takes is a result too
    read_only: bool = False     # mounted without an upper directory
    mounts: int = 1      # the tree of the last is $OTHER


def once(command):
    return (Step("", command),)


def twice(command):
    return (Step("cold", command), Step("warm", command))


def fio_clock(output):
    """The time between fio's first call and its last, and what it counted meanwhile."""
    job = json.loads(output)["jobs"][0]
    counts = [job[way][what] for way in ("read", "write") for what in ("io_bytes", "total_ios")]
    return (job["read"]["runtime"] + job["write"]["runtime"]) / 1000, [job["error"], *counts]


def fio(name, way, size, passes, more=""):
    """Plain pread and pwrite over the whole of `file`; each pass opens it anew, as programs do, which
    drop no caches either. A block that is written holds its own offset, so the order in which a
    contender's blocks arrive shows in the digest, if it matters."""
    content = " --verify=pattern --verify_pattern=%o --do_verify=0 --verify_state_save=0"
    command = (f"fio --name=volume --filename=file --size=64M --rw={way} --bs={size} --loops={passes}"
               f" --ioengine=psync --thread --invalidate=0 --output-format=json{more}")
    calls = passes * (64 << 20) // {"4k": 4 << 10, "1M": 1 << 20}[size]
    return Step(name, command + (content if "write" in way else ""), clock=fio_clock, calls=calls)


def reads(way, size, passes):
    """Once with no page of the file in the mount's cache; then what is left there may serve."""
    return fio("cold", way, size, 1), fio("warm", way, size, passes)


def writes(way, size, passes, sync="--end_fsync=1"):
    return (fio("", way, size, passes, f" {sync}"),)


COMMIT = "--fdatasync=32"  # as a database does, every so many pages


def volume(name, layers, steps, writes=False):
    return Workload(f"volume-{name}", layers, steps, family="volume", writes=writes)


def ledger(name, layers, steps, writes=False):
    return Workload(f"ledger-{name}", layers, steps, family="ledger", writes=writes)


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
    ledger("find", "real", twice(FIND)),
    ledger("untar", "empty", once(UNTAR), writes=True),
    ledger("chmod", "real", once("chmod -R g+w ." + SYNC), writes=True),
    ledger("copyups", "many", once("chown -R 1234:1234 ." + SYNC), writes=True),
    volume("find", "real", twice(FIND)),
    volume("stat", "real", twice(STAT)),
    volume("list", "real", twice(LIST)),
    volume("chmod", "real", once("chmod -R g+w ." + SYNC), writes=True),
    volume("create", "empty", once(CREATE), writes=True),
    volume("rm", "real", once("rm -rf ./*" + SYNC), writes=True),
    volume("untar", "empty", once(UNTAR), writes=True),
    volume("read-4k", "file", reads("read", "4k", 8)),
    volume("read-1m", "file", reads("read", "1M", 16)),
    volume("write-4k", "file", writes("write", "4k", 8), writes=True),
    volume("write-1m", "file", writes("write", "1M", 16), writes=True),
    volume("randread-4k", "file", reads("randread", "4k", 8)),
    volume("randwrite-4k", "file", writes("randwrite", "4k", 8), writes=True),
    volume("sync-4k", "file", writes("write", "4k", 2, COMMIT), writes=True),
    volume("randsync-4k", "file", writes("randwrite", "4k", 2, COMMIT), writes=True),
)

VOLUME_METADATA = ("volume-find/cold", "volume-find/warm", "volume-stat/cold", "volume-stat/warm",
                   "volume-list/cold", "volume-list/warm", "volume-chmod", "volume-create",
                   "volume-rm", "volume-untar")
VOLUME_SMALL = ("volume-read-4k/warm", "volume-randread-4k/warm", "volume-write-4k",
                "volume-randwrite-4k", "volume-sync-4k", "volume-randsync-4k")
VOLUME_DATA = (*VOLUME_SMALL, "volume-read-4k/cold", "volume-randread-4k/cold",
               "volume-read-1m/cold", "volume-read-1m/warm", "volume-write-1m")

# What was promised: (measure, contender, peer, at most this many times the peer's median).
PROMISES = (
    ("tar/warm", "plyfs-stateless", "kernel", 1.0),
    ("find/cold", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("untar", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("rm-upper", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("rm-lower", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("chown", "plyfs-stateless", "fuse-overlayfs", 0.5),
    *((name, "unwatched", "without", 1.02)
      for name in ("ledger-find/cold", "ledger-find/warm", "ledger-untar", "ledger-chmod")),
    ("ledger-copyups", "ledger", "named-without", 1.05),
    *((name, "plyfs-volume", "bind", 1 / 0.95) for name in VOLUME_SMALL),
    *((name, ours, "bindfs-user", most)
      for ours in ("plyfs-volume-user", "plyfs-volume-cached")
      for names, most in ((VOLUME_METADATA, 0.5), (VOLUME_DATA, 1.0)) for name in names),
)
