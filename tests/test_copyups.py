# SPDX-License-Identifier: MIT
"""The ledger: every copy-up with its cause, its caller and its bytes; none missing, none invented."""
import contextlib
import ctypes
import json
import mmap
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

import layers_kit as kit
from harness import LIBC, ROOT, PLYFS, need_fuse, need_root, need_tool, refusal, run, umount
from procfs import leads_to
from storekit import store, wait_for  # noqa: F401 (store is a fixture)

PROFILES = {
    "stateless": ("--profile=stateless",),
    "tracked": ("--profile=tracked",),                              # as root: files are passed through
    "cacheless": ("--profile=tracked", "-o", "passthrough=off"),    # as without privilege
}
PR_SET_NAME = 15
BIG = 300_000


class Traced:
    """A named mount over two layers, and what its ledger says."""

    def __init__(self, sandbox, store, profile, extra=()):
        need_fuse()
        self.store, self.profile = store, profile
        self.base, self.top = (pathlib.Path(sandbox.directory(n)) for n in ("base", "top"))
        for name in ("a", "b", "c", "d", "e", "g"):
            kit.put(self.base / f"etc/{name}", f"{name} of the base\n")
        kit.put(self.base / "usr/share/big", "x" * BIG)
        kit.put(self.base / "usr/share/deep/er/file", "deep")
        kit.put(self.top / "etc/top", "of the top")
        (self.base / "etc/link").symlink_to("a")
        kit.put(self.base / "links/one", "two names")
        os.link(self.base / "links/one", self.base / "links/two")
        for layer in (self.base, self.top):
            kit.age(layer)
        sandbox.guard(self.base, self.top)
        store.plyfs("create", "--name", "web", "--lower", self.top, "--lower", self.base)
        self.at = pathlib.Path(sandbox.directory("mnt"))
        self.extra = extra
        self.mount()

    def mount(self):
        self.store.watched.append(self.at)
        self.store.plyfs("mount", "web", *PROFILES[self.profile], *self.extra, self.at)

    def events(self, *argv):
        return [json.loads(line) for line in
                self.store.plyfs("copyups", "--json", *argv, "web").stdout.splitlines()]

    def new(self, act):
        """What an act adds to the ledger."""
        before = len(self.events("--all"))
        act()
        return self.events("--all")[before:]

    @property
    def upper(self):
        return pathlib.Path(json.loads(self.store.plyfs("inspect", "web").stdout)[0]["UpperDir"])

    def daemon(self):
        return json.loads(self.store.plyfs("inspect", "web").stdout)[0]["Pid"]


@pytest.fixture(params=list(PROFILES))
def traced(request, sandbox, store):
    return Traced(sandbox, store, request.param)


def as_actor(act, name=b"actor", uid=None):
    """Does something in a process of its own that has this name; its pid. It has ended then."""
    child = os.fork()
    if child == 0:
        try:
            LIBC.prctl(PR_SET_NAME, name, 0, 0, 0)
            if uid is not None:
                os.setresuid(uid, uid, uid)
            act()
        except BaseException as error:  # whatever it is, the child must not come back
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return child


# ---- causes and callers -------------------------------------------------------------------------

def append(path):
    with open(path, "ab") as file:
        file.write(b"more")


def overwrite(path):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"X", 1)
    os.close(fd)


def map_and_write(path):
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 0) as memory:
        memory[0:1] = b"M"
        memory.flush()
    os.close(fd)


def by_fallocate(path):
    fd = os.open(path, os.O_RDWR)
    os.posix_fallocate(fd, 0, 4096)
    os.close(fd)


ACTS = {
    "append": (append, {"write", "open"}, True),
    "overwrite": (overwrite, {"write", "open"}, True),
    "fallocate": (by_fallocate, {"fallocate", "open"}, True),
    "cut": (lambda path: os.truncate(path, 3), {"truncate"}, True),
    "empty": (lambda path: open(path, "w").close(), {"truncate", "open"}, None),
    "chmod": (lambda path: os.chmod(path, 0o600), {"chmod"}, False),
    "chown": (lambda path: os.chown(path, 12, 34), {"chown"}, False),
    "utime": (lambda path: os.utime(path, (1, 1)), {"utimens"}, False),
    "setxattr": (lambda path: os.setxattr(path, "user.x", b"1"), {"setxattr"}, False),
    "link": (lambda path: os.link(path, str(path) + ".link"), {"link"}, False),
    "rename": (lambda path: os.rename(path, str(path) + ".moved"), {"rename"}, False),
}


@pytest.mark.parametrize("name", list(ACTS))
def test_the_first_change_of_a_file_is_told_with_its_cause_and_caller(traced, name):
    need_root()
    act, causes, moves = ACTS[name]
    pids = []
    events = traced.new(lambda: pids.append(as_actor(lambda: act(traced.at / "usr/share/big"))))
    copyups = [e for e in events if e["Event"] == "copyup"]
    assert [e["Path"] for e in copyups] == ["/usr", "/usr/share", "/usr/share/big"]
    for event in copyups:
        assert event["Cause"] in causes
        assert (event["Pid"], event["Command"], event["Uid"]) == (pids[0], "actor", 0)
        assert event["Caller"] == f"actor[{pids[0]}]"
        assert event["Layer"] == 1
        assert event["Duration"] > 0
    file = copyups[-1]
    assert (file["Type"], file["Size"]) == ("file", BIG)
    if moves is False:
        assert (file["Means"], file["Moved"]) == ("metacopy", 0)
    elif moves:
        assert file["Means"] in ("copy_file_range", "read and write", "reflink")
        assert file["Moved"] == (3 if name == "cut" else BIG if file["Means"] != "reflink" else 0)
    else:
        assert file["Moved"] == 0


def test_layers_are_counted_from_the_lowest(traced):
    events = traced.new(lambda: (append(traced.at / "etc/top"), append(traced.at / "etc/a")))
    assert {e["Path"]: e["Layer"] for e in events if e["Type"] == "file"} == \
        {"/etc/top": 2, "/etc/a": 1}


def test_another_user_is_told_by_number(traced):
    need_root()
    for path in (traced.at / "etc", traced.at / "etc/b"):
        os.chown(path, 4711, 4711)
    traced.at.chmod(0o755)
    pids = []
    events = traced.new(lambda: pids.append(as_actor(lambda: append(traced.at / "etc/b"), uid=4711)))
    assert [(e["Path"], e["Uid"], e["Pid"]) for e in events] == [("/etc/b", 4711, pids[0])]


def test_what_a_thread_does_is_its_process_s(traced):
    def in_a_thread():
        thread = threading.Thread(target=lambda: (LIBC.prctl(PR_SET_NAME, b"a-thread", 0, 0, 0),
                                                  append(traced.at / "etc/c")))
        thread.start()
        thread.join()
    pids = []
    events = traced.new(lambda: pids.append(as_actor(in_a_thread)))
    assert {(e["Pid"], e["Command"]) for e in events} == {(pids[0], "actor")}


def test_what_another_pid_namespace_does_is_told_by_the_pid_that_the_daemon_sees(traced):
    need_root()
    need_tool("unshare")
    events = traced.new(lambda: run("unshare", "-pf", "sh", "-c", f"echo more >> {traced.at}/etc/d"))
    assert {e["Command"] for e in events} == {"sh"}
    assert all(e["Pid"] > 2 for e in events)


def test_metadata_first_and_data_later_are_two_events(traced):
    path = traced.at / "usr/share/big"
    first = traced.new(lambda: os.chmod(path, 0o600))[-1]
    second, = traced.new(lambda: append(path))
    assert (first["Cause"], first["Means"], first["Moved"]) == ("chmod", "metacopy", 0)
    assert second["Path"] == "/usr/share/big" and second["Cause"] in ("write", "open")
    assert second["Size"] == BIG and (second["Moved"] == BIG or second["Means"] == "reflink")
    assert traced.new(lambda: append(path)) == []


def test_a_further_name_of_a_hard_link_is_a_link_and_moves_nothing(traced):
    first = traced.new(lambda: append(traced.at / "links/one"))
    second = traced.new(lambda: os.rename(traced.at / "links/two", traced.at / "links/three"))
    assert [(e["Path"], e["Means"]) for e in first][-1][0] == "/links/one"
    link, whiteout = second
    assert (link["Path"], link["Means"], link["Moved"], link["Cause"]) == \
        ("/links/two", "link", 0, "rename")
    assert (whiteout["Event"], whiteout["Path"]) == ("whiteout", "/links/two")


def test_a_symlink_is_copied_up_as_itself(traced):
    event = traced.new(lambda: os.chown(traced.at / "etc/link", 1, 1, follow_symlinks=False))[-1]
    assert (event["Path"], event["Type"], event["Moved"]) == ("/etc/link", "symlink", 0)


def test_what_is_unlinked_and_open_has_no_path(traced):
    fd = os.open(traced.at / "etc/e", os.O_RDWR if traced.profile == "stateless" else os.O_RDONLY)
    os.unlink(traced.at / "etc/e")
    event = traced.new(lambda: os.fchmod(fd, 0o600))[-1]
    os.close(fd)
    assert (event["Path"], event["Cause"]) == ("", "chmod")


def test_new_files_are_no_copy_ups(traced):
    (traced.at / "etc/new").write_text("new")          # /etc itself comes up
    assert traced.new(lambda: (traced.at / "etc/newer").write_text("new")) == []
    assert traced.new(lambda: (append(traced.at / "etc/new"), os.unlink(traced.at / "etc/new"))) == []


def test_a_refused_change_is_no_event(traced):
    need_root()
    events = traced.new(lambda: as_actor(
        lambda: refusal(os.chmod, traced.at / "etc/a", 0o777) == "EPERM" or os._exit(1), uid=4711))
    assert events == []


def test_a_directory_that_is_not_empty_is_refused_before_anything_is_copied_up(traced):
    events = traced.new(lambda: (refusal(os.rmdir, traced.at / "usr/share/deep") == "ENOTEMPTY" or 1 / 0,
                                 refusal(os.rmdir, traced.at / "usr/share") == "ENOTEMPTY" or 1 / 0))
    assert events == [] and not (traced.upper / "usr").exists()


# ---- what hides -----------------------------------------------------------------------------------

def test_whiteouts_opaque_directories_and_redirects_are_told(traced):
    def act():
        os.unlink(traced.at / "etc/a")
        shutil.rmtree(traced.at / "usr/share/deep")
        os.mkdir(traced.at / "usr/share/deep")
        os.rename(traced.at / "links", traced.at / "moved")
    marks = [(e["Event"], e["Path"], e["Cause"], e["Type"]) for e in traced.new(act)
             if e["Event"] != "copyup"]
    assert marks == [
        ("whiteout", "/etc/a", "unlink", "file"),
        ("whiteout", "/usr/share/deep/er/file", "unlink", "file"),
        ("whiteout", "/usr/share/deep/er", "rmdir", "directory"),
        ("whiteout", "/usr/share/deep", "rmdir", "directory"),
        ("opaque", "/usr/share/deep", "mkdir", "directory"),
        ("whiteout", "/links", "rename", "directory"),
        ("redirect", "/moved", "rename", "directory"),
    ]


def test_what_no_layer_has_leaves_no_mark(traced):
    (traced.at / "new").mkdir()
    (traced.at / "new/f").write_text("x")
    assert traced.new(lambda: (os.unlink(traced.at / "new/f"), os.rename(traced.at / "new", traced.at / "n"),
                               os.rmdir(traced.at / "n"))) == []


def test_the_last_whiteout_of_a_path_stands_for_all(traced):
    for _ in range(5):
        (traced.at / "etc/a").write_text("again")
        os.unlink(traced.at / "etc/a")
    assert len([e for e in traced.events("--all") if e["Event"] == "whiteout"]) == 1


# ---- the page cache -------------------------------------------------------------------------------

def test_what_the_page_cache_writes_back_is_nobody_s(sandbox, store):
    traced = Traced(sandbox, store, "stateless", ("-o", "writeback=on"))
    events = traced.new(lambda: (as_actor(lambda: overwrite(traced.at / "usr/share/big")),
                                 os.sync()))
    file = [e for e in events if e["Path"] == "/usr/share/big"]
    assert [(e["Pid"], e["Command"], e["Uid"], e["Caller"]) for e in file] == \
        [(None, None, None, "unknown (writeback)")]


def test_a_mapping_s_writer_is_not_guessed(sandbox, store):
    traced = Traced(sandbox, store, "stateless")
    file = traced.new(lambda: as_actor(lambda: map_and_write(traced.at / "usr/share/big")))[-1]
    assert (file["Path"], file["Cause"], file["Pid"], file["Caller"]) == \
        ("/usr/share/big", "mmap", None, "unknown (writeback)")


# ---- keeping --------------------------------------------------------------------------------------

def test_the_ledger_outlives_the_mount_and_goes_with_it(traced):
    append(traced.at / "etc/a")
    live = traced.events("--all")
    assert live
    umount(traced.at)
    traced.store.plyfs("umount", "web", check=False)
    wait_for(lambda: traced.store.state("web") == "unmounted", "the daemon to end")
    assert traced.events("--all") == live
    traced.mount()
    append(traced.at / "etc/b")
    assert [e["Path"] for e in traced.events()[len(live):]] == ["/etc/b"]
    traced.store.plyfs("umount", "web")
    traced.store.plyfs("rm", "web")
    rows = run("sqlite3", traced.store.path / "catalog.db", "select count(*) from event").stdout
    assert rows.strip() == "0"


def test_what_was_shown_outlives_a_kill_and_at_most_the_last_second_is_lost(traced):
    need_root()
    rng, pid = random.Random(7), traced.daemon()
    for i in range(400):
        kit.put(traced.at / f"new/{i}", "x")
    append(traced.at / "etc/a")
    shown = traced.events("--all")
    for name in ("b", "c", "d"):
        append(traced.at / f"etc/{name}")
    # More than a second before the death: this is in the catalog without anybody asking for it.
    database = traced.store.path / "catalog.db"

    def kept():
        out = run("sqlite3", database, "select path from event order by number").stdout
        return out.split()
    wait_for(lambda: "/etc/d" in kept(), "the ledger to be written by itself", seconds=10)
    append(traced.at / "etc/e")
    os.kill(pid, signal.SIGKILL)
    umount(traced.at, lazy=True)
    wait_for(lambda: traced.store.state("web") == "dead", "the death to be seen")
    after = traced.events("--all")
    assert after[:len(shown)] == shown
    assert [e["Path"] for e in after[len(shown):]][:3] == ["/etc/b", "/etc/c", "/etc/d"]


def test_a_kill_on_a_busy_machine_loses_at_most_the_last_second(sandbox, store):
    """Twice as many busy programs as processors, and copy-ups as fast as they come."""
    need_root()
    traced = Traced(sandbox, store, "stateless")
    files = [f"many/{i % 50}/{i}" for i in range(40_000)]
    for name in files:
        kit.put(traced.base / name)
    traced.store.plyfs("umount", "web")
    traced.store.sandbox.regard(traced.base)
    traced.mount()
    pid, done, begun = traced.daemon(), {}, time.monotonic()
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 * os.cpu_count())]
    try:
        for name in files:
            os.chmod(traced.at / name, 0o600)
            done[f"/{name}"] = time.monotonic()
            if time.monotonic() - begun > 3:
                break
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
    finally:
        for program in busy:
            program.kill()
            program.wait()
    umount(traced.at, lazy=True)
    wait_for(lambda: traced.store.state("web") == "dead", "the death to be seen")
    kept = {event["Path"] for event in traced.events()}
    assert killed - begun > 2 or len(done) == len(files)
    lost = [path for path, when in done.items() if when < killed - 1 and path not in kept]
    assert not lost, f"{len(lost)} of {len(done)}, the oldest {killed - done[lost[0]]:.1f} s before the end"


def test_the_catalog_is_let_go_of_when_nothing_happens(traced):
    append(traced.at / "etc/a")
    pid = traced.daemon()

    def holds_the_catalog():
        return any("catalog.db" in (leads_to(f"/proc/{pid}/fd/{fd}") or "") for fd in os.listdir(f"/proc/{pid}/fd"))
    wait_for(lambda: not holds_the_catalog(), "the catalog to be closed")


def test_a_mount_without_a_name_keeps_no_ledger(sandbox, store):
    need_fuse()
    base = pathlib.Path(sandbox.directory("base"))
    kit.put(base / "f", "x")
    with sandbox.plyfs([base], sandbox.directory("upper")) as mount:
        append(mount / "f")
    assert not store.path.exists()


def test_a_catalog_that_takes_no_rows_does_not_hold_up_the_mount(traced):
    """The lock of the catalog is held by somebody else all the while."""
    import sqlite3
    blocker = sqlite3.connect(traced.store.path / "catalog.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    for name in ("a", "b", "c"):
        append(traced.at / f"etc/{name}")
    elapsed = time.monotonic() - begun
    blocker.execute("ROLLBACK")
    blocker.close()
    assert elapsed < 10  # and not the 30 seconds that SQLite would wait
    assert [e["Path"] for e in traced.events() if e["Type"] == "file"] == ["/etc/a", "/etc/b", "/etc/c"]


def test_a_hundred_thousand_copy_ups_lose_no_event(sandbox, store):
    """Faster than they can be written, from several processes at once."""
    need_root()
    need_fuse()
    count = 10_000 if os.environ.get("PLYFS_SANITIZED") else 100_000
    base = pathlib.Path(sandbox.directory("base"))
    for d in range(100):
        (base / f"{d}").mkdir()
        for f in range(count // 100):
            os.close(os.open(base / f"{d}/{f}", os.O_CREAT | os.O_WRONLY))
    store.plyfs("create", "--name", "many", "--lower", base)
    at = store.mount("many")
    run("sh", "-c", "for part in 0 1 2 3; do ls | awk \"NR % 4 == $part\" | xargs chown -R 7:7 & done; wait",
        cwd=at, timeout=600)
    store.plyfs("umount", "many")
    database = store.path / "catalog.db"
    counted = run("sqlite3", database, "select count(*), count(distinct path) from event; select lost from ledger")
    assert counted.stdout.split() == [f"{count + 100}|{count + 100}", "0"]


# ---- the command ----------------------------------------------------------------------------------

def test_sums_add_up(traced):
    as_actor(lambda: append(traced.at / "usr/share/big"), b"writer")
    as_actor(lambda: os.chmod(traced.at / "etc/a", 0o600), b"changer")
    events = traced.events()
    for by, field in (("path", "Path"), ("process", "Process"), ("cause", "Cause"), ("layer", "Layer")):
        rows = traced.events("--by", by)
        assert all(field in row for row in rows)
        for column in ("Size", "Moved", "Duration"):
            assert sum(row[column] for row in rows) == sum(e[column] for e in events)
        assert sum(row["Copyups"] for row in rows) == len(events)
        assert [row["Moved"] for row in rows] == sorted((row["Moved"] for row in rows), reverse=True)
    assert {row["Process"] for row in traced.events("--by", "process")} == {"writer", "changer"}


def test_rows_are_chosen(traced):
    append(traced.at / "usr/share/big")
    middle = traced.events()[-1]["Time"]
    os.chmod(traced.at / "etc/a", 0o600)
    assert [e["Path"] for e in traced.events("--top", "1")] == ["/usr/share/big"]
    assert [e["Path"] for e in traced.events("--filter", "cause=chmod")] == ["/etc", "/etc/a"]
    # What is filtered out does not count among the first.
    assert [e["Path"] for e in traced.events("--filter", "cause=chmod", "--top", "1")] == ["/etc/a"]
    assert len(traced.events("--filter", "cause=chmod", "--top", "2")) == 2
    assert len(traced.events("--since", "1d")) == len(traced.events())
    assert traced.events("--since", "2999-01-01") == []
    seconds = middle.split(".")[0]
    assert len(traced.events("--since", seconds)) >= 2


@pytest.mark.parametrize("argv, words", (
    (("--since", "yesterday", "web"), "--since yesterday: write 10m"),
    (("--by", "colour", "web"), "colour"),
    (("nobody",), "nobody"),
    ((), "MOUNT"),
    (("--top", "x", "web"), "--top"),
))
def test_wrong_words_are_refused_with_what_to_do(sandbox, store, argv, words):
    traced = Traced(sandbox, store, "stateless")
    done = traced.store.refused("copyups", *argv, words=words)
    assert done.returncode == 1


# ---- nothing missing, nothing invented ------------------------------------------------------------

def check_accounts(events, lowers, at, upper):
    """The ledger against the upper, by inode numbers, which copy-up keeps. `lowers`: topmost first,
    on one filesystem with the upper, so that a number that is shown is the lower's own."""
    original = {}
    for layer in reversed(lowers):
        for where, folders, files in os.walk(layer):
            for name in (*folders, *files):
                path = os.path.join(where, name)
                original.setdefault(os.lstat(path).st_ino, set()).add("/" + os.path.relpath(path, layer))
    by_path = {}
    for event in events:
        by_path.setdefault(event["Path"], []).append(event)
    found, shown = {}, set()
    for where, folders, files in os.walk(at):
        for name in (*folders, *files):
            path = os.path.join(where, name)
            number = os.lstat(path).st_ino
            shown.add(number)
            here = os.path.relpath(path, at)
            if number in original and os.path.lexists(upper / here):
                names = original[number]
                found["/" + here if "/" + here in names else min(names)] = path
    missing = set(found) - set(by_path)
    assert not missing, f"in the upper, and not in the ledger: {sorted(missing)[:20]}"
    still = {path for number, paths in original.items() if number in shown and len(paths) == 1
             for path in paths}
    invented = {path for path in by_path if path in still and path not in found and path != "/"}
    assert not invented, f"in the ledger, and not in the upper: {sorted(invented)[:20]}"
    for path, here in found.items():
        if not os.path.isfile(here) or os.path.islink(here):
            continue
        below = next(os.lstat(f"{layer}{path}") for layer in lowers if os.path.lexists(f"{layer}{path}"))
        data = [e for e in by_path[path] if e["Means"] not in ("metacopy", "link")]
        is_metacopy = "trusted.overlay.metacopy" in os.listxattr(upper / os.path.relpath(here, at))
        assert len(data) == (0 if is_metacopy else 1), (path, by_path[path])
        assert all(e["Size"] == below.st_size for e in by_path[path] if e["Means"] != "link"), path
        moved = sum(e["Moved"] for e in by_path[path])
        assert moved in ((0,) if is_metacopy else (below.st_size, 0)), (path, by_path[path])
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_ledger_of_random_work_equals_what_is_in_the_upper(traced, seed):
    """Files are changed in every way, where they are: what moves is for the next test."""
    need_root()
    rng = random.Random(seed)
    for i in range(120):
        kit.put(traced.base / f"many/{i % 7}/{i}", "y" * rng.randrange(1, 20000))
    traced.store.plyfs("umount", "web")
    traced.store.sandbox.regard(traced.base)
    traced.mount()
    acts = [append, overwrite, lambda p: os.chmod(p, 0o640), lambda p: os.truncate(p, 0) if rng.random() < .1
            else append(p), lambda p: os.utime(p, (5, 5)), os.unlink]
    for _ in range(200):
        number = rng.randrange(120)
        with contextlib.suppress(FileNotFoundError):
            rng.choice(acts)(traced.at / f"many/{number % 7}/{number}")
    found = check_accounts(traced.events(), [traced.top, traced.base], traced.at, traced.upper)
    assert len(found) > 20


def test_a_real_story_equals_what_is_in_the_upper(sandbox, store):
    """examples/copyups.sh: packages, chown -R, sed -i, a log; file for file and byte for byte."""
    need_root()
    need_fuse()
    need_tool("mmdebstrap", "dpkg-deb", "unshare", "chroot")
    here = pathlib.Path(kit.roomy(1 << 30)) / f"plyfs-story.{os.getpid()}"
    try:
        done = run("sh", ROOT / "examples/copyups.sh", "--keep", here, check=False, timeout=600,
                   env={**os.environ, "PLYFS": str(PLYFS)})
        assert done.returncode == 0, done.stdout + done.stderr
        store.path = here / "store"
        events = [json.loads(line) for line in
                  store.plyfs("copyups", "--json", "story").stdout.splitlines()]
        at = store.mount("story", here / "mnt")
        upper = pathlib.Path(json.loads(store.plyfs("inspect", "story").stdout)[0]["UpperDir"])
        found = check_accounts(events, [here / "base"], at, upper)
        who = {}
        for event in events:
            who.setdefault(event["Path"], []).append((event["Command"], event["Cause"]))
        for number in range(2, 10):
            assert who[f"/srv/data/deep/{number}"] == [("chown", "chown")]
        assert {"/srv/data/deep/1", "/srv/data/one"} & set(found)  # one inode, whichever came first
        assert who["/var/log/app.log"][-1][0] == "tee"
        assert [e["Moved"] for e in events if e["Path"] == "/var/log/app.log"] == [200000]
        assert who["/etc/app"] == [("sed", "create")]
        assert "/etc/app/app.conf" not in who      # sed -i makes a new file
        assert who["/etc"][0][0] in ("dpkg", "cp", "sed", "apt-get")
        assert "dpkg" in {command for command, _ in who["/var/lib/dpkg"] + who["/usr/bin"]}
        assert all(e["Pid"] and e["Command"] for e in events)
        assert len(found) > 30
        store.plyfs("umount", "story")
    finally:
        for point in (here / "mnt",):
            with contextlib.suppress(OSError):
                umount(point, lazy=True)
        shutil.rmtree(here, ignore_errors=True)
