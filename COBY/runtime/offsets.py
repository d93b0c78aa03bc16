"""What is in the partitions now, asked of the brokers: for processes that live longer than a broker does."""

from __future__ import annotations

from collections.abc import Iterable

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


def offsets_at(
    client: AdminClient, partitions: Iterable[Partition], spec: OffsetSpec
) -> dict[Partition, int]:
    """The offset of each partition that ``spec`` means; -1: there is none. KafkaException, TimeoutError."""
    asked = {TopicPartition(*partition): spec for partition in partitions}
    if not asked:
        return {}
    answers = client.list_offsets(asked, request_timeout=ANSWER_SECONDS)
    return {
        (item.topic, item.partition): int(answer.result(2 * ANSWER_SECONDS).offset)
        for item, answer in answers.items()
    }


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
        return self._ask(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Each one's end offset; the same errors."""
        return self._ask(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def _ask(self, partitions: Iterable[Partition], spec: OffsetSpec) -> dict[Partition, int]:
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

    def _answers(self, partitions: Iterable[Partition], spec: OffsetSpec) -> dict[Partition, int]:
        self._client = self._client or admin(self._cfg)
        return offsets_at(self._client, partitions, spec)
