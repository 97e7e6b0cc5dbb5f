# SPDX-License-Identifier: MIT
"""What /proc tells of the daemons of mounts."""
import contextlib
import os
import pathlib
import re
import time


def daemons(mountpoint):
    """Processes of the program under test whose command line names the mountpoint."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if os.fsencode(mountpoint) in words and b"plyfs" in os.path.basename(words[0]):
                    found.append(int(entry.name))
    return found


def resident(pids):
    """Bytes; a daemon may be more than one process."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def descriptors(pids):
    return max(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def leads_to(path):
    """Where a symlink leads; None when it has just gone, as that of a descriptor may."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return None


def states(pid):
    """A letter for each of its threads: R, S, D, T."""
    return [(thread / "stat").read_text().rpartition(")")[2].split()[0]
            for thread in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def tracers(pid):
    """The process that traces each of its threads; 0 is none."""
    return [int(re.search(r"^TracerPid:\t(\d+)$", (thread / "status").read_text(), re.MULTILINE)[1])
            for thread in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def processor_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def is_idle(pid):
    """Whether half a second goes by without a tick of its processor time."""
    before = processor_ticks(pid)
    time.sleep(0.5)
    return processor_ticks(pid) == before
