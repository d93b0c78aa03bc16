"""`python -m api`: REST on API_PORT and WebSocket on WS_PORT."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import click
import uvicorn
from fastapi import FastAPI

from api.app import make_app, make_ws_app
from api.services import ON_LOOPBACK, open_services
from api.serving import Http
from api.ws.serving import OPTIONS, Protocol
from api.ws.sockets import open_sockets
from COBY.config import Config
from COBY.runtime.health import serve_health
from COBY.runtime.main import run_async
from COBY.runtime.metrics import metrics
from COBY.utils.exceptions import ServiceError
from COBY.utils.logging import get_logger

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 20.0
"""From SIGTERM to the end, at most: clients have END_SECONDS (ws/sockets.py), requests DRAIN_SECONDS, then what is open
has twice CLOSE_SECONDS (closing.py)."""
DRAIN_SECONDS = 8
"""How long requests under way may take after SIGTERM."""
BACKLOG = 1024
THREADS = 32
"""For calls that block: an order to a replay session may wait half a minute for its worker."""

log = get_logger("api")


class _Server(uvicorn.Server):
    """Without signals of its own: `run_async` has them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(cfg: Config, stop: asyncio.Event) -> None:
    """Serve until told to stop. ServiceError `runtime.port_occupied`, `runtime.port_refused`."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "blocking"))
    async with open_services(cfg, metrics(), stop) as services, open_sockets(services) as sockets:
        host = cfg.api_host
        if services.open_to == ON_LOOPBACK:
            host = LOOPBACK
            log.warning("loopback_only", reason="no API key, and API_OPEN is false", do="coby keys create")
        rest, ws = listen(host, cfg.api_port, "API_PORT"), listen(host, cfg.websocket_port, "WS_PORT")
        servers = [_server(make_app(services, sockets)), _server(make_ws_app(services, sockets))]
        async with asyncio.TaskGroup() as group:
            keys = group.create_task(services.keys.run())
            running = [
                group.create_task(server.serve([one]))
                for server, one in zip(servers, (rest, ws), strict=True)
            ]
            log.info("serving", host=host, api_port=port_of(rest), ws_port=port_of(ws))
            with serve_health(cfg.metrics_port, {}) or nullcontext():
                await stop.wait()
            await sockets.end()
            for server in servers:
                server.should_exit = True
            await asyncio.wait(running)
            keys.cancel()


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket, before anything is served: a taken port is one clear line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message, code = f"another program listens on port {port}", "runtime.port_occupied"
        else:
            message, code = f"can't listen on {host}:{port}: {error.strerror}", "runtime.port_refused"
        raise ServiceError(code, message, where=setting, allowed="a free port, or 0") from error


def port_of(listening: socket.socket) -> int:
    """The port really taken."""
    return int(listening.getsockname()[1])


def _server(app: FastAPI) -> _Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",  # below it a WebSocket's address comes with its query, and messages come as a whole
        access_log=False,  # ours tells caller and correlation id, and no query
        server_header=False,
        proxy_headers=False,  # X-Forwarded-For is whatever the client says
        lifespan="off",
        http=Http,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ws=Protocol,
        **OPTIONS,
    )
    return _Server(config)


@click.command()
def main() -> None:
    """Serve REST and WebSocket, until stopped.

    Without any key (`coby keys create`) and without API_OPEN=true it listens on 127.0.0.1 only. Any number of
    processes may run.

    \b
    Example:
      API_PORT=8080 WS_PORT=8081 python -m api
    """
    run_async("api", serve, grace_seconds=STOP_SECONDS)


if __name__ == "__main__":
    main(prog_name="python -m api")
