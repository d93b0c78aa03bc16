"""The AsyncAPI 3 document, made from the code: the WebSocket's messages (structs) and every topic (table, Avro).

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from api.asyncapi_examples import client_examples, known_values, server_examples
from api.record_schemas import avro_schema, record_schema
from api.ws.channels import CHANNELS, GAP
from api.ws.messages import SERVER_MESSAGES
from api.ws.protocol import CLIENT_MESSAGES
from COBY.config import Config
from COBY.replays.sessions import replay_topic
from COBY.topics import REPLAY, TOPICS, Topic, topic_config, topic_name

VERSION = "3.0.0"
AVRO = "application/vnd.apache.avro;version=1.9.0"
SESSION = "{session}"
HEADERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "source": {"type": "string", "description": "Whose sequence the position stands in."},
        "position": {"type": "string", "pattern": r"^-?\d+:\d+$", "description": "Where in it: rises."},
        "settings": {"type": "string", "description": "Hash of the settings that shape results."},
    },
    "required": ["source", "position"],
}
RAW_HEADERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "received_ns": {"type": "string", "pattern": r"^\d+$", "description": "When it was received."},
        "conn": {"type": "string", "description": "The connection."},
        "seq": {"type": "string", "pattern": r"^\d+$", "description": "Its number in the connection."},
        "kind": {"enum": ["ws", "http", "event", "mark"]},
        "url": {"type": "string"},
        "symbol": {"type": "string"},
    },
    "required": ["received_ns", "kind"],
}
RUN_HEADERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        **HEADERS["properties"],
        "topic": {"type": "string", "description": "The topic that the live record is of."},
        "session": {"type": "string"},
        "run": {"type": "string", "pattern": r"^\d+$", "description": "Rises at each seek."},
        "n": {"type": "string", "pattern": r"^\d+$", "description": "The record's number in its run."},
        "prelude": {"type": "string", "description": "It sets the scene, and lies before the range."},
    },
    "required": ["topic", "session", "run", "n"],
}
PLAIN = ("control", "settings", "session", "status")
"""Topics whose records have no position."""


def document(cfg: Config) -> dict[str, Any]:
    """The document of a system with these settings, as JSON has it."""
    topics = {name: _topic_channel(cfg, name, row) for name, row in (TOPICS | {"replay": REPLAY}).items()}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "COBY",
            "version": "1",
            "description": "The WebSocket of the API, and the topics of Kafka behind it.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "websocket": {
                "host": f"localhost:{cfg.websocket_port}",
                "protocol": "ws",
                "description": "Also on the port of REST.",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            },
            "kafka": {"host": cfg.kafka_bootstrap_servers, "protocol": "kafka"},
        },
        "channels": {"websocket": _websocket()} | topics,
        "operations": _operations(topics),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "messages": _messages(cfg),
            "schemas": _schemas(),
        },
    }


def _websocket() -> dict[str, Any]:
    names = [_tag(kind) for kind in (*CLIENT_MESSAGES, *SERVER_MESSAGES)]
    return {
        "address": "/v1/ws",
        "servers": [{"$ref": "#/servers/websocket"}],
        "messages": {f"ws_{name}": {"$ref": f"#/components/messages/ws_{name}"} for name in names},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _topic_channel(cfg: Config, name: str, row: Topic) -> dict[str, Any]:
    prefix = cfg.topic_prefix
    address = replay_topic(prefix, SESSION) if name == "replay" else topic_name(prefix, name, "{exchange}")
    config = topic_config(row)
    made: dict[str, Any] = {
        "address": address,
        "description": f"{row.sentence}; key: {row.key}",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in _messages_of(name)},
        "bindings": {
            "kafka": {
                "partitions": row.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [row.cleanup],
                    "retention.ms": int(config["retention.ms"]),
                    "max.message.bytes": int(config["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }
    if name == "raw":
        made["parameters"] = {"exchange": {"enum": list(cfg.exchanges)}}
    if name == "replay":
        made["parameters"] = {"session": {"description": "The session's id."}}
    return made


def _messages_of(name: str) -> list[str]:
    """The messages of a topic: places of sessions lie beside the sessions; a replay holds what it replays."""
    if name == "session":
        return ["kafka_session", "kafka_place"]
    if name == "replay":
        return [f"replayed_{channel}" for channel in CHANNELS if channel != "status"]
    return [f"kafka_{name}"]


def _operations(topics: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for action, kinds in (("receive", CLIENT_MESSAGES), ("send", SERVER_MESSAGES)):
        messages = [{"$ref": f"#/channels/websocket/messages/ws_{_tag(kind)}"} for kind in kinds]
        channel = {"$ref": "#/channels/websocket"}
        made[f"websocket_{action}"] = {"action": action, "channel": channel, "messages": messages}
    for name in topics:
        escaped = name.replace("/", "~1")
        made[f"{name}_send"] = {"action": "send", "channel": {"$ref": f"#/channels/{escaped}"}}
    return made


def _messages(cfg: Config) -> dict[str, Any]:
    examples = client_examples(cfg) | server_examples(cfg)
    made = {
        f"ws_{_tag(kind)}": {
            "name": _tag(kind),
            "summary": (kind.__doc__ or "").split("\n")[0],
            "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
            "examples": [{"payload": examples[kind]}],
        }
        for kind in (*CLIENT_MESSAGES, *SERVER_MESSAGES)
    }
    for name, row in TOPICS.items():
        made |= dict(_kafka_messages(cfg, name, row))
    for channel in CHANNELS:
        if channel != "status":
            made[f"replayed_{channel}"] = _avro(
                cfg, channel, RUN_HEADERS, {"topic": topic_name(cfg.topic_prefix, channel)}
            )
    return made


def _kafka_messages(cfg: Config, name: str, row: Topic) -> Iterator[tuple[str, dict[str, Any]]]:
    if name == "session":
        for one in ("session", "place"):
            yield f"kafka_{one}", _avro(cfg, one, None)
    elif row.schema is not None:
        yield f"kafka_{name}", _avro(cfg, row.schema, None if name in PLAIN else HEADERS)
    else:
        headers = RAW_HEADERS if name == "raw" else None
        yield (
            f"kafka_{name}",
            _with_headers(
                cfg,
                {"name": name, "summary": row.sentence, "contentType": "application/octet-stream"},
                headers,
            ),
        )


def _avro(
    cfg: Config, schema: str, headers: dict[str, Any] | None, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    avro = avro_schema(schema)
    made = {
        "name": schema,
        "summary": avro.get("doc", ""),
        "description": "Confluent wire format: 0x00, the schema's id in four bytes, the Avro body.",
        "contentType": "application/vnd.confluent.avro",
        "payload": {"schemaFormat": AVRO, "schema": avro},
    }
    return _with_headers(cfg, made, headers, more)


def _with_headers(
    cfg: Config, made: dict[str, Any], headers: dict[str, Any] | None, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    if headers is None:
        return made
    known = known_values(cfg) | {"kind": "ws", "position": "184467:0"} | (more or {})
    numbers = dict.fromkeys(("received_ns", "seq", "run", "n"), "1")
    values = {name: (known | numbers).get(name, "text") for name in headers["required"]}
    return {**made, "headers": headers, "examples": [{"headers": values}]}


def _schemas() -> dict[str, Any]:
    kinds: Sequence[Any] = (*CLIENT_MESSAGES, *SERVER_MESSAGES)
    _, made = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    records = {f"{name}_record": record_schema(name) for name in CHANNELS}
    of_any = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in records]}
    made["Update"]["properties"]["data"] = of_any
    made["Snapshot"]["properties"]["data"] = {"type": "array", "items": of_any}
    made["Gap"]["properties"]["data"] = {"$ref": f"#/components/schemas/{GAP}_record"}
    return {**made, **records}


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)
