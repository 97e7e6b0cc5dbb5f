# SPDX-License-Identifier: MIT
"""What the daemon holds, and that it lets go: memory, descriptors, its process, its work directory."""
import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys

import pytest

from harness import PLYFS, Sandbox, need, need_fuse, need_root, need_tool, run
from procfs import daemons, descriptors, is_idle, processor_ticks, resident
from storekit import wait_for

MIB = 1 << 20
FILES = 100_000
PER_DIRECTORY = 200


@pytest.fixture(params=["stateless", "tracked"])
def profile(request):
    """The writeback cache holds no memory of the daemon."""
    return request.param


def descriptor_limit(pid):
    for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return float("inf") if soft == "unlimited" else int(soft)
    raise AssertionError("no limit of open files")


def need_plain_memory():
    """A sanitizer keeps what was freed in quarantine: resident memory then says nothing."""
    need(b"__asan_init" not in pathlib.Path(PLYFS).read_bytes(),
         "resident memory says nothing under AddressSanitizer")


def walk(top):
    """Looks up and stats everything; the number of names."""
    count, stack = 0, [os.fspath(top)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                count += 1
                entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
    return count


@pytest.fixture(scope="module")
def crowd():
    """One lower layer of 100,000 files for all tests here (its digest takes a while)."""
    need_fuse()
    box = Sandbox()
    lower = box.directory("crowd")
    for i in range(FILES):
        folder = lower / f"directory{i // PER_DIRECTORY}"
        if i % PER_DIRECTORY == 0:
            folder.mkdir()
        os.close(os.open(folder / f"a file with a name of usual length {i}", os.O_CREAT | os.O_WRONLY))
    box.guard(lower)
    yield box, lower
    box.close()


def mounted(box, lowers, profile):
    return box.plyfs(lowers, box.directory("upper"), box.directory("work"), profile=profile)


def drop_caches():
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")


def test_memory_after_a_walk_of_many_files_falls_back_when_caches_are_dropped(crowd, profile):
    need_root()
    need_plain_memory()
    box, lower = crowd
    with mounted(box, [lower], profile) as mount:
        pids = daemons(mount.at)
        assert pids, "the daemon is not found in /proc"
        os.stat(mount.at)
        start = resident(pids)
        peaks, rests = [], []

        def fallen():
            drop_caches()
            return resident(pids) < start + 16 * MIB

        for _ in range(3):
            assert walk(mount) == FILES + FILES // PER_DIRECTORY
            peaks.append(resident(pids))
            wait_for(fallen, f"resident memory below {start // MIB} + 16 MiB (peaks {[p // MIB for p in peaks]} MiB)", 60)
            rests.append(resident(pids))
        # What is known of one file costs the daemon less than two KiB while the kernel holds it.
        assert max(peaks) < start + FILES * 2048
        assert rests[2] < rests[0] + 4 * MIB, f"grows from walk to walk: {rests}"


def test_files_removed_through_the_mount_are_forgotten(sandbox, profile):
    need_plain_memory()
    lower = sandbox.directory("lower")
    with mounted(sandbox, [lower], profile) as mount:
        pids = daemons(mount.at)
        rests = []
        for _ in range(4):
            for i in range(5_000):
                os.close(os.open(mount / f"file{i}", os.O_CREAT | os.O_WRONLY))
            for i in range(5_000):
                os.unlink(mount / f"file{i}")
            rests.append(resident(pids))
        assert rests[3] < rests[0] + 8 * MIB, f"grows from round to round: {rests}"


def test_descriptors_stay_bounded_over_many_files_opened_in_turn(crowd, profile):
    box, lower = crowd
    with mounted(box, [lower], profile) as mount:
        pids = daemons(mount.at)
        limit, most = descriptor_limit(pids[0]), 0
        for i in range(5_000):
            folder = mount / f"directory{i // PER_DIRECTORY}"
            with open(folder / f"a file with a name of usual length {i}", "rb") as file:
                file.read()
            with open(mount / f"new{i}", "wb") as file:
                file.write(b"content")
            if i % 250 == 249:
                most = max(most, descriptors(pids))
        assert most < limit
        # Opened in turn, nothing needs to stay open: what stays is a cache with a bound.
        assert most < 2_500, f"{most} descriptors after 5,000 files opened in turn"


@contextlib.contextmanager
def own_limit(needed):
    """This process holds many files open; the daemon keeps the limit it was started with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need(hard == resource.RLIM_INFINITY or hard >= needed, "needs a higher limit of open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_table_of_descriptors_never_grows_while_requests_are_served(sandbox, profile):
    """Where there are threads, the kernel waits some 10 ms each time that it does."""
    lower = pathlib.Path(sandbox.directory("lower"))
    for i in range(700):
        (lower / f"d{i}").mkdir()
        (lower / f"d{i}" / "file").touch()
    mount = mounted(sandbox, [str(lower)], profile).mount()

    def sizes():
        return [line.split()[1] for pid in daemons(mount.at)
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith("FDSize:")]

    before = sizes()
    for i in range(700):
        assert os.stat(mount / f"d{i}" / "file").st_size == 0
        (mount / f"d{i}" / "new").touch()
    assert before and sizes() == before


def test_many_files_held_open_at_once_stay_usable(sandbox, profile):
    count = 3_000
    lower = sandbox.directory("lower")
    for i in range(count):
        (lower / f"file{i}").write_bytes(b"%06d" % i)
    with mounted(sandbox, [lower], profile) as mount, own_limit(count + 500), \
            contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(mount / f"file{i}", "r+b", buffering=0))
                 for i in range(count)]
        for i, file in enumerate(files):
            os.pwrite(file.fileno(), b"X", 0)
        for i, file in enumerate(files):
            assert os.pread(file.fileno(), 10, 0) == b"X" + (b"%06d" % i)[1:]
        pids = daemons(mount.at)
        assert descriptors(pids) < descriptor_limit(pids[0])


def test_daemon_ends_with_its_mount_and_leaves_a_clean_work_directory(sandbox, profile):
    lower = sandbox.directory("lower")
    for i in range(50):
        (lower / f"file{i}").write_bytes(b"content" * i)
    mount = mounted(sandbox, [lower], profile).mount()
    assert daemons(mount.at)
    for i in range(50):
        with open(mount / f"file{i}", "ab") as file:
            file.write(b"more")
        os.rename(mount / f"file{i}", mount / f"renamed{i}")
        if i % 3 == 0:
            os.unlink(mount / f"renamed{i}")
    mount.unmount()
    wait_for(lambda: not daemons(mount.at), "the daemon's process is gone", 60)
    # Files of the index and whiteouts shared by link may stay: the kernel's overlayfs has them too.
    left = [p for p in pathlib.Path(mount.work).rglob("*") if p.is_file() and "index" not in p.parts]
    assert not left, f"left in the work directory: {left}"


def test_daemon_ends_when_unmounted_by_fusermount(sandbox, profile):
    mount = mounted(sandbox, [sandbox.directory("lower")], profile).mount()
    run("fusermount3", "-u", mount.at)
    mount.mounted = False
    wait_for(lambda: not daemons(mount.at), "the daemon's process is gone", 60)


def test_daemon_ends_after_a_lazy_unmount_when_the_last_file_is_closed(sandbox, profile):
    mount = mounted(sandbox, [sandbox.directory("lower")], profile).mount()
    with open(mount / "file", "wb") as file:
        run("umount", "--lazy", mount.at)
        mount.mounted = False
        file.write(b"written after the mount went out of sight")
        file.flush()
        assert daemons(mount.at), "the daemon serves on while a file is open"
    wait_for(lambda: not daemons(mount.at), "the daemon's process is gone", 60)
    assert (pathlib.Path(mount.upper) / "file").read_bytes().endswith(b"out of sight")


def threads_named(pid, name):
    return [int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            if (task / "comm").read_text() == name]


def vigils(pid):
    """The threads that see to it that a waiting client wakes soon."""
    return threads_named(pid, "plyfs-vigil\n")


def need_processors():
    need(len(os.sched_getaffinity(0)) > 1, "needs more than one processor")
    need(not uring_enabled(), "requests through io_uring are served by libfuse's loop")


URING = pathlib.Path("/sys/module/fuse/parameters/enable_uring")


def uring_enabled():
    return URING.exists() and URING.read_text().strip() == "Y"


def test_only_time_that_nobody_wants_is_spent_on_waking_clients_soon(sandbox, profile):
    need_processors()
    pair = len(os.sched_getaffinity(0)) == 2
    wanted = (os.SCHED_BATCH, 19) if pair else (os.SCHED_IDLE, 0)
    with mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
        pid, = daemons(mount.at)
        wait_for(lambda: [(os.sched_getscheduler(v), os.getpriority(os.PRIO_PROCESS, v)) for v in vigils(pid)]
                 == [wanted], "one thread of the least weight", 60)


ASK = """
import os, sys
if len(sys.argv) > 2:
    os.sched_setaffinity(0, {int(sys.argv[2])})
number = 0
while True:
    number += 1
    try:
        os.lstat(f"{sys.argv[1]}/absent{number}")
    except FileNotFoundError:
        pass
"""


@contextlib.contextmanager
def asking(mount, *processor):
    """A client that asks one thing after the other."""
    client = subprocess.Popen([sys.executable, "-c", ASK, mount.at, *map(str, processor)])
    try:
        yield client
    finally:
        client.kill()
        client.wait()


def whenever_it_went_on(client, times):
    for _ in range(times):
        before = processor_ticks(client.pid)
        wait_for(lambda: processor_ticks(client.pid) > before, "the client to go on", 60)
        yield


def placed(pid):
    """The processors that the vigil may be on, and those to which another thread is bound."""
    ours, watching, bound, keepers = os.sched_getaffinity(0), set(), set(), vigils(pid)
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            allowed = os.sched_getaffinity(int(task.name))
            if int(task.name) in keepers:
                watching = allowed
            elif allowed != ours:
                bound |= allowed
    return watching, bound


def need_two_processors():
    need_processors()
    need(len(os.sched_getaffinity(0)) == 2, "needs two processors and no more")


def test_of_two_processors_a_client_and_its_daemon_share_one(sandbox, profile):
    need_two_processors()
    ours = os.sched_getaffinity(0)
    with mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
        pid, = daemons(mount.at)
        with asking(mount):
            wait_for(lambda: all(len(where) == 1 for where in placed(pid)) and set.union(*placed(pid)) == ours,
                     "the daemon on one processor and the vigil on the other", 60)
        wait_for(lambda: placed(pid)[0] == ours, "the vigil to be free again", 60)
        assert not os.path.lexists(mount / "the thread that was bound is free as soon as it is asked again")
        assert placed(pid) == (ours, set())


CHANGE = """
import os, sys
for name in os.listdir(sys.argv[1]):
    os.chmod(os.path.join(sys.argv[1], name), 0o600)
"""


def test_of_two_processors_the_idle_one_does_what_nobody_need_wait_for(sandbox, profile):
    need_two_processors()
    need_root()
    need_tool("strace")
    lower, log = sandbox.directory("lower"), sandbox.path / "log"
    for number in range(6000):
        path = lower / f"d{number // 300}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"lower")

    def done():
        return all(re.search(call, log.read_text(), re.MULTILINE) for call in (r"O_TMPFILE.* = \d+$", r"^close\(\d+\)"))

    with mounted(sandbox, [lower], profile) as mount:
        pid, = daemons(mount.at)
        wait_for(lambda: vigils(pid), "the vigil")
        vigil, = vigils(pid)
        tracer = subprocess.Popen(["strace", "-qq", "-e", "trace=openat,close", "-o", log, "-p", str(vigil)])
        status = pathlib.Path(f"/proc/{pid}/task/{vigil}/status")
        wait_for(lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text(), "strace to begin")
        changed = []
        while not done():       # others may have wanted the processor
            changed.append(f"d{len(changed)}")
            run(sys.executable, "-c", CHANGE, mount / changed[-1])
        tracer.send_signal(signal.SIGINT)
        tracer.wait(60)
        assert {os.lstat(mount / name / file).st_mode for name in changed for file in os.listdir(mount / name)} == {0o100600}
        wait_for(lambda: is_asleep(pid, vigil), "the vigil to end")
        left = [os.readlink(at) for at in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        assert not [path for path in left if "(deleted)" in path]


def is_asleep(pid, thread):
    return pathlib.Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_of_two_processors_two_clients_have_both(sandbox, profile):
    need_two_processors()
    ours = os.sched_getaffinity(0)
    with mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
        pid, = daemons(mount.at)
        with asking(mount) as client:
            with asking(mount):
                wait_for(lambda: placed(pid) == (ours, ours), "one thread on each processor", 60)
                asleep = [all(is_asleep(pid, v) for v in vigils(pid)) for _ in whenever_it_went_on(client, 40)]
                assert sum(asleep) > 4, asleep
            wait_for(lambda: all(len(where) == 1 for where in placed(pid)),
                     "the client that is left to share a processor", 60)
        wait_for(lambda: placed(pid)[0] == ours, "the vigil to be free again", 60)
        assert not os.path.lexists(mount / "absent") and placed(pid)[1] == set()


READ_AHEAD = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[2])})
fd, room = os.open(sys.argv[1], os.O_RDONLY), [bytearray(1 << 20)]
while True:
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(fd, 0, os.SEEK_SET)
    while os.readv(fd, room):
        pass
"""


def test_large_reads_are_served_on_another_processor_than_their_clients(sandbox, profile):
    need_two_processors()
    lower, (here, there) = sandbox.directory("lower"), sorted(os.sched_getaffinity(0))
    (lower / "file").write_bytes(os.urandom(16 << 20))
    with sandbox.plyfs([lower], sandbox.directory("upper"), sandbox.directory("work"), profile=profile,
                       options=["passthrough=off"]) as mount:
        pid, = daemons(mount.at)
        client = subprocess.Popen([sys.executable, "-c", READ_AHEAD, mount / "file", str(here)])
        try:
            wait_for(lambda: placed(pid)[1] == {there}, "the daemon on the other processor", 60)
        finally:
            client.kill()
            client.wait()
        # Free again as soon as it is asked something else.
        assert not os.path.lexists(mount / "absent") and placed(pid)[1] == set()


def waits(pid):
    """How often each thread has waited for something so far."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[task.name] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", (task / "status").read_text(),
                                             re.MULTILINE).group(1))
    return found


def test_little_is_copied_by_the_thread_that_leads(sandbox, profile):
    need_fuse()
    times = 400
    with mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
        pid, = daemons(mount.at)
        (mount / "from").write_bytes(b"little" * 2000)
        with open(mount / "from", "rb") as source, open(mount / "to", "wb") as target:
            os.copy_file_range(source.fileno(), target.fileno(), 12_000, 0, 0)
            before = waits(pid)
            for _ in range(times):
                os.copy_file_range(source.fileno(), target.fileno(), 1 << 30, 0, 0)
            after = waits(pid)
        busy = [thread for thread in after if after[thread] - before.get(thread, 0) > times // 4]
        # The leader waits for each request, and on a slow machine the watch looks as often; it may have taken
        # over. Where each copy looks for another leader, all threads are woken again and again.
        assert len(busy) <= 3, {thread: after[thread] - before.get(thread, 0) for thread in after}


@contextlib.contextmanager
def rings_offered():
    need_root()
    need(os.access(URING, os.W_OK), "needs FUSE over io_uring")
    before = URING.read_text()
    URING.write_text("Y")
    try:
        yield
    finally:
        URING.write_text(before)


def test_rings_are_taken_where_the_kernel_offers_them(sandbox, profile):
    with rings_offered():
        for options, taken in ((), True), (["spin=off"], True), (["io_uring=off"], False):
            with sandbox.plyfs([sandbox.directory("lower")], sandbox.directory("upper"),
                               sandbox.directory("work"), profile=profile, options=options) as mount:
                pid, = daemons(mount.at)
                (mount / "file").touch()
                assert bool(threads_named(pid, "fuse-ring-0\n")) == taken, options


def test_with_rings_files_that_are_gone_are_forgotten_many_at_once(store, sandbox):
    with rings_offered():
        at = sandbox.directory("mnt")
        store.plyfs("create", "--name", "web", "--lower", sandbox.directory("lower"))
        store.watched.append(at)
        store.plyfs("mount", "web", at)
        pids = daemons(at)
        before = descriptors(pids)
        for i in range(2_000):
            (at / f"file{i}").touch()
        for i in range(2_000):
            (at / f"file{i}").unlink()
        # What was unlinked is held until the kernel has said that nobody has it open.
        wait_for(lambda: descriptors(pids) < before + 100, "all to be forgotten", 60)
        asked = {row["Operation"]: row["Requests"] for row in
                 map(json.loads, store.plyfs("stats", "--json", "web").stdout.splitlines())}
        assert asked["unlink"] == 2_000 and asked["forget"] < 1_000, asked


def test_of_two_processors_a_client_stays_on_that_of_its_ring(sandbox, profile):
    need_two_processors()
    ours = os.sched_getaffinity(0)
    with rings_offered(), mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
        pid, = daemons(mount.at)
        with asking(mount) as client:
            for _ in whenever_it_went_on(client, 5):
                wait_for(lambda: len(placed(pid)[0]) == 1, "the vigil on the other processor", 60)
            second = subprocess.Popen([sys.executable, "-c", ASK, mount.at])
            try:
                wait_for(lambda: placed(pid)[0] == ours, "the vigil to leave two clients alone", 60)
            finally:
                second.kill()
                second.wait()
        wait_for(lambda: is_idle(pid), "half a second without a tick of processor time", 60)


@pytest.mark.parametrize("policy", ["SCHED_OTHER", "SCHED_FIFO"])
def test_a_vigil_gives_way_to_who_else_wants_its_processor(sandbox, profile, policy):
    """Whether it has to wait often, or now and then and long."""
    need_two_processors()
    need_root()
    ours, rests = os.sched_getaffinity(0), 0
    with mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
        pid, = daemons(mount.at)
        with asking(mount) as client:
            wait_for(lambda: len(placed(pid)[0]) == 1, "the vigil to be bound", 60)
            busy = subprocess.Popen(["sh", "-c", "while :; do :; done"])
            try:
                os.sched_setscheduler(busy.pid, getattr(os, policy), os.sched_param(policy == "SCHED_FIFO"))
                for _ in whenever_it_went_on(client, 6_000):
                    where, _ = placed(pid)
                    if where != ours:
                        os.sched_setaffinity(busy.pid, where)  # after it, wherever it goes
                    rests += where == ours
                    if rests > 3:
                        break
            finally:
                busy.kill()
                busy.wait()
    assert rests > 3, "it rests again and again"


def test_a_client_that_may_not_go_everywhere_is_left_where_it_is(sandbox, profile):
    need_two_processors()
    with mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
        pid, = daemons(mount.at)
        with asking(mount, min(os.sched_getaffinity(0))) as client:
            for _ in whenever_it_went_on(client, 50):
                assert not placed(pid)[1]


def test_a_mount_that_was_busy_and_is_idle_uses_no_processor(sandbox, profile):
    with mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
        pid, = daemons(mount.at)
        for i in range(2_000):
            os.close(os.open(mount / f"file{i}", os.O_CREAT | os.O_WRONLY))
        wait_for(lambda: is_idle(pid), "half a second without a tick of processor time", 60)


def test_spinning_can_be_left_alone(sandbox, profile):
    with sandbox.plyfs([sandbox.directory("lower")], sandbox.directory("upper"),
                       sandbox.directory("work"), profile=profile, options=["spin=off"]) as mount:
        pid, = daemons(mount.at)
        assert not vigils(pid)
        (mount / "file").write_bytes(b"served all the same")
        assert (mount / "file").read_bytes() == b"served all the same"


def test_a_daemon_with_one_processor_leaves_it_to_its_clients(sandbox, profile):
    ours = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(ours)})
        with mounted(sandbox, [sandbox.directory("lower")], profile) as mount:
            pid, = daemons(mount.at)
            assert not vigils(pid)
            (mount / "file").write_bytes(b"served all the same")
            assert (mount / "file").read_bytes() == b"served all the same"
    finally:
        os.sched_setaffinity(0, ours)
