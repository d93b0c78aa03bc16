"""A watchdog over the channels of one connection: one that is silent while others speak is subscribed anew.

What silence means depends on the channel. A trade changes its book, so a book that says nothing for the exchange's
``silence_seconds`` while trades of its symbol come is broken. A book without trades may rest: five minutes. Trades may
be missing on a market where orders come and go without any: ten minutes. Where nothing at all comes, the connection is
silent, which is not for this watchdog to judge: normalize calls its books stale, and sessions ping.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from COBY.channels import Heard

QUIET_BOOK_SECONDS = 300.0
QUIET_TRADE_SECONDS = 600.0
LONGEST_SECONDS = 3600.0
"""Each time in vain a channel is waited for twice as long, up to so long."""
EACH_SECONDS = 5.0
"""A connection asks for one channel at a time."""

Channel = tuple[str, str]
"""(symbol, ``book`` or ``trade``)."""


class _State:
    __slots__ = ("at", "in_vain", "since")

    def __init__(self, now: float) -> None:
        self.at = self.since = now
        self.in_vain = 0


class Silent(NamedTuple):
    """A channel to subscribe anew, silent for so long."""

    symbol: str
    channel: str
    seconds: float


class Silence:
    """Which channels were heard when. Times are seconds of the caller's clock; heard is noted to the second."""

    def __init__(self, heard: Heard, silence_seconds: float) -> None:
        """``heard`` is the session's; ``silence_seconds`` the exchange's."""
        self._heard = heard
        self._silence_seconds = silence_seconds
        self._states: dict[Channel, _State] = {}
        self._unheard: set[Channel] = set()
        self._asked_at = -EACH_SECONDS
        self._heard_at: float | None = None

    def expect(self, channels: Iterable[Channel], now: float) -> None:
        """The exchange has confirmed these: from now on they should speak."""
        for channel in channels:
            self._states.setdefault(channel, _State(now)).since = now
            self._unheard.add(channel)

    def forget(self, symbol: str) -> None:
        """The exchange does not have the symbol."""
        for channel in [one for one in self._states if one[0] == symbol]:
            del self._states[channel]
            self._unheard.discard(channel)

    def take(self, frame: bytes, now: float) -> None:
        """A frame came. It is looked at only while a channel has not been heard since the last `due`."""
        if self._unheard and (channel := self._heard(frame)) in self._unheard:
            self._unheard.discard(channel)
            self._heard_at = now
            state = self._states[channel]
            state.at = state.since = now
            state.in_vain = 0

    def due(self, now: float) -> Silent | None:
        """About once a second: a channel to subscribe anew, the one that is silent for longest."""
        self._unheard = set(self._states)
        newest = self._heard_at
        # Where frames come and none is ever told apart, they are written in another way than we know.
        if newest is None or now - self._asked_at < EACH_SECONDS:
            return None
        silent = [
            (now - state.at, channel)
            for channel, state in self._states.items()
            if newest > state.at and now - state.since >= self._allowed(channel, state)
        ]
        if not silent:
            return None
        seconds, channel = max(silent)
        state = self._states[channel]
        state.since, self._asked_at = now, now
        state.in_vain += 1
        return Silent(*channel, seconds)

    def _allowed(self, channel: Channel, state: _State) -> float:
        symbol, kind = channel
        if kind == "trade":
            seconds = QUIET_TRADE_SECONDS
        else:
            trades = self._states.get((symbol, "trade"))
            is_traded = trades is not None and trades.at - state.at >= self._silence_seconds / 2
            seconds = self._silence_seconds if is_traded else QUIET_BOOK_SECONDS
        return min(seconds * 2.0**state.in_vain, LONGEST_SECONDS)
