# SPDX-License-Identifier: MIT
"""What is told of a run: the machine, tables for people, JSON for programs."""
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import time

from floors import above_floor, floor, read_factor, request_costs
from promises import verdicts

WIDTH = 25


def machine():
    model = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory = open("/proc/meminfo").readline().split()
    return {"processor": model[0] if model else os.uname().machine, "cores": os.cpu_count(),
            "memory_mib": int(memory[1]) // 1024, "kernel": os.uname().release,
            "load": os.getloadavg(), "date": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def print_head(about, contenders, missing):
    print(f"{about['processor']}, {about['cores']} cores, {about['memory_mib']} MiB, "
          f"Linux {about['kernel']}, load {about['load'][0]:.2f}, {about['date']}")
    for contender in contenders:
        print(f"  {contender.name}: {contender.version()}")
    for contender in missing:
        print(f"  {contender.name}: not here, left out ({contender.lacks()})")


def _cell(results, name, contender):
    middle = results.median(name, contender)
    if middle is None:
        return "-"
    ratio = results.ratio(name, contender, results.family.reference)
    return (f"{middle:.1f} MiB" if name in results.sizes else f"{middle:.3f}") + (
        f"{ratio:7.2f}x" if ratio else f"{'':8}") + f"{results.spread(name, contender):5.0%} "


def print_table(results, contenders):
    print(f"\nmedian seconds, times {results.family.reference}'s (the median of the rounds' ratios),"
          " (slowest - fastest) / median; - is what a contender cannot do")
    print(f"{'':24}" + "".join(f"{c.name:>{WIDTH}}" for c in contenders))
    for name in results.values:
        print(f"{name:24}" + "".join(f"{_cell(results, name, c.name):>{WIDTH}}" for c in contenders))


def _cost(results, name, contender):
    """Requests, and microseconds of each part beyond the reference."""
    number = results.requests[name].get(contender)
    base, ours = results.median(name, results.family.reference), results.median(name, contender)
    if number is None:
        return "-"
    parts = results.calls[name] or number
    if not parts or base is None or ours is None or name in results.sizes:
        return str(number)
    return f"{number}{(ours - base) / parts * 1e6:+10.2f} us"


def print_requests(results, contenders):
    """What FUSE costs: requests of the daemon, and the time beyond that of the reference, for each
    read or write of fio, whether it took a request or not; of other work, for each request."""
    fuse = [contender for contender in contenders if contender.is_fuse()]
    if not results.requests:
        return
    print(f"\nrequests, and microseconds beyond {results.family.reference}'s median for each read or write,"
          " else request")
    print(f"{'':24}" + "".join(f"{c.name:>{WIDTH}}" for c in fuse))
    for name in results.requests:
        print(f"{name:24}" + "".join(f"{_cost(results, name, c.name):>{WIDTH}}" for c in fuse))
    for contender in fuse:
        if costs := [cost for workload in results.asked for cost in request_costs(results, workload, contender.name)]:
            print(f"an empty request of {contender.name}: {statistics.median(costs) * 1e6:.1f} us "
                  f"({min(costs) * 1e6:.1f} to {max(costs) * 1e6:.1f})")
        if (factor := read_factor(results, contender.name)) is not None:
            print(f"one for a page of a file of {contender.name}: {factor:.2f} of that")


def print_verdicts(verdicts):
    """How the promises that were measured were kept, the broken ones last."""
    for verdict in sorted(verdicts, key=lambda verdict: not verdict.kept):
        sign = "BROKEN:  " if not verdict.kept else "floor:   " if verdict.by_floor else "kept:    "
        print(sign + verdict.words)


def _measure(results, name, contender):
    return {"mebibytes" if name in results.sizes else "seconds": results.times(name, contender),
            "median": results.median(name, contender), "spread": results.spread(name, contender),
            "requests": results.requests.get(name, {}).get(contender),
            "reads": results.reads.get(name, {}).get(contender),
            "floor": floor(results, name, contender), "above_floor": above_floor(results, name, contender),
            "ratio": results.ratio(name, contender, results.family.reference)}


def versions(contenders):
    return {contender.name: contender.version() for contender in contenders}


def programs(contenders):
    """What tells one build of a version from another."""
    paths = {contender.name: shutil.which(contender.program) for contender in contenders if contender.is_fuse()}
    return {name: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() for name, path in paths.items() if path}


def write_json(path, about, run, measured, parts):
    """run: sizes, rounds and the programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    measures = {name: {contender: _measure(results, name, contender) for contender in by}
                for results in measured for name, by in results.values.items()}
    kept = [[verdict.words, verdict.kept] for verdict in verdicts(measured)]
    calls = {name: number for results in measured for name, number in results.calls.items()}
    asked = {workload: by for results in measured for workload, by in results.asked.items()}
    text = json.dumps({"machine": about, **run, "measures": measures, "calls": calls, "asked": asked,
                       "wrong": parts.wrong, "done": parts.done, "dates": parts.dates, "promises": kept}, indent=1)
    path.write_text(text + "\n")
