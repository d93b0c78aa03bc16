"""`/v1/ws`, the same on both ports: a dashboard may speak to its own origin only."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from api.callers import caller_of
from api.ws.client import Connection
from api.ws.sockets import Sockets

router = APIRouter()


@router.websocket("/v1/ws")
async def ws(websocket: WebSocket) -> None:
    """Live and replayed records by subscription: /asyncapi.json."""
    sockets: Sockets = websocket.app.state.sockets
    await Connection(sockets, websocket, caller_of(websocket)).run()
