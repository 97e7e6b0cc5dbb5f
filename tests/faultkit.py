# SPDX-License-Identifier: MIT
"""Programs whose system calls, or allocations, can be made to fail: what the suites of faults share.

A Faults is one control block, shared with tests/injector.c (which see) and tests/starver.c. A mount
made with mounted() runs under them; `with faults.strike(...)` makes calls fail while its block runs.
"""
import contextlib
import ctypes
import errno
import mmap
import os
import pathlib
import subprocess
import tempfile
import threading

import pytest

import harness
from harness import PLYFS, ROOT, need, run

LOOK, CHANGE, ROOM, HANDLE, MEMORY, DATA = 1, 2, 4, 8, 16, 32

# What each errno strikes: the calls that may answer with it.
STRIKES = {
    "ENOSPC": ROOM,
    "EDQUOT": ROOM,
    "EROFS": CHANGE,
    "EIO": LOOK | CHANGE | ROOM,
    "ENOMEM": LOOK | CHANGE | ROOM | HANDLE,
    "EMFILE": HANDLE,
    "ESTALE": LOOK | CHANGE,
}

HANG = 60  # seconds after which a request counts as hung


class Control(ctypes.Structure):
    _fields_ = [("armed", ctypes.c_uint32), ("classes", ctypes.c_uint32),
                ("number", ctypes.c_uint32), ("lasting", ctypes.c_uint32),
                ("error", ctypes.c_uint32), ("seen", ctypes.c_uint32),
                ("failed", ctypes.c_uint32), ("part", ctypes.c_uint32),
                ("call", ctypes.c_char * 32), ("under", ctypes.c_char * 960)]


def built(name, source, *flags):
    """A helper program: the one of the build directory, or one compiled now."""
    made = ROOT / "build" / "tests" / name
    if made.exists():
        return made
    made = pathlib.Path(tempfile.mkdtemp(prefix="plyfs-tool-")) / name
    run("cc", "-std=c17", "-D_GNU_SOURCE", "-O1", *flags, "-o", made, ROOT / "tests" / source)
    return made


class Faults:
    """The control block, in a file of the sandbox, and how programs are put under it."""

    def __init__(self, sandbox):
        self.directory = sandbox.path
        self.path = sandbox.path / "control"
        self.path.write_bytes(bytes(ctypes.sizeof(Control)))
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.control = Control.from_buffer(self.map)
        self.injected = 0

    def prefix(self):
        """Before the words of a command: it runs under the injector."""
        return [os.fspath(built("injector", "injector.c")), os.fspath(self.path),
                os.fspath(self.directory)]

    @contextlib.contextmanager
    def strike(self, error, number=1, lasting=False, classes=None, under=None, part=0):
        """Call `number` from now on that may give `error` gives it; with `lasting`, every one after it
        too, to the end of the block. With `part`, the call is one that reads DATA and gives so many bytes
        first; the one after it fails. Yields the control block, whose `failed` tells how many did."""
        control = self.control
        control.armed = 0
        control.classes = STRIKES[error] if classes is None else classes
        control.error, control.number = getattr(errno, error), number
        control.lasting, control.seen, control.failed, control.call = int(lasting), 0, 0, b""
        control.under, control.part = os.fsencode(under) if under else b"", part
        control.armed = 1
        try:
            yield control
        finally:
            control.armed = 0
            self.injected += control.failed

    def mounted(self, sandbox, lowers, upper=None, work=None, **kwargs):
        """A mount whose daemon can be struck."""
        return Struck(self, sandbox, "plyfs", lowers, upper, work, **kwargs)


class Struck(harness.Mounted):
    """A mount of plyfs under the injector."""

    def __init__(self, faults, *args, starved=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.faults, self.starved = faults, starved

    def command(self):
        starver = ["env", f"LD_PRELOAD={built('libstarver.so', 'starver.c', '-shared', '-fPIC')}",
                   f"PLYFS_CONTROL={self.faults.path}"]
        return self.faults.prefix() + (starver if self.starved else []) + super().command()


def need_plain_allocations(why):
    need(b"__asan_init" not in pathlib.Path(PLYFS).read_bytes(), f"{why} under AddressSanitizer")


def connection(mountpoint):
    """The directory of a mount in fusectl: where it can be aborted."""
    minor = os.minor(os.stat(mountpoint).st_dev)
    top = pathlib.Path("/sys/fs/fuse/connections")
    if not any(top.iterdir()):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", top], check=False)
    return top / str(minor)


@contextlib.contextmanager
def no_hang(mountpoint, seconds=HANG):
    """A request that is not answered is ended by aborting the mount, and fails the test."""
    place = connection(mountpoint)
    hung = threading.Event()

    def abort():
        hung.set()
        (place / "abort").write_text("1")

    timer = threading.Timer(seconds, abort)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        assert not hung.is_set(), f"a request was not answered within {seconds} s"


@pytest.fixture
def faults(sandbox):
    harness.need_root()
    harness.need_fuse()
    return Faults(sandbox)
