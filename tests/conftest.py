# SPDX-License-Identifier: MIT
"""Fixtures for every suite; under CI=true a skip whose reason the machine does not excuse fails."""
import os
import pathlib
import re
import resource
import shutil
import stat
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import CI, LIBC, PLYFS, can_mount_kernel, kernel_version, profile, sandbox  # noqa: E402,F401  (fixtures)
from storekit import store  # noqa: E402,F401  (a fixture)


def _fails(*argv):
    """A command that fails, or is not there at all."""
    if not shutil.which(argv[0]):
        return True
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode != 0


def _no_filesystem(reason):
    """The kernel has none of the filesystems that the reason names, and cannot load one."""
    named = re.findall(r"\b(?:btrfs|xfs|ext4)\b", reason)
    known = pathlib.Path("/proc/filesystems").read_text().split()
    return bool(named) and any(name not in known and _fails("modprobe", name) for name in named)


def _no_uring(_):
    switch = pathlib.Path("/sys/module/fuse/parameters/enable_uring")
    return not switch.exists() or switch.read_text().strip() != "Y"


def _is_setuid(tool):
    return bool(os.stat(shutil.which(tool)).st_mode & stat.S_ISUID)


def _lacks_xattr_permissions(_):
    told = subprocess.run([PLYFS, "-o", "lowerdir=/,xattr_permissions=2", "/nowhere"], text=True,
                          stderr=subprocess.PIPE, check=False).stderr
    return "unknown option" in told


def _hard_limit_of_files():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


# What excuses a skip under CI: the reason given, and a look at the machine that bears it out. A
# tool that is missing is no excuse, for setup.sh installs it.
EXCUSES = [
    (r"no /dev/fuse", lambda _: not os.path.exists("/dev/fuse")),
    (r"needs root", lambda _: os.geteuid() != 0),
    (r"needs (root and )?overlayfs in the kernel", lambda _: not can_mount_kernel()),
    (r"(needs|no) user namespaces.*", lambda _: _fails("unshare", "-Urm", "true")),
    (r"buildah cannot use overlay here", lambda _: not can_mount_kernel()),
    (r"needs loop devices", lambda _: not os.path.exists("/dev/loop-control")),
    (r"(the kernel )?(has|needs) (no )?(btrfs|xfs|ext4)\b.*", _no_filesystem),
    (r"needs FUSE over io_uring", _no_uring),
    (r"needs more than one processor", lambda _: len(os.sched_getaffinity(0)) == 1),
    (r"needs two processors and no more", lambda _: len(os.sched_getaffinity(0)) != 2),
    (r"needs Linux 6.12 or newer", lambda _: kernel_version() < (6, 12)),
    (r"needs real-time scheduling", lambda _: _fails("chrt", "-f", "1", "true")),
    (r"needs Landlock with the TCP network", lambda _: LIBC.syscall(444, None, 0, 1) < 4),
    (r"bpftrace cannot attach here", lambda _: not os.path.exists("/sys/bus/event_source/devices/uprobe")
        or _fails("bpftrace", "-e", "BEGIN { exit(); }")),
    (r".*\bPLYFS_FULL=1\b.*", lambda _: os.environ.get("PLYFS_FULL") != "1"),
    (r"needs xattr_permissions", _lacks_xattr_permissions),
    (r"fusermount3 is not setuid", lambda _: not _is_setuid("fusermount3")),
    (r"needs a higher limit of open files", lambda _: _hard_limit_of_files() <= 1 << 20),
    # Not about the machine: one case of a parametrised test that has no meaning.
    (r"about plyfs's own form", lambda _: True),
    (r"about mounts through fusermount3", lambda _: True),
    (r"the kernel does not read this form", lambda _: True),
    (r"the kernel's overlayfs keeps such a mapping on the lower file", lambda _: True),
    (r".*AddressSanitizer.*", lambda _: b"__asan_init" in pathlib.Path(PLYFS).read_bytes()),
]


def excused(reason):
    return any(re.fullmatch(pattern, reason) and borne_out(reason)
               for pattern, borne_out in EXCUSES)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not CI or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = call.excinfo.value.msg if call.excinfo else str(report.longrepr)
    reason = re.sub(r"^Skipped: ", "", reason or "")
    if not excused(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true, and nothing here excuses it: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    """A module that skips itself whole is judged like its tests."""
    outcome = yield
    report = outcome.get_result()
    if CI and report.skipped:
        reason = re.sub(r"^Skipped: ", "", str(report.longrepr[2]))
        if not excused(reason):
            report.outcome = "failed"
            report.longrepr = f"skipped under CI=true, and nothing here excuses it: {reason}"
