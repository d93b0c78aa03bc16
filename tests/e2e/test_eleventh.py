"""An exchange that no file here knows: one file and one folder, put where EXCHANGES_PATH says, and nothing else.

The file is the example of COBY/exchanges/README.md under another name; the folder (tests/eleventh) holds a server that
plays a conversation. Expected values are worked out by hand from the conversation's frames.
"""

import json
import shutil
import sys
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import psycopg
import pytest
import redis

from COBY.codec import decode
from COBY.config import load_config
from COBY.records import UNITS
from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics
from deploy.local.ports import HOST, free_port
from deploy.local.programs import Program, on_free_ports, pipeline
from deploy.local.supervise import Programs
from sinks.schema import migrate
from tests.e2e.system import System, until
from tests.own_exchanges import example, forgetting

NAME = "quayside"
ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/eleventh"
SECOND_US = 1_000_000
AT_US = 1_717_243_200 * SECOND_US  # 2024-06-01 12:00:00 UTC: the conversation's own times begin there
TRADES = [
    ("BTCUSDT", "b1", "buy", Decimal(50001), Decimal("0.5"), AT_US + 90_000),
    ("BTCUSDT", "b2", "sell", Decimal("50000.5"), Decimal("0.25"), AT_US + 1_740_000),
    ("ETHUSDT", "e1", "sell", Decimal(3000), Decimal("1.5"), AT_US + 1_790_000),
]
# (side, bucket) -> volume. Buckets of 10: 49995 and 49990 fall into 49990, 50001 and 50009.9 into 50000.
ASKS = {("ask", 50000): Decimal("5.5"), ("ask", 50010): Decimal(4)}
FIRST = {("bid", 50000): 2, ("bid", 49990): 2, ("ask", 50000): 4, ("ask", 50010): 4}
CHANGED = {("bid", 50000): 2, ("bid", 49990): Decimal("0.5"), **ASKS}
AGAIN = {**CHANGED, ("bid", 49980): Decimal("0.25")}
LAST = {**CHANGED, ("bid", 49980): Decimal("1.25")}
STATES = [{}, FIRST, CHANGED, {}, AGAIN, LAST]
CERTAIN = (CHANGED, LAST)  # the others may fall between two ticks
# Volume / 5.5, the largest of the frame, half-even at the 8th decimal.
INTENSITY = {
    ("bid", 50000): "0.36363636",
    ("bid", 49990): "0.09090909",
    ("bid", 49980): "0.22727273",
    ("ask", 50000): "1",
    ("ask", 50010): "0.72727273",
}
ETH = {("bid", 3000): 10, ("bid", 2999): 4, ("ask", 3000): 6, ("ask", 3001): Decimal("2.5")}


def written(place: Path) -> Path:
    """One file, one folder; where the folder is."""
    (place / f"{NAME}.py").write_text(example(NAME))
    shutil.copytree(FIXTURES, place / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    assert sorted(one.name for one in place.iterdir()) == [NAME, f"{NAME}.py"]
    return place / NAME


@pytest.fixture(scope="module")
def known():
    with forgetting():
        yield


@pytest.fixture(scope="module")
def running(known, kafka, timescale, redis_session, tmp_path_factory):
    """The system after the conversation, 4 s of ticks later: candles have settled."""
    place, port = tmp_path_factory.mktemp("own"), free_port()
    folder, gate = written(place), tmp_path_factory.mktemp("gate") / "open"
    with timescale.database() as database:
        env = {**kafka.env, **redis_session.env, **database.env, "LOG_FILE": "-", "TOPIC_PREFIX": "televenth"}
        env |= {
            "EXCHANGES_PATH": str(place),
            "EXCHANGES": NAME,
            f"{NAME.upper()}_WS_URL": f"ws://{HOST}:{port}",
        }
        env |= {"SYMBOLS": "BTCUSDT,DOGEUSDT,ETHUSDT", "BUCKET_SIZE_DOGEUSDT": "0.01"}
        config = load_config(env)
        apply_topics(config)
        with connect(config) as connection:
            migrate(connection)
        server = Program("exchange", (sys.executable, str(folder / "server.py"), str(port), str(gate)))
        table = on_free_ports(pipeline([NAME]))
        reading = [program for program in table if program.name == f"producer-{NAME}"]
        others = [program for program in table if program not in reading]
        with Programs(tmp_path_factory.mktemp("others"), others, env=env) as rest:
            rest.wait_ready(seconds=120)
            system = System(config, rest, "")
            until(lambda: system.count("heatmap") > 0, 60, "ticks before the exchange is there")
            with Programs(tmp_path_factory.mktemp("exchange"), [server, *reading], env=env) as sockets:
                sockets.wait_ready(seconds=120)
                until(lambda: CHANGED in shown(system), 60, "a tick at the first state that is certain")
                gate.touch()
                until(lambda: system.count("trade") >= len(TRADES), 60, "all trades in the topic")
                until(lambda: shown(system)[-1] == LAST, 60, "a tick at the last state")
                reached = system.count("heatmap")
                until(lambda: system.count("heatmap") > reached + 3 * 8, 90, "4 s of ticks")
                yield system
                states = [*rest.status().values(), *sockets.status().values()]
                assert not any(state.restarts for state in states)


def records(running, name, symbol=None):
    found = [decode(record.value) for record in running.read(name)]
    return [record for record in found if symbol in (None, record.symbol)]


def volumes(heatmap):
    return {(cell.side, cell.price // UNITS): Decimal(cell.volume) / UNITS for cell in heatmap.data}


def shown(running):
    """The heatmaps of BTCUSDT so far, by volumes."""
    return [volumes(one) for one in records(running, "heatmap", "BTCUSDT")]


def eventually(config, query, *arguments, wanted):
    """Wait until a query's only value is `wanted`; sinks write a moment after the topic."""
    with psycopg.connect(config.get_database_url(), autocommit=True) as connection:
        until(lambda: connection.execute(query, arguments).fetchone() == wanted, 60, f"{query} = {wanted}")


def test_nothing_in_the_repository_names_the_eleventh_exchange():
    suffixes = {".py", ".md", ".yml", ".toml", ".avsc", ".sql", ".jsonl", ""}
    folders = ("COBY", "producers", "streams", "sinks", "simulator", "schemas", "deploy", "docs", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.glob("*") if path.is_file()]
    named = [path for path in files if path.suffix in suffixes and NAME in path.read_text().lower()]
    assert named == [Path(__file__).resolve()]


def test_its_frames_lie_in_its_raw_topic_as_they_came(running):
    rows = [json.loads(line) for line in (FIXTURES / "conversation.jsonl").read_text().splitlines()]
    messages = running.messages("raw", NAME)
    frames = [one.value() for one in messages if dict(one.headers())["kind"] == b"ws"]
    assert [frame for frame in frames if frame != b"."] == [
        row["frame"].encode() for row in rows if row["dir"] == "in"
    ]
    assert len({dict(one.headers())["conn"] for one in messages if one.key() == f"{NAME}-0".encode()}) == 1


def test_its_books_come_through_to_the_heatmap_topic(running):
    heatmaps = records(running, "heatmap", "BTCUSDT")
    seen = [state for state, _ in groupby(map(volumes, heatmaps))]
    rest = iter(STATES)
    assert all(state in rest for state in seen), seen  # in this order
    assert all(state in seen for state in CERTAIN)
    last = heatmaps[-1]
    assert volumes(last) == LAST
    assert {(cell.side, cell.price // UNITS): Decimal(cell.intensity) / UNITS for cell in last.data} == {
        place: Decimal(share) for place, share in INTENSITY.items()
    }
    assert {cell.exchange_count for cell in last.data} == {1}
    assert [(one.exchange, one.covered_low, one.covered_high) for one in last.exchanges] == [
        (NAME, None, None)
    ]
    # 50 buckets a side from the best prices: 50000 down to 49510, and 50000 up to the end of 50490.
    assert (last.covered_low, last.covered_high) == (49510 * UNITS, 50500 * UNITS)
    assert volumes(records(running, "heatmap", "ETHUSDT")[-1]) == ETH


def test_a_symbol_it_refuses_is_not_listed(running):
    last = records(running, "heatmap", "DOGEUSDT")[-1]
    assert (last.data, [(one.exchange, one.reason) for one in last.missing]) == ([], [(NAME, "not_listed")])


def test_its_trades_are_told_once_with_the_takers_side(running):
    found = [
        (
            one.symbol,
            one.trade_id,
            one.side,
            Decimal(one.price) / UNITS,
            Decimal(one.size) / UNITS,
            one.timestamp,
        )
        for one in sorted(records(running, "trade"), key=lambda one: one.trade_id)
    ]
    assert found == TRADES


def test_its_own_sequence_rule_finds_the_hole_and_asks_for_a_snapshot(running):
    gaps = [(gap.symbol, gap.reason, gap.detail) for gap in records(running, "gap") if gap.until_time]
    assert [gap for gap in gaps if gap[1] == "sequence_gap"] == [
        ("BTCUSDT", "sequence_gap", "expected 102, got 109")
    ]
    assert [(one.symbol, one.reason) for one in records(running, "control")] == [("BTCUSDT", "sequence_gap")]
    (letter,) = running.messages("dlq")
    assert (letter.value(), dict(letter.headers())["code"]) == (b"D|BTC~USDT|112", b"frame.shape")


def test_its_heatmaps_trades_and_candles_are_rows(running):
    stored = [one for one in records(running, "heatmap", "BTCUSDT") if one.timestamp % SECOND_US == 0]
    time_us = stored[-1].timestamp
    tick = "SELECT count(*) FROM heatmap_ticks WHERE symbol = 'BTCUSDT' AND timestamp = to_timestamp(%s)"
    eventually(running.config, tick, time_us // SECOND_US, wanted=(1,))
    with psycopg.connect(running.config.get_database_url()) as connection:
        cells = connection.execute(
            "SELECT side, price_bucket, volume, bucket_size, exchange_count FROM heatmap_data "
            "WHERE symbol = 'BTCUSDT' AND timestamp = to_timestamp(%s)",
            (time_us // SECOND_US,),
        ).fetchall()
        trades = connection.execute(
            "SELECT symbol, trade_id, side, price, size, (extract(epoch FROM timestamp) * 1000000)::bigint "
            "FROM trade_events WHERE exchange = %s ORDER BY trade_id",
            (NAME,),
        ).fetchall()
    assert {(side, int(price)): volume for side, price, volume, _, _ in cells} == LAST
    assert {cell[3:] for cell in cells} == {(Decimal(10), 1)}
    assert trades == TRADES
    candles = (
        "SELECT sum(volume), sum(trade_count), min(low_price), max(high_price) FROM ohlcv_data "
        "WHERE symbol = 'BTCUSDT' AND timeframe = '1s'"
    )
    eventually(running.config, candles, wanted=(Decimal("0.75"), 2, Decimal("50000.5"), Decimal(50001)))


def test_its_heatmap_is_the_latest_in_redis(running):
    config = running.config
    with redis.Redis.from_url(config.get_redis_url()) as client:
        key = f"{config.topic_prefix}:latest:heatmap:BTCUSDT"
        until(lambda: client.exists(key), 60, "a heatmap in Redis")
        shown = json.loads(client.get(key))
    assert {
        (cell["side"], int(Decimal(cell["price"]))): Decimal(cell["volume"]) for cell in shown["data"]
    } == LAST
