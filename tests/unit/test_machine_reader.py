"""The shared reader: writers that start again anywhere, a reader that is saved, dropped and loaded anywhere.

What it takes of each source, over all its lives, is each record once and in order.
"""

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from COBY.runtime.reader import Reader
from tests.machines import CALM

TOPIC = "coby.book.v1"
SOURCES = ("raw.a.v1/0", "raw.b.v1/3", "aggregate/BTCUSDT")


class Readers(RuleBasedStateMachine):
    """``log``: (source, number) of two partitions in order of offset; ``kept``: what was taken, with its state."""

    reader = Reader

    def __init__(self):
        super().__init__()
        self.log = {0: [], 1: []}
        self.written = dict.fromkeys([(at, source) for at in self.log for source in SOURCES], 0)
        self.one = self.reader()
        self.at = {0: 0, 1: 0}
        self.taken = {0: [], 1: []}
        self.kept = [(dict(self.at), {0: [], 1: []}, {0: {}, 1: {}})]

    @rule(
        at=st.integers(0, 1),
        source=st.sampled_from(SOURCES),
        count=st.integers(1, 12),
        back=st.integers(0, 9),
    )
    def a_writer_goes_on(self, at, source, count, back):
        """From a snapshot that may be some records old."""
        first = max(0, self.written[at, source] - back)
        self.log[at] += [(source, number) for number in range(first, first + count)]
        self.written[at, source] = max(self.written[at, source], first + count)

    @rule(at=st.integers(0, 1), count=st.integers(1, 30))
    def read(self, at, count):
        for source, number in self.log[at][self.at[at] : self.at[at] + count]:
            # Three indexes an offset: (0, 0), (0, 1), (0, 2), (1, 0) …
            if self.one.is_new(TOPIC, at, source, divmod(number, 3)):
                self.taken[at].append((source, number))
        self.at[at] = min(len(self.log[at]), self.at[at] + count)
        states = {where: self.one.save(TOPIC, where) for where in self.at}
        self.kept.append((dict(self.at), {where: list(taken) for where, taken in self.taken.items()}, states))

    @rule(pick=st.integers(0, 10**6), used=st.booleans())
    def crash(self, pick, used):
        """What was taken and where it stands are one transaction: both are as they were."""
        at, taken, states = self.kept[pick % len(self.kept)]
        self.at, self.taken = dict(at), {where: list(found) for where, found in taken.items()}
        self.one = self.one if used else self.reader()
        for where, state in states.items():
            self.one.load(TOPIC, where, state)

    @rule(at=st.integers(0, 1))
    def given_away_and_back(self, at):
        state = self.one.save(TOPIC, at)
        self.one.forget(TOPIC, at)
        assert self.one.save(TOPIC, at) == {}
        self.one.load(TOPIC, at, state)

    @invariant()
    def each_record_is_taken_once_and_in_order(self):
        for at, taken in self.taken.items():
            read = self.log[at][: self.at[at]]
            for source in SOURCES:
                mine = [number for whose, number in taken if whose == source]
                reached = max((number for whose, number in read if whose == source), default=-1)
                assert mine == list(range(reached + 1))


Readers.TestCase.settings = CALM
TestReaderCrashes = Readers.TestCase


class Forgets(Reader):
    def load(self, topic, partition, state):
        super().load(
            topic, partition, {source: place for source, place in state.items() if "/0" not in source}
        )


def test_a_reader_that_forgets_a_source_is_found():
    class Machine(Readers):
        reader = Forgets

    quick = settings(
        CALM, max_examples=1000, phases=[Phase.generate], database=None, print_blob=False, derandomize=True
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(Machine, settings=quick)
