"""NormalizeTask crashes at any record boundary of recordings with checksums: books of windows, on two connections."""

import gzip
import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from COBY.config import load_config
from COBY.normalize import NormalizeTask
from COBY.topics import RAW_PARTITIONS, partition_of
from tests.machines import CALM, Crashes
from tests.raw import GRID_NS, START_NS, RawLog

CONNS = st.sampled_from(["c1", "c2"])
FEW = settings(CALM, max_examples=8, stateful_step_count=25)


def frames_of(path, words):
    """The frames received that hold one of these words, or no symbol at all."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [json.loads(line) for line in text.splitlines()]
    frames = [row["frame"] for row in rows if row.get("dir", "in") == "in" and row["frame"]]
    return [frame.encode() for frame in frames if any(word in frame for word in words)]


def new_task(machine):
    partition = partition_of(f"{machine.exchange}-0".encode(), RAW_PARTITIONS)
    return NormalizeTask(machine.config, machine.exchange, partition)


class Recorded(Crashes):
    """``at``: how far each connection has played the recording."""

    exchange = ""
    config = None
    frames = ()

    def __init__(self):
        super().__init__()
        self.log = RawLog(f"{self.exchange}-0")
        self.records = self.log.records
        self.at, self.now_ns = {"c1": 0, "c2": 0}, START_NS
        self.log.mark(self.now_ns)

    def make(self):
        return new_task(self)

    @initialize()
    def connected(self):
        self.log.event(self.now_ns, "connected", "c1")
        self.frames_come("c1", 40)

    @rule(conn=CONNS, count=st.sampled_from([1, 10, 40]))
    def frames_come(self, conn, count):
        for frame in self.frames[self.at[conn] : self.at[conn] + count]:
            self.log.frame(self.now_ns, frame, conn)
        self.at[conn] += count
        self.time_passes(1)

    @rule(conn=CONNS)
    def a_frame_is_missing(self, conn):
        self.at[conn] += 1

    @rule(conn=CONNS, place=st.integers(0, 10**6))
    def a_digit_is_wrong(self, conn, place):
        if self.at[conn] >= len(self.frames):
            return
        frame = self.frames[self.at[conn]]
        digits = [number for number, byte in enumerate(frame) if byte in b"123456789"]
        if digits:
            number = digits[place % len(digits)]
            frame = frame[:number] + bytes([frame[number] % 48 % 9 + 49]) + frame[number + 1 :]
        self.log.frame(self.now_ns, frame, conn)
        self.at[conn] += 1

    @rule(conn=CONNS)
    def connected_again(self, conn):
        self.log.event(self.now_ns, "disconnected", conn)
        self.log._seq.pop(conn, None)
        self.log.event(self.now_ns, "connected", conn)
        self.at[conn] = 0

    @rule(ticks=st.sampled_from([1, 4, 6]))
    def time_passes(self, ticks):
        for _ in range(ticks):
            self.now_ns += GRID_NS
            self.log.mark(self.now_ns)


def live_ticks(machine, frames):
    """Of a run without faults, to know that the recording is understood at all."""
    log = RawLog(f"{machine.exchange}-0")
    log.mark(START_NS)
    log.event(START_NS, "connected")
    for frame in frames:
        log.frame(START_NS, frame)
    log.mark(START_NS + GRID_NS)
    one = new_task(machine)
    one.process(log.records)
    return {
        key[1] for key, count in one.counters().items() if key[0] == "ticks" and key[2] == "live" and count
    }


class Kraken(Recorded):
    exchange = "kraken"
    config = load_config(
        {
            "EXCHANGES": "kraken",
            "SYMBOLS": "KSMBTC,XMRUSD",
            "KRAKEN_SYMBOL_KSMBTC": "KSM/BTC",
            "KRAKEN_SYMBOL_XMRUSD": "XMR/USD",
            "BUCKET_SIZE_KSMBTC": "0.01",
            "BUCKET_SIZE_XMRUSD": "1",
            "HEATMAP_DEPTH": "3",
        }
    )


class Okx(Recorded):
    exchange = "okx"
    config = load_config({"EXCHANGES": "okx", "SYMBOLS": "BTCUSDT", "HEATMAP_DEPTH": "3"})


def test_books_with_checksums_of_kraken_survive_a_crash_at_any_boundary(frames_dir):
    path = frames_dir / "kraken" / "derived_v2_book1000.jsonl.gz"
    Kraken.frames = frames_of(path, ('"channel":"status"', "KSM/BTC", "XMR/USD"))
    assert live_ticks(Kraken, Kraken.frames) == {"KSMBTC", "XMRUSD"}
    run_state_machine_as_test(Kraken, settings=FEW)


def test_books_of_okx_survive_a_crash_at_any_boundary(frames_dir):
    Okx.frames = frames_of(frames_dir / "okx" / "cryptofeed_ws_1_0.jsonl", ('"BTC-USDT"',))
    assert live_ticks(Okx, Okx.frames) == {"BTCUSDT"}
    run_state_machine_as_test(Okx, settings=FEW)
