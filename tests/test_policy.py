# SPDX-License-Identifier: MIT
"""Rules and a budget for copy-ups: what is refused is refused whole, with its errno and an event."""
import contextlib
import json
import mmap
import os
import random
import socket
import threading

import pytest

from harness import Sandbox, digest, need, need_root, need_tool, refusal, run
from layers_kit import EXCHANGE, renameat2
from storekit import Store, change_at_random, facts
from test_layer import complete

# The last is what an ordinary user has where opens are seen.
PROFILES = ["stateless", "tracked", "tracked,passthrough=off"]


@pytest.fixture
def lower(sandbox):
    """A layer with files of every kind beneath /etc, and a few beside it."""
    lower = sandbox.directory("lower")
    (lower / "etc/dir/sub").mkdir(parents=True)
    (lower / "etc/empty").mkdir()
    (lower / "free").mkdir()
    (lower / "etc/file").write_text("0123456789")
    (lower / "etc/dir/deep").write_text("deep")
    (lower / "free/file").write_text("free")
    (lower / "one").write_text("linked")
    os.link(lower / "one", lower / "etc/other")
    os.symlink("file", lower / "etc/link")
    os.setxattr(lower / "etc/file", "user.note", b"text")
    return lower


class Web:
    """The mount "web" of one layer in one profile."""

    def __init__(self, store, lower, profile, options=()):
        self.store, self.at = store, store.sandbox.directory("mnt")
        argv = [word for option in (f"profile={profile}", *options) for word in ("-o", option)]
        store.plyfs("create", "--name", "web", "--lower", lower, *argv)
        store.sandbox.guard(lower)
        self.upper = next((store.path / "mounts").iterdir()) / "upper"

    def __truediv__(self, name):
        return self.at / name

    def mount(self):
        self.store.mount("web", self.at)
        return self

    def unmount(self):
        self.store.plyfs("umount", "web")

    def policy(self, *argv):
        self.store.plyfs("policy", "web", *argv)

    def rules(self):
        return [json.loads(line) for line in
                self.store.plyfs("policy", "--json", "web").stdout.splitlines()]

    def events(self, kind=None):
        lines = self.store.plyfs("copyups", "--all", "--json", "web").stdout.splitlines()
        return [event for event in map(json.loads, lines) if kind in (None, event["Event"])]

    def moved(self):
        return sum(event["Moved"] for event in self.events("copyup"))


@pytest.fixture(params=PROFILES)
def web(request, store, lower):
    return Web(store, lower, request.param)


# ---- every operation that copies up ---------------------------------------------------------------

def opened(path, flags, act):
    fd = os.open(path, flags)
    try:
        act(fd)
    finally:
        os.close(fd)


def map_and_write(path):
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 10) as mapping:
        mapping[0] = ord("x")
        mapping.flush()


def copy_range(at):
    with open(at / "free/file", "rb") as source:
        opened(at / "etc/file", os.O_WRONLY,
               lambda fd: os.copy_file_range(source.fileno(), fd, 4))


def bind(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.fspath(path))


# The operation, what it does beneath the mountpoint, and what the event says of it.
OPERATIONS = {
    "write": (lambda at: opened(at / "etc/file", os.O_WRONLY, lambda fd: os.write(fd, b"x")),
              "/etc/file", ("write", "open")),
    "append": (lambda at: opened(at / "etc/file", os.O_WRONLY | os.O_APPEND,
                                 lambda fd: os.write(fd, b"x")), "/etc/file", ("write", "open")),
    "truncate": (lambda at: os.truncate(at / "etc/file", 3), "/etc/file", ("truncate",)),
    "ftruncate": (lambda at: opened(at / "etc/file", os.O_RDWR, lambda fd: os.ftruncate(fd, 3)),
                  "/etc/file", ("truncate", "open")),
    "open to truncate": (lambda at: opened(at / "etc/file", os.O_WRONLY | os.O_TRUNC, str),
                         "/etc/file", ("truncate",)),
    "chmod": (lambda at: os.chmod(at / "etc/file", 0o600), "/etc/file", ("chmod",)),
    "chmod of a directory": (lambda at: os.chmod(at / "etc/dir", 0o700), "/etc/dir", ("chmod",)),
    "chown": (lambda at: os.chown(at / "etc/file", 1, 1), "/etc/file", ("chown",)),
    "chown of a symlink": (lambda at: os.lchown(at / "etc/link", 1, 1), "/etc/link", ("chown",)),
    "utimens": (lambda at: os.utime(at / "etc/file", (1, 1)), "/etc/file", ("utimens",)),
    "setxattr": (lambda at: os.setxattr(at / "etc/file", "user.new", b"x"), "/etc/file", ("setxattr",)),
    "removexattr": (lambda at: os.removexattr(at / "etc/file", "user.note"), "/etc/file",
                    ("removexattr",)),
    "fallocate": (lambda at: opened(at / "etc/file", os.O_WRONLY, lambda fd:
                                    os.posix_fallocate(fd, 0, 4096)), "/etc/file",
                  ("fallocate", "open")),
    "copy_file_range": (copy_range, "/etc/file", ("copy_file_range", "write", "open")),
    "mmap": (lambda at: map_and_write(at / "etc/file"), "/etc/file", ("mmap", "open")),
    "link": (lambda at: os.link(at / "etc/file", at / "new"), "/etc/file", ("link",)),
    "link into": (lambda at: os.link(at / "free/file", at / "etc/new"), "/etc", ("link",)),
    "rename": (lambda at: os.rename(at / "etc/dir/deep", at / "new"), "/etc/dir", ("rename",)),
    "rename into": (lambda at: os.rename(at / "free/file", at / "etc/new"), "/etc", ("rename",)),
    "rename of a directory": (lambda at: os.rename(at / "etc", at / "new"), "/etc", ("rename",)),
    "exchange": (lambda at: renameat2(at / "free/file", at / "etc/file", EXCHANGE), "/etc", ("rename",)),
    "create": (lambda at: opened(at / "etc/new", os.O_CREAT | os.O_WRONLY, str), "/etc", ("create",)),
    "mkdir": (lambda at: os.mkdir(at / "etc/new"), "/etc", ("create",)),
    "symlink": (lambda at: os.symlink("x", at / "etc/new"), "/etc", ("create",)),
    "mkfifo": (lambda at: os.mkfifo(at / "etc/new"), "/etc", ("create",)),
    "bind": (lambda at: bind(at / "etc/new"), "/etc", ("create",)),
    "unlink in it": (lambda at: os.unlink(at / "etc/file"), "/etc", ("unlink",)),
    "rmdir in it": (lambda at: os.rmdir(at / "etc/empty"), "/etc", ("rmdir",)),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_denied_operation_fails_with_erofs_and_leaves_nothing_behind(web, operation):
    need_root()
    act, path, causes = OPERATIONS[operation]
    web.policy("--deny", "/etc")
    web.mount()
    before, shown = digest(web.upper), facts(web.at)
    # The error of what the page cache writes back is the kernel's own.
    assert refusal(act, web.at) in (("EROFS", "EIO") if operation == "mmap" else ("EROFS",))
    assert digest(web.upper) == before
    denied = web.events("denied")
    assert [event["Path"] for event in denied] == [path]
    assert denied[0]["Cause"] in causes and denied[0]["Moved"] == 0
    assert not web.events("copyup")
    web.unmount()
    web.mount()
    assert facts(web.at) == shown
    web.unmount()


def test_what_opens_for_writing_is_refused_at_open_where_opens_are_seen(store, lower):
    need_root()
    web = Web(store, lower, "tracked")
    web.policy("--deny", "/etc/file")
    web.mount()
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_TRUNC):
        assert refusal(os.open, web / "etc/file", flags) == "EROFS"
    assert (web / "etc/file").read_text() == "0123456789"


def test_what_the_page_cache_holds_back_is_refused_when_it_is_written(store, lower):
    web = Web(store, lower, "stateless", ["writeback=on"])
    web.policy("--deny", "/etc/file")
    web.mount()
    before = digest(web.upper)
    fd = os.open(web / "etc/file", os.O_WRONLY)
    os.write(fd, b"x")
    assert refusal(os.fsync, fd) in ("EROFS", "EIO")
    with contextlib.suppress(OSError):
        os.close(fd)
    assert digest(web.upper) == before
    assert [event["Path"] for event in web.events("denied")] == ["/etc/file"]


def test_an_event_says_who_was_refused(web):
    web.policy("--deny", "**")
    web.mount()
    run("chmod", "600", web / "etc/file", check=False)
    event, = web.events("denied")
    assert event["Caller"].startswith("chmod[") and event["Uid"] == os.geteuid()
    assert event["Layer"] == 1 and event["Size"] == 10 and event["Type"] == "file"


# ---- rules ----------------------------------------------------------------------------------------

def test_the_first_rule_that_names_a_path_decides(web):
    web.policy("--allow", "/etc/file", "--deny", "/etc")
    web.mount()
    (web / "etc/file").write_text("changed")
    assert refusal(os.chmod, web / "etc/dir/deep", 0o600) == "EROFS"
    web.unmount()
    web.policy("--before", "1", "--deny", "deep", "--allow", "/etc/dir")
    web.mount()
    assert refusal(os.chmod, web / "etc/dir/deep", 0o600) == "EROFS"
    os.chmod(web / "etc/dir/sub", 0o700)


def test_directories_above_what_is_allowed_are_copied_up_with_it(web):
    web.policy("--allow", "/etc/dir/deep", "--deny", "**")
    web.mount()
    (web / "etc/dir/deep").write_text("changed")
    assert sorted(os.listdir(web.upper / "etc")) == ["dir"]
    # They are up now, so what is made or removed in them copies nothing up.
    (web / "etc/new").write_text("new")
    os.unlink(web / "etc/file")
    assert refusal(os.chmod, web / "free/file", 0o600) == "EROFS"
    assert refusal((web / "free/new").write_text, "new") == "EROFS"
    assert [event["Path"] for event in web.events("denied")] == ["/free/file", "/free"]


def test_what_is_beneath_a_directory_may_be_denied_without_it(web):
    web.policy("--deny", "/etc/**")
    web.mount()
    (web / "etc/new").write_text("made, not copied up")
    (web / "etc/new").write_text("changed")
    os.chmod(web / "etc", 0o700)
    assert refusal(os.chmod, web / "etc/dir", 0o700) == "EROFS"


def test_a_removal_copies_nothing_up_and_is_allowed(web):
    web.policy("--deny", "/etc/**")
    web.mount()
    os.unlink(web / "etc/file")
    os.rmdir(web / "etc/empty")
    assert not os.path.lexists(web / "etc/file")
    assert not web.events("denied")


@pytest.mark.parametrize("act", [
    lambda at: os.unlink(at / "one"),
    lambda at: os.rename(at / "free/file", at / "one"),
])
def test_taking_one_of_several_names_away_copies_up_and_is_denied(web, act):
    web.policy("--deny", "/one", "--deny", "/etc/other")
    web.mount()
    before = digest(web.upper)
    assert refusal(act, web.at) == "EROFS"
    assert digest(web.upper) == before
    assert [event["Path"] for event in web.events("denied")] == ["/one"]


def test_a_further_name_of_a_file_is_judged_by_that_name_too(web):
    web.policy("--deny", "/etc/other")
    web.mount()
    os.stat(web / "one")
    before = digest(web.upper)
    assert refusal(os.rename, web / "etc/other", web / "moved") == "EROFS"
    assert digest(web.upper) == before
    os.rename(web / "one", web / "moved")


def test_a_name_is_judged_also_where_its_inode_came_up_by_another_that_is_gone(web):
    web.policy("--deny", "/etc/other")
    web.mount()
    os.chmod(web / "one", 0o600)
    os.unlink(web / "one")
    assert refusal(os.rename, web / "etc/other", web / "moved") == "EROFS"
    assert refusal(os.unlink, web / "etc/other") == "EROFS"
    assert [event["Path"] for event in web.events("denied")] == ["/etc/other"]


def test_a_rule_with_a_size_denies_large_files_alone(web, lower):
    (lower / "large").write_bytes(b"x" * 10001)
    (lower / "small").write_bytes(b"x" * 10000)
    web.store.sandbox.regard(lower)
    web.policy("--deny", "**", "--max-size", "10kB")
    web.mount()
    assert refusal((web / "large").write_text, "x") == "EROFS"
    (web / "small").write_text("x")
    os.mkdir(web / "etc/new")


def test_a_rule_that_warns_lets_pass_and_is_told_of(web):
    web.policy("--warn", "/etc/*", "--deny", "/free")
    web.mount()
    (web / "etc/file").write_text("changed")
    os.chmod(web / "one", 0o600)
    warned = web.events("warned")
    assert [event["Path"] for event in warned] == ["/etc/file"]
    assert warned[0]["Size"] == 10 and warned[0]["Moved"] == 0
    assert [event["Path"] for event in web.events("copyup")][:2] == ["/etc", "/etc/file"]


def test_a_policy_changes_while_the_mount_is_used(web):
    web.mount()
    (web / "etc/file").write_text("changed")
    web.policy("--deny", "/etc")
    assert refusal(os.chmod, web / "etc/dir", 0o700) == "EROFS"
    (web / "etc/file").write_text("was up before")
    web.policy("--clear")
    os.chmod(web / "etc/dir", 0o700)


def test_a_policy_outlives_the_mount(web):
    web.mount()
    web.policy("--deny", "/etc")
    web.unmount()
    web.mount()
    assert refusal(os.chmod, web / "etc/dir", 0o700) == "EROFS"


def test_data_that_metacopy_left_below_is_judged_when_it_comes(store, lower):
    web = Web(store, lower, "stateless")
    web.mount()
    os.chmod(web / "etc/file", 0o600)
    assert web.moved() == 0
    before = digest(web.upper)
    web.policy("--deny", "/etc/file")
    assert refusal((web / "etc/file").write_text, "x") == "EROFS"
    assert digest(web.upper) == before
    os.chmod(web / "etc/file", 0o640)


def test_a_mount_without_rules_is_not_hindered(web):
    web.mount()
    (web / "etc/file").write_text("changed")
    assert not web.events("denied") and not web.events("warned")


# ---- the budget -----------------------------------------------------------------------------------

@pytest.fixture
def files(lower, sandbox):
    """Forty files of 100,000 bytes."""
    for number in range(40):
        (lower / f"f{number}").write_bytes(os.urandom(100_000))
    sandbox.regard(lower)


def append(path):
    opened(path, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"x"))


@pytest.mark.usefixtures("files")
def test_a_spent_budget_is_edquot(web):
    web.policy("--budget", "250kB")
    web.mount()
    append(web / "f0")
    append(web / "f1")
    before = digest(web.upper)
    assert refusal(append, web / "f2") == "EDQUOT"
    assert digest(web.upper) == before
    assert [event["Path"] for event in web.events("denied")] == ["/f2"]
    append(web / "etc/file")
    append(web / "f1")
    assert web.moved() == 200_010
    assert web.rules()[-1]["Moved"] == 200_010 and web.rules()[-1]["Size"] == 250_000


@pytest.mark.usefixtures("files")
def test_parents_are_not_copied_up_for_what_the_budget_refuses(web):
    web.policy("--budget", "9")
    web.mount()
    before = digest(web.upper)
    assert refusal(append, web / "etc/file") == "EDQUOT"
    assert digest(web.upper) == before


@pytest.mark.usefixtures("files")
def test_what_moves_no_data_is_not_limited_by_it(web):
    web.policy("--budget", "0")
    web.mount()
    os.chmod(web / "f0", 0o600)
    opened(web / "f1", os.O_WRONLY | os.O_TRUNC, str)
    os.truncate(web / "f2", 0)
    os.mkdir(web / "etc/new")
    os.lchown(web / "etc/link", 0, 0)
    (web / "new").write_bytes(b"x" * 200_000)
    os.unlink(web / "f3")
    assert refusal(append, web / "f4") == "EDQUOT"
    assert refusal(append, web / "f0") == "EDQUOT"
    assert refusal(os.truncate, web / "f5", 1) == "EDQUOT"
    assert web.moved() == 0


@pytest.mark.usefixtures("files")
def test_a_file_that_is_cut_takes_what_is_kept_of_it(web):
    web.policy("--budget", "1000")
    web.mount()
    os.truncate(web / "f0", 600)
    assert refusal(os.truncate, web / "f1", 401) == "EDQUOT"
    os.truncate(web / "f1", 400)
    assert web.moved() == 1000


def test_what_was_not_moved_is_given_back(web, lower):
    with open(lower / "sparse", "wb") as file:
        file.truncate(10_000_000)
        file.write(b"x" * 4096)
    web.store.sandbox.regard(lower)
    web.policy("--budget", "10000000")
    web.mount()
    append(web / "sparse")
    assert 0 < web.moved() < 100_000
    append(web / "etc/file")


@pytest.fixture(params=["btrfs", "xfs"])
def sharing(request, tmp_path_factory):
    """A store on a filesystem whose files can share extents."""
    need_root()
    need_tool(f"mkfs.{request.param}")
    where = tmp_path_factory.mktemp(request.param)
    (where / "mnt").mkdir()
    run("truncate", "-s", "400M", where / "image")
    run(f"mkfs.{request.param}", "-q", where / "image")
    need(run("mount", "-o", "loop", where / "image", where / "mnt", check=False).returncode == 0,
         f"needs {request.param}")
    box = Sandbox(where / "mnt")
    made = Store(box)
    yield made
    made.close()
    box.close()
    run("umount", where / "mnt")
    os.unlink(where / "image")


@pytest.mark.parametrize("profile", PROFILES)
def test_what_shares_extents_with_the_layer_costs_nothing(sharing, profile):
    lower = sharing.sandbox.directory("lower")
    (lower / "file").write_bytes(os.urandom(100_000))
    (lower / "other").write_bytes(os.urandom(100_000))
    web = Web(sharing, lower, profile)
    web.policy("--budget", "0")
    web.mount()
    append(web / "file")
    assert refusal(os.truncate, web / "other", 50_000) == "EDQUOT"
    event = [event for event in web.events("copyup") if event["Path"] == "/file"][-1]
    assert event["Means"] == "reflink" and web.moved() == 0
    web.unmount()


@pytest.mark.usefixtures("files")
def test_the_budget_is_of_the_upper_and_counts_over_remounts(web):
    web.mount()
    append(web / "f0")
    web.unmount()
    web.policy("--budget", "350kB")
    web.mount()
    append(web / "f1")
    web.unmount()
    web.mount()
    append(web / "f2")
    assert refusal(append, web / "f3") == "EDQUOT"
    web.unmount()
    web.mount()
    assert refusal(append, web / "f3") == "EDQUOT"
    web.policy("--budget", "400kB")
    append(web / "f3")
    assert refusal(append, web / "f4") == "EDQUOT"
    web.policy("--budget", "none")
    append(web / "f4")
    assert web.moved() == 500_000


@pytest.mark.usefixtures("files")
def test_a_budget_that_is_given_late_knows_what_was_moved_before(web):
    web.mount()
    append(web / "f0")
    web.policy("--budget", "150kB")
    assert refusal(append, web / "f1") == "EDQUOT"


@pytest.mark.usefixtures("files")
def test_many_threads_never_overspend_and_leave_nothing_unspent(web):
    web.policy("--budget", "1MB")
    web.mount()
    outcomes, barrier = [], threading.Barrier(8)

    def work(first):
        barrier.wait()
        for number in range(first, 40, 8):
            outcomes.append(refusal(append, web / f"f{number}"))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["EDQUOT"] * 30 + ["None"] * 10
    assert web.moved() == 1_000_000


@pytest.mark.usefixtures("files")
def test_one_file_that_several_threads_change_is_paid_once(web):
    web.mount()
    for number in range(20):
        web.policy("--budget", str((number + 1) * 100_000))
        outcomes, barrier = [], threading.Barrier(4)

        def work(path=web / f"f{number}", together=barrier, results=outcomes):
            together.wait()
            results.append(refusal(append, path))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == [None] * 4
    assert web.moved() == 2_000_000


@pytest.mark.usefixtures("files")
def test_a_rename_that_moves_data_is_refused_before_anything_is(store, lower):
    web = Web(store, lower, "stateless", ["metacopy=off"])
    web.policy("--budget", "150kB")
    web.mount()
    before = digest(web.upper)
    assert refusal(renameat2, web / "f0", web / "f1", EXCHANGE) == "EDQUOT"
    assert digest(web.upper) == before
    assert refusal(os.rename, web / "f0", web / "etc/moved") is None
    assert refusal(os.chmod, web / "f1", 0o600) == "EDQUOT"
    assert web.moved() == 100_000


def test_a_file_that_has_lost_its_name_is_judged_by_the_budget_alone(web):
    web.policy("--deny", "/etc/*")
    web.policy("--budget", "15")
    web.mount()
    fds = [os.open(web / name, os.O_RDONLY) for name in ("etc/file", "etc/dir/deep")]
    os.unlink(web / "etc/file")
    os.fchmod(fds[0], 0o600)
    assert refusal(os.fchmod, fds[1], 0o600) == "EROFS"
    assert web.rules()[-1]["Moved"] == 10
    for fd in fds:
        os.close(fd)


def test_a_file_that_has_lost_its_name_is_brought_whole_and_paid_whole(web):
    web.policy("--budget", "9")
    web.mount()
    fd = os.open(web / "etc/file", os.O_RDONLY)
    os.unlink(web / "etc/file")
    assert refusal(os.fchmod, fd, 0o600) == "EDQUOT"
    os.close(fd)


@pytest.mark.parametrize("seed", range(6))
def test_random_work_never_copies_up_what_is_denied_nor_more_than_the_budget(store, sandbox, seed):
    rng = random.Random(seed)
    lower = sandbox.directory("lower")
    for number in range(60):
        path = lower / f"d{number % 4}{'.no' if number % 5 == 0 else ''}" / f"f{number}{rng.choice(('', '.no'))}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(rng.choice((0, 100, 5000, 20000))))
        if number % 6 == 0:
            os.link(path, lower / f"link{number}")
    web = Web(store, lower, PROFILES[seed % 3], ["metacopy=off"] if seed % 2 else [])
    web.policy("--deny", "*.no", "--budget", "100000")
    web.mount()
    change_at_random(web.at, rng, 400)
    copied = [event["Path"] for event in web.events("copyup")]
    # Nor is anything beneath a directory that is denied.
    assert copied and not [path for path in copied if ".no/" in f"{path}/"]
    assert web.events("denied") and web.moved() <= 100_000
    assert web.moved() == web.rules()[-1]["Moved"]


# ---- the command ----------------------------------------------------------------------------------

def test_rules_are_listed_in_their_order(web):
    web.policy("--deny", "/etc", "--warn", "**", "--max-size", "10M", "--budget", "1G")
    web.policy("--allow", "/tmp/**")
    web.policy("--before", "2", "--deny", "*.log", "--allow", "/a")
    assert web.rules() == [
        {"Number": 1, "Rule": "deny", "Glob": "/etc", "Size": None, "Moved": None},
        {"Number": 2, "Rule": "deny", "Glob": "*.log", "Size": None, "Moved": None},
        {"Number": 3, "Rule": "allow", "Glob": "/a", "Size": None, "Moved": None},
        {"Number": 4, "Rule": "warn", "Glob": "**", "Size": 10 << 20, "Moved": None},
        {"Number": 5, "Rule": "allow", "Glob": "/tmp/**", "Size": None, "Moved": None},
        {"Number": None, "Rule": "budget", "Glob": None, "Size": 1 << 30, "Moved": 0},
    ]
    web.policy("--remove", "1", "--remove", "4")
    assert [rule["Glob"] for rule in web.rules()] == ["*.log", "/a", "/tmp/**", None]
    web.policy("--clear", "--deny", "/only")
    assert [rule["Glob"] for rule in web.rules()] == ["/only"]
    table = web.store.plyfs("policy", "web").stdout.splitlines()
    assert table[0].split() == ["NUMBER", "RULE", "GLOB", "SIZE", "MOVED"]
    assert table[1].split()[:3] == ["1", "deny", "/only"]


def test_rules_go_with_the_mount(web):
    web.policy("--deny", "/etc")
    web.store.plyfs("rm", "web")
    web.store.plyfs("create", "--name", "web", "--lower", web.store.sandbox.path / "lower")
    assert web.rules() == []


@pytest.mark.parametrize("argv, words", [
    (["--deny", ""], "names no path"),
    (["--deny", "/etc/../x"], "names no path"),
    (["--max-size", "10M"], "say the rule first"),
    (["--deny", "/etc", "--max-size", "much"], "no size"),
    (["--budget", "plenty"], "no size"),
    (["--budget", "99999999999G"], "no size"),
    (["--remove", "1"], "no rule of that number"),
    (["--remove", "x"], "no rule of that number"),
    (["--before", "7", "--deny", "/etc"], "no rule of that number"),
    (["--remove", "1", "--deny", "/etc"], "a call of its own"),
])
def test_what_makes_no_sense_is_refused_and_changes_nothing(web, argv, words):
    web.store.refused("policy", "web", *argv, words=words)
    assert web.rules() == []


def test_a_mount_that_is_not_there_is_told(store, lower):
    Web(store, lower, "stateless")
    store.refused("policy", "other", "--deny", "/", words="other")


def test_the_shell_completes_the_command(store, lower):
    Web(store, lower, "stateless")
    assert complete(store, "plyfs poli") == ["policy"]
    assert complete(store, "plyfs policy w") == ["web"]
    assert complete(store, "plyfs policy --de") == ["--deny"]
