# SPDX-License-Identifier: MIT
"""What a workload is made of: steps, each a shell command and the way in which it is timed."""
import dataclasses
import json


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
    most_rounds: int = 0  # where one more would tell nothing new; 0: as many as the run has


def once(command):
    return (Step("", command),)


def twice(command):
    return (Step("cold", command), Step("warm", command))


def fio_clock(output):
    """The time between fio's first call and its last, and what it counted meanwhile."""
    job = json.loads(output)["jobs"][0]
    counts = [job[way][what] for way in ("read", "write") for what in ("io_bytes", "total_ios")]
    return (job["read"]["runtime"] + job["write"]["runtime"]) / 1000, [job["error"], *counts]


def asking_clock(output):
    """The time between the first question and the last answer."""
    told = json.loads(output)
    return told["seconds"], told["refused"]


def fio(name, way, size, passes, more=""):
    """Plain pread and pwrite over the whole of `file`; each pass opens it anew, as programs do, which
    drop no caches either, into a buffer that begins with a page, as cp, dd and databases have it: some
    processors copy four times as slowly to what lies up to 32 bytes after its source in a page, which is
    where malloc puts a large buffer, so that two copies may be sooner done than one. A block that is
    written holds its own offset, so the order in which a contender's blocks arrive shows in the digest,
    if it matters."""
    content = " --verify=pattern --verify_pattern=%o --do_verify=0 --verify_state_save=0"
    command = (f"fio --name=volume --filename=file --size=64M --rw={way} --bs={size} --loops={passes}"
               f" --ioengine=psync --iomem_align=4096 --thread --invalidate=0 --output-format=json{more}")
    calls = passes * (64 << 20) // {"4k": 4 << 10, "1M": 1 << 20}[size]
    return Step(name, command + (content if "write" in way else ""), clock=fio_clock, calls=calls)


def reads(way, size, passes):
    """Once with no page of the file in the mount's cache; then what is left there may serve."""
    return fio("cold", way, size, 1), fio("warm", way, size, passes)


def writes(way, size, passes, sync="--end_fsync=1"):
    return (fio("", way, size, passes, f" {sync}"),)
