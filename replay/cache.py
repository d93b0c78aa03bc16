"""The latest values in Redis against the newest records recomputed, where the range reaches the head of the topics."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import redis

from COBY.config import Config
from COBY.runtime.redis import latest_key, make_client, require_redis
from COBY.stage import parse_position
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import StorageError
from COBY.utils.intervals import parse_time
from replay.contents import SHOWN_HASH, WHOLE, Difference, Line, Position, Spool, Verdict, text, verdict_text
from replay.expected import OF_SYMBOLS, Expected, Latest, Wanted, content_of
from replay.fields import canonical, differing, plain_of
from replay.found import Found, Patience
from replay.log import Range

NAME = "redis latest"
REPORTED = "offset"
"""Where the sink read the record: after a repeat there are two right answers, so it is not compared."""
Value = dict[str, Any]


class Cache:
    """Compares `<prefix>:latest:<channel>:…`."""

    def __init__(
        self, cfg: Config, expected: Expected, found: Found, within: Range, wanted: Wanted, spool: Spool
    ) -> None:
        self._cfg = cfg
        self._expected = expected
        self._found = found
        self._range = within
        self._wanted = wanted
        self._spool = spool

    def verdict(self, patience: Patience) -> Verdict:
        """One for all keys. StorageError `redis.unreachable`, `redis.refused`."""
        client = make_client(self._cfg)
        try:
            require_redis(self._cfg, client)
            return self._compared(client, patience)
        except redis.RedisError as error:
            raise StorageError("redis.refused", str(error)) from error
        finally:
            client.close()

    def _compared(self, client: redis.Redis, patience: Patience) -> Verdict:
        differences, whole, count = [], sha256(), 0
        for parts in sorted(self._expected.latest):
            latest, key = self._expected.latest[parts], latest_key(self._cfg.topic_prefix, *parts)
            value = _get(client, key)
            while (value is None or _position(value) < latest.position) and patience.wait():
                value = _get(client, key)
            whole.update(json.dumps([key, value], sort_keys=True).encode())
            count += value is not None
            if (difference := self._difference(key, latest, value)) is not None:
                differences.append(difference)
        differences += self._strangers(client)
        line = Line(NAME, count, whole.hexdigest()[:SHOWN_HASH], verdict_text(len(differences), 0))
        return Verdict(line, sorted(differences))

    def _difference(self, key: str, latest: Latest, value: Value | None) -> Difference | None:
        if value is None:
            return Difference(WHOLE, NAME, key, "is missing")
        position = _position(value)
        if position < latest.position:
            return Difference(WHOLE, NAME, key, f"is of {text(position)}, older than {text(latest.position)}")
        if position > latest.position:
            if self._found.is_beyond(latest.source, position):
                return None  # it has gone on since
            return Difference(WHOLE, NAME, key, f"is of {text(position)}, which is no record's")
        fields = differing(self._expected_value(latest), {**value, REPORTED: None})
        return Difference(len(fields), NAME, key, "; ".join(fields[:5])) if fields else None

    def _expected_value(self, latest: Latest) -> Value:
        content = content_of(self._spool, latest.entry)
        value: Value = canonical(plain_of(content.value or b""))
        return value | {
            "source": latest.source,
            "position": text(latest.position),
            "topic": topic_name(self._cfg.topic_prefix, latest.topic),
            "partition": partition_of(content.key, PARTITIONS),
            REPORTED: None,
        }

    def _strangers(self, client: redis.Redis) -> list[Difference]:
        """Keys that say to be of the range, and are no record's."""
        known = {latest_key(self._cfg.topic_prefix, *parts) for parts in self._expected.latest}
        found = []
        for channel in OF_SYMBOLS:
            for name in client.scan_iter(latest_key(self._cfg.topic_prefix, channel, "*")):
                key = name.decode() if isinstance(name, bytes) else str(name)
                if key in known or (value := _get(client, key)) is None:
                    continue
                time_us = parse_time(str(value.get("received_at", value.get("timestamp"))))
                is_asked = self._wanted.has(str(value.get("symbol")).encode())
                is_recomputed = not self._found.is_beyond(str(value.get("source")), _position(value))
                if is_asked and is_recomputed and self._range.holds(time_us // 1000):
                    found.append(Difference(WHOLE, NAME, key, "should not be there"))
        return found


def _get(client: redis.Redis, key: str) -> Value | None:
    """The value of a key; of one that is no JSON object of a record, an empty one at no position."""
    raw: Any = client.get(key)
    if raw is None:
        return None
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _position(value: Value) -> Position:
    try:
        return parse_position(str(value.get("position")).encode())
    except ValueError:
        return -1, -1
