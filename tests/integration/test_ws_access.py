"""Who may speak on the WebSocket: keys by header and by `auth`, scopes, revocation; and no key in any log.

Neither Kafka nor Redis is there: what is refused must not need them.
"""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from COBY.runtime.database import connect as connect_database
from sinks.schema import migrate
from tests.api_keys import WRONG, bearer, coby_keys, revoke
from tests.api_server import api_server
from tests.integration.sink_helpers import settings
from tests.integration.ws_world import logged_errors
from tests.ws_client import client

SCOPES = ("read", "replay", "admin")
TOKEN = "of-another-system-entirely"


@pytest.fixture(scope="module")
def served(timescale, tmp_path_factory):
    """An API that logs all it can: (api, database, {scope: key})."""
    with timescale.database() as database:
        with connect_database(settings(database, prefix="unused")) as conn:
            migrate(conn)
        made = {scope: coby_keys(database, "create", f"my {scope}", "--scope", scope) for scope in SCOPES}
        both = coby_keys(database, "create", "my both", "--scope", "read", "--scope", "replay")
        env = {**database.env, "API_HOST": "127.0.0.1", "API_RATE": "1000", "LOG_LEVEL": "DEBUG"}
        env |= {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_PORT": "1"}
        with api_server(env, tmp_path_factory.mktemp("api"), is_killed=True) as api:
            yield api, database, made | {"both": both}
            assert logged_errors(api) == []


async def closed(one):
    """(the last error that came, the code of the close)."""
    with pytest.raises(ConnectionClosed):
        await one.until(lambda message: False)
    errors = [message for message in one.messages if message["type"] == "error"]
    return errors[-1], one.socket.close_code


async def refused(api, address="/v1/ws", **headers):
    """(status, code) of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as found:
        await connect(f"{api.ws_url}{address}", proxy=None, additional_headers=headers)
    return found.value.response.status_code, json.loads(found.value.response.body)["code"]


async def test_a_browser_sends_its_key_as_the_first_message(served):
    api, _, made = served
    async with client(api.ws_url) as one:
        assert one.messages[0]["must_authenticate"] is True
        for op in ({"op": "ping"}, {"op": "list"}, {"op": "replay", "session": "x"}):
            asked = await one.send(**op)
            error = await one.until(lambda message, asked=asked: message.get("id") == asked)
            assert (error["type"], error["code"]) == ("error", "api.key_missing")
        answer = await one.answer("authenticated", op="auth", key=made["both"])
        assert answer["scopes"] == ["read", "replay"]
        await one.answer("pong", op="ping")
        asked = await one.send(op="auth", key=made["both"])
        assert (await one.until(lambda message: message.get("id") == asked))["code"] == "ws.authenticated"
        await one.answer("pong", op="ping")


@pytest.mark.parametrize(("key", "code"), [("wrong", "api.key_wrong"), ("replay", "api.scope")])
async def test_a_key_that_does_not_count_ends_the_connection(served, key, code):
    api, _, made = served
    async with client(api.ws_url) as one:
        asked = await one.send(op="auth", key=made.get(key, WRONG))
        error, closing = await closed(one)
        assert (error["code"], error["id"], closing) == (code, asked, 1008)


async def test_who_sends_no_key_is_not_waited_for(served):
    api, _, _ = served
    async with client(api.ws_url) as one:
        error, closing = await closed(one)
        assert (error["code"], closing) == ("api.key_missing", 1008)
        beats = [message for message in one.messages if message["type"] == "heartbeat"]
        assert len(beats) >= 3, "it had five seconds"


async def test_a_scope_is_asked_for_what_needs_it(served):
    api, _, made = served
    assert await refused(api, **bearer(made["replay"])) == (403, "api.scope")
    assert await refused(api, **{"X-API-Key": made["replay"]}) == (403, "api.scope")
    async with client(api.ws_url, additional_headers={"X-API-Key": made["read"]}) as one:
        assert one.messages[0]["must_authenticate"] is False
        asked = await one.send(op="replay", session="whatever")
        error = await one.until(lambda message: message.get("id") == asked)
        assert (error["type"], error["code"]) == ("error", "api.scope")
        await one.answer("pong", op="ping")
    for key in (made["both"], made["admin"]):  # these may, and Kafka is not there
        async with client(api.ws_url, additional_headers=bearer(key)) as one:
            asked = await one.send(op="replay", session="whatever")
            error = await one.until(lambda message, asked=asked: message.get("id") == asked)
            assert error["code"].startswith("kafka.")


async def test_a_key_that_ends_ends_its_connections_and_no_others(served):
    """Revoked ones, of a connection by header and of one by `auth`, and one whose time is over."""
    api, database, made = served
    going = [coby_keys(database, "create", f"going {way}") for way in ("by header", "by auth")]
    short = coby_keys(database, "create", "short", "--expires", "5s")
    async with (
        client(api.ws_url, additional_headers=bearer(short)) as expiring,
        client(api.ws_url, additional_headers=bearer(going[0])) as one,
        client(api.ws_url) as two,
        client(api.ws_url, additional_headers=bearer(made["read"])) as other,
    ):
        await two.answer("authenticated", op="auth", key=going[1])
        await one.subscribe("trade:BTCUSDT")
        for way in ("by header", "by auth"):
            await asyncio.to_thread(revoke, database, f"going {way}")
        for each in (one, two, expiring):
            error, closing = await closed(each)
            assert (error["code"], closing) == ("api.key_wrong", 1008)
        await other.answer("pong", op="ping")
    for key in (*going, short):
        assert await refused(api, **bearer(key)) == (401, "api.key_wrong")


async def test_parameters_in_the_address_are_refused(served):
    api, _, made = served
    for query in ("numbers=float", f"token={TOKEN}", f"api_key={made['read']}"):
        assert await refused(api, f"/v1/ws?{query}", **bearer(made["read"])) == (422, "ws.query")


async def test_no_key_comes_into_the_log_wherever_it_is_put(served):
    api, _, made = served
    key = made["read"]
    await refused(api, f"/v1/ws?key={key}&token={TOKEN}", **bearer(key))
    await refused(api, f"/v1/ws?token={TOKEN}", Authorization=f"Bearer {WRONG}")
    async with client(api.ws_url) as one:
        for sent in (
            f'{{"op": "auth", "key": "{key}", "token": "{TOKEN}"}}',
            f'{{"op": "{key}"}}',
            f'{{"op": "ping", "id": "{key}"',
        ):
            await one.socket.send(sent)
            error = await one.until(lambda message: message["type"] == "error")
            assert key not in error["message"]
        await one.answer("authenticated", op="auth", key=key)
        await one.socket.send(f'{{"op": "subscribe", "channels": [{{"name": "{key}"}}]}}')
        await one.until(lambda message: message["type"] == "error")
    async with client(api.ws_url) as one:
        await one.send(op="auth", key=WRONG)
        await closed(one)
    said = api.log_path.read_text() + api.log_path.with_suffix(".err").read_text()
    for secret in (*made.values(), WRONG, TOKEN):
        assert secret not in said
    assert "/v1/ws" in said
