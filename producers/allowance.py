"""What an exchange allows this address: whoever wants more of it waits in turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from COBY.limits import Limits, Rate, Window


class Allowance:
    """So many in a while, for all of a process. Fair; who gives up waiting uses nothing up."""

    def __init__(self, rate: Rate | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``rate`` None: any number."""
        self._window = None if rate is None else Window(rate)
        self._monotonic = monotonic
        self._turn = asyncio.Lock()

    @property
    def bounded(self) -> bool:
        """Whether anybody may have to wait."""
        return self._window is not None

    async def take(self, count: int = 1) -> None:
        """Wait until ``count`` more may go, and count them."""
        if (window := self._window) is None:
            return
        async with self._turn:
            for _ in range(count):
                while (seconds := window.wait_seconds(self._monotonic())) > 0.0:
                    await asyncio.sleep(seconds)
                window.went(self._monotonic())


class Allowances(NamedTuple):
    """Those of one exchange: connection attempts, messages, REST requests; and the sockets of one connection."""

    connects: Allowance
    messages: Allowance
    requests: Allowance
    sockets: int

    @classmethod
    def of(
        cls, limits: Limits, collectors: int = 1, monotonic: Callable[[], float] = time.monotonic
    ) -> Allowances:
        """``collectors`` processes share the address, and with it what the exchange allows."""
        connects, messages, requests = (
            Allowance(None if rate is None else rate.shared(collectors), monotonic)
            for rate in (limits.connects, limits.messages, limits.requests)
        )
        return cls(connects, messages, requests, limits.sockets)
