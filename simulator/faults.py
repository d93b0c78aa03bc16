"""Deals mishaps to a running exchange: on demand, or those of a bad day at their market time."""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from simulator.conn import Conn
from simulator.errors import SimulatorError
from simulator.exchanges.kraken_wire import KrakenWire
from simulator.hub import Hub, now_ms, now_us
from simulator.market import Market
from simulator.mischief import REFUSED, Mischief
from simulator.mishaps import DOORS, FRAMES, SECOND_US, Mishap, kinds_of
from simulator.runner import Runner
from simulator.sources import Source
from simulator.venue import Venue
from simulator.wire import Frame

TURN_SECONDS = 0.02
GRID = 10
CLOSE_CODE = 1001
STATUS = {"refuse_connect": 429, "refuse_rest": 429, "fail_rest": 503}
TIMED = ("delay", "quiet", "price_run")
"""These are nothing without a time; half-open without one is half-open for good."""


class Faults:
    """One exchange's. `deal` returns what it did; `run` is to run beside the market."""

    def __init__(
        self, venue: Venue, hub: Hub, runner: Runner, mischief: Mischief, day: Iterable[Mishap] = ()
    ) -> None:
        self._venue, self._hub, self._runner, self._mischief = venue, hub, runner, mischief
        # Endless for an endless market.
        self._day = iter(day)
        self._next = next(self._day, None)
        self._later: list[tuple[float, int, Callable[[], Awaitable[object]]]] = []
        self._count = 0
        hub.on_subscribed = self._subscribed

    @property
    def kinds(self) -> tuple[str, ...]:
        """The mishaps that this exchange can have."""
        return kinds_of(self._venue)

    async def run(self) -> None:
        """What is due: mishaps of the day, and the ends of those that last."""
        while True:
            await asyncio.sleep(TURN_SECONDS)
            while self._later and self._later[0][0] <= time.monotonic():
                await heapq.heappop(self._later)[2]()
            while self._next is not None and self._is_due(self._next):
                mishap, self._next = self._next, next(self._day, None)
                effect = await self.deal(mishap)
                self._hub.ledger.event("fault", now_ms(), kind=mishap.kind, **effect)

    def _is_due(self, mishap: Mishap) -> bool:
        return self._runner.state == "running" and mishap.at_us <= self._runner.position_us

    def check(self, mishap: Mishap) -> None:
        """SimulatorError `fault_unknown`, `fault_invalid`, `symbol_unknown`."""
        kind, source = mishap.kind, self._venue.source
        if kind not in self.kinds:
            raise SimulatorError("fault_unknown", kind, allowed=self.kinds)
        if mishap.symbol is not None and mishap.symbol not in source.symbols:
            raise SimulatorError("symbol_unknown", mishap.symbol, allowed=source.symbols)
        if mishap.count < 1 and kind != "price_run":
            raise SimulatorError("fault_invalid", f"count {mishap.count}", allowed=["1 and more"])
        if mishap.channel not in ("", "depth", "trade"):
            raise SimulatorError("fault_invalid", f"channel {mishap.channel}", allowed=["depth", "trade"])
        if mishap.lasts_us < 0 or (not mishap.lasts_us and kind in (*TIMED, *DOORS)):
            raise SimulatorError("fault_invalid", f"{kind} for no time", allowed=["seconds above 0"])
        is_close = kind in ("disconnect", "farewell")
        if is_close and not (
            mishap.code in (1000, 1001, 1008, 1011, 1012, 1013) or 3000 <= mishap.code < 5000
        ):
            raise SimulatorError("fault_invalid", f"code {mishap.code}", allowed=["a WebSocket close code"])
        if kind in STATUS and mishap.code != 200 and mishap.code not in REFUSED:
            raise SimulatorError("fault_invalid", f"code {mishap.code}", allowed=map(str, REFUSED))

    async def deal(self, mishap: Mishap) -> dict[str, Any]:
        """Now. Returns what it did, for the ledger."""
        kind, lasts_us = mishap.kind, mishap.lasts_us
        if kind in FRAMES or kind in DOORS or kind == "stale_trades":
            self._mischief.arm(mishap, now_us())
            if kind == "old_snapshot":
                self._venue.copies_held_until_us = now_us() + lasts_us
            return {"count": mishap.count} if kind in FRAMES else {}
        if kind in ("quiet", "price_run", "tick_size", "delist"):
            await self._market(mishap)
            return {}
        if kind == "disconnect":
            return {"closed": await self._hub.close_all("fault", mishap.code or CLOSE_CODE, "fault")}
        return {"sockets": await self._sockets(mishap)}

    async def _market(self, mishap: Mishap) -> None:
        source, symbol, lasts_us = self._venue.source, mishap.symbol, mishap.lasts_us
        if mishap.kind == "quiet":
            source.twist(lambda market: market.quiet(lasts_us))
            return
        for name in source.symbols if symbol is None else (symbol,):
            if mishap.kind == "delist":
                source.delist(name)
            elif mishap.kind == "tick_size":
                await self._retick(source, name, GRID)
                self._after(lasts_us, partial(self._retick, source, name, 1))
            else:
                source.twist(_run(name, source.peek_us() or 0, mishap))

    async def _retick(self, source: Source, symbol: str, grid: int) -> None:
        """Orders on another grid of prices. Kraken says so, and writes its prices in other decimals from then on."""

        def place(market: Market) -> None:
            market.symbol(symbol).grid = grid

        source.twist(place)
        if isinstance(source.wire, KrakenWire):
            source.wire.finer[symbol] = 1 if grid > 1 else 0
        for conn in self._hub.conns():
            await self._hub.answer(conn, conn.peer.tick_changed(symbol, now_us()))

    async def _sockets(self, mishap: Mishap) -> int:
        """What befalls the sockets that are open now."""
        conns, until_us = self._hub.conns(), now_us() + mishap.lasts_us
        for conn in conns:
            if mishap.kind == "delay":
                conn.pipe.stall(until_us)
                self._after(mishap.lasts_us, partial(self._release, conn))
            elif mishap.kind == "silent_pings":
                conn.pipe.mute(until_us)
            elif mishap.kind == "reset":
                conn.abort("fault")
            elif mishap.kind == "half_open":
                conn.pipe.is_dead = True
                if mishap.lasts_us:
                    self._after(mishap.lasts_us, partial(_aborted, conn))
            else:
                await self._hub.answer(conn, conn.peer.farewell(now_us()))
                self._after(mishap.lasts_us, partial(conn.close, "farewell", mishap.code, "farewell"))
        return len(conns)

    async def _release(self, conn: Conn) -> None:
        self._hub.put(conn, conn.pipe.due(now_us()))
        conn.flush(self._hub.limits.unsent_bytes_max)

    def _subscribed(self, stream: str) -> list[Frame]:
        """What is sent once more to who has just subscribed to a stream."""
        source = self._venue.source
        return [
            frame
            for symbol in source.symbols
            for frame in self._mischief.stale_trades(stream, source.trades(symbol))
        ]

    def _after(self, lasts_us: int, act: Callable[[], Awaitable[object]]) -> None:
        self._count += 1
        heapq.heappush(self._later, (time.monotonic() + lasts_us / SECOND_US, self._count, act))


async def _aborted(conn: Conn) -> None:
    conn.abort("fault")


def _run(symbol: str, begin_us: int, mishap: Mishap) -> Callable[[Market], None]:
    return lambda market: market.symbol(symbol).run(begin_us, mishap.lasts_us, mishap.count)
