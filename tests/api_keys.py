"""API keys for tests, made by `coby keys` itself."""

import json
from contextlib import contextmanager

from click.testing import CliRunner

from api.keys_cli import keys as command
from COBY.runtime.database import connect
from sinks.schema import migrate
from tests.api_server import api_server
from tests.integration.sink_helpers import settings

WRONG = "coby_" + "x" * 43


def coby_keys(database, *arguments, fails=False):
    """`coby keys …`: what it writes to standard output; the whole result of one that has to fail."""
    result = CliRunner().invoke(command, arguments, env=database.env)
    assert (result.exit_code != 0) == fails, result.output
    return result.stdout.strip() if not fails else result


def revoke(database, name):
    """Revoke the key of that name."""
    (row,) = [row for row in json.loads(coby_keys(database, "list", "--json")) if row["name"] == name]
    coby_keys(database, "revoke", row["id"])


def bearer(key):
    """The header of a key."""
    return {"Authorization": f"Bearer {key}"}


@contextmanager
def alone(timescale, tmp_path, **env):
    """An API of its own database, without keys."""
    with timescale.database() as database:
        with connect(settings(database, prefix="unused")) as conn:
            migrate(conn)
        with api_server({**database.env, **env}, tmp_path, is_killed=True) as api:
            yield api, database
