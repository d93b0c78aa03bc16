"""Topics that take old records: Kafka deletes by record time, so an old recording would be gone in minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its __init__ re-exports without __all__
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, admin
from COBY.topics import HOUR_MS, all_topics

RETENTION = "retention.ms"


def keep_old_records(cfg: Config, exchange: str, oldest_ms: int) -> Iterator[str]:
    """Turn the retention off where it would delete records of ``oldest_ms``; a line per topic changed.

    Concerned are the raw topic of the exchange and every topic derived from it.
    """
    client = admin(cfg)
    age_ms = time.time_ns() // 1_000_000 - oldest_ms
    wanted = [
        name for name, row in all_topics(cfg.topic_prefix, (exchange,)).items() if row.cleanup == "delete"
    ]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
    short = []
    for resource, answer in client.describe_configs(resources, request_timeout=ANSWER_SECONDS).items():
        retention_ms = int(answer.result(ANSWER_SECONDS)[RETENTION].value)
        if 0 <= retention_ms < age_ms + HOUR_MS:
            short.append(resource.name)
    off = ConfigEntry(RETENTION, "-1", incremental_operation=AlterConfigOpType.SET)
    changes = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[off]) for name in short]
    if changes:
        for resource, done in client.incremental_alter_configs(changes).items():
            done.result(ANSWER_SECONDS)
            yield f"set {resource.name} {RETENTION}=-1, as the recording is older than it would be kept"
