"""Writing into Redis: compare-position-and-set in one script, so that an older value never replaces a newer one.

The Redis sink, its rebuild and `coby dlq retry` all write by these functions and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from confluent_kafka import Message

from COBY.records import Status
from COBY.runtime.reader import place_of
from COBY.runtime.redis import Client, built_key
from sinks.batch import decode_as
from sinks.intake import Partition, headers_of
from sinks.latest import Entry, Origin, entry_of

LOST = -1
"""The script's answer where Redis no longer holds the partition: nothing was written."""

SCRIPT = """
if ARGV[6] ~= '' and redis.call('HEXISTS', KEYS[4], ARGV[6]) == 0 then
    return -1
end
local last = redis.call('HGET', KEYS[3], ARGV[1])
if last then
    local first, index = string.match(last, '^(-?%d+):(-?%d+)$')
    first, index = tonumber(first), tonumber(index)
    local new_first, new_index = tonumber(ARGV[2]), tonumber(ARGV[3])
    if new_first < first or (new_first == first and new_index <= index) then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[4])
if ARGV[5] ~= '0' then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'value', ARGV[4])
    redis.call('EXPIRE', KEYS[2], 3600)
end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
return 1
"""
"""KEYS: latest, feed, positions, built. ARGV: field, first, index, value, feed length (0: not into the feed), the
partition's field of built ('' does not ask). Numbers stay below 2^53. Answers: 1 written, 0 not newer, -1 the
partition is not here. Only feeds expire, so under `volatile-lru` a Redis that is full takes these, never a latest
value: that would be missing without anyone noticing."""


def entry_of_message(prefix: str, names: Mapping[str, str], message: Message) -> Entry:
    """The entry of a record; ``names``: full topic name -> channel. ProcessingError for what can't be used."""
    topic, number, offset = str(message.topic()), message.partition(), message.offset()
    assert number is not None
    assert offset is not None
    channel = names[topic]
    record = decode_as(message, channel)
    if isinstance(record, Status):
        source, position = record.slot, (record.observed_at, 0)  # producers number nothing here
    else:
        source, position = place_of(headers_of(message))
    return entry_of(prefix, channel, record, source, position, Origin(topic, number, offset))


def write_entries(client: Client, prefix: str, entries: Iterable[tuple[Entry, Partition]]) -> list[int]:
    """Write entries in order, each whole or not at all; the script's answer for each. redis.RedisError."""
    pipe = client.pipeline(transaction=False)
    script = client.register_script(SCRIPT)
    for entry, partition in entries:
        script(_keys(entry, prefix), _arguments(entry, field_of(partition)), client=pipe)
    return cast(list[int], pipe.execute())


def write_rebuilt(client: Client, prefix: str, partition: Partition, entries: Iterable[Entry]) -> None:
    """Write the entries of a partition and mark it as held, all at once: no reader sees the way there."""
    pipe = client.pipeline(transaction=True)
    script = client.register_script(SCRIPT)
    for entry in entries:
        script(_keys(entry, prefix), _arguments(entry, ""), client=pipe)
    pipe.hset(built_key(prefix), field_of(partition), "1")
    pipe.execute()


def held(client: Client, prefix: str, partitions: list[Partition]) -> set[Partition]:
    """The partitions that Redis holds; none after a flush."""
    if not partitions:
        return set()
    marks = client.hmget(built_key(prefix), [field_of(item) for item in partitions])
    return {item for item, mark in zip(partitions, marks, strict=True) if mark is not None}


def field_of(partition: Partition) -> str:
    """A partition's field in `<prefix>:built`."""
    return f"{partition[0]}/{partition[1]}"


def _keys(entry: Entry, prefix: str) -> list[str]:
    return [entry.latest, entry.feed, entry.positions, built_key(prefix)]


def _arguments(entry: Entry, field: str) -> list[str | bytes | int]:
    first, index = entry.position
    return [entry.field, first, index, entry.value, entry.feed_length, field]
