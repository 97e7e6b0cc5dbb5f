# SPDX-License-Identifier: MIT
"""From an image to a mount, its changes, and an image of them."""
import json
import os
import pathlib
import random
import shutil
import threading

import pytest

from harness import is_mounted, run
from storekit import Store, change_at_random, facts, wait_for


@pytest.fixture
def store(sandbox):
    store = Store(sandbox)
    yield store
    store.close()


def make_rootfs(folder, rng=None):
    for i in range(60):
        parts = [(rng or random).choice("abc") for _ in range(i % 4)]
        path = folder.joinpath(*parts) / f"file{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content {i}")
    os.link(folder / "file0", folder / "again")
    os.symlink("file0", folder / "link")
    os.chmod(folder / "file0", 0o4711)
    return folder


@pytest.fixture
def base(store):
    """An image "base" of one layer, made of a plain rootfs."""
    rootfs = make_rootfs(store.sandbox.directory("rootfs"), random.Random(1))
    tar = store.sandbox.path / "base.tar"
    run("tar", "-cpf", tar, "--xattrs", "-C", rootfs, ".")
    store.plyfs("image", "import", "base", tar)
    return rootfs


def mount_image(store, image, *options):
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("mount", *options, image, at)
    return pathlib.Path(at)


def seen_in(store, image):
    """The facts of an image's tree."""
    at = mount_image(store, image, "--rm")
    found = facts(at)
    store.plyfs("umount", at)
    return found


def test_a_mounted_image_shows_its_rootfs(store, base):
    assert seen_in(store, "base") == facts(base)


def test_the_image_of_a_commit_shows_the_changed_tree_and_the_first_one_is_untouched(store, base):
    before = seen_in(store, "base")
    at = mount_image(store, "base", "--name", "web")
    next(at.rglob("file1")).write_text("changed")
    next(at.rglob("file2")).unlink()
    shutil.rmtree(at / "a")
    (at / "new/deep").mkdir(parents=True)
    (at / "new/deep/file").write_text("new")
    os.rename(at / "b", at / "moved")
    after = facts(at)
    store.plyfs("umount", "web")
    id = store.plyfs("commit", "web", "base:2").stdout.strip()
    assert len(id) == 64
    assert seen_in(store, "base:2") == after
    assert seen_in(store, id) == after
    assert seen_in(store, "base") == before


@pytest.mark.parametrize("seed", range(6))
def test_commits_of_random_changes_show_what_their_mounts_showed(store, base, seed):
    rng = random.Random(seed)
    image = "base"
    for turn in range(3):
        name = f"turn{turn}"
        at = mount_image(store, image, "--name", name)
        change_at_random(at, rng, 40)
        expected = facts(at)
        image = f"turn:{turn}"
        if rng.random() < 0.5:
            store.plyfs("umount", name)
        store.plyfs("commit", name, image)
        if is_mounted(at):
            store.plyfs("umount", name)
        assert seen_in(store, image) == expected


def test_a_commit_of_a_mount_in_use_is_of_one_moment(store, base):
    """Two files that are always replaced one after the other must never be apart by more than one."""
    at = mount_image(store, "base", "--name", "web")
    over = threading.Event()

    def write():
        i = 0
        while not over.is_set():
            i += 1
            for name in ("first", "second"):
                (at / "tmp").write_text(str(i))
                os.rename(at / "tmp", at / name)
            over.wait(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for(lambda: (at / "second").exists(), "both are there")
        for turn in range(5):
            done = store.plyfs("commit", "web", f"turn:{turn}", check=False)
            if done.returncode != 0:
                assert "it is being changed all the time" in done.stderr
                continue
            look = mount_image(store, f"turn:{turn}", "--rm")
            first, second = ((look / name).read_text() for name in ("first", "second"))
            store.plyfs("umount", look)
            assert int(first) - int(second) in (0, 1)
    finally:
        over.set()
        writer.join()
    store.plyfs("umount", "web")


def test_instructions_change_the_config(store, base):
    store.plyfs("create", "--name", "web", "base")
    id = store.plyfs("commit", "--change", 'CMD ["sh", "-c", "date"]', "--change", "ENV A=1", "--change",
                     "WORKDIR /srv", "-m", "why", "web", "web:2").stdout.strip()
    config = json.loads(store.plyfs("image", "inspect", id).stdout)[0]
    text = json.dumps(config)
    assert '"date"' in text and '"A=1"' in text and '"/srv"' in text


def test_an_instruction_that_makes_no_sense_makes_nothing(store, base):
    store.plyfs("create", "--name", "web", "base")
    store.refused("commit", "--change", "RUN rm -rf /", "web", "web:2", words="RUN")
    store.refused("commit", "web", "Not/A:Name:", words="no name for an image")
    assert len(store.plyfs("image", "ls", "-q").stdout.split()) == 1


@pytest.mark.parametrize("name", [".wh.passwd", ".wh..wh..opq", ".wh..wh.plnk", ".wh."])
def test_a_file_with_the_name_of_a_whiteout_is_refused_and_not_taken_for_one(store, base, name):
    at = mount_image(store, "base", "--name", "web")
    (at / "dir").mkdir()
    (at / "dir" / name).write_text("a user's own")
    done = store.refused("commit", "web", "web:2", words="cannot commit web")
    assert f"dir/{name}" in done.stderr, "which of them it is"
    assert len(store.plyfs("image", "ls", "-q").stdout.split()) == 1
    (at / "dir" / name).unlink()
    store.plyfs("commit", "web", "web:2")
    store.plyfs("umount", "web")


def test_changes_that_no_layer_can_hold_are_told_by_name(store, base):
    at = mount_image(store, "base", "--name", "web")
    folder = at / "deep"
    for _ in range(300):
        folder = folder / "d"
    folder.mkdir(parents=True)
    done = store.refused("commit", "web", "web:2", words="cannot commit web")
    assert "deep/d/d/d" in done.stderr, "which of them it is"
    assert len(store.plyfs("image", "ls", "-q").stdout.split()) == 1
    assert not list((store.path / "stage").iterdir())
    store.plyfs("umount", "web")


def test_a_mount_on_directories_has_no_image_to_commit_to(store, base):
    store.plyfs("create", "--name", "web", "--lower", base)
    store.refused("commit", "web", "web:2", words="it stands on directories")


def test_an_ephemeral_mount_is_forgotten_when_it_is_unmounted(store, base):
    at = mount_image(store, "base", "--rm")
    (at / "made").write_text("made")
    line, = store.listed()
    assert line["Ephemeral"] is True
    store.plyfs("umount", at)
    assert store.listed("-a") == [] and not list((store.path / "mounts").iterdir())


def test_an_image_in_use_is_not_removed(store, base):
    store.plyfs("create", "--name", "web", "base")
    done = store.plyfs("image", "rm", "base", check=False)
    assert done.returncode == 1 and "web" in done.stderr
    store.plyfs("rm", "web")
    store.plyfs("image", "rm", "base")


def test_a_mount_of_an_image_that_fails_leaves_no_mount_behind(store, base):
    store.refused("mount", "base", store.sandbox.path / "missing", words="missing")
    assert store.listed("-a") == [] and not list((store.path / "mounts").iterdir())


def test_the_layer_of_a_commit_holds_the_changes_alone(store, base):
    at = mount_image(store, "base", "--name", "web")
    (at / "a").is_dir()
    (at / "one").write_text("one")
    store.plyfs("umount", "web")
    store.plyfs("commit", "web", "base:2")
    layers = [json.loads(line) for line in store.plyfs("layer", "ls", "--format", "json").stdout.splitlines()]
    assert sorted(layer["Files"] for layer in layers)[0] <= 2
