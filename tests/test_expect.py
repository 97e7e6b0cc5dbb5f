# SPDX-License-Identifier: MIT
"""What is expected of a mount holds or not, by the exit status, mounted and not."""
import json
import os
import shutil

import pytest

from harness import refusal
from test_layer import complete


@pytest.fixture
def host(sandbox):
    """What is bound over /data: one file that the layers have too, and one of its own."""
    host = sandbox.directory("host")
    (host / "index").write_text("of the host")
    (host / "own").write_text("own")
    return host


@pytest.fixture(params=["mounted", "unmounted"])
def web(request, store, sandbox, host):
    """Layer 1 is base, layer 2 top; work was done, then everything is asked live or after the unmount."""
    top, base = sandbox.directory("top"), sandbox.directory("base")
    for path, text in ((base / "etc/passwd", "old"), (top / "etc/passwd", "new"), (base / "etc/hosts", "hosts"),
                       (base / "etc/gone", "gone"), (base / "etc/mode", "mode"), (base / "etc/same", "same"),
                       (base / "usr/lib/a", "a"), (base / "usr/lib/b", "b"), (base / "srv/x", "x"),
                       (base / "old/tree/x", "x"), (base / "data/index", "index"), (base / "data/sub/deep", "deep")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (base / "hollow").mkdir()
    os.symlink("hosts", base / "etc/link")
    sandbox.guard(top, base)
    store.plyfs("create", "--name", "web", "--lower", top, "--lower", base,
                "-v", f"{host}:/data", "-v", f"{host}:/hollow", "-v", f"{host}:/nowhere", "--tmpfs", "/tmp")
    at = store.mount("web", sandbox.directory("mnt"))
    (at / "etc/hosts").write_text("changed")
    os.unlink(at / "etc/gone")
    os.chmod(at / "etc/mode", 0o600)
    seen = os.stat(at / "etc/same")
    os.chmod(at / "etc/same", 0o600)
    os.chmod(at / "etc/same", 0o644)
    os.utime(at / "etc/same", ns=(seen.st_atime_ns, seen.st_mtime_ns))
    (at / "made").write_text("made")
    shutil.rmtree(at / "old/tree")
    os.rename(at / "srv", at / "moved")
    if request.param == "unmounted":
        store.plyfs("umount", "web")
    return "web"


def expect(store, *argv, **kwargs):
    return store.plyfs("expect", "web", *argv, check=False, **kwargs)


HOLD = [
    ("shadowed", "/data"), ("shadowed", "/data/index"), ("shadowed", "data/sub/"),
    ("from-layer", "2", "/etc/passwd"), ("from-layer", "1", "/usr/lib/a"), ("from-layer", "upper", "/made"),
    ("from-layer", "upper", "/etc/hosts"), ("from-layer", "1", "/etc/mode"), ("from-layer", "1", "/moved/x"),
    ("from-layer", "host", "/data/own"), ("from-layer", "host", "/data"), ("from-layer", "1", "/etc/link"),
    ("present", "/usr/lib"), ("present", "/data/own"), ("present", "/nowhere/own"), ("present", "/"),
    ("absent", "/etc/gone"), ("absent", "/never"), ("absent", "/data/sub"), ("absent", "/etc/passwd/x"),
    ("absent", "/srv/x"), ("absent", "/old/tree/x"),
    ("whiteout", "/etc/gone"), ("whiteout", "/srv"), ("whiteout", "/old/tree"),
    ("unchanged", "/usr"), ("unchanged", "/usr/lib/a"), ("unchanged", "/etc/passwd"), ("unchanged", "/etc/same"),
    ("unchanged", "/data"), ("unchanged", "usr/"),
    ("copyups", "> 3"), ("copyups", "!= 0"), ("moved", "<= 10MB"), ("moved", "= 0"), ("denied", "= 0"),
    ("warned", "<1"), ("denied", "==0"), ("moved", ">= 0"),
]

FAIL = [
    (("shadowed", "/etc"), "no volume covers it"),
    (("shadowed", "/hollow"), "the volume at /hollow hides nothing there"),
    (("shadowed", "/nowhere"), "the volume at /nowhere hides nothing there"),
    (("shadowed", "/data/own"), "the volume at /data hides nothing there"),
    (("from-layer", "1", "/etc/passwd"), "it is shown from layer 2"),
    (("from-layer", "upper", "/usr/lib/a"), "it is shown from layer 1"),
    (("from-layer", "1", "/etc/hosts"), "it is shown from the upper"),
    (("from-layer", "1", "/data/index"), "it is shown from a volume"),
    (("from-layer", "1", "/never"), "nothing is there"),
    (("present", "/etc/gone"), "nothing is there"),
    (("present", "/data/sub"), "nothing is there"),
    (("absent", "/etc/passwd"), "it is there, shown from layer 2"),
    (("absent", "/made"), "it is there, shown from the upper"),
    (("absent", "/data/own"), "it is there, shown from a volume"),
    (("whiteout", "/etc/passwd"), "it is there, shown from layer 2"),
    (("whiteout", "/never"), "nothing is there, and no whiteout"),
    (("whiteout", "/old/tree/x"), "nothing is there, and no whiteout"),
    (("unchanged", "/etc/hosts"), "/etc/hosts has another content"),
    (("unchanged", "/etc/mode"), "/etc/mode has another owner or other permissions"),
    (("unchanged", "/etc/gone"), "/etc/gone was deleted"),
    (("unchanged", "/old/tree/x"), "/old/tree was deleted"),
    (("unchanged", "/made"), "/made was added"),
    (("unchanged", "/never"), "nothing is there, nor was"),
    (("unchanged", "/srv/x"), "/srv was deleted"),
    (("unchanged", "/moved"), "/moved was added"),
    (("copyups", "= 0"), "there are "),
    (("moved", "> 0"), "it is 0 bytes (0B)"),
    (("denied", "> 0"), "there are 0"),
]


def test_what_holds_has_status_0_and_says_nothing(web, store):
    for words in HOLD:
        done = expect(store, *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), words


def test_what_does_not_hold_has_status_1_and_one_line_of_what_is_instead(web, store):
    for words, instead in FAIL:
        done = expect(store, *words)
        assert (done.returncode, done.stdout) == (1, ""), words
        line, = done.stderr.splitlines()
        assert line.startswith(f"plyfs: expected {' '.join(words)}: {instead}"), line


def test_several_are_looked_at_in_one_call_and_summed_up(web, store):
    done = expect(store, "absent", "/never", "from-layer", "2", "/etc/passwd", "copyups", "> 0")
    assert (done.returncode, done.stdout) == (0, "all 3 expectations hold\n")
    done = expect(store, "absent", "/never", "present", "/never", "from-layer", "1", "/made")
    assert (done.returncode, done.stdout) == (1, "2 of 3 expectations do not hold\n")
    assert len(done.stderr.splitlines()) == 2
    assert expect(store, "-q", "absent", "/never", "absent", "/no").stdout == ""


def test_a_file_has_one_in_each_line(web, store, sandbox):
    file = sandbox.path / "expected"
    file.write_text("# what the build may do\n\n  absent /etc/gone\nmoved <= 10MB\ncopyups > 0\n"
                    "from-layer 2   /etc/passwd  \nabsent /a path with blanks\n")
    done = expect(store, "--file", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all 5 expectations hold\n", "")
    file.write_text("present /made\n#\nabsent /made\n")
    done = expect(store, "--file", file, "present", "/etc")
    assert (done.returncode, done.stdout) == (1, "1 of 3 expectations do not hold\n")
    assert done.stderr == (f"plyfs: expected absent /made (line 3 of {file}): "
                           "it is there, shown from the upper\n")


def test_programs_get_json(web, store):
    done = expect(store, "--json", "absent", "/made", "present", "/made")
    assert done.returncode == 1
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"Expectation": "absent /made", "Holds": False, "Instead": "it is there, shown from the upper"},
        {"Expectation": "present /made", "Holds": True, "Instead": None}]


@pytest.mark.parametrize("argv, words", [
    ([], "say what is expected"),
    (["shiny", "/etc"], "'shiny' is nothing that can be expected"),
    (["absent"], "something is missing behind 'absent'"),
    (["from-layer", "2"], "something is missing behind 'from-layer'"),
    (["from-layer", "0", "/etc"], "'0' is no layer"),
    (["from-layer", "top", "/etc"], "'top' is no layer"),
    (["from-layer", "3", "/etc"], "has 2 layers, so there is no layer 3"),
    (["copyups", "10"], "'10' is no comparison"),
    (["copyups", "<="], "'<=' is no comparison"),
    (["moved", "<= much"], "'<= much' is no comparison"),
    (["--file", "/nonexistent", "absent", "/x"], "cannot read /nonexistent"),
    (["--file", "/", "absent", "/x"], "cannot read /: Is a directory"),
    (["--shiny"], "unknown option"),
    (["present", "/tmp/x"], "which only the mount shows"),
])
def test_what_cannot_be_told_has_status_2(web, store, argv, words):
    done = expect(store, *argv)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_line_that_makes_no_sense_is_named(web, store, sandbox):
    file = sandbox.path / "expected"
    file.write_text("absent /x\nabsent\n")
    done = expect(store, "--file", file)
    assert done.returncode == 2
    assert "something is missing behind 'absent'" in done.stderr and "line 2" in done.stderr


def test_a_mount_that_is_not_there_has_status_2(store, web):
    assert store.plyfs("expect", "other", "absent", "/x", check=False).returncode == 2


def test_denials_and_warnings_can_be_expected(store, sandbox):
    lower = sandbox.directory("lower")
    for name in ("a", "b", "c"):
        (lower / name).write_text(name)
    sandbox.guard(lower)
    store.plyfs("create", "--name", "web", "--lower", lower)
    store.plyfs("policy", "web", "--deny", "/a", "--warn", "**")
    at = store.mount("web", sandbox.directory("mnt"))
    for name in ("a", "b", "c"):
        assert refusal(os.chmod, at / name, 0o600) == ("EROFS" if name == "a" else None)
    assert expect(store, "denied", "= 1", "warned", "= 2", "copyups", "= 2").returncode == 0


def test_what_is_attached_now_is_seen(web, store, host):
    if store.state("web") != "mounted":
        return
    assert expect(store, "shadowed", "/usr").returncode == 1
    store.plyfs("attach", "web", f"{host}:/usr")
    assert expect(store, "shadowed", "/usr", "absent", "/usr/lib/a", "from-layer", "host",
                  "/usr/own").returncode == 0
    store.plyfs("detach", "web", "/usr")
    assert expect(store, "shadowed", "/usr").returncode == 1


def test_help_has_status_0(store):
    done = store.plyfs("expect", "--help")
    assert "shadowed PATH" in done.stdout


def test_the_shell_completes_the_command(store, web):
    assert complete(store, "plyfs expe") == ["expect"]
    assert complete(store, "plyfs expect w") == ["web"]
    assert "unchanged" in complete(store, "plyfs expect web un")
