"""Which topics there are, by the ids that Kafka gave them: one deleted and made anew has another. Blocking."""

from __future__ import annotations

from collections.abc import Collection

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, admin, broker_error
from COBY.topics import topic_name
from COBY.utils.exceptions import BrokerError

LENGTH = 6
"""What of an id a cursor carries: 36 bits tell a topic from its former ones."""


class TopicIds:
    """One thread uses it."""

    def __init__(self, cfg: Config) -> None:
        """Connects when first asked."""
        self._cfg = cfg
        self._client: AdminClient | None = None

    def all(self, names: Collection[str]) -> dict[str, str]:
        """The ids of topics given by their short names, without those that there are not. BrokerError."""
        if not names:
            return {}
        full = {topic_name(self._cfg.topic_prefix, name): name for name in names}
        self._client = self._client or admin(self._cfg)
        found: dict[str, str] = {}
        for topic, answer in self._client.describe_topics(
            TopicCollection(list(full)), request_timeout=ANSWER_SECONDS
        ).items():
            try:
                found[full[topic]] = str(answer.result(2 * ANSWER_SECONDS).topic_id)[:LENGTH]
            except TimeoutError as error:
                raise BrokerError("kafka.silent", "a broker does not answer", where=topic) from error
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise broker_error("kafka.refused", error, where=topic) from error
        return found

    def one(self, name: str) -> str:
        """The id of one topic. BrokerError, `topics.missing` where there is none."""
        found = self.all((name,)).get(name)
        if found is None:
            where = topic_name(self._cfg.topic_prefix, name)
            raise BrokerError("topics.missing", "there is no such topic", where=where)
        return found
