"""examples/javascript: Confluent's own deserializer for JavaScript, our registry, our topics: the values we sent.

Expected texts are made from the records' integers by Python's Decimal and datetime; the packages come from the npm
registry once and are kept in COBY_CACHE.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import threading
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import fastavro
import hypothesis
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from api.keys import hash_of, make_key
from COBY.codec import encode
from COBY.config import load_config
from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics, make_producer
from COBY.topics import TOPICS, topic_name
from deploy.local.fetch import cache_dir
from schemas import FORMER, IDS, former_text, schema_text
from sinks.schema import migrate
from tests.any_records import plain, values
from tests.api_server import api_server
from tests.integration.sink_helpers import settings

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/javascript"
EACH = 30
SECONDS = 120
TOPIC_OF = {name: row.name for row in TOPICS.values() if row.schema for name in (row.schema, *row.also)}

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="no Node.js: apt-get install nodejs npm")


@pytest.fixture(scope="module")
def installed():
    """The example with its packages at the locked versions."""
    lock = EXAMPLE / "package-lock.json"
    folder = cache_dir() / f"javascript-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        making = folder.with_name(f"{folder.name}.{os.getpid()}")
        making.mkdir(parents=True)
        for name in ("package.json", lock.name):
            shutil.copy(EXAMPLE / name, making)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=making, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        making.rename(folder)
    for script in EXAMPLE.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def some(name):
    """Records of a schema: bounds and oddities as hypothesis finds them, the same ones each time."""
    found = []

    @hypothesis.seed(IDS[name])
    @hypothesis.settings(max_examples=EACH, database=None, phases=[hypothesis.Phase.generate], deadline=None)
    @hypothesis.given(values(json.loads(schema_text(name)), {}))
    def draw(record):
        found.append(record)

    draw()
    return found


def sent(name):
    """(wire bytes, what is to be read) of records of a schema, former ones included."""
    for record in some(name):
        yield encode(record), exact(plain(record, json.loads(schema_text(name)), {}))
    for number, former in FORMER.items():
        if former == name:
            schema = json.loads(former_text(number))
            value = plain(some(name)[-1], schema, {})
            body = io.BytesIO()
            fastavro.schemaless_writer(body, schema, value)
            yield b"\0" + number.to_bytes(4, "big") + body.getvalue(), exact(value)


def exact(value):
    """Decimals and integers as text, times with their microseconds."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_a_stock_confluent_deserializer_reads_each_topic_as_we_sent_it(
    installed, kafka, database, topic_prefix, tmp_path
):
    env = {"TOPIC_PREFIX": topic_prefix, **kafka.env, **database.env}
    cfg = load_config(env)
    apply_topics(cfg)
    expected = {name: [] for name in IDS}
    failures = []
    producer = make_producer(cfg, failures.append)
    for name in IDS:
        topic = topic_name(topic_prefix, TOPIC_OF[name])
        for n, (wire, value) in enumerate(sent(name)):
            headers = [("source", name.encode()), ("position", b"%d:0" % n)]
            for _ in range(1 + (n == 3)):  # a writer that starts anew repeats itself
                producer.produce(topic, wire, b"key", headers)
            expected[name].append(value)
    wire, value = next(sent("heatmap"))
    replay = make_replay_topic(kafka, topic_prefix)
    for run, n in ((1, 0), (1, 1), (1, 1), (2, 0)):  # a replay, repeated by a successor, then sought back
        place = [("session", b"s1"), ("run", b"%d" % run), ("n", b"%d" % n), ("source", b"a replay")]
        producer.produce(replay, wire, b"key", [*place, ("position", b"7:0")])
    expected["a replay"] = [value] * 3
    assert (producer.flush(60), failures) == (0, [])
    key = make_key()
    with connect(settings(database, prefix="unused")) as conn:
        migrate(conn)
        row = ["js", "js", hash_of(key), ["read"]]
        conn.execute("INSERT INTO api_keys (id, name, hash, scopes) VALUES (%s, %s, %s, %s)", row)
    with api_server(env, tmp_path) as api:
        read = consumed(
            installed, env | {"COBY_API": api.url, "COBY_API_KEY": key}, sum(map(len, expected.values()))
        )
        asked = {line["path"] for line in api.log() if line["event"] == "request" and line["status"] == 200}
    assert {f"/schemas/ids/{number}" for number in (*IDS.values(), *FORMER)} <= asked
    for name in expected:
        assert [line["value"] for line in read if line["headers"]["source"] == name] == expected[name], name


def make_replay_topic(kafka, prefix):
    name = f"{prefix}.replay.s1.v1"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    (made,) = admin.create_topics([NewTopic(name, 1, 1)]).values()
    made.result(60)
    return name


def consumed(folder, environ, count):
    """So many lines of the example, over all topics with a schema; it is ended then."""
    prefix = environ["TOPIC_PREFIX"]
    topics = sorted({topic_name(prefix, name) for name in TOPIC_OF.values()} | {f"{prefix}.replay.s1.v1"})
    command = ["node", "consumer.mjs", *topics]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        lines = [process.stdout.readline() for _ in range(count)]
        timer.cancel()
        process.kill()
        said = process.stderr.read().decode()
    assert all(lines), said
    return [exact(json.loads(line)) for line in lines]
