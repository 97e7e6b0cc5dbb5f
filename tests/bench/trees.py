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
import sysconfig

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


def wanted_in(folder):
    """The names of its symlinks and of its files that are not too large to be one of many."""
    return {entry.name for entry in os.scandir(folder) if entry.is_symlink() or
            (entry.is_file() and entry.stat().st_size <= LARGEST)}


def _in_an_order_of_its_own(path):
    """Has nothing to do with the name, and is hardly another where some more is installed."""
    return hashlib.sha256(os.fsencode(path)).digest()


def _chosen(count):
    """So many of this machine's own files: those of whole directories of /usr, so that there are about as many
    to a directory as in a root filesystem. None gives more than a twentieth of them."""
    folders = [here for source in SOURCES for here, _, _ in os.walk(source)]
    paths = []
    for here in sorted(folders, key=_in_an_order_of_its_own):
        paths += [os.path.join(here, name) for name in sorted(wanted_in(here))[:max(1, count // 20)]]
        if len(paths) >= count:
            break
    return sorted(paths[:count])


def real(folder, count):
    """Three layers holding `count` files of this machine's own /usr; the base has most of them, as images
    have."""
    chosen = _chosen(count)
    names = ("top", "middle", "base")
    for i, path in enumerate(chosen):
        layer = "top" if i % 20 == 0 else "middle" if i % 7 == 0 else "base"
        target = pathlib.Path(f"{folder}/{layer}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
        if not target.is_symlink():  # a chown of a copy would take what is set for its owner
            target.chmod(stat.S_IMODE(target.stat().st_mode) & 0o777)
    return Layers(str(folder), names, len(chosen))


def empty(folder):
    (pathlib.Path(folder) / "empty").mkdir(parents=True)
    return Layers(str(folder), ("empty",), 0)


def one_file(folder, size):
    """One file of bytes that no two blocks share."""
    (pathlib.Path(folder) / "one").mkdir(parents=True)
    source = random.Random(1)
    with open(pathlib.Path(folder) / "one" / "file", "wb") as file:
        for at in range(0, size, 16 << 20):
            file.write(source.randbytes(min(16 << 20, size - at)))
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


def spread(folder, files):
    """Empty files in directories of 1,000, in two layers."""
    for name in ("top", "base"):
        (pathlib.Path(folder) / name).mkdir(parents=True)
    for i in range(0, files, 1000):
        at = f"{folder}/{'base' if i % 10_000 else 'top'}/{i // 1000}"
        os.mkdir(at)
        for n in range(min(1000, files - i)):
            os.close(os.open(f"{at}/file{n}", os.O_CREAT | os.O_WRONLY, 0o644))
    return Layers(str(folder), ("top", "base"), files)


def crowded(folder, files):
    """One directory of empty files, of which every tenth lies in the top layer."""
    for name in ("top", "base"):
        (pathlib.Path(folder) / name / "all").mkdir(parents=True)
    for i in range(files):
        (pathlib.Path(folder) / ("base" if i % 10 else "top") / "all" / f"file{i}").touch()
    return Layers(str(folder), ("top", "base"), files)


def repository(folder, files):
    """A packed git repository of some of this machine's files, with its working tree. What differs between
    copies of one file is nothing to this git, so that none of its contents are read for a status."""
    at = pathlib.Path(folder) / "base" / "repository"
    real(f"{folder}.real", files)
    at.parent.mkdir(parents=True)
    shutil.move(f"{folder}.real/base/usr", at)
    shutil.rmtree(f"{folder}.real")
    # Of many objects git would begin to tidy up behind our back, and go on when the layer is in use.
    git = ["git", "-C", str(at), "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0",
           "-c", "maintenance.auto=false"]
    for words in (["init", "--quiet"], ["config", "core.checkStat", "minimal"], ["config", "core.trustctime", "false"],
                  ["add", "--force", "."], ["commit", "--quiet", "--message", "all"],
                  ["repack", "-a", "-d", "--quiet"], ["prune"]):
        subprocess.run([*git, *words], check=True, stderr=subprocess.DEVNULL)
    return Layers(str(folder), ("base",), files)


def python(folder):
    """The standard library of this machine's Python, compiled as it is."""
    library = sysconfig.get_path("stdlib")
    target = f"{folder}/base{library}"
    shutil.copytree(library, target, symlinks=True, ignore=shutil.ignore_patterns("test", "dist-packages"))
    return Layers(str(folder), ("base",), 0)


def sources(folder):
    """This program's own library, to be compiled."""
    target = pathlib.Path(folder) / "base" / "layers"
    target.mkdir(parents=True)
    for path in sorted((pathlib.Path(__file__).resolve().parents[2] / "layers").glob("*.[ch]")):
        shutil.copy2(path, target)
    return Layers(str(folder), ("base",), 0)


def dpkg_root(folder):
    """What dpkg keeps of a root in which nothing is installed."""
    kept = pathlib.Path(folder) / "base" / "var/lib/dpkg"
    for name in ("info", "updates", "triggers", "parts"):
        (kept / name).mkdir(parents=True)
    for name in ("status", "available"):
        (kept / name).touch()
    return Layers(str(folder), ("base",), 0)


class Trees:
    """Every set of layers by name, and what else commands read, made at first use."""

    def __init__(self, scratch, count, large):
        self.scratch, self.made, self.before = pathlib.Path(scratch), {}, {}
        self.makers = {"real": lambda at: real(at, count), "empty": empty,
                       "byte": lambda at: one_file(at, 1),
                       "file": lambda at: one_file(at, 64 << 20),
                       "many": lambda at: deep(at, 1, 100_000),
                       "spread": lambda at: spread(at, count * 200 // 3),
                       "crowded": lambda at: crowded(at, count * 20 // 3),
                       "large": lambda at: one_file(at, large),
                       "sources": sources, "dpkg-root": dpkg_root,
                       "repository": lambda at: repository(at, count), "python": python,
                       "deep-2": lambda at: deep(at, 2, count // 3),
                       "deep-50": lambda at: deep(at, 50, count // 3),
                       "deep-500": lambda at: deep(at, 500, count // 3)}

    def get(self, name):
        if name not in self.made:
            folder = self.scratch / name
            self.made[name] = self.makers[name](folder)
            self.before[name] = digest(folder)
            subprocess.run(["sync", "--file-system", folder], check=True)
        return self.made[name]

    def inputs(self, commands):
        """The variables that the commands name: files that lie outside of the mount."""
        makers = {"ARCHIVE": self.archive, "NAMES": self.names, "PACKAGE": self.package}
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

    def package(self):
        """A Debian package of the real tree's base, which has no scripts."""
        path = self.scratch / "real.deb"
        if not path.exists():
            at = self.scratch / "package"
            subprocess.run(["cp", "-a", f"{self.get('real').folder}/base", at], check=True)
            (at / "DEBIAN").mkdir()
            (at / "DEBIAN" / "control").write_text("Package: real\nVersion: 1\nArchitecture: all\n"
                                                   "Maintainer: nobody <nobody@localhost>\nDescription: files\n")
            subprocess.run(["dpkg-deb", "-Znone", "--build", at, path], check=True, stdout=subprocess.DEVNULL)
            shutil.rmtree(at)
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

    def changed(self, name):
        """Whether some byte, mode, owner or time of a set is no longer what it was."""
        return name in self.before and digest(self.scratch / name) != self.before[name]
