"""What every `main` does: settings, logs, one clear line for an error, and an end on SIGTERM or SIGINT.

A long-running program::

    @click.command()
    def main() -> None:
        run("sinks-redis", body)            # def body(config: Config, stop: threading.Event) -> None
        run_async("producers", body)        # async def body(config: Config, stop: asyncio.Event) -> None

One with signals of its own (Faust)::

    with guarded():
        config = start("streams")
        ...

A command of `coby` needs nothing: the group is guarded. Exit codes: 0 done or stopped, 1 a bug, 2 an error
with a code (printed as `error <code>: ...`), 3 not drained in time, 4 stalled (streams/watchdog.py), 130 a second
SIGINT, 143 a second SIGTERM. Near MAX_MEMORY_USAGE the body is stopped and the program starts anew in place: memory.py.

`run` and `run_async` are the last that a program does: it ends LEAVE_SECONDS after its body, whatever its threads and
the C libraries wait for.
"""

import asyncio
import faulthandler
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from COBY.config import Config, load_config
from COBY.runtime import crash, loglevel
from COBY.runtime.guard import guarded, report
from COBY.runtime.memory import UNDRAINED, memory
from COBY.utils.exceptions import CobyError, ServiceError
from COBY.utils.logging import get_logger, setup_logging

GRACE_SECONDS = 30.0
LEAVE_SECONDS = 3.0
"""How long what the body has left behind may take: threads that wait for a server, clients of C libraries."""
BACKSTOP_SECONDS = 5.0
"""And what no thread of ours can watch: the interpreter's own end, and a library that keeps its lock."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)
OVER = 0
"""In the place of a signal's number: the body is."""
Environ = Mapping[str, str] | None

log = get_logger(__name__)


def start(program: str, environ: Environ = None) -> Config:
    """Load the settings and set the logs up under them; `program` names the log's file."""
    config = load_config(environ)
    crash.arm()
    setup_logging(config.log_level, config.log_file, program=program, secrets=config.secrets())
    loglevel.follow(config.log_level)
    return config


def run(program: str, body: Callable[[Config, threading.Event], object], environ: Environ = None) -> None:
    """Run `body(config, stop)` in this thread; `stop` is set by SIGTERM or SIGINT. Exits on errors."""
    with _anew_if_full(), guarded():
        config = start(program, environ)
        stop = threading.Event()
        ending = _Ending(program, stop.set, GRACE_SECONDS)
        with _bugs_logged(program), memory().watched(config.max_memory_usage, stop.set), ending.watched():
            body(config, stop)


def run_async(
    program: str,
    body: Callable[[Config, asyncio.Event], Awaitable[object]],
    environ: Environ = None,
    *,
    grace_seconds: float | None = None,
) -> None:
    """The same for a coroutine function, on uvloop; a group of CobyErrors counts as its first.

    ``grace_seconds``: how long the body may take to end, GRACE_SECONDS if None.
    """
    import uvloop  # here: programs without asyncio need not load it

    async def main(config: Config) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ask() -> None:
            with suppress(RuntimeError):  # the loop is closed: the body is over
                loop.call_soon_threadsafe(stop.set)

        ending = _Ending(program, ask, GRACE_SECONDS if grace_seconds is None else grace_seconds)
        with memory().watched(config.max_memory_usage, ask), ending.watched():
            await body(config, stop)

    with _anew_if_full(), guarded():
        config = start(program, environ)
        with _bugs_logged(program):
            uvloop.run(main(config))


@contextmanager
def _anew_if_full() -> Iterator[None]:
    """Start anew if it was memory that ended the body, also when its end was no clean one (which is reported)."""
    try:
        yield
    finally:
        memory().start_anew()


class _Ending:
    """The end of this process: asked for by the first signal, enforced by a thread.

    A handler interrupts the main thread anywhere, also where that holds a lock that an event's set() or the
    start of a thread would need. So it only writes to a pipe, and a thread made before acts on it.
    """

    def __init__(self, program: str, stop: Callable[[], object], grace_seconds: float) -> None:
        """`stop` begins the body's orderly end."""
        self._program, self._stop, self._grace_seconds = program, stop, grace_seconds
        self._reading, self._writing = os.pipe()
        self._error: BaseException | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Run the body within. What comes after it is watched too, as long as there is a process."""
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        for number in SIGNALS:
            signal.signal(number, self._handle)
        try:
            yield
        except BaseException as error:
            self._error = error
            raise
        finally:
            faulthandler.dump_traceback_later(LEAVE_SECONDS + BACKSTOP_SECONDS, exit=True)
            os.write(self._writing, bytes((OVER,)))

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        os.write(self._writing, bytes((number,)))

    def _watch(self) -> None:
        """Call `stop` at the first signal.

        Leave at once at the second, or when the body, or what comes after it, takes too long.
        """
        signals, is_over = 0, False
        while (number := self._next(signals, is_over=is_over)) is not None:
            if number == OVER:
                is_over = True
                continue
            signals += 1
            if signals > 1:
                os._exit(128 + number)
            memory().asked_to_stop()
            self._stop()
        if is_over:
            self._leave()
        message = f"not stopped {self._grace_seconds:g} seconds after the signal"
        report(ServiceError("runtime.stop_timeout", message))
        os._exit(UNDRAINED)  # whatever hangs would hang an orderly exit too

    def _next(self, signals: int, *, is_over: bool) -> int | None:
        """The next of the pipe; None: that takes too long."""
        limit = LEAVE_SECONDS if is_over else self._grace_seconds if signals else None
        ready, _, _ = select.select([self._reading], [], [], limit)
        return os.read(self._reading, 1)[0] if ready else None

    def _leave(self) -> NoReturn:
        """The body has done what was to be done: end as it did, without those that still wait."""
        code = UNDRAINED if memory().starts_anew else 0
        try:
            with guarded(), _bugs_logged(self._program):
                if self._error is not None:
                    raise self._error
        except BaseException as end:
            code = end.code if isinstance(end, SystemExit) and isinstance(end.code, int) else 1
        there = [thread.name for thread in threading.enumerate() if not thread.daemon]
        log.warning("left_behind", threads=there, seconds=LEAVE_SECONDS, exit_code=code)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextmanager
def _bugs_logged(program: str) -> Iterator[None]:
    """Log an unexpected exception and exit with 1; CobyErrors come out of their group."""
    try:
        yield
    except CobyError:
        raise
    except Exception as error:
        if isinstance(error, ExceptionGroup) and (known := _first_known(error)) is not None:
            raise known from error
        get_logger(program).critical("crashed", exc_info=True)
        raise SystemExit(1) from error


def _first_known(group: ExceptionGroup) -> CobyError | None:
    """The first CobyError within a group that holds nothing but such; a bug among them goes first."""
    known, rest = group.split(CobyError)
    while rest is None and isinstance(known, ExceptionGroup):
        inner: Exception = known.exceptions[0]
        if isinstance(inner, CobyError):
            return inner
        assert isinstance(inner, ExceptionGroup)
        known = inner
    return None
