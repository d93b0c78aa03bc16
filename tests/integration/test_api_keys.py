"""What becomes of keys while `python -m api` runs: two at once, their use, and the first one of all."""

import asyncio
import json
import time

import psycopg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.api_keys import WRONG, alone, bearer, coby_keys, revoke
from tests.servers import eventually
from tests.ws_client import client

NO_SERVERS = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_PORT": "1"}
CLOSED_SECONDS = 5
"""docs/api.md: how long a revoked key, and an API without keys, go on at most."""
SLACK_SECONDS = 10
"""For a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def keyed(timescale, tmp_path_factory):
    """(api, database, a key that may read)."""
    folder = tmp_path_factory.mktemp("api")
    with alone(timescale, folder, **NO_SERVERS, API_OPEN="true", API_HOST="127.0.0.1") as (api, database):
        yield api, database, coby_keys(database, "create", "mine", "--scope", "read")


async def test_two_keys_in_one_request_are_refused_even_if_they_are_equal(keyed):
    api, database, key = keyed
    other = coby_keys(database, "create", "other", "--scope", "admin")
    for twice in (
        [("Authorization", f"Bearer {key}"), ("X-API-Key", other)],
        [("Authorization", f"Bearer {key}"), ("X-API-Key", key)],
        [("X-API-Key", key), ("X-API-Key", other)],
        [("Authorization", f"Bearer {other}"), ("Authorization", f"Bearer {key}")],
        [("Authorization", "Basic Og=="), ("X-API-Key", key)],
        [("Authorization", ""), ("X-API-Key", key)],
    ):
        for path in ("/v1/symbols", "/subjects", "/metrics"):
            answer = await asyncio.to_thread(api.get, path, headers=twice)
            assert answer.status_code == 400, (path, twice, answer.text)
            assert "more than one key" in answer.text
            assert key not in answer.text
        assert (await asyncio.to_thread(api.get, "/health/live", headers=twice)).status_code == 200
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{api.ws_url}/v1/ws", proxy=None, additional_headers=twice)
        assert refused.value.response.status_code == 400
        assert json.loads(refused.value.response.body)["code"] == "api.two_keys"
    assert (await asyncio.to_thread(api.get, "/v1/symbols", headers=bearer(key))).status_code == 200


def test_the_use_of_a_key_is_noted_within_seconds_and_of_no_other(keyed):
    api, database, _ = keyed
    used, idle = (coby_keys(database, "create", name) for name in ("used", "idle"))
    assert used != idle
    with psycopg.connect(database.dsn) as conn:
        ((before,),) = conn.execute("SELECT now()").fetchall()
    assert api.get("/v1/symbols", headers=bearer(used)).status_code == 200
    assert api.get("/v1/symbols", headers=bearer(idle + "x")).status_code == 401

    def noted():
        with psycopg.connect(database.dsn) as conn:
            return dict(conn.execute("SELECT name, last_used_at FROM api_keys").fetchall())

    assert eventually(lambda: noted()["used"], CLOSED_SECONDS + SLACK_SECONDS) >= before
    assert noted()["idle"] is None
    listed = {row["name"]: row["last_used_at"] for row in json.loads(coby_keys(database, "list", "--json"))}
    assert listed["idle"] is None
    assert listed["used"].endswith("Z")


async def test_the_first_key_closes_an_api_that_was_open_without_any(timescale, tmp_path):
    with alone(timescale, tmp_path, **NO_SERVERS) as (api, database):

        async def status(path="/v1/symbols", **more):
            return (await asyncio.to_thread(api.get, path, **more)).status_code

        async with client(api.ws_url) as listener:
            assert await status() == 200
            key = await asyncio.to_thread(coby_keys, database, "create", "first")
            made = time.monotonic()
            while await status() == 200:  # nobody sends the key: nothing but time closes it
                assert time.monotonic() < made + CLOSED_SECONDS + SLACK_SECONDS
                await asyncio.sleep(0.1)
            told = await listener.until(lambda message: message["type"] == "error")
            assert told["code"] == "api.key_missing"
            await asyncio.wait_for(listener.socket.wait_closed(), SLACK_SECONDS)
            assert listener.socket.close_code == 1008
        assert await status() == 401
        assert await status("/v1/replay/sessions") == 401
        assert await status(headers=bearer(key)) == 200
        assert await status(headers={**bearer(key), "Host": "coby.example"}) == 200
        assert [line for line in api.log() if line["event"] == "closed"]
        await asyncio.to_thread(revoke, database, "first")
        assert await status(headers=bearer(WRONG)) == 401  # has the keys read anew
        assert await status(headers=bearer(key)) == 401, "it is known that there is none in force"
        assert await status() == 401, "a revoked key is one that there was"
