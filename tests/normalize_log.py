"""Normalize by hand-made records: a raw log in seconds, and what a task makes of it."""

from __future__ import annotations

from COBY.codec import decode
from COBY.config import load_config
from COBY.normalize import NormalizeTask
from COBY.records import BookTick
from COBY.stage import header
from COBY.topics import RAW_PARTITIONS, partition_of
from tests.raw import START_NS, RawLog, book_body

CONFIG = load_config({"SYMBOLS": "BTCUSDT,ETHUSDT", "HEATMAP_DEPTH": "3"})
ONE = load_config({"SYMBOLS": "BTCUSDT", "HEATMAP_DEPTH": "3"})
SECOND_NS = 1_000_000_000
U = 10**8
BIDS, ASKS = [["100.00", "1"], ["95.00", "2"]], [["101.00", "3"]]


def task(config=ONE):
    return NormalizeTask(config, "binance", partition_of(b"binance-0", RAW_PARTITIONS))


def run(log, config=ONE, one=None):
    """The records that a log leads to, dead letters as their outputs."""
    outputs = (one or task(config)).process(log.records)
    return [output if output.topic == "dlq" else decode(output.value) for output in outputs]


def of(found, kind, symbol="BTCUSDT"):
    return [
        record for record in found if isinstance(record, kind) and getattr(record, "symbol", symbol) == symbol
    ]


def dead(found):
    return [header(one.headers, "code").decode() for one in found if hasattr(one, "topic")]


def at(seconds):
    return START_NS + round(seconds * SECOND_NS)


def us(seconds):
    return at(seconds) // 1000


class Log(RawLog):
    """Times in seconds since START; `beat` marks each grid point up to a time, with signs of life."""

    def __init__(self):
        super().__init__()
        self.passed = 0.0
        self.mark(at(0))

    def beat(self, until, *conns):
        while self.passed + 0.5 <= until:
            self.passed += 0.5
            for conn in conns:
                self.event(at(self.passed - 0.01), "alive", conn)
            self.mark(at(self.passed))

    def ws(self, seconds, value, conn="c1"):
        self.frame(at(seconds), value, conn)

    def body(self, seconds, last, bids=BIDS, asks=ASKS, conn="c1", symbol="BTCUSDT"):
        self.frame(at(seconds), book_body(last, bids, asks), conn, "http", symbol=symbol)

    def live(self, conn="c1", last=10, seconds=0.1):
        self.event(at(seconds), "connected", conn)
        self.body(seconds, last, conn=conn)


def started(conn="c1"):
    log = Log()
    log.live(conn)
    return log


def ticks(found, symbol="BTCUSDT"):
    """T in seconds since START -> (live, reason)."""
    return {(one.timestamp - us(0)) / 1e6: (one.live, one.reason) for one in of(found, BookTick, symbol)}


POISON = [
    b"", b"{", b"\xff\xfe", b"NaN", b"[]", b'{"e":"trade"}', b"[" * 200_000, b'{"a":' * 200_000, b"x" * 5_000_000,
    b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"1e400","q":"1","T":1,"m":true}}',
    b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"1","q":"-1","T":1,"m":true}}',
    b'{"stream":"btcusdt@trade","data":{"s":"' + b"X" * 1_000_000 + b'","t":1,"p":"1","q":"1","T":1,"m":true}}',
]  # fmt: skip


def shown(found):
    return [one.conn for one in of(found, BookTick)]
