"""One simulated exchange's protocol, pure: text in, messages out. Sockets, clocks and waiting belong to who drives it.

Two drive it: the server (aiohttp, the wall's clock), and the tests' virtual world (in memory, a clock of their own).
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from simulator.limits import Limits
from simulator.sources import Source
from simulator.wire import Frame, Wire


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer: a REST body, or a refused handshake. ``symbol``: the one whose book the body holds."""

    status: int
    body: str
    headers: dict[str, str] = {}
    content_type: str = "application/json"
    symbol: str | None = None


class Close(msgspec.Struct, frozen=True):
    """The exchange closes the connection. ``reason`` is the ledger's word for it, ``message`` what the client sees."""

    code: int
    reason: str
    message: str = ""


Reply = str | bytes | Close
"""What goes to one client: a text message, a binary one, or the end. Those of one call are written in order with
nothing in between.
"""


class Peer(ABC):
    """One client's connection, as the exchange sees it. Times are microseconds UTC of the driver's clock."""

    def __init__(self) -> None:
        self.streams: dict[str, None] = {}
        """What it has subscribed to: it gets every frame of these streams from now on."""
        self.broken: Counter[str] = Counter()
        """Limits of the exchange's own that the client broke, by name; the driver takes them from here."""

    @abstractmethod
    def opened(self, now_us: int) -> list[Reply]:
        """The handshake is done: what the exchange says first."""

    @abstractmethod
    def received(self, text: str, now_us: int) -> list[Reply]:
        """A text message came. Subscriptions are in force when this returns; its replies go before any frame."""

    @abstractmethod
    def timer(self, now_us: int) -> list[Reply]:
        """About once a second: heartbeats, and the close of a client who owed something."""

    @abstractmethod
    def render(self, frame: Frame) -> str | bytes:
        """A frame as this connection wants it: a text message, or a binary one."""

    def farewell(self, now_us: int) -> list[Reply]:
        """What the exchange says some seconds before a close that it has planned; nothing on most."""
        return []

    def tick_changed(self, symbol: str, now_us: int) -> list[Reply]:
        """What the exchange says when a symbol's tick size has changed; nothing on most."""
        return []


class Venue(ABC):
    """One exchange."""

    name: ClassVar[str]
    """Its key, and where the server mounts it: everything below `/<name>/` is its own."""
    LIMITS: ClassVar[Limits]
    """The exchange's own figures for what the driver sees to."""
    books_by_rest: ClassVar[bool] = False
    """Its books begin with a REST answer."""
    has_copies: ClassVar[bool] = False
    """Its snapshots are asked for, and may be older than what was sent already."""
    says_farewell: ClassVar[bool] = False
    """It announces a close that it has planned (`Peer.farewell`)."""
    copies_held_until_us: int = 0
    """Until then snapshots that are asked for on the socket are not renewed."""
    base_url: str = ""
    """Where the client who is being answered reaches it (`ws://127.0.0.1:9010/<name>`), for exchanges whose answers
    say where to connect. The driver sets it before each call.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        """limits: those in force, LIMITS or a change of them."""
        self.source, self.limits = source, limits

    @staticmethod
    @abstractmethod
    def wire() -> Wire:
        """How the exchange writes and is read."""

    @abstractmethod
    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        """A WebSocket handshake at ``path`` (without the exchange's prefix), accepted or refused."""

    @abstractmethod
    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """A GET."""

    def weight(self, path: str, query: Mapping[str, str]) -> int:
        """What a GET counts of the REST limit of its address."""
        return 1

    def post(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        """A POST, whose body says nothing."""
        return Answer(404, "Not Found", content_type="text/plain")
