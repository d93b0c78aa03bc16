"""Real servers for the tests: containers where a Docker engine answers, else the local stack, on free ports.

Both come as the same three classes. Nothing is mocked, and nothing is started before a test asks for it.
COBY_TEST_SERVERS=local|containers decides instead of looking for an engine.
"""

import contextlib
import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from deploy.local import fetch, ports

T = TypeVar("T")


KEEPING = {"log.initial.task.delay.ms": 0, "log.retention.check.interval.ms": 2**40}
"""Tests write records of years ago, which must not go when the broker next looks for what is too old."""


@dataclass(frozen=True)
class KafkaServer:
    """A broker without topics of ours."""

    bootstrap_servers: str
    server: Any = None
    """The local stack's Kafka (kill, start, pause …); None in a container."""

    @property
    def env(self) -> dict[str, str]:
        """The settings that lead here."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers}


@dataclass(frozen=True)
class Database:
    """One empty database with the extension TimescaleDB."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dbname: str

    @property
    def dsn(self) -> str:
        """For psycopg."""
        return psycopg.conninfo.make_conninfo(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=self.dbname
        )

    @property
    def env(self) -> dict[str, str]:
        """The settings that lead here."""
        return {
            "DB_HOST": self.host,
            "DB_PORT": str(self.port),
            "DB_USER": self.user,
            "DB_PASSWORD": self.password,
            "DB_NAME": self.dbname,
        }


@dataclass(frozen=True)
class TimescaleServer(Database):
    """The server, by its first database; `database()` makes further ones."""

    server: Any = None
    """The local stack's Postgres (kill, start, pause …); None in a container."""

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """A fresh database, dropped at the end whoever is connected."""
        name = f"t{secrets.token_hex(4)}"
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
            if self.server is None:
                conn.execute(create)
                with psycopg.connect(psycopg.conninfo.make_conninfo(self.dsn, dbname=name)) as inside:
                    inside.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            else:
                self.server.create_database(name)
        try:
            yield Database(self.host, self.port, self.user, self.password, name)
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        if self.server is not None:
            self.server.drop_database(name)
            return
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@dataclass(frozen=True)
class RedisServer:
    """A Redis without a password."""

    host: str
    port: int
    server: Any = None
    """The local stack's Redis (kill, start, pause …); None in a container."""

    @property
    def env(self) -> dict[str, str]:
        """The settings that lead here."""
        return {"REDIS_HOST": self.host, "REDIS_PORT": str(self.port)}


class Servers(ABC):
    """Where servers come from; each method gives one that answers, and ends it afterwards."""

    @abstractmethod
    def versions(self) -> str:
        """What runs, for pytest's header; starts nothing."""

    @abstractmethod
    def kafka(self) -> contextlib.AbstractContextManager[KafkaServer]: ...

    @abstractmethod
    def timescale(self) -> contextlib.AbstractContextManager[TimescaleServer]: ...

    @abstractmethod
    def redis(self) -> contextlib.AbstractContextManager[RedisServer]: ...


class LocalServers(Servers):
    """deploy.local's servers in a folder of the session's; they end with this process, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> str:
        return local_versions()

    @contextlib.contextmanager
    def kafka(self) -> Iterator[KafkaServer]:
        from deploy.local.kafka import Kafka

        class Keeping(Kafka):
            properties = KEEPING
            start_seconds = 240.0  # on a machine that does other things, too

        with self._run(Keeping(self.folder, ports.free_port())) as server:
            yield KafkaServer(server.bootstrap_servers, server)

    @contextlib.contextmanager
    def timescale(self) -> Iterator[TimescaleServer]:
        from deploy.local.postgres import Postgres

        login = {"user": "market_user", "password": secrets.token_urlsafe(12), "dbname": "market_data"}
        server = Postgres(self.folder, ports.free_port(), **login, is_durable=False)
        with self._run(server):
            yield TimescaleServer(server.host, server.port, **login, server=server)

    @contextlib.contextmanager
    def redis(self) -> Iterator[RedisServer]:
        from deploy.local.redis_server import Redis

        with self._run(Redis(self.folder, ports.free_port())) as server:
            yield RedisServer(server.host, server.port, server)

    @contextlib.contextmanager
    def _run(self, server: Any) -> Iterator[Any]:
        fetch.check_machine()
        try:
            server.start()
            yield server
        finally:
            server.stop()


def local_versions() -> str:
    """Versions of the fetched servers, as Debian's own list in the tree has them."""
    versions = {"kafka": fetch.kafka_version()}
    status = fetch.root_dir() / "root" / "var" / "lib" / "dpkg" / "status"
    if not status.exists():
        return f"local stack, not fetched yet (kafka {versions['kafka']}): make setup"
    names = {"postgresql-17": "postgresql", "redis-server": "redis"}
    names["postgresql-17-timescaledb"] = "timescaledb"
    for block in status.read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != " ")
        if name := names.get(fields.get("Package", "")):
            versions[name] = fields["Version"]
    return "local stack: " + ", ".join(f"{name} {version}" for name, version in versions.items())


@cache
def engine_answers() -> bool:
    """Whether a Docker engine is there, and not just its client."""
    wanted = os.environ.get("COBY_TEST_SERVERS", "")
    if wanted:
        return wanted == "containers"
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    # docker-py leaves a socket open when nobody listens, which our tests would be blamed for: look before.
    return _listens(host.removeprefix("unix://")) if host.startswith("unix://") else _pings()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(3)
        try:
            probe.connect(path)
        except OSError:
            return False
    return _pings()


def _pings() -> bool:
    import docker

    try:
        client = docker.from_env(timeout=3)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except docker.errors.DockerException:
        return False


def servers(folder: Path) -> Servers:
    """The source of servers for this machine."""
    if not engine_answers():
        return LocalServers(folder)
    from tests.containers import ContainerServers

    return ContainerServers()


def eventually(ask: Callable[[], T], seconds: float = 60.0) -> T:
    """What `ask` returns as soon as it is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"not true within {seconds} s"
        time.sleep(0.05)
    return answer
