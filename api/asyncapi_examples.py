"""Examples for AsyncAPI: made by the code that makes the messages, so that they can't be anything else. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from api.record_schemas import example, record_schema
from api.ws import messages, protocol
from api.ws.asked import MAX_SUBSCRIPTIONS
from api.ws.channels import CHANNELS, GAP, Selection
from api.ws.outbox import MAX_BYTES, MAX_SECONDS, Feed, Outbox
from api.ws.protocol import MAX_MESSAGE_BYTES
from api.ws.rate import OPERATIONS
from COBY.config import Config
from COBY.topics import topic_name

TIME = "2026-01-02T03:04:05.500000Z"
ID = "1"
SESSION = "3d3f627abc56"


def known_values(cfg: Config) -> dict[str, Any]:
    """Values of fields by name."""
    return {
        "symbol": cfg.symbols[0],
        "exchange": cfg.exchanges[0],
        "source": f"raw.{cfg.exchanges[0]}.v1/0",
        "side": "buy",
        "conn": "c1",
        "session": SESSION,
    }


def record_example(cfg: Config, channel: str) -> dict[str, Any]:
    """A record of a channel as JSON."""
    known = known_values(cfg) | {"topic": topic_name(cfg.topic_prefix, channel)}
    made: dict[str, Any] = example(record_schema(channel), known)
    return made


def client_examples(cfg: Config) -> dict[type[msgspec.Struct], Any]:
    """What clients may send."""
    symbols = [cfg.symbols[0]]
    asked = [protocol.Asked("heatmap", symbols), protocol.Asked("book", symbols, [cfg.exchanges[0]])]
    made: list[msgspec.Struct] = [
        protocol.Auth("coby_…", ID),
        protocol.Subscribe(asked, ID, {f"heatmap:{symbols[0]}": "live.17.18304.12"}),
        protocol.Unsubscribe([protocol.Asked("heatmap")], ID),
        protocol.List(ID),
        protocol.Ping(ID),
        protocol.Replay(SESSION, ID),
    ]
    return {type(one): msgspec.to_builtins(one) for one in made}


def server_examples(cfg: Config) -> dict[type[msgspec.Struct], Any]:
    """What the server sends."""
    heatmap = Selection(CHANNELS["heatmap"], cfg.symbols[0])
    name = heatmap.name
    limits = messages.Limits(
        MAX_MESSAGE_BYTES, OPERATIONS, MAX_SUBSCRIPTIONS, cfg.ws_connections, MAX_BYTES, MAX_SECONDS
    )
    one = messages.Subscription(name, "heatmap", heatmap.symbol, resumed=False)
    missed = messages.Missed(topic_name(cfg.topic_prefix, "trade"), 5, 100, 180)
    made: list[msgspec.Struct] = [
        messages.Welcome(
            seq=1,
            version=1,
            time=TIME,
            heartbeat_seconds=1.0,
            must_authenticate=False,
            limits=limits,
            channels=list(CHANNELS),
            symbols=list(cfg.symbols),
        ),
        messages.Authenticated(seq=2, id=ID, scopes=["read"]),
        messages.Subscribed(seq=3, id=ID, subscriptions=[one]),
        messages.Unsubscribed(seq=4, id=ID, subscriptions=[name]),
        messages.Subscriptions(seq=5, id=ID, session=None, subscriptions=[one]),
        messages.Pong(seq=6, id=ID, time=TIME),
        messages.Replaying(seq=7, id=ID, session=SESSION, state="running"),
        messages.Error(
            seq=8,
            code="cursor.expired",
            message="retention took records",
            id=ID,
            subscription=f"trade:{heatmap.symbol}",
            missed=[missed],
            resume="live.118.180.17~q3tI4a~VZ0x1Q",
        ),
        messages.Heartbeat(
            seq=9,
            time=TIME,
            waiting_bytes=0,
            session=None,
            channels=[messages.Freshness("heatmap", TIME, 0, TIME)],
        ),
        messages.End(seq=10, reason="finished", session=SESSION),
    ]
    return {type(one): msgspec.to_builtins(one) for one in made} | _of_subscription(cfg, heatmap)


def _of_subscription(cfg: Config, selection: Selection) -> dict[type[msgspec.Struct], Any]:
    outbox, feed = Outbox(), Feed(selection, (18_302, 12))
    heatmap, gap = (json.dumps(record_example(cfg, channel)) for channel in (selection.channel.name, GAP))
    outbox.snapshot(feed, [heatmap], (18_303, 12), 0.0, complete=True)
    outbox.offer(feed, "update", heatmap, (18_304, 12), 0.0)
    outbox.offer(feed, "gap", gap, (18_304, 13), 0.0)
    texts = [outbox.next() or "" for _ in range(3)]
    kinds: tuple[type[msgspec.Struct], ...] = (messages.Snapshot, messages.Update, messages.Gap)
    return {kind: json.loads(text) for kind, text in zip(kinds, texts, strict=True)}
