"""Ends a worker that has records to read and takes none, so that its supervisor starts another.

Faust's own watchdogs can't fire: they run in the event loop that hangs, and count events, of which a chunk is one
(DESIGN.md, "Faust, thinly"). This one is a thread with a client of its own, and asks two questions of each look:
has no task of the worker moved although there is something to read, and has a chunk that Faust was given lain there
untaken (an agent stuck in an await, while those of other topics go on)? Whoever must wait for older partitions to
catch up has been given no chunk and is left alone.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import KafkaException
from faust.types import TP

from COBY.config import Config
from COBY.runtime.offsets import Offsets
from COBY.utils.logging import get_logger
from streams.worker import Worker

if TYPE_CHECKING:
    from streams.transport import Consumer

EXIT_CODE = 4
LOOKS = 12
"""Within WATCHDOG_SECONDS."""
LEAVE_SECONDS = 5.0
"""Whoever hangs may hold the lock of the log: longer than this nobody waits for the last line."""
STACK_LINES = 8

log = get_logger(__name__)


class Look(NamedTuple):
    """One partition at one look. ``given``: the end of what Faust was given of it, None for nothing open."""

    next_offset: int
    end: int
    given: int | None

    @property
    def lags(self) -> bool:
        """Whether there is something to read."""
        return self.end > self.next_offset

    @property
    def untaken(self) -> bool:
        """Whether Faust holds a chunk that the task has not seen."""
        return self.lags and self.given is not None and self.given > self.next_offset


class Stall:
    """Judges looks: what has stood still for ``seconds``, with something to read all the while. Pure."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._looked = 0.0
        self._epoch = -1
        self._offsets: dict[TP, int] = {}
        self._since: dict[TP | None, float] = {}

    def reset(self) -> None:
        """Nothing can be said at the moment."""
        self._since.clear()

    def judge(self, now: float, epoch: int, looks: Mapping[TP, Look]) -> list[TP]:
        """The partitions that stand still; ``epoch``: rises with each rebalance and seek, which count as movement.

        Two looks far apart: the process itself was stopped meanwhile and gets its time anew.
        """
        offsets = {tp: look.next_offset for tp, look in looks.items()}
        if epoch != self._epoch or now - self._looked > self._seconds / 2:
            self.reset()
        self._standing(None, now, offsets == self._offsets and any(look.lags for look in looks.values()))
        for tp, look in looks.items():
            self._standing(tp, now, self._offsets.get(tp) == look.next_offset and look.untaken)
        for gone in self._since.keys() - looks.keys() - {None}:
            del self._since[gone]
        self._looked, self._epoch, self._offsets = now, epoch, offsets
        late = {tp for tp, since in self._since.items() if now - since >= self._seconds}
        return sorted(tp for tp, look in looks.items() if tp in late or (None in late and look.lags))

    def _standing(self, what: TP | None, now: float, stands: bool) -> None:
        if stands:
            self._since.setdefault(what, now)
        else:
            self._since.pop(what, None)


class Watchdog:
    """The thread. It ends the process by `leave`, with exit code 4."""

    def __init__(
        self,
        cfg: Config,
        worker: Worker,
        consumer: Callable[[], Any],
        idle: Callable[[], bool] = lambda: False,
    ) -> None:
        """``consumer`` gives Faust's (which is ours) once the worker is ready.

        ``idle``: whether the worker takes nothing on purpose.
        """
        self._worker = worker
        self._consumer: Callable[[], Consumer] = consumer
        self._idle = idle
        self._offsets = Offsets(cfg)
        self._seconds = float(cfg.watchdog_seconds)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more: the worker is about to end by itself. Does not wait for an answer that is outstanding."""
        self._stop.set()

    def _run(self) -> None:
        stall = Stall(self._seconds)
        while not self._stop.wait(self._seconds / LOOKS):
            looks = {} if self._idle() or not self._worker.ready else self._looks()
            if looks is None:
                stall.reset()
                continue
            epoch = self._consumer().epoch if self._worker.ready else -1
            stuck = stall.judge(time.monotonic(), epoch, looks)
            if stuck and not self._stop.is_set():
                leave(stuck, self._seconds, looks)

    def _looks(self) -> dict[TP, Look] | None:
        """Every partition of ours; None when no broker tells the ends: then it is not the worker that stands still."""
        # The end first: what the task takes meanwhile only makes the lag smaller.
        ours = [tp for tp, _ in list(self._worker.readers.items())]
        try:
            ends = self._offsets.ends([(tp.topic, tp.partition) for tp in ours])
        except (KafkaException, TimeoutError) as error:
            log.warning("watchdog_blind", error=str(error))
            return None
        readers, consumer = dict(list(self._worker.readers.items())), self._consumer()
        return {
            tp: Look(reader.next_offset, ends[tp.topic, tp.partition], consumer.given(tp))
            for tp, reader in readers.items()
            if (tp.topic, tp.partition) in ends
        }


def leave(stuck: list[TP], seconds: float, looks: Mapping[TP, Look]) -> None:
    """One line, and the end: what hangs would hang an orderly exit too. Nothing is lost, it comes again."""
    faulthandler.dump_traceback_later(LEAVE_SECONDS, exit=True)
    names = [f"{tp.topic}/{tp.partition} at {looks[tp].next_offset} of {looks[tp].end}" for tp in stuck]
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    stack = [line.strip() for line in traceback.format_stack(frame)[-STACK_LINES:]] if frame else []
    log.critical("stalled", seconds=seconds, partitions=names, exit_code=EXIT_CODE, stack=stack)
    sys.stderr.flush()
    os._exit(EXIT_CODE)
