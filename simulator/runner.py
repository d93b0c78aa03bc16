"""Sends a source's frames at their time: start, pace, pause, faults. The only place that waits."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from simulator.hub import Hub, now_ms
from simulator.mischief import Mischief
from simulator.sources import Source

# Without a pause the loop would send a whole recording before it answered one REST request.
EVENTS_PER_TURN = 32
SLEEP_SECONDS_MAX = 0.1
# What is due within this time goes out together: at 20,000 frames a second a wake for each would cost more
# than the frame.
SLEEP_SECONDS_MIN = 0.001


class Pace(msgspec.Struct, frozen=True):
    """speed: times the source's own pace, 0 = as fast as clients read. settle_seconds: quiet time after the
    last subscription before the start. snapshot_wait_seconds: how long a recording waits for someone to fetch
    its REST body before it goes past it. base_ms: the exchange's clock at the start, None = the wall's.
    """

    speed: float = 1.0
    settle_seconds: float = 0.2
    snapshot_wait_seconds: float = 5.0
    base_ms: int | None = None


class Runner:
    """One exchange's market in motion. States: waiting, running, paused, ended, stopped."""

    def __init__(self, hub: Hub, source: Source, pace: Pace, mischief: Mischief) -> None:
        self._hub, self._source, self._pace, self._mischief = hub, source, pace, mischief
        self._paused = self._stopped = False
        self._position_us = 0
        self._anchor = 0.0
        self._offset_us = 0

    @property
    def state(self) -> str:
        return self._hub.ledger.state

    @property
    def position_us(self) -> int:
        """The market time of the last event sent."""
        return self._position_us

    async def run(self) -> None:
        """Until the source ends or is stopped; connections stay."""
        await self._until(self._listened, settle=True)
        base_ms = now_ms() if self._pace.base_ms is None else self._pace.base_ms
        self._offset_us = base_ms * 1000
        self._anchor = time.monotonic()
        self._enter("running")
        while not self._stopped and self._source.peek_us() is not None:
            wait = await self._turn()
            await self._hub.flush()
            await asyncio.sleep(min(max(wait, SLEEP_SECONDS_MIN), SLEEP_SECONDS_MAX) if wait else 0)
        self._enter("stopped" if self._stopped else "ended")

    async def _turn(self) -> float:
        """Send what is due, up to a turn's worth; seconds to the next event, 0 when it is due already."""
        for _ in range(EVENTS_PER_TURN):
            due_us = self._source.peek_us()
            if due_us is None:
                break
            if self._is_held():
                await self._hub.flush()
                await self._gates()
            if self._stopped:
                break
            wait = self._seconds_to(due_us)
            if wait > 0:
                return wait
            self._send_next(due_us)
        return 0.0

    def pause(self) -> None:
        self._paused = True
        self._changed()

    def resume(self) -> None:
        self._paused = False
        self._changed()

    def stop(self) -> None:
        """For good: no frame follows."""
        self._stopped = True
        self._changed()

    def _send_next(self, due_us: int) -> None:
        self._position_us = due_us
        mischief = self._mischief
        for frame in self._source.take(self._offset_us):
            if mischief.is_armed and self._hub.listened((frame.stream,)):
                fate = mischief.fate(frame)
                self._hub.send(frame, fate, mischief.spoil(fate))
            else:
                self._hub.send(frame)

    def _is_held(self) -> bool:
        return self._paused or (self._source.needs_listener and self._has_to_wait())

    def _has_to_wait(self) -> bool:
        """A recording: for a listener, or for someone to fetch its REST body."""
        frame = self._source.unread_snapshot()
        return not self._listened() or (frame is not None and self._hub.listened((frame.stream,)))

    async def _gates(self) -> None:
        """Wait while paused, while a recording has no listener, while its REST body is unread."""
        if self._paused:
            self._enter("paused")
            await self._until(lambda: not self._paused)
            self._enter("running")
        if self._source.needs_listener and not self._listened():
            self._enter("waiting")
            await self._until(self._listened, settle=True)
            self._enter("running")
        frame = self._source.unread_snapshot()
        if frame is not None and self._hub.listened((frame.stream,)):
            await self._until(
                lambda: self._source.unread_snapshot() is None, seconds=self._pace.snapshot_wait_seconds
            )
            self._source.skip_snapshot(frame.symbol)

    async def _until(
        self, ready: Callable[[], bool], *, settle: bool = False, seconds: float | None = None
    ) -> None:
        """Market time stands still meanwhile. Ends early when stopped, or after `seconds`."""
        began = time.monotonic()
        while not self._stopped and not (ready() and not (settle and await self._unsettled())):
            left = None if seconds is None else began + seconds - time.monotonic()
            if left is not None and left <= 0:
                break
            self._hub.changed.clear()
            try:
                await asyncio.wait_for(self._hub.changed.wait(), left)
            except TimeoutError:
                break
        waited = time.monotonic() - began
        self._anchor += waited
        self._offset_us += int(waited * 1_000_000)

    async def _unsettled(self) -> bool:
        """Wait until no subscription of any exchange has changed for a while, so that markets whose clients
        come together begin together; True if listeners went away meanwhile.
        """
        while (left := self._hub.quiet.since + self._pace.settle_seconds - time.monotonic()) > 0:
            await asyncio.sleep(left)
        return not self._listened()

    def _listened(self) -> bool:
        return self._hub.listened(self._source.streams)

    def _seconds_to(self, due_us: int) -> float:
        if not self._pace.speed:
            return 0.0
        return self._anchor + due_us / 1e6 / self._pace.speed - time.monotonic()

    def _enter(self, state: str) -> None:
        ledger = self._hub.ledger
        ledger.state = state
        ledger.event(state, now_ms(), position_us=self._position_us)

    def _changed(self) -> None:
        self._hub.changed.set()
