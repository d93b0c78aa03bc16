"""Raw records made by hand, as producers and clock would have written them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from COBY.stage import StoredRecord

GRID_NS = 500_000_000
START_NS = 1_700_000_000_000_000_000  # on the grid, and on a second


class RawLog:
    """One raw partition: offsets 0, 1, 2 …, seq 1, 2, 3 … a connection."""

    def __init__(self, slot: str = "binance-0") -> None:
        self.slot = slot
        self.records: list[StoredRecord] = []
        self._seq: dict[str, int] = {}

    def mark(self, ns: int) -> None:
        self._add("clock", ns, "clock", 0, "mark", b"")

    def frame(self, ns: int, value: Any, conn: str = "c1", kind: str = "ws", **headers: str) -> None:
        self._seq[conn] = self._seq.get(conn, 0) + 1
        body = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        self._add(self.slot, ns, conn, self._seq[conn], kind, body, **headers)

    def event(self, ns: int, name: str, conn: str = "c1", **more: Any) -> None:
        self.frame(ns, {"event": name, **more}, conn, "event")

    def skip_seq(self, conn: str = "c1") -> None:
        self._seq[conn] += 1

    def _add(
        self, key: str, ns: int, conn: str, seq: int, kind: str, value: bytes | None, **headers: str
    ) -> None:
        named = {"received_ns": str(ns), "conn": conn, "seq": str(seq), "kind": kind, **headers}
        pairs = [(name, text.encode()) for name, text in named.items()]
        self.records.append(StoredRecord(len(self.records), ns // 1_000_000, key.encode(), value, pairs))


def depth(
    first: int,
    last: int,
    bids: list[list[str]],
    asks: list[list[str]],
    symbol: str = "BTCUSDT",
    ms: int = 1_700_000_000_000,
) -> Any:
    data = {
        "e": "depthUpdate",
        "E": ms,
        "s": symbol,
        "U": first,
        "u": last,
        "b": bids,
        "a": asks,
    }
    return {"stream": f"{symbol.lower()}@depth@100ms", "data": data}


def trade(number: int, price: str, size: str, ms: int, sell: bool = False, symbol: str = "BTCUSDT") -> Any:
    data = {
        "e": "trade",
        "E": ms,
        "s": symbol,
        "t": number,
        "p": price,
        "q": size,
        "T": ms,
        "m": sell,
        "M": True,
    }
    return {"stream": f"{symbol.lower()}@trade", "data": data}


def book_body(last: int, bids: list[list[str]], asks: list[list[str]]) -> Any:
    return {"lastUpdateId": last, "bids": bids, "asks": asks}


def recorded(path: Path, channels: tuple[str, ...] = ("depth", "trade", "rest")) -> Iterator[dict[str, Any]]:
    """Rows of a recording whose channel begins with one of these."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            if row["channel"].startswith(channels):
                yield row


def recording_log(path: Path, limit: int | None = None) -> RawLog:
    """The Binance recording as a raw partition, with a mark at each grid point passed."""
    log, marked = RawLog(), 0
    for number, row in enumerate(recorded(path)):
        if limit is not None and number >= limit:
            break
        ns = row["received_at_ns"]
        if ns // GRID_NS > marked:
            marked = ns // GRID_NS
            log.mark(marked * GRID_NS)
        body = row["frame"].encode()
        if row["dir"] == "http":
            log.frame(ns, body, kind="http", symbol="BTCUSDT")
        else:
            log.frame(ns, body)
    for after in range(1, 9):
        log.mark((marked + after) * GRID_NS)
    return log
