"""Topics of sessions: made with a session, deleted with it."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, broker_error, require_broker
from COBY.runtime.topics_admin import REPLICAS
from COBY.topics import REPLAY, topic_config
from replay.sessions import replay_topic


def make_topic(cfg: Config, client: AdminClient, session: str) -> None:
    """One partition: the whole session in one order. Nothing expires, its records may be years old.

    BrokerError `kafka.refused`.
    """
    replicas = min(REPLICAS, len(require_broker(cfg, client).brokers))
    safety = {"min.insync.replicas": "2"} if replicas == REPLICAS else {}
    name = replay_topic(cfg.topic_prefix, session)
    wanted = NewTopic(
        name,
        num_partitions=REPLAY.partitions,
        replication_factor=replicas,
        config=topic_config(REPLAY) | safety,
    )
    try:
        client.create_topics([wanted], operation_timeout=ANSWER_SECONDS)[name].result(2 * ANSWER_SECONDS)
    except KafkaException as error:
        raise broker_error("kafka.refused", error, where=name) from error


def delete_topic(cfg: Config, client: AdminClient, session: str) -> None:
    """Nothing happens if it is gone. BrokerError `kafka.refused`."""
    name = replay_topic(cfg.topic_prefix, session)
    try:
        client.delete_topics([name], operation_timeout=ANSWER_SECONDS)[name].result(2 * ANSWER_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise broker_error("kafka.refused", error, where=name) from error
