# SPDX-License-Identifier: MIT
"""What was recorded once, and whether a run is worse: ratios to kernel overlayfs, and requests.

Ratios alone are kept of times: they say the same on another machine, more or less, where seconds do not. A
ratio is worse when even its fastest round is more than WORSE times the recorded median, so that one busy spell
of a machine is no finding; a difference below NOISE seconds is none either. The number of requests is no matter
of the machine: it is worse when it has grown by more than a tenth, and by more than a handful.
"""
import json
import os

WORSE = 1.5
NOISE = 0.010
MORE, HANDFUL = 1.1, 20


def processors():
    return len(os.sched_getaffinity(0))


def write(path, sizes, results, contenders):
    reference = results.family.reference
    ours = [c.name for c in contenders if c.is_ours()]
    ratios = {name: {contender: round(ratio, 3) for contender in ours
                     if (ratio := results.ratio(name, contender, reference))}
              for name in results.values if results.median(name, reference)}
    requests = {name: {contender: by[contender] for contender in ours if contender in by}
                for name, by in results.requests.items()}
    record = {**sizes, "processors": processors(), "ratios": ratios, "requests": requests}
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def _worse(results, name, contender, recorded):
    ends = results.ends(name, contender, results.family.reference)
    if not ends or ends[0] <= recorded * WORSE:
        return None
    base = results.median(name, results.family.reference)
    if (ends[0] - recorded * WORSE) * base < NOISE:
        return None
    ratio = results.ratio(name, contender, results.family.reference)
    return (f"{name}: {contender} takes {ratio:.2f} of {results.family.reference}'s time ({ends[0]:.2f} in its "
            f"fastest round), recorded {recorded:.2f}")


def _more(results, name, contender, recorded):
    found = results.requests.get(name, {}).get(contender)
    if found is None or found <= recorded * MORE or found <= recorded + HANDFUL:
        return None
    return f"{name}: {contender} is sent {found} requests, recorded {recorded}"


def _each(table, judge, results):
    return [(name, text) for name, by in table.items() for contender, value in by.items()
            if (text := judge(results, name, contender, value))]


def differences(path, sizes):
    """Why a run with these sizes cannot be held against the record: sentences, none when it can."""
    record = json.loads(path.read_text())
    return [f"{path} is of another run: {key} was {record[key]}, is {sizes[key]}"
            for key in sizes if record[key] != sizes[key]]


def silence(path):
    """Why the record says nothing of times here, or None: a request takes another time with another number of
    processors, as client and daemon can share one of two."""
    recorded = json.loads(path.read_text())["processors"]
    if recorded == processors():
        return None
    return f"{path} is of {recorded} processors, here are {processors()}: only requests are held against it"


def slower(path, results):
    """(measure, sentence) for each ratio that is worse than the recorded one."""
    return [] if silence(path) else _each(json.loads(path.read_text())["ratios"], _worse, results)


def busier(path, results):
    """(measure, sentence) for each number of requests that has grown."""
    return _each(json.loads(path.read_text())["requests"], _more, results)
