"""core_vs_parse: the pure pipeline (decode, validate, book, continuity, ticks) against parsing the same frames only."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec.json import Decoder

from COBY.config import load_config
from COBY.exchanges.binance import WrappedDepth, WrappedTrade
from COBY.normalize import NormalizeTask
from COBY.topics import partition_of
from tests.raw import recording_log

CHUNK = 500


def measure(recording: Path, rounds: int) -> dict[str, float]:
    """Frames per second of both sides (the best of ``rounds``, taken in turn) and their ratio."""
    log = recording_log(recording)
    frames = [record.value for record in log.records if dict(record.headers)["kind"] == b"ws"]
    config = load_config({"SYMBOLS": "BTCUSDT"})
    partition = partition_of(log.slot.encode(), 4)
    chunks = [log.records[at : at + CHUNK] for at in range(0, len(log.records), CHUNK)]
    depths, trades = Decoder(WrappedDepth), Decoder(WrappedTrade)

    def parse() -> None:
        for frame in frames:
            (depths if frame.find(b"@depth", 0, 40) > 0 else trades).decode(frame)

    def core() -> None:
        task = NormalizeTask(config, "binance", partition)
        for chunk in chunks:
            task.step(chunk)

    best = {"parse": 0.0, "core": 0.0}
    for _ in range(rounds):
        best["parse"] = max(best["parse"], len(frames) / seconds(parse))
        best["core"] = max(best["core"], len(frames) / seconds(core))
    return {**best, "ratio": best["core"] / best["parse"]}


def seconds(work: Callable[[], None]) -> float:
    """Processor time: what else the machine does meanwhile does not count."""
    began = time.process_time()
    work()
    return time.process_time() - began
