"""The simulated Gate.io, seen by a client written from the exchange's rules: dicts, Decimals, U after the last u."""

import json
from decimal import Decimal
from typing import Any

import pytest

from simulator.exchanges.gateio import GateioPeer, GateioVenue
from simulator.exchanges.gateio_wire import GateioWire, update_text
from simulator.limits import Limits
from simulator.played import PlayedSource
from simulator.recording import Row
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer, Close
from tests.frames import frames_folder

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOOKS, TRADES = "spot.obu", "spot.trades"
BOOK = "ob.BTC_USDT.400"
FRAMES = frames_folder()
needs_frames = pytest.mark.skipif(FRAMES is None, reason="no recorded frames (COBY_FRAMES)")


class Client:
    """One book that is never cut: what leaves the window must be said."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, str]] = {"b": {}, "a": {}}
        self.last: int | None = None
        self.fulls = self.removed = self.absent = 0

    def read(self, text: str | bytes) -> None:
        message = json.loads(text)
        result = message["result"]
        assert (message["channel"], message["event"]) == (BOOKS, "update")
        if "full" in result:
            assert result["full"] is True
            assert "U" not in result
            self.fulls += 1
            self.sides = {"b": {}, "a": {}}
        else:
            assert self.last is not None
            assert result["U"] == self.last + 1
            self.absent += ("b" not in result) + ("a" not in result)
        self.last = result["u"]
        for name, side in self.sides.items():
            for price, size in result.get(name, []):
                if size == "0":
                    self.removed += side.pop(Decimal(price), None) is not None
                else:
                    side[Decimal(price)] = size

    def levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        bids = [(price, Decimal(size)) for price, size in sorted(self.sides["b"].items(), reverse=True)]
        return bids, [(price, Decimal(size)) for price, size in sorted(self.sides["a"].items())]


def source_of(seed: int = 1, *, rate: int = 40, seconds: int = 10) -> SeededSource:
    return seeded("gateio", GateioWire(), seed, ("BTCUSDT", "ETHUSDT"), rate, seconds)


def peer_of(source: SeededSource | PlayedSource) -> GateioPeer:
    peer = GateioVenue(source, Limits()).connect("/ws/v4/", {}, NOW)
    assert isinstance(peer, GateioPeer)
    peer.opened(NOW)
    return peer


def request(channel: str, *payload: Any, event: str = "subscribe", **more: Any) -> str:
    return json.dumps({"time": 1, "channel": channel, "event": event, "payload": list(payload), **more})


def answers(peer: GateioPeer, text: str) -> list[dict[str, Any]]:
    return [json.loads(reply) for reply in peer.received(text, NOW) if isinstance(reply, str)]


def sent(source: SeededSource | PlayedSource, peer: GateioPeer) -> list[str]:
    """What the next event sends to this peer."""
    return [str(peer.render(frame)) for frame in source.take(NOW) if frame.stream in peer.streams]


def following(peer: GateioPeer, topic: str = BOOK) -> Client:
    """A client that has subscribed to the book and read its first push."""
    client = Client()
    ack, full = peer.received(request(BOOKS, topic), NOW)
    assert json.loads(str(ack))["result"] == {"status": "success"}
    client.read(str(full))
    return client


@pytest.mark.parametrize("depth", [50, 400])
def test_a_client_that_cuts_nothing_holds_exactly_its_window(depth: int) -> None:
    source = source_of(depth)
    peer = peer_of(source)
    for _ in range(57):
        source.take(NOW)
    client, updates = following(peer, f"ob.BTC_USDT.{depth}"), 0
    while source.peek_us() is not None:
        for text in sent(source, peer):
            client.read(text)
            updates += 1
            book = source.book("BTCUSDT")
            assert book is not None
            assert client.last == book.sequence
            bids, asks = client.levels()
            assert (len(bids), len(asks)) == (depth, depth)
            assert bids == [(Decimal(price), Decimal(size)) for price, size in book.bids[:depth]]
            assert asks == [(Decimal(price), Decimal(size)) for price, size in book.asks[:depth]]
    assert updates > 80
    assert client.removed > 200, "those pushed out of the window are said too"


def test_the_whole_book_may_be_sent_again_on_a_live_subscription() -> None:
    source = source_of()
    peer = peer_of(source)
    client = following(peer)
    for turn in range(60):
        for text in sent(source, peer):
            client.read(text)
        if turn == 30:
            (again,) = peer.resend_full(BOOK, NOW)
            before = client.levels()
            client.read(str(again))
            assert client.levels() == before
    assert client.fulls == 2


def test_a_side_without_rows_is_absent() -> None:
    wire = GateioWire()
    source = seeded("gateio", wire, 1, ("BTCUSDT",), 40, 2)
    peer = peer_of(source)
    client, before = following(peer), source.book("BTCUSDT")
    assert before is not None
    ids = before.sequence + 1, before.sequence + 1
    client.read(update_text(BOOK, (("1", "2"),), (), ids=ids, time_ms=5))
    client.read(update_text(BOOK, (), (), ids=(ids[0] + 1, ids[0] + 5), time_ms=5))
    assert client.absent == 3


def test_trades_come_one_a_message_with_the_takers_side_and_a_fraction_of_a_millisecond() -> None:
    source = source_of(rate=201, seconds=3)
    peer = peer_of(source)
    (ack,) = answers(peer, request(TRADES, "BTC_USDT"))
    assert ack["result"] == {"status": "success"}
    sides, ids, fractions = set(), [], set()
    while source.peek_us() is not None:
        for frame in source.take(NOW):
            if frame.stream in peer.streams:
                result = json.loads(frame.text)["result"]
                assert frame.trade is not None
                assert (result["side"], result["price"]) == (frame.trade.taker, frame.trade.price)
                whole, _, fraction = result["create_time_ms"].partition(".")
                assert int(whole) == frame.trade.time_ms
                assert int(whole) // 1000 == result["create_time"]
                sides.add(result["side"])
                ids.append(result["id"])
                fractions.add(fraction)
    assert sides == {"buy", "sell"}
    assert ids == sorted(set(ids))
    assert len(ids) > 200
    assert len(fractions) > 1


# --- requests -----------------------------------------------------------------------------------------------------


def test_an_answer_repeats_the_request_and_the_whole_books_follow() -> None:
    peer = peer_of(source_of())
    first, *more = answers(peer, request(BOOKS, BOOK, "ob.ETH_USDT.50", id=7))
    assert [first[key] for key in ("id", "channel", "event", "payload")] == [
        7,
        BOOKS,
        "subscribe",
        [BOOK, "ob.ETH_USDT.50"],
    ]
    assert [message["result"]["s"] for message in more] == [BOOK, "ob.ETH_USDT.50"]
    (gone,) = answers(peer, request(BOOKS, BOOK, event="unsubscribe", id=8))
    assert (gone["id"], gone["event"], gone["result"]) == (8, "unsubscribe", {"status": "success"})
    assert set(peer.streams) == {"ob.ETH_USDT.50"}


@pytest.mark.parametrize(
    ("channel", "payload", "message"),
    [(TRADES, ["BTC_USDT", "XYZ_USDT"], "unknown currency pair XYZ_USDT"),
     (BOOKS, ["ob.XYZ_USDT.400"], "unknown currency pair XYZ_USDT"),
     (BOOKS, ["ob.BTC_USDT.100"], "invalid argument ob.BTC_USDT.100"),
     (BOOKS, ["BTC_USDT"], "invalid argument BTC_USDT"),
     ("spot.nothing", ["BTC_USDT"], "unknown channel spot.nothing"), (TRADES, [], "invalid argument"),
     (TRADES, [5], "invalid argument")],
)  # fmt: skip
def test_a_wrong_request_is_answered_with_an_error(channel: str, payload: list[Any], message: str) -> None:
    peer = peer_of(source_of())
    (reply,) = answers(peer, request(channel, *payload, id=3))
    assert (reply["id"], reply["error"]) == (3, {"code": 2, "message": message})
    assert not peer.streams


def test_a_second_subscription_of_a_book_is_an_error_and_changes_nothing() -> None:
    source = source_of()
    peer = peer_of(source)
    client = following(peer)
    (reply,) = answers(peer, request(BOOKS, BOOK))
    assert reply["error"] == {"code": 2, "message": f"Alert sub {BOOK}"}
    for _ in range(20):
        for text in sent(source, peer):
            client.read(text)
    assert client.fulls == 1


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "5", "{}", '{"channel":"spot.trades","event":"subscribe","payload":["BTC_USDT"]}',
     '{"time":1,"id":"a","channel":"spot.ping"}', '{"time":1,"channel":"spot.trades","event":"dance","payload":["x"]}'],
)  # fmt: skip
def test_a_request_that_is_none_is_refused(text: str) -> None:
    (reply,) = answers(peer_of(source_of()), text)
    assert reply["error"]["code"] == 2


def test_a_ping_is_answered_with_a_pong() -> None:
    (reply,) = answers(peer_of(source_of()), '{"time":1,"channel":"spot.ping"}')
    assert (reply["channel"], reply["event"], reply["result"]) == ("spot.pong", "", None)


def test_a_minute_without_any_message_ends_the_connection() -> None:
    source = source_of()
    peer = peer_of(source)
    assert peer.timer(NOW + 59 * SECOND) == []
    peer.received('{"time":1,"channel":"spot.ping"}', NOW + 59 * SECOND)
    assert peer.timer(NOW + 118 * SECOND) == []
    peer.received(request(BOOKS, BOOK), NOW + 118 * SECOND)
    assert [text for _ in range(20) for text in sent(source, peer)]
    assert peer.timer(NOW + 177 * SECOND) == []
    assert peer.timer(NOW + 236 * SECOND) == []
    (closed,) = peer.timer(NOW + 237 * SECOND)
    assert isinstance(closed, Close)


def test_other_paths_are_refused() -> None:
    venue = GateioVenue(source_of(), Limits())
    for refused in (venue.connect("/ws/v4", {}, NOW), venue.rest("/api/v4/spot/time", {}, NOW)):
        assert isinstance(refused, Answer)
        assert refused.status == 404


def test_the_list_of_pairs() -> None:
    body = json.loads(GateioVenue(source_of(), Limits()).rest("/api/v4/spot/currency_pairs", {}, NOW).body)
    assert [(one["id"], one["base"], one["quote"], one["trade_status"]) for one in body] == [
        ("BTC_USDT", "BTC", "USDT", "tradable"),
        ("ETH_USDT", "ETH", "USDT", "tradable"),
    ]


@needs_frames
def test_recorded_frames_are_played_as_they_are() -> None:
    assert FRAMES is not None
    lines = (FRAMES / "gateio" / "tardis_mappers.jsonl").read_text().splitlines()
    texts = [row["frame"] for row in map(json.loads, lines)]
    source = PlayedSource([Row(number, 0, False, text) for number, text in enumerate(texts)], GateioWire())
    assert source.streams == {BOOK, "spot.trades:TLOS_BTC"}
    assert source.symbols == ("BTCUSDT", "TLOSBTC")
    frames = [frame for _ in range(2) for frame in source.take(0)]
    assert [frame.channel for frame in frames] == ["trade", "depth"]
    assert [frame.text for frame in frames] == [texts[3], texts[6]]
    assert (frames[1].first_id, frames[1].last_id) == (25_847_129_970, 25_847_129_996)
    assert source.book("BTCUSDT") is None, "an update without the book that it changes"
