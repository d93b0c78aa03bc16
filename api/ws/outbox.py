"""What waits for one client to take it: the queue of a connection, and what becomes of a slow one. Pure.

States give way to newer ones of their key, in their place in the queue, so that no key waits for ever behind others.
Events are never left out: a client that lets too many wait, or one for too long, is cut off (`slow_consumer`).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence

import msgspec

from api.ws.channels import Selection
from api.ws.cursors import LiveCursor, ReplayCursor
from api.ws.messages import Message

MAX_BYTES = 5 * 1024 * 1024
MAX_SECONDS = 5.0

Place = tuple[int, ...]
"""Where a subscription stands: of a live one the next offset of each partition, of a replay run, n, next offset."""


class Feed:
    """One subscription of a connection. Used by its Outbox, which numbers what is sent."""

    def __init__(
        self, selection: Selection, place: Place, *, seq: int = 0, session: str | None = None
    ) -> None:
        """``seq``: the number of the last message before; ``session``: of a replay."""
        self.selection = selection
        self.place = place
        self.seq = seq
        self.session = session
        self.topics: tuple[str, ...] = ()
        """Ids of the topics that a live one reads."""
        self.waiting: deque[_Entry] = deque()
        self.replaceable: dict[object, _Entry] = {}
        names = {
            "subscription": selection.name,
            "channel": selection.channel.name,
            "symbol": selection.symbol,
        }
        self.head = json.dumps(names, separators=(",", ":"))[1:-1]

    def cursor(self, place: Place) -> str:
        """After the message just numbered, standing there."""
        if self.session is None:
            return LiveCursor(self.seq, place, self.topics).text()
        run, n, offset = place
        return ReplayCursor(self.session, self.seq, run, n, offset).text()

    def standing(self) -> Place:
        """Where the client is that has taken all that was sent."""
        return self.waiting[0].before if self.waiting else self.place


class _Entry:
    """One message that waits. Without ``feed`` it is of the connection itself."""

    __slots__ = ("after", "before", "conflated", "feed", "is_event", "key", "kind", "queued_at", "text")

    def __init__(
        self,
        feed: Feed | None,
        kind: str,
        text: str,
        place: Place,
        now: float,
        *,
        is_event: bool,
        key: object,
    ) -> None:
        self.feed = feed
        self.kind = kind
        self.text = text
        self.before = place if feed is None else feed.place
        self.after = place
        self.queued_at = now
        self.is_event = is_event
        self.key = key
        self.conflated = 0


class Outbox:
    """The queue of one connection, first in first out. ``now`` is any clock of seconds that never steps back."""

    def __init__(self) -> None:
        """Empty."""
        self._entries: deque[_Entry] = deque()
        self._events: deque[float] = deque()
        self._replaceable: dict[object, _Entry] = {}
        self._seq = 0
        self.waiting_bytes = 0
        """Of events and answers."""
        self.conflated = 0
        """Records left out so far, for the metrics."""

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._entries)

    def tell(self, message: Message, now: float, *, key: object = None) -> None:
        """A message of the connection itself; with ``key`` it takes the place of a former one that still waits."""
        text = msgspec.json.encode(message).decode()
        former = self._replaceable.get(key)
        if former is not None:
            former.text = text
            return
        entry = _Entry(None, "", text, (), now, is_event=key is None, key=key)
        self._append(entry)
        if key is not None:
            self._replaceable[key] = entry

    def snapshot(self, feed: Feed, texts: Sequence[str], place: Place, now: float, *, complete: bool) -> None:
        """The first message of a subscription: records as JSON, and where it stands after them."""
        body = f'"complete":{"true" if complete else "false"},"data":[{",".join(texts)}]}}'
        self._of_feed(feed, "snapshot", body, place, now, key=None)

    def offer(
        self, feed: Feed, kind: str, text: str, place: Place, now: float, *, key: object = None, of: str = ""
    ) -> None:
        """A record as JSON, after which ``feed`` stands at ``place``.

        ``kind``: `update` or `gap`. ``key``: it may replace what waits of that key, and is replaced itself. ``of``:
        further fields of a replay's message.
        """
        if key is not None and (former := feed.replaceable.get(key)) is not None:
            self._resize(former, len(text) - len(former.text))
            former.text, former.after = text, place
            former.conflated += 1
            self.conflated += 1
            feed.place = place
            return
        self._of_feed(feed, kind, text, place, now, key=key, of=of)

    def _of_feed(
        self, feed: Feed, kind: str, text: str, place: Place, now: float, *, key: object, of: str = ""
    ) -> None:
        # A state is no event: it may wait. A candle is one although a later revision replaces it.
        is_event = key is None or not feed.selection.channel.is_state
        entry = _Entry(
            feed, f'{kind}",{of}' if of else f'{kind}",', text, place, now, is_event=is_event, key=key
        )
        if key is not None:
            feed.replaceable[key] = entry
        elif kind == "gap":
            # What comes after a gap must not be shown before it.
            feed.replaceable.clear()
        feed.place = place
        feed.waiting.append(entry)
        self._append(entry)

    def _append(self, entry: _Entry) -> None:
        self._entries.append(entry)
        if entry.is_event:
            self._events.append(entry.queued_at)
            self.waiting_bytes += len(entry.text)

    def _resize(self, entry: _Entry, by: int) -> None:
        if entry.is_event:
            self.waiting_bytes += by

    def next(self) -> str | None:
        """The next message, numbered; None where none waits."""
        if not self._entries:
            return None
        entry = self._entries.popleft()
        if entry.is_event:
            self._events.popleft()
            self.waiting_bytes -= len(entry.text)
        return self._of_connection(entry) if entry.feed is None else self._numbered(entry.feed, entry)

    def _of_connection(self, entry: _Entry) -> str:
        self._replaceable.pop(entry.key, None)
        self._seq += 1
        return entry.text.replace('"seq":0', f'"seq":{self._seq}', 1)

    def _numbered(self, feed: Feed, entry: _Entry) -> str:
        feed.waiting.popleft()
        if feed.replaceable.get(entry.key) is entry:
            del feed.replaceable[entry.key]
        feed.seq += 1
        # Whoever resumes here must get what still waits: a newer record may have taken an older one's place.
        place = feed.waiting[0].before if feed.waiting else entry.after
        head = f'{{"type":"{entry.kind}{feed.head},"seq":{feed.seq},"cursor":"{feed.cursor(place)}",'
        if entry.kind.startswith("snapshot"):
            return head + entry.text
        return f'{head}"conflated":{entry.conflated},"data":{entry.text}}}'

    def forget(self, feed: Feed) -> None:
        """Leave out all that waits of a subscription."""
        kept = [entry for entry in self._entries if entry.feed is not feed]
        self._entries = deque(kept)
        self._events = deque(entry.queued_at for entry in kept if entry.is_event)
        self.waiting_bytes = sum(len(entry.text) for entry in kept if entry.is_event)
        feed.waiting.clear()
        feed.replaceable.clear()

    def clear(self) -> None:
        """Leave out everything: the client is cut off."""
        for entry in self._entries:
            if entry.feed is not None:
                entry.feed.waiting.clear()
                entry.feed.replaceable.clear()
        self._entries.clear()
        self._events.clear()
        self._replaceable.clear()
        self.waiting_bytes = 0

    def slow(self, now: float) -> str | None:
        """Why the client is to be cut off, or None."""
        if self.waiting_bytes > MAX_BYTES:
            return f"{self.waiting_bytes} bytes of events wait"
        if self._events and now - self._events[0] > MAX_SECONDS:
            return f"an event waits for {now - self._events[0]:.1f} s"
        return None
