"""What the three servers have in common: prepared, started, proven ready, stopped."""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from deploy.local import fetch
from deploy.local.errors import LocalError
from deploy.local.ports import HOST, require_free
from deploy.local.process import Identity, dies_with_parent, mark_of, spawn, wait_gone

LOG_LIMIT = 10 * 1024 * 1024
CHROOT = Path(__file__).with_name("chroot.sh")
ENVIRONMENT = ("PATH", "HOME", "JAVA_HOME")


class Server(ABC):
    """One server process, its data in `<folder>/<name>`, its log in `<folder>/logs/<name>.log`.

    With `detached` it outlives the process that started it; otherwise it is told to end when that one dies,
    even by SIGKILL (start it from the main thread: the kernel watches the starting thread).
    """

    name: str
    setting: str
    stop_signal = signal.SIGTERM
    start_seconds = 60.0
    stop_seconds = 20.0

    def __init__(self, folder: Path, port: int, *, detached: bool = False) -> None:
        self.folder = folder.resolve()
        self.host = HOST
        self.port = port
        self.detached = detached
        self.data = self.folder / self.name
        self.log = self.folder / "logs" / f"{self.name}.log"
        self.note = self.folder / "run" / f"{self.name}.json"
        self.mark = mark_of(self.folder)

    @abstractmethod
    def prepare(self) -> None:
        """Make folders, files and, the first time, the empty store."""

    @abstractmethod
    def command(self) -> list[str]:
        """What to run."""

    @abstractmethod
    def probe(self) -> None:
        """One real request; raises while the server is not ready."""

    def set_up(self) -> None:
        """What must be there before anybody uses it (users, databases); each time, idempotent."""
        return  # most servers need nothing

    @property
    def identity(self) -> Identity | None:
        """The running process; None if it does not run."""
        found = Identity.load(self.note)
        return found if found and found.alive else None

    @property
    def running(self) -> bool:
        """Whether our process runs."""
        return self.identity is not None

    @property
    def pid(self) -> int | None:
        """Its process id; None if it does not run."""
        found = self.identity
        return found.pid if found else None

    def start(self) -> None:
        """Start it and wait until it answers; does nothing if it runs.

        Raises missing_server, port_in_use, server_exited or server_timeout.
        """
        if self.begin():
            self.finish()

    def begin(self) -> bool:
        """The first half of `start`, which waits for no answer; False: it runs already. Raises the same."""
        if self.running:
            if (there := self._noted_port()) != self.port:
                message = (
                    f"{self.name} runs on port {there}, wanted is {self.port}: stop it first (make down)"
                )
                raise LocalError("already_running", message)
            return False
        require_free(self.port, self.name, self.setting)
        for folder in (self.data, self.log.parent, self.note.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.prepare()
        self.launch()
        return True

    def finish(self) -> None:
        """The second half of `start`: wait until it answers."""
        self.wait_ready()
        self.set_up()

    def launch(self) -> None:
        """Start the process and note down which it is."""
        self.note.with_suffix(".port").write_text(str(self.port))
        spawn(self.command(), self.log, mark=self.mark, env=base_env()).save(self.note)

    def _noted_port(self) -> int:
        return int(self.note.with_suffix(".port").read_text())

    def wait_ready(self) -> None:
        """Ask until it answers. Raises server_exited or server_timeout, each with the log's tail."""
        end = time.monotonic() + self.start_seconds
        while True:
            if not self.running:
                raise self._failed("server_exited", f"{self.name} ended while starting")
            try:
                return self.probe()
            except Exception as error:
                if time.monotonic() > end:
                    self.stop()
                    message = f"{self.name} did not answer within {self.start_seconds:.0f} s ({error})"
                    raise self._failed("server_timeout", message) from error
            time.sleep(0.1)

    def _failed(self, code: str, message: str) -> LocalError:
        return LocalError(code, f"{message}; log: {self.log}", detail=fetch.tail(self.log))

    def signal_stop(self) -> None:
        """Ask it to end, without waiting."""
        if found := self.identity:
            found.send(self.stop_signal)

    def stop(self) -> None:
        """End it: ask, wait, and kill what does not listen."""
        if found := self.identity:
            found.send(self.stop_signal)
            if wait_gone([found], self.stop_seconds):
                self.kill()
        self.note.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, as a crash would: data stay, `start` brings it back."""
        if found := self.identity:
            found.send(signal.SIGKILL)
            wait_gone([found], 10.0)

    def pause(self) -> None:
        """SIGSTOP: the server hangs (connections stay open, nothing answers) until `resume`."""
        if found := self.identity:
            found.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, after `pause`."""
        if found := self.identity:
            found.send(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start again, on the same port and data."""
        self.stop()
        self.start()

    def tied(self, command: Sequence[str]) -> list[str]:
        """`command`, ending with us unless detached."""
        return dies_with_parent(command, None if self.detached else self.stop_signal)

    def in_root(self, user: str, command: Sequence[str], *, tied: bool = True) -> list[str]:
        """`command` as `user` in the Debian tree, our data on /mnt, in a mount namespace of its own."""
        root = fetch.require(fetch.root_dir(), self.name) / "root"
        ends = "clear" if self.detached or not tied else self.stop_signal.name.removeprefix("SIG")
        return [
            "unshare",
            "--mount",
            "--",
            "sh",
            str(CHROOT),
            str(root),
            str(self.data),
            user,
            ends,
            *command,
        ]

    def give_to(self, user: str) -> None:
        """Make the data folder the user's of the Debian tree."""
        root = fetch.require(fetch.root_dir(), self.name) / "root"
        lines = (line.split(":") for line in (root / "etc" / "passwd").read_text().splitlines())
        uid, gid = next((int(line[2]), int(line[3])) for line in lines if line[0] == user)
        for path in (self.data, *self.data.iterdir()):
            os.chown(path, uid, gid)


def base_env() -> dict[str, str]:
    """The environment servers get: nothing of ours but where programs are."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
