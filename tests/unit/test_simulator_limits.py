"""What the simulator counts of its clients, by hand, and that it counts every documented limit of EXCHANGES.md."""

import json

import pytest

from simulator.exchanges import EXCHANGES
from simulator.hub import Hub, Quiet
from simulator.ledger import Ledger
from simulator.limits import Limits, Window
from simulator.sources import seeded

NOW_US = 1_790_000_000_000_000
SYMBOLS = tuple(f"{letter}{other}AUSDT" for letter in "BCDFG" for other in "KLMNPRST")


def test_a_window_counts_what_came_within_its_time_and_remembers_the_most():
    window = Window(3, 10.0)
    assert [window.add(at) for at in (0.0, 1.0, 2.0, 9.9)] == [True, True, True, False]
    # At 10 the first is out, at 11 the second; what was refused counts.
    assert [window.add(at) for at in (10.0, 12.0, 25.0)] == [False, True, True]
    assert window.peak == 4


def test_a_window_counts_weights_and_none_without_a_limit():
    window = Window(6000, 60.0)
    assert all(window.add(0.0, 250) for _ in range(24))
    assert not window.add(59.9, 250)
    assert window.add(119.9, 5)
    assert all(Window(0, 1.0).add(0.0) for _ in range(1000))


def test_what_is_broken_stands_in_the_ledger():
    ledger = Ledger((), 10)
    hub = Hub(ledger, Limits(connects_max=1, rest_weight_max=10), frozenset(), Quiet(), live=True)
    assert (hub.may_connect(), hub.may_connect()) == (True, False)
    hub.asked(10)
    hub.asked(1)
    assert ledger.totals()["limits_broken"] == {"connects": 1, "rest_weight": 1}
    assert ledger.totals()["limit_peaks"] == {"connects": 2, "rest_weight": 11}


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [("/api/v3/depth", {"limit": "5000"}, 250), ("/api/v3/depth", {"limit": "1000"}, 50),
     ("/api/v3/depth", {"limit": "500"}, 25), ("/api/v3/depth", {"limit": "100"}, 5),
     ("/api/v3/depth", {}, 5), ("/api/v3/exchangeInfo", {}, 20)],
)  # fmt: skip
def test_a_book_of_binance_weighs_by_its_levels(path, query, weight):
    assert venue("binance").weight(path, query) == weight


def venue(name):
    kind = EXCHANGES[name]
    made = kind(seeded(name, kind.wire(), 1, SYMBOLS, 1), kind.LIMITS)
    made.base_url = "ws://venue"
    return made


def bybit(number):
    topics = [f"publicTrade.{symbol}" for symbol in SYMBOLS[:number]]
    return json.dumps({"op": "subscribe", "req_id": "1", "args": topics})


def mexc(number):
    topic = "spot@public.aggre.deals.v3.api.pb@100ms@{}"
    return json.dumps(
        {"method": "SUBSCRIPTION", "id": 1, "params": [topic.format(one) for one in SYMBOLS[:number]]}
    )


def bitfinex(place):
    name = f"t{SYMBOLS[place % 40][:3]}UST"
    book = {"prec": "P0", "freq": "F0", "len": "25"} if place >= 40 else {}
    channel = "book" if book else "trades"
    return json.dumps({"event": "subscribe", "channel": channel, "symbol": name, **book})


def huobi(place):
    return json.dumps({"sub": f"market.{SYMBOLS[place].lower()}.trade.detail", "id": str(place)})


def kucoin(place):
    return json.dumps({"id": str(place), "type": "ping"})


def okx(place):
    argument = {"channel": "trades", "instId": f"{SYMBOLS[place % 40][:3]}-USDT"}
    return json.dumps({"op": ("subscribe", "unsubscribe")[place // 40 % 2], "args": [argument]})


@pytest.mark.parametrize(
    ("name", "path", "texts", "allowed", "limit"),
    [
        ("bybit", "/v5/public/spot", [bybit(10), bybit(11)], 1, "args"),
        ("mexc", "/ws", [mexc(30), mexc(31)], 1, "topics"),
        ("bitfinex", "/ws/2", [bitfinex(place) for place in range(31)], 30, "channels"),
        ("huobi", "/ws", [huobi(place) for place in range(11)], 10, "subscriptions"),
        ("okx", "/ws/v5/public", [okx(place) for place in range(481)], 480, "requests"),
    ],
)
def test_a_connections_own_limits_are_counted(name, path, texts, allowed, limit):
    peer = venue(name).connect(path, {}, NOW_US)
    peer.opened(NOW_US)
    for text in texts[:allowed]:
        peer.received(text, NOW_US)
        assert peer.broken == {}
    for text in texts[allowed:]:
        peer.received(text, NOW_US)
    assert peer.broken == {limit: 1}
