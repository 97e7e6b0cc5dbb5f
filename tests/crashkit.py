# SPDX-License-Identifier: MIT
"""What the crash suites share: a daemon in the foreground, its death before a chosen system call, and
a look at what it left.

A *case* is layers, changes made before (prepare), and acts. An act is one change as a program makes it,
mostly one system call, and is done on the mount and on a plain directory, which is the model: so the
tree that is right before an act and after it is known, and a daemon that died within an act must have
left one of the two. See killer.c for how it dies.
"""
import dataclasses
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import threading
import time

import harness
import worlds

SECONDS_WITHOUT_ANSWER = 60


def killer(tmp_path_factory):
    """The program of killer.c: the one beside the program under test, else one compiled here."""
    built = pathlib.Path(harness.PLYFS).parent / "tests" / "killer"
    if built.exists():
        return built
    harness.need_tool("cc")
    program = tmp_path_factory.mktemp("killer") / "killer"
    harness.run("cc", "-std=c17", "-D_GNU_SOURCE", "-O1", "-o", program, harness.ROOT / "tests" / "killer.c")
    return program


def at_once(argv):
    """Runs a command; what it says where it fails, else None. subprocess asks again and again after an
    end that it is to wait for no longer than so long, and a matrix has thousands of them."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        if process.wait() == 0:
            return None
        errors.seek(0)
        return f"{argv}: status {process.returncode}: {errors.read().decode(errors='replace')}"


# ---- a daemon that can be killed ----------------------------------------------------------------

class Daemon:
    """A mount whose daemon is a child of the test."""

    def __init__(self, mounted):
        self.mounted = mounted
        command = mounted.command()
        # What it says is for the one who looks into a failure; a terminal would be its blocking end.
        self.process = subprocess.Popen([command[0], *self.foreground(command)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not harness.is_mounted(mounted.at):
            assert self.process.poll() is None, f"{command}: status {self.process.returncode}"
            assert time.monotonic() < end, f"{command}: not mounted"
            time.sleep(0.001)

    def foreground(self, command):
        return [*command[1:-1], "-f", command[-1]]

    def bury(self):
        """Waits for the end of a killed daemon and takes its mount away."""
        self.process.wait()
        harness.umount(self.mounted.at, lazy=True)


class Trap:
    """The tracer of a daemon, which dies before its n-th change (never, for 0)."""

    def __init__(self, program, daemon, n):
        self.process = subprocess.Popen([program, str(n), str(daemon.process.pid)], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def end(self):
        """(whether it sprang, the calls that it counted), once the daemon is dead."""
        text, _ = self.process.communicate()
        lines = text.splitlines()
        assert lines and lines[-1] in ("killed", "through"), text
        return lines[-1] == "killed", lines[:-1]


class Watch:
    """A mount that does not answer is aborted, so that a hang becomes a failure."""

    def __init__(self, path):
        self.timer = threading.Timer(SECONDS_WITHOUT_ANSWER, worlds.abort, [path])

    def __enter__(self):
        self.timer.start()

    def __exit__(self, *_):
        self.timer.cancel()


# ---- cases --------------------------------------------------------------------------------------

# What may differ by right from the state before and the state after, and why.
RIGHTS = (
    ("the date of a directory in which a name appears",
     "copy-up puts it back after the name has appeared, as the kernel's overlayfs does"),
    ("the date of a metacopy file whose data is being brought up",
     "the data goes into the file that has the metadata, and the date is put back after it; kernel "
     "overlayfs does not put it back at all"),
    ("the setuid bit of a file that somebody without privilege is changing",
     "it is taken away before the change, and a crash between the two leaves it taken away"),
    ("with the writeback cache, the date of a file whose data is being synced",
     "the kernel keeps that date and sends it after the data: when fsync returns both are there"),
    ("with the writeback cache, the date of a file after fallocate, until it is synced",
     "the kernel keeps that date too and sends it by a request of its own, after the one for the room is "
     "answered; fallocate returns 0 even where this second one fails, and fsync then does not"),
    ("a name that the kernel lists and does not find, in a directory without a lower part, after a "
     "directory was moved out of it onto a whiteout",
     "the two are exchanged, then the whiteout is removed; kernel overlayfs does these two steps too"),
)


@dataclasses.dataclass
class Case:
    name: str
    acts: list                  # functions of (root, files), done in turn; files keeps descriptors
    prepare: object = None      # done through a mount before, function(root)
    redirect: bool = False      # it renames a directory that has a lower part
    links: bool = False         # it needs the index
    synced: tuple = ()          # acts before which nothing may be lost, writeback or not
    dated: str = None           # a file that may have the time of the attempt (see RIGHTS)
    stripped: str = None        # a file that may have lost its setuid bit already (see RIGHTS)
    uncovered: str = None       # where the kernel may list a whiteout that hides nothing (see RIGHTS)


@dataclasses.dataclass
class Setting:
    """How a union is mounted, and how the kernel is to mount its upper natively."""
    name: str
    kind: str = "plyfs"
    profile: str = None
    form: str = "mount"
    writeback: bool = False     # what was not synced may be lost
    options: tuple = ()
    native: tuple = ("redirect_dir=on", "metacopy=on", "index=on")     # None: it cannot
    redirect: bool = True
    links: bool = True


class Tally:
    """What became of the kills."""

    def __init__(self):
        self.kills, self.third, self.unclean, self.refused, self.shown = 0, [], [], [], []

    def faults(self):
        return self.third + self.unclean + self.refused + self.shown

    def add(self, other):
        self.kills += other.kills
        for mine, more in ((self.third, other.third), (self.unclean, other.unclean),
                           (self.refused, other.refused), (self.shown, other.shown)):
            mine += more

    def line(self):
        return (f"{self.kills} kills, {len(self.third)} ended in a third state, {len(self.unclean)} left "
                f"something in the work directory, {len(self.refused)} uppers refused, "
                f"{len(self.shown)} shown otherwise by the kernel")


def model_states(box, case, layers, dress):
    """The trees before, between and after the acts, made on a plain directory."""
    root = box.directory("model")
    worlds.fill(root, worlds.merged(layers))
    dress(root)
    worlds.date_back(root)
    if case.prepare:
        case.prepare(root)
    states, files = [worlds.tree(root)], {}
    for act in case.acts:
        act(root, files)
        states.append(worlds.tree(root))
    close_all(files)
    shutil.rmtree(root)
    return states


def close_all(files):
    for fd in files.values():
        try:
            os.close(fd)
        except OSError:
            pass
    files.clear()


def comparable(records, case, dates=True):
    """What must be equal of a tree after a death: see RIGHTS. dates: whether those of files are."""
    links = records.get(case.dated, {}).get("links", [case.dated])
    for record in records.values():
        # What fuse-overlayfs keeps its books in is a user's attribute to the kernel.
        record["xattrs"] = {name: value for name, value in record["xattrs"].items()
                            if not name.startswith("user.fuseoverlayfs.")}
    return {path: {key: value for key, value in record.items()
                   if key != "mtime" or (dates and record["type"] != oct(0o040000) and path not in links)}
            for path, record in records.items()}


def stripped(records, path):
    """The tree with a file that has lost its setuid bit."""
    record = dict(records[path])
    record["mode"] = oct(int(record["mode"], 8) & ~stat.S_ISUID)
    return {**records, path: record}


def tell(expected, found):
    return "\n    ".join(harness.differences(expected, found, 6))


def is_whiteout(path):
    try:
        st = path.lstat()
    except OSError:
        return False
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def is_orphan(path):
    """An inode in the index of which no name is shown any more. The index has one link itself."""
    st = path.lstat()
    if not stat.S_ISREG(st.st_mode) or st.st_nlink > 1:
        return False
    counts = [os.getxattr(path, name) for name in os.listxattr(path) if name.endswith(".overlay.nlink")]
    if not counts:
        return True
    count = counts[0]
    return count[:1] == b"U" and st.st_nlink + int(count[1:]) <= 0


class Bench:
    """One case in one setting: the layers once, the upper anew for each kill."""

    def __init__(self, box, program, case, setting, layers, dress):
        self.box, self.program, self.case, self.setting = box, program, case, setting
        self.base = box.directory(setting.name)
        self.lowers = []
        for number, layer in enumerate(layers):
            lower = self.base / f"lower{number}"
            lower.mkdir()
            worlds.fill(lower, layer)
            if number == 0:
                dress(lower)
            worlds.date_back(lower)
            self.lowers.append(lower)
        self.template, self.home, self.at = self.base / "template", self.base / "home", self.base / "mnt"
        for path in (self.template / "upper", self.template / "work", self.at):
            path.mkdir(parents=True)
        shutil.copystat(self.lowers[0], self.template / "upper")
        worlds.date_back(self.template / "upper")
        self.states = model_states(box, case, layers, dress)
        self.native_states = self.states
        if setting.kind != "plyfs":
            self.learn_states()
        elif case.prepare:
            with self.mount(self.template) as prepared:
                case.prepare(pathlib.Path(prepared.at))
            assert not harness.differences(self.states[0], self.look(self.template), 10), \
                f"{case.name}: prepared otherwise than the model"

    def learn_states(self):
        """Another program is held to what it makes of the acts itself when nobody kills it."""
        self.states, self.native_states = [], []
        if self.case.prepare:
            with self.mount(self.template) as prepared:
                self.case.prepare(pathlib.Path(prepared.at))
        for count in range(len(self.case.acts) + 1):
            self.fresh_home()
            files = {}
            with self.mount(self.home), Watch(self.at):
                for act in self.case.acts[:count]:
                    act(self.at, files)
                close_all(files)
            self.states.append(self.look(self.home))
            self.native_states.append(self.look(self.home, "kernel"))

    def mount(self, home, kind=None):
        setting, kind = self.setting, kind or self.setting.kind
        words = {"at": self.at}
        if kind == "plyfs":
            words |= {"profile": setting.profile, "form": setting.form, "options": setting.options}
        if kind == "kernel":
            words |= {"options": setting.native}
        make = {"plyfs": self.box.plyfs, "kernel": self.box.kernel,
                "fuse-overlayfs": self.box.fuse_overlayfs}[kind]
        mounted = make(self.lowers, home / "upper", home / "work", **words)
        self.box.mounts.remove(mounted)     # hundreds at one place, which finish() looks after
        return mounted

    def look(self, home, kind=None):
        """The tree that is seen after a mount, which is taken away again."""
        uncovered = home / "upper" / (self.case.uncovered or "none")
        if kind == "kernel" and is_whiteout(uncovered):
            os.unlink(uncovered)
        mounted = self.mount(home, kind)
        words = at_once(mounted.command())
        assert words is None, words
        try:
            with Watch(self.at):
                return worlds.tree(self.at)
        finally:
            harness.umount(self.at)

    def fresh_home(self):
        shutil.rmtree(self.home, ignore_errors=True)
        # One copy of both, since names in the index and in the upper are of one inode.
        words = at_once(["cp", "-a", self.template, self.home])
        assert words is None, words

    def kill(self, n, tally, native_first):
        """The daemon dies before its n-th change; whether it did before the acts were through."""
        self.fresh_home()
        daemon = Daemon(self.mount(self.home))
        trap, done, files, refused = Trap(self.program, daemon, n), 0, {}, None
        with Watch(self.at):
            try:
                for act in self.case.acts:
                    act(self.at, files)
                    done += 1
            except OSError as error:
                refused = error
            # The one kill after the last step; a dead one does not mind.
            daemon.process.kill()
            sprung, calls = trap.end()
            close_all(files)
            daemon.bury()
        assert sprung or not refused, f"{self.case.name}: {refused}: {calls}"
        tally.kills += 1
        where = f"{self.setting.name}: {self.case.name}: act {done}, before change {n}: " \
                f"{calls[-1] if sprung else 'the end'}"
        self.judge(where, done, tally, native_first)
        return sprung

    def allowed(self, states, done, dates):
        """The states that a death after `done` acts may leave."""
        first = done
        if self.setting.writeback:
            first = max([s for s in self.case.synced if s <= done], default=0)
        return [comparable(state, self.case, dates) for state in states[first:done + 2]]

    def looks(self, where, tally, native_first):
        """{kind: what it shows of the upper that was left}; None where it cannot be looked at."""
        kinds = [self.setting.kind, "kernel"] if self.setting.native is not None else [self.setting.kind]
        seen = {}
        for kind in reversed(kinds) if native_first else kinds:
            try:
                seen[kind] = self.look(self.home, kind)
            except FileNotFoundError as error:
                tally.shown.append(f"{where}: {kind} lists what it does not find: {error}")
                return None
            except AssertionError as error:
                tally.refused.append(f"{where}: {kind} does not mount it: {error}")
                return None
            left = self.left_behind() if kind == self.setting.kind else None
            if left:
                tally.unclean.append(f"{where}: {left}")
        return seen

    def judge(self, where, done, tally, native_first):
        seen = self.looks(where, tally, native_first)
        if seen is None:
            return
        dates = not self.setting.writeback or done == len(self.case.acts)
        found, native = (comparable(seen[kind], self.case, dates) if kind in seen else None
                         for kind in (self.setting.kind, "kernel"))
        allowed = self.allowed(self.states, done, dates)
        allowed += [stripped(state, self.case.stripped) for state in allowed if self.case.stripped in state]
        if found not in allowed:
            tally.third.append(f"{where}\n  against the new state: {tell(allowed[-1], found)}\n"
                               f"  against the old: {tell(allowed[0], found)}")
        # Of plyfs, what it shows itself; of another program, what the kernel makes of it unkilled.
        right = [found] if self.setting.kind == "plyfs" else self.allowed(self.native_states, done, dates)
        if native is not None and native not in right:
            tally.shown.append(f"{where}: the kernel shows {tell(right[0], native)}")

    def left_behind(self):
        """What should not lie in the work directory once a mount has come and gone."""
        work = self.home / "work"
        left = [os.fspath(path.relative_to(work)) for path in work.glob("work/*")]
        return left + [os.fspath(path.relative_to(work)) for path in work.glob("index/*") if is_orphan(path)]

    def run(self, tally, first=1, every=1):
        """A kill before each change (or from the `first` each `every`-th), and one after the last."""
        n = first
        while self.kill(n, tally, native_first=(n // every) % 2 == 0):
            n += every

    def finish(self):
        while harness.is_mounted(self.at):
            harness.umount(self.at, lazy=True)
        for path in (self.home, self.template):
            shutil.rmtree(path, ignore_errors=True)
