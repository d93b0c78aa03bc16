"""pg_dump and pg_restore: found, checked against the server, and run with the password out of sight."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple

from psycopg.conninfo import make_conninfo

from COBY.config import Config
from COBY.utils.exceptions import StorageError

CHUNK = 1 << 20
LAST_LINES = 5
_MAJOR = re.compile(r"(\d+)(?:\.\d+|\w*)")


class Login(NamedTuple):
    """Who connects, and where to."""

    host: str
    port: int
    dbname: str
    user: str
    password: str | None
    sslmode: str | None

    @classmethod
    def of(cls, cfg: Config, user: str | None = None, password: str | None = None) -> Login:
        """The settings' own user, or another one at the same place."""
        own = user is None
        return cls(
            cfg.db_host,
            cfg.db_port,
            cfg.db_name,
            cfg.db_user if user is None else user,
            cfg.db_password if own else password,
            cfg.db_sslmode,
        )

    def settings(self) -> dict[str, Any]:
        """libpq's settings."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def address(self) -> str:
        """The same as one text, without the password: a command line is for everybody to read."""
        return make_conninfo(**{name: value for name, value in self.settings().items() if name != "password"})

    def environ(self) -> dict[str, str]:
        """The environment of a tool: ours, with the password."""
        return dict(os.environ) | ({"PGPASSWORD": self.password} if self.password else {})


class Tools:
    """The two programs, from a folder or from PATH."""

    def __init__(self, folder: str | None) -> None:
        """``folder``: where they are; None: PATH. StorageError `db.tools` if they are not there."""
        self._dump, self._restore = (_found(name, folder) for name in ("pg_dump", "pg_restore"))

    def check(self, server: str) -> None:
        """StorageError `db.tools` if they are older than the server, which they then refuse to read."""
        for program in (self._dump, self._restore):
            said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
            own, needed = _major(said.split(")", 1)[-1]), _major(server)
            if own < needed:
                text = f"{program} is of version {own}, the server of {needed}"
                raise StorageError("db.tools", text, allowed=_allowed(f"version {needed} or later"))

    @contextmanager
    def dumping(self, login: Login) -> Iterator[IO[bytes]]:
        """The bytes of a dump of the database; StorageError `db.backup_failed` where it ends in an error."""
        # Chunks that are being dropped are locked for a moment; whoever waits longer is to say so.
        command = [self._dump, "--format=custom", "--lock-wait-timeout=20s", f"--dbname={login.address()}"]
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=login.environ()
            )
            with _ending(child):
                assert child.stdout is not None
                yield child.stdout
                if child.wait():
                    raise StorageError("db.backup_failed", _last_words(said), where=login.address())

    def restore(self, login: Login, source: IO[bytes]) -> None:
        """Restore a dump in one transaction; StorageError `db.restore_failed`, and nothing of it stays."""
        command = [self._restore, "--single-transaction", f"--dbname={login.address()}"]
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=login.environ()
            )
            with _ending(child):
                assert child.stdin is not None
                with suppress(BrokenPipeError):  # it says itself why it ended
                    shutil.copyfileobj(source, child.stdin, CHUNK)
                    child.stdin.close()
                if child.wait():
                    raise StorageError("db.restore_failed", _last_words(said), where=login.address())


@contextmanager
def _ending(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leaves no process and no pipe behind, whatever happens."""
    try:
        yield
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                # What is left in our buffer of a broken pipe: nobody reads it any more.
                with suppress(BrokenPipeError):
                    pipe.close()


def _found(name: str, folder: str | None) -> str:
    program = shutil.which(name, path=folder)
    if program is None:
        place = f"in {folder}" if folder else "on PATH"
        raise StorageError(
            "db.tools", f"there is no {name} {place}", allowed=_allowed("PostgreSQL's clients")
        )
    return program


def _allowed(what: str) -> str:
    return f"{what} (--tools, DB_TOOLS: the folder that holds pg_dump and pg_restore)"


def _major(text: str) -> int:
    match = _MAJOR.search(text)
    return 0 if match is None else int(match[1])


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").splitlines()
    errors = [line for line in lines if "error" in line.lower()] or lines
    return " ".join(errors[-LAST_LINES:]) or "it said nothing"
