"""Recordings: read, played, and the book at the position sent."""

import gzip
import json
from pathlib import Path

import pytest

from simulator.errors import SimulatorError
from simulator.exchanges.binance_wire import BinanceWire
from simulator.recording import Row, read_recording
from simulator.sources import PlayedSource


def depth(first: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> str:
    data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}, separators=(",", ":"))


BODY = '{"lastUpdateId":14,"bids":[["100.00","1.0"],["99.00","2.0"]],"asks":[["101.00","3.0"]]}'
FRAMES = [
    depth(10, 12, [["98.00", "9.0"]], []),
    depth(13, 16, [["99.00", "0.00"]], [["101.50", "0.5"]]),
    depth(17, 18, [["100.50", "4.0"]], [["101.00", "0.0"], ["7777.00", "0.0"]]),
    depth(19, 20, [], [["101.00", "1.5"]]),
]


def played() -> PlayedSource:
    rows = [Row(number, number * 1000, False, text) for number, text in enumerate(FRAMES)]
    rows.insert(3, Row(99, 2500, True, BODY))
    return PlayedSource(rows, BinanceWire())


def test_the_recorded_body_is_answered_while_it_can_be_joined() -> None:
    source = played()
    for _ in range(2):
        book = source.snapshot("BTCUSDT")
        assert book is not None
        assert book.text == BODY
        source.take(0)
    book = source.snapshot("BTCUSDT")
    assert book is not None
    assert book.text == BODY


def test_afterwards_the_book_at_the_position_sent_is_answered() -> None:
    source = played()
    for _ in range(3):
        source.take(0)
    book = source.snapshot("BTCUSDT")
    assert book is not None
    assert (book.text, book.sequence) == ("", 18)
    assert book.bids == (("100.50", "4.0"), ("100.00", "1.0"))
    assert book.asks == (("101.50", "0.5"),)


def test_it_says_when_the_body_is_about_to_be_passed_unread() -> None:
    source = played()
    assert source.unread_snapshot() is None
    source.take(0)
    source.take(0)
    frame = source.unread_snapshot()
    assert frame is not None
    assert (frame.symbol, frame.first_id) == ("BTCUSDT", 17)
    source.snapshot("BTCUSDT")
    assert source.unread_snapshot() is None


def test_a_body_nobody_wants_is_skipped_for_good() -> None:
    source = played()
    source.take(0)
    source.take(0)
    source.skip_snapshot("BTCUSDT")
    assert source.unread_snapshot() is None


def test_it_ends_after_its_last_frame() -> None:
    source = played()
    assert [source.peek_us(), *(source.take(0) and source.peek_us() for _ in FRAMES)] == [
        0,
        1000,
        2000,
        3000,
        None,
    ]
    assert source.unread_snapshot() is None


def test_a_recording_without_market_data_is_refused() -> None:
    with pytest.raises(SimulatorError, match="no market data") as refused:
        PlayedSource([Row(1, 0, False, '{"result":null,"id":1}')], BinanceWire())
    assert refused.value.code == "simulator.recording_invalid"


@pytest.mark.parametrize("name", ["some.jsonl", "some.jsonl.gz"])
def test_frames_and_bodies_are_read_and_context_is_left_out(tmp_path: Path, name: str) -> None:
    lines = [
        {"exchange": "binance", "dir": "out", "frame": "x", "received_at": 5.0},
        {"exchange": "binance", "frame": "a", "received_at": 10.5},
        {
            "exchange": "binance",
            "dir": "http",
            "frame": "b",
            "received_at_ns": 10_600_000_000,
            "url": "u?symbol=A",
        },
        {"exchange": "binance", "dir": "in", "frame": "c", "received_at": None},
        {"exchange": "binance", "dir": "in", "frame": "d", "received_at": 10.0},
    ]
    path = tmp_path / name
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_recording(path) == [
        Row(2, 0, False, "a"),
        Row(3, 100_000, True, "b", "u?symbol=A"),
        Row(4, 100_000, False, "c"),
        Row(5, 100_000, False, "d"),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"frame": 5}\n', "simulator.recording_invalid"),
        (b"\xff\xfe\n", "simulator.recording_invalid"),
        (b'{"frame":"x","encoding":"base64"}\n', "simulator.recording_invalid"),
        (None, "simulator.recording_missing"),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_code(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "frames.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SimulatorError) as refused:
        read_recording(path)
    assert refused.value.code == code


def test_a_truncated_gz_is_refused_with_a_code(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"frame":"x"}\n' * 1000)[:-20])
    with pytest.raises(SimulatorError) as refused:
        read_recording(path)
    assert refused.value.code == "simulator.recording_missing"
