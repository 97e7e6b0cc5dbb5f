# SPDX-License-Identifier: MIT
"""What was promised, as a table, and how each promise was kept.

A promise is about the time of a contender: in times of a peer's, or of its own at another measure, or in
seconds (of memory, in MiB). One that the kernel's FUSE makes impossible is held to the floor instead
(floors.py): at most ABOVE_FLOOR times as long as it.
"""
import dataclasses

from floors import above_floor

ABOVE_FLOOR = 1.15


@dataclasses.dataclass(frozen=True)
class Promise:
    measure: str
    contender: str
    most: float
    peer: str = ""  # in times of this contender's
    than: str = ""  # in times of its own at this measure
    only_on: tuple = ()  # the backings that it is made for; none: all

    def value(self, results):
        """What is held against `most`, or None where it was not measured."""
        if self.only_on and results.backing not in self.only_on:
            return None
        if self.peer or self.than:
            return results.ratio(self.measure, self.contender, self.peer or self.contender, self.than)
        return results.median(self.measure, self.contender)

    def words(self, value, unit):
        if self.peer:
            return f"{value:.2f} of {self.peer}'s time, promised at most {self.most:.2f}"
        if self.than:
            return f"{value:.2f} of its {self.than}, promised at most {self.most:.2f}"
        factor = 1000 if unit == "ms" else 1
        return f"{value * factor:.1f} {unit}, promised at most {self.most * factor:g}"


def _all(names, contenders, most, peer="kernel"):
    return tuple(Promise(name, contender, most, peer) for contender in contenders for name in names)


# Without privilege, and there with small writes gathered in the page cache; and as root, where plyfs has files passed
# through, and requests through io_uring.
PLAIN, WRITEBACK, ROOT = ("plyfs-stateless",), ("plyfs-writeback",), ("passthrough-uring",)
OURS = PLAIN + ROOT
REFLINKING = ("xfs", "btrfs")  # where a copy shares its blocks
WARM = ("find/warm", "tar/warm", "grep/warm", "python/warm", "gcc")
COLD = ("find/cold", "tar/cold")
CHANGES = ("untar", "copy", "rm-upper", "rm-lower", "git-clone", "dpkg")
DIRECTORY = ("directory/lookup", "directory/list", "directory/create", "directory/delete")
VOLUME_METADATA = ("volume-find/cold", "volume-find/warm", "volume-stat/cold", "volume-stat/warm",
                   "volume-list/cold", "volume-list/warm", "volume-chmod", "volume-create",
                   "volume-rm", "volume-untar")
VOLUME_SMALL = ("volume-read-4k/warm", "volume-randread-4k/warm", "volume-write-4k",
                "volume-randwrite-4k", "volume-sync-4k", "volume-randsync-4k")
VOLUME_DATA = (*VOLUME_SMALL, "volume-read-4k/cold", "volume-randread-4k/cold",
               "volume-read-1m/cold", "volume-read-1m/warm", "volume-write-1m")

PROMISES = (
    *_all(WARM, PLAIN, 1.0), *_all(WARM, ROOT, 1.1),
    *_all(COLD, PLAIN, 2.0), *_all(COLD, ROOT, 1.5),
    *_all(CHANGES, PLAIN, 4.5), *_all(CHANGES, ROOT, 2.5),
    *_all(CHANGES, PLAIN, 0.5, "fuse-overlayfs"), *_all(CHANGES, ROOT, 0.3, "fuse-overlayfs"),
    *_all(("chown-upper",), PLAIN, 5.0), *_all(("chown-upper",), ROOT, 4.0),
    *_all(("chmod",), PLAIN, 1.0), *_all(("chmod",), ROOT, 0.8),
    *_all(("chown-upper", "chmod"), OURS, 0.3, "fuse-overlayfs"),
    *_all(("find/cold", "chown"), PLAIN, 0.5, "fuse-overlayfs"),
    *_all(("write-4k",), WRITEBACK, 1.3), *_all(("write-4k",), ROOT, 1.2),
    *_all(("append",), PLAIN, 3.0), *_all(("append",), ROOT, 2.5),
    *_all(("sqlite",), WRITEBACK, 1.5), *_all(("sqlite",), ROOT, 1.2),
    *_all(("write-1m",), PLAIN, 2.0), *_all(("read-1m/cold",), PLAIN, 1.5), *_all(("read-1m/warm",), PLAIN, 1.0),
    *_all(("write-1m", "read-1m/cold", "read-1m/warm"), ROOT, 1.1),
    *(Promise("copyup-chmod", name, 0.010) for name in OURS),
    *(Promise("copyup-append", name, 0.010, only_on=REFLINKING) for name in OURS),
    *(Promise("layers-500/warm", name, 1.05, than="layers-2/warm") for name in OURS),
    *(Promise("layers-500/absent", name, 1.05, than="layers-2/absent") for name in OURS),
    *(Promise("layers-500/mount", name, 0.100) for name in OURS),
    *_all(("layers-500/cold",), OURS, 1.2),
    *_all(DIRECTORY, PLAIN, 3.0), *_all(DIRECTORY, ROOT, 2.0),
    *_all(("image-walk/cold", "image-walk/warm"), PLAIN, 2.5), *_all(("image-walk/cold", "image-walk/warm"), ROOT, 2.0),
    *_all(("image-walk/cold", "image-walk/warm"), PLAIN, 0.35, "fuse-overlayfs"),
    *_all(("image-walk/cold", "image-walk/warm"), ROOT, 0.3, "fuse-overlayfs"),
    *(Promise("memory/walked", name, 200) for name in OURS),
    *(Promise("memory/forgotten", name, 20) for name in OURS),
    # Twice the work in two thirds more time is half as much again at once.
    *(Promise("parallel/2", name, 2 / 1.5, than="parallel/1") for name in OURS),
    *(Promise("first-answer", name, 0.020) for name in OURS),
    *_all(("ledger-find/cold", "ledger-find/warm", "ledger-untar", "ledger-chmod"), ("unwatched",), 1.02, "without"),
    *_all(("ledger-copyups",), ("ledger",), 1.05, "named-without"),
    *_all(VOLUME_SMALL, ("plyfs-volume",), 1 / 0.95, "bind"),
    # Like with like: both lag a second behind the host, or neither does.
    *_all(VOLUME_METADATA, ("plyfs-volume-cached",), 0.5, "bindfs-user"),
    *_all(VOLUME_DATA, ("plyfs-volume-cached",), 1.0, "bindfs-user"),
    *_all(VOLUME_METADATA, ("plyfs-volume-user",), 0.5, "bindfs-coherent"),
    *_all(VOLUME_DATA, ("plyfs-volume-user",), 1.0, "bindfs-coherent"),
)
HELD = {promise.contender for promise in PROMISES}


@dataclasses.dataclass(frozen=True)
class Verdict:
    promise: Promise
    value: float
    kept: bool
    by_floor: bool
    words: str


def _judge(promise, results, value):
    unit = "MiB" if promise.measure in results.sizes else "ms"
    words = f"{promise.measure}: {promise.contender} takes {promise.words(value, unit)}"
    if value <= promise.most:
        return Verdict(promise, value, True, False, words)
    above = above_floor(results, promise.measure, promise.contender)
    if above is None:
        return Verdict(promise, value, False, False, words)
    number = results.requests.get(promise.measure, {}).get(promise.contender)
    words += f"; {above:.2f} of the floor, with {number} requests, at most {ABOVE_FLOOR}"
    return Verdict(promise, value, above <= ABOVE_FLOOR, True, words)


def verdicts(measured):
    """One for every promise that was measured."""
    return [_judge(promise, results, value) for promise in PROMISES for results in measured
            if promise.contender in {c.name for c in results.family.contenders}
            and (value := promise.value(results)) is not None]
