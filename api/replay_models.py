"""Replay sessions as requests and answers have them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.moments import EXAMPLE, Moment
from COBY.models import ReplaySession, ReplayStatus
from COBY.models.sessions import SPEEDS
from COBY.replays.asked import Asked
from COBY.replays.sessions import CHANNELS
from COBY.utils.intervals import format_us, to_us

MAX_NAMES = 100
MAX_TTL_SECONDS = 30 * 86_400
MAX_OFFSET = 2**63 - 1
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
Words = Annotated[list[Word], Field(max_length=MAX_NAMES)]
Topic = Annotated[str, StringConstraints(max_length=249, pattern=r"^[A-Za-z0-9_.-]+$")]
Partition = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}$")]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET)]
Speed = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False, description=SPEEDS, examples=[10])]
Source = Literal["auto", "topics", "database", "recompute"]
State = Literal["created", "running", "paused", "stopped", "finished", "failed"]


class SessionAsked(BaseModel):
    """What to replay: a range of stream time, or of offsets."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"from": EXAMPLE, "to": "2026-01-02T03:14:05Z", "speed": 10, "channels": ["heatmap", "trade"]}
            ]
        },
    )

    start_time: Moment | None = Field(None, alias="from", description="Stream time; inclusive.")
    end_time: Moment | None = Field(None, alias="to", description="Stream time; exclusive, not after now.")
    offsets: dict[Topic, dict[Partition, tuple[Offset, Offset]]] = Field(
        default_factory=dict,
        max_length=MAX_NAMES,
        description="Instead of times: topic, partition, [from, to).",
        examples=[{"coby.trade.v1": {"0": [100, 200]}}],
    )
    speed: Speed = 1.0
    symbols: Words = Field(default_factory=list, description="Only these; none: all.", examples=[["BTCUSDT"]])
    exchanges: Words = Field(default_factory=list, description="Only these; none: all.")
    channels: Words = Field(default_factory=list, description=f"Some of {' '.join(CHANNELS)}; none: all.")
    source: Source = "auto"
    settings: Annotated[dict[Word, str], Field(max_length=MAX_NAMES)] = Field(
        default_factory=dict, description="Only with recompute: settings other than those of then."
    )
    ttl_seconds: int | None = Field(
        None, ge=1, le=MAX_TTL_SECONDS, description="Deleted so long after its end or last order."
    )
    start: bool = Field(False, description="Begin at once, too.")

    def asked(self) -> Asked:
        """As the manager wants it."""
        offsets = {
            topic: {int(number): ends for number, ends in parts.items()}
            for topic, parts in self.offsets.items()
        }
        names = tuple(self.symbols), tuple(self.exchanges), tuple(self.channels)
        return Asked(self.start_time, self.end_time, self.speed, offsets, *names, self.source, self.settings)


class SessionChange(BaseModel):
    """What to change of a session: what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"state": "paused"}, {"speed": 100}]}
    )

    state: Literal["running", "paused", "stopped"] | None = Field(
        None, description="The state it is to have."
    )
    speed: Speed | None = None
    position: Moment | None = Field(None, description="Go on from this stream time within its range.")


class SessionShown(BaseModel):
    """A replay session: what it plays, and where it is."""

    id: str = Field(examples=["3d3f627abc56"])
    topic: str = Field(
        description="Where it writes: a Kafka topic of one partition.",
        examples=["coby.replay.3d3f627abc56.v1"],
    )
    start_time: str | None = Field(alias="from", description="Stream time; inclusive.", examples=[EXAMPLE])
    end_time: str | None = Field(alias="to", description="Stream time; exclusive.")
    offsets: dict[str, dict[str, list[int]]] | None = Field(
        description="Instead of times, where it plays offsets."
    )
    created_at: str | None = Field(examples=[EXAMPLE])
    state: State
    position: str | None = Field(description="The stream time it has reached.", examples=[EXAMPLE])
    speed: float = Field(description=SPEEDS, examples=[10])
    records: int = Field(description="Records sent so far.", examples=[1234])
    run: int = Field(description="Rises with each change of position.", examples=[0])
    n: int = Field(description="Counts the records of a run.", examples=[1234])
    error: str | None = Field(description="Why it has failed.")
    missing: list[str] = Field(description="What of the range nobody has any more.")


class Sessions(BaseModel):
    """All of them, the oldest first."""

    data: list[SessionShown]


def shown(session: ReplaySession, status: ReplayStatus, topic: str) -> SessionShown:
    """A session as an answer has it."""
    return SessionShown.model_validate(
        {
            "id": session.id,
            "topic": topic,
            "from": _text(session.start_time),
            "to": _text(session.end_time),
            "offsets": session.offsets
            and {
                name: {str(number): list(ends) for number, ends in parts.items()}
                for name, parts in session.offsets.items()
            },
            "created_at": _text(session.created_at),
            "state": status.state,
            "position": _text(status.position),
            "speed": status.speed,
            "records": status.records,
            "run": status.run,
            "n": status.n,
            "error": status.error,
            "missing": list(status.missing),
        }
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else format_us(to_us(moment))
