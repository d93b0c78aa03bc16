"""The tests' servers by testcontainers, from the images of docker-compose.kafka.yml."""

import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from deploy.local import ports
from tests.servers import KEEPING, KafkaServer, RedisServer, Servers, TimescaleServer

KAFKA_IMAGE = "apache/kafka:4.1.1"
TIMESCALE_IMAGE = "timescale/timescaledb:2.19.3-pg17"
REDIS_IMAGE = "redis:7.2-alpine"


class ContainerServers(Servers):
    """The same servers by testcontainers."""

    def versions(self) -> str:
        return f"containers: {KAFKA_IMAGE}, {TIMESCALE_IMAGE}, {REDIS_IMAGE}"

    @contextlib.contextmanager
    def kafka(self) -> Iterator[KafkaServer]:
        from testcontainers.core.container import DockerContainer

        port = ports.free_port()  # the same inside and outside: the broker tells clients its own address
        container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port)
        for name, value in _kafka_env(port).items():
            container = container.with_env(name, value)
        with container:
            where = f"{container.get_container_host_ip()}:{port}"
            _until(lambda: _ask_kafka(where))
            yield KafkaServer(where)

    @contextlib.contextmanager
    def timescale(self) -> Iterator[TimescaleServer]:
        from testcontainers.core.container import DockerContainer

        login = {"user": "market_user", "password": secrets.token_urlsafe(12), "dbname": "market_data"}
        container = DockerContainer(TIMESCALE_IMAGE).with_exposed_ports(5432)
        env = {"POSTGRES_USER": "user", "POSTGRES_PASSWORD": "password", "POSTGRES_DB": "dbname"}
        for name, key in env.items():
            container = container.with_env(name, login[key])
        container = container.with_env("TIMESCALEDB_TELEMETRY", "off")
        with container:
            host, port = container.get_container_host_ip(), int(container.get_exposed_port(5432))
            server = TimescaleServer(host, port, **login)
            _until(lambda: psycopg.connect(server.dsn, connect_timeout=2).close())
            yield server

    @contextlib.contextmanager
    def redis(self) -> Iterator[RedisServer]:
        import redis
        from testcontainers.core.container import DockerContainer

        with DockerContainer(REDIS_IMAGE).with_exposed_ports(6379) as container:
            host, port = container.get_container_host_ip(), int(container.get_exposed_port(6379))
            with redis.Redis(host, port, socket_timeout=2) as client:
                _until(client.ping)
            yield RedisServer(host, port)


def _kafka_env(port: int) -> dict[str, str]:
    """The local broker's properties, as the image takes them: KAFKA_ before upper-case names."""
    from deploy.local.kafka import PROPERTIES

    own = {
        "controller.quorum.voters": "1@localhost:29093",
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://localhost:29093",
        "advertised.listeners": f"PLAINTEXT://localhost:{port}",
    }
    named = {
        name.replace(".", "_").upper(): str(value) for name, value in (PROPERTIES | KEEPING | own).items()
    }
    return {f"KAFKA_{name}": value for name, value in named.items()}


def _ask_kafka(where: str) -> None:
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": where, "log_level": 0, "error_cb": lambda _: None})
    assert client.list_topics(timeout=2).brokers


def _until(ask: Any, seconds: float = 60.0) -> None:
    """Ask until it no longer raises; after `seconds` the error is the caller's."""
    end = time.monotonic() + seconds
    while True:
        try:
            ask()
            return
        except Exception:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)
