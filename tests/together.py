#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program that changes a tree at random, as fast as it can, while others do the same to the same names.

    together.py ROOT SECONDS SEED

What an operation does depends on what the others did meanwhile; most fail, and no failure is wrong that
a filesystem may give. At the end one line of JSON tells how many were done, how often each errno came,
and of which operations those were that none may give.
"""
import errno
import json
import os
import random
import sys
import time

DIRECTORIES = 7
NAMES = ("f0", "f1", "f2", "f3", "f4", "f5", "h", "x", "y", "z")
MODES = (0o600, 0o644, 0o755)
HELD = 8                # files that stay open meanwhile
YEAR_2001 = 10**18      # nanoseconds
# What the others bring about: names that came, went or became something else, and a directory that was
# to go into itself. EIO and ESTALE are not among them: no race is an error of the disk.
USUAL = {"ENOENT", "EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY", "ELOOP", "EINVAL", "EPERM", "EXDEV", "ENODATA"}


class Program:
    def __init__(self, root, seed):
        self.root, self.rng, self.held = root, random.Random(seed), []
        # Each as often as it stands here.
        self.acts = [self.make_directory, self.remove_directory, self.move_directory, self.list, self.list, self.walk,
                     self.write, self.write, self.append, self.append, self.read, self.read, self.truncate,
                     self.unlink, self.unlink, self.rename, self.link, self.symlink,
                     self.chmod, self.chown, self.date, self.attribute, self.open, self.use_held]

    def directory(self):
        return f"{self.root}/d{self.rng.randrange(DIRECTORIES)}{self.rng.choice(('', '', '/s', '/n'))}"

    def path(self):
        return f"{self.directory()}/{self.rng.choice(NAMES)}"

    def make_directory(self):
        os.mkdir(self.directory())

    def remove_directory(self):
        os.rmdir(self.directory())

    def move_directory(self):
        os.rename(self.directory(), self.directory())

    def list(self):
        os.listdir(self.directory())

    def walk(self):
        with os.scandir(self.directory()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)

    def write(self):
        with open(self.path(), "wb") as file:
            file.write(self.rng.randbytes(self.rng.choice((0, 10, 5000))))

    def append(self):
        with open(self.path(), "ab") as file:
            file.write(b"more")

    def read(self):
        with open(self.path(), "rb") as file:
            file.read()

    def truncate(self):
        os.truncate(self.path(), self.rng.randrange(6000))

    def unlink(self):
        os.unlink(self.path())

    def rename(self):
        os.rename(self.path(), self.path())

    def link(self):
        os.link(self.path(), self.path(), follow_symlinks=False)

    def symlink(self):
        os.symlink("f1", self.path())

    def chmod(self):
        os.chmod(self.path(), self.rng.choice(MODES))

    def chown(self):
        os.chown(self.path(), self.rng.randrange(3), self.rng.randrange(3))

    def date(self):
        os.utime(self.path(), ns=(YEAR_2001 + self.rng.randrange(10**9), YEAR_2001))

    def attribute(self):
        os.setxattr(self.path(), "user.a", b"%d" % self.rng.randrange(9))

    def open(self):
        self.held.append(os.open(self.path(), os.O_RDWR))
        if len(self.held) > HELD:
            os.close(self.held.pop(0))

    def use_held(self):
        """An open file is usable whatever became of its name."""
        if self.held:
            fd = self.rng.choice(self.held)
            os.pwrite(fd, b"held", self.rng.randrange(100))
            os.fstat(fd)
            os.pread(fd, 50, 0)

    def run(self, seconds):
        """What happened in that time: (how many, {errno: how often}, the operations that none may give)."""
        end, done, refused, wrong = time.monotonic() + seconds, 0, {}, []
        while time.monotonic() < end:
            act = self.rng.choice(self.acts)
            done += 1
            try:
                act()
            except OSError as error:
                name = errno.errorcode[error.errno]
                refused[name] = refused.get(name, 0) + 1
                if name not in USUAL:
                    wrong.append(f"{act.__name__}: {error}")
        return {"done": done, "refused": refused, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(Program(sys.argv[1], int(sys.argv[3])).run(float(sys.argv[2]))))
