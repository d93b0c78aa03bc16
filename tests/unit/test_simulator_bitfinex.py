"""The simulated Bitfinex, seen by a client written from the exchange's rules: lists, Decimals, one counter."""

import json
import zlib
from decimal import Decimal
from typing import Any

import pytest

from simulator.exchanges.bitfinex import BitfinexPeer, BitfinexVenue
from simulator.exchanges.bitfinex_wire import BitfinexWire, checksum, number
from simulator.limits import Limits
from simulator.played import PlayedSource
from simulator.recording import Row
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer
from tests.frames import frames_folder

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOTH = ("BTCUSDT", "ETHUSDT")
BOOK = {
    "event": "subscribe",
    "channel": "book",
    "symbol": "tBTCUST",
    "prec": "P0",
    "freq": "F0",
    "len": "250",
}
TRADES = {"event": "subscribe", "channel": "trades", "symbol": "tBTCUST"}
FRAMES = frames_folder()
needs_frames = pytest.mark.skipif(FRAMES is None, reason="no recorded frames (COBY_FRAMES)")


def signed_crc(texts: list[str]) -> int:
    """As a signed integer."""
    return int.from_bytes(zlib.crc32(":".join(texts).encode()).to_bytes(4, "big"), "big", signed=True)


class Client:
    """One connection: a book by channel id, whose rows keep the texts of the wire."""

    def __init__(self) -> None:
        self.count = self.checked = self.removals = self.heartbeats = 0
        self.books: dict[int, tuple[dict[Decimal, tuple[str, str]], ...]] = {}
        self.longest = 0
        self.trades: list[list[Any]] = []

    def read(self, text: str) -> Any:
        frame = json.loads(text, parse_float=str, parse_int=str)
        if isinstance(frame, dict):
            if frame["event"] == "subscribed":
                self.books[int(frame["chanId"])] = ({}, {})
            return json.loads(text)
        *payload, sequence = frame[1:]
        self.count += 1
        assert int(sequence) == self.count, "one counter for all channels"
        sides = self.books[int(frame[0])]
        if payload[0] == "cs":
            assert int(payload[1]) == self.checksum(sides)
            self.checked += 1
        elif payload[0] == "hb":
            self.heartbeats += 1
        elif payload[0] in ("te", "tu"):
            self.trades.append(payload)
        elif payload[0] and isinstance(payload[0][0], list):
            for row in payload[0] if len(payload[0][0]) == 3 else ():
                self.change(sides, row)
        elif payload[0]:
            self.change(sides, payload[0])
        self.longest = max(self.longest, *map(len, sides))
        return frame

    def change(self, sides: Any, row: list[str]) -> None:
        price, orders, amount = row
        side = sides[amount.startswith("-")]
        if orders == "0":
            assert amount.lstrip("-") == "1"
            self.removals += side.pop(Decimal(price), None) is not None
        else:
            side[Decimal(price)] = (price, amount)

    def levels(self, chan: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids, asks = self.books[chan]
        return [bids[price] for price in sorted(bids, reverse=True)], [asks[price] for price in sorted(asks)]

    def checksum(self, sides: Any) -> int:
        bids, asks = sides
        best_first = sorted(bids, reverse=True)[:25], sorted(asks)[:25]
        texts: list[str] = []
        for rank in range(25):
            for side, prices in zip(sides, best_first, strict=True):
                texts += [text for price in prices[rank : rank + 1] for text in side[price]]
        return signed_crc(texts)


def source_of(
    seed: int = 1, *, symbols: tuple[str, ...] = BOTH, rate: int = 40, seconds: int = 10
) -> SeededSource:
    return seeded("bitfinex", BitfinexWire(), seed, symbols, rate, seconds)


def peer_of(source: SeededSource | PlayedSource, flags: int | None = 196608) -> BitfinexPeer:
    peer = BitfinexVenue(source, Limits()).connect("/ws/2", {}, NOW)
    assert isinstance(peer, BitfinexPeer)
    (info,) = peer.opened(NOW)
    assert (json.loads(str(info))["version"], json.loads(str(info))["platform"]) == (2, {"status": 1})
    if flags is not None:
        (conf,) = answers(peer, {"event": "conf", "flags": flags})
        assert conf == {"event": "conf", "status": "OK", "flags": flags}
    return peer


def answers(peer: BitfinexPeer, request: Any, now_us: int = NOW) -> list[Any]:
    return [json.loads(str(reply)) for reply in peer.received(json.dumps(request), now_us)]


def sent(source: SeededSource | PlayedSource, peer: BitfinexPeer) -> list[str]:
    """What the next event sends to this peer."""
    return [peer.render(frame) for frame in source.take(NOW) if frame.stream in peer.streams]


def following(peer: BitfinexPeer, **more: str) -> tuple[Client, int]:
    """A client that has subscribed to the book and read its snapshot."""
    client = Client()
    told = [client.read(str(reply)) for reply in peer.received(json.dumps(BOOK | more), NOW)]
    assert told[0]["event"] == "subscribed"
    assert len(told) == 2
    return client, told[0]["chanId"]


# --- the book -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [25, 100, 250])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_client_that_cuts_nothing_holds_the_window_and_every_checksum(seed: int, depth: int) -> None:
    source = source_of(seed, symbols=("BTCUSDT",))
    peer = peer_of(source)
    for _ in range(57):
        source.take(NOW)
    client, chan = following(peer, len=str(depth))
    while source.peek_us() is not None:
        texts = sent(source, peer)
        for text in texts:
            client.read(text)
        book = source.book("BTCUSDT")
        assert book is not None
        bids, asks = client.levels(chan)
        assert tuple(bids) == book.bids[:depth]
        assert tuple((price, amount.removeprefix("-")) for price, amount in asks) == book.asks[:depth]
        assert all(amount.startswith("-") for _, amount in asks)
    assert client.longest == depth, "removals come first: no side is ever beyond its window"
    assert client.checked > 80
    assert client.removals > 80


def test_a_window_of_one_level() -> None:
    source = source_of(symbols=("BTCUSDT",))
    client, chan = following(peer := peer_of(source), len="1")
    while source.peek_us() is not None:
        for text in sent(source, peer):
            client.read(text)
    book = source.book("BTCUSDT")
    assert book is not None
    assert client.levels(chan)[0] == list(book.bids[:1])


@pytest.mark.parametrize(
    ("units", "places", "text"),
    [(60400, 0, "60400"), (30001, 1, "3000.1"), (30000, 1, "3000"), (110, 8, "0.0000011"), (56, 8, "5.6e-7"),
     (1, 8, "1e-8"), (97, 8, "9.7e-7"), (100, 8, "0.000001"), (10, 8, "1e-7"), (150_000_000, 8, "1.5"), (0, 8, "0")],
)  # fmt: skip
def test_numbers_are_written_as_javascript_does(units: int, places: int, text: str) -> None:
    assert number(units, places) == text


@needs_frames
def test_the_checksum_is_that_of_the_published_vector() -> None:
    assert FRAMES is not None
    lines = (FRAMES / "checksum_vectors.jsonl").read_text().splitlines()
    (row,) = (row for row in map(json.loads, lines) if row["exchange"] == "bitfinex")
    sides = (tuple(map(tuple, row["book"][name])) for name in ("bids", "asks"))
    assert checksum(*sides) == row["expected"]["crc32_signed"] == -1582707309


@needs_frames
def test_a_recording_is_played_on_ids_and_numbers_of_its_own() -> None:
    """The capture of 2021: its books, rebuilt here, in a client that reads what is played."""
    assert FRAMES is not None
    lines = (FRAMES / "bitfinex" / "cryptofeed_ws_11_0.jsonl").read_text().splitlines()
    received = [row["frame"] for row in map(json.loads, lines) if row["dir"] == "in" and row["frame"]]
    source = PlayedSource([Row(at, 0, False, text) for at, text in enumerate(received)], BitfinexWire())
    assert source.symbols == ("DOGUSD", "IOTETH", "MNABTC", "ODEUSD", "TESTBTC:TESTUSD")
    peer = peer_of(source, 65536)
    client = Client()
    (told,) = [
        client.read(str(reply)) for reply in peer.received(json.dumps(BOOK | {"symbol": "tIOTETH"}), NOW)
    ]
    payloads = []
    while source.peek_us() is not None:
        for text in sent(source, peer):
            client.read(text)
            payloads.append(text.partition(",")[2].rpartition(",")[0])
    recorded = [text for text in received if text.startswith("[232955,[")]
    assert payloads == [text.partition(",")[2].rpartition(",")[0] for text in recorded]
    book = source.book("IOTETH")
    assert book is not None
    assert client.levels(told["chanId"])[0] == list(book.bids)


# --- trades -------------------------------------------------------------------------------------------------------


def test_each_trade_is_told_twice_and_the_last_thirty_begin() -> None:
    source = source_of(rate=200, seconds=4, symbols=("BTCUSDT",))
    peer = peer_of(source)
    before = [frame.trade for _ in range(200) for frame in source.take(NOW) if frame.trade is not None]
    client = Client()
    _, shown = (client.read(str(reply)) for reply in peer.received(json.dumps(TRADES), NOW))
    assert [row[0] for row in shown[1]] == [trade.id for trade in reversed(before[-30:])], "newest first"
    first: list[list[Any]] = []
    for second in range(1, 4):
        for _ in range(100):
            for text in sent(source, peer):
                client.read(text)
        first = [payload[1] for payload in client.trades if payload[0] == "te"]
        for reply in peer.timer(NOW + second * SECOND):
            client.read(str(reply))
        assert [payload[1] for payload in client.trades if payload[0] == "tu"] == first
    assert len(first) > 200
    assert {row[2].startswith("-") for row in first} == {True, False}


# --- requests -----------------------------------------------------------------------------------------------------


def test_a_channel_that_is_quiet_is_told_alive_every_fifteen_seconds() -> None:
    peer = peer_of(source_of())
    client, _ = following(peer)
    for second in range(1, 61):
        for reply in peer.timer(NOW + second * SECOND):
            client.read(str(reply))
    assert client.heartbeats == 4


def test_the_answer_repeats_what_was_sent_along() -> None:
    peer = peer_of(source_of())
    told, _ = answers(peer, BOOK | {"len": 25, "subId": "mine"})
    number = told.pop("chanId")
    assert told == {
        "event": "subscribed", "channel": "book", "symbol": "tBTCUST", "prec": "P0", "freq": "F0", "len": "25",
        "subId": "mine", "pair": "BTCUST",
    }  # fmt: skip
    assert answers(peer, {"event": "unsubscribe", "chanId": number}) == [
        {"event": "unsubscribed", "status": "OK", "chanId": number}
    ]
    assert not peer.streams
    assert answers(peer, BOOK)[0]["chanId"] != number


def test_without_flags_frames_have_no_number_and_books_no_checksum() -> None:
    source = source_of()
    for flags, more in ((None, 0), (0, 0), (65536, 1), (32768, 1), (229376, 2)):
        peer = peer_of(source, flags)
        _, snapshot = answers(peer, BOOK)
        assert len(snapshot) == 2 + more
        assert sum("cs@" in stream for stream in peer.streams) == (flags == 229376)
    assert snapshot[3] == NOW // 1000


def test_flags_that_come_later_hold_from_then_on() -> None:
    source = source_of(symbols=("BTCUSDT",))
    peer = peer_of(source, None)
    answers(peer, BOOK)
    answers(peer, {"event": "conf", "flags": 196608})
    texts = [text for _ in range(40) for text in sent(source, peer)]
    assert any('"cs"' in text for text in texts)
    assert [json.loads(text)[-1] for text in texts] == list(range(1, len(texts) + 1))
    assert answers(peer, {"event": "conf", "flags": "x"})[0]["status"] == "FAILED"


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [({"event": "dance"}, 10000, "unknown event"), ([], 10000, "unknown event"),
     (BOOK | {"symbol": "tXYZUST"}, 10300, "symbol: invalid"), (BOOK | {"len": "50"}, 10300, "len: invalid"),
     (BOOK | {"prec": "P9"}, 10300, "prec: invalid"), (TRADES | {"symbol": "BTCUSDT"}, 10300, "symbol: invalid"),
     (BOOK | {"channel": "tape"}, 10302, "channel: unknown"),
     ({"event": "unsubscribe", "chanId": 5}, 10401, "unsubscribe: not subscribed")],
)  # fmt: skip
def test_a_wrong_request_is_answered_with_its_code(request_: Any, code: int, message: str) -> None:
    (reply,) = answers(peer_of(source_of()), request_)
    assert (reply["event"], reply["code"], reply["msg"]) == ("error", code, message)
    assert "symbol" not in request_ or reply["symbol"] == request_["symbol"]


def test_the_same_channel_twice_and_more_than_thirty_are_refused() -> None:
    names = tuple(f"C{letter}{other}USDT" for letter in "ABCD" for other in "EFGH")
    peer = peer_of(source_of(symbols=names, rate=10, seconds=1))
    replies = []
    for name in names:
        for request in (BOOK, TRADES):
            replies += answers(peer, request | {"symbol": f"t{name[:3]}UST"})
    errors = [reply for reply in replies if isinstance(reply, dict) and reply["event"] == "error"]
    assert [reply["code"] for reply in errors] == [10305, 10305]
    (dup,) = answers(peer, BOOK | {"symbol": "tCAEUST"})
    assert (dup["code"], dup["msg"]) == (10301, "subscribe: dup")


def test_ids_are_of_the_connection() -> None:
    venue = BitfinexVenue(source_of(), Limits())
    ids = []
    for _ in range(2):
        peer = venue.connect("/ws/2", {}, NOW)
        assert isinstance(peer, BitfinexPeer)
        ids.append(answers(peer, BOOK)[0]["chanId"])
    assert ids[0] != ids[1]


@pytest.mark.parametrize("code", [20051, 20060, 20061])
def test_what_it_announces(code: int) -> None:
    (notice,) = peer_of(source_of()).notice(code)
    assert json.loads(str(notice))["event"] == "info"
    assert json.loads(str(notice))["code"] == code


def test_ping_other_paths_and_the_list_of_pairs() -> None:
    venue = BitfinexVenue(source_of(), Limits())
    assert answers(peer_of(source_of()), {"event": "ping", "cid": 7}) == [
        {"event": "pong", "ts": NOW // 1000, "cid": 7}
    ]
    refused = venue.connect("/ws/1", {}, NOW)
    assert isinstance(refused, Answer)
    assert refused.status == 404
    listed = venue.rest("/v2/conf/pub:list:pair:exchange", {}, NOW)
    assert json.loads(listed.body) == [["BTCUST", "ETHUST"]]
    assert venue.rest("/v2/other", {}, NOW).status == 404
    assert venue.LIMITS.connects_max == 20
