"""What there is, for programs: the OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.openapi import document

router = APIRouter(tags=["operation"])


@router.get(
    "/openapi.json",
    response_class=Response,
    responses={
        200: {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}
    },
)
async def openapi(request: Request) -> Response:
    """The document itself, made of the routes. Anyone may read it."""
    state: Any = request.app.state
    if not hasattr(state, "openapi"):
        state.openapi = JSONResponse(document(request.app)).body
    return Response(state.openapi, media_type="application/json")
