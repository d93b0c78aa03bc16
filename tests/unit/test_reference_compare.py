"""compare.py must see every difference: it is what stands between a wrong pipeline and a green test."""

import copy
import io
from datetime import UTC, datetime
from decimal import Decimal

import fastavro
import pytest

from tests.reference.by_hand import Log, settings
from tests.reference.compare import compare_topic, decode, differences, schema
from tests.reference.run import TOPICS, compute


@pytest.fixture(scope="module")
def results() -> dict[str, list[dict]]:
    log = Log()
    log.marks(0)
    log.snapshot(0.1, 1, [["98", "1"], ["90", "2"]], [["101", "3"]], limit=2)
    log.trade(0.2, 1, "100.5", "0.25")
    log.trade(0.3, 2, "100.25", "0.5")
    log.marks(0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    return compute(log.records(), settings())


def written(name: str, record: dict) -> bytes:
    """As it lies in a topic, written by plain fastavro."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema(name), record, strict=True)
    return b"\x00\x00\x00\x00\x01" + body.getvalue()


@pytest.mark.parametrize("name", TOPICS)
def test_what_the_reference_computes_fits_the_schema_and_comes_back_equal(name, results):
    assert results[name]
    decoded = [decode(name, written(name, record)) for record in results[name]]
    assert compare_topic(name, results[name], decoded) == []


def test_a_gaps_words_are_not_compared_and_all_else_is():
    log = Log()
    log.marks(0)
    log.snapshot(0.1, 1, [["98", "1"]], [["101", "3"]])
    log.event(0.2, "disconnected")
    log.marks(0.5)
    (gap,) = compute(log.records(), settings())["gap"]
    actual = decode("gap", written("gap", gap | {"detail": "closed by the exchange"}))
    assert compare_topic("gap", [gap], [actual]) == []
    assert compare_topic("gap", [gap], [actual | {"conn": "b"}]) != []
    assert compare_topic("gap", [gap], [actual | {"until_time": gap["from_time"]}]) != []


def test_decode_refuses_what_is_not_in_the_wire_format(results):
    value = written("trade", results["trade"][0])
    with pytest.raises(ValueError, match="wire format"):
        decode("trade", b"{" + value[1:])
    with pytest.raises(ValueError, match="left over"):
        decode("trade", value + b"\x00")


def test_times_are_read_as_exact_microseconds(results):
    late = results["trade"][0] | {"timestamp": datetime(2023, 11, 14, 22, 14, 0, 123457, tzinfo=UTC)}
    assert decode("trade", written("trade", late))["timestamp"] == 1_700_000_040_123_457


def test_a_difference_is_named_by_its_path(results):
    changed = copy.deepcopy(results["heatmap"])
    changed[0]["data"][1]["volume"] += Decimal("0.00000001")
    (found,) = compare_topic("heatmap", results["heatmap"], changed)
    assert "data[1].volume" in found


@pytest.mark.parametrize("name", TOPICS)
def test_every_changed_field_is_seen(name, results):
    record = results[name][0]
    for field in record:
        assert differences(record, record | {field: "something else"})
        assert differences(record, {key: value for key, value in record.items() if key != field})
    assert differences(record, record | {"more": None})


def test_missing_unexpected_doubled_and_swapped_records_are_seen(results):
    trades = results["trade"]
    assert len(trades) == 2
    assert "expected, not there" in compare_topic("trade", trades, trades[:1])[0]
    assert "not expected" in compare_topic("trade", trades[:1], trades)[0]
    assert "occur twice" in compare_topic("trade", trades, [*trades, trades[0]])[0]
    assert "order" in compare_topic("trade", trades, trades[::-1])[0]


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (True, 1),
        (Decimal(1), 1.0),
        (None, 0),
        ("1", Decimal(1)),
        ([1], [1, 2]),
        ([1], {"0": 1}),
        (Decimal(1), None),
    ],
)
def test_other_kinds_of_value_are_not_equal(expected, actual):
    assert differences(expected, actual, "x")


def test_trailing_zeros_of_decimals_do_not_matter():
    assert differences(Decimal("1.50000000"), Decimal("1.5")) == []


def test_a_flood_of_differences_is_cut(results):
    many = [results["trade"][0] | {"trade_id": str(number)} for number in range(200)]
    found = compare_topic("trade", many, [])
    assert len(found) == 51
    assert found[-1] == "… and 150 more"
