# SPDX-License-Identifier: MIT
"""Every system call of the daemon that reaches the backing store fails once, for every operation.

An operation is done in a directory of its own for each call and errno. The client gets that errno,
or the operation is done; what is seen is the old state or the new one, also after a remount and
under the kernel's overlayfs; the work directory is clean; and it goes on when the fault ends.
"""
import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import stat
import struct
import threading

import pytest

import harness
import procfs
from faultkit import MEMORY, STRIKES, faults, need_plain_allocations, no_hang  # noqa: F401
from harness import LIBC, listing, need_tool
from storekit import wait_for
from strace_kit import Strace

FULL = os.environ.get("PLYFS_FULL") == "1"
# Each errno is told apart by the calls that may give it. EIO meets every call.
ERRORS = {"stateless": ["EIO"], "tracked": ["ENOSPC", "EMFILE"]}
if FULL:
    ERRORS = dict.fromkeys(ERRORS, list(STRIKES))
THEN = 1_700_000_000_123_456_789
CONTENT = bytes(range(251)) * 40


@pytest.fixture(params=["stateless", "tracked"])
def profile(request):
    return request.param


# ---- what lies there before -------------------------------------------------------------------------

def put(path, content=CONTENT, mode=0o640):
    path.write_bytes(content)
    os.chmod(path, mode)
    os.setxattr(path, "user.note", b"kept")
    return path


def lower_file(lower, _upper):
    put(lower / "file")


def lower_links(lower, _upper):
    put(lower / "file")
    os.link(lower / "file", lower / "other")


def upper_file(_lower, upper):
    upper.mkdir()
    put(upper / "file")


def both_files(lower, upper):
    put(lower / "file")
    upper.mkdir()
    put(upper / "new")


def covered(lower, upper):
    """A whiteout over a directory."""
    (lower / "gone").mkdir()
    put(lower / "gone" / "inside")
    put(lower / "file")
    upper.mkdir()
    os.mknod(upper / "gone", stat.S_IFCHR, 0)


def lower_directory(lower, _upper):
    (lower / "directory").mkdir()
    put(lower / "directory" / "inside")


def emptied_directory(lower, upper):
    lower_directory(lower, upper)
    upper.mkdir()
    (upper / "directory").mkdir()
    os.mknod(upper / "directory" / "inside", stat.S_IFCHR, 0)


def two_directories(lower, upper):
    emptied_directory(lower, upper)
    (lower / "moves").mkdir()
    put(lower / "moves" / "along")


def merged_directory(lower, upper):
    lower_directory(lower, upper)
    upper.mkdir()
    (upper / "directory").mkdir()
    put(upper / "directory" / "new")


def overlay_mark(path, name, value):
    os.setxattr(path, f"trusted.overlay.{name}", value)


def opaque_directory(lower, upper):
    merged_directory(lower, upper)
    overlay_mark(upper / "directory", "opaque", b"y")


def metacopy_file(lower, upper):
    lower_file(lower, upper)
    upper.mkdir()
    put(upper / "file", b"", 0o600)
    os.truncate(upper / "file", len(CONTENT))
    overlay_mark(upper / "file", "metacopy", b"")


def redirected_directory(lower, upper):
    """What was `directory` is `moved`."""
    (lower / "directory").mkdir()
    lower_directory(lower / "directory", None)
    put(lower / "directory" / "inside")
    upper.mkdir()
    (upper / "moved").mkdir()
    overlay_mark(upper / "moved", "redirect", b"directory")
    os.mknod(upper / "directory", stat.S_IFCHR, 0)


def layer_of_whiteouts(lower, _upper):
    """Over a layer of `bottom`: `inside` is hidden by an attribute."""
    (lower / "directory").mkdir()
    overlay_mark(lower / "directory", "opaque", b"x")
    put(lower / "directory" / "inside", b"")
    overlay_mark(lower / "directory" / "inside", "whiteout", b"y")
    put(lower / "directory" / "new")


def layer_of_white_files(lower, _upper):
    (lower / "directory").mkdir()
    put(lower / "directory" / ".wh.inside", b"")
    put(lower / "directory" / "new")


def opaque_layer(lower, _upper):
    (lower / "directory").mkdir()
    overlay_mark(lower / "directory", "opaque", b"y")
    put(lower / "directory" / "new")


def opaque_layer_by_file(lower, _upper):
    (lower / "directory").mkdir()
    put(lower / "directory" / ".wh..wh..opq", b"")
    put(lower / "directory" / "new")


def metacopy_layer(lower, _upper):
    put(lower / "file", b"", 0o600)
    os.truncate(lower / "file", len(CONTENT))
    overlay_mark(lower / "file", "metacopy", b"")


def lower_symlink(lower, _upper):
    os.symlink("target", lower / "link")


def nothing(_lower, _upper):
    pass


# ---- what is done -------------------------------------------------------------------------------------

@contextlib.contextmanager
def opened(path, flags, mode=0o600):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def write_at(path, flags=os.O_WRONLY, data=b"changed", sync=False):
    with opened(path, flags) as fd:
        os.write(fd, data)
        if sync:
            os.fsync(fd)


def create(d):
    os.close(os.open(d / "made", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))


def create_over_whiteout(d):
    os.close(os.open(d / "gone", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))


def renameat2(source, target, flags):
    if LIBC.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def tmpfile_linked(d):
    with opened(d, os.O_TMPFILE | os.O_RDWR, 0o600) as fd:
        os.link(f"/proc/self/fd/{fd}", d / "made", src_dir_fd=fd, follow_symlinks=True)


def allocate(d):
    with opened(d / "file", os.O_WRONLY) as fd:
        os.posix_fallocate(fd, 0, 20_000)


def copy_range(d):
    with opened(d / "file", os.O_RDONLY) as source, opened(d / "new", os.O_WRONLY) as target:
        return os.copy_file_range(source, target, 300, 100, 50)


def sync(d):
    with opened(d / "file", os.O_WRONLY) as fd:
        os.fsync(fd)


def sync_directory(d):
    with opened(d, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)


def set_flags(d):
    """FS_IOC_SETFLAGS: nodump."""
    with opened(d / "file", os.O_RDONLY) as fd:
        fcntl.ioctl(fd, 0x40086602, struct.pack("i", 0x40))


def write_unlinked(d):
    with opened(d / "file", os.O_RDWR) as fd:
        os.unlink(d / "file")
        os.pwrite(fd, b"changed", 0)
        return os.pread(fd, 7, 0)


def write_unlinked_and_read(d):
    """What was not written has to come from where the data lay."""
    with opened(d / "file", os.O_RDWR) as fd:
        os.unlink(d / "file")
        os.pwrite(fd, b"changed", 0)
        with open(fd, "rb", closefd=False) as file:
            return file.read()


def names_in(d):
    return sorted(os.listdir(d / "directory")), os.path.lexists(d / "directory" / "inside")


def hidden_in(d):
    return os.path.lexists(d / "directory" / "inside")


def remove_emptied(d):
    os.rmdir(d / "directory")


def read_all(d):
    return (d / "file").read_bytes()


def time_of(d):
    return os.stat(d / "file").st_mtime_ns


def sizes(d):
    st = os.statvfs(d)
    return st.f_bsize, st.f_namemax


OPERATIONS = {
    # name: what lies there, what is done
    "create": (lower_file, create),
    "create in an upper directory": (upper_file, create),
    "create over a whiteout": (covered, create_over_whiteout),
    "create without a name, then link": (lower_file, tmpfile_linked),
    "mkdir": (lower_file, lambda d: os.mkdir(d / "made")),
    "mkdir over a whiteout": (covered, lambda d: os.mkdir(d / "gone")),
    "symlink": (lower_file, lambda d: os.symlink("to", d / "made")),
    "symlink over a whiteout": (covered, lambda d: os.symlink("to", d / "gone")),
    "mknod": (lower_file, lambda d: os.mknod(d / "made", stat.S_IFIFO | 0o600)),
    "link of a lower file": (lower_file, lambda d: os.link(d / "file", d / "made")),
    "link of a linked lower file": (lower_links, lambda d: os.link(d / "file", d / "made")),
    "link of an upper file": (upper_file, lambda d: os.link(d / "file", d / "made")),
    "link over a whiteout": (covered, lambda d: os.link(d / "file", d / "gone")),
    "first write": (lower_file, lambda d: write_at(d / "file")),
    "first write through one of two links": (lower_links, lambda d: write_at(d / "file")),
    "write": (upper_file, lambda d: write_at(d / "file")),
    "append": (lower_file, lambda d: write_at(d / "file", os.O_WRONLY | os.O_APPEND)),
    "truncate": (lower_file, lambda d: os.truncate(d / "file", 300)),
    "truncate of an upper file": (upper_file, lambda d: os.truncate(d / "file", 300)),
    "open to truncate": (lower_file, lambda d: os.close(os.open(d / "file",
                                                                os.O_WRONLY | os.O_TRUNC))),
    "chmod": (lower_file, lambda d: os.chmod(d / "file", 0o600)),
    "chmod of an upper file": (upper_file, lambda d: os.chmod(d / "file", 0o600)),
    "chmod of a directory": (lower_directory, lambda d: os.chmod(d / "directory", 0o700)),
    "chown": (lower_file, lambda d: os.chown(d / "file", 12, 34)),
    "chown of a symlink": (lower_symlink, lambda d: os.lchown(d / "link", 12, 34)),
    "utimens": (lower_file, lambda d: os.utime(d / "file", (5, 5))),
    "utimens of an upper file": (upper_file, lambda d: os.utime(d / "file", (5, 5))),
    "setxattr": (lower_file, lambda d: os.setxattr(d / "file", "user.more", b"x")),
    "removexattr": (lower_file, lambda d: os.removexattr(d / "file", "user.note")),
    "unlink of a lower file": (lower_file, lambda d: os.unlink(d / "file")),
    "unlink of one of two links": (lower_links, lambda d: os.unlink(d / "file")),
    "unlink of an upper file": (upper_file, lambda d: os.unlink(d / "file")),
    "rmdir of an emptied directory": (emptied_directory, remove_emptied),
    "rename of a lower file": (lower_file, lambda d: os.rename(d / "file", d / "made")),
    "rename of an upper file": (upper_file, lambda d: os.rename(d / "file", d / "made")),
    "rename over a lower file": (both_files, lambda d: os.rename(d / "new", d / "file")),
    "rename of a link over a file": (lower_links, lambda d: os.rename(d / "file", d / "made")),
    "rename over one of two links": (
        lambda lower, upper: (lower_links(lower, upper), upper.mkdir(), put(upper / "new")),
        lambda d: os.rename(d / "new", d / "file")),
    "rename onto a whiteout": (covered, lambda d: os.rename(d / "file", d / "gone")),
    "rename of a lower directory": (
        lower_directory, lambda d: os.rename(d / "directory", d / "made")),
    "rename of a merged directory": (
        merged_directory, lambda d: os.rename(d / "directory", d / "made")),
    "rename of a directory onto an emptied one": (
        two_directories, lambda d: os.rename(d / "moves", d / "directory")),
    "rename that may not replace": (
        lower_file, lambda d: renameat2(d / "file", d / "made", 1)),
    "exchange": (both_files, lambda d: renameat2(d / "new", d / "file", 2)),
    "exchange of directory and file": (
        lambda lower, upper: (lower_directory(lower, upper), put(lower / "file")),
        lambda d: renameat2(d / "directory", d / "file", 2)),
    "fallocate": (lower_file, allocate),
    "copy_file_range": (both_files, copy_range),
    "fsync": (upper_file, sync),
    "fsync of a directory": (lower_file, sync_directory),
    "set flags": (lower_file, set_flags),
    "lookup": (lower_file, time_of),
    "lookup through a merged directory": (
        merged_directory, lambda d: os.stat(d / "directory" / "inside").st_size),
    "lookup of nothing": (covered, lambda d: os.path.lexists(d / "gone")),
    "readdir": (merged_directory, lambda d: sorted(os.listdir(d / "directory"))),
    "read": (lower_file, read_all),
    "read of an upper file": (upper_file, read_all),
    "readlink": (lower_symlink, lambda d: os.readlink(d / "link")),
    "getxattr": (lower_file, lambda d: os.getxattr(d / "file", "user.note")),
    "listxattr": (lower_file, lambda d: os.listxattr(d / "file")),
    "statfs": (nothing, sizes),
    "write to an unlinked file": (lower_file, write_unlinked),
    "lookup in an opaque directory": (opaque_directory, hidden_in),
    "readdir of an opaque directory": (opaque_directory, names_in),
    "read of a metacopy file": (metacopy_file, read_all),
    "first write to a metacopy file": (metacopy_file, lambda d: write_at(d / "file")),
    "truncate of a metacopy file": (metacopy_file, lambda d: os.truncate(d / "file", 300)),
    "rename of a metacopy file": (metacopy_file, lambda d: os.rename(d / "file", d / "made")),
    "read through a redirect": (redirected_directory,
                                lambda d: (d / "moved" / "inside").read_bytes()),
    "rename out of a redirected directory": (
        redirected_directory, lambda d: os.rename(d / "moved" / "directory", d / "made")),
}

# The same, over one more layer, which has what lower_directory() or lower_file() makes.
DEEPER = {
    "lookup of what an attribute hides": (layer_of_whiteouts, hidden_in),
    "readdir of what an attribute hides": (layer_of_whiteouts, names_in),
    "lookup of what a .wh. file hides": (layer_of_white_files, hidden_in),
    "readdir of what a .wh. file hides": (layer_of_white_files, names_in),
    "lookup in an opaque layer": (opaque_layer, hidden_in),
    "readdir in an opaque layer": (opaque_layer, names_in),
    "lookup in a layer that a file makes opaque": (opaque_layer_by_file, hidden_in),
    "readdir in a layer that a file makes opaque": (opaque_layer_by_file, names_in),
    "read of a metacopy file of a layer": (metacopy_layer, read_all),
    "write to a metacopy file of a layer": (metacopy_layer, lambda d: write_at(d / "file")),
    "write to an unlinked metacopy file of a layer": (metacopy_layer, write_unlinked_and_read),
}
OPERATIONS.update(DEEPER)
NOT_THE_KERNELS = {name for name, (lay, _) in DEEPER.items()
                   if lay in (layer_of_white_files, opaque_layer_by_file)}


def lay_bottom(bottom):
    lower_directory(bottom, None)
    lower_file(bottom, None)


# ---- a mount with a directory for each fault ------------------------------------------------------------

class World:
    def __init__(self, sandbox, faults, profile, operation, count, **kwargs):
        self.faults = faults
        lay, _ = OPERATIONS[operation]
        layers = [sandbox.directory("lower") for _ in range(1 + (operation in DEEPER))]
        lower, upper, work = layers[0], sandbox.directory("upper"), sandbox.directory("work")
        for i in range(count):
            for layer in layers:
                (layer / f"case{i}").mkdir()
            lay(lower / f"case{i}", upper / f"case{i}")
            if operation in DEEPER:
                lay_bottom(layers[1] / f"case{i}")
        for top in (*layers, upper):
            for path in top.rglob("*"):
                os.utime(path, ns=(THEN, THEN), follow_symlinks=False)
        self.mount = faults.mounted(sandbox, layers, upper, work, profile=profile,
                                    **kwargs).mount()
        self.native = sandbox.kernel(layers, upper, work,
                                     options=["redirect_dir=on", "metacopy=on", "index=on"])
        self.free = iter(range(count))

    def case(self):
        return pathlib.Path(self.mount.at) / f"case{next(self.free)}"


def seen(directory):
    return listing(directory, times="ns")


def without(state, *keys):
    return {path: {key: value for key, value in record.items() if key not in keys}
            for path, record in state.items()}


def timeless(state):
    return without(state, "mtime")


def attempt(act, directory):
    """The name of the errno, or None, and the result."""
    try:
        return None, act(directory)
    except OSError as error:
        return errno.errorcode[error.errno], None


class Judge:
    """What one operation may come to; gathers what it came to instead."""

    def __init__(self, operation, act, old, new, result):
        self.operation, self.act = operation, act
        self.old, self.new, self.result = old, timeless(new), result
        self.wrong = []

    def complain(self, fault, *details):
        self.wrong.append(" ".join([str(fault), *map(str, details)]))

    def is_right(self, state, told, fault):
        if timeless(state) == self.new:
            return True
        return told is not None and fault.excuse(state, self.operation) == fault.excuse(
            self.old, self.operation)

    def judge(self, fault, told, result, state):
        # After ESTALE the kernel asks once more by itself, and finds it done.
        twice = fault.error == "ESTALE" and told in ("EEXIST", "ENOENT") and self.is_done(state)
        if told is not None and told != fault.error and not twice:
            self.complain(fault, f"told {told}")
        if told is None and result != self.result:
            self.complain(fault, f"result {result!r} and not {self.result!r}")
        if state is None:
            return self.complain(fault, "cannot be listed afterwards")
        if not self.is_right(state, told, fault):
            nearer = min((harness.differences(timeless(state), self.new),
                          harness.differences(state, self.old)), key=len)
            self.complain(fault, f"told {told}, and the state is neither:", nearer)

    def is_done(self, state):
        return state is not None and timeless(state) == self.new


class Fault:
    """One fault that was injected, and in what place."""

    def __init__(self, error, number, lasting, directory):
        self.error, self.number, self.lasting = error, number, lasting
        self.directory, self.call, self.state = directory, "", None

    def __str__(self):
        return f"{self.error} at call {self.number} ({self.call}){' and after' * self.lasting}:"

    def excuse(self, state, operation):
        """What is left of a state to be compared. Times that a copy-up changes are put back as far
        as that goes, as by the kernel: not where this is the call that fails."""
        if self.lasting or self.call == "utimensat":
            state = without(state, "mtime")
        if self.lasting and operation in COUNTS_THE_STAGED:
            state = without(state, "nlink", "links")
        if self.lasting and self.call.startswith("removexattr") and operation in CUT_BEFORE_WHOLE:
            state = without(state, "content")
        return state


# A link onto a whiteout is made in the stage first (as by the kernel). When it can be neither
# published nor removed, it counts until the next mount sweeps it.
COUNTS_THE_STAGED = {"link over a whiteout"}

# It is cut before its mark goes, so that it is never shown with zeros. If then the mark can neither
# be taken away nor the cut be undone, the kernel reads on in the layer, past the end.
CUT_BEFORE_WHOLE = {"truncate of a metacopy file"}


def listed(directory):
    try:
        return seen(directory)
    except OSError:
        return None


def strike_once(world, judge, fault, classes):
    """One fault; whether there was a call that it struck."""
    with world.faults.strike(fault.error, fault.number, fault.lasting, classes) as control:
        told, result = attempt(judge.act, fault.directory)
    fault.call = control.call.decode()
    fault.state = listed(fault.directory)
    if not control.failed:
        if told is not None:
            judge.complain(fault, f"not struck, and told {told}")
        return False
    judge.judge(fault, told, result, fault.state)
    if not fault.lasting and not judge.is_done(fault.state):
        again, _ = attempt(judge.act, fault.directory)
        fault.state = listed(fault.directory)
        if again or not judge.is_done(fault.state):
            judge.complain(fault, "done again:", again, fault.state and harness.differences(
                timeless(fault.state), judge.new))
    return True


def strike_all(world, judge, errors, classes=None):
    """Each call of each errno, once and for good; the faults that were injected."""
    faults = []
    for error in errors:
        for lasting in (False, True):
            for number in range(1, 10_000):
                fault = Fault(error, number, lasting, world.case())
                if not strike_once(world, judge, fault, classes):
                    break
                faults.append(fault)
    return faults


def compare(faults, mount, judge, what):
    """What was seen is what is there."""
    for fault in faults:
        now, before = listed(pathlib.Path(mount.at) / fault.directory.name), fault.state
        if before is None:
            continue
        before = fault.excuse(before, judge.operation)
        now = now and fault.excuse(now, judge.operation)
        if now != before:
            judge.complain(fault, f"{what}:", now and harness.differences(before, now))


def left_in(work):
    return [p for p in pathlib.Path(work).rglob("*") if not p.is_dir() and "index" not in p.parts]


def learn(sandbox, faults, profile, operation, errors, classes=None, **kwargs):
    """What the operation does without a fault, and how many calls the errors may strike."""
    act = OPERATIONS[operation][1]
    world = World(sandbox, faults, profile, operation, len(errors) + 1, **kwargs)
    with world.mount:
        count = 0
        for error in errors:
            with faults.strike(error, 0, classes=classes) as control:
                directory = world.case()
                result = act(directory)
            count += control.seen
        new = seen(directory)
        old = seen(world.case())
    return count, Judge(operation, act, old, new, result)


def hold(sandbox, faults, profile, operation, errors, classes=None, **kwargs):
    """Strikes an operation in every place; the number of faults, and what was wrong."""
    count, judge = learn(sandbox, faults, profile, operation, errors, classes, **kwargs)
    world = World(sandbox, faults, profile, operation, 2 * count + 40 * len(errors), **kwargs)
    with no_hang(world.mount.at):
        injected = strike_all(world, judge, errors, classes)
        world.mount.remount()
        compare(injected, world.mount, judge, "after a remount")
    world.mount.unmount()
    if left_in(world.mount.work):
        judge.complain("left in the work directory:", left_in(world.mount.work))
    if operation not in NOT_THE_KERNELS:
        with world.native:
            compare(injected, world.native, judge, "under the kernel's overlayfs")
    COUNTS.append(len(injected))
    assert not judge.wrong, f"{len(judge.wrong)} of {len(injected)}:\n" + "\n".join(judge.wrong)


COUNTS = []


@pytest.fixture(scope="module", autouse=True)
def told():
    """The sum of all faults goes into the run's output."""
    yield
    if os.environ.get("PLYFS_REPORT"):
        with open(os.environ["PLYFS_REPORT"], "a", encoding="utf-8") as file:
            file.write(f"{sum(COUNTS)} faults injected into {len(COUNTS)} runs of operations\n")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_call_that_fails_leaves_the_old_state_or_the_new_one(sandbox, faults, profile,
                                                                  operation):
    if profile == "tracked":
        need_plain_allocations("one profile is enough")
    hold(sandbox, faults, profile, operation, ERRORS[profile])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_allocation_that_fails_leaves_the_old_state_or_the_new_one(sandbox, faults, operation):
    need_plain_allocations("allocations are not ours to fail")
    hold(sandbox, faults, "tracked", operation, ["ENOMEM"], MEMORY, starved=True)


def sync(file):
    """As far as there is memory for it."""
    with contextlib.suppress(OSError):
        os.fsync(file.fileno())


def in_fsync(daemon):
    """How many threads of it are."""
    number = b"74 "    # of fsync(2) on x86-64
    return sum(task.read_bytes().startswith(number) for task in pathlib.Path(f"/proc/{daemon}/task").glob("*/syscall"))


def test_who_leads_without_memory_gets_the_buffer_of_who_was_slow(sandbox, faults):
    """Four threads wait for a disk when all memory is gone, and the fifth gets no buffer of its own."""
    need_plain_allocations("allocations are not ours to fail")
    need_tool("strace")
    harness.need(os.uname().machine == "x86_64", "the number of a system call is known of one machine")
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    mount = faults.mounted(sandbox, [lower], upper, work, profile="stateless", starved=True).mount()
    at = pathlib.Path(mount.at)
    daemon, = procfs.daemons(at)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(at / f"file{i}", "wb", buffering=0)) for i in range(4)]
        syncing = [threading.Thread(target=sync, args=(file,)) for file in files]
        stack.enter_context(no_hang(at, 20))
        stack.enter_context(Strace(daemon, os.devnull, "inject=fsync:delay_enter=1000000"))  # us
        for number, thread in enumerate(syncing[:3]):
            thread.start()
            wait_for(lambda number=number: in_fsync(daemon) == number + 1, "a thread to wait for the disk")
        with faults.strike("ENOMEM", 2, lasting=True, classes=MEMORY) as control:
            syncing[3].start()
            wait_for(lambda: control.failed, "the fifth thread to want a buffer")
            with pytest.raises(OSError) as refused:
                os.stat(at / "absent")
            assert refused.value.errno in (errno.ENOENT, errno.ENOMEM)
            for thread in syncing:
                thread.join()
    mount.unmount()
