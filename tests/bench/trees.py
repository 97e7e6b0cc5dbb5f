# SPDX-License-Identifier: MIT
"""What is worked on: sets of lower layers, made the same way every time, and their digests."""
import dataclasses
import hashlib
import os
import pathlib
import random
import shutil
import stat
import subprocess

SOURCES = ("/usr/lib", "/usr/share")
LARGEST = 256 * 1024


@dataclasses.dataclass(frozen=True)
class Layers:
    folder: str
    names: tuple  # of directories in the folder, topmost first
    files: int

    def copy(self, target):
        """Writes what a union of the layers would show into a directory."""
        for name in reversed(self.names):
            subprocess.run(["cp", "-a", f"{self.folder}/{name}/.", target], check=True)


def digest(root, times=True):
    """One digest of all names, types, modes, owners, sizes, targets and contents of a tree."""
    sha = hashlib.sha256()
    for here, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(folders + files) + ["."]:
            path = os.path.join(here, name)
            st = os.lstat(path)
            top = os.path.relpath(path, root) == "."
            sha.update(repr((os.path.relpath(path, root), st.st_mode, st.st_uid, st.st_gid,
                             st.st_mtime_ns if times and not top else 0)).encode("utf-8", "surrogateescape"))
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb", buffering=0) as file:
                    while chunk := file.read(1 << 20):
                        sha.update(chunk)
            elif stat.S_ISLNK(st.st_mode):
                sha.update(os.fsencode(os.readlink(path)))
    return sha.hexdigest()[:16]


def _candidates():
    found = []
    for source in SOURCES:
        for here, folders, files in os.walk(source):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(here, name)
                st = os.lstat(path)
                if stat.S_ISREG(st.st_mode) and st.st_size <= LARGEST:
                    found.append(path)
    return found


def real(folder, count):
    """Three layers holding `count` files of this machine's own /usr, every n-th of the sorted list;
    the base has most of them, as images have."""
    found = _candidates()
    step = max(1, len(found) // count)
    chosen = found[::step][:count]
    names = ("top", "middle", "base")
    for i, path in enumerate(chosen):
        layer = "top" if i % 20 == 0 else "middle" if i % 7 == 0 else "base"
        target = pathlib.Path(f"{folder}/{layer}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return Layers(str(folder), names, len(chosen))


def empty(folder):
    (pathlib.Path(folder) / "empty").mkdir(parents=True)
    return Layers(str(folder), ("empty",), 0)


def one_file(folder, size):
    """One file of bytes that no two blocks share."""
    (pathlib.Path(folder) / "one").mkdir(parents=True)
    (pathlib.Path(folder) / "one" / "file").write_bytes(random.Random(1).randbytes(size))
    return Layers(str(folder), ("one",), 1)


def deep(folder, layers, files):
    """The same files whatever the number of layers, spread over all of them, in shared directories."""
    names = tuple(str(i) for i in range(layers))
    for name in names:
        (pathlib.Path(folder) / name).mkdir(parents=True)
    for i in range(files):
        target = pathlib.Path(folder) / names[i * layers // files] / "usr" / f"lib{i % 10}" / f"file{i}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"%d" % i)
    return Layers(str(folder), names, files)


class Trees:
    """Every set of layers by name, and what else commands read, made at first use."""

    def __init__(self, scratch, count, large):
        self.scratch, self.made, self.before = pathlib.Path(scratch), {}, {}
        self.makers = {"real": lambda at: real(at, count), "empty": empty,
                       "file": lambda at: one_file(at, 64 << 20),
                       "many": lambda at: deep(at, 1, 100_000),
                       "deep-2": lambda at: deep(at, 2, count // 3),
                       "deep-500": lambda at: deep(at, 500, count // 3)}

    def get(self, name):
        if name not in self.made:
            folder = self.scratch / name
            self.made[name] = self.makers[name](folder)
            self.before[name] = digest(folder)
        return self.made[name]

    def inputs(self, commands):
        """The variables that the commands name: files that lie outside of the mount."""
        makers = {"ARCHIVE": self.archive, "NAMES": self.names}
        return {name: make() for name, make in makers.items()
                if any(f"${name}" in command for command in commands)}

    def archive(self):
        """A tar of the real tree, for untar."""
        path = self.scratch / "real.tar"
        if not path.exists():
            layers = self.get("real")
            for name in reversed(layers.names):
                subprocess.run(["tar", "-rf", path, "-C", f"{layers.folder}/{name}", "."], check=True)
        return str(path)

    def names(self):
        """The paths of the real tree, each ended by a NUL, for xargs -0."""
        path = self.scratch / "real.names"
        if not path.exists():
            layers = self.get("real")
            roots = [pathlib.Path(layers.folder) / name for name in layers.names]
            found = {str(below.relative_to(root)) for root in roots for below in root.rglob("*")}
            path.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in sorted(found)))
        return str(path)

    def changed(self):
        """Names of the sets of which some byte, mode, owner or time is no longer what it was."""
        return [name for name, old in self.before.items() if digest(self.scratch / name) != old]
