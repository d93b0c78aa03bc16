"""/v1/flow: trades of a range added up by time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api.callers import require
from api.history import flow as flows
from api.history.reading import read_flow
from api.known import known_exchange, known_symbol
from api.ranges import Range, answer, documented
from api.services import Services, services

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[require("read")])

MAX_EXCHANGES = 100


@router.get("/flow", response_class=Response, responses=documented(flows.COLUMNS))
async def flow(
    use: Annotated[Services, Depends(services)],
    wanted: Range,
    symbol: Annotated[str, Query(max_length=40, description="A symbol of /v1/symbols.")],
    exchange: Annotated[
        list[str] | None,
        Query(max_length=MAX_EXCHANGES, description="Of these only; several times, or not: all."),
    ] = None,
    resolution: Annotated[
        str,
        Query(pattern=r"^[1-9]\d{0,8}(s|m|h|d)$", description="Time of a row: whole seconds, at most 1d."),
    ] = "1m",
) -> Response:
    """What takers bought and sold, and the volume-weighted price, by time; at most six hours, without `from` one.

    Trades by the exchanges' own time. A row at an end of the range holds what of its time lies in it; there is no row
    where there was no trade. The cumulative volume delta is the running sum of `buy_volume` - `sell_volume`.
    """
    name = known_symbol(use.cfg, symbol)
    only = None if exchange is None else sorted({known_exchange(use.cfg, one) for one in exchange})
    length = flows.resolution_us(resolution)
    query = {"resource": "flow", "symbol": name, "exchanges": only, "resolution": length}
    walk = wanted.walk(query, (int,), flows.USUAL_US, flows.LONGEST_US)
    span = walk.cursor.span
    if walk.cursor.key:
        span = span._replace(since_us=max(span.since_us, int(walk.cursor.key[0])))
    page = flows.page_span(span, length, walk.limit)
    async with use.pages.one():
        found = await read_flow(use.pool, name, only, walk, page, length, use.cfg.store_interval_us)
        return await answer(found, wanted)
