"""Runs our programs under supervisord, which restarts them; asked over its socket how they are.

>>> with Programs(folder, pipeline(exchanges), env=stack.env()) as programs:
...     programs.wait_ready()
...     programs.status()["streams"].pid
...     programs.kill("streams")  # it comes back: .restarts rises by one
"""

import os
import re
import signal
import sys
import tempfile
import time
import urllib.request
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]  # ships no types

from deploy.local import fetch
from deploy.local.errors import LocalError
from deploy.local.ports import HOST, require_free
from deploy.local.process import Identity, dies_with_parent, mark_of, spawn, sweep, wait_gone
from deploy.local.programs import Program
from deploy.local.supervisord import STOP_SECONDS, configuration

ROOT = Path(__file__).resolve().parents[2]
SUPERVISORD = "from deploy.local.supervisor_main import run; run()"
SOCKET_PATH_MAX = 100  # the kernel's limit is 108 bytes, and supervisord adds a little to it while starting


@dataclass(frozen=True)
class State:
    """How one program is; `state` is supervisor's word: STARTING, RUNNING, BACKOFF, FATAL, STOPPED."""

    name: str
    state: str
    pid: int | None
    restarts: int
    """Times it was started again since `start` (asked for or not)."""
    last_exit: str
    """How it last ended, in supervisor's words: "exit status 2", "terminated by SIGKILL"; "": never."""
    metrics_port: int
    log: Path


class Programs:
    """Our programs in one folder: `logs/<name>.log`, `run/supervisord.*`.

    With `detached` they outlive us; otherwise they end with us, even if we are killed. A program never
    outlives its supervisor.
    """

    def __init__(
        self,
        folder: Path | str,
        table: Sequence[Program] = (),
        *,
        env: Mapping[str, str] | None = None,
        detached: bool = False,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.table = {program.name: program for program in table}
        self.env = dict(env or {})
        self.detached = detached
        self.mark = f"{mark_of(self.folder)}-programs"
        self.run = self.folder / "run"
        self.logs = self.folder / "logs"
        self.note = self.run / "supervisord.json"
        self.config = self.run / "supervisord.conf"
        self.socket = self.run / "supervisord.sock"
        if len(str(self.socket)) > SOCKET_PATH_MAX:
            self.socket = Path(tempfile.gettempdir()) / f"{self.mark}.sock"

    @property
    def running(self) -> bool:
        """Whether our supervisord runs."""
        return self._identity is not None

    @property
    def _identity(self) -> Identity | None:
        found = Identity.load(self.note)
        return found if found and found.alive else None

    def start(self, name: str | None = None) -> Self:
        """Start the supervisor with all programs (nothing, if it runs), or one program of a running one.

        Raises LocalError port_in_use, server_exited, server_timeout; no_programs, program_unknown.
        """
        if name is not None:
            self._ask("startProcess", name, False)
        elif not self.running:
            self._start_all()
        return self

    def _start_all(self) -> None:
        for program in self.table.values():
            if program.metrics_port:
                require_free(program.metrics_port, program.name, "another METRICS_PORT")
        for folder in (self.run, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)  # restarts are counted in it, from this start on
        self.config.touch(mode=0o600)
        head = {"logfile": self._log, "pidfile": self.run / "supervisord.pid"}
        text = configuration(self.table.values(), socket=self.socket, logs=self.logs, directory=ROOT, **head)
        self.config.write_text(text)
        command = [sys.executable, "-c", SUPERVISORD, "-n", "-c", str(self.config)]
        tied = dies_with_parent(command, None if self.detached else signal.SIGTERM)
        output = self.logs / "supervisord.out"
        # LOG_FILE: their output is kept (and rotated) here; no second copy unless somebody asks for it.
        spawn(tied, output, mark=self.mark, env={"LOG_FILE": "-", **os.environ, **self.env}, cwd=ROOT).save(
            self.note
        )
        self._wait_answer(output)

    def _wait_answer(self, output: Path, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                self._call("getState")
                return
            except OSError as error:
                if not self.running:
                    tail = fetch.tail(output)
                    raise LocalError("server_exited", "supervisord ended", detail=tail) from error
                if time.monotonic() > end:
                    raise LocalError("server_timeout", f"supervisord does not answer ({error})") from error
            time.sleep(0.05)

    @property
    def _log(self) -> Path:
        return self.logs / "supervisord.log"

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self.logs / f"{name}.log"

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport("", "", f"unix://{self.socket}")
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport) as server:
                return getattr(server.supervisor, method)(*arguments)
        finally:
            transport.close()

    def _ask(self, method: str, *arguments: object) -> Any:
        """A call that needs a running supervisor; raises no_programs, program_unknown."""
        if not self.running:
            raise LocalError("no_programs", f"no programs run in {self.folder}: start them first")
        try:
            return self._call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if "BAD_NAME" in fault.faultString:
                names = ", ".join(sorted(self.status()))
                message = f"no program {arguments[0]!r}; there are: {names}"
                raise LocalError("program_unknown", message) from fault
            if "ALREADY_STARTED" in fault.faultString or "NOT_RUNNING" in fault.faultString:
                return None
            raise LocalError("server_exited", f"supervisord: {fault.faultString}") from fault

    def stop(self, name: str | None = None) -> None:
        """Stop all programs (SIGTERM, 30 s, SIGKILL) and the supervisor; or one program, which stays down."""
        if name is not None:
            self._ask("stopProcess", name)
            return
        if found := self._identity:
            found.send(signal.SIGTERM)
            if wait_gone([found], STOP_SECONDS + 10):
                found.send(signal.SIGKILL)
                wait_gone([found], 5)
        sweep(self.mark, STOP_SECONDS)
        for path in (self.note, self.socket, self.run / "supervisord.pid"):
            path.unlink(missing_ok=True)

    def restart(self, name: str) -> None:
        """Stop one program gracefully and start it again."""
        self.stop(name)
        self.start(name)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal one program, as a crash would (or SIGSTOP it); returns its pid. A dead one is restarted."""
        state = self.status().get(name)
        pid = state.pid if state else None
        identity = Identity.of(pid) if pid else None
        if identity is None:
            raise LocalError("program_unknown", f"{name} does not run")
        identity.send(number)
        return identity.pid

    def status(self) -> dict[str, State]:
        """How all programs are, by name; empty if the supervisor does not run."""
        if not self.running:
            return {}
        log = self._log.read_text(errors="replace")
        return {info["name"]: self._state(info, log) for info in self._ask("getAllProcessInfo")}

    def _state(self, info: Mapping[str, Any], log: str) -> State:
        # Asked, supervisor tells neither of restarts nor of an end soon after the start; its log does.
        name = info["name"]
        starts = log.count(f"spawned: '{name}' with pid")
        ends = re.findall(rf"(?:exited|stopped): {re.escape(name)} \((.*?)[;)]", log)
        return State(
            name=name,
            state=info["statename"],
            pid=info["pid"] or None,
            restarts=max(starts - 1, 0),
            last_exit=ends[-1] if ends else "",
            metrics_port=self.table[name].metrics_port if name in self.table else 0,
            log=self.log(name),
        )

    def wait_ready(self, names: Iterable[str] | None = None, seconds: float = 60.0) -> None:
        """Wait until each program answers 200 at /health/ready (without METRICS_PORT: is RUNNING).

        Raises server_exited when one has given up (FATAL), server_timeout; both with its log's tail.
        """
        waiting = list(names if names is not None else self.table)
        end = time.monotonic() + seconds
        while waiting:
            states = self.status()
            for name in list(waiting):
                state = states.get(name)
                if state is None or state.state == "FATAL":
                    raise LocalError("server_exited", f"{name} ended", detail=fetch.tail(self.log(name)))
                if state.state == "RUNNING" if not state.metrics_port else is_ready(state.metrics_port):
                    waiting.remove(name)
            if waiting and time.monotonic() > end:
                message = f"not ready within {seconds:.0f} s: {', '.join(waiting)}"
                raise LocalError("server_timeout", message, detail=fetch.tail(self.log(waiting[0])))
            time.sleep(0.2 if waiting else 0)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def is_ready(metrics_port: int) -> bool:
    """Whether the program behind this port says it is ready."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{metrics_port}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, timed out, or 503 (HTTPError is one)
        return False
