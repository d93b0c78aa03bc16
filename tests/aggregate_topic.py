"""The book topic of several exchanges by hand, and what an aggregate task makes of it."""

from COBY.aggregate import AggregateTask
from COBY.book import Book
from COBY.codec import decode, encode
from COBY.config import Config
from COBY.exchanges.base import Snapshot
from COBY.records import Bar, Heatmap
from COBY.stage import StoredRecord, header
from COBY.ticks import blind_tick, book_tick

U = 10**8
GRID = 500_000
START = 1_700_000_000_000_000
NAMES = ("a", "b", "c")
CONFIG = Config(exchanges=("c", "a", "b"), symbols=("BTCUSDT", "ETHUSDT"), heatmap_depth=5)


def task(config=CONFIG):
    return AggregateTask(config, 0)


def bars(exchange, number):
    """One trade in each tick, its size telling whose it is."""
    at = START + (number - 1) * GRID + 100
    price, size = (100 + number) * U, (ord(exchange) - 96) * U
    return [Bar(at // 10**6 * 10**6, price, price, price, price, size, 1, at, number, at, number)]


def tick(exchange, number, symbol="BTCUSDT", live=True, size=None):
    """Number n is the tick START + n * GRID."""
    bucket = size or CONFIG.bucket_size_units(symbol)
    at = START + number * GRID
    if not live:
        return blind_tick(symbol, exchange, at, bucket, "disconnected", bars(exchange, number))
    book, step = Book(bucket), ord(exchange) - 97
    bids = [(str(1000 - step - number % 3), "1"), (str(985 - step), "2")]
    book.snapshot(Snapshot(symbol, bids, [(str(1001 + step), "3")], number, None))
    return book_tick(symbol, exchange, at, 5, bucket, book, "c1", bars(exchange, number))


class Topic:
    """A partition of the book topic: offsets 0, 1, 2 …, each exchange a source with positions of its own."""

    def __init__(self):
        self.records = []
        self._next = {}

    def add(self, record, place=None, **headers):
        source = f"raw.{record.exchange}.v1/0"
        place = self._next.setdefault(source, 0) if place is None else place
        self._next[source] = max(self._next[source], place + 1) if source in self._next else place + 1
        named = {"source": source, "position": f"{place}:0"} | headers
        self.raw(
            encode(record), [(name, text.encode()) for name, text in named.items()], record.symbol.encode()
        )

    def raw(self, value, headers=(), key=b"BTCUSDT"):
        self.records.append(StoredRecord(len(self.records), START // 1000, key, value, list(headers)))


def values(outputs, kind=Heatmap, symbol="BTCUSDT"):
    found = [decode(one.value) for one in outputs if one.topic != "dlq"]
    return [record for record in found if isinstance(record, kind) and record.symbol == symbol]


def numbers(outputs):
    return [(one.timestamp - START) // GRID for one in values(outputs)]


def codes(outputs):
    return [header(one.headers, "code").decode() for one in outputs if one.topic == "dlq"]
