"""Whose book or trades a frame is, on all ten exchanges: the simulator's frames, and recorded ones as the decoders read
them. And a channel that the exchange has forgotten: it is subscribed anew."""

import asyncio
from collections import Counter

import pytest

from COBY.channels import by_number
from COBY.exchanges import load
from COBY.exchanges.base import Delta, Snapshot, Trade
from COBY.inflation import inflated
from simulator.exchanges import EXCHANGES
from simulator.sources import seeded
from tests.virtual_producers import House, producing, run
from tests.waiting import until

SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUIET_TRADE_SECONDS = 40.0  # here; what it is for real: tests/unit/test_silence.py


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_frames_of_the_simulator_are_told_apart(name):
    async def live():
        house, wrong, told = House(name, SYMBOLS, rate=12), [], Counter()
        exchange = load(name)
        async with producing([house], SYMBOLS) as (producer,):
            connector = producer.connectors[0]
            await until(lambda: len(producer.acknowledged()) == 4, 60)
            heard = connector.current._session.heard
            decoder = exchange.decoder({exchange.exchange_symbol(symbol): symbol for symbol in SYMBOLS})

            def look(record):
                found = heard(record.value) if record.kind == "ws" else None
                told[found] += 1
                if record.kind not in ("ws", "http"):
                    return
                for event in decoder.decode(record.value, record.kind, record.symbol, record.url):
                    if isinstance(event, Delta | Snapshot | Trade) and record.kind == "ws":
                        channel = (event.symbol, "trade" if isinstance(event, Trade) else "book")
                        if channel != found:
                            wrong.append((channel, found, record.value))

            connector.add_data_callback(look)
            playing = asyncio.create_task(house.play())
            await asyncio.sleep(15)
            playing.cancel()
        return wrong, told

    wrong, told = run(live())
    # A snapshot that comes on being asked for is no sign of the channel.
    assert [one for one in wrong if not (name == "huobi" and b'"rep"' in inflated(one[2]))] == []
    channels = {(symbol, channel) for symbol in SYMBOLS for channel in ("book", "trade")}
    assert set(told) <= channels | {None}
    assert all(told[channel] >= 5 for channel in channels), told


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_channels_that_the_exchange_forgot_are_subscribed_anew(name, monkeypatch):
    monkeypatch.setattr("producers.silence.QUIET_TRADE_SECONDS", QUIET_TRADE_SECONDS)
    forgotten = {("BTCUSDT", "trade"): QUIET_TRADE_SECONDS, ("ETHUSDT", "book"): load(name).silence_seconds}

    async def live():
        house = House(name, SYMBOLS, rate=4)
        loop, took = asyncio.get_running_loop(), {}
        async with producing([house], SYMBOLS) as (producer,):
            await until(lambda: len(producer.acknowledged()) == 4, 60)
            playing = asyncio.create_task(house.play())
            await asyncio.sleep(10)
            connection = producer.connectors[0].current
            heard, came = connection._session.heard, Counter()
            producer.connectors[0].add_data_callback(
                lambda record: came.update([heard(record.value)] if record.kind == "ws" else [])
            )
            streams = {channel: forget(house, channel) for channel in forgotten}
            gone, came[None] = loop.time(), 0
            while len(took) < 2:
                await asyncio.sleep(0.1)
                assert loop.time() < gone + 150
                for channel in forgotten:
                    if streams[channel] <= of_all(house):
                        took.setdefault(channel, loop.time() - gone)
            before = Counter(came)
            await until(lambda: all(came[channel] > before[channel] + 1 for channel in forgotten), 30)
            playing.cancel()
            asked = [
                producer.metrics.registry.get_sample_value(
                    "coby_silent_channels_total", {"exchange": name, "channel": channel}
                )
                for channel in ("book", "trade")
            ]
            return took, asked, producer.connectors[0].current is connection, house.broken

    took, asked, is_same, broken = run(live())
    for channel, seconds in forgotten.items():
        # Since the last frame, which was a little before; then the seconds between two requests, and the way there.
        assert seconds - 10 <= took[channel] <= seconds + 15
    assert (asked, is_same, broken) == ([1, 1], True, {})


def of_all(house):
    return {stream for socket in house.sockets for stream in socket.peer.streams}


def forget(house, channel):
    """The exchange serves the channel no more, and says nothing of it; what it serves on it, by stream."""
    streams = set()
    for socket in house.sockets:
        for stream in [one for one in socket.peer.streams if kind_of(house, one) == channel]:
            streams.add(stream)
            del socket.peer.streams[stream]
            if house.name == "bitfinex":  # it would still say of each channel that it is alive
                held = socket.peer._channels
                for number in [number for number, one in held.items() if one.stream == stream]:
                    del held[number]
    assert streams
    return streams


def kind_of(house, stream):
    """What a stream carries, by the market itself, run once more from its start."""
    kinds = house.__dict__.setdefault("kinds", {})
    if not kinds:
        kind = EXCHANGES[house.name]
        source = seeded(house.name, kind.wire(), 1, SYMBOLS, 4)
        while len(set(kinds.values())) < 4:
            for frame in source.take(0):
                kinds[frame.stream] = (frame.symbol, "trade" if frame.trade is not None else "book")
    return kinds.get(stream)


def test_numbers_are_looked_up_as_they_stand_then():
    ids = {("book", "tBTCUST"): 17}
    heard = by_number(ids, {"book": "book", "trades": "trade"}, {"tBTCUST": "BTCUSDT"})
    assert heard(b'[17,"hb",3]') == ("BTCUSDT", "book")
    assert heard(b"[18,[1,2,3]]") is None
    ids["trades", "tBTCUST"] = 18
    assert heard(b"[ 18 ,[1,2,3]]") == ("BTCUSDT", "trade")
    assert heard(b'{"event":"info"}') is None
    assert heard(b"[" + b"9" * 10_000) is None
