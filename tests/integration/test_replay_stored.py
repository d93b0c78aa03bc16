"""The database as a source of replays, on real servers: joined to topics that have lost their first half."""

from collections import defaultdict
from dataclasses import replace

import pytest

from COBY.codec import decode
from COBY.runtime.reader import Reader
from COBY.stage import header
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import StorageError
from replay.borders import Border, Pair, Part, parts_of, source_of
from replay.items import Cursor, merged
from replay.log import Range, stored
from replay.queries import TABLES, Chosen
from replay.stored import Stored, without_table
from tests.integration.replay_run import DERIVED, TABLED, half_expired, place
from tests.integration.sink_helpers import query
from tests.integration.verify_run import SECONDS, SYMBOLS

KEYS = {
    "ohlcv": lambda one: (one.symbol, one.timestamp, one.timeframe),
    "gap": lambda one: (one.symbol, one.exchange, one.from_time, one.reason),
    "continuity": lambda one: (one.symbol, one.exchange, one.start_time),
}
"""Of tables that hold the last record of a key: what the key is (docs/tables.md)."""
ALL = Chosen()


class Half:
    """The run: what was made, and what is where."""

    def __init__(self, cfg, database, start_ns, outputs, log):
        self.cfg, self.database, self.outputs = cfg, database, outputs
        self.within = Range(start_ns // 10**6 - 60_000, start_ns // 10**6 + 1000 * SECONDS + 60_000)
        self.log = log
        self.opened = []

    def stored(self, asked=ALL, within=None):
        """Closed at the test's end."""
        self.opened.append(Stored(self.cfg, within or self.within, asked))
        return self.opened[-1]

    def close(self):
        while self.opened:
            self.opened.pop().close()

    def of(self, name):
        return [one for one in self.outputs if one.topic == name]

    def in_topic(self, name):
        """What a reader of the topic takes, from its oldest records on, repeats dropped."""
        topic, reader, found = topic_name(self.cfg.topic_prefix, name), Reader(), []
        for number in self.log.partitions(topic):
            for batch in self.log.batches(topic, number, *self.log.bounds(topic, number)):
                found += [one for one in map(stored, batch) if reader.is_new(topic, number, *place(one))]
        return found


@pytest.fixture(scope="module")
def half(kafka, timescale):
    with half_expired(kafka, timescale, "treplay") as (cfg, database, start_ns, outputs, log):
        yield Half(cfg, database, start_ns, outputs, log)


@pytest.fixture(autouse=True)
def closed(half):
    yield
    half.close()


def given(stored, parts):
    """Topic (without prefix) -> the items of its streams."""
    found = defaultdict(list)
    for stream in stored.streams(parts):
        found[stream.name[0].split(".")[1]] += stream.since(0)
    return found


@pytest.fixture(scope="module")
def joined(half):
    """The database's items by topic."""
    source = half.stored()
    return given(source, source.parts(DERIVED, half.log))


def held(name, outputs):
    """Of records in order those that the tables still hold, by the tables' documentation."""
    records = [(one, decode(one.value)) for one in outputs]
    if name == "book":
        records = [pair for pair in records if pair[1].live and not pair[1].timestamp % 1_000_000]
    if name == "heatmap":
        records = [pair for pair in records if not pair[1].timestamp % 1_000_000]
    if name in KEYS:
        records = list({KEYS[name](record): (one, record) for one, record in records}.values())
    return [one for one, _ in records]


# --- the border -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLED)
def test_database_and_topic_together_hold_each_record_once(half, joined, name):
    """For what the database holds: nothing is lost, nothing comes from both, and nothing that was never made."""
    topic = {place(one) for one in half.in_topic(name)}
    database = [place(one) for one in joined[name]]
    assert len(set(database)) == len(database) > 0
    assert not topic & set(database)
    kept = {place(one) for one in held(name, half.of(name))}
    assert topic | set(database) == topic | kept
    assert topic < {place(one) for one in half.of(name)}
    assert 0 < len(topic) < len(half.of(name))


@pytest.mark.parametrize("name", TABLED)
def test_records_of_the_database_are_those_of_the_topic(half, joined, name):
    """Key, timestamp, source, position, and all bytes but of books. (Flags of trades are all false here.)"""
    live = {place(one): one for one in half.of(name)}
    source = half.stored()
    alone = given(source, source.parts([name], None))[name]
    assert alone
    for item in (*joined[name], *alone):
        one = live[place(item)]
        assert (item.key, item.time_ms) == (one.key, one.timestamp_ms)
        assert item.topic == topic_name(half.cfg.topic_prefix, name)
        assert [header[0] for header in item.headers] == ["source", "position", "from"]
        assert header(item.headers, "from") == b"database"
        if name == "book":
            same_book(decode(item.value), decode(one.value))
        else:
            assert item.value == one.value


HELD = ["symbol", "exchange", "timestamp", "live", "reason", "sequence_id", "bids", "asks", "bucket_size"]
HELD += ["mid_price", "spread", "bid_volume", "ask_volume", "imbalance", "quality"]


def same_book(found, live):
    for field in HELD:
        assert getattr(found, field) == getattr(live, field)
    assert (found.covered_low, found.covered_high) == (live.bids[-1].price, live.asks[-1].price)
    assert 0 < len(found.bid_buckets) <= len(live.bid_buckets)
    volumes = {one.price: one.volume for one in live.bid_buckets}
    assert all(volumes[one.price] == one.volume for one in found.bid_buckets)
    assert (found.conn, found.bars) == (None, [])


def test_trades_lie_on_both_sides_of_the_border_by_their_own_time(half, joined):
    """Else nothing would have been shown: by exchange time the two would overlap, by receipt they do not."""
    for exchange in ("binance", "okx"):
        sides = [
            [record for one in part if (record := decode(one.value)).exchange == exchange]
            for part in (joined["trade"], half.in_topic("trade"))
        ]
        for symbol in SYMBOLS:
            before, after = ([one for one in side if one.symbol == symbol] for side in sides)
            assert len(before) + len(after) == 2 * SECONDS
            assert max(one.timestamp for one in before) > min(one.received_at for one in after) + 1_000_000
            assert min(one.timestamp for one in after) < max(one.received_at for one in before) - 1_000_000
            assert max(one.received_at for one in before) < min(one.received_at for one in after)


def test_each_source_has_a_border_of_its_own(half):
    """The slower exchange's first record left is of an earlier time than the other's."""
    source = half.stored()
    parts = {part.pair: part for part in source.parts(["trade"], half.log)}
    assert len(parts) == 4
    for symbol in SYMBOLS:
        fast, slow = (parts[Pair(symbol, name)].border for name in ("binance", "okx"))
        first = {name: min(place(one)[1] for one in half.in_topic("trade")
                 if one.key == symbol.encode() and name in place(one)[0]) for name in ("binance", "okx")}  # fmt: skip
        assert (fast.position, slow.position) == (first["binance"], first["okx"])
        assert slow.time_us < fast.time_us


def test_the_order_is_time_source_position_and_merging_keeps_it(half, joined):
    for items in joined.values():
        for number in range(PARTITIONS):
            ours = [one for one in items if partition_of(one.key, PARTITIONS) == number]
            times = [(one.time_ms, *place(one)) for one in ours]
            assert [one[0] for one in times] == sorted(one[0] for one in times)
            assert [one.place for one in ours] == sorted({one.place for one in ours})
    source = half.stored()
    streams = source.streams(source.parts(DERIVED, half.log))
    everything = [item for _, _, item in merged(streams, {})]
    assert [one.time_ms for one in everything] == sorted(one.time_ms for one in everything)
    assert len(everything) == sum(map(len, joined.values()))


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.long), 4])
def test_pages_of_any_size_give_the_same_and_go_on_anywhere(half, joined, monkeypatch, rows):
    for name, table in list(TABLES.items()):
        monkeypatch.setitem(TABLES, name, table._replace(page_rows=rows))
    short = Range(half.within.from_ms + 60_000 + 10_000, half.within.from_ms + 60_000 + 22_000)
    source = half.stored(within=short)
    for stream in source.streams(source.parts(("trade", "heatmap", "gap"), half.log)):
        name = stream.name[0].split(".")[1]
        items = list(stream.since(0))
        expected = [one for one in joined[name] if short.holds(one.time_ms)
                    and partition_of(one.key, PARTITIONS) == stream.name[1]]  # fmt: skip
        assert [one._replace(place=0) for one in items] == [one._replace(place=0) for one in expected]
        for at in range(0, len(items), 5):
            cursor = Cursor(items[at].place + 1, items[at].time_ms)
            assert [item for _, _, item in merged([stream], {stream.name: cursor})] == items[at + 1 :]


@pytest.mark.parametrize(
    ("asked", "is_asked"),
    [
        (Chosen(frozenset({"ETHUSDT"})), lambda one: one.symbol == "ETHUSDT"),
        (Chosen(exchanges=frozenset({"okx"})), lambda one: getattr(one, "exchange", "okx") == "okx"),
        (Chosen(frozenset({"XRPUSDT"})), lambda one: False),
    ],
)
def test_symbols_and_exchanges_are_chosen(half, joined, asked, is_asked):
    """A heatmap or candle is of all exchanges, and stays."""
    source = half.stored(asked)
    found = given(source, source.parts(DERIVED, half.log))
    for name in TABLED:
        expected = [place(one) for one in joined[name] if is_asked(decode(one.value))]
        assert sorted(place(one) for one in found[name]) == sorted(expected)


def test_without_topics_the_database_gives_all_that_it_has(half):
    source = half.stored()
    parts = source.parts(DERIVED, None)
    found = given(source, parts)
    assert all(part.border is None for part in parts)
    for name in TABLED:
        expected = sorted(place(one) for one in held(name, half.of(name)))
        assert sorted(place(one) for one in found[name]) == expected


def test_a_row_far_from_the_border_in_time_is_of_another_slot(half):
    """Positions of another raw partition say nothing: here they would give all, and nothing."""
    source = half.stored()
    first, last = (half.within.from_ms + 60_000) * 1000, (half.within.to_ms - 60_000) * 1000
    pair = Pair("BTCUSDT", "binance")
    counts = []
    for border in (Border((2**60, 0), first), Border((0, 0), last)):
        found = given(source, [Part("trade", pair, source_of(half.cfg, pair), border)])
        counts.append(len(found["trade"]))
    # Two a second: those of a minute from the first on, and those earlier than a minute before the last.
    assert counts[0] in (120, 121)
    assert counts[1] == 2 * (SECONDS - 60)


def test_a_source_that_the_topic_has_no_more_is_all_the_database_s(half):
    (part,) = parts_of(half.cfg, half.log, "trade", [Pair("BTCUSDT", "kraken")])
    assert (part.source.rpartition("/")[0], part.border) == ("raw.kraken.v1", None)
    (part,) = parts_of(replace(half.cfg, topic_prefix="tnone"), half.log, "book", [Pair("BTCUSDT", "okx")])
    assert part.border is None


# --- what there is --------------------------------------------------------------------------------------------------


def test_it_says_what_it_can_not_give(half):
    assert without_table(["trade", *DERIVED, "control", "dlq"]) == ["consolidated", "control", "dlq"]
    source = half.stored()
    assert all(part.topic != "consolidated" for part in source.parts(DERIVED, half.log))
    begins = source.begins((*DERIVED, "dlq"))
    assert begins.keys() == set(TABLED)
    for name in TABLED:
        assert begins[name] == min(one.timestamp_ms for one in held(name, half.of(name)))
    later = half.stored(within=Range(half.within.from_ms + 120_000, half.within.to_ms))
    assert set(later.begins(TABLED).values()) == {later.within.from_ms}
    earlier = half.stored(within=Range(half.within.from_ms - 1_000, half.within.from_ms))
    assert set(earlier.begins(TABLED).values()) == {None}


def test_a_heatmap_whose_cells_are_gone_is_not_shown_as_empty(half):
    """Retention drops cells by the day and ticks by the week."""
    dsn = half.database.dsn
    query_all = "CREATE TABLE kept AS SELECT * FROM heatmap_data"
    with_connection(
        dsn, query_all, "SELECT drop_chunks('heatmap_data', older_than => now() + interval '1 day')"
    )
    source = half.stored()
    try:
        found = given(source, source.parts(["heatmap"], None))["heatmap"]
        assert source.begins(["heatmap"])["heatmap"] is not None
    finally:
        with_connection(dsn, "INSERT INTO heatmap_data SELECT * FROM kept", "DROP TABLE kept")
    assert all(not decode(one.value).exchanges for one in found)
    assert 0 < len(found) < len(held("heatmap", half.of("heatmap")))


def with_connection(dsn, *texts):
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as conn:
        for text in texts:
            conn.execute(text)


# --- the database away ----------------------------------------------------------------------------------------------


def test_an_unreachable_database_has_its_code(half):
    source = Stored(replace(half.cfg, db_port=1), half.within, Chosen())
    with pytest.raises(StorageError, match=r"db\.unreachable"):
        source.parts(["trade"], None)


def test_after_a_broken_connection_it_goes_on_where_it_was(half, monkeypatch):
    monkeypatch.setitem(TABLES, "trade", TABLES["trade"]._replace(page_rows=10))
    source = half.stored()
    stream = source.streams(source.parts(["trade"], None))[0]
    whole = list(stream.since(0))
    items = stream.since(0)
    taken = [next(items) for _ in range(10)]
    query(
        half.database.dsn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND application_name = 'coby'",
    )
    with pytest.raises(StorageError, match=r"db\.unreachable"):
        next(items)
    assert taken + list(stream.since(taken[-1].place + 1)) == whole
