"""Messages through the API: WebSocket for what comes, REST for sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from COBY.orchestrator.api_client import Client
from COBY.orchestrator.api_feed import ApiFeed, cursors_of
from COBY.orchestrator.messages import Update
from COBY.orchestrator.subscription import Feed, Open
from COBY.orchestrator.wanted import Past, Wanted
from COBY.utils.exceptions import CobyError
from COBY.utils.intervals import format_us, to_us

SNAPSHOT_SECONDS = 10.0


class ApiSource:
    """A `Source` (interface.py) of one API."""

    def __init__(self, url: str, key: str | None) -> None:
        """Connects when first used."""
        self._client = Client(url, key)

    async def close(self) -> None:
        """End its connections."""
        await self._client.close()

    def live(self, wanted: Wanted) -> Open:
        """See `Source`."""

        async def open_(cursor: str | None) -> Feed:
            return await begun(self._client, wanted, cursor)

        return open_

    def replay(self, past: Past) -> ApiSession:
        """See `Source`."""
        return ApiSession(self._client, past)

    async def latest(self, wanted: Wanted, fits: Callable[[Update], bool]) -> Update | None:
        """The newest that fits of the snapshot a subscription begins with. ServiceError `api.closed`."""
        feed = await begun(self._client, wanted, None)
        try:
            async with asyncio.timeout(SNAPSHOT_SECONDS):
                while True:
                    batch = await feed.batch() or ()
                    found = [one for one in batch if isinstance(one, Update) and wanted.has(one)]
                    if found or feed.cursor() is not None:
                        fitting = [one for one in found if fits(one)]
                        return max(fitting, key=lambda update: update.received_us, default=None)
        finally:
            await feed.close()


class ApiSession:
    """A replay session made when first opened, deleted in the end."""

    def __init__(self, client: Client, past: Past) -> None:
        """Asks nothing yet."""
        self._client = client
        self._past = past
        self._making: asyncio.Task[str] | None = None
        self._is_started = False

    async def open(self, cursor: str | None) -> Feed:
        """Its records from the first on, or from a cursor of an earlier feed of it."""
        if self._making is None:
            self._making = asyncio.create_task(self._make())
        session = await asyncio.shield(self._making)  # who gives up waiting must still be able to delete it
        feed = await begun(self._client, self._past.wanted, cursor, session, self._past.with_prelude)
        if not self._is_started:
            await self._client.ask("PATCH", f"/v1/replay/sessions/{session}", {"state": "running"})
            self._is_started = True
        return feed

    async def end(self) -> None:
        """Delete it."""
        if self._making is None:
            return
        (session,) = await asyncio.gather(self._making, return_exceptions=True)
        if isinstance(session, str):
            await self._client.ask("DELETE", f"/v1/replay/sessions/{session}")

    async def _make(self) -> str:
        wanted, start, end, speed, source, _ = self._past
        asked = {
            "from": format_us(to_us(start)),
            "to": format_us(to_us(end)),
            "speed": speed,
            "symbols": sorted(wanted.symbols),
            "exchanges": sorted(wanted.exchanges),
            "channels": list(wanted.channels),
            "source": source,
        }
        made = await self._client.ask("POST", "/v1/replay/sessions", asked)
        return str(made["id"])


async def begun(
    client: Client, wanted: Wanted, cursor: str | None, session: str | None = None, with_prelude: bool = True
) -> ApiFeed:
    """A feed whose subscriptions are asked for."""
    cursors = {} if cursor is None else cursors_of(cursor)
    connection = await client.connect()
    feed = ApiFeed(connection, wanted, cursors, session=session, with_prelude=with_prelude)
    try:
        await feed.begin()
    except CobyError:
        await feed.close()
        raise
    return feed
