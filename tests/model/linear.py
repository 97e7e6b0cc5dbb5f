# SPDX-License-Identifier: MIT
"""Several processes on a few names, and whether what they were answered can be told as one story.

Each process works in the same directory and writes down when it asked, what, and what it was answered.
A history of one name is linearisable when its operations can be put in an order, each between its
question and its answer, in which a single name would have answered just so (Herlihy and Wing, 1990).
A name holds nothing (None), a directory ("dir"), or a file with a content that is written nowhere else:
files are published whole, by rename or link, so a reader must see one of them whole.
"""
import ctypes
import errno
import os
import pickle
import random
import time

from . import tree

LIBC = tree.LIBC
AT_FDCWD, NOREPLACE, EXCHANGE = -100, 1, 2
DIR, EMPTY = "dir", b""


def _rename(old, new, flags):
    if LIBC.renameat2(AT_FDCWD, old, AT_FDCWD, new, flags) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _content(path):
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return os.read(fd, 1 << 16)
    except IsADirectoryError:
        return DIR
    finally:
        os.close(fd)


# ---- the operations, on a filesystem -----------------------------------------------------------------

def act(name, path, own):
    """Does one operation to the name at `path`; `own` is a file of the caller's alone, which has the
    content that is to be published. The answer: what was read or taken, None, or an errno's name."""
    try:
        if name == "read":
            return _content(path)
        if name == "create":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        elif name == "link":
            os.link(own, path)
        elif name == "publish":
            os.rename(own, path)
        elif name == "noreplace":
            _rename(own, path, NOREPLACE)
        elif name == "exchange":
            _rename(own, path, EXCHANGE)
            return _content(own)
        elif name == "take":
            os.rename(path, own + b".taken")
            return _content(own + b".taken")
        elif name == "unlink":
            os.unlink(path)
        elif name == "mkdir":
            os.mkdir(path)
        elif name == "rmdir":
            os.rmdir(path)
        elif name == "chmod":
            os.chmod(path, 0o700)
        elif name == "stat":
            st = os.lstat(path)
            return DIR if st.st_mode & 0o170000 == 0o040000 else st.st_size
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


# ---- the same, of one name alone -----------------------------------------------------------------

def model(state, name, value, answer):
    """[the state after it], when a name in `state` answers so; [] when it does not."""
    there = state is not None
    if name in ("create", "link", "noreplace", "mkdir"):
        made = {"create": EMPTY, "mkdir": DIR}.get(name, value)
        return [state] * (answer == "EEXIST") if there else [made] * (answer is None)
    if name == "publish":
        return [state] * (answer == "EISDIR") if state == DIR else [value] * (answer is None)
    if not there:
        return [None] * (answer == "ENOENT")
    if name == "read":
        return [state] * (answer == state)
    if name == "stat":
        return [state] * (answer == (DIR if state == DIR else len(state)))
    if name == "chmod":
        return [state] * (answer is None)
    if name == "exchange":
        return [value] * (answer == state)
    if name == "take":
        return [None] * (answer == state)
    if name == "unlink":
        return [state] * (answer == "EISDIR") if state == DIR else [None] * (answer is None)
    assert name == "rmdir", name
    return [None] * (answer is None) if state == DIR else [state] * (answer == "ENOTDIR")


def is_linearisable(history, first, last):
    """history: [(asked, answered, process, name, value, answer)] of one name, which held `first` before
    and holds `last` afterwards. Each process does one thing at a time, so a place in the story is how
    far each has come, and what the name holds there."""
    queues = {}
    for event in sorted(history):
        queues.setdefault(event[2], []).append(event)
    queues = list(queues.values())
    seen, todo = set(), [(tuple(0 for _ in queues), first)]
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        far, state = place
        heads = [queue[n] for queue, n in zip(queues, far) if n < len(queue)]
        if not heads:
            if state == last:
                return True
            continue
        # Nothing may come before what was answered before it was asked.
        bound = min(event[1] for event in heads)
        for number, queue in enumerate(queues):
            if far[number] == len(queue) or queue[far[number]][0] > bound:
                continue
            _, _, _, name, value, answer = queue[far[number]]
            for after in model(state, name, value, answer):
                todo.append((far[:number] + (far[number] + 1,) + far[number + 1:], after))
    return False


# ---- recording --------------------------------------------------------------------------------------

MENU = {"read": 5, "stat": 3, "create": 2, "link": 3, "publish": 5, "noreplace": 2, "exchange": 3, "take": 3,
        "unlink": 5, "mkdir": 2, "rmdir": 2, "chmod": 2}


def _work(root, names, process, seed, count, begin):
    """What one process does: [(asked, answered, process, name, value, answer)] by the name of the file."""
    dice, history = random.Random(f"{seed}/{process}"), {name: [] for name in names}
    own = root + b"/own%d" % process
    begin()
    for number in range(count):
        name = dice.choice(names)
        operation = dice.choices(list(MENU), list(MENU.values()))[0]
        value = b"%d/%d " % (process, number) * dice.randint(1, 400)
        for left in (own, own + b".taken"):
            _clear(left)
        if operation in ("link", "publish", "noreplace", "exchange"):
            fd = os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            os.write(fd, value)
            os.close(fd)
        asked = time.monotonic_ns()
        answer = act(operation, root + b"/" + name, own)
        history[name].append((asked, time.monotonic_ns(), process, operation, value, answer))
        os.sched_yield()
    return history


def _clear(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        os.rmdir(path)


def record(root, names, processes, seed, count):
    """{name: its history} of as many processes at once, each with `count` operations in `root`."""
    root, children = os.fsencode(root), []
    ready, steady = os.pipe()
    for process in range(processes):
        from_child, to_parent = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(steady)
            status = 1
            try:
                history = _work(root, names, process, seed, count, lambda: os.read(ready, 1))
                with os.fdopen(to_parent, "wb") as out:
                    pickle.dump(history, out)
                status = 0
            finally:
                os._exit(status)
        os.close(to_parent)
        children.append((pid, from_child))
    os.close(ready)
    os.close(steady)    # they all begin now
    merged = {name: [] for name in names}
    for pid, from_child in children:
        with os.fdopen(from_child, "rb") as source:
            text = source.read()
        assert os.waitpid(pid, 0)[1] == 0, "a process ended badly"
        for name, events in pickle.loads(text).items():
            merged[name] += events
    return merged


def holds(root, name):
    """What a name holds while nobody works."""
    answer = act("read", os.path.join(os.fsencode(root), name), b"")
    return None if answer == "ENOENT" else answer


def faults(root, names, processes, seed, count):
    """Records one round and judges it: lines that tell which names have no story."""
    before = {name: holds(root, name) for name in names}
    histories = record(root, names, processes, seed, count)
    lines = []
    for name in names:
        after = holds(root, name)
        if not is_linearisable(histories[name], before[name], after):
            lines.append(f"{name!r}, which held {_short(before[name])} and holds {_short(after)}, has no story:")
            lines += [f"  {event[0] - min(histories[name])[0]:>10} to {event[1] - min(histories[name])[0]:>10}  "
                      f"{event[2]}: {event[3]} {_short(event[4])} -> {_short(event[5])}"
                      for event in sorted(histories[name])]
    return lines


def _short(value):
    return f"{value[:8]}*{len(value)}" if isinstance(value, bytes) and value else repr(value)
