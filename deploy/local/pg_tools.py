"""pg_dump and pg_restore of the local stack's own PostgreSQL, for `coby db backup` and `coby db restore`."""

import shlex

from deploy.local import fetch
from deploy.local.postgres import BIN, SUPERUSER, Postgres

TOOLS = ("pg_dump", "pg_restore")


def tools_env(server: Postgres) -> dict[str, str]:
    """Settings by which the two commands find the server's own tools, and the superuser a restore needs.

    The tools are scripts in `<folder>/bin`. Raises missing_server where the Debian tree has not been fetched.
    """
    folder = server.folder / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    root = fetch.require(fetch.root_dir(), server.name) / "root"
    for tool in TOOLS:
        # A chroot without mounts is enough: they talk to the server and to their pipes alone.
        script = folder / tool
        script.write_text(f'#!/bin/sh\nexec chroot {shlex.quote(str(root))} {BIN}/{tool} "$@"\n')
        script.chmod(0o755)
    return {
        "DB_TOOLS": str(folder),
        "DB_ADMIN_USER": SUPERUSER,
        "DB_ADMIN_PASSWORD_FILE": str(server.data / "superuser_password"),
    }
