"""What a check's connection must have shown, a line per rule. Pure: what was seen in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

from COBY.exchanges.base import Exchange
from producers.raw_stream import MAX_FRAME_BYTES
from producers.watch import Watch

OK, FAILED, NOT_APPLICABLE = "ok", "failed", "not applicable"
CLOCK_SECONDS = 5.0
"""The exchange's times may differ from ours by so much, in the median: more means a wrong clock, or a wrong unit."""
SIDES_LEAST = 50
"""Of fewer trades nothing is concluded from which side of the middle they were on."""
SIDES_SHARE = 0.25
SHOWN = 3
"""Gaps and rejected frames that are quoted."""
AFTER = ("acknowledgement", "snapshot", "continuity", "checksum", "trades", "clock", "limits")
"""The rules that a connection can be judged by, once it is open."""


class Seen(NamedTuple):
    """A check's connection: ``unreachable`` or ``ended`` say what went wrong, None if nothing.

    ``opened_seconds``: from the beginning to the open sockets; ``acknowledged`` (symbol, channel) -> seconds;
    ``refused`` symbol (None: the whole request) -> reason.
    """

    url: str
    opened_seconds: float
    unreachable: str | None
    ended: str | None
    acknowledged: Mapping[tuple[str, str], float]
    refused: Mapping[str | None, str]
    live: tuple[str, ...]
    seconds: float


class Finding(NamedTuple):
    """A rule, how it stands, and the figures."""

    rule: str
    state: str
    figures: str

    def line(self) -> str:
        """`continuity       ok              1,234 updates …`."""
        return f"{self.rule:16} {self.state:15} {' '.join(self.figures.splitlines())}".rstrip()


def findings(exchange: Exchange, watch: Watch, seen: Seen) -> list[Finding]:
    """One a rule, in order; without a connection nothing else can be said."""
    if seen.unreachable is not None:
        first = Finding("endpoint", FAILED, seen.unreachable)
        return [first, *(Finding(rule, NOT_APPLICABLE, "no connection") for rule in AFTER)]
    first = Finding("endpoint", OK, f"{seen.url} open after {seen.opened_seconds:.2f} s")
    rules = Rules(exchange, watch, seen)
    return [first, *(Finding(rule, *getattr(rules, rule)()) for rule in AFTER)]


Judged = tuple[str, str]
"""State and figures."""


class Rules(NamedTuple):
    """Each method is a rule."""

    exchange: Exchange
    watch: Watch
    seen: Seen

    def acknowledgement(self) -> Judged:
        wanted = [(symbol, channel) for symbol in self.watch.symbols for channel in ("book", "trade")]
        missing = [
            f"{channel} of {symbol}"
            for symbol, channel in wanted
            if (symbol, channel) not in self.seen.acknowledged
        ]
        refused = [
            f"{symbol or 'the request'} refused: {reason}" for symbol, reason in self.seen.refused.items()
        ]
        if missing or refused:
            unconfirmed = [f"not confirmed: {', '.join(missing)}"] if missing else []
            return FAILED, "; ".join([*refused, *unconfirmed])
        last = max(self.seen.acknowledged.values(), default=0.0)
        return OK, f"book and trades of {', '.join(self.watch.symbols)} confirmed after {last:.2f} s"

    def snapshot(self) -> Judged:
        told = [
            f"{symbol} {bids:,} + {asks:,} levels after {seconds:.2f} s"
            for symbol, (seconds, bids, asks) in sorted(self.watch.snapshots.items())
        ]
        known = self.watch.snapshots
        missing = [symbol for symbol in self.watch.symbols if symbol not in known]
        wrong = [f"none of {', '.join(missing)}"] * bool(missing)
        wrong += [f"an empty side of {one}" for one, (_, bids, asks) in known.items() if not bids or not asks]
        return (FAILED if wrong else OK), "; ".join([*wrong, *told])

    def continuity(self) -> Judged:
        blind = [symbol for symbol in self.watch.symbols if symbol not in self.seen.live]
        silent = [symbol for symbol in self.watch.symbols if not self.watch.updates[symbol]]
        wrong = [f"blind at the end: {', '.join(blind)}"] * bool(blind)
        wrong += [f"no update of {', '.join(silent)}"] * bool(silent)
        wrong += _counted("gaps", [f"{gap.symbol} {gap.reason}: {gap.detail}" for gap in self.watch.gaps])
        wrong += _counted("frames rejected", [f"{one.code}: {one.detail}" for one in self.watch.rejected])
        updates, books = self.watch.updates.total(), len(self.watch.symbols)
        figures = f"{updates:,} updates of {books} books, {self.watch.resynced} snapshots asked for"
        if wrong:
            return FAILED, "; ".join([*wrong, figures])
        return OK, f"{figures}; no gap, no frame rejected, all live at the end"

    def checksum(self) -> Judged:
        if self.exchange.checksum is None:
            return NOT_APPLICABLE, "the exchange has none"
        if not self.watch.checked:
            return NOT_APPLICABLE, "none was sent"
        wrong = [gap for gap in self.watch.gaps if gap.reason == "checksum"]
        figures = f"{self.watch.checked:,} compared, {len(wrong)} wrong"
        return (FAILED if wrong else OK), figures

    def trades(self) -> Judged:
        silent = [symbol for symbol in self.watch.symbols if not self.watch.trades[symbol]]
        counts = ", ".join(f"{self.watch.trades[symbol]:,} of {symbol}" for symbol in self.watch.symbols)
        buys, total = self.watch.sides["buy"], self.watch.trades.total()
        figures = f"{counts}; {buys:,} of {total:,} bought by the taker"
        fits, judged = self.watch.sides["fits"], self.watch.sides["fits"] + self.watch.sides["against"]
        if judged:
            figures += f", {fits:,} of {judged:,} on that side of the book's middle"
        if silent:
            return FAILED, f"none of {', '.join(silent)} (a quiet market? try more --seconds); {figures}"
        if judged >= SIDES_LEAST and fits < SIDES_SHARE * judged:
            return FAILED, f"the sides look turned round: {figures}"
        return OK, figures

    def clock(self) -> Judged:
        if not self.watch.ages_us:
            return NOT_APPLICABLE, "no update or trade with a time of the exchange's"
        ages = [age_us / 1e6 for age_us in self.watch.ages_us]
        middle, span = median(ages), f"{min(ages):.3f} to {max(ages):.3f}"
        figures = f"received {middle:.3f} s after the exchange's time (median of {len(ages):,}; {span})"
        if abs(middle) > CLOCK_SECONDS:
            return FAILED, f"{figures}; allowed: {CLOCK_SECONDS:g} s"
        return OK, figures

    def limits(self) -> Judged:
        symbols = f"{len(self.watch.symbols)} symbols of {self.exchange.symbols_per_slot} a connection"
        largest = f"the largest {self.watch.largest_bytes:,} bytes of {MAX_FRAME_BYTES:,}"
        figures = f"{symbols}; {self.watch.frames:,} frames, {largest}"
        wrong = [f"the connection ended after {self.seen.seconds:.1f} s: {self.seen.ended}"] * (
            self.seen.ended is not None
        )
        wrong += [f"{self.watch.oversize} frames too large"] * bool(self.watch.oversize)
        if wrong:
            return FAILED, "; ".join([*wrong, figures])
        return OK, f"{figures}; held for {self.seen.seconds:.1f} s"


def _counted(name: str, texts: Iterable[str]) -> list[str]:
    """`2 gaps (first; second)`, nothing for none."""
    known = list(texts)
    more = "; …" if len(known) > SHOWN else ""
    return [f"{len(known)} {name} ({'; '.join(known[:SHOWN])}{more})"] if known else []
