"""`/v1/ws`, the same on both ports: a dashboard may speak to its own origin only."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from api.callers import caller_of
from api.ws.client import Connection
from api.ws.sockets import Sockets
from COBY.utils.exceptions import ValidationError

router = APIRouter()


@router.websocket("/v1/ws")
async def ws(websocket: WebSocket) -> None:
    """Live and replayed records by subscription: /asyncapi.json. ValidationError `ws.query`."""
    if websocket.scope["query_string"]:
        allowed = "none: a key comes by a header or by auth, all else by operations"
        raise ValidationError("ws.query", "the address takes no parameters", where="query", allowed=allowed)
    sockets: Sockets = websocket.app.state.sockets
    await Connection(sockets, websocket, caller_of(websocket)).run()
