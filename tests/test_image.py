# SPDX-License-Identifier: MIT
"""The commands of `plyfs image`: archives of real tools, archives that lie, and the way back out.

The engine's images are built once for all tests of a storage driver: forty layers take half a
minute, and no test changes them."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import random
import shutil
import stat
import subprocess
import tarfile

import pytest

from engines import Engine, change, populate, visible
from harness import PLYFS, Sandbox, assert_same, need, need_fuse, need_root, need_tool, run, umount

HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
ELSEWHERE = "s390x" if HERE != "s390x" else "amd64"
MEDIA = "application/vnd.oci.image."

# The sanitizers see every line with less, and one storage driver's archives are like another's.
SANITIZED = os.environ.get("PLYFS_SANITIZED") == "1"
DRIVERS = ["vfs", "overlay"] if os.environ.get("PLYFS_FULL") == "1" else ["overlay"]
HEIGHTS = [1, 5] if SANITIZED else [1, 5, 40]


# ---- a store ------------------------------------------------------------------------------------

class Store:
    """A store of its own, and `plyfs image` called on it."""

    def __init__(self, sandbox):
        self.sandbox, self.path = sandbox, sandbox.path / f"store{sandbox.counter}"
        sandbox.counter += 1

    def __call__(self, *argv, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return run(PLYFS, "image", argv[0], "--root", self.path, *argv[1:], **kwargs)

    def add(self, *argv, **kwargs):
        """Imports; the ids, which are all of stdout."""
        return self("import", *argv, **kwargs).stdout.split()

    def refuse(self, *argv, says="", **kwargs):
        """Runs what must fail with status 1 and one line of words."""
        done = self(*argv, check=False, **kwargs)
        assert done.returncode == 1 and not done.stdout, (argv, done)
        assert done.stderr.startswith("plyfs: ") and says in done.stderr, (says, done.stderr)
        return done.stderr

    def rows(self):
        return [json.loads(line) for line in self("ls", "--format", "json").stdout.splitlines()]

    def names(self):
        return sorted(name for row in self.rows() for name in row["Names"])

    def inspect(self, image):
        return json.loads(self("inspect", image).stdout)[0]

    def layers(self):
        return sorted(os.listdir(self.path / "layers"))

    def assert_empty(self):
        """No row, and no byte of a layer."""
        assert self.rows() == []
        assert run(PLYFS, "layer", "ls", "-q", "--root", self.path).stdout == ""
        assert self.layers() == [] and os.listdir(self.path / "stage") == []

    def tree(self, image):
        """The listing of what a mount of the image shows."""
        need_fuse()
        mnt = self.sandbox.directory("mnt")
        run(PLYFS, "mount", "--rm", "--root", self.path, image, mnt)
        try:
            return visible(mnt)
        finally:
            # It waits until the daemon has forgotten the mount, and with it let go of the store.
            run(PLYFS, "umount", "--root", self.path, mnt)


@pytest.fixture
def store(sandbox):
    return Store(sandbox)


# ---- images made by hand ------------------------------------------------------------------------

def sha(data):
    return hashlib.sha256(data).hexdigest()


def layer_tar(files, kind=tarfile.PAX_FORMAT):
    """A layer: {path: bytes | (type, target) | None for a directory}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.mtime = 1_600_000_000
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, tuple):
                info.type, info.linkname = content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


class Layout:
    """An OCI layout made by hand, in a directory."""

    def __init__(self, sandbox):
        self.path = sandbox.directory("layout")
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.entries = []

    def blob(self, data, media, **more):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        (self.path / "blobs/sha256" / sha(data)).write_bytes(data)
        return {"mediaType": MEDIA + media, "digest": "sha256:" + sha(data), "size": len(data), **more}

    def manifest(self, layers, architecture=HERE, diff_ids=None, **more):
        """The descriptor of an image of these layer tars."""
        config = {"os": "linux", "architecture": architecture, "config": {"Cmd": ["/x"]},
                  "rootfs": {"type": "layers",
                             "diff_ids": diff_ids or ["sha256:" + sha(layer) for layer in layers]}}
        return self.blob({"schemaVersion": 2, "config": self.blob(config, "config.v1+json"),
                          "layers": [self.blob(gzip.compress(layer, mtime=0), "layer.v1.tar+gzip")
                                     for layer in layers]}, "manifest.v1+json", **more)

    def index(self, entries, **more):
        return self.blob({"schemaVersion": 2, "manifests": entries}, "index.v1+json", **more)

    def write(self, *entries):
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        return self.path

    def tar(self, to, mode="w"):
        with tarfile.open(to, mode) as tar:
            for path in sorted(self.path.rglob("*")):
                tar.add(path, path.relative_to(self.path), recursive=False)
        return to

    def blob_path(self, descriptor):
        return self.path / "blobs/sha256" / descriptor["digest"][7:]

    def layer_path(self, manifest, number=0):
        return self.blob_path(json.loads(self.blob_path(manifest).read_text())["layers"][number])


def named(name):
    return {"annotations": {"org.opencontainers.image.ref.name": name}}


def for_machine(architecture, system="linux"):
    return {"platform": {"os": system, "architecture": architecture}}


@pytest.fixture
def layout(sandbox):
    return Layout(sandbox)


BASE = {"etc": None, "etc/passwd": b"root\n", "etc/old": b"old", "usr": None, "usr/tool": b"t" * 5000}
TOP = {"etc/.wh.old": b"", "etc/new": b"new", "usr/.wh..wh..opq": b"", "usr/other": b"o"}


# ---- images made by tools -----------------------------------------------------------------------

@pytest.fixture(scope="module", params=DRIVERS)
def engine(request):
    """An engine that has the images 1, 5 and 40 layers high: localhost/tower:N."""
    need_root()
    need_tool("buildah", "podman", "skopeo")
    box = Sandbox()
    engine = Engine(box.path, request.param)
    try:
        probe = run("buildah", *engine.options, "from", "scratch", check=False)
        need(probe.returncode == 0, f"buildah cannot use {request.param} here")
        random.seed(4)
        engine.grow("scratch", "localhost/tower:1", populate)
        for number in range(2, HEIGHTS[-1] + 1):
            engine.grow(f"localhost/tower:{number - 1}", f"localhost/tower:{number}",
                        lambda root, n=number: change(root, n))
        yield engine
    finally:
        run("buildah", *engine.options, "rm", "--all", check=False)
        run("umount", box.path / "root" / "overlay", check=False)
        box.close()


def save(engine, form, height, to):
    """Has a tool write localhost/tower:HEIGHT in a form; what to import."""
    name = f"localhost/tower:{height}"
    path = to / f"{form}-{height}"
    if form == "layout":
        engine.buildah("push", "-q", name, f"oci:{path}:{name}")
    elif form == "layout.tar":
        engine.buildah("push", "-q", name, f"oci-archive:{path}:{name}")
    else:
        engine.podman("save", "-q", "--format", form, "-o", path, name)
    return path


@pytest.mark.parametrize("form", ["layout", "layout.tar", "docker-archive", "oci-archive"])
@pytest.mark.parametrize("height", HEIGHTS)
def test_an_image_of_a_tool_looks_as_the_tool_shows_it(engine, sandbox, store, form, height):
    name = f"localhost/tower:{height}"
    image, = store.add(save(engine, form, height, sandbox.path))
    assert store.names() == [name]
    assert store.inspect(image)["RootFS"]["diff_ids"] == engine.diff_ids(name)
    assert_same(store.tree(name), engine.tree(name), f"{form}: left plyfs, right buildah")


@pytest.mark.parametrize("form", ["docker-dir", "dir"])
def test_a_directory_of_one_image_is_taken(engine, sandbox, store, form):
    name, path = f"localhost/tower:{HEIGHTS[1]}", sandbox.path / "one"
    if form == "dir":
        engine.buildah("push", "-q", name, f"dir:{path}")
    else:
        engine.podman("save", "-q", "--format", form, "-o", path, name)
    image = store.add(path)[0]
    assert store.names() == [] and store.inspect(image)["RootFS"]["diff_ids"] == engine.diff_ids(name)
    run("tar", "-cf", sandbox.path / "one.tar", "-C", path, ".")
    assert store.add(name, sandbox.path / "one.tar") == [image] and store.names() == [name]
    assert_same(store.tree(name), engine.tree(name), "left plyfs, right buildah")


def test_a_directory_of_one_image_that_lies_is_refused(sandbox, store, layout):
    layer = layer_tar(BASE)
    manifest = layout.manifest([layer])
    path = pathlib.Path(sandbox.directory("one"))
    (path / "manifest.json").write_bytes(layout.blob_path(manifest).read_bytes())
    store.refuse("import", path, says="it is missing")
    for blob in (layout.path / "blobs/sha256").iterdir():
        shutil.copy(blob, path)
    assert store.add(path)
    store("rm", store.rows()[0]["Id"])
    blob = path / layout.layer_path(manifest).name
    data = blob.read_bytes()
    blob.write_bytes(data[:4] + b"?" + data[5:])  # the date in the head of a gzip
    store.refuse("import", path, says="sha256")
    (path / "manifest.json").write_text('{"schemaVersion": 2, "manifests": []}')
    store.refuse("import", path, says="manifest.json")
    store.assert_empty()


@pytest.fixture(params=["overlay", "plyfs"])
def inside(request, sandbox):
    """A store that lies in an overlay, as in every container: nobody can make a whiteout there."""
    need_root()
    low, up, work, at = (sandbox.directory(name) for name in ("low", "up", "work", "at"))
    if request.param == "overlay":
        done = run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={low},upperdir={up},workdir={work}", at,
                   check=False)
        need(done.returncode == 0, "the kernel has no overlayfs here")
    else:
        run(PLYFS, "mount", "--lower", low, "--upper", up, at)
    with pytest.raises(PermissionError):
        os.mknod(at / "device", stat.S_IFCHR, os.makedev(0, 0))
    made = Store(sandbox)
    made.path = at / "store"
    yield made
    umount(at)


def test_a_store_in_an_overlay_takes_layers_that_hide_what_lies_below(inside, store, layout):
    hides = [{"etc/.wh.passwd": b"", "usr/.wh.tool": b"", ".wh.absent": b""},
             {".wh.usr": b"", "usr": None, "usr/fresh": b"f", ".wh.etc": b"", "etc": b"a file"},
             {"etc/.wh.passwd": b"", "etc/passwd": None, "etc/passwd/x": b"x", "usr/tool/y": b"y", "usr/.wh.tool": b""},
             {"usr/.wh.tool": b"", "usr/tool": b"again", "etc/.wh..wh..opq": b"", "etc/only": b"o", "new/.wh.er": b""}]
    for hiding in hides:
        layers = [layer_tar(BASE), layer_tar(TOP), layer_tar({**BASE, "usr/more": b"m"}), layer_tar(hiding)]
        layout.write(layout.manifest(layers))
        for at in (inside, store):
            at.add("hiding", layout.path)
            run(PLYFS, "layer", "verify", "--all", "--root", at.path)
            at("export", "-o", f"{at.path}.tar", "hiding")
        assert_same(inside.tree("hiding"), store.tree("hiding"), f"{hiding}: left in an overlay")
        assert (inside.path.parent / "store.tar").read_bytes() == pathlib.Path(f"{store.path}.tar").read_bytes()
        for at in (inside, store):
            at("rm", "hiding")


def test_a_deletion_is_committed_in_a_store_that_lies_in_an_overlay(inside, layout):
    inside.add("base", layout.write(layout.manifest([layer_tar(BASE), layer_tar({"usr/lib/x": b"x"})])))
    at = inside.sandbox.directory("mnt")
    run(PLYFS, "mount", "--root", inside.path, "--name", "web", "base", at)
    (at / "etc/old").unlink()
    shutil.rmtree(at / "usr")
    (at / "usr").mkdir()
    (at / "usr/new").write_text("new")
    seen = visible(at)
    run(PLYFS, "commit", "--root", inside.path, "web", "changed")
    run(PLYFS, "umount", "--root", inside.path, "web")
    assert_same(inside.tree("changed"), seen, "left the image")


def test_layers_of_images_are_stored_once(engine, sandbox, store):
    *_, low, high = HEIGHTS
    store.add(save(engine, "docker-archive", high, sandbox.path))
    before = {layer: os.stat(store.path / "layers" / layer).st_ino for layer in store.layers()}
    assert len(before) == high
    store.add(save(engine, "oci-archive", low, sandbox.path))
    store.add(save(engine, "layout", high, sandbox.path))
    assert {layer: os.stat(store.path / "layers" / layer).st_ino for layer in store.layers()} == before
    assert [row["Layers"] for row in store.rows()] == [high, low]


def test_a_layer_that_an_image_has_again_counts_where_it_is_uppermost(store, layout):
    """BuildKit makes the same empty layer for each instruction that changes nothing."""
    gone = {"etc/.wh.passwd": b"", "usr/.wh.tool": b"", "usr/more": b"m"}
    back = {"etc/passwd": b"new\n", "usr/.wh.more": b""}
    for tower in ([BASE, {}, {}], [BASE, gone, back, gone, back], [BASE, gone, BASE, {}, gone, {}],
                  [BASE, TOP, BASE, TOP]):
        store.add("again", layout.write(layout.manifest([layer_tar(layer) for layer in tower])))
        apart = [layer_tar({**layer, f"mark{place}": b""}) for place, layer in enumerate(tower)]
        store.add("apart", layout.write(layout.manifest(apart)))
        seen = {path: what for path, what in store.tree("apart").items() if not path.startswith("mark")}
        assert_same(store.tree("again"), seen)
        assert store.inspect("again")["LayerPaths"][0] and store("rm", "again", "apart")
    store.assert_empty()


def test_layers_that_zstd_compressed_are_taken(engine, sandbox, store):
    source, path = save(engine, "layout.tar", 5, sandbox.path), sandbox.path / "zstd"
    run("skopeo", "copy", "--dest-compress-format", "zstd", f"oci-archive:{source}", f"oci:{path}:x")
    assert any(b"tar+zstd" in blob.read_bytes() for blob in (path / "blobs/sha256").iterdir())
    store.add(path)
    assert store.inspect("x")["RootFS"]["diff_ids"] == engine.diff_ids("localhost/tower:5")


def test_several_images_come_in_one_archive(engine, sandbox, store):
    path = sandbox.path / "both.tar"
    engine.podman("save", "-q", "-m", "-o", path, "localhost/tower:1", "localhost/tower:5")
    assert len(store.add(path)) == 2
    assert store.names() == ["localhost/tower:1", "localhost/tower:5"]
    store.refuse("import", "mine", path, says="2 images")


@pytest.mark.parametrize("form", ["oci", "docker-archive"])
def test_an_export_is_taken_by_tools_with_its_diff_ids(engine, sandbox, store, form):
    name = "localhost/tower:5"
    image, = store.add(save(engine, "layout", 5, sandbox.path))
    path = sandbox.path / "out.tar"
    store("export", "--format", form, "-o", path, name)
    source = f"{'oci-archive' if form == 'oci' else form}:{path}"
    config = json.loads(run("skopeo", "inspect", "--config", source).stdout)
    assert config["rootfs"]["diff_ids"] == engine.diff_ids(name)
    run("skopeo", "copy", source, f"dir:{sandbox.directory('copy')}")
    other = Engine(sandbox.directory("other"), "vfs")
    other.podman("load", "-q", "-i", path)
    assert other.diff_ids(name) == engine.diff_ids(name)
    assert json.loads(other.podman("image", "inspect", name))[0]["Id"] == image
    again = Store(sandbox)
    assert again.add(path) == [image]
    assert_same(again.tree(image), store.tree(image))


def test_an_export_into_a_directory_is_a_layout(engine, sandbox, store):
    store.add(save(engine, "docker-archive", 5, sandbox.path))
    path = sandbox.path / "exported"
    store("export", "-o", f"{path}/", "localhost/tower:5")
    config = json.loads(run("skopeo", "inspect", "--config", f"oci:{path}").stdout)
    assert config["rootfs"]["diff_ids"] == engine.diff_ids("localhost/tower:5")
    store.refuse("export", "-o", path, "localhost/tower:5", says="not empty")
    empty = sandbox.directory("empty")
    store("export", "-o", empty, "localhost/tower:5")
    assert sorted(os.listdir(empty)) == ["blobs", "index.json", "oci-layout"]
    assert Store(sandbox).add(empty)
    assert not [p for p in os.listdir(sandbox.path) if p.startswith(("exported.", "empty."))]


# ---- import -------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_layout_is_imported_from_any_tar_and_from_a_pipe(sandbox, store, layout, mode):
    layout.write(layout.manifest([layer_tar(BASE), layer_tar(TOP)], **named("x:1")))
    path = layout.tar(sandbox.path / "x.tar", mode)
    image, = store.add(path)
    assert store.add("other", "-", stdin=open(path, "rb")) == [image]
    with open(path, "rb") as file:
        pipe = subprocess.run([PLYFS, "image", "import", "--root", store.path, "-"],
                              input=file.read(), capture_output=True, check=True)
    assert pipe.stdout.decode().split() == [image]
    assert store.names() == ["other:latest", "x:1"]
    assert len(store.layers()) == 2 and os.listdir(store.path / "stage") == []


def test_an_archive_that_is_both_at_once_has_the_names_of_both(sandbox, store, layout):
    layer = layer_tar(BASE)
    manifest = layout.manifest([layer], annotations={
        "io.containerd.image.name": "docker.io/library/x:1", "org.opencontainers.image.ref.name": "1"})
    layout.write(manifest)
    config = json.loads(layout.blob_path(manifest).read_text())["config"]["digest"][7:]
    (layout.path / "manifest.json").write_text(json.dumps([
        {"Config": f"blobs/sha256/{config}", "RepoTags": ["x:1", "y:2"],
         "Layers": [f"blobs/sha256/{sha(gzip.compress(layer, mtime=0))}"]}]))
    assert store.add(layout.tar(sandbox.path / "x.tar")) == [config]
    assert store.names() == ["x:1", "y:2"]


def test_a_root_filesystem_becomes_an_image_of_one_layer(sandbox, store):
    need_root()
    path = sandbox.path / "rootfs.tar"
    path.write_bytes(layer_tar({"./": None, **BASE}))
    image, = store.add("base", path)
    assert store.add("base:again", path) == [image]
    with open(path, "rb") as file:
        store.add("piped", "-", stdin=file)
    found = store.inspect("base")
    assert found["RootFS"]["diff_ids"] == ["sha256:" + sha(path.read_bytes())]
    assert found["Platform"] == f"linux/{HERE}"
    assert store.layers() == [sha(path.read_bytes())]
    unpacked = sandbox.directory("unpacked")
    run("tar", "-C", unpacked, "-xpf", path)
    assert_same(store.tree("base"), visible(unpacked))


def test_of_several_platforms_this_machines_is_taken_and_said(store, layout):
    mine = layout.manifest([layer_tar({"mine": b"1"})], **for_machine(HERE))
    other = layout.manifest([layer_tar({"other": b"1"})], ELSEWHERE, **for_machine(ELSEWHERE))
    proof = layout.blob({}, "manifest.v1+json", **for_machine("unknown", "unknown"))
    layout.write(layout.index([other, proof, mine], **named("x:1")))
    done = store("import", layout.path)
    assert f"linux/{HERE}, one of 2 platforms" in done.stderr
    assert store.inspect("x:1")["Platform"] == f"linux/{HERE}"
    store.add("--platform", f"linux/{ELSEWHERE}", "y", layout.path)
    assert store.inspect("y")["Platform"] == f"linux/{ELSEWHERE}"
    store.refuse("import", "--platform", "linux/vax", layout.path, says=f"linux/{ELSEWHERE}")
    store.refuse("import", "--platform", "vax", layout.path, says="no platform")


def artifact(layout, config, kind, **more):
    """The descriptor of a manifest of something else than an image."""
    return layout.blob({"schemaVersion": 2, "config": layout.blob(b"{}", config),
                        "layers": [{**layout.blob(b"signed", kind), "mediaType": kind}]}, "manifest.v1+json", **more)


def test_signatures_and_other_artifacts_of_an_index_are_left_out(store, layout):
    mine = layout.manifest([layer_tar({"mine": b"1"})], **named("x:1"))
    signature = artifact(layout, "config.v1+json", "application/vnd.of.a.signature")
    contents = artifact(layout, "empty.v1+json", "text/spdx+json", **named("x:1.contents"))
    layout.write(contents, signature, mine)
    image, = store.add(layout.path)
    assert store.names() == ["x:1"] and store.inspect("x:1")["Id"] == image
    layout.write(contents, signature)
    store.refuse("import", layout.path, says="it holds no image")


def test_images_whose_configs_are_large_take_the_memory_of_one(store, layout):
    """What a config says takes twenty times its bytes while it is read."""
    need(not SANITIZED, "AddressSanitizer takes more address space than this allows")
    config = {"os": "linux", "architecture": HERE, "rootfs": {"type": "layers", "diff_ids": []},
              "more": [0] * 1_300_000}
    entries = []
    for number in range(6):
        described = layout.blob({**config, "author": str(number)}, "config.v1+json")
        entries.append(layout.blob({"schemaVersion": 2, "config": described, "layers": []}, "manifest.v1+json",
                                   **named(f"x:{number}")))
    layout.write(*entries, *({**entries[0], **named(f"y:{number}")} for number in range(6)))
    done = run("prlimit", f"--as={300 << 20}", PLYFS, "image", "import", "--root", store.path, layout.path)
    assert len(done.stdout.split()) == 6
    assert len(store.names()) == 12


def test_of_several_platforms_those_that_are_not_there_are_no_choice(store, layout):
    """Engines save the whole index with the blobs of what was pulled."""
    mine = layout.manifest([layer_tar({"mine": b"1"})], **for_machine(HERE))
    other = layout.manifest([layer_tar({"other": b"1"})], ELSEWHERE, **for_machine(ELSEWHERE))
    third = layout.manifest([layer_tar({"third": b"1"})], "riscv64", **for_machine("riscv64"))
    layout.write(layout.index([third, mine, other], **named("x:1")))
    layout.blob_path(mine).unlink()
    words = store.refuse("import", layout.path, says=f"no image for linux/{HERE}")
    assert words.count(HERE) == 1 and f"linux/{ELSEWHERE}" in words and "linux/riscv64" in words
    layout.blob_path(third).unlink()
    store.add(layout.path)
    assert store.inspect("x:1")["Platform"] == f"linux/{ELSEWHERE}"
    store.refuse("import", "--platform", f"linux/{HERE}", layout.path, says=f"only for linux/{ELSEWHERE}")
    layout.blob_path(other).unlink()
    store.refuse("import", layout.path, says="it is missing")


def test_a_name_goes_to_the_image_that_came_last(store, layout):
    layout.write(layout.manifest([layer_tar({"a": b"1"})]))
    first, = store.add("x", layout.path)
    layout.write(layout.manifest([layer_tar({"b": b"2"})]))
    second, = store.add("docker.io/library/x:latest", layout.path)
    assert [row["Names"] for row in store.rows()] == [[], ["x:latest"]]
    assert store.inspect("x")["Id"] == second != first


# ---- archives that lie --------------------------------------------------------------------------

def flip(path, at=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0x40
    path.write_bytes(data)


def rewrite(path, edit):
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def lie_flipped_layer(layout, manifest):
    flip(layout.layer_path(manifest, 1))


def lie_cut_layer(layout, manifest):
    path = layout.layer_path(manifest)
    path.write_bytes(path.read_bytes()[:-20])


def lie_missing_layer(layout, manifest):
    layout.layer_path(manifest, 1).unlink()


def lie_layer_is_a_link(layout, manifest):
    path = layout.layer_path(manifest)
    path.unlink()
    path.symlink_to("/etc/passwd")


def lie_flipped_manifest(layout, manifest):
    flip(layout.blob_path(manifest), 3)


def lie_missing_config(layout, manifest):
    config = json.loads(layout.blob_path(manifest).read_text())["config"]
    layout.blob_path(config).unlink()


def lie_size(layout, manifest):
    layout.write({**manifest, "size": manifest["size"] + 1})


def lie_digest_is_a_path(layout, manifest):
    layout.write({**manifest, "digest": "sha256:../../../../etc/passwd"})


def lie_twice(layout, manifest):
    (layout.path / "index.json").write_text('{"schemaVersion":2,"manifests":[],"manifests":[]}')


def lie_nothing_inside(layout, manifest):
    layout.write()


def lie_deep(layout, manifest):
    (layout.path / "index.json").write_text("[" * 100_000)


def lie_nested_indexes(layout, manifest):
    for _ in range(10):
        manifest = layout.index([manifest])
    layout.write(manifest)


def lie_no_json(layout, manifest):
    (layout.path / "index.json").write_bytes(os.urandom(1000))


def lie_version(layout, manifest):
    (layout.path / "oci-layout").write_text('{"imageLayoutVersion":"7"}')


def lie_diff_id(layout, manifest):
    layout.write(layout.manifest([layer_tar(BASE), layer_tar(TOP)],
                                 diff_ids=["sha256:" + sha(layer_tar(BASE)), "sha256:" + "a" * 64]))


def lie_too_few_layers(layout, manifest):
    layout.write(layout.manifest([layer_tar(BASE)], diff_ids=["sha256:" + "a" * 64] * 2))


def lie_climbing_layer(layout, manifest):
    layout.write(layout.manifest([layer_tar(BASE), layer_tar({"../../escaped": b"x"})]))


def lie_layer_is_no_tar(layout, manifest):
    layout.write(layout.manifest([layer_tar(BASE), b"\x01" * 4096]))


LIES = {
    lie_flipped_layer: "sha256/", lie_cut_layer: "bytes expected", lie_missing_layer: "missing",
    lie_layer_is_a_link: "", lie_flipped_manifest: "digest", lie_missing_config: "missing",
    lie_size: "bytes expected", lie_digest_is_a_path: "no sha256 digest", lie_twice: "duplicate",
    lie_nothing_inside: "no image", lie_deep: "depth", lie_nested_indexes: "indexes",
    lie_no_json: "JSON", lie_version: "imageLayoutVersion", lie_diff_id: "DiffID",
    lie_too_few_layers: "layers", lie_climbing_layer: "escaped", lie_layer_is_no_tar: "sha256/",
}


@pytest.mark.parametrize("packed", [False, True], ids=["directory", "tar"])
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__[4:])
def test_an_archive_that_lies_is_refused_and_nothing_stays(sandbox, store, layout, lie, packed):
    manifest = layout.manifest([layer_tar(BASE), layer_tar(TOP)], **named("x:1"))
    layout.write(manifest)
    lie(layout, manifest)
    source = layout.tar(sandbox.path / "x.tar") if packed else layout.path
    store.refuse("import", source, says=LIES[lie])
    store.assert_empty()
    assert not list(sandbox.path.rglob("*escaped*"))


def test_layers_that_came_before_a_refusal_stay(store, layout):
    """What another image has is not taken away with the failed one."""
    good = layout.manifest([layer_tar(BASE)], **named("good"))
    bad = layout.manifest([layer_tar(BASE), layer_tar(TOP)], **named("bad"))
    layout.write(good)
    store.add(layout.path)
    layout.write(bad)
    flip(layout.layer_path(bad, 1))
    store.refuse("import", layout.path)
    assert store.names() == ["good:latest"] and store.layers() == [sha(layer_tar(BASE))]
    assert os.listdir(store.path / "stage") == []


def test_a_blob_of_a_layer_that_the_store_has_is_still_checked(store, layout):
    layout.write(layout.manifest([layer_tar(BASE)], **named("x")))
    store.add(layout.path)
    manifest = layout.manifest([layer_tar(BASE)])
    layout.write(manifest)
    flip(layout.layer_path(manifest))
    store.refuse("import", "y", layout.path, says="expected")
    assert store.names() == ["x:latest"]


def test_paths_of_the_outer_archive_lead_nowhere(sandbox, store, layout):
    layout.write(layout.manifest([layer_tar(BASE)], **named("x")))
    path = layout.tar(sandbox.path / "x.tar")
    for number, member in enumerate(["../escaped", "/dev/shm/escaped", "blobs/../../escaped"]):
        evil = sandbox.path / f"evil{number}.tar"
        shutil.copy(path, evil)
        with tarfile.open(evil, "a") as tar:
            link = tarfile.TarInfo("up")
            link.type, link.linkname = tarfile.SYMTYPE, ".."
            tar.addfile(link)
            info = tarfile.TarInfo(member)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"bad"))
            through = tarfile.TarInfo("up/escaped")
            tar.addfile(through)
        Store(sandbox).add(evil)
    assert not list(sandbox.path.rglob("*escaped*")) and not os.path.exists("/dev/shm/escaped")


def test_cut_archives_are_refused_wherever_they_are_cut(sandbox, store, layout):
    layout.write(layout.manifest([layer_tar(BASE), layer_tar(TOP)], **named("x")))
    whole = layout.tar(sandbox.path / "x.tar").read_bytes()
    ends = len(whole.rstrip(b"\0"))
    for number in range(12):
        cut = sandbox.path / "cut.tar"
        cut.write_bytes(whole[:ends * number // 12])
        store.refuse("import", cut)
    store.assert_empty()


def test_what_grows_beyond_the_limit_is_refused(sandbox, store, layout):
    need_tool("zstd")
    layout.write(layout.manifest([layer_tar({"zeros": bytes(30_000_000)})]))
    store.refuse("import", "--max-size", "20M", layout.path, says="--max-size")
    store.assert_empty()
    bomb = sandbox.path / "bomb.tar.zst"
    packer = subprocess.Popen(["zstd", "-q", "-o", str(bomb)], stdin=subprocess.PIPE)
    with tarfile.open(fileobj=packer.stdin, mode="w|") as tar:
        info = tarfile.TarInfo("blobs/sha256/zeros")
        info.size = 200_000_000
        with open("/dev/zero", "rb") as zeros:
            tar.addfile(info, zeros)
    packer.stdin.close()
    assert packer.wait(60) == 0 and bomb.stat().st_size < 100_000
    store.refuse("import", "--max-size", "20M", bomb, says="--max-size")
    store.assert_empty()


def test_an_import_that_is_killed_leaves_nothing_behind_a_check(sandbox, store, layout):
    layers = [layer_tar({f"{n}-{k}": os.urandom(20_000) for k in range(40)}) for n in range(12)]
    layout.write(layout.manifest(layers, **named("x")))
    path = layout.tar(sandbox.path / "x.tar")
    chance = random.Random(11)
    for _ in range(12):
        process = subprocess.Popen([PLYFS, "image", "import", "--root", store.path, path],
                                   stdout=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.01, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait(60)
        run(PLYFS, "doctor", "--repair", "--root", store.path, check=False)
        if store.rows():
            assert len(store.layers()) == 12
            store("rm", "x")
        store.assert_empty()
    assert store.add(path) and len(store.layers()) == 12


# ---- names and removal --------------------------------------------------------------------------

@pytest.fixture
def two(store, layout):
    """The images low (one layer) and high (it and one more)."""
    layout.write(layout.manifest([layer_tar(BASE)], **named("low")),
                 layout.manifest([layer_tar(BASE), layer_tar(TOP)], **named("high:2")))
    return store.add(layout.path)


def test_an_image_goes_with_its_last_name_and_its_own_layers(store, two):
    base, top = sha(layer_tar(BASE)), sha(layer_tar(TOP))
    store("tag", "high:2", "docker.io/library/more")
    assert store.names() == ["high:2", "low:latest", "more:latest"]
    store("rm", "high:2")
    assert store.names() == ["low:latest", "more:latest"] and store.layers() == sorted([base, top])
    store("rm", "more")
    assert store.names() == ["low:latest"] and store.layers() == [base]
    store("rm", two[0][:12])
    store.assert_empty()


def test_an_id_means_all_names_only_by_force(store, two):
    store("tag", "low", "again")
    assert "2 names" in store.refuse("rm", two[0])
    store("rm", "-f", two[0])
    assert store.names() == ["high:2"]


def test_an_image_that_a_mount_was_made_from_stays(store, two):
    run(PLYFS, "create", "--root", store.path, "--name", "user", "high:2")
    assert "user" in store.refuse("rm", "high:2")
    assert store.names() == ["high:2", "low:latest"]
    run(PLYFS, "rm", "--root", store.path, "user")
    store("rm", "high:2")


def test_a_layer_with_a_name_of_its_own_stays(sandbox, store, two):
    path = sandbox.path / "base.tar"
    path.write_bytes(layer_tar(BASE))
    run(PLYFS, "layer", "import", "--root", store.path, "--name", "kept", path)
    store("rm", "low", "high:2")
    assert store.layers() == [sha(layer_tar(BASE))]


def test_listing_and_inspecting(store, two):
    table = store("ls").stdout.splitlines()
    assert table[0].split()[:3] == ["IMAGE", "ID", "NAMES"] and len(table) == 3
    assert store("ls", "-q").stdout.split() == [image[:12] for image in two]
    assert store("ls", "--no-trunc", "-f", "names=low:latest", "-q").stdout.split() == [two[0]]
    found = store.inspect("high:2")
    assert found["Id"] == two[1] and found["Config"] == {"Cmd": ["/x"]}
    assert [pathlib.Path(path).parent.name for path in found["LayerPaths"]] == \
        [sha(layer_tar(TOP)), sha(layer_tar(BASE))]
    assert all(os.path.isdir(path) for path in found["LayerPaths"])


def test_words_that_mean_nothing_are_told(store, two):
    assert "no such image" in store("inspect", "none", check=False).stderr
    assert "no such image" in store.refuse("rm", "none")
    assert "no name" in store.refuse("tag", "low", "Not A Name")
    assert "no name" in store.refuse("import", "NOT", "x.tar")
    assert "No such file" in store.refuse("import", "none.tar")
    assert "no such image" in store.refuse("export", "-o", "x", "none")


# ---- export -------------------------------------------------------------------------------------

def test_an_export_has_the_names_that_were_said(sandbox, store, two):
    store("tag", "low", "again")
    path = sandbox.path / "out.tar"
    for words, names in ((["low"], ["low:latest"]), ([two[0]], ["again:latest", "low:latest"]),
                         (["low", "high:2"], ["high:2", "low:latest"])):
        for form in ("oci", "docker-archive"):
            store("export", "--format", form, "-o", path, *words)
            other = Store(sandbox)
            other.add(path)
            assert other.names() == names


@pytest.mark.parametrize("form", ["oci", "docker-archive"])
def test_an_export_is_the_same_bytes_each_time(sandbox, store, two, form):
    argv = [PLYFS, "image", "export", "--root", str(store.path), "--format", form, "high:2", "low"]
    first, second = (subprocess.run(argv, capture_output=True, check=True).stdout for _ in range(2))
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))


def test_an_export_needs_no_files_without_a_name(sandbox, layout):
    """NFS has no O_TMPFILE, nor have many filesystems of FUSE."""
    need_tool("fuse-overlayfs")
    low, up, work, at = (sandbox.directory(name) for name in ("low", "up", "work", "at"))
    run("fuse-overlayfs", "-o", f"lowerdir={low},upperdir={up},workdir={work}", at)
    try:
        with pytest.raises(OSError):
            os.close(os.open(at, os.O_RDWR | os.O_TMPFILE, 0o600))
        root = at / "store"
        layout.write(layout.manifest([layer_tar(BASE), layer_tar({"etc/new": b"new"})]))
        run(PLYFS, "image", "import", "--root", root, "base", layout.path)
        run(PLYFS, "image", "export", "--root", root, "-o", sandbox.path / "there.tar", "base")
        assert os.listdir(root / "stage") == []
    finally:
        umount(at)
    other = Store(sandbox)
    other.add("base", layout.path)
    other("export", "-o", sandbox.path / "here.tar", "base")
    assert (sandbox.path / "there.tar").read_bytes() == (sandbox.path / "here.tar").read_bytes()


def test_a_layer_that_was_changed_is_not_exported(sandbox, store, two):
    tree = pathlib.Path(store.inspect("low")["LayerPaths"][0])
    (tree / "etc/passwd").write_text("evil\n")
    path = sandbox.path / "out.tar"
    assert sha(layer_tar(BASE)) in store.refuse("export", "-o", path, "low")
    assert not path.exists() and not [p for p in os.listdir(sandbox.path) if p.startswith("out")]
    store.refuse("export", "-o", f"{sandbox.path}/out/", "low")
    assert not [p for p in os.listdir(sandbox.path) if p.startswith("out")]
