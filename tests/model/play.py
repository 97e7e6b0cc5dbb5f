# SPDX-License-Identifier: MIT
"""Plays operations on a plain directory and on union mounts of the same stack, and compares.

The plain directory is the model. A play is a pure function of (config, stack, operations), so a
failing one can be shrunk: each candidate is played on a fresh sandbox.
"""
import os
import stat
import threading
import time

import harness

from . import history, ops, rights, tree
from .resolve import plain_entries, resolve
from .shift import shift
from .stack import drop_orphans, materialise

SECONDS_WITHOUT_ANSWER = 60


class Difference(Exception):
    """What was found: the position of the operation, lines that tell, and in which kind of step (an
    operation's name, "mount", or "layers"), so that shrinking does not slip to another fault."""

    def __init__(self, position, lines, step):
        super().__init__(step)
        self.position, self.lines, self.step = position, lines, step


class Inodes:
    """The relation between the plain tree's inode numbers and a union's: one to one, for as long as
    the inode lives. The plain tree lies on tmpfs, which does not give a number twice."""

    def __init__(self):
        self.of = {}

    def seen(self, plain, union):
        """Lines that tell what is wrong; the two lists are of the same looks in the same order."""
        for p, u in zip(plain, union):
            if p is not None and u is not None and self.of.setdefault(p, u) != u:
                return [f"st_ino was {self.of[p]} and is {u}"]
        return []

    def forget_special(self, root):
        """An ordinary user's mount cannot mark what is neither a file nor a directory (user.* goes on
        those alone): its number is kept for as long as the mount lives."""
        for where, dirs, files in os.walk(root):
            for name in dirs + files:
                st = os.lstat(os.path.join(where, name))
                if not (stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode)):
                    self.of.pop(st.st_ino, None)

    def whole(self, plain, union):
        """The same for two snapshots' {path: number}."""
        lines, names = [], {}
        for path in sorted(plain.keys() & union.keys()):
            p, u = plain[path], union[path]
            if self.of.setdefault(p, u) != u:
                lines.append(f"{path!r}: st_ino was {self.of[p]} and is {u}")
            if names.setdefault(u, (p, path))[0] != p:
                lines.append(f"{path!r} and {names[u][1]!r} have one st_ino, {u}")
        return lines


class Plain:
    """A plain directory: the model, or (with a fault) a target that the test must find wrong."""
    name, claims = "plain", False

    def __init__(self, sandbox, config, stack):
        # Two directories around the root catch what a symlink "../a" reaches at the top.
        self.tree = ops.Tree(sandbox.directory("plain") / "around" / "root")
        os.makedirs(self.tree.root)
        if config.get("history"):
            history.copy_shown(sandbox, sandbox.directory("shown"), config, stack, os.fsdecode(self.tree.root))
        else:
            layers = ([stack[1]] if stack[1] else []) + stack[0]
            materialise(plain_entries(resolve(layers)), self.tree.root)

    def perform(self, operation):
        return ops.perform(self.tree, operation)

    def enter(self):
        pass

    def remount(self):
        self.tree.close_all()

    def leave(self):
        self.tree.close_all()


class Forgetful(Plain):
    """For the test of the tester: it forgets every rename over a file that is there."""
    name = "forgetful"

    def perform(self, operation):
        if operation[0] == "rename" and operation[3] == 0:
            try:
                if stat.S_ISREG(os.lstat(self.tree.at(operation[2])).st_mode):
                    os.lstat(self.tree.at(operation[1]))
                    return ops.perform(self.tree, ("rename", b"", b"", 0))
            except OSError:
                pass
        return super().perform(operation)


class Scribbler(Plain):
    """For the test of the tester: each truncate also writes into a layer that must not change."""
    name = "scribbler"

    def __init__(self, sandbox, config, stack):
        super().__init__(sandbox, config, stack)
        self.layer = sandbox.directory("layer")
        sandbox.guard(self.layer)

    def perform(self, operation):
        if operation[0] == "truncate":
            (self.layer / "scribble").touch()
        return super().perform(operation)


FAULTS = {"forgetful": Forgetful, "scribbler": Scribbler}


class Union:
    """A mount of the stack. kind "mixed" mounts plyfs and the kernel in turn over the same upper."""

    def __init__(self, sandbox, config, stack, kind):
        self.name, self.config, self.turn = kind, config, 0
        base = sandbox.directory(kind.replace("/", "-"))
        lowers = history.layers_of(sandbox, base, config, stack)
        if kind == "plyfs" and config.get("disguise"):
            for lower in lowers:
                history.disguise(lower, config["disguise"])
            sandbox.regard(*lowers)
        upper, work, around = base / "upper", base / "work", base / "around" / "root"
        os.mkdir(upper)
        os.mkdir(work)
        os.makedirs(around)
        if stack[1]:
            materialise(stack[1], upper)
        else:
            root = stack[0][0][0]
            materialise([root[:7] + ("",)], upper)
        if kind == "plyfs" and config.get("shift"):
            for layer in (*lowers, upper):
                shift(layer, config["shift"])
            sandbox.regard(*lowers)
        self.tree = ops.Tree(around)
        self.mounts = []
        for each in ("plyfs", "kernel") if kind == "mixed" else (kind,):
            self.mounts.append(self._mount(sandbox, each, lowers, upper, work, around))
        self.claims = config["form"] == "mount" and kind != "mixed"

    def enter(self):
        try:
            self._mounted().mount()
        except AssertionError as error:
            raise Difference(-1, str(error).splitlines(), "mount") from None
        self.watch()

    def _mount(self, sandbox, kind, lowers, upper, work, at):
        config, options = self.config, []
        if kind == "kernel":
            state = "on" if config["form"] == "mount" else "off"
            options = [f"redirect_dir={state}", f"metacopy={state}", f"index={state}"]
            if config.get("userns"):
                options = ["userxattr"]     # which excludes redirect_dir and metacopy
            return sandbox.kernel(lowers, upper, work, at=at, options=options)
        if kind == "plyfs":
            return sandbox.plyfs(lowers, upper, work, at=at, profile=config["profile"],
                                 form=config["form"], options=config.get("options", []))
        return sandbox.fuse_overlayfs(lowers, upper, work, at=at)

    def _mounted(self):
        return self.mounts[self.turn % len(self.mounts)]

    def watch(self):
        self.device = os.minor(os.stat(self.tree.root).st_dev)

    def perform(self, operation):
        return ops.perform(self.tree, operation)

    def remount(self):
        self.tree.close_all()
        self._mounted().unmount()
        self.turn += 1
        self._mounted().mount()
        self.watch()

    def leave(self):
        self.tree.close_all()
        try:
            self._mounted().unmount()
        except OSError:
            pass    # the sandbox tries again, and tells


class Volume(Union):
    """A directory of the host over a path of a mount: what the stack shows lies in it, and it is shown as
    it lies there, names like whiteouts' and all."""

    def __init__(self, sandbox, config, stack, kind):
        self.name, self.config, self.turn = kind, config, 0
        base = sandbox.directory(kind)
        source, around, lower = base / "source", base / "around", base / "lower"
        for place in (source, source / "root", around, lower):
            os.mkdir(place)
        shown = resolve(([stack[1]] if stack[1] else []) + stack[0])
        materialise(plain_entries(shown), source / "root")
        # What a symlink "../a" reaches is in the volume too.
        self.tree = ops.Tree(around / "volume" / "root")
        mount = sandbox.plyfs([lower], at=around, profile=config["profile"])
        mount.command = lambda: harness.Mounted.command(mount)[:-1] + ["-v", f"{source}:/volume", mount.at]
        self.mounts, self.claims = [mount], True


UNIONS = {"volume": Volume}


class Watchdog:
    """Cuts the connection of a mount that does not answer, so that a hang becomes a difference."""

    def __init__(self, targets):
        self.targets, self.beat, self.stop = targets, 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        last, since = -1, time.monotonic()
        while not self.stop.wait(1):
            if self.beat != last:
                last, since = self.beat, time.monotonic()
            elif time.monotonic() - since > SECONDS_WITHOUT_ANSWER:
                since = time.monotonic()
                for target in self.targets:
                    if isinstance(target, Union):
                        self._cut(target.device)

    @staticmethod
    def _cut(device):
        base = "/sys/fs/fuse/connections"
        if not os.path.isdir(f"{base}/{device}"):
            harness.run("mount", "-t", "fusectl", "none", base, check=False)
        try:
            with open(f"{base}/{device}/abort", "w", encoding="ascii") as file:
                file.write("1")
            print(f"no answer for {SECONDS_WITHOUT_ANSWER} s: connection {device} cut", flush=True)
        except OSError:
            pass

    def end(self):
        self.stop.set()
        self.thread.join()


def play(config, stack, source, recorded):
    """Plays what `source` proposes (an object with next(), which returns None at the end,
    happened() and refresh()); each operation is appended to `recorded` first. Raises Difference."""
    sandbox = harness.Sandbox()
    targets, dog, found, broken = [], None, None, []
    try:
        model = Plain(sandbox, config, stack)
        targets.append(model)
        for kind in config["against"]:
            targets.append(FAULTS[kind](sandbox, config, stack) if kind in FAULTS
                           else UNIONS.get(kind, Union)(sandbox, config, stack, kind))
            targets[-1].enter()
        dog = Watchdog(targets)
        _play(config, stack, targets, source, recorded, dog)
    except Difference as difference:
        found = difference
    finally:
        if dog:
            dog.end()
        for target in targets:
            target.leave()
        try:
            sandbox.close()
        except AssertionError as error:
            broken = str(error).splitlines()
    if broken and not found:
        found = Difference(len(recorded) - 1, [], "layers")
    if found:
        found.lines += broken
        raise found


def _play(config, stack, targets, source, recorded, dog):
    model, unions = targets[0], targets[1:]
    relations = [Inodes() for _ in unions]
    lower = resolve(stack[0]) if config["form"] == "o" else {}
    lower_dirs = set()
    for path, (entry, _) in lower.items():
        if entry[0] == "dir" and rights._is_dir(model.tree.at(path)):
            lower_dirs.add(os.lstat(model.tree.at(path)).st_ino)
    facts = _compare_trees("list", model, unions, relations, 0)
    source.refresh(facts)
    while (operation := source.next()) is not None:
        position = len(recorded)
        recorded.append(operation)
        dog.beat += 1
        if operation[0] == "tree":
            source.refresh(_compare_trees(operation[1], model, unions, relations, position))
            continue
        if operation[0] == "remount":
            for target in targets:
                try:
                    target.remount()
                except (OSError, AssertionError) as error:
                    raise Difference(position, [f"{target.name}: remount: {error}"],
                                     "remount") from None
            if any(union.name == "mixed" for union in unions):
                relations = [Inodes() for _ in unions]
            if config.get("userns"):
                for relation in relations:
                    relation.forget_special(model.tree.root)
            continue
        if rights.skip(operation, model.tree, config["against"]):
            continue
        inner = operation
        while inner[0] == "as":
            inner = inner[3]
        if inner[0] == "rename" and config["form"] == "o":
            # The union goes first, since the plain tree must not do what the union may refuse.
            answers = [union.perform(operation) for union in unions]
            if any(rights.allowed(inner, a[0][0], model.tree, lower_dirs) for a in answers):
                continue
            expected = model.perform(operation)
        else:
            expected = model.perform(operation)
            answers = [union.perform(operation) for union in unions]
        for union, relation, answer in zip(unions, relations, answers):
            if not rights.same(union.name, expected[0], answer[0]):
                raise Difference(position, _tell(operation, expected[0], union.name, answer[0]),
                                 inner[0])
            lines = relation.seen(expected[1], answer[1]) if union.claims else []
            if lines:
                raise Difference(position, [f"{union.name}: {operation!r}: {line}" for line in lines],
                                 inner[0])
        source.happened(operation, expected[0][0])


def _tell(operation, expected, name, answer):
    lines = [f"{name}: after {operation!r}"]
    for what, e, a in zip(("result",) + ("look",) * len(expected), expected, answer):
        if not rights.same(name, e, a):
            lines += [f"  {what}: plain {e!r}", f"  {' ' * len(what)}  {name} {a!r}"]
    return lines


def _compare_trees(order, model, unions, relations, position, shared=()):
    """`shared`: directories that several processes work in."""
    facts, inos = tree.snapshot(model.tree.root, "list")
    for union, relation in zip(unions, relations):
        found, numbers = tree.snapshot(union.tree.root, order, facts,
                                       union.name not in ("kernel", "mixed"))
        lines = []
        for path in sorted(facts.keys() | found.keys()):
            same = rights.same_shared if path in shared else rights.same
            if not same(union.name, facts.get(path), found.get(path)):
                lines += [f"  {path!r}: plain {facts.get(path)!r}",
                          f"  {' ' * len(repr(path))}  {union.name} {found.get(path)!r}"]
        if union.claims and not lines:
            lines = relation.whole(inos, numbers)
        if lines:
            raise Difference(position, [f"{union.name}: the trees differ ({order})"] + lines[:40],
                             "tree")
    return facts


# ---- replay and shrinking -----------------------------------------------------------------------

class Replay:
    """A source that plays a given list."""

    def __init__(self, operations):
        self.left = list(reversed(operations))

    def next(self):
        return self.left.pop() if self.left else None

    def happened(self, operation, result):
        pass

    def refresh(self, facts):
        pass


def try_out(config, stack, operations):
    """The Difference that a fresh play of the operations finds, or None."""
    try:
        play(config, stack, Replay(operations), [])
    except Difference as difference:
        return difference
    return None


def minimise(items, fails, deadline):
    """Delta debugging: a sublist of which fails() is still true, and no chunk of which can go."""
    size = max(1, len(items) // 2)
    while items and time.monotonic() < deadline:
        at, gone = 0, False
        while at < len(items) and time.monotonic() < deadline:
            candidate = items[:at] + items[at + size:]
            if fails(candidate):
                items, gone = candidate, True
            else:
                at += size
        if size > 1:
            size //= 2
        elif not gone:
            break
    return items


def shrink(config, stack, operations, seconds):
    """(stack, operations, difference) made short; difference None where it does not come again."""
    deadline = time.monotonic() + seconds
    found = try_out(config, stack, operations)
    if found is None:
        return stack, operations, None
    best = {"difference": found}

    def fails(stack, operations):
        difference = try_out(config, stack, operations)
        if difference is None or difference.step != found.step:
            return False
        best["difference"] = difference
        return True

    operations = minimise(operations, lambda some: fails(stack, some), deadline)
    entries = [(i, e) for i, layer in enumerate(stack[0] + ([stack[1]] if stack[1] else []))
               for e in layer if e[1]]

    def rebuild(entries):
        layers = [[layer[0]] for layer in stack[0] + ([stack[1]] if stack[1] else [])]
        for i, entry in entries:
            layers[i].append(entry)
        layers = [drop_orphans(layer) for layer in layers]
        return (layers[:-1], layers[-1]) if stack[1] else (layers, None)

    entries = minimise(entries, lambda some: fails(rebuild(some), operations), deadline)
    stack = rebuild(entries)
    operations = minimise(operations, lambda some: fails(stack, some), deadline)
    return stack, operations, best["difference"]
