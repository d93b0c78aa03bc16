"""NormalizeTask crashes at any record boundary: hand-made frames of one exchange on several connections."""

import random

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from COBY.normalize import NormalizeTask
from COBY.stage import StoredRecord
from COBY.topics import RAW_PARTITIONS, partition_of
from tests.machines import CALM, Crashes
from tests.normalize_log import CONFIG, POISON, Log, at
from tests.raw import depth, trade

CONNS = st.sampled_from(["c1", "c1", "c2", "c3", "c4"])
SYMBOLS = st.sampled_from(["BTCUSDT", "BTCUSDT", "ETHUSDT"])
PARTITION = partition_of(b"binance-0", RAW_PARTITIONS)


class HolesLog(Log):
    """A log from which retention may have taken records: offsets go on behind the hole."""

    def __init__(self):
        self.gone = 0
        super().__init__()

    def _add(self, *args, **headers):
        super()._add(*args, **headers)
        last = self.records[-1]
        self.records[-1] = last._replace(offset=last.offset + self.gone)


class Normalize(Crashes):
    """Times in seconds since the log's start; ``sequence``: last update id by connection and symbol."""

    task = NormalizeTask

    def __init__(self):
        super().__init__()
        self.log = HolesLog()
        self.records = self.log.records
        self.now, self.number, self.sequence = 0.0, 0, {}

    def make(self):
        return self.task(CONFIG, "binance", PARTITION)

    def next_id(self, conn, symbol):
        self.sequence[conn, symbol] = self.sequence.get((conn, symbol), 10) + 1
        return self.sequence[conn, symbol]

    # --- what exchanges and producers send --------------------------------------------------------------------------

    @initialize(conns=st.sampled_from([("c1",), ("c1", "c2"), ("c1", "c2", "c3")]))
    def connected(self, conns):
        for conn in conns:
            self.log.event(at(self.now), "connected", conn)
        self.traffic(conns, 7, 4, True)

    @rule(
        conns=st.sampled_from([("c1",), ("c2",), ("c1", "c2"), ("c2", "c4")]),
        seed=st.integers(0, 10**6),
        count=st.sampled_from([5, 20, 40]),
        fresh=st.booleans(),
    )
    def traffic(self, conns, seed, count, fresh):
        """What comes when all is well; ``fresh``: new snapshots first."""
        pick = random.Random(seed)
        for conn in conns if fresh else ():
            for symbol in ("BTCUSDT", "ETHUSDT"):
                self.snapshot(conn, symbol, 0)
        for _ in range(count):
            conn, symbol = pick.choice(conns), pick.choice(["BTCUSDT", "ETHUSDT"])
            if pick.random() < 0.7:
                self.updates(conn, symbol, [(pick.randint(90, 110), pick.randint(0, 3))])
            else:
                self.trades(conn, symbol, [(1, pick.randint(95, 105))], pick.choice([0.1, 0.3]))
            if pick.random() < 0.3:
                self.time_passes(pick.choice([0.05, 0.2, 0.4]), conns)

    @rule(conn=CONNS, symbol=SYMBOLS, ahead=st.sampled_from([0, 0, 0, -3, 3]))
    def snapshot(self, conn, symbol, ahead):
        last = self.sequence.setdefault((conn, symbol), 10) + ahead
        bids, asks = [["100.00", "1"], ["95.00", "2"]], [["101.00", "3"], ["140.5", "0.00000001"]]
        self.log.body(self.now, last, bids, asks, conn, symbol)

    @rule(
        conn=CONNS,
        symbol=SYMBOLS,
        levels=st.lists(st.tuples(st.integers(90, 110), st.integers(0, 3)), min_size=1, max_size=6),
    )
    def updates(self, conn, symbol, levels):
        for price, size in levels:
            number, level = self.next_id(conn, symbol), [str(price), str(size)]
            sides = ([level], []) if price <= 100 else ([], [level])
            self.log.ws(self.now, depth(number, number, *sides, symbol), conn)

    @rule(conn=CONNS, symbol=SYMBOLS)
    def a_crossed_book(self, conn, symbol):
        number = self.next_id(conn, symbol)
        self.log.ws(self.now, depth(number, number, [["120", "1"]], [], symbol), conn)

    @rule(
        conn=CONNS,
        symbol=SYMBOLS,
        steps=st.lists(st.tuples(st.integers(-1, 1), st.integers(80, 130)), min_size=1, max_size=5),
        late=st.sampled_from([0.0, 0.7, 5.0, 70.0]),
    )
    def trades(self, conn, symbol, steps, late):
        for step, price in steps:
            self.number = max(1, self.number + step)
            ms = round(at(self.now - late) / 10**6)
            self.log.ws(self.now, trade(self.number, str(price), "0.1", ms, price % 2 == 0, symbol), conn)

    @rule(conn=CONNS, symbol=SYMBOLS)
    def updates_that_never_came(self, conn, symbol):
        self.sequence[conn, symbol] = self.sequence.get((conn, symbol), 10) + 5

    @precondition(lambda self: "c1" in self.log._seq)
    @rule()
    def a_record_that_never_came(self):
        self.log.skip_seq("c1")

    @rule(conn=CONNS, name=st.sampled_from(["alive", "connected", "disconnected", "dropped", "subscribed"]))
    def event(self, conn, name):
        self.log.event(at(self.now), name, conn)

    @rule(symbol=SYMBOLS)
    def not_listed(self, symbol):
        self.log.event(at(self.now), "refused", "c2", symbol=symbol, not_listed=True, reason="unknown")

    @rule(conn=CONNS)
    def a_name_used_anew(self, conn):
        self.log._seq.pop(conn, None)
        self.log.event(at(self.now), "connected", conn)

    # --- what is wrong ----------------------------------------------------------------------------------------------

    @rule(
        conn=CONNS, value=st.sampled_from([*POISON[:6], None]), kind=st.sampled_from(["ws", "http", "event"])
    )
    def poison(self, conn, value, kind):
        self.log.frame(at(self.now), value, conn, kind, symbol="BTCUSDT")

    @rule(
        key=st.sampled_from([b"binance-0", b"clock", b"x", None]),
        headers=st.lists(
            st.tuples(
                st.sampled_from(["received_ns", "conn", "seq", "kind"]),
                st.sampled_from([b"1", b"mark", b"", b"\xff"]),
            ),
            max_size=4,
        ),
    )
    def odd_headers(self, key, headers):
        offset = len(self.records) + self.log.gone
        self.records.append(StoredRecord(offset, round(at(self.now) / 10**6), key, b"{}", headers))

    @rule(records=st.integers(1, 9))
    def retention_was_faster(self, records):
        self.log.gone += records

    # --- time -------------------------------------------------------------------------------------------------------

    @rule(
        seconds=st.sampled_from([0.01, 0.2, 0.5, 0.5, 1.3]),
        conns=st.sampled_from([("c1",), ("c1", "c2", "c3"), ()]),
    )
    def time_passes(self, seconds, conns):
        self.now += seconds
        self.log.beat(self.now, *conns)

    @rule(seconds=st.sampled_from([2.5, 61.0]))
    def time_jumps(self, seconds):
        self.now += seconds
        self.log.passed = self.now // 0.5 * 0.5
        self.log.mark(at(self.log.passed))

    @rule(back=st.sampled_from([0.0, 0.5, 3.0]))
    def a_second_clock(self, back):
        self.log.mark(at(max(0.0, self.log.passed - back)))

    @rule(conn=CONNS, hours=st.sampled_from([-2, 2]))
    def a_producer_with_a_wrong_clock(self, conn, hours):
        number = self.next_id(conn, "BTCUSDT")
        self.log.ws(self.now + 3600 * hours, depth(number, number, [["99", "1"]], []), conn)


Normalize.TestCase.settings = CALM
TestNormalizeCrashes = Normalize.TestCase


class Forgets(NormalizeTask):
    """A task that loses one part of its state."""

    part = "_mark_us"

    def load(self, state):
        super().load(state)
        if self.part == "_mark_us":
            self._mark_us = None
        elif self.part == "trades":
            for slot in self._slots.values():
                for symbol in slot.symbols.values():
                    symbol.trades.load(msgspec.structs.replace(symbol.trades.save(), ids=[], lines=b""))
        else:
            for slot in self._slots.values():
                for connection in slot._connections:
                    connection.asked_us = dict.fromkeys(connection.asked_us, 0)


@pytest.mark.parametrize("part", ["_mark_us", "trades", "asked"])
def test_a_task_that_forgets_a_part_of_its_state_is_found(part):
    class Machine(Normalize):
        task = type("Forgets", (Forgets,), {"part": part})

    quick = settings(
        CALM, max_examples=300, phases=[Phase.generate], database=None, print_blob=False, derandomize=True
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(Machine, settings=quick)
