"""What watches, in the compose file: it looks at every program, and finds its files where the containers have them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.unit.test_compose import ROOT, SERVERS, WATCHERS, compose

PORT = "9100"


@pytest.fixture(scope="module")
def services() -> dict:
    return json.loads(compose("--profile", "monitoring", "config", "--format", "json"))["services"]


@pytest.fixture(scope="module")
def scraped() -> set[tuple[str, str]]:
    """(host, port) of every target of Prometheus."""
    return set(targets(yaml.safe_load((ROOT / "deploy/monitoring/prometheus/prometheus.yml").read_text())))


def targets(config: dict) -> Iterator[tuple[str, str]]:
    for job in config["scrape_configs"]:
        for group in job.get("static_configs", []):
            yield from (tuple(target.split(":")) for target in group["targets"])
        for group in job.get("dns_sd_configs", []):
            yield from ((name, str(group["port"])) for name in group["names"])


def test_every_program_is_looked_at_on_the_port_it_serves(services, scraped) -> None:
    ours = {
        name: service
        for name, service in services.items()
        if name not in SERVERS | WATCHERS and service["restart"] != "no"
    }
    assert {host for host, port in scraped if port == PORT} == set(ours)
    for service in ours.values():
        assert service["environment"]["METRICS_PORT"] == PORT
        assert PORT in service["expose"]


def test_all_that_is_looked_at_is_there(services, scraped) -> None:
    assert {host for host, _ in scraped} <= set(services) | {"localhost"}


def inside(service: dict, path: str) -> Path:
    """The file of the repository that a container has at this path."""
    for volume in service["volumes"]:
        if volume["type"] == "bind" and path.startswith(volume["target"]):
            assert volume["read_only"]
            return Path(volume["source"]) / path.removeprefix(volume["target"]).lstrip("/")
    raise AssertionError(f"nothing is mounted at {path}")


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_its_configuration_is_where_the_command_says(services, name: str) -> None:
    (option,) = [word for word in services[name]["command"] if word.startswith("--config.file=")]
    assert inside(services[name], option.partition("=")[2]).is_file()


def test_grafana_finds_its_dashboards_and_prometheus(services) -> None:
    grafana = services["grafana"]
    (provider,) = yaml.safe_load(
        (inside(grafana, "/etc/grafana/provisioning/dashboards") / "coby.yml").read_text()
    )["providers"]
    assert list(inside(grafana, provider["options"]["path"]).glob("*.json"))
    sources = yaml.safe_load(
        (inside(grafana, "/etc/grafana/provisioning/datasources") / "coby.yml").read_text()
    )["datasources"]
    urls = {source["url"] for source in sources}
    assert {url.removeprefix("http://").split(":")[0] for url in urls} <= set(services)
