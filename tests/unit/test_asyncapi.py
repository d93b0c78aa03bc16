"""The AsyncAPI document: every topic, every message, each example as its schema says, no link to nothing."""

import json
import re
from dataclasses import replace

import fastavro
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from api.asyncapi import document
from api.record_schemas import record_schema
from api.ws import messages, protocol
from api.ws.channels import CHANNELS
from COBY.config import load_config
from COBY.records import NAMES
from COBY.topics import REPLAY, TOPICS, topic_config
from COBY.values import value_of
from tests.integration.sink_helpers import candle, gap, trade

CONFIG = load_config({})
MADE = json.loads(json.dumps(document(CONFIG)))
REGISTRY = Registry().with_resource("urn:doc", DRAFT202012.create_resource(MADE))
MESSAGES = MADE["components"]["messages"]


def checked(value, schema):
    """Assert that a value fits a schema of the document."""
    text = json.dumps(schema).replace('"#/', '"urn:doc#/')
    Draft202012Validator(json.loads(text), registry=REGISTRY).validate(value)


def resolved(ref):
    found = MADE
    for part in ref.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/")]
    return found


def refs(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from refs(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from refs(inner)


def test_every_topic_is_there_as_the_table_has_it():
    channels = {name: one for name, one in MADE["channels"].items() if name != "websocket"}
    assert set(channels) == {*TOPICS, "replay"}
    for name, row in (TOPICS | {"replay": REPLAY}).items():
        binding = channels[name]["bindings"]["kafka"]
        assert binding["partitions"] == row.partitions
        assert binding["topicConfiguration"]["retention.ms"] == int(topic_config(row)["retention.ms"])
        assert channels[name]["messages"]
    assert channels["heatmap"]["address"] == "coby.heatmap.v1"
    assert channels["raw"]["address"] == "coby.raw.{exchange}.v1"
    assert channels["replay"]["address"] == "coby.replay.{session}.v1"


def test_every_message_of_the_websocket_is_there_and_no_other():
    """Found in the modules themselves, so that one that is missing in their lists is found too."""
    kinds = {
        one.__struct_config__.tag
        for module in (protocol, messages)
        for one in vars(module).values()
        if isinstance(one, type) and getattr(getattr(one, "__struct_config__", None), "tag", None)
    } - {"Operation", "Message", "OfSubscription"}  # their bases
    named = {name.removeprefix("ws_") for name in MADE["channels"]["websocket"]["messages"]}
    assert named == kinds


def test_every_record_has_its_schema_on_its_topic():
    for name in NAMES.values():
        payload = MESSAGES[f"kafka_{name}"]["payload"]
        fastavro.parse_schema(payload["schema"])
        assert payload["schema"]["name"]
    assert {f"{name}_record" for name in CHANNELS} <= set(MADE["components"]["schemas"])


def test_nothing_leads_nowhere():
    found = set(refs(MADE))
    assert len(found) > 60
    for ref in found:
        assert resolved(ref)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_each_example_validates(name):
    message = MESSAGES[name]
    for one in message.get("examples", ()):
        assert one.keys() <= {"payload", "headers"}
        if "payload" in one:
            checked(one["payload"], message["payload"])
        if "headers" in one:
            checked(one["headers"], message["headers"])


def test_every_message_of_the_websocket_has_an_example():
    assert [name for name in MESSAGES if name.startswith("ws_") and not MESSAGES[name].get("examples")] == []


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        ("ws_subscribe", {"op": "subscribe", "channels": []}),
        ("ws_subscribe", {"op": "subscribe", "channels": [{"symbols": ["BTCUSDT"]}]}),
        ("ws_ping", {"op": "pong"}),
        ("ws_update", {"type": "update"}),
        ("ws_gap", {**MESSAGES["ws_gap"]["examples"][0]["payload"], "data": {"reason": "x"}}),
        ("ws_update", {**MESSAGES["ws_update"]["examples"][0]["payload"], "seq": "3"}),
    ],
)  # fmt: skip
def test_what_is_wrong_does_not_validate(schema, wrong):
    with pytest.raises(Exception, match=r"."):
        checked(wrong, MESSAGES[schema]["payload"])


@pytest.mark.parametrize(
    "record", [trade(1), gap(), gap(until_time=5, conn=None), candle()], ids=lambda r: type(r).__name__
)
def test_records_as_they_are_sent_fit_their_schema(record):
    value = value_of(record, "raw.binance.v1/0", (1, 0), "coby.x.v1", None, None)
    Draft202012Validator(record_schema(NAMES[type(record)])).validate(json.loads(json.dumps(value)))
    with pytest.raises(Exception, match=r"."):
        Draft202012Validator(record_schema(NAMES[type(record)])).validate(value | {"symbol": 3})


def test_prefix_exchanges_and_symbols_are_those_of_the_system():
    other = document(replace(CONFIG, topic_prefix="other", exchanges=("kraken",), symbols=("ETHUSDT",)))
    assert other["channels"]["trade"]["address"] == "other.trade.v1"
    assert other["channels"]["raw"]["parameters"]["exchange"]["enum"] == ["kraken"]
    assert not re.search(r'"coby\.\w+\.v1"|BTCUSDT', json.dumps(other["channels"]))
