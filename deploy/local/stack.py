"""The three servers together, in one folder.

>>> with Stack(folder) as stack:  # free ports, all three started; Ports.free(brokers=3): three brokers
...     stack.kafka.bootstrap_servers, stack.postgres.dsn, stack.redis.port
...     stack.postgres.kill()
...     stack.postgres.start()

Folder: `kafka/ postgres/ redis/` data (`kafka-1/` to `kafka-3/` of three brokers), `logs/`, `run/` (who runs),
`env` (shell exports, private).
"""

import fcntl
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import fetch
from deploy.local.cluster import make_brokers, require_same_brokers
from deploy.local.kafka import Kafka
from deploy.local.pg_tools import tools_env
from deploy.local.ports import Ports
from deploy.local.postgres import Postgres
from deploy.local.process import Identity, mark_of, sweep
from deploy.local.redis_server import Redis
from deploy.local.server import Server

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = ROOT / ".local"
DB_USER = "market_user"
DB_NAME = "market_data"

__all__ = ["DEFAULT_FOLDER", "Ports", "Stack"]


class Stack:
    """Kafka, TimescaleDB and Redis. `detached` ones live on when we end (`make up`)."""

    def __init__(
        self,
        folder: Path | str,
        ports: Ports | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        detached: bool = False,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = ports or Ports.free()
        kafka = (ports.kafka, *ports.more_kafka)
        brokers = make_brokers(self.folder, kafka, detached=detached)
        self.kafka = brokers[0]
        self.postgres = Postgres(
            self.folder,
            ports.postgres,
            user=environ.get("DB_USER") or DB_USER,
            dbname=environ.get("DB_NAME") or DB_NAME,
            password=_setting(environ, "DB_PASSWORD") or self._stored_password(),
            detached=detached,
        )
        self.redis = Redis(
            self.folder, ports.redis, password=_setting(environ, "REDIS_PASSWORD"), detached=detached
        )
        self.servers: tuple[Server, ...] = (*brokers, self.postgres, self.redis)

    @property
    def brokers(self) -> tuple[Kafka, ...]:
        """One, or the three of a cluster; `kafka` is the first."""
        return tuple(one for one in self.servers if isinstance(one, Kafka))

    def _stored_password(self) -> str:
        """Drawn once per folder, so that a second `up` finds the database open."""
        path = self.folder / "db_password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(18))
        return path.read_text()

    def start(self) -> Self:
        """Start what does not run yet and write `env`; what was started goes down again if one fails."""
        fetch.check_machine()
        began = [server for server in self.servers if not server.running]
        try:
            with self._lock():
                require_same_brokers(self.folder, self.brokers)
                # All begin before one is waited for: a broker of three is ready only when two are.
                for server in [one for one in self.servers if one.begin()]:
                    server.finish()
                self.write_env()
        except BaseException:
            for server in began:
                server.stop()
            raise
        return self

    def stop(self) -> list[Identity]:
        """Stop all, then end whatever else carries our mark (left by a crash); returns those leftovers."""
        with self._lock():
            with ThreadPoolExecutor(len(self.servers)) as pool:
                list(pool.map(Server.stop, self.servers))
            return sweep(mark_of(self.folder))

    def env(self) -> dict[str, str]:
        """Settings by which COBY's programs find these servers."""
        found = {
            "KAFKA_BOOTSTRAP_SERVERS": ",".join(one.bootstrap_servers for one in self.brokers),
            "DB_HOST": self.postgres.host,
            "DB_PORT": str(self.postgres.port),
            "DB_USER": self.postgres.user,
            "DB_PASSWORD": self.postgres.password,
            "DB_NAME": self.postgres.dbname,
            "DB_SSLMODE": "disable",
            **tools_env(self.postgres),
            "REDIS_HOST": self.redis.host,
            "REDIS_PORT": str(self.redis.port),
        }
        return found | ({"REDIS_PASSWORD": self.redis.password} if self.redis.password else {})

    def write_env(self) -> Path:
        """`env` as shell exports, readable by us alone: it holds the password."""
        path = self.folder / "env"
        path.touch(mode=0o600)
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in self.env().items())
        path.write_text("".join(lines))
        return path

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def read_env(folder: Path) -> dict[str, str]:
    """What `write_env` wrote; empty if there is nothing."""
    path = folder / "env"
    if not path.exists():
        return {}
    words = (shlex.split(line) for line in path.read_text().splitlines())
    return dict(word[1].split("=", 1) for word in words)


def _setting(environ: Mapping[str, str], name: str) -> str:
    """A secret, given itself or as `<name>_FILE`; empty if not given."""
    file = environ.get(f"{name}_FILE")
    return environ.get(name) or (Path(file).read_text().strip() if file else "")
