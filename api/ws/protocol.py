"""What clients send: every operation as a struct, and how a message becomes one. Pure.

AsyncAPI (api/asyncapi.py) is generated from these structs. What the server sends: messages.py. Every wrong message is
a ValidationError with a stable code, told as an `error` with the request's id; the connection goes on.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from COBY.utils.exceptions import CobyError, ValidationError

MAX_MESSAGE_BYTES = 64 * 1024
MAX_ID_LENGTH = 64
MAX_NAMES = 200

RequestId = str | int | None
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Names = Annotated[list[Name], Meta(max_length=MAX_NAMES)]
Id = Annotated[
    Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | int | None,
    Meta(description="Echoed in the answer: a text of up to 64 characters, or an integer."),
]


class Operation(Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """Base of what a client may send."""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A channel and what of it: one subscription for each symbol. Without `symbols` all configured ones."""

    name: Name
    symbols: Names | None = None
    exchanges: Names = []
    timeframes: Names = []


class Auth(Operation, frozen=True, tag="auth"):
    """The key, as the first message, of clients that can't send headers (browsers)."""

    key: Annotated[str, Meta(max_length=256)]
    id: Id = None


class Subscribe(Operation, frozen=True, tag="subscribe"):
    """Begin subscriptions. `cursors`: by subscription, where to go on."""

    channels: Annotated[list[Asked], Meta(min_length=1, max_length=MAX_NAMES)]
    id: Id = None
    cursors: Annotated[dict[str, str], Meta(max_length=MAX_NAMES)] = {}


class Unsubscribe(Operation, frozen=True, tag="unsubscribe"):
    """End subscriptions: channels as they were asked for. Without `symbols` all of the channel."""

    channels: Annotated[list[Asked], Meta(min_length=1, max_length=MAX_NAMES)]
    id: Id = None


class List(Operation, frozen=True, tag="list"):
    """Which subscriptions there are."""

    id: Id = None


class Ping(Operation, frozen=True, tag="ping"):
    """An answer is a `pong`."""

    id: Id = None


class Replay(Operation, frozen=True, tag="replay"):
    """All subscriptions of this connection are of that session. Comes before the first of them."""

    session: Name
    id: Id = None


Op = Auth | Subscribe | Unsubscribe | List | Ping | Replay
CLIENT_MESSAGES: tuple[type[Operation], ...] = (Auth, Subscribe, Unsubscribe, List, Ping, Replay)
OPERATIONS = tuple(str(kind.__struct_config__.tag) for kind in CLIENT_MESSAGES)


class Request(NamedTuple):
    """A message of a client: its id, as far as it could be read, and what it asks or what is wrong with it."""

    id: RequestId
    op: Op | None
    error: CobyError | None


_op_decoder: msgspec.json.Decoder[Op] = msgspec.json.Decoder(Op)


def parse(text: str | bytes | None) -> Request:
    """A message as received; None for a binary one. Codes: ws.binary, .too_large, .json, .unknown_op, .invalid."""
    if text is None:
        return _wrong(None, "ws.binary", "a binary message", allowed="JSON as text")
    size = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
    if size > MAX_MESSAGE_BYTES:
        return _wrong(None, "ws.too_large", f"{size} bytes", allowed=f"{MAX_MESSAGE_BYTES} bytes")
    try:
        plain = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        return _wrong(None, "ws.json", str(error)[:200] or "nested too deeply", allowed="a JSON object")
    if not isinstance(plain, dict):
        return _wrong(None, "ws.json", f"a JSON {type(plain).__name__}", allowed="a JSON object")
    name = _id_of(plain.get("id"))
    kind = plain.get("op")
    if not isinstance(kind, str) or kind not in OPERATIONS:
        return _wrong(name, "ws.unknown_op", f"the operation {str(kind)[:40]!r}", "op", " ".join(OPERATIONS))
    try:
        return Request(name, _op_decoder.decode(text), None)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        return _wrong(name, "ws.invalid", message, where.strip("`.") or None, "what /asyncapi.json says")


def _id_of(value: object) -> RequestId:
    if isinstance(value, str) and len(value) <= MAX_ID_LENGTH:
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _wrong(
    name: RequestId, code: str, message: str, where: str | None = None, allowed: str | None = None
) -> Request:
    return Request(name, None, ValidationError(code, message, where=where, allowed=allowed))
