"""Wrong passwords and secrets that are not there: one clear line from each program, and never the password itself."""

import os
import signal
import subprocess
import sys

import pytest

from deploy.local.ports import free_port
from deploy.local.redis_server import Redis
from tests.integration.sink_helpers import prepare, settings
from tests.servers import LocalServers, eventually

WRONG = "not-the-password"


@pytest.fixture
def env(kafka, database, redis_server, topic_prefix):
    """The settings of programs, with topics and tables there."""
    prepare(settings(kafka, database, prefix=topic_prefix))
    own = {"TOPIC_PREFIX": topic_prefix, "LOG_FILE": "-", "LOG_LEVEL": "INFO"}
    return {**os.environ, **kafka.env, **database.env, **redis_server.env, **own}


def ended(command: list[str], env: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *command], env=env, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "command", [["sinks.timescale"], ["COBY.runtime.cli", "db", "init"]], ids=["the sink", "coby db init"]
)
def test_a_wrong_password_of_the_database_ends_it_with_one_line(env, command):
    code, said = ended(command, {**env, "DB_PASSWORD": WRONG})
    errors = [line for line in said.splitlines() if line.startswith("error ")]
    assert code == 2
    assert len(errors) == 1, said
    assert errors[0].startswith("error db.unreachable: ")
    assert "password authentication failed" in errors[0]
    assert "DB_PASSWORD" in errors[0]  # what to look at
    assert WRONG not in said


def test_the_api_waits_for_its_database_and_says_why(env):
    env |= {"DB_PASSWORD": WRONG, "API_PORT": str(free_port()), "WS_PORT": str(free_port())}
    with subprocess.Popen(
        [sys.executable, "-m", "api"], env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            told = next(line for line in process.stderr if "waiting_for_keys" in line)
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 0
    assert WRONG not in told + rest


@pytest.fixture
def locked(server_source, tmp_path):
    """A Redis that wants a password."""
    if not isinstance(server_source, LocalServers):
        pytest.skip("needs a local server")
    server = Redis(tmp_path / "r", free_port(), password="the-right-one")
    server.start()
    yield {"REDIS_HOST": server.host, "REDIS_PORT": str(server.port)}
    server.stop()


@pytest.mark.parametrize("given", [{"REDIS_PASSWORD": WRONG}, {}], ids=["a wrong one", "none"])
def test_a_wrong_password_of_redis_ends_its_sink_with_one_line(env, locked, given):
    code, said = ended(["sinks.redis"], {**env, **locked, **given})
    errors = [line for line in said.splitlines() if line.startswith("error ")]
    assert code == 2
    assert len(errors) == 1, said
    assert errors[0].startswith("error redis.")
    assert WRONG not in said


@pytest.mark.parametrize("name", ["DB_PASSWORD", "REDIS_PASSWORD"])
def test_a_secret_that_is_not_there_is_named_by_its_file(env, name, tmp_path):
    missing = {key: value for key, value in env.items() if key != name}
    code, said = ended(["sinks.timescale"], {**missing, f"{name}_FILE": str(tmp_path / "nobody")})
    assert code == 2
    (line,) = said.splitlines()
    assert line.startswith("error config.invalid: ")
    assert f"{name}_FILE" in line
    assert str(tmp_path / "nobody") in line


def test_a_server_that_starts_late_is_there_for_the_next_start(env, tmp_path, server_source):
    """The supervisor starts it again: at first it says what is missing, then it serves."""
    if not isinstance(server_source, LocalServers):
        pytest.skip("needs a local server")
    server = Redis(tmp_path / "r", free_port())
    late = {
        **env,
        "REDIS_HOST": server.host,
        "REDIS_PORT": str(server.port),
        "METRICS_PORT": str(free_port()),
    }
    code, said = ended(["sinks.redis"], late)
    assert code == 2
    assert said.splitlines()[-1].startswith("error redis.unreachable: ")
    server.start()
    process = subprocess.Popen([sys.executable, "-m", "sinks.redis"], env=late, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: server_answers(late["METRICS_PORT"]))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        server.stop()


def server_answers(port: str) -> bool:
    from tests.integration.test_keeper import asked

    return asked(int(port), "/health/ready")[0] == 200
