"""Logs by hand of the exchanges that push their snapshots: Kraken v2 and OKX."""

import zlib

from tests.reference.by_hand import Log, at_us

Texts = list[tuple[str, str]]


class KrakenLog(Log):
    """Kraken v2. Numbers are given as texts and stand in the frames as they are, without quotes."""

    exchange = "kraken"
    wire_symbol = "BTC/USDT"

    def instrument(self, second: float, price_precision: int, qty_precision: int) -> None:
        """The pair's precision."""
        pair = {
            "symbol": self.wire_symbol,
            "price_precision": price_precision,
            "qty_precision": qty_precision,
        }
        self.write(
            second,
            "ws",
            {"channel": "instrument", "type": "snapshot", "data": {"assets": [], "pairs": [pair]}},
        )

    def book(self, second: float, kind: str, bids: Texts, asks: Texts, digits: str) -> None:
        """A snapshot or update; digits: what the checksum is made of, written out by the test."""
        entry = (
            f'{{"symbol":"{self.wire_symbol}","bids":{self.levels(bids)},"asks":{self.levels(asks)},'
            f'"checksum":{zlib.crc32(digits.encode())},"timestamp":"2023-11-14T22:14:00.000000Z"}}'
        )
        self.write(second, "ws", f'{{"channel":"book","type":"{kind}","data":[{entry}]}}'.encode())

    def levels(self, texts: Texts) -> str:
        """[{"price": n, "qty": n}, …]."""
        return "[" + ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in texts) + "]"

    def deals(self, second: float, kind: str, *deals: tuple[int, str, str, str]) -> None:
        """A trade message with (id, side, price, size) each, of the time 22:14:00.25, a quarter past START."""
        entries = [
            f'{{"symbol":"{self.wire_symbol}","side":"{side}","price":{price},"qty":{size},"ord_type":"market",'
            f'"trade_id":{trade_id},"timestamp":"2023-11-14T22:14:00.250000Z"}}'
            for trade_id, side, price, size in deals
        ]
        self.write(
            second, "ws", f'{{"channel":"trade","type":"{kind}","data":[{",".join(entries)}]}}'.encode()
        )


class OkxLog(Log):
    """OKX."""

    exchange = "okx"
    wire_symbol = "BTC-USDT"

    def books(
        self,
        second: float,
        action: str,
        bids: Texts,
        asks: Texts,
        last: int | None = None,
        previous: int | None = None,
        checksum: int | None = None,
    ) -> None:
        """A snapshot or update; a number that is None is no field of the frame."""
        entry = {
            "bids": [[price, size, "0", "1"] for price, size in bids],
            "asks": [[price, size, "0", "1"] for price, size in asks],
            "ts": "1700000040000",
        }
        numbers = {"checksum": checksum, "seqId": last, "prevSeqId": previous}
        entry |= {name: value for name, value in numbers.items() if value is not None}
        arg = {"channel": "books", "instId": self.wire_symbol}
        self.write(second, "ws", {"arg": arg, "action": action, "data": [entry]})

    def deal(self, second: float, trade_id: str, side: str, price: str, size: str) -> None:
        """A trade at the time it was received."""
        entry = {
            "instId": self.wire_symbol,
            "tradeId": trade_id,
            "px": price,
            "sz": size,
            "side": side,
            "ts": str(at_us(second) // 1000),
        }
        arg = {"channel": "trades", "instId": self.wire_symbol}
        self.write(second, "ws", {"arg": arg, "data": [entry]})


def signed_crc32(text: str) -> int:
    """CRC32 as OKX writes it: with the 32nd bit as a sign."""
    found = zlib.crc32(text.encode())
    return found if found < 2**31 else found - 2**32
