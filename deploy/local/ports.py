"""Ports of the local servers."""

import os
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from deploy.local.errors import LocalError

HOST = "127.0.0.1"
LOCAL_NAMES = {"localhost", "127.0.0.1"}
BROKERS = {1, 3}
# Below the ports the kernel gives to outgoing connections (32768 and up): a port found free stays free.
FREE_RANGE = range(20000, 32000)


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now; what waits in TIME_WAIT does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free_port() -> int:
    """A free port; drawn at random, so that stacks started side by side don't meet."""
    draw = random.SystemRandom()
    while True:
        if is_free(port := draw.choice(FREE_RANGE)):
            return port


def free_or(port: int) -> int:
    """That port if it is free, else another one."""
    return port if port and is_free(port) else free_port()


def free_ports(count: int) -> list[int]:
    """`count` different free ports."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def holder(port: int) -> str:
    """Who listens on a port, for people to read."""
    for conn in psutil.net_connections("tcp"):
        if conn.status == psutil.CONN_LISTEN and conn.laddr and conn.laddr.port == port and conn.pid:
            try:
                return f"pid {conn.pid}, {psutil.Process(conn.pid).name()}"
            except psutil.NoSuchProcess:
                break
    return "an unknown process"


def require_free(port: int, what: str, setting: str) -> None:
    """Raises port_in_use, saying who has it and which setting changes it."""
    if not is_free(port):
        message = f"{what} needs {HOST}:{port}, which {holder(port)} has; stop it or set {setting}"
        raise LocalError("port_in_use", message)


@dataclass(frozen=True)
class Ports:
    """Where the three servers listen, on 127.0.0.1."""

    kafka: int = 9092
    postgres: int = 5432
    redis: int = 6379
    more_kafka: tuple[int, ...] = ()
    """Of a cluster's other two brokers; none: one broker."""

    @classmethod
    def free(cls, brokers: int = 1) -> "Ports":
        """Free ports, for tests."""
        kafka, postgres, redis, *more = free_ports(2 + brokers)
        return cls(kafka, postgres, redis, tuple(more))

    @classmethod
    def from_settings(cls, environ: Mapping[str, str] = os.environ) -> "Ports":
        """What KAFKA_BOOTSTRAP_SERVERS, DB_* and REDIS_* say; raises not_local, setting_invalid."""
        first, *more = _brokers(environ.get("KAFKA_BOOTSTRAP_SERVERS") or f"localhost:{cls.kafka}")
        for name in ("DB_HOST", "REDIS_HOST"):
            _require_local(name, environ.get(name) or "localhost")
        return cls(
            kafka=first,
            postgres=_port("DB_PORT", environ.get("DB_PORT") or str(cls.postgres)),
            redis=_port("REDIS_PORT", environ.get("REDIS_PORT") or str(cls.redis)),
            more_kafka=tuple(more),
        )


def _brokers(servers: str) -> list[int]:
    """The ports in KAFKA_BOOTSTRAP_SERVERS: of one broker, or of three."""
    name, found = "KAFKA_BOOTSTRAP_SERVERS", []
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        _require_local(name, host or server.strip())
        found.append(_port(name, port))
    if len(set(found)) not in BROKERS or len(set(found)) != len(found):
        message = f"{name}: {servers!r}; the local stack has one broker or three, each on a port of its own"
        raise LocalError("setting_invalid", message)
    return found


def _require_local(name: str, host: str) -> None:
    if host not in LOCAL_NAMES:
        message = f"{name} names {host!r}; allowed for the local stack: localhost, 127.0.0.1"
        raise LocalError("not_local", message)


def _port(name: str, text: str) -> int:
    if not (text.isdecimal() and text.isascii() and 0 < int(text) < 65536):
        raise LocalError("setting_invalid", f"{name}: port {text!r}; allowed is 1 to 65535")
    return int(text)
