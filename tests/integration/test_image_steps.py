"""The image's steps as far as they go without an engine, and each service of the compose file from what they made."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics
from deploy import docs
from deploy.local import fetch
from deploy.local.ports import free_port
from sinks.schema import migrate
from tests.image import PYTHON, ROOT, Image, environment
from tests.integration.sink_helpers import settings
from tests.servers import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Built, sealed, with the secrets of a container."""
    if os.geteuid():
        pytest.skip("mounts need root")
    known = subprocess.run(
        [PYTHON, "-c", "import ensurepip, sys; print(sys.version_info >= (3, 11))"], capture_output=True
    )
    if known.stdout != b"True\n":
        pytest.skip("no Python 3.11 with venv in /usr/bin")
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    with Image(folder).opened() as image:
        left = image.build(("dashboard", "build", "programs"), DOCKERFILE)
        assert [step.split()[0] for step in left] == ["groupadd"]
        yield image


@pytest.fixture(scope="module")
def sealed(image, timescale):
    image.seal({"db_password": timescale.password, "redis_password": ""})
    return image


def run(image, command: list[str], **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        image.as_user(command),
        env={**environment(DOCKERFILE), **env}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def programs() -> list[list[str]]:
    found = [name.split() for name in docs.programs() if not name.startswith("python -m deploy")]
    return [
        ["coby"],
        *(["coby", name] for name in ("topics", "db", "lag", "doctor", "replay", "dlq", "keys")),
        *found,
    ]


@pytest.mark.parametrize("command", programs(), ids=" ".join)
def test_each_program_answers_help_as_another_user_on_a_read_only_tree(sealed, command):
    done = run(sealed, [*command, "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage:" in done.stdout


def test_nothing_can_be_written_and_nothing_comes_from_the_checkout(sealed):
    assert run(sealed, ["python", "-c", "import COBY; print(COBY.__file__)"]).stdout.startswith(
        "/opt/coby/lib"
    )
    assert run(sealed, ["ls", str(ROOT)]).returncode != 0
    for place in ("/opt/coby/x", "/src/x", "/etc/x", "/run/secrets/x", "/x"):
        assert run(sealed, ["touch", place]).returncode != 0, place
    assert run(sealed, ["touch", "/tmp/x"]).returncode == 0
    assert run(sealed, ["id", "-u"]).stdout == "10001\n"


def test_a_secret_that_is_missing_is_one_clear_line(sealed):
    done = run(sealed, ["python", "-m", "sinks.timescale"], DB_PASSWORD_FILE="/run/secrets/nobody")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error ")
    assert "/run/secrets/nobody" in line


def services() -> dict:
    binary = fetch.compose_binary()
    if binary is None:
        return {}
    command = [str(binary), "--env-file", os.devnull, "-f", str(ROOT / "docker-compose.kafka.yml")]
    done = subprocess.run(
        [*command, "--profile", "monitoring", "config", "--format", "json"],
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)["services"]
    # One producer says of the others.
    return {
        name: service
        for name, service in found.items()
        if service["image"].startswith("coby") and "healthcheck" in service and service["restart"] != "no"
        and (not name.startswith("producer-") or name == "producer-binance")
    }  # fmt: skip


@pytest.fixture(scope="module")
def world(kafka, timescale, redis_session):
    """Topics and tables, and the settings that lead there instead of to a compose network."""
    cfg = settings(kafka, timescale, prefix="image")
    apply_topics(cfg)
    with connect(cfg) as conn:
        migrate(conn)
    moved = {
        name: value for source in (kafka, timescale, redis_session) for name, value in source.env.items()
    }
    del moved["DB_PASSWORD"]  # from the secret's file, as in a container
    return {**moved, "TOPIC_PREFIX": "image", "REDIS_PASSWORD_FILE": ""}


@pytest.mark.parametrize("name", services())
def test_each_service_starts_from_its_command_and_answers_health(sealed, world, name, tmp_path):
    service, port = services()[name], free_port()
    env = {
        **environment(DOCKERFILE),
        **{k: v for k, v in service["environment"].items() if v},
        **world,
    }
    env |= {"METRICS_PORT": str(port), "API_PORT": str(free_port()), "WS_PORT": str(free_port())}
    command = service["command"]
    if name == "keeper":
        # pg_dump comes by apt-get there, and the folders are volumes.
        env |= {"BACKUP_FOLDER": "/tmp/backups", "BACKUP_INTERVAL": "0"}
        command = [word if not word.startswith("/disks") else "/tmp" for word in command]
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(sealed.as_user(command), env=env, stdout=log, stderr=log)
    try:
        for path in ("/health/live", "/metrics", "/health/ready"):
            eventually(lambda path=path: asked(process, port, path, log.name) in {200, 503}, 120)
        assert asked(process, port, "/health/live", log.name) == 200
        if name == "api":  # with the dashboard that was built
            assert asked(process, int(env["API_PORT"]), "/", log.name) == 200
        process.send_signal(signal.SIGUSR1)  # whatever library has handlers of its own
        eventually(lambda: '"event": "log_level"' in Path(log.name).read_text())
        process.terminate()
        assert process.wait(60) == 0, Path(log.name).read_text()
    finally:
        process.kill()
        process.wait()
        log.close()


def asked(process: subprocess.Popen, port: int, path: str, log: str) -> int:
    assert process.poll() is None, Path(log).read_text()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        time.sleep(0.2)
        return 0
