"""The same recordings fed twice, into two topic prefixes, give the same bytes in every derived topic (Recovery 9).

Three exchanges meet in one prefix. Their recordings are of different years: the rows' times of receipt are moved so
that all begin together, and then kept by `coby feed --times kept`; the frames are as they were. One is left out, so
that there is a gap.
The second time nothing happens in the same order: the worker is there first, and all three are fed at once.
"""

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice

import pytest

from COBY.codec import decode
from COBY.config import load_config
from COBY.runtime.kafka import apply_topics
from COBY.stage import StoredRecord
from deploy.local.programs import on_free_ports, pipeline
from deploy.local.supervise import Programs
from tests.e2e.system import DERIVED, System, contents, until

RECORDINGS = {
    "binance": ("binance/hftbacktest_btcusdt_651s.jsonl.gz", 1_500),
    "kraken": ("kraken/derived_v2_book1000.jsonl.gz", 1_085),
    "okx": ("okx/cryptofeed_ws_1_0.jsonl", 136),
}
# In August 2024, long out of every topic's retention, and 3 s before a full minute: quality is told by the minute.
START_NS = 1_723_161_237_000_000_000
LEFT_OUT = 20
"""The depth update of the first exchange that is missing, counted from the end of its part."""
SETTINGS = {
    "EXCHANGES": "binance,kraken,okx",
    "SYMBOLS": "BTCUSDT,XMRUSD",
    "BUCKET_SIZE_XMRUSD": "0.5",
    "UPDATE_FREQUENCY": "0.05",
    # What these recordings hold, under names that meet; other pairs of theirs are dead letters.
    "KRAKEN_SYMBOL_BTCUSDT": "BTC/CHF",
    "BINANCE_SYMBOL_XMRUSD": "-",
    "OKX_SYMBOL_XMRUSD": "UNI-USD-SWAP",
}
TOPICS = (*DERIVED, "control", "dlq")


@pytest.fixture(scope="module")
def recordings(frames_dir, tmp_path_factory):
    """Exchange -> the first part of its recording, beginning at START_NS."""
    folder = tmp_path_factory.mktemp("recordings")
    made = {}
    for exchange, (name, rows) in RECORDINGS.items():
        made[exchange] = folder / f"{exchange}.jsonl"
        with (gzip.open if name.endswith(".gz") else open)(frames_dir / name, "rt") as lines:
            part = [json.loads(line) for line in islice(lines, rows)]
        if exchange == "binance":
            del part[[place for place, row in enumerate(part) if row["channel"] == "depth@100ms"][-LEFT_OUT]]
        shift_ns = START_NS - time_ns(part[0])
        moved = [{**row, "received_at_ns": time_ns(row) + shift_ns} for row in part]
        made[exchange].write_text("".join(json.dumps(row) + "\n" for row in moved))
    return made


def time_ns(row) -> int:
    return row.get("received_at_ns") or int(Decimal(repr(row["received_at"])) * 10**9)


def feeding(env, exchange, recording) -> subprocess.Popen:
    program = "from COBY.runtime.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        program,
        "feed",
        "--exchange",
        exchange,
        "--times",
        "kept",
        str(recording),
    ]
    return subprocess.Popen(
        command, env={"PATH": "/usr/bin:/bin", **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def fed(process) -> None:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output.decode()


@contextmanager
def working(env, folder) -> Iterator[System]:
    """A stream worker over the topics of this environment."""
    table = on_free_ports([program for program in pipeline(()) if program.name == "streams"])
    with Programs(folder, table, env=env) as programs:
        programs.wait_ready(seconds=120)
        yield System(load_config(env), programs, "")
        assert not any(state.restarts for state in programs.status().values())


def settled(running: System) -> dict[str, list[StoredRecord]]:
    """Everything derived, once the last mark's ticks and what is merged from them are there and nothing follows."""
    ends = {name: last_mark_us(running, name) for name in RECORDINGS}

    def done() -> bool:
        reached = last_times(running, "book", lambda tick: (tick.exchange, tick.symbol))
        merged = last_times(running, "consolidated", lambda one: one.symbol)
        return reached == {(name, symbol): end for name, end in ends.items() for symbol in symbols()} and (
            merged == dict.fromkeys(symbols(), min(ends.values()))
        )

    until(done, 60, "the ticks of the last marks")
    running.all_taken()
    return {name: running.read(name) for name in TOPICS}


def symbols() -> list[str]:
    return SETTINGS["SYMBOLS"].split(",")


def last_mark_us(running, exchange) -> int:
    headers = [dict(one.headers()) for one in running.messages("raw", exchange)]
    return max(int(one["received_ns"]) // 1000 for one in headers if one["kind"] == b"mark")


def last_times(running, name, of) -> dict:
    return {of(record): record.timestamp for record in decoded(running.read(name))}


def decoded(records):
    return sorted((decode(one.value) for one in records), key=lambda one: one.timestamp)


def digest(records: list[StoredRecord]) -> str:
    """SHA-256 of value, key, timestamp and headers, in order per source and key."""
    whole = hashlib.sha256()
    for group, found in sorted(contents(records).items()):
        whole.update(repr((group, found)).encode())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def twice(kafka, recordings, tmp_path_factory):
    """What is in the derived topics of either prefix."""
    found = []
    for prefix, worker_first in (("ttwicea", False), ("ttwiceb", True)):
        env = {**kafka.env, **SETTINGS, "TOPIC_PREFIX": prefix, "LOG_FILE": "-", "SNAPSHOT_INTERVAL": "1"}
        apply_topics(load_config(env))
        folder = tmp_path_factory.mktemp(prefix)
        if worker_first:
            with working(env, folder) as running:
                for process in [feeding(env, name, path) for name, path in recordings.items()]:
                    fed(process)
                found.append(settled(running))
        else:
            for name, path in recordings.items():
                fed(feeding(env, name, path))
            with working(env, folder) as running:
                found.append(settled(running))
    return found


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_holds_the_same_bytes_both_times(twice, name):
    first, second = (records[name] for records in twice)
    assert digest(first) == digest(second)


def test_what_is_compared_holds_three_exchanges_in_one_heatmap_and_something_of_everything(twice):
    for records in twice:
        assert all(records[name] for name in TOPICS), {name: len(records[name]) for name in TOPICS}
        heatmaps = decoded(records["heatmap"])
        together = [one for one in heatmaps if len(one.exchanges) == len(RECORDINGS)]
        assert {one.symbol for one in together} == {"BTCUSDT"}
        assert len(together) > 30
        assert {one.exchange for one in decoded(records["book"]) if one.live} == set(RECORDINGS)


def test_the_digest_tells_order_value_key_time_and_headers_apart():
    def record(number, value=b"v", key=b"k", at=5, settings=b"s"):
        headers = [("source", b"raw.x/0"), ("position", b"%d:0" % number), ("settings", settings)]
        return StoredRecord(number, at, key, value, headers)

    same = [record(1), record(2, b"w")]
    assert digest(same) == digest([*same, record(1)])  # a repeat
    others = (
        [record(1, b"w"), record(2)],
        [record(1, b"x"), record(2, b"w")],
        [record(1, key=b"l"), record(2, b"w")],
        [record(1, at=6), record(2, b"w")],
        [record(1, settings=b"t"), record(2, b"w")],
        [record(1)],
    )
    assert len({digest(same), *map(digest, others)}) == 1 + len(others)
