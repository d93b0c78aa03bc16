"""Named crash points: where a fault test has a process killed by itself, or hang, in the midst of something.

Armed by one variable of the environment, which is no setting of the programs: ``COBY_CRASH_POINT=streams.delivered:3``
kills the process (SIGKILL, nothing is flushed or closed) when it passes that point for the third time; with
``streams.delivered:3:hang`` the thread that passes it never goes on, and with it the event loop it serves.
``COBY_CRASH_POINT=@PATH`` names a file that holds such a text: it is looked for at every pass, so that a point can be
armed while the process runs, and is taken away by the one process that it hits, so that none is hit twice.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from COBY.utils.exceptions import ConfigurationError

VARIABLE = "COBY_CRASH_POINT"
HANG = "hang"
POINTS = {
    "streams.processed": "a task has taken a chunk, none of its outputs is queued",
    "streams.producing": "half of a chunk's outputs are queued for Kafka",
    "streams.produced": "all of a chunk's outputs are queued, and perhaps not delivered",
    "streams.delivered": "the outputs before a snapshot are delivered, the snapshot is not written",
    "streams.saved": "a snapshot is delivered, its offset not yet committed",
    "player.released": "a record of a replay is queued, and perhaps not delivered",
    "player.told": "a place is queued behind the records before it",
    "timescale.moved": "the progress is moved, no row is written",
    "timescale.copied": "rows are copied into the temporary table, not yet into their own",
    "timescale.upserted": "the rows of one table are written, perhaps not those of the others",
    "timescale.written": "all rows and the progress are written, not committed",
    "timescale.committed": "the database has committed, the sink has not used its answer",
}
"""Name -> the moment."""


class Point(NamedTuple):
    """What is armed: the process dies (or hangs) at the pass of the point ``name`` with this number, from 1."""

    name: str
    number: int
    hangs: bool = False


def parse(text: str) -> Point:
    """``name``, ``name:count`` or ``name:count:hang`` -> Point. ConfigurationError `config.invalid`."""
    name, *more = text.strip().split(":")
    count, how = (more + ["1", ""][len(more) :])[:2]
    well = name in POINTS and count.isdecimal() and int(count) > 0 and len(more) < 3
    if not well or (len(more) == 2 and how != HANG):
        allowed = f"one of {' '.join(POINTS)}, and :1 or more after it, and :{HANG} after that"
        raise ConfigurationError("config.invalid", f"{VARIABLE}: {text.strip()!r}", allowed=allowed)
    return Point(name, int(count), len(more) == 2)


class Crash:
    """What this process was armed with."""

    def __init__(self, text: str, kill: Callable[[], None], hang: Callable[[], None]) -> None:
        """``text``: the variable's value; ``kill`` ends the process, ``hang`` never returns."""
        self._file = Path(text[1:]) if text.startswith("@") else None
        self._fixed = None if self._file else parse(text)
        self._kill, self._hang = kill, hang
        self._counted: Point | None = None
        self._passes = 0

    def reached(self, name: str) -> None:
        """One pass of this point."""
        armed = self._fixed or self._read()
        if armed is None or armed.name != name:
            return
        if armed != self._counted:
            self._counted, self._passes = armed, 0
        self._passes += 1
        if self._passes >= armed.number and self._take():
            if armed.hangs:
                self._hang()
            else:
                self._kill()

    def _read(self) -> Point | None:
        assert self._file is not None
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            self._counted = None  # the next one counts anew, even if it is the same
            return None
        return parse(text)

    def _take(self) -> bool:
        """Take the file away; False if another process was hit by it."""
        if self._file is None:
            return True
        try:
            self._file.unlink()
        except FileNotFoundError:
            return False
        return True


_crash: Crash | None = None


def arm(
    environ: Mapping[str, str] = os.environ,
    kill: Callable[[], None] | None = None,
    hang: Callable[[], None] | None = None,
) -> None:
    """Called once, where a program starts. Without the variable `reached` does nothing from then on.

    ConfigurationError `config.invalid`: no such point, or no such count. ``kill``: else SIGKILL to this process;
    ``hang``: else sleep without end.
    """
    global _crash
    text = environ.get(VARIABLE)
    _crash = Crash(text, kill or _kill_self, hang or _sleep) if text else None


def reached(name: str) -> None:
    """Say that the point of this name is passed."""
    if _crash is not None:
        _crash.reached(name)


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _sleep() -> None:
    while True:
        time.sleep(3_600)
