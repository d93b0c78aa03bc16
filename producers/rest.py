"""REST bodies, with retries at this one place: a busy or broken exchange is asked again, later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from COBY.utils.exceptions import ExchangeError
from COBY.utils.logging import get_logger
from producers.allowance import Allowance

REQUEST_SECONDS = 20.0
ASK_SECONDS = 10.0
"""What must be known before a socket can be opened has as long as the opening itself."""
PARALLEL = 4
BASE_SECONDS, CAP_SECONDS = 1.0, 60.0
MAX_RETRY_AFTER_SECONDS = 3600.0
MAX_BODY_BYTES = 128 * 1024 * 1024
"""A body beyond this counts as broken: it is read into memory before its length is known."""

log = get_logger(__name__)


class Rest:
    """Requests of all connections of a process; a 429 or 418 pauses them all: limits are counted by address."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        random: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        requests: Allowance | None = None,
    ) -> None:
        """``random``: numbers from [0, 1) for the jitter; ``requests``: how many there may be, None: any number."""
        self._http = http
        self._random = random
        self._monotonic = monotonic
        self._not_before = 0.0
        self._requests = requests or Allowance(None)
        self._places = asyncio.Semaphore(PARALLEL)

    async def get(self, url: str) -> bytes:
        """The body, whatever the status, except 429, 418, 5xx and broken transfers: these are tried again."""
        failures = 0
        while True:
            await self._requests.take()
            async with self._places:
                body, delay = await self._attempt(url, failures)
            if body is not None:
                return body
            failures += 1
            await asyncio.sleep(delay)

    async def ask(self, url: str, method: str = "GET", seconds: float = ASK_SECONDS) -> bytes:
        """The body, by one request: whoever connects tries again himself. ExchangeError ``exchange.unreachable``."""
        try:
            async with asyncio.timeout(seconds):
                await self._requests.take()
                async with self._places:
                    body, _ = await self._attempt(url, 0, method)
        except TimeoutError as error:
            message = f"{method}: no answer within {seconds:g} s"
            raise ExchangeError("exchange.unreachable", message, where=url) from error
        if body is None:
            raise ExchangeError("exchange.unreachable", f"{method}: refused or broken off", where=url)
        return body

    async def _attempt(self, url: str, failures: int, method: str = "GET") -> tuple[bytes | None, float]:
        await asyncio.sleep(max(0.0, self._not_before - self._monotonic()))
        delay = self._random() * min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(failures, 10))
        try:
            timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
            async with self._http.request(method, url, timeout=timeout) as answer:
                if answer.status not in (418, 429) and answer.status < 500:
                    return await _read(answer), 0.0
                log.warning("rest_refused", url=url, status=answer.status)
                if answer.status in (418, 429):
                    delay = max(delay, _retry_after(answer) or BASE_SECONDS)
                    self._not_before = self._monotonic() + delay
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("rest_failed", url=url, error=f"{type(error).__name__}: {error}")
        return None, delay


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts = bytearray()
    async for part in answer.content.iter_any():
        parts += part
        if len(parts) > MAX_BODY_BYTES:
            raise aiohttp.ClientPayloadError(f"a body of more than {MAX_BODY_BYTES} bytes")
    return bytes(parts)


def _retry_after(answer: aiohttp.ClientResponse) -> float | None:
    """The header Retry-After in seconds (RFC 9110, 10.2.3), None where it is missing or a date."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), MAX_RETRY_AFTER_SECONDS) if text.isascii() and text.isdigit() else None
