"""What sets the scene before a replay's first record: the candles that are open there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from COBY.ohlcv import TIMEFRAMES_US
from COBY.records import Candle

SMALLER = dict(zip(list(TIMEFRAMES_US)[1:], TIMEFRAMES_US, strict=False))
"""Timeframe -> the next smaller one, by which it is divided without a rest; 1s has none."""
Known = Mapping[tuple[str, int], Candle]
"""(Timeframe, start) -> the newest revision of a finished candle."""


def open_candles(candles: Iterable[Candle], at_us: int) -> list[Candle]:
    """The candles that are open at the stream time ``at_us`` (microseconds), by symbol, the shortest first.

    ``candles``: finished ones of any symbols and timeframes, in any order; those emitted at ``at_us`` or later are not
    looked at, and of each the newest revision counts. An open candle is composed from the largest finished pieces
    inside it (4h in 1d, 1h in 4h … 1s in 1m), each moment from one piece only; where a larger piece is not known,
    smaller ones stand for it, and a piece that is nowhere is left out: a candle without trades is never written. So an
    open candle tells of the trades up to about two seconds before ``at_us``, for later ones no candle is finished, and
    one without any trade so far is not there at all. ``revision`` is 0, ``complete`` False, ``received_at`` the
    newest T of its pieces. 1s has no pieces, and a candle that has ended and is not emitted yet is not open.
    """
    made = []
    for symbol, known in sorted(_newest(candles, at_us).items()):
        for timeframe, length_us in TIMEFRAMES_US.items():
            start_us = at_us // length_us * length_us
            pieces = list(_inside(known, timeframe, start_us, at_us))
            if pieces:
                made.append(_composed(symbol, timeframe, start_us, pieces))
    return made


def _newest(candles: Iterable[Candle], at_us: int) -> dict[str, dict[tuple[str, int], Candle]]:
    """Symbol -> its finished candles at that time."""
    found: dict[str, dict[tuple[str, int], Candle]] = {}
    for candle in candles:
        is_over = candle.timestamp + TIMEFRAMES_US[candle.timeframe] <= at_us
        if candle.received_at >= at_us or not is_over:
            continue
        known = found.setdefault(candle.symbol, {})
        place = candle.timeframe, candle.timestamp
        if place not in known or candle.revision >= known[place].revision:
            known[place] = candle
    return found


def _inside(known: Known, timeframe: str, start_us: int, at_us: int) -> Iterator[Candle]:
    """The largest finished pieces of the interval that begins at ``start_us``, by time."""
    smaller = SMALLER.get(timeframe)
    if smaller is None:
        return
    end_us = min(start_us + TIMEFRAMES_US[timeframe], at_us)
    for piece_us in range(start_us, end_us, TIMEFRAMES_US[smaller]):
        piece = known.get((smaller, piece_us))
        if piece is not None:
            yield piece
        else:
            yield from _inside(known, smaller, piece_us, at_us)


def _composed(symbol: str, timeframe: str, start_us: int, pieces: list[Candle]) -> Candle:
    return Candle(
        symbol=symbol,
        timestamp=start_us,
        timeframe=timeframe,
        open=pieces[0].open,
        high=max(piece.high for piece in pieces),
        low=min(piece.low for piece in pieces),
        close=pieces[-1].close,
        volume=sum(piece.volume for piece in pieces),
        trade_count=sum(piece.trade_count for piece in pieces),
        revision=0,
        complete=False,
        received_at=max(piece.received_at for piece in pieces),
    )
