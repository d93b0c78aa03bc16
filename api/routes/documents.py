"""What there is, for programs: the OpenAPI and AsyncAPI documents."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from api import asyncapi as channels
from api.openapi import document
from api.services import Services, services

router = APIRouter(tags=["operation"])
JSON = {"application/json": {"schema": {"type": "object"}}}


@router.get(
    "/openapi.json",
    response_class=Response,
    responses={200: {"description": "OpenAPI 3.1.", "content": JSON}},
)
async def openapi(request: Request) -> Response:
    """The document itself, made of the routes. Anyone may read it."""
    state: Any = request.app.state
    if not hasattr(state, "openapi"):
        state.openapi = JSONResponse(document(request.app)).body
    return Response(state.openapi, media_type="application/json")


@router.get(
    "/asyncapi.json",
    response_class=Response,
    responses={200: {"description": "AsyncAPI 3.", "content": JSON}},
)
async def asyncapi(request: Request, services: Annotated[Services, Depends(services)]) -> Response:
    """The WebSocket's messages and every topic, made of the code. Anyone may read it."""
    state: Any = request.app.state
    if not hasattr(state, "asyncapi"):
        state.asyncapi = JSONResponse(channels.document(services.cfg)).body
    return Response(state.asyncapi, media_type="application/json")
