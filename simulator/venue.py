"""One simulated exchange's protocol, pure: text in, text out. Sockets, clocks and waiting belong to who drives it.

Two drive it: the server (aiohttp, the wall's clock), and the tests' virtual world (in memory, a clock of their own).
"""

from abc import ABC, abstractmethod
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


Reply = str | Close
"""What goes to one client. The messages of one call are written in order with nothing in between."""


class Peer(ABC):
    """One client's connection, as the exchange sees it. Times are microseconds UTC of the driver's clock."""

    def __init__(self) -> None:
        self.streams: dict[str, None] = {}
        """What it has subscribed to: it gets every frame of these streams from now on."""

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
    def render(self, frame: Frame) -> str:
        """A frame as this connection wants it."""


class Venue(ABC):
    """One exchange."""

    name: ClassVar[str]
    """Its key, and where the server mounts it: everything below `/<name>/` is its own."""
    LIMITS: ClassVar[Limits]
    """The exchange's own figures for what the driver sees to."""

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
