"""`coby keys`: who may use the API."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
import psycopg
from psycopg.rows import dict_row

from api.keys import SCOPES, hash_of, make_key
from COBY.config import load_config
from COBY.runtime.columns import aligned
from COBY.runtime.database import Connection, connect, refused
from COBY.utils.exceptions import ServiceError, StorageError, ValidationError
from COBY.utils.intervals import format_us, interval_us, to_us

ID_BYTES = 4
MAX_NAME = 100
COLUMNS = ("id", "name", "scopes", "state", "created_at", "expires_at", "last_used_at")


@click.group()
def keys() -> None:
    """Make, list and revoke the keys of the API.

    Of a key only its SHA-256 is stored. A running API knows a new key at once, and a revoked one for at most five
    seconds more.

    \b
    Example:
      coby keys create dashboard
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    help="What it may: read data, replay, or admin: everything; may be given several times.  [default: read]",
)
@click.option(
    "--expires", metavar="DURATION", help="How long it is in force (90d, 12h).  [default: for ever]"
)
def create(name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a key, and print it: this once, it can't be shown again.

    The key alone goes to standard output, what is known of it to standard error.

    \b
    Example:
      coby keys create trainer --scope read --scope replay --expires 90d
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise ValidationError("api.invalid", "a name that can't be", allowed=f"1 to {MAX_NAME} characters")
    lifetime_us = None if expires is None else interval_us(expires)
    key, key_id = make_key(), secrets.token_hex(ID_BYTES)
    insert = (
        "INSERT INTO api_keys (id, name, hash, scopes, expires_at) "
        "VALUES (%s, %s, %s, %s, now() + %s * interval '1 microsecond')"
    )
    with database() as conn:
        conn.execute(insert, [key_id, name, hash_of(key), sorted(set(scopes)) or ["read"], lifetime_us])
    click.echo(f"key {key_id} ({name}): send it as Authorization: Bearer <key>, or X-API-Key", err=True)
    click.echo(key)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def list_(as_json: bool) -> None:
    """All keys, the oldest first: not the keys themselves, which nobody has.

    \b
    Example:
      coby keys list --json
    """
    query = (
        "SELECT id, name, scopes, created_at, expires_at, revoked_at, last_used_at, "
        "CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' "
        "ELSE 'in force' END AS state FROM api_keys ORDER BY created_at, id"
    )
    with database() as conn, conn.cursor(row_factory=dict_row) as cursor:
        rows = [{name: _plain(value) for name, value in row.items()} for row in cursor.execute(query)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    cells = [tuple(name.upper() for name in COLUMNS)]
    cells += [tuple(_cell(row[name]) for name in COLUMNS) for row in rows]
    for line in aligned(cells):
        click.echo(line)


@keys.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Take the key of that ID out of force, for good.

    \b
    Example:
      coby keys revoke 5f1d0b1e
    """
    update = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s RETURNING name"
    with database() as conn:
        row = conn.execute(update, [key_id]).fetchone()
    if row is None:
        raise ServiceError("api.unknown_key", f"no key {key_id}", allowed="an ID of `coby keys list`")
    click.echo(f"key {key_id} ({row[0]}) is revoked")


@contextmanager
def database() -> Iterator[Connection]:
    """A connection; StorageError `db.unreachable`, `db.schema_missing`, `db.refused`."""
    with connect(load_config()) as conn:
        try:
            yield conn
        except psycopg.errors.UndefinedTable as error:
            message = "the database has no table of keys"
            raise StorageError("db.schema_missing", message, allowed="`coby db init`") from error
        except psycopg.Error as error:
            raise refused(error) from error


def _plain(value: Any) -> Any:
    return format_us(to_us(value)) if isinstance(value, datetime) else value


def _cell(value: Any) -> str:
    return "-" if value is None else " ".join(value) if isinstance(value, list) else str(value)
