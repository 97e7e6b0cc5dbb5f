# SPDX-License-Identifier: MIT
"""What the kernel's FUSE makes the least possible: a floor below which no daemon can come.

The client's work, that of the filesystem beneath and that of a union between them have to be done in any
case: their time is that of the kernel's own overlayfs, or for a volume of a bind mount (`Family.bare`). Each
request that the kernel sends comes on top of it, and takes at least what an empty one takes (the workload
`request`, measured in the same run with the same mount). One to read a file is never empty: it takes at least
what it takes of a file that is open and cached, where it fills one page (`randread-4k/cold`, where each read
is such a request).
Reads and writes of one file cost more than their requests: in passthrough, which sends none, what the
kernel's passthrough costs; else a second page cache and the way of the bytes through a daemon. For them the
floor is the time of the least filesystem that can be (least.c), where it took part.
"""
REQUEST = "request"
READ = "randread-4k"


def request_cost(results, contender):
    """Seconds of an empty request, or None where it was not measured."""
    names = [name for name in results.values if name.split("/")[0].endswith(REQUEST)]
    for name in names:
        ours, bare = results.median(name, contender), results.median(name, results.family.bare)
        if ours is not None and bare is not None and results.calls.get(name):
            return (ours - bare) / results.calls[name]
    return None


def read_cost(results, contender):
    """Seconds of the least request to read a file, or None where it was not measured."""
    for name in results.values:
        if name.split("/")[0].endswith(READ) and name.endswith("/cold"):
            ours, bare = results.median(name, contender), results.median(name, results.family.bare)
            reads = results.reads.get(name, {}).get(contender)
            if None not in (ours, bare) and reads:
                return (ours - bare) / reads
    return None


def _requests_cost(results, name, contender):
    """Seconds of all requests of a measure, or None where something was not measured."""
    number, cost = results.requests.get(name, {}).get(contender), request_cost(results, contender)
    if None in (number, cost):
        return None
    # What consists of reads (fio's) is not the floor of itself.
    reads = 0 if results.calls.get(name) else results.reads.get(name, {}).get(contender) or 0
    return number * cost + reads * max(0, (read_cost(results, contender) or cost) - cost)


def least_of(results, name, contender):
    """The contender that does in the least way what this one did; "" where there is none."""
    by_workload = next((dict(c.least) for c in results.family.contenders if c.name == contender), {})
    return by_workload.get(name.split("/")[0], "")


def floor(results, name, contender):
    """Seconds, or None where some part of it was not measured."""
    asked, bare = _requests_cost(results, name, contender), results.median(name, results.family.bare)
    by_requests = bare + asked if None not in (asked, bare) else None
    by_least = results.median(name, least_of(results, name, contender))
    known = [seconds for seconds in (by_requests, by_least) if seconds is not None]
    return max(known, default=None)
