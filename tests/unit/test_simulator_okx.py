"""The simulated OKX, seen by a client written from the exchange's rules: dicts, Decimals, the chain of numbers."""

import json
import zlib
from decimal import Decimal
from typing import Any

import pytest

from simulator.exchanges.okx import OkxPeer, OkxVenue
from simulator.exchanges.okx_wire import OkxWire, checksum
from simulator.limits import Limits
from simulator.played import PlayedSource
from simulator.recording import Row
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer, Close
from tests.frames import frames_folder

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOTH = ("BTCUSDT", "ETHUSDT")
BOOKS = {"channel": "books", "instId": "BTC-USDT"}
TRADES = {"channel": "trades", "instId": "BTC-USDT"}
FRAMES = frames_folder()
needs_frames = pytest.mark.skipif(FRAMES is None, reason="no recorded frames (COBY_FRAMES)")


def signed_crc(bids: list[list[str]], asks: list[list[str]]) -> int:
    """EXCHANGES.md §5: the best 25, bid and ask in turn, a missing side left out, as a signed integer."""
    turns = [side[rank] for rank in range(25) for side in (bids, asks) if rank < len(side)]
    texts = [f"{price}:{size}" for price, size in turns]
    return int.from_bytes(zlib.crc32(":".join(texts).encode()).to_bytes(4, "big"), "big", signed=True)


class Client:
    """One book that is never cut: what leaves the window must be said."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, list[str]]] = {"bids": {}, "asks": {}}
        self.sequence: int | None = None
        self.empty = self.removed = 0
        self.checksums: set[int] = set()
        self.steps: list[int] = []

    def read(self, text: str) -> None:
        message = json.loads(text)
        (data,) = message["data"]
        if message["action"] == "snapshot":
            assert data["prevSeqId"] == -1
            self.sides = {"bids": {}, "asks": {}}
        else:
            assert data["prevSeqId"] == self.sequence
            assert self.sequence is not None
            self.steps.append(data["seqId"] - self.sequence)
        self.sequence = data["seqId"]
        self.empty += not data["bids"] and not data["asks"]
        for name, side in self.sides.items():
            for price, size, zero, orders in data[name]:
                assert zero == "0"
                assert (size == "0") == (orders == "0")
                if size == "0":
                    self.removed += side.pop(Decimal(price), None) is not None
                else:
                    side[Decimal(price)] = [price, size]
        self.checksums.add(data["checksum"])
        if data["checksum"]:
            assert data["checksum"] == signed_crc(*self.levels())

    def levels(self) -> tuple[list[list[str]], list[list[str]]]:
        bids = [level for _, level in sorted(self.sides["bids"].items(), reverse=True)]
        return bids, [level for _, level in sorted(self.sides["asks"].items())]


def source_of(
    seed: int = 1,
    *,
    symbols: tuple[str, ...] = BOTH,
    rate: int = 40,
    seconds: int = 10,
    checksums: bool = False,
) -> SeededSource:
    return seeded("okx", OkxWire(checksums=checksums), seed, symbols, rate, seconds)


def peer_of(source: SeededSource | PlayedSource) -> OkxPeer:
    peer = OkxVenue(source, Limits()).connect("/ws/v5/public", {}, NOW)
    assert isinstance(peer, OkxPeer)
    peer.opened(NOW)
    return peer


def request(*args: dict[str, str], op: str = "subscribe", **more: Any) -> str:
    return json.dumps({"op": op, "args": list(args), **more})


def answers(peer: OkxPeer, text: str) -> list[dict[str, Any]]:
    return [json.loads(reply) for reply in peer.received(text, NOW) if isinstance(reply, str)]


def sent(source: SeededSource | PlayedSource, peer: OkxPeer) -> list[str]:
    """What the next event sends to this peer."""
    return [peer.render(frame) for frame in source.take(NOW) if frame.stream in peer.streams]


def following(source: SeededSource | PlayedSource, peer: OkxPeer) -> Client:
    """A client that has subscribed to the book and read its snapshot."""
    client = Client()
    ack, _, snapshot = peer.received(request(BOOKS), NOW)
    assert json.loads(str(ack))["event"] == "subscribe"
    client.read(str(snapshot))
    return client


# --- the book ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_checksums", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_client_that_cuts_nothing_holds_exactly_four_hundred_levels(seed: int, has_checksums: bool) -> None:
    source = source_of(seed, symbols=("BTCUSDT",), checksums=has_checksums)
    peer = peer_of(source)
    for _ in range(57):
        source.take(NOW)
    client = following(source, peer)
    updates = 0
    while source.peek_us() is not None:
        for text in sent(source, peer):
            client.read(text)
            updates += 1
            book = source.book("BTCUSDT")
            assert book is not None
            bids, asks = client.levels()
            assert (len(bids), len(asks)) == (400, 400)
            assert (tuple(map(tuple, bids)), tuple(map(tuple, asks))) == (book.bids, book.asks)
            assert client.sequence == book.sequence
    assert updates > 80
    # More levels go than come by orders taken alone: those pushed out of the window are said too.
    assert client.removed > 300
    assert (client.checksums == {0}) is not has_checksums


def test_numbers_have_no_zeros_at_their_end() -> None:
    source = source_of()
    client = following(source, peer_of(source))
    texts = [text for side in client.levels() for level in side for text in level]
    assert any("." not in text for text in texts)
    assert all(text == f"{Decimal(text).normalize():f}" for text in texts)
    assert max(len(text.partition(".")[2]) for text in texts) == 8


def test_after_a_maintenance_the_numbers_go_on_from_a_smaller_one() -> None:
    source = source_of()
    venue = OkxVenue(source, Limits())
    peer = venue.connect("/ws/v5/public", {}, NOW)
    assert isinstance(peer, OkxPeer)
    client = following(source, peer)
    for turn in range(200):
        if turn in (50, 120):
            venue.reset_sequence("BTCUSDT")
        for text in sent(source, peer):
            client.read(text)
    assert sum(step < 0 for step in client.steps) == 2
    later = following(source, venue_peer := peer_of(source))
    assert later.sequence == client.sequence
    while source.peek_us() is not None:
        for frame in source.take(NOW):
            if frame.stream in venue_peer.streams:
                later.read(venue_peer.render(frame))
    book = source.book("BTCUSDT")
    assert book is not None
    assert [tuple(level) for level in later.levels()[0]] == list(book.bids)


def test_a_book_that_stands_still_is_told_once_a_minute() -> None:
    source = source_of(checksums=True)
    peer = peer_of(source)
    client = following(source, peer)
    before = client.levels()
    at = NOW
    for _ in range(130):
        at += SECOND
        assert peer.received("ping", at) == ["pong"]
        for reply in peer.timer(at):
            client.read(str(reply))
    assert (client.empty, client.steps) == (2, [0, 0])
    assert client.levels() == before


# --- checksum ---------------------------------------------------------------------------------------------------


@needs_frames
def test_the_checksum_is_that_of_the_published_vector() -> None:
    assert FRAMES is not None
    lines = (FRAMES / "checksum_vectors.jsonl").read_text().splitlines()
    (row,) = (row for row in map(json.loads, lines) if row["exchange"] == "okx")
    sides = (tuple(map(tuple, row["book"][name])) for name in ("bids", "asks"))
    assert checksum(*sides) == row["expected"]["crc32_signed"]


@needs_frames
def test_a_recording_rebuilds_books_with_the_checksums_of_the_exchange() -> None:
    """A capture of 2022: it says what leaves the window, so the books stay at their 400 levels."""
    assert FRAMES is not None
    lines = (FRAMES / "okx" / "cryptofeed_ws_1_0.jsonl").read_text().splitlines()
    received = [row["frame"] for row in map(json.loads, lines) if row.get("dir", "in") == "in"]
    source = PlayedSource([Row(number, 0, False, text) for number, text in enumerate(received)], OkxWire())
    checked = 0
    signs = set()
    while source.peek_us() is not None:
        (frame,) = source.take(0)
        book = source.book(frame.symbol)
        if frame.channel != "depth" or book is None:
            continue
        expected = json.loads(frame.text)["data"][0]["checksum"]
        assert checksum(book.bids, book.asks) == expected
        signs.add(expected < 0)
        checked += 1
        if frame.symbol == "BTCUSDT":
            assert (len(book.bids), len(book.asks)) == (400, 400)
    assert checked == sum('"books"' in text and '"data"' in text for text in received)
    assert signs == {True, False}


# --- trades -------------------------------------------------------------------------------------------------------


def test_trades_are_summed_and_their_ids_skip_what_was_summed() -> None:
    source = source_of(rate=200, seconds=5)
    peer = peer_of(source)
    answers(peer, request(TRADES))
    before = None
    counts = set()
    while source.peek_us() is not None:
        for text in sent(source, peer):
            (trade,) = json.loads(text)["data"]
            assert set(trade) == {"instId", "tradeId", "px", "sz", "side", "ts", "count", "source", "seqId"}
            assert before is None or int(trade["tradeId"]) == before + int(trade["count"])
            before = int(trade["tradeId"])
            counts.add(trade["count"])
    assert counts == {"1", "2", "3"}


def test_a_trade_lies_between_the_updates_around_it() -> None:
    source = source_of(rate=200, seconds=3)
    peer = peer_of(source)
    client, seen = following(source, peer), 0
    answers(peer, request(TRADES))
    told: list[int] = []
    while source.peek_us() is not None:
        for text in sent(source, peer):
            data = json.loads(text)["data"][0]
            if "tradeId" in data:
                told.append(data["seqId"])
                continue
            before = client.sequence
            client.read(text)
            assert before is not None
            assert client.sequence is not None
            assert all(before < number <= client.sequence for number in told)
            seen += len(told)
            told.clear()
    assert seen > 200


# --- requests -----------------------------------------------------------------------------------------------------


def test_each_argument_is_answered_for_itself_and_the_snapshots_follow() -> None:
    source = source_of()
    peer = peer_of(source)
    wrong = {"channel": "books", "instId": "BTC-EUR"}
    replies = answers(peer, request(BOOKS, wrong, TRADES, id="a1"))
    assert [reply.get("event", reply.get("action")) for reply in replies] == [
        "subscribe",
        "channel-conn-count",
        "error",
        "subscribe",
        "channel-conn-count",
        "snapshot",
    ]
    assert [reply["arg"] for reply in replies if reply.get("event") == "subscribe"] == [BOOKS, TRADES]
    assert [reply["id"] for reply in replies if reply.get("event") in ("subscribe", "error")] == ["a1"] * 3
    assert replies[2]["code"] == "60018"
    assert "channel:books,instId:BTC-EUR doesn't exist" in replies[2]["msg"]
    assert len({reply["connId"] for reply in replies[:-1]}) == 1
    assert peer.streams.keys() <= source.streams
    assert len(peer.streams) == 2


def test_an_unsubscription_ends_the_frames_and_a_new_one_begins_with_a_snapshot() -> None:
    source = source_of()
    peer = peer_of(source)
    following(source, peer)
    (reply,) = answers(peer, request(BOOKS, op="unsubscribe"))
    assert (reply["event"], reply["arg"]) == ("unsubscribe", BOOKS)
    assert not [text for _ in range(20) for text in sent(source, peer)]
    client = following(source, peer)
    for _ in range(20):
        for text in sent(source, peer):
            client.read(text)
    assert client.steps


def test_a_second_subscription_is_acknowledged_and_changes_nothing() -> None:
    source = source_of()
    peer = peer_of(source)
    client = following(source, peer)
    assert [reply["event"] for reply in answers(peer, request(BOOKS))] == ["subscribe", "channel-conn-count"]
    for _ in range(20):
        for text in sent(source, peer):
            client.read(text)
    assert client.steps


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "Ping",
        "[]",
        '{"op":"subscribe","argss":[{"channel":"books","instId":"BTC-USDT"}]}',
        '{"op":"subscribe","args":[]}',
        '{"op":"subscribe","args":["books"]}',
        '{"op":"dance","args":[{"channel":"books","instId":"BTC-USDT"}]}',
        '{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"},{"instId":"BTC-USDT"}]}',
        '{"id":"a-b","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}',
    ],
)
def test_a_request_that_is_none_is_refused_whole(text: str) -> None:
    peer = peer_of(source_of())
    (reply,) = answers(peer, text)
    assert (reply["event"], reply["code"]) == ("error", "60012")
    assert reply["msg"] == f"Invalid request: {text}"
    assert "id" not in reply
    assert not peer.streams


def test_a_refused_request_is_answered_with_its_id() -> None:
    (reply,) = answers(peer_of(source_of()), '{"id":"1512","op":"subscribe","args":[]}')
    assert (reply["id"], reply["code"]) == ("1512", "60012")


def test_more_than_480_requests_an_hour_are_refused() -> None:
    peer = peer_of(source_of())
    for _ in range(480):
        assert answers(peer, request(TRADES))[0]["event"] == "subscribe"
    (reply,) = answers(peer, request(TRADES))
    assert (reply["event"], reply["code"]) == ("error", "60014")
    (later, _) = peer.received(request(TRADES), NOW + 3600 * SECOND)
    assert json.loads(str(later))["event"] == "subscribe"


def test_a_request_of_more_than_64_kilobytes_ends_the_connection() -> None:
    (closed,) = peer_of(source_of()).received(request(*[TRADES] * 2000), NOW)
    assert isinstance(closed, Close)
    assert closed.code == 1009


def test_thirty_seconds_without_any_message_end_the_connection() -> None:
    source = source_of()
    peer = peer_of(source)
    assert peer.received("ping", NOW + 20 * SECOND) == ["pong"]
    assert peer.timer(NOW + 49 * SECOND) == []
    peer.received(request(BOOKS), NOW + 49 * SECOND)
    assert [text for _ in range(20) for text in sent(source, peer)]
    assert peer.timer(NOW + 78 * SECOND) == []
    assert peer.timer(NOW + 107 * SECOND) == []
    closed = peer.timer(NOW + 108 * SECOND)[-1]
    assert isinstance(closed, Close)
    assert (closed.code, closed.message) == (4004, "No data received in 30s")


def test_a_service_upgrade_is_announced() -> None:
    (notice,) = peer_of(source_of()).notice()
    message = json.loads(str(notice))
    assert (message["event"], message["code"]) == ("notice", "64008")


def test_other_paths_are_refused() -> None:
    venue = OkxVenue(source_of(), Limits())
    for refused in (venue.connect("/ws/v5/private", {}, NOW), venue.rest("/api/v5/public/time", {}, NOW)):
        assert isinstance(refused, Answer)
        assert refused.status == 404
