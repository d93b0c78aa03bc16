"""A real Kafka broker: one process, broker and controller in one (KRaft), from Maven Central's jars."""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from typing import Any

from confluent_kafka.admin import AdminClient

from deploy.local import fetch
from deploy.local.errors import LocalError
from deploy.local.ports import free_port
from deploy.local.server import Server, base_env

MESSAGE_MAX = 32 * 1024 * 1024
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "message.max.bytes": MESSAGE_MAX,
    "replica.fetch.max.bytes": MESSAGE_MAX,
    # Kafka refuses records more than an hour ahead; a refused record would be a lost one.
    "log.message.timestamp.after.max.ms": 2**63 - 1,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    # After a crash the broker is let in again only when its old session has ended (9 s by default).
    "broker.session.timeout.ms": 5000,
    "broker.heartbeat.interval.ms": 1000,
    "num.network.threads": 2,
    "num.io.threads": 4,
}
LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


def cluster_id() -> str:
    """A new one. It must not begin with a minus sign, which the alphabet has."""
    return f"A{base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip('=')[1:]}"


class Kafka(Server):
    """The broker; `bootstrap_servers` is what clients take."""

    name = "kafka"
    setting = "KAFKA_BOOTSTRAP_SERVERS"
    node = 1
    java: tuple[str, ...] = ("-Xms256m", "-Xmx768m")
    properties: Mapping[str, object] = {}
    """Further ones, or others."""

    @property
    def bootstrap_servers(self) -> str:
        """host:port for clients."""
        return f"{self.host}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration; format the storage the first time."""
        self._require_java()
        # Nothing keeps the controller's port: the quorum is this one process.
        self._write({self.node: free_port()}, PROPERTIES, cluster_id())

    def _write(self, quorum: Mapping[int, int], properties: Mapping[str, object], cluster: str) -> None:
        """``quorum``: node -> port of its controller; ``cluster``: the id that a first storage gets."""
        logs, controller = self.data / "data", quorum[self.node]
        own = {
            "node.id": self.node,
            "controller.quorum.voters": ",".join(f"{n}@{self.host}:{port}" for n, port in quorum.items()),
            "listeners": f"PLAINTEXT://{self.host}:{self.port},CONTROLLER://{self.host}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.host}:{self.port}",
            "log.dirs": logs,
        }
        lines = [f"{name}={value}\n" for name, value in {**properties, **self.properties, **own}.items()]
        (self.data / "server.properties").write_text("".join(lines))
        (self.data / "log4j2.properties").write_text(LOGGING)
        if not (logs / "meta.properties").exists():
            self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self._config())

    def _config(self) -> str:
        return str(self.data / "server.properties")

    def _require_java(self) -> None:
        if not shutil.which("java"):
            raise LocalError("missing_server", "kafka needs java, which is not here: run make setup")

    def _classpath(self) -> str:
        return str(fetch.require(fetch.kafka_dir(), "Kafka") / "lib" / "*")

    def command(self) -> list[str]:
        """The broker's JVM; a small heap, for it shares the machine with everything else."""
        logging = f"-Dlog4j2.configurationFile={self.data / 'log4j2.properties'}"
        java = ["java", *self.java, "-XX:+ExitOnOutOfMemoryError", logging]
        return self.tied([*java, "-cp", self._classpath(), "kafka.Kafka", self._config()])

    def probe(self) -> None:
        """Ask for the cluster's brokers: one, which has left the state of starting, must be there."""
        if not self._seen():
            raise LocalError("server_timeout", "no broker is registered yet")

    def _seen(self) -> set[int]:
        """The brokers that this one knows of."""
        # Refused connections are expected here, and not to be printed.
        quiet: Any = {"log_level": 0, "error_cb": lambda _: None}
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, **quiet})
        return set(client.list_topics(timeout=2).brokers)

    def _java(self, main: str, *arguments: str) -> str:
        # A short-lived JVM: the first compiler alone starts it fastest.
        command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", self._classpath(), main]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=base_env())
        if done.returncode:
            raise LocalError("server_exited", f"{main} failed", detail=(done.stdout + done.stderr).strip())
        return done.stdout

    def tool(self, name: str, *arguments: str) -> str:
        """Run one of Kafka's own tools on this broker and return what it prints.

        `name` is a class below org.apache.kafka.tools: `TopicCommand`, `consumer.group.ConsumerGroupCommand`.
        Raises LocalError server_exited when the tool fails.
        """
        where = ["--bootstrap-server", self.bootstrap_servers]
        return self._java(f"org.apache.kafka.tools.{name}", *where, *arguments)
