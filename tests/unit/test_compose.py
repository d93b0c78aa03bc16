"""The compose file, as Docker's own program reads it. Nothing here starts a container: no engine is needed."""

import importlib.util
import json
import os
import re
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from api import built
from COBY.config import Config, load_config
from deploy.local import fetch
from deploy.local.kafka import PROPERTIES
from deploy.local.programs import api, pipeline
from tests import containers

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.kafka.yml"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
ONCE = {"topics", "db-init"}
SERVERS = {"kafka", "timescaledb", "redis"}


def compose(*arguments: str, env: dict[str, str] | None = None) -> str:
    binary = fetch.compose_binary()
    if binary is None:
        pytest.skip(
            "docker-compose v2 could not be had here: make setup fetches it where Debian's packages are"
        )
    command = [str(binary), "--env-file", os.devnull, "-f", str(FILE), *arguments]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **(env or {})}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def services() -> dict:
    return json.loads(compose("config", "--format", "json"))["services"]


@pytest.fixture(scope="module")
def ours(services) -> dict:
    return {name: service for name, service in services.items() if name not in SERVERS}


def test_compose_accepts_the_file_without_a_word() -> None:
    assert compose("config", "-q") == ""


def test_the_services_are_the_programs_of_the_local_stack_and_the_one_shots(ours) -> None:
    programs = [*pipeline(load_config({}).exchanges), api(8080, 8081)]
    local = {one.name: one.command[1:] for one in programs}
    assert set(ours) == set(local) | ONCE
    for name, command in local.items():
        assert tuple(ours[name]["command"]) == ("python", *command)


def test_every_command_is_a_module_or_a_script_of_ours(ours) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, service in ours.items():
        program, *arguments = service["command"]
        if program == "python":
            assert arguments[0] == "-m"
            found = importlib.util.find_spec(arguments[1])
            if found and found.submodule_search_locations:
                found = importlib.util.find_spec(f"{arguments[1]}.__main__")
            assert found, name
        else:
            assert program in scripts
            assert arguments[0] in entry_points(group="coby.commands").names


def test_of_our_containers_the_api_alone_is_reached_from_outside(ours) -> None:
    ports = {name: [port["target"] for port in service.get("ports", [])] for name, service in ours.items()}
    assert {name: found for name, found in ports.items() if found} == {"api": [8080, 8081]}


def test_our_containers_can_do_nothing_they_need_not(ours) -> None:
    for service in ours.values():
        assert service["user"].split(":")[0] not in {"", "0", "root"}
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service.get("volumes")
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == [next(iter(ours.values()))["user"]]


def test_one_shots_run_once_and_all_else_comes_back_and_is_given_time_to_drain(services) -> None:
    for name, service in services.items():
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped"), name
        assert service.get("healthcheck"), name
        assert int(service["mem_limit"]) > 0
        assert service["stop_grace_period"] == ("10s" if name == "redis" else "30s")


def test_a_container_has_more_memory_than_its_program_allows_itself(ours) -> None:
    for service in ours.values():
        assert int(service["mem_limit"]) > load_config({}).max_memory_usage * 2**20


def test_nobody_starts_before_what_it_needs(ours) -> None:
    for name, service in ours.items():
        needs = {other: need["condition"] for other, need in service["depends_on"].items()}
        if name not in ONCE:
            assert needs["kafka"] == "service_healthy"
            assert needs["topics"] == "service_completed_successfully"
    assert ours["db-init"]["depends_on"]["timescaledb"]["condition"] == "service_healthy"
    assert ours["sink-timescale"]["depends_on"]["db-init"]["condition"] == "service_completed_successfully"
    assert ours["sink-redis"]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_ports_are_open_to_this_machine_alone(services) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 5
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_images_are_pinned_and_the_tests_use_the_same(services) -> None:
    for name in SERVERS:
        assert re.search(r":\d+\.\d+", services[name]["image"])
    assert services["kafka"]["image"] == containers.KAFKA_IMAGE
    assert services["timescaledb"]["image"] == containers.TIMESCALE_IMAGE
    assert services["redis"]["image"] == containers.REDIS_IMAGE
    assert services["kafka"]["image"].endswith(f":{fetch.kafka_version()}")
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^ARG NODE=\d+\.\d+\.\d+-", DOCKERFILE, re.MULTILINE)


def test_the_image_builds_the_dashboard_where_the_api_looks_for_it() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "!dashboard" in ignore
    # A build of this machine's is not taken: the image makes its own, from what is locked.
    assert {"api/dashboard", "dashboard/node_modules"} <= set(ignore)
    assert "RUN npm ci" in DOCKERFILE
    assert built.FOLDER == ROOT / "api" / "dashboard"
    assert "COPY --from=dashboard /src/api/dashboard api/dashboard" in DOCKERFILE


def test_the_broker_behaves_as_the_local_one(services) -> None:
    env = services["kafka"]["environment"]
    # What the number of listeners, and a machine shared with everything else, make different.
    different = {
        "inter.broker.listener.name",
        "listener.security.protocol.map",
        "offsets.topic.num.partitions",
        "transaction.state.log.num.partitions",
        "broker.session.timeout.ms",
        "broker.heartbeat.interval.ms",
        "num.network.threads",
        "num.io.threads",
    }
    for name, value in PROPERTIES.items():
        if name not in different:
            assert env[f"KAFKA_{name.replace('.', '_').upper()}"] == str(value)


def test_every_setting_is_known_and_the_one_of_the_servers_they_meet(ours, services) -> None:
    env = {
        name: value
        for name, value in ours["streams"]["environment"].items()
        if value and not name.endswith("_FILE")
    }
    given = {name for service in ours.values() for name in service["environment"]}
    patterns = {row.name for row in Config.documentation()}
    exchanges = load_config({}).exchanges
    patterns |= {f"{name.upper()}_{kind}_URL" for name in exchanges for kind in ("WS", "REST")}
    assert {name if name == "LOG_FILE" else name.removesuffix("_FILE") for name in given} <= patterns
    cfg = load_config(env)
    database = services["timescaledb"]["environment"]
    assert (cfg.db_user, cfg.db_name) == (database["POSTGRES_USER"], database["POSTGRES_DB"])
    assert cfg.db_host in services
    assert cfg.redis_host in services
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{cfg.kafka_bootstrap_servers}" in advertised.split(",")


def test_the_example_env_names_every_variable_with_the_value_it_has_without_one() -> None:
    taken = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", FILE.read_text()))
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert example == taken
    text = re.sub(r"(?m)^#.*|\$\$", "", FILE.read_text())
    assert set(re.findall(r"\$\{?(\w+)", text)) == set(taken)


def test_a_variable_reaches_the_programs() -> None:
    moved = {"KAFKA_PORT": "19999", "SYMBOLS": "BTCUSDT", "DB_USER": "someone"}
    services = json.loads(compose("config", "--format", "json", env=moved))["services"]
    assert services["kafka"]["ports"][0]["published"] == "19999"
    assert "HOST://127.0.0.1:19999" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert services["streams"]["environment"]["SYMBOLS"] == "BTCUSDT"
    assert services["streams"]["environment"]["DB_USER"] == "someone"
    assert services["timescaledb"]["environment"]["POSTGRES_USER"] == "someone"


def test_the_image_holds_every_package_and_only_what_is_locked() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for package in wheel["packages"]:
        assert f"COPY {package} {package}" in DOCKERFILE
        assert f"!{package}" in ignore
    assert "--require-hashes --no-deps -r requirements.lock" in DOCKERFILE
