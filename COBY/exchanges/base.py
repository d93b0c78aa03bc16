"""The contract of an exchange: a connection is a value. Bytes in, lists of events and commands out; no socket.

An exchange file offers ``EXCHANGE``, an object of the protocol `Exchange`, in two halves:

* the *session half* (`Session`), used by a producer: where to connect, what to send, what to fetch and when, what
  counts as acknowledgement, refusal, farewell. One session per connection;
* the *decoding half* (`Decoder`), used by normalize and ``coby decode``: frame -> trades, snapshots, deltas, losses,
  with the exchange's continuity rule. One decoder per connection; its state can be saved and loaded.

Lists, not iterators: an iterator stopped halfway would leave the state half updated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from COBY.channels import Heard
from COBY.limits import Limits

Levels = Sequence[tuple[str, str]]
"""(price, size) in the exchange's own decimal text; size is absolute, a size of zero removes the level."""


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading a frame's JSON raises. NumberError, a ValueError, comes besides."""


def not_ours(frame: bytes) -> bool:
    """Whether a frame is a JSON array: on exchanges that speak in objects it belongs to another channel or protocol."""
    return frame.lstrip()[:1] == b"[" and bool(msgspec.json.decode(frame))


class Event(msgspec.Struct, frozen=True, gc=False):
    """Base of what a decoder returns."""


class Trade(Event, frozen=True, gc=False):
    """A trade. ``side`` is the taker's; ``time_us`` the exchange's trade time; ``history``: sent on subscribing."""

    symbol: str
    price: str
    size: str
    side: str
    trade_id: str | None
    time_us: int
    history: bool = False


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """A whole book: discards what was before.

    ``limited``: cut at a number of levels a side, while the updates after it are not. ``depth``: the exchange keeps
    the best so many levels a side, and so do its updates: what falls out of this window is known no more.
    ``checksum``: the exchange's own, of the book as it stands after this event.
    """

    symbol: str
    bids: Levels
    asks: Levels
    sequence_id: int | None
    time_us: int | None
    limited_bids: bool = False
    limited_asks: bool = False
    depth: int | None = None
    checksum: int | None = None


class Delta(msgspec.Struct, frozen=True, tag="delta"):
    """Changes ``first_id`` … ``sequence_id`` of a book, which continue its proven sequence: the decoder checked.

    ``checksum`` is left to whoever holds the book: see `Checksum`.
    """

    symbol: str
    bids: Levels
    asks: Levels
    first_id: int | None
    sequence_id: int | None
    time_us: int | None
    checksum: int | None = None


class Lost(Event, frozen=True, gc=False):
    """The sequence of a book is broken: it is blind until its next snapshot. ``reason``: sequence_gap or checksum.

    ``renewing``: its session is about to bring that snapshot, so nobody asks for it.
    """

    symbol: str
    reason: str
    detail: str
    renewing: bool = False


class Stale(Event, frozen=True, gc=False):
    """A snapshot that can't be joined to the updates held, so that another is wanted; the book stays as it was."""

    symbol: str
    reason: str
    detail: str


class Repeated(Event, frozen=True, gc=False):
    """The exchange sent an update once more on this connection, or late: passed over. None: of which symbol is unknown.

    What is older than a snapshot just joined is none: it was on its way.
    """

    symbol: str | None = None


class NotListed(Event, frozen=True, gc=False):
    """The exchange says that it does not have the symbol: not_listed, not broken."""

    symbol: str
    detail: str


class Rejected(Event, frozen=True, gc=False):
    """A frame, or part of one, that can't be used. ``code`` is stable (``frame.…``); goes to the dead letters."""

    code: str
    detail: str
    symbol: str | None = None

    @staticmethod
    def of(error: Exception) -> Rejected:
        """What reading a frame raised: ``frame.shape``, ``frame.json``, else ``frame.number``."""
        if isinstance(error, msgspec.ValidationError):
            return Rejected("frame.shape", str(error))
        if isinstance(error, UNREADABLE):
            return Rejected("frame.json", str(error))
        return Rejected("frame.number", str(error))

    @staticmethod
    def unknown(exchange_symbol: str) -> Rejected:
        """A symbol that is none of the connection's."""
        return Rejected("frame.unknown_symbol", f"{exchange_symbol!r} was not subscribed")

    @staticmethod
    def empty_trade(size: str, symbol: str) -> Rejected:
        """A trade of size zero."""
        return Rejected("frame.number", f"a trade of size {size!r}, allowed: > 0", symbol)


class Notice(Event, frozen=True, gc=False):
    """Something the exchange said of itself, as a farewell; written as a status by ``coby decode``."""

    state: str
    detail: str


AnyEvent = Trade | Snapshot | Delta | Lost | Stale | Repeated | NotListed | Rejected | Notice


class Decoder(Protocol):
    """The decoding half, for one connection."""

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        """Events of one frame (``kind`` ``ws``) or REST body (``http``, with its ``symbol`` or ``url``), in order.

        Never raises for what a frame holds: what can't be used is a `Rejected`. Frames of other channels,
        acknowledgements and heartbeats give an empty list or a `Notice`.
        """

    def expect_snapshot(self, symbol: str, proven: bool) -> None:
        """A snapshot will come: hold updates from now on so that it can be joined.

        ``proven`` False: the book was found wrong, its updates count no more before that snapshot.
        """

    def met(self) -> frozenset[str]:
        """Symbols of the books that it has met a frame of."""

    def save(self) -> object:
        """The state as plain lists, dicts, strings and ints."""

    def load(self, state: object) -> None:
        """Replace the state by one that ``save`` returned."""


class Connect(msgspec.Struct, frozen=True):
    """Open a WebSocket to ``url``, and further ones to ``more``: one connection, which ends with any of them.

    The sockets are numbered, ``url`` 0 and ``more`` from 1 on. Their frames are one sequence, in the order in which
    they were received.
    """

    url: str
    more: tuple[str, ...] = ()


class Ask(msgspec.Struct, frozen=True):
    """Request ``url`` before connecting, and call ``connect`` again with the body of the answer.

    The body is not published, as it may hold a token, nor is the query of the urls that follow from it.
    """

    url: str
    method: str = "GET"


class Send(msgspec.Struct, frozen=True):
    """Send a text message on the socket of that number; None: on the one that the frame being answered came on.

    Outside ``received`` None means socket 0.
    """

    text: str
    socket: int | None = None


class Fetch(msgspec.Struct, frozen=True):
    """GET ``url`` after ``delay_seconds`` and publish its body as a record of this connection, for ``symbol``."""

    url: str
    symbol: str
    delay_seconds: float = 0.0


class Acknowledged(msgspec.Struct, frozen=True):
    """The exchange confirmed the subscription of these channels for these symbols (canonical names)."""

    symbols: tuple[str, ...]
    channels: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True):
    """The exchange refused a subscription; ``symbol`` None: the request as a whole, so the connection is given up.

    ``not_listed``: because it does not have the symbol. Any other refusal of a symbol is for the session to try
    again.
    """

    symbol: str | None
    reason: str
    not_listed: bool = False


class Farewell(msgspec.Struct, frozen=True):
    """The exchange will close this connection: make another at once."""

    reason: str


Command = Connect | Send | Fetch | Acknowledged | Refused | Farewell


class Session(Protocol):
    """The session half, for one connection. Times are seconds since 1970, of a clock that never steps (WallClock)."""

    heard: Heard
    """Which book or trades a frame belongs to, for the watchdog over silent channels: see `COBY.channels`."""

    def connect(self, answer: bytes | None = None) -> Connect | Ask:
        """Where to connect, or what to ask before: then called again with the ``answer``'s body.

        ValueError, saying what is wrong, for an answer that can't be used: the attempt has failed.
        """

    def opened(self, now: float) -> list[Command]:
        """The socket is open: what to send first."""

    def received(self, frame: bytes, now: float) -> list[Command]:
        """A frame came (it is published whatever this returns). Cheap for data frames."""

    def timer(self, now: float) -> list[Command]:
        """Called about once a second: what keeping alive needs, what is overdue (an unanswered subscription)."""

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        """normalize asked for a new snapshot of a symbol, so long ago: one subscribed since may be what it wants."""

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        """``book`` or ``trade`` of a symbol is silent, though confirmed: subscribe it anew. Its book stays provable."""


class Endpoints(msgspec.Struct, frozen=True):
    """Where an exchange is reached: its defaults, or the settings ``<EXCHANGE>_WS_URL`` and ``<EXCHANGE>_REST_URL``."""

    ws_url: str
    rest_url: str


class Checksum(NamedTuple):
    """An exchange's checksum: ``of`` (bids, asks), the best ``levels`` a side as the exchange writes them, best first.

    Only a `Snapshot` or `Delta` that carries one is checked; the book is blind (``checksum``) if they differ.
    """

    levels: int
    of: Callable[[Levels, Levels], int]


class Exchange(Protocol):
    """One exchange."""

    name: str
    endpoints: Endpoints
    symbols_per_slot: int
    """At most so many symbols share a socket."""
    silence_seconds: float
    """Frames of a connection may be missing for so long on a market with traffic before its books are ``stale``."""
    checksum: Checksum | None
    """How its books are checked, None where the sequence alone proves them."""
    limits: Limits
    """What it allows all connections of an address together: see `Limits`."""

    def exchange_symbol(self, symbol: str) -> str:
        """The exchange's name of a canonical symbol, by its rule (a setting may override it)."""

    def listing(self, rest_url: str) -> str:
        """The url, below ``rest_url``, that a GET of says which symbols the exchange has."""

    def listed(self, body: bytes) -> dict[str, str]:
        """What that body lists for trading now: canonical symbol -> exchange symbol. ValueError if it can't be used."""

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> Session:
        """A session for one socket; ``symbols`` maps exchange symbol -> symbol."""

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        """A decoder for one connection; ``symbols`` maps exchange symbol -> symbol (empty: any, names canonical)."""


class Slot(msgspec.Struct, frozen=True):
    """A fixed group of symbols of one exchange, served together: ``symbols`` maps exchange symbol -> symbol."""

    name: str
    exchange: str
    symbols: dict[str, str]


def slots(exchange: Exchange, symbols: Mapping[str, str | None], max_connections: int) -> list[Slot]:
    """Spread symbols (symbol -> exchange symbol, None = not listed) over slots of ``max_connections`` sockets in all.

    At least one slot, and as few as ``symbols_per_slot`` wants; whether they are enough is the caller's to check.

    Not-listed symbols belong to a slot too (normalize emits their blind ticks) but are not subscribed: they map
    from ``"!" + symbol``, a name no exchange has.
    """
    ordered = sorted(symbols)
    wanted = -(-len(ordered) // exchange.symbols_per_slot)
    count = max(1, min(max_connections // exchange.limits.sockets, wanted))
    return [
        Slot(
            f"{exchange.name}-{number}",
            exchange.name,
            {symbols[name] or f"!{name}": name for name in ordered[number::count]},
        )
        for number in range(count)
    ]
