# SPDX-License-Identifier: MIT
"""Kills at random instants, while several programs change the tree at once; and the tree after each.

Each of the programs works on a tree of its own in one mount, and does every operation to a plain
directory too, as soon as the mount has answered (tests/model has the operations). So what was answered
is known when the daemon dies: it must be there at the next mount, and the one operation of each program
that was not answered is either done or not. 500 kills; PLYFS_FULL=1 does 5,000, and PLYFS_SEED=N takes
other seeds.
"""
import fcntl
import functools
import os
import random
import stat
import subprocess
import threading

import pytest

import crashkit
import harness
from model import generate, ops, play, rights, tree
from model.resolve import plain_entries, resolve
from model.stack import materialise, random_stack

FULL = os.environ.get("PLYFS_FULL") == "1"
KILLS = 5000 if FULL else 500
SEED = int(os.environ.get("PLYFS_SEED", "0"))
PROGRAMS = 3
A_STACK = 25            # kills before another stack is taken
LONGEST = 60_000        # microseconds that a daemon may live
PAGE = 4096
OWN_SLOT = 99
HISTORY = 60            # steps that are told of when something is wrong
FEATURES = {"owners", "devices", "trusted", "links", "users", "nested"}
LOOKS = {"stat", "look", "ls", "readlink", "access", "getxattr", "get", "fstat", "pread", "read", "seek",
         "fxattrs", "list_fd", "close", "fsync"}
# What takes privileges away, and which of its arguments is the file.
CHANGED = {"pwrite": 1, "write": 1, "ftruncate": 1, "fallocate": 1, "copy_range": 3, "truncate": 1, "chown": 1,
           "fchown": 1, "open": 2}
CAPABILITY = b"\x01\x00\x00\x02\x00\x04" + bytes(14)    # CAP_NET_BIND_SERVICE, as linux/capability.h lays it out
DEAD = ("E:ENOTCONN", "E:ECONNABORTED", "E:ECANCELED", "E:EINTR")
PERHAPS_DEAD = ("E:EIO",)       # of a page that was asked for; a daemon that lives has no reason to say so


# ---- operations, one step each ------------------------------------------------------------------

def inner(step):
    """What is done, whoever does it."""
    while step[0] == "as":
        step = step[3]
    return step


def single_steps(operation):
    """An operation as system calls of which each is done or not."""
    if operation[0] == "as":
        return [(*operation[:3], step) for step in single_steps(operation[3])]
    if operation[0] == "put":
        _, path, flags, offset, length, salt = operation
        return [("open", OWN_SLOT, path, flags, 0o664), ("pwrite", OWN_SLOT, offset, length, salt),
                ("close", OWN_SLOT)]
    return [operation]


def placed(plain, operation):
    """A write as one at an offset, so that a part of it can be done, and then more of it."""
    what = inner(operation)
    if what[0] not in ("write", "pwrite") or what[1] not in plain.slots:
        return operation
    fd = plain.slots[what[1]]
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    offset = what[2] if what[0] == "pwrite" else os.lseek(fd, 0, os.SEEK_CUR)
    if flags & os.O_APPEND:
        offset = os.fstat(fd).st_size
        fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_APPEND)
    step = ("pwrite", what[1], offset, *what[-2:])
    return (*operation[:3], step) if operation[0] == "as" else step


def ways_on(plain, operation):
    """What leads from the state before an operation to the one after it. A write may end at any page:
    no filesystem promises more of a write(2) that is cut short."""
    operation = placed(plain, operation)
    what, steps = inner(operation), []
    if what[0] in ("pwrite", "copy_range"):
        offset, length = (what[2], what[3]) if what[0] == "pwrite" else (what[4], what[5])
        for cut in range(PAGE - offset % PAGE, length, PAGE):
            steps.append((*what[:3], cut, what[4]) if what[0] == "pwrite" else (*what[:5], cut))
    if operation[0] == "as":
        steps = [(*operation[:3], step) for step in steps]
    return steps + [operation]


def refused(answer):
    return answer if isinstance(answer, str) and answer.startswith("E:") else None


def is_short(step, answer):
    """Whether a write ended before its end, as one does whose daemon dies meanwhile."""
    step = inner(step)
    wanted = {"pwrite": 3, "write": 2, "copy_range": 5}.get(step[0])
    return wanted is not None and isinstance(answer, int) and answer != step[wanted]


def changed(plain, operation):
    """The file whose data or owner an operation changes; None for another operation."""
    what = inner(operation)
    where = what[CHANGED[what[0]]] if what[0] in CHANGED else None
    return plain.at(where) if isinstance(where, bytes) else plain.slots.get(where)


def follows(operation):
    """Whether an operation goes where a symlink leads; chown is of the link itself."""
    return inner(operation)[0] != "chown"


def of_itself(where, operation):
    """What to say to a function of os that is to look at the file that an operation changes."""
    return {} if isinstance(where, int) else {"follow_symlinks": follows(operation)}


def date(plain, operation, kept):
    """The data of a metacopy file is brought up first, and meanwhile it has the date of that (RIGHTS).
    What it had is kept, and given back the next time."""
    try:
        where = changed(plain, operation)
        st = os.stat(where, **of_itself(where, operation))
        os.utime(where, **kept, **of_itself(where, operation))
        kept["ns"] = (st.st_atime_ns, st.st_mtime_ns)
    except (OSError, TypeError):
        pass    # there is no such file


def lose_privileges(plain, operation):
    """What a change takes away, it takes away before: capabilities, and of whoever is not root the
    setuid and setgid bits. That is a state of its own (see crashkit.RIGHTS)."""
    where = changed(plain, operation)
    try:
        if operation[0] == "as" and stat.S_ISREG(mode := os.stat(where).st_mode):
            os.chmod(where, stat.S_IMODE(mode) & ~(stat.S_ISUID | (stat.S_ISGID if mode & stat.S_IXGRP else 0)))
        os.removexattr(where, "security.capability", **of_itself(where, operation))
    except (OSError, TypeError):
        pass    # it has none, or there is no such file


class Program(threading.Thread):
    """Works until the daemon is dead; then `pending` is what was not answered."""

    def __init__(self, union, plain, generator):
        super().__init__()
        self.union, self.plain, self.generator = union, plain, generator
        self.pending, self.done, self.wrong, self.history = None, 0, None, []

    def run(self):
        try:
            while self.pending is None and not self.wrong:
                for step in single_steps(self.generator.next()):
                    if not self.take(step):
                        return
        except BaseException as error:     # the thread that waits for this one raises it
            self.wrong = [repr(error)]

    def take(self, step):
        """Does one step on both trees; whether to go on."""
        what = inner(step)
        if what[0] in ("tree", "remount") or (what[0] in ("chown", "fchown") and what[2:] == (-1, -1)) or rights.skip(step, self.plain, ["plyfs", "kernel"]):
            return True
        self.history = self.history[-HISTORY:] + [step]
        answer, _ = ops.perform(self.union, step)
        if answer[0] in DEAD or ((answer[0] in PERHAPS_DEAD or is_short(step, answer[0])) and self.is_over()):
            self.pending = step
            return False
        expected, _ = ops.perform(self.plain, step)
        self.generator.happened(step, expected[0])
        self.done += 1
        if refused(expected[0]) == refused(answer[0]):
            return True     # what they look like meanwhile is the model test's affair
        if inner(step)[0] in LOOKS and self.is_over():
            self.pending = ()
        else:
            self.wrong = [*(f"  {step!r}" for step in self.history), f"after {step!r}:", f"  plain {expected!r}",
                          f"  plyfs {answer!r}"]
        return False

    def is_over(self):
        """Whether the daemon is dead: what is asked here is in no cache."""
        return harness.refusal(os.statvfs, self.union.root) is not None


# ---- a tree of several programs -----------------------------------------------------------------

class World:
    """One stack, its mount, and the plain trees; the programs are started anew after each kill."""

    def __init__(self, box, killer, seed, profile):
        self.box, self.killer, self.rng = box, killer, random.Random(f"kills {seed}")
        base = box.directory("world")
        self.upper, self.work, self.at = base / "upper", base / "work", base / "mnt"
        stacks = [random_stack(f"kills {seed}/{i}", FEATURES) for i in range(PROGRAMS)]
        self.lowers = [base / f"lower{i}" for i in range(max(len(layers) for layers, _ in stacks))]
        for path in (self.upper, self.work, self.at, *self.lowers):
            path.mkdir(parents=True)
        self.trees = []
        for number, (layers, upper) in enumerate(stacks):
            for layer, lower in zip(layers, self.lowers):
                self.fill(layer, lower, number)
            if upper:
                self.fill(upper, self.upper, number)
            plain = base / "plain" / f"p{number}" / "root"
            plain.mkdir(parents=True)
            materialise(plain_entries(resolve(([upper] if upper else []) + layers)), plain)
            generator = generate.Generator(f"kills {seed}/{number}", FEATURES, 10**9, 10**9)
            self.trees.append((ops.Tree(self.at / f"p{number}/root"), ops.Tree(plain), generator))
        self.by_plyfs = box.plyfs(self.lowers, self.upper, self.work, at=self.at, profile=profile)
        self.by_kernel = box.kernel(self.lowers, self.upper, self.work, at=self.at,
                                    options=("redirect_dir=on", "metacopy=on", "index=on"))

    @staticmethod
    def fill(layer, directory, number):
        (directory / f"p{number}" / "root").mkdir(parents=True)
        materialise(layer, directory / f"p{number}" / "root")

    def lines(self, kind, plain, union):
        """Lines that tell two trees apart. A name that the kernel lists and does not find is in RIGHTS."""
        expected, ours = tree.snapshot(os.path.dirname(plain.root), "list", numbers=False)
        found, theirs = tree.snapshot(os.path.dirname(union.root), "list", numbers=False)
        told = play.Inodes().whole(ours, theirs) if kind == "plyfs" else []
        return told + [f"  {path!r}: plain {expected.get(path)!r}\n  {' ' * len(repr(path))}  {kind} {found.get(path)!r}"
                for path in sorted(expected.keys() | found.keys())
                if path != b"" and not (kind == "kernel" and path not in expected and found[path] == "E:ENOENT")
                and not rights.same(kind, expected.get(path), found.get(path))]

    def kill(self):
        """Lets the programs work until the daemon dies. How many operations were answered."""
        daemon = crashkit.Daemon(self.by_plyfs)
        left = [name for name in os.listdir(self.work / "work")]
        assert not left, f"in the work directory: {left}"
        for _, plain, generator in self.trees:
            generator.refresh(tree.snapshot(plain.root, "list", numbers=False)[0])
        programs = [Program(*trees) for trees in self.trees]
        with crashkit.Watch(self.at):
            death = subprocess.Popen([self.killer, "after", str(self.rng.randint(0, LONGEST)),
                                      str(daemon.process.pid)], stdout=subprocess.DEVNULL)
            for program in programs:
                program.start()
            for program in programs:
                program.join()
            daemon.process.kill()   # where a program found something wrong before
            death.wait()
            for union, _, _ in self.trees:
                union.close_all()
            daemon.bury()
        wrong = [line for program in programs for line in program.wrong or []]
        assert not wrong, "\n".join(wrong)
        return programs

    def judge(self, programs):
        """Mounts again and compares: the old state or the new one."""
        with self.by_plyfs, crashkit.Watch(self.at):
            for program in programs:
                self.judge_one(program)
        orphans = [path for path in self.work.glob("index/*") if crashkit.is_orphan(path)]
        assert not orphans, orphans

    def date_directories(self, plain, union):
        """A directory in which a copy-up was about to appear may have the date of that (RIGHTS)."""
        base = os.path.dirname(plain.root)
        found = tree.snapshot(os.path.dirname(union.root), "list", numbers=False)[0]
        for path, facts in tree.snapshot(base, "list", numbers=False)[0].items():
            theirs = found.get(path)
            if theirs and path and facts[0].startswith("0o4") and theirs[3] == "now" and facts[3] != "now" \
                    and facts[:3] == theirs[:3]:
                os.utime(base + b"/" + path)

    def judge_one(self, program):
        pending = program.pending
        ways = [lambda: None]
        if pending:
            self.date_directories(program.plain, program.union)
            dated = functools.partial(date, program.plain, pending, {})
            ways += [dated, dated, lambda: lose_privileges(program.plain, pending), dated, dated]
            ways += [lambda step=step: ops.perform(program.plain, step)
                     for step in ways_on(program.plain, pending)]
        told = []
        for way in ways:
            way()
            lines = self.lines("plyfs", program.plain, program.union)
            if not lines:
                break
            told += ["it is not:", *lines[:4]]
        assert not lines, "\n".join([f"neither before nor after {pending!r}:", *told[:20]])
        program.plain.close_all()

    def ask_the_kernel(self):
        with self.by_kernel:
            for union, plain, _ in self.trees:
                lines = self.lines("kernel", plain, union)
                assert not lines, "\n".join(lines[:12])


@pytest.fixture(scope="session")
def killer(tmp_path_factory):
    return crashkit.killer(tmp_path_factory)


@pytest.mark.parametrize("step", [("chown", b"file", -1, 1000), ("chmod", b"file", 0o600), ("truncate", b"file", 2),
                                  ("open", OWN_SLOT, b"file", os.O_WRONLY, 0o664)])
def test_what_was_done_and_never_answered_is_known_as_done(sandbox, killer, step):
    harness.need_fuse()
    harness.need_root()
    world = World(sandbox, killer, "done", "stateless")
    union, plain, generator = world.trees[0]
    with world.by_plyfs:
        for side in union, plain:
            with open(side.at(b"file"), "wb") as file:
                file.write(b"lower")
            os.utime(side.at(b"file"), ns=(10**18, 10**18))
        ops.perform(union, step)
        union.close_all()
    program = Program(union, plain, generator)
    program.pending = step
    world.judge([program])


@pytest.mark.parametrize("name", [b"file", b"link"])
def test_what_a_chown_takes_away_before_may_be_gone_already(sandbox, killer, name):
    harness.need_fuse()
    harness.need_root()
    world = World(sandbox, killer, "before", "stateless")
    union, plain, generator = world.trees[0]
    with world.by_plyfs:
        for side in union, plain:
            with open(side.at(b"file"), "wb"):
                pass
            os.symlink(b"nowhere", side.at(b"link"))
        os.setxattr(plain.at(name), "security.capability", CAPABILITY, follow_symlinks=False)
    program = Program(union, plain, generator)
    program.pending = ("chown", name, 1000, 1000)
    world.judge([program])


@pytest.mark.parametrize("profile", ["stateless", "tracked"])
def test_a_kill_at_any_time_loses_nothing_that_was_answered(killer, profile):
    harness.need_fuse()
    harness.need_root()
    harness.need(harness.can_mount_kernel(), "needs overlayfs in the kernel")
    kills = answered = pending = 0
    os.umask(0o022)
    for number in range(KILLS // 2 // A_STACK):
        box = harness.Sandbox()
        try:
            world = World(box, killer, f"{SEED}/{profile}/{number}", profile)
            for _ in range(A_STACK):
                programs = world.kill()
                world.judge(programs)
                kills += 1
                answered += sum(program.done for program in programs)
                pending += sum(bool(program.pending) for program in programs)
            world.ask_the_kernel()
        except AssertionError as error:
            raise AssertionError(f"stack {SEED}/{profile}/{number}, kill {kills}: {error}") from None
        finally:
            box.close()
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            file.write(f"{profile}: {kills} kills, {answered} operations answered, {pending} under way: none lost\n")
