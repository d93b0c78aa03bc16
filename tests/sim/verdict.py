"""One seed of one exchange, and what must hold of it."""

from __future__ import annotations

import msgspec

from COBY.records import UNITS, BookTick, Gap
from COBY.slot_state import DeadLetter
from simulator.exchanges.okx_wire import OkxWire
from simulator.wire import Wire
from tests.sim.virtual import SYMBOLS, World

LIVE_SHARE = 0.999


class Verdict(msgspec.Struct, frozen=True):
    """What came of a seed; ``faults`` is empty if all is well."""

    exchange: str
    seed: int
    updates: int
    trades: int
    faults: tuple[str, ...]


def wire_of(exchange: str, seed: int) -> Wire | None:
    """Every second market of the exchange that has given checksums up still sends them, as it did until 2025."""
    return OkxWire(checksums=True) if exchange == OkxWire.name and seed % 2 else None


def judge(exchange: str, seed: int, seconds: int = 20) -> Verdict:
    """Run a seed: each book as the simulator's after every update, live throughout, each trade once."""
    world = World(exchange, seed, seconds, wire=wire_of(exchange, seed)).run()
    faults = list(world.differences[:3])
    live, blind = world.updates["live"], world.updates["blind"]
    if live < LIVE_SHARE * (live + blind) or not live:
        faults.append(f"live at {live} of {live + blind} updates")
    if world.trades() != world.sent_trades or not world.sent_trades:
        faults.append(f"{len(world.trades())} trades of {len(world.sent_trades)}")
    faults += [f"{kind.__name__}: {world.of(kind)[0]}" for kind in (DeadLetter, Gap) if world.of(kind)]
    expected = {(symbol, channel) for symbol in SYMBOLS for channel in ("book", "trade")}
    if world.acknowledged != expected:
        faults.append(f"acknowledged {sorted(world.acknowledged)}")
    if (volume := _bar_volume(world)) != world.sent_volume:
        faults.append(f"bars of {volume / UNITS}, trades of {world.sent_volume / UNITS}")
    return Verdict(exchange, seed, live + blind, len(world.sent_trades), tuple(faults))


def _bar_volume(world: World) -> int:
    """Units in the bars of the ticks, which candles are made of."""
    return sum(bar.volume for tick in world.records if isinstance(tick, BookTick) for bar in tick.bars)
