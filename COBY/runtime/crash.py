"""Named crash points: where a fault test has a process killed by itself, in the midst of something.

Armed by one variable of the environment, which is no setting of the programs: ``COBY_CRASH_POINT=streams.delivered:3``
kills the process (SIGKILL, nothing is flushed or closed) when it passes that point for the third time.
``COBY_CRASH_POINT=@PATH`` names a file that holds such a text: it is looked for at every pass, so that a point can be
armed while the process runs, and is taken away by the one process that dies of it, so that none dies of it twice.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from COBY.utils.exceptions import ConfigurationError

VARIABLE = "COBY_CRASH_POINT"
POINTS = {
    "streams.processed": "a task has taken a chunk, none of its outputs is queued",
    "streams.producing": "half of a chunk's outputs are queued for Kafka",
    "streams.produced": "all of a chunk's outputs are queued, and perhaps not delivered",
    "streams.delivered": "the outputs before a snapshot are delivered, the snapshot is not written",
    "streams.saved": "a snapshot is delivered, its offset not yet committed",
    "timescale.moved": "the progress is moved, no row is written",
    "timescale.copied": "rows are copied into the temporary table, not yet into their own",
    "timescale.upserted": "the rows of one table are written, perhaps not those of the others",
    "timescale.written": "all rows and the progress are written, not committed",
    "timescale.committed": "the database has committed, the sink has not used its answer",
}
"""Name -> the moment."""


class Point(NamedTuple):
    """What is armed: the process dies at the pass of the point ``name`` with this number, from 1."""

    name: str
    number: int


def parse(text: str) -> Point:
    """``name`` or ``name:count`` -> Point. ConfigurationError `config.invalid`."""
    name, _, count = text.strip().partition(":")
    if name not in POINTS or not (count or "1").isdecimal() or count == "0":
        allowed = f"one of {' '.join(POINTS)}, and :1 or more after it"
        raise ConfigurationError("config.invalid", f"{VARIABLE}: {text.strip()!r}", allowed=allowed)
    return Point(name, int(count or 1))


class Crash:
    """What this process was armed with."""

    def __init__(self, text: str, kill: Callable[[], None]) -> None:
        """``text``: the variable's value; ``kill`` ends the process."""
        self._file = Path(text[1:]) if text.startswith("@") else None
        self._fixed = None if self._file else parse(text)
        self._kill = kill
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
        """Take the file away; False if another process has died of it."""
        if self._file is None:
            return True
        try:
            self._file.unlink()
        except FileNotFoundError:
            return False
        return True


_crash: Crash | None = None


def arm(environ: Mapping[str, str] = os.environ, kill: Callable[[], None] | None = None) -> None:
    """Called once, where a program starts. Without the variable `reached` does nothing from then on.

    ConfigurationError `config.invalid`: no such point, or no such count. ``kill``: else SIGKILL to this process.
    """
    global _crash
    text = environ.get(VARIABLE)
    _crash = Crash(text, kill or _kill_self) if text else None


def reached(name: str) -> None:
    """Say that the point of this name is passed."""
    if _crash is not None:
        _crash.reached(name)


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
