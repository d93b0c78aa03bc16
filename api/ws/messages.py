"""What the server sends: every message as a struct. Pure.

AsyncAPI (api/asyncapi.py) is generated from these structs. Those of subscriptions are written by outbox.py, which puts
a record's JSON, made once, into each client's message; a test reads them back into these.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from api.ws.protocol import RequestId


class Message(Struct, frozen=True, tag_field="type", kw_only=True):
    """Base of what the server sends. `seq` counts the messages of the connection that are of no subscription."""

    seq: int


class Limits(Struct, frozen=True):
    """What a client may do."""

    message_bytes: int
    operations_per_second: int
    subscriptions: int
    connections: int
    behind_bytes: int
    behind_seconds: float


class Welcome(Message, frozen=True, tag="welcome"):
    """The first message. With `must_authenticate` the client's first one has to be `auth`."""

    version: int
    time: str
    heartbeat_seconds: float
    must_authenticate: bool
    limits: Limits
    channels: list[str]
    symbols: list[str]


class Authenticated(Message, frozen=True, tag="authenticated"):
    """The key was right."""

    id: RequestId
    scopes: list[str]


class Subscription(Struct, frozen=True):
    """One subscription; `resumed`: it goes on from a cursor, without a snapshot."""

    subscription: str
    channel: str
    symbol: str | None
    resumed: bool


class Subscribed(Message, frozen=True, tag="subscribed"):
    """These begin; of those that can't, an `error` names each."""

    id: RequestId
    subscriptions: list[Subscription]


class Unsubscribed(Message, frozen=True, tag="unsubscribed"):
    """Nothing more comes of these."""

    id: RequestId
    subscriptions: list[str]


class Subscriptions(Message, frozen=True, tag="subscriptions"):
    """The answer to `list`."""

    id: RequestId
    session: str | None
    subscriptions: list[Subscription]


class Pong(Message, frozen=True, tag="pong"):
    """The answer to `ping`."""

    id: RequestId
    time: str


class Replaying(Message, frozen=True, tag="replaying"):
    """The answer to `replay`."""

    id: RequestId
    session: str
    state: str


class Missed(Struct, frozen=True):
    """Records that are gone: [from_offset, until_offset) of a partition."""

    topic: str
    partition: int
    from_offset: int
    until_offset: int


class Error(Message, frozen=True, tag="error"):
    """Something can't be done; `id` is the request's where it was one. The connection goes on, unless it says so.

    `resume` of `cursor.expired`: the cursor by which a subscription goes on with all that is still there.
    """

    code: str
    message: str
    id: RequestId = None
    where: str | None = None
    allowed: str | None = None
    subscription: str | None = None
    missed: list[Missed] = []
    resume: str | None = None


class Freshness(Struct, frozen=True):
    """How far a channel is: all that was in Kafka at `current_at` has been sent, or waits for this client to read."""

    channel: str
    current_at: str | None
    behind_records: int | None
    newest: str | None


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    """Each second. `waiting_bytes`: what the client has not taken yet."""

    time: str
    waiting_bytes: int
    session: str | None
    channels: list[Freshness]


class End(Message, frozen=True, tag="end"):
    """Nothing more comes: a replay is over (it may be ordered to seek, then it does), or the server stops."""

    reason: Literal["finished", "stopped", "failed", "deleted", "server_stopping"]
    session: str | None = None
    error: str | None = None
    missing: list[str] = []


class OfSubscription(Struct, frozen=True, tag_field="type", kw_only=True):
    """Base of messages of a subscription: `seq` rises by one, `cursor` resumes after the message."""

    subscription: str
    channel: str
    symbol: str | None
    seq: int
    cursor: str
    session: str | None = None
    run: int | None = None
    n: int | None = None


class Snapshot(OfSubscription, frozen=True, tag="snapshot"):
    """The first of a subscription, and of each run of a replay: the newest record of each key.

    `complete` false: a key may be missing, because a cache was not there.
    """

    complete: bool
    data: list[dict[str, Any]]


class Update(OfSubscription, frozen=True, tag="update"):
    """One record. `conflated`: how many older ones of its key were left out."""

    conflated: int
    data: dict[str, Any]


class Gap(OfSubscription, frozen=True, tag="gap"):
    """A hole in what is known of the symbol; what was derived from it is to be reset. Never left out."""

    conflated: int
    data: dict[str, Any]


SERVER_MESSAGES: tuple[type[Struct], ...] = (
    Welcome, Authenticated, Subscribed, Unsubscribed, Subscriptions, Pong, Replaying, Error, Heartbeat, End,
    Snapshot, Update, Gap,
)  # fmt: skip
