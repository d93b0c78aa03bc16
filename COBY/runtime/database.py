"""TimescaleDB connections made from Config, and which of its errors pass by themselves.

Three kinds of failure (STYLE.md, Habits 1): a passing one is retried, at exactly one place, by whoever writes; one
that a row is to blame for sends that row to the dead letters; any other ends the process with a clear code.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from COBY.config import Config
from COBY.utils.exceptions import StorageError

Connection = psycopg.Connection[tuple[object, ...]]
Pool = ConnectionPool[Connection]
AsyncConnection = psycopg.AsyncConnection[tuple[object, ...]]
AsyncPool = AsyncConnectionPool[AsyncConnection]

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 25
_OPTIONS = (
    # A lock or a statement that takes longer is given up and tried again, so that SIGTERM is heard meanwhile.
    "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
    "-c client_min_messages=warning -c timezone=UTC"
)
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_PASSING_STATES = frozenset({"55P03", "25006"})
_ROW_CLASSES = frozenset({"22", "23", "54"})


def connection_settings(statement_seconds: int = STATEMENT_SECONDS) -> dict[str, object]:
    """libpq's settings beside the URL: dead peers are noticed within about 15 seconds."""
    return {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "coby",
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "options": f"{_OPTIONS} -c statement_timeout={statement_seconds}s",
    }


def connect(cfg: Config, *, autocommit: bool = True) -> Connection:
    """One connection; close it. StorageError `db.unreachable` if there is none to be had."""
    try:
        settings: dict[str, object] = connection_settings() | {"autocommit": autocommit}
        return psycopg.connect(cfg.get_database_url(), **settings)  # type: ignore[arg-type]
    except psycopg.OperationalError as error:
        raise unreachable(cfg, error) from error


def make_pool(
    cfg: Config, *, max_size: int = 2, configure: Callable[[Connection], None] | None = None
) -> Pool:
    """A pool that makes connections, in autocommit mode, when asked for; open at once, close it.

    ``pool.connection()`` raises PoolTimeout, a passing error, after five seconds without a connection.
    """
    return ConnectionPool(
        cfg.get_database_url(),
        kwargs=connection_settings() | {"autocommit": True},
        min_size=0,
        max_size=max_size,
        configure=configure,
        timeout=CONNECT_SECONDS,
        # The pool's own attempts double their pauses; a short life leaves the pauses to our one place of retries.
        reconnect_timeout=CONNECT_SECONDS / 2,
        open=True,
    )


def make_async_pool(cfg: Config, *, max_size: int, statement_seconds: int) -> AsyncPool:
    """The same for asyncio and reading, not open yet: ``async with pool``. A statement ends after its seconds."""
    settings = connection_settings(statement_seconds) | {"autocommit": True}
    return AsyncConnectionPool(
        cfg.get_database_url(),
        kwargs=settings,
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_SECONDS,
        reconnect_timeout=CONNECT_SECONDS / 2,
        open=False,
    )


def is_passing(error: BaseException) -> bool:
    """Whether the same write may succeed a little later: connections, deadlocks, full disks, shutdowns."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:  # no answer of the server's: the connection broke
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in _PASSING_CLASSES or error.sqlstate in _PASSING_STATES


def is_row_fault(error: BaseException) -> bool:
    """Whether a row is to blame: a value out of range, too long, missing, or of an impossible form."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.DataError)  # found by psycopg itself: a NUL in a text, for example
    return error.sqlstate[:2] in _ROW_CLASSES


def unreachable(cfg: Config, error: Exception) -> StorageError:
    """The error of a database that does not answer or let us in."""
    return StorageError(
        "db.unreachable",
        str(error).strip() or type(error).__name__,
        where=f"{cfg.db_host}:{cfg.db_port}/{cfg.db_name}",
        allowed="a TimescaleDB that lets DB_USER in (DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD, DB_SSLMODE)",
    )


def refused(error: BaseException) -> StorageError:
    """The error of a statement that the database refused for good."""
    state = getattr(error, "sqlstate", None)
    return StorageError("db.refused", str(error).strip(), where=state and f"SQLSTATE {state}")
