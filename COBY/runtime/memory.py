"""A bound on a process' memory: near it the process ends in order and starts anew; soon again, it takes nothing new.

At 80 % of MAX_MEMORY_USAGE a program is stopped as by SIGTERM (it snapshots, flushes, leaves its groups) and then
replaces itself by a fresh one of the same command (execve). A second time within ten minutes it stays, because starting
anew did not help: `Memory.full` holds, by which every intake goes, /health/ready answers 503 and coby_memory_full is 1.

That the last start was for want of memory, and when, is handed on in the environment of the fresh process. A file
would need a place that outlives a container and a name that tells two workers apart; a topic would need the broker,
whose absence is what fills memories. An exit would leave the environment to a supervisor that knows nothing of it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from functools import cache
from typing import NoReturn

import psutil

from COBY.runtime.metrics import metrics
from COBY.utils.logging import get_logger

MIB = 1024 * 1024
STARTED_ANEW = "COBY_MEMORY_STARTED_ANEW"
"""In our own environment: the machine's CLOCK_MONOTONIC at the last start for want of memory."""
HIGH, LOW = 0.8, 0.7
"""Shares of MAX_MEMORY_USAGE: full at the first, no longer full below the second."""
APART_SECONDS = 600.0
LOOK_SECONDS = 0.5
GRACE_SECONDS = 30.0
UNDRAINED = 3
"""A stop that takes longer ends the process with this, as one by a signal does: what was not delivered comes again."""

log = get_logger(__name__)


class Verdict(Enum):
    """What a look at the memory leads to."""

    WELL = auto()
    START_ANEW = auto()
    STAY = auto()


class Pressure:
    """Judges the memory in use. Pure: times are seconds of one clock."""

    def __init__(self, limit_bytes: int, started_anew: float | None) -> None:
        """``limit_bytes``: MAX_MEMORY_USAGE; ``started_anew``: when that was last necessary, None for never."""
        self._limit = limit_bytes
        self._started_anew = started_anew
        self._stays = False

    def judge(self, now: float, used_bytes: int) -> Verdict:
        """Who stays goes on staying until the memory is below 70 %, however long that takes."""
        if self._stays:
            self._stays = used_bytes >= LOW * self._limit
            return Verdict.STAY if self._stays else Verdict.WELL
        if used_bytes < HIGH * self._limit:
            return Verdict.WELL
        last = self._started_anew
        self._stays = last is not None and now - last < APART_SECONDS
        return Verdict.STAY if self._stays else Verdict.START_ANEW


class Memory:
    """The memory of this process. Attributes may be read from any thread."""

    def __init__(self) -> None:
        self.full = False
        """Take nothing new."""
        self.used_bytes = 0
        self.limit_bytes = 0
        self._wanted = False
        self._asked_to_stop = False

    @contextmanager
    def watched(self, limit_mib: int, stop: Callable[[], object]) -> Iterator[None]:
        """Look at the memory while the program runs; ``stop`` begins its orderly end. Follow it by `start_anew`."""
        self.limit_bytes, ended = limit_mib * MIB, threading.Event()
        pressure = Pressure(self.limit_bytes, _handed_on())
        watcher = threading.Thread(
            target=self._watch, args=(pressure, stop, ended), name="memory", daemon=True
        )
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def asked_to_stop(self) -> None:
        """By a signal, which goes first: the process ends and is not started anew from within."""
        self._asked_to_stop = True

    @property
    def starts_anew(self) -> bool:
        """Whether a fresh process is to follow this one."""
        return self._wanted and not self._asked_to_stop

    def start_anew(self) -> None:
        """Become a fresh process of the same command, if that is wanted: in the main thread, at its end."""
        if self.starts_anew:
            _replace()

    def check(self) -> tuple[bool, str]:
        """For /health/ready."""
        used = f"{self.used_bytes // MIB} of {self.limit_bytes // MIB} MiB"
        return not self.full, f"{used}, takes nothing new" if self.full else used

    def _watch(self, pressure: Pressure, stop: Callable[[], object], ended: threading.Event) -> None:
        process, shown = psutil.Process(), metrics().memory_full
        while not ended.wait(LOOK_SECONDS):
            self.used_bytes = process.memory_info().rss
            verdict = pressure.judge(time.monotonic(), self.used_bytes)
            facts = {"used_mib": self.used_bytes // MIB, "limit_mib": self.limit_bytes // MIB}
            if verdict is Verdict.START_ANEW:
                log.warning("memory_start_anew", **facts)
                self._wanted = True
                stop()
                if not ended.wait(GRACE_SECONDS):
                    # Not from here by execve: what ties a process to its supervisor belongs to the main thread.
                    log.critical("memory_stop_timeout", seconds=GRACE_SECONDS, exit_code=UNDRAINED)
                    os._exit(UNDRAINED)
                return
            if (verdict is Verdict.STAY) != self.full:
                self.full = verdict is Verdict.STAY
                shown.set(self.full)
                if self.full:
                    log.critical("memory_full", **facts, action="takes nothing new until below 70 %")
                else:
                    log.warning("memory_no_longer_full", **facts)


@cache
def memory() -> Memory:
    """That of this process."""
    return Memory()


def _handed_on() -> float | None:
    """When we were last started for want of memory; None for never (on this machine since it was switched on)."""
    try:
        at = float(os.environ.get(STARTED_ANEW, ""))
    except ValueError:
        return None
    return at if at <= time.monotonic() else None


def _replace() -> NoReturn:
    """A fresh process in place of this one: same command, process id, supervisor, and standard streams."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    for name in os.listdir("/dev/fd"):
        # Sockets of C libraries would otherwise stay open, and the group's broker would count us twice.
        if int(name) > sys.stderr.fileno():
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                continue  # the one that listed them
    os.execve(
        sys.executable,
        [sys.executable, *sys.orig_argv[1:]],
        {**os.environ, STARTED_ANEW: str(time.monotonic())},
    )
