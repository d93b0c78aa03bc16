"""A running `python -m api` for tests: the program itself as a process, and a client for it.

    with api_server(env) as api:         # env: what leads to the servers, `{**kafka.env, **database.env, …}`
        api.get("/v1/symbols")           # httpx, base http://127.0.0.1:<port>
        api.ws_url                       # ws://127.0.0.1:<port>
        api.log()                        # its lines, as JSON objects

Without a key and without API_OPEN it is open to this machine: scopes read and replay.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import free_ports

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 180.0


class ApiServer(httpx.Client):
    """An HTTP client of one running API."""

    def __init__(self, process: subprocess.Popen[bytes], ports: tuple[int, int], log: Path) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{ports[0]}", timeout=30, trust_env=False)
        self.process, self.port, self.ws_port, self.log_path = process, ports[0], ports[1], log
        self.url, self.ws_url = f"http://127.0.0.1:{ports[0]}", f"ws://127.0.0.1:{ports[1]}"

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log_path.with_suffix(".err").read_text()
            try:
                if self.get("/health/live").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"not up within {START_SECONDS} s")


@contextmanager
def api_server(
    env: Mapping[str, str], folder: Path, *, waits: bool = True, is_killed: bool = False
) -> Iterator[ApiServer]:
    """The program on free ports, or on ``env``'s; its log and what it wrote to standard error are in ``folder``.

    ``is_killed``: at the end. An orderly one waits for servers, and longest for those that are not there.
    """
    free = zip(("API_PORT", "WS_PORT"), free_ports(2), strict=True)
    ports = tuple(int(env.get(name, port)) for name, port in free)
    log = folder / f"api-{ports[0]}.log"
    settings = {"API_PORT": str(ports[0]), "WS_PORT": str(ports[1]), "LOG_FILE": str(log), **env}
    with log.with_suffix(".err").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env={**os.environ, **settings}, stdout=said, stderr=said
        )
        with ApiServer(process, (ports[0], ports[1]), log) as api:
            try:
                if waits:
                    api.wait()
                yield api
            finally:
                process.kill() if is_killed else process.terminate()
                try:
                    process.wait(30)
                finally:
                    process.kill()
