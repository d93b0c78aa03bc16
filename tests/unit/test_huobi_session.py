"""HTX, the session half, by EXCHANGES.md §6. Times are seconds of a clock that the test holds."""

import gzip
import json

import pytest

from COBY.exchanges.base import Acknowledged, Connect, Endpoints, Farewell, Refused, Send
from COBY.exchanges.huobi import EXCHANGE

SYMBOLS = {"btcusdt": "BTCUSDT", "ethusdt": "ETHUSDT"}
ENDPOINTS = Endpoints("wss://ws", "https://rest")
FEED, WS = 0, 1


def packed(message):
    text = message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()
    return gzip.compress(text, mtime=0)


def asked(commands):
    """(socket, message) of each command; nothing else is among them."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [(command.socket, json.loads(command.text)) for command in commands]


def book(symbol="btcusdt"):
    return f"market.{symbol}.mbp.400"


def trade(symbol="btcusdt"):
    return f"market.{symbol}.trade.detail"


def subbed(channel, number="1"):
    return packed({"id": number, "status": "ok", "subbed": channel, "ts": 1})


def rep(symbol="btcusdt", number="3", data=None):
    return packed({"id": number, "status": "ok", "ts": 1, "rep": book(symbol), "data": data})


SNAPSHOT = {"seqNum": 1, "bids": [], "asks": []}


def error(number, code="bad-request", message="invalid symbol"):
    return packed({"status": "error", "ts": 1, "id": number, "err-code": code, "err-msg": message})


def opened(symbols=SYMBOLS, now=0.0):
    one = EXCHANGE.session(symbols, ENDPOINTS)
    return one, asked(one.opened(now))


def subscribed(symbols=SYMBOLS, now=0.0):
    """A session whose subscriptions were confirmed and whose snapshots came."""
    one, _ = opened(symbols, now)
    for name in symbols:
        one.received(subbed(book(name)), now)
        one.received(subbed(trade(name)), now)
    for name in symbols:
        one.received(rep(name, data=SNAPSHOT), now)
    return one


def requests(commands):
    """The symbols whose snapshots are asked for, all on the socket of the books."""
    found = asked(commands)
    assert {socket for socket, _ in found} <= {FEED}
    return [message["req"].split(".")[1] for _, message in found]


def test_two_sockets_and_each_channel_on_its_own():
    one, sent = opened()
    assert one.connect() == Connect("wss://ws/feed", ("wss://ws/ws",))
    assert [(socket, message["sub"]) for socket, message in sent] == [
        (FEED, book("btcusdt")), (FEED, book("ethusdt")), (WS, trade("btcusdt")), (WS, trade("ethusdt")),
    ]  # fmt: skip
    assert len({message["id"] for _, message in sent}) == 4


def test_the_snapshot_is_asked_for_when_the_book_is_confirmed_and_the_levels_are_the_same():
    one, _ = opened()
    acknowledged, request = one.received(subbed(book()), 1.0)
    assert acknowledged == Acknowledged(("BTCUSDT",), ("book",))
    assert asked([request]) == [(FEED, {"req": book(), "id": "3"})]
    assert one.received(subbed(trade("ethusdt")), 1.0) == [Acknowledged(("ETHUSDT",), ("trade",))]
    assert one.received(rep(data=SNAPSHOT), 1.2) == []
    assert one.timer(1.3) == []


@pytest.mark.parametrize(
    "channel", ["market.btcusdt.mbp.150", "market.dogeusdt.mbp.400", "x", "market.btcusdt.bbo"]
)
def test_other_channels_and_symbols_are_not_acknowledged(channel):
    assert opened()[0].received(subbed(channel), 1.0) == []


@pytest.mark.parametrize("ts", [1_700_000_000_123, 0])
def test_a_ping_is_answered_with_its_own_number_on_its_own_socket(ts):
    assert subscribed().received(packed({"ping": ts}), 1.0) == [Send(f'{{"pong":{ts}}}', socket=None)]
    assert subscribed().received(json.dumps({"ping": ts}).encode(), 1.0) == [Send(f'{{"pong":{ts}}}')]


def test_a_ping_that_is_none_is_not_answered():
    for value in ("1", None, [], True, 1.5):
        assert subscribed().received(packed({"ping": value}), 1.0) == []


def test_a_null_snapshot_is_asked_for_again_a_second_later():
    one, _ = opened({"btcusdt": "BTCUSDT"})
    one.received(subbed(book()), 1.0)
    for now in (2.0, 5.0, 9.0):
        assert one.received(rep(), now) == []
        assert one.timer(now + 0.9) == []
        assert requests(one.timer(now + 1.0)) == ["btcusdt"]
    one.received(rep(data=SNAPSHOT), 11.0)
    assert [
        command for second in range(12, 99) for command in one.timer(float(second)) if "req" in command.text
    ] == []


def test_a_request_that_is_refused_as_too_many_is_made_again_and_nobody_is_told():
    one = subscribed()
    one.resync("ETHUSDT", "sequence_gap", 10.0)
    assert one.received(error("6", "too-many-request", "too many request"), 10.1) == []
    assert one.timer(11.0) == []
    assert requests(one.timer(11.2)) == ["ethusdt"]


def test_a_snapshot_that_never_comes_is_asked_for_again_after_fifteen_seconds():
    one = subscribed()
    assert requests(one.resync("BTCUSDT", "sequence_gap", 10.0)) == ["btcusdt"]
    assert one.timer(24.9) == []
    assert requests(one.timer(25.0)) == ["btcusdt"]


def test_no_answer_to_a_subscription_is_asked_for_again_after_fifteen_seconds():
    one, _ = opened({"btcusdt": "BTCUSDT"})
    one.received(subbed(trade()), 1.0)
    assert one.timer(14.9) == []
    assert asked(one.timer(15.0)) == [(FEED, {"sub": book(), "id": "1"})]


def test_a_symbol_that_does_not_exist_is_not_listed_and_not_asked_for_again():
    one, sent = opened()
    for number in [message["id"] for _, message in sent if "ethusdt" in message["sub"]]:
        assert one.received(error(number, message="invalid symbol ethusdt"), 1.0) == [
            Refused("ETHUSDT", "bad-request: invalid symbol ethusdt", not_listed=True)
        ]
    for second in range(2, 60):
        for _, message in asked(one.timer(float(second))):
            assert "btcusdt" in message["sub"]


def test_any_other_refusal_of_a_symbol_is_passing():
    one, sent = opened()
    number = sent[0][1]["id"]
    assert one.received(error(number, "too-many-request", "too many request"), 1.0) == [
        Refused("BTCUSDT", "too-many-request: too many request")
    ]
    assert (FEED, {"sub": book(), "id": number}) in asked(one.timer(15.0))


@pytest.mark.parametrize("number", [None, "99", 77, ["1"], {}])
def test_an_error_about_none_of_our_requests_is_about_the_connection(number):
    (refused,) = subscribed().received(error(number, "bad-request", "invalid topic"), 1.0)
    assert refused == Refused(None, "bad-request: invalid topic")


def test_the_announced_close_is_a_farewell():
    assert subscribed().received(packed({"action": "close", "data": {}}), 1.0) == [Farewell("close")]
    assert subscribed().received(packed({"action": "sub", "code": 200}), 1.0) == []


def test_a_new_snapshot_is_asked_for_and_the_subscription_stays():
    one = subscribed()
    assert requests(one.resync("BTCUSDT", "sequence_gap", 10.0)) == ["btcusdt"]
    assert one.resync("BTCUSDT", "sequence_gap", 11.0) == [], "one is on its way"
    assert requests(one.resync("ETHUSDT", "crossed", 11.0)) == ["ethusdt"]
    assert one.received(rep(data=SNAPSHOT), 11.5) == []
    assert requests(one.resync("BTCUSDT", "sequence_gap", 11.6)) == ["btcusdt"]
    assert requests(one.resync("BTCUSDT", "sequence_gap", 13.7)) == ["btcusdt"], (
        "two seconds are enough to wait"
    )
    assert one.resync("DOGEUSDT", "sequence_gap", 20.0) == []


def test_a_resync_asked_for_before_the_last_request_is_answered_by_it():
    one = subscribed()
    one.resync("BTCUSDT", "sequence_gap", 10.0)
    one.received(rep(data=SNAPSHOT), 10.5)
    assert one.resync("BTCUSDT", "sequence_gap", 14.0, age_seconds=5.0) == []
    assert requests(one.resync("BTCUSDT", "sequence_gap", 14.0, age_seconds=3.0)) == ["btcusdt"]


def test_a_snapshot_that_was_too_old_is_asked_for_a_little_later():
    one = subscribed()
    assert one.resync("BTCUSDT", "snapshot_too_old", 10.0) == []
    assert one.timer(10.4) == []
    assert requests(one.timer(10.5)) == ["btcusdt"]


def within_a_second(times):
    return max(sum(start <= time < start + 1.0 for time in times) for start in times)


def test_requests_keep_within_the_exchanges_limits():
    """10 subscriptions a second on a connection, a few requests for a snapshot."""
    names = {f"c{number}usdt": f"C{number}USDT" for number in range(EXCHANGE.symbols_per_slot)}
    one = EXCHANGE.session(names, ENDPOINTS)
    sent = [(0.0, command) for command in one.opened(0.0)]
    for step in range(1, 80):
        now, answers = step / 8, []
        for at, command in sent:
            message = json.loads(command.text)
            if at == (step - 1) / 8:
                answers.append(
                    rep(message["req"].split(".")[1], data=SNAPSHOT)
                    if "req" in message
                    else subbed(message["sub"])
                )
        for answer in answers:
            sent += [(now, command) for command in one.received(answer, now) if isinstance(command, Send)]
        sent += [(now, command) for command in one.timer(now)]
    subs = {
        socket: [at for at, one in sent if one.socket == socket and '"sub"' in one.text]
        for socket in (FEED, WS)
    }
    reqs = [at for at, one in sent if '"req"' in one.text]
    assert [len(subs[FEED]), len(subs[WS]), len(reqs)] == [len(names)] * 3, "each once"
    assert max(within_a_second(subs[FEED]), within_a_second(subs[WS])) < 10
    assert within_a_second(reqs) <= 4
    assert max(reqs) < 9.0


DATA = packed({"ch": book(), "ts": 1, "tick": {"seqNum": 2, "prevSeqNum": 1, "bids": [[1, 2]] * 400}})


@pytest.mark.parametrize(
    "frame",
    [DATA, DATA[:-5], b"", b"\xff", b"\x1f\x8b", b"\x1f\x8bx", packed(b"[1]"), packed(b"null"), packed(b"{"),
     packed(b'{"subbed":5}'), packed(b'{"rep":[]}'), packed(b'{"status":"ok"}'), packed({"unsubbed": book()}),
     gzip.compress(b" " * 10_000_000, mtime=0), packed(b'{"err-msg":' + b"[" * 2000 + b"]" * 2000 + b"}")],
    ids=lambda frame: repr(frame[:40]),
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    assert subscribed().received(frame, 1.0) == []


@pytest.mark.parametrize("key", ["err-code", "err-msg", "id", "data", "ping", "subbed", "rep", "status"])
@pytest.mark.parametrize("depth", [10, 900, 1_900])
def test_a_reply_of_any_depth_is_survived(key, depth):
    nested = b"[" * depth + b"]" * depth
    subscribed().received(packed(b'{"status":"error","%s":%s}' % (key.encode(), nested)), 1.0)
