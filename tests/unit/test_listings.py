"""What exchanges list: by answers after their documents, by the simulator's, and by answers that are no lists."""

import pytest

from COBY.exchanges import load
from COBY.listings import rows
from simulator.exchanges import EXCHANGES
from simulator.sources import seeded
from tests.sim.virtual import _asked

# In the shape of each exchange's documented example: a pair that trades, one that doesn't, one of another kind.
BODIES = {
    "binance": (
        b'{"timezone":"UTC","symbols":['
        b'{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT"},'
        b'{"symbol":"1INCHBTC","status":"TRADING","baseAsset":"1INCH","quoteAsset":"BTC"},'
        b'{"symbol":"BCCBTC","status":"BREAK","baseAsset":"BCC","quoteAsset":"BTC"}]}',
        {"BTCUSDT": "BTCUSDT", "1INCHBTC": "1INCHBTC"},
    ),
    "kraken": (
        b'{"error":[],"result":{'
        b'"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","base":"XXBT","quote":"ZUSD","status":"online"},'
        b'"XDGEUR":{"altname":"XDGEUR","wsname":"XDG/EUR","base":"XXDG","quote":"ZEUR","status":"online"},'
        b'"OLDUSD":{"altname":"OLDUSD","wsname":"OLD/USD","base":"OLD","quote":"ZUSD","status":"cancel_only"}}}',
        {"BTCUSD": "BTC/USD", "DOGEEUR": "DOGE/EUR"},
    ),
    "okx": (
        b'{"code":"0","msg":"","data":['
        b'{"instType":"SPOT","instId":"BTC-USDT","baseCcy":"BTC","quoteCcy":"USDT","state":"live"},'
        b'{"instType":"SPOT","instId":"LUNA-USDT","baseCcy":"LUNA","quoteCcy":"USDT","state":"suspend"}]}',
        {"BTCUSDT": "BTC-USDT"},
    ),
}
NAMES = sorted(EXCHANGES)
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize("name", sorted(BODIES))
def test_a_list_gives_what_trades_now_under_both_names(name):
    body, expected = BODIES[name]
    assert load(name).listed(body) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_simulator_lists_its_symbols_where_the_exchange_is_asked(name):
    exchange, kind = load(name), EXCHANGES[name]
    venue = kind(seeded(name, kind.wire(), 1, SYMBOLS, 100, 5), kind.LIMITS)
    url = exchange.listing("http://venue")
    assert url.startswith("http://venue/")
    answer = venue.rest(*_asked(url), 1_790_000_000_000_000)
    assert answer.status == 200
    assert exchange.listed(answer.body.encode()) == {
        symbol: exchange.exchange_symbol(symbol) for symbol in SYMBOLS
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b"[1]",
        b'{"code":1,"msg":"no"}',
        b'{"symbols":[]}',
        b'{"data":{"a":1},"result":[null],"symbols":"x"}',
        b'{"data":[{}],"result":{"x":{}},"symbols":[{}]}',
        b'{"data":[{"state":1}],"result":{"x":{"status":1}},"symbols":[{"status":1}]}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_list_is_an_error(name, body):
    with pytest.raises(ValueError):
        load(name).listed(body)


def test_rows_come_from_a_list_or_from_the_values_of_an_object():
    assert [row.text("a") for row in rows(b'[{"a":"1"},{"a":"2"}]')] == ["1", "2"]
    assert [row.text("a") for row in rows(b'{"x":{"y":{"p":{"a":"1"},"q":{"a":"2"}}}}', "x", "y")] == [
        "1",
        "2",
    ]
    assert rows(b'[{"a":5}]')[0].get("a") == 5
    assert rows(b'[{"a":5}]')[0].get("b") is None


def test_a_field_that_is_no_text_is_named():
    with pytest.raises(ValueError, match=r"'a' of a listed symbol is 5"):
        rows(b'[{"a":5}]')[0].text("a")
    with pytest.raises(ValueError, match=r"no list of symbols at x of the answer '\{\"y\":1\}'"):
        rows(b'{"y":1}', "x")
