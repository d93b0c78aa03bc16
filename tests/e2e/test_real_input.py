"""The 651 s Binance recording through simulator, WebSocket and REST, producer, Kafka and Faust (issue: real input)."""

import gzip
import json
import subprocess
import sys
from collections import Counter
from decimal import Decimal

import pytest

from COBY.codec import decode
from COBY.text import decimal_text
from tests.e2e.system import DERIVED, contents, raw_rows, recomputed, system, until
from tests.reference import compare, run
from tests.reference.settings import Settings

RECORDING = "binance/hftbacktest_btcusdt_651s.jsonl.gz"
TRADES = 19_904
SPEED = "40"


@pytest.fixture(scope="module")
def played(kafka, frames_dir, tmp_path_factory):
    """What the topics hold after the recording was played once, at forty times its pace."""
    env = {
        **kafka.env,
        "TOPIC_PREFIX": "treal",
        "SYMBOLS": "BTCUSDT",
        "UPDATE_FREQUENCY": "0.05",
        "STORE_INTERVAL": "1.0",
        # At this speed the usual buffer is full when Kafka stands still for two seconds.
        "DATA_BUFFER_SIZE": "200000",
    }
    options = ("--recording", str(frames_dir / RECORDING), "--speed", SPEED, "--snapshot-wait", "120")
    names = ("producer-binance", "streams", "clock")
    with system(tmp_path_factory.mktemp("real"), env, names=names, options=options) as running:
        until(lambda: running.ledger()["state"] == "ended", 120, "the recording's end")
        until(lambda: running.count("trade") >= TRADES, 60, "all trades in the topic")
        reached = running.count("heatmap")
        until(lambda: running.count("heatmap") > reached + 80, 120, "4 s of ticks: all candles settle")
        running.rest()
        yield running


@pytest.fixture(scope="module")
def book_tickers(frames_dir):
    """Update id -> best bid, its size, best ask, its size, as the exchange itself said."""
    found = {}
    with gzip.open(frames_dir / RECORDING, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            if row["channel"] == "bookTicker":
                data = json.loads(row["frame"])["data"]
                found[data["u"]] = [[data["b"], data["B"]], [data["a"], data["A"]]]
    return found


def records(running, name):
    return [decode(record.value) for record in running.read(name)]


@pytest.fixture(scope="module")
def rebuilt(played, tmp_path_factory):
    """Update id -> best levels, decoded by `coby decode` from what `coby record` took from the raw topic."""
    folder = tmp_path_factory.mktemp("rebuilt")
    env = {
        "TOPIC_PREFIX": "treal",
        "KAFKA_BOOTSTRAP_SERVERS": played.config.kafka_bootstrap_servers,
        "LOG_FILE": "-",
    }
    path = str(folder / "raw.jsonl.gz")
    coby(["record", "--exchange", "binance", path], env)
    lines = coby(["decode", "--exchange", "binance", "--books", "1", path], env).splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["type"] for row in rows} == {"trade", "book", "status"}
    assert len({row["trade_id"] for row in rows if row["type"] == "trade"}) == TRADES
    assert all(row["live"] for row in rows if row["type"] == "book")
    return {row["sequence_id"]: [row["bids"][0], row["asks"][0]] for row in rows if row["type"] == "book"}


def coby(arguments, env):
    program = "from COBY.runtime.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_every_trade_is_in_the_topic_once(played):
    ids = Counter(trade.trade_id for trade in records(played, "trade"))
    assert len(ids) == TRADES
    assert set(ids.values()) == {1}


def test_no_gap_is_announced_and_no_book_is_ever_crossed(played):
    assert records(played, "gap") == []
    assert played.messages("dlq") == []
    ticks = [tick for tick in records(played, "book") if tick.live]
    assert len(ticks) > 100  # of 400: a clock that stands still leaves some out
    assert all(tick.bids[0].price < tick.asks[0].price for tick in ticks if tick.bids and tick.asks)


def test_the_rebuilt_book_equals_the_exchanges_book_ticker_at_every_common_update_id(rebuilt, book_tickers):
    common = sorted(set(rebuilt) & set(book_tickers))
    assert len(common) > 1_000
    assert [rebuilt[number] for number in common] == [book_tickers[number] for number in common]


def test_every_tick_of_faust_shows_the_book_of_its_update_id(played, rebuilt, book_tickers):
    """Ticks come between updates: each must show the very book that the decoder proved at that id."""
    seen, told = 0, 0
    for tick in records(played, "book"):
        if tick.live and tick.bids and tick.asks:
            shown = [
                [decimal_text(side[0].price), decimal_text(side[0].size)] for side in (tick.bids, tick.asks)
            ]
            if (
                tick.sequence_id in rebuilt
            ):  # a tick between snapshot and first update shows the snapshot's id
                assert shown == rebuilt[tick.sequence_id]
                seen += 1
            if tick.sequence_id in book_tickers:
                assert shown == book_tickers[tick.sequence_id]
                told += 1
    assert seen > 60
    assert told > 8


def test_the_topics_hold_what_one_undisturbed_worker_makes_of_the_raw_topic(played):
    expected = recomputed(played)
    for name in DERIVED:
        assert contents(played.read(name)) == expected[name], name


def test_an_independent_computation_of_the_raw_topic_gives_the_same_records(played):
    settings = Settings(("binance",), ("BTCUSDT",), {"BTCUSDT": Decimal(10)}, update_frequency_us=50_000)
    expected = run.compute(raw_rows(played), settings)
    for name in run.TOPICS:
        actual = [compare.decode(name, record.value) for record in played.read(name)]
        assert len(actual) > 10, name
        assert compare.compare_topic(name, expected[name], actual) == [], name
