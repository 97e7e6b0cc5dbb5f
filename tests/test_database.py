# SPDX-License-Identifier: MIT
"""Databases of a Debian rootfs keep their word on a volume, whoever is killed.

SQLite and PostgreSQL run in a chroot of a mount, their data on a named volume. Transfers move money
between accounts; a writer's client prints the number of a transfer when its commit is acknowledged,
into a file outside the mount. The database is killed as soon as the clients have printed a number
drawn by lot, and so is the daemon of the mount. After each recovery the database finds itself sound,
no money was made or lost, every transfer that was acknowledged is there, and at most the one after it.
In the end the same directory is opened on the host, where plyfs has no part in it.

build/rootfs-database.tar is made once and kept.
"""
import contextlib
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import types

import pytest

import layers_kit as kit
from harness import ROOT, Sandbox, need, need_fuse, need_root, need_tool, run
from storekit import Store, wait_for

TAR = ROOT / "build" / "rootfs-database.tar"
PACKAGES = ["sqlite3", "postgresql"]
WORLDS = {
    "tracked": "profile=tracked",
    "stateless": "profile=stateless",
    "cacheless": "profile=tracked,passthrough=off",  # as without privilege
}
FULL = os.environ.get("PLYFS_FULL") == "1"
ACCOUNTS, OPENING = 40, 1000
ROUNDS = 8 if FULL else 2

# Steps of a shell in namespaces of its own. $0 is the tree; what a step uses up it takes away.
# The first process of a namespace of pids says who it is outside: who kills it kills all of them.
TELL = 'read -r pid _ </proc/self/stat; echo "$pid"; exec >/dev/null\n'
# The tree without plyfs: the layer $1, read-only, with directories of the host at $3 and /tmp.
BIND = """
mount --bind "$1" "$0"; mount -o remount,bind,ro "$0"
mount --bind "$2" "$0$3"; mount --bind "$4" "$0/tmp"; shift 4
"""
# The machine's /dev and /proc, but shared memory that ends with its processes; then who and what.
ENTER = """
mount --rbind /dev "$0/dev"; mount -t tmpfs tmpfs "$0/dev/shm"; mount --rbind /proc "$0/proc"
user=$1; shift
exec chroot --userspec="$user" "$0" "$@"
"""


# ---- the rootfs and its mount -------------------------------------------------------------------

@pytest.fixture(scope="module")
def debian():
    """A store with the image of a Debian that has both databases."""
    need_root()
    need_fuse()
    need_tool("mmdebstrap", "unshare", "chroot")
    run("sh", ROOT / "tests" / "rootfs.sh", TAR, *PACKAGES, timeout=1200)
    need(TAR.with_name(TAR.name + ".packages").read_text().startswith("debian "),
         "no Debian root can be made here")
    box = Sandbox(kit.roomy(3 << 30))
    store = Store(box)
    try:
        store.plyfs("image", "import", "debian", TAR, timeout=300)
        layer, = json.loads(store.plyfs("image", "inspect", "debian").stdout)[0]["LayerPaths"]
        box.guard(layer)
        yield types.SimpleNamespace(store=store, layer=pathlib.Path(layer))
    finally:
        store.close()
        box.close()


class Guest:
    """A mount of the image with a volume over one directory, and what runs in a chroot of it; or, while
    it is `straight`, in a chroot of the layer with the volume's directory bound over it."""

    def __init__(self, debian, name, world, data):
        self.store, self.layer, self.name, self.data = debian.store, debian.layer, name, data
        self.scratch = self.store.sandbox.directory(name)
        self.at, self.tmp = self.scratch / "mnt", self.scratch / "tmp"
        self.at.mkdir()
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)
        self.straight, self.started = False, []
        self.store.plyfs("create", "--name", name, "-o", WORLDS[world], "-v", f"{name}:{data}", "debian")
        self.mount()
        self.host = self.store.path / "volumes" / name / "_data"

    def command(self, *argv, user="root:root", alone=False):
        """How to run something in the tree; alone: in namespaces of pids and of System V's memory."""
        bound = [self.layer, self.host, self.data, self.tmp] if self.straight else []
        script = (TELL if alone else "") + (BIND if bound else "") + ENTER
        unshare = ["-mpif", "--kill-child"] if alone else ["-m"]
        return ["unshare", *unshare, "sh", "-ec", script, self.at, *bound, user, *argv]

    def start(self, argv, **files):
        """A process that is killed with the guest at the latest."""
        self.started.append(subprocess.Popen([os.fspath(a) for a in argv], **files))
        return self.started[-1]

    def end(self, *children):
        for child in children:
            child.kill()
            child.wait()

    def end_all(self):
        self.end(*self.started)
        self.started.clear()

    def mount(self):
        self.store.mount(self.name, self.at)

    def kill_daemon(self):
        os.kill(json.loads(self.store.plyfs("inspect", self.name).stdout)[0]["Pid"], signal.SIGKILL)
        wait_for(lambda: self.store.state(self.name) == "dead", "the daemon is dead")

    def unmount(self):
        # The namespace of a process goes a moment after the process.
        wait_for(lambda: self.store.plyfs("umount", self.name, check=False).returncode == 0, "nobody is inside")

    def close(self):
        self.end_all()
        self.store.plyfs("umount", "--lazy", self.name, check=False)
        # What runs in namespaces of its own is killed with them, a moment later.
        wait_for(lambda: self.store.state(self.name) != "mounted", "its daemon has ended")


@pytest.fixture
def guests(debian):
    """Makes guests, and ends them."""
    made = []

    def make(*argv):
        made.append(Guest(debian, *argv))
        return made[-1]

    yield make
    for guest in made:
        guest.close()


# ---- transfers ----------------------------------------------------------------------------------

SCHEMA = f"""
CREATE TABLE account (id integer PRIMARY KEY, balance integer NOT NULL);
CREATE TABLE transfer (writer integer, number integer, source integer, target integer, amount integer,
                       note text, PRIMARY KEY (writer, number));
INSERT INTO account VALUES {", ".join(f"({i}, {OPENING})" for i in range(ACCOUNTS))};
"""
# What is wrong with the accounts: nothing, in a database that keeps its word.
WRONG = f"""
SELECT 'account', id FROM account WHERE balance <> {OPENING}
    - (SELECT coalesce(sum(amount), 0) FROM transfer WHERE source = id)
    + (SELECT coalesce(sum(amount), 0) FROM transfer WHERE target = id);
SELECT 'sum', sum(balance) FROM account HAVING sum(balance) <> {ACCOUNTS * OPENING};
"""
CONTENT = ["SELECT * FROM account ORDER BY id", "SELECT * FROM transfer ORDER BY writer, number"]


def transfers(begin, writer, rng, count=24_000):
    """A script of transfers; each prints its number when the database has acknowledged it. Accounts are
    taken in order, so that no two writers wait for each other."""
    for number in range(count):
        source, target = rng.sample(range(ACCOUNTS), 2)
        amount = rng.randrange(1, 100)
        changes = sorted([(source, -amount), (target, amount)])
        yield (f"{begin};\n" + "".join(f"UPDATE account SET balance = balance + {change} WHERE id = {i};\n"
                                       for i, change in changes) +
               f"INSERT INTO transfer VALUES ({writer}, {number}, {source}, {target}, {amount}, "
               f"'{rng.randbytes(rng.randrange(200)).hex()}');\nCOMMIT;\nSELECT {number};\n")


class Writer:
    """A client that makes transfers until it is killed."""

    def __init__(self, database, number):
        self.guest, self.number = database.guest, number
        script, self.said, self.errors = (self.guest.scratch / f"{what}-{number}"
                                          for what in ("script", "said", "errors"))
        script.write_text("".join(transfers(database.begin, number, database.rng)))
        with open(script, "rb") as commands, open(self.said, "wb") as out, open(self.errors, "wb") as errors:
            self.child = self.guest.start(database.client(), stdin=commands, stdout=out, stderr=errors)

    def acknowledged(self):
        """How many transfers: a line that is not whole does not count."""
        return self.said.read_bytes().count(b"\n")

    def must_run(self):
        assert self.child.poll() is None, f"writer {self.number} gave up: {self.errors.read_text()}"


class Bank:
    """What both databases have in common: writers, and what must be true after each recovery."""

    def __init__(self, guest, seed):
        self.guest, self.rng, self.writers = guest, random.Random(seed), []

    def start_writers(self, count):
        new = [Writer(self, len(self.writers) + i) for i in range(count)]
        self.writers += new
        return new

    def wait_for_transfers(self, writers, limit):
        """Until the writers have made some more transfers, as many as the lot says."""
        enough = sum(w.acknowledged() for w in writers) + self.rng.randrange(1, limit)

        def made():
            for writer in writers:
                writer.must_run()
            return sum(w.acknowledged() for w in writers) >= enough
        wait_for(made, f"{enough} transfers", 120)

    def check_transfers(self, query):
        """query(text): its rows, as lists of words."""
        assert query(WRONG) == []
        found = {}
        for writer, number in query("SELECT writer, number FROM transfer ORDER BY writer, number"):
            found.setdefault(int(writer), []).append(int(number))
        for writer in self.writers:
            numbers, acknowledged = found.get(writer.number, []), writer.acknowledged()
            assert numbers == list(range(len(numbers))), f"writer {writer.number} has gaps"
            assert len(numbers) in (acknowledged, acknowledged + 1), \
                f"writer {writer.number}: {acknowledged} acknowledged, {len(numbers)} there"


# ---- SQLite -------------------------------------------------------------------------------------

class SQLite(Bank):
    begin = "BEGIN IMMEDIATE"
    place = "/srv"

    def __init__(self, guest, journal):
        super().__init__(guest, journal)
        assert self.query(f"PRAGMA journal_mode = {journal}") == [[journal]]
        self.query(SCHEMA)

    def client(self):
        return self.guest.command("sqlite3", "-batch", "-bail", "-cmd", ".timeout 60000",
                                  f"{self.place}/bank.db")

    def query(self, text):
        return [line.split("|") for line in run(*self.client(), input=text).stdout.splitlines()]

    def check(self):
        assert self.query("PRAGMA integrity_check") == [["ok"]]
        self.check_transfers(self.query)

    def content(self):
        return [row for query in CONTENT for row in self.query(query + ";")]

    def check_on_the_host(self):
        """Opens the volume's directory, recovers what was left there, and gives the content."""
        with contextlib.closing(sqlite3.connect(self.guest.host / "bank.db")) as straight:
            def query(text):
                return [list(map(str, row)) for part in text.split(";") for row in straight.execute(part)]
            assert query("PRAGMA integrity_check") == [["ok"]]
            self.check_transfers(query)
            return [row for text in CONTENT for row in query(text)]


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("world", WORLDS)
def test_sqlite_keeps_its_word_on_a_volume(guests, world, journal):
    guest = guests(f"sqlite-{journal}-{world}", world, SQLite.place)
    bank = SQLite(guest, journal)
    for _ in range(2 * ROUNDS):  # the database is killed: first one of its processes, then all of them
        first, *others = writers = bank.start_writers(3)
        bank.wait_for_transfers(writers, 100)
        guest.end(first.child)
        bank.wait_for_transfers(others, 100)
        guest.end_all()
        bank.check()
    for _ in range(ROUNDS):  # the daemon is killed
        bank.wait_for_transfers(bank.start_writers(3), 200)
        guest.kill_daemon()
        guest.end_all()
        guest.unmount()
        guest.mount()
        bank.check()
    bank.wait_for_transfers(bank.start_writers(3), 100)
    guest.end_all()
    guest.unmount()
    content = bank.check_on_the_host()
    guest.mount()
    bank.check()
    assert bank.content() == content


# ---- PostgreSQL ---------------------------------------------------------------------------------

class PostgreSQL(Bank):
    """A cluster in the volume, its socket in the union."""
    begin = "BEGIN"
    place = "/var/lib/postgresql"
    cluster = "/var/lib/postgresql/cluster"
    settings = ["listen_addresses=", "unix_socket_directories=/tmp",
                "checkpoint_timeout=30s", "max_wal_size=32MB"]

    def __init__(self, guest):
        super().__init__(guest, "postgresql")
        programs, = guest.layer.glob("usr/lib/postgresql/*/bin")
        self.programs = "/" / programs.relative_to(guest.layer)
        self.started = 0
        run(*self.program("initdb", "--data-checksums", "--auth=trust", "--locale=C", "-D", self.cluster))
        self.start()
        self.query(SCHEMA)
        run(*self.program("pgbench", "--initialize", "--quiet", "postgres"))

    def program(self, name, *argv, **how):
        return self.guest.command("env", "PGHOST=/tmp", self.programs / name, *argv,
                                  user="postgres:postgres", **how)

    def client(self):
        return self.program("psql", "-XAtq", "-F|", "-v", "ON_ERROR_STOP=1", "postgres")

    def query(self, text):
        return [line.split("|") for line in run(*self.client(), input=text).stdout.splitlines()]

    def start(self):
        """Starts the cluster and waits until it answers, after whatever recovery it needs."""
        self.started += 1
        self.log = self.guest.scratch / f"log-{self.started}"
        settings = [f"--{setting}" for setting in self.settings]
        with open(self.log, "wb") as log:
            self.server = self.guest.start(
                self.program("postgres", "-D", self.cluster, *settings, alone=True),
                stdout=subprocess.PIPE, stderr=log)
        with self.server.stdout as told:
            self.first = int(told.readline())

        def answers():
            assert self.server.poll() is None, self.log.read_text()
            return run(*self.program("psql", "-c", "", "postgres"), check=False).returncode == 0
        wait_for(answers, "the cluster answers", 120)

    def kill(self):
        """All its processes at once."""
        with contextlib.suppress(ProcessLookupError):  # it may have given up, as its daemon is dead
            os.kill(self.first, signal.SIGKILL)
        self.server.wait()

    def stop(self):
        os.kill(self.first, signal.SIGINT)
        assert self.server.wait(60) == 0, self.log.read_text()

    def work(self):
        """Writers, and pgbench's own transfers beside them, until the lot says enough."""
        load = self.guest.start(self.program("pgbench", "-n", "-c4", "-j2", "-T600", "postgres"),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for_transfers(self.start_writers(2), 300)
        assert load.poll() is None, "pgbench gave up"

    def check_recovered(self):
        assert "automatic recovery in progress" in self.log.read_text()
        self.check()

    def check(self):
        self.check_transfers(self.query)
        sums = self.query("SELECT sum(abalance) FROM pgbench_accounts; SELECT sum(tbalance) FROM pgbench_tellers;"
                          "SELECT sum(bbalance) FROM pgbench_branches; SELECT coalesce(sum(delta), 0) FROM pgbench_history;")
        assert sums == 4 * [sums[0]] and sums[0] != [""]
        assert self.query("SHOW data_checksums") == [["on"]]
        run(*self.program("pg_amcheck", "--install-missing", "--heapallindexed", "postgres"))

    def content(self):
        sums = [f"SELECT count(*), sum(hashtext(t::text)) FROM pgbench_{name} t"
                for name in ("accounts", "tellers", "branches", "history")]
        return [row for query in CONTENT + sums for row in self.query(query + ";")]


SLOW = pytest.mark.skipif(not FULL, reason="PLYFS_FULL=1 runs it: SQLite's runs go the same way")


@pytest.mark.parametrize("world", [
    "tracked", pytest.param("stateless", marks=SLOW), pytest.param("cacheless", marks=SLOW)])
def test_postgresql_keeps_its_word_on_a_volume(guests, world):
    guest = guests(f"postgresql-{world}", world, PostgreSQL.place)
    bank = PostgreSQL(guest)
    for _ in range(ROUNDS):  # the database is killed
        bank.work()
        bank.kill()
        guest.end_all()
        bank.start()
        bank.check_recovered()
    for _ in range(ROUNDS):  # the daemon is killed
        bank.work()
        guest.kill_daemon()
        bank.kill()
        guest.end_all()
        guest.unmount()
        guest.mount()
        bank.start()
        bank.check_recovered()
    bank.work()
    bank.kill()
    guest.end_all()
    guest.unmount()
    guest.straight = True
    bank.start()
    bank.check_recovered()
    content = bank.content()
    bank.stop()
    assert "Bad checksums:  0" in run(*bank.program("pg_checksums", "--check", "-D", bank.cluster)).stdout
    guest.straight = False
    guest.mount()
    bank.start()
    bank.check()
    assert bank.content() == content
    bank.stop()
