# SPDX-License-Identifier: MIT
"""What tests of the store share: a store in a sandbox, and trees that are changed and compared."""
import contextlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import time

import pytest

from harness import PLYFS, is_mounted, need_fuse, run, umount


class Store:
    """A store in a sandbox, and the program with it."""

    def __init__(self, sandbox):
        need_fuse()
        self.sandbox, self.path = sandbox, sandbox.path / "store"
        self.watched = []
        self.program, self.who = PLYFS, {}  # another user's: what run() takes

    def plyfs(self, *argv, check=True, **kwargs):
        kwargs.setdefault("env", {**os.environ, "PLYFS_ROOT": str(self.path)})
        kwargs.setdefault("timeout", 120)
        done = run(self.program, *argv, check=False, stdin=subprocess.DEVNULL, **self.who, **kwargs)
        assert not check or done.returncode == 0, f"{argv}: status {done.returncode}: {done.stderr}"
        return done

    def refused(self, *argv, words):
        done = self.plyfs(*argv, check=False)
        assert done.returncode not in (0, -signal.SIGABRT, -signal.SIGSEGV), done
        assert words in done.stderr, done.stderr
        return done

    def at_once(self, *argv):
        """What each of three of a command, at the same time, says on stdout and stderr, and its status."""
        env = {**os.environ, "PLYFS_ROOT": str(self.path)}
        running = [subprocess.Popen([self.program, *argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True) for _ in range(3)]
        return [(*one.communicate(timeout=120), one.returncode) for one in running]

    def mount(self, name, at=None):
        at = at or self.sandbox.directory("mnt")
        self.watched.append(at)
        self.plyfs("mount", name, at)
        return pathlib.Path(at)

    def listed(self, *argv):
        return [json.loads(line) for line in
                self.plyfs("ps", "--format", "json", *argv).stdout.splitlines()]

    def state(self, name):
        lines = [line for line in self.listed("-a") if line["Name"] == name]
        return lines[0]["State"] if lines else None

    def diff(self, name):
        return self.plyfs("diff", name).stdout.splitlines()

    def close(self):
        for at in self.watched:
            with contextlib.suppress(OSError):
                while is_mounted(at):
                    umount(at, lazy=True)


@pytest.fixture
def store(sandbox):
    made = Store(sandbox)
    yield made
    made.close()


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.01)


def facts(top):
    """{path: what a diff looks at}, directories without their size."""
    found = {}
    for here, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(here, name)
            st = os.lstat(path)
            kind = stat.S_IFMT(st.st_mode)
            content = (os.readlink(path) if kind == stat.S_IFLNK else
                       pathlib.Path(path).read_bytes() if kind == stat.S_IFREG else None)
            found[os.path.relpath(path, top)] = (st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, content)
    return found


def change_at_random(at, rng, count):
    """Some hundred operations of the kind that programs do; refusals are part of it."""
    def paths(directories):
        return [os.path.join(here, name) for here, folders, files in os.walk(at)
                for name in (folders if directories else files)] + ([os.fspath(at)] if directories else [])
    for i in range(count):
        files, folders = paths(False), paths(True)
        file, folder = rng.choice(files or [None]), rng.choice(folders)
        with contextlib.suppress(OSError, TypeError):
            rng.choice([
                lambda: pathlib.Path(file).write_text(f"written {i}"),
                lambda: os.unlink(file),
                lambda: os.chmod(file, rng.choice([0o600, 0o644, 0o755])),
                lambda: os.rename(file, os.path.join(folder, f"r{i}")),
                lambda: os.mkdir(os.path.join(folder, f"d{i}")),
                lambda: pathlib.Path(folder, f"f{i}").write_text("new"),
                lambda: os.symlink("target", os.path.join(folder, f"l{i}")),
                lambda: os.rename(folder, os.path.join(rng.choice(folders), f"m{i}")),
                lambda: (run("rm", "-rf", folder, check=False)
                         if folder != os.fspath(at) and rng.random() < .3 else None),
                lambda: os.rename(folder, rng.choice(folders)),
            ])()
