# SPDX-License-Identifier: MIT
"""Hostile callers: an ordinary user on a mount that all may enter gets no further than on a plain
directory, errno by errno, and no further than the door of the daemon's sockets and of the store."""
import contextlib
import ctypes
import fcntl
import mmap
import os
import random
import socket
import stat
import struct
import subprocess

import pytest

from harness import is_mounted, need_root, run, umount
from storekit import wait_for
from test_cli import NOBODY, as_guest, daemon_of, guest  # noqa: F401  (guest is a fixture)
from test_identity import CAPABILITY, OTHER, USER, owner
from worlds import LIBC, as_user, attempt, get, opened, put, same, syscall

GROUP = 777
SETFLAGS, GETFLAGS, FSSETXATTR = 0x40086602, 0x80086601, 0x401C5820
IMMUTABLE, APPEND, NODUMP, NOATIME = 0x10, 0x20, 0x40, 0x80


def prepared(root):
    """What is another's and what is the user's, of every kind."""
    os.chmod(root, 0o755)
    for name, mode in (("mine", 0o644), ("shut", 0o200), ("program", 0o755), ("dull", 0o644)):
        put(f"{root}/{name}", "#!/bin/sh\necho ran\n", mode)
    for name, mode in (("theirs", 0o644), ("open", 0o666), ("their-program", 0o700)):
        put(f"{root}/{name}", "theirs", mode)
    for name, mode in (("sticky", 0o1777), ("home", 0o755), ("drop", 0o733), ("dark", 0o311), ("shared", 0o2775)):
        os.mkdir(f"{root}/{name}")
        os.chmod(f"{root}/{name}", mode)
    put(f"{root}/sticky/theirs", "t", 0o666)
    put(f"{root}/sticky/mine", "m", 0o644)
    put(f"{root}/home/theirs", "t", 0o644)
    put(f"{root}/dark/known", "k", 0o644)
    os.mkdir(f"{root}/home/their-dir")
    os.mkdir(f"{root}/sticky/their-dir")
    os.mkfifo(f"{root}/sticky/fifo")
    os.symlink("theirs", f"{root}/sticky/link")
    for name in ("mine", "shut", "program", "dull", "sticky/mine", "home", "dark", "sticky/fifo"):
        os.chown(f"{root}/{name}", USER, USER)
    os.lchown(f"{root}/sticky/link", USER, USER)
    os.chown(f"{root}/shared", OTHER, GROUP)


def flags_of(path, change):
    """chattr(1): the flags with a change, or the error."""
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = struct.unpack("L", fcntl.ioctl(fd, GETFLAGS, b"\0" * 8))[0]
        fcntl.ioctl(fd, SETFLAGS, struct.pack("L", flags | change))
        return 0
    finally:
        os.close(fd)


def project_of(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FSSETXATTR, struct.pack("IIIII8s", 0, 0, 0, 4242, 0, b""))
        return 0
    finally:
        os.close(fd)


def by_handle(root):
    """open_by_handle_at(2) of some handle: who may is asked before what it names."""
    fd = os.open(root, os.O_RDONLY)
    handle = struct.pack("Ii", 8, 1) + b"\1" * 8
    answer = syscall(LIBC.open_by_handle_at, fd, handle, os.O_RDONLY)
    os.close(fd)
    return answer


def reopen(path, flags):
    """A file once more through /proc, with more than it was opened for."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return opened(f"/proc/self/fd/{fd}", flags)
    finally:
        os.close(fd)


def execute(path):
    return subprocess.run([path], stdout=subprocess.PIPE, check=False).stdout


def link_descriptor(root):
    """linkat(2) of a descriptor: CAP_DAC_READ_SEARCH, or the credentials it was opened with."""
    fd = os.open(f"{root}/open", os.O_RDONLY)
    try:
        return syscall(LIBC.linkat, fd, b"", -100, os.fsencode(f"{root}/sticky/by-fd"), 0x1000)
    finally:
        os.close(fd)


@same({}, prepare=prepared)
def test_reading_and_running_by_a_stranger(root):
    def attempts():
        return {path: (opened(f"{root}/{path}", os.O_RDONLY), opened(f"{root}/{path}", os.O_RDWR),
                       opened(f"{root}/{path}", os.O_RDONLY | os.O_NOATIME), opened(f"{root}/{path}", os.O_PATH),
                       attempt(execute, f"{root}/{path}"), attempt(reopen, f"{root}/{path}", os.O_WRONLY),
                       attempt(os.access, f"{root}/{path}", os.X_OK))
                for path in ("mine", "shut", "program", "dull", "theirs", "open", "their-program", "dark/known", "sticky/theirs")}
    return as_user(attempts), as_user(attempts, groups=(GROUP,)), as_user(by_handle, root), as_user(os.listdir, f"{root}/dark")


@same({}, prepare=prepared)
def test_making_moving_and_removing_by_a_stranger(root):
    def attempts():
        tried = [attempt(put, f"{root}/new"), attempt(put, f"{root}/drop/new"), attempt(os.listdir, f"{root}/drop"),
                 attempt(put, f"{root}/shared/new"), attempt(os.unlink, f"{root}/sticky/theirs"),
                 attempt(os.rename, f"{root}/sticky/theirs", f"{root}/sticky/stolen"),
                 attempt(os.rename, f"{root}/sticky/mine", f"{root}/sticky/theirs"),
                 attempt(os.rename, f"{root}/sticky/their-dir", f"{root}/home/their-dir2"),
                 attempt(os.rename, f"{root}/home/their-dir", f"{root}/sticky/moved"),
                 attempt(os.rename, f"{root}/home/their-dir", f"{root}/home/renamed"),
                 attempt(os.unlink, f"{root}/home/theirs"), attempt(os.rmdir, f"{root}/sticky/their-dir"),
                 opened(f"{root}/sticky/theirs", os.O_CREAT | os.O_WRONLY), opened(f"{root}/sticky/fifo", os.O_CREAT | os.O_RDWR),
                 attempt(os.link, f"{root}/theirs", f"{root}/sticky/hard"), attempt(os.link, f"{root}/open", f"{root}/sticky/hard2"),
                 attempt(os.link, f"{root}/their-program", f"{root}/home/hard3"), link_descriptor(root),
                 opened(f"{root}/sticky", os.O_TMPFILE | os.O_RDWR), opened(f"{root}", os.O_TMPFILE | os.O_RDWR),
                 attempt(os.symlink, "/etc/passwd", f"{root}/sticky/l"), attempt(os.open, f"{root}/sticky/l2", os.O_CREAT | os.O_EXCL)]
        for kind, device in ((stat.S_IFCHR, os.makedev(1, 3)), (stat.S_IFBLK, os.makedev(8, 0)), (stat.S_IFIFO, 0),
                             (stat.S_IFSOCK, 0), (stat.S_IFREG, 0), (stat.S_IFDIR, 0)):
            tried.append(attempt(os.mknod, f"{root}/sticky/node{kind:o}", kind | 0o666, device))
        return [0 if isinstance(one, int) else one for one in tried]
    return as_user(attempts)


@same({}, prepare=prepared)
def test_owners_and_modes_by_a_stranger(root):
    def attempts(groups):
        return [(path, attempt(os.chown, f"{root}/{path}", uid, gid), owner(f"{root}/{path}"))
                for path in ("mine", "home", "theirs", "open", "shared")
                for uid, gid in ((0, -1), (USER, -1), (-1, 0), (-1, GROUP), (-1, USER), (-1, -1), (OTHER, OTHER))], [
                (path, oct(mode), attempt(os.chmod, f"{root}/{path}", mode), owner(f"{root}/{path}"))
                for path in ("mine", "home", "theirs", "shared", "sticky") for mode in (0o6777, 0o1777, 0o2755, 0o4711, 0o755)], [
                attempt(os.chown, f"{root}/sticky/link", USER, GROUP, follow_symlinks=False), groups]
    return as_user(attempts, ()), as_user(attempts, (GROUP,), groups=(GROUP,))


NAMES = ["user.x", "trusted.x", "trusted.overlay.opaque", "trusted.overlay.redirect", "security.x", "security.capability",
         "security.ima", "system.x", "system.posix_acl_access", "user.overlay.opaque", "user.plyfs.layer2", "nonsense", "user."]


@same({}, prepare=prepared)
def test_attributes_by_a_stranger(root):
    def attempts():
        tried = {}
        for path in ("mine", "home", "theirs", "open", "sticky", "sticky/fifo", "sticky/link"):
            for name in NAMES:
                value = CAPABILITY if name == "security.capability" else b"value"
                tried[path, name] = [attempt(os.setxattr, f"{root}/{path}", name, value, follow_symlinks=False),
                                     attempt(os.getxattr, f"{root}/{path}", name, follow_symlinks=False),
                                     attempt(os.removexattr, f"{root}/{path}", name, follow_symlinks=False)]
            tried[path] = sorted(attempt(os.listxattr, f"{root}/{path}", follow_symlinks=False))
        return tried
    return as_user(attempts)


@same({}, prepare=prepared, kernel="of what is not copied up yet the kernel says ENODATA")
def test_taking_away_an_access_list_that_is_not_there_succeeds_for_its_owner_alone(root):
    def attempts():
        return [(path, kind, attempt(os.removexattr, f"{root}/{path}", f"system.posix_acl_{kind}"))
                for path in ("mine", "home", "theirs", "sticky/fifo") for kind in ("access", "default")]
    return as_user(attempts), attempts()


@same({}, prepare=prepared)
def test_flags_of_files_by_a_stranger(root):
    def attempts():
        return [(path, flag, attempt(flags_of, f"{root}/{path}", flag)) for path in ("mine", "home", "theirs", "open")
                for flag in (IMMUTABLE, APPEND, NODUMP, NOATIME)], [
                    attempt(project_of, f"{root}/{path}") == "EPERM" for path in ("theirs",)]
    return as_user(attempts)


# ---- nothing of an overlay is forged through it ---------------------------------------------------

def shelves(root):
    os.chmod(root, 0o777)
    for path in ("d", "d/sub", "e"):
        os.chown(f"{root}/{path}", USER, USER)
    for path in ("d/f", "d/sub/g", "e/h"):
        os.chown(f"{root}/{path}", USER, USER)


FORGED = [("opaque", b"y"), ("opaque", b"x"), ("redirect", b"/e"), ("redirect", b"e"), ("metacopy", b""), ("whiteout", b"y"),
          ("origin", b"\0\xfb\x1d\0\1" + b"\0" * 24), ("impure", b"y"), ("nlink", b"U+9"), ("upper", b"\0" * 29), ("protattr", b"i")]


def forge_books(root):
    """As a user on what is his: whatever is set is an attribute of his own, that means nothing. (Those of
    fuse-overlayfs, which are read in lower layers, are stored under other names: only plyfs shows them again.)"""
    for space in ("user.overlay.", "user.overlay.overlay.", "user.fuseoverlayfs.", "user.containers."):
        for path in ("d", "d/f", "d/sub", "e", "e/h"):
            for name, value in FORGED:
                os.setxattr(f"{root}/{path}", space + name, value)
    os.rename(f"{root}/d/sub", f"{root}/e/sub")
    put(f"{root}/d/f", "changed")
    return sorted(os.listdir(f"{root}/d")), sorted(os.listxattr(f"{root}/e/sub"))


def forge(root):
    """Of records too: where owners are given, no record counts."""
    for path in ("d", "d/f", "d/sub", "e", "e/h"):
        os.setxattr(f"{root}/{path}", "user.containers.override_stat", b"0:0:4755:file")
    return forge_books(root)


SHELVES = {"d": {"f": "file", "sub": {"g": "deep"}}, "e": {"h": "other"}}


RECORDED = "a record is the mount's own there, and nobody may set one"


@same(SHELVES, prepare=shelves, native=False, recorded=RECORDED)
def test_overlay_attributes_of_a_user_mean_nothing(root):
    return as_user(forge, root)


@same(SHELVES, prepare=shelves, kernel="with userxattr the kernel keeps some of them to itself",
      native=False, options=("userxattr",), recorded=RECORDED)
def test_overlay_attributes_of_a_user_mean_nothing_where_the_mount_keeps_its_own_beside_them(root):
    return as_user(forge, root)


@same(SHELVES, prepare=shelves, kernel="it records no owners", native=False, recorded="so are all here",
      options=("xattr_permissions=2",))
def test_overlay_attributes_of_a_user_mean_nothing_where_owners_are_recorded(root):
    return as_user(forge_books, root)


# ---- privileges of files fall ---------------------------------------------------------------------

def privileged(root):
    os.chmod(root, 0o777)
    for name in ("sent", "spliced", "appended", "same-size", "emptied", "group-chown", "linked", "renamed", "read",
                 "setxattr", "utime", "punched"):
        put(f"{root}/{name}", "x" * 5000)
        os.chown(f"{root}/{name}", USER, GROUP)
        os.setxattr(f"{root}/{name}", "security.capability", CAPABILITY)
        os.chmod(f"{root}/{name}", 0o6777)


def map_and_write(path):
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 4096) as memory:
        memory[:4] = b"new!"
        memory.flush()
    os.close(fd)


def send_into(path):
    source, target = os.open("/proc/self/cmdline", os.O_RDONLY), os.open(path, os.O_WRONLY)
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    done = attempt(os.splice, reading, target, 14)
    for fd in (source, target, reading, writing):
        os.close(fd)
    return done


def send_file(root):
    source, target = os.open(f"{root}/read", os.O_RDONLY), os.open(f"{root}/sent", os.O_WRONLY)
    done = attempt(os.sendfile, target, source, 0, 100)
    os.close(source)
    os.close(target)
    return done


def punch(path):
    fd = os.open(path, os.O_WRONLY)
    done = syscall(LIBC.fallocate, fd, 3, ctypes.c_long(0), ctypes.c_long(4096))
    os.close(fd)
    return done


def use_all(root):
    fd = os.open(f"{root}/appended", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"+")
    os.close(fd)
    return [send_file(root), send_into(f"{root}/spliced"),
            attempt(os.truncate, f"{root}/same-size", 5000), opened(f"{root}/emptied", os.O_RDWR | os.O_TRUNC),
            attempt(os.chown, f"{root}/group-chown", -1, USER), attempt(os.link, f"{root}/linked", f"{root}/linked2"),
            attempt(os.rename, f"{root}/renamed", f"{root}/renamed2"), attempt(get, f"{root}/read") == b"x" * 5000,
            attempt(os.setxattr, f"{root}/setxattr", "user.x", b"y"), attempt(os.utime, f"{root}/utime", (5, 5)),
            punch(f"{root}/punched")]


def left(root):
    return [(name, owner(f"{root}/{name}"), attempt(os.getxattr, f"{root}/{name}", "security.capability"))
            for name in sorted(os.listdir(root))]


def set_back(root):
    """Whether a truncate to the size it has sets the time is the kernel's own choice under the writeback cache."""
    os.utime(f"{root}/same-size", (9, 9))


@same({}, prepare=privileged)
def test_every_way_of_writing_takes_setuid_and_capabilities_as_on_a_plain_directory(root):
    return as_user(use_all, root), left(root), set_back(root)


@same({}, prepare=privileged)
def test_every_way_of_writing_by_another_takes_setuid_and_capabilities_too(root):
    return as_user(use_all, root, uid=OTHER, gid=OTHER), left(root), set_back(root)


def mapped(root):
    put(f"{root}/mapped", "x" * 5000)
    os.chown(f"{root}/mapped", USER, GROUP)
    os.setxattr(f"{root}/mapped", "security.capability", CAPABILITY)
    os.chmod(f"{root}/mapped", 0o6777)


@same({}, prepare=mapped, stateless="the kernel hands the pages to the daemon, whose write takes the capability too: less stays, never more")
def test_a_mapping_takes_neither_as_on_a_plain_directory(root):
    return as_user(map_and_write, f"{root}/mapped"), left(root)


IN_A_NAMESPACE = """
import os, struct
def attempt(act, *arguments):
    try: return act(*arguments)
    except OSError as error: return error.errno
root = {root!r}
print([attempt(os.chown, root + "/mine", 0, 1), attempt(os.chown, root + "/theirs", 0, 0), attempt(os.chmod, root + "/theirs", 0o4755),
       attempt(os.setxattr, root + "/mine", "trusted.overlay.opaque", b"y"), attempt(os.setxattr, root + "/theirs", "security.capability", {capability!r}),
       attempt(os.setxattr, root + "/program", "security.capability", {capability!r}), attempt(os.open, root + "/their-program", os.O_RDONLY),
       attempt(os.mknod, root + "/home/null", 0o20666, os.makedev(1, 3)), attempt(os.unlink, root + "/sticky/theirs"),
       attempt(os.chmod, root + "/program", 0o6755)])
"""


@same({}, prepare=prepared)
def test_root_of_a_user_namespace_is_that_user_here(root):
    done = as_user(run, "unshare", "-Ur", "/usr/bin/python3", "-c",
                   IN_A_NAMESPACE.format(root=root, capability=CAPABILITY))
    return done.stdout, os.getxattr(f"{root}/program", "security.capability"), owner(f"{root}/program")


# ---- the daemon's own doors -------------------------------------------------------------------------

def daemons_number(at):
    st = os.stat(at)
    return f"{os.major(st.st_dev)}:{os.minor(st.st_dev)}"


def control_path(store):
    """The socket of the one mount, reached by a descriptor: its path may be longer than 108 bytes."""
    name, = os.listdir(store.path / "mounts")
    return store.path / "mounts" / name


def connected(address):
    client = socket.socket(socket.AF_UNIX)
    client.connect(address)         # which waits for a place in the queue, unlike one that has a time limit
    client.settimeout(60)
    return client


def all_said(client):
    """Whatever comes until the other hangs up."""
    said = b""
    while True:
        try:
            got = client.recv(1 << 16)
        except ConnectionResetError:
            return said
        if not got:
            return said
        said += got


@pytest.fixture
def web(store, sandbox):
    """A named mount of root, and its directory in the store."""
    need_root()
    base = sandbox.directory("base")
    put(base / "f", "lower")
    store.plyfs("create", "--name", "web", "--lower", base)
    return store.mount("web")


@pytest.fixture(params=["named", "nameless"])
def door(request, sandbox):
    """(the mountpoint, the address of its daemon's socket), for a mount of a store and for one of none."""
    need_root()
    if request.param == "named":
        at, store = request.getfixturevalue("web"), request.getfixturevalue("store")
        folder = os.open(control_path(store), os.O_RDONLY)
        yield at, f"/proc/self/fd/{folder}/control"
        os.close(folder)
        return
    base = sandbox.directory("base")
    put(base / "f", "lower")
    mount = sandbox.plyfs([base], sandbox.directory("upper"), sandbox.directory("work")).mount()
    yield mount / "", f"\0plyfs/{daemons_number(mount.at)}"
    if is_mounted(mount.at):
        mount.unmount()


def asked(address):
    """Who asks for figures is told them, or why not."""
    client = connected(address)
    with contextlib.suppress(BrokenPipeError):     # who is refused need not say all
        client.sendall(b'{"do": "stats"}\n')
    return all_said(client)


def still_serves(at, address):
    assert b'"ok":true' in asked(address)
    put(f"{at}/written", "still")
    assert get(f"{at}/written") == b"still"


def test_a_stranger_is_refused_by_the_control_socket(door):
    at, address = door
    answer = as_user(asked, address)
    assert answer == "EACCES" or (b'"EACCES"' in answer and b"stats" not in answer), answer
    still_serves(at, address)


def test_the_store_its_catalog_and_its_sockets_are_the_owners_alone(store, web):
    assert as_user(os.listdir, store.path) == "EACCES"
    assert as_user(opened, store.path / "catalog.db", os.O_RDONLY) == "EACCES"
    loose = []
    for where, folders, files in os.walk(store.path):
        inside = os.path.relpath(where, store.path)
        for name in folders + files:
            st = os.lstat(os.path.join(where, name))
            books = inside == "." or name in ("control", "lock") or name.startswith("catalog")
            if books and st.st_mode & 0o077:
                loose.append((inside, name, oct(st.st_mode)))
    assert not loose and stat.S_IMODE(os.stat(store.path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(control_path(store) / "control").st_mode) == 0o600


def test_what_is_said_wrongly_to_the_control_socket_does_not_touch_the_daemon(door):
    at, address = door
    pid = daemon_of(at)
    rng = random.Random(4)
    words = [b"", b"\n", b"\0" * 5000 + b"\n", b"{" * 100000 + b"\n", b"[" * 50000 + b"]" * 50000 + b"\n", b"x" * (3 << 20),
             b'{"do": "stats"', b'{"do": 1}\n', b'{"do": "attach", "destination": 7}\n', b'{"do": "trace", "filters": [[]]}\n',
             b'{"do": "stats", "do": "trace"}\n', b'{"do": "' + b"\xff" * 50 + b'"}\n', b'{"do": "stats"}\n' * 5000,
             b'{"do": "detach", "destination": "' + b"/.." * 5000 + b'"}\n', b'{"do": "trace", "filters": ["' + b"a=" * 9999 + b'"]}\n']
    words += [rng.randbytes(rng.randrange(1, 3000)) + b"\n" for _ in range(60)]
    for word in words:
        client = connected(address)
        try:
            client.sendall(word)
            client.shutdown(socket.SHUT_WR)
            all_said(client)
        except (BrokenPipeError, ConnectionResetError):
            pass        # refused before all of it was said
        client.close()
    still_serves(at, address)
    assert daemon_of(at) == pid


def test_clients_that_say_nothing_take_nothing_or_go_hold_nobody_up(door):
    """The daemon gives each a second to say what he wants, and five to take his answer."""
    at, address = door
    half = connected(address)
    half.sendall(b'{"do": "st')
    put(f"{at}/meanwhile", "x")
    assert get(f"{at}/f") == b"lower"
    for _ in range(10):
        gone_again = connected(address)
        gone_again.sendall(b'{"do": "stats"}\n')
        gone_again.close()
    still_serves(at, address)
    deaf = connected(address)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    deaf.sendall(b'{"do": "trace", "all": true, "filters": []}\n')
    for _ in range(3000):
        os.stat(f"{at}/f")
        attempt(os.unlink, f"{at}/nothing")
    still_serves(at, address)
    umount(at)
    wait_for(lambda: daemon_of(at) is None, "the daemon's end")
    for client in (half, deaf):
        client.close()


# ---- what is read-only to its owner, on his own mount -------------------------------------------------

def use_read_only(at):
    """What an owner may do to what he may not write. (What he may not even read cannot be copied up by his daemon.)"""
    done = [attempt(os.utime, f"{at}/{name}", (7, 7)) for name in ("file", "dir", "empty")]
    done += [attempt(os.chmod, f"{at}/{name}", 0o440) for name in ("other", "tagged")]
    done += [attempt(os.rename, f"{at}/file", f"{at}/renamed"), attempt(os.rename, f"{at}/dir", f"{at}/renamed-dir"),
             attempt(os.chmod, f"{at}/renamed", 0), attempt(os.rename, f"{at}/renamed", f"{at}/again"),
             attempt(os.utime, f"{at}/again", (8, 8)), attempt(os.chmod, f"{at}/again", 0o600),
             attempt(os.chmod, f"{at}/renamed-dir", 0), attempt(os.rename, f"{at}/renamed-dir", f"{at}/dir3"),
             attempt(os.chmod, f"{at}/dir3", 0o755), attempt(os.link, f"{at}/other", f"{at}/linked"),
             attempt(os.unlink, f"{at}/tagged"), attempt(os.rmdir, f"{at}/empty"), attempt(os.rmdir, f"{at}/untouched")]
    return done, modes_in(at), attempt(get, f"{at}/again"), attempt(os.listdir, f"{at}/dir3"), attempt(os.getxattr, f"{at}/other", "user.colour")


def lay_read_only(top):
    for name, mode in (("file", 0o400), ("other", 0o444), ("tagged", 0o444)):
        put(f"{top}/{name}", name)
        os.setxattr(f"{top}/{name}", "user.colour", b"red")
        os.chmod(f"{top}/{name}", mode)
    run("setfacl", "-m", f"u::r,u:{USER}:r,g::r,m::r,o::-", f"{top}/tagged")
    os.makedirs(f"{top}/dir/in")
    os.setxattr(f"{top}/dir", "user.colour", b"blue")
    os.makedirs(f"{top}/empty")
    os.makedirs(f"{top}/untouched")
    for name in ("dir", "empty", "untouched"):
        os.chmod(f"{top}/{name}", 0o555)
    run("chown", "-R", f"{NOBODY.pw_uid}:{NOBODY.pw_gid}", top)


def assert_as_on_a_plain_directory(guest, sandbox, lay, use, look):
    """What use() does and sees of what lay() has made, and what look() sees after a remount."""
    plain, lower = sandbox.directory("plain"), sandbox.directory("laid")
    for top in (plain, lower):
        lay(top)
    guest.mount(*guest.own(lowers=[lower]), **guest.who)
    expected, found = (as_guest(use, str(top)) for top in (plain, guest.at))
    assert found == expected
    umount(guest.at)
    guest.mount(*guest.own(lowers=[lower]), **guest.who)
    assert as_guest(look, guest.at) == expected[1]


def modes_in(at):
    return {name: oct(os.lstat(f"{at}/{name}").st_mode) for name in sorted(os.listdir(at))}


def test_an_owner_of_his_own_mount_may_to_what_is_read_only_what_he_may_on_a_plain_directory(guest, sandbox):
    assert_as_on_a_plain_directory(guest, sandbox, lay_read_only, use_read_only, modes_in)


CLOSED = (0o555, 0o511, 0o100)


def change_inside(at):
    """What is in a directory that its owner may not write is his to change all the same."""
    done = []
    for mode in CLOSED:
        where = f"{at}/{mode:o}"
        done += [attempt(os.chmod, f"{where}/file", 0o600), attempt(put, f"{where}/other", "changed"),
                 attempt(os.utime, f"{where}/hard", (7, 7)), attempt(os.utime, f"{where}/sub", (7, 7)),
                 attempt(put, f"{where}/sub/in", "changed"), attempt(put, f"{where}/new", "new"),
                 attempt(os.rename, f"{where}/file", f"{where}/moved"), attempt(os.unlink, f"{where}/other")]
    return done, closed_contents(at)


def closed_contents(at):
    return [(oct(os.stat(f"{at}/{mode:o}").st_mode), os.stat(f"{at}/{mode:o}").st_mtime_ns,
             [(oct(os.stat(path).st_mode), attempt(get, path)) for path in
              (f"{at}/{mode:o}/{name}" for name in ("file", "other", "hard", "sub/in"))]) for mode in CLOSED]


def lay_closed(top):
    for mode in CLOSED:
        where = f"{top}/{mode:o}"
        os.makedirs(f"{where}/sub")
        for name in ("file", "other", "hard", "sub/in"):
            put(f"{where}/{name}", name)
        os.link(f"{where}/hard", f"{top}/{mode:o}-hard")
        os.chmod(f"{where}/sub", 0o555)
        os.utime(where, ns=(10**18, 10**18))
        os.chmod(where, mode)
    run("chown", "-R", f"{NOBODY.pw_uid}:{NOBODY.pw_gid}", top)


def test_what_is_in_a_directory_that_its_owner_may_not_write_is_his_to_change(guest, sandbox):
    assert_as_on_a_plain_directory(guest, sandbox, lay_closed, change_inside, closed_contents)
