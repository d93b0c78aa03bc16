"""A raw partition written by hand: few frames, round numbers, so that a test can do the arithmetic itself."""

import json
from decimal import Decimal

from tests.reference.recording import in_partition, mark
from tests.reference.settings import Settings

START = 1_700_000_040  # a full minute: 2023-11-14 22:14:00 UTC
START_US = START * 1_000_000


def at_us(seconds: float) -> int:
    """Microseconds of the time `seconds` after START."""
    return START_US + round(seconds * 1_000_000)


def settings(**more: object) -> Settings:
    """One exchange, one symbol, buckets of 10, all in partition 0; `more` changes any of it."""
    usual = {
        "exchanges": ("binance",),
        "symbols": ("BTCUSDT",),
        "bucket_sizes": {"BTCUSDT": Decimal(10)},
        "raw_partitions": 1,
    }
    return Settings(**usual | more)


class Log:
    """Records of one exchange's raw partition, in the order written. Times are seconds after START.

    The frames here are Binance's; by_hand_pushed.py has logs with those of the others.
    """

    exchange = "binance"

    def __init__(self, conn: str = "a", symbol: str = "BTCUSDT") -> None:
        self.conn = conn
        self.symbol = symbol
        self.written: list[dict] = []
        self.seqs: dict[str, int] = {}

    def records(self) -> list[dict]:
        """What was written, with offsets."""
        return in_partition(self.written)

    def marks(self, *seconds: float) -> None:
        """One mark each."""
        for second in seconds:
            self.written.append(mark(self.exchange, at_us(second) * 1000))

    def event(self, second: float, name: str, **more: object) -> None:
        """An event of the producer."""
        head = {"event": name, "exchange": self.exchange, "slot": f"{self.exchange}-0"}
        self.write(second, "event", head | more)

    def depth(self, second: float, first: int, last: int, bids: list, asks: list) -> None:
        """A depthUpdate with update ids first … last."""
        data = {"e": "depthUpdate", "E": 0, "s": self.symbol, "U": first, "u": last, "b": bids, "a": asks}
        self.write(second, "ws", {"stream": "depth", "data": data})

    def snapshot(self, second: float, last: int, bids: list, asks: list, limit: int | None = 5000) -> None:
        """A REST body at update id last."""
        body = {"lastUpdateId": last, "bids": bids, "asks": asks}
        asked = "" if limit is None else f"&limit={limit}"
        url = f"http://localhost/api/v3/depth?symbol={self.symbol}{asked}"
        self.write(second, "http", body, url=url, symbol=self.symbol)

    def trade(
        self, second: float, trade_id: int, price: str, size: str, happened: float | None = None
    ) -> None:
        """A trade bought by its taker; `happened`: the exchange's time where it is not the time received."""
        time_ms = at_us(second if happened is None else happened) // 1000
        data = {
            "e": "trade",
            "s": self.symbol,
            "t": trade_id,
            "p": price,
            "q": size,
            "T": time_ms,
            "m": False,
        }
        self.write(second, "ws", data)

    def write(
        self, second: float, kind: str, value: object, url: str | None = None, symbol: str | None = None
    ) -> None:
        """Any record of the present connection."""
        self.seqs[self.conn] = self.seqs.get(self.conn, 0) + 1
        self.written.append(
            {
                "topic": f"coby.raw.{self.exchange}.v1",
                "key": f"{self.exchange}-0".encode(),
                "value": value if isinstance(value, bytes) else json.dumps(value).encode(),
                "received_ns": at_us(second) * 1000,
                "conn": self.conn,
                "seq": self.seqs[self.conn],
                "kind": kind,
                "url": url,
                "symbol": symbol,
            }
        )
