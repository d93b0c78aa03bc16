"""The metrics of every process: prefix `coby_`, base units, `_total` on counters, only bounded labels.

prometheus_client adds the `_total` of a counter's name itself. Processes take `metrics()`, tests make their
own with `Metrics(CollectorRegistry())`.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from functools import cache
from threading import Lock

import psutil
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from COBY.runtime.labels import CUTS, FRAME_CODES, GAP_REASONS, HOPS, LETTER_CODES, STATUSES

LIVE, BLIND, NOT_LISTED = 1, 0, 2
BATCH_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

HOP_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metric objects, registered in one registry; a second one in the same registry raises ValueError."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers all of them; labelled ones appear once their labels are used (see init_exchange)."""
        self.registry = registry
        self.frames = self._counter("frames", "Frames received or read.", "exchange")
        self.records = self._counter("records", "Records taken in.", "stage")
        self.outputs = self._counter("outputs", "Records or rows written.", "stage", "topic")
        self.batch_seconds = Histogram(
            "coby_batch_seconds",
            "Seconds spent on one batch.",
            ["stage"],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.snapshot_seconds = Histogram(
            "coby_snapshot_seconds",
            "Seconds a task stood still for its snapshot.",
            ["stage"],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.gaps = self._counter("gaps", "Gaps found.", "exchange", "symbol", "reason")
        self.rejected = self._counter("rejected", "Frames or values that can't be used.", "exchange", "code")
        self.dead_letters = self._counter(
            "dead_letters", "Records sent to the dead letters.", "stage", "code"
        )
        self.dropped = self._counter("dropped_frames", "Frames a full producer dropped.", "exchange")
        self.reconnects = self._counter("reconnects", "Connections made again after a loss.", "exchange")
        self.breaker = self._gauge(
            "breaker_state", "Of a slot's connections: 0 closed, 1 half open, 2 open.", "exchange", "slot"
        )
        self.silent = self._counter(
            "silent_channels",
            "Channels subscribed anew because they said nothing while others did.",
            "exchange",
            "channel",
        )
        self.resyncs = self._counter("resyncs", "New snapshots asked for.", "exchange", "symbol")
        self.retries = self._counter("write_retries", "Writes tried again after a passing error.", "stage")
        self._writes = self._gauge(
            "writes_ok", "1: the server took what was last written, 0: it did not.", "stage"
        )
        self.skew = self._counter("clock_skew", "Records whose time was clamped to the marks.", "exchange")
        self.book_state = self._gauge(
            "book_state", "1 live, 0 blind, 2: the exchange does not have the symbol.", "exchange", "symbol"
        )
        self.lag = self._gauge("lag_records", "Records not yet read.", "group", "topic", "partition")
        self.buffered = self._gauge("buffered_records", "Records between source and sink.", "stage")
        self._frame_age = self._gauge("last_frame_age_seconds", "Seconds since the last frame.", "exchange")
        self._add_times()
        self._add_quality()
        self._add_api()
        self._add_machine()
        self._add_storage()

    def _add_times(self) -> None:
        self.replay_late = Histogram(
            "coby_replay_late_seconds",
            "Seconds from when a record of a paced replay was due until it was released.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self.hops = self._histogram(
            "hop_latency_seconds", "Age of a record, by its own time, when the hop was done with it.", "hop"
        )
        self.snapshot_age = self._gauge(
            "snapshot_age_seconds",
            "Age of the oldest task's last snapshot, if the task has gone on.",
            "stage",
        )
        self._heatmap_age = self._gauge(
            "heatmap_age_seconds", "Age of the newest heatmap in Redis, by its T.", "symbol"
        )

    def _add_quality(self) -> None:
        """From the records of quality: they come once a minute, so counting them costs nothing."""
        book = ("exchange", "symbol")
        self.by_book = {
            "events": self._counter("events", "Updates and trades taken in.", *book),
            "rejected": self._counter("rejected_events", "What of the symbol can't be used.", *book),
            "duplicates": self._counter("duplicates", "Events that a connection brought twice.", *book),
            "anomalies": self._counter("anomalies", "Trades far from the last price.", *book),
            "checksum_failures": self._counter("checksum_failures", "Checksums that did not agree.", *book),
            "skewed": self._counter("skewed_events", "Events whose time was over 2 s from receipt.", *book),
            "crossed_us": self._counter("crossed_seconds", "Seconds blind for being crossed.", *book),
            "blind_us": self._counter("blind_seconds", "Seconds blind, for whatever reason.", *book),
        }
        """By the names of COUNTED in COBY/normalize.py; those in microseconds are told in seconds."""

    def _add_machine(self) -> None:
        self.memory_full = Gauge(
            "coby_memory_full",
            "1: twice within ten minutes near MAX_MEMORY_USAGE, takes nothing new.",
            registry=self.registry,
        )
        Gauge(
            "coby_resident_memory_bytes", "Memory this process holds in RAM.", registry=self.registry
        ).set_function(_resident_memory_bytes)
        free = Gauge(
            "coby_disk_free_bytes", "Free on the disk this process stands on.", registry=self.registry
        )
        free.set_function(lambda: shutil.disk_usage(".").free)
        size = Gauge("coby_disk_bytes", "Size of the disk this process stands on.", registry=self.registry)
        size.set_function(lambda: shutil.disk_usage(".").total)

    def _add_api(self) -> None:
        self.requests = self._counter("api_requests", "Requests answered.", "method", "route", "status")
        self.request_seconds = Histogram(
            "coby_api_request_seconds",
            "Seconds from a request to the end of its answer.",
            ["route"],
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self.ws_connections = Gauge(
            "coby_ws_connections", "WebSocket clients connected.", registry=self.registry
        )
        self.ws_messages = self._counter("ws_messages", "Messages sent to WebSocket clients.")
        self.ws_conflated = self._counter(
            "ws_conflated", "Records that gave way to newer ones for slow clients."
        )
        self.ws_cut = self._counter("ws_cut", "WebSocket clients cut off.", "code")
        self.refused = self._counter("api_refused", "Requests refused before their route.", "code")

    def _add_storage(self) -> None:
        """What sinks.keeper knows; no process that does not set them shows any."""
        self.backup_age = self._gauge(
            "backup_age_seconds", "Age of the newest backup; +Inf: there is none.", "database"
        )
        self.backup_interval = self._gauge(
            "backup_interval_seconds", "BACKUP_INTERVAL; 0: none are made here.", "database"
        )
        self.backup_bytes = self._gauge("backup_size_bytes", "Size of the newest backup.", "database")
        self.backups = self._counter("backups", "Backups tried: done or failed.", "database", "result")
        self.storage_free = self._gauge(
            "storage_free_bytes", "Free space where topics, tables or backups lie.", "place"
        )
        self.storage_size = self._gauge("storage_size_bytes", "All space there.", "place")
        self.seconds_left = self._gauge(
            "storage_left_seconds",
            "Until it is full, as all on it grows now; +Inf: never; NaN: not known.",
            "place",
        )

    def init_exchange(self, exchange: str, symbols: Iterable[str] = ()) -> None:
        """Show the exchange at 0 from the start: a counter that first appears at 1 hides its first rise."""
        for counter in (self.frames, self.dropped, self.reconnects, self.skew):
            counter.labels(exchange)
        for channel in ("book", "trade"):
            self.silent.labels(exchange, channel)
        for symbol in symbols:
            self.resyncs.labels(exchange, symbol)

    def init_books(self, exchange: str, symbols: Iterable[str]) -> None:
        """The same for what the stream worker tells of the exchange's books, each blind until it is shown live."""
        for code in FRAME_CODES:
            self.rejected.labels(exchange, code)
        for symbol in symbols:
            self.book_state.labels(exchange, symbol).set(BLIND)
            for reason in GAP_REASONS:
                self.gaps.labels(exchange, symbol, reason)
            for counter in self.by_book.values():
                counter.labels(exchange, symbol)

    def init_stage(self, stage: str, topics: Iterable[str] = ()) -> None:
        """The same for a stage and the topics (or tables) it writes."""
        self.records.labels(stage)
        self.retries.labels(stage)
        self.buffered.labels(stage).set(0)
        self.batch_seconds.labels(stage)
        self.snapshot_seconds.labels(stage)
        for topic in topics:
            self.outputs.labels(stage, topic)
        for code in LETTER_CODES.get(stage, ()):
            self.dead_letters.labels(stage, code)
        if stage in HOPS:
            self.hops.labels(stage)

    def init_clients(self) -> None:
        """The same for WebSocket clients."""
        self.hops.labels("api")
        for code in CUTS:
            self.ws_cut.labels(code)

    def show_writes(self, stage: str, well: Callable[[], bool]) -> None:
        """Have `coby_writes_ok` of the stage asked at each scrape."""
        self._writes.labels(stage).set_function(lambda: float(well()))

    def show_heatmap_age(self, symbol: str, newest_ms: Callable[[], int]) -> None:
        """Have `coby_heatmap_age_seconds` of the symbol asked at each scrape; 0: none yet, counted from now."""
        began_ms = time.time() * 1000

        def age() -> float:
            return max(0.0, time.time() - (newest_ms() or began_ms) / 1000)

        self._heatmap_age.labels(symbol).set_function(age)

    def init_route(self, method: str, route: str) -> None:
        """The same for a route of the API."""
        for status in STATUSES:
            self.requests.labels(method, route, status)
        self.request_seconds.labels(route)

    def show_frame_age(self, exchange: str, age_seconds: Callable[[], float]) -> None:
        """Have `coby_last_frame_age_seconds` of the exchange asked at each scrape."""
        self._frame_age.labels(exchange).set_function(age_seconds)

    def _histogram(self, name: str, sentence: str, *labels: str) -> Histogram:
        return Histogram(f"coby_{name}", sentence, labels, buckets=HOP_BUCKETS, registry=self.registry)

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        return Counter(f"coby_{name}", sentence, labels, registry=self.registry)

    def _gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        return Gauge(f"coby_{name}", sentence, labels, registry=self.registry)


_making = Lock()


def metrics() -> Metrics:
    """The metrics of this process, in prometheus_client's own registry."""
    with _making:  # the thread that watches memory may ask at the same moment
        return _metrics()


@cache
def _metrics() -> Metrics:
    # A second series for each counter, which nobody asks for: half of each scrape.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library ships no types for it
    return Metrics(REGISTRY)


def _resident_memory_bytes() -> float:
    return float(psutil.Process().memory_info().rss)
