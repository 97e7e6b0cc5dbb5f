# SPDX-License-Identifier: MIT
"""The randomised model test: the same operations on mounts and on a plain directory (tests/model).

More than 200,000 operations in all; PLYFS_FULL=1 does ten times as many, and PLYFS_SEED=N takes other
seeds. A failure prints the seed and the shortest failing sequence. By hand:
    python3 tests/model/run.py --help
    python3 tests/model/fuzz.py --help
"""
import ast
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest

import harness
from model import crowd, fuzz, generate, linear, ops, play, resolve, rights, stack

RUN = pathlib.Path(__file__).resolve().parent / "model" / "run.py"
FUZZ = RUN.with_name("fuzz.py")
CORPUS = sorted(RUN.with_name("corpus").glob("*.txt"))
TIMES = 10 if os.environ.get("PLYFS_FULL") == "1" else 1
# The sanitizers look at the program, not at the semantics: a share of the operations does for them.
SHARE = 5 if os.environ.get("PLYFS_SANITIZED") == "1" else 1
ROUNDS = 20
SEED = int(os.environ.get("PLYFS_SEED", "0"))


def together(*runs, before=(), program=RUN):
    """Runs the model test in as many processes, side by side; each must end without a difference."""
    started = []
    for words in runs:
        output = tempfile.TemporaryFile("w+", errors="backslashreplace")
        argv = [*before, sys.executable, program, *words]
        started.append((argv, output, subprocess.Popen(
            [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output)))
    failed = []
    for argv, output, process in started:
        status = process.wait()
        output.seek(0)
        text = output.read()
        print(text)
        if status != 0:
            failed.append(f"{' '.join(map(str, argv))}: status {status}\n{text}")
    assert not failed, "\n".join(failed)


def two_seeds(seed, count, *words):
    together(*[("--seed", SEED + seed + i, "--ops", count * TIMES // SHARE, *words)
               for i in range(2)])


# ---- plyfs --------------------------------------------------------------------------------------

def test_the_own_form_equals_the_plain_tree_and_the_kernel(profile):
    harness.need_fuse()
    harness.need_root()
    harness.need(harness.can_mount_kernel(), "needs overlayfs in the kernel")
    two_seeds(100, 16000, "--against", "plyfs,kernel", "--profile", profile)


def test_the_drop_in_form_equals_the_plain_tree(profile):
    harness.need_fuse()
    harness.need_root()
    two_seeds(200, 10000, "--against", "plyfs", "--form", "o", "--profile", profile)


def test_image_whiteouts_in_lower_layers_are_honoured(profile):
    harness.need_fuse()
    harness.need_root()
    two_seeds(300, 5000, "--against", "plyfs", "--wh", "--profile", profile)


def test_plyfs_and_the_kernel_take_turns_on_one_upper(profile):
    harness.need_fuse()
    harness.need_root()
    harness.need(harness.can_mount_kernel(), "needs overlayfs in the kernel")
    two_seeds(400, 5000, "--against", "mixed", "--remount-every", 60, "--profile", profile)


def test_requests_over_io_uring_change_nothing():
    harness.need_fuse()
    harness.need_root()
    switch = pathlib.Path("/sys/module/fuse/parameters/enable_uring")
    harness.need(switch.exists(), "needs FUSE over io_uring")
    before = switch.read_text().strip()
    switch.write_text("Y")
    try:
        together(*[("--seed", SEED + 700 + i, "--ops", 8000 * TIMES // SHARE, "--against", "plyfs",
                    "--option", "io_uring=on", "--profile", profile)
                   for i, profile in enumerate(("stateless", "tracked"))])
    finally:
        switch.write_text(before)


def test_root_of_a_user_namespace_sees_the_plain_tree():
    harness.need_fuse()
    harness.need_tool("unshare")
    harness.need(harness.run("unshare", "-Urm", "true", check=False).returncode == 0,
                 "user namespaces are not allowed here")
    together(*[("--seed", SEED + 500 + i, "--ops", 8000 * TIMES // SHARE, "--userns", "--against",
                "plyfs", "--profile", profile) for i, profile in enumerate(("stateless", "tracked"))],
             before=("unshare", "-Urm"))


# ---- searching ----------------------------------------------------------------------------------

@pytest.mark.parametrize("way", sorted(fuzz.WAYS))
def test_no_difference_is_found_by_searching_in(way):
    """layers: whiteouts and opaque marks in every form; left: redirects and metacopy files; together:
    processes at once; names: on the same names. See tests/model/fuzz.py."""
    harness.need_fuse()
    harness.need_root()
    harness.need(harness.can_mount_kernel(), "needs overlayfs in the kernel")
    together(*[("--seed", SEED + 800 + i, "--rounds", max(1, 2 * TIMES // SHARE), "--way", way)
               for i in range(2)], program=FUZZ)


@pytest.mark.parametrize("case", CORPUS, ids=lambda path: path.stem)
def test_what_was_once_found_is_no_difference_any_more(case):
    harness.need_fuse()
    harness.need_root()
    harness.need(harness.can_mount_kernel(), "needs overlayfs in the kernel")
    done = harness.run(sys.executable, FUZZ, "--replay", case, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- several processes on one name --------------------------------------------------------------

def test_link_counts_add_up_whoever_links_and_unlinks(sandbox, profile):
    harness.need_fuse()
    harness.need_root()
    root, _ = fuzz.mount_of_names(sandbox, "plyfs", profile)
    children = []
    for process in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            status = 1
            try:
                for number in range(60):
                    os.link(f"{root}/a", f"{root}/l{process}-{number}")
                    if number % 2:
                        os.unlink(f"{root}/l{process}-{number - 1}")
                status = 0
            finally:
                os._exit(status)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    names = [name for name in os.listdir(root) if name.startswith("l")]
    assert len(names) == 4 * 30
    assert {os.lstat(f"{root}/{name}").st_ino for name in names} == {os.lstat(f"{root}/a").st_ino}
    assert os.lstat(f"{root}/a").st_nlink == len(names) + 1


@pytest.mark.parametrize("kind", ["kernel", "plain"])
def test_the_kernels_own_names_have_a_story(sandbox, kind):
    """For the test of the tester: what is known to be linearisable is found to be."""
    harness.need_root()
    harness.need(harness.can_mount_kernel(), "needs overlayfs in the kernel")
    root, names = fuzz.mount_of_names(sandbox, kind)
    found = linear.faults(root, names, fuzz.PROCESSES, SEED, 200)
    assert not found, "\n".join(found)


STORY = [(0, 10, 0, "create", b"", None), (20, 30, 0, "publish", b"A", None), (25, 60, 1, "read", b"", b"A"),
         (40, 50, 0, "unlink", b"", None), (55, 70, 2, "read", b"", "ENOENT")]


@pytest.mark.parametrize("history, first, last, holds", [
    (STORY, None, None, True),
    (STORY[::-1], None, None, True),
    (STORY, b"old", None, False),
    (STORY, None, b"A", False),
    ([(0, 10, 0, "create", b"", None), (5, 15, 1, "create", b"", None)], None, b"", False),
    ([(0, 10, 0, "create", b"", None), (5, 15, 1, "create", b"", "EEXIST")], None, b"", True),
    ([(0, 10, 0, "unlink", b"", None), (5, 15, 1, "unlink", b"", None)], b"x", None, False),
    ([(0, 10, 0, "take", b"", b"x"), (5, 15, 1, "unlink", b"", "ENOENT")], b"x", None, True),
    ([(0, 10, 0, "publish", b"A", None), (20, 30, 1, "read", b"", b"old")], b"old", b"A", False),
    ([(0, 25, 0, "publish", b"A", None), (20, 30, 1, "read", b"", b"old")], b"old", b"A", True),
    ([(0, 25, 0, "publish", b"AAAA", None), (20, 30, 1, "read", b"", b"AA")], b"old", b"AAAA", False),
    ([(0, 25, 0, "exchange", b"A", b"B"), (0, 25, 1, "exchange", b"B", b"old")], b"old", b"A", True),
    ([(0, 25, 0, "exchange", b"A", b"old"), (0, 25, 1, "exchange", b"B", b"old")], b"old", b"A", False),
    ([(0, 25, 0, "rmdir", b"", None), (30, 40, 1, "publish", b"A", "EISDIR")], "dir", None, False),
], ids=["a-story", "in-any-order", "begun-otherwise", "ended-otherwise", "two-winners", "one-winner",
        "unlinked-twice", "taken-once", "stale", "at-the-same-time", "torn", "exchanged-in-a-row",
        "exchanged-twice", "a-directory-that-is-gone"])
def test_a_history_is_judged(history, first, last, holds):
    assert linear.is_linearisable(history, first, last) == holds


def test_stacks_side_by_side_show_what_each_shows():
    stacks = [stack.random_stack(f"side {n}", {"links", "wh"}) for n in range(3)]
    layers, upper = crowd.combine(stacks)
    shown = resolve.resolve(([upper] if upper else []) + layers)
    for number, (lowers, top) in enumerate(stacks):
        place = crowd.PLACE % number
        alone = resolve.resolve(([top] if top else []) + lowers)
        assert {place + b"/" + path if path else place for path in alone} == {
            path for path in shown if path == place or path.startswith(place + b"/")}


# ---- the model itself ---------------------------------------------------------------------------

def test_the_model_equals_kernel_overlayfs():
    harness.need(harness.can_mount_kernel(), "needs root and overlayfs in the kernel")
    together(("--seed", SEED + 600, "--ops", 10000 * TIMES // SHARE, "--against", "kernel"),
             ("--seed", SEED + 601, "--ops", 10000 * TIMES // SHARE, "--against", "kernel", "--form", "o"))


@pytest.mark.parametrize("kind", ["plyfs", "kernel", "fuse-overlayfs"])
def test_each_union_is_held_to_the_same_rounds(kind):
    """What README.md compares: in the drop-in form, which all have. fuse-overlayfs is only measured."""
    harness.need(os.environ.get("PLYFS_FULL") == "1", "PLYFS_FULL=1 compares with fuse-overlayfs")
    harness.need(harness.can_mount_kernel(), "needs root and overlayfs in the kernel")
    harness.need_tool("fuse-overlayfs")
    found = []
    for seed in range(SEED + 800, SEED + 800 + ROUNDS):
        done = harness.run(sys.executable, RUN, "--seed", seed, "--ops", 1000, "--form", "o", "--against",
                           kind, "--shrink", 0, check=False)
        if done.returncode != 0:
            found.append(re.search(r"operation (-?\d+)", done.stdout).group(1))
            pathlib.Path(re.search(r"--replay (\S+)", done.stdout).group(1)).unlink()
    line = f"{kind}: {len(found)} of {ROUNDS} rounds of 1,000 operations end in a difference"
    line += f", at operation {', '.join(found)}" if found else ""
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    assert not found or kind == "fuse-overlayfs", line


@pytest.mark.parametrize("fault, left", [("forgetful", "rename"), ("scribbler", "truncate")])
def test_a_faulty_target_is_found_and_shrunk_to_one_operation(fault, left):
    harness.need_root()
    done = harness.run(sys.executable, RUN, "--seed", 2, "--ops", 3000, "--against", fault,
                       "--shrink", 60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DIFFERENCE: seed 2, round" in done.stdout
    case = pathlib.Path(re.search(r"--replay (\S+)", done.stdout).group(1))
    try:
        operations = ast.literal_eval(case.read_text(encoding="ascii"))["operations"]
        assert [o[0] for o in operations] == [left], operations
        again = harness.run(sys.executable, RUN, "--replay", case, check=False)
        assert again.returncode == 1 and again.stdout.strip() != "no difference"
    finally:
        case.unlink()


def test_one_seed_gives_one_sequence():
    harness.need_root()
    config = {"against": [], "form": "mount", "profile": None}
    features = {"owners", "devices", "trusted", "links", "acl"}
    recorded = []
    for _ in range(2):
        layers = stack.random_stack("same", features)
        generator = generate.Generator("same", features)
        operations = []
        proposals = iter(range(400))
        source = play.Replay([])
        source.next = lambda g=generator, p=proposals: g.next() if next(p, None) is not None else None
        source.happened, source.refresh = generator.happened, generator.refresh
        play.play(config, layers, source, operations)
        recorded.append((layers, operations))
    assert recorded[0] == recorded[1]


# ---- the oracle, by hand ------------------------------------------------------------------------

def layer(*entries):
    full = [("dir", b"", 0o755, 0, 0, 1, (), "")]
    for kind, path, *more in entries:
        full.append((kind, path, 0o755, 0, 0, 1, (), more[0] if more else ""))
    return full


@pytest.mark.parametrize("upper, shown", [
    (layer(), {b"d", b"d/a", b"d/b"}),
    (layer(("whiteout", b"d", "dev")), set()),
    (layer(("dir", b"d", "opaque")), {b"d"}),
    (layer(("dir", b"d", ".opq"), ("file", b"d/c")), {b"d", b"d/c"}),
    (layer(("dir", b"d"), ("whiteout", b"d/a", ".wh.")), {b"d", b"d/b"}),
    (layer(("file", b"d")), {b"d"}),
    (layer(("dir", b"d"), ("dir", b"d/a")), {b"d", b"d/a", b"d/b"}),
], ids=["nothing", "whiteout", "opaque", "wh-opq", "wh", "file-over-directory",
        "directory-over-file"])
def test_the_oracle_shows(upper, shown):
    lower = layer(("dir", b"d"), ("file", b"d/a"), ("file", b"d/b"))
    assert set(resolve.resolve([upper, lower])) - {b""} == shown


def test_a_file_between_directories_ends_the_merge():
    found = resolve.resolve([layer(("dir", b"d"), ("file", b"d/top")), layer(("file", b"d")),
                             layer(("dir", b"d"), ("file", b"d/bottom"))])
    assert set(found) == {b"", b"d", b"d/top"}


def test_every_menu_entry_is_an_operation_that_exists():
    for name in ops.OPS:
        assert callable(ops.OPS[name][0])
    maker = generate.Generator("menu", {"owners", "devices", "trusted", "acl", "users"})
    maker.kinds = {b"d": 0o040000, b"d/f": 0o100000, b"l": 0o120000}
    for _ in range(3000):
        operation = maker.next()
        while operation[0] == "as":
            operation = operation[3]
        assert operation[0] in ops.OPS or operation[0] in ("remount", "tree"), operation


def test_each_right_to_differ_has_a_reason():
    assert all(what and why for what, why in rights.TABLE)
