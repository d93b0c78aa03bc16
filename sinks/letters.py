"""Dead letters: what can't be used goes to the topic dlq as it came, with the reason in its headers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from confluent_kafka import Message

from COBY.config import Config
from COBY.runtime.kafka import GaplessProducer, make_producer
from COBY.runtime.metrics import Metrics
from COBY.topics import topic_name
from COBY.utils.exceptions import BrokerError
from COBY.utils.logging import get_logger
from sinks.intake import headers_of

MAX_DETAIL = 1000
log = get_logger(__name__)


class Letter(NamedTuple):
    """One record that can't be used: stable ``code``, what exactly in ``detail``."""

    message: Message
    code: str
    detail: str


class DeadLetters:
    """Writes dead letters of one stage and returns once they are delivered."""

    def __init__(self, cfg: Config, stage: str, metrics: Metrics) -> None:
        """``stage``: the value of the header of that name."""
        self._topic = topic_name(cfg.topic_prefix, "dlq")
        self._stage = stage
        self._metrics = metrics
        self._failure: BrokerError | None = None
        self._producer: GaplessProducer = make_producer(cfg, self._fail)

    def send(self, letters: Sequence[Letter], stopped: Callable[[], bool]) -> bool:
        """Deliver all letters; False if told to stop before they were delivered.

        BrokerError when Kafka gives one up: that ends the process, for nothing is skipped unwritten.
        """
        for letter in letters:
            log.warning(
                "dead_letter", stage=self._stage, code=letter.code, detail=letter.detail, **_origin(letter)
            )
            self._send(letter)
        while self._producer.flush(1.0) and self._failure is None:
            if stopped():
                return False
        if self._failure is not None:
            raise self._failure
        for letter in letters:
            self._metrics.dead_letters.labels(self._stage, letter.code).inc()
        return True

    def _send(self, letter: Letter) -> None:
        message = letter.message
        own = {
            "stage": self._stage,
            "code": letter.code,
            "detail": letter.detail[:MAX_DETAIL],
            **_origin(letter),
        }
        headers = [(name, str(value).encode()) for name, value in own.items()]
        headers += headers_of(message)  # after ours, so that a reader finds ours first; a retry needs these
        try:
            self._producer.produce(self._topic, message.value(), message.key(), headers)
        except BrokerError as error:
            if error.code != "kafka.too_large":
                raise
            digest = hashlib.sha256(message.value() or b"").hexdigest().encode()
            self._producer.produce(self._topic, None, message.key(), [*headers, ("sha256", digest)])

    def _fail(self, error: BrokerError) -> None:
        self._failure = error


def _origin(letter: Letter) -> dict[str, object]:
    message = letter.message
    return {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
