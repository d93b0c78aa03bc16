"""The simulated Coinbase, seen by a client written from the exchange's rules: dicts, Decimals, one count."""

import json
from decimal import Decimal
from typing import Any

import pytest

from simulator.exchanges.coinbase import CoinbasePeer, CoinbaseVenue
from simulator.exchanges.coinbase_wire import CoinbaseWire
from simulator.limits import Limits
from simulator.played import PlayedSource
from simulator.recording import Row
from simulator.sources import SeededSource, seeded
from simulator.venue import Answer, Close

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
BOTH = ("BTCUSDT", "ETHUSDT")


class Client:
    """The books of one connection, by the count of all its messages."""

    def __init__(self) -> None:
        self.count = 0
        self.books: dict[str, dict[str, dict[Decimal, Decimal]]] = {}
        self.trades: list[dict[str, str]] = []
        self.channels: list[str] = []
        self.held: dict[str, list[str]] = {}
        self.removed = 0

    def read(self, text: Any) -> None:
        message = json.loads(text)
        assert message["sequence_num"] == self.count
        self.count += 1
        assert set(message) == {"channel", "timestamp", "sequence_num", "events"}
        self.channels.append(message["channel"])
        for event in message["events"]:
            if message["channel"] == "l2_data":
                self.book(event)
            elif message["channel"] == "market_trades":
                self.trades += reversed(event["trades"])
            elif message["channel"] == "subscriptions":
                self.held = event["subscriptions"]

    def book(self, event: dict[str, Any]) -> None:
        if event["type"] == "snapshot":
            self.books[event["product_id"]] = {"bid": {}, "offer": {}}
        sides = self.books[event["product_id"]]
        for row in event["updates"]:
            assert set(row) == {"side", "event_time", "price_level", "new_quantity"}
            side, price, size = sides[row["side"]], Decimal(row["price_level"]), Decimal(row["new_quantity"])
            if size:
                side[price] = size
            else:
                self.removed += side.pop(price, None) is not None


def source_of(
    seed: int = 1, symbols: tuple[str, ...] = BOTH, rate: int = 40, seconds: int = 10
) -> SeededSource:
    return seeded("coinbase", CoinbaseWire(), seed, symbols, rate, seconds)


def peer_of(source: SeededSource | PlayedSource) -> CoinbasePeer:
    peer = CoinbaseVenue(source, Limits()).connect("/", {}, NOW)
    assert isinstance(peer, CoinbasePeer)
    assert peer.opened(NOW) == []
    return peer


def ask(client: Client, peer: CoinbasePeer, channel: str, *names: str, kind: str = "subscribe") -> list[str]:
    """The channels of the replies."""
    request: dict[str, Any] = {"type": kind, "channel": channel} | ({"product_ids": names} if names else {})
    before = len(client.channels)
    for reply in peer.received(json.dumps(request), NOW):
        client.read(reply)
    return client.channels[before:]


def flow(client: Client, source: SeededSource | PlayedSource, peer: CoinbasePeer, count: int) -> None:
    for _ in range(count):
        if source.peek_us() is None:
            return
        for frame in source.take(NOW):
            if frame.stream in peer.streams:
                client.read(peer.render(frame))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_client_that_counts_all_messages_holds_the_whole_books(seed: int) -> None:
    source = source_of(seed)
    peer, client = peer_of(source), Client()
    flow(client, source, peer, 30)
    for name in ("BTC-USDT", "ETH-USDT"):
        ask(client, peer, "level2", name)
    ask(client, peer, "market_trades", "BTC-USDT")
    while source.peek_us() is not None:
        flow(client, source, peer, 1)
        for symbol, name in zip(BOTH, ("BTC-USDT", "ETH-USDT"), strict=True):
            book = source.book(symbol)
            assert book is not None
            assert client.books[name]["bid"] == {Decimal(p): Decimal(s) for p, s in book.bids}
            assert client.books[name]["offer"] == {Decimal(p): Decimal(s) for p, s in book.asks}
    assert client.removed > 100
    assert client.count > 200


def test_the_books_data_come_before_the_acknowledgement_and_the_trades_after() -> None:
    source = source_of()
    peer, client = peer_of(source), Client()
    flow(client, source, peer, 50)
    assert ask(client, peer, "heartbeats") == ["subscriptions"]
    assert ask(client, peer, "level2", "BTC-USDT") == ["l2_data", "subscriptions"]
    assert ask(client, peer, "market_trades", "BTC-USDT") == ["subscriptions", "market_trades"]
    assert client.held == {
        "heartbeats": ["heartbeats"], "level2": ["BTC-USDT"], "market_trades": ["BTC-USDT"]}  # fmt: skip


def test_the_side_of_a_trade_is_the_makers_and_a_list_has_the_newest_first() -> None:
    source = source_of(rate=200, seconds=3)
    peer, client = peer_of(source), Client()
    takers = []
    for _ in range(100):
        takers += [frame.trade for frame in source.take(NOW) if frame.trade and frame.symbol == "BTCUSDT"]
    ask(client, peer, "market_trades", "BTC-USDT")
    seen = {trade["trade_id"]: trade for trade in client.trades}
    assert [int(trade["trade_id"]) for trade in client.trades] == sorted(map(int, seen))
    assert len(seen) == min(50, len(takers))
    for taker in takers[-len(seen) :]:
        assert seen[taker.id]["side"] == {"buy": "SELL", "sell": "BUY"}[taker.taker]
        assert (seen[taker.id]["price"], seen[taker.id]["size"]) == (taker.price, taker.size)


def test_a_second_subscription_is_acknowledged_and_brings_nothing() -> None:
    source = source_of()
    peer, client = peer_of(source), Client()
    ask(client, peer, "level2", "BTC-USDT")
    assert ask(client, peer, "level2", "BTC-USDT") == ["subscriptions"]


def test_an_unsubscription_ends_the_updates_and_a_new_one_begins_with_a_snapshot() -> None:
    source = source_of()
    peer, client = peer_of(source), Client()
    ask(client, peer, "level2", "BTC-USDT", "ETH-USDT")
    assert ask(client, peer, "level2", "BTC-USDT", kind="unsubscribe") == ["subscriptions"]
    assert client.held == {"level2": ["ETH-USDT"]}
    before = dict(client.books["BTC-USDT"]["bid"])
    flow(client, source, peer, 100)
    assert client.books["BTC-USDT"]["bid"] == before
    assert ask(client, peer, "level2", "BTC-USDT") == ["l2_data", "subscriptions"]
    assert client.books["BTC-USDT"]["bid"] != before
    ask(client, peer, "level2", kind="unsubscribe")
    assert (client.held, dict(peer.streams)) == ({}, {})


def test_a_market_in_usdc_is_the_one_in_usd() -> None:
    source = source_of(symbols=("BTCUSD", "USDTUSDC"))
    peer, client = peer_of(source), Client()
    assert ask(client, peer, "level2", "BTC-USDC", "USDT-USDC") == ["l2_data", "l2_data", "subscriptions"]
    assert client.held == {"level2": ["BTC-USD", "USDT-USDC"]}


@pytest.mark.parametrize(
    ("request_text", "reason"),
    [("{", "malformed JSON"), ("[]", "unknown message type"), ('{"type":"ping"}', "unknown message type"),
     ('{"type":"subscribe","channel":"full"}', "full is not a valid channel"),
     ('{"type":"subscribe","channel":"level2"}', "no products provided"),
     ('{"type":"subscribe","channel":"level2","product_ids":"BTC-USDT"}', "malformed product_ids"),
     ('{"type":"subscribe","channel":"level2","product_ids":["BTC-USDT","X-Y"]}', "X-Y is not a valid product")],
)  # fmt: skip
def test_a_request_that_is_wrong_is_refused_whole_and_the_error_is_not_counted(
    request_text: str, reason: str
) -> None:
    peer, client = peer_of(source_of()), Client()
    (reply,) = peer.received(request_text, NOW)
    assert json.loads(str(reply)) == {"type": "error", "message": f"Failed to subscribe: {reason}"}
    assert not peer.streams
    assert ask(client, peer, "heartbeats") == ["subscriptions"], "with the number 0"


def test_a_heartbeat_each_second() -> None:
    peer, client = peer_of(source_of()), Client()
    ask(client, peer, "heartbeats")
    for second in range(1, 200):
        (beat,) = peer.timer(NOW + second * SECOND)
        client.read(beat)
        assert json.loads(str(beat))["events"][0]["heartbeat_counter"] == second


def test_who_asks_for_nothing_within_five_seconds_is_closed() -> None:
    peer = peer_of(source_of())
    assert peer.timer(NOW + 4 * SECOND) == []
    (closed,) = peer.timer(NOW + 5 * SECOND)
    assert isinstance(closed, Close)
    assert (closed.code, closed.reason) == (1008, "no_subscribe")


def test_without_heartbeats_a_quiet_connection_is_closed() -> None:
    source = source_of()
    peer, client = peer_of(source), Client()
    ask(client, peer, "level2", "BTC-USDT")
    flow(client, source, peer, 50)
    assert peer.timer(NOW + 60 * SECOND) == []
    assert peer.timer(NOW + 134 * SECOND) == []
    (closed,) = peer.timer(NOW + 135 * SECOND)
    assert isinstance(closed, Close)
    assert closed.reason == "quiet"


def test_paths() -> None:
    venue = CoinbaseVenue(source_of(), Limits())
    assert isinstance(venue.connect("", {}, NOW), CoinbasePeer)
    refused = venue.connect("/ws", {}, NOW)
    assert isinstance(refused, Answer)
    assert refused.status == venue.rest("/products", {}, NOW).status == 404
    listed = json.loads(venue.rest("/api/v3/brokerage/market/products", {}, NOW).body)
    assert [row["product_id"] for row in listed["products"]] == ["BTC-USDT", "ETH-USDT"]
    assert listed["products"][0]["base_currency_id"] + listed["products"][0]["quote_currency_id"] == "BTCUSDT"


def recorded(number: int, channel: str, *events: dict[str, Any]) -> str:
    head = {"channel": channel, "client_id": "", "timestamp": "2026-09-21T14:13:20.123456789Z"}
    return json.dumps(head | {"sequence_num": number, "events": list(events)})


def row(side: str, price: str, size: str) -> dict[str, str]:
    return {"side": side, "event_time": "2026-09-21T14:13:20Z", "price_level": price, "new_quantity": size}


def test_a_recording_is_played_with_the_connections_own_numbers() -> None:
    deals = [{"trade_id": n, "product_id": "BTC-USD", "price": "1.50", "size": "2", "side": "BUY",
              "time": "2026-09-21T14:13:20.5Z"} for n in ("9", "8")]  # fmt: skip
    book = {"product_id": "BTC-USD", "updates": [row("bid", "1.5", "1"), row("offer", "2", "3")]}
    change = {"product_id": "BTC-USD", "updates": [row("bid", "1.5", "0.00"), row("bid", "1.4", "5")]}
    frames = [
        recorded(41, "subscriptions", {"subscriptions": {}}), recorded(42, "l2_data", {"type": "snapshot"} | book),
        recorded(43, "heartbeats", {}), recorded(44, "market_trades", {"type": "update", "trades": deals}),
        recorded(45, "l2_data", {"type": "update"} | change), recorded(46, "l2_data", {"type": "update"}),
    ]  # fmt: skip
    source = PlayedSource([Row(number, 0, False, text) for number, text in enumerate(frames)], CoinbaseWire())
    assert source.symbols == ("BTCUSD",)
    peer, client = peer_of(source), Client()
    ask(client, peer, "level2", "BTC-USD")
    ask(client, peer, "market_trades", "BTC-USD")
    (whole,) = source.take(NOW)
    text = peer.render(whole)
    assert text == frames[1].replace('"sequence_num": 42', '"sequence_num": 2')
    (trades,) = source.take(NOW)
    assert trades.trade is not None
    assert (trades.trade.id, trades.trade.taker, [one.id for one in trades.more_trades]) == (
        "8",
        "sell",
        ["9"],
    )
    source.take(NOW)
    held = source.book("BTCUSD")
    assert held is not None
    assert (held.bids, held.asks) == ((("1.4", "5"),), (("2", "3"),))
    assert source.peek_us() is None, "a message without a product is of no stream"
