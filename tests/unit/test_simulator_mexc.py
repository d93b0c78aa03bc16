"""The simulated MEXC by EXCHANGES.md §10: binary messages, code 0, the limits of a connection, and books joined."""

import gzip
import json
from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest

from simulator import protobuf
from simulator.exchanges.mexc import MexcPeer, MexcVenue
from simulator.exchanges.mexc_wire import MexcWire
from simulator.played import PlayedSource
from simulator.recording import Row
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer, Close
from tests.frames import frames_folder
from tests.protobuf_by_hand import DEALS, DEPTH, deal, deals, depth
from tests.reference import mexc

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOTH = ("BTCUSDT", "ETHUSDT")
NAMES = {symbol: symbol for symbol in BOTH}
FRAMES = frames_folder()
needs_frames = pytest.mark.skipif(FRAMES is None, reason="no recorded frames (COBY_FRAMES)")


def venue_of(seed: int = 1, *, seconds: int = 6, ids: bool = True) -> MexcVenue:
    return MexcVenue(seeded("mexc", MexcWire(ids=ids), seed, BOTH, 40, seconds), MexcVenue.LIMITS)


def peer_of(venue: MexcVenue) -> MexcPeer:
    peer = venue.connect("/ws", {}, NOW)
    assert isinstance(peer, MexcPeer)
    assert peer.opened(NOW) == []
    return peer


def request(*topics: Any, method: str = "SUBSCRIPTION") -> str:
    return json.dumps({"method": method, "params": list(topics), "id": 7})


def ask(peer: MexcPeer, text: str, now: int = NOW) -> dict[str, Any]:
    (reply,) = peer.received(text, now)
    assert isinstance(reply, str), "answers are text"
    return dict(json.loads(reply))


def sent(venue: MexcVenue, peer: MexcPeer) -> list[bytes]:
    messages = [peer.render(frame) for frame in venue.source.take(NOW) if frame.stream in peer.streams]
    assert all(isinstance(message, bytes) for message in messages), "and data is binary"
    return [message for message in messages if isinstance(message, bytes)]


def read(message: bytes) -> list[Any]:
    """By the reference's own reading of the encoding."""
    return mexc.read({"kind": "ws", "value": message}, NAMES)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_client_that_joins_by_version_holds_the_book(seed: int) -> None:
    venue = venue_of(seed)
    peer, book = peer_of(venue), mexc.Book()
    topic = f"{DEPTH}@ETHUSDT"
    assert ask(peer, request(topic)) == {"id": 7, "code": 0, "msg": topic}
    source = venue.source
    assert isinstance(source, SeededSource)
    updates = 0
    while source.peek_us() is not None:
        for message in sent(venue, peer):
            (update,) = read(message)
            book.take(update)
            updates += 1
        if updates == 10 and book.last is None:
            answer = venue.rest("/api/v3/depth", {"symbol": "ETHUSDT", "limit": "5000"}, NOW)
            body = {"kind": "http", "value": answer.body, "symbol": "ETHUSDT"}
            for item in mexc.read(body, NAMES):
                book.take(item)
    truth = source.book("ETHUSDT")
    assert truth is not None
    assert (book.reason, book.last) == (None, truth.sequence)
    assert updates > 50
    for held, levels in ((book.bids, truth.bids), (book.asks, truth.asks)):
        assert held == {Decimal(price): Decimal(size) for price, size in levels}


@pytest.mark.parametrize("ids", [True, False])
def test_trades_may_have_no_id(ids: bool) -> None:
    venue = venue_of(ids=ids)
    peer, seen = peer_of(venue), []
    ask(peer, request(f"{DEALS}@BTCUSDT"))
    while venue.source.peek_us() is not None:
        seen += [trade for message in sent(venue, peer) for trade in read(message)]
    assert {trade.side for trade in seen} == {"buy", "sell"}
    assert all(("X0_" in trade.trade_id) is ids for trade in seen)


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "topic",
    [f"{DEPTH}@DOGEUSDT", "spot@public.increase.depth.v3.api@BTCUSDT", "spot@public.miniTicker.v3.api@BTCUSDT@UTC+0",
     f"{DEPTH}@btcusdt", "x"],
)  # fmt: skip
def test_a_topic_that_is_none_is_refused_with_code_0(topic: str) -> None:
    peer = peer_of(venue_of())
    answer = ask(peer, request(topic))
    assert (answer["id"], answer["code"]) == (7, 0)
    assert answer["msg"] == f"Not Subscribed successfully! [{topic}].  Reason： Blocked! "
    assert not peer.streams


def test_of_several_topics_the_good_ones_hold() -> None:
    peer = peer_of(venue_of())
    good, bad = f"{DEPTH}@BTCUSDT", f"{DEPTH}@DOGEUSDT"
    assert ask(peer, request(good, bad))["msg"].startswith(f"{good} Not Subscribed successfully! [{bad}]")
    assert list(peer.streams) == [good]
    assert ask(peer, request(good, method="UNSUBSCRIPTION"))["msg"] == good
    assert not peer.streams


@pytest.mark.parametrize("text", ["{", "[]", request(), request(5), request("x", method="DANCE")])
def test_what_is_no_request_changes_nothing(text: str) -> None:
    peer = peer_of(venue_of())
    assert ask(peer, text)["code"] == 0
    assert not peer.streams


def test_more_than_the_connections_subscriptions_are_refused() -> None:
    venue = venue_of()
    venue.limits = venue.limits.changed({"streams_max": 1})
    peer = peer_of(venue)
    assert ask(peer, request(f"{DEPTH}@BTCUSDT"))["msg"] == f"{DEPTH}@BTCUSDT"
    assert "Not Subscribed" in ask(peer, request(f"{DEALS}@BTCUSDT"))["msg"]
    assert MexcVenue.LIMITS.streams_max == 30


def test_who_subscribes_to_nothing_or_is_silent_or_a_day_old_is_closed() -> None:
    idle = peer_of(venue_of())
    assert ask(idle, '{"method":"PING"}', NOW + 29 * SECOND) == {"id": 0, "code": 0, "msg": "PONG"}
    assert idle.timer(NOW + 29 * SECOND) == []
    assert isinstance(idle.timer(NOW + 30 * SECOND)[0], Close)
    peer = peer_of(venue_of())
    ask(peer, request(f"{DEPTH}@BTCUSDT"), NOW + SECOND)
    assert peer.timer(NOW + 60 * SECOND) == []
    ask(peer, '{"method":"PING"}', NOW + 60 * SECOND)
    assert peer.timer(NOW + 119 * SECOND) == []
    assert isinstance(peer.timer(NOW + 120 * SECOND)[0], Close)
    day = NOW + 24 * 3600 * SECOND
    ask(peer, '{"method":"PING"}', day)
    assert isinstance(peer.timer(day)[0], Close)


def test_rest_answers() -> None:
    venue = venue_of()
    answer = venue.rest("/api/v3/depth", {"symbol": "BTCUSDT"}, NOW)
    assert len(json.loads(answer.body)["bids"]) == 100
    assert (
        len(json.loads(venue.rest("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "9999"}, NOW).body)["bids"])
        == 5000
    )
    for query, code in (({"symbol": "DOGEUSDT"}, -1121), ({"symbol": "BTCUSDT", "limit": "x"}, -1100)):
        refused = venue.rest("/api/v3/depth", query, NOW)
        assert (refused.status, json.loads(refused.body)["code"]) == (400, code)
    info = json.loads(venue.rest("/api/v3/exchangeInfo", {}, NOW).body)["symbols"]
    assert [pair["symbol"] for pair in info] == list(BOTH)
    assert json.loads(venue.rest("/api/v3/exchangeInfo", {"symbol": "X"}, NOW).body)["symbols"] == []
    assert venue.rest("/api/v3/ping", {}, NOW).status == venue.rest("/api/v3/time", {}, NOW).status == 200
    for refused in (venue.rest("/x", {}, NOW), venue.post("/x", {}, NOW)):
        assert refused.status == 404
    assert isinstance(venue.connect("/x", {}, NOW), Answer)


# --- the encoding, recordings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "raw"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02")])
def test_numbers_are_groups_of_seven_bits(value: int, raw: str) -> None:
    assert protobuf.varint(value).hex() == raw
    assert list(protobuf.fields(protobuf.number(3, value))) == [(3, value)]


@pytest.mark.parametrize("raw", ["08", "0a05", "0b", "ff" * 11, "0d0102"])
def test_what_is_cut_short_is_an_error(raw: str) -> None:
    with pytest.raises(ValueError):
        list(protobuf.fields(bytes.fromhex(raw)))


def test_frames_are_read_back_as_they_were_written() -> None:
    wire = MexcWire()
    frame = wire.frame_of(depth(5, 9, [("99", "1"), ("98", "0")], [("101", "2")]))
    assert (frame.symbol, frame.first_id, frame.last_id) == ("BTCUSDT", 5, 9)
    assert (frame.bids, frame.asks) == ((("99", "1"), ("98", "0")), (("101", "2"),))
    frame = wire.frame_of(deals(deal(), deal(kind=2, trade_id="7")))
    assert frame.trade is not None
    assert [trade.taker for trade in (frame.trade, *frame.more_trades)] == ["buy", "sell"]
    for other in ('{"id":1}', b"x", depth(5, 9)[3:]):
        assert wire.stream_of(other) is None


@needs_frames
def test_a_recording_is_played_with_the_book_of_its_body() -> None:
    assert FRAMES is not None
    with gzip.open(FRAMES / "mexc" / "derived_btcusdt_pb.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines][:600]
    given = [
        Row(number, 0, row["dir"] == "http", b64decode(row["frame"]) if row.get("encoding") else row["frame"])
        for number, row in enumerate(rows)
    ]
    played, counts = PlayedSource(given, MexcWire()), {"depth": 0, "trade": 0}
    assert played.symbols == ("BTCUSDT",)
    while played.peek_us() is not None:
        (frame,) = played.take(0)
        counts[frame.channel] += 1
    assert counts["depth"] == sum("fromVersion" in (row["expected"] or {}) for row in rows)
    assert counts["trade"] == sum("price" in (row["expected"] or {}) for row in rows)
    book = played.book("BTCUSDT")
    assert book is not None
    assert Decimal(book.bids[0][0]) < Decimal(book.asks[0][0])
