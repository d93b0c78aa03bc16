"""What can go wrong with an exchange, and a bad day: which of it when, drawn from a seed. Pure.

Three kinds of mishaps: of single market frames, of the sockets there are at that moment, and of the exchange (its
doors, its market). Which of them an exchange can have is its own: see `kinds_of`.
"""

import random

import msgspec

from simulator.venue import Venue

SECOND_US = 1_000_000
FRAMES = ("drop_frames", "repeat_frames", "swap_frames", "corrupt_frames", "wrong_checksum")
SOCKETS = ("delay", "half_open", "silent_pings", "disconnect", "reset", "farewell")
DOORS = ("refuse_connect", "refuse_rest", "fail_rest", "slow_rest", "old_snapshot")
MARKET = ("quiet", "price_run", "tick_size", "stale_trades", "delist")
KINDS = (*FRAMES, *SOCKETS, *DOORS, *MARKET)
REST = ("refuse_rest", "fail_rest", "slow_rest")
BREAKS = ("half_open", "disconnect", "reset", "farewell", "refuse_connect", "stale_trades", "delist")
"""They end connections: a client who waits longer after each failure can't have many of them at once."""
BREAK_US = 9 * SECOND_US
BEGIN_US, REST_US = 4 * SECOND_US, 6 * SECOND_US
CLOSE_CODES = (1000, 1001, 1008, 1011, 1012, 1013, 4000)


class Mishap(msgspec.Struct, frozen=True):
    """`at_us` microseconds of market time, `lasts_us` so long.

    symbol: None is any, or all; channel: `depth` or `trade`, empty for either; count: of frames; code: of a close, or
    the status of an HTTP answer; seed: for what is random in it.
    """

    at_us: int
    kind: str
    symbol: str | None = None
    channel: str = ""
    count: int = 1
    code: int = 0
    lasts_us: int = 0
    seed: int = 0


def kinds_of(venue: Venue) -> tuple[str, ...]:
    """The mishaps an exchange can have: not all send checksums, say farewell or give books by REST."""
    absent = set()
    if not venue.source.wire.has_checksums:
        absent.add("wrong_checksum")
    if not venue.says_farewell:
        absent.add("farewell")
    if not venue.books_by_rest:
        absent.update(REST)
    if not venue.has_copies:
        absent.add("old_snapshot")
    return tuple(kind for kind in KINDS if kind not in absent)


def bad_day(
    seed: int, rate: float, seconds: int, symbols: tuple[str, ...], kinds: tuple[str, ...]
) -> list[Mishap]:
    """The mishaps of a day of so many seconds, by time.

    rate: of them a minute; the first comes after four seconds, the last six before the end. The kinds come in turn, in
    a shuffled order, those that end connections at most each nine seconds.
    """
    draw = random.Random(f"{seed}:bad day")
    day: list[Mishap] = []
    deck: list[str] = []
    at_us, broken_us = BEGIN_US, -BREAK_US
    is_listed = True
    while at_us <= seconds * SECOND_US - REST_US:
        while True:
            if not deck:
                deck = draw.sample(kinds, len(kinds))
            kind = deck.pop()
            if kind == "delist" and not (
                is_listed and at_us > seconds * SECOND_US // 2 and draw.randrange(3) == 0
            ):
                continue
            if kind not in BREAKS or at_us - broken_us >= BREAK_US:
                break
        if kind in BREAKS:
            broken_us = at_us
        is_listed = is_listed and kind != "delist"
        day += drawn(kind, at_us, symbols, draw)
        at_us += draw.randrange(200, 1_800) * 60 * SECOND_US // round(rate * 1_000)
    return sorted(day, key=lambda mishap: mishap.at_us)


def drawn(kind: str, at_us: int, symbols: tuple[str, ...], draw: random.Random) -> list[Mishap]:
    """One mishap with what it takes to be noticed: a closed door matters to who has to come in."""
    symbol, seed = draw.choice(symbols), draw.randrange(1 << 30)
    close = Mishap(at_us, "disconnect", code=draw.choice(CLOSE_CODES))
    tenths = SECOND_US // 10
    if kind in ("drop_frames", "repeat_frames", "swap_frames", "corrupt_frames"):
        channel = draw.choice(("depth", "depth", "trade"))
        return [Mishap(at_us, kind, symbol, channel, draw.choice((1, 1, 2, 3)), seed=seed)]
    if kind == "wrong_checksum":
        return [Mishap(at_us, kind, symbol, seed=seed)]
    if kind in ("delay", "silent_pings"):
        return [Mishap(at_us, kind, lasts_us=draw.randrange(2, 25) * tenths)]
    if kind == "half_open":
        return [Mishap(at_us, kind, lasts_us=draw.randrange(10, 40) * tenths)]
    if kind == "farewell":
        return [Mishap(at_us, kind, code=1001, lasts_us=draw.randrange(30, 50) * tenths)]
    if kind == "refuse_connect":
        status = draw.choice((429, 403, 503))
        return [Mishap(at_us, kind, code=status, lasts_us=draw.randrange(3, 12) * tenths), close]
    if kind in (*REST, "old_snapshot"):
        status = draw.choice((429, 418)) if kind == "refuse_rest" else draw.choice((500, 502, 503, 200))
        door = Mishap(at_us, kind, code=status, lasts_us=draw.randrange(5, 25) * tenths, seed=seed)
        return [door, Mishap(at_us, "drop_frames", symbol, "depth")]
    if kind in ("stale_trades", "delist"):
        return [Mishap(at_us, kind, symbol, count=draw.randrange(1, 6)), close]
    if kind == "disconnect":
        return [close]
    if kind == "quiet":
        return [Mishap(at_us, kind, lasts_us=draw.randrange(5, 40) * tenths)]
    if kind == "price_run":
        lasts_us = draw.randrange(20, 60) * tenths
        return [
            Mishap(at_us, kind, symbol, count=draw.choice((-1, 1)) * draw.randrange(2, 21), lasts_us=lasts_us)
        ]
    if kind == "tick_size":
        return [Mishap(at_us, kind, symbol, lasts_us=draw.randrange(10, 40) * tenths)]
    assert kind == "reset", kind
    return [Mishap(at_us, kind)]
