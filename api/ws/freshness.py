"""How far a channel is, as heartbeats tell it. Pure: the hub says what it sees."""

from __future__ import annotations

from collections.abc import Iterable

from api.ws.channels import Partition
from api.ws.messages import Freshness
from COBY.utils.intervals import format_us


class Progress:
    """Of the partitions that are read."""

    def __init__(self) -> None:
        """Nothing seen."""
        self._newest_ms: dict[str, int] = {}
        self._seen: dict[Partition, tuple[int, int]] = {}

    def came(self, channel: str, time_ms: int) -> None:
        """A record of that stream time."""
        self._newest_ms[channel] = max(time_ms, self._newest_ms.get(channel, 0))

    def looked(self, partition: Partition, asked_us: int, behind: int) -> None:
        """Kafka was asked then, and so many of its records were not here when it answered."""
        before_us = self._seen.get(partition, (0, 0))[0]
        self._seen[partition] = (before_us if behind else asked_us, behind)

    def drop(self, partition: Partition) -> None:
        """It is read no more."""
        self._seen.pop(partition, None)

    def of(self, channel: str, partitions: Iterable[Partition]) -> Freshness:
        """Of a channel of which these are read."""
        known = [self._seen.get(name) for name in partitions]
        newest_ms = self._newest_ms.get(channel)
        newest = None if newest_ms is None else format_us(1000 * newest_ms)
        found = [one for one in known if one is not None]
        if not found or len(found) < len(known):
            return Freshness(channel, None, None, newest)
        current_us = min(one[0] for one in found)
        current = format_us(current_us) if current_us else None
        return Freshness(channel, current, sum(one[1] for one in found), newest)
