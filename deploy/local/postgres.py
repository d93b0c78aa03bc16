"""A real PostgreSQL with TimescaleDB, from the Debian tree, listening on 127.0.0.1."""

import secrets
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local.errors import LocalError
from deploy.local.server import Server, base_env

BIN = "/usr/lib/postgresql/17/bin"
SUPERUSER = "postgres"


class Postgres(Server):
    """The database server. `user` owns `dbname` and may create databases, but is no superuser."""

    name = "postgres"
    setting = "DB_PORT"
    stop_signal = signal.SIGINT  # its "fast" stop; SIGTERM would wait for the clients

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        user: str,
        password: str,
        dbname: str,
        detached: bool = False,
        is_durable: bool = True,
    ) -> None:
        """``is_durable``: also where the machine itself stops; otherwise no disk is waited for."""
        super().__init__(folder, port, detached=detached)
        self._is_durable = is_durable
        self.user = user
        self.password = password
        self.dbname = dbname
        self._secret = self.data / "superuser_password"

    @property
    def dsn(self) -> str:
        """Connection string of the owner for `dbname`, as psycopg and libpq take it."""
        return self.dsn_of(self.dbname)

    def dsn_of(self, dbname: str) -> str:
        """The same for another database."""
        return psycopg.conninfo.make_conninfo(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=dbname
        )

    def prepare(self) -> None:
        """initdb, the first time."""
        if not self._secret.exists():
            self._secret.touch(mode=0o600)
            self._secret.write_text(secrets.token_urlsafe(24))
        self.give_to("postgres")
        if (self.data / "data" / "PG_VERSION").exists():
            return
        made = [f"{BIN}/initdb", "-D", "/mnt/data", "-U", SUPERUSER, "--pwfile=/mnt/superuser_password"]
        made += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(
            self.in_root("postgres", made, tied=False), capture_output=True, text=True, env=base_env()
        )
        if done.returncode:
            raise LocalError("server_exited", "postgres: initdb failed", detail=done.stdout + done.stderr)

    def command(self) -> list[str]:
        """The server. cluster_name puts our mark into process titles, which overwrite the environment."""
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": "/tmp",  # the private one of its namespace
            "cluster_name": self.mark,
            "shared_preload_libraries": "timescaledb",
            "timescaledb.telemetry_level": "off",
            "timescaledb.max_background_workers": 16,
            "max_worker_processes": 32,
            "max_connections": 200,
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "on" if self._is_durable else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self.in_root("postgres", [f"{BIN}/postgres", "-D", "/mnt/data", *options])

    def as_superuser(self, dbname: str = "postgres") -> psycopg.Connection:
        """A connection with all rights, in autocommit mode; close it."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=SUPERUSER,
            password=self._secret.read_text(),
            dbname=dbname,
            connect_timeout=3,
            autocommit=True,
        )

    def probe(self) -> None:
        """A query, as the superuser."""
        with self.as_superuser() as conn:
            conn.execute("SELECT 1")

    def set_up(self) -> None:
        """The owner with its password, and its database with the extension."""
        role = sql.Identifier(self.user)
        with self.as_superuser() as conn:
            if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [self.user]).fetchone():
                conn.execute(sql.SQL("CREATE ROLE {}").format(role))
            rights = sql.SQL("ALTER ROLE {} LOGIN CREATEDB PASSWORD {}")
            conn.execute(rights.format(role, sql.Literal(self.password)))
            there = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.dbname]).fetchone()
        if not there:
            self.create_database(self.dbname)

    def create_database(self, dbname: str) -> None:
        """An empty database of the owner's with the extension TimescaleDB in it."""
        with self.as_superuser() as conn:
            # template0: nobody can be connected to it, so creating never waits.
            create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
            conn.execute(create.format(sql.Identifier(dbname), sql.Identifier(self.user)))
        with self.as_superuser(dbname) as conn:
            conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")

    def drop_database(self, dbname: str) -> None:
        """Drop it, with whoever is connected."""
        with self.as_superuser() as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(dbname)))
