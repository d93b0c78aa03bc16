"""Reading a known piece of a partition once, without a group: snapshots, rebuilds, dead letters, recomputing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from COBY.config import Config
from COBY.runtime.kafka import broker_error, make_consumer
from COBY.utils.exceptions import BrokerError

FETCH_RECORDS = 500
FETCH_SECONDS = 0.2
FETCH_WAIT_MS = 20


def range_consumer(cfg: Config, name: str, **more: Any) -> Consumer:
    """A consumer for `read_range`; ``name`` names it to the brokers, no group is joined. Close it.

    At the end of a partition a broker holds its answer back only shortly: the next question waits behind it.
    """
    shortly = {"enable_partition_eof": True, "fetch_wait_max_ms": FETCH_WAIT_MS}
    return make_consumer(cfg, f"{cfg.topic_prefix}.{name}", **shortly | more)


def read_range(
    consumer: Consumer,
    partition: tuple[str, int],
    first: int,
    end: int,
    *,
    stopped: Callable[[], bool] = lambda: False,
    silence_seconds: float = float("inf"),
) -> Iterator[Message]:
    """The records [first, end) of a partition, those that are still there; ends early once ``stopped``.

    ``consumer``: of `range_consumer`, and used for nothing else meanwhile; its assignment is replaced.
    BrokerError `kafka.refused` where the broker does not give the partition, `kafka.silent` when nothing comes for
    ``silence_seconds``.
    """
    if first >= end:
        return
    consumer.assign([TopicPartition(*partition, first)])
    at, heard = first, monotonic()
    while not stopped():
        # consume() waits until it has as many records as asked for.
        messages = consumer.consume(min(FETCH_RECORDS, end - at), FETCH_SECONDS)
        heard = monotonic() if messages else heard
        if monotonic() > heard + silence_seconds:
            text = f"nothing came for {silence_seconds:g} seconds, though the partition ends at {end}"
            raise BrokerError("kafka.silent", text, where=f"{partition[0]}/{partition[1]}")
        for message in messages:
            offset = message.offset()
            if (message.topic(), message.partition()) != partition or offset is None:
                continue  # fetched for an earlier range
            if _is_end(message) or offset >= end:
                return
            if offset >= first:
                yield message
            at = offset + 1
            if at == end:
                return


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise broker_error("kafka.refused", error, where=message.topic())
