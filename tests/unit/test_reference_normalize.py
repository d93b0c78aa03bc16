"""What normalize makes of a log of all kinds of losses, beside the independent computation of the same records."""

import random
from collections import Counter

import pytest

from COBY.config import load_config
from COBY.normalize import NormalizeTask
from COBY.stage import StoredRecord
from COBY.topics import RAW_PARTITIONS, partition_of
from tests.naive_book import NaiveBook
from tests.reference import compare
from tests.reference.by_hand import Log, settings
from tests.reference.by_hand_pushed import KrakenLog
from tests.reference.run import compute

TICK_US = 500_000
PLACE = ("symbol", "exchange", "timestamp", "reason", "until_time", "conn")


class Losses:
    """A log by seed: connections come and go, beside each other too; updates are lost, snapshots come."""

    def __init__(self, seed):
        self.pick, self.log, self.now = random.Random(seed), Log(), 0.0
        self.open, self.made, self.last, self.trades = [], 0, {}, 0
        self.log.marks(0.0)
        self.connect()
        for number in range(1, 400):
            self.now = number / 20
            self.step()
            if number % 10 == 0:
                for conn in self.open:
                    self.on(conn).event(self.now - 0.001, "alive")
                self.log.marks(self.now)

    def on(self, conn):
        self.log.conn = conn
        return self.log

    def connect(self):
        self.made += 1
        conn = f"c{self.made}"
        self.open, self.last[conn] = [*self.open, conn][-3:], self.pick.randint(10, 90)
        self.on(conn).event(self.now, "connected")

    def step(self):
        what = self.pick.choice(
            ["update"] * 9 + ["loss", "body", "body", "connect", "end", "dropped", "deal"]
        )
        if not self.open or (what == "connect" and self.pick.random() < 0.5):
            self.connect()
            return
        conn = self.pick.choice(self.open)
        if what == "update":
            self.last[conn] += 1
            price = str(self.pick.randint(90, 99))
            self.on(conn).depth(
                self.now, self.last[conn], self.last[conn], [[price, str(self.pick.randint(0, 3))]], []
            )
        elif what == "loss":
            self.last[conn] += 3
        elif what == "body":
            self.on(conn).snapshot(self.now, self.last[conn], [["95", "1"], ["90", "2"]], [["101", "3"]])
        elif what == "end":
            self.open.remove(conn)
            self.on(conn).event(self.now, "disconnected")
        elif what == "dropped":
            self.on(conn).event(self.now, "dropped")
        elif what == "deal":
            self.trades += self.pick.choice([0, 1])
            self.on(conn).trade(self.now, self.trades, "100", "0.1")


class Checksums:
    """The same of an exchange whose books a checksum alone proves: updates lost show in the next one's checksum."""

    def __init__(self, seed):
        pick, self.log, self.naive = random.Random(seed), KrakenLog(), NaiveBook(1000)
        self.log.marks(0.0)
        self.log.event(0.0, "connected")
        self.log.instrument(0.01, 1, 1)
        whole = [("99.0", "1.0"), ("98.0", "2.0")], [("101.0", "3.0"), ("102.0", "4.0")]
        for number in range(1, 400):
            now, what = number / 20, pick.choice(["update"] * 14 + ["loss", "snapshot"])
            side, price = pick.choice([(0, f"{pick.randint(90, 98)}.0"), (1, f"{pick.randint(102, 110)}.0")])
            levels = ([], [])
            levels[side].append((price, f"{pick.randint(1, 9)}.0"))
            if what == "snapshot" or number == 1:
                self.naive.take(*whole, True)
                self.log.book(now, "snapshot", *whole, self.digits())
            else:
                self.naive.take(*levels, False)
                if what == "update":
                    self.log.book(now, "update", *levels, self.digits())
            if number % 10 == 0:
                self.log.event(now, "alive")
                self.log.marks(now)

    def digits(self):
        """What the checksum is made of, by the exchange's description: ten asks, then ten bids, best first."""
        numbers = [level for name in ("asks", "bids") for level in self.naive.levels(name)[:10]]
        return "".join(f"{number:.1f}".replace(".", "").lstrip("0") for level in numbers for number in level)


def stored(record):
    """As tasks take it."""
    names = ("received_ns", "conn", "seq", "kind", "url", "symbol")
    headers = [(name, str(record[name]).encode()) for name in names if record.get(name) is not None]
    return StoredRecord(
        record["offset"], record["received_ns"] // 10**6, record["key"], record["value"], headers
    )


def made(records, exchange="binance"):
    """Topic -> decoded records of the pipeline's own task."""
    found = {}
    config = load_config({"SYMBOLS": "BTCUSDT", "HEATMAP_DEPTH": "50", "EXCHANGES": exchange})
    task = NormalizeTask(config, exchange, partition_of(f"{exchange}-0".encode(), RAW_PARTITIONS))
    for output in task.process([stored(one) for one in records]):
        if output.topic not in ("dlq", "control"):
            found.setdefault(output.topic, []).append(compare.decode(output.topic, output.value))
    return found


def noticed(row):
    """A silence is noticed by the pipeline at ticks, by the independent computation at each record: the next tick."""
    if row["reason"] != "producer_lost" or row.get("until_time") is not None:
        return row
    return row | {"timestamp": -(-row["timestamp"] // TICK_US) * TICK_US}


@pytest.mark.parametrize("seed", range(12))
def test_books_trades_gaps_and_intervals_are_those_of_the_independent_computation(seed):
    records = Losses(seed).log.records()
    expected, actual = compute(records, settings()), made(records)
    for name in ("trade", "book"):
        assert compare.compare_topic(name, expected[name], actual.get(name, [])) == [], name
    holes = [
        Counter(tuple(noticed(row)[key] for key in PLACE) for row in side["gap"])
        for side in (expected, actual)
    ]
    assert holes[0] == holes[1]
    ended = [row for row in actual["continuity"] if row["reason"] is not None]
    assert compare.compare_topic("continuity", [*map(noticed, expected["continuity"])], ended) == []
    assert len(ended) > 3


@pytest.mark.parametrize("seed", range(6))
def test_so_they_are_where_only_checksums_prove_a_book(seed):
    records = Checksums(seed).log.records()
    expected, actual = compute(records, settings(exchanges=("kraken",))), made(records, "kraken")
    assert compare.compare_topic("book", expected["book"], actual["book"]) == []
    holes = [Counter(tuple(row[key] for key in PLACE) for row in side["gap"]) for side in (expected, actual)]
    assert holes[0] == holes[1]
    assert {row["reason"] for row in actual["gap"]} == {"checksum"}
    ended = [row for row in actual["continuity"] if row["reason"] is not None]
    assert compare.compare_topic("continuity", expected["continuity"], ended) == []
    assert {(row["rule"], row["sequenced"]) for row in ended} == {("checksum", 0)}
    for row in ended:
        # Every book frame of the interval holds, but for the one that ended it.
        times = [one["received_ns"] // 1000 for one in records if b'"checksum"' in one["value"]]
        assert row["checked"] == sum(row["start_time"] <= time < row["timestamp"] for time in times)


@pytest.mark.parametrize("seed", range(12))
def test_gaps_and_intervals_meet(seed):
    """By the records alone: each interval ends where a gap begins, which ends where the next interval begins."""
    actual = made(Losses(seed).log.records())
    ended = [row for row in actual["continuity"] if row["reason"] is not None]
    opened = [row for row in actual["gap"] if row["until_time"] is None]
    closed = [row for row in actual["gap"] if row["until_time"] is not None]
    assert [(row["end_time"], row["reason"], row["conn"]) for row in ended] == [
        (row["from_time"], row["reason"], row["conn"]) for row in opened
    ]
    assert [row["until_time"] for row in closed] == [
        row["start_time"] for row in ended[1 : len(closed) + 1]
    ] + [row["until_time"] for row in closed[len(ended) - 1 :]]
    for row in ended:
        assert row["start_time"] <= row["end_time"] <= row["timestamp"]
