# SPDX-License-Identifier: MIT
"""buildah and podman on a storage of their own, with any storage driver or mount program, as root or
as an ordinary user; and what is put into images.

An engine whose storage is told by a storage.conf is what somebody has who put plyfs in the place of
fuse-overlayfs; one that is told by options (Engine) is a tool that images come from.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import random
import shutil
import select
import signal
import subprocess
import tempfile

from harness import LIBC, PLYFS, is_mounted, listing, need, need_root, need_tool, run, umount

UID = 4242
USER = "plyfs-guest"
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
MS_REC, MS_BIND, MS_PRIVATE = 0x4000, 0x1000, 0x40000
# What a machine may refuse a container: more open files than this, and a network or cgroup of its own.
CONTAINED = ["--network", "host", "--cgroups=disabled", "--ulimit", "nofile=1024:1024",
             "--ulimit", "nproc=1024:1024"]


def visible(root):
    """The listing of a rootfs. Of the root itself an archive says nothing."""
    found = listing(root)
    found.pop(".")
    return found


# ---- images made by tools -----------------------------------------------------------------------

class Engine:
    """buildah and podman on a storage of their own."""

    def __init__(self, path, driver):
        # podman takes no more than 50 characters for this one.
        self.run = tempfile.TemporaryDirectory(prefix="plyfs-", dir="/dev/shm", ignore_cleanup_errors=True)
        self.options = ["--root", path / "root", "--runroot", self.run.name, "--storage-driver", driver]

    def buildah(self, *argv):
        return run("buildah", *self.options, *argv).stdout.strip()

    def podman(self, *argv):
        return run("podman", *self.options, *argv).stdout.strip()

    def grow(self, base, name, change):
        """One more layer on `base` by change(directory), as `name`."""
        container = self.buildah("from", "--pull-never", base)
        change(pathlib.Path(self.buildah("mount", container)))
        self.buildah("umount", container)
        self.buildah("commit", "-q", "--rm", container, name)

    def tree(self, name):
        container = self.buildah("from", "--pull-never", name)
        try:
            return visible(self.buildah("mount", container))
        finally:
            self.buildah("rm", container)

    def diff_ids(self, name):
        return json.loads(self.podman("image", "inspect", name))[0]["RootFS"]["Layers"]


def populate(root):
    """The lowest layer: one of everything."""
    for path in ("bin", "etc/conf.d", "usr/lib", "var/empty", "gone/deep/er", "swap", "opaque/in"):
        (root / path).mkdir(parents=True)
    for number in range(40):
        (root / "usr/lib" / f"lib{number}.so").write_bytes(os.urandom(random.randrange(1, 9000)))
        (root / "gone/deep" / f"file{number}").write_text(f"{number}\n")
        (root / "opaque" / f"old{number}").write_text("below")
    (root / "bin/tool").write_bytes(b"\x7fELF" + os.urandom(3000))
    (root / "bin/tool").chmod(0o4755)
    os.link(root / "bin/tool", root / "bin/tool.again")
    os.symlink("tool", root / "bin/sh")
    os.symlink("/nowhere/at/all", root / "etc/dangling")
    (root / "bin/ping").write_bytes(b"ping")
    os.setxattr(root / "bin/ping", "security.capability",
                bytes.fromhex("0100000200200000000000000000000000000000"))
    (root / "etc/note").write_text("note")
    os.setxattr(root / "etc/note", "user.note", b"value\0of bytes")
    os.chown(root / "etc/note", 12, 34)
    (root / "var/empty").chmod(0o1777)
    (root / ("n" * 255)).write_text("a long name")
    (root / "etc/\u00fcmlaut and blank").write_text("x")
    os.mknod(root / "etc/null", 0o020666, os.makedev(1, 3))
    os.mkfifo(root / "etc/pipe")


def change(root, number):
    """A layer above: files come, change and go."""
    (root / "etc/conf.d" / f"{number}.conf").write_text("v" * number)
    (root / "usr/lib" / f"lib{number % 40}.so").unlink(missing_ok=True)
    (root / "usr/lib" / f"new{number}.so").write_bytes(os.urandom(500))
    (root / "gone/deep" / f"file{number % 40}").unlink(missing_ok=True)
    if number == 2:
        shutil.rmtree(root / "opaque")
        (root / "opaque").mkdir()
        (root / "opaque/fresh").write_text("above")
        (root / "swap").rmdir()
        (root / "swap").write_text("a file now")
        (root / "bin/ping").chmod(0o700)
    if number == 3:
        shutil.rmtree(root / "gone")
        (root / "swap").unlink()
        (root / "swap").mkdir(mode=0o711)
        (root / "usr/data").write_bytes(b"linked")
        os.link(root / "usr/data", root / "var/data")
        os.setxattr(root / "opaque", "user.mark", b"y")
    if number == 4:
        (root / "gone").mkdir()
        (root / "gone/again").write_text("again")



# ---- storage told by a storage.conf --------------------------------------------------------------

def processes_of(place):
    """The ids of all processes whose command line names something beneath a place."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.fsencode(place) + b"/" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def daemons_of(place):
    """Those of them that are a mount program."""
    def program(pid):
        with contextlib.suppress(OSError):
            return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return [pid for pid in processes_of(place) if program(pid) in ("plyfs", "fuse-overlayfs")]


def mounts_of(place, kind="fuse"):
    """The mountpoints of FUSE beneath a place, in this namespace."""
    lines = pathlib.Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    return [point for _, point, fstype, *_ in map(str.split, lines)
            if point.startswith(f"{place}/") and fstype.startswith(kind)]


class Storage(Engine):
    """An engine that its storage.conf alone tells of the mount program. `program`: None for the
    kernel's overlayfs. `user`: whoever else than root (see guest())."""

    def __init__(self, sandbox, program=os.path.abspath(PLYFS), user=None, options=()):
        self.place = sandbox.directory("storage")
        self.run = tempfile.TemporaryDirectory(prefix="plyfs-", dir="/dev/shm", ignore_cleanup_errors=True)
        self.user, self.options, self.program = user, [], program
        for name in ("home", "root", "tmp"):
            (self.place / name).mkdir()
        conf = self.place / "storage.conf"
        conf.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{self.place}/root"\n'
                        f'runroot = "{self.run.name}/run"\nrootless_storage_path = "{self.place}/root"\n'
                        "[storage.options.overlay]\n" + (f'mount_program = "{program}"\n' if program else "")
                        + "".join(f"{line}\n" for line in options))
        if user:
            for path in (self.place / "home", self.place / "root", self.place / "tmp", self.run.name):
                os.chown(path, user, user)
        self.environment = {
            "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.place / "home"),
            "XDG_RUNTIME_DIR": self.run.name, "TMPDIR": str(self.place / "tmp"),
            "CONTAINERS_STORAGE_CONF": str(conf),
            **{key: value for key, value in os.environ.items()
               if key.startswith(("PLYFS_", "ASAN_", "UBSAN_"))}}

    def call(self, *argv, **kwargs):
        """A command in the environment of this storage, as its owner."""
        who = ["setpriv", "--reuid", self.user, "--regid", self.user, "--clear-groups", "--"] if self.user else []
        return run(*who, *argv, env=self.environment, cwd=self.place / "home", stdin=subprocess.DEVNULL,
                   **kwargs)

    def buildah(self, *argv):
        return self.call("buildah", *argv).stdout.strip()

    def podman(self, *argv):
        return self.call("podman", *argv).stdout.strip()

    def inside(self, container, script):
        """Runs a script in the root of a container that is mounted meanwhile; what it printed."""
        shell = ["buildah", "unshare", "sh"] if self.user else ["sh"]
        return self.call(*shell, "-euc", 'cd "$(buildah mount "$0")"\n' + script +
                         '\ncd / && buildah umount "$0" >/dev/null', container).stdout

    def run_in(self, container, script):
        """Runs a script in a container, in a chroot of buildah's. What it prints is not to be relied on:
        buildah 1.28 now and then loses it, with the kernel's overlayfs too. Let the script check it."""
        self.buildah("run", "--isolation", "chroot", container, "--", "/bin/sh", "-euc", script)

    def contain(self, name, image, *argv, options=()):
        """Runs a command in a container of podman's, which stays; its words may not come out."""
        return self.podman("run", "--name", name, "--pull", "never", *CONTAINED, *options, image, *argv)

    def layers(self):
        """The directories of layers and containers; what else lies there is the store's own."""
        return sorted(path for path in (self.place / "root/overlay").glob("[!.]*") if path.name != "l")

    def close(self):
        """Takes everything away; what then is still there: daemons, mounts and files."""
        self.call("buildah", "rm", "--all", check=False)
        self.call("podman", "rm", "--all", "--force", check=False)
        self.call("podman", "rmi", "--all", "--force", check=False)
        if self.user:
            self.call("podman", "system", "migrate", check=False)
        left = [f"mounted on {point}" for point in mounts_of(self.place)]
        left += [f"process {pid}" for pid in ended(daemons_of(self.place))]
        left += [f"file {path}" for path in self.layers()]
        for point in mounts_of(self.place):
            umount(point, lazy=True)
        for pid in processes_of(self.place):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if is_mounted(self.place / "root/overlay"):
            umount(self.place / "root/overlay", lazy=True)
        return left


def ended(pids, seconds=20):
    """Waits until processes have ended; those that have not."""
    fds = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fds[os.pidfd_open(pid)] = pid
    left = []
    for fd, pid in fds.items():
        if not select.select([fd], [], [], seconds)[0]:
            left.append(pid)
        os.close(fd)
    return left


# ---- a machine for them --------------------------------------------------------------------------

def _mount(source, target, flags):
    if LIBC.mount(os.fsencode(source), os.fsencode(target), None, flags, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(target))


def _open_fuse_to_all(node):
    """In this namespace alone, where there may be device nodes: others close the machine's own again."""
    os.mknod(node, 0o020666, os.stat("/dev/fuse").st_rdev)
    os.chmod(node, 0o666)
    try:
        os.close(os.open(node, os.O_RDWR))
        _mount(node, "/dev/fuse", MS_BIND)
    except PermissionError:
        os.chmod("/dev/fuse", 0o666)


@contextlib.contextmanager
def machine(sandbox, subids=True):
    """A mount namespace of this process's own in which there is an ordinary user (with subordinate
    ids or without) and no second cgroup hierarchy, which crun does not want beside the first."""
    need_root()
    need_tool("buildah", "podman", "setpriv", "busybox")
    before, here = os.open("/proc/self/ns/mnt", os.O_RDONLY), os.getcwd()
    try:
        need(LIBC.unshare(CLONE_NEWNS) == 0, "needs to make a mount namespace")
        _mount("none", "/", MS_REC | MS_PRIVATE)
        etc = sandbox.directory("etc")
        for name, line in (("passwd", f"{USER}:x:{UID}:{UID}::/nonexistent:/bin/sh\n"),
                           ("group", f"{USER}:x:{UID}:\n")):
            (etc / name).write_text(pathlib.Path("/etc", name).read_text() + line)
        for name in ("subuid", "subgid"):
            (etc / name).write_text(f"{USER}:200000:65536\n" if subids else "")
            if not os.path.exists(f"/etc/{name}"):
                pathlib.Path("/etc", name).touch()
        for path in etc.iterdir():
            _mount(path, f"/etc/{path.name}", MS_BIND)
        _open_fuse_to_all(etc / "fuse")
        if is_mounted("/sys/fs/cgroup/unified"):
            umount("/sys/fs/cgroup/unified", lazy=True)
        yield
    finally:
        # A thread of the test runner's may share this one's root and directory, and then it is refused.
        assert LIBC.unshare(CLONE_FS) == 0 and LIBC.setns(before, CLONE_NEWNS) == 0
        os.close(before)
        os.chdir(here)
