"""Ways in which a wrong book was once made to look live, or a session to go on for ever: each stays closed."""

import json

import pytest

from COBY.book import Book
from COBY.config import load_config
from COBY.continuity import MAX_PASSED, MAX_UNJOINED, ChainState, RestChain
from COBY.exchanges import load
from COBY.exchanges.base import Delta, Endpoints, Lost, NotListed, Rejected, Snapshot
from COBY.exchanges.binance import EXCHANGE as REST_EXCHANGE
from COBY.processing import ConnectionProcessor, one_bucket
from COBY.records import Level
from COBY.slots import slots_of
from COBY.utils.exceptions import ConfigurationError
from tests.raw import book_body, depth
from tests.sim.virtual import World

UNIT = 10**8


def update(first, last):
    return Delta("X", [("1", "1")], [], first, last, None)


def whole(last):
    return Snapshot("X", [("1", "1")], [("2", "1")], last, None)


def lost(events):
    return [type(event) is Lost for event in events] == [True]


def test_a_snapshot_far_ahead_of_its_stream_is_not_believed_for_ever():
    chain = RestChain("X", ChainState())
    chain.snapshot(whole(10_000_000))
    taken = [
        chain.delta(
            update(number, number),
        )
        for number in range(1, MAX_UNJOINED + 1)
    ]
    assert taken[:-1] == [[]] * (MAX_UNJOINED - 1)
    assert lost(taken[-1])


def test_numbers_begun_anew_while_a_snapshot_is_awaited_lower_what_it_must_reach():
    chain = RestChain("X", ChainState())
    chain.snapshot(whole(1_000))
    chain.hold(proven=False)
    for number in range(1, MAX_PASSED + 1):
        chain.delta(update(number, number))
    assert chain.snapshot(whole(MAX_PASSED))[0] == whole(MAX_PASSED)


def test_after_an_unusable_update_only_a_snapshot_from_behind_it_counts():
    chain = RestChain("X", ChainState())
    chain.snapshot(whole(10))
    chain.delta(update(11, 11))
    assert lost(chain.lost("unusable", until=15))
    assert type(chain.snapshot(whole(14))[0]).__name__ == "Stale"
    assert chain.snapshot(whole(15)) == [whole(15)]


@pytest.mark.parametrize("windowed", [None, 5])
def test_a_price_printed_in_another_way_is_the_same_price(windowed):
    book = Book(UNIT)
    book.snapshot(Snapshot("X", [("100.00", "1"), ("99", "4")], [("101", "1")], 1, None, depth=windowed))
    book.delta(Delta("X", [("100.00000000", "2")], [], 2, 2, None))
    book.flush()
    assert book.bids.top(5) == [Level(100 * UNIT, 2 * UNIT), Level(99 * UNIT, 4 * UNIT)]
    book.delta(Delta("X", [("1e2", "0")], [], 3, 3, None))
    book.flush()
    assert book.bids.top(5) == [Level(99 * UNIT, 4 * UNIT)]
    assert book.bids.texts == {"99": "4"}


def test_two_symbols_may_not_share_an_exchange_s_name():
    config = load_config({"SYMBOLS": "BTCUSDT,BTCUSD", "KRAKEN_SYMBOL_BTCUSD": "BTC/USDT"})
    with pytest.raises(ConfigurationError) as caught:
        slots_of(config, "kraken")
    assert caught.value.code == "config.same_symbol"


def test_a_body_of_the_most_levels_is_cut_whatever_its_url_asked_for():
    one = REST_EXCHANGE.decoder({})
    levels = [[str(number), "1"] for number in range(1, 5_001)]
    body = json.dumps(book_body(10, levels, [["9000", "1"]])).encode()
    (event,) = one.decode(body, "http", None, "https://x/api/v3/depth?symbol=BTCUSDT&limit=10000")
    assert (event.limited_bids, event.limited_asks) == (True, False)


def test_a_symbol_whose_updates_come_is_listed_whatever_rest_says():
    refused = json.dumps({"code": -1121, "msg": "Invalid symbol."}).encode()
    one = REST_EXCHANGE.decoder({"BTCUSDT": "BTCUSDT"})
    assert isinstance(one.decode(refused, "http", "BTCUSDT", None)[0], NotListed)
    one.decode(json.dumps(book_body(10, [["1", "1"]], [])).encode(), "http", "BTCUSDT", None)
    one.decode(json.dumps(depth(11, 11, [], [])).encode(), "ws", None, None)
    assert isinstance(one.decode(refused, "http", "BTCUSDT", None)[0], Rejected)


@pytest.mark.parametrize("exchange", ["binance", "bitfinex", "bybit", "gateio", "huobi", "kraken", "okx"])
def test_a_session_survives_replies_of_any_depth(exchange):
    session = load(exchange).session({"BTCUSDT": "BTCUSDT"}, Endpoints("wss://x", "https://x"))
    session.opened(0.0)
    for key in ("error", "code", "data", "event", "result"):
        for levels in (10, 900, 1_900):
            session.received(b'{"%s":' % key.encode() + b"[" * levels + b"]" * levels + b"}", 1.0)


def test_what_a_frame_says_after_a_wrong_checksum_in_it_is_left_out():
    """Were the second snapshot taken, the decoder would drop all its updates: live, and frozen."""
    one = ConnectionProcessor(load("kraken"), {"BTC/USD": "BTCUSD"}, one_bucket)
    level = {"price": 1.5, "qty": 2.5}
    bad = {"symbol": "BTC/USD", "bids": [level], "asks": [], "checksum": 1}
    good = bad | {"checksum": 4038129649}
    frame = json.dumps({"channel": "book", "type": "snapshot", "data": [bad, good]}).encode()
    assert [type(event) for event in one.take(frame, "ws", None, None)] == [Lost]
    assert one.books["BTCUSD"].reason == "checksum"


@pytest.mark.parametrize("exchange", ["bitfinex", "bybit", "gateio", "kraken", "okx"])
def test_one_lost_update_behind_a_slow_worker_does_not_renew_the_book_for_ever(exchange):
    """Resyncs that come late unsubscribe a book that is live again: that must not ask for the next one."""

    class Slow(World):
        def network_us(self):
            return 6_000_000  # requests and resyncs alike arrive six seconds late

    counted = 0

    def third(frame, text):
        nonlocal counted
        counted += frame.symbol == "BTCUSDT" and bool(frame.last_id)
        return None if counted == 60 and frame.last_id and frame.symbol == "BTCUSDT" else text

    world = Slow(exchange, 3, seconds=90, spoil=third).run()
    opened = [gap for gap in world.gaps() if gap.until_time is None]
    assert opened
    assert opened[-1].timestamp < world.end_us - 45_000_000, "settled long ago"


@pytest.mark.parametrize(
    ("exchange", "names", "frame"),
    [
        ("binance", ("BTCUSDT", "ETHUSDT"), b'{"e":"depthUpdate",'),
        ("bitfinex", ("tBTCUST", "tETHUST"), b"[5,["),
        ("bybit", ("BTCUSDT", "ETHUSDT"), b'{"topic'),
        ("gateio", ("BTC_USDT", "ETH_USDT"), b'{"channel":"spot.obu","result":{"t'),
        ("coinbase", ("BTC-USDT", "ETH-USDT"), b'{"channel":"l2_data",'),
        ("kraken", ("BTC/USDT", "ETH/USDT"), b"{"),
        ("okx", ("BTC-USDT", "ETH-USDT"), b'{"arg":{"channel":"books",'),
    ],
)
def test_a_saved_book_of_a_symbol_served_no_more_is_not_lost_once_more(exchange, names, frame):
    """The slot has no place for what is said of it."""
    before = load(exchange).decoder(dict(zip(names, ("BTCUSDT", "ETHUSDT"), strict=True)))
    proven = {"waiting": False, "last": 1} if exchange != "binance" else {"last": 1}
    chains = {"BTCUSDT": proven, "ETHUSDT": proven}
    more = {
        "kraken": {"precisions": {}},
        "bitfinex": {"channels": {}, "flags": None, "last": None},
        "bybit": {"depths": {}},
        "coinbase": {"counted": {}, "subscribed": []},
        "gateio": {"depths": {}},
    }
    before.load({"chains": chains, **more[exchange]} if exchange in more else chains)
    after = load(exchange).decoder({names[0]: "BTCUSDT"})
    after.load(before.save())
    rejected, *lost = after.decode(frame, "ws", None, None)
    assert isinstance(rejected, Rejected)
    assert [event.symbol for event in lost] == ["BTCUSDT"]
