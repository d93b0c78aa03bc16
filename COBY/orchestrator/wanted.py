"""What a subscription is to bring. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from COBY.orchestrator.messages import Update
from COBY.replays.sessions import CHANNELS
from COBY.utils.exceptions import ReplayError

STATE_CHANNELS = ("book", "heatmap", "consolidated")
"""Each record stands for itself, and the newest is the state: a subscription begins with it."""


class Wanted(NamedTuple):
    """Channels, and of them these symbols and exchanges; empty for all."""

    channels: tuple[str, ...]
    symbols: frozenset[str] = frozenset()
    exchanges: frozenset[str] = frozenset()

    def has(self, update: Update) -> bool:
        """Whether an update belongs to it; what is over all exchanges belongs to any of them."""
        return (
            update.channel in self.channels
            and (not self.symbols or update.symbol in self.symbols)
            and (not self.exchanges or update.exchange is None or update.exchange in self.exchanges)
        )


class Past(NamedTuple):
    """A replay: stream time [start, end) at ``speed``, from ``source`` (docs/replay.md), with or without prelude."""

    wanted: Wanted
    start: datetime
    end: datetime
    speed: float
    source: str
    with_prelude: bool


def wanted(
    channels: str | Sequence[str], symbols: str | Sequence[str] = (), exchanges: str | Sequence[str] = ()
) -> Wanted:
    """Checked; ReplayError `replay.channel` for a channel that is none, and for none at all."""
    names = _all(channels)
    if strangers := sorted(set(names) - set(CHANNELS)) or not names:
        told = " ".join(strangers) if isinstance(strangers, list) else "none"
        raise ReplayError("replay.channel", f"channels {told}", allowed=" ".join(CHANNELS))
    return Wanted(names, frozenset(_all(symbols)), frozenset(_all(exchanges)))


def _all(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
