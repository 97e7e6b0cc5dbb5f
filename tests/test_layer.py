# SPDX-License-Identifier: MIT
"""The commands of `plyfs layer`, from archive to layer and back, as root and as an ordinary user."""
import fcntl
import hashlib
import io
import json
import os
import pathlib
import pty
import pwd
import re
import select
import shutil
import sqlite3
import stat
import struct
import subprocess
import tarfile
import termios
import time
import tty

import pytest

from harness import PLYFS, assert_same, digest, listing, need, need_root, need_tool, run
from layers_kit import namespaces_allowed

NOBODY = pwd.getpwnam("nobody")
COMPRESSED = {"plain": [], "gzip": ["-z"], "zstd": ["--zstd"], "xz": ["-J"], "bzip2": ["-j"]}


class Store:
    """A store of its own, and the program called on it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def __call__(self, *argv, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("check", True)
        return run(PLYFS, "layer", argv[0], "--root", self.path, *argv[1:], **kwargs)

    def add(self, *argv, **kwargs):
        """Imports, and gives the id: the only thing on stdout."""
        told = self("import", *argv, **kwargs).stdout
        assert re.fullmatch(r"[0-9a-f]{64}\n", told), told
        return told.strip()

    def refuse(self, *argv, **kwargs):
        """Runs what must fail with status 1 and a message; gives the message."""
        done = self(*argv, check=False, **kwargs)
        assert done.returncode == 1, (argv, done.stdout, done.stderr)
        assert done.stderr.startswith("plyfs: "), done.stderr
        return done.stderr

    def ids(self):
        return self("ls", "-q", "--no-trunc").stdout.split()

    def tree(self, layer):
        return pathlib.Path(json.loads(self("inspect", layer).stdout)[0]["Path"])

    def export(self, *argv):
        done = subprocess.run([PLYFS, "layer", "export", "--root", str(self.path), *map(str, argv)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def assert_empty(self):
        """No layer, and no byte of one."""
        assert self.ids() == []
        for part in ("layers", "stage"):
            assert list((self.path / part).iterdir()) == [], part


@pytest.fixture
def store(sandbox):
    return Store(sandbox.path / "store")


@pytest.fixture
def rootfs(sandbox):
    """A small tree with one of everything that an ordinary user can make."""
    root = sandbox.directory("rootfs")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_bytes(os.urandom(200_000))
    (root / "usr/bin/tool").chmod(0o755)
    os.link(root / "usr/bin/tool", root / "usr/bin/tool-again")
    (root / "usr/bin/sh").symlink_to("../bin/tool")
    (root / "etc").mkdir(mode=0o750)
    (root / "etc/empty").touch()
    (root / "etc/name with blanks \u00fc").write_text("text\n")
    (root / ("n" * 255)).write_text("long")
    with open(root / "sparse", "wb") as file:
        file.truncate(1 << 20)
    os.mkfifo(root / "pipe")
    os.setxattr(root / "etc/empty", "user.note", b"value")
    for path in [*root.rglob("*"), root]:
        os.utime(path, ns=(0, 1_700_000_000_000_000_000), follow_symlinks=False)
    return root


def tar_of(root, at, *options):
    """The tar tool's archive of a tree, the same bytes each time."""
    need_tool("tar")
    run("tar", "--format=posix", "--xattrs", "--sort=name",
        "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f", *options, "-cf", at, "-C", root, ".")
    return at


@pytest.fixture
def archive(sandbox, rootfs):
    return tar_of(rootfs, sandbox.path / "rootfs.tar")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---- in and out ---------------------------------------------------------------------------------

@pytest.mark.parametrize("way", COMPRESSED)
def test_a_tar_of_any_compression_is_the_layer_of_its_uncompressed_bytes(sandbox, store, rootfs, archive,
                                                                         way):
    packed = tar_of(rootfs, sandbox.path / f"{way}.tar", *COMPRESSED[way])
    layer = store.add(packed)
    assert layer == sha256(archive.read_bytes())
    assert store.export(layer) == archive.read_bytes()


def test_the_tree_of_a_layer_is_what_was_packed(store, rootfs, archive):
    need_root()
    layer = store.add(archive)
    assert_same(listing(rootfs), listing(store.tree(layer)))


def test_stdin_is_a_source(store, archive):
    with open(archive, "rb") as file:
        assert store.add("-", stdin=file) == sha256(archive.read_bytes())
    with subprocess.Popen(["cat", archive], stdout=subprocess.PIPE) as pipe:
        assert store.add("-", stdin=pipe.stdout) == sha256(archive.read_bytes())


def test_a_directory_becomes_a_layer_whose_export_gives_its_id(store, rootfs):
    before = digest(rootfs)
    layer = store.add(rootfs)
    assert digest(rootfs) == before
    packed = store.export(layer)
    assert sha256(packed) == layer
    assert store.export(layer) == packed
    assert_same(listing(rootfs, xattrs=False), listing(store.tree(layer), xattrs=False))


def test_a_directory_and_the_tar_that_it_exports_are_one_layer(sandbox, store, rootfs):
    layer = store.add(rootfs)
    again = sandbox.path / "again.tar"
    again.write_bytes(store.export(layer))
    other = Store(sandbox.path / "other")
    assert other.add(again) == layer
    one, two = listing(store.tree(layer)), listing(other.tree(layer))
    del one["."], two["."]  # a layer says nothing of what it is put into
    assert_same(one, two)


@pytest.mark.parametrize("way,tool", [("gzip", "gzip"), ("zstd", "zstd")])
def test_an_export_can_be_compressed(sandbox, store, archive, way, tool):
    need_tool(tool)
    layer = store.add(archive)
    packed = sandbox.path / "packed"
    store("export", "-o", packed, "--compress", way, layer)
    with open(packed, "rb") as file:
        unpacked = subprocess.run([tool, "-dc"], stdin=file, stdout=subprocess.PIPE, check=True).stdout
    assert sha256(unpacked) == layer


def test_an_export_to_a_file_appears_whole_and_replaces_what_was_there(sandbox, store, archive):
    layer = store.add(archive)
    out = sandbox.directory("out")
    (out / "file").write_text("old")
    store("export", "-o", out / "file", layer)
    assert (out / "file").read_bytes() == archive.read_bytes()
    assert stat.S_IMODE((out / "file").stat().st_mode) == 0o644
    assert [p.name for p in out.iterdir()] == ["file"]


def test_an_export_that_fails_leaves_no_file(sandbox, store, archive):
    layer = store.add(archive)
    flip(store.tree(layer) / "usr/bin/tool")
    out = sandbox.directory("out")
    assert "plyfs layer verify" in store.refuse("export", "-o", out / "file", layer)
    assert list(out.iterdir()) == []


def test_a_full_disk_ends_an_export_with_an_error(store, archive):
    layer = store.add(archive)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PLYFS, "layer", "export", "--root", str(store.path), layer], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "No space left" in done.stderr


# ---- the catalog --------------------------------------------------------------------------------

def test_a_layer_that_is_there_is_said_so_and_is_success(store, archive):
    layer = store.add(archive)
    again = store("import", archive)
    assert again.stdout.strip() == layer
    assert "already" in again.stderr
    assert store.ids() == [layer]
    assert list((store.path / "stage").iterdir()) == []


def test_a_name_a_prefix_and_a_digest_find_a_layer(store, archive):
    layer = store.add("--name", "base", archive)
    for word in ("base", layer, layer[:12], layer[:3], f"sha256:{layer}", f"sha256:{layer[:8]}"):
        assert json.loads(store("inspect", word).stdout)[0]["Id"] == layer


def test_a_name_given_at_a_second_import_is_the_layers_name(store, archive):
    layer = store.add(archive)
    assert store.add("--name", "late", archive) == layer
    assert json.loads(store("inspect", "late").stdout)[0]["Id"] == layer


def test_a_name_that_another_layer_has_is_refused_and_nothing_stays(sandbox, store, archive):
    layer = store.add("--name", "base", archive)
    other = sandbox.directory("other")
    (other / "f").write_text("x")
    assert "base" in store.refuse("import", "--name", "base", other)
    assert store.ids() == [layer]
    assert [p.name for p in (store.path / "layers").iterdir()] == [layer]
    assert list((store.path / "stage").iterdir()) == []


def test_the_same_import_under_the_same_name_succeeds_again(store, archive):
    assert store.add("--name", "base", archive) == store.add("--name", "base", archive)


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", ".x", "\u00fc", "x" * 300])
def test_a_name_that_is_none_is_refused(store, archive, name):
    assert "name" in store.refuse("import", f"--name={name}", archive)


def test_inspect_tells_what_there_is_in_the_forms_of_the_field(store, rootfs, archive):
    layer = store.add("--name", "base", archive)
    told, = json.loads(store("inspect", "base").stdout)
    assert told["Id"] == layer and told["DiffID"] == f"sha256:{layer}" and told["Name"] == "base"
    assert told["Source"] == str(archive)
    assert told["TarSize"] == archive.stat().st_size
    assert told["Files"] == len(list(rootfs.rglob("*")))
    assert told["Size"] == sum(p.stat().st_size for p in rootfs.rglob("*")
                               if p.is_file() and not p.is_symlink()) - 200_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", told["Created"])
    assert store("inspect", "--format", "{{.Name}} {{json .Size}}", "base").stdout == \
        f"base {told['Size']}\n"


def test_what_is_missing_is_an_empty_array_and_status_1(store, archive):
    store.add("--name", "base", archive)
    done = store("inspect", "nothing", check=False)
    assert done.returncode == 1 and json.loads(done.stdout) == []
    assert "nothing: no such layer" in done.stderr
    done = store("inspect", "nothing", "base", check=False)
    assert done.returncode == 1 and len(json.loads(done.stdout)) == 1


def test_ls_lists_in_every_form(sandbox, store, archive):
    assert store("ls").stdout.split() == ["LAYER", "ID", "NAME", "CREATED", "FILES", "SIZE", "SOURCE"] \
        if store.path.exists() else True
    first = store.add("--name", "base", archive)
    other = sandbox.directory("other")
    (other / "f").write_text("x")
    second = store.add(other)
    lines = store("ls").stdout.splitlines()
    assert lines[1].startswith(f"{first[:12]}  base  ") and lines[2].startswith(f"{second[:12]}  -  ")
    assert store("ls", "-q").stdout.split() == [first[:12], second[:12]]
    rows = [json.loads(line) for line in store("ls", "--format", "json").stdout.splitlines()]
    assert [row["Id"] for row in rows] == [first, second]
    assert store("ls", "--format", "{{.Name}}", "--filter", "name=ba").stdout == "base\n"
    assert "no field 'Nonsense'" in store.refuse("ls", "--format", "{{.Nonsense}}")


def test_rm_removes_the_layer_and_its_files_and_goes_on_after_an_error(sandbox, store, archive):
    first = store.add(archive)
    other = sandbox.directory("other")
    (other / "locked").mkdir(mode=0o500)
    second = store.add(other)
    assert "nothing: no such layer" in store.refuse("rm", first, "nothing", second)
    store.assert_empty()


def test_a_layer_that_images_have_is_not_removed_and_they_are_named(store, archive):
    layer = store.add("--name", "base", archive)
    with sqlite3.connect(store.path / "catalog.db") as catalog:
        for image in ("a" * 64, "b" * 64):
            catalog.execute("INSERT INTO image (id, config, created) VALUES (?, '{}', 1)", (image,))
            catalog.execute("INSERT INTO image_layer VALUES (?, 0, ?), (?, 1, ?)",
                            (image, layer, image, layer))
        catalog.execute("INSERT INTO tag VALUES ('web:latest', ?)", ("a" * 64,))
    catalog.close()
    told = store.refuse("rm", "base")
    assert "web:latest" in told and "bbbbbbbbbbbb" in told and told.count("web:latest") == 1
    assert store.ids() == [layer]
    store("verify", "base")


def test_a_store_that_is_not_there_is_named(sandbox):
    nowhere = Store(sandbox.path / "nowhere")
    assert str(nowhere.path) in nowhere.refuse("inspect", "x")
    assert not nowhere.path.exists()


def test_two_stores_stand_side_by_side(sandbox, archive, rootfs):
    one, two = Store(sandbox.path / "one"), Store(sandbox.path / "two")
    layer = one.add("--name", "base", archive)
    other = two.add("--name", "base", rootfs)
    assert one.ids() == [layer] and two.ids() == [other]
    one("rm", "base")
    assert one.ids() == [] and two.ids() == [other]
    two("verify", "base")


def test_the_environment_chooses_the_store(sandbox, archive):
    environment = {**os.environ, "PLYFS_ROOT": str(sandbox.path / "chosen")}
    layer = run(PLYFS, "layer", "import", archive, env=environment).stdout.strip()
    assert Store(sandbox.path / "chosen").ids() == [layer]


# ---- verify and diff ----------------------------------------------------------------------------

def test_an_untouched_layer_is_verified_in_silence(store, rootfs, archive):
    for layer in (store.add(archive), store.add(rootfs)):
        done = store("verify", layer)
        assert done.stdout == "" and done.stderr == ""


def keep_times(path, change):
    """Changes something, and puts the time back, as whoever hides a change would."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(path):
    def change():
        with open(path, "r+b") as file:
            file.seek(100_000)
            byte = file.read(1)
            file.seek(100_000)
            file.write(bytes([byte[0] ^ 1]))
    keep_times(path, change)


CHANGES = {
    "one byte": (lambda t: flip(t / "usr/bin/tool"), "/usr/bin/tool: content was changed"),
    "a mode": (lambda t: (t / "etc/empty").chmod(0o600), "/etc/empty: metadata were changed"),
    "a time": (lambda t: os.utime(t / "etc/empty", (1, 1)), "/etc/empty: metadata were changed"),
    "an attribute": (lambda t: os.removexattr(t / "etc/empty", "user.note"),
                     "/etc/empty: metadata were changed"),
    "a removal": (lambda t: keep_times(t / "etc", (t / "etc/empty").unlink), "/etc/empty: is missing"),
    "an addition": (lambda t: keep_times(t / "etc", (t / "etc/new\n\x1b").touch),
                    "/etc/new\\n\\x1b: was not in the layer"),
    "a type": (lambda t: keep_times(t, lambda: ((t / "pipe").unlink(), (t / "pipe").mkdir())),
               "/pipe: is of another type"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_verify_names_what_was_changed_behind_the_stores_back(store, archive, what):
    layer = store.add(archive)
    change, told = CHANGES[what]
    change(store.tree(layer))
    done = store("verify", layer, check=False)
    assert done.returncode == 1
    assert done.stdout == f"{layer[:12]} {told}\n"


def test_verify_finds_a_list_of_digests_that_was_changed(store, archive):
    layer = store.add(archive)
    entries = store.tree(layer).parent / "entries"
    entries.chmod(0o600)
    data = bytearray(entries.read_bytes())
    data[0] = ord("0") if data[0] != ord("0") else ord("1")
    entries.write_bytes(data)
    done = store("verify", layer, check=False)
    assert done.returncode == 1 and "list of digests was changed" in done.stdout


def test_verify_all_goes_on_after_a_finding(sandbox, store, archive, rootfs):
    first, second = store.add(archive), store.add(rootfs)
    (store.tree(first) / "etc/empty").chmod(0o600)
    (store.tree(second) / "etc/empty").chmod(0o600)
    done = store("verify", "--all", check=False)
    assert done.returncode == 1
    assert done.stdout == "".join(f"{layer[:12]} /etc/empty: metadata were changed\n"
                                  for layer in (first, second))


def test_verify_must_be_told_what(store, archive):
    layer = store.add(archive)
    assert "--all" in store.refuse("verify")
    assert "--all" in store.refuse("verify", "--all", layer)


def test_diff_tells_two_layers_apart_and_a_removed_tree_in_one_line(store, rootfs):
    old = store.add(rootfs)
    shutil.rmtree(rootfs / "usr")
    (rootfs / "etc/empty").chmod(0o600)
    (rootfs / "etc/new").write_text("n")
    (rootfs / "etc/deep/er").mkdir(parents=True)
    for path in (rootfs, rootfs / "etc"):
        os.utime(path, ns=(0, 1_700_000_000_000_000_000))
    new = store.add(rootfs)
    assert store("diff", old, new).stdout.splitlines() == [
        "A /etc/deep", "A /etc/deep/er", "C /etc/empty", "A /etc/new", "D /usr"]
    rows = [json.loads(line) for line in store("diff", "--format", "json", new, old).stdout.splitlines()]
    assert {"Kind": "D", "Path": "/etc/deep"} in rows and {"Kind": "A", "Path": "/usr/bin/sh"} in rows
    assert store("diff", old, old).stdout == ""
    assert "nothing: no such layer" in store.refuse("diff", old, "nothing")


# ---- hostile archives ---------------------------------------------------------------------------

def member(name, kind=tarfile.REGTYPE, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def make_tar(path, *members):
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


OUTSIDE = "../" * 12 + "dev/shm/plyfs-escaped"
HOSTILE = {
    "dotdot": [member("../escaped", data=b"x")],
    "dotdot-within": [member("a/../../escaped", data=b"x")],
    "absolute": [member("/dev/shm/plyfs-escaped", data=b"x")],
    "through-a-symlink": [member("out", tarfile.SYMTYPE, linkname="/dev/shm"),
                          member("out/plyfs-escaped", data=b"x")],
    "through-a-relative-symlink": [member("out", tarfile.SYMTYPE, linkname="../" * 12 + "dev/shm"),
                                   member("out/plyfs-escaped", data=b"x")],
    "hard-link-out": [member("out", tarfile.LNKTYPE, linkname="/etc/passwd")],
    "hard-link-dotdot": [member("out", tarfile.LNKTYPE, linkname=OUTSIDE)],
    "hard-link-through-a-symlink": [member("d", tarfile.SYMTYPE, linkname="/etc"),
                                    member("out", tarfile.LNKTYPE, linkname="d/passwd")],
    "hard-link-to-nothing": [member("out", tarfile.LNKTYPE, linkname="nowhere")],
    "bare-whiteout": [member(".wh.")],
    "whiteout-of-dot": [member("d", tarfile.DIRTYPE), member("d/.wh..")],
    "whiteout-of-dotdot": [member("d", tarfile.DIRTYPE), member("d/.wh...")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_or_contained(sandbox, store, case):
    escaped = pathlib.Path("/dev/shm/plyfs-escaped")
    before = digest(sandbox.directory("before"))
    archive = make_tar(sandbox.path / "hostile.tar", *HOSTILE[case])
    around = sorted(p.name for p in sandbox.path.iterdir())
    try:
        done = store("import", archive, check=False)
        assert not escaped.exists()
    finally:
        escaped.unlink(missing_ok=True)
    assert digest(sandbox.path / "before") == before
    assert sorted(p.name for p in sandbox.path.iterdir()) in (around, sorted([*around, "store"]))
    if done.returncode == 0:
        # Contained: what the name says lies within the layer, and nothing leads out.
        assert case.startswith("through-a"), done.stdout
        tree = store.tree(done.stdout.strip())
        assert (tree / "out").is_dir() and not (tree / "out").is_symlink()
    else:
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith("plyfs: "), done.stderr
        store.assert_empty()


def test_an_archive_beyond_max_size_is_refused_and_leaves_nothing(sandbox, store):
    need_tool("zstd")
    archive = sandbox.path / "zeros.tar.zst"
    with subprocess.Popen(["zstd", "-q", "-o", archive], stdin=subprocess.PIPE) as packer:
        info, _ = member("zeros")
        info.size = 1 << 28
        packer.stdin.write(info.tobuf(tarfile.PAX_FORMAT))
        for _ in range(256):
            packer.stdin.write(bytes(1 << 20))
        packer.stdin.write(bytes(1024))
    assert archive.stat().st_size < 100_000
    assert "--max-size" in store.refuse("import", "--max-size", "1M", archive)
    store.assert_empty()


@pytest.mark.parametrize("way", ["plain", "gzip", "zstd", "xz"])
def test_an_archive_that_is_cut_short_is_refused(sandbox, store, rootfs, way):
    packed = tar_of(rootfs, sandbox.path / f"{way}.tar", *COMPRESSED[way])
    whole = packed.read_bytes()
    packed.write_bytes(whole[:len(whole) // 2])
    store.refuse("import", packed)
    store.assert_empty()


def test_an_archive_without_its_end_is_refused(sandbox, store):
    packed = make_tar(sandbox.path / "short.tar", member("one", data=b"1"), member("two", data=b"2"))
    packed.write_bytes(packed.read_bytes()[:2 * 512])
    store.refuse("import", packed)
    store.assert_empty()


@pytest.mark.parametrize("way", ["plain", "gzip", "zstd"])
def test_an_archive_with_a_damaged_byte_is_refused_or_has_another_id(sandbox, store, rootfs, archive, way):
    packed = tar_of(rootfs, sandbox.path / f"{way}.tar", *COMPRESSED[way])
    whole = packed.read_bytes()
    for at in range(0, min(len(whole), 20_000), 997):
        packed.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:])
        done = store("import", packed, check=False)
        assert done.returncode in (0, 1), done.stderr
        if done.returncode == 0:
            layer = done.stdout.strip()
            assert sha256(store.export(layer)) == layer
            store("rm", layer)
    store.assert_empty()


@pytest.mark.parametrize("what", ["nothing", "text", "noise"])
def test_what_is_no_archive_is_refused(sandbox, store, what):
    file = sandbox.path / "file"
    file.write_bytes({"nothing": b"", "text": b"no tar\n" * 1000, "noise": os.urandom(50_000)}[what])
    assert str(file) in store.refuse("import", file)
    store.assert_empty()


def test_a_source_that_is_missing_is_named(store, sandbox):
    assert str(sandbox.path / "nothing") in store.refuse("import", sandbox.path / "nothing")


def test_odd_names_come_through_as_bytes(sandbox, store):
    names = [b"not\xffutf8", b"new\nline", b"x" * 255, b"a\\b", b" "]
    root = sandbox.directory("odd")
    for name in names:
        with open(os.path.join(os.fsencode(root), name), "wb") as file:
            file.write(name)
    archive = tar_of(root, sandbox.path / "odd.tar")
    layer = store.add(archive)
    assert sorted(os.listdir(os.fsencode(store.tree(layer)))) == sorted(names)
    assert sha256(store.export(layer)) == layer
    store("verify", layer)


def deep(path, depth):
    """An archive of a directory in a directory in a directory, and a file at the end."""
    name = "d" * 20
    return make_tar(path, *[member("/".join([name] * n), tarfile.DIRTYPE) for n in range(1, depth)],
                    member("/".join([name] * (depth - 1) + ["f"]), data=b"deep"))


def test_a_deep_tree_comes_through(sandbox, store):
    layer = store.add(deep(sandbox.path / "deep.tar", 190))
    store("verify", layer)
    assert sha256(store.export(layer)) == layer
    store("rm", layer)
    store.assert_empty()


def test_a_tree_deeper_than_any_path_may_be_is_refused_in_words_that_can_be_read(sandbox, store):
    told = store.refuse("import", deep(sandbox.path / "deep.tar", 400))
    assert len(told) < 1000 and told.endswith("\n")
    store.assert_empty()


# ---- whiteouts ----------------------------------------------------------------------------------

def test_whiteouts_of_an_archive_are_the_kernels_and_go_out_again(sandbox, store):
    archive = make_tar(sandbox.path / "white.tar", member("d", tarfile.DIRTYPE), member("d/.wh.gone"),
                       member("d/kept", data=b"k"), member("o", tarfile.DIRTYPE),
                       member("o/.wh..wh..opq"))
    layer = store.add(archive)
    tree = store.tree(layer)
    assert stat.S_ISCHR((tree / "d/gone").lstat().st_mode) and (tree / "d/gone").lstat().st_rdev == 0
    assert not (tree / "o/.wh..wh..opq").exists()
    attrs = {name: os.getxattr(tree / "o", name) for name in os.listxattr(tree / "o")}
    assert any(name.endswith("overlay.opaque") and value == b"y" for name, value in attrs.items())
    assert store.export(layer) == archive.read_bytes()
    store("verify", layer)


# ---- an ordinary user ---------------------------------------------------------------------------

@pytest.fixture
def guest(sandbox):
    """The command line as an ordinary user runs it, in a directory of that user."""
    need_root()
    need_tool("setpriv")
    home = sandbox.directory("guest")
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)

    def call(*argv, check=True):
        return run("setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
                   "env", f"HOME={home}", PLYFS, "layer", *argv, check=check)
    call.home = home
    return call


def test_an_ordinary_user_gets_the_same_layer_and_the_same_tar_back(sandbox, guest):
    archive = make_tar(sandbox.path / "owned.tar", member("d", tarfile.DIRTYPE, uid=1000, gid=1001),
                       member("d/f", data=b"f", uid=7, gid=8, mode=0o4755),
                       member("d/null", tarfile.CHRTYPE, devmajor=1, devminor=3),
                       member("d/.wh.gone"))
    archive.chmod(0o644)
    root = guest.home / "store"
    layer = guest("import", "--root", root, archive).stdout.strip()
    assert layer == sha256(archive.read_bytes())
    tree = root / "layers" / layer / "tree"
    assert (tree / "d/f").stat().st_uid == NOBODY.pw_uid
    assert not stat.S_IMODE((tree / "d/f").stat().st_mode) & 0o6000
    guest("verify", "--root", root, layer)
    out = guest.home / "out.tar"
    guest("export", "--root", root, "-o", out, layer)
    assert out.read_bytes() == archive.read_bytes()
    guest("rm", "--root", root, layer)
    assert list((root / "layers").iterdir()) == []


def test_an_acl_that_names_whom_a_user_namespace_lacks_is_left_out(sandbox):
    need(namespaces_allowed(), "needs user namespaces")
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in (
        (1, 7, 2**32 - 1), (2, 7, 77), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 5, 2**32 - 1)))
    pax = {"SCHILY.xattr.system.posix_acl_access": acl.decode("utf-8", "surrogateescape"),
           "SCHILY.xattr.user.kept": "kept"}
    archive = make_tar(sandbox.path / "listed.tar", member("d", tarfile.DIRTYPE), member("d/f", data=b"f", pax_headers=pax))
    root = sandbox.path / "store"
    layer = run("unshare", "-Ur", PLYFS, "layer", "import", "--root", root, archive).stdout.strip()
    file = root / "layers" / layer / "tree/d/f"
    assert os.listxattr(file) == ["user.kept"] and file.read_bytes() == b"f"
    run("unshare", "-Ur", PLYFS, "layer", "verify", "--root", root, layer)
    run("unshare", "-Ur", PLYFS, "layer", "export", "--root", root, "-o", sandbox.path / "out.tar", layer)
    assert (sandbox.path / "out.tar").read_bytes() == archive.read_bytes()


def test_the_users_own_store_is_in_the_home_directory(sandbox, guest):
    archive = make_tar(sandbox.path / "f.tar", member("f", data=b"f"))
    archive.chmod(0o644)
    environment = guest("ls")
    assert environment.stdout.startswith("LAYER ID")
    layer = guest("import", archive).stdout.strip()
    assert (guest.home / ".local/share/plyfs/layers" / layer / "tree/f").read_text() == "f"
    assert stat.S_IMODE((guest.home / ".local/share/plyfs").stat().st_mode) == 0o700


# ---- the command line ---------------------------------------------------------------------------

def test_layer_help_lists_its_commands():
    text = run(PLYFS, "layer", "--help").stdout
    for name in ("import", "ls", "inspect", "rm", "export", "verify", "diff"):
        assert re.search(rf"^  {name} +\S", text, re.M), name
        page = run(PLYFS, "layer", name, "--help").stdout
        assert page.startswith(f"usage: plyfs layer {name}") and "\nexample: plyfs layer" in page


def test_nothing_but_the_id_is_said_on_a_pipe(store, archive):
    done = store("import", archive)
    assert done.stderr == "" and len(done.stdout.split()) == 1


def read_terminal(leader):
    """What was written to a terminal so far; empty when nothing was, or nobody holds it any more."""
    try:
        return os.read(leader, 4096) if select.select([leader], [], [], 0)[0] else b""
    except OSError:
        return b""


def on_a_terminal(store, environment):
    """Imports a tar that flows until a line of progress is seen; gives all that the terminal got."""
    leader, follower = pty.openpty()
    tty.setraw(follower)
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    importer = subprocess.Popen([PLYFS, "layer", "import", "--root", str(store.path), "-"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=follower,
                                env={**os.environ, "TERM": "xterm", **environment})
    os.close(follower)
    seen, end, number = b"", time.monotonic() + 60, 0
    while b"/s" not in seen:
        assert time.monotonic() < end, seen
        info, data = member(f"f{number}", data=bytes(1 << 16))
        importer.stdin.write(info.tobuf(tarfile.PAX_FORMAT) + data)
        importer.stdin.flush()
        number += 1
        seen += read_terminal(leader)
    importer.stdin.write(bytes(1024))
    told, _ = importer.communicate(timeout=120)
    while more := read_terminal(leader):
        seen += more
    os.close(leader)
    assert importer.returncode == 0 and re.fullmatch(rb"[0-9a-f]{64}\n", told)
    return seen


def test_a_terminal_sees_the_progress_and_is_left_clean(store):
    seen = on_a_terminal(store, {})
    assert re.search(rb"\rstdin  [\d.]+[kMG]?B  [\d.]+[kMG]?B/s", seen)
    assert seen.endswith(b"\r\x1b[K")


def complete(store, line):
    """What bash offers behind a line."""
    need_tool("bash")
    script = (f"PATH={os.path.dirname(PLYFS)}:$PATH; source {pathlib.Path(__file__).parents[1]}"
              "/fs/completion/plyfs.bash; COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; "
              "compopt() { :; }; _plyfs; printf '%s\\n' \"${COMPREPLY[@]}\"")
    return run("bash", "-c", script, "bash", line,
               env={**os.environ, "PLYFS_ROOT": str(store.path)}).stdout.split()


def test_the_shell_completes_the_names_of_mounts(store, archive):
    layer = store.add("--name", "base", archive)
    run(PLYFS, "create", "--root", store.path, "--name", "web", "--lower", store.tree(layer))
    for line in ("plyfs rm w", "plyfs run w", "plyfs umount w", "plyfs mount w", "plyfs diff w"):
        assert complete(store, line) == ["web"], line


def test_the_shell_completes_commands_options_and_names_of_the_catalog(store, archive):
    layer = store.add("--name", "base", archive)
    assert "layer" in complete(store, "plyfs la")
    assert complete(store, "plyfs layer ver") == ["verify"]
    assert "--max-size" in complete(store, "plyfs layer import --m")
    assert "--upper" in complete(store, "plyfs mount --u")
    assert complete(store, "plyfs layer ls --no") == ["--no-trunc"]
    assert "--profile=" in complete(store, "plyfs mount --pro")
    assert complete(store, "plyfs layer rm ba") == ["base"]
    assert complete(store, f"plyfs layer inspect {layer[:6]}") == [layer[:12]]
    assert complete(store, f"plyfs layer inspect --root {store.path} ba") == ["base"]
    assert complete(store, "plyfs layer export --compress z") == ["zstd"]
