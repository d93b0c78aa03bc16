"""The database schema by versioned migrations: sinks/migrations/NNNN_name.sql, each in a transaction of its own."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import psycopg

from COBY.runtime.database import Connection, refused
from COBY.utils.exceptions import StorageError

_LOCK = 0x434F4259  # "COBY": one migration at a time in a database
_INIT = "`coby db init` brings it up to date"
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All steps, in order; versions are 1, 2, 3 … without a hole."""
    found = [
        Migration(int(match[1]), match[2], item.read_text(encoding="utf-8"))
        for item in (files("sinks") / "migrations").iterdir()
        if (match := _FILE.fullmatch(item.name))
    ]
    steps = tuple(sorted(found))
    assert [step.version for step in steps] == list(range(1, len(steps) + 1)), "migrations must be 1, 2, 3 …"
    return steps


def migrate(conn: Connection) -> list[Migration]:
    """Bring the schema to the newest version; returns the steps taken, none where it was there already.

    ``conn`` is in autocommit mode. StorageError `db.schema_newer` for a database that newer code has migrated,
    `db.refused` where the database refuses a step (nothing of that step stays).
    """
    conn.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        return _migrate_locked(conn)
    except psycopg.Error as error:
        raise refused(error) from error
    finally:
        if not conn.broken:
            conn.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _migrate_locked(conn: Connection) -> list[Migration]:
    conn.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, name text NOT NULL, "
        "applied_at timestamptz NOT NULL DEFAULT now())"
    )
    version = _not_newer(_recorded(conn))
    missing = [step for step in migrations() if step.version > version]
    for step in missing:
        with conn.transaction():
            conn.execute("SET LOCAL statement_timeout = 0")  # an index on a large table takes its time
            conn.execute(step.sql)
            conn.execute(
                "INSERT INTO schema_version (version, name) VALUES (%s, %s)", [step.version, step.name]
            )
    return missing


def check_schema(conn: Connection) -> None:
    """StorageError `db.schema_missing`, `db.schema_older` or `db.schema_newer` unless the schema is the code's."""
    version = recorded_version(conn)
    if version < len(migrations()):
        text = f"the database is at version {version}, this code needs {len(migrations())}"
        raise StorageError("db.schema_older", text, allowed=_INIT)


def recorded_version(conn: Connection) -> int:
    """The version of the database's schema. StorageError `db.schema_missing`, `db.schema_newer` than this code."""
    row = conn.execute("SELECT to_regclass('schema_version') IS NOT NULL").fetchone()
    if row is None or not row[0] or not (version := _not_newer(_recorded(conn))):
        raise StorageError("db.schema_missing", "the database has no tables of ours", allowed=_INIT)
    return version


def _recorded(conn: Connection) -> int:
    row = conn.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def _not_newer(version: int) -> int:
    newest = len(migrations())
    if version > newest:
        text = f"the database is at version {version}, this code knows versions up to {newest}"
        raise StorageError("db.schema_newer", text, allowed="code that is not older than the database")
    return version
