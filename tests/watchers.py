"""Debian's Prometheus and Alertmanager beside a running demo, with the very rules of deploy/monitoring."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from deploy.local import fetch
from deploy.local.ports import HOST, free_port, free_ports
from deploy.local.process import dies_with_parent
from deploy.local.programs import Program
from tests.monitoring import FOLDER, PROMETHEUS, RULES


class Receiver:
    """Where alerts are sent to; ``told``: (alert, status) in the order in which they came."""

    def __init__(self) -> None:
        """Listens on a free port."""
        self.told: list[tuple[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.told += [(one["labels"]["alertname"], one["status"]) for one in body["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Watchers:
    """Their HTTP APIs."""

    def __init__(self, prometheus: int, alertmanager: int, receiver: Receiver) -> None:
        """By their ports."""
        self._prometheus = f"http://{HOST}:{prometheus}"
        self._alertmanager = f"http://{HOST}:{alertmanager}"
        self.receiver = receiver

    def ready(self) -> bool:
        """Whether both answer."""
        try:
            for where in (self._prometheus, self._alertmanager):
                with urllib.request.urlopen(f"{where}/-/ready", timeout=5):
                    pass
        except OSError:
            return False
        return True

    def series(self, selector: str) -> list[dict[str, str]]:
        """The label sets that a selector finds now."""
        query = urllib.parse.urlencode({"query": f"last_over_time({selector}[1m])"})
        return [row["metric"] for row in _get(f"{self._prometheus}/api/v1/query?{query}")["data"]["result"]]

    def firing(self) -> set[tuple[str, ...]]:
        """(alert, its further labels' values …) of what fires, as Prometheus says."""
        return {
            _named(alert["labels"])
            for alert in _get(f"{self._prometheus}/api/v1/alerts")["data"]["alerts"]
            if alert["state"] == "firing"
        }

    def arrived(self) -> set[tuple[str, ...]]:
        """The same, of what Alertmanager has and has not seen the end of."""
        return {_named(alert["labels"]) for alert in _get(f"{self._alertmanager}/api/v2/alerts")}


def _named(labels: dict[str, str]) -> tuple[str, ...]:
    return (
        labels["alertname"],
        *(labels[name] for name in sorted(labels) if name not in ("alertname", "job")),
    )


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


@contextmanager
def watching(programs: list[Program], folder: Path) -> Iterator[Watchers]:
    """Both, looking at these programs as compose's configuration has it: intervals, rules, routes and inhibitions."""
    prometheus, alertmanager = free_ports(2)
    with ExitStack() as stack:
        receiver = Receiver()
        stack.callback(receiver.close)
        configure(folder, programs, prometheus, alertmanager, receiver.url)
        stack.enter_context(_process("prometheus-alertmanager", folder, [
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={HOST}:{alertmanager}",
            "--cluster.listen-address=",
        ]))  # fmt: skip
        stack.enter_context(_process("prometheus", folder, [
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={HOST}:{prometheus}",
        ]))  # fmt: skip
        yield Watchers(prometheus, alertmanager, receiver)


def configure(
    folder: Path, programs: list[Program], prometheus: int, alertmanager: int, receiver: str
) -> None:
    """The committed files with this machine's addresses. The watchdog's receiver is one that is down."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["rule_files"] = [str(path) for path in RULES]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"{HOST}:{alertmanager}"]
    own = [
        {"targets": [f"{HOST}:{program.metrics_port}"], "labels": {"program": program.name}}
        for program in programs
        if program.metrics_port
    ]
    config["scrape_configs"] = [
        {"job_name": "coby", "static_configs": own},
        {"job_name": "prometheus", "static_configs": [{"targets": [f"{HOST}:{prometheus}"]}]},
        {"job_name": "alertmanager", "static_configs": [{"targets": [f"{HOST}:{alertmanager}"]}]},
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    routes = yaml.safe_load((FOLDER / "alertmanager" / "alertmanager.yml").read_text())
    routes["route"] |= {"group_wait": "1s", "group_interval": "5s"}
    urls = {"default": receiver, "watchdog": f"http://{HOST}:{free_port()}/"}
    routes["receivers"] = [
        {"name": name, "webhook_configs": [{"url": url, "send_resolved": True}]} for name, url in urls.items()
    ]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(routes))


@contextmanager
def _process(name: str, folder: Path, arguments: list[str]) -> Iterator[None]:
    binary = fetch.monitoring_binary(name)
    assert binary is not None
    # Debian's Alertmanager has its templates where a package would be installed: there, in a namespace of its own.
    share = binary.parents[1] / "share"
    own = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c"]
    own += ['mount --bind "$0" /usr/share && exec "$@"', str(share)]
    with (folder / f"{name}.log").open("wb") as log:
        command = dies_with_parent([*own, str(binary), *arguments], signal.SIGTERM)
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            yield
        finally:
            child.terminate()
            child.wait(30)
