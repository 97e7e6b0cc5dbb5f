# SPDX-License-Identifier: MIT
"""Locks of a volume's files are the host's: who comes to a file of a volume by one mount, by
another, or on the host, is excluded as by bind mounts, which say here what is right."""
import contextlib
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

import procfs
from harness import PLYFS, digest, need_fuse, need_root, run, umount
from storekit import wait_for

# What one process does, as it is told: a line of JSON each, answered by one.
ACTOR = """
import fcntl, json, os, signal, struct, sys
files, kinds = {}, {"r": fcntl.F_RDLCK, "w": fcntl.F_WRLCK, "u": fcntl.F_UNLCK}
flocks = {"r": fcntl.LOCK_SH, "w": fcntl.LOCK_EX, "u": fcntl.LOCK_UN}
form = "hhqqi4x"

class Interrupted(Exception):
    pass

def interrupt(*_):
    raise Interrupted

signal.signal(signal.SIGUSR1, interrupt)

def do(what, name, *more):
    if what == "open":
        files[name] = os.open(more[0], os.O_RDWR | os.O_CREAT, 0o666)
    elif what == "close":
        os.close(files.pop(name))
    elif what == "write":
        os.write(files[name], more[0].encode())
    elif what == "flock":
        fcntl.flock(files[name], flocks[more[0]] | (0 if more[1:] else fcntl.LOCK_NB))
    elif what == "fork":
        child = os.fork()
        if child == 0:
            signal.pause()
        return child
    elif what == "look":
        found = fcntl.fcntl(files[name], fcntl.F_GETLK, struct.pack(form, kinds[more[0]], 0, 0, 0, 0))
        kind, _, start, length, _ = struct.unpack(form, found)
        return [next(k for k, v in kinds.items() if v == kind), start, length]
    else:
        own = {"posix": (fcntl.F_SETLK, fcntl.F_SETLKW), "ofd": (fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW)}[what]
        kind, start, length, *waits = more
        fcntl.fcntl(files[name], own[bool(waits)], struct.pack(form, kinds[kind], 0, start, length, 0))

for line in sys.stdin:
    try:
        said = ["done", do(*json.loads(line))]
    except Interrupted:
        said = ["interrupted", None]
    except OSError as error:
        said = ["refused", "EAGAIN" if error.errno == 13 else __import__("errno").errorcode[error.errno]]
    print(json.dumps(said), flush=True)
"""
WAITS = "waits"


class Actor:
    """A process that opens files and locks them."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", ACTOR], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def begin(self, *words):
        self.process.stdin.write(json.dumps([str(w) if isinstance(w, pathlib.Path) else w for w in words]) + "\n")
        self.process.stdin.flush()

    def end(self):
        how, what = json.loads(self.process.stdout.readline())
        return what if how == "done" else how if how == "interrupted" else what

    def __call__(self, *words):
        self.begin(*words)
        return self.end()

    def is_waiting(self):
        """In fcntl(2) or flock(2)."""
        called = pathlib.Path(f"/proc/{self.process.pid}/syscall").read_text().split()[0]
        return called in ("72", "73", "25", "32")


class Waiting(threading.Thread):
    """A thread of this process that waits for all ranges of a file."""

    def __init__(self, fd):
        super().__init__()
        self.fd, self.said = fd, None

    def run(self):
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX)
            self.said = "got it"
        except OSError as error:
            self.said = str(error)

    def is_waiting(self):
        called = pathlib.Path(f"/proc/self/task/{self.native_id}/syscall") if self.is_alive() else None
        return called is not None and called.read_text().split()[0] in ("72", "25")


@pytest.fixture
def actors():
    with contextlib.ExitStack() as all_of_them:
        yield [all_of_them.enter_context(Actor()) for _ in range(3)]


WORLDS = {
    "bind": None,
    "passthrough": ("--profile=tracked",),
    "tracked": ("--profile=tracked", "-o", "passthrough=off"),
}


@contextlib.contextmanager
def two_mounts(sandbox, world):
    """The host's directory, and the two places where mounts show it as a volume."""
    need_root()
    need_fuse()
    host, low = pathlib.Path(sandbox.directory("host")), sandbox.directory("low")
    pathlib.Path(low, "lower").write_text("from below")
    before, made = digest(low), []
    try:
        for name in ("one", "two"):
            at = pathlib.Path(sandbox.directory(name))
            if WORLDS[world] is None:
                run("mount", "--bind", host, at)
                made.append((at, at))
            else:
                run(PLYFS, "mount", "--lower", low, "--upper", sandbox.directory(f"upper-{name}"), *WORLDS[world],
                    "-v", f"{host}:/data", at)
                made.append((at, at / "data"))
        yield [host, *(data for _, data in made)]
    finally:
        for at, _ in made:
            umount(at, lazy=True)
        assert digest(low) == before, "a lower layer was changed"


@pytest.fixture(params=WORLDS)
def ways(request, sandbox):
    with two_mounts(sandbox, request.param) as places:
        yield places


def open_all(actors, ways, name="f"):
    for actor, way in zip(actors, ways):
        assert actor("open", "f", way / name) is None


@pytest.mark.parametrize("kind", ("posix", "ofd"))
def test_ranges_exclude_by_whatever_way_one_comes(ways, actors, kind):
    open_all(actors, ways)
    for turn in range(3):
        first, second, third = actors[turn:] + actors[:turn]
        assert first(kind, "f", "w", 0, 10) is None
        assert second(kind, "f", "r", 5, 1) == "EAGAIN"
        assert third(kind, "f", "w", 10, 10) is None
        assert second("look", "f", "r") in (["w", 0, 10], ["w", 10, 10])
        assert first(kind, "f", "r", 0, 10) is None
        assert second(kind, "f", "r", 5, 1) is None
        assert second(kind, "f", "w", 5, 1) == "EAGAIN"
        for actor in (first, second, third):
            assert actor(kind, "f", "u", 0, 0) is None
        assert second("look", "f", "w")[0] == "u"


def test_the_whole_is_locked_by_whatever_way_one_comes(ways, actors):
    open_all(actors, ways)
    for turn in range(3):
        first, second, third = actors[turn:] + actors[:turn]
        assert first("flock", "f", "w") is None
        assert second("flock", "f", "r") == "EAGAIN"
        assert first("flock", "f", "r") is None
        assert second("flock", "f", "r") is None
        assert third("flock", "f", "w") == "EAGAIN"
        assert first("flock", "f", "u") is None
        assert second("flock", "f", "u") is None
        assert third("flock", "f", "w") is None
        assert third("flock", "f", "u") is None


def test_an_owners_ranges_end_with_any_close_of_his(ways, actors):
    open_all(actors, ways)
    first, second, third = actors
    for actor, way in ((second, ways[1]), (third, ways[2])):
        assert actor("open", "again", way / "f") is None
        assert actor("posix", "f", "w", 0, 0) is None
        assert first("posix", "f", "r", 0, 0) == "EAGAIN"
        assert actor("close", "again") is None
        assert first("posix", "f", "w", 0, 0) is None
        assert first("posix", "f", "u", 0, 0) is None


@pytest.mark.parametrize("kind", (("ofd", "f", "w", 0, 0), ("flock", "f", "w")))
def test_an_opens_locks_end_with_that_open_alone(ways, actors, kind):
    open_all(actors, ways)
    first, second, third = actors
    for actor, way in ((second, ways[1]), (third, ways[2])):
        assert actor("open", "again", way / "f") is None
        assert actor(*kind) is None
        assert actor("close", "again") is None
        assert first(*kind) == "EAGAIN"
        assert actor("close", "f") is None
        wait_for(lambda: first(*kind) is None, "the lock")
        assert first(kind[0], "f", "u", *kind[3:]) is None


@pytest.mark.parametrize("kind", (("posix", "f", "w", 0, 0), ("ofd", "f", "w", 0, 0), ("flock", "f", "w")))
def test_who_is_killed_has_no_locks(ways, actors, kind):
    open_all(actors, ways)
    first, second, third = actors
    for actor in (second, third):
        assert actor(*kind) is None
        assert first(*kind) == "EAGAIN"
        actor.process.kill()
        actor.process.wait()
        wait_for(lambda: first(*kind) is None, "the lock")
        assert first(kind[0], "f", "u", *kind[3:]) is None


def test_a_child_has_no_ranges_of_its_parent_and_shares_the_whole(ways, actors):
    first, second, _ = actors
    open_all(actors, ways)
    assert second("posix", "f", "w", 0, 0) is None
    assert second("flock", "f", "w") is None
    child = second("fork", None)
    try:
        second.process.kill()
        second.process.wait()
        wait_for(lambda: first("posix", "f", "w", 0, 0) is None, "the ranges")
        assert first("flock", "f", "w") == "EAGAIN"
    finally:
        os.kill(child, signal.SIGKILL)
    wait_for(lambda: first("flock", "f", "w") is None, "the whole")


@pytest.mark.parametrize("kind", (("posix", "f", "w", 0, 0), ("ofd", "f", "w", 0, 0), ("flock", "f", "w")))
def test_who_waits_gets_the_lock_when_it_is_free(ways, actors, kind):
    open_all(actors, ways)
    for has in range(3):
        for waits in range(3):
            if has == waits:
                continue
            assert actors[has](*kind) is None
            actors[waits].begin(*kind, WAITS)
            wait_for(actors[waits].is_waiting, "the wait")
            assert actors[has](kind[0], "f", "u", *kind[3:]) is None
            assert actors[waits].end() is None
            assert actors[has](*kind) == "EAGAIN"
            assert actors[waits](kind[0], "f", "u", *kind[3:]) is None


@pytest.mark.parametrize("kind", (("posix", "f", "w", 0, 0), ("ofd", "f", "w", 0, 0), ("flock", "f", "w")))
def test_who_waits_can_be_interrupted_and_killed(ways, actors, kind):
    open_all(actors, ways)
    has, waits, other = actors
    assert has(*kind) is None
    waits.begin(*kind, WAITS)
    wait_for(waits.is_waiting, "the wait")
    os.kill(waits.process.pid, signal.SIGUSR1)
    assert waits.end() == "interrupted"
    waits.begin(*kind, WAITS)
    wait_for(waits.is_waiting, "the wait")
    waits.process.kill()
    waits.process.wait()
    assert has(kind[0], "f", "u", *kind[3:]) is None
    assert other(*kind) is None, "whoever was killed has not got it afterwards"


def test_who_waits_goes_on_when_another_thread_closes_the_file(ways, actors):
    """It ends the ranges that its process has, but nobody's wait."""
    holder = actors[0]
    assert holder("open", "f", ways[0] / "f") is None
    for way in ways:
        fd, again = os.open(way / "f", os.O_RDWR), os.open(way / "f", os.O_RDWR)
        thread = Waiting(fd)
        try:
            assert holder("posix", "f", "w", 0, 0) is None
            thread.start()
            wait_for(thread.is_waiting, "the wait")
            os.close(again)
            assert holder("posix", "f", "u", 0, 0) is None
            thread.join()
            assert thread.said == "got it"
            assert holder("posix", "f", "w", 0, 0) == "EAGAIN"
        finally:
            holder("posix", "f", "u", 0, 0)
            thread.join()
            os.close(fd)


def test_a_program_that_is_locked_can_be_run_by_whatever_way(ways):
    """As by what flock(1) tells scripts to begin with: `flock -en "$0" "$0"`."""
    program = ways[0] / "program"
    shutil.copy("/bin/true", program)
    for way in ways:
        with open(way / "program", "rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            for other in ways:
                run(other / "program")


def test_many_wait_and_each_gets_it(ways):
    """One after the other, and none is forgotten."""
    with contextlib.ExitStack() as all_of_them:
        crowd = [all_of_them.enter_context(Actor()) for _ in range(12)]
        for number, actor in enumerate(crowd):
            assert actor("open", "f", ways[number % 3] / "f") is None
        holder, waiting = crowd[0], crowd[1:]
        assert holder("flock", "f", "w") is None
        for actor in waiting:
            actor.begin("flock", "f", "w", WAITS)
        for actor in waiting:
            wait_for(actor.is_waiting, "the wait")
        while waiting:
            assert holder("flock", "f", "u") is None
            wait_for(lambda: any(not a.is_waiting() for a in waiting), "the next one")
            next_one = next(a for a in waiting if not a.is_waiting())
            assert next_one.end() is None
            waiting.remove(next_one)
            assert all(a.is_waiting() for a in waiting)
            holder = next_one


def a_row_of_calls(seed, length):
    """What each actor does, one after the other: opens, closes and locks of every kind."""
    chance, opened, row = random.Random(seed), set(), []
    for _ in range(length):
        actor, name, file = chance.randrange(3), chance.choice("ab"), chance.choice("fg")
        if (actor, name) not in opened:
            opened.add((actor, name))
            row.append((actor, "open", name, file))
            continue
        what = chance.choice(("posix", "posix", "ofd", "ofd", "flock", "look", "close"))
        kind = chance.choice("rwu" if what != "look" else "rw")
        if what == "close":
            opened.remove((actor, name))
            row.append((actor, what, name))
        elif what in ("flock", "look"):
            row.append((actor, what, name, kind))
        else:
            start = chance.randrange(8)
            row.append((actor, what, name, kind, start, chance.choice((0, 1, 2, 5))))
    return row


def done_there(sandbox, world, row, expected=None):
    """What each call said; of several locks that are in the way any may be told. A lock that another mount
    has let go of with the last close(2) of a file is gone a moment after that; so what is expected to be
    had may be had a little later."""
    def call(actor, what, *words):
        answer = actor(what, *words)
        return answer[0] == "u" if what == "look" else answer

    said = []
    with two_mounts(sandbox, world) as ways, contextlib.ExitStack() as all_of_them:
        crowd = [all_of_them.enter_context(Actor()) for _ in range(3)]
        for number, (actor, what, name, *more) in enumerate(row):
            words = (what, name, ways[actor] / more[0]) if what == "open" else (what, name, *more)
            said.append(call(crowd[actor], *words))
            if expected and said[-1] != expected[number] and said[-1] in ("EAGAIN", False):
                wait_for(lambda: call(crowd[actor], *words) == expected[number], f"{world}, call {number}")
                said[-1] = expected[number]
    return said


@pytest.mark.parametrize("seed", range(6))
def test_a_long_row_of_calls_ends_as_on_bind_mounts(sandbox, seed):
    row = a_row_of_calls(seed, 400)
    expected = done_there(sandbox, "bind", row)
    assert expected.count("EAGAIN") > 10
    for world in PLYFS_WORLDS:
        found = done_there(sandbox, world, row, expected)
        for number, (call, left, right) in enumerate(zip(row, expected, found)):
            assert left == right, f"{world}, call {number}: {call}"


PLYFS_WORLDS = [world for world, options in WORLDS.items() if options is not None]


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_what_is_no_volume_is_locked_within_the_mount_also_while_it_comes_up(sandbox, world, actors):
    with two_mounts(sandbox, world) as (_, one, two):
        first, second, third = actors
        for actor, data in ((first, one), (second, one), (third, two)):
            assert actor("open", "f", data.parent / "lower") is None
        assert first("posix", "f", "w", 0, 4) is None
        assert first("write", "f", "changed") is None
        assert second("posix", "f", "r", 0, 4) == "EAGAIN"
        assert second("look", "f", "r") == ["w", 0, 4]
        assert third("posix", "f", "w", 0, 4) is None, "another mount's is another file"
        second.begin("posix", "f", "w", 0, 0, WAITS)
        wait_for(second.is_waiting, "the wait")
        assert first("close", "f") is None
        assert second.end() is None


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_mount_that_ends_lets_go_of_those_who_wait(sandbox, world, actors):
    with two_mounts(sandbox, world) as ways:
        open_all(actors, ways)
        has, waits, _ = actors
        assert has("flock", "f", "w") is None
        waits.begin("flock", "f", "w", WAITS)
        wait_for(waits.is_waiting, "the wait")
        at = ways[1].parent
        daemons = procfs.daemons(at)
        run("umount", "-f", at, check=False)  # which ends the connection, also where it is busy
        assert waits.end() in ("ECONNABORTED", "ENOTCONN")
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in daemons), "the daemon's end")


@pytest.mark.parametrize("world", WORLDS)
def test_a_database_is_written_by_two_mounts_and_the_host_at_once(sandbox, world):
    with two_mounts(sandbox, world) as ways:
        with contextlib.closing(sqlite3.connect(ways[0] / "db")) as database:
            database.execute("CREATE TABLE counted (who, number)")
            database.commit()
        writer = ("import sqlite3, sys\nd = sqlite3.connect(sys.argv[1], timeout=120)\n"
                  "for n in range(60):\n"
                  "    d.execute('BEGIN IMMEDIATE')\n"
                  "    m, = d.execute('SELECT count(*) FROM counted').fetchone()\n"
                  "    d.execute('INSERT INTO counted VALUES (?, ?)', (sys.argv[1], m))\n"
                  "    d.commit()\n")
        writers = [subprocess.Popen([sys.executable, "-c", writer, str(way / "db")]) for way in ways]
        assert [writer.wait() for writer in writers] == [0, 0, 0]
        with contextlib.closing(sqlite3.connect(ways[0] / "db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert [n for n, in database.execute("SELECT number FROM counted ORDER BY number")] == list(range(180))


def test_locks_cannot_be_shared_where_nobody_is_told_of_closes(sandbox):
    need_root()
    low, at = sandbox.directory("low"), sandbox.directory("merged")
    done = run(PLYFS, "mount", "--lower", low, "--profile=stateless", "-o", "shared_locks=on", at, check=False)
    assert done.returncode != 0 and "shared_locks=on cannot go with the profile stateless" in done.stderr
    assert not os.path.ismount(at)


@pytest.mark.parametrize("options", (("--profile=tracked", "-o", "shared_locks=off"), ("--profile=stateless",)))
def test_where_they_are_not_shared_the_kernel_keeps_locks_in_the_mount(sandbox, options, actors):
    need_root()
    need_fuse()
    host, low, at = (pathlib.Path(sandbox.directory(name)) for name in ("host", "low", "merged"))
    run(PLYFS, "mount", "--lower", low, *options, "-v", f"{host}:/data", at)
    try:
        open_all(actors, (host, at / "data", at / "data"))
        first, second, third = actors
        assert first("posix", "f", "w", 0, 0) is None
        assert second("posix", "f", "w", 0, 0) is None
        assert third("posix", "f", "w", 0, 0) == "EAGAIN"
        asked = {json.loads(line)["Operation"] for line in run(PLYFS, "stats", "--json", at).stdout.splitlines()}
        assert not {"setlk", "flock"} & asked
    finally:
        umount(at, lazy=True)
