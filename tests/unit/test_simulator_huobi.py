"""The simulated HTX, seen by a client written from the exchange's rules: dicts, Decimals, the chain of numbers."""

import base64
import gzip
import json
from decimal import Decimal
from typing import Any

import pytest

from simulator.exchanges.huobi import HuobiPeer, HuobiVenue
from simulator.exchanges.huobi_wire import HuobiWire, number
from simulator.limits import Limits
from simulator.played import PlayedSource
from simulator.recording import Row
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer, Close
from tests.frames import frames_folder
from tests.sim.virtual import World

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOOK, TRADES = "market.btcusdt.mbp.400", "market.btcusdt.trade.detail"
FRAMES = frames_folder()
needs_frames = pytest.mark.skipif(FRAMES is None, reason="no recorded frames (COBY_FRAMES)")


def read(reply: Any) -> Any:
    """A message: each is gzip of its own, its numbers exact."""
    assert isinstance(reply, bytes)
    return json.loads(gzip.decompress(reply), parse_float=Decimal)


class Client:
    """One book: updates held until the snapshot, which must join; its best 400 levels a side."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
        self.sequence: int | None = None
        self.held: list[Any] = []
        self.missing_sides = self.empty_sides = 0

    def read(self, message: Any) -> None:
        if "rep" in message:
            self.join(message["data"])
        elif self.sequence is None:
            self.held.append(message["tick"])
        else:
            self.apply(message["tick"])

    def join(self, data: Any) -> None:
        follows = [tick for tick in self.held if tick["prevSeqNum"] >= data["seqNum"]]
        assert not follows or follows[0]["prevSeqNum"] == data["seqNum"]
        for name, side in self.sides.items():
            side.update(dict(data[name]))
        self.sequence = data["seqNum"]
        for tick in follows:
            self.apply(tick)

    def apply(self, tick: Any) -> None:
        assert tick["prevSeqNum"] == self.sequence
        self.sequence = tick["seqNum"]
        for name, side in self.sides.items():
            self.missing_sides += name not in tick
            self.empty_sides += tick.get(name) == []
            for price, size in tick.get(name, []):
                side[price] = size
                if not size:
                    del side[price]
        self.sides = {"bids": dict(self.levels("bids")), "asks": dict(self.levels("asks"))}

    def levels(self, name: str) -> list[tuple[Decimal, Decimal]]:
        return sorted(self.sides[name].items(), reverse=name == "bids")[:400]


def source_of(seed: int = 1, *, rate: int = 40, seconds: int = 10) -> SeededSource:
    return seeded("huobi", HuobiWire(), seed, ("BTCUSDT", "ETHUSDT"), rate, seconds)


def peer_of(venue: HuobiVenue, path: str = "/feed", now: int = NOW) -> HuobiPeer:
    peer = venue.connect(path, {}, now)
    assert isinstance(peer, HuobiPeer)
    assert peer.opened(now) == []
    return peer


def ask(peer: HuobiPeer, now: int = NOW, **request: Any) -> list[Any]:
    return [read(reply) for reply in peer.received(json.dumps(request), now)]


def sent(source: SeededSource, peer: HuobiPeer) -> list[Any]:
    """What the next event sends to this peer."""
    return [read(peer.render(frame)) for frame in source.take(NOW) if frame.stream in peer.streams]


@pytest.mark.parametrize("before", [0, 9])
def test_a_client_that_joins_holds_the_book_and_goes_on(before: int) -> None:
    source = source_of()
    venue = HuobiVenue(source, Limits())
    peer, client = peer_of(venue), Client()
    (ack,) = ask(peer, sub=BOOK, id="1")
    assert ack == {"id": "1", "status": "ok", "subbed": BOOK, "ts": NOW // 1000}
    for _ in range(before):
        for message in sent(source, peer):
            client.read(message)
    (reply,) = ask(peer, req=BOOK, id="2")
    assert (reply["id"], reply["status"], reply["rep"]) == ("2", "ok", BOOK)
    assert [len(reply["data"][name]) for name in ("bids", "asks")] == [400, 400]
    client.read(reply)
    updates = 0
    while source.peek_us() is not None:
        for message in sent(source, peer):
            client.read(message)
            updates += 1
            book = source.book("BTCUSDT")
            assert book is not None
            assert client.sequence == book.sequence
            for name, levels in (("bids", book.bids), ("asks", book.asks)):
                assert client.levels(name) == [(Decimal(price), Decimal(size)) for price, size in levels]
    assert updates > 60


def test_a_snapshot_is_a_copy_that_may_be_older_than_the_first_update() -> None:
    source = source_of()
    venue = HuobiVenue(source, Limits())
    (early,) = ask(peer_of(venue), req=BOOK, id="1")
    for _ in range(8):
        source.take(NOW)
    peer = peer_of(venue)
    ask(peer, sub=BOOK)
    first = next(message for _ in range(8) for message in sent(source, peer))
    (late,) = ask(peer, NOW + 299_999, req=BOOK)
    assert late["data"] == early["data"]
    assert late["data"]["seqNum"] < first["tick"]["prevSeqNum"]
    (fresh,) = ask(peer, NOW + 300_000, req=BOOK)
    assert fresh["data"]["seqNum"] >= first["tick"]["seqNum"]


def test_numbers_are_written_as_java_prints_doubles() -> None:
    for text, expected in (
        ("100", "100.0"), ("38765.39", "38765.39"), ("0", "0.0"), ("0.001", "0.001"), ("0.000533", "5.33E-4"),
        ("0.0001", "1.0E-4"), ("0.00000912", "9.12E-6"), ("9999999.5", "9999999.5"), ("10000000", "1.0E7"),
        ("12345678.5", "1.23456785E7"),
    ):  # fmt: skip
        assert number(text) == expected


def test_trades_have_an_id_of_27_digits_and_their_own() -> None:
    source = source_of(rate=200, seconds=3)
    peer = peer_of(HuobiVenue(source, Limits()), "/ws")
    ask(peer, sub=TRADES, id="1")
    seen = []
    while source.peek_us() is not None:
        for message in sent(source, peer):
            (trade,) = message["tick"]["data"]
            assert len(str(trade["id"])) >= 26
            assert trade["direction"] in ("buy", "sell")
            seen.append(trade["tradeId"])
    assert seen == sorted(set(seen))
    assert len(seen) > 200


def test_the_last_trade_is_sent_once_more_to_whoever_subscribes() -> None:
    source = source_of(rate=200, seconds=3)
    venue = HuobiVenue(source, Limits())
    assert len(ask(peer_of(venue, "/ws"), sub=TRADES)) == 1, "none yet"
    trades = [
        frame for _ in range(60) for frame in source.take(NOW) if frame.stream == "trade.detail:btcusdt"
    ]
    ack, cached = ask(peer_of(venue, "/ws"), sub=TRADES)
    assert ack["subbed"] == TRADES
    assert trades[-1].trade is not None
    assert str(cached["tick"]["data"][0]["tradeId"]) == trades[-1].trade.id


@pytest.mark.parametrize(
    ("path", "request_", "text"),
    [("/feed", {"sub": TRADES}, "invalid topic"), ("/ws", {"sub": BOOK}, "invalid topic"),
     ("/ws", {"req": BOOK}, "invalid topic"), ("/ws", {"req": TRADES}, "invalid topic"),
     ("/feed", {"sub": "market.btcusdt.mbp.7"}, "invalid topic"), ("/feed", {"sub": "x"}, "invalid topic"),
     ("/feed", {"sub": "market.xyzusdt.mbp.400"}, "invalid symbol xyzusdt"),
     ("/feed", {"req": "market.xyzusdt.mbp.400"}, "invalid symbol xyzusdt"),
     ("/feed", {}, "invalid request"), ("/feed", {"sub": 5}, "invalid request")],
)  # fmt: skip
def test_what_is_refused_is_told_with_the_requests_id(path: str, request_: dict[str, Any], text: str) -> None:
    peer = peer_of(HuobiVenue(source_of(), Limits()), path)
    (reply,) = ask(peer, **request_, id="9")
    assert (reply["status"], reply["err-code"]) == ("error", "bad-request")
    assert reply["err-msg"].startswith(text)
    assert reply.get("id") == (None if text == "invalid request" else "9")
    assert not peer.streams


def test_requests_that_are_too_many_are_refused_for_a_second() -> None:
    peer = peer_of(HuobiVenue(source_of(), Limits()))
    for verb, most in (("sub", 10), ("req", 5)):
        found = [ask(peer, **{verb: BOOK})[0]["status"] for _ in range(most + 1)]
        assert found == ["ok"] * most + ["error"]
        assert ask(peer, NOW + SECOND, **{verb: BOOK})[0]["status"] == "ok"


def test_an_unsubscription_ends_the_frames() -> None:
    source = source_of()
    peer = peer_of(HuobiVenue(source, Limits()))
    ask(peer, sub=BOOK)
    (reply,) = ask(peer, unsub=BOOK, id="4")
    assert (reply["id"], reply["unsubbed"]) == ("4", BOOK)
    assert not [message for _ in range(40) for message in sent(source, peer)]


def test_each_socket_is_pinged_every_five_seconds_and_two_pongs_owed_are_the_end() -> None:
    peer = peer_of(HuobiVenue(source_of(), Limits()))
    assert peer.timer(NOW + 4 * SECOND) == []
    for at in (5, 10, 15):
        (ping,) = peer.timer(NOW + at * SECOND)
        assert read(ping) == {"ping": NOW // 1000 + at * 1000}
        assert peer.received(json.dumps({"pong": read(ping)["ping"]}), NOW) == []
    for at in (20, 25):
        (ping,) = peer.timer(NOW + at * SECOND)
        assert peer.received('{"pong":1}', NOW) == [], "another number answers nothing"
    (closed,) = peer.timer(NOW + 30 * SECOND)
    assert isinstance(closed, Close)
    assert closed.reason == "pong_missing"


def test_a_planned_close_can_be_announced() -> None:
    (reply,) = peer_of(HuobiVenue(source_of(), Limits())).leaving()
    assert read(reply) == {"action": "close"}


def test_other_paths_are_not_found_and_the_symbols_are_listed() -> None:
    venue = HuobiVenue(source_of(), Limits())
    answer = venue.connect("/ws/v1", {}, NOW)
    assert isinstance(answer, Answer)
    assert (answer.status, venue.rest("/market/depth", {}, NOW).status) == (404, 404)
    listed = json.loads(venue.rest("/v1/common/symbols", {}, NOW).body)
    assert [row["symbol"] for row in listed["data"]] == ["btcusdt", "ethusdt"]


@needs_frames
def test_a_recording_is_played_byte_for_byte() -> None:
    assert FRAMES is not None
    lines = gzip.decompress((FRAMES / "huobi" / "cryptofeed_ws_44_0.jsonl.gz").read_bytes()).splitlines()
    received = [row for row in map(json.loads, lines) if row["dir"] == "in"]
    rows = [Row(place, 0, False, base64.b64decode(row["frame"])) for place, row in enumerate(received)]
    source = PlayedSource(rows, HuobiWire())
    assert len(source.symbols) == 10
    played = []
    while source.peek_us() is not None:
        played += source.take(0)
    assert [frame.text for frame in played] == [
        row.text for row, one in zip(rows, received, strict=True) if one["channel"] == "trade.detail"
    ]
    assert any(frame.more_trades for frame in played)
    first = read(played[0].text)["tick"]["data"][-1]
    assert played[0].trade is not None
    assert (played[0].trade.id, Decimal(played[0].trade.price)) == (str(first["tradeId"]), first["price"])


def test_a_recorded_reply_is_played_where_it_lies_and_requests_get_none() -> None:
    made = [
        {"ch": BOOK, "ts": 1, "tick": {"seqNum": 5, "prevSeqNum": 1, "bids": [[99, 1]]}},
        {
            "id": "7",
            "status": "ok",
            "ts": 1,
            "rep": BOOK,
            "data": {"seqNum": 5, "bids": [[98.5, 1]], "asks": []},
        },
        {"id": "7", "status": "ok", "ts": 1, "rep": BOOK, "data": None},
        {"ping": 5},
    ]
    source = PlayedSource(
        [Row(place, 0, False, json.dumps(one)) for place, one in enumerate(made)], HuobiWire()
    )
    frames = source.take(0) + source.take(0)
    assert source.peek_us() is None
    assert [(frame.is_snapshot, frame.last_id, frame.bids) for frame in frames] == [
        (False, 5, (("99", "1"),)), (True, 5, (("98.5", "1"),)),
    ]  # fmt: skip
    (reply,) = ask(peer_of(HuobiVenue(source, Limits())), req=BOOK)
    assert reply["data"] is None


class OldCopies(World):
    """Somebody else keeps asking, so that every snapshot is a copy that was made before we asked."""

    def _market(self) -> None:
        assert isinstance(self.venue, HuobiVenue)
        for symbol in self.source.symbols:
            self.venue.copy(symbol, self.now_us)
        super()._market()


@pytest.mark.parametrize("seed", range(3))
def test_the_pipeline_joins_snapshots_that_are_older_than_its_first_update(seed: int) -> None:
    world = OldCopies("huobi", seed, seconds=8).run()
    assert world.differences == []
    assert world.gaps() == []
    assert world.updates["blind"] == 0
    assert world.updates["live"] > 100
