"""A pipeline whose programs meet Kafka, TimescaleDB, Redis and the exchanges through fault proxies."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.kafka import Kafka
from deploy.local.ports import HOST, free_port
from deploy.local.programs import simulated
from deploy.local.stack import Stack
from tests.faults.pipeline import EXCHANGES, Pipeline
from tests.faults.proxy import FaultProxy


class TwoListeners(Kafka):
    """A broker with a second listener, which is told to clients as the proxy's address."""

    def __init__(self, folder: Path, port: int, advertised: int) -> None:
        super().__init__(folder, port)
        self.behind_proxy = free_port()
        self._advertised = advertised

    def prepare(self) -> None:
        """As ever, and the second listener."""
        super().prepare()
        path = self.data / "server.properties"
        lines = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        lines["listeners"] += f",PROXIED://{HOST}:{self.behind_proxy}"
        lines["advertised.listeners"] += f",PROXIED://{HOST}:{self._advertised}"
        lines["listener.security.protocol.map"] += ",PROXIED:PLAINTEXT"
        path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


class ProxiedStack(Stack):
    """The servers, Kafka with two listeners."""

    def __init__(self, folder: Path, advertised: int) -> None:
        super().__init__(folder)
        self.kafka: TwoListeners = TwoListeners(self.folder, self.kafka.port, advertised)
        self.servers = (self.kafka, self.postgres, self.redis)


class ProxiedPipeline(Pipeline):
    """`proxies` by name: kafka, database, redis, exchange. What looks at it from outside goes past them."""

    def make_stack(self) -> Stack:
        """The servers, and a proxy before each."""
        kafka_port = free_port()
        stack = ProxiedStack(self.folder / "servers", kafka_port)
        targets = {
            "kafka": (stack.kafka.behind_proxy, kafka_port),
            "database": (stack.postgres.port, 0),
            "redis": (stack.redis.port, 0),
        }
        self.proxies = {
            name: self._stack.enter_context(FaultProxy((HOST, target), port))
            for name, (target, port) in targets.items()
        }
        return stack

    def program_env(self) -> dict[str, str]:
        """Where the programs find the proxies; the exchanges' is made here, as the simulator has its port only now."""
        target = (HOST, urlsplit(self.simulator_url).port or 0)
        self.proxies["exchange"] = self._stack.enter_context(FaultProxy(target))
        ports = {name: proxy.port for name, proxy in self.proxies.items()}
        return {
            **simulated(EXCHANGES, ports["exchange"]),
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{ports['kafka']}",
            "DB_PORT": str(ports["database"]),
            "REDIS_PORT": str(ports["redis"]),
        }
