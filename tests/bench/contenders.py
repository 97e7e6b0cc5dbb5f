# SPDX-License-Identifier: MIT
"""Who is compared: tables of filesystems that show the same, and one mount of one of them."""
import contextlib
import ctypes
import dataclasses
import os
import pathlib
import shlex
import shutil
import subprocess
import time

LIBC = ctypes.CDLL(None, use_errno=True)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
URING = pathlib.Path("/sys/module/fuse/parameters/enable_uring")
ROOT_USER, ORDINARY_USER = 0, 65534
VOLUME = "vol"
NO_LEDGER = str(ROOT / "build/no-ledger/plyfs")  # made by variant.sh
PLYFS = os.environ.get("PLYFS", str(ROOT / "build" / "plyfs"))


def _joined(mount, *options):
    return ",".join([f"lowerdir={':'.join(mount.layers.names)}", f"upperdir={mount.upper}",
                     f"workdir={mount.work}", *options])


def _kernel(mount):
    # The features that plyfs has on by default; without them chown and rename would copy data.
    return ["mount", "-t", "overlay", "overlay", "-o",
            _joined(mount, "redirect_dir=on", "metacopy=on", "index=on"), mount.at]


def _fuse_overlayfs(mount):
    return ["fuse-overlayfs", "-o", _joined(mount), mount.at]


def _plyfs(profile):
    def command(mount):
        layers = [word for lower in mount.layers.names for word in ("--lower", lower)]
        return [PLYFS, "mount", *layers, "--upper", mount.upper, "--work", mount.work,
                f"--profile={profile}", mount.at]
    return command


def _without_ledger(mount):
    return [NO_LEDGER, *_plyfs("stateless")(mount)[1:]]


def _named(program):
    def command(mount):
        store = ["--root", f"{mount.box}/store"]
        lowers = [word for lower in mount.layers.names for word in ("--lower", lower)]
        return ["sh", "-c", shlex.join([program, "create", *store, "--name", "web", *lowers]) + " && exec "
                + shlex.join([program, "mount", *store, "web", "--profile=stateless", mount.at])]
    return command


def _bind(mount):
    return ["mount", "--bind", mount.host, mount.at]


def _bindfs(mount):
    return ["bindfs", mount.host, mount.at]


def _bindfs_user(mount):
    # Its own default, allow_other, is for root and for those whom fuse.conf lets.
    return ["bindfs", "--no-allow-other", mount.host, mount.at]


def _plyfs_volume(mode=""):
    def command(mount):
        return [PLYFS, "mount", "--lower", mount.nothing, "--upper", mount.upper, "--work", mount.work,
                "-v", f"{mount.host}:/{VOLUME}{mode}", mount.at]
    return command


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    command: object  # (Mount) -> argv, run in the layers' folder
    program: str
    uring: bool = False  # with FUSE over io_uring switched on in the kernel
    user: int = ROOT_USER  # who mounts
    inside: str = ""     # where beneath the mountpoint the tree is seen

    def available(self):
        if self.uring and not os.access(URING, os.W_OK):
            return False
        if self.name == "kernel":
            return "overlay" in pathlib.Path("/proc/filesystems").read_text()
        return shutil.which(self.program) is not None

    def is_fuse(self):
        return self.program != "mount"

    def version(self):
        if not self.is_fuse():
            return os.uname().release
        done = subprocess.run([self.program, "--version"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        own = [line for line in lines if line.startswith(os.path.basename(self.program))]
        return (own or lines or ["?"])[0]


@dataclasses.dataclass(frozen=True)
class Family:
    """Contenders that show the same tree, and may be compared with each other."""
    reference: str       # the name of the one whose times are 1.00
    contenders: tuple
    client: int          # the user who works in every mount, and owns its directories
    on_host: bool        # what is shown is a host directory with a copy of the layers' files


FAMILIES = {
    "union": Family("kernel", client=ROOT_USER, on_host=False, contenders=(
        Contender("kernel", _kernel, "mount"),
        Contender("plyfs-stateless", _plyfs("stateless"), PLYFS),
        Contender("plyfs-tracked", _plyfs("tracked"), PLYFS),
        Contender("stateless-uring", _plyfs("stateless"), PLYFS, uring=True),
        Contender("tracked-uring", _plyfs("tracked"), PLYFS, uring=True),
        Contender("fuse-overlayfs", _fuse_overlayfs, "fuse-overlayfs"),
    )),
    "ledger": Family("without", client=ROOT_USER, on_host=False, contenders=(
        Contender("without", _without_ledger, NO_LEDGER),
        Contender("unwatched", _plyfs("stateless"), PLYFS),
        # Volumes may be attached to what has a name, which costs requests of its own.
        Contender("named-without", _named(NO_LEDGER), NO_LEDGER),
        Contender("ledger", _named(PLYFS), PLYFS),
    )),
    "volume": Family("bind", client=ORDINARY_USER, on_host=True, contenders=(
        Contender("bind", _bind, "mount"),
        Contender("plyfs-volume", _plyfs_volume(), PLYFS, inside=VOLUME),
        Contender("plyfs-volume-user", _plyfs_volume(), PLYFS, user=ORDINARY_USER, inside=VOLUME),
        # Lags up to a second behind the host, as bindfs does; the others show a change at once.
        Contender("plyfs-volume-cached", _plyfs_volume(":cached"), PLYFS, user=ORDINARY_USER,
                  inside=VOLUME),
        Contender("bindfs", _bindfs, "bindfs"),
        Contender("bindfs-user", _bindfs_user, "bindfs", user=ORDINARY_USER),
    )),
}
CONTENDERS = tuple(contender for family in FAMILIES.values() for contender in family.contenders)


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
    """A fresh mount over given layers, with directories of its own that go away with it. The names
    of layers are relative to their folder: 500 must fit in the one page that mount(2) takes."""

    def __init__(self, contender, family, layers, scratch):
        self.contender, self.family, self.layers = contender, family, layers
        self.switched = contextlib.ExitStack()
        self.box = pathlib.Path(scratch) / "round"
        self.nothing, self.upper, self.work, self.host, self.at = self.folders = [
            str(self.box / name) for name in ("nothing", "upper", "work", "host", "mnt")]
        self.tree = os.path.join(self.at, contender.inside)      # where clients work
        self.result = self.host if family.on_host else self.at  # where their work is looked at

    def __enter__(self):
        for folder in self.folders:
            os.makedirs(folder)
        if self.family.on_host:
            self.layers.copy(self.host)
        owner = self.family.client
        subprocess.run(["chown", "-R", f"{owner}:{owner}", *self.folders], check=True)
        argv, user = self.contender.command(self), self.contender.user
        started = time.perf_counter()
        self.switched.enter_context(_uring(self.contender.uring))
        subprocess.run(argv, cwd=self.layers.folder, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       user=user, group=user, extra_groups=[])
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
