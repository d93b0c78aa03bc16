"""`coby verify` without servers: hashes, differences, settings as told, holes in raw topics, rows of the tables."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from COBY.codec import encode
from COBY.config import load_config
from COBY.records import BookTick, Candle, Gap, Level, Settings, TradeEvent
from COBY.stage import StoredRecord
from COBY.utils.exceptions import ReplayError
from replay.checkpoints import Work, work_of
from replay.cli import exit_code, verdict
from replay.contents import Content, Difference, Group, Side, Spool, compare
from replay.fields import canonical, differing, plain_of
from replay.log import Range
from replay.raw import RawCheck
from replay.settings import in_force, taken_up
from replay.tables import packed, units_of, unpacked
from replay.verify import Report

GROUP = Group(b"BTCUSDT", "raw.x.v1/0")
TRADE = TradeEvent(
    "BTCUSDT", "x", 1_700_000_000_000_001, 1_700_000_000_500_000, 6_000_012_345_678, 5, "buy", "t1"
)


@pytest.fixture
def spool():
    made = Spool()
    yield made
    made.close()


def content(value=b"v", at=5, **headers):
    return Content(b"BTCUSDT", value, at, [(name, text.encode()) for name, text in headers.items()])


def side(spool, *records):
    """Of records (position, content)."""
    made = Side("trade", "p.trade.v1", spool)
    for position, one in records:
        made.add(GROUP, position, one)
    return made


def never(_group, _position):
    return False


# --- contents -----------------------------------------------------------------------------------------------------


def test_equal_records_are_equal_however_often_they_came(spool):
    first, second = ((1, 0), content(b"a")), ((1, 1), content(b"b"))
    found = side(spool, first, second, first, second)
    result = compare(side(spool, first, second), found, never)
    assert (result.line.verdict, result.line.records, found.repeats) == ("equal", 2, 2)


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ([((1, 0), content(b"a"))], "is missing"),
        ([((1, 0), content(b"a")), ((2, 0), content(b"b")), ((3, 0), content(b"c"))], "should not be there"),
        ([((1, 0), content(b"a")), ((2, 0), content(b"b", at=6))], "timestamp 6 instead of 5"),
        ([((1, 0), content(b"a")), ((2, 0), content(b"b", x="1"))], "headers"),
        ([((1, 0), content(b"a")), ((2, 0), content(b"bb"))], "2 bytes instead of 1"),
        ([((1, 0), content(b"a")), ((2, 0), content(b"b")), ((1, 0), content(b"z"))], "another content"),
        (
            [((1, 0), content(b"a")), ((2, 0), content(b"b")), ((1, 5), content(b"z"))],
            "after a later position",
        ),
    ],
)
def test_each_kind_of_difference_is_one(spool, found, what):
    expected = side(spool, ((1, 0), content(b"a")), ((2, 0), content(b"b")))
    result = compare(expected, side(spool, *found), never)
    assert len(result.differences) == 1
    assert what in result.differences[0].what
    assert result.line.verdict == "DIFFERENT: 1"


def test_what_its_writer_has_not_come_to_is_behind_and_no_difference(spool):
    expected = side(spool, ((1, 0), content(b"a")), ((2, 0), content(b"b")))
    found = side(spool, ((1, 0), content(b"a")))
    result = compare(expected, found, lambda _group, position: position > (1, 0))
    assert (result.behind, result.differences) == (1, [])
    assert result.line.digest != side(spool, ((1, 0), content(b"b"))).whole_digest()


def test_the_smallest_difference_comes_first(spool):
    one = encode(TRADE)
    other = encode(
        TradeEvent("BTCUSDT", "x", TRADE.timestamp, TRADE.received_at, TRADE.price, 6, "sell", "t1")
    )
    flipped = encode(
        TradeEvent("BTCUSDT", "x", TRADE.timestamp, TRADE.received_at, TRADE.price, 6, "buy", "t1")
    )
    expected = side(spool, ((1, 0), content(one)), ((2, 0), content(one)), ((3, 0), content(one)))
    found = side(spool, ((2, 0), content(other)), ((3, 0), content(flipped)))
    differences = compare(expected, found, never).differences
    assert [one.size for one in differences][:2] == [1, 2]
    assert differences[0].what == "size 0.00000006 instead of 0.00000005"
    assert differences[2].what == "is missing"


def test_a_content_comes_back_from_the_spool_as_it_was(spool):
    entries = [spool.put(b"x" * size) for size in (0, 1, 70_000)]
    assert [len(spool.get(one)) for one in reversed(entries)] == [70_000, 1, 0]


# --- fields -------------------------------------------------------------------------------------------------------


def test_a_record_is_read_with_decimals_and_times():
    record = plain_of(encode(TRADE))
    assert record["price"] == Decimal("60000.12345678")
    assert record["timestamp"] == datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)
    assert canonical(record["timestamp"]) == "2023-11-14T22:13:20.000001Z"
    assert canonical(Decimal("1E+2")) == "100.00000000"
    assert canonical(Decimal("1234567890123456789012.12345678")) == "1234567890123456789012.12345678"


@pytest.mark.parametrize("value", [b"", b"\0\0\0\0\1", b"\0\0\0\0\x63abc", b"nonsense"])
def test_what_is_no_record_is_said_to_be_none(value):
    with pytest.raises(ValueError, match="no record"):
        plain_of(value)


def test_differing_fields_are_named_by_their_place():
    assert differing({"a": [{"b": 1}], "c": 2}, {"a": [{"b": 3}], "c": 2}) == ["a[0].b 3 instead of 1"]
    assert differing({"a": []}, {"a": [1]}) == ["a nothing instead of []", "a[0] 1 instead of nothing"]


# --- settings -----------------------------------------------------------------------------------------------------


def told(config, source, offset, number=0):
    value = encode(Settings(config.settings_hash, config.shaping_settings(), source, offset))
    return StoredRecord(number, 0, b"", value, [])


def test_settings_are_those_that_the_task_took_up_last_before_the_offset():
    first = load_config({"HEATMAP_DEPTH": "5", "BTC_BUCKET_SIZE": "0.35"})
    later = load_config({"SYMBOLS": "BTCUSDT", "UPDATE_FREQUENCY": "0.1", "KRAKEN_SYMBOL_BTCUSDT": "BTC/CHF"})
    ours = load_config({"HEATMAP_DEPTH": "9", "DATA_BUFFER_SIZE": "77"})
    records = [told(later, "book.v1/3", 90), told(ours, "book.v1/3", 10), told(first, "book.v1/3", 10)]
    records += [told(ours, None, None), StoredRecord(9, 0, b"", None, [])]
    taken = taken_up(ours, records)
    assert list(taken) == ["book.v1/3"]
    hashes = [in_force(taken["book.v1/3"], at, "s").settings_hash for at in (10, 89, 90, 500)]
    assert hashes == [first.settings_hash] * 2 + [later.settings_hash] * 2
    assert in_force(taken["book.v1/3"], 10, "s").data_buffer_size == 77
    with pytest.raises(ReplayError, match="no settings are told"):
        in_force(taken["book.v1/3"], 9, "s")


def test_settings_that_are_not_those_of_their_hash_are_refused():
    config = load_config({})
    text = config.shaping_settings().replace("50", "51")
    value = encode(Settings(config.settings_hash, text, "book.v1/0", 0))
    with pytest.raises(ReplayError, match="can't be read"):
        taken_up(config, [StoredRecord(0, 0, b"", value, [])])


def test_the_task_of_a_source():
    assert work_of("p", "raw.x.v1/2") == Work("raw.x.v1/2", "normalize", "p.raw.x.v1", 2)
    assert work_of("p", "book.v1/11").place == ("aggregate", "book.v1", 11)


# --- raw ----------------------------------------------------------------------------------------------------------


def raw(seqs, event=None):
    """The differences that records with these numbers of one connection lead to; ``event``: the last one is it."""
    check = RawCheck(Range(0, 100))
    for offset, seq in enumerate(seqs):
        is_last = offset == len(seqs) - 1
        body = json.dumps(event) if event and is_last else "{}"
        headers = {"conn": "c1", "seq": str(seq), "kind": "event" if event and is_last else "ws"}
        pairs = [(name, text.encode()) for name, text in headers.items()]
        message = SimpleNamespace(
            offset=lambda offset=offset: offset, timestamp=lambda: (1, 50), key=lambda: b"x-0",
            value=lambda body=body: body.encode(), headers=lambda pairs=pairs: pairs,
        )  # fmt: skip
        check.see(work_of("p", "raw.x.v1/0"), message)
    return [one.what for result in check.verdicts() for one in result.differences]


def test_numbers_that_rise_by_one_are_right_wherever_they_begin():
    assert raw([7, 8, 9]) == []


def test_a_hole_is_found_unless_an_event_covers_it():
    assert raw([1, 2, 5]) == ["seq 3 to 4 of c1 are missing, and no `dropped` event says so"]
    assert raw([1, 2, 5], {"event": "dropped", "from_seq": 3, "to_seq": 4}) == []
    assert len(raw([1, 2, 5], {"event": "dropped", "from_seq": 4, "to_seq": 4})) == 1
    assert len(raw([1, 2, 5], {"event": "alive"})) == 1


def test_a_frame_written_twice_is_found():
    assert raw([1, 2, 2]) == ["seq 2 of c1 comes after 2"]


# --- rows ---------------------------------------------------------------------------------------------------------


def test_the_row_of_a_trade():
    (unit,) = units_of("trade", plain_of(encode(TRADE)), "7:1", 1_000_000)
    assert unpacked(packed(unit.rows)) == [
        {
            "symbol": "BTCUSDT", "exchange": "x", "timestamp": "2023-11-14T22:13:20.000001Z",
            "received_at": "2023-11-14T22:13:20.500000Z", "price": "60000.12345678", "size": "0.00000005",
            "side": "buy", "trade_id": "t1", "position": "7:1",
        }
    ]  # fmt: skip
    assert unit.key == ("2023-11-14T22:13:20.000001Z", "BTCUSDT", "x", "t1")


def book(at, live=True):
    levels = [Level(100, 200)], [Level(300, 400)]
    return BookTick(
        "BTCUSDT", "x", at, live, None if live else "stale", "c", 5, *levels, 10, [], [], None, None,
        200, 200, 200, 400, 0, 0, [],
    )  # fmt: skip


def test_books_are_rows_where_they_are_live_and_the_interval_divides_their_time():
    second = 1_700_000_000_000_000
    at = {second: 1, second + 500_000: 0, second + 1_000_000: 1}
    assert {time: len(units_of("book", plain_of(encode(book(time))), "1:0", 10**6)) for time in at} == at
    assert units_of("book", plain_of(encode(book(second, live=False))), "1:0", 10**6) == []


def test_later_revisions_rank_higher_of_gaps_the_later_stands():
    candle = Candle("BTCUSDT", 0, "1s", 1, 1, 1, 1, 1, 1, 3, True, 5)
    gap = Gap("BTCUSDT", "x", 9, 1, None, "stale", None, "")
    closed = Gap("BTCUSDT", "x", 9, 1, 9, "stale", None, "")
    ranks = [
        units_of(topic, plain_of(encode(one)), "1:0", 10**6)[0].rank
        for topic, one in (("ohlcv", candle), ("gap", gap), ("gap", closed))
    ]
    assert ranks == [3, 0, 0]


def test_rows_are_equal_in_any_order_of_rows_and_columns():
    rows = [{"a": 1, "b": Decimal(1)}, {"a": 2, "b": Decimal("2.0")}]
    assert packed(rows) == packed([{"b": Decimal(2), "a": 2}, {"b": Decimal("1.00"), "a": 1}])
    assert packed(rows) != packed(rows[:1])


# --- the end ------------------------------------------------------------------------------------------------------


def test_the_exit_code_says_equal_different_or_could_not():
    one = Difference(1, "t", "p", "w")
    codes = [
        exit_code(Report([], found, behind)) for found, behind in (([], 0), ([one], 0), ([one], 3), ([], 3))
    ]
    assert codes == [0, 1, 1, 2]
    assert verdict(Report([], [], 0)) == "equal"
