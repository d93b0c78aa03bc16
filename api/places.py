"""How many large answers are made at once: each may take a hundred megabytes while it is, and a processor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from COBY.utils.exceptions import ServiceError

PAGES = 4
"""Pages of ranges that a process makes at once; docs/measurements.md, Pages, has what each may take."""
WAIT_SECONDS = 5.0


class Places:
    """``count`` places; used in one event loop."""

    def __init__(self, count: int) -> None:
        """All free."""
        self._count = count
        self._free = asyncio.Semaphore(count)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A place while the block runs, first come, first served. ServiceError `api.busy` after WAIT_SECONDS."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            message = f"{self._count} pages are being made"
            raise ServiceError("api.busy", message, allowed="later, or smaller pages") from None
        try:
            yield
        finally:
            self._free.release()
