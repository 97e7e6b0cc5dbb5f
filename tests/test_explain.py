# SPDX-License-Identifier: MIT
"""Why a path shows what it shows: `plyfs explain` on situations made by hand, by the kernel and by plyfs itself.

A situation is a stack in short words, a path, and what explain is to say of it, written out. The layers are u (the
upper), 3 (the topmost), 2 and 1 (the lowest), as people count them. Each entry of a stack is a letter and a path:

  d DIRECTORY            f FILE [TEXT]       l SYMLINK TARGET        h NAME EXISTING (a hard link)
  w WHITEOUT (device)    W (.wh. file)       e (attribute, in a directory that is x)
  o OPAQUE DIRECTORY (trusted)   ou (user)   of (fuse-overlayfs's)   oq (.wh..wh..opq file)     x DIRECTORY (of e)
  r PATH REDIRECT        m METACOPY FILE     p FIFO
"""
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tarfile
import threading

import pytest

from harness import LIBC, PLYFS, digest, need_root, need_tool, refusal, run
from layers_kit import EXCHANGE, is_whiteout, renameat2
from test_layer import complete
from test_named import guest  # noqa: F401  (a fixture)
from test_volumes import base  # noqa: F401  (a fixture)

LAYERS = ("3", "2", "1")
TRUSTED, USER = "trusted.overlay.", "user.overlay."


# ---- stacks in short words ----------------------------------------------------------------------

def make(top, words, space=TRUSTED):
    """Makes the stack; names are bytes, with surrogate escapes."""
    for layer in ("u", *LAYERS):
        (top / layer).mkdir(exist_ok=True)
    for entry in filter(None, (entry.strip() for entry in words.split(","))):
        kind, path, *more = entry.split(" ")
        make_entry(kind, top / path, more[0] if more else None, top, space)


def make_entry(kind, path, value, top, space):
    path.parent.mkdir(parents=True, exist_ok=True)
    marks = {"o": (space, "opaque", b"y"), "ou": (USER, "opaque", b"y"), "of": ("user.fuseoverlayfs.", "opaque", b"y"),
             "x": (space, "opaque", b"x")}
    if kind in ("d", "oq", *marks):
        path.mkdir(exist_ok=True)
    if kind in marks:
        prefix, name, mark = marks[kind]
        os.setxattr(path, prefix + name, mark)
    elif kind == "oq":
        (path / ".wh..wh..opq").touch()
    elif kind in ("f", "m", "e"):
        path.write_text(value or "")
        if kind != "f":
            os.setxattr(path, space + ("metacopy" if kind == "m" else "whiteout"), b"" if kind == "m" else b"y")
    elif kind == "l":
        path.symlink_to(value)
    elif kind == "h":
        os.link(top / value, path)
    elif kind == "w":
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
    elif kind == "W":
        (path.parent / f".wh.{path.name}").touch()
    elif kind == "r":
        os.setxattr(path, space + "redirect", os.fsencode(value))
    elif kind == "p":
        os.mkfifo(path)


# ---- what is told, in short words ---------------------------------------------------------------

def words_of(found):
    """STATE LAYER: LAYER STATE[ at PATH][ FORMAT][ opaque MARK][ to REDIRECT][ data LAYER:PATH][ < REASON LAYER:PATH]...
    of every layer that has something, the topmost first."""
    rows = []
    for row in found["Layers"]:
        if row["State"] == "absent":
            continue
        text = f"{row['Layer']} {row['State']}"
        if row["Path"] != found["Resolved"]:
            text += f" at {row['Path']}"
        text += f" {row['Format']}" if row["Format"] else ""
        text += f" opaque {row['Opaque']}" if row["Opaque"] else ""
        text += f" to {row['Redirect']}" if row["Redirect"] else ""
        if row["Metacopy"]:
            text += f" data {row['Metacopy']['Layer']}:{row['Metacopy']['Path']}"
        if row["By"]:
            text += f" < {row['By']['Reason']} {row['By']['Layer']}:{row['By']['Path']}"
        rows.append(text)
    verdict = found["Verdict"]
    head = verdict["State"] + (f" {verdict['Layer']}" if verdict["Layer"] else "") + (
        f" {verdict['Errno']}" if verdict["Errno"] else "")
    return f"{head}: {', '.join(rows)}" if rows else head


def bare(top, path, *more, **kwargs):
    argv = [PLYFS, "explain", "--json", "--upper", top / "u"]
    for layer in LAYERS:
        argv += ["--lower", top / layer]
    return json.loads(run(*argv, *more, path, **kwargs).stdout)


SITUATIONS = [
    # who wins
    ("a_name_that_no_layer_has", "f 1/a", "/b", "absent"),
    ("a_file_of_the_lowest_layer", "f 1/a", "/a", "visible 1: 1 wins"),
    ("a_file_of_the_middle_hides_the_lowest", "f 2/a, f 1/a", "/a", "visible 2: 2 wins, 1 hidden < file 2:/a"),
    ("the_upper_hides_all", "f u/a, f 3/a, d 1/a", "/a",
     "visible upper: upper wins, 3 hidden < file upper:/a, 1 hidden < file upper:/a"),
    ("directories_merge", "d u/d, d 3/d, d 1/d", "/d", "visible upper: upper wins, 3 merged, 1 merged"),
    ("the_root_is_merged_of_all", "", "/", "visible upper: upper wins, 3 merged, 2 merged, 1 merged"),
    ("a_name_in_a_merged_directory", "d u/d, d 3/d, f 1/d/x", "/d/x", "visible 1: 1 wins"),
    ("a_file_over_a_directory", "f 3/d, d 2/d, f 1/d/x", "/d", "visible 3: 3 wins, 2 hidden < file 3:/d, 1 hidden < file 3:/d"),
    ("what_is_in_a_directory_beneath_a_file", "f 3/d, f 2/d/x", "/d/x", "absent ENOTDIR: 2 hidden < file 3:/d"),
    ("a_directory_over_a_file", "d 3/d, f 2/d", "/d", "visible 3: 3 wins, 2 hidden < directory 3:/d"),
    ("a_file_between_directories", "d 3/d, f 2/d, d 1/d", "/d",
     "visible 3: 3 wins, 2 hidden < directory 3:/d, 1 hidden < file 2:/d"),
    ("what_is_in_the_lowest_of_such", "d 3/d, f 2/d, f 1/d/x", "/d/x", "absent: 1 hidden < file 2:/d"),
    ("a_symlink_over_a_directory", "l 3/s d, d 1/s", "/s", "visible 3: 3 wins, 1 hidden < file 3:/s"),
    ("a_symlink_among_directories", "d 3/d, l 2/d x, d 1/d", "/d",
     "visible 3: 3 wins, 2 hidden < directory 3:/d, 1 hidden < file 2:/d"),
    ("a_fifo", "p 2/p, f 1/p", "/p", "visible 2: 2 wins, 1 hidden < file 2:/p"),
    ("an_absent_parent", "d 1/d", "/x/y/z", "absent"),

    # whiteouts
    ("a_whiteout_of_the_upper", "w u/a, f 1/a", "/a", "absent: upper whiteout device 0:0, 1 hidden < whiteout upper:/a"),
    ("a_whiteout_of_a_layer", "w 2/a, f 1/a", "/a", "absent: 2 whiteout device 0:0, 1 hidden < whiteout 2:/a"),
    ("a_whiteout_beneath_what_is_shown", "f 3/a, w 2/a, f 1/a", "/a",
     "visible 3: 3 wins, 2 whiteout device 0:0 < file 3:/a, 1 hidden < file 3:/a"),
    ("a_whiteout_cuts_a_merge", "d 3/d, w 2/d, d 1/d", "/d",
     "visible 3: 3 wins, 2 whiteout device 0:0, 1 hidden < whiteout 2:/d"),
    ("a_whiteout_that_hides_nothing", "w u/a", "/a", "absent: upper whiteout device 0:0"),
    ("a_wh_file", "W 3/a, f 1/a", "/a", "absent: 3 whiteout .wh. file, 1 hidden < whiteout 3:/a"),
    ("a_wh_file_beside_what_it_hides_beneath", "W 3/a, f 3/a, f 1/a", "/a", "visible 3: 3 wins, 1 hidden < file 3:/a"),
    ("a_wh_file_beside_a_directory", "W 3/d, d 3/d, d 1/d", "/d", "visible 3: 3 wins, 1 hidden < whiteout 3:/d"),
    ("a_wh_file_itself_is_a_book", "W 3/a", "/.wh.a", "absent"),
    ("a_wh_file_in_an_upper_of_devices_is_a_file", "W u/a, f 1/a", "/.wh.a", "visible upper: upper wins"),
    ("an_attribute_whiteout", "x 3, e 3/a, f 1/a", "/a",
     "absent: 3 whiteout overlay.whiteout attribute, 1 hidden < whiteout 3:/a"),
    ("an_attribute_whiteout_in_a_directory", "x 3/d, e 3/d/a, f 1/d/a", "/d/a",
     "absent: 3 whiteout overlay.whiteout attribute, 1 hidden < whiteout 3:/d/a"),
    ("an_attribute_whiteout_where_the_directory_has_no_mark", "e 3/a, f 1/a", "/a", "visible 3: 3 wins, 1 hidden < file 3:/a"),
    ("a_whiteout_of_the_directory_it_is_in", "w 3/d, f 2/d/x, f 1/d/x", "/d/x",
     "absent: 2 hidden < whiteout 3:/d, 1 hidden < whiteout 3:/d"),
    ("all_three_forms", "w u/a, W 3/a, x 2, e 2/a, f 1/a", "/a",
     "absent: upper whiteout device 0:0, 3 whiteout .wh. file < whiteout upper:/a, "
     "2 whiteout overlay.whiteout attribute < whiteout upper:/a, 1 hidden < whiteout upper:/a"),

    # opaque directories
    ("an_opaque_upper", "o u/d, d 1/d", "/d", "visible upper: upper wins opaque trusted.overlay.opaque, 1 hidden < opaque upper:/d"),
    ("what_is_in_beneath_an_opaque_upper", "o u/d, f 1/d/x", "/d/x", "absent: 1 hidden < opaque upper:/d"),
    ("an_opaque_layer", "o 3/d, d 2/d", "/d", "visible 3: 3 wins opaque trusted.overlay.opaque, 2 hidden < opaque 3:/d"),
    ("opaque_without_privilege", "ou 3/d, d 2/d", "/d", "visible 3: 3 wins opaque user.overlay.opaque, 2 hidden < opaque 3:/d"),
    ("opaque_by_fuse_overlayfs", "of 3/d, d 2/d", "/d",
     "visible 3: 3 wins opaque user.fuseoverlayfs.opaque, 2 hidden < opaque 3:/d"),
    ("opaque_by_fuse_overlayfs_in_the_upper", "of u/d, d 2/d", "/d",
     "visible upper: upper wins opaque user.fuseoverlayfs.opaque, 2 hidden < opaque upper:/d"),
    ("opaque_by_a_file", "oq 3/d, d 2/d", "/d", "visible 3: 3 wins opaque .wh..wh..opq file, 2 hidden < opaque 3:/d"),
    ("an_opaque_directory_in_the_middle_of_a_merge", "d u/d, o 2/d, d 1/d", "/d",
     "visible upper: upper wins, 2 merged opaque trusted.overlay.opaque, 1 hidden < opaque 2:/d"),
    ("a_mark_in_the_namespace_that_is_not_the_uppers", "ou u/d, d 1/d", "/d", "visible upper: upper wins, 1 merged"),
    ("a_whiteout_under_an_opaque_directory", "o 3/d, w 2/d/x, f 1/d/x", "/d/x",
     "absent: 2 whiteout device 0:0 < opaque 3:/d, 1 hidden < opaque 3:/d"),

    # redirects
    ("a_renamed_directory", "d u/new, r u/new old, d 3/old, d 1/old", "/new",
     "visible upper: upper wins to old, 3 merged at /old, 1 merged at /old"),
    ("a_name_in_a_renamed_directory", "d u/new, r u/new old, f 1/old/x", "/new/x", "visible 1: 1 wins at /old/x"),
    ("a_moved_directory", "d u/new, r u/new /a/old, f 1/a/old/x", "/new", "visible upper: upper wins to /a/old, 1 merged at /a/old"),
    ("what_a_redirect_passes_by", "d u/new, r u/new old, f 2/new/x, d 1/old", "/new",
     "visible upper: upper wins to old, 2 hidden < redirect upper:/new, 1 merged at /old"),
    ("what_is_in_what_a_redirect_passes_by", "d u/new, r u/new old, f 2/new/x, d 1/old", "/new/x",
     "absent: 2 hidden < redirect upper:/new"),
    ("redirect_upon_redirect", "d u/c, r u/c b, d 3/b, r 3/b a, f 1/a/x", "/c",
     "visible upper: upper wins to b, 3 merged at /b to a, 1 merged at /a"),
    ("a_name_behind_redirect_upon_redirect", "d u/c, r u/c b, d 3/b, r 3/b a, f 1/a/x", "/c/x", "visible 1: 1 wins at /a/x"),
    ("a_redirect_whose_way_is_redirected", "d u/n, r u/n /p/q, d 3/p, r 3/p /o, d 1/o/q", "/n",
     "visible upper: upper wins to /p/q, 1 merged at /o/q"),
    ("a_redirect_whose_way_is_whited_out", "d u/n, r u/n /p/q, w 3/p, d 1/p/q", "/n",
     "visible upper: upper wins to /p/q, 1 hidden at /p/q < whiteout 3:/p"),
    ("a_redirect_whose_way_is_opaque", "d u/n, r u/n /p/q, d 3/p/q, o 3/p, d 1/p/q", "/n",
     "visible upper: upper wins to /p/q, 3 merged at /p/q, 1 hidden at /p/q < opaque 3:/p"),
    ("a_whiteout_under_opaque_under_redirect", "d u/n, r u/n /p, o 3/p, w 2/p/x, f 1/p/x", "/n/x",
     "absent: 2 whiteout at /p/x device 0:0 < opaque 3:/p, 1 hidden at /p/x < opaque 3:/p"),
    ("a_redirect_to_nothing", "d u/n, r u/n gone", "/n", "visible upper: upper wins to gone"),
    ("an_opaque_directory_needs_no_redirect", "o u/n, r u/n old, d 1/old", "/n",
     "visible upper: upper wins opaque trusted.overlay.opaque to old"),

    # metacopy
    ("metadata_above_data", "m u/f, f 1/f text", "/f", "visible upper: upper wins data 1:/f, 1 data"),
    ("a_chain_of_metadata", "m u/f, m 3/f, m 2/f, f 1/f text", "/f",
     "visible upper: upper wins data 1:/f, 3 hidden data 1:/f < file upper:/f, 2 hidden data 1:/f < file upper:/f, 1 data"),
    ("metadata_of_a_layer", "m 3/f, f 2/f text, f 1/f", "/f", "visible 3: 3 wins data 2:/f, 2 data, 1 hidden < file 2:/f"),
    ("moved_metadata", "m u/new, r u/new /d/old, f 1/d/old text", "/new",
     "visible upper: upper wins to /d/old data 1:/d/old, 1 data at /d/old"),
    ("metadata_moved_twice", "m u/c, r u/c b, m 3/b, r 3/b /d/a, f 1/d/a text", "/c",
     "visible upper: upper wins to b data 1:/d/a, 3 hidden at /b to /d/a data 1:/d/a < file upper:/c, 1 data at /d/a"),
    ("metadata_in_a_renamed_directory", "d u/new, r u/new old, m u/new/f, f 1/old/f text", "/new/f",
     "visible upper: upper wins data 1:/old/f, 1 data at /old/f"),

    # symlinks on the way
    ("a_symlink_on_the_way", "l 3/bin usr/bin, f 1/usr/bin/sh", "/bin/sh", "visible 1: 1 wins"),
    ("a_symlink_at_the_end_is_not_followed", "l 3/sh bash, f 1/bash", "/sh", "visible 3: 3 wins"),
    ("a_symlink_at_the_end_with_a_slash_is", "l 3/lib usr/lib, d 1/usr/lib", "/lib/", "visible 1: 1 wins"),
    ("a_file_with_a_slash_behind_it", "f 3/f, f 1/f", "/f/", "absent ENOTDIR: 3 wins, 1 hidden < file 3:/f"),
    ("a_file_with_a_dot_behind_it", "f 1/f", "/f/.", "absent ENOTDIR: 1 wins"),
    ("no_way_leads_back_out_of_a_file", "f 1/f", "/f/..", "absent ENOTDIR: 1 wins"),
    ("a_symlink_to_a_file_with_a_slash_behind_it", "l 3/l f, f 1/f", "/l/", "absent ENOTDIR: 1 wins"),
    ("an_absent_name_with_a_slash_behind_it", "d 1/d", "/d/x/", "absent"),
    ("a_symlink_that_climbs_stays_inside", "l 3/up ../../../etc, f 1/etc/conf", "/up/conf", "visible 1: 1 wins"),
    ("dots_behind_a_symlink", "l 3/s a/b, d 1/a/b, f 1/a/x", "/s/../x", "visible 1: 1 wins"),
    ("a_dangling_symlink_on_the_way", "l 3/s nowhere", "/s/x", "absent"),

    # hostile books
    ("a_redirect_out_of_the_layer", "d u/n, r u/n ../.., f 1/n/x", "/n",
     "error EIO: upper wins to ../.., 1 hidden < fault upper:/n"),
    ("an_absolute_redirect_out_of_the_layer", "d 3/n, r 3/n /../../etc, d 1/n", "/n",
     "error EIO: 3 wins to /../../etc, 1 hidden < fault 3:/n"),
    ("what_lies_behind_such_a_redirect", "d u/n, r u/n ../.., f 1/n/x", "/n/x", "error EIO: 1 hidden < fault upper:/n"),
    ("redirects_in_a_circle_end", "d u/a, r u/a b, d 3/b, r 3/b a, d 2/a, r 2/a b, d 1/b", "/a",
     "visible upper: upper wins to b, 3 merged at /b to a, 2 merged to b, 1 merged at /b"),
    ("metadata_without_data", "m u/f, d 1/f", "/f", "error EIO: upper wins data None:None, 1 hidden < file upper:/f"),
    ("data_beneath_a_whiteout", "m u/f, w 2/f, f 1/f", "/f",
     "error EIO: upper wins data None:None, 2 whiteout device 0:0, 1 hidden < whiteout 2:/f"),
    ("symlinks_in_a_circle", "l 3/a b, l 2/b a", "/a/x", "error ELOOP"),

    # names
    ("a_name_that_is_no_utf8", "f 2/\udcff\udcfe, w u/\udcff\udcfe", "/\udcff\udcfe",
     "absent: upper whiteout device 0:0, 2 hidden < whiteout upper:/\\xff\\xfe"),
    ("a_name_of_255_bytes", f"f 2/{'n' * 255}, f 1/{'n' * 255}", f"/{'n' * 255}",
     f"visible 2: 2 wins, 1 hidden < file 2:/{'n' * 255}"),
    ("a_whiteout_of_a_name_that_has_no_wh_form", f"w u/{'n' * 255}, f 1/{'n' * 255}", f"/{'n' * 255}",
     f"absent: upper whiteout device 0:0, 1 hidden < whiteout upper:/{'n' * 255}"),
]


def of_path(*words, **kwargs):
    """What is told of a path in a mount that no store keeps."""
    return json.loads(run(PLYFS, "explain", "--json", *words, **kwargs).stdout)


def shown(path):
    """What lstat says of a path in a mount, in the words of a verdict."""
    error = refusal(os.lstat, path)
    return {None: "visible", "ENOENT": "absent", "ENOTDIR": "absent"}.get(error, "error")


@pytest.mark.parametrize("words, path, says", [row[1:] for row in SITUATIONS], ids=[row[0] for row in SITUATIONS])
def test_a_situation_is_explained(sandbox, words, path, says):
    need_root()
    make(sandbox.path, words)
    before = digest(sandbox.path / "u")
    found = bare(sandbox.path, path)
    assert words_of(found) == says
    assert digest(sandbox.path / "u") == before, "explain changed the upper"
    layers = [sandbox.path / layer for layer in LAYERS]
    with sandbox.plyfs(layers, sandbox.path / "u", sandbox.directory("work")) as mount:
        if "ELOOP" not in says and not path.startswith("/up"):
            assert shown(os.fspath(mount) + path) == found["Verdict"]["State"]
        assert words_of(of_path(f"{mount.at}/", path)) == says


def test_there_are_sixty_situations():
    assert len(SITUATIONS) >= 60 and len({row[0] for row in SITUATIONS}) == len(SITUATIONS)


def as_user(uid=1234):
    need_tool("setpriv")
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


USER_SITUATIONS = [row for row in SITUATIONS if row[0] in (
    "directories_merge", "a_file_over_a_directory", "a_whiteout_of_the_upper", "a_wh_file", "an_attribute_whiteout",
    "what_is_in_beneath_an_opaque_upper", "a_renamed_directory", "redirect_upon_redirect",
    "a_whiteout_under_opaque_under_redirect", "a_chain_of_metadata", "moved_metadata", "a_redirect_out_of_the_layer",
    "a_name_that_is_no_utf8", "a_symlink_on_the_way")]


@pytest.mark.parametrize("words, path, says", [row[1:] for row in USER_SITUATIONS], ids=[row[0] for row in USER_SITUATIONS])
def test_an_ordinary_user_is_told_the_same_of_marks_that_he_can_read(sandbox, words, path, says):
    need_root()
    make(sandbox.path, words, space=USER)
    program = sandbox.path / "plyfs"
    shutil.copy(PLYFS, program)
    argv = [*as_user(), program, "explain", "--json", "--upper", sandbox.path / "u"]
    for layer in LAYERS:
        argv += ["--lower", sandbox.path / layer]
    found = json.loads(run(*argv, path).stdout)
    assert words_of(found) == says.replace("trusted.", "user.")


def test_what_may_not_be_looked_at_is_told(sandbox):
    need_root()
    make(sandbox.path, "f 2/d/x, f 1/d/x", space=USER)
    os.chmod(sandbox.path / "2/d", 0o700)
    program = sandbox.path / "plyfs"
    shutil.copy(PLYFS, program)
    argv = [*as_user(), program, "explain", "--json", "--lower", sandbox.path / "2", "--lower", sandbox.path / "1", "/d/x"]
    found = json.loads(run(*argv).stdout)
    assert (found["Verdict"]["State"], found["Verdict"]["Errno"]) == ("error", "EACCES")
    assert found["Layers"][0]["State"] == "unreadable"


# ---- directories alone --------------------------------------------------------------------------

def test_layers_without_an_upper_are_explained(sandbox):
    need_root()
    make(sandbox.path, "f 3/a, f 2/a, w 3/b, f 1/b")
    argv = [PLYFS, "explain", "--json", "--lower", sandbox.path / "3", "--lower", sandbox.path / "2"]
    assert words_of(json.loads(run(*argv, "a").stdout)) == "visible 2: 2 wins, 1 hidden < file 2:/a"
    assert words_of(json.loads(run(*argv, "/").stdout)) == "visible 2: 2 wins, 1 merged"


def test_an_upper_of_white_files_is_read_as_one_when_told(sandbox):
    need_root()
    make(sandbox.path, "W u/a, f 1/a, oq u/d, f 1/d/x")
    assert words_of(bare(sandbox.path, "/a")) == "visible 1: 1 wins"
    assert words_of(bare(sandbox.path, "/a", "--white-files")) == (
        "absent: upper whiteout .wh. file, 1 hidden < whiteout upper:/a")
    assert words_of(bare(sandbox.path, "/d/x", "--white-files")) == "absent: 1 hidden < opaque upper:/d"
    assert words_of(bare(sandbox.path, "/.wh.a", "--white-files")) == "absent"


def test_an_upper_marked_for_users_is_read_as_one_when_told(sandbox):
    need_root()
    make(sandbox.path, "ou u/d, f 1/d/x")
    assert words_of(bare(sandbox.path, "/d/x")) == "visible 1: 1 wins"
    assert words_of(bare(sandbox.path, "/d/x", "--userxattr")) == "absent: 1 hidden < opaque upper:/d"


def test_the_text_has_a_line_for_each_layer_and_a_sentence(sandbox):
    need_root()
    make(sandbox.path, "o u/d, f 2/d/x text, l 3/s d")
    argv = [PLYFS, "explain", "--upper", sandbox.path / "u", *(w for n in LAYERS for w in ("--lower", sandbox.path / n))]
    lines = run(*argv, "/s/x").stdout.splitlines()
    assert lines[0].split() == ["LAYER", "STATE", "MODE", "SIZE", "PATH", "NOTE"]
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["upper", "absent"], ["3", "absent"], ["2", "hidden"], ["1", "absent"]]
    assert lines[5:] == [
        "", "followed: /s -> d",
        "/s/x is absent: layer 2 has it, but hidden by the opaque directory /d of the upper (trusted.overlay.opaque)"]
    assert run(*argv, "--format", "{{.Verdict.State}} {{.Resolved}}", "/s/x").stdout == "absent /d/x\n"


def test_what_is_wrong_with_a_layer_is_told_in_words(sandbox):
    need_root()
    make(sandbox.path, "d u/n, r u/n ../.., m u/n/f, m u/g, l 3/a b, l 3/b a")
    redirect = "the marks of /n of the upper cannot be true: it is redirected to '../..'; reading it fails with EIO"
    assert bare(sandbox.path, "/n")["Verdict"]["Why"] == bare(sandbox.path, "/n/f")["Verdict"]["Why"] == redirect
    assert bare(sandbox.path, "/g")["Verdict"]["Why"] == (
        "the data of the metacopy file /g of the upper is nowhere beneath; reading it fails with EIO")
    assert bare(sandbox.path, "/a/x")["Verdict"]["Why"] == "too many symlinks are on the way"
    argv = [PLYFS, "explain", "--upper", sandbox.path / "u", "--lower", sandbox.path / "3"]
    assert run(*argv, "/n").stdout.splitlines()[-1] == f"/n cannot be looked up: {redirect}"


def test_what_is_asked_for_as_a_directory_and_is_none_is_told_in_words(sandbox):
    make(sandbox.path, "f 1/d/f")
    for path in ("/d/f/", "/d/f/.", "/d/f/.."):
        done = run(PLYFS, "explain", "--upper", sandbox.path / "u", "--lower", sandbox.path / "1", path)
        assert done.stdout.splitlines()[-1] == f"{path} is absent: /d/f of layer 1 is no directory"


def test_names_and_paths_that_are_too_long_are_told(sandbox):
    need_root()
    make(sandbox.path, "f 1/a")
    for path in (f"/{'n' * 256}", f"/{'n' * 256}/x", "/" + "long/" * 900 + "x"):
        verdict = bare(sandbox.path, path)["Verdict"]
        assert (verdict["State"], verdict["Errno"]) == ("error", "ENAMETOOLONG")


def test_text_moves_no_cursor(sandbox):
    need_root()
    make(sandbox.path, "f 1/\x1b[31mred")
    argv = [PLYFS, "explain", "--upper", sandbox.path / "u", "--lower", sandbox.path / "1"]
    assert "\x1b" not in run(*argv, "/\x1b[31mred").stdout


def test_the_layers_are_told_with_their_directories_and_what_stat_says(sandbox):
    need_root()
    make(sandbox.path, "f 2/a text, f 1/a")
    row = bare(sandbox.path, "/a")["Layers"][2]
    st = os.stat(sandbox.path / "2/a")
    assert (row["Layer"], row["Directory"], row["Type"], row["Size"]) == ("2", str(sandbox.path / "2"), "file", 4)
    assert (row["Mode"], row["Inode"], row["Uid"], row["Links"]) == ("-rw-r--r--", st.st_ino, 0, 1)
    assert row["ModifiedAt"].startswith("20") and row["Note"] is None


def test_what_makes_no_sense_is_refused(store, sandbox):
    one = sandbox.directory("one")
    store.plyfs("create", "--name", "web", "--lower", one)
    store.refused("explain", words="PATH is missing")
    store.refused("explain", "a", "b", "c", words="'c' is one word too many")
    store.refused("explain", "missing", "/a", words="no such mount: missing")
    store.refused("explain", "--lower", one, "web", "/a", words="there is no MOUNT")
    store.refused("explain", "--lower", sandbox.path / "none", "/a", words="cannot open the layer")
    store.refused("explain", "/etc/passwd", words="lies in no mount of the store")


# ---- uppers made by the kernel, and by fuse-overlayfs --------------------------------------------

KERNEL = ["redirect_dir=on", "metacopy=on", "index=on", "xino=off"]


@pytest.fixture
def kernel(sandbox):
    """Makes a stack, changes it through the kernel's overlayfs, and gives a function that explains a path."""
    need_root()

    def changed(words, act):
        make(sandbox.path, words)
        work = sandbox.directory("work")
        layers = [sandbox.path / layer for layer in LAYERS]
        with sandbox.kernel(layers, sandbox.path / "u", work, options=KERNEL) as mount:
            act(pathlib.Path(mount.at))
        return lambda path: words_of(bare(sandbox.path, path, "--work", work))
    return changed


def test_a_kernels_whiteout(kernel):
    says = kernel("f 1/a", lambda at: (at / "a").unlink())
    assert says("/a") == "absent: upper whiteout device 0:0, 1 hidden < whiteout upper:/a"


def test_a_kernels_opaque_directory(kernel):
    def act(at):
        shutil.rmtree(at / "d")
        (at / "d").mkdir()
    says = kernel("f 2/d/x, f 1/d/x", act)
    assert says("/d") == ("visible upper: upper wins opaque trusted.overlay.opaque, "
                          "2 hidden < opaque upper:/d, 1 hidden < opaque upper:/d")
    assert says("/d/x") == "absent: 2 hidden < opaque upper:/d, 1 hidden < opaque upper:/d"


def test_a_kernels_rename_of_a_directory(kernel):
    says = kernel("f 2/d/x, f 1/d/y", lambda at: os.rename(at / "d", at / "e"))
    assert says("/e") == "visible upper: upper wins to d, 2 merged at /d, 1 merged at /d"
    assert says("/e/y") == "visible 1: 1 wins at /d/y"
    assert says("/d") == "absent: upper whiteout device 0:0, 2 hidden < whiteout upper:/d, 1 hidden < whiteout upper:/d"


def test_a_kernels_move_of_a_directory_into_another(kernel):
    says = kernel("f 2/d/x, d 1/a/b", lambda at: os.rename(at / "d", at / "a/b/c"))
    assert says("/a/b/c/x") == "visible 2: 2 wins at /d/x"
    assert says("/a/b/c") == "visible upper: upper wins to /d, 2 merged at /d"


def test_a_kernels_metacopy(kernel):
    says = kernel("f 2/f text", lambda at: os.chmod(at / "f", 0o600))
    assert says("/f") == "visible upper: upper wins data 2:/f, 2 data"


def test_a_kernels_metacopy_that_was_renamed(kernel):
    def act(at):
        os.chmod(at / "d/f", 0o600)
        os.rename(at / "d/f", at / "g")
    says = kernel("f 2/d/f text", act)
    assert says("/g") == "visible upper: upper wins to /d/f data 2:/d/f, 2 data at /d/f"


def test_a_hard_link_that_the_kernel_copied_up_by_another_name(kernel):
    says = kernel("f 1/a text, h 1/b 1/a", lambda at: (at / "a").write_text("changed"))
    assert says("/a") == "visible upper: upper wins, 1 hidden < file upper:/a"
    assert says("/b") == "visible upper: upper wins, 1 hidden < hard link upper:/b"


def test_a_hard_link_whose_metadata_the_kernel_copied_up_by_another_name(kernel):
    says = kernel("f 1/a text, h 1/b 1/a", lambda at: os.chmod(at / "a", 0o600))
    assert says("/b") == "visible upper: upper wins data 1:/b, 1 data < hard link upper:/b"


METACOPY_OF_TWO_NAMES = "f 1/a text, m 2/a, r 2/a /a, h 2/b 2/a"


def test_a_hard_link_of_a_metacopy_that_the_kernel_copied_up_by_another_name(kernel):
    says = kernel(METACOPY_OF_TWO_NAMES, lambda at: os.chmod(at / "a", 0o600))
    assert says("/b") == "visible upper: upper wins data 1:/a, 2 hidden to /a data 1:/a < hard link upper:/b, " \
        "1 data at /a"


def test_a_hard_link_of_a_metacopy_whose_data_the_kernel_copied_up_by_another_name(kernel):
    says = kernel(METACOPY_OF_TWO_NAMES, lambda at: (at / "a").write_text("changed"))
    assert says("/b") == "visible upper: upper wins, 2 hidden to /a data None:None < hard link upper:/b, " \
        "1 hidden at /a < hard link upper:/b"


def test_an_upper_of_a_mount_that_is_in_use_is_read(sandbox):
    need_root()
    make(sandbox.path, "f 1/a, f 1/b")
    work = sandbox.directory("work")
    with sandbox.kernel([sandbox.path / layer for layer in LAYERS], sandbox.path / "u", work, options=KERNEL) as mount:
        (mount / "a").unlink()
        assert words_of(bare(sandbox.path, "/a", "--work", work)).startswith("absent: upper whiteout device 0:0")


def test_an_upper_of_fuse_overlayfs(sandbox):
    need_root()
    make(sandbox.path, "f 2/d/x, f 1/a")
    work = sandbox.directory("work")
    with sandbox.fuse_overlayfs([sandbox.path / layer for layer in LAYERS], sandbox.path / "u", work) as mount:
        (mount / "a").unlink()
        shutil.rmtree(mount / "d")
        (mount / "d").mkdir()
    assert words_of(bare(sandbox.path, "/a")) == "absent: upper whiteout device 0:0, 1 hidden < whiteout upper:/a"
    assert words_of(bare(sandbox.path, "/d/x")) == "absent: 2 hidden < opaque upper:/d"
    assert is_whiteout(sandbox.path / "u/a")


# ---- mounts without a name ----------------------------------------------------------------------

@pytest.fixture
def tree(sandbox):
    """Makes mounts of two directories, of which no store is told."""
    top, base = sandbox.directory("top"), sandbox.directory("base")
    for path, text in ((base / "site/index", "base index"), (base / "site/sub/deep", "deep"), (top / "site/index", "top"),
                       (base / "a", "linked")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.link(base / "a", base / "b")
    os.symlink("site", base / "www")

    def mounted(*options, upper=True, profile=None):
        return sandbox.plyfs([top, base], *(sandbox.directory(name) for name in ("upper", "work") if upper),
                             options=options, profile=profile)
    return mounted


def test_a_path_in_a_mount_without_a_name_is_explained(tree, sandbox):
    with tree() as mount:
        found = of_path(mount / "site/index")
        assert words_of(found) == "visible 2: 2 wins, 1 hidden < file 2:/site/index"
        assert [row["Directory"] for row in found["Layers"]] == [str(sandbox.path / n) for n in ("upper", "top", "base")]
        (mount / "site/index").write_text("changed")
        (mount / "site/sub/deep").unlink()
        assert words_of(of_path(mount / "site/index")).startswith("visible upper: upper wins, 2 hidden < file upper")
        assert words_of(of_path(mount / "site/sub/deep")).startswith("absent: upper whiteout device 0:0")
        os.symlink(mount, sandbox.path / "way")
        os.symlink(mount / "site", sandbox.path / "into")
        assert of_path(sandbox.path / "way/site/index")["Path"] == "/site/index"
        assert of_path(sandbox.path / "into/sub")["Path"] == "/site/sub"
        assert of_path(mount.at)["Path"] == "/" and of_path(f"{mount.at}/")["Path"] == "/"
        assert words_of(of_path(mount / "gone/deeper")) == "absent"
        assert of_path("../index", cwd=mount / "site/sub")["Resolved"] == "/site/index"
        assert of_path(mount / "www/sub")["Links"] == [{"Path": "/www", "Target": "site"}]
        assert of_path(mount / "www")["Layers"][-1]["Type"] == "symlink"
        assert of_path(f"{mount.at}/", "/site")["Path"] == "/site"
    assert "lies in no mount" in failure(mount / "site")


def failure(*words, **kwargs):
    return run(PLYFS, "explain", *words, check=False, **kwargs).stderr


def test_a_part_of_a_mount_that_is_bound_elsewhere_is_explained(tree, sandbox):
    need_root()
    there = sandbox.directory("bound here")
    with tree() as mount:
        run("mount", "--bind", mount / "site", there)
        try:
            assert of_path(there / "sub/deep")["Path"] == "/site/sub/deep"
            assert of_path(there)["Path"] == "/site"
        finally:
            run("umount", there)
        run("mount", "--bind", mount / "site", mount / "site/sub")
        try:
            assert of_path(mount / "site/sub/index")["Path"] == "/site/index"
        finally:
            run("umount", mount / "site/sub")


def test_what_is_mounted_in_a_mount_is_not_its_own(tree, sandbox):
    need_root()
    with tree() as mount:
        run("mount", "-t", "tmpfs", "tmpfs", mount / "site")
        try:
            assert "lies in no mount" in failure(mount / "site/index")
        finally:
            run("umount", mount / "site")
        assert words_of(of_path(mount / "site/sub")) == "visible 1: 1 wins"


def test_layers_are_found_wherever_they_were_moved(tree, sandbox):
    with tree() as mount:
        os.rename(sandbox.path / "base", sandbox.path / "moved")
        sandbox.directory("base")
        try:
            found = of_path(mount / "site/sub/deep")
            assert words_of(found) == "visible 1: 1 wins"
            assert found["Layers"][-1]["Directory"] == str(sandbox.path / "moved")
        finally:
            os.rmdir(sandbox.path / "base")
            os.rename(sandbox.path / "moved", sandbox.path / "base")


def test_a_read_only_mount_without_a_name_is_explained(tree):
    with tree(upper=False) as mount:
        assert words_of(of_path(mount / "site")) == "visible 2: 2 wins, 1 merged"


def test_every_one_of_many_layers_is_told(sandbox):
    layers = [sandbox.directory(f"layer{i}") for i in range(500)]
    (layers[321] / "a").touch()
    with sandbox.plyfs(layers, sandbox.directory("upper"), sandbox.directory("work")) as mount:
        found = of_path(mount / "a")
        assert words_of(found) == f"visible {500 - 321}: {500 - 321} wins" and len(found["Layers"]) == 501


def test_a_hard_link_of_a_mount_without_a_name_is_found_in_its_index(tree):
    with tree() as mount:
        os.chmod(mount / "a", 0o600)
        assert "< hard link upper:/b" in words_of(of_path(mount / "b"))


def test_what_is_written_and_not_yet_sent_is_told(tree):
    with tree(profile="writeback") as mount:
        path = mount / "site/index"
        # Begun before the file is opened: whoever inherits it would send what was written by closing it.
        asking = subprocess.Popen(["sh", "-c", 'read -r _ && exec "$@"', "sh", PLYFS, "explain", "--json", path],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with open(path, "ab", buffering=0) as file:
            file.write(b"x" * 5000)
            told, _ = asking.communicate(b"now\n", timeout=60)
        assert json.loads(told)["Layers"][0]["Size"] == 5003


def test_volumes_of_a_mount_without_a_name_cover_what_lies_beneath(store, sandbox, tree):
    host = sandbox.directory("host")
    (host / "file").write_text("host")
    at = sandbox.directory("at")
    store.watched.append(at)
    tree()  # its layers
    store.plyfs("mount", "--lower", sandbox.path / "top", "--lower", sandbox.path / "base", "-v", f"{host}:/site/sub",
                "--tmpfs", "/site/tmp", at)
    (at / "site/tmp/kept").write_text("here")
    found = explained(store, at / "site/sub/file")
    assert words_of(found) == "volume" and found["Volume"]["Source"] == str(host) and found["Volume"]["Size"] == 4
    found = explained(store, at / "site/tmp/kept")
    assert found["Volume"]["Kind"] == "tmpfs" and found["Volume"]["Size"] == 4, "the daemon has it open"
    assert "visible" in words_of(explained(store, at / "site"))
    assert words_of(explained(store, at / "www/sub/file")).startswith("volume")
    assert words_of(explained(store, at / "site/index")) == "visible 2: 2 wins, 1 hidden < file 2:/site/index"


def test_nobody_else_is_told_the_layers_of_a_mount(tree, sandbox):
    need_root()
    os.chmod(sandbox.path, 0o755)
    with tree("allow_other") as mount:
        shutil.copy(PLYFS, sandbox.path / "plyfs")
        done = run(*as_user(), sandbox.path / "plyfs", "explain", mount / "a", check=False)
        assert done.returncode == 1 and "belongs to another user" in done.stderr and not done.stdout


def test_an_ordinary_user_explains_a_mount_without_a_name(guest, sandbox):
    make(sandbox.path, "f 2/a text, f 1/a, f 1/b", space=USER)
    upper, work, at = (guest.path.parent / name for name in ("upper", "work", "mnt"))
    for directory in (upper, work, at):
        directory.mkdir()
        os.chown(directory, guest.who["user"], guest.who["group"])
    guest.watched.append(at)
    guest.plyfs("mount", *(w for layer in LAYERS for w in ("--lower", sandbox.path / layer)), "--upper", upper,
                "--work", work, at)
    run("rm", "--force", at / "b", **guest.who)
    assert says(guest, at / "a") == "visible 2: 2 wins, 1 hidden < file 2:/a"
    assert says(guest, at / "b") == "absent: upper whiteout device 0:0, 1 hidden < whiteout upper:/b"
    assert words_of(of_path(at / "b")) == says(guest, at / "b"), "root is told the same"


# ---- named mounts -------------------------------------------------------------------------------

@pytest.fixture
def web(store, sandbox):
    """The mount "web" of two directories, where base is layer 1 and top layer 2."""
    top, base = sandbox.directory("top"), sandbox.directory("base")
    for path, text in ((base / "site/index", "base index"), (base / "site/sub/deep", "deep"), (top / "site/index", "top"),
                       (base / "etc/conf", "conf"), (base / "etc/other", "other")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.symlink("/site", base / "www")
    sandbox.guard(top, base)
    store.plyfs("create", "--name", "web", "--lower", top, "--lower", base)
    return "web"


def explained(store, *argv):
    return json.loads(store.plyfs("explain", "--json", *argv).stdout)


def says(store, *argv):
    return words_of(explained(store, *argv))


def test_a_mount_that_was_never_mounted(store, web):
    assert says(store, web, "/site/index") == "visible 2: 2 wins, 1 hidden < file 2:/site/index"
    assert says(store, web, "site") == "visible 2: 2 wins, 1 merged"
    assert explained(store, web, "/www/index")["Links"] == [{"Path": "/www", "Target": "/site"}]


@pytest.mark.parametrize("profile", ["stateless", "tracked"])
def test_a_live_mount_tells_of_each_change_as_soon_as_it_is_made(store, web, profile):
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("mount", f"--profile={profile}", web, at)
    os.chmod(at / "etc/conf", 0o600)
    assert says(store, web, "/etc/conf") == "visible upper: upper wins data 1:/etc/conf, 1 data"
    (at / "etc/conf").write_text("changed")
    assert says(store, web, "/etc/conf") == "visible upper: upper wins, 1 hidden < file upper:/etc/conf"
    (at / "etc/other").unlink()
    assert says(store, web, "/etc/other") == "absent: upper whiteout device 0:0, 1 hidden < whiteout upper:/etc/other"
    os.rename(at / "site", at / "place")
    assert says(store, web, "/place/index") == "visible 2: 2 wins at /site/index, 1 hidden at /site/index < file 2:/site/index"
    assert says(store, web, "/site").startswith("absent: upper whiteout device 0:0")
    (at / "new").mkdir()
    assert says(store, web, "/new").startswith("visible upper: upper wins")
    store.plyfs("umount", web)
    assert says(store, web, "/place/sub/deep") == "visible 1: 1 wins at /site/sub/deep"


def test_a_path_in_a_live_mount_finds_its_mount(store, web, sandbox):
    at = store.mount(web)
    direct = explained(store, at / "site/index")
    assert direct["Path"] == "/site/index" and words_of(direct) == says(store, web, "/site/index")
    os.symlink(at, sandbox.path / "way")
    assert explained(store, sandbox.path / "way" / "etc/conf")["Path"] == "/etc/conf"
    assert explained(store, at)["Path"] == "/"
    assert words_of(explained(store, at / "gone/deeper")) == "absent"
    done = store.plyfs("explain", "--json", "index", cwd=at / "site")
    assert json.loads(done.stdout)["Path"] == "/site/index"
    identity = explained(store, at, "/etc/conf")
    assert identity["Path"] == "/etc/conf"
    store.plyfs("umount", web)
    store.refused("explain", at / "site/index", words="lies in no mount")


def test_a_mount_is_found_by_the_beginning_of_its_id(store, web):
    id_ = json.loads(store.plyfs("inspect", web).stdout)[0]["Id"]
    assert says(store, id_[:9], "/etc/conf") == "visible 1: 1 wins"


def test_what_changes_while_it_is_looked_at_is_explained_as_it_was_at_one_moment(store, web):
    at = store.mount(web)
    conf, was, done = at / "etc/conf", at / "etc/was", threading.Event()

    def change():
        while not done.is_set():
            conf.write_text("a")
            conf.unlink()
            conf.mkdir()
            conf.rename(was)
            was.rmdir()
            was.write_text("b")
            was.rename(conf)

    conf.write_text("first")
    with contextlib.ExitStack() as stack:
        busy = threading.Thread(target=change)
        busy.start()
        stack.callback(busy.join)
        stack.callback(done.set)
        for _ in range(12):
            told = store.plyfs("explain", "--json", web, "/etc/conf", check=False)
            assert told.returncode == 0 or "try again" in told.stderr, told.stderr
            if told.returncode == 0:
                found = json.loads(told.stdout)
                assert found["Verdict"]["State"] in ("visible", "absent")
                assert found["Layers"][0]["State"] in ("wins", "whiteout"), found["Layers"][0]
    store.plyfs("umount", web)


def test_explaining_a_mount_changes_nothing_in_it(store, web):
    at = store.mount(web)
    (at / "etc/conf").write_text("changed")
    upper = pathlib.Path(json.loads(store.plyfs("inspect", web).stdout)[0]["UpperDir"])
    before = digest(upper)
    for path in ("/", "/etc/conf", "/site", "/none", "/www/index"):
        explained(store, web, path)
    assert digest(upper) == before
    store.plyfs("umount", web)


# ---- the event that put it there ----------------------------------------------------------------

@pytest.mark.parametrize("profile", ["stateless", "tracked"])
def test_the_copy_up_that_put_it_there_is_told_live_and_later(store, web, profile):
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("mount", f"--profile={profile}", web, at)
    run("chmod", "600", at / "etc/conf")
    event = explained(store, web, "/etc/conf")["Event"]
    assert (event["Event"], event["Path"], event["Cause"], event["Layer"]) == ("copyup", "/etc/conf", "chmod", 1)
    assert (event["Command"], event["Means"], event["Moved"]) == ("chmod", "metacopy", 0)
    with open(at / "etc/conf", "a") as file:
        file.write("more")
    later = explained(store, web, "/etc/conf")["Event"]
    assert later["Time"] > event["Time"] and later["Moved"] == 4, "the last one counts"
    store.plyfs("umount", web)
    assert explained(store, web, "/etc/conf")["Event"] == later
    lines = store.plyfs("explain", web, "/etc/conf").stdout.splitlines()
    assert lines[-1].startswith("copied up ") and lines[-1].endswith("4B moved, " + later["Means"])


def test_what_was_not_copied_up_has_no_event(store, web):
    at = store.mount(web)
    (at / "new").write_text("new")
    (at / "etc/conf").write_text("changed")
    for path in ("/site/index", "/new", "/none"):
        assert explained(store, web, path)["Event"] is None, path
    (at / "etc/conf").unlink()
    event = explained(store, web, "/etc/conf")["Event"]
    assert (event["Event"], event["Cause"]) == ("whiteout", "unlink")
    assert "removed " in store.plyfs("explain", web, "/etc/conf").stdout
    (at / "etc/conf").write_text("made anew")
    assert explained(store, web, "/etc/conf")["Event"] is None, "it was made, not copied"
    store.plyfs("umount", web)


@pytest.mark.parametrize("put", [
    lambda at: ((at / "etc/new").write_text("new"), os.rename(at / "etc/new", at / "etc/conf")),
    lambda at: (os.chmod(at / "etc/other", 0o600), os.rename(at / "etc/other", at / "etc/conf")),
    lambda at: (os.chmod(at / "etc/other", 0o600), renameat2(at / "etc/other", at / "etc/conf", EXCHANGE)),
    lambda at: (os.rename(at / "etc", at / "gone"), os.mkdir(at / "etc"), (at / "etc/conf").write_text("new")),
], ids=["a new file", "another copy", "another copy, in exchange", "a new file in a new directory"])
def test_what_was_put_in_the_place_of_a_copy_was_not_copied_up_there(store, web, put):
    at = store.mount(web)
    os.chmod(at / "etc/conf", 0o640)
    assert explained(store, web, "/etc/conf")["Event"]["Cause"] == "chmod"
    put(at)
    assert explained(store, web, "/etc/conf")["Event"] is None
    assert "copied up" not in store.plyfs("explain", web, "/etc/conf").stdout
    store.plyfs("umount", web)
    assert explained(store, web, "/etc/conf")["Event"] is None


def test_a_link_that_parted_from_the_others_was_copied_up(store, sandbox):
    """Without an index a copy of one of several names keeps no number that would tell where it came from."""
    base = sandbox.directory("base")
    (base / "one").write_text("linked")
    os.link(base / "one", base / "two")
    store.plyfs("create", "--name", "web", "--lower", base, "-o", "index=off")
    at = store.mount("web")
    os.chmod(at / "one", 0o600)
    assert explained(store, "web", "/one")["Event"]["Cause"] == "chmod"


# ---- volumes ------------------------------------------------------------------------------------

@pytest.fixture
def host(sandbox):
    host = sandbox.directory("host")
    (host / "index").write_text("host index")
    (host / "sub").mkdir()
    return host


def test_a_volume_covers_and_what_lies_beneath_is_told(store, web, host):
    store.plyfs("attach", web, f"{host}:/site")
    found = explained(store, web, "/site/index")
    assert words_of(found) == "volume 2: 2 wins, 1 hidden < file 2:/site/index"
    volume = found["Volume"]
    assert (volume["Destination"], volume["Kind"], volume["Source"], volume["Path"]) == ("/site", "bind", str(host), "/index")
    assert (volume["State"], volume["Size"], volume["Within"]) == ("present", 10, [])
    assert found["Verdict"]["Why"] == (f"the bind {host} at /site covers it; beneath it: visible, "
                                       "layer 2 is the topmost that has it; hidden is what is there in layer 1")
    assert explained(store, web, "/etc/conf")["Volume"] is None
    lines = store.plyfs("explain", web, "/site/index").stdout.splitlines()
    assert lines[1].split() == ["volume", "covers", "-rw-r--r--", "10B", "/site/index", "/site"]
    assert lines[-1].startswith("/site/index is shown by a volume: the bind ")


def test_a_volume_covers_what_it_does_not_have(store, web, host):
    store.plyfs("attach", web, f"{host}:/site")
    found = explained(store, web, "/site/sub/deep")
    assert found["Volume"]["State"] == "absent" and words_of(found) == "volume 1: 1 wins"


def test_a_file_of_a_volume_with_a_slash_behind_it_is_absent(store, web, host):
    store.plyfs("attach", web, f"{host}:/site")
    assert explained(store, web, "/site/index")["Volume"]["State"] == "present"
    for path in ("/site/index/", "/site/index/."):
        assert explained(store, web, path)["Volume"]["State"] == "absent"


def test_a_volume_is_reached_through_a_symlink_of_the_layers(store, web, host):
    store.plyfs("attach", web, f"{host}:/site")
    found = explained(store, web, "/www/index")
    assert found["Volume"]["Destination"] == "/site" and found["Volume"]["State"] == "present"


def test_a_volume_in_a_volume_shows_what_is_in_both(store, web, host, sandbox):
    inner = sandbox.directory("inner")
    (inner / "deep").write_text("inner")
    store.plyfs("attach", web, f"{host}:/site")
    store.plyfs("attach", web, f"{inner}:/site/sub")
    volume = explained(store, web, "/site/sub/deep")["Volume"]
    assert (volume["Destination"], volume["Within"], volume["State"]) == ("/site/sub", ["/site"], "present")
    assert explained(store, web, "/site/index")["Volume"]["Destination"] == "/site"


def test_a_file_bound_over_a_file(store, web, host):
    store.plyfs("attach", web, f"{host}/index:/etc/conf")
    found = explained(store, web, "/etc/conf")
    assert words_of(found) == "volume 1: 1 wins"
    assert (found["Volume"]["Type"], found["Volume"]["Path"]) == ("file", "/")


def test_what_a_tmpfs_has_is_not_known(store, web):
    store.plyfs("attach", web, "type=tmpfs,target=/site")
    found = explained(store, web, "/site/index")
    assert found["Volume"]["State"] == "unknown" and found["Volume"]["Source"] is None
    assert "only the mount itself shows" in found["Verdict"]["Why"]


def test_a_directory_on_the_way_to_a_volume_is_there(store, web, host):
    store.plyfs("attach", web, f"{host}:/a/b/c")
    found = explained(store, web, "/a/b")
    assert words_of(found) == "visible" and "the volume at /a/b/c lies beneath" in found["Verdict"]["Why"]
    assert words_of(explained(store, web, "/a/x")) == "absent"


def test_no_link_of_a_volume_is_followed(store, web, host):
    os.symlink("/etc", host / "way")
    store.plyfs("attach", web, f"{host}:/site")
    assert explained(store, web, "/site/way")["Volume"]["Type"] == "symlink"
    assert explained(store, web, "/site/way/passwd")["Volume"]["State"] == "unknown"


def test_the_shell_completes_mounts_and_switches(store, web):
    assert complete(store, "plyfs explain w") == ["web"]
    (store.sandbox.path / "beside").touch()
    assert complete(store, f"plyfs explain {store.sandbox.path}/bes") == [f"{store.sandbox.path}/beside"]
    assert "--white-files" in complete(store, "plyfs explain --")


# ---- extended attributes ------------------------------------------------------------------------

OURS = ("layer", "origin", "state", "volume")


def told(path):
    """The four attributes of a path, None where there is no such value."""
    found = {}
    for name in OURS:
        try:
            found[name] = os.getxattr(path, f"user.plyfs.{name}").decode("utf-8", "surrogateescape")
        except OSError as error:
            assert error.errno == errno.ENODATA, error
            found[name] = None
    return tuple(found.values())


@pytest.fixture
def union(sandbox, profile):
    """A mount of three layers and an upper, by plyfs."""
    need_root()

    def mounted(words, *, more=()):
        make(sandbox.path, words)
        layers = [sandbox.path / layer for layer in LAYERS]
        return sandbox.plyfs(layers, sandbox.path / "u", sandbox.directory("work"), profile=profile, options=list(more))
    return mounted


def test_attributes_tell_where_a_file_comes_from(union):
    with union("f 2/a text, f 1/a, f 1/d/x, d 3/d, d 2/e, f u/new, d u/own") as mount:
        assert told(mount / "a") == ("2", "2:/a", "lower", None)
        assert told(mount / "d/x") == ("1", "1:/d/x", "lower", None)
        assert told(mount / "d") == ("3", "3:/d", "merged", None)
        assert told(mount / "e") == ("2", "2:/e", "lower", None)
        assert told(mount / "new") == ("upper", None, "upper", None)
        assert told(mount / "own") == ("upper", None, "upper", None)
        assert told(mount.at) == ("upper", "3:/", "merged", None)


def test_attributes_follow_a_copy_up(union):
    with union("f 1/a text, f 2/d/b text") as mount:
        os.chmod(mount / "a", 0o600)
        assert told(mount / "a") == ("1", "1:/a", "metacopy", None)
        (mount / "a").write_text("changed")
        assert told(mount / "a") == ("upper", "1:/a", "upper", None)
        (mount / "d/b").write_text("changed")
        assert told(mount / "d/b") == ("upper", "2:/d/b", "upper", None)
        assert told(mount / "d") == ("upper", "2:/d", "merged", None)
        os.rename(mount / "d", mount / "e")
        assert told(mount / "e/b") == ("upper", "2:/d/b", "upper", None)
        (mount / "a").unlink()
        (mount / "a").write_text("made anew")
        assert told(mount / "a") == ("upper", None, "upper", None)
        mount.remount()
        assert told(mount / "e/b") == ("upper", "2:/d/b", "upper", None)
        assert told(mount / "e") == ("upper", "2:/d", "merged", None)


def test_the_origin_of_what_was_renamed_is_told_only_where_it_is_known(union):
    with union("f 1/a text, f 1/b text, f 2/c") as mount:
        os.chmod(mount / "a", 0o600)
        os.rename(mount / "a", mount / "moved")
        assert told(mount / "moved") == ("1", "1:/a", "metacopy", None)
        (mount / "b").write_text("changed")
        os.rename(mount / "b", mount / "c")
        assert told(mount / "c") == ("upper", None, "upper", None)


def test_every_name_of_a_hard_link_has_an_origin_after_a_copy_up(union):
    with union("f 2/a text, h 2/b 2/a") as mount:
        (mount / "a").write_text("changed")
        for _ in range(2):
            assert told(mount / "a") in (("upper", "2:/a", "upper", None), ("upper", "2:/b", "upper", None))
            assert (mount / "b").read_text() == "changed" and told(mount / "b") == told(mount / "a")
            mount.remount()


def test_attributes_of_what_was_unlinked_while_it_is_open(union):
    with union("f 1/a text") as mount:
        with open(mount / "a") as held:
            (mount / "a").unlink()
            assert os.getxattr(held.fileno(), "user.plyfs.state") in (b"lower", b"upper", b"metacopy")
            assert refusal(os.getxattr, held.fileno(), "user.plyfs.origin") in ("ENODATA", None)


def test_attributes_cannot_be_set_or_removed(union):
    with union("f 1/a text") as mount:
        for name in OURS:
            assert refusal(os.setxattr, mount / "a", f"user.plyfs.{name}", b"x") == "EPERM"
            assert refusal(os.removexattr, mount / "a", f"user.plyfs.{name}") == "EPERM"
        assert told(mount / "a")[2] == "lower", "a refused change copies nothing up"


def test_a_users_own_attributes_beside_them_are_kept(union):
    with union("f 1/a text") as mount:
        for name in ("user.plyfs.mine", "user.plyfs.layers", "user.plyfs.", "user.plyfs.layer.x", "user.layer"):
            if name != "user.plyfs.":
                os.setxattr(mount / "a", name, name.encode())
        mount.remount()
        assert sorted(os.listxattr(mount / "a")) == [
            "user.layer", "user.plyfs.layer.x", "user.plyfs.layers", "user.plyfs.mine"]
        for name in os.listxattr(mount / "a"):
            assert os.getxattr(mount / "a", name) == name.encode()


def test_what_a_layer_has_of_these_names_stays_in_the_layer_and_is_not_shown(union, sandbox):
    make(sandbox.path, "f 1/a text")
    for name in ("user.plyfs.layer", "user.plyfs.plyfs.state", "user.other"):
        os.setxattr(sandbox.path / "1/a", name, b"of the layer")
    with union("f 2/b") as mount:
        assert os.listxattr(mount / "a") == ["user.other"]
        assert told(mount / "a") == ("1", "1:/a", "lower", None)
        (mount / "a").write_text("changed")
        assert os.listxattr(mount / "a") == ["user.other"]
    assert os.getxattr(sandbox.path / "u/a", "user.plyfs.layer") == b"of the layer", "copied up with the rest"


def test_nothing_that_copies_attributes_copies_these(union, sandbox):
    need_tool("cp", "rsync", "tar")
    out = sandbox.directory("out")
    with union("f 1/d/a text, f 2/d/b, d 3/d/sub") as mount:
        os.setxattr(mount / "d/a", "user.mine", b"mine")
        for path in (mount / "d", mount / "d/a", mount / "d/sub"):
            assert not [name for name in os.listxattr(path) if "plyfs" in name]
        run("cp", "-a", mount / "d", out / "cp")
        run("rsync", "-aX", f"{mount / 'd'}/", out / "rsync")
        run("tar", "--xattrs", "--xattrs-include=*", "-cf", out / "d.tar", "-C", mount.at, "d")
        run("tar", "--xattrs", "--xattrs-include=*", "-xf", out / "d.tar", "-C", out)
        run("cp", "-a", mount / "d", mount / "again")
        assert not [name for name in os.listxattr(mount / "again/a") if "plyfs" in name]
    with tarfile.open(out / "d.tar") as tar:
        headers = {key for member in tar for key in member.pax_headers if "xattr" in key}
    assert headers == {"SCHILY.xattr.user.mine"}
    for copy in ("cp", "rsync", "d"):
        assert os.listxattr(out / copy / "a") == ["user.mine"] and os.listxattr(out / copy) == []


def test_a_buffer_that_is_too_small_is_refused(union):
    with union("f 1/a text") as mount:
        path, name = os.fsencode(mount / "a"), b"user.plyfs.origin"
        assert LIBC.getxattr(path, name, None, 0) == 4
        assert LIBC.getxattr(path, name, ctypes.create_string_buffer(2), 2) == -1 and ctypes.get_errno() == errno.ERANGE
        assert LIBC.getxattr(path, name, ctypes.create_string_buffer(4), 4) == 4


def test_a_symlink_has_none_for_the_kernel_asks_none(union):
    with union("l 1/s a, f 1/a") as mount:
        assert refusal(os.getxattr, mount / "s", "user.plyfs.layer", follow_symlinks=False) in ("ENODATA", "EPERM")


def test_names_of_any_bytes_are_in_the_origin(union):
    with union("f 1/\udcff\udcfe") as mount:
        assert told(mount / "\udcff\udcfe")[1] == "1:/\udcff\udcfe"


def test_attributes_in_volumes(store, web, host, sandbox):
    store.plyfs("attach", web, f"{host}:/site")
    store.plyfs("attach", web, f"{host}/index:/etc/conf")
    store.plyfs("attach", web, "type=tmpfs,target=/scratch/deep")
    os.setxattr(host / "index", "user.plyfs.layer", b"the host's own")
    os.setxattr(host / "index", "user.plyfs.mine", b"mine")
    at = store.mount(web)
    assert told(at / "site") == told(at / "site/index") == ("host", None, "volume", "/site")
    assert told(at / "etc/conf") == ("host", None, "volume", "/etc/conf")
    assert told(at / "scratch/deep") == ("tmpfs", None, "volume", "/scratch/deep")
    assert told(at / "scratch") == (None, None, "stub", None)
    assert told(at / "etc/other") == ("1", "1:/etc/other", "lower", None)
    assert os.listxattr(at / "site/index") == ["user.plyfs.mine"]
    assert os.getxattr(at / "site/index", "user.plyfs.mine") == b"mine"
    assert refusal(os.setxattr, at / "site/index", "user.plyfs.layer", b"x") == "EPERM"
    assert refusal(os.removexattr, at / "site/index", "user.plyfs.layer") == "EPERM"
    assert os.getxattr(host / "index", "user.plyfs.layer") == b"the host's own"
    store.plyfs("umount", web)


def test_what_is_detached_lies_in_no_volume_any_more(store, web, host):
    at = store.mount(web)
    store.plyfs("attach", web, f"{host}:/site")
    with open(at / "site/index") as held:
        assert os.getxattr(held.fileno(), "user.plyfs.volume") == b"/site"
        store.plyfs("detach", "--lazy", web, "/site")
        assert refusal(os.getxattr, held.fileno(), "user.plyfs.volume") == "ENODATA"
        assert os.getxattr(held.fileno(), "user.plyfs.state") == b"volume"
    assert told(at / "site/index") == ("2", "2:/site/index", "lower", None)
    store.plyfs("umount", web)


def test_an_image_as_a_volume_has_layers_of_its_own(store, base, sandbox):
    store.plyfs("create", "--name", "web", "--mount", "type=image,src=base,dst=/img", "base")
    at = store.mount("web")
    assert told(at / "img/etc/conf") == ("1", "1:/etc/conf", "volume", "/img")
    assert told(at / "img/etc") == ("1", "1:/etc", "volume", "/img")
    volume = explained(store, "web", "/img/etc/conf")["Volume"]
    assert (volume["Kind"], volume["State"]) == ("image", "unknown")
    store.plyfs("umount", "web")


def test_attributes_and_explain_say_the_same(store, web):
    at = store.mount(web)
    os.chmod(at / "etc/conf", 0o600)
    (at / "etc/other").write_text("changed")
    (at / "new").write_text("new")
    for path in ("/site/index", "/etc/conf", "/etc/other", "/new", "/site", "/"):
        layer, _, state, _ = told(f"{at}{path}")
        found = explained(store, web, path)
        content = next((row for row in found["Layers"] if row["State"] == "data"),
                       next(row for row in found["Layers"] if row["State"] == "wins"))
        assert layer == content["Layer"], path
        assert (state == "merged") == any(row["State"] == "merged" for row in found["Layers"]), path
        assert (state == "metacopy") == any(row["State"] == "data" for row in found["Layers"]), path
    store.plyfs("umount", web)


def test_an_ordinary_user_explains_a_mount_of_their_own(guest, sandbox):
    make(sandbox.path, "f 2/a text, f 1/a, f 1/b", space=USER)
    at = guest.path.parent / "mnt"
    at.mkdir()
    run("chown", "-R", f"{guest.who['user']}:{guest.who['group']}", at, *(sandbox.path / layer for layer in LAYERS))
    guest.plyfs("create", "--name", "web", *(w for layer in LAYERS for w in ("--lower", sandbox.path / layer)))
    guest.watched.append(at)
    guest.plyfs("mount", "web", at)

    def values(path):
        return [run("getfattr", "--only-values", "--absolute-names", "-n", f"user.plyfs.{name}", path, **guest.who).stdout
                for name in ("layer", "origin", "state")]
    assert values(at / "a") == ["2", "2:/a", "lower"]
    run("chmod", "600", at / "b", **guest.who)
    assert values(at / "b") == ["1", "1:/b", "metacopy"]
    run("sh", "-c", f"echo changed > {at}/a", **guest.who)
    assert values(at / "a") == ["upper", "2:/a", "upper"]
    run("rm", at / "b", **guest.who)
    assert says(guest, at / "a") == "visible upper: upper wins, 2 hidden < file upper:/a, 1 hidden < file upper:/a"
    guest.plyfs("umount", "web")
    assert says(guest, "web", "/b") == "absent: upper whiteout device 0:0, 1 hidden < whiteout upper:/b"
