# SPDX-License-Identifier: MIT
"""What the kernel's FUSE makes the least possible: a floor below which no daemon can come.

The client's work, that of the filesystem beneath and that of a union between them have to be done in any
case: their time is that of the kernel's own overlayfs, or for a volume of a bind mount (`Family.bare`). Each
request that the kernel sends comes on top of it, and takes at least what an empty one takes, which is asked
beside every workload in every round: each round has a floor of its own, whatever the machine's speed is then.
A request to read a file is never empty: it takes as many times an empty one as it takes of a file that is open
and cached, where it fills one page (`randread-4k/cold`, where each read is such a request). So does one with
whose answer the content of a file is sent, that the kernel has not asked for.
Reads and writes of one file cost more than their requests: in passthrough, which sends none, what the
kernel's passthrough costs; else a second page cache and the way of the bytes through a daemon. For them the
floor is the time of the least filesystem that can be (least.c), where it took part.
"""
import itertools
import statistics

READ = "randread-4k"


def request_costs(results, workload, contender):
    """Seconds of an empty request beside the workload, of each round; none where it was not asked."""
    asked = results.asked.get(workload, {})
    pairs = zip(asked.get(contender, []), asked.get(results.family.bare, []))
    return [ours - bare for ours, bare in pairs]


def read_factor(results, contender):
    """How many times an empty request the least one to read a file takes; None where it was not measured."""
    for name in results.values:
        workload, _, step = name.partition("/")
        number = results.reads.get(name, {}).get(contender)
        if workload.endswith(READ) and step == "cold" and number:
            rounds = zip(results.times(name, contender), results.times(name, results.family.bare),
                         request_costs(results, workload, contender))
            factors = [(ours - bare) / number / cost for ours, bare, cost in rounds]
            return statistics.median(factors) if factors else None
    return None


def _by_requests(results, name, contender):
    number = results.requests.get(name, {}).get(contender)
    if number is None:
        return []
    # What consists of reads (fio's) is not the floor of itself.
    reads = 0 if results.calls.get(name) else results.reads.get(name, {}).get(contender) or 0
    empty = number + reads * max(0, (read_factor(results, contender) or 1) - 1)
    costs = request_costs(results, name.split("/")[0], contender)
    return [bare + empty * cost for bare, cost in zip(results.times(name, results.family.bare), costs)]


def least_of(results, name, contender):
    """The contender that does in the least way what this one did; "" where there is none."""
    by_workload = next((dict(c.least) for c in results.family.contenders if c.name == contender), {})
    return by_workload.get(name.split("/")[0], "")


def floors(results, name, contender):
    """Seconds, of each round; none where some part was not measured, and for what is no time."""
    if name in results.sizes:
        return []
    by_least = results.times(name, least_of(results, name, contender))
    by_both = itertools.zip_longest(_by_requests(results, name, contender), by_least, fillvalue=0)
    return [max(both) for both in by_both]


def floor(results, name, contender):
    """Seconds: the median of the rounds; None without any."""
    of_rounds = floors(results, name, contender)
    return statistics.median(of_rounds) if of_rounds else None


def above_floor(results, name, contender):
    """How many times its floor a contender took: the median of the rounds; None without any."""
    pairs = zip(results.times(name, contender), floors(results, name, contender))
    ratios = [ours / least for ours, least in pairs]
    return statistics.median(ratios) if ratios else None
