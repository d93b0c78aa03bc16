"""What mishaps make of what an exchange sends and answers. Pure: whoever drives the exchange tells the time.

The driver asks for each frame that somebody listens to (`Mischief.fate`), renders it for each socket, numbers and all,
and has the socket's `Pipe` say what of it gets through. So a connection's own numbers show a hole, as behind a network.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from simulator.mishaps import FRAMES, Mishap
from simulator.venue import Answer
from simulator.wire import Frame, Wire

Message = str | bytes
REFUSED = {
    403: "Forbidden",
    418: "I'm a teapot",
    429: "Too many requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
ANSWERS_KEPT = 64
BANS = (418, 429)
UNREADABLE = b"\xff"
"""No first byte of UTF-8, of gzip, or of a protobuf field."""


class Sent(msgspec.Struct, frozen=True):
    """A message on its way to a client: `payload` as the client gets it, bytes and all; `is_text` by its opcode."""

    payload: bytes
    is_text: bool
    frame: Frame | None = None
    mark: object = None
    is_spoilt: bool = False

    @classmethod
    def of(cls, message: Message, frame: Frame | None = None, mark: object = None) -> "Sent":
        """An unspoilt message. mark: whatever the driver wants to know of it when it arrives."""
        is_text = isinstance(message, str)
        return cls(message.encode() if isinstance(message, str) else message, is_text, frame, mark)


class Pipe:
    """One socket: what is held back in it, and whether anything arrives at all."""

    def __init__(self) -> None:
        self.is_dead = False
        """Half-open: nothing arrives any more, in either direction."""
        self.stalled_us = self._mute_us = 0
        self._held: list[tuple[str, Sent]] = []
        self._waiting: deque[Sent] = deque()

    @property
    def is_clear(self) -> bool:
        """Whether everything simply passes."""
        return not (self.is_dead or self.stalled_us or self._held)

    def frame(self, sent: Sent, fate: str, now_us: int, spoil: Callable[[Sent], Sent]) -> list[Sent]:
        """A market frame under its fate; returns what arrives now, in order."""
        assert sent.frame is not None
        if fate == "drop_frames":
            return []
        if fate == "swap_frames":
            self._held.append((sent.frame.stream, sent))
            return []
        out = [spoil(sent)]
        if fate == "repeat_frames":
            out.append(sent)
        late = [one for stream, one in self._held if stream == sent.frame.stream]
        if late:
            self._held = [one for one in self._held if one[0] != sent.frame.stream]
        return self._through([*out, *late], now_us)

    def replies(self, sent: list[Sent], now_us: int) -> list[Sent]:
        """Answers. What was to follow a later frame is told before them: a new subscription begins anew."""
        late, self._held = [one for _, one in self._held], []
        return self._through([*late, *sent], now_us)

    def answers(self, text: str, now_us: int) -> bool:
        """Whether a request is answered: pings may not be."""
        return not self.is_dead and not (now_us < self._mute_us and "ping" in text.lower())

    def pongs(self, now_us: int) -> bool:
        """Whether a ping of the socket's own kind is answered."""
        return not self.is_dead and now_us >= self._mute_us

    def stall(self, until_us: int) -> None:
        """Nothing arrives before then, and all at once after it."""
        self.stalled_us = max(self.stalled_us, until_us)

    def mute(self, until_us: int) -> None:
        """No ping is answered before then."""
        self._mute_us = max(self._mute_us, until_us)

    def due(self, now_us: int) -> list[Sent]:
        """What a stall held back, once it is over."""
        if self.is_dead or now_us < self.stalled_us or not self._waiting:
            return []
        out, self._waiting, self.stalled_us = list(self._waiting), deque(), 0
        return out

    def _through(self, sent: list[Sent], now_us: int) -> list[Sent]:
        if self.is_dead:
            return []
        self._waiting.extend(sent)
        return self.due(now_us)


class Mischief:
    """What goes wrong with one exchange at present."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._armed: list[Mishap] = []
        self._doors: list[tuple[Mishap, int]] = []
        self._trades: dict[str, int] = {}
        self._answers: dict[tuple[str, tuple[tuple[str, str], ...]], Answer] = {}
        self._random = random.Random(0)

    def arm(self, mishap: Mishap, now_us: int) -> None:
        """From now on: of frames for the next `count`, of doors for `lasts_us`, of trades for the next subscription."""
        if mishap.kind in FRAMES:
            self._armed.append(mishap)
            self._random.seed(mishap.seed)
        elif mishap.kind == "stale_trades":
            self._trades[mishap.symbol or ""] = mishap.count
        else:
            self._doors.append((mishap, now_us + mishap.lasts_us))

    @property
    def is_armed(self) -> bool:
        """Whether any frame has to fear anything."""
        return bool(self._armed)

    def fate(self, frame: Frame) -> str:
        """What becomes of a frame that somebody gets; empty: nothing. Counts it."""
        for place, mishap in enumerate(self._armed):
            if self._hits(mishap, frame):
                if mishap.count > 1:
                    self._armed[place] = msgspec.structs.replace(mishap, count=mishap.count - 1)
                else:
                    del self._armed[place]
                return mishap.kind
        return ""

    def spoil(self, fate: str) -> Callable[[Sent], Sent]:
        """What a frame's fate does to its bytes."""
        if fate == "corrupt_frames":
            return self._corrupted
        if fate == "wrong_checksum":
            return self._miscounted
        return lambda sent: sent

    def handshake(self, now_us: int) -> Answer | None:
        """How a client who wants in is refused, if he is."""
        door = self._door("refuse_connect", now_us)
        return None if door is None else _refusal(door[0].code, None)

    def rest(
        self, path: str, query: Mapping[str, str], now_us: int, answer: Callable[[], Answer]
    ) -> tuple[Answer, int]:
        """A REST answer, and how many microseconds late it is."""
        if (door := self._door("refuse_rest", now_us)) is not None:
            return _refusal(door[0].code, max(1, -(-(door[1] - now_us) // 1_000_000))), 0
        if (door := self._door("fail_rest", now_us)) is not None and door[0].code != 200:
            return _refusal(door[0].code, None), 0
        key = (path, tuple(sorted(query.items())))
        kept = self._answers.get(key) if self._door("old_snapshot", now_us) is not None else None
        given = kept or answer()
        if given.symbol is not None and given.status == 200:
            self._answers[key] = given
            if len(self._answers) > ANSWERS_KEPT:
                del self._answers[next(iter(self._answers))]
        if door is not None:  # a body that breaks off
            given = msgspec.structs.replace(given, body=given.body[: len(given.body) // 2])
        slow = self._door("slow_rest", now_us)
        return given, 0 if slow is None else max(0, slow[1] - now_us)

    def stale_trades(self, stream: str, frames: tuple[Frame, ...]) -> list[Frame]:
        """The last trades of a symbol once more, for who has just subscribed to their stream."""
        count = self._trades.get(frames[-1].symbol, 0) if frames and frames[-1].stream == stream else 0
        if count:
            del self._trades[frames[-1].symbol]
        return list(frames[-count:]) if count else []

    def _hits(self, mishap: Mishap, frame: Frame) -> bool:
        if mishap.symbol not in (None, frame.symbol):
            return False
        if mishap.kind == "wrong_checksum":
            return self._wire.wrong_checksum(frame.text) is not None
        channel = "depth" if frame.last_id else "trade" if frame.trade is not None else None
        return channel is not None and mishap.channel in ("", channel)

    def _door(self, kind: str, now_us: int) -> tuple[Mishap, int] | None:
        self._doors = [one for one in self._doors if now_us < one[1]]
        return next((one for one in self._doors if one[0].kind == kind), None)

    def _corrupted(self, sent: Sent) -> Sent:
        """Cut off, or its first byte another: nobody can read it."""
        size = len(sent.payload)
        payload = UNREADABLE + sent.payload[1:]
        if self._random.randrange(2):
            payload = sent.payload[: self._random.randrange(size // 2, size)]
        return msgspec.structs.replace(sent, payload=payload, is_spoilt=True)

    def _miscounted(self, sent: Sent) -> Sent:
        text = self._wire.wrong_checksum(sent.payload.decode())
        assert isinstance(text, str)
        return msgspec.structs.replace(sent, payload=text.encode())


def _refusal(status: int, wait_seconds: int | None) -> Answer:
    headers = {"Retry-After": str(wait_seconds)} if wait_seconds is not None and status in BANS else {}
    return Answer(status, REFUSED[status], headers, "text/plain")
