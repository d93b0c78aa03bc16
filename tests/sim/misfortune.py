"""Deals mishaps to a virtual world, and notes what each of them must bring about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.exchanges.kraken_wire import KrakenWire
from simulator.market import Market
from simulator.mishaps import DOORS, FRAMES, Mishap
from simulator.wire import Frame as SentFrame
from tests.sim.dealt import CLOSED, GAP, Dealt, of_frame

if TYPE_CHECKING:
    from tests.sim.producer import Link
    from tests.sim.virtual import World

GRID = 10


class Misfortune:
    """Of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def deal(self, mishap: Mishap) -> None:
        """At its time."""
        world, now_us = self._world, self._world.now_us
        if mishap.kind in FRAMES or mishap.kind in DOORS or mishap.kind == "stale_trades":
            world.mischief.arm(mishap, now_us)
            if mishap.kind in DOORS:
                self._note(mishap)
            if mishap.kind == "old_snapshot":
                world.venue.copies_held_until_us = now_us + mishap.lasts_us
        elif mishap.kind == "quiet":
            world.source.twist(lambda market: market.quiet(mishap.lasts_us))
            self._note(mishap)
        elif mishap.kind == "price_run":
            self._run(mishap)
        elif mishap.kind == "tick_size":
            self._retick(mishap.symbol or "", GRID, mishap)
            world.after(mishap.lasts_us, lambda: self._retick(mishap.symbol or "", 1, mishap))
        elif mishap.kind == "delist":
            world.source.delist(mishap.symbol or "")
            world.dealt.append(Dealt(mishap.kind, (mishap.symbol or "",), now_us, world.end_us))
        else:
            self._sockets(mishap)

    def hit(self, frame: SentFrame, fate: str, listeners: list[tuple[Link, int]]) -> None:
        """A frame is about to meet its fate."""
        world = self._world
        channel = "depth" if frame.last_id or frame.trade is None else "trade"
        at_us = max(world.now_us, min(link.pipes[number].stalled_us for link, number in listeners))
        one = of_frame(world.name, fate, frame.symbol, channel, tuple(world.symbols.values()), at_us)
        # Where another connection is about to take over, or none gets through, nobody has to notice; nor where an
        # answer of REST overtakes what a stall holds back.
        if (
            len(world.producer.links) > 1
            or any(link.says_farewell or link.pipes[at].is_dead for link, at in listeners)
            or (at_us > world.now_us and world.producer.fetches_us)
        ):
            one = one._replace(must=())
        world.dealt.append(one)

    def _note(self, mishap: Mishap, reasons: tuple[str, ...] = (), symbols: tuple[str, ...] = ()) -> None:
        now_us, every = self._world.now_us, tuple(self._world.symbols.values())
        self._world.dealt.append(
            Dealt(mishap.kind, symbols or every, now_us, now_us + mishap.lasts_us, reasons)
        )

    def _run(self, mishap: Mishap) -> None:
        world, symbol = self._world, mishap.symbol or ""
        begin_us = world.source.peek_us() or 0
        world.source.twist(lambda market: market.symbol(symbol).run(begin_us, mishap.lasts_us, mishap.count))
        self._note(mishap)

    def _retick(self, symbol: str, grid: int, mishap: Mishap) -> None:
        """Kraken says so, and writes its prices in other decimals from then on: books begin anew."""
        world, wire = self._world, self._world.source.wire

        def place(market: Market) -> None:
            market.symbol(symbol).grid = grid

        world.source.twist(place)
        reasons: tuple[str, ...] = ()
        if isinstance(wire, KrakenWire):
            wire.finer[symbol] = 1 if grid > 1 else 0
            world.chronicles[symbol].begin()
            reasons = (GAP,)
        links = list(world.producer.links)
        # Told behind what a stall holds back.
        stalled = [pipe.stalled_us for link in links for pipe in link.pipes]
        at_us = max(world.now_us, min(stalled, default=0))
        world.dealt.append(Dealt(mishap.kind, (symbol,), at_us, at_us, reasons))
        for link in links:
            for number, peer in enumerate(link.peers):
                world.reply(link, number, peer.tick_changed(symbol, world.now_us))

    def _sockets(self, mishap: Mishap) -> None:
        """What befalls the sockets that are open now."""
        world, links = self._world, list(self._world.producer.links)
        until_us = world.now_us + mishap.lasts_us
        if mishap.kind in ("disconnect", "reset"):
            for link in links:
                self._end(link, mishap)
            return
        self._note(mishap)
        for link in links:
            for number, pipe in enumerate(link.pipes):
                if mishap.kind == "delay":
                    pipe.stall(until_us)
                elif mishap.kind == "silent_pings":
                    pipe.mute(until_us)
                elif mishap.kind == "half_open":
                    pipe.is_dead = True
                else:
                    assert mishap.kind == "farewell", mishap
                    world.reply(link, number, link.peers[number].farewell(world.now_us))
        if mishap.kind == "delay":
            world.after(mishap.lasts_us, lambda: self._release(links))
        elif mishap.kind in ("half_open", "farewell"):
            world.after(mishap.lasts_us, lambda: [self._end(link, mishap) for link in links])

    def _release(self, links: list[Link]) -> None:
        for link in links:
            for number, pipe in enumerate(link.pipes):
                self._world.deliver(link, number, pipe.due(self._world.now_us))

    def _end(self, link: Link, mishap: Mishap) -> None:
        world = self._world
        if not link.is_open:
            return
        every = tuple(world.symbols.values())
        is_last = len(world.producer.links) == 1
        world.dealt.append(
            Dealt(mishap.kind, every, world.now_us, world.now_us, (CLOSED,), every if is_last else ())
        )
        world.producer.ended(link, mishap.kind)
