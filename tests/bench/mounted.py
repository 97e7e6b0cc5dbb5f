# SPDX-License-Identifier: MIT
"""One mount of one contender: made, timed, and taken down with its daemon."""
import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from contenders import PLYFS, URING
from results import Wrong

SETTLED = 15  # looks, each 20 ms after the last
LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def _uring(wanted):
    """The kernel's switch as a contender wants it, while it is mounted: the queues are registered
    after the mount, and each asks the switch."""
    if not os.access(URING, os.W_OK):
        yield
        return
    before = URING.read_text()
    URING.write_text("Y" if wanted else "N")
    try:
        yield
    finally:
        URING.write_text(before)


def serving(mountpoint):
    """The processes that have the mountpoint on their command line."""
    word, found = os.fsencode(mountpoint), []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                    if word in file.read().split(b"\0"):
                        found.append(entry.name)
            except OSError:
                continue
    return found


class Mount:
    """A fresh mount over given layers, with directories of its own that go away with it. The names
    of layers are relative to their folder: 500 must fit in the one page that mount(2) takes."""

    def __init__(self, contender, family, layers, scratch, read_only=False, box="round"):
        self.contender, self.family, self.layers = contender, family, layers
        self.read_only = read_only  # no upper directory is given
        self.given_before = 0
        self.switched = contextlib.ExitStack()
        self.box = pathlib.Path(scratch) / box
        self.nothing, self.upper, self.work, self.host, self.at = self.folders = [
            str(self.box / name) for name in ("nothing", "upper", "work", "host", "mnt")]
        self.tree = os.path.join(self.at, contender.inside)      # where clients work
        # Where their work is looked at.
        self.result = self.host if family.on_host or contender.of_copy else self.at

    def __enter__(self):
        for folder in self.folders:
            os.makedirs(folder)
        if self.family.on_host or self.contender.of_copy:
            self.layers.copy(self.host)
        elif self.contender.is_copy():
            self.layers.copy(self.at)
        owner = self.family.client
        subprocess.run(["chown", "-R", f"{owner}:{owner}", *self.folders], check=True)
        # What the copy left to be written must not fall to whoever is timed.
        subprocess.run(["sync", "--file-system", self.box], check=True)
        started = time.perf_counter()
        try:
            self.switched.enter_context(_uring(self.contender.uring))
            if not self.contender.is_copy():
                self._mount()
        except BaseException:
            self.switched.close()
            shutil.rmtree(self.box)
            raise
        self.seconds = time.perf_counter() - started
        return self

    def _mount(self):
        user = self.contender.user
        # Not a pipe: a daemon that keeps it open would never let it end.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(self.contender.command(self), cwd=self.layers.folder, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=said, user=user, group=user, extra_groups=[])
            said.seek(0)
            if done.returncode != 0:
                raise Wrong(f"{self.contender.name} does not mount: {said.read()[-500:]}")

    def __exit__(self, *_):
        self.switched.close()
        if not self.contender.is_copy():
            self._unmount()
        shutil.rmtree(self.box)

    def _unmount(self):
        if LIBC.umount2(os.fsencode(self.at), 0) != 0:
            raise RuntimeError(f"cannot unmount {self.at}: {os.strerror(ctypes.get_errno())}")
        end = time.monotonic() + 60
        while serving(self.at):  # its daemon's last work must not fall into the next round
            if time.monotonic() > end:
                raise RuntimeError(f"{self.contender.name}: the daemon outlives its mount by 60 s")
            time.sleep(0.002)

    def given(self):
        """How many files' content the kernel was given without asking, since this was last asked; 0 of those who
        do not tell: other programs, and plyfs before it did."""
        if self.contender.program != PLYFS:
            return 0
        told = subprocess.run([PLYFS, "stats", "--total", "--format", "{{.GivenAhead}}", self.at + "/."],
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)
        before, self.given_before = self.given_before, int(told.stdout) if told.returncode == 0 else 0
        return self.given_before - before

    def _pages(self):
        return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in serving(self.at))

    def resident(self):
        """MiB of memory of the processes that serve it, once they have not changed for a while: what the
        kernel forgets it tells in its own time."""
        before, still = self._pages(), 0
        while still < SETTLED:
            time.sleep(0.02)
            now = self._pages()
            before, still = now, still + 1 if now == before else 0
        return before * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
