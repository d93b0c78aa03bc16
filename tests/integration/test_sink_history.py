"""`coby quality` and `coby continuity` over rows written by the sink's own functions."""

import json

import pytest
from click.testing import CliRunner

from COBY.config import load_config
from COBY.records import UNITS, Continuity, Quality
from COBY.runtime.cli import main as coby
from COBY.runtime.database import connect
from sinks.history import MAX_ROWS
from sinks.rows import rows_of
from sinks.schema import migrate
from sinks.writer import write_rows

SECOND_US = 1_000_000
START_US = 1_767_225_600 * SECOND_US  # 2026-01-01T00:00:00Z


def interval(start, end, reason=None, exchange="binance", sequenced=5):
    times = [START_US + round(seconds * SECOND_US) for seconds in (end, start, end)]
    return Continuity("BTCUSDT", exchange, *times, "sequence", sequenced, 0, 1, "c1", 1, reason)


def minute(number, score, exchange="binance"):
    time_us = START_US + number * 60 * SECOND_US
    counts = (19, 1, 0, 0, 0, 0, 500_000, 0, 0, 0, 0, -1_000)
    return Quality("BTCUSDT", exchange, time_us, score, UNITS, score, *counts)


def write(database, *records):
    with connect(load_config(database.env)) as conn:
        migrate(conn)
        with conn.transaction(), conn.cursor() as cursor:
            for number, record in enumerate(records):
                (row,) = rows_of(record, f"{number}:0", SECOND_US)
                write_rows(cursor, row.table, [row.values])


def run(database, *args):
    done = CliRunner().invoke(coby, args, env=database.env)
    return done.exit_code, done.output


def rows(database, *args):
    code, output = run(database, *args, "--json")
    assert code == 0, output
    return json.loads(output)


def test_intervals_are_those_of_which_a_part_lies_in_the_range_and_a_later_record_grows_its_row(database):
    write(
        database,
        interval(0, 10, "stale"),
        interval(20, 30),
        interval(20, 90, sequenced=9),
        interval(200, 260),
        interval(0, 500, exchange="kraken"),
    )
    asked = (
        "continuity",
        "btcusdt",
        "binance",
        "--from",
        "2026-01-01T00:00:15Z",
        "--to",
        "2026-01-01T00:03:30Z",
    )
    found = rows(database, *asked)
    times = [
        (row["start_time"][11:19], row["end_time"][11:19], row["sequenced"], row["reason"]) for row in found
    ]
    assert times == [("00:00:20", "00:01:30", 9, None), ("00:03:20", "00:04:20", 5, None)]
    code, output = run(database, *asked)
    assert code == 0
    assert output.splitlines()[0].split()[:3] == ["EXCHANGE", "START_TIME", "END_TIME"]
    assert output.splitlines()[-1] == "2 intervals, 80.000000 s proven", "70 s, and 10 of the second's 60"
    assert {row["exchange"] for row in rows(database, "continuity", "BTCUSDT")} == {"binance", "kraken"}


def test_an_older_record_of_an_interval_that_comes_again_by_hand_changes_nothing(database):
    write(database, interval(0, 60), interval(0, 90, "stale"))
    with connect(load_config(database.env)) as conn, conn.transaction(), conn.cursor() as cursor:
        (row,) = rows_of(interval(0, 60), "0:0", SECOND_US)
        write_rows(cursor, row.table, [row.values])
    assert [one["reason"] for one in rows(database, "continuity", "BTCUSDT")] == ["stale"]


def test_quality_tells_the_minutes_that_end_in_the_range(database):
    write(database, *(minute(number, UNITS - number) for number in range(4)), minute(1, 7, "kraken"))
    asked = (
        "quality",
        "BTCUSDT",
        "binance",
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-01T00:02:00Z",
    )
    found = rows(database, *asked)
    assert [(row["timestamp"], row["score"]) for row in found] == [
        ("2026-01-01T00:01:00.000000Z", "0.99999999"),
        ("2026-01-01T00:02:00.000000Z", "0.99999998"),
    ]
    assert {name: found[0][name] for name in ("events", "rejected", "blind_us", "clock_skew_us")} == {
        "events": 19, "rejected": 1, "blind_us": 500_000, "clock_skew_us": -1_000,
    }  # fmt: skip
    assert run(database, *asked)[1].splitlines()[-1] == "2 minutes, the lowest score 0.99999998"


def test_nothing_known_is_no_error(database):
    write(database)
    assert rows(database, "quality", "BTCUSDT") == rows(database, "continuity", "NONE") == []
    assert run(database, "quality", "BTCUSDT")[1].splitlines()[-1] == "0 minutes"


@pytest.mark.parametrize(
    ("times", "code"),
    [(("--from", "2026-01-01T00:00:00"), "time.naive"), (("--from", "2000", "--to", "1000"), "time.invalid")],
)
def test_a_time_that_is_none_is_one_line(database, times, code):
    status, output = run(database, "continuity", "BTCUSDT", *times)
    assert status == 2
    assert code in output


def test_more_rows_than_an_answer_may_have_are_refused(database, monkeypatch):
    assert MAX_ROWS == 100_000
    monkeypatch.setattr("sinks.history.MAX_ROWS", 2)
    write(database, *(interval(number, number + 0.5) for number in range(3)))
    status, output = run(database, "continuity", "BTCUSDT")
    assert status == 2
    assert "db.range_too_large" in output
