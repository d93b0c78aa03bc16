"""/v1/metrics/{exchange}/{symbol}: figures of one exchange's book, the newest or of a range."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from api import live
from api.callers import require
from api.formats import Page
from api.history.figures import COLUMNS, figures, latest
from api.history.reading import read_page
from api.history.tables import BOOKS
from api.known import known_exchange, known_symbol
from api.ranges import Range, answer, documented, now_us
from api.services import Services, services

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[require("read")])


@router.get("/metrics/{exchange}/{symbol}", response_class=Response, responses=documented(COLUMNS))
async def book_metrics(
    use: Annotated[Services, Depends(services)],
    wanted: Range,
    exchange: Annotated[str, Path(max_length=40, description="An exchange of /v1/exchanges.")],
    symbol: Annotated[str, Path(max_length=40, description="A symbol of /v1/symbols.")],
) -> Response:
    """Mid price, spread, volumes and imbalances: without `from` and `to` the newest, else of each stored tick of a day.

    Volumes, imbalance and quality are of the best 50 levels a side; `top`, `depth5` and `depth20` are imbalances of
    the best 1, 5 and 20. A book that is not proven has no figures: the newest is then told with nulls and why, and in
    a range its ticks are absent and in `meta.gaps`.
    """
    names = {
        "symbol": known_symbol(use.cfg, symbol, "path"),
        "exchange": known_exchange(use.cfg, exchange, "path"),
    }
    if wanted.is_plain:
        return await answer(await _newest(use, names["exchange"], names["symbol"]), wanted)
    walk = wanted.walk({"resource": BOOKS.name, **names}, BOOKS.key_types, BOOKS.usual_us, BOOKS.longest_us)
    async with use.pages.one():
        page = await read_page(use.pool, BOOKS, names, walk, (names["symbol"],), use.cfg.store_interval_us)
        rows = await asyncio.to_thread(lambda: [figures(row) for row in page.rows])
        return await answer(page._replace(columns=COLUMNS, rows=rows), wanted)


async def _newest(use: Services, exchange: str, symbol: str) -> Page:
    record = await live.newest(use.redis, use.cfg.topic_prefix, "book", symbol, exchange)
    missing = [] if record["live"] else [(exchange, record["reason"])]
    return Page(COLUMNS, [latest(record)], None, live.said(record, now_us(), missing))
