"""Bitfinex's recorded frames through the pipeline's own decode, against a second book. Expectations of other clients:
test_expectations.py; checksums: test_checksums.py.
"""

import json
from collections import Counter
from decimal import Decimal

import pytest

from COBY.decode import RecordingDecoder
from COBY.exchanges import load
from COBY.exchanges.base import Rejected, Trade
from COBY.json_numbers import price_text
from COBY.recordings import parse_recording
from tests.naive_book import NaiveBook

CAPTURE = "cryptofeed_ws_11_0.jsonl"


@pytest.fixture(scope="module")
def rows(frames_dir):
    """Those received, of a connection of 2021 with sequence numbers and books of 100 levels."""
    lines = (frames_dir / "bitfinex" / CAPTURE).read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["dir"] == "in" and row["frame"] is not None]


def decoded(rows, books=100):
    one = RecordingDecoder(load("bitfinex"), None, False, books)
    return [one.take(row) for row in parse_recording(json.dumps(row) for row in rows)]


def channels_of(rows):
    messages = [json.loads(row["frame"]) for row in rows if row["frame"].startswith("{")]
    return {
        one["chanId"]: (one["channel"], one["symbol"]) for one in messages if one["event"] == "subscribed"
    }


def test_every_book_of_the_capture_stays_live_and_equals_a_second_one(rows):
    channels, books, kinds = channels_of(rows), {}, Counter()
    for row, shown in zip(rows, decoded(rows), strict=True):
        kinds.update(one["type"] for one in shown)
        frame = json.loads(row["frame"], parse_float=Decimal)
        name, symbol = channels.get(frame[0], ("", "")) if isinstance(frame, list) else ("", "")
        if name != "book" or frame[1] == "hb":
            assert "book" not in {one["type"] for one in shown}
            continue
        fresh = isinstance(frame[1][0], list)
        levels = [(price, abs(amount) if count else 0, amount > 0)
                  for price, count, amount in (frame[1] if fresh else [frame[1]])]  # fmt: skip
        book = books.setdefault(symbol, NaiveBook(10_000))
        book.take(*([level[:2] for level in levels if level[2] is side] for side in (True, False)), fresh)
        (ours,) = shown
        assert (ours["live"], ours["reason"]) == (True, None)
        for side in ("bids", "asks"):
            assert [tuple(map(Decimal, level)) for level in ours[side]] == book.levels(side)
            assert len(book.levels(side)) <= 100, (
                "the exchange deletes what leaves the window, before it adds"
            )
    assert kinds == {"book": 459}
    assert len(books) == 5


def test_a_heartbeat_of_the_capture_comes_before_its_subscribed(rows):
    seen, early = set(), 0
    for row in rows:
        frame = json.loads(row["frame"])
        if isinstance(frame, list):
            early += frame[0] not in seen
        elif frame["event"] == "subscribed":
            seen.add(frame["chanId"])
    assert early == 2


def test_a_frame_of_the_capture_that_is_lost_is_found_at_the_next(rows):
    data = [number for number, row in enumerate(rows) if row["frame"].startswith("[")]
    assert [json.loads(rows[number]["frame"])[-1] for number in data] == list(range(1, len(data) + 1))
    for lost in data[40::60]:
        shown = decoded(rows[:lost] + rows[lost + 1 :])
        gaps = [one for each in shown for one in each if one["type"] == "gap"]
        assert {one["reason"] for one in gaps} == {"sequence_gap"}
        assert len({one["symbol"] for one in gaps}) == len(gaps) >= 1
        after = data[data.index(lost) + 1] - 1
        assert any(one["type"] == "gap" for one in shown[after])
        assert not any(one["type"] == "book" and one["symbol"] in {gap["symbol"] for gap in gaps}
                       for each in shown[after:] for one in each)  # fmt: skip


def test_the_last_trades_of_the_capture_are_history(rows):
    channels = channels_of(rows)
    decoder, told, ours = load("bitfinex").decoder({}), [], []
    for row in rows:
        ours += [event for event in decoder.decode(row["frame"].encode(), "ws", None, None)
                 if isinstance(event, Trade)]  # fmt: skip
        frame = json.loads(row["frame"], parse_float=Decimal)
        if isinstance(frame, list) and channels.get(frame[0], ("",))[0] == "trades" and frame[1] != "hb":
            told += reversed(frame[1])
    assert len(ours) == len(told) == 7 * 30
    assert all(trade.history for trade in ours)
    for trade, (number, mts, amount, price) in zip(ours, told, strict=True):
        assert (trade.trade_id, trade.time_us, trade.side) == (
            str(number),
            mts * 1000,
            "buy" if amount > 0 else "sell",
        )
        assert (Decimal(trade.price), Decimal(trade.size)) == (price, abs(amount))


def test_every_price_of_the_capture_is_written_as_we_write_it(rows):
    """So canonical texts leave the texts of checksums as they are."""
    channels, count = channels_of(rows), 0
    for row in rows:
        frame = json.loads(row["frame"], parse_float=str, parse_int=str)
        if (
            isinstance(frame, list)
            and channels.get(int(frame[0]), ("",))[0] == "book"
            and isinstance(frame[1], list)
        ):
            for price, *_ in frame[1] if isinstance(frame[1][0], list) else [frame[1]]:
                assert price_text(price.encode()) == price
                count += 1
    assert count > 1_300


@pytest.mark.parametrize(
    ("number", "text"),
    [("60400", "60400"), ("0.0000011", "0.0000011"), ("0.00000056", "5.6e-7"), ("5.6E-7", "5.6e-7"), ("1e5", "100000"),
     ("100.10", "100.1"), ("1E-7", "1e-7"), ("0.000001", "0.000001"), ("0.00000099", "9.9e-7"), ("1.0", "1"),
     ("12e-8", "1.2e-7"), ("0.5", "0.5"), ("1.5e3", "1500")],
)  # fmt: skip
def test_prices_are_written_as_javascript_does(number, text):
    """Worked out by hand after ECMAScript, Number::toString; 0.0000011 and 5.6e-7 are of EXCHANGES.md §9."""
    assert price_text(number.encode()) == text


FILES = ["barter-rs_frames", "gocryptotrader_frames", "tardis_mappers", "xchange_frames"]


@pytest.mark.parametrize("name", FILES)
def test_frames_of_other_clients_tests_are_read_or_left_and_never_taken_for_ours(frames_dir, name):
    """Their channels are not known here: nothing comes of them, and only what is no message at all is rejected."""
    decoder, rejected = load("bitfinex").decoder({}), []
    for line in (frames_dir / "bitfinex" / f"{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row.get("dir", "in") != "out":
            events = decoder.decode(row["frame"].encode(), "ws", None, None)
            assert {type(event) for event in events} <= {Rejected}
            rejected += [event.code for event in events]
            decoder = load("bitfinex").decoder({}) if events else decoder
    assert set(rejected) <= {"frame.number"}


def test_the_subscriptions_of_another_client_decode(frames_dir):
    """JKorf: subscribed, data, over several lines; the book of precision P2 is another book."""
    rows = list(
        map(json.loads, (frames_dir / "bitfinex" / "jkorf_subscriptions.jsonl").read_text().splitlines())
    )
    found = {}
    for place in range(0, len(rows), 3):
        decoder, (ack, data) = load("bitfinex").decoder({}), rows[place + 1 : place + 3]
        assert decoder.decode(ack["frame"].encode(), "ws", None, None) == []
        found[data["channel"]] = decoder.decode(data["frame"].encode(), "ws", None, None)
    assert {name for name, events in found.items() if events} == {"Trades"}
    assert found["Trades"] == [
        Trade("ETHUSDT", "7244.9", "0.005", "buy", "401597393", 1574694475039000, history=True)
    ]
