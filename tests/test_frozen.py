# SPDX-License-Identifier: MIT
"""A store whose filesystem is read-only, as after a fault of its disk: all of it can be had, and nothing changes."""
import contextlib
import sqlite3

import pytest

import harness
from harness import need_root, run
from storekit import Store

LOOKS = (
    "volume export data",    # first: it leaves the time of its use
    "image ls --format json", "layer ls --format json", "ps -a --format json", "volume ls --format json",
    "inspect web", "image inspect made", "volume inspect data", "diff web", "ls --json web /etc", "cat web /etc/new",
    "explain --json web /etc/gone", "shadow web", "copyups --json web", "waste --json web", "policy web", "doctor", "doctor --layers",
    "export web", "image export made", "layer export LAYER", "layer verify LAYER",
    "expect web absent /etc/gone",
)
CHANGES = (
    "create made", "create --lower LOWER", "mount web AT", "mount --ro web AT", "mount --rm made AT", "rm web",
    "rename web other", "commit web new", "image rm made", "image import new TAR", "layer import TAR",
    "layer rm LAYER", "volume create fresh", "volume rm spare", "volume rename spare fresh",
    "volume clone data fresh", "volume import spare TAR", "run --rm made -- true", "policy web --deny /etc",
)


@contextlib.contextmanager
def frozen(store):
    """Its directory, read-only where it is."""
    run("mount", "--bind", store.path, store.path)
    try:
        run("mount", "-o", "remount,bind,ro", store.path)
        yield
    finally:
        run("umount", store.path)


@pytest.fixture
def full(sandbox):
    """A store with one of everything, under a name that has to be written otherwise in a URI."""
    need_root()
    store = Store(sandbox)
    store.path = store.path.parent / "a store? 100%25 #1"
    lower = sandbox.directory("lower")
    (lower / "etc").mkdir()
    (lower / "etc/gone").write_text("gone")
    (lower / "etc/kept").write_text("kept")
    tar = sandbox.path / "lower.tar"
    run("tar", "-cf", tar, "-C", lower, ".")
    store.plyfs("image", "import", "made", tar)
    store.plyfs("create", "--name", "web", "-v", "data:/data", "made")
    at = store.mount("web")
    (at / "etc/new").write_text("new")
    (at / "etc/kept").chmod(0o600)
    (at / "etc/gone").unlink()
    (at / "data/row").write_text("row")
    store.plyfs("umount", "web")
    store.plyfs("volume", "create", "spare")
    layer, = store.plyfs("layer", "ls", "-q").stdout.split()
    store.words = {"LAYER": layer, "LOWER": lower, "TAR": tar, "AT": sandbox.directory("elsewhere")}
    yield store
    store.close()


def ask(store, line):
    done = store.plyfs(*(store.words.get(word, word) for word in line.split()), check=False)
    return done.returncode, done.stdout, done.stderr


def test_everything_in_it_is_told_and_exported_as_before(full):
    before = {line: ask(full, line) for line in LOOKS}
    assert all(status == 0 and not told for status, _, told in before.values()), before
    digest = harness.digest(full.path)
    with frozen(full):
        for line in LOOKS:
            assert ask(full, line) == before[line], line
    assert harness.digest(full.path) == digest


def test_what_the_log_of_the_catalog_has_is_told_too(full):
    """Whoever had it open when the disk failed has left a log, and an index of it."""
    with contextlib.closing(sqlite3.connect(full.path / "catalog.db")) as kept:
        kept.execute("SELECT count(*) FROM mount").fetchone()
        full.plyfs("create", "--name", "late", "made")
        assert (full.path / "catalog.db-wal").stat().st_size > 0
        with frozen(full):
            assert {line["Name"] for line in full.listed("-a")} == {"late", "web"}


@pytest.mark.parametrize("line", CHANGES)
def test_what_would_change_it_is_refused(full, line):
    digest = harness.digest(full.path)
    with frozen(full):
        status, _, told = ask(full, line)
    assert status not in (0, -6, -11) and ("ead-only" in told or "EROFS" in told), (status, told)
    assert not harness.is_mounted(full.words["AT"]) and harness.digest(full.path) == digest
