# SPDX-License-Identifier: MIT
"""Layers made by an enemy, and the canaries that tell whether he got out.

A case is a function of a Scene: it fills three layers and an upper, with marks of the attributes that
the mount will read. The canaries lie outside every layer; whatever is done through the mount, their
content, modes, owners, attributes and times stay, and nothing of their content is ever shown.
"""
import hashlib
import os
import pathlib
import socket
import stat
import struct

from harness import digest, run
from layers_kit import put
from worlds import attempt

SECRET = b"the canary sings outside of every layer"
DEVICE_0 = os.makedev(0, 0)
CASES = {}          # name -> (function, why the kernel is not asked to show the same, or None)


def case(kernel=None):
    def register(function):
        CASES[function.__name__] = (function, kernel)
        return function
    return register


class Scene:
    """Three layers, topmost first, an upper, and what lies outside."""

    def __init__(self, home, space):
        self.home, self.space = pathlib.Path(home), space
        self.top, self.middle, self.bottom, self.upper, self.work, self.at, self.outside = (
            self.home / name for name in ("top", "middle", "bottom", "upper", "work", "at", "outside"))
        for path in (self.top, self.middle, self.bottom, self.upper, self.work, self.at):
            path.mkdir()
            os.chmod(path, 0o755)
        put(self.outside / "secret", SECRET, 0o644)
        put(self.outside / "sub/secret", SECRET, 0o644)
        put(self.outside / "f", SECRET, 0o644)
        self.layers = [self.top, self.middle, self.bottom]
        self.before = digest(self.outside)

    def mark(self, path, attribute, value=b""):
        os.setxattr(path, f"{self.space}.overlay.{attribute}", value, follow_symlinks=False)

    def give(self, uid):
        """All of it is that user's: the layers, for ordinary users mount their own, and the canaries, which a
        daemon of that user could reach."""
        run("chown", "-Rh", f"{uid}:{uid}", self.home)
        self.before = digest(self.outside)

    def assert_nothing_got_out(self):
        assert digest(self.outside) == self.before, "a canary was changed"
        found = run("grep", "-rlaF", "-D", "skip", SECRET.decode(), self.upper, check=False).stdout
        assert not found, f"a canary was copied to {found}"


# ---- looking and changing -----------------------------------------------------------------------

def read_plainly(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def look_at(path):
    """What there is to be seen of one path, or the name of the error."""
    st = attempt(os.lstat, path)
    if isinstance(st, str):
        return st
    kind = stat.S_IFMT(st.st_mode)
    seen = [oct(st.st_mode), st.st_uid, st.st_gid, st.st_rdev]
    if kind == stat.S_IFREG:
        data = attempt(read_plainly, path)
        assert isinstance(data, str) or SECRET not in data, f"{path} shows the canary"
        seen += [st.st_size, data if isinstance(data, str) else hashlib.sha256(data).hexdigest()[:16]]
    elif kind == stat.S_IFLNK:
        seen.append(attempt(os.readlink, path))
    names = attempt(os.listxattr, path, follow_symlinks=False)
    for name in names if isinstance(names, list) else []:
        value = attempt(os.getxattr, path, name, follow_symlinks=False)
        assert isinstance(value, str) or SECRET not in value
    return seen


def everything(at, deepest=12):
    """{relative path: what is seen}, without following a symlink."""
    found, todo = {}, [("", 0)]
    while todo:
        rel, depth = todo.pop()
        path = os.path.join(at, rel) if rel else at
        seen = look_at(path)
        found[rel] = seen
        if not isinstance(seen, str) and stat.S_ISDIR(int(seen[0], 8)) and depth < deepest:
            names = attempt(os.listdir, path)
            found[rel + "/"] = names if isinstance(names, str) else sorted(names)
            todo += [(os.path.join(rel, name), depth + 1) for name in names] if isinstance(names, list) else []
    return found


def append(path):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return os.write(fd, b"more")
    finally:
        os.close(fd)


def disturb(path):
    """Every kind of change to one path, the outcomes."""
    st = attempt(os.lstat, path)
    if isinstance(st, str):
        return [st]
    done = [attempt(os.utime, path, (1, 1), follow_symlinks=False),
            attempt(os.chown, path, st.st_uid, st.st_gid, follow_symlinks=False),
            attempt(os.link, path, path + ".l", follow_symlinks=False)]
    if stat.S_ISREG(st.st_mode):
        done += [attempt(append, path), attempt(os.truncate, path, 3)]
    if stat.S_ISDIR(st.st_mode):
        done += [attempt(os.mkdir, path + "/made"), attempt(put, path + "/new", "new"),
                 attempt(os.symlink, "/nowhere", path + "/link")]
    if not stat.S_ISLNK(st.st_mode):
        done += [attempt(os.chmod, path, stat.S_IMODE(st.st_mode) | 0o600),
                 attempt(os.setxattr, path, "user.mine", b"1", follow_symlinks=False)]
    return done + [attempt(os.rename, path, path + ".r"), attempt(os.rename, path + ".r", path)]


def remove_all(at):
    left = []
    for where, names, files in os.walk(at, topdown=False):
        for name in files + names:
            path = os.path.join(where, name)
            st = attempt(os.lstat, path)
            is_dir = not isinstance(st, str) and stat.S_ISDIR(st.st_mode)
            left.append(attempt(os.rmdir if is_dir else os.unlink, path))
    return left


def work_through(at):
    """Looks at all, changes all, looks again, removes all: what was seen first."""
    first = everything(at)
    for rel in sorted(first, key=len, reverse=True):
        if rel and not rel.endswith("/"):
            disturb(os.path.join(at, rel))
    everything(at)
    remove_all(at)
    everything(at)
    put(os.path.join(at, "still here"), "yes")
    assert read_plainly(os.path.join(at, "still here")) == b"yes"
    return first


# ---- the cases ----------------------------------------------------------------------------------

@case()
def symlinks_lead_out(s):
    for number, layer in enumerate(s.layers):
        os.symlink(s.outside, layer / f"dir{number}")
        os.symlink(s.outside / "secret", layer / f"file{number}")
        os.symlink("../outside/secret", layer / f"relative{number}")
        os.symlink("../" * 40 + str(s.outside)[1:], layer / f"far{number}")
        os.symlink("/proc/self/root", layer / f"root{number}")
        os.symlink("/proc/self/fd/3", layer / f"magic{number}")


@case()
def a_directory_meets_a_symlink_of_its_name(s):
    put(s.top / "d/mine", "top")
    os.symlink(s.outside, s.middle / "d")
    put(s.bottom / "d/below", "never merged")
    os.symlink(s.outside, s.top / "e")
    put(s.middle / "e/f", "hidden")
    put(s.upper / "u/mine", "upper")
    os.symlink(s.outside, s.top / "u")


@case()
def symlinks_go_in_circles(s):
    os.symlink("a", s.top / "a")
    os.symlink("c", s.top / "b")
    os.symlink("b", s.middle / "c")
    put(s.bottom / "d/x", "x")
    os.symlink("..", s.middle / "up")
    os.symlink("d/../d/../loop", s.bottom / "loop")


OUTWARD = [b"../../outside", b"/../../outside", b"/../outside", b"..", b".", b"/..", b"/.", b"/", b"//", b"", b"./outside",
           b"a/../../outside", b"/a/../../outside", b"/link", b"/link/sub", b"link", b"/outside", b"\0", b"x\0y", b"/x\0/..",
           b"/" + b"x" * 256, b"y" * 256, b"/" + b"z/" * 1500, b"/proc/self/root", b"/d\xff", b"d/", b"/d/", b"//d", b"/d//f"]


@case(kernel="the kernel refuses such a directory whole, or takes the value for none")
def redirects_lead_out(s):
    for layer in (s.middle, s.bottom):
        os.symlink(s.outside, layer / "link")
        put(layer / "d/f", "an honest file")
    for number, value in enumerate(OUTWARD):
        for place in (s.top, s.upper):
            for kind in ("dir", "file"):
                path = place / f"{kind}{number}-{place.name}"
                if kind == "dir":
                    path.mkdir()
                else:
                    put(path)
                    s.mark(path, "metacopy")
                s.mark(path, "redirect", value)


@case(kernel="the kernel shows some of these as EIO and others merged")
def redirects_go_in_circles(s):
    for layer in (s.upper, *s.layers):
        for name, to in (("a", b"b"), ("b", b"a"), ("c", b"/c"), ("d", b"/a/e"), ("self", b"self")):
            (layer / name).mkdir()
            s.mark(layer / name, "redirect", to)
            put(layer / name / layer.name, layer.name)
        (layer / "a/e").mkdir()
        s.mark(layer / "a/e", "redirect", b"/d")
        (layer / "d/in").mkdir()
        s.mark(layer / "d/in", "redirect", b"/d/in/in")


def handle_of(path):
    """An origin that names a file by its handle, as the kernel writes it (fs/overlayfs/overlayfs.h)."""
    import ctypes
    buffer = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0) + b"\0" * 128, 136)
    mount = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.name_to_handle_at(-100, os.fsencode(path), buffer, ctypes.byref(mount), 0) != 0:
        return b""
    size, kind = struct.unpack_from("<Ii", buffer.raw)
    handle = buffer.raw[8:8 + size]
    uuid = b"\0" * 16
    fd = os.open(path, os.O_RDONLY)
    try:
        import fcntl
        answer = fcntl.ioctl(fd, 0x80111500, b"\0" * 17)     # FS_IOC_GETFSUUID
        uuid = answer[1:17]
    except OSError:
        pass
    finally:
        os.close(fd)
    return struct.pack("BBBBB", 0, 0xFB, 21 + size, 0, kind) + uuid + handle


@case(kernel="which of them the kernel trusts depends on its index and nfs_export")
def origins_are_forged(s):
    secret = handle_of(s.outside / "secret")
    values = [secret, secret[:-1], secret + b"x", b"", b"\0", b"\0\xfb", b"\0\xfb\xff\0\1" + b"\0" * 250, os.urandom(40),
              handle_of(s.outside), b"\0\xfb\x15\0\1" + b"\0" * 16]
    for number, value in enumerate(values):
        for place in (s.upper, s.top):
            put(place / f"plain{number}-{place.name}", "plain")
            put(place / f"meta{number}-{place.name}")
            os.truncate(place / f"meta{number}-{place.name}", len(SECRET))
            s.mark(place / f"meta{number}-{place.name}", "metacopy")
            (place / f"dir{number}-{place.name}").mkdir()
            for kind in ("plain", "meta", "dir"):
                s.mark(place / f"{kind}{number}-{place.name}", "origin", value)
            s.mark(place / f"dir{number}-{place.name}", "impure", b"y")


@case(kernel="the kernel answers EIO or ENOENT where there is no data; both are no escape")
def metacopies_are_forged(s):
    os.symlink(s.outside / "secret", s.bottom / "linked")
    os.symlink(s.outside, s.bottom / "link")
    os.mkfifo(s.bottom / "fifo")
    (s.bottom / "dir").mkdir()
    os.mknod(s.bottom / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    put(s.bottom / "honest", "below")
    put(s.bottom / "chain")
    s.mark(s.bottom / "chain", "metacopy")
    targets = {"linked": None, "fifo": None, "dir": None, "null": None, "nothing": None, "honest": None, "chain": None,
               "to-link": b"/link/secret", "to-linked": b"/linked", "to-fifo": b"/fifo", "to-dir": b"/dir", "to-null": b"/null",
               "out": b"/../outside/secret", "up": b"../outside/secret", "absolute": os.fsencode(s.outside / "secret")}
    for place in (s.top, s.upper):
        for name, to in targets.items():
            path = put(place / (name if place is s.top else f"{name}-upper"))
            os.truncate(path, len(SECRET))
            s.mark(path, "metacopy", b"\0\x24\0\1" + b"x" * 32 if name == "honest" else b"")
            if to or place is s.upper:
                s.mark(path, "redirect", to or b"/" + name.encode())
        (place / f"directory-{place.name}").mkdir()
        s.mark(place / f"directory-{place.name}", "metacopy", b"\xff" * 300)


@case(kernel="the kernel knows no override_stat")
def override_stat_is_forged(s):
    values = [b"0:0:4755:file", b"0:0:0777:symlink", b"0:0:0666:char-1-3", b"0:0:0666:block-8-0", b"0:0:0777:dir", b"0:0:0666:pipe",
              b"0:0:0666:socket", b"4294967295:4294967295:7777", b"-1:-1:-1", b"junk", b"", b":::", b"0:0:99999999999999999999",
              b"0:0:0644:char-4294967295-4294967295", b"0" * 3000, b"0:0:0644:char-0-0", b"0:0:170000:file", b"\0", b"0:0:0644:file\n"]
    for number, value in enumerate(values):
        for name in ("user.containers.override_stat", "user.fuseoverlayfs.override_stat"):
            for place in (s.top, s.upper):
                short = f"{number}{name[5]}-{place.name}"
                put(place / f"file{short}", os.fsencode(s.outside / "secret"))
                (place / f"dir{short}").mkdir()
                put(place / f"dir{short}/in", "in")
                os.setxattr(place / f"file{short}", name, value)
                os.setxattr(place / f"dir{short}", name, value)


@case()
def whiteouts_have_odd_modes(s):
    for number, (kind, mode, device) in enumerate([
            (stat.S_IFCHR, 0o7777, DEVICE_0), (stat.S_IFCHR, 0, DEVICE_0), (stat.S_IFCHR, 0o666, DEVICE_0),
            (stat.S_IFBLK, 0o600, DEVICE_0), (stat.S_IFCHR, 0o600, os.makedev(0, 1)), (stat.S_IFCHR, 0o600, os.makedev(1, 0))]):
        put(s.bottom / f"below{number}", "below")
        put(s.bottom / f"dir{number}/x", "below")
        for name in (f"below{number}", f"dir{number}"):
            os.mknod(s.middle / name, kind | 0o600, device)
            os.chmod(s.middle / name, mode)
            os.lchown(s.middle / name, 4321, 1)


@case(kernel="the kernel takes `.wh.` names for ordinary ones")
def white_files_are_something_else(s):
    for number, make in enumerate([lambda p: p.mkdir(), os.mkfifo, lambda p: os.symlink(s.outside / "secret", p), put,
                                   lambda p: put(p, "not empty"), lambda p: os.symlink("nowhere", p),
                                   lambda p: os.mknod(p, stat.S_IFCHR, DEVICE_0)]):
        put(s.bottom / f"f{number}", "below")
        make(s.middle / f".wh.f{number}")
        (s.middle / f"opaque{number}").mkdir()
        put(s.bottom / f"opaque{number}/x", "below")
        make(s.middle / f"opaque{number}/.wh..wh..opq")
    for name in (".wh.", ".wh..", ".wh...", ".wh..wh.", ".wh..wh..wh.", ".wh.\n", ".wh.\xff", ".wh." + "n" * 251, ".wh..wh.aufs"):
        put(s.middle / name)
    put(s.bottom / ("n" * 251), "below")


@case()
def other_kinds_lie_where_files_should_be(s):
    kinds = {"fifo": os.mkfifo, "null": lambda p: os.mknod(p, stat.S_IFCHR | 0o666, os.makedev(1, 3)),
             "disk": lambda p: os.mknod(p, stat.S_IFBLK | 0o600, os.makedev(259, 77)), "file": lambda p: put(p, "x"),
             "link": lambda p: os.symlink(s.outside, p), "dir": lambda p: put(p / "in", "in"), "sock": bind_at}
    for above, make_above in kinds.items():
        for below, make_below in kinds.items():
            make_above(s.top / f"{above}-{below}")
            make_below(s.bottom / f"{above}-{below}")


def bind_at(path):
    """By a relative name: 108 bytes are soon full."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@case(kernel="marks on what may have none: which of them the kernel looks at is its own affair")
def marks_lie_on_what_should_have_none(s):
    os.mkfifo(s.top / "fifo")
    bind_at(s.top / "sock")
    os.symlink(s.outside / "secret", s.top / "link")
    put(s.top / "file", "x")
    (s.top / "dir").mkdir()
    for name in ("fifo", "sock", "link", "file", "dir"):
        put(s.bottom / name, "below")
        for attribute, value in (("opaque", b"y"), ("opaque", b"x"), ("opaque", b"\xff" * 9), ("whiteout", b"y"), ("metacopy", b""),
                                 ("redirect", b"/link"), ("nlink", b"U-9999999999"), ("nlink", b"L+1"), ("upper", b"\0" * 30),
                                 ("impure", b"y"), ("uuid", b"short"), ("protattr", b"ai" * 100), ("overlay.overlay.opaque", b"y")):
            attempt(s.mark, s.top / name, attribute, value)


@case()
def names_have_255_bytes(s):
    for number, layer in enumerate((s.upper, *s.layers)):
        put(layer / ("n" * 255), layer.name)
        put(layer / ("d" * 255) / (str(number) * 255), layer.name)
        put(layer / os.fsdecode(b"\xff\n\x1b[31m" * 31 + b"z"), "odd")
    os.mknod(s.top / ("w" * 255), stat.S_IFCHR, DEVICE_0)
    put(s.bottom / ("w" * 255), "hidden")
