"""Bad days: the plan, what mishaps do to frames and answers, and what the pipeline makes of them on a virtual clock."""

import json
from itertools import pairwise

import pytest

from COBY.exchanges import load
from COBY.records import Gap
from simulator.exchanges import EXCHANGES
from simulator.mischief import Mischief, Pipe, Sent
from simulator.mishaps import BREAKS, KINDS, Mishap, bad_day, kinds_of
from simulator.sources import seeded
from simulator.venue import Answer
from tests.sim.dealt import Dealt, late, unexplained
from tests.sim.verdict import judge_bad
from tests.sim.virtual import START_US, World

NAMES = sorted(EXCHANGES)
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SECOND_US = 1_000_000


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("exchange", NAMES)
def test_on_a_bad_day_no_book_is_wrong_and_live_and_each_gap_has_its_mishap(exchange, seed):
    verdict = judge_bad(exchange, seed, seconds=13, per_minute=60)
    assert verdict.faults == ()
    assert verdict.mishaps > 0
    assert verdict.updates > 100


def venue_of(name):
    kind = EXCHANGES[name]
    return kind(seeded(name, kind.wire(), 1, SYMBOLS, 100, 5), kind.LIMITS)


def test_a_plan_is_the_same_for_a_seed_and_leaves_time_before_and_after():
    kinds = kinds_of(venue_of("binance"))
    day = bad_day(7, 40, 60, SYMBOLS, kinds)
    assert day == bad_day(7, 40, 60, SYMBOLS, kinds)
    assert day != bad_day(8, 40, 60, SYMBOLS, kinds)
    assert [mishap.at_us for mishap in day] == sorted(mishap.at_us for mishap in day)
    assert day[0].at_us == 4 * SECOND_US
    assert day[-1].at_us <= 54 * SECOND_US
    breaks = sorted({mishap.at_us for mishap in day if mishap.kind in BREAKS})
    assert len(breaks) > 2
    assert all(later - earlier >= 9 * SECOND_US for earlier, later in pairwise(breaks))


def test_every_kind_comes_somewhere_and_only_where_it_can():
    found = {
        name: {
            mishap.kind
            for seed in range(8)
            for mishap in bad_day(seed, 60, 60, SYMBOLS, kinds_of(venue_of(name)))
        }
        for name in NAMES
    }
    assert set.union(*found.values()) == set(KINDS)
    assert {name for name in NAMES if "wrong_checksum" in found[name]} == {"bitfinex", "kraken"}
    assert {name for name in NAMES if "farewell" in found[name]} == {"binance", "bitfinex", "huobi", "okx"}
    assert {name for name in NAMES if "slow_rest" in found[name]} == {"binance", "kucoin", "mexc"}


def numbers_behind(name, requests, number_of, kind, channel):
    """The connection's own numbers of what arrives, when a frame meets a mishap of that kind."""
    venue = venue_of(name)
    peer, pipe, mischief = (
        venue.connect("/ws/2" if name == "bitfinex" else "/", {}, 0),
        Pipe(),
        Mischief(venue.source.wire),
    )
    peer.opened(0)
    told = [Sent.of(reply) for request in requests for reply in peer.received(json.dumps(request), 0)]
    mischief.arm(Mishap(0, kind, "BTCUSDT", channel), 0)
    while venue.source.peek_us() is not None:
        for frame in venue.source.take(START_US):
            if frame.stream in peer.streams:
                fate = mischief.fate(frame)
                told += pipe.frame(Sent.of(peer.render(frame), frame), fate, 0, mischief.spoil(fate))
    return [number for one in told if (number := number_of(json.loads(one.payload))) is not None]


COINBASE = [
    {"type": "subscribe", "product_ids": ["BTC-USDT"], "channel": channel}
    for channel in ("level2", "market_trades")
]
BITFINEX = [
    {"event": "conf", "flags": 65536 + 131072},
    {"event": "subscribe", "channel": "book", "symbol": "tBTCUST", "len": 250},
    {"event": "subscribe", "channel": "trades", "symbol": "tBTCUST"},
]


def coinbase_number(message):
    return message.get("sequence_num")


def bitfinex_number(message):
    return message[-1] if isinstance(message, list) else None


@pytest.mark.parametrize("channel", ["depth", "trade"])
@pytest.mark.parametrize(
    ("name", "requests_", "number_of"),
    [("coinbase", COINBASE, coinbase_number), ("bitfinex", BITFINEX, bitfinex_number)],
)
def test_a_dropped_frame_is_a_hole_in_the_numbers_of_its_connection(name, requests_, number_of, channel):
    """The exchange has numbered it: it is the network that loses it."""
    numbers = numbers_behind(name, requests_, number_of, "drop_frames", channel)
    assert len(numbers) > 100
    steps = [later - earlier for earlier, later in pairwise(numbers)]
    assert sorted(set(steps)) == [1, 2]
    assert steps.count(2) == 1


def test_frames_repeated_and_swapped_come_as_they_were():
    numbers = numbers_behind("coinbase", COINBASE, coinbase_number, "repeat_frames", "depth")
    assert sorted(later - earlier for earlier, later in pairwise(numbers))[:2] == [0, 1]
    swapped = numbers_behind("coinbase", COINBASE, coinbase_number, "swap_frames", "depth")
    assert sorted(swapped) == list(range(len(swapped)))
    assert swapped != sorted(swapped)


@pytest.mark.parametrize("name", NAMES)
def test_a_corrupt_frame_can_be_read_by_nobody(name):
    """Whatever the seed: it is cut, or begins as no message begins. A book of it is blind, a trade of it lost."""
    for seed in range(3):
        day = [Mishap(3 * SECOND_US, "corrupt_frames", "BTCUSDT", "depth", seed=seed)]
        world = World(name, 3, seconds=5, day=day).run()
        opened = [gap for gap in world.gaps() if gap.symbol == "BTCUSDT" and gap.until_time is None]
        assert [gap.reason for gap in opened] == ["sequence_gap"]
        assert world.differences == []


@pytest.mark.parametrize("name", NAMES)
def test_a_market_without_news_for_more_than_a_minute_keeps_its_connection(name):
    """Nine say something all the same, or answer pings with frames. Binance's pings are the socket's own."""
    world = World(
        name, 5, seconds=10, rate=40, day=[Mishap(4 * SECOND_US, "quiet", lasts_us=75 * SECOND_US)]
    ).run()
    assert len(world.producer.ever) == 1
    assert world.differences == []
    assert {one.reason for one in world.gaps()} == ({"stale"} if name == "binance" else set())
    assert all(world.slot.shown(symbol) is not None for symbol in SYMBOLS), "live again with the next update"
    assert world.trades() == world.sent_trades


@pytest.mark.parametrize("name", NAMES)
def test_a_half_open_connection_is_noticed_by_silence_or_by_pings(name):
    """Pings go out each 20 s and are waited for as long: that of 20 s gives the connection up at 40 s."""
    day = [Mishap(5 * SECOND_US, "half_open", lasts_us=999 * SECOND_US)]
    world = World(name, 5, seconds=48, rate=40, day=day).run()
    first, second = world.producer.ever
    silence_us = round(load(name).silence_seconds * SECOND_US)
    noticed_us = min(5 * SECOND_US + silence_us, 40 * SECOND_US) + SECOND_US
    opened = [one for one in world.gaps() if one.until_time is None]
    assert sorted(one.symbol for one in opened) == list(SYMBOLS)
    assert {one.reason for one in opened} == {"stale" if silence_us < 35 * SECOND_US else "disconnected"}
    assert all(one.timestamp <= START_US + noticed_us for one in opened)
    assert not first.is_open
    assert second.is_open
    assert all(world.slot.shown(symbol) is not None for symbol in SYMBOLS)
    assert world.differences == []


@pytest.mark.parametrize("name", ["binance", "bitfinex", "huobi", "okx"])
def test_a_farewell_leaves_no_gap(name):
    """The old connection stays until the new one's books are proven, though those were confirmed sooner."""
    day = [Mishap(4 * SECOND_US, "farewell", code=1001, lasts_us=8 * SECOND_US)]
    for seed in range(3):
        world = World(name, seed, seconds=12, day=day).run()
        first, second = world.producer.ever
        assert not first.is_open
        assert second.is_open
        assert world.gaps() == []
        assert world.differences == []
        assert world.trades() == world.sent_trades


@pytest.mark.parametrize("name", ["binance", "kucoin", "mexc"])
def test_a_refusal_by_rest_is_obeyed_to_the_second(name):
    day = [
        Mishap(4 * SECOND_US, "refuse_rest", code=429, lasts_us=3_400_000),
        Mishap(4 * SECOND_US, "drop_frames", "BTCUSDT", "depth"),
    ]
    world = World(name, 5, seconds=12, day=day).run()
    asked = [at_us - START_US for at_us, _ in world.producer.fetches_us if at_us - START_US > 4 * SECOND_US]
    # What was asked before the refusal was known is asked already; then nothing before the time that it names.
    later = [at_us for at_us in asked if at_us > asked[0] + 300_000]
    assert 4 * SECOND_US < asked[0] < 7_400_000 <= later[0]
    assert world.slot.shown("BTCUSDT") is not None


def test_doors_are_shut_for_their_time_and_say_how_long():
    mischief, asked = Mischief(venue_of("binance").source.wire), []

    def answer():
        asked.append(1)
        return Answer(200, f'{{"body":{len(asked)}}}', symbol="BTCUSDT")

    def ask(now_us):
        return mischief.rest("/depth", {"symbol": "BTCUSDT"}, now_us, answer)

    assert ask(0) == (Answer(200, '{"body":1}', symbol="BTCUSDT"), 0)
    mischief.arm(Mishap(0, "refuse_rest", code=429, lasts_us=1_500_000), 0)
    refused, late_us = ask(0)
    assert (refused.status, refused.headers, late_us) == (429, {"Retry-After": "2"}, 0)
    assert ask(1_500_000)[0].body == '{"body":2}'
    mischief.arm(Mishap(0, "old_snapshot", lasts_us=1_000_000), 2_000_000)
    assert [ask(2_000_000)[0].body, ask(2_999_999)[0].body] == ['{"body":2}', '{"body":2}']
    assert ask(3_000_000)[0].body == '{"body":3}'
    mischief.arm(Mishap(0, "slow_rest", lasts_us=2_000_000), 4_000_000)
    assert ask(4_500_000) == (Answer(200, '{"body":4}', symbol="BTCUSDT"), 1_500_000)
    mischief.arm(Mishap(0, "fail_rest", code=200, lasts_us=1_000_000), 7_000_000)
    assert ask(7_000_000)[0].body == '{"bod', "half of it"
    mischief.arm(Mishap(0, "refuse_connect", code=403, lasts_us=1_000_000), 9_000_000)
    assert mischief.handshake(9_999_999).status == 403
    assert mischief.handshake(10_000_000) is None


def test_a_stalled_socket_brings_all_at_once_and_a_dead_one_nothing():
    pipe, one, two = Pipe(), Sent.of("one"), Sent.of("two")
    assert pipe.is_clear
    pipe.stall(5)
    assert pipe.replies([one], 1) == []
    assert pipe.due(4) == []
    assert pipe.replies([two], 5) == [one, two], "in order"
    assert pipe.is_clear
    pipe.mute(10)
    assert not pipe.answers('{"op":"ping"}', 9)
    assert pipe.answers('{"op":"subscribe"}', 9)
    assert not pipe.pongs(9)
    assert pipe.pongs(10)
    pipe.is_dead = True
    assert pipe.replies([one], 11) == []
    assert not pipe.answers('{"op":"subscribe"}', 11)


def gap(symbol="BTCUSDT", reason="sequence_gap", at=100, since=90, until=None):
    return Gap(symbol, "binance", at if until is None else until, since, until, reason, None, "")


def test_the_verdict_wants_one_gap_for_a_mishap_and_one_mishap_for_a_gap():
    lost = Dealt("drop_frames", ("BTCUSDT",), 95, 95, ("sequence_gap",), ("BTCUSDT",))
    both = [gap(), gap(until=200)]
    assert unexplained(both, [lost]) == []
    assert len(unexplained([], [lost])) == 1, "nothing was announced"
    assert len(unexplained(both, [])) == 1, "nothing was lost"
    assert len(unexplained([gap(reason="checksum")], [lost])) == 1, "another reason"
    assert len(unexplained([gap(symbol="ETHUSDT")], [lost])) == 2, "another symbol"
    assert len(unexplained([gap(since=96)], [lost])) == 2, "another range"
    assert len(unexplained([*both, gap(at=300, since=250)], [lost])) == 1, "a second one"


def test_the_verdict_wants_a_book_back_in_time():
    lost = Dealt("slow_rest", ("BTCUSDT",), 95, 1_000, ("sequence_gap",))
    assert late([gap(), gap(until=6_000)], [lost], [], 99_999, 5_000) == []
    assert len(late([gap(), gap(until=6_001)], [lost], [], 99_999, 5_000)) == 1
    assert late([gap(), gap(until=6_001)], [lost], [(500, 1_001)], 99_999, 5_000) == [], "a wait drawn before"
    assert len(late([gap()], [lost], [], 99_999, 5_000)) == 1, "never back"
    gone = Dealt("delist", ("BTCUSDT",), 95, 1_000)
    assert late([gap()], [lost, gone], [], 99_999, 5_000) == []
