"""/v1/heatmap: the newest, or a range of columns."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api import live
from api.callers import require
from api.formats import Page
from api.history import heatmap as columns
from api.history.heatmap import Prices
from api.history.reading import read_heatmap
from api.known import known_symbol
from api.ranges import Range, answer, documented, now_us
from api.services import Services, services
from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import from_us, parse_time

router = APIRouter(prefix="/v1", tags=["history"], dependencies=[require("read")])

_PRICE = r"^\d{1,12}(\.\d{1,8})?$"
Price = Annotated[str | None, Query(pattern=_PRICE, description="Cells from / to below this price only.")]


@router.get("/heatmap", response_class=Response, responses=documented(columns.COLUMNS))
async def heatmap(
    use: Annotated[Services, Depends(services)],
    wanted: Range,
    symbol: Annotated[str, Query(max_length=40, description="A symbol of /v1/symbols.")],
    resolution: Annotated[
        str | None,
        Query(
            pattern=r"^[1-9]\d{0,8}(ms|s|m|h|d)$",
            description="Time of a column of a range (10s, 1m), a multiple of STORE_INTERVAL, at most 1h."
            " A column has the largest volume of each cell. Without it: each stored tick.",
        ),
    ] = None,
    price_from: Price = None,
    price_to: Price = None,
) -> Response:
    """Volume by price bucket over all exchanges: without `from` and `to` the newest, else whole columns of the range.

    A cell that is absent is empty from `covered_low` to `covered_high` and unknown outside. Columns that are absent
    were not stored, and are in `meta.gaps`. A page may have fewer columns than `limit`: `page.has_more` tells.
    """
    name = known_symbol(use.cfg, symbol)
    prices = _prices(price_from, price_to)
    if wanted.is_plain:
        return await answer(await _newest(use, name, prices), wanted)
    step = use.cfg.store_interval_us
    length = columns.resolution_us(resolution, step)
    query = {"resource": "heatmap", "symbol": name, "resolution": length, "prices": list(map(str, prices))}
    walk = wanted.walk(query, (int,), columns.USUAL_US, columns.LONGEST_US)
    span = columns.aligned(walk.cursor.span, length)
    if walk.cursor.key:
        span = span._replace(since_us=max(span.since_us, int(walk.cursor.key[0])))
    page = columns.page_span(span, length, step, use.cfg.heatmap_depth, walk.limit)
    async with use.pages.one():
        return await answer(await read_heatmap(use.pool, name, walk, page, length, prices, step), wanted)


async def _newest(use: Services, symbol: str, prices: Prices) -> Page:
    record = await live.newest(use.redis, use.cfg.topic_prefix, "heatmap", symbol)
    missing = [(one["exchange"], one["reason"]) for one in record["missing"]]
    cells = [
        (price, Decimal(cell["volume"]), Decimal(cell["intensity"]), cell["side"], cell["exchange_count"])
        for cell in record["data"]
        if prices.low <= (price := Decimal(cell["price"])) < prices.high
    ]
    exchanges = [
        (one["exchange"], _maybe(one["covered_low"]), _maybe(one["covered_high"]))
        for one in record["exchanges"]
    ]
    meta = live.said(record, now_us(), missing)
    row = (
        symbol,
        from_us(parse_time(record["timestamp"])),
        Decimal(record["bucket_size"]),
        cells,
        _maybe(record["covered_low"]),
        _maybe(record["covered_high"]),
        exchanges,
        missing,
        1,
        not meta["gaps"],
    )
    return Page(columns.COLUMNS, [row], None, meta)


def _prices(low: str | None, high: str | None) -> Prices:
    usual = Prices()
    prices = Prices(usual.low if low is None else Decimal(low), usual.high if high is None else Decimal(high))
    if prices.low >= prices.high:
        text = f"from {prices.low} to {prices.high} holds no price"
        raise ValidationError(
            "api.range_empty", text, where="query.price_from", allowed="price_from below price_to"
        )
    return prices


def _maybe(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
