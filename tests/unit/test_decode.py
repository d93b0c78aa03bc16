"""`coby decode`: recordings into events, by the pipeline's own code."""

import gzip
import json
from collections import Counter
from decimal import Decimal

import pytest
from click.testing import CliRunner

from COBY.decode import RecordingDecoder, only_book
from COBY.exchanges import load
from COBY.recordings import parse_recording
from COBY.runtime.decode_cli import decode
from tests.raw import book_body, depth, trade
from tests.reference.binance_book import rows as plain_rows

RECORDING = "hftbacktest_btcusdt_651s.jsonl.gz"


def row(message, at=None, **more):
    frame = message if isinstance(message, str) else json.dumps(message)
    return {"frame": frame, **({} if at is None else {"received_at_ns": at * 10**9})} | more


def body(last, bids, asks, at=None, **more):
    return row(book_body(last, bids, asks), at, dir="http", **more)


def run(rows, *, symbol=None, deltas=False, books=None):
    one = RecordingDecoder(load("binance"), symbol, deltas, books)
    return [event for each in parse_recording(map(json.dumps, rows)) for event in one.take(each)]


def of(events, kind):
    return [event for event in events if event["type"] == kind]


def test_the_recording_gives_the_book_its_own_book_tickers_tell(frames_dir):
    path = frames_dir / "binance" / RECORDING
    done = CliRunner().invoke(decode, ["--exchange", "binance", "--books", "1", str(path)])
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    messages = [each["message"] for each in plain_rows(path)]
    tickers = {message["u"]: message for message in messages if "B" in message}
    compared = 0
    for event in of(events, "book"):
        assert event["live"]
        assert Decimal(event["bids"][0][0]) < Decimal(event["asks"][0][0]), "never crossed"
        if (ticker := tickers.get(event["sequence_id"])) is not None:
            compared += 1
            told = [[ticker["b"], ticker["B"]], [ticker["a"], ticker["A"]]]
            assert [event["bids"][0], event["asks"][0]] == told, event
    assert compared == 1072
    expected = {str(message["t"]): message for message in messages if message.get("e") == "trade"}
    trades = of(events, "trade")
    assert len(trades) == len(expected) == 19_904
    for event in trades:
        message = expected.pop(event["trade_id"])
        assert (event["price"], event["size"]) == (message["p"], message["q"])
        assert event["side"] == ("sell" if message["m"] else "buy")
        assert (event["symbol"], event["exchange"]) == ("BTCUSDT", "binance")
    assert Counter(event["type"] for event in events) == {"book": len(of(events, "book")), "trade": 19_904}


def test_a_trade_row_has_the_promised_fields():
    (event,) = run([row(trade(7, "1.10", "2.0", 1_700_000_000_123, sell=True), 1_700_000_001)])
    assert event == {
        "type": "trade",
        "exchange": "binance",
        "symbol": "BTCUSDT",
        "timestamp": "2023-11-14T22:13:20.123000Z",
        "received_at": "2023-11-14T22:13:21.000000Z",
        "price": "1.10",
        "size": "2.0",
        "side": "sell",
        "trade_id": "7",
    }


def test_times_are_checked_against_when_the_record_came_and_without_that_not_at_all():
    early, late = trade(1, "1", "1", 1000), trade(2, "1", "1", 4_000_000_000_000)
    checked = run([row(early, 1_700_000_000), row(late, 1_700_000_000)])
    assert [event["timestamp"][:4] for event in checked] == ["2023", "2023"]
    assert [event["timestamp"][:4] for event in run([row(early), row(late)])] == ["1970", "2096"]
    assert [event["received_at"] for event in run([row(early)])] == [None]


def test_an_impossible_time_does_not_stop_decoding():
    events = run([row(trade(1, "1", "1", 10**18)), row(trade(2, "1", "1", -5))], deltas=True)
    assert [event["trade_id"] for event in events] == ["1", "2"]


def test_updates_before_the_snapshot_wait_for_it():
    rows = [
        row(depth(1, 5, [["1", "1"]], [])),
        row(depth(6, 7, [["2", "1"]], [["4", "1"]])),
        body(5, [["1.5", "3"]], []),
    ]
    events = run(rows, symbol="BTCUSDT", deltas=True, books=2)
    assert [event["type"] for event in events] == ["delta", "book", "delta", "book"]
    snapshot, first, update, second = events
    assert (snapshot["snapshot"], snapshot["bids"], snapshot["sequence_id"]) == (True, [["1.5", "3"]], 5)
    assert (update["snapshot"], update["sequence_id"]) == (False, 7)
    assert (second["bids"], second["asks"], second["live"]) == (
        [["2", "1"], ["1.5", "3"]],
        [["4", "1"]],
        True,
    )
    assert first["sequence_id"] == 5


def test_a_gap_is_written_only_when_a_live_book_goes_blind():
    rows = [
        row(depth(3, 4, [], [])),
        body(9, [], []),
        row(depth(20, 21, [], [])),
        row(depth(30, 31, [], [])),
        body(8, [], []),
    ]
    events = run(rows, symbol="BTCUSDT")
    assert [(event["type"], event["reason"]) for event in events] == [("gap", "sequence_gap")]


@pytest.mark.parametrize("books", [None, 1])
def test_a_crossed_book_is_a_gap_whatever_is_shown(books):
    rows = [
        body(9, [["1", "1"]], [["2", "1"]]),
        row(depth(10, 10, [["2", "1"]], [])),
        row(depth(11, 11, [], [])),
    ]
    events = run(rows, symbol="BTCUSDT", books=books)
    assert [event["reason"] for event in of(events, "gap")] == ["crossed"]
    assert [event["live"] for event in of(events, "book")] == ([] if books is None else [True, False])


def test_rejects_name_their_code_and_number_and_other_channels_are_silent():
    rows = [
        row({"result": None, "id": 1}),
        row({"u": 1, "s": "BTCUSDT", "b": "1", "B": "1", "a": "2", "A": "1"}),
        row("{broken"),
        row("x", dir="out"),
        row(trade(1, "-1", "1", 1)),
        row(None) | {"frame": None},
        body(5, [], []),
    ]
    events = run(rows)
    assert [(event["type"], event["code"], event["frame"]) for event in events] == [
        ("rejected", "frame.json", 3),
        ("rejected", "frame.number", 4),
        ("rejected", "frame.null", 5),
        ("rejected", "frame.unknown_symbol", 6),
    ]


def test_a_connect_row_starts_a_new_connection():
    rows = [body(9, [], []), row(depth(10, 10, [], []))]
    again = run(
        [*rows, {"dir": "connect", "frame": None}, row(depth(11, 11, [], []))], symbol="BTCUSDT", books=1
    )
    assert [event["sequence_id"] for event in of(again, "book")] == [9, 10], "the old book is gone, silently"
    assert of(again, "gap") == []
    assert len(of(run([*rows, row(depth(11, 11, [], []))], symbol="BTCUSDT", books=1), "book")) == 3


def test_connections_of_our_own_records_lie_interleaved_and_keep_their_books():
    def records(conn):
        updates = [row(depth(number, number, [], []), conn=conn, seq=number) for number in (10, 11, 12)]
        return [body(9, [], [], conn=conn, seq=1), *updates]

    rows = [each for pair in zip(records("c1"), records("c2"), strict=True) for each in pair]
    events = run(rows, symbol="BTCUSDT", books=1)
    assert [event["sequence_id"] for event in events] == [9, 9, 10, 10, 11, 11, 12, 12]


def test_events_of_ours_are_status_rows():
    event = {"event": "disconnected", "reason": "x"}
    (status,) = run([row(event, dir="meta", kind="event", conn="c1", seq=1)])
    assert status["type"] == "status"
    assert json.loads(status["state"]) == event


def test_a_nameless_body_belongs_to_the_recordings_only_symbol():
    one = [row(depth(1, 1, [], [], "ETHUSDT")), row(trade(1, "1", "1", 1, symbol="ETHUSDT"))]
    two = [*one, row(trade(1, "1", "1", 1))]
    assert only_book(load("binance"), parse_recording(map(json.dumps, one))) == "ETHUSDT"
    assert only_book(load("binance"), parse_recording(map(json.dumps, two))) is None


def test_prices_keep_the_exchanges_own_text():
    rows = [body(9, [["1.50", "2.000"]], [["2", "1"]]), row(depth(10, 10, [["1.50", "3.0"]], []))]
    shown = of(run(rows, symbol="BTCUSDT", books=5), "book")
    assert [event["bids"] for event in shown] == [[["1.50", "2.000"]], [["1.50", "3.0"]]]


# Frames that are not what the exchange sends: a JavaScript literal with comments, a flag written as a text, a book
# without the action that says whether it is a snapshot. (code, number of the frame in its file)
WRONG = {
    "binance/xchange_frames.jsonl": [("frame.json", number) for number in (1, 2, 3, 5)],
    "binance/barter-rs_frames.jsonl": [("frame.shape", 2)],
    "okx/jkorf_subscriptions.jsonl": [("frame.shape", 11)],
}


@pytest.mark.parametrize("exchange", ["binance", "kraken", "okx"])
def test_no_frame_of_any_channel_is_rejected_and_no_live_book_goes_blind(frames_dir, exchange):
    files = sorted((frames_dir / exchange).iterdir())
    assert len(files) > 8
    for path in files:
        data = path.read_bytes()
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
        rows = list(parse_recording(lines))
        one = RecordingDecoder(load(exchange), only_book(load(exchange), rows), False, None)
        events = [event for each in rows for event in one.take(each)]
        rejected = [(event["code"], event["frame"]) for event in of(events, "rejected")]
        assert rejected == WRONG.get(f"{exchange}/{path.name}", []), path
        assert of(events, "gap") == [], path


@pytest.mark.parametrize(
    ("path", "books", "trades", "statuses"),
    [("okx/cryptofeed_ws_1_0.jsonl", 82, 23, 0), ("kraken/derived_v2_book1000.jsonl.gz", 1064, 0, 1),
     ("kraken/ccxt_ws_v2_book.jsonl", 2, 0, 1), ("okx/ccxt_trades_books5.jsonl", 0, 2, 0)],
)  # fmt: skip
def test_the_command_decodes_captures_of_other_exchanges(frames_dir, path, books, trades, statuses):
    done = CliRunner().invoke(
        decode, ["--exchange", path.partition("/")[0], "--books", "3", str(frames_dir / path)]
    )
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = Counter(event["type"] for event in events)
    assert kinds == Counter(book=books, trade=trades, status=statuses)
    assert all(event["live"] for event in of(events, "book"))


def test_trades_sent_on_subscribing_are_history_until_the_first_live_one():
    def frame(kind, *numbers):
        data = [{"symbol": "BTC/USD", "side": "buy", "price": 100.5, "qty": 1, "trade_id": number,
                 "timestamp": "2026-07-10T00:00:00Z"} for number in numbers]  # fmt: skip
        return row({"channel": "trade", "type": kind, "data": data})

    rows = [frame("snapshot", 1, 2), frame("update", 3), frame("snapshot", 2, 3), frame("update", 3, 4)]
    one = RecordingDecoder(load("kraken"), None, False, None)
    events = [event for each in parse_recording(map(json.dumps, rows)) for event in one.take(each)]
    assert [event["trade_id"] for event in events] == ["3", "2", "4"], (
        "history fills in, and nothing counts twice"
    )


def test_a_new_connection_forgets_what_the_old_one_was_told():
    def book(kind, bids, previous, number):
        data = {
            "asks": [],
            "bids": bids,
            "ts": "1700000000000",
            "checksum": 0,
            "prevSeqId": previous,
            "seqId": number,
        }
        return row({"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": kind, "data": [data]})

    connect = {"dir": "connect", "frame": None}
    rows = [book("snapshot", [["1", "1"]], -1, 5), connect, book("update", [["2", "1"]], 5, 6),
            book("snapshot", [["3", "1"]], -1, 7)]  # fmt: skip
    one = RecordingDecoder(load("okx"), None, False, 9)
    events = [event for each in parse_recording(map(json.dumps, rows)) for event in one.take(each)]
    assert [(event["type"], event["bids"]) for event in events] == [
        ("book", [["1", "1"]]),
        ("book", [["3", "1"]]),
    ]
