"""What can be subscribed to, and how each channel treats a client that is slower than the market. Pure."""

from __future__ import annotations

from typing import NamedTuple

from COBY.topics import TOPICS, partition_of

GAP = "gap"

Partition = tuple[str, int]
"""Name of a topic, without prefix and version, and the number of a partition."""


class Channel(NamedTuple):
    """One row. A channel is the topic of its name."""

    name: str
    is_state: bool
    """The newest of a key replaces one that still waits; else nothing is ever left out."""
    has_symbols: bool
    has_gaps: bool
    """Gaps of the symbol come among its records."""
    narrowed_by: str | None
    """The field by which a subscription may ask for less: `exchange` or `timeframe`."""


CHANNELS: dict[str, Channel] = {
    row.name: row
    for row in (
        Channel("trade", False, True, True, "exchange"),
        Channel("book", True, True, True, "exchange"),
        Channel("heatmap", True, True, True, None),
        Channel("consolidated", True, True, True, None),
        Channel("ohlcv", False, True, True, "timeframe"),
        Channel("status", True, False, False, "exchange"),
        Channel(GAP, False, True, False, "exchange"),
        Channel("quality", False, True, False, "exchange"),
        Channel("continuity", False, True, False, "exchange"),
    )
}


class Selection(NamedTuple):
    """What one subscription is for; ``only``: values of the channel's ``narrowed_by``, empty for all."""

    channel: Channel
    symbol: str | None
    only: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """`heatmap:BTCUSDT`, or `status`."""
        return self.channel.name if self.symbol is None else f"{self.channel.name}:{self.symbol}"

    def partitions(self) -> tuple[Partition, ...]:
        """Where its records lie, its channel's first. A symbol lies in one partition, by its key."""
        name = self.channel.name
        count = TOPICS[name].partitions
        if self.symbol is None:
            return tuple((name, number) for number in range(count))
        number = partition_of(self.symbol.encode(), count)
        gaps = ((GAP, partition_of(self.symbol.encode(), TOPICS[GAP].partitions)),)
        return ((name, number), *(gaps if self.channel.has_gaps else ()))

    def topics(self) -> tuple[str, ...]:
        """The topics that these are partitions of, by their short names."""
        return tuple(dict.fromkeys(name for name, _ in self.partitions()))
