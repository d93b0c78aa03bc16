"""The registry's read side over HTTP as Confluent documents it: paths, bodies, media type, error form, log-in."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

import schemas
from api.keys import hash_of, make_key
from COBY.runtime.database import connect
from sinks.schema import migrate
from tests.api_server import api_server
from tests.integration.sink_helpers import settings

FILES = Path(schemas.__file__).parent
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
TRADE, QUALITY = "coby.trade.v1-value", "coby.quality.v1-value"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """Schemas need no server but this one."""
    with api_server({"API_OPEN": "true", "DB_PORT": "1"}, tmp_path_factory.mktemp("registry")) as api:
        yield api


def text(name):
    return (FILES / name).read_text()


def test_a_schema_is_had_by_the_id_on_the_wire(api):
    answer = api.get("/schemas/ids/1", params={"subject": TRADE, "fetchMaxId": "false"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
    assert answer.json() == {"schema": text("trade.avsc")}
    assert api.get("/schemas/ids/4").json() == {"schema": text("former/quality.4.avsc")}
    assert api.get("/schemas/ids/4/versions").json() == [{"subject": QUALITY, "version": 1}]


def test_subjects_and_their_versions(api):
    subjects = api.get("/subjects").json()
    assert TRADE in subjects
    assert len(subjects) == 13
    assert api.get(f"/subjects/{QUALITY}/versions").json() == [1, 2]
    first = {"subject": QUALITY, "version": 1, "id": 4, "schema": text("former/quality.4.avsc")}
    assert api.get(f"/subjects/{QUALITY}/versions/1").json() == first
    assert api.get(f"/subjects/{QUALITY}/versions/latest").json()["id"] == 11
    assert api.get(f"/subjects/{QUALITY}/versions/2/schema").json() == json.loads(text("quality.avsc"))


def test_what_schemas_there_are_and_how_they_may_change(api):
    assert api.get("/schemas/types").json() == ["AVRO"]
    assert api.get("/config").json() == {"compatibilityLevel": "FULL_TRANSITIVE"}
    assert api.get("/mode").json() == {"mode": "READONLY"}


def test_a_schema_is_looked_up_as_serializers_do(api):
    headers = {"Content-Type": MEDIA_TYPE}
    body = json.dumps({"schema": json.dumps(json.loads(text("trade.avsc"))), "schemaType": "AVRO"})
    found = api.post(f"/subjects/{TRADE}", content=body, headers=headers).json()
    assert (found["id"], found["version"], found["subject"]) == (1, 1, TRADE)


@pytest.mark.parametrize(
    ("path", "status", "code", "named"),
    [
        ("/schemas/ids/99", 404, 40403, "99"),
        ("/schemas/ids/one", 422, 422, "path.id"),
        ("/schemas/ids/-1", 422, 422, "path.id"),
        (f"/schemas/ids/{2**31}", 422, 422, "path.id"),
        ("/schemas/ids/99/versions", 404, 40403, "99"),
        ("/subjects/nothing/versions", 404, 40401, "nothing"),
        ("/subjects/nothing/versions/1", 404, 40401, "nothing"),
        (f"/subjects/{TRADE}/versions/2", 404, 40402, "2"),
        (f"/subjects/{TRADE}/versions/0", 422, 42202, "version"),
        (f"/subjects/{TRADE}/versions/x/schema", 422, 42202, "version"),
    ],
)
def test_errors_are_the_registrys_own(api, path, status, code, named):
    answer = api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert set(answer.json()) == {"error_code", "message"}
    assert answer.json()["error_code"] == code
    assert named in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"schema": "no schema"}', 422, 42201),
        ('{"schema": "\\"string\\""}', 404, 40403),
        ('{"schema": 7}', 422, 422),
        ("{}", 422, 422),
        ("no json", 422, 422),
    ],
)
def test_a_wrong_look_up_is_told_in_the_registrys_form(api, body, status, code):
    answer = api.post(f"/subjects/{TRADE}", content=body, headers={"Content-Type": MEDIA_TYPE})
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_nothing_can_be_registered_or_deleted(api):
    assert api.post(f"/subjects/{TRADE}/versions", json={"schema": '"string"'}).status_code == 405
    assert api.delete(f"/subjects/{TRADE}").status_code == 405


def test_a_key_is_sent_as_registry_clients_can(database, tmp_path):
    read, replay = make_key(), make_key()
    with connect(settings(database, prefix="unused")) as conn:
        migrate(conn)
        for key, scope in ((read, "read"), (replay, "replay")):
            row = [hash_of(key), scope, scope, [scope]]
            conn.execute("INSERT INTO api_keys (hash, id, name, scopes) VALUES (%s, %s, %s, %s)", row)
    with api_server(database.env, tmp_path) as api:
        for headers in ({}, basic("u", "wrong"), basic("u", ""), {"Authorization": "Basic ?"}):
            answer = api.get("/schemas/ids/1", headers=headers)
            assert (answer.status_code, answer.json()["error_code"]) == (401, 401)
            assert "Basic" in answer.headers["WWW-Authenticate"]
        refused = api.get("/subjects", headers=basic("u", replay))
        assert (refused.status_code, refused.json()["error_code"]) == (403, 403)
        for headers in (basic("anything", read), {"X-API-Key": read}, {"Authorization": f"Bearer {read}"}):
            assert api.get("/schemas/ids/1", headers=headers).status_code == 200
        assert read not in api.log_path.read_text()


def basic(user, password):
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}
