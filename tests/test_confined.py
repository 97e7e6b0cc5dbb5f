# SPDX-License-Identifier: MIT
"""What the daemon keeps of its privileges once it serves, and by which system calls it goes through
layers: never by a path that a layer could bend."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess

import pytest

import layers_kit as kit
from harness import LIBC, PLYFS, is_mounted, need, need_root, need_tool, run, umount
from storekit import wait_for
from strace_kit import Strace, split
from test_cli import NOBODY, as_guest, daemon_of, gone, guest, place  # noqa: F401  (guest and place are fixtures)

CAPABILITIES = {"chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "fsetid": 4, "setgid": 6,
                "setuid": 7, "linux_immutable": 9, "sys_admin": 21, "mknod": 27, "setfcap": 31,
                "mac_override": 32, "mac_admin": 33}
KEPT = sum(1 << bit for bit in CAPABILITIES.values())
SYS_PTRACE = 19
NONE = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0}


def fields(pid):
    """{field: number} of a task's /proc status, of those that tell privileges."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    found = {name: int(lines[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    return {**found, "NoNewPrivs": int(lines["NoNewPrivs"])}


def tasks(pid):
    """The same of every thread, of which there are several."""
    found = [fields(f"{pid}/task/{task}") for task in os.listdir(f"/proc/{pid}/task")]
    assert len(found) > 2
    return found


# ---- privileges ---------------------------------------------------------------------------------

@pytest.fixture
def host(place):  # noqa: F811
    """The place where mounts are shared, as a host's mostly are: none ends with a namespace."""
    need_root()
    run("mount", "--bind", place.at, place.at)
    run("mount", "--make-shared", place.at)
    yield place
    umount(place.at)


@pytest.mark.parametrize("how", ["own", "drop_in"])
def test_a_daemon_of_root_keeps_what_requests_need_and_never_gets_more(host, how):
    place = host
    mine = fields("self")
    pid = place.mount(*getattr(place, how)())
    for task in tasks(pid):
        assert task == {**NONE, "CapPrm": KEPT & mine["CapPrm"], "CapEff": KEPT & mine["CapPrm"], "CapBnd": 0,
                        "NoNewPrivs": 1}


def test_a_daemon_whose_mount_ends_with_its_namespace_sees_who_lives_there_too(place):
    need_root()
    mine = fields("self")
    kept = (KEPT | 1 << SYS_PTRACE) & mine["CapPrm"]
    for task in tasks(place.mount(*place.own())):
        assert task == {**NONE, "CapPrm": kept, "CapEff": kept, "CapBnd": 0, "NoNewPrivs": 1}


def test_a_daemon_whose_volumes_may_need_helpers_leaves_these_what_root_has(store, sandbox):
    need_root()
    mine = fields("self")
    kept = (KEPT | 1 << SYS_PTRACE) & mine["CapPrm"]
    store.plyfs("create", "--name", "web", "--lower", sandbox.directory("base"))
    at = store.mount("web")
    for task in tasks(daemon_of(at)):
        assert task == {**NONE, "CapPrm": kept, "CapEff": kept,
                        "CapBnd": mine["CapBnd"], "NoNewPrivs": 0}


def test_a_daemon_of_an_ordinary_user_has_no_privilege_and_is_unmounted_by_a_signal(guest):
    pid = guest.mount(*guest.own(), **guest.who)
    for task in tasks(pid):
        assert {**task, "CapBnd": 0} == {**NONE, "CapBnd": 0, "NoNewPrivs": 0}
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: gone(pid), "the daemon's end")
    assert as_guest(os.listdir, str(guest.at)) == []


def test_a_daemon_of_root_in_a_user_namespace_gives_up_as_much(guest):
    need_tool("unshare")
    words = " ".join(f"'{word}'" for word in guest.own())
    script = (f"\"$1\" {words} && for process in /proc/[0-9]*; do "
              f"tr '\\0' '\\n' <$process/cmdline 2>/dev/null | grep -qxF '{guest.at}' && cat $process/status && break; done; "
              f"echo more >>'{guest.at}/f' && umount '{guest.at}'")
    who = {key: value for key, value in guest.who.items() if key != "program"}
    done = run("unshare", "-Urm", "sh", "-c", script, "sh", guest.who["program"], check=False, **who)
    if "unshare:" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr}")
    told = dict(re.findall(r"^(Cap\w+|NoNewPrivs):\t(\w+)$", done.stdout, re.M))
    assert done.returncode == 0, done.stderr
    assert (int(told["CapEff"], 16), int(told["CapBnd"], 16), told["NoNewPrivs"]) == (KEPT | 1 << SYS_PTRACE, 0, "1")


def test_landlock_is_in_force_where_no_store_keeps_the_mount(host):
    """What it takes away is tried in unit/test_privileges.c."""
    place = host
    need_tool("strace")
    need(LIBC.syscall(444, None, 0, 1) >= 4, "needs Landlock with the TCP network")
    log = place.box.path / "log"
    program = subprocess.Popen(["strace", "-f", "-o", log, "-e", "trace=landlock_restrict_self", PLYFS, *map(str, place.own())],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: os.listdir(place.at), "the mount")
    umount(place.at)
    assert program.wait(60) == 0
    assert re.search(r"landlock_restrict_self\(\d+, 0\)\s+= 0$", log.read_text(), re.M)


# ---- by which calls -----------------------------------------------------------------------------

# What is nobody's layer: the caller's name for the ledger, and where this process runs.
OUTSIDE = re.compile(r"/proc/(\d+/(comm|status|stat)|self/(mountinfo|statm|task|fd))|/dev/null")
HELD = re.compile(r"/proc/self/fd/\d+")
HELD_NAME = re.compile(r"/proc/self/fd/\d+/[^/]+")
# (directory, path) pairs of calls by the place of their arguments, and where their flags are.
PAIRS = {"renameat": (0, 2), "renameat2": (0, 2), "linkat": (0, 2), "symlinkat": (1,)}
FLAGS = {"openat": 2, "newfstatat": 3, "statx": 2, "fchownat": 4, "fchmodat2": 3, "utimensat": 3, "name_to_handle_at": 4,
         "linkat": 4, "faccessat2": 3, "setxattrat": 2, "getxattrat": 2, "listxattrat": 2, "removexattrat": 2,
         "file_getattr": 4}
# The last name is an entry's own to these, never followed.
ENTRY = {"unlinkat", "mkdirat", "mknodat", "readlinkat", "renameat", "renameat2", "symlinkat", "linkat",
         "name_to_handle_at"}
# The path is the first argument, and its last name is not followed (l...) or it is a descriptor's.
PATH_FIRST = {"lgetxattr", "lsetxattr", "llistxattr", "lremovexattr", "getxattr", "setxattr", "listxattr", "removexattr",
              "truncate", "chmod", "open", "readlink", "statfs", "lstat", "stat", "umount2"}
BY_DESCRIPTOR = re.compile(r"f(get|set|list|remove)xattr|fstatfs|open_by_handle_at|setpriority|getdents64|(vm)?splice|pipe2")
# fchmodat2(2), setxattrat(2) and its kin and file_getattr(2), which a strace may know by number alone, and where their
# flags are. (The name cannot be seen then: it is one that fd.h and xattr.h are given, which take no path.)
NUMBERED = {"syscall_0x1c4": 3, "syscall_0x1cf": 2, "syscall_0x1d0": 2, "syscall_0x1d1": 2, "syscall_0x1d2": 2,
            "syscall_0x1d4": 4}
NO_FOLLOW = 0x100


def text(word):
    return word[1:-1] if word.startswith('"') else None


def stays_beneath(call, words):
    """Why a call could be led somewhere by a layer; None where it cannot."""
    if call == "openat2":
        fine = all(flag in words[2] for flag in ("RESOLVE_BENEATH", "RESOLVE_NO_SYMLINKS", "RESOLVE_NO_MAGICLINKS"))
        return None if fine and words[0] != "AT_FDCWD" else "resolves freely"
    if call in NUMBERED:
        return None if int(words[NUMBERED[call]], 0) & NO_FOLLOW else "follows"
    if call in PATH_FIRST:
        path = text(words[0])
        if HELD.fullmatch(path) or OUTSIDE.fullmatch(path) or (call[0] == "l" and HELD_NAME.fullmatch(path)):
            return None
        return "goes by a path"
    if BY_DESCRIPTOR.fullmatch(call):
        return None
    if call not in ENTRY and call not in FLAGS and call != "openat":
        return "is not known"
    flags = words[FLAGS[call]] if call in FLAGS and FLAGS[call] < len(words) else ""
    for at in PAIRS.get(call, (0,)):
        directory, path = words[at], text(words[at + 1])
        if path is None and words[at + 1] == "NULL":
            continue                            # futimens(3)
        if directory == "AT_FDCWD":
            if OUTSIDE.fullmatch(path) or HELD.fullmatch(path):
                continue
            return "goes by a path"
        if "/" in path or path == "..":
            return "goes by a path"
        if path not in ("", ".") and call not in ENTRY and not {"O_NOFOLLOW", "AT_SYMLINK_NOFOLLOW"} & set(flags.split("|")):
            return "follows"
        if call in ENTRY and at == 0 and path and "AT_SYMLINK_FOLLOW" in flags:
            return "follows"
    return None


@pytest.mark.parametrize("call, words", [
    ("openat", '5, "a/b", O_RDONLY|O_NOFOLLOW|O_CLOEXEC'), ("openat", '5, "a", O_RDONLY'), ("openat", '5, "..", O_PATH|O_NOFOLLOW'),
    ("openat", 'AT_FDCWD, "/etc/passwd", O_RDONLY|O_NOFOLLOW'), ("getxattr", '"/proc/self/fd/5/a", "user.x", NULL, 0'),
    ("openat2", '5, "a/b", {flags=O_PATH, resolve=RESOLVE_BENEATH}, 24'), ("newfstatat", '5, "a", {st_mode=0}, 0'),
    ("linkat", '5, "a", 6, "b", AT_SYMLINK_FOLLOW'), ("name_to_handle_at", '5, "a", {}, [1], AT_SYMLINK_FOLLOW'),
    ("swapon", '"/dev/sda"'), ("syscall_0x1d0", '0x5, 0x7f, 0, 0x7f, 0x7f, 0x10')])
def test_a_call_that_could_be_led_away_is_found(call, words):
    assert stays_beneath(call, split(words))


def specimens(sandbox, names, devices):
    layers = [sandbox.directory(f"layer{number}") for number in range(3)]
    for name in names:
        kit.specimen(layers, name, devices)
    return layers


def work_through(at, names):
    """Every kind of change that there is, and every kind of look."""
    at = pathlib.Path(at)
    for name in names:
        with contextlib.suppress(PermissionError):      # of a step that only root may end
            kit.run_step(name, at)
    run("find", at, "-ls")
    run("getfattr", "-R", "-h", "-d", "-m", "-", at)
    run("sh", "-c", 'find "$1" -type f -exec cat {} +', "sh", at)
    run("cp", "-a", at / "new_entries", at / "copied")
    os.statvfs(at)
    fd = os.open(at / "copied", os.O_TMPFILE | os.O_RDWR)
    os.write(fd, b"x")
    os.link(f"/proc/self/fd/{fd}", at / "copied/named", src_dir_fd=fd, follow_symlinks=True)
    os.close(fd)
    run("rm", "-rf", at / "copied", at / "data_changed")


def assert_none_is_led(calls, what):
    assert len(calls) > 5000
    led = {f"{why}: {call}({', '.join(words)})" for call, words in calls if (why := stays_beneath(call, words))}
    assert not led, "\n".join(sorted(led)[:40])
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            print(f"{what}: {len(calls)} system calls of the daemon, none led by a name", file=file)


@pytest.mark.parametrize("profile", ["stateless", "tracked"])
def test_no_call_of_the_daemon_follows_a_name_of_a_layer(sandbox, profile):
    need_root()
    need_tool("strace", "getfattr")
    layers = specimens(sandbox, kit.STEPS, devices=True)
    with sandbox.plyfs(layers, sandbox.directory("upper"), sandbox.directory("work"), profile=profile,
                       options=["io_uring=off"]) as mount:
        trace = Strace(daemon_of(mount.at), sandbox.path / "trace")
        work_through(mount.at, kit.STEPS)
        calls = trace.calls()
    assert_none_is_led(calls, profile)


def test_no_call_of_an_ordinary_users_daemon_follows_a_name_of_a_layer(guest, sandbox):
    need_tool("strace", "getfattr")
    names = [name for name, (_, needs) in kit.STEPS.items() if needs != "devices"]
    layers = specimens(sandbox, names, devices=False)
    run("chown", "-Rh", f"{NOBODY.pw_uid}:{NOBODY.pw_gid}", *layers)
    pid = guest.mount(*guest.own("-o", "io_uring=off", lowers=layers), **guest.who)
    trace = Strace(pid, sandbox.path / "trace")
    kit.in_child(lambda: work_through(guest.at, names), kit.become_user(NOBODY.pw_uid, NOBODY.pw_gid, "/"))
    assert_none_is_led(trace.calls(), "an ordinary user's")
