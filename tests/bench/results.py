# SPDX-License-Identifier: MIT
"""What was measured of a family of contenders, and that all of them did the same.

Contenders are compared round by round: in each they took turns, and a machine that is slower for a while is so
for all of them. A ratio is the median of the rounds' ratios.
"""
import statistics


class Wrong(Exception):
    """A contender did not do what the others did: its times mean nothing."""


class Results:
    """Values by measure and contender of a family: seconds, or MiB for the measures named in `sizes`;
    what each measure's work must have given, the reads or writes that it is made of, how many
    requests it took, and how many of them to read the data of files; and by workload what an empty
    request took beside it, in each round."""

    def __init__(self, family, backing="tmpfs"):
        self.family, self.values, self.expected, self.sizes = family, {}, {}, set()
        self.backing = backing
        self.calls, self.requests, self.reads, self.asked = {}, {}, {}, {}

    def add(self, measure, contender, value):
        self.values.setdefault(measure, {}).setdefault(contender, []).append(value)

    def add_size(self, measure, contender, mebibytes):
        self.sizes.add(measure)
        self.add(measure, contender, mebibytes)

    def add_asked(self, workload, contender, seconds):
        self.asked.setdefault(workload, {}).setdefault(contender, []).append(seconds)

    def count(self, measure, contender, calls, requests, reads=None):
        self.calls[measure] = calls
        for table, number in ((self.requests, requests), (self.reads, reads)):
            if number is not None:
                table.setdefault(measure, {})[contender] = number

    def check(self, what, contender, found):
        first, expected = self.expected.setdefault(what, (contender, found))
        if found != expected:
            raise Wrong(f"{what[:80]}: {contender} gave {found!r}, {first} gave {expected!r}")

    def forget(self, workload, contender):
        """Nothing that a contender gave for a workload is kept: it did not do it rightly."""
        for table in (self.values, self.requests, self.reads, self.asked):
            for measure, by in table.items():
                if measure.split("/")[0] == workload:
                    by.pop(contender, None)

    def times(self, measure, contender):
        return self.values.get(measure, {}).get(contender, [])

    def median(self, measure, contender):
        values = self.times(measure, contender)
        return statistics.median(values) if values else None

    def ratios(self, measure, contender, peer, than=""):
        """Of each round that both took part in; `than`: to the peer's times at this measure."""
        pairs = zip(self.times(measure, contender), self.times(than or measure, peer))
        return [ours / theirs for ours, theirs in pairs if theirs]

    def ratio(self, measure, contender, peer, than=""):
        ratios = self.ratios(measure, contender, peer, than)
        return statistics.median(ratios) if ratios else None

    def ends(self, measure, contender, peer):
        """The ratios of the round that went best for the contender, and of that which went worst."""
        ratios = self.ratios(measure, contender, peer)
        return (min(ratios), max(ratios)) if ratios else None

    def spread(self, measure, contender):
        """From the fastest to the slowest, as a part of the median."""
        values = self.times(measure, contender)
        return (max(values) - min(values)) / (statistics.median(values) or 1)
