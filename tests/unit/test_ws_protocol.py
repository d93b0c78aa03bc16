"""What clients send: every wrong message is an error with a code and the request's id, whatever it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ws.asked import MAX_SUBSCRIPTIONS, Known, ended, subscriptions
from api.ws.channels import CHANNELS, Selection
from api.ws.protocol import MAX_MESSAGE_BYTES, OPERATIONS, Asked, Ping, Subscribe, parse

KNOWN = Known(("BTCUSDT", "ETHUSDT"), ("binance", "kraken"), ("1s", "1m"))


def test_the_contracts_example_is_understood():
    request = parse(
        '{"op": "subscribe", "id": "1", "channels": [{"name": "heatmap", "symbols": ["BTCUSDT"]}]}'
    )
    assert (request.id, request.error) == ("1", None)
    assert request.op == Subscribe([Asked("heatmap", ["BTCUSDT"])], "1")


@pytest.mark.parametrize(
    ("text", "code", "name", "where"),
    [
        (None, "ws.binary", None, None),
        ("", "ws.json", None, None),
        ("[]", "ws.json", None, None),
        ("3", "ws.json", None, None),
        ("{", "ws.json", None, None),
        ("[" * 60_000, "ws.json", None, None),
        ('{"op":' * 9_000, "ws.json", None, None),
        ('"\\ud800"', "ws.json", None, None),
        (b"\xff\xfe", "ws.json", None, None),
        ('{"a": "' + "x" * MAX_MESSAGE_BYTES + '"}', "ws.too_large", None, None),
        ("{}", "ws.unknown_op", None, "op"),
        ('{"op": 1, "id": "q"}', "ws.unknown_op", "q", "op"),
        ('{"op": "steal", "id": 3}', "ws.unknown_op", 3, "op"),
        ('{"op": "ping", "id": true}', "ws.invalid", None, "id"),
        ('{"op": "ping", "id": "' + "x" * 65 + '"}', "ws.invalid", None, "id"),
        ('{"op": "ping", "id": "a", "more": 1}', "ws.invalid", "a", None),
        ('{"op": "subscribe", "id": "a"}', "ws.invalid", "a", None),
        ('{"op": "subscribe", "id": "a", "channels": []}', "ws.invalid", "a", "channels"),
        ('{"op": "subscribe", "id": "a", "channels": [{"name": 3}]}', "ws.invalid", "a", "channels[0].name"),
        ('{"op": "subscribe", "id": "a", "channels": [{"name": "x"}], "cursors": []}', "ws.invalid", "a", "cursors"),
        ('{"op": "replay", "id": "a", "session": null}', "ws.invalid", "a", "session"),
    ],
)  # fmt: skip
def test_a_wrong_message_is_told_with_code_id_and_place(text, code, name, where):
    request = parse(text)
    assert request.op is None
    assert (request.error.code, request.id, request.error.where) == (code, name, where)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["op", "id", "channels", "cursors", "session", "key", "name", "symbols", "exchanges"]
)


@given(st.dictionaries(FIELDS, VALUES | st.sampled_from(OPERATIONS), max_size=6))
def test_no_object_whatever_raises(plain):
    request = parse(json.dumps(plain))
    assert (request.op is None) == (request.error is not None)
    if request.error is None:
        assert plain["op"] in OPERATIONS
        assert request.id == plain.get("id")


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_text_whatever_raises(text):
    request = parse(text)
    assert (request.op is None) == (request.error is not None)


def test_an_id_is_given_back_as_it_came():
    assert parse('{"op": "ping", "id": 123456789012345678901234567890}') == (
        123456789012345678901234567890,
        Ping(123456789012345678901234567890),
        None,
    )


def names(answer):
    return [selection.name for selection in answer.selections]


def refused(answer):
    return [(name, error.code) for name, error in answer.refused]


def test_a_channel_without_symbols_means_all_and_each_is_one_subscription():
    answer = subscriptions([Asked("trade"), Asked("status")], KNOWN, ())
    assert names(answer) == ["trade:BTCUSDT", "trade:ETHUSDT", "status"]


@pytest.mark.parametrize(
    ("asked", "code", "where"),
    [
        (Asked("weather"), "ws.unknown_channel", "channels[0].name"),
        (Asked("trade", ["BTCEUR"]), "ws.unknown_symbol", "channels[0].symbols"),
        (Asked("status", ["BTCUSDT"]), "ws.unknown_symbol", "channels[0].symbols"),
        (Asked("book", None, ["okx"]), "ws.unknown_exchange", "channels[0].exchanges"),
        (Asked("ohlcv", None, [], ["7m"]), "ws.unknown_timeframe", "channels[0].timeframes"),
        (Asked("heatmap", None, ["binance"]), "ws.not_narrowed", "channels[0].exchanges"),
        (Asked("trade", None, [], ["1s"]), "ws.not_narrowed", "channels[0].timeframes"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named_and_the_rest_begins(asked, code, where):
    answer = subscriptions([asked, Asked("gap", ["BTCUSDT"])], KNOWN, ())
    assert names(answer) == ["gap:BTCUSDT"]
    assert [(error.code, error.where) for _, error in answer.refused] == [(code, where)]


def test_a_subscription_is_there_once():
    answer = subscriptions([Asked("trade", ["BTCUSDT"])] * 2, KNOWN, {"trade:ETHUSDT"})
    assert names(answer) == ["trade:BTCUSDT"]
    assert refused(answer) == [("trade:BTCUSDT", "ws.already_subscribed")]


def test_there_are_no_more_than_two_hundred():
    symbols = tuple(f"S{number}USDT" for number in range(150))
    known = Known(symbols, (), ())
    answer = subscriptions([Asked("trade"), Asked("gap")], known, ())
    assert len(answer.selections) == MAX_SUBSCRIPTIONS == 200
    assert {code for _, code in refused(answer)} == {"ws.too_many_subscriptions"}
    assert len(answer.refused) == 100


def test_what_is_not_there_can_not_be_ended():
    there = {f"trade:{symbol}": Selection(CHANNELS["trade"], symbol) for symbol in KNOWN.symbols}
    assert names(ended([Asked("trade")], there)) == ["trade:BTCUSDT", "trade:ETHUSDT"]
    answer = ended([Asked("trade", ["BTCUSDT", "X"]), Asked("book")], there)
    assert names(answer) == ["trade:BTCUSDT"]
    assert refused(answer) == [("trade:X", "ws.not_subscribed"), ("book", "ws.not_subscribed")]


def test_a_symbol_lies_in_one_partition_and_its_gaps_beside_it():
    places = Selection(CHANNELS["trade"], "BTCUSDT").partitions()
    assert [name for name, _ in places] == ["trade", "gap"]
    assert len(Selection(CHANNELS["status"], None).partitions()) == 12
