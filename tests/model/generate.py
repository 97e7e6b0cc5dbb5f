# SPDX-License-Identifier: MIT
"""Random operations that mostly mean something: they go by what the plain tree holds just now.

The generator only proposes; what it proposes is recorded as data, so that a replay needs no
generator. Its picture of the tree is refreshed at every whole look and kept roughly right between.
"""
import os
import random
import stat

from . import ops
from .stack import ACL, CAPABILITY, DIRMODES, DIRS, MODES, OWNERS, TARGETS, names, pattern

SLOTS = 6
USERS = ((1000, 1000), (1000, 100), (65534, 65534))
SIZES = (0, 1, 3, 100, 4095, 4096, 4097, 12288, 30000)
OFFSETS = (0, 0, 1, 10, 4095, 4096, 5000, 8192, 20000, 60000)
TIMES = (0, 1, 10 ** 18, 10 ** 18 + 999_999_999, 1_234_567_890_123_456_789)


class Generator:
    """Operations from a seed. `every` and `remount_every`: how often the whole tree is compared and
    the mounts are made anew."""

    def __init__(self, seed, features, every=200, remount_every=250):
        self.rng = random.Random(f"operations {seed}")
        self.features, self.names = features, names(features)
        self.every, self.remount_every = every, remount_every
        self.kinds = {}     # path -> file type, of the plain tree, roughly
        self.made = 0
        self.due = []
        self.opened = set()
        menu = [(getattr(self, n), w) for n, w in WEIGHTS.items()]
        self.menu, self.weights = zip(*menu)

    # -- what the tree holds

    def refresh(self, facts):
        """facts: the plain tree's snapshot."""
        self.kinds = {p: stat.S_IFMT(int(f[0], 8)) for p, f in facts.items()
                      if isinstance(f, tuple) and not p.endswith(b"/")}

    def happened(self, operation, result):
        """Told after each operation what the plain tree answered."""
        while operation[0] == "as":
            operation = operation[3]
        name, arguments = operation[0], operation[1:]
        if isinstance(result, str) and result.startswith("E:"):
            return
        kinds = self.kinds
        if name == "mkdir":
            kinds[arguments[0]] = stat.S_IFDIR
        elif name in ("rmdir", "unlink"):
            kinds.pop(arguments[0], None)
        elif name == "symlink":
            kinds[arguments[1]] = stat.S_IFLNK
        elif name == "mknod":
            kinds[arguments[0]] = stat.S_IFMT(arguments[1])
        elif name == "put":
            kinds.setdefault(arguments[0], stat.S_IFREG)
        elif name in ("open", "linkfd"):
            kinds.setdefault(arguments[1], stat.S_IFREG)
        elif name == "link":
            kinds[arguments[1]] = kinds.get(arguments[0], stat.S_IFREG)
        elif name == "rename":
            old, new, flags = arguments
            self._move(old, new, flags & ops.EXCHANGE)

    def _move(self, old, new, exchange):
        def take(root):
            inside = root + b"/"
            found = {p[len(root):]: self.kinds[p] for p in list(self.kinds)
                     if p == root or p.startswith(inside)}
            for rest in found:
                del self.kinds[root + rest]
            return found
        moved, there = take(old), take(new)
        self.kinds.update({new + rest: kind for rest, kind in moved.items()})
        if exchange:
            self.kinds.update({old + rest: kind for rest, kind in there.items()})

    # -- choices

    def next(self):
        if self.due:
            return self.due.pop(0)
        self.made += 1
        if self.made % self.remount_every == 0:
            self.opened.clear()
            self.due = [("tree", self.rng.choice(("list", "lookup", "deep")))]
            return ("remount",)
        if self.made % self.every == 0:
            return ("tree", self.rng.choice(("list", "lookup", "deep")))
        operation = self.rng.choices(self.menu, self.weights)[0]()
        if "users" in self.features and self.rng.random() < 0.06:
            operation = ("as", *self.rng.choice(USERS), operation)
        return operation

    def some(self, *kinds):
        """A path of the tree, of one of the kinds when given; never the root."""
        for _ in range(8):
            path = self.rng.choice(list(self.kinds)) if self.kinds else b""
            if path and (not kinds or self.kinds[path] in kinds):
                return path
        return self.fresh()

    def directory(self):
        if self.rng.random() < 0.15:
            return b""
        dirs = [p for p, kind in self.kinds.items() if kind == stat.S_IFDIR]
        return self.rng.choice(dirs) if dirs else b""

    def fresh(self):
        """A path that may or may not be there."""
        head = self.directory()
        if self.rng.random() < 0.04:
            head = self.some()      # through a symlink, or ENOTDIR
        name = self.rng.choice(self.names + DIRS + (b"n%d" % self.rng.randint(0, 40),) * 6)
        if self.rng.random() < 0.005:
            name = b"y" * 256
        return head + b"/" + name if head else name

    def any(self, *kinds):
        return self.some(*kinds) if self.rng.random() < 0.9 else self.fresh()

    def file(self):
        return self.any(stat.S_IFREG)

    def slot(self):
        return self.rng.choice(sorted(self.opened)) if self.opened else 0

    def data(self):
        return self.rng.choice(OFFSETS), self.rng.choice(SIZES), self.rng.randint(0, 999)

    def mode(self):
        return self.rng.choice(MODES)

    def owner(self):
        if "crowd" in self.features:
            return self.rng.choice(OWNERS + ((-1, 1000), (1000, -1)))
        if "owners" in self.features:
            return self.rng.choice(OWNERS + ((-1, 1000), (1000, -1), (-1, -1)))
        return self.rng.choice(((0, 0), (-1, -1)))

    def xattr(self):
        names = ["user.note", "user.note", "user.b"]
        if "trusted" in self.features:
            names += ["trusted.mark", "security.capability"]
        if "nested" in self.features:
            names += ["user.overlay.note"] + ["trusted.overlay.note"] * ("trusted" in self.features)
        if "acl" in self.features:
            names += ["system.posix_acl_access", "system.posix_acl_default"]
        name = self.rng.choice(names)
        if name == "security.capability":
            return name, CAPABILITY
        if name.startswith("system."):
            return name, ACL[self.rng.choice(sorted(ACL))]
        return name, pattern(self.rng.choice((0, 1, 20, 700)), self.rng.randint(0, 99))

    # -- the menu

    def mkdir(self):
        return ("mkdir", self.fresh(), self.rng.choice(DIRMODES))

    def rmdir(self):
        return ("rmdir", self.any(stat.S_IFDIR))

    def unlink(self):
        return ("unlink", self.some())

    def clear(self):
        """Everything below a directory, and then perhaps the directory made anew."""
        top = self.some(stat.S_IFDIR)
        below = sorted((p for p in self.kinds if p.startswith(top + b"/")), reverse=True)
        if len(below) > 12:
            return self.rmdir()
        self.due = [("rmdir" if self.kinds[p] == stat.S_IFDIR else "unlink", p) for p in below]
        self.due.append(("rmdir", top))
        if self.rng.random() < 0.7:
            self.due.append(("mkdir", top, 0o755))
            self.due += [("ls", top)] + [("put", p, os.O_CREAT | os.O_WRONLY, 0, 3, 9)
                                         for p in below[:1]]
        return self.due.pop(0)

    def symlink(self):
        return ("symlink", self.rng.choice(TARGETS), self.fresh())

    def link(self):
        return ("link", self.some(stat.S_IFREG, stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO),
                self.fresh())

    def rename(self):
        flags = self.rng.choice((0, 0, 0, 0, ops.NOREPLACE, ops.EXCHANGE, ops.EXCHANGE))
        old = self.any()
        new = self.some() if flags == ops.EXCHANGE or self.rng.random() < 0.4 else self.fresh()
        if self.rng.random() < 0.02:
            new = old + b"/n1"
        return ("rename", old, new, flags)

    def rename_dir(self):
        old = self.some(stat.S_IFDIR)
        new = self.some(stat.S_IFDIR) if self.rng.random() < 0.25 else self.fresh()
        return ("rename", old, new, self.rng.choice((0, 0, 0, ops.NOREPLACE, ops.EXCHANGE)))

    def mknod(self):
        if "devices" in self.features and self.rng.random() < 0.4:
            return ("mknod", self.fresh(), self.rng.choice((stat.S_IFCHR, stat.S_IFBLK)) | 0o644,
                    self.rng.randint(1, 9))
        return ("mknod", self.fresh(), self.rng.choice((stat.S_IFIFO, stat.S_IFREG, stat.S_IFSOCK))
                | 0o664, 0)

    def chmod(self):
        return ("chmod", self.any(), self.rng.choice(MODES + DIRMODES))

    def chown(self):
        return ("chown", self.any(), *self.owner())

    def utime(self):
        return ("utime", self.any(), self.rng.choice(TIMES + (None,)))

    def age(self):
        """Gives a directory an old time, so that the next look tells whether it was touched."""
        return ("utime", self.directory() or b".", self.rng.choice(TIMES))

    def truncate(self):
        return ("truncate", self.file(), self.rng.choice(SIZES + OFFSETS))

    def stat(self):
        return ("stat", self.any())

    def look(self):
        return ("look", self.any())

    def ls(self):
        return ("ls", self.directory() or self.any())

    def readlink(self):
        return ("readlink", self.any(stat.S_IFLNK))

    def access(self):
        return ("access", self.any(), self.rng.randint(0, 7))

    def setxattr(self):
        return ("setxattr", self.any(), *self.xattr(), self.rng.choice((0, 0, 0, 1, 2)))

    def getxattr(self):
        return ("getxattr", self.any(), self.xattr()[0])

    def removexattr(self):
        return ("removexattr", self.any(), self.xattr()[0])

    def put(self):
        flags = os.O_WRONLY | os.O_CREAT * self.rng.randint(0, 1)
        flags |= self.rng.choice((0, 0, os.O_TRUNC, os.O_EXCL, os.O_APPEND, os.O_NOFOLLOW))
        return ("put", self.file() if self.rng.random() < 0.7 else self.fresh(), flags, *self.data())

    def get(self):
        return ("get", self.file())

    def open(self):
        slot = self.rng.randint(1, SLOTS)
        self.open_slot(slot)
        if self.rng.random() < 0.15:
            return ("open", slot, self.any(stat.S_IFDIR), os.O_RDONLY | os.O_DIRECTORY, 0)
        flags = self.rng.choice((os.O_RDONLY, os.O_RDONLY, os.O_RDWR, os.O_RDWR, os.O_WRONLY))
        flags |= self.rng.choice((0, 0, 0, 0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL,
                                  os.O_TRUNC, os.O_APPEND, os.O_CREAT | os.O_TRUNC, os.O_NOFOLLOW))
        path = self.fresh() if flags & os.O_CREAT and self.rng.random() < 0.6 else self.file()
        return ("open", slot, path, flags, self.mode())

    def open_slot(self, slot):
        self.opened.add(slot)

    def open_unlink(self):
        """A file kept open while its name goes."""
        path, slot = self.some(stat.S_IFREG), self.rng.randint(1, SLOTS)
        self.open_slot(slot)
        flags = self.rng.choice((os.O_RDONLY, os.O_RDWR, os.O_RDWR))
        gone = self.rng.choice((("unlink", path), ("rename", self.some(stat.S_IFREG), path, 0)))
        inner = [("fstat", slot), ("pread", slot, 0, 5000), ("pwrite", slot, *self.data()),
                 ("fstat", slot), ("fchmod", slot, self.mode()), ("ftruncate", slot, 77),
                 ("pread", slot, 0, 9000), ("futime", slot, self.rng.choice(TIMES)), ("fstat", slot)]
        self.due = [gone] + self.rng.sample(inner, 4) + [("fstat", slot)]
        return ("open", slot, path, flags, 0)

    def two_opens(self):
        """A reader opened before copy-up, and a writer."""
        path = self.some(stat.S_IFREG)
        first, second = self.rng.sample(range(1, SLOTS + 1), 2)
        self.open_slot(first)
        self.open_slot(second)
        self.due = [("pread", first, 0, 100), ("open", second, path, os.O_RDWR, 0),
                    ("pwrite", second, *self.data()), ("pread", first, 0, 40000), ("fstat", first),
                    ("ftruncate", second, self.rng.choice(SIZES)), ("pread", first, 0, 40000)]
        return ("open", first, path, os.O_RDONLY, 0)

    def tmpfile(self):
        slot = self.rng.randint(1, SLOTS)
        self.open_slot(slot)
        self.due = [("pwrite", slot, *self.data()), ("fstat", slot)]
        if self.rng.random() < 0.7:
            self.due.append(("linkfd", slot, self.fresh()))
        return ("tmpfile", slot, self.directory() or b".", self.mode())

    def linkfd(self):
        return ("linkfd", self.slot(), self.fresh())

    def close(self):
        slot = self.slot()
        self.opened.discard(slot)
        return ("close", slot)

    def on_slot(self):
        slot = self.slot()
        offset, length, salt = self.data()
        fallocate = self.rng.choice((0, ops.KEEP_SIZE, ops.KEEP_SIZE | ops.PUNCH_HOLE,
                                     ops.PUNCH_HOLE))
        return self.rng.choice((
            ("fstat", slot), ("pread", slot, offset, length), ("read", slot, length),
            ("pwrite", slot, offset, length, salt), ("pwrite", slot, offset, length, salt),
            ("write", slot, length, salt), ("seek", slot, offset, self.rng.choice((0, 1, 2))),
            ("ftruncate", slot, offset), ("fallocate", slot, fallocate, offset, length),
            ("copy_range", self.slot(), self.rng.choice(OFFSETS), slot, offset, length),
            ("fsync", slot), ("fchmod", slot, self.mode()), ("fchown", slot, *self.owner()),
            ("futime", slot, self.rng.choice(TIMES)), ("fsetxattr", slot, *self.xattr()),
            ("fxattrs", slot), ("list_fd", slot), ("make_at", slot, self.rng.choice(self.names), 0o640),
            ("unlink_at", slot, self.rng.choice(self.names))))


WEIGHTS = {
    "mkdir": 5, "rmdir": 2, "unlink": 6, "clear": 1, "symlink": 2, "link": 4, "rename": 6,
    "rename_dir": 4, "mknod": 2, "chmod": 4, "chown": 3, "utime": 3, "age": 4, "truncate": 3,
    "stat": 2, "look": 2, "ls": 3, "readlink": 1, "access": 1, "setxattr": 4, "getxattr": 1,
    "removexattr": 2, "put": 8, "get": 4, "open": 5, "open_unlink": 2, "two_opens": 1, "tmpfile": 1,
    "linkfd": 1, "close": 2, "on_slot": 16,
}
