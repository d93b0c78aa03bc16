"""`coby db`: the database of the sinks."""

from __future__ import annotations

import click

from COBY.config import load_config
from COBY.runtime.database import connect
from sinks.retention import Retention
from sinks.schema import migrate, migrations


@click.group()
def db() -> None:
    """Set up the database that the TimescaleDB sink writes to.

    \b
    Example:
      coby db init
    """


@db.command()
def init() -> None:
    """Create the tables, or bring them to this version; doing it again changes nothing.

    Refuses (db.schema_newer) a database that newer code has migrated. Needs DB_HOST, DB_PORT, DB_NAME, DB_USER
    and DB_PASSWORD; the user owns the database.

    \b
    Example:
      DB_HOST=localhost DB_NAME=market_data coby db init
    """
    cfg = load_config()
    with connect(cfg) as conn:
        for step in migrate(conn):
            click.echo(f"applied {step.version} {step.name}")
        Retention(cfg).apply(conn)
    click.echo(f"the schema is at version {len(migrations())}")
