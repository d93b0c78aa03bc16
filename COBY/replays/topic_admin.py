"""Topics of sessions: made with a session, deleted with it."""

from __future__ import annotations

from time import monotonic, sleep

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from COBY.config import Config
from COBY.replays.sessions import replay_topic
from COBY.runtime.kafka import ANSWER_SECONDS, broker_error
from COBY.runtime.topics_admin import new_topics
from COBY.topics import REPLAY
from COBY.utils.exceptions import BrokerError

KNOWN_SECONDS = 0.02


def make_topic(cfg: Config, client: AdminClient, session: str) -> None:
    """One partition: the whole session in one order. Nothing expires, its records may be years old.

    BrokerError `kafka.refused`, `kafka.silent`.
    """
    name = replay_topic(cfg.topic_prefix, session)
    wanted = new_topics(cfg, client, {name: REPLAY})
    try:
        client.create_topics(wanted, operation_timeout=ANSWER_SECONDS)[name].result(2 * ANSWER_SECONDS)
        _wait_for(client, name)
    except KafkaException as error:
        raise broker_error("kafka.refused", error, where=name) from error
    except TimeoutError as error:
        raise BrokerError("kafka.silent", "a broker does not answer", where=name) from error


def _wait_for(client: AdminClient, name: str) -> None:
    """A broker may answer before it knows the topic itself: who asked for it could not read it yet."""
    until = monotonic() + ANSWER_SECONDS
    while monotonic() < until:
        found = client.list_topics(timeout=ANSWER_SECONDS).topics.get(name)
        if found is not None and all(one.leader >= 0 for one in found.partitions.values()):
            return
        sleep(KNOWN_SECONDS)


def delete_topic(cfg: Config, client: AdminClient, session: str) -> None:
    """Nothing happens if it is gone. BrokerError `kafka.refused`."""
    name = replay_topic(cfg.topic_prefix, session)
    try:
        client.delete_topics([name], operation_timeout=ANSWER_SECONDS)[name].result(2 * ANSWER_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise broker_error("kafka.refused", error, where=name) from error
