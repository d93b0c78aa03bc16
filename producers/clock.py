"""`python -m producers.clock`: at each grid point T a mark into every partition of every raw topic.

So ticks pass on silent markets and with dead producers. Two clocks may run: marks of one T may come twice.
A mark is never older than the last one there when this clock started, nor than its own last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import click

from COBY.config import Config
from COBY.runtime.health import serve_health
from COBY.runtime.kafka import check_topics, make_producer
from COBY.runtime.main import run
from COBY.runtime.metrics import metrics
from COBY.topics import topic_name
from COBY.utils.exceptions import BrokerError
from COBY.utils.logging import get_logger
from producers.grid import mark_due
from producers.marks import last_marks, put_mark

STAGE = "clock"
FLUSH_SECONDS = 10.0
POLL_SECONDS = 0.05
LATE_SECONDS = 5.0
LEAST_WAIT_SECONDS = 0.001

log = get_logger(__name__)


@click.command()
def main() -> None:
    """Write the marks that time in the raw topics goes by, every UPDATE_FREQUENCY seconds, until SIGTERM.

    \b
    Example:
      UPDATE_FREQUENCY=0.5 python -m producers.clock
    """
    run("clock", tick_tock)


def tick_tock(cfg: Config, stop: threading.Event) -> None:
    """The whole process: checks, then marks until ``stop``, then all delivered."""
    written = Written()
    health = serve_health(cfg.metrics_port, {"marks": written.check})
    try:
        check_topics(cfg)
        topics = [topic_name(cfg.topic_prefix, "raw", exchange) for exchange in cfg.exchanges]
        Clock(cfg, topics, written).run(stop)
    finally:
        if health is not None:
            health.close()


class Written:
    """When marks were last delivered, for /health/ready."""

    def __init__(self) -> None:
        self.at: float | None = None

    def check(self) -> tuple[bool, str]:
        """Well if that is less than 5 s ago."""
        if self.at is None:
            return False, "none yet"
        age = time.monotonic() - self.at
        return age < LATE_SECONDS, f"last marks delivered {age:.1f} s ago"


class Clock:
    """Writes marks; the wall clock is asked anew each time, so that clocks on several machines agree."""

    def __init__(self, cfg: Config, topics: Sequence[str], written: Written) -> None:
        """Reads the newest marks in ``topics``: BrokerError `kafka.unreachable`."""
        self._grid_us = cfg.update_frequency_us
        self._failure: BrokerError | None = None
        self._producer = make_producer(cfg, self._fail, linger_ms=0)
        self._last_us = last_marks(cfg, topics, _now_us())
        self._written = written
        counters = metrics()
        counters.init_stage(STAGE, topics)
        self._outputs = {topic: counters.outputs.labels(STAGE, topic) for topic in topics}
        ahead = max((last or 0 for last in self._last_us.values()), default=0) - _now_us()
        if ahead > 0:
            log.warning("marks_ahead", seconds=ahead / 1e6)

    def run(self, stop: threading.Event) -> None:
        """Marks until ``stop``. BrokerError if one can't be delivered."""
        while not stop.is_set():
            self._round(stop)
            self._wait(stop)
        if self._producer.flush(FLUSH_SECONDS):
            raise BrokerError("kafka.unflushed", f"marks were not delivered within {FLUSH_SECONDS:g} s")

    def _round(self, stop: threading.Event) -> None:
        """The newest grid point into every partition where newer than the last; waits for delivery.

        While a round is not delivered no further one is begun: after a pause of Kafka only the newest follows.
        """
        now_us = _now_us()
        for (topic, partition), last_us in self._last_us.items():
            if (due_us := mark_due(last_us, now_us, self._grid_us)) is not None:
                put_mark(self._producer, topic, partition, due_us)
                self._last_us[topic, partition] = due_us
                self._outputs[topic].inc()
        while len(self._producer) and not stop.is_set():
            self._serve(POLL_SECONDS)
        self._serve(0)
        self._written.at = time.monotonic()

    def _serve(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self._failure is not None:
            raise self._failure

    def _wait(self, stop: threading.Event) -> None:
        rest_us = self._grid_us - _now_us() % self._grid_us
        stop.wait(max(LEAST_WAIT_SECONDS, rest_us / 1e6))

    def _fail(self, error: BrokerError) -> None:
        self._failure = self._failure or error


def _now_us() -> int:
    return time.time_ns() // 1000


if __name__ == "__main__":
    main()
