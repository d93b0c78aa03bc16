"""`coby feed` and `coby record` on a real Kafka."""

import json
import random
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from COBY.recordings import parse_recording
from COBY.runtime.cli import main
from COBY.topics import partition_of
from tests.producer_world import Raw, configured, read_topic
from tests.servers import KafkaServer

SECOND_NS = 1_000_000_000


def raw_topic(kafka: KafkaServer, prefix: str) -> list[Raw]:
    return read_topic(kafka.bootstrap_servers, f"{prefix}.raw.binance.v1")


def coby(env: Mapping[str, str], *arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), env=env, input=stdin)


@pytest.fixture
def env(kafka, topic_prefix) -> dict[str, str]:
    settings = {"TOPIC_PREFIX": topic_prefix, "SYMBOLS": "BTCUSDT,ETHUSDT", "EXCHANGES": "binance"}
    configured(kafka.env, topic_prefix)
    return {**kafka.env, **settings}


def recording(path: Path, start_ns: int, count: int = 100) -> Path:
    rows = [
        {
            "received_at_ns": start_ns + number * SECOND_NS // 10,
            "frame": f'{{"n":{number}}}',
            "exchange": "binance",
        }
        for number in range(count)
    ]
    rows.insert(
        3, {"received_at_ns": start_ns + SECOND_NS // 4, "frame": "{}", "dir": "http", "symbol": "BTCUSDT"}
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def own_rows(start_ns: int) -> list[dict[str, object]]:
    """Two connections of our own with every kind of value, as `coby record` writes them."""
    dice = random.Random(5)
    rows: list[dict[str, object]] = []
    for number in range(60):
        for conn in ("binance-0-a", "binance-0-b"):
            row = {"received_at_ns": start_ns + number * SECOND_NS // 20, "conn": conn, "seq": number + 1}
            row |= {"exchange": "binance", "slot": "binance-0"}
            if number == 0:
                row |= {"dir": "meta", "kind": "event", "frame": '{"event":"connected"}'}
            elif number % 10 == 1:
                row |= {
                    "dir": "http",
                    "kind": "http",
                    "frame": "{}",
                    "url": "http://h/?é=1",
                    "symbol": "ETHUSDT",
                }
            elif number % 10 == 2:
                row |= {"kind": "ws", "frame": "//79", "encoding": "base64"}
            elif number == 33:
                row |= {"kind": "ws", "frame": None}
            else:
                row |= {"kind": "ws", "frame": f'{{"é\u2028":"{dice.random()}"}}'}
            rows.append(row)
    return rows


def shown(records: list[Raw]) -> list[tuple[object, ...]]:
    return [
        (r.kind, r.value, r.conn, r.seq, dict(r.headers).get("url"), dict(r.headers).get("symbol"))
        for r in records
        if r.kind != "mark"
    ]


def test_feed_shifts_a_recording_to_now_and_writes_marks_into_every_partition(
    kafka, topic_prefix, env, tmp_path
):
    path = recording(tmp_path / "old.jsonl", 1_600_000_000 * SECOND_NS + 70_000_000)
    before = time.time_ns()
    result = coby(env, "feed", str(path))
    after = time.time_ns()
    assert result.exit_code == 0, result.output
    assert "100 frames, 1 bodies" in result.stdout
    records = raw_topic(kafka, topic_prefix)
    frames = [record for record in records if record.kind == "ws"]
    assert [record.value for record in frames] == [b'{"n":%d}' % number for number in range(100)]
    assert {record.partition for record in frames} == {partition_of(b"binance-0", 4)}
    assert {(record.key, record.conn) for record in frames} == {(b"binance-0", "feed-0")}
    assert all(record.timestamp_ms == record.received_ns // 1_000_000 for record in records)
    steps = {b.received_ns - a.received_ns for a, b in pairwise(frames)}
    assert steps == {SECOND_NS // 10}
    # The marks after it reach to the moment at which it was fed, or to the grid point beside that.
    assert before - SECOND_NS < frames[-1].received_ns + 5 * SECOND_NS < after + SECOND_NS
    assert (frames[0].received_ns - 1_600_000_000 * SECOND_NS - 70_000_000) % (SECOND_NS // 2) == 0
    for partition in range(4):
        marks = [record for record in records if record.kind == "mark" and record.partition == partition]
        times = [mark.received_ns for mark in marks]
        assert times == list(range(times[0], times[-1] + 1, SECOND_NS // 2))
        assert times[0] <= frames[0].received_ns < times[0] + SECOND_NS // 2
        assert times[-1] <= frames[-1].received_ns + 5 * SECOND_NS < times[-1] + SECOND_NS // 2
        assert {(mark.key, mark.value, mark.conn, mark.seq) for mark in marks} == {
            (b"clock", b"", "clock", 0)
        }
        assert [name for name, _ in marks[0].headers] == ["received_ns", "conn", "seq", "kind"]
    own = [record for record in records if record.key == b"binance-0"]
    assert [record.seq for record in own] == list(range(1, len(own) + 1))
    assert [record.event["event"] for record in own[:2]] == ["connected", "subscribed"]


@pytest.mark.long
def test_a_second_feed_begins_after_the_marks_of_the_first(kafka, topic_prefix, env, tmp_path):
    path = recording(tmp_path / "old.jsonl", 1_600_000_000 * SECOND_NS)
    for _ in range(2):
        assert coby(env, "feed", str(path)).exit_code == 0
    for partition in range(4):
        records = [record for record in raw_topic(kafka, topic_prefix) if record.partition == partition]
        marks = [record.received_ns for record in records if record.kind == "mark"]
        assert marks == sorted(set(marks))


def test_feeding_what_was_recorded_gives_the_same_frames_conn_seq_and_kinds(
    kafka, topic_prefix, env, tmp_path
):
    start_ns = time.time_ns() - 100 * SECOND_NS
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in own_rows(start_ns)))
    assert coby(env, "feed", str(path), "--times", "kept").exit_code == 0
    first = raw_topic(kafka, topic_prefix)
    recorded = tmp_path / "recorded.jsonl.gz"
    result = coby(env, "record", str(recorded))
    assert result.exit_code == 0, result.output
    again = {**env, "TOPIC_PREFIX": f"{topic_prefix}-again"}
    configured(kafka.env, again["TOPIC_PREFIX"])
    result = coby(again, "feed", str(recorded), "--times", "kept")
    assert result.exit_code == 0, result.output
    second = raw_topic(kafka, again["TOPIC_PREFIX"])
    assert len(shown(first)) == 120
    assert shown(second) == shown(first)
    assert [(r.key, r.received_ns, r.headers) for r in second] == [
        (r.key, r.received_ns, r.headers) for r in first
    ]
    expected = [(row["conn"], row["seq"]) for row in own_rows(start_ns)]
    assert [(conn, seq) for _, _, conn, seq, _, _ in shown(first)] == expected


def test_record_takes_a_range_of_time_or_of_offsets(kafka, topic_prefix, env, tmp_path):
    start_ns = time.time_ns() // SECOND_NS * SECOND_NS - 100 * SECOND_NS
    path = recording(tmp_path / "a.jsonl", start_ns)
    assert coby(env, "feed", str(path), "--times", "kept").exit_code == 0
    since, until = start_ns // 1_000_000 + 2_000, start_ns // 1_000_000 + 4_000
    result = coby(env, "record", "-", "--from", str(since), "--to", str(until))
    rows = [row for row in parse_recording(result.stdout_bytes.splitlines()) if row.kind == "ws"]
    assert [row.frame for row in rows] == [b'{"n":%d}' % number for number in range(20, 40)]
    partition = partition_of(b"binance-0", 4)
    records = [record for record in raw_topic(kafka, topic_prefix) if record.partition == partition]
    result = coby(env, "record", "-", "--offsets", f"{partition}:10-30")
    rows = list(parse_recording(result.stdout_bytes.splitlines()))
    expected = [record.value for record in records[10:30] if record.kind != "mark"]
    assert [row.frame for row in rows] == expected


def test_standard_input_is_fed_and_a_nameless_body_belongs_to_the_only_symbol_of_the_frames(
    kafka, topic_prefix, env
):
    trade = '{"e":"trade","E":1,"s":"ETHUSDT","t":1,"p":"1","q":"1","T":1700000000000,"m":false,"M":true}'
    lines = [{"frame": trade}, {"frame": '{"lastUpdateId":1,"bids":[],"asks":[]}', "dir": "http"}]
    stdin = "".join(json.dumps(line) + "\n" for line in lines).encode()
    result = coby(env, "feed", "-", stdin=stdin)
    assert result.exit_code == 0, result.output
    (body,) = [record for record in raw_topic(kafka, topic_prefix) if record.kind == "http"]
    assert dict(body.headers)["symbol"] == "ETHUSDT"


def test_kept_times_turn_the_retention_off_where_it_would_delete_the_records(
    kafka, topic_prefix, env, tmp_path
):
    path = recording(tmp_path / "old.jsonl", 1_600_000_000 * SECOND_NS)
    result = coby(env, "feed", str(path), "--times", "kept")
    assert result.exit_code == 0, result.output
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for name in ("raw.binance", "trade", "book", "heatmap", "ohlcv"):
        topic = ConfigResource(ResourceType.TOPIC, f"{topic_prefix}.{name}.v1")
        (answer,) = admin.describe_configs([topic]).values()
        assert answer.result(60)["retention.ms"].value == "-1"
    frames = [record for record in raw_topic(kafka, topic_prefix) if record.kind == "ws"]
    assert frames[0].received_ns == 1_600_000_000 * SECOND_NS


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (["feed", "-"], b"", "feed.empty"),
        (["feed", "-"], b"{", "recording.invalid"),
        (["feed", "missing.jsonl"], b"", "file.unreadable"),
        (["feed", "-", "--exchange", "nobody"], b'{"frame":"x"}', "config.unknown_exchange"),
        (["feed", "-", "--slot", "binance-9"], b'{"frame":"x"}', "config.unknown_slot"),
        (["feed", "-"], b'{"frame":"x","slot":"binance-9"}', "config.unknown_slot"),
        (["feed", "-", "--times", "kept"], b'{"frame":"x"}', "feed.no_times"),
        (["feed", "-"], b'{"frame":"x","dir":"http"}', "feed.unknown_symbol"),
        (["record", "-", "--from", "2026-01-01"], b"", "time.invalid"),
        (["record", "-", "--from", "2000", "--to", "1000"], b"", "record.range"),
        (["record", "-", "--offsets", "4:0-1"], b"", "record.range"),
        (["record", "-", "--offsets", "0:0-1", "--to", "1000"], b"", "record.range"),
        (["record", "-", "--exchange", "nobody"], b"", "config.unknown_exchange"),
    ],
)
def test_bad_input_is_one_line_with_its_code_and_exit_code_2(
    kafka, topic_prefix, env, arguments, stdin, says
):
    result = coby(env, *arguments, stdin=stdin)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error {says}: ")
    assert result.stderr.count("\n") == 1
    assert raw_topic(kafka, topic_prefix) == []


def test_a_recording_older_than_the_marks_there_is_refused(kafka, topic_prefix, env, tmp_path):
    now = recording(tmp_path / "new.jsonl", time.time_ns() - 50 * SECOND_NS)
    old = recording(tmp_path / "old.jsonl", time.time_ns() - 500 * SECOND_NS)
    assert coby(env, "feed", str(now), "--times", "kept").exit_code == 0
    result = coby(env, "feed", str(old), "--times", "kept")
    assert (result.exit_code, result.stderr.split(":")[0]) == (2, "error feed.older_than_marks")
