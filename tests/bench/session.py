# SPDX-License-Identifier: MIT
"""A session with buildah, from an empty store to a pushed image, with each mount program in turn:
`sh tests/bench/run.sh session [--rounds N] [--user] [--base TAR] [--contenders NAME,...]
[--peer NAME=PATH]... [--output FILE.json]`.

Each round runs the whole session once for every contender, in a store of its own on tmpfs. The images of
plyfs must have the DiffIDs of those of the kernel; of others it is told when theirs differ. `kernel` is the
kernel's overlayfs in the mode in which the storage compares two trees at a commit, as it does with a mount
program. The base is a real Debian root (tests/rootfs.sh). --user runs all of it as an ordinary user with
subordinate ids, where `kernel` is left out. What is told: each step's median in seconds, and its ratio to
fuse-overlayfs; and the floor below which no mount program can come (floors.py): the kernel's time, and for
each request that plyfs was sent the time of an empty one. The requests are those of the first round, to all
FUSE mounts of the machine.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import engines  # noqa: E402
from asked import counted  # noqa: E402
import report  # noqa: E402
import sessions  # noqa: E402
from workloads import ASKER, QUESTIONS  # noqa: E402
from harness import PLYFS, ROOT, Sandbox, have, run  # noqa: E402

PEER, OURS, BARE = "fuse-overlayfs", "plyfs", "kernel"
DOCKERFILE = """\
FROM localhost/edited
RUN mkdir -p /srv/app && cp -a /usr/share/doc /srv/app/doc && rm -rf /usr/share/info && mkdir /usr/share/info
COPY --chown=12:34 sources /srv/app/sources
RUN find / -xdev -type f | wc -l > /srv/app/files && chmod -R go-w /srv/app
VOLUME /srv/app/data
USER 12:34
RUN test "$(id -u)" = 12
"""
EDIT = "chmod -R go-w usr/share/doc; rm -r usr/share/zoneinfo; touch -d @1 etc/passwd; cp -a usr/lib/x86_64-linux-gnu opt/lib"


class Session:
    """The steps, in their order, on one storage."""

    def __init__(self, storage, base, context):
        self.storage, self.base, self.context, self.name = storage, base, context, None

    def unpack(self):
        self.name = self.storage.buildah("from", "scratch")
        self.storage.buildah("add", "-q", self.name, self.base, "/")

    def commit_base(self):
        self.storage.buildah("commit", "-q", "--timestamp", "0", "--rm", self.name, "localhost/base")

    def start(self):
        self.name = self.storage.buildah("from", "--pull-never", "localhost/base")
        self.storage.buildah("copy", "-q", "--chown", "12:34", self.name, self.context / "sources", "/usr/src")

    def edit(self):
        self.storage.inside(self.name, EDIT)

    def runs(self):
        for number in range(5):
            self.storage.run_in(self.name, f"echo {number} > /etc/number")

    def commit_edited(self):
        self.storage.buildah("commit", "-q", "--timestamp", "0", "--rm", self.name, "localhost/edited")

    def build(self):
        sessions.by_file(self.storage, self.context)

    def push(self):
        to = self.storage.place / "tmp"
        # gzip would take most of the session's time, whoever mounts.
        self.ids = sessions.push(self.storage, "localhost/built", to, "--disable-compression")

    def remove(self):
        self.storage.call("podman", "system", "prune", "--all", "--force", "--volumes")


STEPS = ("unpack", "commit_base", "start", "edit", "runs", "commit_edited", "build", "push", "remove")


def programs(options):
    """{name: (mount program or None, storage options)}"""
    known = {"plyfs": (PLYFS, ()), PEER: (shutil.which(PEER), ()),
             "kernel": (None, ['mountopt = "metacopy=on"'])}
    for peer in options.peer:
        name, _, path = peer.partition("=")
        known[name] = (path, ())
    if options.user:
        del known["kernel"]
    chosen = options.contenders.split(",") if options.contenders else known
    return {name: known[name] for name in chosen if name in known and (known[name][0] or name == "kernel")}


def measure(box, user, program, options, base, context):
    """{step: seconds}, and the DiffIDs."""
    storage = engines.Storage(box, program, user, options)
    session, seconds = Session(storage, base, context), {}
    for step in STEPS:
        begun = time.monotonic()
        getattr(session, step)()
        seconds[step] = time.monotonic() - begun
    left = storage.close()
    shutil.rmtree(storage.place, ignore_errors=True)
    return seconds, session.ids, left


def asking(file):
    """Seconds of an empty request to whoever shows the file."""
    said = run("/usr/bin/python3", "-S", ASKER, file, str(QUESTIONS)).stdout
    return json.loads(said)["seconds"] / QUESTIONS


def empty_request(box):
    """Seconds of one to plyfs, beyond what the same costs a file of the directory beneath."""
    lower = box.directory("asked")
    (lower / "file").touch()
    with box.plyfs([lower], box.directory("upper")) as mount:
        return asking(mount / "file") - asking(lower / "file")


def tell(times):
    """A table: a line for each step and their sum, a column for each contender."""
    def cell(step, name):
        middle = statistics.median(times[name][step])
        peer = PEER in times and statistics.median(times[PEER][step])
        return f"{middle:8.3f}" + (f"{middle / peer:7.2f}x" if peer else "")
    print(f"{'median seconds':16}" + "".join(f"{name:>18}" for name in times))
    for step in (*STEPS, "all"):
        print(f"{step:16}" + "".join(f"{cell(step, name):>18}" for name in times))


def tell_floor(times, requests, empty):
    if requests is None or BARE not in times:
        return
    cost = statistics.median(empty)
    floor = statistics.median(times[BARE]["all"]) + requests * cost
    words = f"{requests} requests of plyfs, an empty one {cost * 1e6:.1f} us: the least is {floor:.3f} s"
    if PEER in times:
        words += f", {floor / statistics.median(times[PEER]['all']):.2f} of {PEER}'s time"
    print(f"{words}; plyfs takes {statistics.median(times[OURS]['all']) / floor:.2f} of that")


def arguments(words):
    parser = argparse.ArgumentParser(prog="run.sh session")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--user", action="store_true")
    parser.add_argument("--base")
    parser.add_argument("--contenders")
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--output")
    return parser.parse_args(words)


def main():
    options = arguments(sys.argv[1:])
    missing = [tool for tool in ("buildah", "podman", "setpriv") if not have(tool)]
    if missing:
        sys.exit(f"the session needs {', '.join(missing)}: sh tests/setup.sh installs it")
    base = options.base or ROOT / "build/rootfs.tar"
    if not options.base:
        run("sh", ROOT / "tests/rootfs.sh", base)
    box, times, wrong = Sandbox(), {}, []
    try:
        with engines.machine(box):
            context = sessions.make_sources(box)
            (context / "Dockerfile").write_text(DOCKERFILE)
            shutil.copy(base, box.path / "base.tar")
            chosen = {name: (program and shutil.copy(program, box.directory("program") / f"program-{name}"), more)
                      for name, (program, more) in programs(options).items()}
            ids, requests, empty = {}, None, []
            for turn in range(options.rounds):
                empty.append(empty_request(box))
                for name, (program, more) in chosen.items():
                    with counted(None, wanted=turn == 0 and name == OURS) as count:
                        seconds, ids[name], left = measure(box, engines.UID if options.user else None, program,
                                                           more, box.path / "base.tar", context)
                    requests = requests if count.number is None else count.number
                    wrong += [f"{name} left: {what}" for what in left]
                    for step, value in {**seconds, "all": sum(seconds.values())}.items():
                        times.setdefault(name, {}).setdefault(step, []).append(value)
            tell(times)
            tell_floor(times, requests, empty)
            for name in ids:
                if ids[name] != ids.get("plyfs", ids[name]):
                    print(f"the DiffIDs of {name} are not those of plyfs")
            if ids.get("plyfs") != ids.get("kernel", ids.get("plyfs")):
                wrong.append("the images of plyfs are not those of the kernel's overlayfs")
    finally:
        box.close()
    if options.output:
        pathlib.Path(options.output).write_text(json.dumps(
            {"machine": report.machine(), "seconds": times, "requests": requests, "empty": empty, "wrong": wrong},
            indent=1) + "\n")
    for line in wrong:
        print(f"wrong: {line}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
