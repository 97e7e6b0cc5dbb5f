# SPDX-License-Identifier: MIT
"""A run in parts, for what takes hours: each part ends after the workload that it is at, with its layers
compared, and the next goes on with those that are left. All rounds and contenders of one workload are of
one part, with the empty requests that were asked beside it, so that its ratios are within one run."""
import json

from results import Wrong

SAME = ("processor", "cores", "kernel")


class Parts:
    """What earlier parts have done, and when each began; none at first."""

    def __init__(self, now):
        self.done, self.wrong, self.dates = [], [], [now]


def _refuse(path, what, theirs, ours):
    raise Wrong(f"{path} cannot be continued: it is of {what} {theirs}, this is {ours}; write to another with --output")


def _check(path, told, about, run):
    """run: what must be the same of sizes, rounds and programs."""
    for name in SAME:
        if told["machine"][name] != about[name]:
            _refuse(path, name, told["machine"][name], about[name])
    for name, ours in run.items():
        if told.get(name) != ours:
            _refuse(path, name, told.get(name), ours)


def _restore(told, families, workloads):
    """Measures go to the family of their workload."""
    of_workload = {workload.name: families[workload.family] for workload in workloads}
    for measure, by in told["measures"].items():
        results = of_workload[measure.split("/")[0]]
        if measure in told["calls"]:
            results.calls[measure] = told["calls"][measure]
        for contender, values in by.items():
            for value in values.get("seconds", []):
                results.add(measure, contender, value)
            for value in values.get("mebibytes", []):
                results.add_size(measure, contender, value)
            for table, what in ((results.requests, "requests"), (results.reads, "reads")):
                if values[what] is not None:
                    table.setdefault(measure, {})[contender] = values[what]
    for workload, by in told["asked"].items():
        of_workload[workload].asked[workload] = by


def continued(path, about, run, families, workloads):
    """The parts so far, their results put into `families`. Wrong when this run is another."""
    try:
        told = json.loads(path.read_text())
        _check(path, told, about, run)
        _restore(told, families, workloads)
    except (OSError, ValueError, KeyError) as error:
        raise Wrong(f"{path} cannot be continued: {error!r}; begin without --continue") from error
    parts = Parts(about["date"])
    parts.done, parts.wrong, parts.dates = told["done"], told["wrong"], [*told["dates"], about["date"]]
    return parts
