"""A record on its way to clients: decoded once, made JSON once, whatever the number of subscribers."""

from __future__ import annotations

import json

from confluent_kafka import Message

from api.ws.channels import CHANNELS, GAP, Partition, Selection
from COBY.records import NAMES, Candle, Record, Status
from COBY.runtime.reader import Position, place_of
from COBY.stage import Headers
from COBY.values import key_parts, value_of

Key = tuple[object, ...]


class Item:
    """One record and where it lies. ``channel``: the name of its topic."""

    __slots__ = (
        "_text",
        "channel",
        "is_replayed",
        "offset",
        "partition",
        "position",
        "record",
        "source",
        "time_ms",
        "topic",
    )

    def __init__(
        self,
        record: Record,
        source: str,
        position: Position,
        topic: str,
        partition: int,
        offset: int,
        time_ms: int,
        *,
        is_replayed: bool = False,
    ) -> None:
        """``topic`` in full; of a replayed one that of the live record, and its place that in the session's topic."""
        self.channel = NAMES[type(record)]
        self.record = record
        self.source = source
        self.position = position
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.time_ms = time_ms
        self.is_replayed = is_replayed
        self._text: str | None = None

    @property
    def place(self) -> Partition:
        """Its partition by the topic's short name."""
        return self.channel, self.partition

    @property
    def symbol(self) -> str | None:
        """None for a connection's status."""
        symbol: str | None = getattr(self.record, "symbol", None)
        return symbol

    @property
    def kind(self) -> str:
        """`gap`, or `update` for all else."""
        return "gap" if self.channel == GAP else "update"

    @property
    def key(self) -> Key:
        """What the newest of is a snapshot's."""
        return key_parts(self.record)

    @property
    def replaces(self) -> Key | None:
        """The key under which it may take the place of one that waits; None for an event."""
        if isinstance(self.record, Candle):
            return (*self.key, self.record.timestamp)  # its own earlier revisions only
        return self.key if CHANNELS[self.channel].is_state else None

    def text(self) -> str:
        """As JSON."""
        if self._text is None:
            # Where it lay live nobody says in a replay; where it lies there is the cursor's matter.
            lies = (None, None) if self.is_replayed else (self.partition, self.offset)
            value = value_of(self.record, self.source, self.position, self.topic, *lies)
            self._text = json.dumps(value, separators=(",", ":"))
        return self._text

    def is_for(self, selection: Selection) -> bool:
        """Whether a subscription of its channel and symbol asks for it. A gap has no timeframe: it always is."""
        if not selection.only:
            return True
        value = getattr(self.record, selection.channel.narrowed_by or "", None)
        return value is None or value in selection.only


def item_of(
    message: Message, record: Record, source: str, position: Position, live_topic: str | None = None
) -> Item:
    """The item of a consumed record that was decoded; ``live_topic``: of a replayed one, in full."""
    number, offset = message.partition(), message.offset()
    assert number is not None
    assert offset is not None
    topic, time_ms = live_topic or message.topic() or "", message.timestamp()[1]
    return Item(record, source, position, topic, number, offset, time_ms, is_replayed=live_topic is not None)


def headers_of(message: Message) -> Headers:
    """A consumed record's headers."""
    return message.headers() or []  # type: ignore[return-value]  # bytes, as they are read


def origin_of(record: Record, headers: Headers) -> tuple[str, Position]:
    """(source, position); producers number no status: its slot and time. ProcessingError `reader.no_position`."""
    if isinstance(record, Status):
        return record.slot, (record.observed_at, 0)
    return place_of(headers)
