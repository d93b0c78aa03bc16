"""Mishaps of the running simulator, seen from a client: on demand, and on a bad day."""

import asyncio
import json
from itertools import pairwise

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulator.mishaps import kinds_of
from tests.simulator_client import SEEDED, serving
from tests.waiting import until

LEVEL2 = {"type": "subscribe", "product_ids": ["BTC-USDT"], "channel": "level2"}


async def test_a_lost_message_is_a_hole_in_the_numbers_of_its_connection() -> None:
    async with serving(exchanges=("coinbase",), rate=200) as (server, reader):
        url, numbers = f"ws://127.0.0.1:{server.port}/coinbase/", []
        async with connect(url, max_size=None) as socket:
            await socket.send(json.dumps(LEVEL2))
            while 2 not in (steps := [later - earlier for earlier, later in pairwise(numbers)]):
                if len(numbers) == 10:
                    await reader.post("/_sim/fault", {"kind": "drop_frames", "symbol": "BTCUSDT"})
                numbers.append(json.loads(await socket.recv())["sequence_num"])
        assert set(steps) == {1, 2}
        ledger = (await reader.get("/_sim/ledger"))["exchanges"]["coinbase"]
        assert ledger["symbols"]["BTCUSDT"]["frames_dropped"] == 1


async def test_a_half_open_socket_says_nothing_until_it_is_cut_off() -> None:
    async with serving(rate=200) as (_, reader):
        async with reader.listening(SEEDED) as socket:
            await until(lambda: len(reader.texts) > 20)
            assert (await reader.post("/_sim/fault", {"kind": "half_open", "seconds": 0.5}))["sockets"] == 1
            await socket.send('{"method":"LIST_SUBSCRIPTIONS","id":9}')
            heard = len(reader.texts)
            await asyncio.wait_for(socket.wait_closed(), 10)
            # What was on its way when the fault began may have come still.
            assert len(reader.texts) - heard < 20
            assert not any('"id":9' in text for text in reader.texts)
            assert socket.close_code == 1006
        async with reader.listening(SEEDED):
            reader.texts.clear()
            await until(lambda: len(reader.texts) > 20)


async def test_a_stalled_socket_brings_everything_later_and_in_order() -> None:
    async with serving(rate=200, seconds=2) as (_, reader), reader.listening(SEEDED):
        await until(lambda: len(reader.texts) > 20)
        await reader.post("/_sim/fault", {"kind": "delay", "seconds": 0.4})
        await reader.state("ended")
        await until(lambda: len(reader.texts) == 400)
        depths = reader.data("btcusdt@depth@100ms")
        assert all(later["U"] == earlier["u"] + 1 for earlier, later in pairwise(depths))


async def test_who_is_refused_may_come_in_later() -> None:
    async with serving(rate=200) as (server, reader):
        url = f"ws://127.0.0.1:{server.port}/binance/ws"
        await reader.post("/_sim/fault", {"kind": "refuse_connect", "seconds": 0.5})
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)
        assert refused.value.response.status_code == 429
        for _ in range(100):
            try:
                async with connect(url) as socket:
                    assert await socket.ping()
                break
            except InvalidStatus:
                await asyncio.sleep(0.05)
        else:
            raise AssertionError("never let in")


async def test_rest_is_refused_with_the_time_to_wait() -> None:
    async with serving(rate=200) as (_, reader):
        url = f"{reader.base}/binance/api/v3/depth?symbol=BTCUSDT&limit=5"
        await reader.post("/_sim/fault", {"kind": "refuse_rest", "code": 418, "seconds": 20})
        async with reader.http.get(url) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (418, "20")


async def test_pings_may_stay_without_an_answer() -> None:
    async with (
        serving(rate=200) as (server, reader),
        connect(f"ws://127.0.0.1:{server.port}/binance/ws", ping_interval=None) as socket,
    ):
        await asyncio.wait_for(await socket.ping(), 10)
        await reader.post("/_sim/fault", {"kind": "silent_pings", "seconds": 60})
        pong = await socket.ping()
        # The answer to what was asked after the ping is here: that to the ping will not come.
        await socket.send('{"method":"LIST_SUBSCRIPTIONS","id":9}')
        assert json.loads(await socket.recv())["id"] == 9
        assert not pong.done()
        pong.cancel()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "wrong_checksum"}, "simulator.fault_unknown"),
        ({"kind": "price_run", "count": 5}, "simulator.fault_invalid"),
        ({"kind": "delay", "seconds": -1}, "simulator.fault_invalid"),
        ({"kind": "drop_frames", "channel": "books"}, "simulator.fault_invalid"),
        ({"kind": "refuse_rest", "code": 200, "seconds": 1, "symbol": "NOSUCH"}, "simulator.symbol_unknown"),
        ({"kind": "fail_rest", "code": 404, "seconds": 1}, "simulator.fault_invalid"),
    ],
)
async def test_a_mishap_that_can_not_be_is_answered_with_its_code(body, code) -> None:
    async with serving() as (_, reader), reader.http.post(f"{reader.base}/_sim/fault", json=body) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, code)


async def test_a_bad_day_is_dealt_at_its_market_time() -> None:
    """The first three, by the plan's own times, while a client comes and goes."""
    async with serving(rate=200, bad_day=3, bad_rate=60) as (server, reader):
        venue = server.instances["binance"].faults
        day = list(zip(range(3), server.options.day(venue.kinds), strict=False))
        url = f"ws://127.0.0.1:{server.port}/binance/stream?streams=" + "/".join(SEEDED)
        ledger = await reader.ledger()
        while len(events := [one for one in ledger["events"] if one["event"] == "fault"]) < len(day):
            try:
                async with connect(url) as socket:
                    await asyncio.wait_for(socket.wait_closed(), 0.1)
            except (ConnectionClosed, InvalidStatus, TimeoutError):
                pass
            ledger = await reader.ledger()
        assert [one["kind"] for one in events[:3]] == [mishap.kind for _, mishap in day]
        began = next(one["at_ms"] for one in ledger["events"] if one["event"] == "running")
        assert events[0]["at_ms"] - began >= day[0][1].at_us // 1000 - 20
        assert venue.kinds == kinds_of(venue._venue)
