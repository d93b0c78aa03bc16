"""The simulated Kraken, seen by a client written from the exchange's rules: dicts, Decimals, its own checksum."""

import json
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator.exchanges.kraken import KrakenPeer, KrakenVenue
from simulator.exchanges.kraken_wire import KrakenWire, checksum
from simulator.limits import Limits
from simulator.played import PlayedSource
from simulator.recording import read_recording
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer, Close
from tests.frames import frames_folder

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOTH = ("BTCUSDT", "ETHUSDT")
FRAMES = frames_folder()
needs_frames = pytest.mark.skipif(FRAMES is None, reason="no recorded frames (COBY_FRAMES)")


class Client:
    """One book: number texts as received, cut to the depth after each message."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: dict[Decimal, tuple[str, str]] = {}
        self.asks: dict[Decimal, tuple[str, str]] = {}
        self.cut_off: set[tuple[str, str]] = set()
        self.came_back = self.snapshots = self.removed = 0

    def read(self, text: str) -> None:
        message = json.loads(text, parse_float=str, parse_int=str)
        (data,) = message["data"]
        if message["type"] == "snapshot":
            self.snapshots += 1
            self.bids, self.asks = {}, {}
        for name, side in (("bids", self.bids), ("asks", self.asks)):
            for row in data[name]:
                price = Decimal(row["price"])
                if Decimal(row["qty"]) == 0:
                    self.removed += side.pop(price, None) is not None
                    continue
                self.came_back += price not in side and (row["price"], row["qty"]) in self.cut_off
                side[price] = row["price"], row["qty"]
            for price in sorted(side, reverse=name == "bids")[self.depth :]:
                self.cut_off.add(side.pop(price))
        assert self.crc() == int(data["checksum"])

    def levels(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        bids = [level for _, level in sorted(self.bids.items(), reverse=True)]
        return tuple(bids), tuple(level for _, level in sorted(self.asks.items()))

    def crc(self) -> int:
        """EXCHANGES.md §3: ten asks ascending, ten bids descending, digits without point and leading zeros."""
        bids, asks = self.levels()
        numbers = [number for level in (*asks[:10], *bids[:10]) for number in level]
        return zlib.crc32("".join(n.replace(".", "").lstrip("0") for n in numbers).encode())


def source_of(
    seed: int = 1, *, symbols: tuple[str, ...] = BOTH, rate: int = 40, seconds: int = 10
) -> SeededSource:
    return seeded("kraken", KrakenWire(), seed, symbols, rate, seconds)


def peer_of(source: SeededSource | PlayedSource) -> KrakenPeer:
    peer = KrakenVenue(source, Limits()).connect("/v2", {}, NOW)
    assert isinstance(peer, KrakenPeer)
    return peer


def request(channel: str, symbols: list[str], method: str = "subscribe", **more: Any) -> str:
    params = {"channel": channel, "symbol": symbols, **more}
    return json.dumps({"method": method, "params": params, "req_id": 7})


def answers(peer: KrakenPeer, text: str) -> list[dict[str, Any]]:
    return [json.loads(reply) for reply in peer.received(text, NOW) if isinstance(reply, str)]


def sent(source: SeededSource | PlayedSource, peer: KrakenPeer) -> list[str]:
    """What the next event sends to this peer."""
    return [peer.render(frame) for frame in source.take(NOW) if frame.stream in peer.streams]


# --- the book ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_client_that_cuts_to_its_depth_holds_the_book_at_each_frame(seed: int) -> None:
    source, client = source_of(seed, symbols=("BTCUSDT",)), Client(1000)
    peer = peer_of(source)
    for _ in range(57):
        source.take(NOW)
    ack, snapshot = peer.received(request("book", ["BTC/USDT"], depth=1000), NOW)
    assert isinstance(snapshot, str)
    assert json.loads(str(ack))["success"] is True
    client.read(snapshot)
    updates = 0
    while source.peek_us() is not None:
        for text in sent(source, peer):
            client.read(text)
            updates += 1
            book = source.book("BTCUSDT")
            assert book is not None
            assert client.levels() == (book.bids, book.asks)
            assert (len(book.bids), len(book.asks)) == (1000, 1000)
    assert updates > 80
    # Levels are cut off in silence and come again: else this test shows nothing of the window.
    assert len(client.cut_off) > 30
    assert client.came_back > 30
    assert client.removed > 100


@pytest.mark.parametrize("depth", [10, 25, 100, 500])
def test_each_depth_has_a_window_of_its_own(depth: int) -> None:
    source, client = source_of(4, seconds=20), Client(depth)
    peer = peer_of(source)
    _, snapshot = peer.received(request("book", ["ETH/USDT"], depth=depth), NOW)
    client.read(str(snapshot))
    while source.peek_us() is not None:
        for text in sent(source, peer):
            client.read(text)
            book = source.book("ETHUSDT")
            assert book is not None
            assert client.levels() == (book.bids[:depth], book.asks[:depth])
    assert client.cut_off


def test_a_snapshot_may_come_again_on_a_live_subscription() -> None:
    source, client = source_of(), Client(10)
    peer = peer_of(source)
    for reply in peer.received(request("book", ["BTC/USDT"]), NOW)[1:]:
        client.read(str(reply))
    for _ in range(60):
        for text in sent(source, peer):
            client.read(text)
    before = client.levels()
    for reply in peer.resend_snapshot("BTCUSDT", NOW):
        client.read(str(reply))
    assert client.snapshots == 2
    assert client.levels() == before


def test_numbers_have_all_their_decimals() -> None:
    source = source_of()
    peer = peer_of(source)
    replies = peer.received(request("book", list(map(str, ("BTC/USDT", "ETH/USDT")))), NOW)
    for reply, places in zip((replies[1], replies[3]), (1, 2), strict=True):
        (data,) = json.loads(str(reply), parse_float=str)["data"]
        for level in (*data["bids"], *data["asks"]):
            assert len(level["price"].partition(".")[2]) == places
            assert len(level["qty"].partition(".")[2]) == 8


# --- checksum ---------------------------------------------------------------------------------------------------


def test_the_checksum_is_that_of_the_worked_example() -> None:
    """EXCHANGES.md §3, live 2026-08-12; then one bid goes and another comes."""
    asks = (
        *(("63299.5", "0.43882010"), ("63303.3", "0.05742569"), ("63303.4", "0.78984756")),
        *(("63305.0", "0.00005100"), ("63305.4", "0.03159716"), ("63305.5", "0.78982100")),
        *(("63306.0", "0.07899290"), ("63307.0", "0.31581476"), ("63307.8", "0.06000000")),
        ("63308.0", "0.00650419"),
    )
    bids = (
        *(("63299.4", "0.00209987"), ("63298.7", "0.00005100"), ("63298.1", "0.05742569")),
        *(("63298.0", "0.01534518"), ("63297.8", "0.50423800"), ("63297.7", "0.78991808")),
        *(("63296.7", "1.27336513"), ("63295.8", "0.56593064"), ("63295.7", "0.78994295")),
        ("63295.5", "0.00005100"),
    )
    assert checksum(bids, asks) == 1490766955
    later = (*(level for level in bids if level[0] != "63296.7"), ("63294.6", "0.31581476"))
    assert checksum(later, asks) == 1153589921


@needs_frames
def test_the_checksum_is_that_of_the_published_vectors() -> None:
    assert FRAMES is not None
    lines = (FRAMES / "checksum_vectors.jsonl").read_text().splitlines()
    vectors = [row for row in map(json.loads, lines) if row["exchange"] == "kraken"]
    assert vectors
    for row in vectors:
        sides = (tuple(map(tuple, row["book"][name])) for name in ("bids", "asks"))
        assert checksum(*sides) == row["expected"]["crc32_unsigned"]


@needs_frames
def test_a_recording_rebuilds_books_with_the_checksums_of_the_exchange() -> None:
    """Derived from a capture of 2021: the checksums are the exchange's own."""
    assert FRAMES is not None
    path = FRAMES / "kraken" / "derived_v2_book1000.jsonl.gz"
    source = PlayedSource(read_recording(Path(path)), KrakenWire())
    checked = 0
    while source.peek_us() is not None:
        (frame,) = source.take(0)
        book = source.book(frame.symbol)
        if frame.channel != "depth" or book is None:
            continue
        data = json.loads(frame.text)["data"][0]
        assert checksum(book.bids, book.asks) == data["checksum"]
        checked += 1
    assert checked > 500


@needs_frames
def test_who_joins_a_recording_late_gets_the_book_so_far() -> None:
    assert FRAMES is not None
    source = PlayedSource(read_recording(FRAMES / "kraken" / "derived_v2_book1000.jsonl.gz"), KrakenWire())
    while source.peek_us() is not None and source.book("XMRUSD") is None:
        source.take(0)
    late, client = peer_of(source), Client(1000)
    for reply in late.received(request("book", ["XMR/USD"], depth=1000), NOW)[1:]:
        client.read(str(reply))
    while source.peek_us() is not None:
        for text in sent(source, late):
            client.read(text)
    assert client.snapshots == 1
    assert client.bids


# --- trades and instruments ---------------------------------------------------------------------------------------


def test_trades_come_one_by_one_with_ids_that_rise_by_one() -> None:
    source = source_of(rate=200, seconds=5)
    peer = peer_of(source)
    (ack,) = answers(peer, request("trade", ["BTC/USDT"]))
    assert ack["result"] == {"channel": "trade", "snapshot": False, "symbol": "BTC/USDT"}
    ids = []
    while source.peek_us() is not None:
        for frame in source.take(NOW):
            if frame.stream in peer.streams:
                (trade,) = json.loads(frame.text, parse_float=str)["data"]
                assert frame.trade is not None
                assert (trade["price"], trade["qty"], trade["side"]) == (
                    frame.trade.price,
                    frame.trade.size,
                    frame.trade.taker,
                )
                assert trade["symbol"] == "BTC/USDT"
                ids.append(trade["trade_id"])
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert len(ids) > 400


def test_a_snapshot_of_trades_is_the_last_fifty_before_the_next() -> None:
    source = source_of(rate=400, seconds=5)
    ids = []
    for _ in range(1000):
        ids += [frame.trade.id for frame in source.take(NOW) if frame.trade and frame.symbol == "BTCUSDT"]
    peer = peer_of(source)
    _, snapshot = answers(peer, request("trade", ["BTC/USDT"], snapshot=True))
    assert snapshot["type"] == "snapshot"
    assert [str(trade["trade_id"]) for trade in snapshot["data"]] == ids[-50:]
    (first, *_) = [text for _ in range(50) for text in sent(source, peer)]
    assert json.loads(first)["data"][0]["trade_id"] == int(ids[-1]) + 1


def test_instruments_tell_the_precisions() -> None:
    peer = peer_of(source_of())
    ack, snapshot = answers(peer, json.dumps({"method": "subscribe", "params": {"channel": "instrument"}}))
    assert ack["result"]["channel"] == "instrument"
    pairs = {pair["symbol"]: pair for pair in snapshot["data"]["pairs"]}
    assert {name: (pair["price_precision"], pair["qty_precision"]) for name, pair in pairs.items()} == {
        "BTC/USDT": (1, 8),
        "ETH/USDT": (2, 8),
    }
    assert pairs["BTC/USDT"]["price_increment"] == 0.1
    assert [asset["id"] for asset in snapshot["data"]["assets"]] == ["BTC", "USDT", "ETH"]


# --- requests -----------------------------------------------------------------------------------------------------


def test_the_status_comes_first_with_a_number_of_twenty_digits() -> None:
    (status,) = peer_of(source_of()).opened(NOW)
    message = json.loads(str(status))
    assert (message["channel"], message["type"]) == ("status", "update")
    assert message["data"][0]["system"] == "online"
    assert message["data"][0]["connection_id"] > 2**63


def test_each_symbol_is_answered_for_itself() -> None:
    source = source_of()
    peer = peer_of(source)
    replies = answers(peer, request("book", ["BTC/USDT", "XBT/USDT", "ETH/USDT"], depth=25, snapshot=False))
    assert [reply["success"] for reply in replies] == [True, False, True]
    assert [reply["req_id"] for reply in replies] == [7, 7, 7]
    assert replies[0]["result"] == {"channel": "book", "depth": 25, "snapshot": False, "symbol": "BTC/USDT"}
    assert replies[1]["error"] == "Currency pair not supported XBT/USDT"
    assert (replies[1]["symbol"], replies[1]["method"]) == ("XBT/USDT", "subscribe")
    assert replies[1]["time_in"] == "2026-09-21T14:13:20.000000Z"
    assert set(peer.streams) == {"book@25:BTC/USDT", "book@25:ETH/USDT"}
    assert peer.streams.keys() <= source.streams


def test_a_second_subscription_is_refused_and_changes_nothing() -> None:
    peer = peer_of(source_of())
    answers(peer, request("book", ["BTC/USDT"], depth=100))
    (reply,) = answers(peer, request("book", ["BTC/USDT"], depth=1000))
    assert (reply["success"], reply["error"]) == (False, "Already subscribed")
    assert set(peer.streams) == {"book@100:BTC/USDT"}


def test_an_unsubscription_ends_the_frames_and_a_new_one_begins_with_a_snapshot() -> None:
    source = source_of()
    peer = peer_of(source)
    answers(peer, request("book", ["BTC/USDT"], depth=100))
    (wrong,) = answers(peer, request("book", ["BTC/USDT"], "unsubscribe", depth=10))
    assert wrong["success"] is False
    (reply,) = answers(peer, request("book", ["BTC/USDT"], "unsubscribe", depth=100))
    assert reply["result"] == {"channel": "book", "depth": 100, "symbol": "BTC/USDT"}
    assert not peer.streams
    again = answers(peer, request("book", ["BTC/USDT"], depth=100))
    assert [message.get("type") for message in again] == [None, "snapshot"]
    (reply,) = answers(peer, request("trade", ["BTC/USDT"], "unsubscribe"))
    assert reply["error"] == "Subscription Not Found"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "Malformed request"),
        ("[]", "Malformed request"),
        ('{"params":{}}', "Malformed request"),
        ('{"method":"subscribe","params":[],"req_id":1}', "Malformed request"),
        ('{"method":"ping","req_id":"x"}', "Malformed request"),
        ('{"method":"subscribe","params":{"channel":"book"}}', "Malformed request"),
        ('{"method":"subscribe","params":{"channel":"book","symbol":"BTC/USDT"}}', "Malformed request"),
        (request("book", ["BTC/USDT"], depth=11), "Subscription depth not supported"),
        (request("level9", ["BTC/USDT"]), "Unsupported channel"),
        (request("book", ["BTC/USDT"], "dance"), "Unsupported method"),
    ],
)
def test_a_wrong_request_is_answered_with_an_error(text: str, error: str) -> None:
    peer = peer_of(source_of())
    (reply,) = answers(peer, text)
    assert (reply["success"], reply["error"]) == (False, error)
    assert not peer.streams


def test_a_ping_is_answered_with_its_number() -> None:
    (pong,) = answers(peer_of(source_of()), '{"method":"ping","req_id":101}')
    assert (pong["method"], pong["req_id"]) == ("pong", 101)
    assert {"time_in", "time_out"} <= pong.keys()


def test_a_heartbeat_comes_after_a_second_without_other_traffic() -> None:
    source = source_of()
    peer = peer_of(source)
    peer.opened(NOW)
    assert peer.timer(NOW + SECOND) == []
    answers(peer, request("trade", ["BTC/USDT"]))
    assert peer.timer(NOW + 2 * SECOND) == []
    assert peer.timer(NOW + 3 * SECOND) == ['{"channel":"heartbeat"}']
    assert [text for _ in range(20) for text in sent(source, peer)]
    assert peer.timer(NOW + 4 * SECOND) == []
    assert peer.timer(NOW + 300 * SECOND) == ['{"channel":"heartbeat"}']


def test_who_subscribes_to_nothing_is_closed_after_a_minute() -> None:
    peer = peer_of(source_of())
    peer.opened(NOW)
    assert peer.timer(NOW + 59 * SECOND) == []
    (closed,) = peer.timer(NOW + 60 * SECOND)
    assert isinstance(closed, Close)


def test_other_paths_are_refused() -> None:
    venue = KrakenVenue(source_of(), Limits())
    for refused in (venue.connect("/v1", {}, NOW), venue.rest("/0/public/Time", {}, NOW)):
        assert isinstance(refused, Answer)
        assert refused.status == 404
