# SPDX-License-Identifier: MIT
"""What every suite shares: sandboxes, mounts of plyfs and of its peers, listings and digests of trees.

Invariants that this file keeps for all suites:
- whatever was mounted through it is unmounted again, also when the test fails;
- the lower layers of every mount made through it are digested before the mount and compared after
  the test (the lower layers are sacred);
- a test that cannot run here skips by name, and says why.
"""
import ctypes
import errno
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLYFS = os.environ.get("PLYFS", str(ROOT / "build" / "plyfs"))
CI = os.environ.get("CI") == "true"
# With sanitizers everything takes twice as long; what only repeats itself is then done less often.
HURRIED = f"{os.sep}asan{os.sep}" in PLYFS and os.environ.get("PLYFS_FULL") != "1"
LIBC = ctypes.CDLL(None, use_errno=True)
MNT_DETACH = 2
TOLD_IN_FULL = 5000     # names of a layer: what of it has changed is told


# ---- what this machine can do -------------------------------------------------------------------

def have(tool):
    return shutil.which(tool) is not None


def can_mount_kernel():
    """True where this process may mount kernel overlayfs itself."""
    return os.geteuid() == 0 and "overlay" in pathlib.Path("/proc/filesystems").read_text()


def kernel_version():
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


def need(condition, why):
    """Skips the test, naming what is missing."""
    if not condition:
        pytest.skip(why)


def need_fuse():
    need(os.path.exists("/dev/fuse"), "no /dev/fuse")
    need(os.path.exists(PLYFS), f"no program at {PLYFS}: build it first")


def need_root():
    need(os.geteuid() == 0, "needs root")


def need_tool(*tools):
    for tool in tools:
        need(have(tool), f"needs {tool}")


def run(*argv, check=True, **kwargs):
    """Runs a command, capturing its output as text; on failure the error carries both streams."""
    kwargs.setdefault("timeout", 600)
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, errors="surrogateescape", **kwargs)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: status {done.returncode}\n"
                             f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


def refusal(act, *arguments, **words):
    """The name of the errno with which an act fails; None when it does not."""
    try:
        act(*arguments, **words)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


# ---- trees compared -----------------------------------------------------------------------------

def _xattrs(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    found = {}
    for name in sorted(names):
        try:
            found[name] = os.getxattr(path, name, follow_symlinks=False).hex()
        except OSError as error:
            found[name] = f"errno {error.errno}"
    return found


def _content(path, size):
    sha = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return f"{size}:{sha.hexdigest()[:32]}"


def listing(root, times="s", xattrs=True, content=True, links=True):
    """{relative path: record} of a whole tree: type, mode, owner, size, target, device, mtime,
    xattrs, content digest, and the group of names that are one inode. Names are compared with
    surrogate escapes, so any byte is welcome. times: "s" seconds, "ns" nanoseconds, None left out.
    Directory sizes and link counts, which differ between filesystems by right, are left out."""
    root = os.fspath(root)
    records, groups = {}, {}

    def visit(path, rel):
        st = os.lstat(path)
        kind = stat.S_IFMT(st.st_mode)
        record = {"type": oct(kind), "mode": oct(stat.S_IMODE(st.st_mode)),
                  "owner": f"{st.st_uid}:{st.st_gid}"}
        if times == "s":
            record["mtime"] = st.st_mtime_ns // 1_000_000_000
        elif times == "ns":
            record["mtime"] = st.st_mtime_ns
        if xattrs:
            record["xattrs"] = _xattrs(path)
        if kind == stat.S_IFLNK:
            record["target"] = os.readlink(path)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            record["rdev"] = st.st_rdev
        elif kind == stat.S_IFREG:
            record["size"] = st.st_size
            if content:
                record["content"] = _content(path, st.st_size)
        if links and kind != stat.S_IFDIR:
            record["nlink"] = st.st_nlink
            if st.st_nlink > 1:
                groups.setdefault((st.st_dev, st.st_ino), []).append(rel)
        records[rel] = record
        if kind == stat.S_IFDIR:
            for name in sorted(os.listdir(path)):
                visit(os.path.join(path, name), os.path.join(rel, name) if rel != "." else name)

    visit(root, ".")
    for names in groups.values():
        for name in names:
            records[name]["links"] = names
    return records


def differences(left, right, limit=40):
    """Lines that tell two listings apart; empty when they are the same."""
    lines = []
    for path in sorted(set(left) | set(right)):
        if path not in right:
            lines.append(f"only left:  {path!r} {left[path]}")
        elif path not in left:
            lines.append(f"only right: {path!r} {right[path]}")
        elif left[path] != right[path]:
            keys = sorted(k for k in set(left[path]) | set(right[path])
                          if left[path].get(k) != right[path].get(k))
            lines += [f"{path!r} {k}: {left[path].get(k)!r} != {right[path].get(k)!r}" for k in keys]
    if len(lines) > limit:
        lines = lines[:limit] + [f"... and {len(lines) - limit} more"]
    return lines


def assert_same(left, right, what="trees differ"):
    lines = differences(left, right)
    assert not lines, what + ":\n" + "\n".join(lines)


def digest(directory):
    """One digest of everything in a directory that a user could see (atime aside), ns times."""
    return digest_of(listing(directory, times="ns"))


def digest_of(records):
    sha = hashlib.sha256()
    for path, record in sorted(records.items()):
        sha.update(repr((path, sorted(record.items()))).encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


# ---- mounts -------------------------------------------------------------------------------------

def is_mounted(path):
    path = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        points = [line.split()[4].encode().decode("unicode_escape", "surrogateescape")
                  for line in table]
    return path in points


def umount(path, lazy=False):
    """umount2(2) itself: no helper program in between."""
    flags = MNT_DETACH if lazy else 0
    if LIBC.umount2(os.fsencode(path), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(path))


def _octal(text):
    return str(text).replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


class Mounted:
    """One mount under test: `kind` is plyfs, kernel or fuse-overlayfs; use as a context manager,
    or call unmount() and mount() for remounts. Layers are listed topmost first."""

    def __init__(self, sandbox, kind, lowers, upper=None, work=None, at=None, options=(),
                 profile=None, form="mount", program=None):
        self.sandbox, self.kind = sandbox, kind
        self.lowers = [os.fspath(p) for p in lowers]
        self.upper, self.work = upper and os.fspath(upper), work and os.fspath(work)
        self.at = os.fspath(at or sandbox.directory("mnt"))
        self.options, self.profile, self.form = list(options), profile, form
        if profile == "writeback":
            self.profile = "stateless"
            self.options.append("writeback=on")
        self.program = program or PLYFS
        self.mounted = False
        sandbox.guard(*self.lowers)
        sandbox.mounts.append(self)

    def __fspath__(self):
        return self.at

    def __truediv__(self, name):
        return pathlib.Path(self.at) / name

    def __enter__(self):
        return self if self.mounted else self.mount()

    def __exit__(self, *_):
        self.unmount()

    def command(self):
        """The argument vector that mounts this."""
        options = list(self.options)
        if self.kind == "plyfs" and self.form == "mount":
            argv = [self.program, "mount"]
            for lower in self.lowers:
                argv += ["--lower", lower]
            if self.upper:
                argv += ["--upper", self.upper] + (["--work", self.work] if self.work else [])
            if self.profile:
                argv += [f"--profile={self.profile}"]
            for option in options:
                argv += ["-o", option]
            return argv + [self.at]
        joined = ["lowerdir=" + ":".join(_octal(p) for p in self.lowers)]
        if self.upper:
            joined += [f"upperdir={_octal(self.upper)}", f"workdir={_octal(self.work)}"]
        if self.profile and self.kind == "plyfs":
            options.append(f"profile={self.profile}")
        text = ",".join(joined + options)
        if self.kind == "plyfs":
            return [self.program, "-o", text, self.at]
        if self.kind == "fuse-overlayfs":
            return ["fuse-overlayfs", "-o", text, self.at]
        return ["mount", "-t", "overlay", "overlay", "-o", text, self.at]

    def mount(self):
        # The blocking end of a pipe stays open as long as a daemon keeps it: give it none.
        with tempfile.TemporaryFile() as errors:
            done = subprocess.run(self.command(), stdin=subprocess.DEVNULL, stdout=errors,
                                  stderr=errors, timeout=120)
            errors.seek(0)
            text = errors.read().decode(errors="replace")
        assert done.returncode == 0, f"{self.command()}: status {done.returncode}: {text}"
        self.mounted = True
        return self

    def unmount(self):
        if self.mounted:
            umount(self.at)
            self.mounted = False

    def remount(self):
        self.unmount()
        return self.mount()


class Sandbox:
    """A private directory on tmpfs (or elsewhere) whose mounts and guarded layers are looked after."""

    def __init__(self, base=None):
        base = base or os.environ.get("PLYFS_TEST_DIR") or ("/dev/shm" if os.access(
            "/dev/shm", os.W_OK) else None)
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="plyfs-test-", dir=base))
        os.chmod(self.path, 0o755)
        self.mounts, self.guarded, self.listed, self.counter = [], {}, {}, 0

    def directory(self, name=None):
        """A new directory: `name`, with a number behind it when it is taken."""
        while True:
            self.counter += 1
            path = self.path / (name if name and not (self.path / name).exists()
                                else f"{name or 'dir'}{self.counter}")
            if not path.exists():
                path.mkdir(parents=True)
                return path

    def guard(self, *layers):
        """Remembers a digest of each layer, to be compared when the sandbox closes. A layer that
        a test goes on filling must be guarded (again) when it is full: regard()."""
        for layer in layers:
            layer = os.path.realpath(layer)
            if layer not in self.guarded:
                found = listing(layer, times="ns")
                self.guarded[layer] = digest_of(found)
                if len(found) < TOLD_IN_FULL:
                    self.listed[layer] = found

    def regard(self, *layers):
        for layer in layers:
            self.guarded.pop(os.path.realpath(layer), None)
            self.guard(layer)

    def plyfs(self, lowers, upper=None, work=None, **kwargs):
        need_fuse()
        return Mounted(self, "plyfs", lowers, upper, work, **kwargs)

    def kernel(self, lowers, upper=None, work=None, **kwargs):
        need(can_mount_kernel(), "needs root and overlayfs in the kernel")
        return Mounted(self, "kernel", lowers, upper, work, form="o", **kwargs)

    def fuse_overlayfs(self, lowers, upper=None, work=None, **kwargs):
        need_tool("fuse-overlayfs")
        return Mounted(self, "fuse-overlayfs", lowers, upper, work, form="o", **kwargs)

    def close(self):
        broken = []
        for mount in reversed(self.mounts):
            for _ in range(20):
                if not is_mounted(mount.at):
                    break
                try:
                    umount(mount.at)
                except OSError as error:
                    broken.append(f"{mount.at}: {error}")
                    umount(mount.at, lazy=True)
        for layer, before in self.guarded.items():
            found = listing(layer, times="ns")
            if digest_of(found) != before:
                broken.append(f"the lower layer {layer} was changed")
                broken += differences(self.listed.get(layer, found), found, 10)
        run("chmod", "-R", "u+rwx", self.path, check=False)
        shutil.rmtree(self.path, ignore_errors=True)
        assert not broken, "\n".join(broken)


@pytest.fixture
def sandbox():
    box = Sandbox()
    yield box
    box.close()


@pytest.fixture(params=["stateless", "writeback", "tracked"])
def profile(request):
    """The profiles, and the first of them with the writeback cache."""
    return request.param
