"""Backing the database up and restoring it, by PostgreSQL's own pg_dump and pg_restore.

A backup is a zip file of two: `MANIFEST.json`, which says what it is, and `DATABASE.dump`, pg_dump's custom format of
one consistent view of the database, sink_progress included: after a restore the sink takes the rest from the topics.
Restoring needs a superuser, because TimescaleDB's own catalogue is restored with the tables (its documentation,
"Logical backup with pg_dump and pg_restore": timescaledb_pre_restore, pg_restore, timescaledb_post_restore).
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from COBY.config import Config
from COBY.runtime.database import Connection, connect, is_passing, refused, unreachable
from COBY.utils.exceptions import ServiceError, StorageError
from COBY.utils.timing import utc_now
from sinks.pg_tools import Login, Tools
from sinks.schema import migrate, migrations, recorded_version

FORM = "coby backup 1"
MANIFEST, DUMP = "MANIFEST.json", "DATABASE.dump"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """What a backup is: versions of schema, TimescaleDB and server, who owns the tables, and the dump's digest."""

    form: str
    made_at: str
    schema_version: int
    timescaledb: str
    server: str
    owner: str
    size: int
    sha256: str


def back_up(
    cfg: Config, tools: Tools, file: Path, *, force: bool = False, stopped: Callable[[], bool] = lambda: False
) -> Manifest:
    """Write a backup of the database; the file appears whole or not at all. ``stopped``: give it up.

    StorageError `db.schema_newer` for a database of newer code, `db.schema_missing` for one without tables of ours,
    `db.backup_failed`, `db.tools`; ServiceError `file.exists`, `file.unwritable`.
    """
    with connect(cfg) as conn:
        version = recorded_version(conn)
        timescaledb, server = _versions(conn)
    tools.check(server)
    if file.exists() and not force:
        raise ServiceError("file.exists", f"{file} is there already", where=str(file), allowed="a new file")
    part = file.with_name(f"{file.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            size, sha256 = _dump(cfg, tools, archive, stopped)
            made_at = utc_now().isoformat(timespec="seconds")
            manifest = Manifest(FORM, made_at, version, timescaledb, server, cfg.db_user, size, sha256)
            archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
        part.replace(file)
    except OSError as error:
        raise ServiceError("file.unwritable", error.strerror or str(error), where=str(file)) from error
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _dump(
    cfg: Config, tools: Tools, archive: zipfile.ZipFile, stopped: Callable[[], bool]
) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with (
        tools.dumping(Login.of(cfg)) as source,
        archive.open(DUMP, "w", force_zip64=True) as target,
    ):
        while block := os.read(source.fileno(), CHUNK):  # what there is: `stopped` is to be asked soon
            if stopped():
                raise StorageError("db.backup_failed", "stopped before its end", where=cfg.db_name)
            digest.update(block)
            size += len(block)
            target.write(block)
    return size, digest.hexdigest()


def restore(cfg: Config, tools: Tools, file: Path, admin: Login) -> Manifest:
    """Restore a backup into the empty database of the settings, and migrate it if it is older than this code.

    ``admin``: a superuser of the server. All or nothing: after an error the database is as empty as before.

    StorageError `db.backup_broken` (cut short, changed, or no backup), `db.schema_newer` (of newer code),
    `db.not_empty`, `db.not_superuser`, `db.backup_owner`, `db.backup_timescaledb`, `db.restore_failed`, `db.tools`.
    """
    with _opened(file) as archive:
        manifest = read_manifest(archive, file)
        _check_digest(archive, manifest, file)
        with _as(cfg, admin) as conn:
            _check_target(conn, cfg, manifest)
            tools.check(_versions(conn)[1])
            _load(conn, tools, admin, archive)
    with connect(cfg) as conn:
        migrate(conn)
    return manifest


def read_manifest(archive: zipfile.ZipFile, file: Path) -> Manifest:
    """What the file says of itself. StorageError `db.backup_broken`, `db.schema_newer`."""
    try:
        manifest = Manifest(**json.loads(archive.read(MANIFEST)))
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise _broken(file, "it has no manifest that can be read") from error
    if manifest.form != FORM:
        raise _broken(file, f"its form is '{manifest.form}', not '{FORM}'")
    newest = len(migrations())
    if manifest.schema_version > newest:
        text = f"the backup is of version {manifest.schema_version}, this code knows versions up to {newest}"
        raise StorageError(
            "db.schema_newer", text, where=str(file), allowed="code that is not older than the backup"
        )
    return manifest


def _check_digest(archive: zipfile.ZipFile, manifest: Manifest, file: Path) -> None:
    """Read all of it before anything is touched."""
    digest = hashlib.sha256()
    try:
        with archive.open(DUMP) as source:
            while block := source.read(CHUNK):
                digest.update(block)
    except (KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _broken(file, str(error)) from error
    if digest.hexdigest() != manifest.sha256:
        raise _broken(file, "the dump in it has another SHA-256 than when it was made")


def _check_target(conn: Connection, cfg: Config, manifest: Manifest) -> None:
    if not _value(conn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        allowed = "a superuser of the server (--admin-user, --admin-password-file)"
        raise StorageError(
            "db.not_superuser", "a restore writes TimescaleDB's own catalogue", allowed=allowed
        )
    if cfg.db_user != manifest.owner or not _value(
        conn, "SELECT count(*) FROM pg_roles WHERE rolname = %s", manifest.owner
    ):
        text = f"the tables in the backup belong to {manifest.owner}, DB_USER is {cfg.db_user}"
        allowed = f"a user {manifest.owner} on the server, and DB_USER={manifest.owner}"
        raise StorageError("db.backup_owner", text, allowed=allowed)
    conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    tables = _value(
        conn,
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm') "
        "AND relnamespace = current_schema()::regnamespace AND NOT EXISTS (SELECT FROM pg_depend d "
        "WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')",
    )
    if tables:
        if "schema_version" in tables.split():
            recorded_version(conn)  # that it is newer is said first
        text = f"{cfg.db_name} holds {tables}"
        raise StorageError("db.not_empty", text, where=cfg.db_host, allowed="an empty database (DB_NAME)")
    timescaledb, _ = _versions(conn)
    if timescaledb != manifest.timescaledb:
        text = f"the backup is of TimescaleDB {manifest.timescaledb}, the database has {timescaledb}"
        allowed = f"TimescaleDB {manifest.timescaledb}, updated after the restore"
        raise StorageError("db.backup_timescaledb", text, allowed=allowed)


def _load(conn: Connection, tools: Tools, admin: Login, archive: zipfile.ZipFile) -> None:
    conn.execute("SELECT timescaledb_pre_restore()")
    try:
        with archive.open(DUMP) as source:
            tools.restore(admin, source)
    finally:
        conn.execute("SELECT timescaledb_post_restore()")


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except OSError as error:
        raise ServiceError("file.unreadable", error.strerror or str(error), where=str(file)) from error
    except zipfile.BadZipFile as error:
        raise _broken(file, "it is cut short, or no backup") from error
    with archive:
        yield archive


@contextmanager
def _as(cfg: Config, admin: Login) -> Iterator[Connection]:
    """A connection of the superuser's. StorageError `db.unreachable`, `db.refused`."""
    try:
        with psycopg.connect(**admin.settings(), autocommit=True, connect_timeout=5) as conn:
            yield conn
    except psycopg.Error as error:
        raise (unreachable(cfg, error) if is_passing(error) else refused(error)) from error


def _versions(conn: Connection) -> tuple[str, str]:
    """(TimescaleDB's version, the server's)."""
    timescaledb = _value(conn, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return str(timescaledb), str(_value(conn, "SHOW server_version"))


def _value(conn: Connection, query: str, *values: object) -> Any:
    row = conn.execute(query, values).fetchone()
    return None if row is None else row[0]


def _broken(file: Path, why: str) -> StorageError:
    return StorageError("db.backup_broken", f"{file} can't be restored: {why}", allowed="another backup")
