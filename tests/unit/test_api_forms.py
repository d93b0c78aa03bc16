"""Forms of the REST API's answers: what Accept wants, and floats in place of decimal strings."""

import gzip
import json
from decimal import Decimal

import pytest

from api.formats import ARROW, CSV, JSON, Body, Page, packed, render, takes_gzip, wanted
from api.shapes import SIZE, TEXT, Column, arrow_table, listed, plain_rows
from COBY.jsonform import plain, with_floats
from COBY.records import BookTick, Bucket, Level, TradeEvent
from COBY.utils.exceptions import ValidationError

UNIT = 100_000_000


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON), ("", JSON), ("*/*", JSON), ("application/*", JSON), ("text/*", CSV), (CSV, CSV), (ARROW, ARROW),
        ("text/csv;q=0.5, application/json;q=0.4", CSV), ("TEXT/CSV ; q=1.0", CSV), ("text/html, */*;q=0.1", JSON),
        ("application/json;q=0, */*", ARROW), ("application/vnd.apache.arrow.stream;q=0.9,text/csv;q=0.8", ARROW),
        ("text/csv, application/json", JSON), ("*/*;q=0.1, text/csv;q=nonsense", JSON),
    ],
)  # fmt: skip
def test_accept_chooses_the_form(accept, media_type):
    assert wanted(accept) == media_type


@pytest.mark.parametrize(
    "accept", ["image/png", "text/html", "*/*;q=0", "application/json;q=0", "nonsense", ";;"]
)
def test_what_there_is_not_is_refused(accept):
    with pytest.raises(ValidationError) as caught:
        wanted(accept)
    assert (caught.value.code, caught.value.where) == ("api.not_acceptable", "Accept")
    assert caught.value.allowed == f"{JSON}, {ARROW}, {CSV}"


@pytest.mark.parametrize(
    ("accept_encoding", "takes"),
    [
        (None, False), ("", False), ("gzip", True), ("br, GZIP;q=0.5", True), ("*", True), ("gzip;q=0, *", False),
        ("deflate, br", False), ("*;q=0", False), ("identity", False),
    ],
)  # fmt: skip
def test_accept_encoding_says_whether_gzip_is_taken(accept_encoding, takes):
    assert takes_gzip(accept_encoding) is takes


def test_what_is_long_is_packed_and_the_same():
    long, short = Body(b"0123456789" * 1000, JSON, {"Vary": "x"}), Body(b"{}", JSON, {"Vary": "x"})
    assert packed(short) == short
    found = packed(long)
    assert (found.media_type, found.headers) == (JSON, {"Vary": "x", "Content-Encoding": "gzip"})
    assert len(found.content) < 200
    assert gzip.decompress(found.content) == long.content
    assert packed(long) == found, "the same answer, the same bytes"


def test_numbers_of_thirty_digits_stay_exact_in_every_form():
    size = Decimal("1234567890123456789012.12345678")
    columns = (Column("size", SIZE), Column("list", listed(Column("name", TEXT), Column("size", SIZE))))
    rows = [(size, [("a", size), ("b", None)]), (None, [])]
    assert plain_rows(columns, rows, floats=False) == [
        {"size": str(size), "list": [{"name": "a", "size": str(size)}, {"name": "b", "size": None}]},
        {"size": None, "list": []},
    ]
    table = arrow_table(columns, rows, floats=False)
    assert table.to_pylist()[0]["size"] == table.to_pylist()[0]["list"][0]["size"] == size
    assert arrow_table(columns, rows, floats=True).to_pylist()[1] == {"size": None, "list": []}


def test_no_rows_have_the_same_columns_in_arrow():
    columns = (Column("size", SIZE), Column("list", listed(Column("size", SIZE))))
    assert arrow_table(columns, [], False).schema == arrow_table(columns, [(Decimal(1), [])], False).schema


@pytest.mark.parametrize("items", [0, 3, 2_500])
@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 3_217])
def test_a_page_of_any_size_is_one_array_a_column_with_every_row_in_its_place(count, items):
    columns = (Column("name", TEXT), Column("list", listed(Column("size", SIZE))))
    rows = [(str(n), [(Decimal(n),)] * (items if n % 997 == 0 else 1)) for n in range(count)]
    table = arrow_table(columns, rows, floats=False)
    assert all(column.num_chunks <= 1 for column in table.columns)
    assert [one["name"] for one in table.to_pylist()] == [str(n) for n in range(count)]
    assert [[cell["size"] for cell in one["list"]] for one in table.to_pylist()] == [
        [cell for (cell,) in cells] for _, cells in rows
    ]


@pytest.mark.parametrize("rows", [[], [("a", Decimal(1))], [("a", Decimal(1)), ('"b', None)]])
def test_json_is_one_object_with_data_page_and_meta(rows):
    columns = (Column("name", TEXT), Column("size", SIZE))
    meta = {"complete": False, "gaps": [{"reason": "stale"}]}
    body = render(JSON, Page(columns, rows, "next", meta), floats=True)
    assert json.loads(body.content) == {
        "data": [{"name": name, "size": None if size is None else float(size)} for name, size in rows],
        "page": {"next_cursor": "next", "has_more": True},
        "meta": meta,
    }


def test_floats_are_for_decimals_alone():
    trade = plain(TradeEvent("BTCUSDT", "binance", 1, 2, 150_000_000, 25_000_000, "buy", "0.5"))
    told = with_floats("trade", trade | {"position": "1:0", "offset": 7})
    changed = {
        name: value
        for name, value in told.items()
        if value != (trade | {"position": "1:0", "offset": 7})[name]
    }
    assert changed == {"price": 1.5, "size": 0.25}


def test_floats_reach_into_lists_and_leave_nothing_as_nothing():
    book = BookTick(
        "BTCUSDT", "binance", 1, True, None, "c", None, [Level(UNIT, 2 * UNIT)], [], 10 * UNIT, [Bucket(0, UNIT)], [],
        None, None, None, None, None, None, None, 0, [],
    )  # fmt: skip
    told = with_floats("book", json.loads(json.dumps(plain(book))))
    assert (told["bids"], told["bid_buckets"]) == (
        [{"price": 1.0, "size": 2.0}],
        [{"price": 0.0, "volume": 1.0}],
    )
    assert told["covered_low"] is told["sequence_id"] is None
