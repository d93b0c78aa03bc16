"""The connector to one exchange."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from COBY.models import ConnectionStatus


class ExchangeConnector(ABC):
    """One exchange, connected: subscriptions by symbol, data by callback.

    Symbols are COBY's (`BTCUSDT`), whatever the exchange calls them.
    """

    @abstractmethod
    async def connect(self) -> bool:
        """Connect; True once the exchange answers, False if it is out of reach (see the status's `error`)."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Disconnect and wait until the sockets are closed; disconnecting twice is no error."""

    @abstractmethod
    async def subscribe_orderbook(self, symbol: str) -> None:
        """Subscribe to the book of `symbol`; `config.unknown_symbol` or an ExchangeError if that can't be."""

    @abstractmethod
    async def subscribe_trades(self, symbol: str) -> None:
        """Subscribe to the trades of `symbol`; errors as for the book."""

    @abstractmethod
    def get_connection_status(self) -> ConnectionStatus:
        """How the connection stands now; never raises and never waits."""

    @abstractmethod
    def add_data_callback(self, callback: Callable[..., Any]) -> None:
        """Have `callback` called with everything that arrives, in order, after the callbacks before it."""
