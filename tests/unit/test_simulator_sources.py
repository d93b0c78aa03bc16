"""Recordings: read, played, and the book at the position sent; seeded markets and their books of earlier."""

import gzip
import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from simulator.errors import SimulatorError
from simulator.exchanges.binance_wire import BinanceWire
from simulator.exchanges.kraken_wire import KrakenWire
from simulator.exchanges.okx_wire import OkxWire
from simulator.journal import CHUNK, CHUNKS_KEPT, Journal
from simulator.market import Depth, MarketBook
from simulator.played import PlayedSource
from simulator.recording import Row, read_recording
from simulator.sources import SeededSource, seeded
from simulator.wire import Book, Wire


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


def test_a_recording_knows_its_book_as_of_each_frame() -> None:
    source = played()
    books = {}
    while source.peek_us() is not None:
        source.take(0)
        book = source.book("BTCUSDT")
        assert book is not None
        books[book.sequence] = book
    assert sorted(books) == [14, 16, 18, 20]
    for sequence, book in books.items():
        assert source.book_at("BTCUSDT", sequence) == book
    assert source.book_at("BTCUSDT", 17) == books[16]
    assert source.book_at("BTCUSDT", 21) is None
    assert source.book_at("BTCUSDT", 13) is None
    assert source.book_at("ETHUSDT", 14) is None


def kraken_frame(kind: str, bids: str, asks: str) -> str:
    data = f'{{"symbol":"BTC/USDT","bids":[{bids}],"asks":[{asks}],"checksum":1,"timestamp":"2026-01-01T00:00:00Z"}}'
    return f'{{"channel":"book","type":"{kind}","data":[{data}]}}'


def test_a_snapshot_among_the_frames_begins_a_book_and_a_later_one_replaces_it() -> None:
    frames = [
        kraken_frame("update", '{"price":9.0,"qty":9.00}', ""),
        kraken_frame("snapshot", '{"price":1.0,"qty":2.00}', '{"price":3.0,"qty":4.00}'),
        kraken_frame("update", '{"price":1.5,"qty":5.10}', '{"price":3.0,"qty":0.00}'),
        kraken_frame("snapshot", "", '{"price":7.0,"qty":8.00}'),
    ]
    source = PlayedSource([Row(number, 0, False, text) for number, text in enumerate(frames)], KrakenWire())
    found = []
    while source.peek_us() is not None:
        (frame,) = source.take(0)
        assert frame.first_id == frame.last_id
        found.append((frame.last_id, source.book("BTCUSDT")))
    assert found == [
        (1, None),
        (2, Book("BTCUSDT", 2, (("1.0", "2.00"),), (("3.0", "4.00"),))),
        (3, Book("BTCUSDT", 3, (("1.5", "5.10"), ("1.0", "2.00")), ())),
        (4, Book("BTCUSDT", 4, (), (("7.0", "8.00"),))),
    ]
    assert source.unread_snapshot() is None


def test_levels_pushed_out_of_a_silent_window_are_forgotten() -> None:
    bids = tuple((f"{price}.0", "1.00") for price in range(2000, 1000, -1))
    rows = ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in bids)
    frames = [
        kraken_frame("snapshot", rows, ""),
        kraken_frame("update", '{"price":2001.0,"qty":3.00}', ""),
        kraken_frame("update", '{"price":2001.0,"qty":0.00}', ""),
    ]
    source = PlayedSource([Row(number, 0, False, text) for number, text in enumerate(frames)], KrakenWire())
    found = []
    while source.peek_us() is not None:
        source.take(0)
        book = source.book("BTCUSDT")
        assert book is not None
        found.append(book.bids)
    assert found == [bids, (("2001.0", "3.00"), *bids[:-1]), bids[:-1]]


# --- seeded -----------------------------------------------------------------------------------------------------

WIRES: tuple[Wire, ...] = (BinanceWire(), KrakenWire(), OkxWire())


def all_books(source: SeededSource, symbol: str) -> dict[int, Book]:
    """The book after each update, from the start on."""
    books = {}
    while True:
        book = source.book(symbol)
        assert book is not None
        books[book.sequence] = book
        if source.peek_us() is None:
            return books
        source.take(0)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_book_as_of_any_sequence_number_is_that_of_the_last_update_up_to_it(wire: Wire) -> None:
    source = seeded(wire.name, wire, 5, ("ETHUSDT",), 40, 6)
    books = all_books(source, "ETHUSDT")
    numbers = sorted(books)
    assert len(numbers) > 50
    for before, after in zip(numbers[::9], numbers[1::9], strict=False):
        for sequence in (before, before + 1, after - 1):
            assert source.book_at("ETHUSDT", sequence) == books[before]
    assert source.book_at("ETHUSDT", numbers[-1]) == books[numbers[-1]]
    assert source.book_at("ETHUSDT", numbers[0] - 1) is None
    assert source.book_at("ETHUSDT", numbers[-1] + 1) is None
    assert source.book_at("BTCUSDT", numbers[0]) is None


def test_a_book_older_than_the_journal_comes_from_the_market_run_again() -> None:
    """Two frames for an update: 7,000 updates are more than six chunks of a thousand."""
    updates = (CHUNKS_KEPT + 1) * CHUNK
    source = seeded("okx", OkxWire(), 5, ("ETHUSDT",), 20, updates // 10)
    books: dict[int, Book] = {}
    taken = 0
    while source.peek_us() is not None:
        (frame,) = source.take(0)
        if frame.last_id:
            taken += 1
            book = source.book("ETHUSDT") if taken in (1, 500, 1001, 1999, 6999) else None
            if book is not None:
                books[frame.last_id] = book
    assert taken == updates
    assert len(books) == 5
    for sequence, book in books.items():
        assert source.book_at("ETHUSDT", sequence) == book


def test_a_journal_keeps_six_chunks_and_no_more() -> None:
    journal, book = Journal(MarketBook(0, [], [])), MarketBook(0, [], [])
    for number in range(1, 8 * CHUNK + 1):
        book = MarketBook(number, [(number % 7 + 1, number)], [])
        # The one level of the last update goes, another comes.
        changes = ((number - 1) % 7 + 1, 0), (number % 7 + 1, number)
        if journal.add(Depth("BTCUSDT", 0, number, number, changes, ())):
            journal.turn(book)
    assert journal.at(8 * CHUNK) == book
    oldest = (8 - CHUNKS_KEPT + 1) * CHUNK
    kept = journal.at(oldest + 1)
    assert kept == MarketBook(oldest + 1, [((oldest + 1) % 7 + 1, oldest + 1)], [])
    assert journal.at(oldest - 1) is None


def test_a_snapshot_handed_out_amid_an_update_is_found_again() -> None:
    source = seeded("binance", BinanceWire(), 1, ("ETHUSDT",), 500, 2)
    for _ in range(333):
        source.take(0)
    snapshot, told = source.snapshot("ETHUSDT"), source.book("ETHUSDT")
    assert snapshot is not None
    assert told is not None
    assert snapshot.sequence > told.sequence
    while source.peek_us() is not None:
        source.take(0)
    assert source.book_at("ETHUSDT", snapshot.sequence) == snapshot
    assert source.book_at("ETHUSDT", snapshot.sequence - 1) == told


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_books_of_earlier_can_be_asked_for_from_another_thread_meanwhile(wire: Wire) -> None:
    source = seeded(wire.name, wire, 3, ("ETHUSDT",), 40)
    books: dict[int, Book] = {}
    with ThreadPoolExecutor(1) as pool:
        asked: list[tuple[int, Future[Book | None]]] = []
        for _ in range(400):
            source.take(0)
            book = source.book("ETHUSDT")
            assert book is not None
            if book.sequence not in books:
                books[book.sequence] = book
                asked.append((book.sequence, pool.submit(source.book_at, "ETHUSDT", book.sequence)))
        assert len(asked) > 90
        assert all(answer.result() == books[sequence] for sequence, answer in asked)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_seeded_source_sends_only_on_its_streams_and_the_same_each_time(wire: Wire) -> None:
    one, other = (seeded(wire.name, wire, 2, ("BTCUSDT", "ETHUSDT"), 100, 3) for _ in range(2))
    while one.peek_us() is not None:
        frames = one.take(7_000_000)
        assert frames == other.take(7_000_000)
        for frame in frames:
            assert frame.stream in one.streams
            assert (frame.channel == "depth") == bool(frame.last_id)


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
