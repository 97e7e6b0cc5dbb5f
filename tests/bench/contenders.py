# SPDX-License-Identifier: MIT
"""Who is compared: tables of filesystems that show the same."""
import dataclasses
import os
import pathlib
import shlex
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
URING = pathlib.Path("/sys/module/fuse/parameters/enable_uring")
ROOT_USER, ORDINARY_USER = 0, 65534
VOLUME = "vol"
NO_PASSTHROUGH = ("-o", "passthrough=off")
THROUGH_URING = ("-o", "io_uring=on")
NO_LEDGER = str(ROOT / "build/no-ledger/plyfs")
PLYFS = os.environ.get("PLYFS", str(ROOT / "build" / "plyfs"))
LEAST = str(ROOT / "build/tests/least")
# What the least filesystem is asked for, to be the floor of (floors.py): reads and writes of one file. Of a
# union, where it copies, only large ones: there its bytes cost what anybody's do. For small ones others wait by
# spinning. Where the kernel gathers them, they are large again.
COPIED, GATHERED = ("read-1m", "write-1m"), ("write-4k",)
VOLUME_FILES = tuple(f"volume-{name}" for name in ("read-4k", "read-1m", "write-4k", "write-1m", "randread-4k",
                                                   "randwrite-4k", "sync-4k", "randsync-4k"))


def _joined(mount, *options):
    changes = [] if mount.read_only else [f"upperdir={mount.upper}", f"workdir={mount.work}"]
    return ",".join([f"lowerdir={':'.join(mount.layers.names)}", *changes, *options])


def _kernel(mount):
    # The features that plyfs has on by default; without them chown and rename would copy data.
    index = [] if mount.read_only else ["index=on"]
    return ["mount", "-t", "overlay", "overlay", "-o",
            _joined(mount, "redirect_dir=on", "metacopy=on", *index), mount.at]


def _fuse_overlayfs(program):
    def command(mount):
        return [program, "-o", _joined(mount), mount.at]
    return command


def _unionfs(mount):
    branches = [f"{mount.layers.folder}/{name}=RO" for name in mount.layers.names]
    upper = [] if mount.read_only else [f"{mount.upper}=RW"]
    return ["unionfs", "-o", "cow,hide_meta_files,allow_other,use_ino,suid,dev", ":".join(upper + branches), mount.at]


def _mergerfs(mount):
    branches = [f"{mount.layers.folder}/{name}=RO" for name in mount.layers.names]
    return ["mergerfs", "-o", "allow_other,cache.files=auto-full", ":".join(branches), mount.at]


def _plyfs(profile, *more):
    def command(mount):
        layers = [word for lower in mount.layers.names for word in ("--lower", lower)]
        changes = [] if mount.read_only else ["--upper", mount.upper, "--work", mount.work]
        return [PLYFS, "mount", *layers, *changes, f"--profile={profile}", *more, mount.at]
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


def _bindfs_coherent(mount):
    """It too shows every change of the host at the very next call."""
    return ["bindfs", "--no-allow-other", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0,direct_io",
            mount.host, mount.at]


def _by(least, workloads):
    return tuple((workload, least) for workload in workloads)


def _least(*options):
    def command(mount):
        return [LEAST, *options, mount.host, mount.at]
    return command


def _plyfs_volume(mode=""):
    def command(mount):
        return [PLYFS, "mount", "--lower", mount.nothing, "--upper", mount.upper, "--work", mount.work,
                "-v", f"{mount.host}:/{VOLUME}{mode}", mount.at]
    return command


PACKAGES = {name: f"apt-get install {name}" for name in ("fuse-overlayfs", "unionfs-fuse", "mergerfs", "bindfs")}


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    command: object  # (Mount) -> argv, run in the layers' folder
    program: str
    uring: bool = False  # with FUSE over io_uring switched on in the kernel
    user: int = ROOT_USER  # who mounts
    inside: str = ""     # where beneath the mountpoint the tree is seen
    writes: bool = True  # can be given a tree to change whose layers must not change
    cannot: tuple = ()   # names of workloads that it does not do, or not rightly
    only: tuple = ()     # names of those that it does; none: all others
    of_copy: bool = False  # it shows a directory with a copy of what the layers show
    least: tuple = ()    # (workload, the contender that does that in the least way), ...

    def does(self, workload):
        if self.only and workload.name not in self.only:
            return False
        return workload.name not in self.cannot and (self.writes or not workload.writes)

    def available(self):
        if self.uring and not os.access(URING, os.W_OK):
            return False
        if self.name == "kernel":
            return "overlay" in pathlib.Path("/proc/filesystems").read_text()
        return shutil.which(self.program) is not None

    def is_copy(self):
        """Nothing is mounted: a directory with a copy of what the layers show."""
        return self.program == "cp"

    def is_fuse(self):
        return self.program not in ("mount", "cp")

    def is_ours(self):
        return self.program == PLYFS

    def lacks(self):
        if self.uring and shutil.which(self.program):
            return f"the kernel does not offer {URING}"
        return f"no {self.program}" + (f": {PACKAGES[self.name]}" if self.name in PACKAGES else "")

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
    bare: str = ""       # the contender that does the same work without any request


FAMILIES = {
    "union": Family("kernel", client=ROOT_USER, on_host=False, bare="kernel", contenders=(
        Contender("native", None, "cp", cannot=("memory",)),  # the kernel's own memory is nobody's
        Contender("kernel", _kernel, "mount", cannot=("memory",)),
        Contender("least", _least("--copying"), LEAST, only=COPIED, of_copy=True),
        Contender("least-gathering", _least("--gathering"), LEAST, only=GATHERED, of_copy=True),
        Contender("plyfs-stateless", _plyfs("stateless"), PLYFS, least=_by("least", COPIED)),
        Contender("plyfs-writeback", _plyfs("stateless", "-o", "writeback=on"), PLYFS,
                  least=_by("least-gathering", GATHERED)),
        Contender("plyfs-tracked", _plyfs("tracked", *NO_PASSTHROUGH), PLYFS, least=_by("least", COPIED)),
        # What it reads of lower files may be copied up meanwhile: those are not passed through.
        Contender("plyfs-passthrough", _plyfs("tracked"), PLYFS, least=_by("least", ("read-1m",))),
        Contender("stateless-uring", _plyfs("stateless", *THROUGH_URING), PLYFS, uring=True),
        Contender("tracked-uring", _plyfs("tracked", *NO_PASSTHROUGH, *THROUGH_URING), PLYFS, uring=True),
        Contender("passthrough-uring", _plyfs("tracked", *THROUGH_URING), PLYFS, uring=True,
                  least=_by("least", ("read-1m",))),
        # Its deletion of 100,000 names takes a quarter of an hour: each reads the directory anew.
        Contender("fuse-overlayfs", _fuse_overlayfs("fuse-overlayfs"), "fuse-overlayfs", cannot=("directory",)),
        # chmod -R and chown -R lose their place in its directories when these are copied up; it knows no
        # extended attributes; and it asks 500 branches for every name, which takes a quarter of an hour.
        Contender("unionfs-fuse", _unionfs, "unionfs", cannot=("chown", "chmod", "image-walk", "untar-500")),
        # It copies nothing up: what lies on a branch is changed there, or cannot be changed.
        Contender("mergerfs", _mergerfs, "mergerfs", writes=False),
    )),
    "ledger": Family("without", client=ROOT_USER, on_host=False, contenders=(
        Contender("without", _without_ledger, NO_LEDGER),
        Contender("unwatched", _plyfs("stateless"), PLYFS),
        # Volumes may be attached to what has a name, which costs requests of its own.
        Contender("named-without", _named(NO_LEDGER), NO_LEDGER),
        Contender("ledger", _named(PLYFS), PLYFS),
    )),
    "volume": Family("bind", client=ORDINARY_USER, on_host=True, bare="bind", contenders=(
        Contender("bind", _bind, "mount"),
        Contender("least", _least(), LEAST, only=VOLUME_FILES),
        Contender("plyfs-volume", _plyfs_volume(), PLYFS, inside=VOLUME, least=_by("least", VOLUME_FILES)),
        Contender("plyfs-volume-user", _plyfs_volume(), PLYFS, user=ORDINARY_USER, inside=VOLUME),
        # Lags up to a second behind the host, as bindfs does; the others show a change at once.
        Contender("plyfs-volume-cached", _plyfs_volume(":cached"), PLYFS, user=ORDINARY_USER,
                  inside=VOLUME),
        Contender("bindfs", _bindfs, "bindfs"),
        Contender("bindfs-user", _bindfs_user, "bindfs", user=ORDINARY_USER),
        Contender("bindfs-coherent", _bindfs_coherent, "bindfs", user=ORDINARY_USER),
    )),
}

# Enough to see whether plyfs became slower.
QUICK = ("kernel", "plyfs-stateless", "plyfs-passthrough", "fuse-overlayfs")


def add_peer(name, program):
    """One more contender for unions, told what fuse-overlayfs is told."""
    union = FAMILIES["union"]
    peer = Contender(name, _fuse_overlayfs(program), program)
    FAMILIES["union"] = dataclasses.replace(union, contenders=(*union.contenders, peer))


def build(contenders):
    """The program without a ledger, where one of them is that."""
    if any(contender.program == NO_LEDGER for contender in contenders):
        subprocess.run(["sh", pathlib.Path(__file__).with_name("variant.sh"), "no-ledger", "-Dledger=false"],
                       stdout=subprocess.DEVNULL, check=True)


def every():
    return tuple(contender for family in FAMILIES.values() for contender in family.contenders)
