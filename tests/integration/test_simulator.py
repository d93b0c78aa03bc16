"""The simulator as clients see it: books rebuilt from its REST and frames, in Decimal, must be its own."""

import asyncio
import gzip
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator.runner import Pace
from tests.simulator_client import SEEDED, Reader, Rebuilt, serving, shown
from tests.waiting import until

RECORDING = Path("binance") / "hftbacktest_btcusdt_651s.jsonl.gz"
RECORDED = ["btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@bookTicker"]


async def until_past(reader: Reader, bodies: dict[str, dict[str, Any]], count: int) -> None:
    """Until so many changes of each book have come that are newer than its body."""

    def past(symbol: str) -> int:
        last = bodies[symbol]["lastUpdateId"]
        return sum(data["U"] > last for data in reader.data(f"{symbol.lower()}@depth@100ms"))

    await until(lambda: all(past(symbol) >= count for symbol in bodies))


@pytest.mark.parametrize("rate", [500, 5000])
async def test_books_and_trades_of_a_seeded_market_equal_its_own_account(rate: int) -> None:
    # Endless, and ended by us: however late a body is asked for, changes follow it.
    async with serving(rate=rate) as (_, reader), reader.listening(SEEDED):
        await until(lambda: len(reader.texts) >= rate)
        bodies = {
            symbol: await reader.get(f"/binance/api/v3/depth?symbol={symbol}&limit=5000")
            for symbol in ("BTCUSDT", "ETHUSDT")
        }
        await until_past(reader, bodies, 3)
        await reader.post("/_sim/stop")
        ledger = await reader.state("stopped")
        assert len(reader.texts) == ledger["frames_sent"]
        for symbol, body in bodies.items():
            book = Rebuilt(body)
            for data in reader.data(f"{symbol.lower()}@depth@100ms"):
                book.apply(data)
            own = shown(await reader.get(f"/_sim/book?symbol={symbol}"))
            assert book.joined
            assert book.sequence == own.sequence == ledger["symbols"][symbol]["last_update_id"]
            assert book.within(book.covers) == own.within(book.covers)
            trades = reader.data(f"{symbol.lower()}@trade")
            assert [one["t"] for one in trades] == list(range(trades[0]["t"], trades[0]["t"] + len(trades)))
            sent = (await reader.get(f"/_sim/trades?symbol={symbol}"))["trades"]
            assert [(one["id"], one["price"], one["size"]) for one in sent] == [
                (str(one["t"]), one["p"], one["q"]) for one in trades
            ]
            assert Decimal(ledger["symbols"][symbol]["trade_size"]) == sum(
                Decimal(one["q"]) for one in trades
            )


async def test_the_book_of_any_earlier_sequence_number_can_be_asked_for() -> None:
    async with serving(rate=100, seconds=4) as (_, reader), reader.listening(SEEDED):
        book = Rebuilt(await reader.get("/binance/api/v3/depth?symbol=BTCUSDT&limit=5000"))
        start = book.sequence
        await reader.state("ended")
        depths = reader.data("btcusdt@depth@100ms")
        compared = 0
        for number, data in enumerate(depths):
            book.apply(data)
            if number % 7 == 0:
                then = await reader.get(f"/_sim/book?symbol=BTCUSDT&sequence={book.sequence}")
                assert then["sequence"] == book.sequence
                assert shown(then).within(book.covers) == book.within(book.covers)
                compared += 1
        assert compared == len(range(0, len(depths), 7)) >= 5
        amid = await reader.get(f"/_sim/book?symbol=BTCUSDT&sequence={depths[9]['u'] - 1}")
        assert amid["sequence"] == depths[8]["u"]
        assert (await reader.get(f"/_sim/book?symbol=BTCUSDT&sequence={start}"))["sequence"] == start
        for never, status, code in (
            (str(book.sequence + 1), 409, "simulator.sequence_unknown"),
            ("1", 409, "simulator.sequence_unknown"),
            ("-1", 400, "simulator.sequence_invalid"),
            ("many", 400, "simulator.sequence_invalid"),
        ):
            url = f"{reader.base}/_sim/book?symbol=BTCUSDT&sequence={never}"
            async with reader.http.get(url) as answer:
                told = await answer.json()
                assert (answer.status, told["code"]) == (status, code)
                assert status == 400 or told["sequence"] == book.sequence


async def test_the_seeded_ticker_agrees_with_the_book_rebuilt_from_depth() -> None:
    async with serving(rate=100) as (_, reader), reader.listening([*SEEDED, "btcusdt@bookTicker"]):
        await reader.heard("btcusdt@depth@100ms", 5)
        body = await reader.get("/binance/api/v3/depth?symbol=BTCUSDT&limit=5000")
        book = Rebuilt(body)
        await until_past(reader, {"BTCUSDT": body}, 25)
        await reader.post("/_sim/stop")
        await reader.state("stopped")
        tickers = {data["u"]: data for data in reader.data("btcusdt@bookTicker")}
        compared = 0
        for data in reader.data("btcusdt@depth@100ms"):
            book.apply(data)
            if book.joined:
                best = tickers[book.sequence]
                bid, ask = max(book.bids), min(book.asks)
                assert (bid, book.bids[bid]) == (Decimal(best["b"]), Decimal(best["B"]))
                assert (ask, book.asks[ask]) == (Decimal(best["a"]), Decimal(best["A"]))
                compared += 1
        assert compared >= 20


async def test_the_same_seed_sends_the_same_bytes() -> None:
    runs = []
    for _ in range(2):
        pace = Pace(settle_seconds=0.05, base_ms=1_700_000_000_000)
        async with serving(rate=300, seconds=1, seed=9, pace=pace) as (_, reader), reader.listening(SEEDED):
            await reader.state("ended")
            runs.append(reader.texts)
    assert runs[0] == runs[1]
    assert len(runs[0]) == 300


async def test_a_second_connection_gets_the_same_market_from_now_on() -> None:
    async with serving(rate=200) as (server, first), first.listening(SEEDED):
        await first.heard("btcusdt@trade", 20)
        second = Reader(server, first.http)
        async with second.listening(["btcusdt@trade"]):
            await second.heard("btcusdt@trade", 20)
            await first.post("/_sim/stop")
            while (ledger := await first.ledger())["state"] != "stopped":
                await asyncio.sleep(0.05)
            # What the ledger says was sent has come, here or there.
            await until(lambda: len(first.texts) + len(second.texts) == ledger["frames_sent"])
        trades = first.data("btcusdt@trade")
        later = second.data("btcusdt@trade")
        assert 20 <= len(later) < len(trades)
        assert later == trades[-len(later) :]
        assert ledger["symbols"]["BTCUSDT"]["frames"]["trade"] == len(trades) + len(later)
        assert ledger["symbols"]["BTCUSDT"]["trades"] == len(trades)


async def test_what_nobody_subscribed_to_is_not_sent() -> None:
    async with serving(rate=200, seconds=1) as (_, reader), reader.listening(["ethusdt@trade"]):
        ledger = await reader.state("ended")
        assert ledger["symbols"]["BTCUSDT"]["frames_sent"] == 0
        assert set(ledger["symbols"]["ETHUSDT"]["frames"]) == {"trade"}
        assert len(reader.texts) == ledger["frames_sent"] == 90


async def test_the_whole_recording_goes_through_byte_for_byte_in_under_a_minute(frames_dir: Path) -> None:
    """651 s: frames as in the file, a book that equals the recorded best prices at 1,072 update ids."""
    with gzip.open(frames_dir / RECORDING, "rt") as file:
        expected = [row["frame"] for row in map(json.loads, file) if row["dir"] == "in"]
    began = (
        time.process_time()
    )  # of work, ours and the simulator's: how long the machine stood does not count
    pace = Pace(speed=0, settle_seconds=0.1)
    async with (
        serving(recording=frames_dir / RECORDING, pace=pace) as (_, reader),
        reader.listening(RECORDED),
    ):
        book = Rebuilt(await reader.get("/binance/api/v3/depth?symbol=BTCUSDT&limit=5000"))
        ledger = await reader.state("ended", seconds=200)
        assert time.process_time() - began < 60
        assert reader.texts == expected
        tickers = {data["u"]: data for data in reader.data("btcusdt@bookTicker")}
        compared = 0
        for data in reader.data("btcusdt@depth@100ms"):
            book.apply(data)
            best = tickers.get(book.sequence) if book.joined else None
            if best:
                bid, ask = max(book.bids), min(book.asks)
                assert (bid, book.bids[bid]) == (Decimal(best["b"]), Decimal(best["B"]))
                assert (ask, book.asks[ask]) == (Decimal(best["a"]), Decimal(best["A"]))
                compared += 1
        own = shown(await reader.get("/_sim/book"))
        late = await reader.get("/binance/api/v3/depth?symbol=BTCUSDT&limit=1000")
    assert compared == 1_072
    assert (book.sequence, book.bids, book.asks) == (own.sequence, own.bids, own.asks)
    assert late["lastUpdateId"] == book.sequence
    assert [Decimal(price) for price, _ in late["bids"]] == sorted(book.bids, reverse=True)[:1000]
    assert ledger["symbols"]["BTCUSDT"]["frames"] == {"depth": 6_495, "trade": 19_904, "bookTicker": 73_174}
    assert ledger["symbols"]["BTCUSDT"]["trades"] == 19_904
    assert [event["event"] for event in ledger["events"]] == ["running", "ended"]


async def test_a_reconnecting_client_goes_on_in_the_recording_and_joins_a_rebuilt_book(
    frames_dir: Path,
) -> None:
    streams = RECORDED[:2]
    pace = Pace(speed=20, settle_seconds=0.05, snapshot_wait_seconds=0.2)
    depth = "btcusdt@depth@100ms"

    def span_ms() -> int:
        times = [data["E"] for data in reader.data(depth)]
        return times[-1] - times[0] if times else 0

    async with serving(recording=frames_dir / RECORDING, pace=pace) as (_, reader):
        began = time.monotonic()
        async with reader.listening(streams):
            await until(lambda: span_ms() > 60_000, 50)  # at its own pace it would take a minute
        seconds = time.monotonic() - began
        first = reader.data(depth)
        reader.texts.clear()
        async with reader.listening(streams):
            await reader.heard(depth, 3)
            body = await reader.get("/binance/api/v3/depth?symbol=BTCUSDT&limit=5000")
            book = Rebuilt(body)
            await until_past(reader, {"BTCUSDT": body}, 3)
            await reader.post("/_sim/stop")
            while (await reader.ledger())["state"] != "stopped":
                await asyncio.sleep(0.05)
            own = shown(await reader.get("/_sim/book"))
            await until(lambda: reader.data(depth)[-1]["u"] == own.sequence)
        second = reader.data(depth)
    # Twenty times the recorded pace, and never faster.
    assert first[-1]["E"] - first[0]["E"] <= 20 * 1_000 * seconds
    assert second[0]["U"] > first[-1]["u"]
    for data in second:
        book.apply(data)
    assert book.joined
    assert (book.sequence, book.bids, book.asks) == (own.sequence, own.bids, own.asks)
    assert not {data["u"] for data in first} & {data["u"] for data in second}


async def test_a_recording_waits_for_its_body_to_be_fetched(frames_dir: Path) -> None:
    pace = Pace(speed=0, settle_seconds=0.05, snapshot_wait_seconds=250)
    stream = "btcusdt@depth@100ms"
    async with (
        serving(recording=frames_dir / RECORDING, pace=pace) as (_, reader),
        reader.listening([stream]),
    ):
        # The update with id 50093239219, the one after the body's, is the last that joins it.
        await until(lambda: reader.data(stream) and reader.data(stream)[-1]["u"] >= 50093239224)
        await asyncio.sleep(0.5)
        assert reader.data(stream)[-1]["u"] == 50093239224, "it waits"
        body = await reader.get("/binance/api/v3/depth?symbol=BTCUSDT&limit=5000")
        assert body["lastUpdateId"] == 50093239218
        await until(lambda: len(reader.texts) > 100)
