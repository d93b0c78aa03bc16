"""A relay of REST bodies between an exchange and its producer: on time, late, or the body of some time ago again."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from tests.faults.looped import Looped

PASS, LATE, OLD = "pass", "late", "old"
MODES = (PASS, LATE, OLD)
LATE_SECONDS = 4.0

Kept = tuple[int, str, bytes]
"""Status, type of content, body."""


class RestRelay(Looped):
    """Listens on a port and relays GETs to ``target`` (``http://host:port``); a thread of its own runs it.

    late: a body is fetched at once and handed over LATE_SECONDS later. old: whoever asks gets the answer that this url
    had last before the mode was set, as from a cache that stands still; an url without one passes.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.port = 0
        self.touched = 0
        self._mode = PASS
        self._kept: dict[str, Kept] = {}

    def set(self, mode: str) -> None:
        """Do this from now on. ValueError for a mode that there is not."""
        if mode not in MODES:
            raise ValueError(f"mode {mode!r}; allowed: {' '.join(MODES)}")
        self._mode = mode

    async def _open(self) -> None:
        self._http = aiohttp.ClientSession()
        app = web.Application()
        app.add_routes([web.get("/{path:.*}", self._get)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._http.close()

    async def _get(self, request: web.Request) -> web.Response:
        url, mode = request.path_qs, self._mode
        if mode == OLD and url in self._kept:
            self.touched += 1
            return _response(self._kept[url])
        try:
            async with self._http.get(self.target + url) as answer:
                found = (answer.status, answer.content_type, await answer.read())
        except aiohttp.ClientError:
            return web.Response(status=502)  # the exchange is not there
        if mode == LATE:
            self.touched += 1
            await asyncio.sleep(LATE_SECONDS)
        if mode != OLD:
            self._kept[url] = found
        return _response(found)


def _response(kept: Kept) -> web.Response:
    status, content_type, body = kept
    return web.Response(status=status, content_type=content_type, body=body)
