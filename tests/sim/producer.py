"""A producer on the virtual clock: what producers/ does with sessions, sockets, REST and requests for resyncs.

The rules are those of producers/supervisor.py, connection.py, rest.py and control.py, the delays those of
producers/backoff.py; the network takes seeded milliseconds.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Protocol

from COBY.exchanges.base import Acknowledged, Ask, Command, Farewell, Fetch, Refused, Send, Session
from COBY.records import Resync
from producers.backoff import Backoff, Limiter
from producers.connection import ANSWER_SECONDS
from producers.control import BURST, EACH_SECONDS
from producers.rest import BASE_SECONDS, CAP_SECONDS
from simulator.mischief import Pipe
from simulator.venue import Answer, Peer
from tests.sim.truth import Reading

SECOND_US = 1_000_000
KEEPALIVE_US = 20 * SECOND_US
"""websockets sends a ping so often, and gives the connection up when it is not answered for as long."""


class Link:
    """One connection: the producer's session, the exchange's ends of its sockets, the pipes between them."""

    def __init__(self, name: str, session: Session) -> None:
        self.name, self.session = name, session
        self.peers: list[Peer] = []
        """The exchange's ends, in the order of their numbers."""
        self.pipes: list[Pipe] = []
        self.seq = 0
        self.is_open = False
        self.opened_us = 0
        self.subscribed_us: int | None = None
        self.acknowledged: set[tuple[str, str]] = set()
        self.refused: set[str] = set()
        self.says_farewell = False
        self.readings: dict[str, Reading] = {}
        self.sent_us: list[int] = []
        """When each request was sent."""
        self._arrived_us: dict[int, int] = {}
        self._fetching: dict[str, Fetch | None] = {}
        self._pinged_us: int | None = None

    def arrival_us(self, socket: int, now_us: int, network_us: int) -> int:
        """Requests of one socket arrive in the order sent."""
        self._arrived_us[socket] = max(now_us + network_us, self._arrived_us.get(socket, 0))
        return self._arrived_us[socket]

    def fetches(self, command: Fetch) -> bool:
        """Whether to begin; one asked for meanwhile follows, as the answer may be too old."""
        is_free = command.url not in self._fetching
        self._fetching[command.url] = None if is_free else command
        return is_free

    def begun(self, url: str) -> None:
        """The request is being sent."""
        self._fetching[url] = None

    def fetched(self, url: str) -> Fetch | None:
        """An answer came: the request that waited for it, if any."""
        return self._fetching.pop(url)

    def is_given_up(self, now_us: int) -> bool:
        """Whether the client's own ping has been without an answer for too long."""
        answered = all(pipe.pongs(now_us) for pipe in self.pipes)
        if (now_us - self.opened_us) // KEEPALIVE_US > (now_us - SECOND_US - self.opened_us) // KEEPALIVE_US:
            if self._pinged_us is not None:
                return not answered
            self._pinged_us = None if answered else now_us
        elif answered:
            self._pinged_us = None
        return False


class Outside(Protocol):
    """What a producer is told of: its exchange beyond the network, the clock, and who takes its records."""

    now_us: int

    def after(self, delay_us: int, act: Callable[[], None]) -> None: ...
    def network_us(self) -> int: ...
    def ask(self, command: Ask) -> Answer: ...
    def handshake(self, link: Link, urls: list[str]) -> bool: ...
    def request(self, link: Link, text: str, socket: int) -> None: ...
    def rest(self, url: str) -> tuple[Answer, int]: ...
    def record(self, link: Link, kind: str, value: bytes, symbol: str | None, url: str | None) -> None: ...
    def opened(self, link: Link) -> None: ...


class Producer:
    """Keeps one slot connected."""

    def __init__(self, outside: Outside, name: str, make: Callable[[], Session], seed: str) -> None:
        self._outside, self._name, self._make = outside, name, make
        self._random = Random(seed)
        self._backoff = Backoff(self._random.random)
        self._limiter = Limiter(BURST, EACH_SECONDS)
        self._waiting: set[tuple[str, str]] = set()
        self._not_before_us = 0
        self.links: list[Link] = []
        """Those open, the newest last."""
        self.ever: list[Link] = []
        self.opened = 0
        self.attempts_us: list[int] = []
        self.fetches_us: list[tuple[int, str]] = []
        self.refusals: Counter[str] = Counter()
        self.waits: list[tuple[int, int]] = []
        """(since, until) of the waits that refusals have brought about."""

    @property
    def _now(self) -> float:
        return self._outside.now_us / SECOND_US

    def attempt(self, replaced: Link | None = None) -> None:
        """Connect; `replaced` stays until this one has taken over."""
        if replaced is not None and not replaced.is_open:
            return  # it has ended meanwhile, and that brought about an attempt of its own
        self.opened += 1
        link = Link(f"{self._name}-{self.opened}", self._make())
        self.attempts_us.append(self._outside.now_us)
        target = link.session.connect()
        while isinstance(target, Ask):
            answer = self._outside.ask(target)
            if is_refusal(answer):
                self._failed(replaced)
                return
            try:
                target = link.session.connect(answer.body.encode())
            except ValueError:
                self._failed(replaced)
                return
        if not self._outside.handshake(link, [target.url, *target.more]):
            self._failed(replaced)
            return
        link.is_open, link.opened_us = True, self._outside.now_us
        self.links.append(link)
        self.ever.append(link)
        self._event(link, event="connected")
        self._outside.opened(link)
        self.obey(link, link.session.opened(self._now))
        self._outside.after(round(ANSWER_SECONDS * SECOND_US), lambda: self._unanswered(link))

    def received(self, link: Link, frame: bytes, socket: int) -> None:
        """A frame has arrived."""
        self._record(link, "ws", frame)
        self.obey(link, link.session.received(frame, self._now), socket)

    def ended(self, link: Link, reason: str) -> None:
        """The connection has ended; another is made, unless one has taken over already."""
        if not link.is_open:
            return
        self._event(link, event="disconnected", reason=reason)
        link.is_open = False
        self.links.remove(link)
        if self.links:
            return
        if link.subscribed_us is None:
            self._failed(None)
            return
        lived_us = self._outside.now_us - link.subscribed_us
        self._wait(self._backoff.ended(lived_us / SECOND_US, self._now), None)

    def second(self) -> None:
        """Once a second: `alive`, the sessions' timers, and the keepalive of the sockets."""
        for link in list(self.links):
            self._event(link, event="alive")
            self.obey(link, link.session.timer(self._now))
            if link.is_open and link.is_given_up(self._outside.now_us):
                self.ended(link, "keepalive ping timeout")

    def resync(self, request: Resync) -> None:
        """A request of normalize has arrived."""
        key = (request.conn, request.symbol)
        if key in self._waiting:
            return
        self._waiting.add(key)
        self._serve(request)

    def obey(self, link: Link, commands: list[Command], socket: int = 0) -> None:
        """Do what the session wants, in order."""
        for command in commands:
            if not link.is_open:
                return
            if isinstance(command, Send):
                self._send(link, command.text, socket if command.socket is None else command.socket)
            elif isinstance(command, Fetch):
                if link.fetches(command):
                    self._later(link, command)
            elif isinstance(command, Acknowledged):
                self._acknowledged(link, command)
            elif isinstance(command, Refused):
                self._refused(link, command)
            else:
                assert isinstance(command, Farewell), command
                self._farewell(link)

    def _unanswered(self, link: Link) -> None:
        if link.is_open and not link.acknowledged:
            self.ended(link, "the subscription was not confirmed")

    def _failed(self, replaced: Link | None) -> None:
        self._wait(self._backoff.failed(self._now), replaced)

    def _wait(self, seconds: float, replaced: Link | None) -> None:
        delay_us = round(seconds * SECOND_US)
        self.waits.append((self._outside.now_us, self._outside.now_us + delay_us))
        self._outside.after(delay_us, lambda: self.attempt(replaced))

    def _farewell(self, link: Link) -> None:
        """Make before break."""
        if not link.says_farewell:
            link.says_farewell = True
            self.attempt(link)

    def _acknowledged(self, link: Link, command: Acknowledged) -> None:
        link.acknowledged |= {(name, channel) for name in command.symbols for channel in command.channels}
        if link.subscribed_us is None:
            link.subscribed_us = self._outside.now_us
            self._backoff.subscribed()
        self._event(link, event="subscribed", symbols=command.symbols, channels=command.channels)
        for old in [old for old in self.links if old.says_farewell and old is not link]:
            if {pair for pair in old.acknowledged if pair[0] not in link.refused} <= link.acknowledged:
                handover_us = round(self._backoff.handover_seconds * SECOND_US)
                self._outside.after(handover_us, lambda old=old: self._handed_over(old, link))  # type: ignore[misc]

    def _handed_over(self, old: Link, new: Link) -> None:
        if new.is_open:
            self.ended(old, "farewell")

    def _refused(self, link: Link, command: Refused) -> None:
        self.refusals[command.reason] += 1
        link.refused.add(command.symbol or "")
        self._event(
            link, event="refused", symbol=command.symbol, reason=command.reason, not_listed=command.not_listed
        )
        if command.symbol is None:
            self.ended(link, f"refused: {command.reason}")

    def _send(self, link: Link, text: str, socket: int) -> None:
        now_us = self._outside.now_us
        link.sent_us.append(now_us)
        arrives_us = link.arrival_us(socket, now_us, self._outside.network_us())
        self._outside.after(arrives_us - now_us, lambda: self._outside.request(link, text, socket))

    def _later(self, link: Link, command: Fetch) -> None:
        self._outside.after(round(command.delay_seconds * SECOND_US), lambda: self._get(link, command, 0))

    def _get(self, link: Link, command: Fetch, failures: int) -> None:
        """One request, after any pause that a refusal has asked for; tried again as long as that has no body."""
        if not link.is_open:
            return
        if (pause_us := self._not_before_us - self._outside.now_us) > 0:
            self._outside.after(pause_us, lambda: self._get(link, command, failures))
            return
        if not failures:
            link.begun(command.url)
        self.fetches_us.append((self._outside.now_us, command.url))

        def asked() -> None:
            answer, late_us = self._outside.rest(command.url)
            self._outside.after(
                self._outside.network_us() + late_us, lambda: self._got(link, command, failures, answer)
            )

        self._outside.after(self._outside.network_us(), asked)

    def _got(self, link: Link, command: Fetch, failures: int, answer: Answer) -> None:
        if not link.is_open:
            return
        now_us = self._outside.now_us
        if is_refusal(answer):
            delay = self._random.random() * min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(failures, 10))
            if answer.status in (418, 429):
                delay = max(delay, float(answer.headers.get("Retry-After", BASE_SECONDS)))
                self._not_before_us = now_us + round(delay * SECOND_US)
            self.waits.append((now_us, now_us + round(delay * SECOND_US)))
            self._outside.after(round(delay * SECOND_US), lambda: self._get(link, command, failures + 1))
            return
        self._record(link, "http", answer.body.encode(), command.symbol, command.url)
        if (following := link.fetched(command.url)) is not None and link.fetches(following):
            self._later(link, following)

    def _serve(self, request: Resync) -> None:
        if (wait_seconds := self._limiter.wait(request.symbol, self._now)) > 0:
            self._outside.after(math.ceil(wait_seconds * SECOND_US), lambda: self._serve(request))
            return
        self._waiting.discard((request.conn, request.symbol))
        for link in [link for link in self.links if link.name == request.conn]:
            self._limiter.take(request.symbol, self._now)
            age = (self._outside.now_us - request.timestamp) / SECOND_US
            self.obey(link, link.session.resync(request.symbol, request.reason, self._now, max(0.0, age)))

    def _event(self, link: Link, **fields: object) -> None:
        self._record(link, "event", json.dumps(fields).encode())

    def _record(
        self, link: Link, kind: str, value: bytes, symbol: str | None = None, url: str | None = None
    ) -> None:
        link.seq += 1
        self._outside.record(link, kind, value, symbol, url)


def is_refusal(answer: Answer) -> bool:
    """An answer whose request is made again."""
    return answer.status in (418, 429) or answer.status >= 500


def most(times_us: list[int], within_us: int) -> int:
    """The most of the times, sorted, that lie within so long."""
    best = first = 0
    for place, time_us in enumerate(times_us):
        while times_us[first] <= time_us - within_us:
            first += 1
        best = max(best, place - first + 1)
    return best
