# SPDX-License-Identifier: MIT
"""Who is compared: a table of filesystems, and one mount of one of them."""
import contextlib
import ctypes
import dataclasses
import os
import pathlib
import shutil
import subprocess
import time

LIBC = ctypes.CDLL(None, use_errno=True)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
URING = pathlib.Path("/sys/module/fuse/parameters/enable_uring")
PLYFS = os.environ.get("PLYFS", str(ROOT / "build" / "plyfs"))


def _joined(lowers, upper, work, *options):
    return ",".join([f"lowerdir={':'.join(lowers)}", f"upperdir={upper}", f"workdir={work}",
                     *options])


def _kernel(lowers, upper, work, at):
    # The features that plyfs has on by default; without them chown and rename would copy data.
    return ["mount", "-t", "overlay", "overlay", "-o",
            _joined(lowers, upper, work, "redirect_dir=on", "metacopy=on", "index=on"), at]


def _fuse_overlayfs(lowers, upper, work, at):
    return ["fuse-overlayfs", "-o", _joined(lowers, upper, work), at]


def _plyfs(profile):
    def command(lowers, upper, work, at):
        layers = [word for lower in lowers for word in ("--lower", lower)]
        return [PLYFS, "mount", *layers, "--upper", upper, "--work", work,
                f"--profile={profile}", at]
    return command


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    command: object  # (lowers, upper, work, mountpoint) -> argv; paths relative to the layers' folder
    program: str
    uring: bool = False  # with FUSE over io_uring switched on in the kernel

    def available(self):
        if self.uring and not os.access(URING, os.W_OK):
            return False
        if self.name == "kernel":
            return "overlay" in pathlib.Path("/proc/filesystems").read_text()
        return shutil.which(self.program) is not None

    def version(self):
        if self.name == "kernel":
            return os.uname().release
        done = subprocess.run([self.program, "--version"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        own = [line for line in lines if line.startswith(os.path.basename(self.program))]
        return (own or lines or ["?"])[0]


CONTENDERS = (
    Contender("kernel", _kernel, "mount"),
    Contender("plyfs-stateless", _plyfs("stateless"), PLYFS),
    Contender("plyfs-tracked", _plyfs("tracked"), PLYFS),
    Contender("stateless-uring", _plyfs("stateless"), PLYFS, uring=True),
    Contender("tracked-uring", _plyfs("tracked"), PLYFS, uring=True),
    Contender("fuse-overlayfs", _fuse_overlayfs, "fuse-overlayfs"),
)
REFERENCE = "kernel"


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


def _serving(mountpoint):
    """True while some process has the mountpoint on its command line."""
    word = os.fsencode(mountpoint)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                    if word in file.read().split(b"\0"):
                        return True
            except OSError:
                continue
    return False


class Mount:
    """A fresh mount over given lower layers, with an upper of its own that goes away with it."""

    def __init__(self, contender, layers, scratch):
        self.contender, self.layers = contender, layers
        self.switched = contextlib.ExitStack()
        self.box = pathlib.Path(scratch) / "round"
        self.at = str(self.box / "mnt")

    def __enter__(self):
        for name in ("upper", "work", "mnt"):
            (self.box / name).mkdir(parents=True)
        # Relative names: 500 layers must fit in the one page that mount(2) takes.
        argv = self.contender.command(self.layers.names, str(self.box / "upper"),
                                      str(self.box / "work"), self.at)
        started = time.perf_counter()
        self.switched.enter_context(_uring(self.contender.uring))
        subprocess.run(argv, cwd=self.layers.folder, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.seconds = time.perf_counter() - started
        return self

    def __exit__(self, *_):
        self.switched.close()
        if LIBC.umount2(os.fsencode(self.at), 0) != 0:
            raise OSError(ctypes.get_errno(), f"cannot unmount {self.at}")
        end = time.monotonic() + 60
        while _serving(self.at):  # its daemon's last work must not fall into the next round
            if time.monotonic() > end:
                raise OSError(f"{self.contender.name}: the daemon outlives its mount by 60 s")
            time.sleep(0.002)
        shutil.rmtree(self.box)
