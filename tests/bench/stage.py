"""stage_vs_bare: one stream worker as a process, against a bare confluent-kafka loop with decode and book.

Both read the same raw topic: the recording eight times over, each time as a new connection, 0.21 million records,
at the demo's pace of 500 frames/s of stream time (at the recording's own 40/s, ticks would be half of the work).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from msgspec.json import Decoder

from COBY.config import Config, load_config
from COBY.exchanges.binance import WrappedDepth, WrappedTrade
from COBY.runtime.kafka import apply_topics, client_settings, make_producer
from COBY.topics import partition_of, topic_name
from deploy.local.demo_facts import metric
from deploy.local.ports import free_port
from tests.raw import GRID_NS, RawLog, recorded

REPEATS = 8
PACE = 500 / 40.6  # frames a second wanted / recorded
PARTITION = partition_of(b"binance-0", 4)


def measure(recording: Path, kafka_env: dict[str, str], rounds: int) -> dict[str, float]:
    """Frames per second of both sides (the best of ``rounds``, taken in turn) and their ratio."""
    env = {**kafka_env, "TOPIC_PREFIX": "bench", "SYMBOLS": "BTCUSDT", "LOG_FILE": "-"}
    config = load_config(env)
    apply_topics(config)
    frames, records = fill(config, recording)
    best = {"bare": 0.0, "stage": 0.0}
    for _ in range(rounds):
        best["bare"] = max(best["bare"], bare(config, records))
        best["stage"] = max(best["stage"], worker(env, frames))
    return {**best, "ratio": best["stage"] / best["bare"]}


def fill(config: Config, recording: Path) -> tuple[int, int]:
    """Write the raw topic; its times are of now, or retention would take it away. (frames, records)"""
    log, rows = RawLog(), list(recorded(recording))
    length = length_ns(rows, PACE)
    start = time.time_ns() - REPEATS * length
    for repeat in range(REPEATS):
        one_pass(log, rows, start + repeat * length, f"bench-{repeat}", PACE)
    producer = make_producer(config, on_error=_raise)
    topic = topic_name(config.topic_prefix, "raw", "binance")
    for record in log.records:
        producer.produce(
            topic,
            record.value,
            record.key,
            record.headers,
            timestamp_ms=record.timestamp,
            partition=PARTITION,
        )
    producer.flush()
    return REPEATS * len(rows), len(log.records)


def length_ns(rows: list[dict[str, Any]], pace: float) -> int:
    """How much stream time a recording takes at that pace."""
    return int((rows[-1]["received_at_ns"] - rows[0]["received_at_ns"]) / pace) + GRID_NS


def one_pass(
    log: RawLog,
    rows: list[dict[str, Any]],
    start_ns: int,
    conn: str,
    pace: float = 1.0,
    symbols: tuple[str, ...] = ("BTCUSDT",),
) -> None:
    """Add the recording to a log, as a connection of its own, with marks; each frame once for each symbol."""
    first, marked = rows[0]["received_at_ns"], start_ns // GRID_NS - 1
    for row in rows:
        ns = start_ns + int((row["received_at_ns"] - first) / pace)
        if ns // GRID_NS > marked:
            marked = ns // GRID_NS
            log.mark(marked * GRID_NS)
        kind = "http" if row["dir"] == "http" else "ws"
        for symbol in symbols:
            body = row["frame"].replace("BTCUSDT", symbol).replace("btcusdt", symbol.lower()).encode()
            log.frame(ns, body, conn, kind, **({"symbol": symbol} if kind == "http" else {}))


def _raise(error: Exception) -> None:
    raise error


def bare(config: Config, records: int) -> float:
    """The loop that anybody would write first: consume, parse, a dict of strings a side."""
    topic = topic_name(config.topic_prefix, "raw", "binance")
    consumer = Consumer(client_settings(config) | {"group.id": "bench-bare"})
    consumer.assign([TopicPartition(topic, PARTITION, OFFSET_BEGINNING)])
    depths, trades = Decoder(WrappedDepth), Decoder(WrappedTrade)
    bids: dict[str, str] = {}
    asks: dict[str, str] = {}
    began, done, frames = 0.0, 0, 0
    while done < records:
        messages = consumer.consume(1_000, timeout=1)
        began = began or time.perf_counter()
        done += len(messages)
        for message in messages:
            frame: Any = message.value()
            if frame.find(b"@depth", 0, 40) > 0:
                data = depths.decode(frame).data
                for side, levels in ((bids, data.b), (asks, data.a)):
                    for price, size in levels:
                        if size == "0.00000000":
                            side.pop(price, None)
                        else:
                            side[price] = size
                frames += 1
            elif frame.startswith(b'{"stream"'):
                trades.decode(frame)
                frames += 1
    taken = time.perf_counter() - began
    consumer.close()
    return frames / taken


def worker(env: dict[str, str], frames: int) -> float:
    """`python -m streams`, from its first chunk to its last, as its own counter shows it."""
    port = free_port()
    # No snapshot, not even at the end: each round begins with the oldest record.
    env = {**env, "SNAPSHOT_INTERVAL": "3600"}
    command = [sys.executable, "-m", "streams", "--stage", "normalize"]
    process = subprocess.Popen(
        command, env={**os.environ, **env, "METRICS_PORT": str(port)}, stderr=subprocess.DEVNULL
    )
    try:
        seen: list[tuple[float, float]] = []
        limit = time.monotonic() + 120
        while not seen or seen[-1][1] < frames:
            assert process.poll() is None, "the worker ended"
            assert time.monotonic() < limit, f"the worker took {seen[-1:]} of {frames} frames"
            count = metric(port, "coby_frames_total")
            if count:
                seen.append((time.perf_counter(), count))
            time.sleep(0.1)
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
    finally:
        process.kill()
        process.wait(40)
