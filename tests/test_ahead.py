# SPDX-License-Identifier: MIT
"""What is done before anybody asks for it: the content of small files is given to the kernel (fs/ahead.h), and the
directories that a walk comes to next are read (fs/scout.h).

Who reads a whole tree is spared a request for each file, and waits for less; and nothing that anybody has
written, at whatever moment, is covered by what a lower layer had there.
"""
import ctypes
import itertools
import json
import mmap
import os
import pathlib
import stat
import subprocess
import sys
import threading

import pytest

from harness import LIBC, kernel_version, need, need_root, need_tool

FOLDERS, FILES = 40, 12
SIZES = (1, 100, 4095, 4096, 4097, 10_000, 70_000)


def content(number):
    size = SIZES[number % len(SIZES)]
    return (f"{number} ".encode() * size)[:size]


def fill(top, folders=FOLDERS):
    """Directories of small files below `top`: {path relative to it: content}."""
    made = {}
    for folder in range(folders):
        (top / f"d{folder}").mkdir(parents=True)
        for file in range(FILES):
            name = f"d{folder}/f{file}"
            made[name] = content(folder * FILES + file)
            (top / name).write_bytes(made[name])
    return made


def read_all(top):
    """All below it, each file looked at before and after, as tar does."""
    found = {}
    for here, _, names in os.walk(top):
        for name in names:
            path = os.path.join(here, name)
            os.lstat(path)
            with open(path, "rb") as file:
                found[os.path.relpath(path, top)] = file.read()
                os.fstat(file.fileno())
    return found


def look_at_all(top):
    return sum(os.lstat(os.path.join(here, name)).st_size for here, _, names in os.walk(top) for name in names)


@pytest.fixture
def named(store, sandbox):
    """Mounts a layer by the name of "web"; what was asked of it so far is told by asked()."""
    def mount(lower, profile):
        at = sandbox.directory("mnt")
        sandbox.guard(lower)
        options = "profile=stateless,writeback=on" if profile == "writeback" else f"profile={profile}"
        store.plyfs("create", "--name", "web", "--lower", lower, "-o", options)
        store.watched.append(at)
        store.plyfs("mount", "web", at)
        return pathlib.Path(at)
    return mount


def asked(store):
    rows = map(json.loads, store.plyfs("stats", "--json", "web").stdout.splitlines())
    return {row["Operation"]: row["Requests"] for row in rows}


def more(store, before):
    after = asked(store)
    return {name: after[name] - before.get(name, 0) for name in after}


# ---- what it spares -----------------------------------------------------------------------------

def test_who_reads_a_whole_tree_is_spared_a_request_for_each_file(store, sandbox, named, profile):
    need(kernel_version() >= (6, 12), "needs Linux 6.12 or newer")
    lower = sandbox.directory("lower")
    made = fill(lower)
    at = named(lower, profile)
    before = asked(store)
    assert read_all(at) == made
    done = more(store, before)
    assert done["read"] < len(made) / 2, done
    assert done["getattr"] < len(made) * 1.5, done
    given = json.loads(store.plyfs("stats", "--json").stdout)["GivenAhead"]
    assert given == len(made) - done["read"], (given, done)
    assert f"ahead     {given} small files" in store.plyfs("stats", "web").stdout


def test_who_looks_at_everything_and_reads_nothing_is_asked_for_little_more(store, sandbox, named, profile):
    lower = sandbox.directory("lower")
    fill(lower, 2 * FOLDERS)
    at = named(lower, profile)
    before = asked(store)
    look_at_all(at)
    assert more(store, before)["getattr"] < 10
    assert more(store, before).get("read", 0) == 0


def test_who_stops_reading_is_soon_asked_for_nothing_more(store, sandbox, named, profile):
    lower = sandbox.directory("lower")
    fill(lower / "read")
    fill(lower / "then", 60)
    fill(lower / "last", 20)
    at = named(lower, profile)
    read_all(at / "read")
    look_at_all(at / "then")
    before = asked(store)
    look_at_all(at / "last")
    assert more(store, before)["getattr"] < 10


# ---- what it must not cover ---------------------------------------------------------------------

def ask_anew(path):
    """Has the kernel ask for the attributes, whatever it has (statx(2), AT_STATX_FORCE_SYNC), without the time of
    birth and with it."""
    buffer = ctypes.create_string_buffer(256)
    for wanted in 0x7ff, 0xfff:
        assert LIBC.statx(-100, os.fsencode(path), 0x2000, wanted, buffer) == 0


def pwrite_first_page(path):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"w" * 4096, 0)
    ask_anew(path)
    os.close(fd)
    return lambda old: b"w" * 4096 + old[4096:]


def write_anew(path):
    path.write_bytes(b"new")
    return lambda old: b"new"


def append(path):
    with open(path, "ab") as file:
        file.write(b"more")
        file.flush()
        ask_anew(path)
    return lambda old: old + b"more"


def cut(path):
    os.truncate(path, 50)
    return lambda old: (old + bytes(50))[:50]


def cut_and_grow(path):
    os.truncate(path, 0)
    os.truncate(path, 5000)
    return lambda old: bytes(5000)


def write_mapped(path):
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0:1] = b"M"
        ask_anew(path)
    return lambda old: b"M" + old[1:]


def write_unseen(path):
    """By a name that was opened without looking: the file is never asked for its attributes by stat(2)."""
    fd = os.open(path, os.O_RDWR | os.O_NOATIME)
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"z" * 8192, 0)
    ask_anew(path)
    os.close(fd)
    return lambda old: b"z" * 8192


def replace(path):
    fresh = path.with_name("fresh")
    fresh.write_bytes(b"renamed")
    os.rename(fresh, path)
    return lambda old: b"renamed"


def change_mode(path):
    os.chmod(path, 0o600)
    return lambda old: old


def through_a_link(path):
    other = path.with_name(path.name + "-link")
    os.link(path, other)
    fd = os.open(other, os.O_WRONLY)
    os.pwrite(fd, b"L" * 4096, 0)
    ask_anew(path)
    os.close(fd)
    os.unlink(other)
    return lambda old: b"L" * 4096 + old[4096:]


WAYS = [pwrite_first_page, write_anew, append, cut, cut_and_grow, write_mapped, write_unseen, replace, change_mode,
        through_a_link]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_was_written_before_it_was_read_stays(sandbox, way, profile):
    lower, upper = sandbox.directory("lower"), sandbox.directory("upper")
    fill(lower / "read")
    made = fill(lower / "write", 4)
    with sandbox.plyfs([lower], upper, sandbox.directory("work"), profile=profile) as mount:
        read_all(mount / "read")
        wanted = {}
        for folder in sorted({os.path.dirname(name) for name in made}):
            os.listdir(mount / "write" / folder)  # from now on the kernel knows them all
            for name in sorted(name for name in made if os.path.dirname(name) == folder):
                path = mount / "write" / name
                wanted[name] = way(path)(made[name])
                ask_anew(path)
        assert read_all(mount / "write") == wanted
        for name in wanted:
            ask_anew(mount / "write" / name)
        assert read_all(mount / "write") == wanted
    with sandbox.plyfs([lower], upper, sandbox.directory("work"), profile=profile) as mount:
        assert read_all(mount / "write") == wanted


WRITE = """
import os, sys
for line in sys.stdin:
    fd = os.open(line.strip(), os.O_WRONLY)
    os.pwrite(fd, b"w" * 4096, 0)
    os.close(fd)
    print(flush=True)
"""


def test_of_one_who_reads_and_one_who_writes_the_same_files_each_write_is_seen(sandbox, profile):
    lower = sandbox.directory("lower")
    fill(lower / "read")
    made = fill(lower / "both", 60)
    with sandbox.plyfs([lower], sandbox.directory("upper"), sandbox.directory("work"), profile=profile) as mount:
        read_all(mount / "read")
        writer = subprocess.Popen([sys.executable, "-c", WRITE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        reader = threading.Thread(target=read_all, args=(mount / "both",))
        reader.start()
        for name in made:
            writer.stdin.write(f"{mount / 'both' / name}\n")
        writer.stdin.close()
        assert len(writer.stdout.read()) == len(made) and writer.wait(60) == 0
        reader.join(60)
        assert read_all(mount / "both") == {name: b"w" * 4096 + old[4096:] for name, old in made.items()}


# ---- directories that are read ahead ------------------------------------------------------------

def need_two_processors():
    need(len(os.sched_getaffinity(0)) > 1, "two processors")


def listed_ahead(store):
    return json.loads(store.plyfs("stats", "--json").stdout)["ListedAhead"]


TRIES = 8


def fill_tries(top, folders=60):
    """The same tree again and again, because the kernel keeps what it was told of one."""
    for number in range(TRIES):
        fill(top / f"try{number}", folders)


def fresh_tries(store, sandbox, lower, profile):
    """Trees that were not walked yet, in mounts of which nobody has changed anything, without end: others may have
    wanted the processor on which directories are read ahead."""
    at = pathlib.Path(sandbox.directory("mnt"))
    sandbox.guard(lower)
    options = "profile=stateless,writeback=on" if profile == "writeback" else f"profile={profile}"
    store.watched.append(str(at))
    for name in (f"web{number}" for number in itertools.count()):
        store.plyfs("create", "--name", name, "--lower", lower, "-o", options)
        store.plyfs("mount", name, at)
        for number in range(TRIES):
            yield at / f"try{number}"
        store.plyfs("umount", at)


WALKS = {
    "as told": ["find", "-type", "d"],
    "by name": ["ls", "-lR"],
    "by number": [sys.executable, "-c", """
import os, sys
def walk(at):
    for entry in sorted(os.scandir(at), key=lambda entry: entry.inode()):
        if entry.is_dir(follow_symlinks=False):
            walk(entry.path)
walk(".")
"""],
}


@pytest.mark.parametrize("order", WALKS)
def test_who_walks_a_tree_has_directories_read_ahead(store, sandbox, profile, order):
    need_two_processors()
    lower = sandbox.directory("lower")
    fill_tries(lower)
    for top in fresh_tries(store, sandbox, lower, profile):
        subprocess.run(WALKS[order], cwd=top, stdout=subprocess.DEVNULL, check=True)
        ahead = listed_ahead(store)
        if ahead > 20:
            break
    name = json.loads(store.plyfs("stats", "--json").stdout)["Name"]
    assert f"{ahead} directories were read before" in store.plyfs("stats", name).stdout


def lengthen(folder, tree):
    with open(folder / "f1", "ab") as file:
        file.write(b"more")
    tree["f1"] = (tree["f1"][0], tree["f1"][1] + 4)


def forbid(folder, tree):
    os.chmod(folder / "f2", 0o400)
    tree["f2"] = (stat.S_IFREG | 0o400, tree["f2"][1])


def remove(folder, tree):
    os.unlink(folder / "f3")
    del tree["f3"]


def put_in_its_place(folder, tree):
    os.unlink(folder / "f4")
    os.mkdir(folder / "f4", 0o700)
    tree["f4"] = (stat.S_IFDIR | 0o700, None)


def rename(folder, tree):
    os.rename(folder / "f5", folder / "moved")
    tree["moved"] = tree.pop("f5")


def make(folder, tree):
    (folder / "new").write_bytes(b"new")
    os.chmod(folder / "new", 0o600)
    tree["new"] = (stat.S_IFREG | 0o600, 3)


CHANGES = [lengthen, forbid, remove, put_in_its_place, rename, make]


def shown(folder):
    """{name: (mode, size, but of directories)}, as a listing and a look at each tell."""
    found = {}
    for entry in os.scandir(folder):
        st = entry.stat(follow_symlinks=False)
        found[entry.name] = (st.st_mode, None if stat.S_ISDIR(st.st_mode) else st.st_size)
    return found


def test_what_has_changed_since_it_was_read_ahead_is_listed_as_it_is(store, sandbox, profile):
    """Each seventh directory is changed just before it is listed: with fewer nothing would be changed, with more the
    daemon would soon read no more ahead."""
    need_two_processors()
    lower = sandbox.directory("lower")
    fill_tries(lower)
    for top in fresh_tries(store, sandbox, lower, profile):
        for place, path in enumerate([entry.path for entry in os.scandir(top)]):
            folder = pathlib.Path(path)
            wanted = shown(lower / top.name / folder.name)
            if place % 7 == 6:
                CHANGES[place // 7 % len(CHANGES)](folder, wanted)
            assert shown(folder) == wanted, folder
        if top.name > "try2" and listed_ahead(store) > 100:
            break


# ---- and who has no right to read it ------------------------------------------------------------

def test_who_may_not_read_a_file_is_not_shown_what_the_kernel_was_given(sandbox, profile):
    need_root()
    need_tool("setpriv")
    lower = sandbox.directory("lower")
    made = fill(lower / "read")
    for name in fill(lower / "secret", 4):
        (lower / "secret" / name).chmod(0o600)
    sandbox.regard(lower)
    with sandbox.plyfs([lower], sandbox.directory("upper"), sandbox.directory("work"), profile=profile) as mount:
        assert read_all(mount / "read") == made
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        found = subprocess.run([*as_nobody, "grep", "-r", "", mount / "secret"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, check=False)
        assert found.returncode == 2 and found.stdout == b""
