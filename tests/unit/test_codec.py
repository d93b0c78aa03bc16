"""Bytes written by us are read identically by fastavro and by avro-python3, two implementations that are not ours."""

import io
import json
import warnings
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import fastavro
import msgspec
import pytest
from hypothesis import given, settings

from COBY import records
from COBY.codec import decode, encode
from COBY.records import NAMES, UNITS
from COBY.utils.exceptions import ProcessingError
from replay.fields import plain_of
from schemas import FORMER, IDS, former_text, schema_text
from tests.any_records import plain, values

with warnings.catch_warnings():
    # The deprecated library that is wanted here as a second opinion warns of itself.
    warnings.simplefilter("ignore")
    import avro.io
    import avro.schema


@pytest.mark.parametrize("name", sorted(IDS))
def test_three_readers_agree_on_what_we_write(name):
    schema = json.loads(schema_text(name))
    other = avro.schema.parse(schema_text(name))

    @settings(max_examples=25, deadline=None)
    @given(values(schema, {}))
    def check(record):
        wire = encode(record)
        assert wire[:5] == b"\0" + IDS[name].to_bytes(4, "big")
        expected = plain(record, schema, {})
        assert fastavro.schemaless_reader(io.BytesIO(wire[5:]), schema, None) == expected
        assert read_by_avro(wire[5:], other) == untimed(expected)
        assert decode(wire) == record

    check()


def read_by_avro(body, schema):
    """avro-python3 gives what lies under our logical types: bytes (here made decimals) and microseconds."""
    return undecimalled(avro.io.DatumReader(schema, schema).read(avro.io.BinaryDecoder(io.BytesIO(body))))


def undecimalled(value):
    if isinstance(value, dict):
        return {key: undecimalled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [undecimalled(item) for item in value]
    return Decimal(f"{int.from_bytes(value, 'big', signed=True)}E-8") if isinstance(value, bytes) else value


def untimed(value):
    if isinstance(value, dict):
        return {key: untimed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [untimed(item) for item in value]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (value - epoch) // timedelta(microseconds=1) if isinstance(value, datetime) else value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "codec.null"),
        (b"", "codec.format"),
        (b"{}....", "codec.format"),
        (b"\0\0\0\x27\x0f", "codec.unknown_schema"),
        (b"\0\0\0\0\1\xff", "codec.broken"),
        (b"\0\0\0\0\1", "codec.broken"),
    ],
)
def test_what_is_no_record_of_ours_is_refused_with_a_code(value, code):
    with pytest.raises(ProcessingError) as caught:
        decode(value)
    assert caught.value.code == code


def test_bytes_after_a_record_are_refused():
    gap = records.Gap("BTCUSDT", "x", 1, 1, None, "stale", None, "")
    with pytest.raises(ProcessingError, match="after the record"):
        decode(encode(gap) + b"\0")


def test_every_field_of_every_schema_has_a_sentence():
    def check(schema):
        if isinstance(schema, list):
            for item in schema:
                check(item)
        elif isinstance(schema, dict):
            if schema.get("type") == "record":
                assert schema["doc"].endswith("."), schema["name"]
                for field in schema["fields"]:
                    assert field["doc"].endswith("."), (schema["name"], field["name"])
                    check(field["type"])
            elif schema.get("type") == "array":
                check(schema["items"])

    for name in IDS:
        check(json.loads(schema_text(name)))


def test_ids_are_fixed():
    assert IDS["trade"] == 1
    assert len(set(IDS.values())) == len(IDS)
    assert set(NAMES.values()) == set(IDS)
    assert UNITS == 10**8
    assert all(issubclass(struct, msgspec.Struct) for struct in NAMES)


def test_a_record_of_a_former_schema_is_read_with_the_defaults_of_what_it_lacks():
    """Written by fastavro under the schema that had id 4, as it lies in topics."""
    written = json.loads(former_text(4))
    assert [field["name"] for field in written["fields"]][-1] == "crossed_ticks"
    head = {"symbol": "BTCUSDT", "exchange": "x", "timestamp": datetime(2026, 1, 1, tzinfo=UTC)}
    shares = {"score": Decimal("0.75"), "coverage": Decimal(1), "accepted": Decimal("0.75")}
    counts = {"events": 3, "rejected": 1, "duplicates": 2, "anomalies": 4, "gaps": 5, "crossed_ticks": 6}
    body = io.BytesIO()
    fastavro.schemaless_writer(body, written, head | shares | counts)
    wire = b"\0\0\0\0\4" + body.getvalue()
    time_us = 1_767_225_600_000_000
    expected = records.Quality(
        "BTCUSDT", "x", time_us, 75 * UNITS // 100, UNITS, 75 * UNITS // 100, 3, 1, 2, 4, 5, 6
    )
    assert decode(wire) == expected
    assert (expected.blind_us, expected.clock_skew_us) == (0, 0)
    lacking = dict.fromkeys(("blind_us", "crossed_us", "checksum_failures", "skewed", "clamped"), 0)
    assert plain_of(wire) == head | shares | counts | lacking | {"clock_skew_us": 0}


WRITTEN = {
    "quality": (
        records.Quality("BTCUSDT", "x", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        {"score": Decimal("0.00000002"), "crossed_ticks": 10},
    ),
    "place": (
        records.Place("s", 1, "failed", 2, 3, None, 4, 1000, "code: text", [], "", "", "w", 5, "{}"),
        {"error": "code: text", "worker": "w", "records": 4},
    ),
}
"""Name of a schema that was another one once -> a record of today's, and what a former reader finds in it."""


@pytest.mark.parametrize("number", sorted(FORMER))
def test_schemas_are_fully_transitive(number):
    """Either reads what the other wrote: FULL_TRANSITIVE."""
    former, today = json.loads(former_text(number)), json.loads(schema_text(FORMER[number]))
    names = {field["name"] for field in former["fields"]}
    added = [field for field in today["fields"] if field["name"] not in names]
    assert added
    assert all("default" in field for field in added)
    record, expected = WRITTEN[FORMER[number]]
    found = fastavro.schemaless_reader(io.BytesIO(encode(record)[5:]), today, former)
    assert set(found) == names
    assert {name: found[name] for name in expected} == expected


def test_an_id_is_never_given_twice():
    assert not set(FORMER) & set(IDS.values())
    assert len(set(IDS.values())) == len(IDS)
