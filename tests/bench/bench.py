# SPDX-License-Identifier: MIT
"""Runs the workloads on every contender in turn, round after round, and tells medians and ratios.

Contenders are interleaved and their order turns with the round, so that a busy spell of the machine
falls on all of them; where --against finds a ratio worse, that workload is run again before it is believed.
Exit status 1 when a contender did not do the work (it is left out of it from then
on, and the rest goes on), a lower layer changed, a ratio is worse than --against has it, or, with
--promises, a promise is broken.
"""
import argparse
import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

import backings
import chart
import contenders as table
import parts as parts_of
import promises
import recorded
import report
import trees
from asked import counted
from mounted import Mount
from results import Results, Wrong
from workloads import EMPTY, QUICK, WORKLOADS

CONFIRMATIONS = 2


def shell(command, mount, environment):
    """Seconds and output of one command with the mount as its working directory, which none but
    the client may be able to enter."""
    user = mount.family.client
    started = time.perf_counter()
    client = subprocess.Popen(["sh", "-c", f"cd {shlex.quote(mount.tree)} || exit\n{command}"], cwd="/",
                              env=environment, text=True, user=user, group=user, extra_groups=[],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True)
    try:
        output, said = client.communicate()
    except BaseException:
        os.killpg(client.pid, signal.SIGKILL)  # its children too: they would keep the mount in use
        client.wait()
        raise
    seconds = time.perf_counter() - started
    if client.returncode != 0:
        raise Wrong(f"{mount.contender.name}: {command}: status {client.returncode}: {said[-500:]}")
    return seconds, output


def take(workload, step, contender, mounts, environment, results, look):
    """One step of a workload, done in the first of its mounts, and what is measured of it."""
    mount = mounts[0]
    with counted([m.at for m in mounts], wanted=look and contender.is_fuse()) as requests:
        seconds, output = shell(step.command, mount, environment)
    given = sum(m.given() for m in mounts) if look else 0
    if step.clock:
        seconds, output = step.clock(output)
    results.check(f"output of {workload.name}, {step.command}", contender.name, output)
    name = f"{workload.name}/{step.name}" if step.name else workload.name
    if step.resident:
        if contender.is_fuse():  # the kernel's own memory is nobody's
            results.add_size(name, contender.name, mount.resident())
    elif step.timed:
        results.add(name, contender.name, seconds + (mount.seconds if step.from_mount else 0))
        # Content that comes without being asked for is a message of its own, and no less work than what is read.
        reads = None if requests.reads is None else requests.reads + given
        results.count(name, contender.name, step.calls, requests.number, reads)


def measure(workload, contender, tree_set, scratch, results, look):
    """Fresh mounts, all steps of the workload; `look`: also count requests, and compare the tree
    that results."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C",
                   **tree_set.inputs([step.command for step in workload.steps])}
    layers = tree_set.get(workload.layers)
    with contextlib.ExitStack() as mounts:
        made = [mounts.enter_context(Mount(contender, results.family, layers, scratch, workload.read_only, f"round{n}"))
                for n in range(workload.mounts)]
        mount, environment["OTHER"] = made[0], made[-1].tree
        if workload.mount_counts and not contender.is_copy():
            results.add(f"{workload.name}/mount", contender.name, mount.seconds)
        for step in workload.steps:
            take(workload, step, contender, made, environment, results, look)
        if workload.writes and look:
            results.check(f"tree after {workload.name}", contender.name,
                          trees.digest(mount.result, times=False))


def ask(workload, contender, tree_set, scratch, results):
    """What an empty request takes now, for the floor of what was just measured."""
    if results.family.bare and (contender.name in promises.HELD or contender.name == results.family.bare):
        with Mount(contender, results.family, tree_set.get(EMPTY.layers), scratch, box="asked") as mount:
            seconds, _ = EMPTY.steps[0].clock(shell(EMPTY.steps[0].command, mount, {"PATH": os.environ["PATH"]})[1])
            results.add_asked(workload.name, contender.name, seconds / EMPTY.steps[0].calls)


def rounds(workload, contenders, tree_set, scratch, results, count, floors):
    """The sentences about those who did not do the work: they are left out from then on."""
    wrong = {}
    for turn in range(count):
        shift = turn % max(1, len(contenders))
        for contender in contenders[shift:] + contenders[:shift]:
            if contender.name in wrong or not contender.does(workload):
                continue
            try:
                measure(workload, contender, tree_set, scratch, results, look=turn == 0)
                if floors:
                    ask(workload, contender, tree_set, scratch, results)
            except Wrong as error:
                wrong[contender.name] = f"{workload.name}: {error}"
                results.forget(workload.name, contender.name)
    return list(wrong.values())


# ---- the run ------------------------------------------------------------------------------------

def peer(words):
    name, _, program = words.partition("=")
    if not name or not os.access(program, os.X_OK):
        raise argparse.ArgumentTypeError(f"{words}: not NAME=PATH of a program")
    return name, os.path.abspath(program)


def arguments():
    names = [w.name for w in WORKLOADS]
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD",
                        help=f"of {', '.join(names)}; without any, all, or with --quick {', '.join(QUICK)}")
    parser.add_argument("--quick", action="store_true", help="2,000 files, small sizes, 3 rounds, the main contenders")
    parser.add_argument("--rounds", type=int, help="of every workload and contender (5)")
    parser.add_argument("--files", type=int, help="files of the tree")
    parser.add_argument("--large", type=int, metavar="MIB", help="size of the file that is copied up")
    parser.add_argument("--backing", choices=backings.BACKINGS, default="tmpfs",
                        help="the filesystem that everything lies on (tmpfs)")
    parser.add_argument("--contenders", type=lambda words: words.split(","), metavar="NAME,...")
    parser.add_argument("--peer", type=peer, action="append", default=[], metavar="NAME=PATH",
                        help="one more program with fuse-overlayfs's command line")
    parser.add_argument("--promises", action="store_true", help="status 1 if a promise is broken")
    parser.add_argument("--against", type=pathlib.Path, metavar="FILE",
                        help="status 1 if a ratio to kernel overlayfs is worse by half than FILE has it")
    parser.add_argument("--record", type=pathlib.Path, metavar="FILE", help="write the ratios for --against")
    parser.add_argument("--minutes", type=float, metavar="N",
                        help="begin no further workload after so long: what is left is for --continue")
    parser.add_argument("--continue", action="store_true", dest="continues",
                        help="go on with the run that --output has: the next part")
    parser.add_argument("--output", type=pathlib.Path, default=table.ROOT / "build" / "bench.json",
                        help="the results; a chart goes beside it, as .svg")
    options = parser.parse_args()
    for name in options.workloads:
        if name not in names:
            parser.error(f"no workload {name}")
    options.workloads = [w for w in WORKLOADS if w.name in options.workloads] or [
        w for w in WORKLOADS if w.name in QUICK or not options.quick]
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.files = options.files or (2_000 if options.quick else 15_000)
    options.large = options.large or (128 if options.quick else 1024)
    return options


def chosen(options):
    """The contenders that were asked for."""
    for name, program in options.peer:
        table.add_peer(name, program)
    quick = table.QUICK if options.quick else [c.name for c in table.every()]
    wanted = options.contenders or [*quick, *(name for name, _ in options.peer)]
    unknown = set(wanted) - {c.name for c in table.every()}
    if unknown:
        raise Wrong(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(c.name for c in table.every())}")
    return [c for family in {workload.family: 0 for workload in options.workloads}
            for c in table.FAMILIES[family].contenders if c.name in wanted]


class Run:
    """The workloads that were run, on layers that stay the same, and what came of it by family."""

    def __init__(self, options, contenders, scratch, about, sizes):
        self.options, self.contenders, self.scratch = options, contenders, scratch
        self.about, self.parts = about, parts_of.Parts(about["date"])
        self.what = {**sizes, "rounds": options.rounds, "versions": report.versions(contenders),
                     "programs": report.programs(contenders)}
        self.by_family = {name: Results(family, options.backing) for name, family in table.FAMILIES.items()}
        self.tree_set = trees.Trees(scratch, options.files, options.large << 20)
        if options.continues:
            self.parts = parts_of.continued(options.output, about, self.what, self.by_family, WORKLOADS)

    def add(self, chosen_workloads):
        for workload in chosen_workloads:
            print(f"{workload.name} ...", file=sys.stderr, flush=True)
            results = self.by_family[workload.family]
            count = min(self.options.rounds, workload.most_rounds or self.options.rounds)
            self.parts.wrong += rounds(workload, among(self.contenders, results), self.tree_set, self.scratch, results, count,
                                       floors=self.options.promises or not self.options.quick)
            self.parts.wrong += [f"{workload.name}: lower layers were changed: {name}"
                                 for name in (workload.layers, EMPTY.layers) if self.tree_set.changed(name)]

    def left(self):
        return [workload for workload in self.options.workloads if workload.name not in self.parts.done]

    def add_what_is_left(self):
        """As far as this part goes: one workload at least. Whoever ends the run loses the one that it is at."""
        began = time.monotonic()
        for workload in self.left():
            self.add([workload])
            self.parts.done.append(workload.name)
            self.keep()
            if self.options.minutes is not None and time.monotonic() - began >= 60 * self.options.minutes:
                break

    def confirm(self, path):
        """Runs again what seems to be slower than recorded: a busy machine is slow now and then."""
        union = self.by_family["union"]
        for _ in range(CONFIRMATIONS):
            names = {measure.split("/")[0] for measure, _ in recorded.slower(path, union)}
            self.add([workload for workload in self.options.workloads if workload.name in names])

    def keep(self):
        report.write_json(self.options.output, self.about, self.what, self.measured(), self.parts)

    def measured(self):
        return [results for results in self.by_family.values() if results.values]


def among(contenders, results):
    return [contender for contender in contenders if contender in results.family.contenders]


def tell(options, made):
    about, measured = made.about, made.measured()
    for results in measured:
        report.print_table(results, among(made.contenders, results))
        report.print_requests(results, among(made.contenders, results))
    made.keep()
    chart.write(options.output.with_suffix(".svg"),
                f"{about['processor']}, {about['cores']} cores, Linux {about['kernel']}, {made.parts.dates[0]}: medians of "
                f"{options.rounds} rounds, {options.files} files, on {options.backing}",
                [(results, among(made.contenders, results)) for results in measured])
    print(f"\n{options.output} and {options.output.with_suffix('.svg')}")
    if made.left():
        print(f"left: {' '.join(workload.name for workload in made.left())}; the same with --continue goes on")


def against(path, sizes, results):
    """A sentence for all that is worse than the record."""
    if told := recorded.silence(path):
        print(told, file=sys.stderr)
    return recorded.differences(path, sizes) or [
        text for _, text in recorded.slower(path, results) + recorded.busier(path, results)]


def verdicts(options, sizes, measured):
    """True when nothing that was asked to be held was broken."""
    found = promises.verdicts(measured)
    report.print_verdicts(found)
    kept = not options.promises or all(verdict.kept for verdict in found)
    for results in measured:
        if results.family is not table.FAMILIES["union"]:
            continue
        if options.record:
            recorded.write(options.record, sizes, results, table.every())
        for text in against(options.against, sizes, results) if options.against else ():
            print(f"WORSE:   {text}")
            kept = False
    return kept


def run(options, scratch):
    wanted = chosen(options)
    table.build(wanted)
    contenders = [c for c in wanted if c.available()]
    about = report.machine()
    sizes = {"backing": options.backing, "files": options.files, "large_mib": options.large}
    report.print_head(about, contenders, [c for c in wanted if c not in contenders])
    print(f"  {options.files} files, {options.rounds} rounds, all on {options.backing}")
    made = Run(options, contenders, scratch, about, sizes)
    made.add_what_is_left()
    if options.against and not recorded.differences(options.against, sizes):
        made.confirm(options.against)
    tell(options, made)
    kept = verdicts(options, sizes, made.measured())
    for text in made.parts.wrong:
        print(f"wrong: {text}", file=sys.stderr)
    return 0 if kept and not made.parts.wrong else 1


def open_fuse_to_all(scratch):
    """A device of this mount namespace's own, so that ordinary users can mount; the host's stays."""
    device = os.path.join(scratch, "fuse")
    os.mknod(device, stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
    os.chmod(device, 0o666)
    subprocess.run(["mount", "--bind", device, "/dev/fuse"], check=True)


def main():
    options = arguments()
    # Whoever is told to end leaves no daemon, no directory and no counting behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
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
