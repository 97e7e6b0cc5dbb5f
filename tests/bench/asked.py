# SPDX-License-Identifier: MIT
"""How many requests a FUSE mount is asked, counted by the kernel where it sends them.

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
    number = None  # of requests; None when they were not counted


def _recorded(instance):
    """All that were sent: those still in the buffers, and those that made room for them."""
    return sum(int(found) for stats in instance.glob("per_cpu/cpu*/stats")
               for found in re.findall(r"^(?:entries|overrun): (\d+)$", stats.read_text(), re.MULTILINE))


@contextlib.contextmanager
def counted(mountpoints, wanted):
    """A Count that is filled in at the end, of requests to the filesystems at the mountpoints alone; None: to
    all there are, for where mounts come and go."""
    count = Count()
    if not wanted or not can_count():
        yield count
        return
    instance = TRACING / "instances" / f"plyfs-bench-{os.getpid()}"
    instance.mkdir()
    try:
        if mountpoints is not None:
            ours = " || ".join(f"connection == {_connection(mountpoint)}" for mountpoint in mountpoints)
            (instance / EVENT / "filter").write_text(ours)
        (instance / EVENT / "enable").write_text("1")
        yield count
        (instance / EVENT / "enable").write_text("0")
        count.number = _recorded(instance)
    finally:
        instance.rmdir()
