"""How far each consumer group is behind."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api.callers import require
from api.services import Services, services
from COBY.runtime.lag import Watched

StatusName = Literal["OK", "WARN", "STALL", "STOP"]

router = APIRouter(prefix="/v1", tags=["operation"])


class GroupLag(BaseModel):
    """One consumer group's place in one partition."""

    group: str = Field(examples=["coby-timescale"])
    topic: str = Field(examples=["coby.trade.v1"])
    partition: int = Field(examples=[0])
    committed: int | None = Field(
        description="The next offset it will take; null: none yet.", examples=[1200]
    )
    end: int = Field(description="The offset after the newest record.", examples=[1203])
    lag: int = Field(description="Records not yet taken.", examples=[3])
    lag_seconds: float | None = Field(
        description="Age of the first of them; 0: none, null: it could not be read.", examples=[0.4]
    )
    status: StatusName | None = Field(
        description="By progress over half a minute: WARN falls further behind, STALL stands still, STOP: and nobody "
        "is in the group. Null: not asked for often and long enough to tell.",
        examples=["OK"],
    )


class LagTotal(BaseModel):
    """All of them together."""

    total: int = Field(description="Records not yet taken, of all rows.", examples=[3])


class LagAnswer(BaseModel):
    """The rows by group, topic and partition."""

    data: list[GroupLag]
    meta: LagTotal


@router.get("/lag", dependencies=[require("read")])
async def lag(
    services: Annotated[Services, Depends(services)],
    group: Annotated[
        str | None, Query(max_length=255, description="Only this group.", examples=["coby-timescale"])
    ] = None,
) -> LagAnswer:
    """How far each consumer group is behind, by topic and partition; at most two seconds old."""
    rows = await services.lags.read(group)
    return LagAnswer(
        data=[_shown(row) for row in rows], meta=LagTotal(total=sum(row.lag.lag for row in rows))
    )


def _shown(row: Watched) -> GroupLag:
    place = row.lag
    return GroupLag(
        group=place.group,
        topic=place.topic,
        partition=place.partition,
        committed=place.committed,
        end=place.end,
        lag=place.lag,
        lag_seconds=place.lag_seconds,
        status=None if row.status is None else cast(StatusName, row.status.name),
    )
