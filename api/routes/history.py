"""Rows of one table each: /v1/trades, /v1/ohlcv, /v1/gaps, /v1/continuity, /v1/quality."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Query, Response

from api.callers import require
from api.history.candles import longest_us
from api.history.reading import read_page
from api.history.tables import CANDLES, CONTINUITY, GAPS, QUALITY, TRADES, Resource
from api.known import known_exchange, known_symbol
from api.ranges import Range, answer, documented
from api.services import Services, services
from COBY.ohlcv import TIMEFRAMES_US

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[require("read")])

Use = Annotated[Services, Depends(services)]
Symbol = Annotated[str, Query(max_length=40, description="A symbol of /v1/symbols.")]
SomeSymbol = Annotated[str | None, Query(max_length=40, description="Of this symbol only.")]
SomeExchange = Annotated[str | None, Query(max_length=40, description="Of this exchange only.")]
Timeframe = Literal["1s", "1m", "5m", "15m", "1h", "4h", "1d"]
assert get_args(Timeframe) == tuple(TIMEFRAMES_US)


@router.get("/trades", response_class=Response, responses=documented(TRADES.columns))
async def trades(use: Use, wanted: Range, symbol: Symbol, exchange: SomeExchange = None) -> Response:
    """Trades by the exchanges' own time, at most a day of them; without `from` the last minute."""
    return await _rows(use, wanted, TRADES, symbol, exchange)


@router.get("/gaps", response_class=Response, responses=documented(GAPS.columns))
async def gaps(use: Use, wanted: Range, symbol: SomeSymbol = None, exchange: SomeExchange = None) -> Response:
    """Holes of which any part lies in the range, at most 31 days; `until_time` is null while one is open.

    Symbol `*` (its exchange is the partition of a topic) is of records that Kafka deleted before they were stored.
    """
    return await _rows(use, wanted, GAPS, symbol, exchange)


@router.get("/continuity", response_class=Response, responses=documented(CONTINUITY.columns))
async def continuity(
    use: Use, wanted: Range, symbol: SomeSymbol = None, exchange: SomeExchange = None
) -> Response:
    """Intervals in which books were proven without a break, of which any part lies in the range, at most 31 days.

    `sequenced` and `checked` count by what: updates that continued the sequence, checksums that held. `reason` is
    null while an interval goes on; its end is then at most a minute old.
    """
    return await _rows(use, wanted, CONTINUITY, symbol, exchange)


@router.get("/quality", response_class=Response, responses=documented(QUALITY.columns))
async def quality(
    use: Use, wanted: Range, symbol: SomeSymbol = None, exchange: SomeExchange = None
) -> Response:
    """What each minute of each book was worth, at most 31 days; `timestamp` is the minute's end."""
    return await _rows(use, wanted, QUALITY, symbol, exchange)


@router.get("/ohlcv", response_class=Response, responses=documented(CANDLES.columns))
async def ohlcv(
    use: Use,
    wanted: Range,
    symbol: Symbol,
    timeframe: Annotated[Timeframe, Query(description="Length of a candle.")] = "1m",
) -> Response:
    """Candles over all exchanges that begin in the range, at most 100,000 or five years; without `from` the last 1,000.

    There is no candle where there was no trade; `meta.gaps` lists where that is not known (`no_candle`).
    """
    name = known_symbol(use.cfg, symbol)
    names = {"symbol": name, "timeframe": timeframe}
    usual_us = min(1_000 * TIMEFRAMES_US[timeframe], longest_us(timeframe))
    walk = wanted.walk(
        {"resource": CANDLES.name, **names}, CANDLES.key_types, usual_us, longest_us(timeframe)
    )
    async with use.pages.one():
        page = await read_page(use.pool, CANDLES, names, walk, (name,), use.cfg.store_interval_us)
        return await answer(page, wanted)


async def _rows(
    use: Services, wanted: Range, resource: Resource, symbol: str | None, exchange: str | None
) -> Response:
    names = {
        "symbol": None if symbol is None else known_symbol(use.cfg, symbol),
        "exchange": None if exchange is None else known_exchange(use.cfg, exchange),
    }
    query = {"resource": resource.name, **names}
    walk = wanted.walk(query, resource.key_types, resource.usual_us, resource.longest_us)
    symbols = use.cfg.symbols if names["symbol"] is None else (names["symbol"],)
    async with use.pages.one():
        page = await read_page(use.pool, resource, names, walk, symbols, use.cfg.store_interval_us)
        return await answer(page, wanted)
