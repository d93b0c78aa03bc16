"""Fixtures every test may use: real servers (see tests/servers.py), a prefix of one's own, recorded frames.

kafka, timescale, redis_server: one each per session, started when first asked for.
database, topic_prefix, redis_clean: fresh per test.
"""

import fcntl
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis as redis_client
from confluent_kafka.admin import AdminClient

from deploy.local.fetch import remove_tree
from tests.frames import frames_folder
from tests.servers import (
    Database,
    KafkaServer,
    LocalServers,
    RedisServer,
    Servers,
    TimescaleServer,
    servers,
)

__all__ = ["Database", "KafkaServer", "LocalServers", "RedisServer", "Servers", "TimescaleServer"]


def pytest_configure() -> None:
    """A SIGTERM ends the tests as Ctrl-C does: with what they started taken down. No test fails for being slow."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # How long an example takes says how busy the machine is.
    hypothesis.settings.register_profile(
        "coby", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("coby")


def pytest_report_header() -> str:
    """Which servers the tests meet."""
    return f"servers: {servers(Path()).versions()}"


@pytest.fixture(scope="session")
def server_source() -> Iterator[Servers]:
    """Where this session's servers come from; a short path, for sockets have short names."""
    place = Path(tempfile.gettempdir())
    for left in place.glob(
        "coby-test-*-*"
    ):  # of a session that was killed: its servers are gone, its data not
        if not Path("/proc", left.name.split("-")[2]).exists():
            remove_tree(left)
    folder = Path(tempfile.mkdtemp(prefix=f"coby-test-{os.getpid()}-", dir=place))
    yield servers(folder)
    remove_tree(folder)


@pytest.fixture(scope="session")
def kafka(server_source: Servers) -> Iterator[KafkaServer]:
    """A Kafka broker; use `topic_prefix` for topics."""
    with server_source.kafka() as server:
        yield server


@pytest.fixture(scope="session")
def timescale(server_source: Servers) -> Iterator[TimescaleServer]:
    """A TimescaleDB server; use `database` for tables."""
    with server_source.timescale() as server:
        yield server


@pytest.fixture
def database(timescale: TimescaleServer) -> Iterator[Database]:
    """An empty database with the extension, dropped afterwards."""
    with timescale.database() as fresh:
        yield fresh


@pytest.fixture(scope="session")
def redis_session(server_source: Servers) -> Iterator[RedisServer]:
    """The session's Redis; tests take `redis_server`, which is empty."""
    with server_source.redis() as server:
        yield server


@pytest.fixture
def redis_server(redis_session: RedisServer) -> RedisServer:
    """A Redis without keys."""
    with redis_client.Redis(redis_session.host, redis_session.port) as client:
        client.flushall()
    return redis_session


@pytest.fixture
def in_real_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For what has to keep pace with a market: no other such test meanwhile, in whichever worker."""
    with (tmp_path_factory.getbasetemp().parent / "in_real_time.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix no other test has; topics under it are deleted afterwards if the test used Kafka."""
    prefix = f"t{secrets.token_hex(4)}"
    uses_kafka = "kafka" in request.fixturenames
    where = request.getfixturevalue("kafka").bootstrap_servers if uses_kafka else ""
    yield prefix
    if uses_kafka:
        delete_topics(where, prefix)


def delete_topics(bootstrap_servers: str, prefix: str) -> None:
    """Delete all topics `<prefix>.…`."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    names = [name for name in admin.list_topics(timeout=30).topics if name.startswith(f"{prefix}.")]
    if names:
        for done in admin.delete_topics(names, operation_timeout=30).values():
            done.exception(timeout=60)


@pytest.fixture(scope="session")
def frames_dir() -> Path:
    """The recorded frames: COBY_FRAMES, else shared/frames beside the repository, else a skip."""
    if folder := frames_folder():
        return folder
    pytest.skip("no recorded frames: set COBY_FRAMES, or put shared/frames beside the repository")
