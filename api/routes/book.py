"""The newest books: /v1/book/{exchange}/{symbol} of one exchange, /v1/book/{symbol} of all of them as one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from api import live
from api.callers import require
from api.known import known_exchange, known_symbol
from api.ranges import Numbers, documented_live, now_us, whole
from api.services import Services, services

router = APIRouter(prefix="/v1", tags=["live"], dependencies=[require("read")])

DEPTH = 50
"""Levels a side that a record has."""
Use = Annotated[Services, Depends(services)]
Exchange = Annotated[str, Path(max_length=40, description="An exchange of /v1/exchanges.")]
Symbol = Annotated[str, Path(max_length=40, description="A symbol of /v1/symbols.")]
Depth = Annotated[int, Query(ge=1, le=DEPTH, description="Levels a side, at most.")]
_RECORD = {
    "type": "object",
    "properties": {"symbol": {"type": "string"}},
    "required": ["symbol", "bids", "asks"],
}


@router.get(
    "/book/{exchange}/{symbol}", responses=documented_live("The record of topic book, and its age.", _RECORD)
)
async def book(
    use: Use, exchange: Exchange, symbol: Symbol, depth: Depth = DEPTH, numbers: Numbers = "exact"
) -> dict[str, Any]:
    """The newest book of one exchange. One that is not proven says why, and has null instead of levels."""
    name, symbol = known_exchange(use.cfg, exchange, "path"), known_symbol(use.cfg, symbol, "path")
    record = await live.newest(use.redis, use.cfg.topic_prefix, "book", symbol, name)
    missing = [] if record["live"] else [(name, record["reason"])]
    shown = live.cut(live.shown("book", record, floats=numbers == "float"), depth)
    return whole([shown], live.said(record, now_us(), missing))


@router.get(
    "/book/{symbol}", responses=documented_live("The record of topic consolidated, and its age.", _RECORD)
)
async def consolidated(
    use: Use, symbol: Symbol, depth: Depth = DEPTH, numbers: Numbers = "exact"
) -> dict[str, Any]:
    """The newest books of all exchanges as one, with imbalances; `missing` says which are not in it and why."""
    symbol = known_symbol(use.cfg, symbol, "path")
    record = await live.newest(use.redis, use.cfg.topic_prefix, "consolidated", symbol)
    missing = [(one["exchange"], one["reason"]) for one in record["missing"]]
    shown = live.cut(live.shown("consolidated", record, floats=numbers == "float"), depth)
    return whole([shown], live.said(record, now_us(), missing))
