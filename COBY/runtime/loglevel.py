"""The level of the log, changed while a program runs: SIGUSR1 makes it DEBUG, SIGUSR2 makes it LOG_LEVEL again.

    kill -USR1 PID                                                        # on this machine
    docker compose -f docker-compose.kafka.yml kill -s SIGUSR1 streams    # in a container

Whoever may send a process a signal may end it, too, so nothing else is to be guarded.
"""

import logging
import os
import signal
import threading
from types import FrameType

from COBY.utils.logging import get_logger

MORE, AS_SET = signal.SIGUSR1, signal.SIGUSR2

log = get_logger(__name__)


def follow(level: str) -> None:
    """Obey both signals from now on; in another thread than the main one nothing happens."""
    if threading.current_thread() is not threading.main_thread():
        return
    reading, writing = os.pipe()

    def handle(number: int, _frame: FrameType | None) -> None:
        # It interrupts the main thread anywhere, also within the log: another thread does the work.
        os.write(writing, bytes((number,)))

    threading.Thread(target=_obey, args=(reading, level), name="log-level", daemon=True).start()
    for number in (MORE, AS_SET):
        signal.signal(number, handle)


def _obey(reading: int, level: str) -> None:
    while number := os.read(reading, 1):
        wanted = "DEBUG" if number[0] == MORE else level
        logging.getLogger().setLevel(wanted)
        # As a warning, so that it is seen at any level but the two highest.
        log.warning("log_level", now=wanted)
