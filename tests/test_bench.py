# SPDX-License-Identifier: MIT
"""The benchmark itself: what it finds worse, what it draws, and that it notices whoever does other work."""
import json
import os
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from harness import ROOT, can_mount_kernel, kernel_version, need, need_fuse, need_root, need_tool

BENCH = ROOT / "tests" / "bench"
sys.path.insert(0, str(BENCH))

import chart  # noqa: E402
import contenders  # noqa: E402
import floors  # noqa: E402
import promises  # noqa: E402
import recorded  # noqa: E402
import results as results_of  # noqa: E402
import trees  # noqa: E402
import workloads  # noqa: E402

SIZES = {"backing": "tmpfs", "files": 10, "large_mib": 1}
UNION = contenders.FAMILIES["union"]
OURS = "plyfs-stateless"


def measured(ours, kernel=(1.0, 1.0, 1.0), measure="untar"):
    results = results_of.Results(UNION)
    for name, values in (("kernel", kernel), (OURS, ours)):
        for value in values:
            results.add(measure, name, value)
    return results


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "recorded.json"
    recorded.write(path, SIZES, measured((2.0, 2.0, 2.0)), UNION.contenders)
    return path


def slower(record, results):
    return [text for _, text in recorded.slower(record, results)]


def test_a_ratio_worse_by_more_than_half_is_found(record):
    found = slower(record, measured((3.1, 3.2, 3.3)))
    assert len(found) == 1 and found[0].startswith(f"untar: {OURS} takes 3.20"), found


def test_a_ratio_worse_by_less_than_half_is_not(record):
    assert slower(record, measured((2.9, 2.95, 2.99))) == []


def test_a_busy_spell_that_spared_one_round_is_no_finding(record):
    assert slower(record, measured((2.0, 9.0, 9.0))) == []


def test_a_record_of_a_machine_with_other_processors_says_nothing_of_times(record):
    told = json.loads(record.read_text())
    record.write_text(json.dumps({**told, "processors": told["processors"] + 1}))
    assert slower(record, measured((9.0, 9.0, 9.0))) == []
    assert "only requests" in recorded.silence(record)


def test_milliseconds_are_no_finding(tmp_path):
    path = tmp_path / "recorded.json"
    recorded.write(path, SIZES, measured((0.002,), kernel=(0.001,)), UNION.contenders)
    assert slower(path, measured((0.009,), kernel=(0.001,))) == []


def test_a_tenth_more_requests_are_found_whatever_the_time(tmp_path):
    path = tmp_path / "recorded.json"
    recorded.write(path, SIZES, asked(0.001, 1000, 2.0), UNION.contenders)
    assert recorded.busier(path, asked(0.001, 1099, 2.0)) == []
    found = recorded.busier(path, asked(0.001, 1101, 1.0))
    assert found == [("untar", f"untar: {OURS} is sent 1101 requests, recorded 1000")]


def test_another_runs_record_is_refused(record):
    assert recorded.differences(record, SIZES) == []
    found = recorded.differences(record, {**SIZES, "files": 20})
    assert len(found) == 1 and "files was 10, is 20" in found[0], found


def test_the_record_in_the_tree_is_of_measures_that_there_are():
    record = json.loads((BENCH / "recorded.json").read_text())
    names = {w.name for w in workloads.WORKLOADS if w.family == "union"}
    assert {measure.split("/")[0] for measure in record["ratios"]} <= names
    assert {name for by in record["ratios"].values() for name in by} <= set(contenders.QUICK)


def test_the_chart_has_a_bar_for_each_contender_and_a_sign_for_who_cannot(tmp_path):
    chosen = [c for c in UNION.contenders if c.name in ("kernel", OURS, "mergerfs")]
    chart.write(tmp_path / "chart.svg", "<&> a caption", [(measured((2.0, 4.0, 3.0)), chosen)])
    root = xml.etree.ElementTree.parse(tmp_path / "chart.svg").getroot()
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["untar, kernel: 1.00 (1.00 to 1.00)", f"untar, {OURS}: 3.00 (2.00 to 4.00)"]
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<&> a caption" in words and "-" in words


def asked(cost, requests, seconds):
    """Results of a run in which an empty request took `cost` seconds more than of the kernel."""
    results = measured((seconds,))
    results.count("untar", OURS, 0, requests)
    for workload in ("untar", "randread-4k"):
        for name, value in (("kernel", 0.1), (OURS, 0.1 + cost)):
            results.add_asked(workload, name, value)
    return results


def verdict(results):
    found = [v for v in promises.verdicts([results]) if v.promise.measure == "untar" and v.promise.peer == "kernel"]
    assert len(found) == 1
    return found[0]


def test_the_tree_has_whole_directories_of_this_machine(tmp_path):
    layers = trees.real(tmp_path / "layers", 2000)
    (tmp_path / "union").mkdir()
    layers.copy(tmp_path / "union")
    directories = {}
    for path in (tmp_path / "union").rglob("*"):
        if path.is_symlink() or path.is_file():
            directories.setdefault(path.parent, set()).add(path.name)
    assert sum(map(len, directories.values())) == layers.files == 2000
    assert not any(path.lstat().st_mode & 0o7000 for path in (tmp_path / "union").rglob("*"))
    assert max(map(len, directories.values())) <= 100, "one directory is most of the tree"
    cut = [path for path, names in directories.items()
           if len(names) < 100 and names != trees.wanted_in("/" / path.relative_to(tmp_path / "union"))]
    assert len(cut) <= 1, "but for the last one, directories are whole"


def test_the_floor_is_the_kernels_own_time_and_an_empty_request_for_each():
    assert floors.floor(asked(0.001, 3000, 9.0), "untar", OURS) == pytest.approx(4.0)


def test_a_request_to_read_takes_at_least_what_a_page_of_an_open_file_takes():
    results = asked(0.001, 3000, 9.0)
    results.count("untar", OURS, 0, 3000, 500)
    for name, value in (("kernel", 0.5), (OURS, 2.5)):
        results.add("randread-4k/cold", name, value)
    results.count("randread-4k/cold", OURS, 1000, 1010, 1000)
    assert floors.read_factor(results, OURS) == pytest.approx(2)
    assert floors.floor(results, "untar", OURS) == pytest.approx(4.5)
    assert floors.floor(results, "randread-4k/cold", OURS) == pytest.approx(1.51), "it is no floor of itself"


def test_each_round_is_held_against_the_same_rounds_of_others():
    """A machine that was five times as slow for one round says nothing of anybody."""
    results = measured((4.0, 20.0, 4.1), kernel=(1.0, 5.0, 1.0))
    assert results.ratio("untar", OURS, "kernel") == 4.0
    assert results.ends("untar", OURS, "kernel") == (4.0, 4.1)
    results.count("untar", OURS, 0, 1000)
    for bare, ours in ((0.0, 0.003), (0.0, 0.015), (0.0, 0.003)):
        results.add_asked("untar", "kernel", bare)
        results.add_asked("untar", OURS, ours)
    assert floors.floors(results, "untar", OURS) == pytest.approx([4.0, 20.0, 4.0])
    assert floors.above_floor(results, "untar", OURS) == pytest.approx(1.0)


def test_a_promise_below_the_floor_is_held_to_the_floor():
    found = verdict(asked(0.001, 4000, 5.7))  # the floor is 5.0, 4.5 was promised
    assert found.kept and found.by_floor and "1.14 of the floor" in found.words
    assert not verdict(asked(0.001, 4000, 5.8)).kept


def test_a_kept_promise_asks_for_no_floor():
    assert verdict(asked(0.001, 9000, 4.4)).kept and not verdict(asked(0.001, 9000, 4.4)).by_floor


def test_without_a_floor_a_broken_promise_is_broken():
    assert not verdict(measured((9.0,))).kept


def test_a_promise_of_a_backing_is_asked_of_no_other():
    for backing, count in (("xfs", 1), ("btrfs", 1), ("ext4", 0), ("tmpfs", 0)):
        results = results_of.Results(UNION, backing)
        results.add("copyup-append", OURS, 0.5)
        assert len([v for v in promises.verdicts([results]) if not v.kept]) == count, backing


def test_every_promise_is_of_a_measure_and_contenders_that_there_are():
    known = {name for family in contenders.FAMILIES.values() for name in (c.name for c in family.contenders)}
    names = {w.name for w in workloads.WORKLOADS}
    for promise in promises.PROMISES:
        assert promise.measure.split("/")[0] in names, promise
        assert promise.contender in known and promise.peer in known | {""}, promise


def bench(tmp_path, *words, check=True):
    need_root()
    need_fuse()
    need(can_mount_kernel(), "needs overlayfs in the kernel")
    done = subprocess.run(["sh", BENCH / "run.sh", "--files", "30", "--rounds", "2", "--output",
                           tmp_path / "bench.json", *words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done, json.loads((tmp_path / "bench.json").read_text())


def test_a_run_tells_every_round_and_draws_it(tmp_path):
    done, told = bench(tmp_path, "--contenders", f"native,kernel,{OURS}", "find", "chmod")
    assert set(told["measures"]) == {"find/cold", "find/warm", "chmod"}
    assert len(told["measures"]["chmod"][OURS]["seconds"]) == 2
    assert told["machine"]["kernel"] == os.uname().release and not told["wrong"]
    xml.etree.ElementTree.parse(tmp_path / "bench.svg")
    assert "native" in done.stdout


def test_content_that_comes_without_being_asked_for_counts_as_read(tmp_path):
    need(kernel_version() >= (6, 12), "needs Linux 6.12 or newer")
    _, told = bench(tmp_path, "--files", "300", "--contenders", f"kernel,{OURS}", "tar")
    layers = trees.real(tmp_path / "layers", 300)
    (tmp_path / "union").mkdir()
    layers.copy(tmp_path / "union")
    files = [path for path in (tmp_path / "union").rglob("*") if path.is_file() and not path.is_symlink()]
    assert told["measures"]["tar/cold"][OURS]["reads"] >= sum(path.stat().st_size > 0 for path in files) > 100
    assert told["measures"]["tar/warm"][OURS]["reads"] == 0


def test_a_run_in_parts_is_one_run(tmp_path):
    words = ["--contenders", f"kernel,{OURS}", "--minutes", "0", "find", "chmod", "request"]
    done, first = bench(tmp_path, *words)
    assert first["done"] == ["find"] and "left: chmod request" in done.stdout
    done, second = bench(tmp_path, "--continue", *words)
    assert second["done"] == ["find", "chmod"] and "left: request" in done.stdout
    done, last = bench(tmp_path, "--continue", *words)
    assert last["done"] == ["find", "chmod", "request"] and "left:" not in done.stdout
    assert {m: last["measures"][m][OURS]["seconds"] for m in first["measures"]} == {
        m: by[OURS]["seconds"] for m, by in first["measures"].items()}
    assert last["measures"]["chmod"][OURS]["requests"] == second["measures"]["chmod"][OURS]["requests"]
    assert last["measures"]["chmod"][OURS]["floor"] > 0, "an empty request was asked in its part"
    assert len(last["dates"]) == 3 and not last["wrong"]


def script(path, *lines):
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return f"{path.name}={path}"


def test_a_run_that_is_ended_has_all_but_the_workload_that_it_was_at(tmp_path):
    need_tool("fuse-overlayfs")
    os.mkfifo(tmp_path / "gate")
    peer = script(tmp_path / "peer", '[ "$1" = -o ] || exec fuse-overlayfs "$@"', f"echo >>{tmp_path}/calls", f"[ $(wc -l <{tmp_path}/calls) -le 2 ] || read -r _ <{tmp_path}/gate",
                  'exec fuse-overlayfs "$@"')
    words = ["--contenders", f"kernel,{OURS},peer", "--peer", peer, "find", "chmod"]
    run = subprocess.Popen(["sh", BENCH / "run.sh", "--files", "30", "--rounds", "2", "--output", tmp_path / "bench.json", *words],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(tmp_path / "gate", "wb"):  # until somebody reads: it is at the second
        run.terminate()
        assert run.wait(60) == 143
    told = json.loads((tmp_path / "bench.json").read_text())
    assert told["done"] == ["find"] and set(told["measures"]) == {"find/cold", "find/warm"}
    (tmp_path / "calls").unlink()
    _, told = bench(tmp_path, "--continue", *words)
    assert told["done"] == ["find", "chmod"] and not told["wrong"]


def test_whoever_changes_a_layer_is_named_with_the_workload(tmp_path):
    need_tool("fuse-overlayfs")
    peer = script(tmp_path / "careless", "chmod 0700 base", 'exec fuse-overlayfs "$@"')
    done, told = bench(tmp_path, "--contenders", f"kernel,{OURS},careless", "--peer", peer, "find", check=False)
    assert done.returncode == 1 and told["wrong"] == ["find: lower layers were changed: real"]


def test_another_run_is_not_continued(tmp_path):
    words = ["--contenders", f"kernel,{OURS}", "find"]
    _, told = bench(tmp_path, *words)
    for more in (["--rounds", "3"], ["--files", "31"], ["--contenders", "kernel"]):
        done, left = bench(tmp_path, "--continue", *words, *more, check=False)
        assert done.returncode == 1 and "cannot be continued" in done.stderr and left == told, more
    (tmp_path / "bench.json").write_text(json.dumps({**told, "programs": {OURS: "another build"}}))
    done, _ = bench(tmp_path, "--continue", *words, check=False)
    assert done.returncode == 1 and "of programs" in done.stderr
    (tmp_path / "bench.json").write_text("{}")
    done, _ = bench(tmp_path, "--continue", *words, check=False)
    assert done.returncode == 1 and "begin without --continue" in done.stderr


@pytest.mark.skipif(os.environ.get("PLYFS_FULL") != "1", reason="PLYFS_FULL=1 runs it: half a minute of building")
def test_the_program_without_a_ledger_is_built_for_whoever_is_measured_against_it(tmp_path):
    _, told = bench(tmp_path, "--contenders", "without,unwatched", "--rounds", "1", "ledger-find")
    assert set(told["measures"]["ledger-find/cold"]) == {"without", "unwatched"}


def test_steps_of_one_workload_are_checked_apart(tmp_path):
    need_tool("fio")
    _, told = bench(tmp_path, "--contenders", f"native,kernel,{OURS}", "read-1m")
    assert set(told["measures"]) == {"read-1m/cold", "read-1m/warm"} and not told["wrong"]
    assert told["measures"]["read-1m/cold"][OURS]["floor"] > 0


def test_a_peer_that_does_other_work_is_named_and_the_rest_goes_on(tmp_path):
    need_tool("fuse-overlayfs")
    peer = script(tmp_path / "lesser", 'exec fuse-overlayfs -o "lowerdir=base,${2#*,}" "$3"')  # shows the lowest layer alone
    done, told = bench(tmp_path, "--contenders", f"kernel,{OURS},lesser", "--peer", peer, "find", check=False)
    assert done.returncode == 1 and "wrong: find: output of find" in done.stderr and "lesser gave" in done.stderr
    assert set(told["measures"]["find/cold"]) == {"kernel", OURS}


def test_a_peer_that_does_not_mount_is_named(tmp_path):
    done, told = bench(tmp_path, "--contenders", f"kernel,{OURS},none", "--peer", "none=/bin/false", "chmod",
                       check=False)
    assert done.returncode == 1 and "none does not mount" in done.stderr
    assert len(told["measures"]["chmod"][OURS]["seconds"]) == 2


@pytest.mark.skipif(os.environ.get("PLYFS_FULL") != "1", reason="PLYFS_FULL=1 runs it: minutes of buildah")
def test_a_session_is_timed_step_by_step(tmp_path):
    need_root()
    need_fuse()
    need_tool("buildah", "podman", "setpriv")
    done = subprocess.run(["sh", BENCH / "run.sh", "session", "--rounds", "1", "--contenders", "plyfs,kernel",
                           "--output", tmp_path / "session.json"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "session.json").read_text())
    assert set(told["seconds"]) == {"plyfs", "kernel"} and not told["wrong"]
    assert {"unpack", "build", "push", "all"} <= set(told["seconds"]["plyfs"])
