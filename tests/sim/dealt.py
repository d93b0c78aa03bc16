"""What a mishap does to a pipeline that does its duty: which books go blind, and with what reason. After the
exchanges' own rules (EXCHANGES.md), not after our decoders.
"""

from __future__ import annotations

from typing import NamedTuple

from COBY.records import Gap

COUNTED = ("bitfinex", "coinbase")
"""All messages of a connection have one count: a hole is one of all its books."""
LINKED = ("bitfinex", "bybit", "okx", "gateio", "huobi")
"""Each update must follow the very last one: one that comes twice is out of turn."""
UNNUMBERED = ("kraken",)
"""A checksum of the best levels is all there is."""
GAP, CHECKSUM, CLOSED = "sequence_gap", "checksum", "disconnected"
AFTERWARDS = {CLOSED: {"never_connected"}}
"""What a tick may say later in the same blindness."""


class Dealt(NamedTuple):
    """One mishap as it hit. ``reasons`` of blindness it may bring about; ``must``: of these symbols it has to."""

    kind: str
    symbols: tuple[str, ...]
    at_us: int
    end_us: int
    reasons: tuple[str, ...] = ()
    must: tuple[str, ...] = ()


def of_frame(
    exchange: str, kind: str, symbol: str, channel: str, symbols: tuple[str, ...], at_us: int
) -> Dealt:
    """A mishap of one market frame."""
    is_book, is_counted = channel == "depth", exchange in COUNTED
    whose = symbols if is_counted else (symbol,)
    reason = CHECKSUM if exchange in UNNUMBERED else GAP
    if kind == "wrong_checksum":
        return Dealt(kind, (symbol,), at_us, at_us, (CHECKSUM,), (symbol,))
    if kind == "corrupt_frames":
        # A frame nobody can read is noticed at once, also where nothing else would tell.
        must = symbols if is_counted else (symbol,) if is_book else ()
        # What is left of it may not say whose it was: then all books are doubted.
        return Dealt(kind, symbols, at_us, at_us, (GAP,), must)
    if not is_book and not is_counted:
        return Dealt(kind, (symbol,), at_us, at_us)
    if kind == "repeat_frames":
        harms = exchange in LINKED
        return Dealt(kind, whose, at_us, at_us, (GAP,) if harms else (), ())
    must = whose if kind == "drop_frames" and exchange not in UNNUMBERED else ()
    return Dealt(kind, whose, at_us, at_us, (reason,), must)


def unexplained(gaps: list[Gap], dealt: list[Dealt]) -> list[str]:
    """Gaps without a mishap of their own, and mishaps without a gap: one to one, by symbol, reason and range.

    A checksum may notice late what happened earlier. Of several mishaps within one gap the first has opened it.
    """
    wrong: list[str] = []
    opened = [gap for gap in gaps if gap.until_time is None]
    ends = {(gap.symbol, gap.from_time): gap.until_time for gap in gaps if gap.until_time is not None}
    used: set[tuple[int, str]] = set()
    for gap in opened:
        is_late = gap.reason == CHECKSUM
        # What was lost while the book was blind shows when a snapshot from before that has made it live.
        before = [
            other.from_time
            for other in opened
            if other.symbol == gap.symbol and ends.get((gap.symbol, other.from_time)) == gap.from_time
        ]
        since_us = min([gap.from_time, *before])
        own = [
            place
            for place, one in enumerate(dealt)
            if gap.symbol in one.symbols
            and gap.reason in one.reasons
            and (place, gap.symbol) not in used
            and one.at_us <= gap.timestamp
            and (is_late or since_us <= one.at_us)
        ]
        if own:
            used.add((own[0], gap.symbol))
        else:
            wrong.append(f"a gap nobody made: {gap}")
    for one in dealt:
        for symbol in one.must:
            covers = [
                gap
                for gap in opened
                if gap.symbol == symbol
                and gap.from_time <= one.at_us <= (ends.get((symbol, gap.from_time)) or one.at_us)
            ]
            if not covers:
                wrong.append(f"no gap of {symbol} for {one}")
    return wrong


def late(
    gaps: list[Gap], dealt: list[Dealt], waits: list[tuple[int, int]], end_us: int, most_us: int
) -> list[str]:
    """Gaps that lasted longer than allowed after the end of all mishaps within them.

    A wait that a refusal has brought about is part of it: it was drawn while the exchange said no.
    """
    wrong: list[str] = []
    ends = {(gap.symbol, gap.from_time): gap.until_time for gap in gaps if gap.until_time is not None}
    for gap in [gap for gap in gaps if gap.until_time is None]:
        until_us = ends.get((gap.symbol, gap.from_time)) or end_us
        if any(one.kind == "delist" and gap.symbol in one.symbols and one.at_us <= until_us for one in dealt):
            continue
        over_us = max(
            [
                gap.timestamp,
                *(one.end_us for one in dealt if one.at_us <= until_us and one.end_us > gap.from_time),
            ]
        )
        for since_us, wait_us in waits:
            if gap.from_time <= since_us <= over_us < wait_us:
                over_us = wait_us
        if until_us - over_us > most_us:
            wrong.append(f"blind for {(until_us - over_us) / 1e6:.2f} s after the last mishap: {gap}")
    return wrong
