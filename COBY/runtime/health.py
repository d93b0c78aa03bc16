"""/metrics and /health of a process, by the standard library's HTTP server in a thread of its own.

- `/health/live`: 200 while the process answers; asks nothing else
- `/health/ready` and `/health`: 200 if every check holds, else 503; the body lists each check
- `/metrics`: Prometheus' text, or OpenMetrics where asked for
"""

import errno
import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from COBY.runtime.memory import memory
from COBY.utils.exceptions import ServiceError
from COBY.utils.logging import mask

Check = Callable[[], tuple[bool, str]]
"""A dependency: (whether it is well, a word about it). Called in other threads: quick, thread-safe."""

_POLL_SECONDS = 0.1  # how soon close() is noticed
_REQUEST_SECONDS = 5.0  # a client that says nothing must not hold a thread


class HealthServer:
    """Serves until `close()`; also a context manager. `port` is the one really taken (0: any free one)."""

    def __init__(
        self,
        port: int,
        checks: Mapping[str, Check] | None = None,
        *,
        registry: CollectorRegistry = REGISTRY,
        host: str = "0.0.0.0",
    ) -> None:
        """Listens at once, or raises ServiceError `runtime.port_occupied` or `runtime.port_refused`."""
        handler = type("Handler", (_Handler,), {"checks": dict(checks or {}), "registry": registry})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise _no_port(host, port, error) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening; a second call does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "HealthServer":
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()


def serve_health(
    port: int, checks: Mapping[str, Check] | None = None, *, registry: CollectorRegistry = REGISTRY
) -> HealthServer | None:
    """A HealthServer on METRICS_PORT, or None where that is 0, which means off. The process' memory is a check, too."""
    every = {**(checks or {}), "memory": memory().check}
    return HealthServer(port, every, registry=registry) if port else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    checks: Mapping[str, Check]
    registry: CollectorRegistry
    timeout = _REQUEST_SECONDS

    def do_GET(self) -> None:
        """Answers the paths of this module's docstring, 404 for others."""
        path = urlsplit(self.path).path
        if path == "/metrics":
            encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content_type, encoder(self.registry))
        elif path == "/health/live":
            self._answer_json(HTTPStatus.OK, {"live": True})
        elif path in ("/health", "/health/ready"):
            self._answer_ready()
        else:
            paths = ["/metrics", "/health", "/health/live", "/health/ready"]
            self._answer_json(HTTPStatus.NOT_FOUND, {"code": "http.not_found", "allowed": paths})

    do_HEAD = do_GET  # noqa: N815 - the standard library looks for this name

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a scrape every few seconds is no news."""

    def _answer_ready(self) -> None:
        results = [_ask(name, check) for name, check in self.checks.items()]
        ready = all(result["ok"] for result in results)
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer_json(status, {"ready": ready, "checks": results})

    def _answer_json(self, status: HTTPStatus, body: object) -> None:
        self._answer(status, "application/json", json.dumps(body).encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _ask(name: str, check: Check) -> dict[str, object]:
    """A check's result; one that raises has failed, whatever it raises."""
    try:
        ok, text = check()
    except Exception as error:
        ok, text = False, f"{type(error).__name__}: {error}"
    return {"name": name, "ok": ok, "text": mask(text)}


def _no_port(host: str, port: int, error: OSError) -> ServiceError:
    if error.errno == errno.EADDRINUSE:
        message = f"another program listens on port {port}"
        return ServiceError(
            "runtime.port_occupied", message, where="METRICS_PORT", allowed="a free port, or 0"
        )
    message = f"can't listen on {host}:{port}: {error.strerror or error}"
    return ServiceError(
        "runtime.port_refused", message, where="METRICS_PORT", allowed="a port we may listen on, or 0"
    )
