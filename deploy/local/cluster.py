"""Three Kafka brokers instead of one, each also a voter of the controllers' quorum: one may die and nothing is lost.

What all three have to agree on (the cluster's id, where the controllers listen) is noted in `<folder>/kafka.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.kafka import PROPERTIES, Kafka, cluster_id
from deploy.local.ports import free_ports
from deploy.local.process import Identity

COPIES, IN_SYNC = 3, 2
"""Of each record of Kafka's own topics, and how many must hold one before it counts."""
OF_THREE = {
    "offsets.topic.replication.factor": COPIES,
    "transaction.state.log.replication.factor": COPIES,
    "transaction.state.log.min.isr": IN_SYNC,
    "share.coordinator.state.topic.replication.factor": COPIES,
    "share.coordinator.state.topic.min.isr": IN_SYNC,
    "min.insync.replicas": IN_SYNC,
    # The first waits for the others, which on a busy machine need more than the minute it would give them.
    "initial.broker.registration.timeout.ms": 180_000,
}


class Broker(Kafka):
    """One of three."""

    # Three on one machine: quick to start and with few threads rather than fast in the long run.
    java = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    start_seconds = 180.0

    def __init__(self, folder: Path, ports: Sequence[int], node: int, *, detached: bool = False) -> None:
        """``ports`` of all; ``node`` counts from 1."""
        self.name = f"kafka-{node}"
        self.node = node
        super().__init__(folder, ports[node - 1], detached=detached)
        nodes = range(1, len(ports) + 1)
        self._notes = {one: self.note.with_name(f"kafka-{one}.json") for one in nodes}
        self._agreed = self.folder / "kafka.json"

    def running_nodes(self) -> set[int]:
        """Which of the three have a process."""
        found = {node: Identity.load(note) for node, note in self._notes.items()}
        return {node for node, one in found.items() if one is not None and one.alive}

    def prepare(self) -> None:
        """Write the configuration; the first to start says where the controllers listen."""
        self._require_java()
        agreed = json.loads(self._agreed.read_text()) if self._agreed.exists() else {"id": cluster_id()}
        if not self.running_nodes():
            agreed["controllers"] = free_ports(len(self._notes))
            self._agreed.write_text(json.dumps(agreed))
        quorum = dict(zip(self._notes, agreed["controllers"], strict=True))
        self._write(quorum, PROPERTIES | OF_THREE, agreed["id"])

    def probe(self) -> None:
        """It must know of itself and of the others that run: topics get as many copies as there are brokers."""
        if missing := self.running_nodes() - self._seen():
            raise LocalError("server_timeout", f"broker {min(missing)} is not registered yet")

    def leader(self) -> tuple[int, int]:
        """(epoch, node) of the quorum's leader, the active controller, as this broker last knew; (0, 0): none."""
        path = self.data / "data" / "__cluster_metadata-0" / "quorum-state"
        found = json.loads(path.read_text()) if path.exists() else {}
        return (found.get("leaderEpoch", 0), max(found.get("leaderId", 0), 0))


def make_brokers(folder: Path, ports: Sequence[int], *, detached: bool = False) -> list[Kafka]:
    """One broker, or as many as there are ports; not started."""
    if len(ports) == 1:
        return [Kafka(folder, ports[0], detached=detached)]
    return [Broker(folder, ports, node, detached=detached) for node in range(1, len(ports) + 1)]


def brokers_there(folder: Path) -> int:
    """How many brokers the folder has data of; 0: none yet."""
    return COPIES if (folder / "kafka-1").exists() else int((folder / "kafka").exists())


def require_same_brokers(folder: Path, brokers: Sequence[Kafka]) -> None:
    """Raises setting_invalid where the data are of another number: what is in them would seem to be gone."""
    if (there := brokers_there(folder) or len(brokers)) != len(brokers):
        message = (
            f"{folder} holds data of {there} Kafka brokers, KAFKA_BOOTSTRAP_SERVERS names {len(brokers)}: "
            "name as many, or take another folder (--dir)"
        )
        raise LocalError("setting_invalid", message)
