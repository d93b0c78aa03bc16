"""One id from the socket to the API: a lost connection is found in every program's log by what /v1/gaps says of it."""

import json
import urllib.request
from pathlib import Path

import pytest

from COBY.codec import decode
from COBY.runtime.database import connect
from deploy.local.demo_facts import ask
from deploy.local.ports import free_port
from deploy.local.programs import api
from sinks.schema import migrate
from tests.e2e.system import System, system, until
from tests.integration.sink_helpers import settings

NAMES = ("streams", "sink-timescale", "producer-binance", "clock")


def lines(running: System, name: str) -> list[dict]:
    """What a program has logged."""
    text = Path(running.programs.status()[name].log).read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def gaps(url: str) -> list[dict]:
    """The gaps of a lost connection, as a client sees them."""
    with urllib.request.urlopen(f"{url}/v1/gaps?symbol=BTCUSDT&exchange=binance", timeout=30) as answer:
        return [gap for gap in json.load(answer)["data"] if gap["reason"] == "disconnected"]


@pytest.mark.long
def test_a_connection_is_found_by_its_id_in_logs_records_tables_and_the_api(
    kafka, database, redis_server, topic_prefix, tmp_path
):
    env = {
        **kafka.env,
        **database.env,
        **redis_server.env,
        "TOPIC_PREFIX": topic_prefix,
        "SYMBOLS": "BTCUSDT",
    }
    with connect(settings(database, prefix=topic_prefix)) as conn:
        migrate(conn)
    port = free_port()
    with system(
        tmp_path, env, names=NAMES, options=("--rate", "50"), more=[api(port, free_port())]
    ) as running:
        until(lambda: any(decode(one.value).live for one in running.read("book")), 90, "a live book")
        ask(f"{running.simulator_url}/_sim/fault", post=True, body=b'{"kind": "disconnect"}')
        url = f"http://127.0.0.1:{port}"
        until(lambda: any(gap["until_time"] for gap in gaps(url)), 90, "the gap, closed")
        (name,) = {gap["conn"] for gap in gaps(url)}
        found = {
            program: [line["event"] for line in lines(running, program) if line.get("correlation_id") == name]
            for program in ("producer-binance", "streams")
        }
        raw = {dict(message.headers())["conn"].decode() for message in running.messages("raw", "binance")}
    assert found == {
        "producer-binance": ["connected", "connection_ended"],
        "streams": ["gap_begins", "gap_ends"],
    }
    assert name in raw
