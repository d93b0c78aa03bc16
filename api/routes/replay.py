"""Replay sessions, and a range in one answer. What a session writes is read on the WebSocket, or from its topic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from api.callers import require
from api.moments import Moment
from api.openapi import CONFLICT
from api.ranges import Numbers
from api.replay_models import (
    MAX_NAMES,
    SessionAsked,
    SessionChange,
    Sessions,
    SessionShown,
    Source,
    Word,
    shown,
)
from api.replayed import NDJSON, RANGE_SECONDS, Replayed
from api.services import Services, services
from COBY.models import ReplayStatus
from COBY.replays.asked import Asked
from COBY.replays.manager import KafkaReplayManager
from COBY.utils.exceptions import CobyError, ReplayError, ValidationError
from COBY.utils.intervals import US_PER_SECOND, from_us

router = APIRouter(prefix="/v1/replay", tags=["replay"], dependencies=[require("replay")])

UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "No such symbol or exchange."}}
IN_BODY = {
    "replay.range": "to",
    "replay.future": "to",
    "replay.empty": "from",
    "replay.no_start": "from",
    "replay.offsets": "offsets",
    "replay.speed": "speed",
    "replay.source": "source",
    "replay.settings": "settings",
    "replay.override": "settings",
    "replay.seek": "position",
    "replay.channel": "channels",
    "config.unknown_symbol": "symbols",
    "config.unknown_exchange": "exchanges",
}
"""Error -> the field that is wrong."""
IN_QUERY = IN_BODY | {
    "replay.channel": "channel",
    "config.unknown_symbol": "symbol",
    "config.unknown_exchange": "exchange",
}
IN_PATH = {"replay.unknown_session": "session"}
Using = Annotated[Services, Depends(services)]
SessionId = Annotated[
    str, Path(pattern=r"^[0-9a-f]{1,32}$", description="Its id.", examples=["3d3f627abc56"])
]
Names = Annotated[
    list[Word] | None,
    Query(max_length=MAX_NAMES, description="Only these; given several times, or not: all."),
]


@router.get("/sessions")
async def list_sessions(services: Using) -> Sessions:
    """All sessions, the oldest first."""
    return Sessions(data=await asyncio.to_thread(_all, services.replays))


@router.post("/sessions", status_code=201, responses=UNKNOWN | CONFLICT)
async def create_session(services: Using, asked: SessionAsked, response: Response) -> SessionShown:
    """Make a session, whose topic is there afterwards; it begins with `start`, or with a change of its state."""
    manager = services.replays
    with named("body", IN_BODY):
        session = await asyncio.to_thread(manager.create, asked.asked(), asked.ttl_seconds)
    if asked.start:
        await manager.start_replay(session)
    response.headers["Location"] = f"/v1/replay/sessions/{session}"
    return await asyncio.to_thread(_one, manager, session)


@router.get("/sessions/{session}")
async def get_session(services: Using, session: SessionId) -> SessionShown:
    """What a session plays, and where it is."""
    with named("path", IN_PATH):
        return await asyncio.to_thread(_one, services.replays, session)


@router.patch("/sessions/{session}", responses=CONFLICT)
async def change_session(services: Using, session: SessionId, change: SessionChange) -> SessionShown:
    """Start, pause, go on, stop, move, or change the speed; all of it is carried out when this answers.

    A pause comes before the other changes, a start after them. The state that it has already is no error.
    """
    manager = services.replays
    if change.model_dump(exclude_none=True) == {}:
        raise ValidationError(
            "api.invalid", "nothing to change", where="body", allowed="state, speed, position"
        )
    with named("path", IN_PATH):
        state = (await asyncio.to_thread(manager.get_replay_status, session)).state
        if change.state in ("paused", "stopped") and change.state != state:
            await _order(manager, change.state)(session)
        if change.speed is not None:
            await manager.set_speed(session, change.speed)
        if change.position is not None:
            with named("body", IN_BODY):
                await manager.seek(session, from_us(change.position))
        if change.state == "running":
            state = (await asyncio.to_thread(manager.get_replay_status, session)).state
            if state != "running":
                await (manager.start_replay if state == "created" else manager.resume)(session)
        return await asyncio.to_thread(_one, manager, session)


@router.delete("/sessions/{session}", status_code=204)
async def delete_session(services: Using, session: SessionId) -> None:
    """Take a session and its topic away; nothing is left when this answers."""
    with named("path", IN_PATH):
        await services.replays.delete(session)


@router.get(
    "",
    response_class=Response,
    responses=CONFLICT
    | {200: {"description": "One JSON object a line.", "content": {NDJSON: {"schema": {"type": "string"}}}}},
)
async def replay_range(
    services: Using,
    start_time: Annotated[Moment, Query(alias="from", description="Stream time; inclusive.")],
    end_time: Annotated[Moment, Query(alias="to", description="Stream time; exclusive, not after now.")],
    symbol: Names = None,
    exchange: Names = None,
    channel: Names = None,
    source: Annotated[Source, Query(description="Where the records come from.")] = "auto",
    numbers: Numbers = "exact",
) -> Response:
    """A range as newline-delimited JSON, in the order of a replay, as fast as it is read.

    Each line is `{"type": "record", "channel", "prelude", "n", "data"}`, the last one `{"type": "end", "records",
    "missing", "error"}`: an answer without it was cut off. At most six hours; longer ones by a session.
    """
    if end_time - start_time > RANGE_SECONDS * US_PER_SECOND:
        message = f"a range of {(end_time - start_time) / US_PER_SECOND:g} s"
        raise ReplayError(
            "replay.range", message, where="query.to", allowed=f"{RANGE_SECONDS} s, or a session"
        )
    names = tuple(symbol or ()), tuple(exchange or ()), tuple(channel or ())
    asked = Asked(start_time, end_time, 0.0, {}, *names, source, {})
    with named("query", IN_QUERY):
        floats = numbers == "float"
        return await Replayed.of(services.cfg, services.replays, services.ranges, asked, floats=floats)


@contextmanager
def named(part: str, fields: Mapping[str, str]) -> Iterator[None]:
    """An error of the manager's that is a wrong value says in which parameter it is."""
    try:
        yield
    except CobyError as error:
        if error.code in fields:
            error.where = f"{part}.{fields[error.code]}"
        raise


def _all(manager: KafkaReplayManager) -> list[SessionShown]:
    found = []
    for status in manager.list_sessions():
        try:
            found.append(shown(manager.get_session(status.id), status, manager.topic(status.id)))
        except ReplayError:
            continue  # deleted in between
    return found


def _one(manager: KafkaReplayManager, session: str) -> SessionShown:
    status: ReplayStatus = manager.get_replay_status(session)
    return shown(manager.get_session(session), status, manager.topic(session))


def _order(manager: KafkaReplayManager, state: str) -> Callable[[str], Awaitable[None]]:
    return manager.pause_replay if state == "paused" else manager.stop_replay
