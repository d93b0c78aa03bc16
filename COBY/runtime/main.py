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
"""

import asyncio
import os
import select
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from COBY.config import Config, load_config
from COBY.runtime import crash
from COBY.runtime.guard import guarded, report
from COBY.runtime.memory import memory
from COBY.utils.exceptions import CobyError, ServiceError
from COBY.utils.logging import get_logger, setup_logging

GRACE_SECONDS = 30.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)
Environ = Mapping[str, str] | None


def start(program: str, environ: Environ = None) -> Config:
    """Load the settings and set the logs up under them; `program` names the log's file."""
    config = load_config(environ)
    crash.arm()
    setup_logging(config.log_level, config.log_file, program=program, secrets=config.secrets())
    return config


def run(program: str, body: Callable[[Config, threading.Event], object], environ: Environ = None) -> None:
    """Run `body(config, stop)` in this thread; `stop` is set by SIGTERM or SIGINT. Exits on errors."""
    with _anew_if_full(), guarded():
        config = start(program, environ)
        stop = threading.Event()
        with _stopping(stop.set), _bugs_logged(program), memory().watched(config.max_memory_usage, stop.set):
            body(config, stop)


def run_async(
    program: str, body: Callable[[Config, asyncio.Event], Awaitable[object]], environ: Environ = None
) -> None:
    """The same for a coroutine function, on uvloop; a group of CobyErrors counts as its first."""
    import uvloop  # here: programs without asyncio need not load it

    async def main(config: Config) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ask() -> None:
            loop.call_soon_threadsafe(stop.set)

        with _stopping(ask), memory().watched(config.max_memory_usage, ask):
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


@contextmanager
def _stopping(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` at the first signal; leave at once at the second, or GRACE_SECONDS after the first.

    A handler interrupts the main thread anywhere, also where that holds a lock that an event's set() or the
    start of a thread would need. So it only writes to a pipe, and a thread made before acts on it.
    """
    reading, writing = os.pipe()
    watcher = threading.Thread(target=_watch, args=(reading, stop), name="signals", daemon=True)
    watcher.start()

    def handle(number: int, _frame: FrameType | None) -> None:
        os.write(writing, bytes((number,)))

    former = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        os.close(writing)
        watcher.join()
        os.close(reading)


def _watch(reading: int, stop: Callable[[], object]) -> None:
    """Act on the signals whose numbers come through the pipe, until it is closed."""
    if not os.read(reading, 1):
        return
    memory().asked_to_stop()
    stop()
    ready, _, _ = select.select([reading], [], [], GRACE_SECONDS)
    if not ready:
        _leave_undrained()
    if second := os.read(reading, 1):
        os._exit(128 + second[0])


def _leave_undrained() -> None:
    message = f"not stopped {GRACE_SECONDS:g} seconds after the signal"
    report(ServiceError("runtime.stop_timeout", message))
    os._exit(3)  # whatever hangs would hang an orderly exit too


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
