"""Whether this process lives."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Whether this process answers; nothing else is asked."""
    return {"live": True}
