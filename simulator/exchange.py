"""What an exchange brings to the simulator: its wire (how it writes) and its routes (what it answers)."""

from abc import ABC, abstractmethod

from aiohttp import web

from simulator.hub import Hub
from simulator.sources import Source
from simulator.wire import Wire


class Exchange(ABC):
    """One exchange's endpoints over a hub and a source. Its routes are mounted under `/<name>`."""

    name: str

    def __init__(self, hub: Hub, source: Source) -> None:
        self.hub, self.source = hub, source

    @staticmethod
    @abstractmethod
    def wire() -> Wire:
        """How the exchange writes and is read."""

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """WebSocket and REST, paths without the exchange's prefix."""
