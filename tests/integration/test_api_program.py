"""`python -m api` itself: what it listens on, how it starts and ends."""

import pytest

from COBY.runtime.database import connect
from sinks.schema import migrate
from tests.api_server import api_server
from tests.integration.sink_helpers import settings


@pytest.fixture
def env(database):
    with connect(settings(database, prefix="unused")) as conn:
        migrate(conn)
    return database.env


def test_without_a_key_it_listens_on_this_machine_alone_and_says_so(env, tmp_path):
    with api_server(env, tmp_path) as api:
        answer = api.get("/health/live")
        assert (answer.status_code, answer.json()) == (200, {"live": True})
        (line,) = [line for line in api.log() if line["event"] == "serving"]
        assert line["host"] == "127.0.0.1"
        assert [line["do"] for line in api.log() if line["event"] == "loopback_only"] == ["coby keys create"]
        missing = api.get("/v1/nothing")
        assert missing.status_code == 404
        assert missing.json()["code"] == "api.not_found"
    assert api.process.returncode == 0
