"""`coby lag`: how far each consumer group of ours is behind, from committed and end offsets.

Committed offsets are for displays like this one only: recovery starts from snapshots and from sink_progress.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its __init__ re-exports without __all__
    AdminClient,
    OffsetSpec,
)

from COBY.config import Config, load_config
from COBY.runtime.columns import aligned
from COBY.runtime.kafka import ANSWER_SECONDS, admin, broker_error, client_settings, require_broker
from COBY.runtime.offsets import Partition, offsets_at
from COBY.utils.exceptions import BrokerError

PASSING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
"""What a broker says for some seconds after it made a topic, or began."""
PAUSE_SECONDS = 0.2

T = TypeVar("T")


class Lag(NamedTuple):
    """One group's place in one partition. ``committed`` None: nothing yet, so its lag is all that is there."""

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


class LagReader:
    """Reads the lag of groups, once or again and again. One thread uses it."""

    def __init__(self, cfg: Config) -> None:
        """Connects when first asked."""
        self._cfg = cfg
        self._prefix = cfg.topic_prefix
        self._client = admin(cfg)
        self._consumers: dict[str, Consumer] = {}

    def close(self) -> None:
        """End its clients."""
        for consumer in self._consumers.values():
            consumer.close()

    def read(self, groups: Iterable[str] = ()) -> list[Lag]:
        """The lag of ``groups`` (none given: all whose name begins with the prefix) in the prefix's topics.

        Every partition of a topic in which the group has committed anything is listed. BrokerError `kafka.refused`,
        `kafka.unreachable`, `kafka.unknown_group` for a group that was asked for and is not there.
        """
        metadata = require_broker(self._cfg, self._client).topics
        partitions = {
            name: sorted(topic.partitions)
            for name, topic in metadata.items()
            if name.startswith(f"{self._prefix}.")
        }
        rows: list[tuple[str, str, int, int | None]] = []
        for group in _groups(self._client, self._prefix, tuple(groups)):
            committed = _patiently(partial(self._committed, group, partitions))
            for topic in sorted({topic for topic, _ in committed}):
                rows += [
                    (group, topic, number, committed.get((topic, number))) for number in partitions[topic]
                ]
        wanted = {(topic, number) for _, topic, number, _ in rows}
        ends = _patiently(lambda: _offsets(self._client, wanted, OffsetSpec.latest()))  # type: ignore[no-untyped-call]
        starts = _patiently(lambda: _offsets(self._client, wanted, OffsetSpec.earliest()))  # type: ignore[no-untyped-call]
        return [_lag(row, starts[row[1], row[2]], ends[row[1], row[2]]) for row in rows]

    def _committed(self, group: str, partitions: Mapping[str, list[int]]) -> dict[tuple[str, int], int]:
        """Asked as a consumer of the group that never joins it.

        An admin client would be shorter, but librdkafka's dereferences null and takes the process with it when the
        broker asked does not coordinate the group any more (its issue 5040).
        """
        if group not in self._consumers:
            settings = client_settings(self._cfg) | {"group.id": group, "enable.auto.commit": False}
            self._consumers[group] = Consumer(settings)
        asked = [TopicPartition(topic, number) for topic, numbers in partitions.items() for number in numbers]
        try:
            found = self._consumers[group].committed(asked, timeout=ANSWER_SECONDS)
            for item in found:
                if item.error is not None:
                    raise KafkaException(item.error)
        except KafkaException as error:
            raise broker_error("kafka.refused", error, where=group) from error
        return {(item.topic, item.partition): item.offset for item in found if item.offset >= 0}


def _lag(row: tuple[str, str, int, int | None], start: int, end: int) -> Lag:
    committed = row[3]
    return Lag(*row, end, max(0, end - (start if committed is None else committed)))


def _groups(client: AdminClient, prefix: str, asked: tuple[str, ...]) -> list[str]:
    listing = _answer(client.list_consumer_groups(request_timeout=ANSWER_SECONDS), "groups")
    known = sorted(item.group_id for item in listing.valid)
    if missing := sorted(set(asked) - set(known)):
        allowed = f"one of {' '.join(known)}" if known else "a group that has committed"
        raise BrokerError("kafka.unknown_group", f"no group {' '.join(missing)}", allowed=allowed)
    # Another prefix may begin with ours (coby, coby-test): its groups drop out by their topics.
    return sorted(asked) or [
        name for name in known if name == prefix or name.startswith((f"{prefix}-", f"{prefix}."))
    ]


def _offsets(client: AdminClient, wanted: set[Partition], spec: OffsetSpec) -> dict[Partition, int]:
    try:
        return offsets_at(client, sorted(wanted), spec)
    except KafkaException as error:
        raise broker_error("kafka.refused", error, where="offsets") from error


def _patiently(ask: Callable[[], T]) -> T:
    """Ask again while the broker has just made a topic, or has just started, and says so."""
    end = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return ask()
        except BrokerError as error:
            cause = error.__cause__
            passing = isinstance(cause, KafkaException) and cause.args[0].code() in PASSING
            if not passing or time.monotonic() > end:
                raise
            time.sleep(PAUSE_SECONDS)


def _answer(future: Any, where: str) -> Any:
    try:
        return future.result(timeout=2 * ANSWER_SECONDS)
    except KafkaException as error:
        raise broker_error("kafka.refused", error, where=where) from error


def table(rows: list[Lag]) -> Iterator[str]:
    """The rows as lines of aligned columns under a header, the last line the sum of the lags."""
    cells: list[tuple[str, ...]] = [("GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG")]
    cells += [tuple("-" if value is None else str(value) for value in row) for row in rows]
    yield from aligned(cells, left=2)
    yield f"total lag {sum(row.lag for row in rows)}"


@click.command()
@click.option(
    "--group", "groups", multiple=True, help="Only this consumer group; may be given several times."
)
@click.option("--max-lag", type=click.IntRange(0), help="Exit with 1 if any partition's lag is above this.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def lag(groups: tuple[str, ...], max_lag: int | None, as_json: bool) -> None:
    """How far each consumer group is behind: committed and end offset and lag by topic and partition.

    \b
    Example:
      coby lag --max-lag 10000
      coby lag --group coby-timescale --json
    """
    reader = LagReader(load_config())
    try:
        rows = reader.read(groups)
    finally:
        reader.close()
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows]))
    else:
        for line in table(rows):
            click.echo(line)
    if max_lag is not None and any(row.lag > max_lag for row in rows):
        raise SystemExit(1)
