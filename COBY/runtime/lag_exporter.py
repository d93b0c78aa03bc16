"""`python -m COBY.runtime.lag_exporter`: the lag of the consumer groups for Prometheus, under kafka_exporter's names.

The names are those of https://github.com/danielqsj/kafka_exporter, so that dashboards made for it work; seconds and
status are ours. Groups and topics are those of TOPIC_PREFIX. It looks by itself every two seconds, whoever scrapes: a
status is a matter of time. What was last seen is shown for STALE_SECONDS; then nothing is, rather than something old.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

import click
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from COBY.config import Config
from COBY.runtime.health import serve_health
from COBY.runtime.lag import LagWatch, Watched
from COBY.runtime.main import run
from COBY.utils.exceptions import CobyError
from COBY.utils.logging import get_logger

LOOK_SECONDS = 2.0
STALE_SECONDS = 60.0
GROUP = ("consumergroup", "topic", "partition")
PARTITION = ("topic", "partition")
FAMILIES = {
    "kafka_topic_partitions": ("Partitions of the topic that some group reads.", ("topic",)),
    "kafka_topic_partition_current_offset": ("The offset after the newest record.", PARTITION),
    "kafka_topic_partition_oldest_offset": ("The oldest offset that retention has left.", PARTITION),
    "kafka_consumergroup_current_offset": (
        "The next offset the group will take; -1: none committed yet.",
        GROUP,
    ),
    "kafka_consumergroup_current_offset_sum": ("The sum over the topic's partitions.", GROUP[:2]),
    "kafka_consumergroup_lag": ("Records not yet taken.", GROUP),
    "kafka_consumergroup_lag_sum": ("The sum over the topic's partitions.", GROUP[:2]),
    "kafka_consumergroup_lag_seconds": ("Age of the first record not taken, 0 where there is none.", GROUP),
    "kafka_consumergroup_lag_seconds_min": (
        "The least of it within the window: stream tasks commit as far as they are saved, every SNAPSHOT_INTERVAL.",
        GROUP,
    ),
    "kafka_consumergroup_status": (
        "By progress over the window: 0 OK, 1 WARN (falls further behind), 2 STALL, 3 STOP (nobody is in the group).",
        GROUP,
    ),
    "coby_lag_look_age_seconds": ("Seconds since the groups were last looked at.", ()),
}
"""Name -> sentence, labels."""

log = get_logger(__name__)


class Exporter(Collector):
    """What Prometheus is shown: the last look. `took` is called by the thread that looks, the rest by any."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._rows: list[Watched] = []
        self._at = time.monotonic()
        self._seen = False

    def took(self, rows: list[Watched]) -> None:
        """A look."""
        self._rows, self._at, self._seen = rows, time.monotonic(), True

    def check(self) -> tuple[bool, str]:
        """For /health/ready."""
        age = time.monotonic() - self._at
        if not self._seen:
            return False, "not looked yet"
        return age < STALE_SECONDS, f"looked {age:.0f} s ago"

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families, empty: nothing is asked when this is registered."""
        for name, (sentence, labels) in FAMILIES.items():
            yield GaugeMetricFamily(name, sentence, labels=labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families of the last look; its age alone once that is too old."""
        age = time.monotonic() - self._at
        yield from families(self._rows if age < STALE_SECONDS else [], age)


def families(rows: Iterable[Watched], age_seconds: float) -> list[GaugeMetricFamily]:
    """The rows as Prometheus has them."""
    made = {
        name: GaugeMetricFamily(name, sentence, labels=labels)
        for name, (sentence, labels) in FAMILIES.items()
    }
    made["coby_lag_look_age_seconds"].add_metric((), age_seconds)
    sums: dict[tuple[str, str], list[int]] = {}
    partitions: dict[str, dict[int, tuple[int, int]]] = {}
    for lag, status, least in rows:
        group, partition = (lag.group, lag.topic, str(lag.partition)), (lag.topic, lag.partition)
        committed = -1 if lag.committed is None else lag.committed
        made["kafka_consumergroup_current_offset"].add_metric(group, committed)
        made["kafka_consumergroup_lag"].add_metric(group, lag.lag)
        if lag.lag_seconds is not None:
            made["kafka_consumergroup_lag_seconds"].add_metric(group, lag.lag_seconds)
        if least is not None:
            made["kafka_consumergroup_lag_seconds_min"].add_metric(group, least)
        if status is not None:
            made["kafka_consumergroup_status"].add_metric(group, status.value)
        total = sums.setdefault(group[:2], [0, 0])
        total[0] += max(0, committed)
        total[1] += lag.lag
        partitions.setdefault(partition[0], {})[partition[1]] = (lag.oldest, lag.end)
    for labels, (committed, behind) in sums.items():
        made["kafka_consumergroup_current_offset_sum"].add_metric(labels, committed)
        made["kafka_consumergroup_lag_sum"].add_metric(labels, behind)
    for topic, bounds in partitions.items():
        made["kafka_topic_partitions"].add_metric((topic,), len(bounds))
        for number, (oldest, end) in bounds.items():
            made["kafka_topic_partition_oldest_offset"].add_metric((topic, str(number)), oldest)
            made["kafka_topic_partition_current_offset"].add_metric((topic, str(number)), end)
    return list(made.values())


def serve(cfg: Config, stop: threading.Event) -> None:
    """Look until stopped. A broker that does not answer is asked again; it shows in the look's age."""
    exporter = Exporter()
    REGISTRY.register(exporter)
    health = serve_health(cfg.metrics_port, {"kafka": exporter.check})
    watch = LagWatch(cfg)
    try:
        while not stop.is_set():
            try:
                exporter.took(watch.look())
            except (CobyError, TimeoutError) as error:
                log.warning("not_looked", error=str(error))
            stop.wait(LOOK_SECONDS)
    finally:
        watch.close()
        REGISTRY.unregister(exporter)
        if health is not None:
            health.close()


@click.command()
def main() -> None:
    """Show Prometheus the lag of every consumer group of TOPIC_PREFIX, in records and seconds, and its status.

    On METRICS_PORT, under the names of kafka_exporter. SIGTERM ends it.

    \b
    Example:
      METRICS_PORT=9107 python -m COBY.runtime.lag_exporter
    """
    run("lag-exporter", serve)


if __name__ == "__main__":
    main()
