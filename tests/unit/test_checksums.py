"""Recordings with the exchanges' own checksums, through the pipeline's decode, level by level against a second book."""

import gzip
import json
import re
from binascii import crc32
from collections import Counter
from decimal import Decimal

import pytest

from COBY.decode import RecordingDecoder
from COBY.exchanges import load
from COBY.recordings import parse_recording
from tests.naive_book import NaiveBook

INSTRUMENT = (
    '{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":'
    '[{"symbol":"BTC/USD","price_precision":1,"qty_precision":8}]}}'
)
LEVEL = {
    "kraken": re.compile(r'\{"price":([^,]+),"qty":([^}]+)\}'),
    "okx": re.compile(r'\["([^"]+)","([^"]+)","[^]]+\]'),
}
BEST = {"kraken": 10, "okx": 25}


class Message:
    """A book frame in plain words."""

    def __init__(self, frame):
        message = json.loads(frame, parse_float=Decimal)
        (data,) = message["data"]
        self.fresh = message.get("type", message.get("action")) == "snapshot"
        self.symbol = data.get("symbol") or message["arg"]["instId"]
        self.told = data["checksum"]
        self.sides = [
            [(level["price"], level["qty"]) if isinstance(level, dict) else level[:2] for level in data[name]]
            for name in ("bids", "asks")
        ]


def kraken_checksum(book, places):
    texts = [
        f"{number:.{decimals}f}"
        for name in ("asks", "bids")
        for level in book.levels(name)[:10]
        for number, decimals in zip(level, places, strict=True)
    ]
    return crc32("".join(text.replace(".", "").lstrip("0") for text in texts).encode())


def okx_checksum(book, _places):
    bids, asks = ([f"{price}:{size}" for price, size in book.levels(name)[:25]] for name in ("bids", "asks"))
    turns = [side[place] for place in range(25) for side in (bids, asks) if place < len(side)]
    unsigned = crc32(":".join(turns).encode())
    return int.from_bytes(unsigned.to_bytes(4), signed=True)


CHECKSUMS = {"kraken": kraken_checksum, "okx": okx_checksum}


def frames_of(path):
    """Frames that came from the exchange."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
    return [row["frame"] for row in map(json.loads, lines) if row.get("dir", "in") == "in"]


def is_book(frame):
    return frame.startswith(('{"channel":"book"', '{"arg":{"channel":"books",'))


def by_symbol(frames):
    found = {}
    for frame in filter(is_book, frames):
        found.setdefault(Message(frame).symbol, []).append(frame)
    return found


def places_of(exchange, frames):
    """The most decimals among a pair's prices and sizes: its precision, as all of its frames show it."""
    levels = [level for frame in frames for level in LEVEL[exchange].findall(frame)]
    return [max(-Decimal(level[at]).as_tuple().exponent for level in levels) for at in (0, 1)]


def decoded(exchange, frames, books):
    """For each frame the rows of `coby decode`."""
    one = RecordingDecoder(load(exchange), None, False, books)
    return [one.take(row) for row in parse_recording(json.dumps({"frame": frame}) for frame in frames)]


def compare(exchange, frames, depth, places):
    """Each book row against the second book, and that against the checksum told: how many."""
    books, kinds = {}, Counter()
    for frame, rows in zip(frames, decoded(exchange, frames, depth), strict=True):
        kinds.update(row["type"] for row in rows)
        if not is_book(frame):
            continue
        message, (row,) = Message(frame), rows
        book = books.setdefault(message.symbol, NaiveBook(depth))
        book.take(*message.sides, message.fresh)
        assert CHECKSUMS[exchange](book, places.get(message.symbol)) == message.told
        assert (row["type"], row["live"], row["reason"]) == ("book", True, None)
        for name in ("bids", "asks"):
            assert [tuple(map(Decimal, level)) for level in row[name]] == book.levels(name)
    assert "gap" not in kinds
    assert "rejected" not in kinds
    return kinds["book"]


def test_a_capture_with_windows_of_a_thousand(frames_dir):
    frames = frames_of(frames_dir / "kraken" / "derived_v2_book1000.jsonl.gz")
    places = {symbol: places_of("kraken", of_one) for symbol, of_one in by_symbol(frames).items()}
    assert compare("kraken", frames, 1000, places) == 1064


@pytest.mark.parametrize("told", [False, True])
def test_a_live_sequence_with_the_precisions_told_and_only_seen(frames_dir, told):
    frames = frames_of(frames_dir / "kraken" / "ccxt_ws_v2_book.jsonl")
    assert compare("kraken", [INSTRUMENT] * told + frames, 10, {"BTC/USD": (1, 8)}) == 2


def test_a_capture_with_strings(frames_dir):
    frames = frames_of(frames_dir / "okx" / "cryptofeed_ws_1_0.jsonl")
    assert compare("okx", frames, 400, {}) == 82


# --- the check bites ------------------------------------------------------------------------------------------


def spoilable(exchange, frames):
    """Updates that set a level among those checked: their numbers, and where in the frame its size stands."""
    book = NaiveBook(1000)
    for number, frame in enumerate(frames):
        message = Message(frame)
        book.take(*message.sides, message.fresh)
        best = {level for name in ("bids", "asks") for level in book.levels(name)[: BEST[exchange]]}
        for match in LEVEL[exchange].finditer(frame):
            if not message.fresh and (Decimal(match[1]), Decimal(match[2])) in best:
                yield number, match.start(2)
                break


def spoiled(frame, start):
    """The frame with the first digit of a number changed (it stays a number, and of another value)."""
    return f"{frame[:start]}{(int(frame[start]) + 1) % 10 or 1}{frame[start + 1 :]}"


def assert_bites(exchange, frames, number, start):
    wrong = [*frames[:number], spoiled(frames[number], start), *frames[number + 1 :], frames[0]]
    assert wrong[number] != frames[number]
    rows = decoded(exchange, wrong, 1)
    assert all(row["live"] for before in rows[:number] for row in before)
    book, gap = sorted(rows[number], key=lambda row: row["type"])
    assert (gap["type"], gap["reason"]) == ("gap", "checksum")
    assert (book["live"], book["reason"]) == (False, "checksum")
    assert not any(rows[number + 1 : -1]), "nothing counts before the next snapshot"
    assert [row["live"] for row in rows[-1]] == [True]


FILES = [
    ("kraken", "derived_v2_book1000.jsonl.gz", 10),
    ("kraken", "ccxt_ws_v2_book.jsonl", 1),
    ("okx", "cryptofeed_ws_1_0.jsonl", 3),
]


@pytest.mark.parametrize(("exchange", "name", "symbols"), FILES)
def test_one_digit_changed_is_a_gap_until_the_next_snapshot(frames_dir, exchange, name, symbols):
    books = by_symbol(frames_of(frames_dir / exchange / name))
    assert len(books) == symbols
    for frames in books.values():
        found = list(spoilable(exchange, frames))
        for number, start in {found[0], found[len(found) // 2], found[-1]} if found else set():
            assert_bites(exchange, frames, number, start)
    assert sum(bool(list(spoilable(exchange, frames))) for frames in books.values()) >= symbols - (
        symbols == 1
    )


def test_a_removal_that_became_a_size_bites_too(frames_dir):
    (frames,) = by_symbol(frames_of(frames_dir / "kraken" / "ccxt_ws_v2_book.jsonl")).values()
    removal = next(match for match in LEVEL["kraken"].finditer(frames[1]) if Decimal(match[2]) == 0)
    assert_bites("kraken", frames, 1, removal.start(2))


@pytest.mark.parametrize("exchange", ["bitfinex", "kraken", "okx"])
def test_the_published_vectors(frames_dir, exchange):
    rows = map(json.loads, (frames_dir / "checksum_vectors.jsonl").read_text().splitlines())
    found = [row for row in rows if row["exchange"] == exchange]
    assert len(found) == 1
    check = load(exchange).checksum
    for row in found:
        told = row["expected"]["crc32_unsigned" if exchange == "kraken" else "crc32_signed"]
        assert check.of(row["book"]["bids"], row["book"]["asks"]) == told


def vector_frames(frames_dir):
    """The published book of Bitfinex as frames: half of it a snapshot, half updates, its checksum after them."""
    rows = map(json.loads, (frames_dir / "checksum_vectors.jsonl").read_text().splitlines())
    (row,) = [row for row in rows if row["exchange"] == "bitfinex"]
    levels = [f"[{price},1,{sign}{size}]"
              for name, sign in (("bids", ""), ("asks", "-")) for price, size in row["book"][name]]  # fmt: skip
    subscribed = {"event": "subscribed", "channel": "book", "chanId": 5, "symbol": "tBTCUSD", "len": "250"}
    bodies = [f"[{','.join(levels[::2])}]", *levels[1::2], f'"cs",{row["expected"]["crc32_signed"]}']
    numbered = [f"[5,{body},{number}]" for number, body in enumerate(bodies, 1)]
    return ['{"event":"conf","status":"OK","flags":196608}', json.dumps(subscribed), *numbered]


def reasons(frames):
    """The reason of the book after each of its frames."""
    shown = [row for rows in decoded("bitfinex", frames, 25) for row in rows if row["type"] == "book"]
    return [row["reason"] for row in shown]


def test_a_checksum_in_a_frame_of_its_own_is_of_all_before_it(frames_dir):
    frames = vector_frames(frames_dir)
    assert reasons(frames) == [None] * (1 + 25 + 1)
    for number in (2, 3, 15, 27):  # of the snapshot, of updates
        at = frames[number].rindex(".") + 1
        wrong = [*frames[:number], spoiled(frames[number], at), *frames[number + 1 :]]
        assert reasons(wrong) == [None] * 26 + ["checksum"]


def test_the_worked_example_of_the_documentation():
    """EXCHANGES.md §3: the digits of ten levels a side, written out there."""
    asks = [("632995", "43882010"), ("633033", "5742569"), ("633034", "78984756"), ("633050", "5100"),
            ("633054", "3159716"), ("633055", "78982100"), ("633060", "7899290"), ("633070", "31581476"),
            ("633078", "6000000"), ("633080", "650419")]  # fmt: skip
    bids = [("632994", "209987"), ("632987", "5100"), ("632981", "5742569"), ("632980", "1534518"),
            ("632978", "50423800"), ("632977", "78991808"), ("632967", "127336513"), ("632958", "56593064"),
            ("632957", "78994295"), ("632955", "5100")]  # fmt: skip

    def texts(levels):
        return [(f"{price[:-1]}.{price[-1]}", f"{Decimal(size).scaleb(-8):f}") for price, size in levels]

    of = load("kraken").checksum.of
    assert of(texts(bids), texts(asks)) == 1490766955
    later = [level for level in bids if level[0] != "632967"] + [("632946", "31581476")]
    assert of(texts(later), texts(asks)) == 1153589921
