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
from deploy.local.programs import api, keeper, lag_exporter, pipeline
from tests import containers

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.kafka.yml"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
ONCE = {"topics", "db-init"}
MONITORING = {"lag-exporter"}
"""Of ours, what only watches."""
SERVERS = {"kafka", "timescaledb", "redis"}
WATCHERS = {"prometheus", "alertmanager", "grafana"}
PROFILES = ("core", "monitoring")
PORTS = {
    "kafka": [9092],
    "timescaledb": [5432],
    "redis": [6379],
    "api": [8080, 8081],
    "prometheus": [9090],
    "alertmanager": [9093],
    "grafana": [3000],
}
VOLUMES = {"keeper": {"/backups", "/disks/kafka", "/disks/timescale"}}
"""What of ours has volumes, and where; what is not its own it may only read."""


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
def whole() -> dict:
    return json.loads(compose("--profile", "monitoring", "config", "--format", "json"))


@pytest.fixture(scope="module")
def services(whole) -> dict:
    return whole["services"]


@pytest.fixture(scope="module")
def ours(services) -> dict:
    return {name: service for name, service in services.items() if name not in SERVERS | WATCHERS}


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_compose_accepts_the_file_without_a_word(profile: str | None) -> None:
    assert compose(*(["--profile", profile] if profile else []), "config", "-q") == ""


def test_the_core_comes_without_a_profile_and_what_watches_it_with_its_own(services) -> None:
    core = set(compose("config", "--services").split())
    assert core == set(compose("--profile", "core", "config", "--services").split())
    assert {name for name in services if name not in core} == WATCHERS | MONITORING
    for name in core:  # nothing of the core waits for what may not be there
        assert set(services[name].get("depends_on", {})) <= core


def test_the_example_brings_all_of_it() -> None:
    example = ROOT / ".env.example"
    binary = fetch.compose_binary()
    if binary is None:
        pytest.skip("no docker-compose here")
    done = subprocess.run(
        [str(binary), "--env-file", str(example), "-f", str(FILE), "config", "--services"],
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) >= WATCHERS


def test_volumes_have_the_names_of_the_users_documents(whole, services) -> None:
    assert {"timescale_data", "redis_data", "kafka_data"} <= set(whole["volumes"])
    mounted = {
        volume["source"]
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume["type"] == "volume"
    }
    assert mounted == set(whole["volumes"])
    for volume in whole["volumes"].values():
        assert volume["name"].startswith("coby_")


def test_no_secret_is_in_the_file(services, whole) -> None:
    assert {secret["file"] for secret in whole["secrets"].values()} == {
        str(ROOT / "secrets" / name) for name in ("db_password", "redis_password", "grafana_password")
    }
    for name, service in services.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", variable):
                assert value.startswith("/run/secrets/"), (name, variable)
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"/secrets/", "/.env"} <= set(ignored)


def test_each_image_of_ours_is_built_by_one_service_and_asked_of_no_registry(ours) -> None:
    """Several that build the same name at once fail, one of them being there already."""
    builders = {name: service["image"] for name, service in ours.items() if "build" in service}
    assert sorted(builders.values()) == sorted({service["image"] for service in ours.values()})
    for name, service in ours.items():
        assert service["pull_policy"] == ("missing" if name in builders else "never")


def test_stream_workers_can_be_several(services) -> None:
    """`--scale` wants no name and no port of the machine's; what is one's own is taken from the host's name."""
    worker = services["streams"]
    assert not worker.get("container_name")
    assert not worker.get("ports")
    assert worker["environment"]["KAFKA_GROUP_INSTANCE_ID"] == "@hostname"


def test_the_services_are_the_programs_of_the_local_stack_and_the_one_shots(ours) -> None:
    programs = [*pipeline(load_config({}).exchanges), api(8080, 8081), lag_exporter(), keeper(ROOT)]
    local = {one.name: one.command[1:] for one in programs}
    # Of the words of the storekeeper's command those that name folders differ.
    command = ours["keeper"]["command"]
    assert [word for word in command[1:] if "/" not in word] == [
        word for word in local["keeper"] if "/" not in word
    ]
    local["keeper"] = tuple(command[1:])
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


def test_only_what_is_named_here_is_reached_from_outside(services) -> None:
    ports = {
        name: [port["target"] for port in service.get("ports", [])] for name, service in services.items()
    }
    assert {name: found for name, found in ports.items() if found} == PORTS


def test_our_containers_can_do_nothing_they_need_not(ours, services) -> None:
    for service in {**ours, **{name: services[name] for name in WATCHERS}}.values():
        assert service["user"].split(":")[0] not in {"", "0", "root"}
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["pids_limit"]) > 0
    users = {service["user"] for service in ours.values()}
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE):
        if named := re.findall(r"^USER (.*)$", stage, re.MULTILINE):
            assert {named[-1]} == users  # whatever a stage was made as


def test_a_container_of_ours_writes_to_no_volume_but_its_own(ours) -> None:
    mounted = {name: service["volumes"] for name, service in ours.items() if service.get("volumes")}
    assert {name: {volume["target"] for volume in found} for name, found in mounted.items()} == VOLUMES
    for found in mounted.values():
        assert {volume["source"] for volume in found if not volume.get("read_only")} == {"backups"}


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
    assert len(published) == sum(len(ports) for ports in PORTS.values())
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_images_are_pinned_and_the_tests_use_the_same(services) -> None:
    for name in SERVERS | WATCHERS:
        assert re.search(r":v?\d+\.\d+", services[name]["image"])
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
    given = {name for service in ours.values() for name in service["environment"]} - {"TMPDIR"}
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
    assert example.pop("COMPOSE_PROFILES") in PROFILES  # compose's own
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
