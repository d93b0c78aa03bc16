"""The simulated KuCoin by EXCHANGES.md §7: token, welcome, requests, and books that a client joins by number."""

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest

from simulator.exchanges.kucoin import KucoinPeer, KucoinVenue
from simulator.exchanges.kucoin_wire import KucoinWire
from simulator.played import PlayedSource
from simulator.recording import Row
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer, Close
from tests.frames import frames_folder

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOTH = ("BTCUSDT", "ETHUSDT")
BOOK = "/market/level2:BTC-USDT"
TRADES = "/market/match:BTC-USDT"
FRAMES = frames_folder()
needs_frames = pytest.mark.skipif(FRAMES is None, reason="no recorded frames (COBY_FRAMES)")


def venue_of(
    seed: int = 1, *, symbols: tuple[str, ...] = BOTH, rate: int = 40, seconds: int = 10
) -> KucoinVenue:
    venue = KucoinVenue(seeded("kucoin", KucoinWire(), seed, symbols, rate, seconds), KucoinVenue.LIMITS)
    venue.base_url = "ws://host:1/kucoin"
    return venue


def answered(answer: Answer) -> Any:
    assert answer.status == 200
    whole = json.loads(answer.body)
    assert whole["code"] == "200000"
    return whole["data"]


def token_of(venue: KucoinVenue, now: int = NOW) -> str:
    return str(answered(venue.post("/api/v1/bullet-public", {}, now))["token"])


def peer_of(venue: KucoinVenue) -> KucoinPeer:
    peer = venue.connect("/", {"token": token_of(venue), "connectId": "c"}, NOW)
    assert isinstance(peer, KucoinPeer)
    assert [json.loads(str(reply)) for reply in peer.opened(NOW)] == [{"id": "c", "type": "welcome"}]
    return peer


def request(topic: Any, kind: str = "subscribe", **more: Any) -> str:
    return json.dumps({"id": 7, "type": kind, "topic": topic, "response": True} | more)


def ask(peer: KucoinPeer, text: str, now: int = NOW) -> list[dict[str, Any]]:
    return [json.loads(str(reply)) for reply in peer.received(text, now)]


def sent(source: SeededSource | PlayedSource, peer: KucoinPeer) -> list[dict[str, Any]]:
    """What the next event sends to this peer."""
    return [json.loads(peer.render(frame)) for frame in source.take(NOW) if frame.stream in peer.streams]


class Client:
    """A book joined by the exchange's rule; `amid` counts messages of which only a part lay beyond the snapshot."""

    def __init__(self, body: dict[str, Any], held: list[dict[str, Any]]) -> None:
        self.sides = {side: {Decimal(p): Decimal(s) for p, s in body[side]} for side in ("bids", "asks")}
        self.edges = {"bids": min(self.sides["bids"]), "asks": max(self.sides["asks"])}
        self.sequence = int(body["sequence"])
        self.amid = self.zeros = 0
        for message in held:
            self.read(message)

    def read(self, message: dict[str, Any]) -> None:
        data = message["data"]
        first, last = data["sequenceStart"], data["sequenceEnd"]
        assert first <= last
        if last <= self.sequence:
            return
        assert first <= self.sequence + 1, "a gap"
        self.amid += first <= self.sequence
        changes = [(int(number), side, Decimal(price), Decimal(size))
                   for side in ("bids", "asks") for price, size, number in data["changes"][side]]  # fmt: skip
        assert all(first <= change[0] <= last for change in changes)
        for number, side, price, size in sorted(changes, key=lambda change: change[0]):
            self.zeros += not price
            if price and number > self.sequence:
                self.sides[side][price] = size
        self.sequence = last

    def near(self, side: str) -> dict[Decimal, Decimal]:
        """The levels as far as the snapshot went."""
        sign, edge = (1 if side == "bids" else -1), self.edges[side]
        held = self.sides[side].items()
        return {price: size for price, size in held if size and sign * (price - edge) >= 0}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_client_that_joins_by_number_holds_the_book_as_far_as_its_snapshot_went(seed: int) -> None:
    venue = venue_of(seed, symbols=("BTCUSDT",))
    peer = peer_of(venue)
    for _ in range(57):
        venue.source.take(NOW)
    assert ask(peer, request(BOOK)) == [{"id": "7", "type": "ack"}]
    source = venue.source
    assert isinstance(source, SeededSource)
    held = [message for _ in range(40) for message in sent(source, peer)]
    body = answered(venue.rest("/api/v1/market/orderbook/level2_100", {"symbol": "BTC-USDT"}, NOW))
    assert (len(body["bids"]), len(body["asks"])) == (100, 100)
    assert isinstance(body["sequence"], str)
    client = Client(body, held)
    assert client.amid == 1, "REST and stream keep no step"
    updates = 0
    while source.peek_us() is not None:
        for message in sent(source, peer):
            client.read(message)
            updates += 1
        book = source.book("BTCUSDT")
        assert book is not None
        assert client.sequence == book.sequence
        for side, levels in (("bids", book.bids), ("asks", book.asks)):
            known = {Decimal(price): Decimal(size) for price, size in levels}
            sign, edge = (1 if side == "bids" else -1), client.edges[side]
            assert client.near(side) == {p: s for p, s in known.items() if sign * (p - edge) >= 0}
    assert updates > 50
    assert client.zeros > 10, "prices of zero, which only move the number on"


def test_numbers_have_no_zeros_at_their_end_and_levels_lie_sorted_by_price() -> None:
    venue = venue_of()
    peer = peer_of(venue)
    ask(peer, request(BOOK))
    source, rows = venue.source, 0
    assert isinstance(source, SeededSource)
    while source.peek_us() is not None:
        for message in sent(source, peer):
            for side in message["data"]["changes"].values():
                assert [Decimal(row[0]) for row in side] == sorted(Decimal(row[0]) for row in side)
                assert all(text == f"{Decimal(text).normalize():f}" for row in side for text in row[:2])
                rows += len(side)
    assert rows > 1000


def test_trades_say_nanoseconds_and_the_taker() -> None:
    venue = venue_of()
    peer, seen = peer_of(venue), set()
    ask(peer, request(TRADES))
    source = venue.source
    assert isinstance(source, SeededSource)
    while source.peek_us() is not None:
        for message in sent(source, peer):
            data = message["data"]
            assert (message["subject"], data["type"], data["tradeId"]) == (
                "trade.l3match",
                "match",
                data["sequence"],
            )
            assert len(data["time"]) == 19
            seen.add(data["side"])
    assert seen == {"buy", "sell"}


# --- the token --------------------------------------------------------------------------------------------------------


def test_the_answer_to_bullet_public_names_this_server() -> None:
    data = answered(venue_of().post("/api/v1/bullet-public", {}, NOW))
    (server,) = data["instanceServers"]
    assert (server["endpoint"], server["protocol"]) == ("ws://host:1/kucoin/", "websocket")
    assert (server["pingInterval"], server["pingTimeout"]) == (18000, 10000)


@pytest.mark.parametrize("age", [-1, 24 * 3600 * SECOND])
def test_without_a_token_that_is_good_there_is_no_welcome(age: int) -> None:
    venue = venue_of()
    token = token_of(venue, NOW - age) if age >= 0 else "mine"
    peer = venue.connect("/", {"token": token, "connectId": "c"}, NOW)
    assert isinstance(peer, KucoinPeer)
    error, closed = peer.opened(NOW)
    assert json.loads(str(error))["code"] == 401
    assert isinstance(closed, Close)


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [(request("/market/level2:DOGE-USDT"), 404), (request("/market/ticker:BTC-USDT"), 404), (request(None), 406),
     (request("/market/level2"), 400), (request("/market/level2: BTC-USDT"), 400), (request("/market/level2:,"), 400),
     (request("/market/level2:BTCUSDT"), 404), (request("/market/level2:BTC-USDT,DOGE-USDT"), 404),
     (request(BOOK, "dance"), 415), ("{", 415), ("[]", 415)],
)  # fmt: skip
def test_a_wrong_request_is_answered_with_its_code_and_changes_nothing(text: str, code: int) -> None:
    peer = peer_of(venue_of())
    (error,) = ask(peer, text)
    assert (error["type"], error["code"]) == ("error", code)
    assert not peer.streams


def test_several_symbols_of_a_topic_and_the_way_out() -> None:
    peer = peer_of(venue_of())
    assert ask(peer, request("/market/level2:BTC-USDT,ETH-USDT")) == [{"id": "7", "type": "ack"}]
    assert len(peer.streams) == 2
    assert ask(peer, request(BOOK, response=False)) == []
    assert ask(peer, request(BOOK, "unsubscribe")) == [{"id": "7", "type": "ack"}]
    assert len(peer.streams) == 1


def test_more_than_a_hundred_messages_in_ten_seconds_are_refused() -> None:
    peer = peer_of(venue_of())
    for _ in range(100):
        assert ask(peer, request(TRADES))[0]["type"] == "ack"
    assert ask(peer, request(TRADES))[0]["code"] == 509
    assert ask(peer, request(TRADES), NOW + 10 * SECOND)[0]["type"] == "ack"


def test_more_topics_than_a_session_may_have_are_refused() -> None:
    venue = venue_of()
    venue.limits = venue.limits.changed({"streams_max": 1})
    peer = peer_of(venue)
    assert ask(peer, request(TRADES))[0]["type"] == "ack"
    (error,) = ask(peer, request(BOOK))
    assert error["data"] == "exceed max subscription count limitation of 1 per session"


def test_sixty_seconds_without_a_ping_end_the_connection_and_a_ping_does_not() -> None:
    peer = peer_of(venue_of())
    (pong,) = ask(peer, '{"id":"p","type":"ping"}', NOW + 50 * SECOND)
    assert (pong["id"], pong["type"]) == ("p", "pong")
    ask(peer, request(BOOK), NOW + 100 * SECOND)
    assert peer.timer(NOW + 109 * SECOND) == []
    assert isinstance(peer.timer(NOW + 110 * SECOND)[-1], Close)


def test_24_hours_end_the_connection() -> None:
    peer = peer_of(venue_of())
    day = NOW + 24 * 3600 * SECOND
    ask(peer, '{"id":"p","type":"ping"}', day - SECOND)
    assert isinstance(peer.timer(day)[-1], Close)


# --- REST -------------------------------------------------------------------------------------------------------------


def test_rest_answers() -> None:
    venue = venue_of()
    pairs = answered(venue.rest("/api/v2/symbols", {}, NOW))
    assert [pair["symbol"] for pair in pairs] == ["BTC-USDT", "ETH-USDT"]
    assert (
        len(answered(venue.rest("/api/v1/market/orderbook/level2_20", {"symbol": "BTC-USDT"}, NOW))["bids"])
        == 20
    )
    unknown = venue.rest("/api/v1/market/orderbook/level2_100", {"symbol": "DOGE-USDT"}, NOW)
    assert json.loads(unknown.body)["code"] == "900001"
    assert venue.rest("/api/v3/market/orderbook/level2", {"symbol": "BTC-USDT"}, NOW).status == 401
    for answer in (venue.rest("/x", {}, NOW), venue.post("/x", {}, NOW), venue.connect("/x", {}, NOW)):
        assert isinstance(answer, Answer)
        assert answer.status == 404


# --- recordings -------------------------------------------------------------------------------------------------------


@needs_frames
def test_a_recording_is_played_with_the_book_of_its_body() -> None:
    assert FRAMES is not None
    with gzip.open(FRAMES / "kucoin" / "cryptofeed_ws_1_0.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    bodies = (FRAMES / "kucoin" / "cryptofeed_rest_snapshots.jsonl").read_text().splitlines()
    rows = [row for row in rows if row.get("dir") == "in"] + [json.loads(line) for line in bodies]
    rows.sort(key=lambda row: row["received_at"])
    played = PlayedSource(
        [
            Row(number, 0, row["dir"] == "http", row["frame"], row.get("url"))
            for number, row in enumerate(rows)
        ],
        KucoinWire(),
    )
    assert len(played.symbols) == 9
    updates = 0
    while played.peek_us() is not None:
        (frame,) = played.take(0)
        assert all(Decimal(price) for price, _ in (*frame.bids, *frame.asks))
        updates += frame.channel == "depth"
    assert updates == 1326
    book = played.book("BCHSVUSDT")
    assert book is not None
    assert Decimal(book.bids[0][0]) < Decimal(book.asks[0][0])
