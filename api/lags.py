"""The lag of the consumer groups, for many who ask at once: read at most every KEPT_SECONDS, by one of them."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic

from COBY.config import Config
from COBY.runtime.lag import LagWatch, Watched
from COBY.utils.exceptions import BrokerError

KEPT_SECONDS = 2.0


class Lags:
    """Connects when first asked."""

    def __init__(self, cfg: Config) -> None:
        self._cfg = cfg
        self._watch: LagWatch | None = None
        self._asking = asyncio.Lock()
        self._using = threading.Lock()  # who asked may be cancelled: its thread reads on
        self._rows: list[Watched] = []
        self._read: float | None = None

    async def read(self, group: str | None = None) -> list[Watched]:
        """The rows of all groups, or of one. BrokerError `kafka.unreachable`, `.refused`, `.unknown_group`.

        Their status is by the looks of those who have asked within the last window.
        """
        async with self._asking:
            if self._read is None or monotonic() >= self._read + KEPT_SECONDS:
                self._rows = await asyncio.to_thread(self._ask)
                self._read = monotonic()
        if group is None:
            return self._rows
        known = sorted({row.lag.group for row in self._rows})
        if group not in known:
            message, allowed = f"no group {group!r}", " ".join(known) or "none"
            raise BrokerError("kafka.unknown_group", message, where="query.group", allowed=allowed)
        return [row for row in self._rows if row.lag.group == group]

    def _ask(self) -> list[Watched]:
        with self._using:
            if self._watch is None:
                self._watch = LagWatch(self._cfg)
            return self._watch.look()

    def close(self) -> None:
        """End its clients."""
        with self._using:
            if self._watch is not None:
                self._watch.close()
