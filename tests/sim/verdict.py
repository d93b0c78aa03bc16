"""One seed of one exchange, and what must hold of it."""

from __future__ import annotations

from collections import Counter

import msgspec

from COBY.records import UNITS, BookTick, Gap
from COBY.symbol_states import DeadLetter
from simulator.exchanges import EXCHANGES
from simulator.exchanges.okx_wire import OkxWire
from simulator.mishaps import Mishap, bad_day, kinds_of
from simulator.sources import seeded
from simulator.wire import Wire
from tests.sim.bounds import bounds
from tests.sim.dealt import AFTERWARDS, late, unexplained
from tests.sim.virtual import SYMBOLS, World

LIVE_SHARE = 0.999
PER_MINUTE = 40.0
"""Mishaps on a bad day: some seven in twenty seconds, of which ten are left alone."""
LIVE_AGAIN_US = 5_000_000


class Verdict(msgspec.Struct, frozen=True):
    """What came of a seed; ``faults`` is empty if all is well."""

    exchange: str
    seed: int
    updates: int
    trades: int
    faults: tuple[str, ...]
    mishaps: int = 0


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
    sent_volume = sum(world.made[key] for key in world.sent_trades)
    if (volume := _bar_volume(world)) != sent_volume:
        faults.append(f"bars of {volume / UNITS}, trades of {sent_volume / UNITS}")
    return Verdict(exchange, seed, live + blind, len(world.sent_trades), tuple(faults))


def judge_bad(exchange: str, seed: int, seconds: int = 20, per_minute: float = PER_MINUTE) -> Verdict:
    """A bad day of a seed: no book is ever wrong and live; each gap has its mishap, and each mishap its gap.

    Besides: live again in time, no trade doubled, none lost but those that never arrived, requests and state bounded.
    """
    wire = wire_of(exchange, seed)
    day = mishaps_of(exchange, seed, seconds, per_minute)
    world = World(exchange, seed, seconds, wire=wire, day=day).run()
    faults = list(world.differences[:3]) + unexplained(world.gaps(), world.dealt)[:3]
    faults += late(world.gaps(), world.dealt, world.producer.waits, world.end_us, LIVE_AGAIN_US)[:3]
    faults += _reasons(world)[:3] + _trades(world) + bounds(world)
    return Verdict(
        exchange, seed, world.updates.total(), len(world.sent_trades), tuple(faults), len(world.dealt)
    )


def mishaps_of(exchange: str, seed: int, seconds: int, per_minute: float) -> list[Mishap]:
    """The bad day of a seed."""
    kind = EXCHANGES[exchange]
    source = seeded(exchange, wire_of(exchange, seed) or kind.wire(), seed, SYMBOLS, 100, 1)
    return bad_day(seed, per_minute, seconds, SYMBOLS, kinds_of(kind(source, kind.LIMITS)))


def _reasons(world: World) -> list[str]:
    """Blind ticks that say something else than what was dealt, or follows from it."""
    wrong = []
    since = {symbol: {"never_connected"} for symbol in SYMBOLS}
    dealt = sorted(world.dealt, key=lambda one: one.at_us)
    for tick in (one for one in world.records if isinstance(one, BookTick)):
        while dealt and dealt[0].at_us <= tick.timestamp:
            one = dealt.pop(0)
            for symbol in one.symbols:
                since[symbol] |= set(one.reasons).union(*(AFTERWARDS.get(why, ()) for why in one.reasons))
                since[symbol] |= {"not_listed"} if one.kind == "delist" else set()
        if tick.reason is not None and tick.reason not in since[tick.symbol]:
            wrong.append(f"{tick.symbol} blind at {tick.timestamp}: {tick.reason}")
    return wrong


def _trades(world: World) -> list[str]:
    """Doubled, lost or invented ones. History may bring some that never arrived at their time."""
    accepted, wrong = Counter(world.trades()), []
    if doubled := [key for key, count in accepted.items() if count > 1]:
        wrong.append(f"{len(doubled)} trades doubled, as {doubled[0]}")
    if lost := set(world.sent_trades) - accepted.keys():
        wrong.append(f"{len(lost)} trades lost, as {min(lost)}")
    if invented := accepted.keys() - world.made.keys():
        wrong.append(f"{len(invented)} trades invented, as {min(invented)}")
    if not wrong and _bar_volume(world) != sum(world.made[key] for key in accepted):
        wrong.append(f"bars of {_bar_volume(world) / UNITS}")
    return wrong


def _bar_volume(world: World) -> int:
    """Units in the bars of the ticks, which candles are made of."""
    return sum(bar.volume for tick in world.records if isinstance(tick, BookTick) for bar in tick.bars)
