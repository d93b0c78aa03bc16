"""MEXC spot v3, the decoding half, by EXCHANGES.md §10: a conversation by hand, made messages, the generated module."""

import json
from pathlib import Path

import msgspec
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.exchanges._protobuf import mexc_pb2
from COBY.exchanges.base import Delta, Endpoints, Lost, NotListed, Rejected, Repeated, Snapshot, Stale, Trade
from COBY.exchanges.mexc import EXCHANGE
from COBY.processing import ConnectionProcessor, ConnectionState, one_bucket
from tests.conversation import conversation
from tests.conversation_rest import RestPlayer
from tests.decoded import codes, reason, sides
from tests.protobuf_by_hand import DEALS, DEPTH, TIME, deal, deals, depth, field, push

SYMBOLS = {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"}
REST = "https://api.mexc.com/api/v3/depth?symbol=BTCUSDT&limit=5000"
INFO = "https://api.mexc.com/api/v3/exchangeInfo?symbol=BTCUSDT"


def connection(symbols=SYMBOLS):
    return ConnectionProcessor(EXCHANGE, symbols, one_bucket)


def ws(one, frame):
    return one.take(frame, "ws", None, None)


def http(one, message, url=REST, symbol="BTCUSDT"):
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    return one.take(raw, "http", symbol, url)


def body(version, bids=(("100", "1"),), asks=(("101", "2"),), **more):
    return {"lastUpdateId": version, "bids": list(bids), "asks": list(asks)} | more


def live(last=10):
    one = connection()
    assert codes(http(one, body(last))) == ["Snapshot"]
    return one


def test_the_conversation_written_by_hand():
    symbols = {"BTCUSDT": "BTCUSDT", "XYZUSDT": "XYZUSDT"}
    player = RestPlayer(EXCHANGE, symbols, Endpoints("wss://ws", "https://rest"))
    assert player.play(conversation("mexc", "conversation")) == 9


def test_the_generated_module_is_that_of_the_proto_file(tmp_path):
    folder, out = Path(mexc_pb2.__file__).parent, tmp_path / "descriptors"
    include = Path(protoc.__file__).parent / "_proto"
    assert (
        protoc.main(["protoc", f"-I{folder}", f"-I{include}", f"--descriptor_set_out={out}", "mexc.proto"])
        == 0
    )
    (expected,) = FileDescriptorSet.FromString(out.read_bytes()).file
    found = FileDescriptorProto.FromString(mexc_pb2.DESCRIPTOR.serialized_pb)
    for each in (expected, found):  # a comment of protoc's own
        for message in each.message_type:
            for one in message.field:
                one.ClearField("json_name")
    assert found == expected


# --- dispatch ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [b'{"id":1,"code":0,"msg":"spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"}', b'{"id":0,"code":0,"msg":"PONG"}',
     b'{"symbol":"BTC_USDT","data":{"deals":[]},"channel":"push.deal"}', b'["push.symbol",{"symbol":"BTC_USDT"}]',
     push("spot@public.limit.depth.v3.api.pb", field(303, field(4, "5"))),
     push("spot@public.aggre.bookTicker.v3.api.pb@100ms", field(315, field(1, "5"))), push(DEPTH), push(DEALS)],
    ids=lambda frame: repr(frame[:30]),
)  # fmt: skip
def test_answers_other_channels_and_messages_without_a_body_pass_silently(frame):
    one = live(10)
    assert ws(one, frame) == []
    assert codes(ws(one, depth(11, 11))) == ["Delta"]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [(push(DEPTH, field(399, b"x")), ["frame.shape", "Lost"]), (push(DEPTH, field(314, b"")), ["frame.shape", "Lost"]),
     (push(DEALS, field(313, b"")), ["frame.shape"]), (push(DEALS, field(399, b"x")), ["frame.shape"]),
     (push(DEPTH, field(313, b""), named="ETHUSDT"), ["frame.shape", "Lost"]), (b"", ["frame.shape"]),
     (push(DEPTH, field(313, b"")), ["frame.shape", "Lost"]), (field(3, "BTCUSDT"), ["frame.shape"]),
     (depth(11, 11, symbol="DOGEUSDT"), ["frame.unknown_symbol"]),
     (deals(deal(), symbol="DOGEUSDT"), ["frame.unknown_symbol"]), (depth(11, 11)[:-3], ["frame.protobuf", "Lost"]),
     (deals(deal())[:-3], ["frame.protobuf"]), (b"\xff\xff", ["frame.protobuf"]), (b"x", ["frame.protobuf"]),
     (depth(11, 11, symbol="ETHUSDT")[:-3], ["frame.protobuf"]), (b"{", ["frame.json"]), (b"[]", ["frame.shape"]),
     (push(DEPTH, field(313, field(4, b"\xff"))), ["frame.protobuf", "Lost"]), (b'{"id":[]}', ["frame.shape"])],
    ids=lambda value: repr(value[:24]),
)  # fmt: skip
def test_poison_and_bodies_that_do_not_belong_blind_what_they_may_have_changed(frame, expected):
    assert codes(ws(live(10), frame)) == expected


def test_fields_that_are_not_known_are_passed_over():
    """A body's sixth field is new since June 2026."""
    new = push(
        DEPTH, field(313, field(4, "11") + field(5, "11") + field(6, 5) + field(77, "x")) + field(12, 3)
    )
    assert codes(ws(live(10), new)) == ["Delta"]


# --- continuity -------------------------------------------------------------------------------------------------------


def test_versions_are_texts_and_a_side_without_changes_is_absent():
    (delta,) = ws(live(74483042020), depth("74483042021", "74483042022", asks=[("64526.18", "0.32477055")]))
    assert delta == Delta("BTCUSDT", [], [("64526.18", "0.32477055")], 74483042021, 74483042022, TIME * 1000)


@pytest.mark.parametrize(
    ("first", "last"),
    [("", "11"), ("11", ""), ("x", "11"), ("-11", "11"), ("1.0", "2"), ("9" * 19, "9" * 19)],
)
def test_a_version_that_is_none_is_named_and_blinds(first, last):
    rejected, lost = ws(live(10), depth(first, last))
    assert rejected.code == "frame.shape"
    assert "Version" in rejected.detail
    assert isinstance(lost, Lost)


def test_versions_that_contradict_each_other_blind():
    assert codes(ws(live(10), depth(12, 11))) == ["frame.range", "Lost"]


def test_a_lost_a_doubled_and_a_late_message():
    one = live(10)
    assert codes(ws(one, depth(11, 12, [("99", "1")]))) == ["Delta"]
    assert ws(one, depth(11, 12, [("99", "5")])) == [Repeated("BTCUSDT")]
    (lost,) = ws(one, depth(14, 15))
    assert lost == Lost("BTCUSDT", "sequence_gap", "expected 13, got 14")
    assert ws(one, depth(13, 13)) == []
    assert codes(http(one, body(12))) == ["Stale"]
    assert codes(http(one, body(14))) == ["Snapshot", "Delta"]
    assert reason(one) is None


def test_what_was_held_joins_its_snapshot_and_quantity_zero_removes():
    one = connection()
    ws(one, depth(5, 8, [("98", "1")]))
    ws(one, depth(9, 12, [("100", "0.000000")], [("101", "0")]))
    assert codes(http(one, body(10))) == ["Snapshot", "Delta"]
    assert sides(one) == ({}, {})


def test_a_price_has_one_text():
    one = live(10)
    ws(one, depth(11, 11, [("100.00000000", "5")]))
    assert sides(one)[0] == {"100": "5"}


def test_a_body_is_limited_on_the_side_that_is_full():
    bids = [(str(9000 - number), "1") for number in range(5000)]
    (snapshot,) = http(connection(), body(5, bids, [("9001", "1")]))
    assert (snapshot.limited_bids, snapshot.limited_asks) == (True, False)
    (snapshot,) = http(connection(), body(5, bids[:100]), REST.partition("&")[0])
    assert snapshot.limited_bids, "without a limit it is 100"


BAD = ["-1", "NaN", "inf", "1e400", "", " 1", "1,5", "9" * 5000]


@pytest.mark.parametrize("price", [*BAD, "0", "1e-70"])
def test_no_price_is_rejected_and_the_book_blind(price):
    one = live(10)
    assert codes(ws(one, depth(11, 11, [("99", "1"), (price, "1")]))) == ["frame.number", "Lost"]
    assert "99" not in sides(one)[0]
    assert ws(one, depth(12, 12)) == []


@pytest.mark.parametrize("size", BAD)
def test_no_quantity_is_rejected_and_the_book_blind(size):
    assert codes(ws(live(10), depth(11, 11, [], [("99", size)]))) == ["frame.number", "Lost"]


# --- trades -----------------------------------------------------------------------------------------------------------


def test_trades_of_a_message_with_and_without_id_all_count():
    """Two that are the same in all they say are two."""
    one = connection()
    frame = deals(deal(), deal(), deal(kind=2, trade_id="698165549569396736X0_698165549569396737X0"))
    assert ws(one, frame) == [
        Trade("BTCUSDT", "100.5", "0.25", "buy", None, TIME * 1000),
        Trade("BTCUSDT", "100.5", "0.25", "buy", None, TIME * 1000),
        Trade("BTCUSDT", "100.5", "0.25", "sell", "698165549569396736X0_698165549569396737X0", TIME * 1000),
    ]


@pytest.mark.parametrize(
    ("row", "code"),
    [({"kind": 0}, "frame.shape"), ({"kind": 3}, "frame.shape"), ({"time": 0}, "frame.shape"),
     ({"price": "0"}, "frame.number"), ({"price": ""}, "frame.number"), ({"size": "0.00"}, "frame.number"),
     ({"size": "x"}, "frame.number")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_its_neighbours_count(row, code):
    one = live(10)
    assert codes(ws(one, deals(deal(), deal(**row), deal()))) == ["Trade", code, "Trade"]
    assert reason(one) is None


# --- REST -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"),
    [({"code": 429, "msg": "Too many requests"}, "frame.rest_error"), ({"lastUpdateId": 5}, "frame.shape"),
     (body(5, bids=[["x", "1"]]), "frame.number"), (b"<html>", "frame.json"), (body("5"), "frame.shape"),
     (body(-5), "frame.shape"), (body(2**63), "frame.shape"), ({"lastUpdateId": 5, "bids": None, "asks": []},
     "frame.shape")],
)  # fmt: skip
def test_a_body_that_is_no_book_is_rejected_and_the_book_stays(message, code):
    one = live(10)
    assert codes(http(one, message)) == [code]
    assert codes(ws(one, depth(11, 11))) == ["Delta"]


def test_whether_a_symbol_is_listed_says_rest():
    invalid = {"msg": "Invalid symbol.", "code": -1121}
    assert http(connection(), invalid) == [NotListed("BTCUSDT", "Invalid symbol.")]
    assert http(connection(), invalid, INFO) == [NotListed("BTCUSDT", "Invalid symbol.")]
    assert codes(http(connection(), {"symbols": []}, INFO)) == ["NotListed"]
    assert http(connection(), {"symbols": [{"symbol": "BTCUSDT"}]}, INFO) == []
    one = live(10)
    ws(one, depth(11, 11))
    assert codes(http(one, invalid)) == ["frame.rest_error"], "its updates come"
    assert codes(http(connection(), body(5), None, None)) == ["frame.unknown_symbol"]


# --- state and noise --------------------------------------------------------------------------------------------------


def whole_life():
    """(message, is a body) of a connection on which most of what can happen does."""
    return [
        (depth(5, 15, [("99", "9")]), False), (body(3), True), (body(10), True), (depth(16, 18), False),
        (deals(deal(), deal(trade_id="7")), False), (depth(21, 25), False), (body(19), True), (b"x", False),
        (body(22), True), (depth(26, 26, [("x", "1")]), False), (depth(27, 27), False), (body(27), True),
        (push(DEPTH), False), (depth(28, 28), False),
    ]  # fmt: skip


def take(one, message, is_body):
    return http(one, message) if is_body else ws(one, message)


def test_the_state_saved_and_loaded_anywhere_gives_the_same_events():
    frames, straight = whole_life(), connection()
    expected = [take(straight, *frame) for frame in frames]
    kinds = {type(event) for events in expected for event in events}
    assert kinds == {Snapshot, Delta, Trade, Lost, Rejected, Stale}
    for cut in range(len(frames) + 1):
        first, second = connection(), connection()
        before = [take(first, *frame) for frame in frames[:cut]]
        packed = msgspec.msgpack.encode(first.save())
        second.load(msgspec.msgpack.decode(packed, type=ConnectionState))
        assert before + [take(second, *frame) for frame in frames[cut:]] == expected
        assert second.save() == straight.save()


@st.composite
def noise(draw):
    """A message with some bytes changed, sometimes cut short."""
    frame = bytearray(
        draw(st.sampled_from([depth(11, 11, [("99", "1")]), deals(deal(), deal()), push(DEPTH)]))
    )
    for _ in range(draw(st.integers(0, 4))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))]) if draw(st.integers(0, 3)) == 0 else bytes(frame)


@settings(max_examples=300, deadline=None)
@given(st.lists(noise(), max_size=8))
def test_nothing_in_a_message_raises(frames):
    one, session = live(10), EXCHANGE.session(SYMBOLS, EXCHANGE.endpoints)
    for frame in frames:
        for event in ws(one, frame):
            assert not isinstance(event, Rejected) or event.code.startswith("frame.")
        session.received(frame, 1.0)
