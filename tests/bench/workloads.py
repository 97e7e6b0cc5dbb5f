# SPDX-License-Identifier: MIT
"""What is measured: a table. A workload is a set of layers and shell commands run on a fresh mount.

`cold` is the first run after the mount, `warm` the second; the page cache of the layers below is warm
in both. Commands print what they found, and every contender must print the same. Workloads that write
end in syncfs, so that nobody gains by leaving the work for later; those also have the digest of their
resulting tree compared (once a run, untimed; for a volume in the host's directory).

`memory` is the daemon's resident memory, not time: `walked` after all files were looked at, `forgotten`
after the kernel dropped what it knew of them. `first-answer` begins when the mount is asked for. `request`
is an empty request, sent again and again: what any request costs at least. A shorter one (EMPTY) goes with every
workload (floors.py).

Workloads named volume-* run on a host directory that is shown through a mount, and are done by an
ordinary user. Reading and writing of one file is fio's, and timed by fio: its start is longer than
what a bind mount takes.
"""
import pathlib
import shlex

from steps import Step, Workload, asking_clock, fio, once, reads, twice, writes

WALKER = str(pathlib.Path(__file__).with_name("walk.py"))
ASKER = str(pathlib.Path(__file__).with_name("asking.py"))

# Counts of lines, words and bytes check the work without the cost of sorting: the order of names is free.
FIND = "find . -type d -printf 'd %m %U %P\\n' -o -printf '%y %m %U %s %P\\n' | wc"
LIST = "ls -lR | wc -l"
TAR = "tar -c . | wc -c"  # to /dev/null GNU tar would not read the files
GREP = "grep -rlI Copyright . | wc"
SYNC = " && sync -f ."
STAT = "xargs -0 -a $NAMES stat -c '%A %u %s %n' | wc"
CREATE = "mkdir new && for i in $(seq 2000); do echo $i > new/$i; done" + SYNC
# True when its modules came from the mount.
PYTHON = ("PYTHONHOME=$PWD/usr PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -S -c 'import sys, json, asyncio, argparse,"
          " unittest, email.message, http.client, xml.dom.minidom, logging, ctypes; from_here ="
          " [m for m in sys.modules.values() if (getattr(m, \"__file__\", 0) or \"\").startswith(sys.prefix)];"
          " print(len(from_here) > 50)'")
STATUS = "GIT_OPTIONAL_LOCKS=0 git -C repository status --porcelain | wc"
CLONE = "git clone --quiet --no-hardlinks repository clone" + SYNC
APPEND = "for i in $(seq 1000); do echo \"line $i\" >> log; done" + SYNC
ABSENT = "n=0; for i in $(seq 2000); do [ -e usr/lib$((i % 10))/absent$i ] && n=$((n + 1)); done; echo $n"
WALK = f"/usr/bin/python3 -S {shlex.quote(WALKER)} . $OTHER"

# dpkg of this machine in a root that it only writes to: it syncs and renames every file as in a chroot.
DPKG = "dpkg --root=. --log=/dev/null --force-depends -i $PACKAGE >/dev/null && dpkg --root=. -l | wc -l" + SYNC
GCC = ("mkdir out && for file in $(ls layers/*.c | head -n 12); do gcc -std=c17 -O1 -D_GNU_SOURCE"
       " -D_FILE_OFFSET_BITS=64 -Ilayers -c $file -o out/$(basename $file .c).o || exit; done"
       " && ar rcD out/layers.a out/*.o" + SYNC)


def inserts(synchronous):
    """1,000 transactions of one row each."""
    return once(f"""(echo 'PRAGMA synchronous={synchronous}; CREATE TABLE t(id INTEGER PRIMARY KEY, word TEXT);'
seq 1000 | sed "s/.*/INSERT INTO t VALUES(&, 'word &');/"
echo 'SELECT count(*), sum(id) FROM t;') | sqlite3 database""" + SYNC)


def clients(number):
    """Each makes 1,000 files, reads them and takes them away; all together print what each should read."""
    return Step(str(number), f"""for c in $(seq {number}); do
(mkdir c$c && for i in $(seq 1000); do echo $i > c$c/$i; done && cat c$c/* | wc -c && rm -r c$c) &
done; wait""")


QUESTIONS = 20_000


def asking(questions):
    return (Step("", f"/usr/bin/python3 -S {shlex.quote(ASKER)} file {questions}", clock=asking_clock, calls=questions),)


EMPTY = Workload("empty", "byte", asking(QUESTIONS // 4))
END = " --end_fsync=1"
COPY_UP = "dd if=/dev/zero of=file bs=4k count=1 conv=notrunc status=none"  # before the clock of fio starts
FORGET = "echo 2 > /proc/sys/vm/drop_caches"  # names and inodes, not pages
COMMIT = "--fdatasync=32"  # as a database does, every so many pages


def volume(name, layers, steps, writes=False):
    return Workload(f"volume-{name}", layers, steps, family="volume", writes=writes)


def ledger(name, layers, steps, writes=False):
    return Workload(f"ledger-{name}", layers, steps, family="ledger", writes=writes)


UNTAR = "tar -xf $ARCHIVE" + SYNC

WORKLOADS = (
    Workload("find", "real", twice(FIND)),
    Workload("tar", "real", twice(TAR)),
    Workload("grep", "real", twice(GREP)),
    Workload("untar", "empty", once(UNTAR), writes=True),
    Workload("rm-upper", "empty", (Step("", UNTAR, timed=False), Step("", "rm -rf ./*")), writes=True),
    Workload("rm-lower", "real", once("rm -rf ./*"), writes=True),
    Workload("chown", "real", once("chown -R 1234:1234 ." + SYNC), writes=True),
    Workload("chown-upper", "empty", (Step("", UNTAR, timed=False), Step("", "chown -R 1234:1234 ." + SYNC)),
             writes=True),
    Workload("chmod", "real", once("chmod -R g+w ." + SYNC), writes=True),
    Workload("write-4k", "empty",
             once("dd if=/dev/zero of=file bs=4k count=20000 status=none" + SYNC), writes=True),
    Workload("write-1m", "empty",
             once("dd if=/dev/zero of=file bs=1M count=256 status=none" + SYNC), writes=True),
    Workload("read-1m", "file", reads("read", "1M", 16)),
    Workload("copy", "real", once("cp -a usr copy" + SYNC), writes=True),
    Workload("git-status", "repository", twice(STATUS)),
    # What git itself writes has times and inode numbers in it.
    Workload("git-clone", "repository", (Step("", CLONE), Step("", "rm -rf clone/.git", timed=False)), writes=True),
    Workload("dpkg", "dpkg-root", once(DPKG), writes=True),
    Workload("gcc", "sources", once(GCC), writes=True),
    Workload("python", "python", twice(PYTHON)),
    Workload("append", "empty", once(APPEND), writes=True),
    Workload("randread-4k", "file", reads("randread", "4k", 4)),
    Workload("randwrite-4k", "file", (Step("", COPY_UP, timed=False), fio("cold", "randwrite", "4k", 1, END),
                                      fio("warm", "randwrite", "4k", 2, END)), writes=True),
    Workload("sqlite", "empty", inserts("OFF"), writes=True),
    Workload("sqlite-fsync", "empty", inserts("FULL"), writes=True),
    Workload("copyup-chmod", "large", once("chmod g+w file" + SYNC), writes=True),
    Workload("copyup-append", "large", once("printf x >> file" + SYNC), writes=True),
    Workload("copyup-truncate", "large", once("printf x > file" + SYNC), writes=True),
    Workload("directory", "crowded", (Step("lookup", "stat -c %s all/file7"), Step("list", "ls -f all | wc -l"),
                                      Step("create", "echo new > all/new"), Step("delete", "rm -r all" + SYNC)),
             writes=True),
    Workload("layers-2", "deep-2", (*twice(LIST), Step("absent", ABSENT)), mount_counts=True),
    Workload("layers-50", "deep-50", (*twice(LIST), Step("absent", ABSENT)), mount_counts=True),
    Workload("layers-500", "deep-500", (*twice(LIST), Step("absent", ABSENT)), mount_counts=True),
    Workload("untar-500", "deep-500", once(UNTAR), writes=True),
    Workload("image-walk", "real", twice(WALK), read_only=True, mounts=2),
    Workload("first-answer", "real", (Step("", "stat -c %F usr", from_mount=True),)),
    Workload("memory", "spread", (Step("walked", FIND, resident=True), Step("forgotten", FORGET, resident=True)),
             most_rounds=1),
    Workload("request", "byte", asking(QUESTIONS)),
    Workload("parallel", "empty", (clients(1), clients(2), clients(4)), writes=True),
    ledger("find", "real", twice(FIND)),
    ledger("untar", "empty", once(UNTAR), writes=True),
    ledger("chmod", "real", once("chmod -R g+w ." + SYNC), writes=True),
    ledger("copyups", "many", once("chown -R 1234:1234 ." + SYNC), writes=True),
    volume("request", "byte", asking(QUESTIONS)),
    volume("find", "real", twice(FIND)),
    volume("stat", "real", twice(STAT)),
    volume("list", "real", twice(LIST)),
    volume("chmod", "real", once("chmod -R g+w ." + SYNC), writes=True),
    volume("create", "empty", once(CREATE), writes=True),
    volume("rm", "real", once("rm -rf ./*" + SYNC), writes=True),
    volume("untar", "empty", once(UNTAR), writes=True),
    volume("read-4k", "file", reads("read", "4k", 8)),
    volume("read-1m", "file", reads("read", "1M", 16)),
    volume("write-4k", "file", writes("write", "4k", 8), writes=True),
    volume("write-1m", "file", writes("write", "1M", 16), writes=True),
    volume("randread-4k", "file", reads("randread", "4k", 8)),
    volume("randwrite-4k", "file", writes("randwrite", "4k", 8), writes=True),
    volume("sync-4k", "file", writes("write", "4k", 2, COMMIT), writes=True),
    volume("randsync-4k", "file", writes("randwrite", "4k", 2, COMMIT), writes=True),
)

# Enough to see in a minute or two whether something became slower.
QUICK = ("find", "tar", "untar", "rm-upper", "rm-lower", "chown", "chmod", "write-4k", "append", "directory",
         "layers-500", "image-walk", "request")
