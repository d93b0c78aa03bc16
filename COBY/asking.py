"""Subscriptions on exchanges whose errors do not say what they are about: one request at a time, each after the answer.

For sessions; times are seconds of the caller's monotonic clock. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from COBY.exchanges.base import Command
from COBY.pacing import Paced
from COBY.renewals import ANSWER_SECONDS, REPEAT_SECONDS


class Key(NamedTuple):
    """A subscription: a channel of one symbol, under the exchange's names."""

    channel: str
    name: str


class Request(NamedTuple):
    """``operation`` is ``subscribe`` or ``unsubscribe``."""

    operation: str
    key: Key


class InTurn:
    """What is wanted of a connection, what of it is confirmed, and the requests that bring that about."""

    def __init__(self, text: Callable[[Request], str], paced: Paced) -> None:
        """``text`` writes a request."""
        self._text = text
        self._paced = paced
        self._waiting: deque[Request] = deque()
        self._asked_at = 0.0
        self.asked: Request | None = None
        """The request that waits for its answer."""
        self.since: dict[Key, float] = {}
        """All that is wanted, and when it was last asked for."""
        self.confirmed: set[Key] = set()

    def subscribe(self, key: Key, now: float) -> None:
        """Ask for it, unless that is about to be done."""
        self.since[key] = now
        self.confirmed.discard(key)
        self._add(Request("subscribe", key))

    def renew(self, key: Key, now: float) -> None:
        """Unsubscribe, and when that was answered (see `listed`) or had its time, subscribe again."""
        self.since[key] = now
        self._add(Request("unsubscribe", key))

    def listed(self, found: set[Key], is_whole: bool, now: float) -> list[Key]:
        """An acknowledgement: what the connection is subscribed to; those confirmed anew are returned, in order.

        ``is_whole``: nothing else is. What was, and is no longer, is asked for again.
        """
        gone = self.confirmed - found if is_whole else set()
        if self.asked is not None and (self.asked.operation == "subscribe") == (self.asked.key in found):
            gone |= {self.asked.key} - found
            self.asked = None
        for key in sorted(gone):
            self.subscribe(key, now)
        new = sorted(found - self.confirmed)
        self.confirmed |= found
        return new

    def refused(self) -> Request | None:
        """The request that waited was answered by an error: which it was."""
        asked, self.asked = self.asked, None
        return asked

    def forget(self, name: str) -> None:
        """Want nothing more of a symbol."""
        self.since = {key: since for key, since in self.since.items() if key.name != name}
        self.confirmed = {key for key in self.confirmed if key.name != name}
        self._waiting = deque(request for request in self._waiting if request.key.name != name)

    def repeat(self, now: float) -> None:
        """Ask again for what is not confirmed for too long."""
        for key, since in list(self.since.items()):
            if key not in self.confirmed and now - since >= REPEAT_SECONDS:
                self.subscribe(key, now)

    def due(self, now: float) -> list[Command]:
        """What may be sent now: the next request, once the last was answered or has had its time."""
        if self.asked is not None and now - self._asked_at >= ANSWER_SECONDS:
            overdue = self.refused()
            if overdue is not None and overdue.operation == "unsubscribe":
                self.subscribe(overdue.key, now)
        if self.asked is None and self._waiting:
            self.asked, self._asked_at = self._waiting.popleft(), now
            self._paced.add(self._text(self.asked))
        return self._paced.due(now)

    def _add(self, request: Request) -> None:
        if request not in self._waiting:
            self._waiting.append(request)
