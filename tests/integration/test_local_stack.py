"""The local stack: the servers are real, end when they should, and nothing else is ever touched."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from deploy.local import LocalError, Stack, fetch
from deploy.local.ports import Ports, free_port
from deploy.local.process import Identity, mark_of, marked, sweep
from deploy.local.stack import read_env
from tests.servers import (
    Database,
    KafkaServer,
    LocalServers,
    RedisServer,
    Servers,
    TimescaleServer,
    eventually,
)

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = (sys.executable, "-c", "import time; time.sleep(1000)")


@pytest.fixture
def folder(tmp_path: Path):
    """A folder for a stack; whatever a failing test leaves in it is ended."""
    yield tmp_path / "local"
    sweep(mark_of(tmp_path / "local"))


@pytest.fixture
def local(server_source: Servers) -> None:
    """For tests of deploy.local itself: skipped where the servers come from containers."""
    if not isinstance(server_source, LocalServers):
        pytest.skip("servers come from containers here")


def cli(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_kafka_takes_records_of_32_mib_and_times_far_ahead_and_makes_no_topic_by_itself(
    kafka: KafkaServer, topic_prefix: str
) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    topic = f"{topic_prefix}.large"
    config = {"max.message.bytes": str(32 * 1024 * 1024)}
    next(iter(admin.create_topics([NewTopic(topic, 1, 1, config=config)]).values())).result(60)
    failed = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 32 * 1024 * 1024})
    days_ahead = int(time.time() * 1000) + 30 * 86_400_000
    producer.produce(
        topic,
        b"x" * (31 * 1024 * 1024),
        timestamp=days_ahead,
        on_delivery=lambda error, _: failed.append(error),
    )
    assert producer.flush(60) == 0
    assert failed == [None]
    broker = ConfigResource(ResourceType.BROKER, "1")
    settings = next(iter(admin.describe_configs([broker]).values())).result(60)
    assert settings["auto.create.topics.enable"].value == "false"
    assert settings["group.initial.rebalance.delay.ms"].value == "0"


def test_a_database_is_empty_has_timescaledb_and_belongs_to_its_user(database: Database) -> None:
    with psycopg.connect(database.dsn) as conn:
        tables = conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        conn.execute("CREATE TABLE ticks (at timestamptz NOT NULL, n int)")
        made = conn.execute("SELECT hypertable_id FROM create_hypertable('ticks', 'at')").fetchone()
        zone = conn.execute("SHOW timezone").fetchone()
    assert tables == (0,)
    assert made[0] > 0
    assert zone in {("UTC",), ("Etc/UTC",)}


def test_each_test_has_a_database_of_its_own(database: Database, timescale) -> None:
    with timescale.database() as other, psycopg.connect(other.dsn) as conn:
        conn.execute("CREATE TABLE mine ()")
        assert other.dbname != database.dbname
    with psycopg.connect(database.dsn) as conn:
        assert conn.execute("SELECT to_regclass('mine')").fetchone() == (None,)
        gone = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [other.dbname]).fetchone()
    assert gone is None


def test_redis_is_empty_at_the_start_of_a_test_and_bounded(redis_server: RedisServer) -> None:
    with redis.Redis(redis_server.host, redis_server.port) as client:
        assert client.dbsize() == 0
        client.set("left", "over")  # the next test that takes the fixture must not see it


@pytest.mark.long
def test_killed_servers_come_back_with_their_data_and_a_stop_leaves_nothing(local, folder: Path) -> None:
    with Stack(folder) as stack:
        with psycopg.connect(stack.postgres.dsn) as conn:
            conn.execute("CREATE TABLE kept (n int)")
        admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap_servers, "log_level": 0})
        next(iter(admin.create_topics([NewTopic("kept", 1)]).values())).result(60)
        first = {server.name: server.pid for server in stack.servers}
        for server in stack.servers:
            server.kill()
            assert not server.running
            server.start()
        assert all(server.pid != first[server.name] for server in stack.servers)
        with psycopg.connect(stack.postgres.dsn) as conn:
            assert conn.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)
        assert "kept" in stack.kafka.tool("TopicCommand", "--list").split()
        assert read_env(folder) == stack.env()
        assert marked(mark_of(folder))
    assert marked(mark_of(folder)) == []


def test_no_mount_reaches_this_process_and_servers_see_only_their_own_devices(
    local, timescale: TimescaleServer, redis_server: RedisServer
) -> None:
    here = Path("/proc/self/mountinfo").read_text()
    assert str(fetch.cache_dir()) not in here
    for server in (timescale.server, redis_server.server):
        assert str(server.folder) not in here
        seen = Path(f"/proc/{server.pid}/root")
        devices = {entry.name for entry in (seen / "dev").iterdir()}
        assert devices == {"full", "null", "random", "shm", "urandom", "zero"}
        assert os.stat(f"/proc/{server.pid}").st_uid != 0
        with pytest.raises(OSError, match="Read-only"):
            (seen / "usr" / "written").touch()
    assert not list(fetch.root_dir().glob("root/mnt/*"))


def test_servers_end_with_the_process_that_started_them_even_if_it_is_killed(local, folder: Path) -> None:
    code = (
        "import sys, time; from deploy.local.stack import Stack\n"
        "Stack(sys.argv[1]).start(); print('up', flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        try:
            assert owner.stdout.readline() == "up\n"
            assert len(marked(mark_of(folder))) >= 3
        finally:
            owner.kill()
    eventually(lambda: not marked(mark_of(folder)))


def test_up_obeys_the_settings_and_down_sweeps_up_after_a_crash(local, folder: Path) -> None:
    ports = Ports.free()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{ports.kafka}",
        "DB_PORT": str(ports.postgres),
        "REDIS_PORT": str(ports.redis),
        "DB_PASSWORD": 'it\'s "secret" $HOME',
        "DB_USER": "someone",
        "DB_NAME": "somewhere",
    }
    up = cli("up", "--dir", str(folder), env=env)
    assert up.returncode == 0, up.stderr
    source = ["sh", "-c", f". {folder}/env && env -0"]
    shell = subprocess.check_output(source, env={"PATH": os.environ["PATH"]}, text=True)
    exported = dict(pair.split("=", 1) for pair in shell.split("\0") if pair)
    assert exported["DB_PASSWORD"] == env["DB_PASSWORD"]
    assert (folder / "env").stat().st_mode & 0o777 == 0o600
    login = {"host": exported["DB_HOST"], "port": exported["DB_PORT"], "dbname": exported["DB_NAME"]}
    with psycopg.connect(**login, user=exported["DB_USER"], password=exported["DB_PASSWORD"]) as conn:
        extension = conn.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    assert extension == (1,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**login, user=exported["DB_USER"], password="another")

    again = cli("up", "--dir", str(folder), env=env)
    assert again.returncode == 0, again.stderr
    assert re.findall(r"pid (\d+)", again.stdout) == re.findall(r"pid (\d+)", up.stdout)
    moved = cli("up", "--dir", str(folder), env={**env, "REDIS_PORT": str(free_port())})
    assert moved.returncode == 2
    assert moved.stderr.startswith("error already_running: redis")
    assert cli("status", "--dir", str(folder)).stdout.count("RUNNING") == 3

    # A crash: one server killed, the notes of another lost.
    Identity.load(folder / "run" / "postgres.json").send(signal.SIGKILL)
    (folder / "run" / "kafka.json").unlink()
    down = cli("down", "--dir", str(folder))
    assert down.returncode == 0, down.stderr
    assert "left by a crash" in down.stdout
    assert marked(mark_of(folder)) == []
    assert cli("down", "--dir", str(folder)).stdout == "all stopped\n"


def test_a_pid_that_is_not_ours_any_more_is_left_alone(local, folder: Path) -> None:
    stack = Stack(folder)
    other = subprocess.Popen(SLEEPER)
    try:
        stack.kafka.note.parent.mkdir(parents=True)
        Identity(other.pid, 1, "another boot").save(stack.kafka.note)
        stack.stop()
        assert not stack.kafka.running
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_occupied_port_is_one_line_with_code_holder_and_setting(local, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = {"KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port}"}
        done = cli("up", "--dir", str(folder), env=env)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error port_in_use: kafka needs 127.0.0.1:{port}, which pid {os.getpid()}")
    assert "KAFKA_BOOTSTRAP_SERVERS" in done.stderr
    assert marked(mark_of(folder)) == []


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("DB_HOST", "db.example.org", "not_local"),
        ("REDIS_PORT", "99999", "setting_invalid"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost", "setting_invalid"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2", "not_local"),
    ],
)
def test_a_setting_the_stack_cannot_serve_is_refused(local, folder, setting, value, code) -> None:
    done = cli("up", "--dir", str(folder), env={setting: value})
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith(f"error {code}: ")
    assert setting in done.stderr


def test_servers_not_fetched_are_one_line_with_what_to_do(local, folder: Path, tmp_path: Path) -> None:
    env = {"COBY_CACHE": str(tmp_path / "empty"), "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{free_port()}"}
    done = cli("up", "--dir", str(folder), env=env)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith("error missing_server: Kafka is not here")
    assert "make setup" in done.stderr


def test_a_server_that_fails_shows_its_own_words(local, folder: Path) -> None:
    stack = Stack(folder)
    stack.redis.data.mkdir(parents=True)
    stack.redis.command = lambda: stack.redis.in_root(
        "redis", ["/usr/bin/redis-server", "--port", "nonsense"]
    )
    with pytest.raises(LocalError) as caught:
        stack.redis.start()
    assert caught.value.code == "server_exited"
    assert "nonsense" in caught.value.detail


def test_a_mount_below_a_folder_keeps_it_from_being_removed(local, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from deploy.local.fetch import remove_tree\n"
        "from deploy.local import LocalError\n"
        "try: remove_tree(Path(sys.argv[1]))\n"
        "except LocalError as error: print(error.code)\n"
    )
    kept, tree = tmp_path / "kept", tmp_path / "tree"
    (tree / "dev").mkdir(parents=True)
    kept.mkdir()
    (kept / "precious").touch()
    script = 'mount --bind "$1" "$2/dev" && exec "$3" -c "$4" "$2"'
    names = [str(kept), str(tree), sys.executable, code]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *names], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "mounted_below\n", done.stderr
    assert (kept / "precious").exists()
    fetch.remove_tree(tree)
    assert not tree.exists()


def test_fetch_has_nothing_to_do_in_a_fifth_of_a_second(local) -> None:
    """Of work, its own and its children's: how long the machine lets it wait says nothing about it."""
    seconds = []
    while len(seconds) < 30 and min(seconds, default=1.0) >= 0.2:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = cli("fetch")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert (done.returncode, done.stdout) == (0, "")
    assert min(seconds) < 0.2
