"""Tasks that crash at any record boundary, as Hypothesis state machines: what all of them have in common.

A log grows by the rules of a subclass. One task takes it undisturbed, record by record. Another takes it in chunks of
any size, dies between two records or in the middle of delivering, and goes on from any snapshot it ever made, also an
older one than the last. What a reader has after dropping repeats by position must be the bytes of the undisturbed one.
"""

from __future__ import annotations

import random
from collections import defaultdict

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from COBY.snapshots import Snapshot, pack, unpack
from COBY.stage import header
from COBY.topics import PARTITIONS, partition_of

CALM = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
STRETCHES = (10, 60, 200)
"""Of records, at each boundary of which one rule crashes."""


def place_of(output):
    """(topic, partition), source, position: what readers of an output go by."""
    first, index = header(output.headers, "position").split(b":")
    where = output.topic, partition_of(output.key, PARTITIONS)
    return where, header(output.headers, "source"), (int(first), int(index))


class Crashes(RuleBasedStateMachine):
    """Subclasses give `make` (a new task) and rules that append to ``self.records``."""

    crash_points = 0
    """Of all runs of a class together: how often a task was dropped and another one went on."""

    def __init__(self):
        super().__init__()
        self.records = []
        self.undisturbed = self.make()
        self.states = [self.undisturbed.save()]
        self.expected = []
        self.made = {}
        self.streams = defaultdict(list)
        self.seen = defaultdict(list)
        self.last = {}
        self.one, self.fed = self.make(), 0
        self.kept = []

    def make(self):
        raise NotImplementedError

    # --- rules ------------------------------------------------------------------------------------------------------

    @rule(count=st.sampled_from([1, 2, 7, 40, 500]), again=st.integers(0, 6))
    def feed(self, count, again):
        """A chunk, with some records before it that were taken already."""
        self._grow()
        until = min(len(self.records), self.fed + count)
        outputs = self.one.process(self.records[max(0, self.fed - again) : until])
        assert outputs == [output for made in self.expected[self.fed : until] for output in made]
        self._deliver(outputs)
        self.fed = until
        saved = self.one.save()
        assert saved == self.states[until], "equal states give equal bytes"
        if self.one.next_offset is not None:
            self.kept.append((until, self._packed(saved)))

    @rule(pick=st.integers(0, 10**6))
    def crash(self, pick):
        """Another task goes on from any snapshot ever made, or from the oldest record."""
        self._grow()
        place = pick % (len(self.kept) + 1)
        self.one, self.fed = self.make(), 0
        if place < len(self.kept):
            self.fed, packed = self.kept[place]
            self.one.load(unpack(packed).state)
        self._count(1)

    @rule(count=st.sampled_from([1, 3, 30]), seed=st.integers(0, 10**6), pick=st.integers(0, 10**6))
    def crash_while_delivering(self, count, seed, pick):
        """Of each partition only a prefix of a chunk's outputs reached Kafka."""
        self._grow()
        share, prefixes, sizes = random.Random(seed), {}, defaultdict(int)
        outputs = self.one.process(self.records[self.fed : self.fed + count])
        for output in outputs:
            sizes[place_of(output)[0]] += 1
        prefixes = {where: share.randint(0, size) for where, size in sorted(sizes.items())}
        delivered = []
        for output in outputs:
            where, _, _ = place_of(output)
            prefixes[where] -= 1
            if prefixes[where] >= 0:
                delivered.append(output)
        self._deliver(delivered)
        self.crash(pick)

    @rule(stretch=st.sampled_from(STRETCHES))
    def crash_after_every_record(self, stretch):
        """Of the last stretch of the log: saved, dropped, loaded and fed one record, at each boundary."""
        self._grow()
        first = max(0, len(self.records) - stretch)
        state = self.states[first]
        for at in range(first, len(self.records)):
            one = self.make()
            one.load(state)
            assert one.process([self.records[at]]) == self.expected[at]
            state = one.save()
            assert state == self.states[at + 1]
        self._count(len(self.records) - first)

    # --- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def a_reader_has_a_prefix_of_every_stream(self):
        for where, outputs in self.seen.items():
            assert len(outputs) <= len(self.streams[where])

    def teardown(self):
        self._grow()
        self._deliver(self.one.process(self.records[self.fed :]))
        assert dict(self.seen) == {where: found for where, found in self.streams.items() if found}
        assert self.one.save() == self.states[-1]
        whole = self.make()
        assert whole.process(self.records) == [output for made in self.expected for output in made]
        assert whole.save() == self.states[-1]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _grow(self):
        """The undisturbed task takes what is new, one record after the other."""
        for record in self.records[len(self.expected) :]:
            outputs = self.undisturbed.process([record])
            self.expected.append(outputs)
            self.states.append(self.undisturbed.save())
            for output in outputs:
                place = place_of(output)
                assert place not in self.made, "a position is given once"
                self.made[place] = output
                self.streams[place[0]].append(output)

    def _deliver(self, outputs):
        """As a reader takes them: what is not newer than the last of its partition and source is a repeat."""
        for output in outputs:
            where, source, position = place_of(output)
            assert output == self.made[where, source, position], "what comes again is the same bytes"
            if position > self.last.get((where, source), (-1, -1)):
                self.last[where, source] = position
                assert output == self.streams[where][len(self.seen[where])]
                self.seen[where].append(output)

    def _packed(self, state):
        """As it lies in Kafka."""
        return pack(Snapshot("s", "t", 0, len(self.kept), self.one.next_offset, "h", state))

    def _count(self, points):
        type(self).crash_points += points
