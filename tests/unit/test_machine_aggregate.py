"""AggregateTask crashes at any record boundary: book ticks of three exchanges by one and by several writers."""

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from COBY.aggregate import AggregateTask
from COBY.codec import encode
from COBY.records import Bar, Quality
from tests.aggregate_topic import CONFIG, GRID, NAMES, START, Topic, U, bars, tick
from tests.machines import CALM, Crashes

EXCHANGES = st.sampled_from(NAMES)
SYMBOLS = st.sampled_from(["BTCUSDT", "BTCUSDT", "ETHUSDT"])
QUALITY = Quality("BTCUSDT", "a", START, *[0] * 9)


class Aggregate(Crashes):
    """``numbers``: of the last tick by exchange and symbol; tick n is at START + n * GRID."""

    task = AggregateTask

    def __init__(self):
        super().__init__()
        self.topic = Topic()
        self.records = self.topic.records
        self.numbers = dict.fromkeys([(name, symbol) for name in NAMES for symbol in CONFIG.symbols], 0)
        self.places = dict.fromkeys(NAMES, 0)

    def make(self):
        return self.task(CONFIG, 0)

    def add(self, record, place=None):
        if place is None:
            place = self.places[record.exchange] = self.places[record.exchange] + 1
        self.topic.add(record, place)

    # --- what normalize writes --------------------------------------------------------------------------------------

    @initialize(symbol=SYMBOLS)
    def all_heard_once(self, symbol):
        self.ticks_of_all(symbol, 3, list(NAMES), [])

    @rule(
        symbol=SYMBOLS,
        count=st.sampled_from([1, 4, 12]),
        order=st.permutations(NAMES),
        blind=st.lists(EXCHANGES, max_size=2, unique=True),
    )
    def ticks_of_all(self, symbol, count, order, blind):
        """Every exchange goes on by as many ticks, one exchange after the other."""
        for name in order:
            self.ticks_of_one(name, symbol, count, name not in blind)

    @rule(name=EXCHANGES, symbol=SYMBOLS, count=st.integers(1, 5), live=st.booleans())
    def ticks_of_one(self, name, symbol, count, live):
        for _ in range(count):
            self.numbers[name, symbol] += 1
            self.add(tick(name, self.numbers[name, symbol], symbol, live))

    @rule(name=EXCHANGES, symbol=SYMBOLS, ticks=st.sampled_from([1, 3, 260]))
    def an_exchange_jumps(self, name, symbol, ticks):
        self.numbers[name, symbol] += ticks

    @rule(symbol=SYMBOLS, seconds=st.sampled_from([3, 130, 4000]))
    def all_exchanges_jump(self, symbol, seconds):
        furthest = max(self.numbers[name, symbol] for name in NAMES)
        for name in NAMES:
            self.numbers[name, symbol] = furthest + seconds * 10**6 // GRID

    @rule(
        name=EXCHANGES,
        symbol=SYMBOLS,
        late=st.lists(st.sampled_from([-2, 0, 1, 5, 59, 121, 400]), min_size=1, max_size=4),
        price=st.integers(50, 150),
    )
    def late_trades(self, name, symbol, late, price):
        """Bars of seconds long before the tick, or after it."""
        self.numbers[name, symbol] += 1
        record = tick(name, self.numbers[name, symbol], symbol)
        seconds = sorted({(record.timestamp // 10**6 - behind) * 10**6 for behind in late})
        made = [
            Bar(at, price * U, price * U, price * U, price * U, U // 10, 1, at + 7, price, at + 9, price + 1)
            for at in seconds
        ]
        self.add(msgspec.structs.replace(record, bars=made))

    # --- what several writers write ---------------------------------------------------------------------------------

    @rule(name=EXCHANGES, back=st.integers(1, 12), count=st.integers(1, 12))
    def a_writer_repeats_itself(self, name, back, count):
        """As after a crash of normalize: the same records with the same positions."""
        mine = [one for one in self.records if dict(one.headers).get("source") == f"raw.{name}.v1/0".encode()]
        for record in mine[-back:][:count]:
            self.records.append(record._replace(offset=len(self.records)))

    @rule(name=EXCHANGES, symbol=SYMBOLS, back=st.integers(0, 9))
    def a_tick_that_was_closed(self, name, symbol, back):
        """Of an odd writer: an old T at a new position."""
        number = max(1, self.numbers[name, symbol] - back)
        self.add(msgspec.structs.replace(tick(name, number, symbol), bars=bars(name, number + 1)))

    # --- what is wrong ----------------------------------------------------------------------------------------------

    @rule(
        value=st.sampled_from([b"", None, b"{}", b"\x00\x00\x00\x00\x63abc", b"\x00\x00\x00\x00\x02", encode(QUALITY)]),
        headers=st.sampled_from(
            [[], [("source", b"raw.a.v1/0")], [("source", b"\xff"), ("position", b"1:2")],
             [("source", b"x"), ("position", b"9")], [("source", b"x"), ("position", b"%d:0" % 2**64)]]
        ),
    )  # fmt: skip
    def junk(self, value, headers):
        self.topic.raw(value, headers)

    @rule(name=st.sampled_from(["a", "zzz"]), symbol=st.sampled_from(["BTCUSDT", "DOGEUSDT"]))
    def a_record_without_a_place(self, name, symbol):
        self.topic.raw(encode(msgspec.structs.replace(tick("a", 5), exchange=name, symbol=symbol)))

    @rule(name=EXCHANGES)
    def buckets_of_another_size(self, name):
        self.numbers[name, "BTCUSDT"] += 1
        self.add(tick(name, self.numbers[name, "BTCUSDT"], size=U))


Aggregate.TestCase.settings = CALM
TestAggregateCrashes = Aggregate.TestCase


class Forgets(AggregateTask):
    """A task that loses one part of its state."""

    part = "positions"

    def load(self, state):
        super().load(state)
        if self.part == "positions":
            self._positions = {}
        elif self.part == "closed":
            for waiting in self._waiting.values():
                waiting.open = {name: {} for name in waiting.open}
        else:
            for candles in self._candles.values():
                candles.state.tick_us = None


@pytest.mark.parametrize("part", ["positions", "closed", "candles"])
def test_a_task_that_forgets_a_part_of_its_state_is_found(part):
    class Machine(Aggregate):
        task = type("Forgets", (Forgets,), {"part": part})

    quick = settings(
        CALM, max_examples=300, phases=[Phase.generate], database=None, print_blob=False, derandomize=True
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(Machine, settings=quick)
