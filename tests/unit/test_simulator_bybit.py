"""The simulated Bybit, seen by a client written from the exchange's rules: dicts, Decimals, one number a message."""

import json
from decimal import Decimal
from typing import Any

import pytest

from simulator.exchanges.bybit import BybitPeer, BybitVenue
from simulator.exchanges.bybit_wire import BybitWire
from simulator.limits import Limits
from simulator.played import PlayedSource
from simulator.recording import Row
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer, Close
from tests.frames import frames_folder

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOTH = ("BTCUSDT", "ETHUSDT")
BOOK, TRADES = "orderbook.1000.BTCUSDT", "publicTrade.BTCUSDT"
FRAMES = frames_folder()
needs_frames = pytest.mark.skipif(FRAMES is None, reason="no recorded frames (COBY_FRAMES)")


class Client:
    """One book that is never cut: what leaves the window must be said."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, str]] = {"b": {}, "a": {}}
        self.number: int | None = None
        self.kinds: list[str] = []
        self.removed = 0

    def read(self, text: str | bytes) -> None:
        message = json.loads(text)
        assert list(message) == ["topic", "ts", "type", "data", "cts"], "spot has ts before type"
        data = message["data"]
        self.kinds.append(message["type"])
        if message["type"] == "snapshot":
            self.sides = {"b": {}, "a": {}}
            best = [Decimal(price) for price, _ in data["b"]]
            assert best == sorted(best, reverse=True)
        else:
            assert self.number is not None
            assert data["u"] == self.number + 1
        self.number = data["u"]
        for name, side in self.sides.items():
            for price, size in data[name]:
                if size == "0":
                    self.removed += side.pop(Decimal(price), None) is not None
                else:
                    side[Decimal(price)] = size

    def levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        bids = [(price, Decimal(size)) for price, size in sorted(self.sides["b"].items(), reverse=True)]
        return bids, [(price, Decimal(size)) for price, size in sorted(self.sides["a"].items())]


def source_of(seed: int = 1, *, rate: int = 40, seconds: int = 10) -> SeededSource:
    return seeded("bybit", BybitWire(), seed, BOTH, rate, seconds)


def peer_of(source: SeededSource | PlayedSource) -> BybitPeer:
    peer = BybitVenue(source, Limits()).connect("/v5/public/spot", {}, NOW)
    assert isinstance(peer, BybitPeer)
    peer.opened(NOW)
    return peer


def request(*topics: Any, op: str = "subscribe", **more: Any) -> str:
    return json.dumps({"op": op, "args": list(topics), **more})


def answers(peer: BybitPeer, text: str) -> list[dict[str, Any]]:
    return [json.loads(reply) for reply in peer.received(text, NOW) if isinstance(reply, str)]


def sent(source: SeededSource | PlayedSource, peer: BybitPeer) -> list[str]:
    """What the next event sends to this peer."""
    return [str(peer.render(frame)) for frame in source.take(NOW) if frame.stream in peer.streams]


def following(peer: BybitPeer, topic: str = BOOK) -> Client:
    """A client that has subscribed to the book and read its snapshot."""
    client = Client()
    ack, snapshot = peer.received(request(topic), NOW)
    assert json.loads(str(ack))["success"]
    client.read(str(snapshot))
    return client


@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_a_client_that_cuts_nothing_holds_exactly_its_window(depth: int) -> None:
    source = source_of(depth)
    peer = peer_of(source)
    for _ in range(57):
        source.take(NOW)
    client = following(peer, f"orderbook.{depth}.BTCUSDT")
    updates = 0
    while source.peek_us() is not None:
        for text in sent(source, peer):
            client.read(text)
            updates += 1
            book = source.book("BTCUSDT")
            assert book is not None
            bids, asks = client.levels()
            assert (len(bids), len(asks)) == (depth, depth)
            assert bids == [(Decimal(price), Decimal(size)) for price, size in book.bids[:depth]]
            assert asks == [(Decimal(price), Decimal(size)) for price, size in book.asks[:depth]]
    assert updates > 80
    assert client.removed > 200, "those pushed out of the window are said too"


def test_numbers_have_no_zeros_at_their_end() -> None:
    client = following(peer_of(source_of()))
    texts = [size for side in client.sides.values() for size in side.values()]
    assert all(text == f"{Decimal(text).normalize():f}" for text in texts)
    assert max(len(text.partition(".")[2]) for text in texts) == 8


def test_the_best_level_is_sent_as_snapshots_and_again_after_three_quiet_seconds() -> None:
    source = source_of()
    peer = peer_of(source)
    client = following(peer, "orderbook.1.BTCUSDT")
    for _ in range(20):
        for text in sent(source, peer):
            client.read(text)
    assert len(client.kinds) > 5
    assert set(client.kinds) == {"snapshot"}
    peer.timer(NOW)
    number, before = client.number, client.levels()
    assert peer.timer(NOW + 2 * SECOND) == []
    (again,) = peer.timer(NOW + 3 * SECOND)
    client.read(str(again))
    assert (client.number, client.levels()) == (number, before)


def test_a_service_begun_anew_sends_a_snapshot_with_number_one() -> None:
    source = source_of()
    venue = BybitVenue(source, Limits())
    peer = venue.connect("/v5/public/spot", {}, NOW)
    assert isinstance(peer, BybitPeer)
    client, numbers = following(peer), []
    for turn in range(120):
        if turn == 60:
            venue.restart("BTCUSDT")
        for text in sent(source, peer):
            client.read(text)
            numbers.append(client.number)
    assert client.kinds.count("snapshot") == 2
    begun = numbers.index(1)
    assert begun > 5
    assert numbers[begun:] == list(range(1, len(numbers) - begun + 1))
    book = source.book("BTCUSDT")
    assert book is not None
    assert client.levels()[0] == [(Decimal(price), Decimal(size)) for price, size in book.bids]
    later = following(peer_of(source))
    assert later.number == client.number


def test_a_snapshot_may_be_sent_on_a_live_subscription() -> None:
    source = source_of()
    peer = peer_of(source)
    client = following(peer)
    for turn in range(60):
        for text in sent(source, peer):
            client.read(text)
        if turn == 30:
            (again,) = peer.resend_snapshot(BOOK, NOW)
            client.read(str(again))
    assert client.kinds.count("snapshot") == 2
    assert client.kinds[-1] == "delta"


def test_trades_are_told_with_the_takers_side_and_ids_of_nineteen_digits() -> None:
    source = source_of(rate=200, seconds=3)
    peer = peer_of(source)
    (ack,) = answers(peer, request(TRADES))
    assert ack["success"]
    sides, ids = set(), []
    while source.peek_us() is not None:
        for frame in source.take(NOW):
            if frame.stream in peer.streams:
                message = json.loads(frame.text)
                (trade,) = message["data"]
                assert message["type"] == "snapshot"
                assert set(trade) == {"i", "T", "p", "v", "S", "seq", "s", "BT", "RPI"}
                assert frame.trade is not None
                assert (trade["S"].lower(), trade["p"]) == (frame.trade.taker, frame.trade.price)
                sides.add(trade["S"])
                ids.append(trade["i"])
    assert sides == {"Buy", "Sell"}
    assert {len(each) for each in ids} == {19}
    assert len(set(ids)) == len(ids) > 200


# --- requests -----------------------------------------------------------------------------------------------------


def test_a_request_is_answered_once_with_its_number_and_the_snapshots_follow() -> None:
    peer = peer_of(source_of())
    first, *more = answers(peer, request(TRADES, BOOK, "orderbook.50.ETHUSDT", req_id="a1"))
    assert [first[key] for key in ("success", "ret_msg", "req_id", "op")] == [
        True,
        "subscribe",
        "a1",
        "subscribe",
    ]
    assert [message["topic"] for message in more] == [BOOK, "orderbook.50.ETHUSDT"]
    (gone,) = answers(peer, request(BOOK, op="unsubscribe", req_id="a2"))
    assert [gone[key] for key in ("success", "req_id", "op")] == [True, "a2", "unsubscribe"]
    assert set(peer.streams) == {TRADES, "orderbook.50.ETHUSDT"}


@pytest.mark.parametrize(
    ("topics", "message"),
    [([BOOK, "orderbook.1000.XYZUSDT", TRADES], "Invalid symbol :[orderbook.1000.XYZUSDT]"),
     ([BOOK, "orderbook.100.BTCUSDT"], "Invalid topic: orderbook.100.BTCUSDT"),
     (["orderBookL2_25.BTCUSD"], "Invalid topic: orderBookL2_25.BTCUSD"),
     ([f"publicTrade.{number}" for number in range(11)], "args size >10"), ([], "params error: args"),
     ([5], "params error: args")],
)  # fmt: skip
def test_one_bad_topic_or_too_many_fail_the_whole_request(topics: list[Any], message: str) -> None:
    peer = peer_of(source_of())
    (reply,) = answers(peer, request(*topics, req_id="a1"))
    assert [reply[key] for key in ("success", "ret_msg", "req_id", "op")] == [
        False,
        message,
        "a1",
        "subscribe",
    ]
    assert not peer.streams


def test_a_second_subscription_is_refused_and_changes_nothing() -> None:
    source = source_of()
    peer = peer_of(source)
    client = following(peer)
    (reply,) = answers(peer, request(BOOK))
    assert (reply["success"], "already subscribed" in reply["ret_msg"]) == (False, True)
    for _ in range(20):
        for text in sent(source, peer):
            client.read(text)
    assert client.kinds[-1] == "delta"


def test_twenty_one_thousand_characters_of_topics_are_the_most() -> None:
    symbols = tuple(f"A{number:04}{'X' * 400}USDT" for number in range(60))
    peer = peer_of(seeded("bybit", BybitWire(), 1, symbols, 10, 1))
    length = len(f"publicTrade.{symbols[0]}")
    taken = [answers(peer, request(f"publicTrade.{symbol}"))[0]["success"] for symbol in symbols]
    assert taken.count(True) == 21_000 // length


@pytest.mark.parametrize("text", ["{", "[]", "5", "{}", '{"op":5}', '{"op":"dance"}', "ping"])
def test_a_request_that_is_none_is_refused(text: str) -> None:
    (reply,) = answers(peer_of(source_of()), text)
    assert reply["success"] is False


def test_a_pong_keeps_the_op_of_the_ping_and_loses_its_number() -> None:
    (reply,) = answers(peer_of(source_of()), '{"op":"ping","req_id":"7"}')
    assert [reply[key] for key in ("success", "ret_msg", "req_id", "op")] == [True, "pong", "", "ping"]


def test_ten_minutes_without_any_message_end_the_connection() -> None:
    source = source_of()
    peer = peer_of(source)
    assert peer.timer(NOW + 599 * SECOND) == []
    peer.received('{"op":"ping"}', NOW + 599 * SECOND)
    assert peer.timer(NOW + 1_198 * SECOND) == []
    peer.received(request(BOOK), NOW + 1_198 * SECOND)
    assert [text for _ in range(20) for text in sent(source, peer)]
    assert peer.timer(NOW + 1_700 * SECOND) == []
    assert peer.timer(NOW + 2_299 * SECOND) == []
    (closed,) = peer.timer(NOW + 2_300 * SECOND)
    assert isinstance(closed, Close)


def test_other_paths_are_refused() -> None:
    venue = BybitVenue(source_of(), Limits())
    for refused in (venue.connect("/v5/public/linear", {}, NOW), venue.rest("/v5/market/time", {}, NOW)):
        assert isinstance(refused, Answer)
        assert refused.status == 404


def test_the_list_of_instruments() -> None:
    venue = BybitVenue(source_of(), Limits())
    body = json.loads(venue.rest("/v5/market/instruments-info", {"category": "spot"}, NOW).body)
    assert body["retCode"] == 0
    assert [(one["symbol"], one["baseCoin"], one["quoteCoin"]) for one in body["result"]["list"]] == [
        ("BTCUSDT", "BTC", "USDT"),
        ("ETHUSDT", "ETH", "USDT"),
    ]
    assert json.loads(venue.rest("/v5/market/instruments-info", {}, NOW).body)["retCode"] == 10001


@needs_frames
def test_a_recording_is_played_as_it_is() -> None:
    assert FRAMES is not None
    lines = (FRAMES / "bybit" / "gocryptotrader_frames.jsonl").read_text().splitlines()
    texts = [row["frame"] for row in map(json.loads, lines)]
    source = PlayedSource([Row(number, 0, False, text) for number, text in enumerate(texts)], BybitWire())
    assert source.streams == {"orderbook.50.BTCUSDT", "orderbook.50.WEMIXUSDT", TRADES}
    peer = peer_of(source)
    ack, *snapshots = answers(peer, request("orderbook.50.BTCUSDT", TRADES))
    assert (ack["success"], snapshots) == (True, []), "its snapshot has not come yet"
    played = []
    while source.peek_us() is not None:
        played += [frame.text for frame in source.take(0)]
    assert played == [text for text in texts if '"orderbook' in text or '"publicTrade' in text]
    book = source.book("BTCUSDT")
    assert book is not None
    told = json.loads(played[1])["data"]
    assert book.sequence == told["u"]
    assert dict(book.bids)["75848.62"] == "0.014895"
    assert "75837.13" not in dict(book.bids)
