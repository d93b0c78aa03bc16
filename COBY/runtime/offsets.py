"""What is in the partitions now, asked of the brokers: for processes that live longer than a broker does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported without __all__

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, admin

Partition = tuple[str, int]
MOVING = (
    KafkaError._NOENT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
)
"""A partition's leader is just changing, or a broker that was too busy for a moment leads anew: asked again."""


def asked_of(client: AdminClient, partitions: Iterable[Partition], spec: OffsetSpec) -> dict[Partition, Any]:
    """What ``spec`` means in each partition: its ``offset`` and ``timestamp``, -1 where there is none.

    KafkaException or TimeoutError when a broker does not answer.
    """
    asked = {TopicPartition(*partition): spec for partition in partitions}
    if not asked:
        return {}
    answers = client.list_offsets(asked, request_timeout=ANSWER_SECONDS)
    return {(item.topic, item.partition): one.result(2 * ANSWER_SECONDS) for item, one in answers.items()}


def offsets_at(
    client: AdminClient, partitions: Iterable[Partition], spec: OffsetSpec
) -> dict[Partition, int]:
    """The offset of each partition that ``spec`` means; errors as `asked_of`."""
    return {partition: int(one.offset) for partition, one in asked_of(client, partitions, spec).items()}


class Offsets:
    """Asks on a connection of its own: on a consumer's each question waits behind a long fetch. One thread uses it.

    When a client that was there before fails, a fresh one asks. librdkafka's admin client keeps the epochs of the
    leaders that it has heard of for minutes, also when a broker that was restarted refuses them
    (FENCED_LEADER_EPOCH, compare librdkafka's issue 4620).
    """

    def __init__(self, cfg: Config) -> None:
        """Connects when first asked."""
        self._cfg = cfg
        self._client: AdminClient | None = None

    def oldest(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Each one's oldest offset. KafkaException or TimeoutError when a broker does not answer."""
        found = self._ask(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        return {partition: one.offset for partition, one in found.items()}

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Each one's end offset; the same errors."""
        found = self._ask(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {partition: one.offset for partition, one in found.items()}

    def newest_ms(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Each one's highest time of a record, in milliseconds, -1 of an empty one; the same errors."""
        found = self._ask(partitions, OffsetSpec.max_timestamp())  # type: ignore[no-untyped-call]
        return {partition: one.timestamp for partition, one in found.items()}

    def _ask(self, partitions: Iterable[Partition], spec: OffsetSpec) -> dict[Partition, Any]:
        asked = list(partitions)
        if not asked:
            return {}
        kept = self._client
        try:
            return self._answers(asked, spec)
        except (KafkaException, TimeoutError):
            self._client = None
            if kept is None:
                raise
            return self._answers(asked, spec)

    def _answers(self, partitions: Iterable[Partition], spec: OffsetSpec) -> dict[Partition, Any]:
        self._client = self._client or admin(self._cfg)
        return asked_of(self._client, partitions, spec)
