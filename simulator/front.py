"""An exchange over HTTP: every path below `/<name>` is a WebSocket handshake or a REST question to its venue."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from simulator.hub import Hub, now_us
from simulator.mischief import Mischief
from simulator.session import Session
from simulator.venue import Answer, Venue


class Front:
    """Knows no paths: what is where is the venue's to say."""

    def __init__(self, venue: Venue, hub: Hub, mischief: Mischief) -> None:
        self._venue, self._hub, self._session, self._mischief = venue, hub, Session(hub), mischief

    def routes(self) -> list[web.RouteDef]:
        path = f"/{self._venue.name}{{path:(?:/.*)?}}"
        return [web.get(path, self._get), web.post(path, self._post)]

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = self._path(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._connect(request, path)
        self._hub.asked(self._venue.weight(path, request.query))
        return await self._asked(self._venue.rest, path, request)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        path = self._path(request)
        return await self._asked(self._venue.post, path, request)

    async def _asked(
        self, ask: Callable[[str, Mapping[str, str], int], Answer], path: str, request: web.Request
    ) -> web.Response:
        query, at_us = request.query, now_us()
        answer, late_us = self._mischief.rest(path, query, at_us, lambda: ask(path, query, at_us))
        await asyncio.sleep(late_us / 1e6)
        return self._answered(path, answer)

    def _path(self, request: web.Request) -> str:
        """The path asked for. A client inside a container reaches us by another address than one beside us."""
        self._venue.base_url = f"ws://{request.host}/{self._venue.name}"
        return request.match_info["path"]

    def _answered(self, path: str, answer: Answer) -> web.Response:
        # Guesses at paths are not counted: there is no end to them.
        if answer.status != 404:
            self._hub.ledger.answer(path.rpartition("/")[2], answer.status, answer.symbol)
        # A recording may be waiting for someone to fetch a book.
        self._hub.changed.set()
        return _response(answer)

    async def _connect(self, request: web.Request, path: str) -> web.StreamResponse:
        if not self._hub.may_connect():
            return web.Response(status=429, text="Too many connection attempts")
        refused = self._mischief.handshake(now_us())
        peer = refused or self._venue.connect(path, request.query, now_us())
        if isinstance(peer, Answer):
            return _response(peer)
        return await self._session.serve(request, peer)


def _response(answer: Answer) -> web.Response:
    return web.Response(
        text=answer.body,
        status=answer.status,
        headers=answer.headers,
        content_type=answer.content_type,
    )
