# SPDX-License-Identifier: MIT
"""Several programs that change the same names of one tree at random, as fast as they can (together.py).

Nobody knows what the tree must be afterwards, but all must agree on it: the mount that was changed, the
same one mounted again, and the kernel's overlayfs. And no program may have met an error that no race
brings about. PLYFS_TOGETHER_SECONDS is how long; PLYFS_SEED=N takes other choices.
"""
import contextlib
import json
import os
import pathlib
import random
import signal
import stat
import subprocess
import sys

import pytest

import harness
import procfs
from storekit import wait_for
from strace_kit import Strace, calls_of

FULL = os.environ.get("PLYFS_FULL") == "1"
SECONDS = float(os.environ.get("PLYFS_TOGETHER_SECONDS", 60 if FULL else 6))
SEED = int(os.environ.get("PLYFS_SEED", "0"))
PROGRAMS = 4
LAYERS = 2
DIRECTORIES = 6
FILES = 6


def fill(layer, rng):
    """Directories in directories with files, and two names of one file in each."""
    for number in range(DIRECTORIES):
        for directory in layer / f"d{number}", layer / f"d{number}" / "s":
            directory.mkdir(parents=True)
            for name in range(FILES):
                (directory / f"f{name}").write_bytes(rng.randbytes(rng.randrange(6000)))
            os.link(directory / f"f{FILES - 1}", directory / "h")


@pytest.fixture
def layers(sandbox):
    """Layers with the same names in them, and a directory for the upper, the work and each mount."""
    rng = random.Random(f"together {SEED}")
    lowers = [sandbox.directory(f"lower{number}") for number in range(LAYERS)]
    for lower in lowers:
        fill(lower, rng)
    return lowers


def work_together(root):
    """Lets the programs work; what they were answered that they may not be, and how much they did."""
    script = harness.ROOT / "tests" / "together.py"
    programs = [subprocess.Popen([sys.executable, script, root, str(SECONDS), str(SEED * PROGRAMS + number)],
                                 stdout=subprocess.PIPE, text=True) for number in range(PROGRAMS)]
    told = [json.loads(program.communicate(timeout=SECONDS + 120)[0]) for program in programs]
    assert all(program.returncode == 0 for program in programs)
    return [line for one in told for line in one["wrong"]], sum(one["done"] for one in told)


def test_of_what_programs_do_to_the_same_names_all_see_the_same(sandbox, layers, profile):
    harness.need_root()
    upper, work = sandbox.directory("upper"), sandbox.directory("work")
    union = sandbox.plyfs(layers, upper, work, profile=profile)
    with union:
        wrong, done = work_together(union.at)
        live = harness.listing(union.at, times="ns")
    assert not wrong, "\n".join(wrong[:20])
    left = list((work / "work").iterdir())
    assert not left, f"in the work directory: {left}"
    with union:
        harness.assert_same(live, harness.listing(union.at, times="ns"), "the mount changed, and mounted again")
    with sandbox.kernel(layers, upper, work, options=("redirect_dir=on", "metacopy=on", "index=on")) as kernel:
        harness.assert_same(live, harness.listing(kernel.at, times="ns"), "plyfs and the kernel's overlayfs")
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            file.write(f"{profile}: {done} operations of {PROGRAMS} programs\n")


# Asks the filesystem itself for the attributes of d, whatever the kernel remembers of them.
ASK = """
import ctypes
AT_FDCWD, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS = -100, 0x2000, 0x7ff
answer = ctypes.create_string_buffer(256)
assert ctypes.CDLL(None).statx(AT_FDCWD, b"d", AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, answer) == 0
"""
ASKER = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
here = os.open(".", os.O_RDONLY)
print("ready", flush=True)
sys.stdin.readline()
"""
# Who is told of d's attributes: by asking for them, or together with the name.
TOLD = {"attributes": ASKER + ASK, "listing": ASKER + "os.listdir(here)"}
# What changes d, in which there are a file f and a directory s; beside it there is a file g.
CHANGE = {"create": lambda at: (at / "d" / "new").touch(),
          "mkdir": lambda at: (at / "d" / "new").mkdir(),
          "mkfifo": lambda at: os.mkfifo(at / "d" / "new"),
          "symlink": lambda at: (at / "d" / "new").symlink_to("f"),
          "link": lambda at: os.link(at / "d" / "f", at / "d" / "new"),
          "unlink": lambda at: (at / "d" / "f").unlink(),
          "rmdir": lambda at: (at / "d" / "s").rmdir(),
          "rename": lambda at: (at / "d" / "f").rename(at / "d" / "new"),
          "rename away": lambda at: (at / "d" / "f").rename(at / "new"),
          "rename into": lambda at: (at / "g").rename(at / "d" / "new")}


def pin(pid, processor):
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {processor})


def is_waiting_for_an_answer(pid):
    return pathlib.Path(f"/proc/{pid}/wchan").read_text() == "request_wait_answer"


@contextlib.contextmanager
def all_of(processor):
    """A program that leaves nothing of a processor to others, at the end of the block no more."""
    loop = ["chrt", "-f", "1", "taskset", "-c", str(processor), "sh", "-c", "echo; while :; do :; done"]
    with subprocess.Popen(loop, stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout.readline()
            yield
        finally:
            program.kill()


@contextlib.contextmanager
def stopped(daemon):
    os.kill(daemon, signal.SIGSTOP)
    try:
        wait_for(lambda: set(procfs.states(daemon)) == {"T"}, "it has stopped")
        yield
    finally:
        os.kill(daemon, signal.SIGCONT)


@contextlib.contextmanager
def only_on(processor):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("change", CHANGE)
def test_what_is_told_of_a_directory_while_another_changes_it_does_not_stay(sandbox, profile, change, told):
    """Who has asked gets no processor to take the answer in, until somebody else has changed the directory."""
    harness.need_root()
    harness.need(len(os.sched_getaffinity(0)) > 1, "needs more than one processor")
    harness.need(subprocess.run(["chrt", "-f", "1", "true"], check=False).returncode == 0, "needs real-time scheduling")
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    (lower / "d").mkdir()
    asked_on, here = sorted(os.sched_getaffinity(0))[:2]
    with sandbox.plyfs([lower], upper, work, profile=profile, options=["spin=off"]) as union, only_on(here):
        (union / "d" / "s").mkdir()
        for file in union / "d" / "f", union / "g":
            file.touch()
        os.stat(union / "d")  # so that whoever changes it has no need to ask
        daemon, = procfs.daemons(union.at)
        pin(daemon, here)
        with subprocess.Popen([sys.executable, "-I", "-c", TOLD[told], str(asked_on)], cwd=union.at,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asker:
            assert asker.stdout.readline() == "ready\n"
            with stopped(daemon), contextlib.ExitStack() as alone:
                asker.stdin.write("\n")
                asker.stdin.flush()
                wait_for(lambda: is_waiting_for_an_answer(asker.pid), "the question is on its way")
                alone.enter_context(all_of(asked_on))
                os.kill(daemon, signal.SIGCONT)
                for _ in range(5):  # what is asked later is answered later
                    os.statvfs(union.at)
                CHANGE[change](pathlib.Path(union.at))
        assert asker.returncode == 0
        assert os.stat(union / "d").st_mtime_ns == os.stat(upper / "d").st_mtime_ns


@pytest.mark.parametrize("ask", [ASK, "import os; os.listdir()"], ids=["attributes", "listing"])
def test_what_is_told_of_a_directory_while_something_comes_up_into_it_does_not_stay(sandbox, profile, ask):
    """Its time is another for a moment, until it is put back; the moment is made long."""
    harness.need_root()
    harness.need_tool("strace")
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    (lower / "d").mkdir()
    (lower / "d" / "f").touch()
    os.utime(lower / "d", ns=(10**18, 10**18))
    with sandbox.plyfs([lower], upper, work, profile=profile) as union:
        (union / "d").chmod(0o700)  # it is up itself
        daemon, = procfs.daemons(union.at)
        with Strace(daemon, os.devnull, "inject=linkat,renameat2:delay_exit=1000000"):  # us
            with subprocess.Popen(["chmod", "600", union / "d" / "f"]) as chmod:
                wait_for((upper / "d" / "f").exists, "the file is there")
                subprocess.run([sys.executable, "-I", "-c", ask], cwd=union.at, check=True)
                assert os.stat(union / "d").st_mtime_ns != 10**18, "the moment was over"
        assert chmod.returncode == 0
        assert os.stat(upper / "d").st_mtime_ns == 10**18
        assert os.stat(union / "d").st_mtime_ns == 10**18


OPEN = "import os, sys; os.close(os.open(sys.argv[1], os.O_WRONLY))"
MAP = ("import mmap, os, sys; fd = os.open(sys.argv[1], os.O_RDWR); mapped = mmap.mmap(fd, 0); mapped[:1] = b'n'; "
       "mapped.flush()")
LOOK = {
    "mode": (lambda path: os.chmod(path, 0o600), lambda st: stat.S_IMODE(st.st_mode)),
    "owner": (lambda path: os.chown(path, 7, 8), lambda st: (st.st_uid, st.st_gid)),
    "time": (lambda path: os.utime(path, ns=(10**18, 10**18)), lambda st: st.st_mtime_ns),
}


@pytest.mark.parametrize("profile, write", [("tracked", OPEN), ("stateless", MAP)], ids=["tracked-open", "stateless-map"])
@pytest.mark.parametrize("look", LOOK)
def test_what_a_file_is_given_while_its_data_comes_up_stays(sandbox, look, profile, write):
    """Neither an open(2) nor a page that is written back keeps chmod(2) from the file. The moment is made long."""
    harness.need_root()
    harness.need_tool("strace")
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    (lower / "f").write_bytes(b"x" * 100000)
    change, shown = LOOK[look]
    with sandbox.plyfs([lower], upper, work, profile=profile) as union:
        (union / "f").chmod(0o4755)  # its data stays below
        daemon, = procfs.daemons(union.at)
        with Strace(daemon, os.devnull, "inject=fdatasync:delay_enter=500000"):  # us
            with subprocess.Popen([sys.executable, "-I", "-c", write, union / "f"]) as writer:
                wait_for(lambda: os.stat(upper / "f").st_blocks > 0, "the data to come")
                assert "trusted.overlay.metacopy" in os.listxattr(upper / "f"), "the moment was over"
                change(union / "f")
                expected = shown(os.stat(union / "f"))
        assert writer.returncode == 0
        assert shown(os.stat(upper / "f")) == expected


@pytest.mark.parametrize("profile", ["stateless", "tracked"])
def test_setuid_that_is_taken_while_a_page_is_written_back_stays_away(sandbox, profile):
    """A page that was changed before it was given does not take it; nor does it give it back."""
    harness.need_root()
    harness.need_tool("strace")
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    options = [] if profile == "stateless" else ["passthrough=off"]
    with sandbox.plyfs([lower], upper, work, profile=profile, options=options) as union:
        (union / "f").write_bytes(b"x" * 8192)
        (union / "f").chmod(0o4755)
        daemon, = procfs.daemons(union.at)
        with Strace(daemon, os.devnull, "inject=pwrite64:delay_exit=500000"):  # us
            with subprocess.Popen([sys.executable, "-I", "-c", MAP, union / "f"]) as writer:
                wait_for(lambda: (upper / "f").read_bytes()[:1] == b"n", "the page to be written")
                (union / "f").chmod(0o600)
        assert writer.returncode == 0
        assert stat.S_IMODE(os.stat(upper / "f").st_mode) == 0o600


@pytest.mark.parametrize("sync", ["fsync", "fdatasync"])
def test_a_file_whose_data_stayed_below_is_synced_where_its_metadata_is(sandbox, profile, sync):
    harness.need_root()
    harness.need_tool("strace")
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    (lower / "f").write_bytes(b"x" * 100000)
    log = sandbox.path / "log"
    with sandbox.plyfs([lower], upper, work, profile=profile) as union:
        (union / "f").chmod(0o600)
        daemon, = procfs.daemons(union.at)
        with open(union / "f", "rb") as file, Strace(daemon, log, "trace=fsync,fdatasync", "-y"):
            getattr(os, sync)(file)
    synced = [arguments[0] for _, arguments in calls_of(log)]
    assert [str(upper / "f") in name for name in synced] == [True], synced


# What may happen to a directory while something comes up into it, and whether that changes its time: where it does
# not, the time from before has to stay.
MEANWHILE = {
    "copy-up": (lambda at: (at / "d" / "g").chmod(0o600), False),
    "copy-up of a directory": (lambda at: (at / "d" / "t").chmod(0o700), False),
    "make": (lambda at: (at / "d" / "new").touch(), True),
    "mkdir": (lambda at: (at / "d" / "new").mkdir(), True),
    "link": (lambda at: os.link(at / "mine", at / "d" / "new"), True),
    "remove": (lambda at: (at / "d" / "g").unlink(), True),
    "rmdir": (lambda at: (at / "d" / "t").rmdir(), True),
    "move in": (lambda at: (at / "mine").rename(at / "d" / "new"), True),
    "move out": (lambda at: (at / "d" / "s").rename(at / "new"), True),
    "utimes": (lambda at: os.utime(at / "d"), True),
}


@pytest.mark.parametrize("change", MEANWHILE)
def test_a_time_that_a_directory_gets_while_something_comes_up_into_it_stays(sandbox, profile, change):
    """And one that it has for a moment, because something comes up, is not taken for its own by what comes up then."""
    harness.need_root()
    harness.need_tool("strace")
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    for directory in "d", "d/t":
        (lower / directory).mkdir()
    for file in "f", "g":
        (lower / "d" / file).touch()
    act, changes = MEANWHILE[change]
    with sandbox.plyfs([lower], upper, work, profile=profile) as union:
        (union / "d" / "s").mkdir()
        (union / "mine").touch()
        os.utime(union / "d", ns=(10**18, 10**18))
        daemon, = procfs.daemons(union.at)
        with Strace(daemon, os.devnull, "inject=linkat,renameat2:delay_exit=500000"):  # us
            with subprocess.Popen(["chmod", "600", union / "d" / "f"]) as chmod:
                wait_for((upper / "d" / "f").exists, "the file is there")
                act(pathlib.Path(union.at))
        assert chmod.returncode == 0
        for place in upper, union.at:
            assert (os.stat(pathlib.Path(place) / "d").st_mtime_ns != 10**18) == changes
