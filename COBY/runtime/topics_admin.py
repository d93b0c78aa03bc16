"""Kafka's topics against the table in COBY/topics.py: what differs, and making it so.

A program refuses to start on drift and shows the exact difference. The number of partitions of an existing topic
never changes (keys would move, DESIGN.md): another number is another TOPIC_PREFIX.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from time import monotonic, sleep
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its __init__ re-exports without __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, admin, broker_error, require_broker
from COBY.topics import Topic, all_topics, topic_config
from COBY.utils.exceptions import BrokerError

REPLICAS = 3
"""Copies of each partition where there are brokers enough; two of them must have a record before it counts."""


HEARD_SECONDS = 0.05


class Difference(NamedTuple):
    """One way in which Kafka differs from the table. ``code``: topics.missing, topics.partitions, topics.config."""

    code: str
    topic: str
    setting: str
    wanted: str
    found: str | None

    def __str__(self) -> str:
        if self.code == "topics.missing":
            return f"{self.topic} is missing"
        return f"{self.topic}: {self.setting} is {self.found}, must be {self.wanted}"


def wanted_config(row: Topic, cfg: Config) -> dict[str, str]:
    """Kafka's settings of a topic: the table's, with the retention of raw topics and checkpoints from the settings."""
    config = topic_config(row)
    if row.name.startswith("checkpoint."):
        config["retention.ms"] = str(cfg.retention_raw * 1000 or -1)
    if row.name == "raw":
        config["retention.ms"] = str(cfg.retention_raw * 1000 or -1)
        config["retention.bytes"] = str(cfg.retention_raw_bytes)
    return config


def compare(cfg: Config, client: AdminClient | None = None) -> list[Difference]:
    """All differences, in order of severity and topic. BrokerError `kafka.unreachable`."""
    client = client or admin(cfg)
    wanted = all_topics(cfg.topic_prefix, cfg.exchanges)
    found = require_broker(cfg, client).topics
    present = {name: row for name, row in wanted.items() if name in found}
    differences = [
        Difference("topics.missing", name, "", str(row.partitions), None)
        for name, row in wanted.items()
        if name not in found
    ]
    differences += [
        Difference(
            "topics.partitions", name, "partitions", str(row.partitions), str(len(found[name].partitions))
        )
        for name, row in present.items()
        if len(found[name].partitions) != row.partitions
    ]
    return differences + _config_differences(cfg, client, present)


def check_topics(cfg: Config) -> None:
    """Raises BrokerError with the code of the gravest difference and a message naming every one; else nothing."""
    differences = compare(cfg)
    if differences:
        raise _drift(cfg, differences)


def apply_topics(cfg: Config) -> list[str]:
    """Create what is missing, set settings that differ; returns a line per change.

    BrokerError `topics.partitions`, before anything is changed, where a topic has another number of partitions.
    """
    client = admin(cfg)
    differences = compare(cfg, client)
    fixed = [item for item in differences if item.code == "topics.partitions"]
    if fixed:
        raise _drift(cfg, fixed)
    wanted = all_topics(cfg.topic_prefix, cfg.exchanges)
    _create(
        cfg, client, {item.topic: wanted[item.topic] for item in differences if item.code == "topics.missing"}
    )
    _alter(client, [item for item in differences if item.code == "topics.config"])
    _await(cfg, client)
    return [
        f"created {item.topic} with {item.wanted} partitions"
        if item.code == "topics.missing"
        else f"set {item.topic} {item.setting}={item.wanted} (was {item.found})"
        for item in differences
    ]


def _await(cfg: Config, client: AdminClient) -> None:
    """Wait until the brokers answer by the table: the controller agrees to a change before they have heard of it."""
    until = monotonic() + ANSWER_SECONDS
    while differences := compare(cfg, client):
        if monotonic() > until:
            raise _drift(cfg, differences)
        sleep(HEARD_SECONDS)


def _drift(cfg: Config, differences: list[Difference]) -> BrokerError:
    code = differences[0].code
    allowed = (
        "the table in COBY/topics.py; another number of partitions needs another TOPIC_PREFIX"
        if code == "topics.partitions"
        else "the table in COBY/topics.py; `coby topics apply` makes it so"
    )
    text = "; ".join(str(item) for item in differences)
    return BrokerError(code, text, where=cfg.kafka_bootstrap_servers, allowed=allowed)


def _config_differences(cfg: Config, client: AdminClient, present: Mapping[str, Topic]) -> list[Difference]:
    if not present:
        return []
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in present]
    answers = {
        resource.name: _answer(future, resource.name)
        for resource, future in client.describe_configs(resources, request_timeout=ANSWER_SECONDS).items()
    }
    return [
        Difference("topics.config", name, setting, value, found)
        for name, row in present.items()
        for setting, value in wanted_config(row, cfg).items()
        if (found := _value(answers[name], setting)) != value and not _kept_longer(setting, found)
    ]


def _kept_longer(setting: str, found: str | None) -> bool:
    """`coby feed --times kept` lets nothing expire in the topics it fills: no difference that loses a record."""
    return setting == "retention.ms" and found == "-1"


def _value(entries: Mapping[str, Any], setting: str) -> str | None:
    return entries[setting].value if setting in entries else None


def new_topics(cfg: Config, client: AdminClient, rows: Mapping[str, Topic]) -> list[NewTopic]:
    """What to ask for, by full name and row: as many copies as there are brokers for, three at most."""
    replicas = min(REPLICAS, len(require_broker(cfg, client).brokers))
    safety = {"min.insync.replicas": "2"} if replicas == REPLICAS else {}
    return [
        NewTopic(
            name,
            num_partitions=row.partitions,
            replication_factor=replicas,
            config=wanted_config(row, cfg) | safety,
        )
        for name, row in rows.items()
    ]


def _create(cfg: Config, client: AdminClient, rows: Mapping[str, Topic]) -> None:
    if not rows:
        return
    topics = new_topics(cfg, client, rows)
    for name, future in client.create_topics(topics, operation_timeout=ANSWER_SECONDS).items():
        _answer(future, name, unless=KafkaError.TOPIC_ALREADY_EXISTS)  # another `apply` at the same time


def _alter(client: AdminClient, differences: list[Difference]) -> None:
    entries: dict[str, list[ConfigEntry]] = {}
    for item in differences:
        entry = ConfigEntry(item.setting, item.wanted, incremental_operation=AlterConfigOpType.SET)
        entries.setdefault(item.topic, []).append(entry)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)
        for name, changes in entries.items()
    ]
    if resources:
        for resource, future in client.incremental_alter_configs(resources).items():
            _answer(future, resource.name)


def _answer(future: Future[Any], topic: str, unless: int | None = None) -> Any:
    try:
        return future.result(timeout=2 * ANSWER_SECONDS)
    except KafkaException as error:
        if error.args[0].code() == unless:
            return None
        raise broker_error("kafka.refused", error, where=topic) from error
