"""How far each consumer group of ours is behind: committed and end offsets, and the age of the first record not taken.

Committed offsets are for displays like this only: recovery starts from snapshots and from sink_progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from COBY.config import Config
from COBY.lag import Point, Status, Windows
from COBY.runtime.first_times import FirstTimes
from COBY.runtime.kafka import ANSWER_SECONDS, admin, broker_error, client_settings, require_broker
from COBY.runtime.offsets import Offsets, Partition
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
LEAST_WINDOW_SECONDS = 30.0
SNAPSHOTS = 2.5
"""So many snapshots of a stream task fit into a window: no more is committed than is saved."""

T = TypeVar("T")


class Lag(NamedTuple):
    """One group's place in one partition. ``committed`` None: nothing yet, so its lag is all that is there."""

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int
    lag_seconds: float | None
    """Age of the first record not taken, by its own time; 0 where there is none, None where it was not read."""
    oldest: int
    """The oldest offset that retention has left."""
    has_members: bool
    """Whether anybody is in the group."""


class Watched(NamedTuple):
    """A place and how it goes on there; ``status`` None: not looked at for long enough to say."""

    lag: Lag
    status: Status | None
    least_seconds: float | None
    """The least ``lag_seconds`` of the window: what is committed only now and then, with snapshots, is late between."""


class LagReader:
    """Reads the lag of groups, once or again and again. One thread uses it."""

    def __init__(self, cfg: Config, *, with_seconds: bool = True) -> None:
        """Connects when first asked. ``with_seconds`` False: records alone, without reading any."""
        self._cfg = cfg
        self._prefix = cfg.topic_prefix
        self._client = admin(cfg)
        self._offsets = Offsets(cfg)
        self._consumers: dict[str, Consumer] = {}
        self._times = FirstTimes(cfg) if with_seconds else None

    def close(self) -> None:
        """End its clients."""
        for consumer in self._consumers.values():
            consumer.close()
        if self._times is not None:
            self._times.close()

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
        inhabited = _groups(self._client, self._prefix, tuple(groups))
        rows: list[tuple[str, str, int, int | None]] = []
        for group in inhabited:
            committed = _patiently(partial(self._committed, group, partitions))
            for topic in sorted({topic for topic, _ in committed}):
                rows += [
                    (group, topic, number, committed.get((topic, number))) for number in partitions[topic]
                ]
        wanted = {(topic, number) for _, topic, number, _ in rows}
        ends = _patiently(lambda: _answered(self._offsets.ends, wanted))
        starts = _patiently(lambda: _answered(self._offsets.oldest, wanted))
        ages = self._ages(rows, starts, ends)
        return [
            _lag(row, starts[row[1], row[2]], ends[row[1], row[2]], age, inhabited[row[0]])
            for row, age in zip(rows, ages, strict=True)
        ]

    def _ages(
        self,
        rows: Iterable[tuple[str, str, int, int | None]],
        starts: Mapping[Partition, int],
        ends: Mapping[Partition, int],
    ) -> Iterator[float | None]:
        """Seconds, for each row."""
        places = [
            (topic, number, starts[topic, number] if at is None else max(at, starts[topic, number]))
            for _, topic, number, at in rows
        ]
        waiting = [place for place in places if place[2] < ends[place[0], place[1]]]
        made_ms = {} if self._times is None else self._times.read(waiting)
        now_ms = time.time() * 1000
        for place in places:
            if place[2] >= ends[place[0], place[1]]:
                yield 0.0
            else:
                at_ms = made_ms.get(place)
                yield None if at_ms is None else max(0.0, (now_ms - at_ms) / 1000)

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


class LagWatch:
    """Reads again and again, and judges by a window of what it has read. One thread uses it."""

    def __init__(self, cfg: Config, window_seconds: float | None = None) -> None:
        """Connects when first asked. ``window_seconds`` None: half a minute, longer where snapshots are rare."""
        self._cfg = cfg
        self._reader = LagReader(cfg)
        least = max(LEAST_WINDOW_SECONDS, SNAPSHOTS * cfg.snapshot_interval)
        self._windows = Windows(least if window_seconds is None else window_seconds)
        self._ages: dict[tuple[str, str, int], list[tuple[float, float]]] = {}

    @property
    def window_seconds(self) -> float:
        """How long it has to look before it says anything."""
        return self._windows.seconds

    def close(self) -> None:
        """End its clients."""
        self._reader.close()

    def look(self, groups: Iterable[str] = ()) -> list[Watched]:
        """As `LagReader.read`, with the status of each. After an error others ask: see `Offsets`."""
        try:
            rows = self._reader.read(groups)
        except (BrokerError, TimeoutError):
            self._reader.close()
            self._reader = LagReader(self._cfg)
            raise
        now = time.monotonic()
        keys = {row[:3]: row for row in rows}
        self._windows.keep(keys)
        self._ages = {key: ages for key, ages in self._ages.items() if key in keys}
        return [self._watched(key, row, now) for key, row in keys.items()]

    def _watched(self, key: tuple[str, str, int], row: Lag, now: float) -> Watched:
        self._windows.add(key, Point(now, -1 if row.committed is None else row.committed, row.lag))
        ages = self._ages.setdefault(key, [])
        if row.lag_seconds is not None:
            ages.append((now, row.lag_seconds))
        ages[:] = [one for one in ages if now - one[0] <= self._windows.seconds]
        least = min((seconds for _, seconds in ages), default=None)
        return Watched(row, self._windows.status(key, row.has_members), least)


def _lag(
    row: tuple[str, str, int, int | None], start: int, end: int, age: float | None, has_members: bool
) -> Lag:
    committed = row[3]
    behind = max(0, end - (start if committed is None else committed))
    return Lag(*row, end, behind, age, start, has_members)


def _groups(client: AdminClient, prefix: str, asked: tuple[str, ...]) -> dict[str, bool]:
    """Names of groups -> whether anybody is in them."""
    listing = _answer(client.list_consumer_groups(request_timeout=ANSWER_SECONDS), "groups")
    empty = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
    known = {item.group_id: item.state not in empty for item in listing.valid}
    if missing := sorted(set(asked) - set(known)):
        allowed = f"one of {' '.join(sorted(known))}" if known else "a group that has committed"
        raise BrokerError("kafka.unknown_group", f"no group {' '.join(missing)}", allowed=allowed)
    # Another prefix may begin with ours (coby, coby-test): its groups drop out by their topics.
    own = [name for name in known if name == prefix or name.startswith((f"{prefix}-", f"{prefix}."))]
    return {name: known[name] for name in sorted(asked or own)}


def _answered(
    ask: Callable[[Iterable[Partition]], dict[Partition, int]], wanted: set[Partition]
) -> dict[Partition, int]:
    try:
        return ask(sorted(wanted))
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
