# SPDX-License-Identifier: MIT
"""How many requests a FUSE mount is asked, counted by the kernel where it sends them, and how many of them
are for the data of a file.

The counting needs tracefs and Linux 6.11, which has the event; elsewhere nothing is counted. It costs
the client some 0.3 us a request, so it is done in one round only.
"""
import contextlib
import os
import pathlib
import re
import subprocess

TRACING = pathlib.Path("/sys/kernel/tracing")
EVENT = "events/fuse/fuse_request_send"
FUSE_READ = 15  # an opcode of linux/fuse.h


def can_count():
    if not (TRACING / "instances").is_dir():
        # In the benchmark's own mount namespace: the machine's stays as it is.
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=False, stderr=subprocess.DEVNULL)
    return (TRACING / EVENT).is_dir()


def _connection(mountpoint):
    """The kernel's own number of a connection is that of the device which its files lie on; root may
    not be allowed to ask the mountpoint itself."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == mountpoint:
            return int(fields[2].split(":")[1])
    raise OSError(f"nothing is mounted on {mountpoint}")


class Count:
    number = reads = None  # of requests, and of those to read a file; None when they were not counted


class _Instance:
    """The kernel's counter of those requests that a filter lets by."""

    def __init__(self, name, wanted):
        self.path = TRACING / "instances" / f"plyfs-bench-{os.getpid()}-{name}"
        self.path.mkdir()
        if wanted:
            (self.path / EVENT / "filter").write_text(wanted)

    def switch(self, on):
        (self.path / EVENT / "enable").write_text("1" if on else "0")

    def recorded(self):
        """All that were sent: those still in the buffers, and those that made room for them."""
        return sum(int(found) for stats in self.path.glob("per_cpu/cpu*/stats")
                   for found in re.findall(r"^(?:entries|overrun): (\d+)$", stats.read_text(), re.MULTILINE))


@contextlib.contextmanager
def counted(mountpoints, wanted):
    """A Count that is filled in at the end, of requests to the filesystems at the mountpoints alone; None: to
    all there are, for where mounts come and go."""
    count = Count()
    if not wanted or not can_count():
        yield count
        return
    ours = " || ".join(f"connection == {_connection(mountpoint)}" for mountpoint in mountpoints or ())
    reads = f"opcode == {FUSE_READ}"
    instances = []
    try:
        instances += [_Instance("all", ours)]
        instances += [_Instance("reads", f"({ours}) && {reads}" if ours else reads)]
        for instance in instances:
            instance.switch(True)
        yield count
        for instance in instances:
            instance.switch(False)
        count.number, count.reads = (instance.recorded() for instance in instances)
    finally:
        for instance in instances:
            instance.path.rmdir()
