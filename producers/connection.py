"""One connection of one slot: publishes what comes, and obeys its session's commands. Never parses a frame.

A connection is a WebSocket, for some exchanges several; all that comes has one order, that of its receipt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed

from COBY.exchanges.base import (
    Acknowledged,
    Ask,
    Command,
    Connect,
    Farewell,
    Fetch,
    Refused,
    Send,
    Session,
    Slot,
)
from COBY.utils.exceptions import ExchangeError
from producers.allowance import Allowance
from producers.raw import Observer, listed
from producers.raw_stream import Outlet, RawStream
from producers.rest import Rest
from producers.silence import Silence, Silent
from producers.sockets import Opener, Sockets

ANSWER_SECONDS = 15.0
"""Without any answer to its subscription for so long a connection is given up."""
BEAT_SECONDS = 1.0


class Wiring(NamedTuple):
    """What a connection is connected to inside: ``observe`` is told of each record put, ``on_change`` when
    something that a status shows has changed; ``now_seconds`` gives the time by a clock that never steps;
    ``messages``: how many messages all connections of the address may send, None: any number; ``opener`` opens a
    socket, None: the WebSocket library does; ``silence_seconds`` is the exchange's; ``on_silent`` is told of
    each channel that is subscribed anew because it says nothing.
    """

    publisher: Outlet
    rest: Rest
    observe: Observer
    on_change: Callable[[], None]
    now_seconds: Callable[[], float]
    messages: Allowance | None = None
    opener: Opener | None = None
    silence_seconds: float = 60.0
    on_silent: Callable[[Silent], None] = lambda _silent: None


class Connection:
    """One session's sockets, from `open` to the end of `run`. All its records share ``conn`` and ``seq``."""

    def __init__(self, conn: str, slot: Slot, session: Session, wiring: Wiring) -> None:
        """``conn`` is unique; ``session`` is new and made for the listed symbols of ``slot``."""
        self.conn = conn
        self.slot = slot
        self.url = ""
        self.stream = RawStream(wiring.publisher, slot.name, conn, wiring.observe, self._resumed)
        self.acknowledged: set[tuple[str, str]] = set()
        self.refused: dict[str | None, str] = {}
        self.farewell = asyncio.Event()
        self.subscribed_at: float | None = None
        self.reader: asyncio.Task[str] | None = None
        self._session = session
        self._wiring = wiring
        self._sockets = Sockets(wiring.messages or Allowance(None), wiring.opener)
        self._group: asyncio.TaskGroup | None = None
        self._running = asyncio.Event()
        self._started_at: float | None = None
        self._fetching: dict[str, Fetch | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reason: str | None = None
        self._answer = asyncio.Event()
        self._silence = Silence(session.heard, wiring.silence_seconds)

    async def open(self) -> None:
        """Open the sockets and write `connected`.

        ExchangeError `exchange.unreachable`, `exchange.unusable_answer`: no socket is left open.
        """
        target, is_secret = await self._target()
        self.url = await self._sockets.open(target, is_secret)
        slot = self.slot
        self.stream.event(
            "connected", exchange=slot.exchange, slot=slot.name, symbols=listed(slot), url=self.url
        )

    async def start(self) -> None:
        """Send what the session sends first: the subscription of the whole slot. Once; needs `run` to run."""
        await self._running.wait()
        if self._started_at is None:
            self._started_at = self._wiring.now_seconds()
            await self.obey(self._session.opened(self._started_at))

    async def run(self) -> str:
        """Read until the end of the connection; writes `disconnected` and returns its reason."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._running.set()
                self._side(self._beat())
                self._side(self._sockets.send_in_turn())
                reason = await self._read()
                for task in list(self._tasks):
                    task.cancel()
            self._reason = self._reason or reason
        finally:
            self._group = None
            self._reason = self._reason or "cancelled"
            self.stream.close(self._reason)
            self._answered()
            await self._sockets.close()
        return self._reason

    async def close(self, reason: str) -> None:
        """End the connection; `run` returns soon."""
        self._reason = self._reason or reason
        await self._sockets.close()

    async def obey(self, commands: list[Command], socket: int = 0) -> None:
        """Do what the session wants, in order; ``socket``: where the frame came from that it answers.

        A closed socket is no error here: `run` ends for it.
        """
        for command in commands:
            if isinstance(command, Send):
                await self._sockets.send(command.text, socket if command.socket is None else command.socket)
            elif isinstance(command, Fetch):
                self._fetch(command)
            elif isinstance(command, Acknowledged):
                self._acknowledge(command)
            elif isinstance(command, Refused):
                await self._refuse(command)
            elif isinstance(command, Farewell):
                self.farewell.set()
            else:
                raise AssertionError(f"a session may not ask an open connection for {command}")

    async def resync(self, symbol: str, reason: str, age_seconds: float = 0.0) -> None:
        """Bring the book's snapshot anew."""
        await self.obey(self._session.resync(symbol, reason, self._wiring.now_seconds(), age_seconds))

    async def wait_acknowledged(self, symbol: str, channel: str) -> None:
        """Until the exchange has confirmed. ExchangeError exchange.refused, .disconnected or .unanswered."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while (symbol, channel) not in self.acknowledged:
                    if refusal := self.refused.get(symbol) or self.refused.get(None):
                        raise ExchangeError("exchange.refused", refusal, where=self.url)
                    if self._reason is not None:
                        raise ExchangeError("exchange.disconnected", self._reason, where=self.url)
                    await self._answer.wait()
        except TimeoutError as error:
            message = f"{channel} of {symbol} was not confirmed within {ANSWER_SECONDS:g} s"
            raise ExchangeError("exchange.unanswered", message, where=self.url) from error

    async def _target(self) -> tuple[Connect, bool]:
        """Where to connect, and whether an answer had to be asked for, which may have put a token into the urls."""
        target = self._session.connect()
        is_secret = isinstance(target, Ask)
        while isinstance(target, Ask):
            url = target.url
            answer = await self._wiring.rest.ask(url, target.method)
            try:
                target = self._session.connect(answer)
            except ValueError as error:
                raise ExchangeError("exchange.unusable_answer", str(error), where=url) from error
        return target, is_secret

    async def _read(self) -> str:
        """Read all sockets until one of them ends; its reason."""
        assert len(self._sockets), "open() comes first"
        if len(self._sockets) == 1:
            return await self._read_socket(0)
        assert self._group is not None
        readers = [self._group.create_task(self._read_socket(number)) for number in range(len(self._sockets))]
        try:
            await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reader in readers:
                reader.cancel()
        return next(reader.result() for reader in readers if reader.done())

    async def _read_socket(self, number: int) -> str:
        stream, session, now = self.stream, self._session, self._wiring.now_seconds
        try:
            while True:
                frame = await self._sockets.receive(number)
                stream.frame(frame)
                at = now()
                self._silence.take(frame, at)
                if commands := session.received(frame, at):
                    await self.obey(commands, number)
        except ConnectionClosed as closed:
            return str(closed)

    async def _beat(self) -> None:
        """Once a second: `alive`, what the session's timer wants, and whether an answer is overdue."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self.stream.alive()
            if self._started_at is None:
                continue
            now = self._wiring.now_seconds()
            await self.obey(self._session.timer(now))
            if (silent := self._silence.due(now)) is not None:
                self._wiring.on_silent(silent)
                await self.obey(self._session.again(silent.symbol, silent.channel, now))
            if not self.acknowledged and now - self._started_at > ANSWER_SECONDS:
                await self.close("the subscription was not confirmed")

    def _side(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fetch(self, command: Fetch) -> None:
        """One request per url at a time; one asked for meanwhile follows, as the answer may be too old."""
        if command.url in self._fetching:
            self._fetching[command.url] = command
        elif self._group is not None:
            self._fetching[command.url] = None
            self._side(self._fetched(command))

    async def _fetched(self, command: Fetch) -> None:
        wanted: Fetch | None = command
        while wanted is not None:
            await asyncio.sleep(wanted.delay_seconds)
            self._fetching[wanted.url] = None
            self.stream.body(await self._wiring.rest.get(wanted.url), wanted.url, wanted.symbol)
            wanted = self._fetching[command.url]
        del self._fetching[command.url]

    def _acknowledge(self, command: Acknowledged) -> None:
        pairs = {(symbol, channel) for symbol in command.symbols for channel in command.channels}
        self.acknowledged |= pairs
        now = self._wiring.now_seconds()
        self._silence.expect(pairs, now)
        if self.subscribed_at is None:
            self.subscribed_at = now
        self.stream.event("subscribed", symbols=command.symbols, channels=command.channels)
        self._answered()

    async def _refuse(self, command: Refused) -> None:
        self.refused[command.symbol] = command.reason
        self.stream.event(
            "refused", symbol=command.symbol, reason=command.reason, not_listed=command.not_listed
        )
        self._answered()
        if command.not_listed and command.symbol is not None:
            self._silence.forget(command.symbol)
        if command.symbol is None:
            await self.close(f"refused: {command.reason}")

    def _answered(self) -> None:
        self._answer.set()
        self._answer = asyncio.Event()
        self._wiring.on_change()

    def _resumed(self) -> None:
        """Frames were dropped: every book of the connection needs a new snapshot."""
        if self._group is not None:
            self._side(self._resync_all())

    async def _resync_all(self) -> None:
        for symbol in listed(self.slot):
            await self.resync(symbol, "dropped")
