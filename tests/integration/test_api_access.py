"""Who may ask what: keys, scopes, origins, hosts and limits of a running API. No data is needed to be refused."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from api.keys import hash_of
from COBY.runtime.database import connect
from sinks.schema import migrate
from tests.api_keys import WRONG, alone, bearer, coby_keys, revoke
from tests.api_server import api_server
from tests.integration.sink_helpers import settings
from tests.servers import eventually

PAGE = "https://charts.example"
OPEN = {"/health/live", "/health/ready", "/openapi.json", "/asyncapi.json"}


@pytest.fixture(scope="module")
def served(timescale, tmp_path_factory):
    """An API with keys: (api, database, {scope: key})."""
    with timescale.database() as database:
        with connect(settings(database, prefix="unused")) as conn:
            migrate(conn)
        made = {
            scope: coby_keys(database, "create", f"my {scope}", "--scope", scope)
            for scope in ("read", "replay")
        }
        env = {**database.env, "API_ORIGINS": PAGE, "API_RATE": "1000", "API_HOST": "127.0.0.1"}
        # Servers that are not there: what is refused must not need them.
        env |= {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_PORT": "1"}
        with api_server(env, tmp_path_factory.mktemp("api"), is_killed=True) as api:
            yield api, database, made


def requests(api):
    """(method, path, needs a key) of each operation of the document."""
    for path, item in api.get("/openapi.json").json()["paths"].items():
        for method, operation in item.items():
            yield method.upper(), re.sub(r"{\w+}", "1", path), "security" in operation


def test_every_route_is_refused_without_a_key_with_a_wrong_one_and_from_a_foreign_page(served):
    api, _, made = served
    asked = list(requests(api))
    assert {path for _, path, keyed in asked if not keyed} <= OPEN
    assert len([1 for _, _, keyed in asked if keyed]) > 25

    def refused(operation):
        method, path, keyed = operation
        if keyed:
            for headers in (
                {},
                bearer(WRONG),
                {"X-API-Key": WRONG},
                {"Authorization": "Bearer"},
                {"Authorization": "nonsense"},
            ):
                assert api.request(method, path, headers=headers).status_code == 401, (method, path, headers)
        for origin in ("https://evil.example", "null", f"http://127.0.0.1:{api.port}.evil.example"):
            foreign = api.request(method, path, headers={**bearer(made["read"]), "Origin": origin})
            assert (foreign.status_code, foreign.json()["code"]) == (403, "api.origin"), (method, path)
            assert "access-control-allow-origin" not in foreign.headers

    with ThreadPoolExecutor(8) as threads:  # a wrong key waits for a look at the database, the same for all
        list(threads.map(refused, asked))


def test_a_key_is_for_its_scopes_alone(served):
    api, _, made = served
    for method, path, keyed in requests(api):
        if keyed:
            wrong = made["read" if path.startswith("/v1/replay") else "replay"]
            assert api.request(method, path, headers=bearer(wrong)).status_code == 403, (method, path)
    assert api.get("/metrics", headers=bearer(made["read"])).status_code == 200
    assert api.get("/metrics", headers={"X-API-Key": made["read"]}).status_code == 200


def test_health_is_open_and_says_what_is_not_there(served):
    api, _, _ = served
    for headers in ({}, bearer(WRONG)):
        assert api.get("/health/live", headers=headers).json() == {"live": True}
        answer = api.get("/health/ready", headers=headers)
        found = {check["name"]: check["ok"] for check in answer.json()["checks"]}
        assert answer.status_code == 503
        assert (found["database"], found["redis"], found["kafka"]) == (True, False, False)
        assert any(name.startswith("heatmap ") for name in found)


def test_a_page_of_ours_may_ask_and_its_browser_is_told_so(served):
    api, _, made = served
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    before = api.options("/v1/symbols", headers=headers)
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (204, PAGE)
    assert "Authorization" in before.headers["access-control-allow-headers"]
    assert (
        api.options("/v1/symbols", headers={**headers, "Origin": "https://evil.example"}).status_code == 403
    )
    for origin in (PAGE, api.url):
        answer = api.get("/v1/symbols", headers={**bearer(made["read"]), "Origin": origin})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
        assert "Origin" in answer.headers["vary"]


def test_a_key_is_shown_once_and_is_nowhere_but_with_who_has_it(served):
    _, database, made = served
    key = made["read"]
    with psycopg.connect(database.dsn) as conn:
        rows = conn.execute("SELECT * FROM api_keys").fetchall()
    assert key not in str(rows)
    assert hash_of(key) in str(rows)
    assert key not in coby_keys(database, "list")
    listed = json.loads(coby_keys(database, "list", "--json"))
    assert [(row["name"], row["scopes"], row["state"]) for row in listed[:2]] == [
        ("my read", ["read"], "in force"),
        ("my replay", ["replay"], "in force"),
    ]


def test_no_key_comes_into_the_log_wherever_it_is_put(served):
    api, _, made = served
    key = made["read"]
    mark = "0123456789abcdef-leak"
    for path in (
        f"/v1/symbols?api_key={key}",
        f"/v1/{key}",
        f"/v1/book/{key}/{key}",
        f"/v1/trades?symbol={key}",
    ):
        api.get(path, headers={**bearer(key), "X-Correlation-Id": mark})
    api.get("/v1/symbols", headers={"X-API-Key": key, "X-Correlation-Id": key, "Origin": f"https://{key}"})
    api.post("/v1/replay/sessions", json={"channels": [key]}, headers=bearer(made["replay"]))
    lines = eventually(lambda: [one for one in api.log() if one.get("correlation_id") == mark] or None)
    assert {line["event"] for line in lines} >= {"request"}
    said = api.log_path.read_text() + api.log_path.with_suffix(".err").read_text()
    for secret in made.values():
        assert secret not in said


def test_a_key_ends_when_it_is_revoked_or_its_time_is_over_and_begins_at_once(served):
    api, database, _ = served
    short = coby_keys(database, "create", "short", "--expires", "2s")
    assert api.get("/v1/symbols", headers=bearer(short)).status_code == 200
    key = coby_keys(database, "create", "going")
    assert api.get("/v1/symbols", headers=bearer(key)).status_code == 200
    revoke(database, "going")
    for one in (key, short):
        eventually(lambda one=one: api.get("/v1/symbols", headers=bearer(one)).status_code == 401 or None, 10)
    states = {row["name"]: row["state"] for row in json.loads(coby_keys(database, "list", "--json"))}
    assert (states["going"], states["short"]) == ("revoked", "expired")
    unknown = coby_keys(database, "revoke", "nonsense", fails=True)
    assert unknown.exception.code == "api.unknown_key"


def test_an_id_goes_from_the_request_to_answer_problem_and_log(served):
    api, _, _ = served
    answer = api.get("/v1/symbols", headers={"X-Correlation-Id": "order-7"})
    assert answer.headers["X-Correlation-Id"] == answer.json()["correlation_id"] == "order-7"
    eventually(lambda: [line for line in api.log() if line.get("correlation_id") == "order-7"] or None)
    for bad in ("a b", "x" * 200, "<script>"):
        made = api.get("/health/live", headers={"X-Correlation-Id": bad}).headers["X-Correlation-Id"]
        assert re.fullmatch(r"[0-9a-f]{32}", made)


def test_a_body_has_an_end(served):
    api, _, made = served
    headers = bearer(made["replay"])
    large = api.post("/v1/replay/sessions", content=b" " * 70_000, headers=headers)
    assert (large.status_code, large.json()["code"]) == (413, "api.body_too_large")

    def endless():
        for _ in range(100):
            yield b" " * 1_000

    streamed = api.post("/v1/replay/sessions", content=endless(), headers=headers)
    assert streamed.status_code == 413


def test_what_is_no_json_or_no_object_is_told_with_its_place(served):
    api, _, made = served
    for body in (b"", b"{", b"[]", b"1", b'"\\ud800"', b'{"from": "\\ud800"}', b"\xff", b"1" * 5_000, b"NaN"):
        headers = {**bearer(made["replay"]), "Content-Type": "application/json"}
        answer = api.post("/v1/replay/sessions", content=body, headers=headers)
        assert 400 <= answer.status_code < 500, (body, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"].startswith(("api.", "replay.")), answer.text


def test_an_open_api_serves_everyone_who_reads_and_replays_for_keys_alone(timescale, tmp_path):
    with alone(timescale, tmp_path, API_OPEN="true", API_HOST="127.0.0.1") as (api, database):
        assert api.get("/v1/symbols").status_code == 200
        assert api.get("/v1/symbols", headers=bearer(WRONG)).status_code == 401
        assert api.get("/v1/replay/sessions").status_code == 401
        key = coby_keys(database, "create", "reader")
        assert api.get("/v1/replay/sessions", headers=bearer(key)).status_code == 403


def test_where_no_key_is_wanted_a_name_that_was_made_to_lead_here_is_refused(timescale, tmp_path):
    with alone(timescale, tmp_path, API_ORIGINS="http://coby.example:8080") as (api, _):
        for host, status in (
            ("rebound.example", 403),
            (f"rebound.example:{api.port}", 403),
            (f"localhost:{api.port}", 200),
            ("coby.example:8080", 200),
            ("[::1]:8080", 200),
            ("[::1", 403),
        ):
            assert api.get("/v1/symbols", headers={"Host": host}).status_code == status, host
        page = {"Host": "rebound.example", "Origin": "http://rebound.example"}
        assert api.get("/v1/symbols", headers=page).json()["code"] == "api.host"


def test_who_asks_too_much_is_told_when_to_come_again_and_nobody_else_is(timescale, tmp_path):
    with alone(timescale, tmp_path, API_OPEN="true", API_HOST="127.0.0.1", API_RATE="2") as (api, database):
        key = coby_keys(database, "create", "patient")
        answers = [api.get("/v1/symbols") for _ in range(12)]
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = answers[-1]
        assert refused.json()["code"] == "api.rate"
        assert api.get("/v1/symbols", headers=bearer(key)).status_code == 200
        assert api.get("/health/live").status_code == 200
        time.sleep(int(refused.headers["Retry-After"]))
        assert api.get("/v1/symbols").status_code == 200


def test_keys_that_are_known_go_on_while_the_database_is_away(timescale, tmp_path):
    if timescale.server is None:
        pytest.skip("the server is in a container: it can't be stopped from here")
    with timescale.database() as database:
        with connect(settings(database, prefix="unused")) as conn:
            migrate(conn)
        key = coby_keys(database, "create", "steady")
        with api_server({**database.env, "API_HOST": "127.0.0.1"}, tmp_path, is_killed=True) as api:
            assert api.get("/v1/symbols", headers=bearer(key)).status_code == 200
            timescale.server.stop()
            try:
                assert api.get("/v1/trades?symbol=BTCUSDT", headers=bearer(key)).status_code == 503
                # One that is not known is looked for in the database, in vain; those that are known go on after that.
                assert api.get("/v1/symbols", headers=bearer(WRONG)).status_code == 401
                assert "keys_not_read" in {line["event"] for line in api.log()}
                assert api.get("/v1/symbols", headers=bearer(key)).status_code == 200
            finally:
                timescale.server.start()
            read = api.get("/v1/trades?symbol=BTCUSDT", headers=bearer(key))
            eventually(
                lambda: api.get("/v1/trades?symbol=BTCUSDT", headers=bearer(key)).status_code == 200 or None
            )
            assert read.status_code in (200, 503)
