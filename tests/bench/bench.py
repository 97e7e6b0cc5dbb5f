# SPDX-License-Identifier: MIT
"""Runs the workloads on every contender in turn, round after round, and prints medians and ratios.

Contenders are interleaved and their order turns with the round, so that a busy spell of the machine
falls on all of them. Exit status 1 when a contender did not do the work, a lower layer changed, or,
with --promises, a promise is broken.
"""
import argparse
import json
import os
import pathlib
import shlex
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time

import backings
import trees
from asked import counted
from contenders import CONTENDERS, FAMILIES, ROOT, Mount
from workloads import PROMISES, WORKLOADS


class Wrong(Exception):
    """A contender did not do what the others did: its times mean nothing."""


class Results:
    """Seconds by measure and contender of a family, what each measure's work must have given, the
    reads or writes that it is made of, and how many requests it took."""

    def __init__(self, family):
        self.family, self.seconds, self.expected = family, {}, {}
        self.calls, self.requests = {}, {}

    def add(self, measure, contender, seconds):
        self.seconds.setdefault(measure, {}).setdefault(contender, []).append(seconds)

    def count(self, measure, contender, calls, requests):
        self.calls[measure] = calls
        if requests is not None:
            self.requests.setdefault(measure, {})[contender] = requests

    def check(self, what, contender, found):
        first, expected = self.expected.setdefault(what, (contender, found))
        if found != expected:
            raise Wrong(f"{what}: {contender} gave {found!r}, {first} gave {expected!r}")

    def median(self, measure, contender):
        values = self.seconds.get(measure, {}).get(contender)
        return statistics.median(values) if values else None

    def ratio(self, measure, contender, peer):
        ours, theirs = self.median(measure, contender), self.median(measure, peer)
        return ours / theirs if ours is not None and theirs else None

    def spread(self, measure, contender):
        """From the fastest to the slowest, as a part of the median."""
        values = self.seconds[measure][contender]
        return (max(values) - min(values)) / statistics.median(values)


def shell(command, mount, environment):
    """Seconds and output of one command with the mount as its working directory, which none but
    the client may be able to enter."""
    user = mount.family.client
    started = time.perf_counter()
    done = subprocess.run(["sh", "-c", f"cd {shlex.quote(mount.tree)} || exit\n{command}"], cwd="/",
                          env=environment, text=True, user=user, group=user, extra_groups=[],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise Wrong(f"{mount.contender.name}: {command}: status {done.returncode}: {done.stderr[-500:]}")
    return seconds, done.stdout


def measure(workload, contender, tree_set, scratch, results, look):
    """One fresh mount, all steps of the workload; `look`: also count requests, and compare the tree
    that results."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C",
                   **tree_set.inputs([step.command for step in workload.steps])}
    with Mount(contender, results.family, tree_set.get(workload.layers), scratch) as mount:
        if workload.mount_counts:
            results.add(f"{workload.name}/mount", contender.name, mount.seconds)
        for number, step in enumerate(workload.steps):
            with counted(mount.at, wanted=look and contender.is_fuse()) as requests:
                seconds, output = shell(step.command, mount, environment)
            if step.clock:
                seconds, output = step.clock(output)
            results.check(f"output of {workload.name}, step {number}", contender.name, output)
            if step.timed:
                name = f"{workload.name}/{step.name}" if step.name else workload.name
                results.add(name, contender.name, seconds)
                results.count(name, contender.name, step.calls, requests.number)
        if workload.writes and look:
            results.check(f"tree after {workload.name}", contender.name,
                          trees.digest(mount.result, times=False))


def rounds(workload, contenders, tree_set, scratch, results, count):
    for turn in range(count):
        shift = turn % len(contenders)
        for contender in contenders[shift:] + contenders[:shift]:
            measure(workload, contender, tree_set, scratch, results, look=turn == 0)


# ---- what is printed ----------------------------------------------------------------------------

def machine():
    model = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory = open("/proc/meminfo").readline().split()
    return {"processor": model[0] if model else os.uname().machine, "cores": os.cpu_count(),
            "memory_mib": int(memory[1]) // 1024, "kernel": os.uname().release,
            "load": os.getloadavg(), "date": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def print_head(about, contenders, missing):
    print(f"{about['processor']}, {about['cores']} cores, {about['memory_mib']} MiB, "
          f"Linux {about['kernel']}, load {about['load'][0]:.2f}")
    for contender in contenders:
        print(f"  {contender.name}: {contender.version()}")
    for contender in missing:
        print(f"  {contender.name}: not here, left out ({contender.program})")


def print_table(results, contenders):
    reference = results.family.reference
    print(f"\nmedian seconds, times {reference}'s median, (slowest - fastest) / median")
    print(f"{'':24}" + "".join(f"{c.name:>26}" for c in contenders))
    for name in results.seconds:
        cells = []
        for contender in contenders:
            ratio = results.ratio(name, contender.name, reference)
            cells.append(f"{results.median(name, contender.name):9.3f}"
                         + (f"{ratio:8.2f}x" if ratio else f"{'':9}")
                         + f"{results.spread(name, contender.name):7.0%} ")
        print(f"{name:24}" + "".join(f"{cell:>26}" for cell in cells))


def print_requests(results, contenders):
    """What FUSE costs: requests of the daemon, and the time beyond that of the reference, for each
    read or write of fio, whether it took a request or not; of other work, for each request."""
    fuse = [contender for contender in contenders if contender.is_fuse()]
    reference = results.family.reference
    if not results.requests:
        return
    print(f"\nrequests, and microseconds beyond {reference}'s median for each read or write, else request")
    print(f"{'':24}" + "".join(f"{c.name:>26}" for c in fuse))
    for name, requests in results.requests.items():
        base, cells = results.median(name, reference), []
        for contender in fuse:
            number = requests.get(contender.name)
            parts = results.calls[name] or number
            cell = "" if number is None else str(number)
            if parts and base is not None:
                cell += f"{(results.median(name, contender.name) - base) / parts * 1e6:+10.2f} us"
            cells.append(cell)
        print(f"{name:24}" + "".join(f"{cell:>26}" for cell in cells))


def promises(measured):
    """Every promise that was measured, as (text, kept)."""
    found = []
    for name, contender, peer, most in PROMISES:
        for ratio in filter(None, (results.ratio(name, contender, peer) for results in measured)):
            found.append((f"{name}: {contender} takes {ratio:.2f} of {peer}'s time, "
                          f"promised at most {most:.2f}", ratio <= most))
    return found


def write_json(path, about, backing, measured, contenders):
    path.parent.mkdir(parents=True, exist_ok=True)
    measures = {name: {contender: {"seconds": values, "median": results.median(name, contender),
                                   "spread": results.spread(name, contender),
                                   "requests": results.requests.get(name, {}).get(contender),
                                   "ratio": results.ratio(name, contender, results.family.reference)}
                       for contender, values in by.items()}
                for results in measured for name, by in results.seconds.items()}
    text = json.dumps({"machine": about, "backing": backing, "versions": {c.name: c.version() for c in contenders},
                       "measures": measures, "promises": promises(measured)}, indent=1)
    path.write_text(text + "\n")


# ---- the run ------------------------------------------------------------------------------------

def arguments():
    names = [w.name for w in WORKLOADS]
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 5,000 files")
    parser.add_argument("--rounds", type=int, help="of every workload and contender")
    parser.add_argument("--files", type=int, help="files of the tree")
    parser.add_argument("--backing", choices=backings.BACKINGS, default="tmpfs",
                        help="the filesystem that everything lies on (tmpfs)")
    parser.add_argument("--contenders", default=",".join(c.name for c in CONTENDERS))
    parser.add_argument("--promises", action="store_true", help="status 1 if a promise is broken")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "bench.json")
    options = parser.parse_args()
    for name in options.workloads:
        if name not in names:
            parser.error(f"no workload {name}")
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.files = options.files or (5_000 if options.quick else 15_000)
    return options


def among(contenders, results):
    return [contender for contender in contenders if contender in results.family.contenders]


def run(options, scratch):
    wanted = [c for c in CONTENDERS if c.name in options.contenders.split(",")]
    contenders = [c for c in wanted if c.available()]
    about = machine()
    measured = {name: Results(family) for name, family in FAMILIES.items()}
    tree_set = trees.Trees(scratch, options.files)
    print_head(about, contenders, [c for c in wanted if c not in contenders])
    print(f"  {options.files} files, {options.rounds} rounds, all on {options.backing}")
    for workload in WORKLOADS:
        if not options.workloads or workload.name in options.workloads:
            print(f"{workload.name} ...", file=sys.stderr, flush=True)
            results = measured[workload.family]
            rounds(workload, among(contenders, results), tree_set, scratch, results, options.rounds)
    for results in measured.values():
        if results.seconds:
            print_table(results, among(contenders, results))
            print_requests(results, among(contenders, results))
    write_json(options.output, about, options.backing, measured.values(), contenders)
    changed = tree_set.changed()
    if changed:
        raise Wrong(f"lower layers were changed: {', '.join(changed)}")
    kept = True
    for text, good in promises(measured.values()):
        print(("kept:    " if good else "BROKEN:  ") + text)
        kept = kept and good
    return 0 if kept or not options.promises else 1


def open_fuse_to_all(scratch):
    """A device of this mount namespace's own, so that ordinary users can mount; the host's stays."""
    device = os.path.join(scratch, "fuse")
    os.mknod(device, stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
    os.chmod(device, 0o666)
    subprocess.run(["mount", "--bind", device, "/dev/fuse"], check=True)


def main():
    options = arguments()
    scratch = tempfile.mkdtemp(prefix="plyfs-bench-")
    # A filesystem of its own: every layer lies on it, and it goes away with the mount namespace.
    backings.mount(options.backing, scratch)
    try:
        open_fuse_to_all(scratch)
        return run(options, scratch)
    except Wrong as wrong:
        print(f"wrong: {wrong}", file=sys.stderr)
        return 1
    finally:
        subprocess.run(["umount", "--lazy", scratch], check=False)
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
