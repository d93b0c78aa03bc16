"""Recomputing as a source of replays: the ten-exchange market on a real Kafka that holds nothing derived from it."""

from itertools import islice, pairwise

import pytest

from COBY.codec import decode
from COBY.config import load_config
from COBY.runtime.kafka import apply_topics
from COBY.topics import topic_name
from replay.again import Again
from replay.items import Cursor, merged
from replay.log import Range
from tests.conftest import delete_topics
from tests.integration.replay_topics import Topics, contents, digest, sources
from tests.replay_market import NAMES, RAW_PARTITION, SYMBOLS, Worker, counts, market
from tests.virtual_producers import START_NS

START_MS = START_NS // 10**6
SECONDS = 50
CANDLES_FROM, CLOSED, BOOKS_FROM = 12, 18, 24
"""Seconds: normalize's two checkpoints, and between them aggregate's, with all that had come and was open yet."""
FIRST, LAST = 33, 45
WINDOW = Range(START_MS + 1000 * FIRST, START_MS + 1000 * LAST)
PREFIX = "tagain"

pytestmark = pytest.mark.long  # the market alone takes twenty seconds


class Recorded:
    """A market of which Kafka holds raw topics, settings and checkpoints."""

    def __init__(self, kafka):
        env = {**kafka.env, "EXCHANGES": ",".join(NAMES), "SYMBOLS": ",".join(SYMBOLS), "LOG_FILE": "-"}
        self.env = {**env, "TOPIC_PREFIX": PREFIX}
        self.cfg = load_config(self.env)
        apply_topics(self.cfg)
        self.market = market(SECONDS, drop_at=38)
        self.live = Worker(self.market, self.cfg, (CANDLES_FROM, BOOKS_FROM), (CLOSED,))
        self.topics = Topics(self.cfg)
        for exchange, found in self.market.items():
            for number, records in found.items():
                self.topics.raw(exchange, number, records)
        self.topics.settings(self.cfg, sources(self.market))
        for source, states in self.live.states.items():
            for number, (at, state) in enumerate(states):
                self.topics.checkpoint(self.cfg, source, at, state, number)
        self.told = []

    def again(self, within=WINDOW, **how):
        self.told = []
        return Again(self.cfg, within, tell=self.told.append, **how)

    def expected(self, within=WINDOW, live=None, topics=None):
        return (live or self.live).contents(*within, topics)

    def offsets(self):
        """Where normalize's tasks began: source -> offset."""
        lines = [line.split() for line in self.told if "from offset" in line]
        return {words[0].rstrip(":"): int(words[3]) for words in lines}


@pytest.fixture(scope="module")
def recorded(kafka):
    yield Recorded(kafka)
    delete_topics(kafka.bootstrap_servers, PREFIX)


DERIVED = {"trade", "book", "gap", "quality", "continuity", "heatmap", "consolidated", "ohlcv"}


def test_a_window_is_what_live_wrote_from_checkpoints_on(recorded):
    found = contents(recorded.again().since(0), PREFIX)
    expected = recorded.expected(topics=DERIVED)
    assert found == expected
    assert digest(found) == digest(expected)
    total = counts(found)
    # By arithmetic: two ticks a second of two symbols, of each exchange.
    assert total["heatmap"] == total["consolidated"] == 2 * 2 * (LAST - FIRST)
    assert total["book"] == len(NAMES) * total["heatmap"]
    assert min(total[name] for name in ("trade", "ohlcv", "quality", "continuity")) > 0
    # Only partitions that have a slot are read, from the first checkpoint: candles ask for what was open in it.
    firsts = {f"raw.{name}.v1/{RAW_PARTITION[name]}" for name in NAMES}
    assert recorded.offsets() == {name: recorded.live.states[name][0][0] for name in firsts}


def test_the_whole_is_what_live_wrote_from_the_oldest_record_on(recorded):
    whole = Range(0, START_MS + 1000 * 3600)
    found = contents(recorded.again(whole).since(0), PREFIX)
    assert found == recorded.expected(whole, topics=DERIVED)
    assert set(counts(found)) == DERIVED
    assert set(recorded.offsets().values()) == {0}


def test_without_candles_it_begins_at_the_newest_checkpoint(recorded):
    asked = ("heatmap", "consolidated", "gap")
    found = contents(recorded.again(topics=asked).since(0), PREFIX)
    assert found == recorded.expected(topics=asked)
    assert counts(found)["heatmap"] == 2 * 2 * (LAST - FIRST)
    for name, offset in recorded.offsets().items():
        assert offset == recorded.live.states[name][1][0]


@pytest.mark.parametrize(
    ("how", "read"),
    [
        ({"exchanges": ("okx", "mexc"), "topics": ("trade", "book")}, 2),
        ({"exchanges": ("okx",), "symbols": ("ETHUSDT",)}, 10),
    ],
)
def test_what_is_asked_for_is_all_that_comes(recorded, how, read):
    found = contents(recorded.again(**how).since(0), PREFIX)
    wanted = {}
    for (topic, source, key), records in recorded.expected(topics=set(how.get("topics", DERIVED))).items():
        is_of = source.startswith(b"aggregate") or source.split(b".")[1].decode() in how["exchanges"]
        if is_of and key.decode() in how.get("symbols", SYMBOLS):
            wanted[topic, source, key] = records
    assert found == wanted
    assert len(wanted) > 3
    assert len(recorded.offsets()) == read


def test_what_a_tick_closes_comes_after_the_last_of_its_books(recorded):
    name = {topic: topic_name(PREFIX, topic) for topic in DERIVED}
    closed = [name["heatmap"], name["consolidated"], name["ohlcv"]]
    items = list(recorded.again(symbols=("BTCUSDT",)).since(0))
    assert items[0].topic == name["book"]
    seen = {items[0].time_ms: {items[0].source}}
    for previous, item in pairwise(items):
        assert item.place == previous.place + 1
        if item.topic == name["book"]:
            seen.setdefault(item.time_ms, set()).add(item.source)
        elif item.topic in closed:
            assert len(seen[item.time_ms]) == len(NAMES)
            assert (previous.time_ms, previous.topic in (name["book"], *closed)) == (item.time_ms, True)
    assert len(seen) == 2 * (LAST - FIRST)


def test_it_goes_on_where_a_killed_one_stood(recorded):
    asked = ("trade", "heatmap", "gap")
    first = recorded.again(topics=asked)
    whole = list(first.since(0))
    assert [one.place for one in whole] == list(range(len(whole)))
    other = recorded.again(topics=asked, ends=first.ends)
    for place in (1, len(whole) // 2):
        killed = first.since(0)
        assert list(islice(killed, place)) == whole[:place]
        killed.close()
        assert list(other.since(place)) == whole[place:]
    taken = [(name, cursor, item) for name, cursor, item in merged([other], {})]
    name, cursor, _ = taken[9]
    assert (name, cursor.place) == (first.name, 10)
    assert [item for _, _, item in merged([other], {name: Cursor(*cursor)})] == whole[10:]


# --- under other settings -----------------------------------------------------------------------------------------


OTHERS = [
    {"BTC_BUCKET_SIZE": "25", "BUCKET_SIZE_ETHUSDT": "0.5", "HEATMAP_DEPTH": "12"},
    {"UPDATE_FREQUENCY": "1"},
]


@pytest.mark.parametrize("other", OTHERS)
def test_under_other_settings_it_is_what_a_run_under_them_makes(recorded, other):
    config = load_config({**recorded.env, **other})
    topics = {"trade", "book", "heatmap", "consolidated"}
    again = recorded.again(topics=topics, overrides=other)
    found = contents(again.since(0), PREFIX)
    expected = recorded.expected(live=Worker(recorded.market, config), topics=topics)
    assert found == expected
    hashes = {dict(headers)["settings"] for records in found.values() for *_, headers in records}
    assert hashes == {config.settings_hash.encode()} != {recorded.cfg.settings_hash.encode()}
    frame = decode(next(records for (topic, *_), records in found.items() if topic == "heatmap")[0][0])
    assert (len(frame.data) > 0, len(frame.exchanges)) == (True, len(NAMES))
    # Each began at a checkpoint of the former settings.
    assert min(recorded.offsets().values()) > 0


def test_candles_under_other_ticks_count_each_trade_once(recorded):
    """They settle at other ticks: what they hold in the end is the same."""

    def last_of(found):
        candles = [decode(value) for group in found for value, *_ in found[group]]
        return {
            (one.symbol, one.timeframe, one.timestamp): (one.open, one.high, one.low, one.close, one.volume)
            for one in candles
            if one.timestamp // 1000 > WINDOW.from_ms - 60_000 and one.timeframe in ("1s", "1m")
        }

    found = last_of(
        contents(recorded.again(topics=("ohlcv",), overrides={"UPDATE_FREQUENCY": "1"}).since(0), PREFIX)
    )
    live = last_of(recorded.expected(topics={"ohlcv"}))
    assert len(found) > 20
    assert {name: live[name] for name in found if name in live} == {
        name: found[name] for name in found if name in live
    }


def test_candles_do_not_depend_on_bucket_sizes(recorded):
    found = contents(recorded.again(topics=("ohlcv",), overrides=OTHERS[0]).since(0), PREFIX)
    expected = recorded.expected(topics={"ohlcv"})
    assert [[record[:3] for record in found[group]] for group in sorted(found)] == [
        [record[:3] for record in expected[group]] for group in sorted(expected)
    ]
