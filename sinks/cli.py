"""`coby db`: the database of the sinks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from COBY.config import load_config
from COBY.runtime.database import connect
from COBY.utils.exceptions import ServiceError
from sinks.backup import back_up
from sinks.backup import restore as restore_backup
from sinks.pg_tools import Login, Tools
from sinks.retention import Retention
from sinks.schema import migrate, migrations

FILE = click.Path(dir_okay=False, path_type=Path)
tools_option: Callable[..., Any] = click.option(
    "--tools",
    envvar="DB_TOOLS",
    show_envvar=True,
    help="The folder that holds pg_dump and pg_restore, of the server's version or later; without, PATH.",
)


@click.group()
def db() -> None:
    """Set up, back up and restore the database that the TimescaleDB sink writes to.

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


@db.command()
@click.argument("file", type=FILE)
@tools_option
@click.option("--force", is_flag=True, help="Write over a FILE that is there already.")
def backup(file: Path, tools: str | None, force: bool) -> None:
    """Write a backup of the whole database into FILE, while everything goes on running.

    It is one consistent view, sink_progress included. Refuses (db.schema_newer) a database of newer code.

    \b
    Example:
      coby db backup market_data.backup
    """
    manifest = back_up(load_config(), Tools(tools), file, force=force)
    click.echo(f"{file}: schema version {manifest.schema_version}, {manifest.size:,} bytes of dump")


@db.command()
@click.argument("file", type=FILE)
@tools_option
@click.option("--admin-user", envvar="DB_ADMIN_USER", show_envvar=True, help="A superuser; without, DB_USER.")
@click.option(
    "--admin-password-file",
    type=FILE,
    envvar="DB_ADMIN_PASSWORD_FILE",
    show_envvar=True,
    help="The file with the superuser's password.",
)
def restore(file: Path, tools: str | None, admin_user: str | None, admin_password_file: Path | None) -> None:
    """Restore the backup in FILE into the database DB_NAME, which has to be empty.

    All or nothing. A sink started afterwards goes on where the backup ends, as far as the topics reach back, and an
    older backup is brought to this version's schema. Refuses a backup of newer code (db.schema_newer), one that is
    cut short or changed (db.backup_broken), and a database that holds tables (db.not_empty). Restore only what
    you trust: a backup can hold any SQL, and a superuser runs it.

    \b
    Example:
      createdb --owner market_user market_data_new
      DB_NAME=market_data_new coby db restore market_data.backup --admin-user postgres
    """
    cfg = load_config()
    password = None if admin_password_file is None else _first_line(admin_password_file)
    manifest = restore_backup(cfg, Tools(tools), file, Login.of(cfg, admin_user, password))
    click.echo(f"{cfg.db_name} is restored from {file}, made {manifest.made_at}")


def _first_line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").split("\n", 1)[0]
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceError("file.unreadable", str(error), where=str(file)) from error
