"""The database behind the pipeline."""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from COBY.models import OrderBookSnapshot, TradeEvent


class StorageManager(ABC):
    """Stores and finds rows, one at a time, by the same inner functions as the sink.

    Raises StorageError `db.…` when the database can't be reached or refuses.
    """

    @abstractmethod
    async def store_orderbook(self, data: OrderBookSnapshot) -> bool:
        """Store one book, replacing the row of its (timestamp, symbol, exchange); True once committed."""

    @abstractmethod
    async def store_trade(self, data: TradeEvent) -> bool:
        """Store one trade; its (timestamp, symbol, exchange, trade_id) stays one row. True once committed."""

    @abstractmethod
    async def get_historical_data(self, symbol: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """The rows of `symbol` from `start` (included) to `end` (excluded), oldest first.

        Times need an offset (else `time.naive`); columns are those of the tables, decimals as Decimal.
        """

    @abstractmethod
    async def get_latest_data(self, symbol: str) -> dict[str, Any]:
        """The newest of each kind for `symbol`; empty if there is none."""

    @abstractmethod
    def setup_database_schema(self) -> None:
        """Create or migrate the tables; doing it twice changes nothing."""
