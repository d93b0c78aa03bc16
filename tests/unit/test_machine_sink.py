"""The database sink's reduction: sinks that die before and after a commit, two at once, and writers that repeat.

The database is a model of what DESIGN.md asks of the real one: rows and progress move together or not at all, and only
from where the progress stands. Its tables must at every moment be the records up to the progress, each taken once.
"""

import json
from contextlib import nullcontext

import pytest
from confluent_kafka import Message
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from COBY.codec import encode
from COBY.records import NAMES, Candle, Gap, Heatmap, TradeEvent
from COBY.records import Cell as HeatmapCell
from sinks.batch import Batch, Taker
from sinks.rows import rows_of
from sinks.tables import last_per_key
from tests.machines import CALM

SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US
TOPICS = {f"coby.{name}.v1": name for name in ("trade", "ohlcv", "gap", "heatmap")}
SOURCES = st.sampled_from(["raw.a.v1/0", "raw.b.v1/3"])


class Database:
    """Tables, progress and holes; `commit` is one transaction."""

    def __init__(self):
        self.tables, self.progress, self.positions, self.holes = {}, {}, {}, []

    def commit(self, steps, batch, limit):
        """False: another writer has moved the progress, and nothing happened."""
        if any(self.progress.get((step.topic, step.partition), 0) != step.expected for step in steps):
            return False
        rows = {}
        for item in batch.items:
            for row in item.rows:
                rows.setdefault(row.table, []).append(row.values)
        for table, found in rows.items():
            for at in range(0, len(found), limit):
                kept = last_per_key(table, found[at : at + limit])
                assert len({table.key_of(one) for one in kept}) == len(kept), "an upsert touches a row once"
                for values in kept:
                    upsert(self.tables, table, values)
        for step in steps:
            self.progress[step.topic, step.partition] = step.next_offset
            self.positions[step.topic, step.partition] = json.loads(json.dumps(step.positions))
        self.holes += batch.holes
        return True


def upsert(tables, table, values):
    """One row after the other, by the rules of DESIGN.md: Recovery 7."""
    rows = tables.setdefault(table.name, {})
    named = dict(zip(table.columns, values, strict=True))
    key = tuple(named[column] for column in table.key)
    former = rows.get(key)
    if former is not None and table.name == "ohlcv_data" and named["revision"] < former["revision"]:
        return
    if former is not None and table.name == "gaps" and placed(former) > placed(named):
        return
    rows[key] = named


def placed(row):
    first, _, index = row["position"].partition(":")
    return int(first), int(index)


class Sinks(RuleBasedStateMachine):
    """Two sinks on the same partitions, as while a stopped one has been replaced and goes on."""

    taker = Taker

    def __init__(self):
        super().__init__()
        self.database = Database()
        self.log = {(topic, partition): [] for topic in TOPICS for partition in (0, 1)}
        self.oldest = dict.fromkeys(self.log, 0)
        self.place = {}
        self.sinks = [self.start(), self.start()]

    def start(self):
        """A sink that begins where the database says."""
        taker = self.taker(TOPICS, SECOND_US)
        taker.start(
            {where: self.database.progress.get(where, 0) for where in self.log}, self.database.positions
        )
        return taker, Batch()

    # --- what is written to the topics ------------------------------------------------------------------------------

    def add(self, record, source, partition):
        where = next(topic for topic, name in TOPICS.items() if name == NAMES[type(record)]), partition
        self.place[where, source] = place = self.place.get((where, source), 0) + 1
        headers = [("source", source.encode()), ("position", b"%d:0" % place)]
        self.log[where].append((encode(record), headers, record))

    @rule(
        source=SOURCES, partition=st.integers(0, 1), ids=st.lists(st.integers(0, 5), min_size=1, max_size=6)
    )
    def trades(self, source, partition, ids):
        for number in ids:  # the same id again: the same row, of which the last record stays
            size = len(self.log["coby.trade.v1", partition]) + 1
            symbol = f"S{partition}"
            self.add(
                TradeEvent(symbol, source[4], START_US, START_US, 5, size, "buy", str(number)),
                source,
                partition,
            )

    @rule(
        partition=st.integers(0, 1),
        minute=st.integers(0, 2),
        revisions=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    )
    def candles(self, partition, minute, revisions):
        for revision in revisions:
            at = START_US + minute * 60 * SECOND_US
            volume = len(self.log["coby.ohlcv.v1", partition])
            candle = Candle(
                f"S{partition}", at, "1m", 1, 4, 1, 2, volume, 7, revision, False, at + 62 * SECOND_US
            )
            self.add(candle, f"aggregate/S{partition}", partition)

    @rule(
        source=SOURCES,
        partition=st.integers(0, 1),
        since=st.integers(0, 2),
        closed=st.lists(st.booleans(), min_size=1, max_size=3),
    )
    def gaps(self, source, partition, since, closed):
        for is_closed in closed:
            at = START_US + since * SECOND_US
            until = at + 5 * SECOND_US if is_closed else None
            gap = Gap(
                f"S{partition}",
                source[4],
                at + 9,
                at,
                until,
                "stale",
                None,
                str(len(self.log["coby.gap.v1", partition])),
            )
            self.add(gap, source, partition)

    @rule(partition=st.integers(0, 1), half=st.integers(0, 6), cells=st.integers(0, 3))
    def heatmaps(self, partition, half, cells):
        at = START_US + half * SECOND_US // 2
        data = [HeatmapCell(price * 10**9, half + 1, 10**8, "bid", 1) for price in range(cells)]
        self.add(
            Heatmap(f"S{partition}", at, 10**9, data, None, None, [], []),
            f"aggregate/S{partition}",
            partition,
        )

    @rule(pick=st.integers(0, 10**6), back=st.integers(1, 6), count=st.integers(1, 6))
    def a_writer_repeats_itself(self, pick, back, count):
        where = sorted(self.log)[pick % len(self.log)]
        for value, headers, record in self.log[where][-back:][:count]:
            self.log[where].append((value, headers, record))

    @rule(pick=st.integers(0, 10**6), value=st.sampled_from([b"", b"junk"]))
    def junk(self, pick, value):
        self.log[sorted(self.log)[pick % len(self.log)]].append((value, [], None))

    @rule(pick=st.integers(0, 10**6), records=st.integers(1, 5))
    def retention(self, pick, records):
        where = sorted(self.log)[pick % len(self.log)]
        self.oldest[where] = min(len(self.log[where]), self.oldest[where] + records)

    # --- what sinks do ----------------------------------------------------------------------------------------------

    @rule(who=st.integers(0, 1), count=st.integers(1, 12), again=st.integers(0, 3))
    def collect(self, who, count, again):
        """Records of all partitions into the batch; ``again``: some come that were fetched before a seek."""
        taker, batch = self.sinks[who]
        for (topic, partition), log in sorted(self.log.items()):
            expected = taker.next_offsets[topic, partition]
            first = max(self.oldest[topic, partition], expected - again)
            for offset in range(first, min(len(log), expected + count)):
                value, headers, _ = log[offset]
                message = Message(
                    topic=topic, partition=partition, offset=offset, value=value, headers=headers
                )
                taker.take(batch, message)

    @rule(who=st.integers(0, 1), limit=st.sampled_from([1, 3, 1000]), answered=st.booleans())
    def commit(self, who, limit, answered):
        """Another writer, or an answer that is lost: the sink begins anew from the database."""
        taker, batch = self.sinks[who]
        if not batch:
            return
        stored = self.database.commit(taker.steps(batch), batch, limit)
        self.sinks[who] = (taker, Batch()) if stored and answered else self.start()

    @rule(who=st.integers(0, 1))
    def crash(self, who):
        self.sinks[who] = self.start()

    # --- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def the_tables_are_the_records_up_to_the_progress(self):
        tables, database = {}, self.database
        gone = {
            (hole.topic, hole.partition, at) for hole in database.holes for at in range(hole.first, hole.end)
        }
        last = {}
        for (topic, partition), log in sorted(self.log.items()):
            reached = database.progress.get((topic, partition), 0)
            for offset, (_, headers, record) in enumerate(log[:reached]):
                if record is None or (topic, partition, offset) in gone:
                    continue
                (_, source), (_, position) = headers
                place = int(position.split(b":")[0])
                if place <= last.get((topic, partition, source), 0):
                    continue  # Recovery 6
                last[topic, partition, source] = place
                for row in rows_of(record, position.decode(), SECOND_US):
                    upsert(tables, row.table, row.values)
        assert {name: rows for name, rows in database.tables.items() if rows} == tables
        for hole in database.holes:
            assert hole.end <= self.oldest[hole.topic, hole.partition], "only what retention took is a hole"

    def teardown(self):
        self.crash(0)
        self.collect(0, 10**6, 0)
        self.commit(0, 7, True)
        self.the_tables_are_the_records_up_to_the_progress()
        for where, log in self.log.items():
            assert self.database.progress.get(where, 0) == len(log) or self.oldest[where] == len(log)


Sinks.TestCase.settings = CALM
TestSinkCrashes = Sinks.TestCase


class ForgetsPositions(Taker):
    def start(self, offsets, positions):
        super().start(offsets, {})


def test_a_sink_that_forgets_the_positions_it_took_is_found():
    class Machine(Sinks):
        taker = ForgetsPositions

    for kind, is_found in ((Sinks, False), (Machine, True)):
        machine = kind()
        machine.trades("raw.a.v1/0", 0, [1, 1])  # the same row twice
        machine.collect(0, 12, 0)
        machine.commit(0, 1000, True)
        machine.the_tables_are_the_records_up_to_the_progress()
        machine.crash(0)
        place = sorted(machine.log).index(("coby.trade.v1", 0))
        machine.a_writer_repeats_itself(place, 2, 1)  # its first record once more
        machine.collect(0, 12, 0)
        machine.commit(0, 1000, True)
        with pytest.raises(AssertionError) if is_found else nullcontext():
            machine.the_tables_are_the_records_up_to_the_progress()
