# SPDX-License-Identifier: MIT
"""Deep stacks and long names: 500 layers, layers by odd paths, names and paths at the limits.

The kernel takes 500 layers only through fsconfig(2), so what is expected is computed here from
the layers' own making. PLYFS_DEEP_AS=fuse-overlayfs puts that in plyfs's place.
"""
import contextlib
import errno
import os

import pytest

import layers_kit as kit
from harness import Mounted, assert_same, listing, need_fuse, need_root, need_tool

OURS = os.environ.get("PLYFS_DEEP_AS", "plyfs")
FORMS = ["o", "mount"] if OURS == "plyfs" else ["o"]
LAYERS = 500


@pytest.fixture(autouse=True)
def _needs():
    need_root()
    need_fuse() if OURS == "plyfs" else need_tool(OURS)


class Stack:
    """LAYERS layers and what they show: {path: content, None for a directory}. Number 0 is the
    lowest; every layer has /, /usr and /etc, and each does a few things of its own."""

    def __init__(self, sandbox):
        self.layers, self.shown = [], {}
        home = sandbox.directory("layers")
        for number in range(LAYERS):
            layer = home / str(number)
            layer.mkdir()
            self.layers.insert(0, layer)
            self._fill(layer, number)

    def _put(self, layer, path, text):
        kit.put(layer / path, text)
        for at in range(path.count("/")):
            self.shown[path.rsplit("/", at + 1)[0]] = None
        self.shown[path] = text

    def _remove(self, layer, path):
        (layer / path).parent.mkdir(parents=True, exist_ok=True)
        kit.whiteout(layer / path)
        for name in [p for p in self.shown if p == path or p.startswith(path + "/")]:
            del self.shown[name]

    def _fill(self, layer, number):
        self._put(layer, f"usr/own{number}", f"own {number}\n")
        self._put(layer, "etc/version", f"{number}\n")
        self._put(layer, f"etc/shared{number % 7}", f"shared by {number}\n")
        if number % 10 == 3:
            self._put(layer, f"usr/lib/deep/{number}/file", "deep\n")
        if number % 10 == 7:  # what number - 4 made goes, the directories stay
            self._remove(layer, f"usr/lib/deep/{number - 4}/file")
        if number % 25 == 24:
            self._remove(layer, f"usr/own{number - 1}")
        if number % 50 == 49:  # the whole of a directory goes and is made again
            for name in [p for p in self.shown if p.startswith("usr/share/")]:
                del self.shown[name]
            self._put(layer, "usr/share/since", f"{number}\n")
            os.setxattr(layer / "usr/share", "trusted.overlay.opaque", b"y")
        self._put(layer, f"usr/share/part{number}", "part\n")


def tree(top):
    """{path: content, None for a directory}, with every name as often as it is listed."""
    found = {}
    for where, dirs, files in os.walk(top):
        rel = os.path.relpath(where, top)
        for name in dirs + files:
            path = name if rel == "." else f"{rel}/{name}"
            assert path not in found, f"{path} is listed twice"
            whole = os.path.join(where, name)
            if name in dirs:
                found[path] = None
            else:
                with open(whole, encoding="ascii") as file:
                    found[path] = file.read()
    return found


def same_tree(expected, found):
    assert_same({k: {"content": v} for k, v in expected.items()},
                {k: {"content": v} for k, v in found.items()}, "computed (left), mounted (right)")


@pytest.mark.parametrize("form", FORMS)
def test_500_layers_show_the_computed_tree(sandbox, profile, form):
    stack = Stack(sandbox)
    with Mounted(sandbox, OURS, stack.layers, profile=profile, form=form) as mount:
        same_tree(stack.shown, tree(mount))
        for path in ("usr/absent", "absent", "etc/absent/deeper", "usr/own23", "usr/lib/deep/3/file"):
            for _ in range(2):
                assert not os.path.lexists(mount / path), path


def test_500_layers_answer_lookups_before_any_listing(sandbox, profile):
    stack = Stack(sandbox)
    with Mounted(sandbox, OURS, stack.layers, profile=profile, form="o") as mount:
        assert not os.path.lexists(mount / "usr/own23")  # removed by layer 24
        assert (mount / "usr/own0").read_text() == "own 0\n"
        assert (mount / "etc/version").read_text() == f"{LAYERS - 1}\n"
        assert not os.path.lexists(mount / "usr/share/part0")
        same_tree(stack.shown, tree(mount))


@pytest.mark.parametrize("form", FORMS)
def test_500_layers_are_changed(sandbox, profile, form):
    """Writes, removals and renames over 500 layers, the same again after a remount."""
    stack = Stack(sandbox)
    upper, work = sandbox.directory("upper"), sandbox.directory("work")
    shown = stack.shown
    with Mounted(sandbox, OURS, stack.layers, upper, work, profile=profile, form=form) as mount:
        with open(mount / "etc/version", "a", encoding="ascii") as file:
            file.write("more\n")
        shown["etc/version"] += "more\n"
        kit.put(mount / "usr/lib/deep/3/file", "again\n")
        shown["usr/lib/deep/3/file"] = "again\n"
        os.unlink(mount / "usr/own1")
        del shown["usr/own1"]
        os.rename(mount / "usr/own0", mount / "etc/own")
        shown["etc/own"] = shown.pop("usr/own0")
        kit.shutil.rmtree(mount / "usr/share")
        (mount / "usr/share").mkdir()
        for path in [p for p in shown if p.startswith("usr/share/")]:
            del shown[path]
        moved = "mount" == form  # the drop-in form has no redirects unless asked
        try:
            os.rename(mount / "etc", mount / "usr/etc")
            for path in [p for p in shown if p == "etc" or p.startswith("etc/")]:
                shown["usr/" + path] = shown.pop(path)
            assert moved or OURS != "plyfs"
        except OSError as error:
            assert error.errno == errno.EXDEV and not moved
        same_tree(shown, tree(mount))
        mount.remount()
        same_tree(shown, tree(mount))


def test_the_topmost_of_500_layers_gives_a_directorys_attributes(sandbox):
    stack = Stack(sandbox)
    os.chmod(stack.layers[0] / "usr", 0o751)
    os.chmod(stack.layers[1] / "usr", 0o700)
    os.utime(stack.layers[0] / "usr", ns=(kit.PAST_NS, kit.PAST_NS))
    with Mounted(sandbox, OURS, stack.layers, form="o") as mount:
        st = os.stat(mount / "usr")
        assert (st.st_mode & 0o7777, st.st_mtime_ns) == (0o751, kit.PAST_NS)


def test_inode_numbers_are_unique_over_500_layers(sandbox):
    stack = Stack(sandbox)
    with Mounted(sandbox, OURS, stack.layers, form="o") as mount:
        numbers = {}
        for path in stack.shown:
            st = os.lstat(mount / path)
            assert numbers.setdefault((st.st_dev, st.st_ino), path) == path
        for where, _, _ in os.walk(mount):
            for entry in os.scandir(where):
                assert entry.inode() == os.lstat(entry.path).st_ino, entry.path


# ---- layers by odd paths ------------------------------------------------------------------------

def _pair(sandbox):
    top, bottom = sandbox.directory("top"), sandbox.directory("bottom")
    kit.put(top / "both", "top")
    kit.put(bottom / "both", "bottom")
    kit.put(top / "t", "t")
    kit.put(bottom / "b", "b")
    return top, bottom


SEEN = {"both": "top", "t": "t", "b": "b"}


@pytest.mark.parametrize("form", FORMS)
def test_layers_may_be_absolute_symlinks(sandbox, form):
    links = sandbox.directory("links")
    for name, layer in zip("tb", _pair(sandbox)):
        (links / name).symlink_to(layer)
    with Mounted(sandbox, OURS, [links / "t", links / "b"], form=form) as mount:
        same_tree(SEEN, tree(mount))


@pytest.mark.parametrize("form", FORMS)
def test_dotdot_after_a_symlink_is_walked_and_not_cut_out_of_the_text(sandbox, form):
    """short/l -> real/diff, so short/l/../lower is real/lower, and never short/lower."""
    top, bottom = _pair(sandbox)
    real, short = sandbox.directory("real"), sandbox.directory("short")
    (real / "diff").mkdir()
    (short / "l").symlink_to(real / "diff")
    top.rename(real / "lower")
    kit.put(short / "lower/wrong", "a textual .. leads here")
    with Mounted(sandbox, OURS, [f"{short}/l/../lower", bottom], form=form) as mount:
        same_tree(SEEN, tree(mount))


@pytest.mark.parametrize("name", ["with:colon", "with,comma", "with\\backslash", "with space",
                                  ":", "new\nline", "caf\u00e9", "a\\:b"])
@pytest.mark.parametrize("form", FORMS)
def test_layers_with_odd_names(sandbox, form, name):
    """Colons, commas and backslashes are escaped by a backslash in the drop-in form, and are
    plain text to --lower."""
    if OURS != "plyfs" and name != "with:colon":
        pytest.skip("fuse-overlayfs unescapes colons only")
    top, bottom = _pair(sandbox)
    odd = sandbox.path / name
    top.rename(odd)
    upper, work = sandbox.path / f"upper{name}", sandbox.path / f"work{name}"
    upper.mkdir()
    work.mkdir()
    with Mounted(sandbox, OURS, [odd, bottom], upper, work, form=form) as mount:
        same_tree(SEEN, tree(mount))
        kit.put(mount / "new", "new")
    assert (upper / "new").read_text() == "new"


@pytest.mark.parametrize("form", FORMS)
def test_a_relative_layer_is_found_from_where_the_command_runs(sandbox, form):
    top, bottom = _pair(sandbox)
    at = sandbox.directory("mnt")
    before = os.getcwd()
    os.chdir(sandbox.path)
    try:
        with Mounted(sandbox, OURS, ["top", "./bottom"], at=at, form=form) as mount:
            same_tree(SEEN, tree(mount))
    finally:
        os.chdir(before)


# ---- names and paths at the limits --------------------------------------------------------------

@pytest.mark.parametrize("length", [251, 252, 253, 254, 255])
def test_the_longest_names(sandbox, profile, length):
    """Made, copied up, renamed, removed, made again: no prefix of ours is added on the way."""
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    name, other, third = "l" * length, "o" * length, "t" * length
    kit.put(low / name, "below")
    kit.put(low / third / "inside", "below")
    with Mounted(sandbox, OURS, [low], upper, work, profile=profile,
                 form="mount" if OURS == "plyfs" else "o") as mount:
        with open(mount / name, "a", encoding="ascii") as file:
            file.write(" and above")
        os.rename(mount / name, mount / other)
        kit.put(mount / name, "new")
        os.link(mount / name, mount / ("k" * length))
        os.symlink(name, mount / ("s" * length))
        os.unlink(mount / name)
        kit.shutil.rmtree(mount / third)
        (mount / third).mkdir()
        expected = {other: "below and above", "k" * length: "new", third: None}
        left = {k: v for k, v in ((n, None if (mount / n).is_dir() else (mount / n).read_text())
                                  for n in os.listdir(mount) if n[0] != "s")}
        same_tree(expected, left)
        assert os.readlink(mount / ("s" * length)) == name
        with pytest.raises(OSError) as caught:
            kit.put(mount / ("x" * 256), "too long")
        assert caught.value.errno == errno.ENAMETOOLONG
        mount.remount()
        assert sorted(os.listdir(mount)) == sorted([*expected, "s" * length])


@contextlib.contextmanager
def _descend(top, names, make=False, dir_fd=None):
    """A descriptor of the directory reached by relative steps: no path is ever too long."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
    try:
        for name in names:
            if make:
                os.mkdir(name, dir_fd=fd)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _read(name, fd):
    with open(name, encoding="ascii", opener=lambda p, flags: os.open(p, flags, dir_fd=fd)) as file:
        return file.read()


def _write(name, text, fd):
    with open(name, "a", encoding="ascii",
              opener=lambda p, flags: os.open(p, flags, 0o644, dir_fd=fd)) as file:
        file.write(text)


def test_a_path_just_short_of_path_max_is_walked_and_changed(sandbox, profile):
    """Sixteen names of 250 bytes: 4015 bytes below the layer's root."""
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    names = [f"{n:02}" + "d" * 248 for n in range(15)]
    with _descend(low, names, make=True) as fd:
        _write("file", "below", fd)
        _write("gone", "below", fd)
    with Mounted(sandbox, OURS, [low], upper, work, profile=profile,
                 form="mount" if OURS == "plyfs" else "o") as mount:
        with _descend(mount, names) as fd:
            assert sorted(os.listdir(fd)) == ["file", "gone"]
            assert _read("file", fd) == "below"
            _write("file", " and above", fd)
            _write("n" * 250, "new", fd)
            os.unlink("gone", dir_fd=fd)
            os.rename("n" * 250, "newer", src_dir_fd=fd, dst_dir_fd=fd)
            os.mkdir("e" * 250, dir_fd=fd)
        mount.remount()
        with _descend(mount, names) as fd:
            assert sorted(os.listdir(fd)) == ["e" * 250, "file", "newer"]
            assert _read("file", fd) == "below and above"


def test_deeper_than_path_max_by_relative_steps(sandbox, profile):
    """No call here names more than 250 bytes; the whole path has over 7,000. The first directories
    are the lower layer's, so that copying up their parents comes in too."""
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    names = [f"{n:02}" + "d" * 248 for n in range(30)]
    with _descend(low, names[:15], make=True):
        pass
    with Mounted(sandbox, OURS, [low], upper, work, profile=profile,
                 form="mount" if OURS == "plyfs" else "o") as mount:
        with _descend(mount, names[:15]) as middle, \
                _descend(".", names[15:], make=True, dir_fd=middle) as fd:
            _write("file", "at the end", fd)
            os.rename("file", "renamed", src_dir_fd=fd, dst_dir_fd=fd)
        mount.remount()
        with _descend(mount, names) as fd:
            assert os.listdir(fd) == ["renamed"]
            assert _read("renamed", fd) == "at the end"


def test_nesting_of_hundreds_of_directories(sandbox, profile):
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    names = ["d"] * 600
    with _descend(low, names, make=True) as fd:
        _write("file", "deep", fd)
    with Mounted(sandbox, OURS, [low], upper, work, profile=profile, form="o") as mount:
        with _descend(mount, names) as fd:
            _write("file", " and changed", fd)
            assert _read("file", fd) == "deep and changed"
        left = listing(mount, times="ns")
        mount.remount()
        assert_same(left, listing(mount, times="ns"))
