# SPDX-License-Identifier: MIT
"""Ratios to kernel overlayfs that were recorded once, and whether a run is worse than they were.

Ratios alone are kept: they say the same on another machine, more or less, where seconds do not. A ratio
is worse when even its fastest round is more than WORSE times the recorded median, so that one busy spell of
a machine is no finding; a difference below NOISE seconds is none either.
"""
import json

WORSE = 1.5
NOISE = 0.010


def write(path, sizes, results, contenders):
    reference = results.family.reference
    ratios = {name: {c.name: round(ratio, 3) for c in contenders
                     if c.is_ours() and (ratio := results.ratio(name, c.name, reference))}
              for name in results.values if results.median(name, reference)}
    path.write_text(json.dumps({**sizes, "ratios": ratios}, indent=1, sort_keys=True) + "\n")


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


def findings(path, sizes, results):
    """A line for each ratio that is worse than the recorded one."""
    record = json.loads(path.read_text())
    differ = [f"{key} was {record[key]}, is {sizes[key]}" for key in sizes if record[key] != sizes[key]]
    if differ:
        return [f"{path} is of another run and cannot be compared: {', '.join(differ)}"]
    return [text for name, by in record["ratios"].items() for contender, ratio in by.items()
            if (text := _worse(results, name, contender, ratio))]
