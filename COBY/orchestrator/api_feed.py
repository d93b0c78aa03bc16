"""Messages of one WebSocket connection to the API, live or of a replay session."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from COBY.jsonform import record_of
from COBY.orchestrator.api_client import Connection
from COBY.orchestrator.messages import Message, Missed, Moved, Place, Update
from COBY.orchestrator.wanted import Wanted
from COBY.stage import parse_position
from COBY.utils.exceptions import CobyError, ProcessingError, ReplayError, ServiceError, error_of

OF_EXCHANGES = ("trade", "book", "gap", "quality", "continuity")
"""Channels of which the API gives only some exchanges; the others are over all."""
EXPIRED, MISSED = "cursor.expired", "ws.missed"


class ApiFeed:
    """A `Feed`. Each subscription of the connection has its own numbers and cursor."""

    def __init__(
        self,
        connection: Connection,
        wanted: Wanted,
        cursors: Mapping[str, str],
        *,
        session: str | None = None,
        with_prelude: bool = True,
    ) -> None:
        """``cursors``: by subscription, where to go on; `begin` first. ``session``: of a replay."""
        self._connection = connection
        self._wanted = wanted
        self._session = session
        self._with_prelude = with_prelude
        self._cursors = dict(cursors)
        self._seqs: dict[str, int] = {}
        self._run: int | None = None
        self._is_over = False

    async def begin(self) -> None:
        """Ask for all that is wanted. CobyError as the API answers."""
        await self._connection.receive()  # welcome
        if self._session is not None:
            await self._connection.send(op="replay", id="replay", session=self._session)
        wanted = self._wanted
        channels = []
        for channel in wanted.channels:
            asked: dict[str, Any] = {"name": channel}
            if wanted.symbols:
                asked["symbols"] = sorted(wanted.symbols)
            if wanted.exchanges and channel in OF_EXCHANGES:
                asked["exchanges"] = sorted(wanted.exchanges)
            channels.append(asked)
        await self._connection.send(op="subscribe", id="subscribe", channels=channels, cursors=self._cursors)

    async def batch(self) -> Sequence[Message] | None:
        """What the next message of the server says; None after a replay's end."""
        if self._is_over:
            return None
        told = await self._connection.receive()
        match told["type"]:
            case "snapshot":
                return self._snapshot(told)
            case "update" | "gap":
                return self._update(told)
            case "error":
                return await self._error(told)
            case "end":
                return self._end(told)
        return []

    def passed(self, message: Message) -> None:
        """The cursor of a message stands after it."""
        if isinstance(message, Update) and message.cursor is not None:
            name, _, cursor = message.cursor.partition(" ")
            self._cursors[name] = cursor

    def cursor(self) -> str | None:
        """All cursors in one."""
        return cursors_text(self._cursors) if self._cursors else None

    async def close(self) -> None:
        """End the connection."""
        await self._connection.close()

    def _snapshot(self, told: dict[str, Any]) -> list[Message]:
        found = self._numbered(told)
        scene = [self._record(told, value, prelude=True) for value in told["data"]]
        if self._with_prelude:
            scene.sort(key=lambda update: update.received_us)
            found.extend(scene)
        self._cursors[told["subscription"]] = told["cursor"]  # all before it was handed out
        return found

    def _update(self, told: dict[str, Any]) -> list[Message]:
        found = self._numbered(told)
        if told["conflated"]:
            text = f"{told['subscription']}: newer ones took the place of {told['conflated']}"
            found.append(Missed("slow", text, told["channel"], told["conflated"]))
        if told["type"] == "gap" and told["channel"] != "gap":
            self._cursors[told["subscription"]] = told["cursor"]
            return found  # it comes by the channel gap where it is wanted
        run = told.get("run")
        if run is not None:
            if self._run is not None and run > self._run:
                found.append(Moved(str(self._session), run))
            self._run = run
        try:
            update = self._record(told, told["data"], cursor=f"{told['subscription']} {told['cursor']}")
        except ProcessingError as error:
            return [*found, Missed("unusable", str(error), told["channel"], 1)]
        return [*found, update] if self._wanted.has(update) else found

    def _numbered(self, told: dict[str, Any]) -> list[Message]:
        """Whether the numbers of its subscription rise by one."""
        name, seq = told["subscription"], told["seq"]
        last, self._seqs[name] = self._seqs.get(name), seq
        if last is None or seq == last + 1:
            return []
        return [Missed("hole", f"{name}: {last} is followed by {seq}", told["channel"], seq - last - 1)]

    def _record(
        self, told: dict[str, Any], value: dict[str, Any], *, prelude: bool = False, cursor: str | None = None
    ) -> Update:
        place = None
        if value.get("offset") is not None:
            place = Place(value["topic"], value["partition"], value["offset"])
        return Update(
            told["channel"],
            record_of(told["channel"], value),
            value["source"],
            parse_position(value["position"].encode()),
            prelude,
            self._session,
            told.get("run"),
            told.get("n"),
            place,
            cursor,
        )

    async def _error(self, told: dict[str, Any]) -> list[Message]:
        """What is gone is said; a subscription whose cursor is too old goes on with what is still there."""
        code, name = told["code"], told.get("subscription") or ""
        if code not in (EXPIRED, MISSED):
            raise error_of(code, told["message"], where=told.get("where"), allowed=told.get("allowed"))
        channel, _, symbol = name.partition(":")
        if code == EXPIRED:
            asked: dict[str, Any] = {"name": channel, "symbols": [symbol]}
            if self._wanted.exchanges and channel in OF_EXCHANGES:
                asked["exchanges"] = sorted(self._wanted.exchanges)
            self._cursors[name] = told["resume"]
            cursors = {name: told["resume"]}
            await self._connection.send(op="subscribe", id="again", channels=[asked], cursors=cursors)
        if not told["missed"]:
            return [Missed("retention", told["message"], channel)]
        # Of the gaps that come among other records the channel gap tells, where it is wanted.
        return [_hole(one, channel) for one in told["missed"] if one["topic"].split(".")[-2] == channel]

    def _end(self, told: dict[str, Any]) -> list[Message]:
        if told["reason"] == "server_stopping":
            raise ServiceError("api.closed", "the server stops")
        if told["reason"] in ("failed", "deleted"):
            raise _failure(told.get("error") or f"replay.state: the session is {told['reason']}")
        self._is_over = True
        missing = list(told.get("missing") or [])
        if told["reason"] == "stopped":
            missing.append("stopped by order")
        return [Missed("range", text) for text in missing]


def _hole(missed: dict[str, Any], channel: str) -> Missed:
    first, end = missed["from_offset"], missed["until_offset"]
    text = f"{missed['topic']}/{missed['partition']}: offsets {first} to {end} did not come"
    return Missed("retention", text, channel, end - first)


def _failure(text: str) -> CobyError:
    code, _, message = text.partition(": ")
    return error_of(code, message)


def cursors_text(cursors: Mapping[str, str]) -> str:
    """The cursors of a connection's subscriptions as one opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursors)).decode()


def cursors_of(text: str) -> dict[str, str]:
    """What `cursors_text` was given. ReplayError `replay.cursor` for a text that it did not make."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=dict[str, str])
    except (binascii.Error, ValueError) as error:  # msgspec's errors are ValueErrors
        raise ReplayError("replay.cursor", "no cursor of ours", allowed="a subscription's cursor") from error
