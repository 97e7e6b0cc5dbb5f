# SPDX-License-Identifier: MIT
"""What is left when a container, a namespace or a daemon has gone: no daemon, no mount, no file."""
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

import engines
from harness import PLYFS, Sandbox, is_mounted, need_fuse, need_root, run, umount
from worlds import fill

FULL = os.environ.get("PLYFS_FULL") == "1"
CONTAINERS = 200 if FULL else 6
PROGRAM = os.path.abspath(PLYFS)


# ---- a mount namespace that comes to its end -----------------------------------------------------

@pytest.fixture
def place(sandbox):
    """A layer, and the words that mount it."""
    need_fuse()
    need_root()
    lower, upper, work, at = (sandbox.directory(name) for name in ("lower", "upper", "work", "mnt"))
    fill(lower, {"f": "lower\n"})
    sandbox.guard(lower)
    sandbox.at = at
    sandbox.words = [PROGRAM, "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", str(at)]
    return sandbox


def namespace(script, *words, propagation="private", **kwargs):
    return subprocess.Popen(["unshare", "-m", "--propagation", propagation, "sh", "-euc", script, *map(str, words)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kwargs)


def finish(process):
    """Lets a script go on that waits in `read`."""
    process.stdin.close()
    process.stdout.close()
    assert process.wait(20) == 0


def test_a_mount_ends_with_the_mount_namespace_that_it_is_in(place):
    process = namespace('"$@"; echo here; read line || true', "sh", *place.words)
    assert process.stdout.readline() == "here\n"
    daemon, = engines.daemons_of(place.path)
    finish(process)
    assert engines.ended([daemon]) == []


def test_daemons_of_a_program_and_of_a_newer_one_do_not_keep_each_other(place):
    """As after an upgrade, which puts another file in the place of the program."""
    old = place.path / "plyfs"
    shutil.copy2(PROGRAM, old)
    second = [place.directory(name) for name in ("upper2", "work2", "mnt2")]
    script = ('new=$1; shift; "$0" "$@"; rm "$0"; cp "$new" "$0"; '
              '"$0" mount --lower "$LOWER" --upper "$UPPER" --work "$WORK" "$AT"; echo here; read line || true')
    env = {**os.environ, "LOWER": place.words[2].split("=")[1].split(",")[0], "UPPER": str(second[0]),
           "WORK": str(second[1]), "AT": str(second[2])}
    process = namespace(script, old, PROGRAM, *place.words[1:], env=env)
    assert process.stdout.readline() == "here\n"
    daemons = engines.daemons_of(place.path)
    assert len(daemons) == 2
    finish(process)
    assert engines.ended(daemons) == []


def test_it_stays_while_another_than_who_mounted_it_lives_there(place):
    script = '(exec 0<&- >/dev/null; "$@"); echo here; read line || true; cat "$0/f"; read line || true'
    process = namespace(script, place.at, "sh", "-c", '"$@"', "sh", *place.words)
    assert process.stdout.readline() == "here\n"
    daemon, = engines.daemons_of(place.path)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "lower\n"
    finish(process)
    assert engines.ended([daemon]) == []


def test_what_was_taken_along_into_another_namespace_is_served_on(place):
    """As a container is that runs on when the namespace of the tool that began it has gone."""
    script = '"$@"; unshare -m --propagation private sh -c "echo here; read line" <"$0" & read line || true'
    fifo = place.path / "fifo"
    os.mkfifo(fifo)
    process = namespace(script, fifo, *place.words)
    with open(fifo, "w", encoding="utf-8") as other:
        assert process.stdout.readline() == "here\n"
        daemon, = engines.daemons_of(place.path)
        inside, = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                   if comes_from(pid, process.pid)]
        process.stdin.close()
        assert process.wait(20) == 0
        mounted = pathlib.Path(f"/proc/{inside}/root{place.at}/f")
        # The daemon takes its own mount away now; here and there it is asked on.
        for _ in range(200):
            assert mounted.read_text() == "lower\n"
            os.utime(mounted)
        other.write("\n")
    assert engines.ended([inside, daemon]) == []
    process.stdout.close()


def comes_from(pid, parent):
    try:
        words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[1]) == parent and b"echo here" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_what_others_see_as_well_stays_when_its_namespace_ends(place):
    """A shared mount is one of the outer namespace too."""
    run("mount", "--bind", place.at, place.at)
    run("mount", "--make-shared", place.at)
    try:
        process = namespace('"$@"; echo here; read line || true', "sh", *place.words, propagation="unchanged")
        assert process.stdout.readline() == "here\n"
        finish(process)
        assert (place.at / "f").read_text() == "lower\n"
        daemon, = engines.daemons_of(place.path)
        umount(place.at)
        assert engines.ended([daemon]) == []
    finally:
        umount(place.at)


# ---- a daemon that was killed --------------------------------------------------------------------

def kill_daemon(place):
    daemon, = engines.daemons_of(place)
    os.kill(daemon, signal.SIGKILL)
    assert engines.ended([daemon]) == []


def test_a_mount_is_made_in_the_place_of_one_whose_daemon_was_killed(place):
    """What is left of that answers ENOTCONN to whoever looks, the next mount included."""
    run(*place.words)
    kill_daemon(place.path)
    run(*place.words)
    assert (place.at / "f").read_text() == "lower\n"
    umount(place.at)
    assert not is_mounted(place.at)


@pytest.fixture(scope="module")
def world():
    need_fuse()
    box = Sandbox()
    try:
        with engines.machine(box):
            tree = box.directory("tree")
            (tree / "bin").mkdir()
            shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
            (tree / "bin/sh").symlink_to("busybox")
            (tree / "etc").mkdir()
            (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
            yield box
    finally:
        box.close()


@pytest.fixture(params=["root", "user"])
def storage(request, world):
    """A storage with one image, localhost/small."""
    program = shutil.copy(PLYFS, world.directory("bin") / "fuse-overlayfs")
    storage = engines.Storage(world, program, engines.UID if request.param == "user" else None)
    first = storage.buildah("from", "scratch")
    storage.buildah("copy", "-q", first, world.path / "tree", "/")
    storage.buildah("commit", "-q", "--rm", first, "localhost/small")
    yield storage
    assert storage.close() == []


def test_the_tools_recover_from_a_killed_daemon(storage):
    """Their own way is to unmount; what was written before is there, and a commit has it."""
    name = storage.buildah("from", "--pull-never", "localhost/small")
    if storage.user:
        script = '''at=$(buildah mount "$0"); echo kept > "$at/etc/kept"
            kill -9 $(pgrep -f "[f]use-overlayfs.* $at"); while ls "$at" 2>/dev/null; do :; done
            buildah umount "$0" >/dev/null; cat "$(buildah mount "$0")/etc/kept"
            kill -9 $(pgrep -f "[f]use-overlayfs.* $at"); while ls "$at" 2>/dev/null; do :; done'''
        assert storage.call("buildah", "unshare", "sh", "-euc", script, name).stdout == "kept\n"
    else:
        (pathlib.Path(storage.buildah("mount", name)) / "etc/kept").write_text("kept\n")
        kill_daemon(storage.place / "root")
        storage.buildah("umount", name)
        assert (pathlib.Path(storage.buildah("mount", name)) / "etc/kept").read_text() == "kept\n"
        kill_daemon(storage.place / "root")
    storage.buildah("commit", "-q", name, "localhost/kept")
    storage.buildah("umount", name)
    storage.run_in(name, 'test "$(cat /etc/kept)" = kept')
    storage.buildah("rm", name)
    other = storage.buildah("from", "--pull-never", "localhost/kept")
    storage.run_in(other, 'test "$(cat /etc/kept)" = kept')
    storage.buildah("rm", other)


# ---- many containers -----------------------------------------------------------------------------

def test_many_containers_leave_no_daemon_no_mount_and_no_file(storage):
    before = storage.layers()
    for number in range(CONTAINERS):
        name = storage.buildah("from", "--pull-never", "localhost/small")
        storage.run_in(name, f'echo {number} > /etc/number; test "$(cat /etc/number)" = {number}')
        storage.buildah("rm", name)
        assert storage.layers() == before
    assert engines.ended(engines.daemons_of(storage.place)) == []
    assert engines.mounts_of(storage.place) == []


def test_a_container_can_be_removed_as_soon_as_it_is_unmounted(storage):
    if storage.user:
        script = '''for i in $(seq 5); do echo $i > "$(buildah mount "$0")/etc/number"; buildah umount "$0" >/dev/null
            done; buildah rm "$0" >/dev/null'''
        storage.call("buildah", "unshare", "sh", "-euc", script,
                     storage.buildah("from", "--pull-never", "localhost/small"))
        return
    before = storage.layers()
    for number in range(5):
        name = storage.buildah("from", "--pull-never", "localhost/small")
        (pathlib.Path(storage.buildah("mount", name)) / "etc/number").write_text(str(number))
        storage.buildah("umount", name)
        storage.buildah("rm", name)
        assert storage.layers() == before
