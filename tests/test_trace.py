# SPDX-License-Identifier: MIT
"""What a live mount tells of itself: trace, stats and top, and what they cost the mount and each other."""
import errno
import fcntl
import json
import os
import pathlib
import pty
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

import procfs
from harness import PLYFS, need_root, need_tool, refusal, run, umount
from storekit import wait_for
from strace_kit import Strace
from test_layer import complete


class Trace:
    """`plyfs trace --json` of the mount "web", running; what it has said so far is in `lines`."""

    def __init__(self, store, *argv, form=("--json",), name="web", by=()):
        self.store, self.name, self.lines, self.raw = store, name, [], []
        before = readers(store, name)
        self.process = subprocess.Popen(
            [*by, PLYFS, "trace", *form, *argv, name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "PLYFS_ROOT": str(store.path)})
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        wait_for(lambda: readers(store, name) == before + 1, "the trace to begin")

    def read(self):
        for line in self.process.stdout:
            self.raw.append(line.decode())
            if line.startswith(b"{"):
                self.lines.append(json.loads(line))

    def of(self, event, **fields):
        return [line for line in list(self.lines) if line["Event"] == event
                and all(line.get(key) == value for key, value in fields.items())]

    def wait(self, event, **fields):
        """The first line of that event with those fields, when it is there."""
        wait_for(lambda: self.of(event, **fields), f"{event} {fields} in {self.raw}")
        return self.of(event, **fields)[0]

    def end(self, how=signal.SIGINT):
        """The status, once told to end (None: by itself) and all has been read."""
        if how is not None:
            self.process.send_signal(how)
        status = self.process.wait(30)
        self.thread.join(30)
        return status


@pytest.fixture
def web(store, sandbox):
    """The mount "web" over a layer of a few files, with a bind at /data, traced; where it is mounted."""
    base, data = sandbox.directory("base"), sandbox.directory("data")
    for path in ("etc/passwd", "etc/group", "etc/shadow", "usr/lib/a", "usr/lib/b"):
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text(f"content of {path}\n")
    (data / "inside").write_text("of the host\n")
    sandbox.guard(base)
    store.plyfs("create", "--name", "web", "--lower", base, "-v", f"{data}:/data")
    at = sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("mount", "--trace", "web", at)
    return pathlib.Path(at)


def served(store, name="web"):
    return json.loads(store.plyfs("inspect", name).stdout)[0]["Served"]


def readers(store, name="web"):
    state = served(store, name)
    return state["Readers"] if state else 0


def stats(store, *argv):
    return [json.loads(line) for line in store.plyfs("stats", "--json", *argv).stdout.splitlines()]


def operations(store, name="web"):
    return {row["Operation"]: row for row in stats(store, name)}


def wait_until_counted(store, operation, times):
    """What is answered is counted when it has ended, which may be after the answer."""
    wait_for(lambda: operations(store).get(operation, {"Requests": 0})["Requests"] == times,
             f"{times} of {operation} to be counted")


def control_of(store, name="web"):
    """A connection to the mount's control socket."""
    return control_in(store.path / "mounts" / json.loads(store.plyfs("inspect", name).stdout)[0]["Id"])


def control_in(directory):
    client = socket.socket(socket.AF_UNIX)
    folder = os.open(directory, os.O_RDONLY)
    client.connect(f"/proc/self/fd/{folder}/control")
    os.close(folder)
    client.settimeout(30)
    return client


def say(client, text):
    """What the daemon answers to a line; {} when it hangs up."""
    client.sendall(text.encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        got = client.recv(65536)
        if not got:
            return {}
        answer += got
    return json.loads(answer.splitlines()[0])


def sh(script, at):
    """A process of its own that does something in the mount: its pid."""
    done = subprocess.Popen(["sh", "-c", f"cd {at} && exec 3>&- ; {script}"], stdin=subprocess.DEVNULL)
    assert done.wait(60) == 0
    return done.pid


def ask_for(at, count):
    """Another process asks for so many long names that there are not; a reader is not told of itself."""
    run("/usr/bin/python3", "-c", "import os, sys\nfor i in range(int(sys.argv[2])):\n"
        "    os.path.exists(f\"{sys.argv[1]}/{'x' * 200}-{i}\")", at, count)


# ---- events -------------------------------------------------------------------------------------

def test_a_copy_up_is_told_with_its_caller_and_its_bytes(store, web):
    trace = Trace(store)
    pid = sh("echo more >> etc/passwd", web)
    line = trace.wait("copyup", Path="/etc/passwd")
    assert (line["Pid"], line["Command"], line["Uid"], line["Caller"]) == (pid, "sh", 0, f"sh[{pid}]")
    assert (line["Layer"], line["Type"], line["Size"], line["Moved"]) == (1, "file", 22, 22)
    assert trace.wait("copyup", Path="/etc")["Type"] == "directory"
    assert trace.end() == 0


def test_every_kind_of_event_is_told(store, web):
    trace = Trace(store)
    os.chmod(web / "etc/group", 0o600)
    os.unlink(web / "etc/shadow")
    os.rename(web / "usr/lib", web / "usr/libs")
    os.mkdir(web / "usr/lib")
    assert (web / "data/inside").read_text() == "of the host\n"
    assert trace.wait("copyup", Path="/etc/group")["Cause"] == "chmod"
    assert trace.wait("whiteout", Path="/etc/shadow")["Cause"] == "unlink"
    assert trace.wait("redirect", Path="/usr/libs")["Cause"] == "rename"
    assert trace.wait("opaque", Path="/usr/lib")["Cause"] == "mkdir"
    route = trace.wait("route", Path="/data")
    assert route["Source"].endswith("/data") and route["Type"] == "directory"
    for line in trace.lines:
        assert (line["Pid"], line["Uid"]) == (os.getpid(), 0), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line["Time"])
    assert trace.end() == 0
    assert not trace.of("request")


def test_what_the_trace_tells_is_what_the_ledger_keeps(store, web):
    trace = Trace(store)
    for i in range(50):
        os.mkdir(web / f"usr/d{i}")
    run("chown", "-R", "1:1", web / "etc", web / "usr/lib")
    os.unlink(web / "etc/passwd")
    trace.wait("whiteout", Path="/etc/passwd")
    kept = [json.loads(line) for line in
            store.plyfs("copyups", "--all", "--format", "json", "web").stdout.splitlines()]
    for row in kept:
        row.pop("Took")
    told = sorted((line for line in trace.lines if line["Event"] != "route"), key=lambda row: row["Time"])
    assert told == sorted(kept, key=lambda row: row["Time"])
    assert trace.end() == 0


def test_an_event_is_told_within_a_tenth_of_a_second(store, web):
    trace = Trace(store)
    late = []
    for name in ("passwd", "group", "shadow"):
        os.chmod(web / "etc" / name, 0o600)
        before = time.monotonic()
        trace.wait("copyup", Path=f"/etc/{name}")
        late.append(time.monotonic() - before)
    assert min(late) < 0.1, late
    assert trace.end() == 0


def test_an_unmount_is_the_last_line_and_no_failure(store, web):
    trace = Trace(store)
    os.unlink(web / "etc/passwd")
    umount(web)
    assert trace.end(None) == 0
    assert [line["Event"] for line in trace.lines][-2:] == ["whiteout", "unmounted"]


def test_a_killed_daemon_is_said_to_be_gone(store, web):
    trace = Trace(store)
    os.kill(json.loads(store.plyfs("inspect", "web").stdout)[0]["Pid"], signal.SIGKILL)
    assert trace.end(None) == 1
    assert "gone without a word" in trace.process.stderr.read().decode()


# ---- all requests -------------------------------------------------------------------------------

def test_all_tells_each_request_with_its_path_and_how_it_ended(store, web):
    trace = Trace(store, "--all")
    assert refusal(os.stat, web / "etc/nothing") == "ENOENT"
    (web / "etc/new").write_text("new")
    os.rename(web / "etc/new", web / "usr/moved")
    os.link(web / "usr/moved", web / "usr/other")
    os.symlink("moved", web / "usr/link")
    os.mkdir(web / "usr/dir")
    assert refusal(os.rmdir, web / "usr") == "ENOTEMPTY"
    os.rmdir(web / "usr/dir")
    os.truncate(web / "usr/moved", 1)
    os.utime(web / "usr/moved", (1, 1))
    os.setxattr(web / "usr/moved", "user.x", b"1")
    assert refusal(os.getxattr, web / "usr/moved", "user.y") == "ENODATA"
    os.listdir(web / "usr")
    expected = [
        dict(Operation="lookup", Path="/etc/nothing", Errno="ENOENT"),
        dict(Operation="create", Path="/etc/new", Errno=None),
        dict(Operation="rename", Path="/etc/new", To="/usr/moved", Errno=None),
        dict(Operation="link", Path="/usr/moved", To="/usr/other", Errno=None),
        dict(Operation="symlink", Path="/usr/link", Errno=None),
        dict(Operation="mkdir", Path="/usr/dir", Errno=None),
        dict(Operation="rmdir", Path="/usr", Errno="ENOTEMPTY"),
        dict(Operation="rmdir", Path="/usr/dir", Errno=None),
        dict(Operation="setattr", Cause="truncate", Path="/usr/moved", Errno=None),
        dict(Operation="setattr", Cause="utimens", Path="/usr/moved", Errno=None),
        dict(Operation="setxattr", Path="/usr/moved", Errno=None),
        dict(Operation="getxattr", Path="/usr/moved", Errno="ENODATA"),
    ]
    for fields in expected:
        line = trace.wait("request", Pid=os.getpid(), **fields)
        assert line["Duration"] > 0 and line["Uid"] == 0
    assert trace.end() == 0


def test_paths_in_a_volume_are_those_of_the_mount(store, web, sandbox):
    trace = Trace(store, "--all")
    os.mkdir(web / "data/sub")
    (web / "data/sub/file").write_text("x")
    os.unlink(web / "data/sub/file")
    trace.wait("request", Operation="mkdir", Path="/data/sub")
    trace.wait("request", Operation="create", Path="/data/sub/file")
    trace.wait("request", Operation="unlink", Path="/data/sub/file")
    inner = sandbox.directory("inner")
    store.plyfs("attach", "web", f"{inner}:/data/sub/deep")
    os.mkdir(web / "data/sub/deep/er")
    trace.wait("request", Operation="mkdir", Path="/data/sub/deep/er")
    trace.wait("route", Path="/data/sub/deep", Source=str(inner))
    assert trace.end() == 0


def test_the_caller_is_the_process_and_not_its_thread(store, web):
    trace = Trace(store, "--all", "-f", "op=mkdir")
    made = threading.Thread(target=os.mkdir, args=(web / "by-a-thread",))
    made.start()
    made.join()
    assert trace.wait("request", Path="/by-a-thread")["Pid"] == os.getpid()
    assert trace.end() == 0


def test_what_happens_before_the_answer_is_read_is_told_at_once(store, web):
    """Both come together where the trace is slow to read."""
    need_tool("strace")
    trace = Trace(store, "--all", "-f", "op=mkdir",
                  by=("strace", "-D", "-qq", "-o", os.devnull, "-e", "inject=recvfrom:delay_enter=500000"))  # us
    os.mkdir(web / "made")
    trace.wait("request", Path="/made")
    assert trace.end() == 0


def test_what_the_page_cache_writes_back_is_nobodys(store, sandbox):
    base = sandbox.directory("base")
    (base / "file").write_text("x" * 5000)
    sandbox.guard(base)
    store.plyfs("create", "--name", "web", "--lower", base)
    at = sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("mount", "--profile=stateless", "-o", "writeback=on", "web", at)
    trace = Trace(store, "--all", "-f", "op=write")
    with open(at / "file", "r+b") as file:
        file.write(b"y")
        file.flush()
        os.fsync(file.fileno())
    line = trace.wait("request", Operation="write")
    assert (line["Pid"], line["Caller"]) == (None, "unknown (writeback)")
    assert trace.wait("copyup", Path="/file")["Caller"] == "unknown (writeback)"
    assert trace.end() == 0


def test_a_trace_does_not_tell_of_its_own_reader(store, web):
    """Written into the mount it would otherwise never end."""
    with open(web / "log", "wb") as log:
        process = subprocess.Popen([PLYFS, "trace", "--all", "--json", "web"], stdout=log,
                                   env={**os.environ, "PLYFS_ROOT": str(store.path)})
        wait_for(lambda: readers(store) == 1, "the trace to begin")
        os.mkdir(web / "once")
        wait_for(lambda: b'"/once"' in (web / "log").read_bytes(), "the line in the mount")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    lines = [json.loads(line) for line in (web / "log").read_text().splitlines()]
    assert lines and not [line for line in lines if line["Pid"] == process.pid]


# ---- filters ------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, wanted", [
    (["-f", "op=mkdir"], {"/etc/one", "/usr/two"}),
    (["-f", "op=mkdir,chmod"], {"/etc/one", "/usr/two", "/etc/passwd"}),
    (["-f", "op=setattr"], {"/etc/passwd"}),
    (["-f", "path=/etc/**", "-f", "op=mkdir,chmod"], {"/etc/one", "/etc/passwd"}),
    (["-f", "op=mkdir,path=/usr/*"], {"/usr/two"}),
    (["-f", "path=passwd,path=two", "-f", "op=mkdir,chmod"], {"/etc/passwd", "/usr/two"}),
    (["-f", "op=mkdir", "-f", "slow=1h"], None),
    (["-f", "op=mkdir", "-f", "slow=1ns"], {"/etc/one", "/usr/two"}),
    (["-f", "op=mkdir", "-f", "slow=30s"], set()),
    (["-f", "pid=1"], set()),
])
def test_only_what_the_filters_let_pass_is_told(store, web, words, wanted):
    if wanted is None:
        store.refused("trace", "--all", *words, "web", words="write a time with its unit")
        return
    trace = Trace(store, "--all", *words)
    last = Trace(store, "-f", "path=/last")
    os.mkdir(web / "etc/one")
    os.mkdir(web / "usr/two")
    os.chmod(web / "etc/passwd", 0o600)
    os.symlink("x", web / "last")
    os.unlink(web / "usr/lib/a")
    umount(web)
    assert (trace.end(None), last.end(None)) == (0, 0)
    assert {line["Path"] for line in trace.of("request")} == wanted
    assert [line["Event"] for line in last.lines] == ["unmounted"]


def test_one_process_can_be_followed(store, web):
    keeper = subprocess.Popen(["sh", "-c", "read line; echo x > etc/by-it; read line"], cwd=web,
                              stdin=subprocess.PIPE)
    trace = Trace(store, "--all", "-f", f"pid={keeper.pid}")
    os.mkdir(web / "by-another")
    keeper.stdin.write(b"\n")
    keeper.stdin.flush()
    trace.wait("request", Operation="create", Path="/etc/by-it")
    assert {line["Pid"] for line in trace.lines} == {keeper.pid}
    keeper.communicate(b"\n")
    assert trace.end() == 0


@pytest.mark.parametrize("word, why", [
    ("op=fly", "there is no such operation"), ("size=3", "is no filter"), ("pid=x", "is no process id"),
    ("slow=10", "with its unit"), ("path=", "write a path")])
def test_a_filter_that_makes_no_sense_is_refused(store, web, word, why):
    store.refused("trace", "-f", word, "web", words=why)


# ---- readers ------------------------------------------------------------------------------------

def test_a_killed_reader_is_noticed_without_anything_happening(store, web):
    trace = Trace(store, "--all")
    assert (readers(store), stats(store)[0]["Readers"]) == (1, 1)
    trace.end(signal.SIGKILL)
    wait_for(lambda: readers(store) == 0, "the reader to be gone")
    threads = stats(store)[0]["Threads"]
    assert Trace(store).end() == 0
    wait_for(lambda: stats(store)[0]["Threads"] == threads, "the trace's thread to end")


def test_readers_come_and_go_and_each_is_told_what_it_wants(store, web):
    first, second = Trace(store, "--all", "-f", "op=mkdir"), Trace(store, "-f", "op=whiteout")
    os.mkdir(web / "one")
    first.wait("request", Path="/one")
    assert first.end() == 0
    wait_for(lambda: readers(store) == 1, "the first to be gone")
    third = Trace(store, "--all", "-f", "op=mkdir")
    os.mkdir(web / "two")
    os.unlink(web / "etc/passwd")
    third.wait("request", Path="/two")
    second.wait("whiteout", Path="/etc/passwd")
    assert (second.end(), third.end()) == (0, 0)
    assert {line["Path"] for line in second.lines} == {"/etc/passwd"}
    assert {line["Path"] for line in first.lines} == {"/one"}
    assert {line["Path"] for line in third.of("request")} == {"/two"}


def test_a_reader_is_told_of_what_happens_as_soon_as_it_was_let_in(store, web):
    Trace(store, "-f", "op=whiteout")
    maker = subprocess.Popen([sys.executable, "-c", "import os, sys\nfor path in sys.stdin: os.mkdir(path.strip())"],
                             stdin=subprocess.PIPE, text=True, bufsize=1)
    try:
        for number in range(20):
            client = control_of(store)
            assert say(client, '{"do": "trace", "all": true, "filters": ["op=mkdir"]}')["ok"]
            maker.stdin.write(f"{web}/d{number}\n")
            assert f'"/d{number}"'.encode() in client.recv(65536)
            client.close()
    finally:
        maker.stdin.close()
        assert maker.wait(30) == 0


def test_nothing_is_missed_between_the_answer_and_the_first_line(store, web):
    """The daemon is slow behind each thing that it sends."""
    need_tool("strace")
    daemon, = procfs.daemons(web)
    client = control_of(store)
    with Strace(daemon, os.devnull, "inject=sendto:delay_exit=300000"):  # us
        assert say(client, '{"do": "trace", "all": true, "filters": ["op=mkdir"]}')["ok"]
        sh("mkdir made", web)
        assert b'"/made"' in client.recv(65536)
    client.close()


def test_there_is_a_last_reader(store, web):
    clients, answers = [], []
    for number in range(17):
        clients.append(control_of(store))
        answers.append(say(clients[-1], '{"do": "trace"}'))
        wait_for(lambda: readers(store) == min(number + 1, 16), "the reader to be counted")
    assert [answer["ok"] for answer in answers] == [True] * 16 + [False]
    assert answers[-1]["errno"] == "EUSERS" and "16 trace it already" in answers[-1]["why"]
    for client in clients:
        client.close()
    wait_for(lambda: readers(store) == 0, "all to be gone")


def test_a_reader_who_does_not_read_slows_nobody_and_is_told_what_it_missed(store, web):
    client = control_of(store)
    assert say(client, '{"do": "trace", "all": true}')["ok"]
    wait_for(lambda: readers(store) == 1, "the trace to begin")
    other = Trace(store, "--all", "-f", "op=mkdir")
    ask_for(web / "etc", 6000)
    os.mkdir(web / "afterwards")
    other.wait("request", Path="/afterwards")
    seen, lines = b"", []
    while not lines:
        seen += client.recv(1 << 20)
        lines = [json.loads(line) for line in seen.split(b"\n")[:-1] if b'"missed"' in line]
    told = [json.loads(line) for line in seen.split(b"\n")[:-1]]
    missed = next(i for i, line in enumerate(told) if line["Event"] == "missed")
    lookups = [line for line in told[:missed] if line.get("Operation") == "lookup"]
    assert 1000 < len(lookups) < 6000
    assert told[missed]["Count"] >= 6000 - len(lookups)
    run("mkdir", web / "once-more")
    while b'"/once-more"' not in seen:
        seen += client.recv(1 << 20)
    client.close()
    assert other.end() == 0


def test_an_unmount_waits_for_no_reader(store, web):
    client = control_of(store)
    assert say(client, '{"do": "trace", "all": true}')["ok"]
    wait_for(lambda: readers(store) == 1, "the trace to begin")
    ask_for(web / "etc", 6000)
    before = time.monotonic()
    store.plyfs("umount", "web")
    assert time.monotonic() - before < 10
    assert store.state("web") == "unmounted"
    client.close()


def test_requests_go_on_while_readers_come_and_go(store, web):
    """Tracing begins and ends in the middle of requests, and ends with the mount."""
    go_on = store.path / "go-on"
    go_on.touch()
    workers = [subprocess.Popen(["sh", "-c", f"while [ -e {go_on} ]; do mkdir w{number} && rmdir w{number} || exit 1; "
                                 "done"], cwd=web) for number in range(3)]
    for number in range(20):
        client = control_of(store)
        assert say(client, json.dumps({"do": "trace", "all": number % 3 > 0}))["ok"]
        if number % 3 > 0 and number % 2:
            client.recv(100)
        client.close()
    wait_for(lambda: readers(store) == 0, "all to be gone")
    last = Trace(store, "--all")
    go_on.unlink()
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    umount(web)
    assert last.end(None) == 0 and last.lines[-1]["Event"] == "unmounted"


def test_a_trace_that_cannot_be_written_ends_at_once(store, web):
    with open("/dev/full", "w") as full:
        done = subprocess.run([PLYFS, "trace", "web"], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                              env={**os.environ, "PLYFS_ROOT": str(store.path)}, text=True, check=False, timeout=30)
    assert done.returncode == 1 and "could not be written to stdout" in done.stderr


def test_a_reader_whose_own_reader_goes_ends_too(store, web):
    trace = subprocess.Popen([PLYFS, "trace", "web"], stdout=subprocess.PIPE,
                             env={**os.environ, "PLYFS_ROOT": str(store.path)})
    wait_for(lambda: readers(store) == 1, "the trace to begin")
    trace.stdout.close()
    assert trace.wait(30) == 0
    wait_for(lambda: readers(store) == 0, "the reader to be gone")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_trace_cleanly(store, web, how):
    trace = Trace(store)
    assert trace.end(how) == 0
    assert trace.process.stderr.read() == b""


# ---- who may, and what is asked -----------------------------------------------------------------

def test_another_user_cannot_trace_a_mount(store, web):
    need_root()
    done = store.plyfs("trace", "web", check=False, user=65534, group=65534, extra_groups=[])
    assert done.returncode == 1 and "plyfs:" in done.stderr
    folder = store.path / "mounts" / json.loads(store.plyfs("inspect", "web").stdout)[0]["Id"]
    kept = [(path, path.stat().st_mode) for path in (folder / "control", folder, folder.parent, store.path)]
    for path, mode in kept:
        os.chmod(path, mode | 0o777)
    script = ("import os, socket, sys; s = socket.socket(socket.AF_UNIX); os.chdir(sys.argv[1]);"
              "s.connect('control'); print(s.recv(1000).decode())")
    told = run("/usr/bin/python3", "-c", script, folder, user=65534, group=65534, extra_groups=[]).stdout
    for path, mode in kept:
        os.chmod(path, mode)
    assert '"EACCES"' in told and readers(store) == 0


@pytest.mark.parametrize("request_, why", [
    ('{"do": "trace", "filters": [3]}', "a filter is a text"),
    ('{"do": "trace", "filters": ["op=fly"]}', "no such operation"),
    ('{"do": "trace", "filters": [["op=read"]]}', "a filter is a text"),
    ('{"do": "trac"}', "knows no such request"),
    ('{"do": ["trace"]}', "knows no such request"),
    ('{"trace": true}', "knows no such request"),
    ('["trace"]', "this is no request"),
    ('trace', "this is no request"),
    ('{"do": "trace"} {"do": "trace"}', "this is no request"),
])
def test_a_malformed_request_is_refused_and_the_next_is_answered(store, web, request_, why):
    client = control_of(store)
    answer = say(client, request_)
    assert not answer["ok"] and why in answer["why"]
    assert client.recv(1) == b""
    assert say(control_of(store), '{"do": "stats"}')["ok"]
    assert readers(store) == 0


def test_odd_but_whole_requests_are_taken(store, web):
    for text in ('{"do": "trace", "filters": "op=read"}', '{"do": "trace", "all": "yes"}',
                 '{"do": "trace", "filters": [], "more": {"a": [1, null]}}'):
        client = control_of(store)
        assert say(client, text) == {"ok": True, "stream": True}
        client.sendall(b"what is said behind it is not heard\n" * 100)
        client.close()
    wait_for(lambda: readers(store) == 0, "all to be gone")


def odd_value(dice, depth=0):
    """Something that JSON can say, of whatever kind."""
    plain = [None, True, -1, 1 << 70, 1.5e300, "", "/data", "op=read", "\0", "../..", "x" * 5000, "\ud7ff\u2028"]
    if depth > 3 or dice.random() < 0.6:
        return dice.choice(plain)
    if dice.random() < 0.5:
        return [odd_value(dice, depth + 1) for _ in range(dice.randint(0, 4))]
    return {dice.choice(("do", "filters", "destination", "all", "lazy", "x")): odd_value(dice, depth + 1)
            for _ in range(dice.randint(0, 4))}


def test_no_request_however_odd_stops_a_daemon(store, web):
    """500 requests at random: kinds that there are with members of any kind, cut, and with bytes changed."""
    dice = random.Random(7)
    directory = store.path / "mounts" / json.loads(store.plyfs("inspect", "web").stdout)[0]["Id"]
    for _ in range(500):
        request_ = {"do": dice.choice(("attach", "detach", "policy", "state", "stats", "trace", "umount"))}
        for key in dice.sample(("destination", "lazy", "all", "filters", "do"), dice.randint(0, 3)):
            request_[key] = odd_value(dice)
        text = bytearray(json.dumps(request_).encode() + b"\n")
        for _ in range(dice.choice((0, 0, 1, 3))):
            text[dice.randrange(len(text))] = dice.randrange(256)
        with control_in(directory) as client:
            client.sendall(text[:dice.randint(0, len(text))] if dice.random() < 0.2 else text)
            client.shutdown(socket.SHUT_WR)
            told = client.recv(1 << 16)
            assert told == b"" or told.startswith(b"{"), (request_, told)
    assert say(control_of(store), '{"do": "stats"}')["ok"]
    wait_for(lambda: readers(store) == 0, "all to be gone")
    (web / "after").write_text("the mount is served")


def test_what_is_not_mounted_cannot_be_traced(store, web):
    umount(web)
    wait_for(lambda: store.state("web") == "unmounted", "the unmount")
    store.refused("trace", "web", words="web is not mounted")
    store.refused("stats", "web", words="web is not mounted")
    store.refused("trace", "nothing", words="nothing")


# ---- the mount option ---------------------------------------------------------------------------

def test_trace_asks_for_the_profile_that_knows_who_writes(store, web):
    state = served(store)
    assert (state["Profile"], state["Traced"]) == ("tracked", True)


def test_without_it_a_mount_says_so(store, web, sandbox):
    umount(web)
    wait_for(lambda: store.state("web") == "unmounted", "the unmount")
    store.mount("web", web)
    assert served(store)["Traced"] is False


def test_it_can_be_kept_with_the_mount(store, sandbox):
    store.plyfs("create", "--name", "kept", "-o", "trace,passthrough=off", "--lower", sandbox.directory("base"))
    store.mount("kept")
    assert (served(store, "kept")["Profile"], served(store, "kept")["Traced"]) == ("tracked", True)


def test_it_does_not_go_with_the_stateless_profile(store, web, sandbox):
    umount(web)
    wait_for(lambda: store.state("web") == "unmounted", "the unmount")
    store.refused("mount", "--trace", "--profile=stateless", "web", web, words="trace needs the tracked profile")


# ---- mounts without a name ----

@pytest.fixture
def nameless(store, sandbox):
    """A mount that no store keeps."""
    base = sandbox.directory("base")
    (base / "file").write_text("x")
    (base / "sub").mkdir()
    return sandbox.plyfs([base], sandbox.directory("upper"), sandbox.directory("work"))


def abstract(at):
    """The name of its control socket, which is no file."""
    device = os.stat(at.at).st_dev
    return f"\0plyfs/{os.major(device)}:{os.minor(device)}"


def follow(store, at, *argv, who=None):
    return subprocess.Popen([PLYFS, "trace", "--json", *argv, str(at)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, "PLYFS_ROOT": str(store.path)}, **(who or {}))


@pytest.mark.parametrize("form", ["mount", "o"])
def test_a_mount_without_a_name_is_reached_by_a_path_in_it(store, nameless, form):
    nameless.form = form
    with nameless as at:
        trace = follow(store, at / "sub", "--all", "-f", "op=mkdir,copyup")
        wait_for(lambda: reached(store, at)[0], "the trace to begin")
        os.mkdir(at / "made")
        os.chmod(at / "file", 0o600)
        told = [json.loads(trace.stdout.readline()) for _ in range(2)]
        assert {(line["Event"], line["Path"]) for line in told} == {("request", "/made"), ("copyup", "/file")}
        assert reached(store, at)[1]["mkdir"]["Requests"] == 1
        whole, = stats(store, "--total", at / "sub")
        assert (whole["Mountpoint"], whole["CopyUps"]) == (str(at.at), 1)
    assert [json.loads(line)["Event"] for line in trace.stdout][-1] == "unmounted"
    assert trace.wait(30) == 0


def reached(store, at):
    """How many read the trace of a mount, and its operations, by a path."""
    text = store.plyfs("stats", at / ".").stdout
    return int(re.search(r"(\d+) readers of its trace", text).group(1)), operations(store, f"{at / 'sub'}")


def test_it_knows_of_nothing_that_needs_a_store(store, nameless):
    with nameless as at:
        for request_ in ("attach", "detach", "flush", "state"):
            client = socket.socket(socket.AF_UNIX)
            client.connect(abstract(at))
            assert "knows no such request" in say(client, json.dumps({"do": request_, "destination": "/x"}))["why"]


def test_another_user_cannot_trace_it(store, nameless):
    need_root()
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    with nameless as at:
        script = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({abstract(at)!r}); print(s.recv(1000).decode())"
        assert '"EACCES"' in run("/usr/bin/python3", "-c", script, **nobody).stdout
        trace = follow(store, at.at, who=nobody)
        assert trace.wait(30) == 1 and b"belongs to another user" in trace.stderr.read()


def test_whoever_takes_the_name_of_a_mount_is_not_believed(store, nameless):
    """The daemon of the mount must be the one that the kernel knows."""
    need_root()
    with nameless as at:
        client = socket.socket(socket.AF_UNIX)
        client.connect(abstract(at))
        daemon = struct.unpack("iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        os.kill(daemon, signal.SIGKILL)
        wait_for(lambda: not os.path.exists(f"/proc/{daemon}"), "its end")
        script = (f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({abstract(at)!r}); s.listen(); print(flush=True);"
                  "c, _ = s.accept(); c.recv(100)")
        liar = subprocess.Popen(["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE, user=65534, group=65534,
                                extra_groups=[])
        liar.stdout.readline()
        trace = follow(store, at.at)
        assert trace.wait(30) == 1 and b"belongs to another user" in trace.stderr.read()
        liar.wait(30)


# ---- for people ---------------------------------------------------------------------------------

def test_people_get_aligned_lines(store, web):
    trace = Trace(store, "--all", "-f", "op=chmod,mkdir,copyup,whiteout,route,rename", form=())
    os.chmod(web / "etc/group", 0o600)
    os.unlink(web / "etc/passwd")
    os.listdir(web / "data")
    os.mkdir(web / "a\x1b[31mb")
    os.rename(web / "a\x1b[31mb", web / "plain")
    umount(web)
    assert trace.end(None) == 0
    text = "".join(trace.raw)
    caller = re.escape(pathlib.Path("/proc/self/comm").read_text().strip()) + rf"\[{os.getpid()}\]"
    at = r"\d\d:\d\d:\d\d\.\d{6} +"
    assert trace.raw[0].split() == ["TIME", "TOOK", "FOR", "CALLER", "PATH", "WHAT"]
    assert re.search(rf"^{at}[\d.]+[um]s  chmod +{caller} +/etc/group +copy-up of layer 1: 0B of 21B, metacopy$",
                     text, re.M)
    assert re.search(rf"^{at}[\d.]+[um]s  chmod +{caller} +/etc/group +ok$", text, re.M)
    assert re.search(rf"^{at}-  unlink +{caller} +/etc/passwd +whiteout$", text, re.M)
    assert re.search(rf"^{at}-  lookup +{caller} +/data +into the volume /.*/data$", text, re.M)
    assert re.search(rf"^{at}[\d.]+[um]s  rename +{caller} +/a\\x1b\[31mb +ok -> /plain$", text, re.M)
    assert re.fullmatch(rf"{at}unmounted\n", trace.raw[-1])
    assert "\x1b" not in text


# ---- stats --------------------------------------------------------------------------------------

def test_stats_count_what_was_asked_for(store, web):
    before = operations(store)
    for i in range(40):
        os.mkdir(web / f"d{i}")
    for _ in range(7):
        assert refusal(os.mkdir, web / "etc/passwd/x") == "ENOTDIR"
    assert refusal(os.rmdir, web / "usr") == "ENOTEMPTY"
    wait_until_counted(store, "rmdir", 1)
    after = operations(store)
    assert after["mkdir"]["Requests"] - before.get("mkdir", {"Requests": 0})["Requests"] == 40
    assert (after["rmdir"]["Requests"], after["rmdir"]["Errors"]) == (1, 1)
    row = after["mkdir"]
    assert 0 < row["P50"] <= row["P99"] and 40 * row["Mean"] <= row["Total"] < 41 * row["Mean"]
    assert "copy_file_range" not in after


def test_stats_tell_how_a_mount_fares(store, web):
    os.chmod(web / "etc/passwd", 0o600)
    (web / "etc/group").write_text("longer than it was before, by some bytes\n")
    row, = stats(store)
    assert (row["Name"], row["Mountpoint"]) == ("web", str(web))
    kept = [json.loads(line) for line in
            store.plyfs("copyups", "--format", "json", "web").stdout.splitlines()]
    assert row["CopyUps"] == len(kept) and row["Moved"] == sum(line["Moved"] for line in kept)
    daemon = json.loads(store.plyfs("inspect", "web").stdout)[0]["Pid"]
    status = pathlib.Path(f"/proc/{daemon}/status").read_text()
    assert row["Threads"] == int(re.search(r"Threads:\s+(\d+)", status).group(1))
    assert abs(row["Fds"] - len(os.listdir(f"/proc/{daemon}/fd"))) <= 2
    assert 1 << 20 < row["Memory"] and row["Nodes"] >= 4 and row["NameBytes"] > 0
    assert row["CachedFds"] > 0 and row["Readers"] == 0 and row["Seconds"] > 0
    wait_for(lambda: stats(store)[0]["Requests"] == sum(line["Requests"] for line in stats(store, "web")),
             "the last of them to be counted")


def test_stats_take_the_forms_of_every_listing(store, web):
    assert store.plyfs("stats", "-q").stdout == "web\n"
    assert store.plyfs("stats", "--format", "{{.Name}} {{.Readers}}").stdout == "web 0\n"
    assert store.plyfs("stats", "-f", "name=other", "-q").stdout == ""
    os.mkdir(web / "one")
    wait_until_counted(store, "mkdir", 1)
    assert store.plyfs("stats", "web", "-f", "operation=mkdir", "--format", "{{.Requests}}").stdout == "1\n"
    store.refused("stats", "--format", "{{.Nothing}}", words="there is no field")
    table = store.plyfs("stats", "web").stdout
    assert table.startswith("OPERATION") and re.search(r"^copy-ups +0, 0B moved$", table, re.M)
    assert re.search(r"^daemon .* 0 readers of its trace$", table, re.M)


def test_stats_in_all_are_of_one_mount_what_they_are_of_each(store, web):
    of_each, = stats(store)
    of_one, = stats(store, "--total", "web")
    assert of_one.keys() == of_each.keys() and of_one["Mountpoint"] == str(web)
    assert store.plyfs("stats", "-t", "web", "--format", "{{.Name}} {{.CopyUps}}").stdout == "web 0\n"
    assert "OPERATION" not in store.plyfs("stats", "-t", "web").stdout


def test_stats_of_nothing_are_empty(store, web):
    umount(web)
    wait_for(lambda: store.state("web") == "unmounted", "the unmount")
    assert store.plyfs("stats", "--json").stdout == ""


def test_a_watch_tells_of_each_second_and_ends_with_an_interrupt(store, web):
    for i in range(200):
        os.mkdir(web / f"before{i}")
    wait_until_counted(store, "mkdir", 200)
    watch = subprocess.Popen([PLYFS, "stats", "--watch", "--json", "web"], stdout=subprocess.PIPE,
                             env={**os.environ, "PLYFS_ROOT": str(store.path)})
    stop = threading.Event()

    def look():
        while not stop.wait(0.02):
            os.listdir(web)

    looking = threading.Thread(target=look)
    looking.start()
    rows = [json.loads(watch.stdout.readline())]
    os.mkdir(web / "during")
    while len({row["Time"] for row in rows}) < 4:
        rows.append(json.loads(watch.stdout.readline()))
    stop.set()
    looking.join()
    watch.send_signal(signal.SIGINT)
    assert watch.wait(30) == 0
    assert sum(row["Requests"] for row in rows if row["Operation"] == "mkdir") == 1
    assert all(row["Requests"] > 0 for row in rows)


def test_a_watch_ends_with_its_mount(store, web):
    watch = subprocess.Popen([PLYFS, "stats", "--watch", "web"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env={**os.environ, "PLYFS_ROOT": str(store.path)})
    assert watch.stdout.readline().startswith(b"OPERATION")
    umount(web)
    said, why = watch.communicate(timeout=30)
    assert watch.returncode == 1 and b"web is not mounted" in why
    assert b"\x1b" not in said


# ---- top ----------------------------------------------------------------------------------------

class Terminal:
    """`plyfs top` in a terminal of its own."""

    def __init__(self, store, *argv, rows=24, columns=80):
        self.leader, follower = pty.openpty()
        self.size(rows, columns)
        self.before = termios.tcgetattr(follower)
        self.follower, self.seen = follower, b""
        self.process = subprocess.Popen([PLYFS, "top", *argv], stdin=follower, stdout=follower, stderr=follower,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY),
                                        env={**os.environ, "PLYFS_ROOT": str(store.path), "TERM": "xterm"})

    def size(self, rows, columns):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.leader], [], [], 0)[0]:
            try:
                got = os.read(self.leader, 65536)
            except OSError as error:
                assert error.errno == errno.EIO
                return
            if not got:
                return
            self.seen += got

    def screens(self):
        """The pictures so far, as rows of text."""
        self.read()
        whole = self.seen.split(b"\x1b[H")[1:]
        return [re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", screen).decode().replace("\r", "").split("\n") for screen in whole]

    def wait(self, condition, what):
        wait_for(lambda: any(condition(screen) for screen in self.screens()[self.mark:]),
                 f"{what} in {self.seen[-3000:]}")

    mark = 0

    def press(self, key):
        self.mark = len(self.screens())
        os.write(self.leader, key.encode())

    def end(self):
        status = None
        end = time.monotonic() + 30
        while status is None and time.monotonic() < end:
            self.read()
            status = self.process.poll()
            time.sleep(0.01)
        self.read()
        restored = termios.tcgetattr(self.follower) == self.before
        os.close(self.leader)
        os.close(self.follower)
        assert restored, "the keys are as they were"
        assert self.seen.startswith(b"\x1b[?1049h") and self.seen.endswith(b"\x1b[?25h\x1b[?1049l"), self.seen[-99:]
        return status


def shows(name):
    return lambda screen: any(row.startswith(name + " ") for row in screen)


def test_top_shows_mounts_and_operations_and_q_quits(store, web, sandbox):
    store.plyfs("create", "--name", "another", "--lower", sandbox.directory("base"))
    store.mount("another")
    os.listdir(web / "etc")
    terminal = Terminal(store)
    terminal.wait(lambda screen: shows("web")(screen) and shows("another")(screen), "both mounts")
    terminal.wait(shows("lookup"), "an operation")
    terminal.wait(lambda screen: "2 mounts" in screen[0], "the title")
    terminal.press("q")
    assert terminal.end() == 0


def test_top_fits_into_the_terminal_and_follows_its_size(store, web):
    for name in ("a", "b", "c"):
        (web / name).write_text("x")
        os.chmod(web / name, 0o600)
        os.setxattr(web / name, "user.x", b"1")
        os.unlink(web / name)
    terminal = Terminal(store)
    terminal.wait(shows("web"), "the mount")
    assert all(len(screen) <= 24 and all(len(row) <= 80 for row in screen) for screen in terminal.screens())
    terminal.mark = len(terminal.screens())
    terminal.size(10, 40)
    terminal.wait(lambda screen: len(screen) <= 10 and max(map(len, screen)) <= 40, "a small picture")
    terminal.mark = len(terminal.screens())
    terminal.size(50, 200)
    terminal.wait(lambda screen: len(screen) > 12, "a large picture")
    terminal.press("q")
    assert terminal.end() == 0


def test_top_orders_by_what_is_asked_for(store, web, sandbox):
    store.plyfs("create", "--name", "aaa", "--lower", sandbox.directory("base"))
    store.mount("aaa")
    for _ in range(50):
        refusal(os.stat, web / f"none{time.monotonic_ns()}")

    def order(*names):
        return lambda screen: [row.split()[0] for row in screen if row.split()[:1] in ([names[0]], [names[1]])] \
            == list(names)

    terminal = Terminal(store, "--sort", "name")
    terminal.wait(order("aaa", "web"), "by name")
    terminal.press("n")
    terminal.wait(lambda screen: screen[0].endswith("by name"), "the word")
    for key, word in (("r", "requests"), ("l", "latency"), ("e", "errors"), ("c", "copyups"), ("m", "memory")):
        terminal.press(key)
        terminal.wait(lambda screen: screen[0].endswith(f"by {word}"), word)
    terminal.press("q")
    assert terminal.end() == 0
    terminal = Terminal(store, "--sort", "errors")
    terminal.wait(order("web", "aaa"), "by errors, since the mounts began")
    terminal.press("q")
    assert terminal.end() == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_top_gives_the_screen_back_on_signals(store, web, how):
    terminal = Terminal(store)
    terminal.wait(shows("web"), "the mount")
    if how == signal.SIGINT:
        os.write(terminal.leader, b"\x03")
    else:
        terminal.process.send_signal(how)
    assert terminal.end() == 0


def test_top_can_be_stopped_and_goes_on(store, web):
    terminal = Terminal(store)
    terminal.wait(shows("web"), "the mount")
    terminal.process.send_signal(signal.SIGTSTP)
    wait_for(lambda: "T (stopped)" in pathlib.Path(f"/proc/{terminal.process.pid}/status").read_text(), "the stop")
    terminal.read()
    assert terminal.seen.endswith(b"\x1b[?1049l")
    terminal.mark = len(terminal.screens())
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait(shows("web"), "the mount again")
    terminal.press("q")
    assert terminal.end() == 0


def test_top_ends_with_its_terminal(store, web):
    terminal = Terminal(store)
    terminal.wait(shows("web"), "the mount")
    os.close(terminal.follower)
    os.close(terminal.leader)
    assert terminal.process.wait(30) == 0


def test_top_shows_that_nothing_is_mounted(store, web):
    umount(web)
    wait_for(lambda: store.state("web") == "unmounted", "the unmount")
    terminal = Terminal(store)
    terminal.wait(lambda screen: "nothing is mounted" in screen, "the words")
    terminal.press("q")
    assert terminal.end() == 0


def test_top_refuses_what_is_no_terminal(store, web):
    store.refused("top", words="plyfs stats --watch")


# ---- the rest -----------------------------------------------------------------------------------

def test_the_shell_completes_them(store, web):
    assert {"trace", "stats", "top"} <= set(complete(store, "plyfs "))
    for line in ("plyfs trace w", "plyfs stats w"):
        assert complete(store, line) == ["web"], line
    assert complete(store, "plyfs top --sort cop") == ["copyups"]
    assert complete(store, "plyfs trace --filter sl") == ["slow="]
    assert "--trace" in complete(store, "plyfs mount --tr")
    assert f"{web}/etc" in complete(store, f"plyfs trace {web}/et")
