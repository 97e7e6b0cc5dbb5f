# SPDX-License-Identifier: MIT
"""What a power cut leaves: filesystems on images, and copies of these at chosen moments.

An image is a file on tmpfs under a loop device. What the kernel has given to that device is what the file
holds, so a copy of the file is what a disk has when the power goes: what is only in the page cache of the
filesystem is not in it. A copy counts only when nothing was written to the device meanwhile.

A copy is taken before each system call by which the program changes something (killer.c waits there), after the
filesystem has been made to write down all metadata that it has (`settle`): data that the program did not sync is
then missing, and only that. That is the worst that a filesystem with ordered metadata leaves at any moment.
After what should be safe a copy is taken without that.
"""
import contextlib
import errno
import json
import multiprocessing
import os
import pathlib
import subprocess
import time
import traceback

import harness

# How the filesystem is made: small and at once, for nothing may be written later by itself.
KINDS = {
    "ext4": (64, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": (320, ["mkfs.xfs", "-q", "-f"]),
    "btrfs": (128, ["mkfs.btrfs", "-q", "-f"]),
}
MIB = 1 << 20


def need_disks(kind):
    """A kind of filesystem that can be made and mounted here."""
    harness.need_root()
    harness.need(os.path.exists("/dev/loop-control"), "needs loop devices")
    harness.need_tool(f"mkfs.{kind}")
    known = pathlib.Path("/proc/filesystems").read_text(encoding="ascii").split()
    harness.need(kind in known or harness.run("modprobe", kind, check=False).returncode == 0,
                 f"the kernel has no {kind}")


def copy_of(image, to):
    """The same bytes, with the same holes."""
    size = os.path.getsize(image)
    with open(image, "rb", buffering=0) as source, open(to, "wb", buffering=0) as copy:
        copy.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(source.fileno(), at, os.SEEK_HOLE)
            while at < end:
                block = os.pread(source.fileno(), min(end - at, MIB), at)
                at += os.pwrite(copy.fileno(), block, at)
    return pathlib.Path(to)


class Disk:
    """A filesystem of its own, mounted at one place, whichever copy of it."""

    def __init__(self, sandbox, kind):
        need_disks(kind)
        self.kind, self.at = kind, sandbox.directory("disk")
        self.images = sandbox.directory("images")
        self.blank, self.image, self.begun = self.images / "blank", None, 0
        megabytes, make = KINDS[kind]
        with open(self.blank, "wb") as file:
            file.truncate(megabytes * MIB)
        harness.run(*make, self.blank)
        harness.run("fallocate", "--dig-holes", self.blank)

    def begin(self, image=None):
        """Mounts a copy of an image (a blank one), so that the image stays as it is. Each is a file of its own: a
        loop device that somebody looks at (losetup(8)) is kept a moment longer, and mount(8) takes it again for the
        same file, with the pages that it has of the one before."""
        self.begun += 1
        self.image = self.images / f"now{self.begun}"
        copy_of(image or self.blank, self.image)
        harness.run("mount", "-t", self.kind, "-o", "loop", self.image, self.at)
        self.counts = self.device() / "stat"

    def end(self):
        """A daemon that ends has files of it open for a moment still."""
        until = time.monotonic() + 20
        while harness.is_mounted(self.at):
            try:
                harness.umount(self.at)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > until:
                    raise
                time.sleep(0.002)
        if self.image:
            self.image.unlink(missing_ok=True)

    def end_as(self, name):
        """The image as it is after the unmount, by a name of its own: what copies can begin with."""
        os.link(self.image, self.images / name)
        self.end()
        return self.images / name
    def device(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            (source,) = [line.rsplit(" - ")[1].split()[1] for line in table
                         if line.split()[4] == os.fspath(self.at)]
        return pathlib.Path("/sys/block") / os.path.basename(source)

    def settle(self):
        """Everything that the filesystem knows about files goes to the disk, and of their data as little as it can."""
        if self.kind == "btrfs":
            with self.open_root() as root:
                harness.LIBC.syncfs(root)
            return
        fd = os.open(self.at / "settled", os.O_CREAT | os.O_WRONLY, 0o600)
        with contextlib.closing(os.fdopen(fd, "wb", buffering=0)) as file:
            file.write(b"x")
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def open_root(self):
        root = os.open(self.at, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield root
        finally:
            os.close(root)

    def written(self):
        """What the device has been given and what it is at: it stands still while both stay."""
        fields = self.counts.read_text(encoding="ascii").split()
        return fields[4], fields[6], fields[8]

    def keep(self, **facts):
        """Keeps a copy of what is on the disk now, with what is to be known of it."""
        before = None
        while before is None or before != self.written() or before[2] != "0":
            before = self.written()
            copy_of(self.image, self.images / "cut")
        number = 1 + len(self.kept())
        os.rename(self.images / "cut", self.images / f"cut{number}")
        with open(self.images / "kept", "a", encoding="utf-8") as file:
            file.write(json.dumps({"number": number, **facts}) + "\n")

    def kept(self):
        """[(the copy, what is known of it)], in the order in which they were made."""
        path = self.images / "kept"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [(self.images / f"cut{known['number']}", known) for known in map(json.loads, lines)]


class Steps:
    """Something is done before each change that a traced program makes on disk. It is done by a process of its
    own: whoever works on the mount may hold up all threads of his own (a write to a mapping does)."""

    def __init__(self, program, what, act, **words):
        self.traced = subprocess.Popen([program, "pause", *map(str, what)], text=True, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, **words)
        if len(what) == 1:
            assert self.traced.stdout.readline() == "ready\n"
        self.follower = multiprocessing.get_context("fork").Process(target=self.follow, args=(act,))
        self.follower.start()

    def follow(self, act):
        """With an act that fails the program goes on, so that nobody waits for ever; the status tells."""
        failed = False
        for line in self.traced.stdout:
            if line not in ("through\n", "killed\n"):
                try:
                    act(line.strip())
                except Exception:       # noqa: BLE001
                    traceback.print_exc()
                    failed = True
                self.traced.stdin.write("\n")
                self.traced.stdin.flush()
        os._exit(failed)

    def end(self):
        """The status of the program, once it has ended."""
        self.follower.join()
        assert self.follower.exitcode == 0, "what is done between the steps failed"
        return self.traced.wait()
