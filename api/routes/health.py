"""Whether this process lives and can answer, and what it counts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from api.callers import require
from api.readiness import examine
from api.services import Services, services

router = APIRouter(tags=["operation"])


class Live(BaseModel):
    """An answer of this process."""

    live: bool = Field(examples=[True])


class Check(BaseModel):
    """One thing that an answer may need."""

    name: str = Field(examples=["database"])
    ok: bool = Field(examples=[True])
    text: str = Field(examples=["answers"])


class Ready(BaseModel):
    """All of them."""

    ready: bool = Field(description="Whether every check holds.", examples=[True])
    checks: list[Check]


@router.get("/health/live")
async def live() -> Live:
    """Whether this process answers; nothing else is asked."""
    return Live(live=True)


@router.get(
    "/health/ready",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Something is not."}},
)
async def ready(services: Annotated[Services, Depends(services)]) -> Response:
    """Whether database, Redis and Kafka answer, each within two seconds, and the heatmaps are fresh."""
    checks = await examine(services)
    is_ready = all(check.ok for check in checks)
    body = {"ready": is_ready, "checks": [check._asdict() for check in checks]}
    return JSONResponse(body, 200 if is_ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=[require("read")],
)
async def prometheus(
    services: Annotated[Services, Depends(services)], accept: Annotated[str, Header()] = ""
) -> Response:
    """What this process counts, for Prometheus; on METRICS_PORT the same without a key."""
    encoder, content_type = choose_encoder(accept)
    return Response(encoder(services.metrics.registry), media_type=content_type)
