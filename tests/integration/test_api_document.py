"""The OpenAPI document against the running API: every route, by schemathesis, on real servers with a replay worker."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from confluent_kafka.admin import AdminClient
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from api.app import routers
from api.keys import hash_of, make_key
from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics
from sinks.schema import migrate
from tests.api_server import api_server
from tests.conftest import delete_topics
from tests.integration.replay_world import working
from tests.integration.sink_helpers import settings
from tests.integration.verify_run import SYMBOLS, Made, Run, frames, started_ns, told

PREFIX = "tapidocument"
SEED = "20260102"


@pytest.fixture(scope="module")
def api(kafka, timescale, redis_session, tmp_path_factory):
    """A run of 75 s in the topics, and a worker that replays it."""
    with timescale.database() as database:
        more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS), "REPLAY_SESSIONS": "50"}
        cfg = settings(kafka, database, redis_session, prefix=PREFIX, **more)
        apply_topics(cfg)
        key = make_key()
        with connect(cfg) as conn:
            migrate(conn)
            row = [hash_of(key), "checks", "checks", ["admin"]]
            conn.execute("INSERT INTO api_keys (hash, id, name, scopes) VALUES (%s, %s, %s, %s)", row)
        log = frames(started_ns())
        Run(cfg, log, Made(log, cfg).outputs, told(cfg))
        env = {
            **kafka.env,
            **database.env,
            **redis_session.env,
            **more,
            "TOPIC_PREFIX": PREFIX,
            "API_RATE": "100000",
        }
        env["API_HOST"] = "127.0.0.1"
        with working(cfg), api_server(env, tmp_path_factory.mktemp("api")) as api:
            api.headers["X-API-Key"] = key
            yield api
        delete_topics(kafka.bootstrap_servers, PREFIX)


@pytest.fixture(scope="module")
def document(api):
    return api.get("/openapi.json").json()


def test_the_other_document_is_that_of_this_systems_topics_and_names_each(api, kafka):
    """Whether it is right is tests/unit/test_asyncapi.py's; here: that it is served, and fits what is there."""
    answer = api.get("/asyncapi.json", headers={"X-API-Key": ""})
    assert answer.headers["content-type"] == "application/json"
    served = answer.json()
    assert served["asyncapi"].startswith("3.")
    patterns = [
        re.sub(r"\\{\w+\\}", r"[a-z0-9]+", re.escape(channel["address"]))
        for name, channel in served["channels"].items()
        if name != "websocket"
    ]
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    there = {name for name in client.list_topics(timeout=30).topics if name.startswith(f"{PREFIX}.")}
    assert len(there) > 15
    assert [name for name in there if not any(re.fullmatch(one, name) for one in patterns)] == []


def test_the_document_has_every_route_and_no_other(document):
    routes = {
        (method.lower(), route.path)
        for router in routers()
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert routes == {(method, path) for path, item in document["paths"].items() for method in item}
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)


def test_every_operation_and_parameter_says_what_it_is(document):
    assert document["openapi"] == "3.1.0"
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["description"], (method, path)
            assert operation["tags"][0] in {tag["name"] for tag in document["tags"]} | {"registry"}
            for parameter in operation.get("parameters", ()):
                if parameter["in"] != "header":
                    assert parameter.get("description"), (method, path, parameter["name"])


def test_examples_are_what_their_schemas_allow(document):
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        for example in schema.get("examples", ()):
            whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            Draft202012Validator(whole).validate(example)


WRONG = (
    "", " ", "nonsense", "\0", "é😀", "-1", "1.5", "1e9", "NaN", "null", "[]", "%", "9" * 40, "x" * 3_000,
)  # fmt: skip
TOGETHER = {"from": "to", "to": "from", "price_from": "price_to", "price_to": "price_from"}
"""Where a value is fine and the two of them are not."""


def of_a_route(document):
    """(method, path, parameters that have to be there, all parameters) of each of our own routes."""
    right = {"symbol": "BTCUSDT", "exchange": "binance", "session": "abc", "from": "0", "to": "1"}
    for path, item in document["paths"].items():
        for method, operation in item.items() if path.startswith("/v1/") else ():
            there = [one for one in operation.get("parameters", ()) if one["in"] in ("path", "query")]
            needed = {one["name"]: right[one["name"]] for one in there if one["required"]}
            yield method, path, needed, there


def asked(api, method, path, values, query):
    """The answer to these values, those of ``query`` in the query and the others in the path."""
    inside = {name: quote(value, safe="") for name, value in values.items() if f"{{{name}}}" in path}
    body = {"state": "paused"} if method == "patch" else None
    return api.request(method, path.format(**inside), params=query, json=body)


def test_each_parameter_that_is_wrong_is_named(api, document):
    refused = Counter()
    for method, path, needed, there in of_a_route(document):
        for one in there:
            name = one["name"]
            for wrong in WRONG:
                values = needed | {name: wrong}
                query = {each: value for each, value in values.items() if f"{{{each}}}" not in path}
                answer = asked(api, method, path, values, query)
                # What is not in Redis yet is no matter of the parameter.
                assert answer.status_code < 500 or answer.json()["code"] == "redis.not_built", answer.text
                if 400 <= answer.status_code < 500:
                    assert answer.headers["content-type"] == "application/problem+json"
                    places = {f"{one['in']}.{name}", f"{one['in']}.{TOGETHER.get(name, name)}"}
                    told = answer.json()
                    where = re.sub(r"\.\d+$", "", told["where"] or "")  # which one of a list
                    # An empty part of a path, or one with a slash, is another path.
                    assert where in places or told["code"] == "api.not_found", (path, name, wrong, told)
                    refused[path, name] += told["code"] != "api.not_found"
    assert len(refused) > 50
    assert min(refused.values()) >= 8, refused


def test_a_parameter_that_there_is_not_or_twice_is_named(api, document):
    for method, path, needed, there in of_a_route(document):
        query = {one["name"]: one["schema"] for one in there if one["in"] == "query"}
        names = [name for name, schema in query.items() if "array" not in str(schema)]
        unknown = [("nonsense", "1"), ("Limit", "1"), ("limit ", "1"), ("", "1")]
        for name, value in [*unknown, *((name, needed.get(name, "1")) for name in names)]:
            first = {each: value for each, value in needed.items() if each in query}
            answer = asked(api, method, path, needed, [*first.items(), (name, value), (name, value)])
            code = "api.repeated_parameter" if name in names else "api.unknown_parameter"
            told = answer.json()
            assert (answer.status_code, told["code"], told["where"]) == (422, code, f"query.{name}"), told


def test_schemathesis_finds_nothing_on_any_route(api, document, tmp_path):
    done = run_schemathesis(api, tmp_path, "examples,coverage,fuzzing", "--max-examples", "8")
    assert done.returncode == 0, done.stdout[-20_000:]
    # It leaves out the document's own path, which it has loaded.
    count = sum(len(item) for path, item in document["paths"].items() if path != "/openapi.json")
    assert re.search(rf"Selected: {count}/{count}\n\s+Tested: {count}\n", done.stdout), done.stdout[-2_000:]


@pytest.mark.timeout(1800)
@pytest.mark.long
def test_schemathesis_finds_nothing_in_many_more_tries(api, tmp_path):
    done = run_schemathesis(api, tmp_path, "examples,coverage,fuzzing,stateful", "--max-examples", "100")
    assert done.returncode == 0, done.stdout[-20_000:]


CONFIG = """
# What a schema can't say, such as from before to, is refused, too; and what is away is no bug.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "406", "409", "422", "503"]
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


def run_schemathesis(api, folder, phases, *more):
    (folder / "schemathesis.toml").write_text(CONFIG)
    program = Path(sys.executable).with_name("schemathesis")
    arguments = ["run", f"{api.url}/openapi.json", "--phases", phases, "--checks", "all", "--seed", SEED]
    arguments += ["-H", f"X-API-Key: {api.headers['X-API-Key']}", "--request-timeout", "40", *more]
    # A replay waits for its worker, on a machine that tests others, too: how long is no matter of the document.
    arguments += ["--max-response-time", "40"]
    arguments += ["--generation-database", "none", "--no-color", "--no-shrink", "--continue-on-failure"]
    # Wrong keys are another test's: each waits a moment for its look-up.
    arguments += ["--generation-with-security-parameters", "false"]
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)
