"""What the fault tests go by: order of writers, holes of connections, digests, rows, and what is left to do."""

from decimal import Decimal

import pytest
from click.testing import CliRunner

from tests.faults.__main__ import exit_code, listing, main, table
from tests.faults.cases import Case, all_cases
from tests.faults.content import Runs, compare, digest, whole
from tests.faults.invariants import Connection, TradeSums
from tests.faults.pipeline import CannotRunError
from tests.faults.runner import Progress, Result, run_case
from tests.faults.tables import hash_of, put, rows_of, same

MICROSECONDS = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("records", "begun"),
    [
        ([(7, 1), (7, 2), (7, 3)], 1),
        ([(7, 1), (7, 2), (7, 3), (8, 2), (8, 3), (8, 4)], 2),  # died after 3, its successor from 2 on
        ([(7, 1), (7, 2), (8, 3), (7, 3), (8, 4), (7, 4)], 2),  # a zombie beside its successor
        ([(7, 1), (7, 3), (7, 2)], 2),  # one that went back
        ([(7, 1), (7, 1)], 1),
        ([], 0),
    ],
)
def test_a_writer_that_goes_back_counts_as_one_that_began_anew(records, begun):
    runs = Runs()
    for writer, position in records:
        runs.take("raw.x.v1/0", writer, (position, 0))
        runs.take("raw.y.v1/0", 9, (0, 0))
    assert runs.counts["raw.x.v1/0"] == begun


def holes(*records):
    connection = Connection()
    for seq, *event in records:
        connection.take(seq, event[0] if event else b"frame", "event" if event else "ws")
    return sorted(connection.missing), connection.doubled


def test_a_hole_in_a_connection_is_found_unless_an_event_covers_it():
    assert holes((1,), (2,), (3,)) == ([], [])
    assert holes((1,), (4,)) == ([2, 3], [])
    assert holes((1,), (4, b'{"event":"dropped","from_seq":2,"to_seq":3}')) == ([], [])
    assert holes((1,), (5, b'{"event":"dropped","from_seq":2,"to_seq":3}')) == ([4], [])
    assert holes((2,)) == ([1], [])
    assert holes((1,), (2,), (2,)) == ([], [2])


def trade(number, size):
    text = (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000000,"s":"BTCUSDT","t":%d,"p":"100.0",'
        b'"q":"%s","T":1700000000000,"m":true,"M":true}}'
    )
    return {"kind": "ws", "value": text % (number, size)}


def test_sizes_of_distinct_trades_are_added():
    sums = TradeSums("binance", ("BTCUSDT",))
    for record in (trade(1, b"0.5"), trade(2, b"0.25"), trade(1, b"0.5"), {"kind": "ws", "value": None}):
        sums.take(record)
    assert sums.sums == {"BTCUSDT": Decimal("0.75")}


GROUP = ("trade", "raw.binance.v1/0", "BTCUSDT")


def test_equal_contents_have_no_difference_and_equal_hashes():
    one, other = {GROUP: {(1, 0): b"a", (2, 0): b"b"}}, {GROUP: {(2, 0): b"b", (1, 0): b"a"}}
    assert list(compare(one, other)) == []
    assert whole(one, "trade") == whole(other, "trade")


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        ({(1, 0): b"a"}, "(2, 0) missing"),
        ({(1, 0): b"a", (2, 0): b"b", (2, 1): b"c"}, "(2, 1) not expected"),
        ({(1, 0): b"x", (2, 0): b"y"}, "(1, 0) differs; 2 such"),
    ],
)
def test_the_smallest_difference_is_told(actual, said):
    (line,) = compare({GROUP: {(1, 0): b"a", (2, 0): b"b"}}, {GROUP: actual})
    assert line.startswith("I2 trade: raw.binance.v1/0 BTCUSDT: ")
    assert said in line


def test_each_part_of_a_record_counts():
    same_one = digest(b"v", b"k", 5, [("settings", b"s")])
    others = [
        digest(b"w", b"k", 5, [("settings", b"s")]),
        digest(b"v", b"l", 5, [("settings", b"s")]),
        digest(b"v", b"k", 6, [("settings", b"s")]),
        digest(b"v", b"k", 5, [("settings", b"t")]),
    ]
    assert same_one == digest(b"v", b"k", 5, [("settings", b"s")])
    assert len({same_one, *others}) == 5


def candle(revision, volume):
    one = dict.fromkeys(("open", "high", "low", "close"), Decimal(1))
    one |= {"symbol": "BTCUSDT", "timestamp": MICROSECONDS, "timeframe": "1s", "volume": Decimal(volume)}
    one |= {"trade_count": 1, "received_at": MICROSECONDS, "revision": revision, "complete": True}
    ((_, row),) = rows_of("ohlcv", one, "1:0", 1_000_000)
    return row


def test_the_highest_revision_of_a_candle_stands():
    rows = {}
    for row in (candle(0, 1), candle(2, 3), candle(1, 2)):
        put(rows, "ohlcv_data", row)
    assert list(rows.values()) == [candle(2, 3)]


def test_one_digit_changes_the_hash_of_rows_and_their_order_does_not():
    assert hash_of([candle(0, 1), candle(1, 2)]) == hash_of([candle(1, 2), candle(0, 1)])
    assert hash_of([candle(0, "1.00000001")]) != hash_of([candle(0, "1.00000002")])
    assert hash_of([candle(0, "1.0")]) == hash_of([candle(0, "1.00000000")])


@pytest.mark.parametrize(
    ("expected", "found", "is_same"),
    [
        ("1.50000000", "1.50000000", True),
        ("1.50000000", "1.50000001", False),
        (MICROSECONDS, "2023-11-14T22:13:20.000000Z", True),
        (MICROSECONDS + 1, "2023-11-14T22:13:20.000000Z", False),
        ({"a": [1, None]}, {"a": [1, None]}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": 1}, {}, False),
    ],
)
def test_values_of_the_cache_are_compared_with_those_of_the_topic(expected, found, is_same):
    assert same(expected, found) is is_same


def test_an_interrupted_case_goes_on_only_as_the_same_one(tmp_path):
    left = Progress(2, 7, 50, 2_000, done=12, seconds=[1.0])
    left.save(tmp_path)
    loaded = Progress.load(tmp_path)
    assert loaded == left
    assert loaded.continues(Progress(2, 7, 50, 2_000))
    for other in (Progress(2, 8, 50, 2_000), Progress(2, 7, 40, 2_000), Progress(2, 7, 50, 300)):
        assert not loaded.continues(other)
    loaded.finished = True
    assert not loaded.continues(Progress(2, 7, 50, 2_000))


def test_nothing_usable_is_no_progress(tmp_path):
    assert Progress.load(tmp_path) is None
    (tmp_path / "state.json").write_text("{broken")
    assert Progress.load(tmp_path) is None


def test_the_list_names_all_twenty_and_says_which_do_not_exist():
    cases = all_cases()
    lines = listing(cases)
    assert [int(line[:2]) for line in lines] == list(range(1, 21))
    missing = {int(line[:2]) for line in lines if "does not exist" in line}
    assert missing == set(range(1, 21)) - set(cases)
    result = CliRunner().invoke(main, ["--list"])
    assert result.output.splitlines() == lines


def test_the_table_shows_median_and_worst_and_what_failed():
    held = Result(2, "killed", 3, 7, [], [1.0, 9.0, 2.0])
    failed = Result(3, "gone", 1, 7, ["I1 …"], [])
    first, second = table([held, failed])[1:]
    assert first.split()[:6] == ["2", "3", "7", "ok", "2.0", "9.0"]
    assert second.split()[:4] == ["3", "1", "7", "FAIL"]


HELD = Result(2, "killed", 3, 7, [], [1.0])
FAILED = Result(3, "gone", 1, 7, ["I1 …"], [])
NOT_RUN = Result(13, "disks", 0, 7, [], [], ["no mounts"])
IN_PART = Result(12, "clocks", 4, 7, [], [2.0], ["round 3: no library"])


@pytest.mark.parametrize(
    ("results", "code", "words"),
    [
        ([HELD], 0, ["ok"]),
        ([HELD, NOT_RUN], 2, ["ok", "not"]),
        ([HELD, IN_PART], 2, ["ok", "partly"]),
        ([NOT_RUN, FAILED], 1, ["not", "FAIL"]),
    ],
)
def test_what_could_not_be_run_is_neither_ok_nor_failed(results, code, words):
    assert exit_code(results) == code
    assert [line.split()[3] for line in table(results)[1:]] == words


@pytest.mark.parametrize(
    ("error", "problems", "not_run"),
    [
        (CannotRunError("no mounts"), [], ["no mounts"]),
        (RuntimeError("no port"), ["RuntimeError: no port"], []),
    ],
)
def test_what_goes_wrong_at_a_start_is_the_result_of_that_case_alone(tmp_path, error, problems, not_run):
    class Broken(Case):
        number = -1
        title = "cannot begin"

        def make_pipeline(self, folder, seed, session):
            raise error

    told = []
    result = run_case(Broken(), tmp_path / "case", seed=7, rounds=2, tell=told.append)
    assert (result.problems, result.not_run, result.seconds) == (problems, not_run, [])
    assert str(error) in told[-1]


def test_a_case_that_does_not_exist_is_refused_with_those_there_are():
    result = CliRunner().invoke(main, ["--case", "99"])
    assert result.exit_code == 2
    assert "no case 99; there are 1 2 3" in result.output
