# SPDX-License-Identifier: MIT
"""Who may, whose it becomes, and who an inode is: owners, groups, umask, ACLs, setuid bits and
capabilities, access by other users, and inode numbers over layers, copy-up and remount."""
import ctypes
import errno
import os
import shutil
import stat
import struct

import pytest

from harness import LIBC, need_root, run
from test_semantics import fallocate
from worlds import KERNEL_OPTIONS, as_user, attempt, fill, get, handle_of, opened, put, same, syscall

USER, OTHER = 1234, 4321
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)    # cap_net_raw=ep, revision 2


def owner(path):
    st = os.lstat(path)
    return st.st_uid, st.st_gid, oct(st.st_mode)


def make_one_of_each(where):
    """A new inode of every kind that an ordinary user may make."""
    put(f"{where}/file")
    os.close(os.open(f"{where}/asked", os.O_CREAT | os.O_RDWR, 0o6777))
    os.mkdir(f"{where}/dir", 0o777)
    os.symlink("x", f"{where}/link")
    os.mkfifo(f"{where}/fifo", 0o666)
    os.mknod(f"{where}/node", stat.S_IFREG | 0o666)
    os.link(f"{where}/file", f"{where}/hard")
    fd = os.open(where, os.O_TMPFILE | os.O_RDWR, 0o666)
    unnamed = os.fstat(fd)
    os.close(fd)
    return [owner(f"{where}/{n}") for n in sorted(os.listdir(where))], (
        unnamed.st_uid, unnamed.st_gid, oct(unnamed.st_mode))


def open_to_all(root):
    os.chmod(root, 0o777)
    for where, names, files in os.walk(root):
        for name in names:
            os.chmod(os.path.join(where, name), 0o777)


# ---- whose it becomes ---------------------------------------------------------------------------

@same({"d": {}}, prepare=open_to_all)
def test_what_a_user_makes_is_the_users(root):
    return as_user(make_one_of_each, f"{root}/d")


@same({"d": {}}, prepare=open_to_all)
def test_umask_000_takes_nothing(root):
    return as_user(make_one_of_each, f"{root}/d", umask=0)


@same({"d": {}}, prepare=open_to_all)
def test_umask_077_leaves_nothing_to_others(root):
    return as_user(make_one_of_each, f"{root}/d", umask=0o077)


def setgid(root):
    open_to_all(root)
    os.chown(f"{root}/d", 0, 777)
    os.chmod(f"{root}/d", 0o2777)


@same({"d": {}}, prepare=setgid)
def test_a_setgid_directory_gives_its_group_to_a_stranger(root):
    return as_user(make_one_of_each, f"{root}/d", umask=0)


@same({"d": {}}, prepare=setgid)
def test_a_setgid_directory_gives_its_group_to_a_member(root):
    return as_user(make_one_of_each, f"{root}/d", umask=0o002, groups=(777,))


@same({"d": {"sub": {}}}, prepare=setgid)
def test_a_setgid_directory_gives_its_group_to_root(root):
    return make_one_of_each(f"{root}/d/sub"), make_one_of_each(f"{root}/d")


@same({"d": {"f": ""}}, prepare=setgid)
def test_what_is_copied_up_in_a_setgid_directory_keeps_its_own_group(root):
    put(f"{root}/d/f", "changed")
    os.rename(f"{root}/d/f", f"{root}/d/g")
    return owner(f"{root}/d/g")


def writable_by_all(root):
    open_to_all(root)
    for where, _, files in os.walk(root):
        for name in files:
            os.chmod(os.path.join(where, name), 0o666)


@same({"d": {"f": "root's"}}, prepare=writable_by_all)
def test_a_file_written_by_another_stays_its_owners(root):
    as_user(put, f"{root}/d/f", "written by a user")
    return owner(f"{root}/d/f"), owner(f"{root}/d"), get(f"{root}/d/f")


@same({"d": {"f": "root's"}}, prepare=writable_by_all)
def test_parents_copied_up_by_a_user_stay_their_owners(root):
    as_user(os.mkdir, f"{root}/d/new")
    return owner(f"{root}/d"), owner(f"{root}/d/new")


# ---- who may ------------------------------------------------------------------------------------

def guarded(root):
    os.chmod(root, 0o755)
    for name, mode in (("secret", 0o600), ("public", 0o644), ("group", 0o640), ("all", 0o666)):
        os.chmod(f"{root}/{name}", mode)
    os.chown(f"{root}/group", 0, 777)
    os.chmod(f"{root}/closed", 0o700)
    os.chmod(f"{root}/sticky", 0o1777)
    os.chmod(f"{root}/blind", 0o711)
    os.chown(f"{root}/mine", USER, USER)


GUARDED = {"secret": "s", "public": "p", "group": "g", "all": "a", "closed": {"in": "x"},
           "sticky": {"roots": "r"}, "blind": {"known": "k"}, "mine": "m"}


def try_everything(root):
    answers = [(name, opened(f"{root}/{name}", os.O_RDONLY), opened(f"{root}/{name}", os.O_WRONLY),
                attempt(os.access, f"{root}/{name}", os.R_OK | os.W_OK),
                attempt(os.chmod, f"{root}/{name}", 0o600),
                attempt(os.chown, f"{root}/{name}", USER, USER),
                attempt(os.chown, f"{root}/{name}", -1, 777),
                attempt(os.utime, f"{root}/{name}", (1, 1)), attempt(os.utime, f"{root}/{name}"),
                attempt(os.truncate, f"{root}/{name}", 0),
                attempt(os.setxattr, f"{root}/{name}", "user.x", b"y"),
                attempt(os.setxattr, f"{root}/{name}", "trusted.x", b"y"),
                attempt(os.rename, f"{root}/{name}", f"{root}/{name}2"),
                attempt(os.link, f"{root}/{name}", f"{root}/sticky/{name}"),
                attempt(os.unlink, f"{root}/{name}"))
               for name in ("secret", "public", "group", "all", "mine")]
    answers += [attempt(os.listdir, f"{root}/closed"), attempt(os.lstat, f"{root}/closed/in"),
                attempt(os.listdir, f"{root}/blind"), get(f"{root}/blind/known"),
                attempt(os.unlink, f"{root}/sticky/roots"),
                attempt(os.rename, f"{root}/sticky/roots", f"{root}/sticky/x"),
                attempt(os.mkdir, f"{root}/new"), attempt(os.mkdir, f"{root}/sticky/new"),
                attempt(os.rmdir, f"{root}/blind"),
                attempt(os.mknod, f"{root}/sticky/dev", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
                sorted(attempt(os.listxattr, f"{root}/public"))]
    return answers


@same(GUARDED, prepare=guarded)
def test_a_stranger_may_what_the_modes_allow_and_no_more(root):
    return as_user(try_everything, root)


@same(GUARDED, prepare=guarded)
def test_a_member_of_the_group_may_what_the_group_may(root):
    return as_user(try_everything, root, groups=(777,))


@same(GUARDED, prepare=guarded)
def test_permissions_changed_by_root_hold_at_once_for_others(root):
    before = as_user(get, f"{root}/public")
    os.chmod(f"{root}/public", 0o600)
    os.chmod(f"{root}/closed", 0o755)
    return before, as_user(get, f"{root}/public"), as_user(get, f"{root}/closed/in")


# ---- setuid, setgid, capabilities ---------------------------------------------------------------

def privileged(root):
    os.chmod(root, 0o777)
    for name in ("write", "truncate", "otrunc", "fallocate", "chown", "group", "none", "chmod", "copy"):
        put(f"{root}/{name}", "x" * 5000)
        os.chown(f"{root}/{name}", USER, 777)
        os.setxattr(f"{root}/{name}", "security.capability", CAPABILITY)
        os.chmod(f"{root}/{name}", 0o6777)


def overwrite(path):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"new", 0)
    os.close(fd)


def copy_into(root):
    source, target = os.open(f"{root}/none", os.O_RDONLY), os.open(f"{root}/copy", os.O_WRONLY)
    done = attempt(os.copy_file_range, source, target, 100)
    os.close(source)
    os.close(target)
    return done


def touch_all(root):
    return [attempt(overwrite, f"{root}/write"), attempt(os.truncate, f"{root}/truncate", 10),
            opened(f"{root}/otrunc", os.O_WRONLY | os.O_TRUNC),
            fallocate(f"{root}/fallocate", 0, 0, 9000), copy_into(root),
            attempt(os.chown, f"{root}/chown", USER, -1),
            attempt(os.chown, f"{root}/group", -1, 777),
            attempt(os.chmod, f"{root}/chmod", 0o6755)]


def privileges(root):
    return [(name, owner(f"{root}/{name}"), attempt(os.getxattr, f"{root}/{name}",
                                                    "security.capability"))
            for name in sorted(os.listdir(root))]


@same({}, prepare=privileged)
def test_setuid_and_capabilities_fall_when_a_stranger_writes(root):
    return as_user(touch_all, root, uid=OTHER, gid=OTHER), privileges(root)


@same({}, prepare=privileged)
def test_setuid_and_capabilities_fall_when_the_owner_writes(root):
    return as_user(touch_all, root, groups=(777,)), privileges(root)


@same({}, prepare=privileged)
def test_setuid_and_capabilities_when_root_writes(root):
    return touch_all(root), privileges(root)


@same({}, prepare=privileged)
def test_setuid_and_capabilities_fall_also_in_a_file_that_was_just_copied_up(root):
    for name in os.listdir(root):
        os.setxattr(f"{root}/{name}", "user.touched", b"1")
    return as_user(touch_all, root, uid=OTHER, gid=OTHER), privileges(root)


def cut_before_chown(root):
    """root's cut took the capabilities, which is over when it says chown(2) of -1 and -1."""
    os.truncate(f"{root}/truncate", 10)
    os.chmod(f"{root}/truncate", 0o4755)
    os.chown(f"{root}/truncate", -1, -1)
    os.truncate(f"{root}/none", 10)
    os.chown(f"{root}/none", -1, -1)
    return privileges(root)


@same({}, prepare=privileged)
def test_setuid_falls_when_root_chowns_a_file_that_it_cut(root):
    return cut_before_chown(root)


def setgid_without_execution(root):
    privileged(root)
    for name in os.listdir(root):
        os.chmod(f"{root}/{name}", 0o2767)


def write_all(root):
    return [attempt(overwrite, f"{root}/write"), attempt(os.truncate, f"{root}/truncate", 10),
            opened(f"{root}/otrunc", os.O_WRONLY | os.O_TRUNC),
            fallocate(f"{root}/fallocate", 0, 0, 9000), copy_into(root)]


@same({}, prepare=setgid_without_execution)
def test_setgid_without_execution_falls_when_one_outside_the_group_writes(root):
    return as_user(write_all, root, uid=OTHER, gid=OTHER), privileges(root)


@same({}, prepare=setgid_without_execution)
def test_setgid_without_execution_stays_when_a_member_of_the_group_writes(root):
    return as_user(write_all, root, uid=OTHER, gid=OTHER, groups=(5, 777)), privileges(root)


@same({}, prepare=setgid_without_execution)
def test_setgid_without_execution_stays_when_one_of_the_group_writes(root):
    return as_user(write_all, root, uid=OTHER, gid=777), privileges(root)


def own_all(root):
    """Each way to say chown(2): of the owner that it has, of a group of the caller's, of neither; -1 is left."""
    return [attempt(os.chown, f"{root}/chown", USER, -1), attempt(os.chown, f"{root}/group", -1, USER),
            attempt(os.chown, f"{root}/none", -1, -1), attempt(os.chown, f"{root}/copy", USER, USER),
            attempt(os.chown, f"{root}/chmod", -1, 777)]


@same({}, prepare=setgid_without_execution)
def test_setgid_without_execution_falls_when_an_owner_outside_the_group_chowns(root):
    return as_user(own_all, root), privileges(root)


@same({}, prepare=setgid_without_execution)
def test_setgid_without_execution_stays_when_an_owner_in_the_group_chowns(root):
    return as_user(own_all, root, groups=(777,)), privileges(root)


@same({}, prepare=setgid_without_execution)
def test_setgid_without_execution_when_root_chowns(root):
    return own_all(root), privileges(root)


def run_id(root):
    return run(f"{root}/id", "-u").stdout, run(f"{root}/id", "-g").stdout


def setuid_program(root):
    shutil.copy("/usr/bin/id", f"{root}/id")
    os.chmod(f"{root}/id", 0o6755)


@same({}, prepare=setuid_program)
def test_a_setuid_program_of_a_lower_layer_runs_as_its_owner(root):
    before = as_user(run_id, root)
    os.setxattr(f"{root}/id", "user.touched", b"1")
    return before, as_user(run_id, root)


@same({"f": "mine"}, prepare=lambda root: os.chown(f"{root}/f", USER, 777))
def test_chmod_by_an_owner_outside_the_group_drops_setgid(root):
    return as_user(os.chmod, f"{root}/f", 0o6755), owner(f"{root}/f")


# ---- ACLs ---------------------------------------------------------------------------------------

def with_default_acl(root):
    open_to_all(root)
    run("setfacl", "-d", "-m", f"u::rwx,u:{OTHER}:rw,g::rx,g:777:r,m::rwx,o::-", f"{root}/d")


def acls(root):
    """What getfacl tells of each file, sorted: the order of a directory means nothing."""
    return sorted(run("getfacl", "-n", "-p", "-R", ".", cwd=root).stdout.split("\n\n"))


@same({"d": {}}, prepare=with_default_acl)
def test_a_default_acl_is_inherited_and_sets_the_umask_aside(root):
    return as_user(make_one_of_each, f"{root}/d", umask=0o077), acls(root)


@same({"d": {}}, prepare=with_default_acl)
def test_a_default_acl_goes_down_the_tree(root):
    as_user(os.makedirs, f"{root}/d/a/b/c")
    as_user(put, f"{root}/d/a/b/c/f")
    return acls(root)


@same({"d": {"f": "x"}}, prepare=open_to_all)
def test_acls_set_on_lower_files_are_copied_up_and_shown(root):
    run("setfacl", "-m", f"u:{USER}:rw,g:777:r", f"{root}/d/f")
    run("setfacl", "-d", "-m", f"u:{OTHER}:rwx", f"{root}/d")
    return acls(root), sorted(os.listxattr(f"{root}/d/f")), owner(f"{root}/d/f")


def with_acl(root):
    os.chmod(root, 0o755)
    os.chmod(f"{root}/f", 0o640)
    run("setfacl", "-m", f"u:{USER}:rw,g:777:r,m::rw", f"{root}/f")


@same({"f": "x"}, prepare=with_acl)
def test_an_acl_gives_and_denies_by_name(root):
    return (as_user(get, f"{root}/f"), as_user(put, f"{root}/f", "by acl"),
            as_user(get, f"{root}/f", uid=OTHER, gid=OTHER),
            as_user(get, f"{root}/f", uid=OTHER, gid=OTHER, groups=(777,)),
            as_user(put, f"{root}/f", "no", uid=OTHER, gid=OTHER, groups=(777,)), acls(root))


@same({"f": "x"}, prepare=with_acl)
def test_chmod_of_a_file_with_an_acl_changes_its_mask(root):
    os.chmod(f"{root}/f", 0o604)
    seen = acls(root), as_user(get, f"{root}/f")
    os.chmod(f"{root}/f", 0o664)
    return seen, acls(root), as_user(get, f"{root}/f")


@same({"f": "x"}, prepare=with_acl)
def test_an_acl_says_what_the_mode_does_that_its_file_was_copied_up_with(root):
    os.chmod(f"{root}/f", 0o451)
    before = acls(root)
    os.rename(f"{root}/f", f"{root}/g")
    os.chmod(f"{root}/g", 0o070)
    return before, acls(root)


@same({"f": "x"}, prepare=with_acl)
def test_an_acl_that_says_no_more_than_the_mode_becomes_the_mode(root):
    run("setfacl", "-b", f"{root}/f")
    first = owner(f"{root}/f"), os.listxattr(f"{root}/f")
    run("setfacl", "-m", "u::rwx,g::r,o::x", f"{root}/f")
    return first, owner(f"{root}/f"), os.listxattr(f"{root}/f")


@same({"f": "x"}, prepare=with_acl)
def test_setfacl_by_a_stranger_is_refused_and_broken_acls_are_invalid(root):
    acl = os.getxattr(f"{root}/f", "system.posix_acl_access")
    return (as_user(os.setxattr, f"{root}/f", "system.posix_acl_access", acl),
            attempt(os.setxattr, f"{root}/f", "system.posix_acl_access", b"junk"),
            attempt(os.setxattr, f"{root}/f", "system.posix_acl_default", acl))


@same({"f": "x"}, prepare=lambda root: (
    os.chown(f"{root}/f", USER, 777), os.chmod(f"{root}/f", 0o2775)))
def test_setfacl_by_an_owner_outside_the_group_drops_setgid(root):
    result = as_user(run, "setfacl", "-m", f"u:{OTHER}:r", f"{root}/f").returncode
    return result, owner(f"{root}/f")


def setgid_with_and_without_acl(root):
    for name in ("with", "without"):
        os.chown(f"{root}/{name}", USER, 777)
    run("setfacl", "-m", f"u:{OTHER}:r", f"{root}/with")
    for name in ("with", "without"):
        os.chmod(f"{root}/{name}", 0o2775)


def remove_acls(root):
    return [attempt(os.removexattr, f"{root}/{name}", "system.posix_acl_access") for name in ("with", "without")]


@same({"with": "x", "without": "x"}, prepare=setgid_with_and_without_acl)
def test_an_acl_removed_by_an_owner_outside_the_group_drops_setgid(root):
    return as_user(remove_acls, root)[:1], owner(f"{root}/with"), owner(f"{root}/without")


@same({"with": "x", "without": "x"}, prepare=setgid_with_and_without_acl)
def test_an_acl_removed_by_an_owner_in_the_group_leaves_setgid(root):
    return as_user(remove_acls, root, groups=(777,))[:1], owner(f"{root}/with"), owner(f"{root}/without")


# ---- what the work directory has no say in -----------------------------------------------------

BEFORE = {"f": "lower", "h": "lower", "g": "old", "d": {}, "e": {}, "twice": "lower"}


def change_what_is_staged(root):
    """Copies up a file by its mode, one by its data, one of two names and a directory, and makes a
    file and a directory over whiteouts: all that comes into being in the work directory."""
    os.chmod(f"{root}/f", 0o640)
    put(f"{root}/h", "more")
    os.chmod(f"{root}/twice", 0o640)
    os.chmod(f"{root}/e", 0o750)
    os.unlink(f"{root}/g")
    put(f"{root}/g", "new")
    os.rmdir(f"{root}/d")
    os.mkdir(f"{root}/d")


def owners_and_acls(root):
    return ([(n, owner(f"{root}/{n}"), sorted(os.listxattr(f"{root}/{n}")))
             for n in ("f", "h", "g", "d", "e", "twice")])


@pytest.mark.parametrize("gives", ["an ACL", "its group"])
@pytest.mark.parametrize("kind", ["kernel", "stateless", "tracked"])
def test_nothing_inherits_from_the_work_directory(sandbox, kind, gives):
    need_root()
    plain, lower, upper, work = (sandbox.directory(n) for n in ("plain", "lower", "upper", "work"))
    for where in (plain, lower):
        fill(where, BEFORE)
        os.link(where / "twice", where / "twin")
    if gives == "an ACL":
        run("setfacl", "-d", "-m", f"u:{OTHER}:rwx", work)
    else:
        os.chown(work, 0, OTHER)
        os.chmod(work, 0o2755)
    mount = (sandbox.kernel([lower], upper, work, options=KERNEL_OPTIONS) if kind == "kernel"
             else sandbox.plyfs([lower], upper, work, profile=kind))
    change_what_is_staged(plain)
    with mount:
        change_what_is_staged(mount.at)
        assert owners_and_acls(mount.at) == owners_and_acls(plain)


# ---- inode numbers ------------------------------------------------------------------------------

LAYERS = [{"a": "1", "d": {"x": "1", "s": {"y": "1"}}, "top": {"t": ""}},
          {"b": "2", "d": {"z": "2", "s": {"w": "2"}}, "low": {"l": ""}, "moved": {"m": "", "n": {}}}]


def numbers(root):
    found = {}
    for where, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(where, name)
            found[os.path.relpath(path, root)] = os.lstat(path).st_ino
    return found


def change_everything(root):
    with open(f"{root}/a", "ab") as file:
        file.write(b"+")
    os.chmod(f"{root}/b", 0o600)
    os.chown(f"{root}/d/s", 1, 1)
    os.setxattr(f"{root}/d/z", "user.a", b"b")
    os.link(f"{root}/d/x", f"{root}/d/hard")
    put(f"{root}/low/new", "")
    os.truncate(f"{root}/low/l", 10)


@pytest.fixture(params=["kernel", "stateless", "tracked"])
def stack(request, sandbox):
    """A mount of two layers; for plyfs the lower one lies on another filesystem, where equal
    inode numbers are certain to meet."""
    need_root()
    top, low, upper, work = (sandbox.directory(n) for n in ("top", "low", "upper", "work"))
    if request.param != "kernel":
        run("mount", "-t", "tmpfs", "other", low)
        request.addfinalizer(lambda: run("umount", "-l", low, check=False))
    fill(top, LAYERS[0])
    fill(low, LAYERS[1])
    mount = (sandbox.kernel([top, low], upper, work, options=KERNEL_OPTIONS)
             if request.param == "kernel"
             else sandbox.plyfs([top, low], upper, work, profile=request.param))
    with mount:
        yield mount
    sandbox.guarded.pop(os.path.realpath(low), None)


def test_inode_numbers_are_unique_over_all_layers(stack):
    found = numbers(stack.at)
    assert len(set(found.values())) == len(found)
    assert os.stat(stack.at).st_ino not in found.values()


def test_inode_numbers_stay_over_copy_up(stack):
    before = numbers(stack.at)
    reader = os.open(stack / "a", os.O_RDONLY)
    change_everything(stack.at)
    after = numbers(stack.at)
    assert {p: after[p] for p in before} == before
    assert os.fstat(reader).st_ino == before["a"]
    os.close(reader)
    assert after["d/hard"] == after["d/x"]
    assert after["low/new"] not in before.values()


def test_inode_numbers_stay_over_rename(stack):
    before = numbers(stack.at)
    os.rename(stack / "a", stack / "d/a2")
    os.rename(stack / "moved", stack / "elsewhere")
    after = numbers(stack.at)
    assert after["d/a2"] == before["a"]
    assert after["elsewhere"] == before["moved"]
    assert after["elsewhere/m"] == before["moved/m"]
    assert after["elsewhere/n"] == before["moved/n"]


def test_inode_numbers_stay_over_remount(stack):
    before = numbers(stack.at)
    change_everything(stack.at)
    os.rename(stack / "moved", stack / "elsewhere")
    changed = numbers(stack.at)
    stack.remount()
    assert numbers(stack.at) == changed
    assert {p: changed[p] for p in before if p in changed} == {
        p: before[p] for p in before if p in changed}


def by_handle(root, handle):
    """What the file holds, or the name of the error."""
    at = os.open(root, os.O_RDONLY)
    fd = LIBC.open_by_handle_at(at, handle, os.O_RDONLY)
    os.close(at)
    if fd < 0:
        return errno.errorcode[ctypes.get_errno()]
    with os.fdopen(fd) as file:
        return file.read()


def test_a_file_handle_leads_to_no_other_file_after_remount(sandbox, profile):
    need_root()
    lower, upper, work = (sandbox.directory(n) for n in ("lower", "upper", "work"))
    fill(lower, {f"f{n}": f"f{n}" for n in range(20)})
    with sandbox.plyfs([lower], upper, work, profile=profile) as mount:
        handles = {f"f{n}": handle_of(mount / f"f{n}") for n in range(10)}
        assert {name: by_handle(mount.at, handle) for name, handle in handles.items()} == {n: n for n in handles}
        mount.remount()
        for n in range(19, 9, -1):
            os.stat(mount / f"f{n}")
        for name, handle in handles.items():
            assert by_handle(mount.at, handle) in ("ESTALE", name)


def test_a_number_is_the_same_in_a_listing_in_stat_and_in_fstat(stack):
    change_everything(stack.at)
    for where, names, files in os.walk(stack.at):
        with os.scandir(where) as entries:
            for entry in entries:
                assert entry.inode() == os.lstat(entry.path).st_ino, entry.path
        for name in files:
            with open(os.path.join(where, name), "rb") as file:
                assert os.fstat(file.fileno()).st_ino == os.lstat(os.path.join(where, name)).st_ino


def test_all_of_a_mount_is_one_device(stack):
    change_everything(stack.at)
    device = os.stat(stack.at).st_dev
    for where, names, files in os.walk(stack.at):
        for name in names + files:
            assert os.lstat(os.path.join(where, name)).st_dev == device
    assert device != os.stat(os.path.dirname(stack.at)).st_dev


@same({"f": "x", "d": {}}, prepare=lambda root: (os.link(f"{root}/f", f"{root}/d/g"),
                                               os.link(f"{root}/f", f"{root}/h")))
def test_link_groups_and_counts_survive_copy_up_by_chown_as_in_chown_r(root):
    run("chown", "-R", "5:6", root)
    os.unlink(f"{root}/h")
    return [(os.lstat(f"{root}/{n}").st_nlink, owner(f"{root}/{n}")) for n in ("f", "d/g")]


@same({"log": "first\n"})
def test_tail_f_follows_a_lower_file_over_its_copy_up(root):
    follower = os.open(f"{root}/log", os.O_RDONLY)
    first = os.read(follower, 100)
    with open(f"{root}/log", "ab") as file:
        file.write(b"second\n")
    same_inode = os.fstat(follower).st_ino == os.stat(f"{root}/log").st_ino
    os.close(follower)
    return first, same_inode


@pytest.mark.parametrize("profile", ["stateless", "writeback", "tracked"])
def test_an_open_file_that_lost_a_name_is_one_inode_with_a_name_first_seen_then(sandbox, profile):
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    put(upper / "a", "0123456789" * 10)
    os.link(upper / "a", upper / "b")
    with sandbox.plyfs([lower], upper, work, profile=profile) as mount:
        fd = os.open(mount / "a", os.O_RDWR)
        os.unlink(mount / "a")
        before = os.stat(mount / "b").st_size
        os.ftruncate(fd, 7)
        found = before, os.stat(mount / "b").st_size, os.fstat(fd).st_size, get(mount / "b")
        os.close(fd)
    assert found == (100, 7, 7, b"0123456")
