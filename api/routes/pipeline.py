"""How the pipeline runs, as an onlooker of its topics and stores sees it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api import live
from api.callers import require
from api.history.reading import newest_ticks
from api.onlooker import Sight
from api.ranges import now_us
from api.seen import HOPS
from api.services import Services, services
from api.times import Span
from COBY.utils.intervals import US_PER_SECOND, format_us, parse_time

router = APIRouter(prefix="/v1", tags=["operation"])


RECENT_US = 3_600 * US_PER_SECOND
"""A store without a tick of the last hour has no age."""


class FrameRate(BaseModel):
    """Frames of one exchange."""

    exchange: str
    frames_per_second: float | None = Field(
        description="null: not seen for a whole second yet.", examples=[210.4]
    )


class HopLatency(BaseModel):
    """How long records took for one hop."""

    hop: str = Field(examples=["aggregate"])
    what: str = Field(description="From where to where.", examples=["tick to heatmap topic"])
    exchange: str | None = Field(description="Of `receive`; null: all together.")
    records: int = Field(description="Records seen.", examples=[20])
    median_ms: float = Field(examples=[42.5])
    p99_ms: float = Field(examples=[61.0])
    max_ms: float = Field(examples=[61.0])


class StoreAge(BaseModel):
    """How old the newest heatmap of a store is."""

    store: str = Field(examples=["timescale"])
    symbol: str = Field(examples=["BTCUSDT"])
    age_ms: int | None = Field(description="null: it has none of the last hour.", examples=[640])


class DeadLetter(BaseModel):
    """What could not be used, and why."""

    timestamp: str = Field(examples=["2026-01-02T03:04:05.000000Z"])
    stage: str = Field(examples=["normalize"])
    code: str = Field(examples=["codec.format"])
    detail: str
    topic: str | None = Field(description="Of a sink's: the topic that it lay in.")


class Letters(BaseModel):
    """The dead letters."""

    count: int | None = Field(description="Kept in their topic; null: not known yet.", examples=[0])
    newest: list[DeadLetter] = Field(description="The newest first, at most 50.")


class Pipeline(BaseModel):
    """What was seen in the last seconds."""

    seconds: int = Field(
        description="Whole seconds that figures are of: 0 at first, 10 at most.", examples=[10]
    )
    last_record_age_ms: int | None = Field(
        description="Since any record was seen; null: none yet.", examples=[12]
    )
    exchanges: list[FrameRate]
    hops: list[HopLatency]
    stores: list[StoreAge]
    dead_letters: Letters


class PipelineAnswer(BaseModel):
    """One object."""

    data: Pipeline


@router.get("/pipeline", dependencies=[require("read")])
async def pipeline(use: Annotated[Services, Depends(services)]) -> PipelineAnswer:
    """Frames a second, latencies of the hops, ages of the stores, and dead letters, as a reader of them sees it.

    Looking begins with the first question, and ends when nobody has asked for half a minute: ask each second or two.
    """
    sight = await asyncio.to_thread(use.onlooker.ask)
    age = sight.last_age_seconds
    return PipelineAnswer(
        data=Pipeline(
            seconds=sight.seconds,
            last_record_age_ms=None if age is None else round(1e3 * age),
            exchanges=_rates(use.cfg.exchanges, sight),
            hops=[HopLatency(what=HOPS[one.hop], **one._asdict()) for one in sight.hops],
            stores=await _stores(use),
            dead_letters=_letters(sight),
        )
    )


def _rates(exchanges: tuple[str, ...], sight: Sight) -> list[FrameRate]:
    known = sight.seconds > 0
    return [
        FrameRate(exchange=name, frames_per_second=round(sight.rates.get(name, 0.0), 1) if known else None)
        for name in exchanges
    ]


def _letters(sight: Sight) -> Letters:
    newest = [
        DeadLetter(timestamp=format_us(time_ms * 1_000), stage=stage, code=code, detail=detail, topic=topic)
        for time_ms, stage, code, detail, topic in sight.letters
    ]
    return Letters(count=sight.letter_count, newest=newest)


async def _stores(use: Services) -> list[StoreAge]:
    symbols = use.cfg.symbols
    records = await live.all_newest(use.redis, use.cfg.topic_prefix, "heatmap", [[one] for one in symbols])
    now = now_us()
    stored = await newest_ticks(use.pool, symbols, Span(now - RECENT_US, now + RECENT_US))
    found = []
    for symbol, record in zip(symbols, records, strict=True):
        cached = None if record is None else parse_time(record["timestamp"])
        for store, time_us in (("redis", cached), ("timescale", stored.get(symbol))):
            age = None if time_us is None else max(0, now - time_us) // 1_000
            found.append(StoreAge(store=store, symbol=symbol, age_ms=age))
    return found
