# SPDX-License-Identifier: MIT
"""A long time of mixed load on a named mount, with volumes that come and go, commits and remounts:
nothing is lost, and what the daemon holds stays what it was.

PLYFS_SOAK_SECONDS is how long: 20 minutes with PLYFS_FULL=1, else less than a minute. Latencies are
told in the run's output; no test depends on them.
"""
import os
import pathlib
import random
import threading
import time

import pytest

from harness import PLYFS, need_fuse, need_root, run, umount
from procfs import daemons, descriptors, is_idle, resident, threads
from storekit import Store, wait_for

FULL = os.environ.get("PLYFS_FULL") == "1"
SECONDS = int(os.environ.get("PLYFS_SOAK_SECONDS", 1200 if FULL else 30))
WORKERS = 4
ROUND = 3  # seconds of load between two rests
ROUNDS_OF_A_MOUNT = 4
CACHED = 16
MIB = 1 << 20


@pytest.fixture
def store(sandbox):
    store = Store(sandbox)
    yield store
    store.close()


def fill_layer(lower):
    for worker in range(WORKERS):
        for i in range(200):
            path = lower / f"w{worker}" / f"d{i % 10}" / f"lower{i}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % i * 500)
    (lower / "data").mkdir()


class Worker:
    """Does what programs do in a directory of its own, and knows what must be there."""

    def __init__(self, number, lower):
        self.top = pathlib.Path(f"w{number}")
        self.rng = random.Random(number)
        self.files = {path.relative_to(lower): path.read_bytes()
                      for path in (lower / self.top).rglob("*") if path.is_file()}
        self.folders = sorted({path.parent for path in self.files})
        self.count, self.latencies = 0, []

    def pick(self):
        return self.rng.choice(sorted(self.files))

    def fresh(self):
        self.count += 1
        return self.rng.choice(self.folders) / f"made{self.count}"

    def create(self, at):
        path, content = self.fresh(), self.rng.randbytes(self.rng.randrange(20_000))
        (at / path).write_bytes(content)
        self.files[path] = content

    def append(self, at):
        path, more = self.pick(), self.rng.randbytes(100)
        with open(at / path, "ab") as file:
            file.write(more)
        self.files[path] = (self.files[path] + more)[:]

    def truncate(self, at):
        path = self.pick()
        os.truncate(at / path, len(self.files[path]) // 2)
        self.files[path] = self.files[path][:len(self.files[path]) // 2]

    def remove(self, at):
        if len(self.files) > 150:
            path = self.pick()
            os.unlink(at / path)
            del self.files[path]

    def rename(self, at):
        path, to = self.pick(), self.fresh()
        os.rename(at / path, at / to)
        self.files[to] = self.files.pop(path)

    def replace(self, at):
        path, over = self.pick(), self.pick()
        os.rename(at / path, at / over)
        if path != over:
            self.files[over] = self.files.pop(path)

    def chmod(self, at):
        os.chmod(at / self.pick(), self.rng.choice([0o600, 0o644]))

    def read(self, at):
        path = self.pick()
        assert (at / path).read_bytes() == self.files[path], path

    def walk(self, at):
        folder = self.rng.choice(self.folders)
        there = {folder / name for name in os.listdir(at / folder)}
        assert there == {path for path in self.files if path.parent == folder}

    def folder(self, at):
        path = self.fresh()
        os.mkdir(at / path)
        os.rename(at / path, at / f"{path}.moved")
        os.rmdir(at / f"{path}.moved")

    def work(self, at, stop):
        acts = [self.create, self.append, self.truncate, self.remove, self.remove, self.rename,
                self.replace, self.chmod, self.read, self.read, self.walk, self.folder]
        while not stop.is_set():
            act = self.rng.choice(acts)
            start = time.perf_counter()
            act(at)
            self.latencies.append(time.perf_counter() - start)

    def verify(self, at):
        there = {path.relative_to(at): path.read_bytes()
                 for path in (at / self.top).rglob("*") if path.is_file()}
        assert there == self.files


class Soak:
    def __init__(self, sandbox, store):
        self.store = store
        self.lower = pathlib.Path(sandbox.directory("lower"))
        fill_layer(self.lower)
        self.volume = pathlib.Path(sandbox.directory("volume"))
        (self.volume / "hello").write_text("from the host")
        self.workers = [Worker(i, self.lower) for i in range(WORKERS)]
        tar = sandbox.path / "base.tar"
        run("tar", "-cf", tar, "-C", self.lower, ".")
        store.plyfs("image", "import", "base", tar)
        store.plyfs("create", "--name", "soak", "-o", "io_uring=off", "base")
        self.at = store.mount("soak")
        self.rounds, self.attached, self.failures = 0, 0, []

    def pid(self):
        pid, = daemons_of(self.at)
        return pid

    def run_workers(self, stop):
        def work(worker):
            try:
                worker.work(self.at, stop)
            except BaseException as error:  # noqa: BLE001  (told by the main thread)
                self.failures.append(error)
                raise
        started = [threading.Thread(target=work, args=(worker,)) for worker in self.workers]
        for thread in started:
            thread.start()
        return started

    def load(self):
        """One round: the workers work while volumes come and go; then a commit is made."""
        stop = threading.Event()
        started = self.run_workers(stop)
        end = time.monotonic() + ROUND
        self.rounds += 1
        try:
            while time.monotonic() < end and not self.failures:
                self.store.plyfs("attach", "soak", f"{self.volume}:/data")
                self.attached += 1
                assert (self.at / "data" / "hello").read_text() == "from the host"
                self.store.plyfs("detach", "--lazy", "soak", "/data")
                assert os.listdir(self.at / "data") == []
        finally:
            stop.set()
            for thread in started:
                thread.join()
        assert not self.failures, self.failures
        # A tree that never holds still is refused.
        self.store.plyfs("commit", "soak", f"soaked:{self.rounds}")
        self.store.plyfs("image", "rm", f"soaked:{self.rounds}")

    def rest(self):
        """What the daemon holds when nobody asks anything of it and the kernel has forgotten all."""
        pid = self.pid()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
        wait_for(lambda: is_idle(pid), "half a second without a tick of processor time", 60)
        return {"descriptors": descriptors([pid]), "threads": threads(pid),
                "resident": resident([pid])}

    def remount(self):
        pid = self.pid()
        umount(self.at)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon is gone")
        self.store.plyfs("mount", "soak", self.at)
        for worker in self.workers:
            worker.verify(self.at)

    def percentile(self):
        every = sorted(latency for worker in self.workers for latency in worker.latencies)
        for worker in self.workers:
            worker.latencies.clear()
        return len(every), every[len(every) * 99 // 100] * 1000


def daemons_of(at):
    return daemons(os.fspath(at))


def tell(line):
    if os.environ.get("PLYFS_REPORT"):
        with open(os.environ["PLYFS_REPORT"], "a", encoding="utf-8") as file:
            file.write(line + "\n")


def sanitized():
    return b"__asan_init" in pathlib.Path(PLYFS).read_bytes()


def test_a_long_time_of_mixed_load_leaves_everything_as_it_was(sandbox, store):
    need_fuse()
    need_root()
    soak = Soak(sandbox, store)
    end = time.monotonic() + SECONDS
    mounts = []
    while time.monotonic() < end or len(mounts) < 2:
        rests = []
        for _ in range(ROUNDS_OF_A_MOUNT):
            soak.load()
            rests.append(soak.rest())
        mounts.append(rests)
        count, slow = soak.percentile()
        tell(f"mount {len(mounts)}: {count} operations, 99% within {slow:.1f} ms; "
             f"at rest {rests[0]} -> {rests[-1]}")
        soak.remount()
    for rests in mounts:
        assert {rest["threads"] for rest in rests} == {mounts[0][0]["threads"]}, mounts
        # Some directories stay open as long as there is room: fewer than volumes came and went.
        assert rests[-1]["descriptors"] <= rests[0]["descriptors"] + CACHED, mounts
    if not sanitized():
        every = [rest["resident"] for rests in mounts for rest in rests]
        assert max(every) < every[0] + 16 * MIB, mounts
    assert soak.attached > 2 * CACHED
    umount(soak.at)
    wait_for(lambda: not daemons_of(soak.at), "the daemon is gone")
    assert store.plyfs("doctor").stdout == ""
