"""How far live processing is behind: a replay at full speed gives way to it."""

from __future__ import annotations

import threading
from time import monotonic

from confluent_kafka import KafkaException

from COBY.config import Config
from COBY.runtime.offsets import Offsets
from COBY.topics import PARTITIONS, RAW_PARTITIONS, partition_of, topic_name
from COBY.utils.logging import get_logger

LATE_MS = 700
"""A tick comes some 300 ms after its mark where nothing is late; users are promised two seconds."""
LOOK_SECONDS = 0.25
YIELD_SECONDS = 0.05
ASKED_SECONDS = 2.0

log = get_logger(__name__)


class LiveLag(threading.Thread):
    """Compares the newest marks with the newest book ticks, both stream time: no clock is involved.

    Where nothing is processed live, both stand still and nothing is late.
    """

    def __init__(self, cfg: Config) -> None:
        """Not started."""
        super().__init__(name="live-lag", daemon=True)
        self.lag_ms = 0
        self._asked_at = 0.0
        self._offsets = Offsets(cfg)
        raw = [topic_name(cfg.topic_prefix, "raw", exchange) for exchange in cfg.exchanges]
        self._raw = [(topic, number) for topic in raw for number in range(RAW_PARTITIONS)]
        book = topic_name(cfg.topic_prefix, "book")
        numbers = {partition_of(symbol.encode(), PARTITIONS) for symbol in cfg.symbols}
        self._books = [(book, number) for number in sorted(numbers)]
        self._stop_asked = threading.Event()

    def is_late(self) -> bool:
        """Whether who asks should wait; while nobody asks, nobody looks."""
        self._asked_at = monotonic()
        return self.lag_ms > LATE_MS

    def run(self) -> None:
        """Look again and again until `end`."""
        while not self._stop_asked.wait(LOOK_SECONDS):
            began = monotonic()
            if began - self._asked_at > ASKED_SECONDS:
                self.lag_ms = 0
                continue
            try:
                self.lag_ms = self._look()
            except (KafkaException, TimeoutError) as error:
                self.lag_ms = 0
                log.warning("live_lag_unknown", error=str(error))
            # A broker that answers late is busy: it is asked less often.
            self._stop_asked.wait(monotonic() - began)

    def end(self) -> None:
        """Stop looking."""
        self._stop_asked.set()
        self.join()

    def _look(self) -> int:
        """The newest mark over all raw partitions less the oldest of the newest ticks, in milliseconds; at least 0."""
        times = self._offsets.newest_ms([*self._raw, *self._books])
        ticks = [times[place] for place in self._books if times[place] >= 0]
        return max(0, max(times[place] for place in self._raw) - min(ticks)) if ticks else 0
