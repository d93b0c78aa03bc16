"""Case 13: disks that are full, under the broker, under the database, under the logs."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from COBY.runtime.kafka import admin, client_settings
from COBY.topics import topic_name
from deploy.local.programs import Program
from deploy.local.server import Server
from deploy.local.stack import Stack
from tests.faults.cases import Case
from tests.faults.content import each, partitions
from tests.faults.disks import Disks
from tests.faults.pipeline import FaultError, Pipeline

KAFKA_MIB, POSTGRES_MIB, LOGS_MIB = 512, 1_024, 32
LEFT_BYTES = 256 * 1024
"""So that it is full in the midst of a write, not before one."""
FULL_SECONDS = 25.0
BUFFER_RECORDS = 200
"""Of each producer: full before FULL_SECONDS are over at 8 frames/s and more."""
PROBE = "probe"
PROBE_SECONDS = 0.05
RESTART_SECONDS = 30.0


class SmallDisks(Pipeline):
    """The broker's and the database's data and all logs lie on small disks of their own."""

    disks: Disks

    def make_stack(self) -> Stack:
        """The servers, on their disks."""
        servers = self.folder / "servers"
        self.disks = self._stack.enter_context(Disks())
        sizes = {self.logs: LOGS_MIB, servers / "logs": LOGS_MIB}
        for at, size_mib in {
            servers / "kafka": KAFKA_MIB,
            servers / "postgres": POSTGRES_MIB,
            **sizes,
        }.items():
            self.disks.mount(at, size_mib)
        return super().make_stack()

    @property
    def logs(self) -> Path:
        """Where the programs' output goes, and their own log files."""
        return self.folder / "logs"

    def program_env(self) -> dict[str, str]:
        """Beside their output the programs write logs of their own."""
        return {"LOG_FILE": f"{self.logs}/own-{{program}}.log"}

    def _table(self, port: int) -> list[Program]:
        small = {"DATA_BUFFER_SIZE": str(BUFFER_RECORDS)}
        return [
            replace(one, env={**one.env, **small}) if one.name.startswith("producer-") else one
            for one in super()._table(port)
        ]


class Probe(threading.Thread):
    """Writes numbered records all the time, and remembers which the broker has acknowledged."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(name="probe", daemon=True)
        self._config = pipeline.config
        self.topic = f"{pipeline.config.topic_prefix}.{PROBE}"
        self._stop_asked = threading.Event()
        self.acknowledged: set[int] = set()

    def run(self) -> None:
        """Until `end`."""
        quiet: dict[str, Any] = {"enable.idempotence": True, "acks": "all", "error_cb": lambda _: None}
        producer = Producer(client_settings(self._config) | quiet)
        number = 0
        while not self._stop_asked.wait(PROBE_SECONDS):
            number += 1
            producer.produce(self.topic, b"%d" % number, on_delivery=self._delivered)
            producer.poll(0)
        producer.flush(20)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            self.acknowledged.add(int(message.value()))

    def end(self) -> list[str]:
        """Stop writing; what was acknowledged and is not there."""
        self._stop_asked.set()
        self.join()
        there = {
            int(message.value())
            for number in partitions(self._config, self.topic)
            for message in each(self._config, self.topic, number)
        }
        if not self.acknowledged:
            return ["case 13: the broker acknowledged nothing, so nothing was checked"]
        lost = sorted(self.acknowledged - there)
        return [f"case 13: {len(lost)} acknowledged records are lost, the first is {lost[0]}"] if lost else []


class DiskFull(Case):
    """Whoever can't write refuses or ends; what was acknowledged stays; a log is no reason to stop."""

    number = 13
    title = "disk full under Kafka, under PostgreSQL, under the log folder"
    rounds = 3
    # A full log folder must not show. The other two rounds look for themselves.
    is_seen = False
    keeps_data = False
    _filled_kafka = False

    def make_pipeline(self, folder: Path, seed: int, session: int) -> Pipeline:
        """On small disks."""
        return SmallDisks(folder, self.load, seed, session)

    def begin(self, pipeline: Pipeline) -> None:
        """Somebody writes and counts what is acknowledged."""
        self._probe = Probe(pipeline)
        client = admin(pipeline.config)  # lives until its answer is there
        client.create_topics([NewTopic(self._probe.topic, 1, 1)])[self._probe.topic].result(20)
        self._probe.start()

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """One of the three in turn."""
        assert isinstance(pipeline, SmallDisks)
        servers = pipeline.servers
        if round_ % 3 == 2:
            return self._full_logs(pipeline)
        self._filled_kafka |= round_ % 3 == 0
        return self._full_server(pipeline, servers.kafka if round_ % 3 == 0 else servers.postgres)

    @staticmethod
    def _full_server(pipeline: SmallDisks, server: Server) -> str:
        pipeline.require_lag()
        filled = pipeline.disks.fill(server.data, LEFT_BYTES)
        try:
            pipeline.watch(FULL_SECONDS)
        finally:
            pipeline.disks.empty(server.data)
        if not pipeline.seen:
            raise FaultError(f"I9: a full disk under {server.name} showed nowhere")
        ended = not server.running
        if ended:
            server.start()
        pipeline.fault_ended = time.monotonic()
        what = "it stopped itself and was started" if ended else "it refused and went on"
        return f"{filled >> 20} MiB filled under {server.name} for {FULL_SECONDS:g} s, {what}"

    @staticmethod
    def _full_logs(pipeline: SmallDisks) -> str:
        folders = (pipeline.logs, pipeline.servers.kafka.log.parent)
        before = pids(pipeline)
        filled = sum(pipeline.disks.fill(at) for at in folders)
        try:
            pipeline.watch(FULL_SECONDS)
            if (now := pids(pipeline)) != before:
                gone = sorted(name for name in before if now.get(name) != before[name])
                raise FaultError(f"with a full log folder ended: {' '.join(gone)}")
            killed = pipeline.programs.kill("streams")
            pipeline.until(
                lambda: pids(pipeline).get("streams") not in (None, killed), RESTART_SECONDS, "a start"
            )
            pipeline.fault_ended = time.monotonic()
            seconds = pipeline.recover()
        finally:
            for at in folders:
                pipeline.disks.empty(at)
        pipeline.fault_ended = time.monotonic()
        return (
            f"{filled >> 20} MiB filled under the logs, a worker killed meanwhile was back in {seconds:.1f} s"
        )

    def end(self, pipeline: Pipeline) -> list[str]:
        """The producers told what they dropped (I1 checks that it covers every hole)."""
        if not self._filled_kafka or any(dropped(pipeline)):
            return []
        return ["case 13: no producer dropped anything, so dropping was not tried"]

    def judge(self, pipeline: Pipeline) -> list[str]:
        """What the broker acknowledged is there; then the probe's topic goes."""
        problems = self._probe.end()
        client, topic = admin(pipeline.config), self._probe.topic
        client.delete_topics([topic])[topic].result(20)
        pipeline.until(lambda: topic not in client.list_topics(timeout=10).topics, 20, f"{topic} gone")
        return problems


def pids(pipeline: Pipeline) -> dict[str, int | None]:
    """Program -> process id. Not from a log: that may be full."""
    return {name: state.pid for name, state in pipeline.programs.status().items()}


def dropped(pipeline: Pipeline) -> list[str]:
    """The connections that have a `dropped` event."""
    found = set()
    for exchange in pipeline.config.exchanges:
        topic = topic_name(pipeline.config.topic_prefix, "raw", exchange)
        for number in partitions(pipeline.config, topic):
            for message in each(pipeline.config, topic, number):
                headers = dict(message.headers() or [])
                if headers["kind"] == b"event" and b'"dropped"' in (message.value() or b""):
                    found.add(headers["conn"].decode())
    return sorted(found)
