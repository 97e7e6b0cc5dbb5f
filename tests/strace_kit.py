# SPDX-License-Identifier: MIT
"""strace of a live daemon: who runs it, and what its lines mean."""
import re
import signal
import subprocess

import procfs
from storekit import wait_for

# Left out, because they name nothing. (By what is left out, for the calls that a strace knows by number
# alone could not be asked for.)
NAMELESS = ("read,write,readv,writev,pread64,pwrite64,futex,poll,ppoll,sched_yield,close,fstat,lseek,mmap,munmap,mprotect,madvise,"
            "brk,getdents64,fcntl,ioctl,ftruncate,fallocate,fchmod,fchown,fsync,fdatasync,dup,dup2,getuid,geteuid,getgid,getegid,"
            "rt_sigprocmask,rt_sigaction,clock_nanosleep,restart_syscall,copy_file_range,sendfile,tgkill,setfsuid,setfsgid,umask,"
            "unshare,prctl,set_robust_list,rseq,clone3,exit,exit_group,sched_setaffinity,sched_getaffinity,sched_setscheduler,"
            "fadvise64,getrandom,timerfd_settime,wait4,sync_file_range,syncfs,gettid,sysinfo,io_uring_enter")


class Strace:
    """The system calls of a process from here on; calls() ends it and gives them. `what` is an expression of
    strace's -e, `more` are further options. As a context manager it ends with its block."""

    def __init__(self, pid, log, what=f"trace=!{NAMELESS}", *more):
        self.log = log
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-s", "5000", "-e", what, *more, "-o", log, "-p", str(pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(lambda: set(procfs.tracers(pid)) == {self.process.pid}, "strace to begin")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def calls(self):
        self.end()
        return list(calls_of(self.log))


def whole_lines(log):
    """Lines of strace -f: a call that was left and taken up again is one."""
    begun = {}
    with open(log, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            pid, _, rest = line.rstrip("\n").partition(" ")
            rest = rest.strip()
            if rest.endswith("<unfinished ...>"):
                begun[pid] = rest[:-len("<unfinished ...>")].rstrip()
                continue
            if rest.endswith("<detached ...>"):     # not all of it was seen, and strace is at its end
                continue
            taken_up = re.match(r"<\.\.\. \w+ resumed>", rest)
            if taken_up:
                rest = begun.pop(pid, "") + rest[taken_up.end():]
            yield rest


def split(text):
    """The arguments of a call: commas within texts and structures part nothing."""
    found, depth, quoted, at = [""], 0, False, 0
    while at < len(text):
        char = text[at]
        if quoted and char == "\\":
            found[-1] += text[at:at + 2]
            at += 2
            continue
        if char == '"':
            quoted = not quoted
        depth += not quoted and (char in "{[(") - (char in "}])")
        if char == "," and not quoted and depth == 0:
            found.append("")
        else:
            found[-1] += char
        at += 1
    return [one.strip() for one in found]


def calls_of(log):
    """(name, [arguments]) of each call."""
    for line in whole_lines(log):
        match = re.match(r"(\w+)\((.*?)(?:\)\s+= .*)?$", line)
        if match and not line.startswith(("---", "+++")):
            yield match.group(1), split(match.group(2))
