"""Cases of what lies in Kafka: poison, records gone, snapshots damaged, topics other than they should be."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from COBY.config import load_config
from COBY.runtime.kafka import admin, apply_topics, client_settings
from COBY.topics import topic_name
from deploy.local.stack import ROOT
from tests.faults.cases import Case
from tests.faults.content import each, partitions
from tests.faults.pipeline import FaultError, Pipeline
from tests.reference.compare import decode
from tests.reference.settings import partition_of

RAW_PARTITIONS = 4
FIVE_MB = b'{"stream":"btcusdt@depth@100ms","data":{"x":"' + b"a" * 5_000_000
FRAMES = {
    "invalid JSON": b"{nonsense",
    "broken UTF-8": b'{"stream":"\xff\xfe"}',
    "5 MB": FIVE_MB,
    "deep nesting": b"[" * 100_000,
    "NaN": b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":6,'
    b'"b":[["NaN","1"]],"a":[]}}',
    "1e400": b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":6,'
    b'"b":[["1e400","1"]],"a":[]}}',
    "negative size": b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":6,'
    b'"b":[["100","-1"]],"a":[]}}',
    "unknown symbol": b'{"stream":"nousdt@trade","data":{"e":"trade","E":1,"s":"NOUSDT","t":1,"p":"1","q":"1",'
    b'"T":1,"m":true,"M":true}}',
    "null value": None,
}
"""What an exchange might send; all on one connection of their own, so that no real book is touched."""


class Poison(Case):
    """Raw frames to normalize, records of unknown form to the sinks."""

    number = 9
    title = "poison frames: each once in the dead letters, the partition keeps moving"
    rounds = len(FRAMES) + 2
    # Nothing stops, so nothing shows but the dead letters, which are counted at the end.
    is_seen = False

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The next frame; then a record without a value and one of an unknown schema id among the derived ones."""
        producer = Producer(client_settings(pipeline.config) | {"message.max.bytes": 32 << 20})
        names = [*FRAMES, "derived record of null", "derived record of an unknown schema id"]
        name = names[round_ % len(names)]
        mark = [("poison", name.encode())]
        if name in FRAMES:
            topic = topic_name(pipeline.config.topic_prefix, "raw", "binance")
            headers = [
                ("received_ns", b"%d" % time.time_ns()),
                ("conn", b"poison"),
                ("seq", b"%d" % (round_ + 1)),
            ]
            headers += [("kind", b"ws"), *mark]
            slot = b"binance-0"
            where: dict[str, Any] = {"partition": partition_of(slot, RAW_PARTITIONS), "key": slot}
            producer.produce(topic, FRAMES[name], headers=headers, **where)
        else:
            topic = topic_name(pipeline.config.topic_prefix, "trade")
            value = None if name.endswith("null") else b"\x00\x00\x0f\x42\x3fnothing known"
            headers = [("source", b"poison/0"), ("position", b"%d:0" % round_), *mark]
            producer.produce(topic, value, key=b"BTCUSDT", headers=headers)
        if producer.flush(20):
            raise FaultError(f"{name} could not be written")
        pipeline.fault_ended = time.monotonic()
        pipeline.until(lambda: self._letters(pipeline)[name], 30, f"{name} in the dead letters")
        return name

    @staticmethod
    def _letters(pipeline: Pipeline) -> Counter[str]:
        """Dead letters by the poison that they carry (by origin once each, so repeats of a restart do not count)."""
        topic, origins = topic_name(pipeline.config.topic_prefix, "dlq"), set()
        for number in partitions(pipeline.config, topic):
            for message in each(pipeline.config, topic, number):
                headers = dict(message.headers() or [])
                known = {value: name for name, value in FRAMES.items()}
                value = None if headers.get("code") == b"frame.null" else message.value()
                name = headers.get("poison", b"").decode() or known.get(value, "unknown")
                origins.add((name, message.offset(), number))
        return Counter(name for name, _, _ in origins)

    def judge(self, pipeline: Pipeline) -> list[str]:
        """Each exactly once."""
        return [
            f"case 9: {name} is in the dead letters {count} times"
            for name, count in self._letters(pipeline).items()
            if count != 1
        ]


class RecordsGone(Case):
    """Retention overtook a worker that was down."""

    number = 16
    title = "committed offset older than retention: an explicit gap, never silence"
    rounds = 2
    raw_is_whole = False

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The workers are down while the raw topics are cut to their last records; then they start."""
        config = pipeline.config
        gaps = len(self._gaps(pipeline))
        pipeline.require_lag()
        pipeline.programs.stop("streams")
        pipeline.watch(5.0)
        client, ends = admin(config), []
        for exchange in config.exchanges:
            topic = topic_name(config.topic_prefix, "raw", exchange)
            ends += [TopicPartition(topic, number, -1) for number in partitions(config, topic)]
        for done in client.delete_records(ends).values():
            done.result(20)
        pipeline.programs.start("streams")
        pipeline.fault_ended = time.monotonic()
        wanted = len(config.exchanges) * len(config.symbols)
        pipeline.until(lambda: len(self._gaps(pipeline)) >= gaps + wanted, 60, "a gap for each book")
        return f"{len(ends)} partitions cut while the worker was down, {wanted} gaps told"

    @staticmethod
    def _gaps(pipeline: Pipeline) -> set[tuple[str, str, int]]:
        topic = topic_name(pipeline.config.topic_prefix, "gap")
        found = set()
        for number in partitions(pipeline.config, topic):
            for message in each(pipeline.config, topic, number):
                gap = decode("gap", message.value())
                if gap["reason"] == "retention":
                    found.add((gap["exchange"], gap["symbol"], gap["from_time"]))
        return found


class SnapshotsDamaged(Case):
    """What can't be used is passed over as a whole; an older one does, or the oldest record."""

    number = 17
    title = "snapshot missing, truncated, bit-flipped, from a newer schema"
    rounds = 4

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The next damage to the newest snapshots of every task, written under their own keys; then a kill."""
        damages = {
            "missing": self._missing,
            "truncated": self._cut,
            "flipped": self._flipped,
            "newer": self._newer,
        }
        name = list(damages)[round_ % len(damages)]
        told = pipeline.programs.log("streams").read_text().count("snapshot_unusable")
        producer = Producer(client_settings(pipeline.config) | {"message.max.bytes": 32 << 20})
        lag = pipeline.require_lag()
        pipeline.programs.stop("streams")
        written = 0
        for stage in ("normalize", "aggregate"):
            topic = topic_name(pipeline.config.topic_prefix, f"state.{stage}")
            for number in partitions(pipeline.config, topic):
                newest = {message.key(): message.value() for message in each(pipeline.config, topic, number)}
                for key, value in newest.items():
                    if value is None or (name != "missing" and key.endswith(b"|0")):
                        continue  # one of four stays, but for `missing`, where all go
                    producer.produce(topic, damages[name](value), key=key, partition=number)
                    written += 1
        if producer.flush(20):
            raise FaultError("the damaged snapshots could not be written")
        pipeline.programs.start("streams")
        pipeline.fault_ended = time.monotonic()
        log = pipeline.programs.log("streams")
        pipeline.until(lambda: log.read_text().count("snapshot_unusable") > told, 60, "told as unusable")
        return f"{written} snapshots {name}, lag {lag}"

    @staticmethod
    def _missing(_value: bytes) -> bytes | None:
        return None

    @staticmethod
    def _cut(value: bytes) -> bytes:
        return value[: len(value) // 2]

    @staticmethod
    def _flipped(value: bytes) -> bytes:
        return value[:-3] + bytes((value[-3] ^ 4,)) + value[-2:]

    @staticmethod
    def _newer(value: bytes) -> bytes:
        return value[:8] + bytes((value[8] + 1,)) + value[9:]


class TopicsWrong(Case):
    """Under a prefix of its own, beside the pipeline, which must not notice."""

    number = 18
    title = "topic missing, wrong partition count, wrong cleanup policy: refuse to start, with the difference"
    rounds = 3
    is_seen = False
    PROGRAMS = ("streams", "sinks.timescale", "sinks.redis", "producers.clock")

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The next difference; every program must refuse it and name it."""
        prefix = f"wrong{round_}t{int(time.time())}"
        env = {**pipeline.env, "TOPIC_PREFIX": prefix, "METRICS_PORT": "0"}
        config = load_config(env)
        apply_topics(config)
        client, topic = admin(config), topic_name(prefix, "trade")
        try:
            word = (self._without, self._recounted, self._compacted)[round_ % 3](client, topic)
            for program in self.PROGRAMS:
                self._refused(program, env, (topic, word))
        finally:
            self._removed(client, prefix)
        pipeline.fault_ended = time.monotonic()
        return f"{', '.join(self.PROGRAMS)} refused: {word}"

    @staticmethod
    def _refused(program: str, env: dict[str, str], words: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", program]
        try:
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            raise FaultError(f"{program} started on a wrong topic") from None
        if done.returncode != 2 or not all(word in done.stderr for word in words):
            raise FaultError(
                f"{program}: exit code {done.returncode}, {done.stderr[-500:]!r}, wanted {words}"
            )

    @staticmethod
    def _without(client: Any, topic: str) -> str:
        TopicsWrong._gone(client, topic)
        return "missing"

    @staticmethod
    def _recounted(client: Any, topic: str) -> str:
        TopicsWrong._gone(client, topic)
        client.create_topics([NewTopic(topic, 5, 1)])[topic].result(20)
        return "5"

    @staticmethod
    def _compacted(client: Any, topic: str) -> str:
        entry = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        client.incremental_alter_configs([resource])[resource].result(20)
        asked, end = ConfigResource(ResourceType.TOPIC, topic), time.monotonic() + 20
        # The broker answers before its own view of the topic has changed.
        while client.describe_configs([asked])[asked].result(20)["cleanup.policy"].value != "compact":
            if time.monotonic() > end:
                raise FaultError(f"{topic} is still not compacted")
            time.sleep(0.1)
        return "compact"

    @staticmethod
    def _gone(client: Any, topic: str) -> None:
        client.delete_topics([topic])[topic].result(20)
        end = time.monotonic() + 20
        while topic in client.list_topics(timeout=10).topics:
            if time.monotonic() > end:
                raise FaultError(f"{topic} is still there")
            time.sleep(0.1)

    @staticmethod
    def _removed(client: Any, prefix: str) -> None:
        names = [name for name in client.list_topics(timeout=10).topics if name.startswith(f"{prefix}.")]
        for done in client.delete_topics(names).values():
            try:
                done.result(20)
            except KafkaException as error:
                raise FaultError(f"a topic was not removed: {error}") from error
