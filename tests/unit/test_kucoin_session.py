"""KuCoin's classic API, the session half, by EXCHANGES.md §7. Times are seconds of a clock that the test holds."""

import json

import pytest

from COBY.exchanges.base import Acknowledged, Ask, Connect, Endpoints, Farewell, Fetch, Refused, Send
from COBY.exchanges.kucoin import EXCHANGE

SYMBOLS = {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT"}
DEFAULT = EXCHANGE.endpoints
BOOK = "https://api.kucoin.com/api/v1/market/orderbook/level2_100?symbol="
DATA = b'{"type":"message","topic":"/market/match:BTC-USDT","subject":"trade.l3match","data":{}}'


def text(message):
    return json.dumps(message).encode()


def bullet(token="abc", interval=18000, endpoint="wss://given.example/", **more):
    server = {"endpoint": endpoint, "encrypt": True, "protocol": "websocket", "pingInterval": interval,
              "pingTimeout": 10000}  # fmt: skip
    return text({"code": "200000", "data": {"token": token, "instanceServers": [server | more]}})


def session(symbols=SYMBOLS, endpoints=DEFAULT, answer=None):
    one = EXCHANGE.session(symbols, endpoints)
    one.connect(answer or bullet())
    return one


def welcomed(symbols=SYMBOLS, now=0.0, **more):
    """A session and what it asked for, by (topic, exchange symbol) -> id."""
    one = session(symbols, **more)
    assert one.opened(now) == []
    messages = asked(one.received(text({"id": "c", "type": "welcome"}), now))
    return one, {tuple(message["topic"].split(":")): message["id"] for message in messages}


def asked(commands):
    """The messages that are sent, decoded; nothing else is."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [json.loads(command.text) for command in commands]


def error(request_id, code, data="exceed max"):
    return text({"id": request_id, "type": "error", "code": code, "data": data})


# --- the token ------------------------------------------------------------------------------------------------------


def test_a_token_is_asked_for_by_post_before_connecting():
    one = EXCHANGE.session(SYMBOLS, DEFAULT)
    assert one.connect() == Ask("https://api.kucoin.com/api/v1/bullet-public", "POST")


def test_the_answer_says_where_to_connect_and_each_connection_has_an_id_of_its_own():
    urls = [session().connect(bullet(token)).url for token in ("a+/=", "b")]
    assert urls[0].startswith("wss://given.example/?token=a%2B%2F%3D&connectId=")
    assert urls[1].startswith("wss://given.example/?token=b&connectId=")
    ids = {url.rpartition("=")[2] for url in urls}
    assert len(ids) == 2
    assert all(ids)


def test_a_setting_that_leads_elsewhere_means_it():
    one = EXCHANGE.session(SYMBOLS, Endpoints("ws://elsewhere:1/kucoin", "http://elsewhere:1/kucoin"))
    assert one.connect() == Ask("http://elsewhere:1/kucoin/api/v1/bullet-public", "POST")
    (connect,) = [one.connect(bullet("t"))]
    assert isinstance(connect, Connect)
    assert connect.url.startswith("ws://elsewhere:1/kucoin/?token=t&connectId=")


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", text({"code": "200000"}), text({"code": "429000", "msg": "too many"}), bullet(token=""),
     bullet(protocol="polling"), bullet(interval=0), bullet(interval="x"), bullet(endpoint=None), b"\xff",
     text({"code": "200000", "data": {"token": "x", "instanceServers": []}})],
)  # fmt: skip
def test_an_answer_without_token_or_server_fails_the_attempt_and_says_why(answer):
    with pytest.raises(ValueError, match="bullet-public"):
        EXCHANGE.session(SYMBOLS, DEFAULT).connect(answer)


# --- subscribing ------------------------------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_welcome_and_then_a_request_for_each_channel_of_each_symbol():
    one = session()
    assert one.opened(0.0) == []
    assert one.received(DATA, 0.1) == []
    messages = asked(one.received(text({"id": "c", "type": "welcome"}), 0.2))
    assert [message["topic"] for message in messages] == [
        "/market/level2:BTC-USDT", "/market/match:BTC-USDT", "/market/level2:ETH-USDT", "/market/match:ETH-USDT"
    ]  # fmt: skip
    assert len({message["id"] for message in messages}) == 4
    assert {(message["type"], message["privateChannel"], message["response"]) for message in messages} == {
        ("subscribe", False, True)
    }


def test_a_full_slot_stays_within_the_messages_of_ten_seconds():
    symbols = {f"C{number}-USDT": f"C{number}USDT" for number in range(EXCHANGE.symbols_per_slot)}
    one, ids = welcomed(symbols)
    assert len(ids) + len(one.timer(9.9)) <= 100


def test_an_acknowledgement_has_no_topic_and_is_known_by_its_id():
    one, ids = welcomed()
    number = ids["/market/match", "ETH-USDT"]
    assert one.received(text({"id": number, "type": "ack"}), 1.0) == [Acknowledged(("ETHUSDT",), ("trade",))]
    number = ids["/market/level2", "ETH-USDT"]
    assert one.received(text({"id": number, "type": "ack"}), 1.0) == [Acknowledged(("ETHUSDT",), ("book",))]


def test_a_book_is_fetched_after_its_first_update_or_when_none_comes():
    """Without an update beside it nobody could tell that an answer is of long ago."""
    one, ids = welcomed()
    for name in ("BTC-USDT", "ETH-USDT"):
        one.received(text({"id": ids["/market/level2", name], "type": "ack"}), 1.0)
    update = text({"topic": "/market/level2:ETH-USDT", "type": "message", "subject": "trade.l2update"})
    assert one.received(text({"topic": "/market/match:ETH-USDT", "type": "message"}), 1.1) == []
    assert one.received(update, 1.1) == [Fetch(f"{BOOK}ETH-USDT", "ETHUSDT")]
    assert one.received(update, 1.2) == [], "once"
    assert one.timer(1.9) == []
    assert one.timer(2.0) == [Fetch(f"{BOOK}BTC-USDT", "BTCUSDT")]


def test_no_answer_is_asked_for_again_every_fifteen_seconds():
    one, ids = welcomed({"BTC-USDT": "BTCUSDT"})
    one.received(text({"id": ids["/market/level2", "BTC-USDT"], "type": "ack"}), 1.0)
    one.timer(2.0)  # fetches the quiet book
    assert one.timer(14.9) == []
    (again,) = asked(one.timer(15.0))
    assert again["topic"] == "/market/match:BTC-USDT"
    assert one.received(text({"id": again["id"], "type": "ack"}), 16.0)
    assert [message["type"] for message in asked(one.timer(31.0))] == ["ping"]


@pytest.mark.parametrize(
    ("code", "data"),
    [(404, "topic /market/match:ETH-USDT is not found"), (400, "topic /market/match:ETH-USDT is invalid")],
)
def test_a_topic_that_does_not_exist_is_a_symbol_not_listed(code, data):
    one, ids = welcomed()
    assert one.received(error(ids["/market/match", "ETH-USDT"], code, data), 1.0) == [
        Refused("ETHUSDT", f"{code}: {data}", not_listed=True)
    ]
    for channel in ("/market/level2", "/market/match"):
        one.received(text({"id": ids[channel, "BTC-USDT"], "type": "ack"}), 1.0)
    one.timer(2.0)  # fetches the quiet book
    assert asked(one.timer(15.0)) == [], "nor is its other channel asked for again"


@pytest.mark.parametrize("code", [500, 509])
def test_what_may_pass_is_asked_for_again(code):
    one, ids = welcomed({"BTC-USDT": "BTCUSDT"})
    one.received(text({"id": ids["/market/match", "BTC-USDT"], "type": "ack"}), 1.0)
    assert one.received(error(ids["/market/level2", "BTC-USDT"], code), 1.0) == [
        Refused("BTCUSDT", f"{code}: exceed max", not_listed=False)
    ]
    assert [message["topic"] for message in asked(one.timer(15.0))] == ["/market/level2:BTC-USDT"]


@pytest.mark.parametrize(
    ("request_id", "code"), [("c", 401), ("1", 401), ("1", 403), ("x", 404), (None, 509)]
)
def test_any_other_error_is_of_the_connection(request_id, code):
    one, _ = welcomed()
    assert one.received(error(request_id, code), 1.0) == [Refused(None, f"{code}: exceed max")]


# --- keeping alive ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval", "seconds"), [(18000, 18.0), (5000, 5.0), (600_000, 50.0)])
def test_a_ping_as_often_as_the_answer_says_whatever_the_traffic(interval, seconds):
    one = session({}, answer=bullet(interval=interval))
    one.opened(100.0)
    for turn in (1, 2, 3):
        at = 100.0 + turn * seconds
        one.received(DATA, at - 0.2)
        assert one.timer(at - 0.1) == []
        (ping,) = asked(one.timer(at))
        assert ping["type"] == "ping"
        assert one.received(text({"id": ping["id"], "type": "pong"}), at + 0.05) == []


def test_a_connection_ends_before_its_24_hours_do():
    one = session({})
    one.opened(1000.0)
    assert not any(isinstance(command, Farewell) for command in one.timer(1000.0 + 23 * 3600))
    assert any(isinstance(command, Farewell) for command in one.timer(1000.0 + 24 * 3600 - 60))


def test_a_new_snapshot_comes_by_rest_a_little_later_where_the_last_was_too_old():
    one, _ = welcomed()
    assert one.resync("ETHUSDT", "sequence_gap", 5.0) == [Fetch(f"{BOOK}ETH-USDT", "ETHUSDT", 0.0)]
    assert one.resync("ETHUSDT", "snapshot_too_old", 5.0) == [Fetch(f"{BOOK}ETH-USDT", "ETHUSDT", 0.5)]
    assert one.resync("DOGEUSDT", "sequence_gap", 5.0) == []


@pytest.mark.parametrize(
    "frame",
    [DATA, b"", b"\xff", b"[1]", b"null", b'{"type":5}', b'{"type":"ack"}', b'{"type":"ack","id":"99"}',
     b'{"type":"pong","id":"1"}', b'{"type":"dance"}', b"x" * 10_000, b'{"data":' + b"[" * 2000],
    ids=lambda frame: repr(frame[:40]),
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    one, _ = welcomed()
    assert one.received(frame, 1.0) == []


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "name"), [("BTCUSDT", "BTC-USDT"), ("BTCUSD", "BTC-USD"), ("ETHBTC", "ETH-BTC")]
)
def test_the_exchange_separates_base_and_quote(symbol, name):
    assert EXCHANGE.exchange_symbol(symbol) == name


def test_what_it_lists_is_what_is_traded():
    assert EXCHANGE.listing("https://rest") == "https://rest/api/v2/symbols"
    pairs = [{"symbol": f"{base}-USDT", "baseCurrency": base, "quoteCurrency": "USDT", "enableTrading": base != "LUNA"}
             for base in ("BTC", "ETH", "LUNA")]  # fmt: skip
    body = text({"code": "200000", "data": pairs})
    assert EXCHANGE.listed(body) == {"BTCUSDT": "BTC-USDT", "ETHUSDT": "ETH-USDT"}
    for wrong in (b"", b"[]", b'{"code":"429000","msg":"too many"}', b'{"code":"200000","data":[{}]}'):
        with pytest.raises(ValueError, match="list of symbols"):
            EXCHANGE.listed(wrong)
