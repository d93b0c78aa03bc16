"""What other clients' tests expect of real frames holds for ours, through the pipeline's own decode."""

import json
import re
from collections import Counter

import pytest

from COBY.decode import RecordingDecoder
from COBY.exchanges import load
from COBY.recordings import parse_recording
from tests.expectations import (
    CHANNEL,
    DEAD,
    ENVELOPE,
    EXPRESSION,
    LEFT_OUT,
    WORDS,
    Ours,
    arithmetic,
    as_ours,
    entries,
    field_reason,
    is_body,
)

COMPARED, NOTHING = "compared", "nothing expected"


def rows_of(entry):
    """Rows of `coby decode` after the entry's frame; an update gets a made snapshot that it continues."""
    one, rows = RecordingDecoder(load(entry.exchange), None, True, 1000), []
    data = entry.frame.get("data", {}) if isinstance(entry.frame, dict) else {}
    if is_body(entry):
        body = data or entry.frame
        names = [value for _, word, value in entry.fields() if word in ("symbol", "pair") and value != "NONE"]
        named = as_ours("symbol", names[0])
        rows.append({"dir": "http", "symbol": named, "frame": json.dumps(body)})
    else:
        if "U" in data and entry.row["expected"]:
            made = {"lastUpdateId": data["U"] - 1, "bids": [], "asks": []}
            rows.append({"dir": "http", "symbol": data["s"], "frame": json.dumps(made)})
        rows.append({"frame": entry.row["frame"]})
    rows[-1]["received_at"] = entry.row["received_at"]
    return [one.take(row) for row in parse_recording(map(json.dumps, rows))][-1]


def compare(entry, counts):
    """Every field of an entry; a field that is left out is counted with its reason."""
    rows = rows_of(entry)
    expected = entry.row["expected"]
    if isinstance(expected, list):
        shown = [row for row in rows if row["type"] in ("trade", "delta")]
        assert len(shown) == len(expected), (entry, rows)
    for place, word, value in entry.fields():
        if (reason := field_reason(entry, word, value)) is not None:
            counts[reason] += 1
            continue
        number = re.search(r"\[(\d+)\]", word)
        ours = WORDS[re.sub(r"\[\d+\]", "[]", word)](
            Ours(entry, rows, place), int(number[1]) if number else 0
        )
        theirs = as_ours(word, arithmetic(value))
        if isinstance(value, dict) and "round" in value:
            ours = round(ours, 8)
        assert ours == theirs, (entry.exchange, entry.file, entry.number, word)
        counts[COMPARED] += 1


@pytest.fixture(scope="module")
def counted(frames_dir):
    """(exchange, file) -> entries by their fate, fields by theirs."""
    found = {key: (Counter(), Counter()) for key in LEFT_OUT}
    for entry in entries(frames_dir):
        of_entries, of_fields = found[entry.exchange, entry.file]
        if (left := entry.reason()) is not None:
            of_entries[left[0]] += 1
        elif entry.row["expected"] is None:
            of_entries[NOTHING] += 1
        else:
            before = of_fields.total()
            compare(entry, of_fields)
            assert of_fields.total() - before == sum(1 for _ in entry.fields())
            of_entries[COMPARED] += 1
    return found


ENTRIES = {
    ("binance", "tardis_mappers"): {COMPARED: 3, CHANNEL: 2, NOTHING: 1},
    ("binance", "cryptomsgparser_spot"): {COMPARED: 2, CHANNEL: 6},
    ("binance", "cryptomsgparser_derivatives"): {COMPARED: 8, CHANNEL: 14},
    ("kraken", "tardis_mappers"): {COMPARED: 2, DEAD: 4, CHANNEL: 1},
    ("kraken", "cryptomsgparser_spot"): {DEAD: 7, CHANNEL: 1, NOTHING: 1},
    ("kraken", "cryptomsgparser_derivatives"): {CHANNEL: 10},
    ("okx", "tardis_mappers"): {COMPARED: 1, DEAD: 4, CHANNEL: 2},
    ("okx", "cryptomsgparser_spot"): {COMPARED: 1, DEAD: 1, CHANNEL: 7},
    ("okx", "cryptomsgparser_derivatives"): {COMPARED: 5, CHANNEL: 18},
}
FIELDS = {
    ("binance", "tardis_mappers"): {COMPARED: 16, ENVELOPE: 1},
    ("binance", "cryptomsgparser_spot"): {COMPARED: 41, EXPRESSION: 1},
    ("binance", "cryptomsgparser_derivatives"): {COMPARED: 106, CHANNEL: 58, ENVELOPE: 8, EXPRESSION: 16},
    ("kraken", "tardis_mappers"): {COMPARED: 8},
    ("okx", "tardis_mappers"): {COMPARED: 9},
    ("okx", "cryptomsgparser_spot"): {COMPARED: 8},
    ("okx", "cryptomsgparser_derivatives"): {COMPARED: 35, CHANNEL: 7, EXPRESSION: 4},
}


@pytest.mark.parametrize("key", LEFT_OUT, ids="/".join)
def test_every_expectation_of_our_channels_is_met_and_no_entry_vanishes(counted, frames_dir, key):
    of_entries, of_fields = counted[key]
    lines = (frames_dir / key[0] / f"{key[1]}.jsonl").read_text().splitlines()
    assert of_entries.total() == len(lines)
    assert of_entries == ENTRIES[key]
    assert of_fields == FIELDS.get(key, {})
    numbered = dict(enumerate(map(json.loads, lines)))
    compared = set(numbered) - set(LEFT_OUT[key])
    assert of_fields.total() == sum(count_fields(numbered[number]["expected"]) for number in compared)


def count_fields(expected):
    return sum(map(len, expected)) if isinstance(expected, list) else len(expected or {})


def test_what_is_left_out_shows_its_reason_and_gives_no_event(frames_dir):
    for entry in entries(frames_dir):
        if (left := entry.reason()) is None:
            continue
        reason, mark = left
        assert mark in entry.row["frame"].replace('": "', '":"'), entry
        assert (reason == DEAD) == (isinstance(entry.frame, list) or "table" in entry.frame), entry
        one = RecordingDecoder(load(entry.exchange), None, True, None)
        (row,) = parse_recording([json.dumps({"frame": entry.row["frame"]})])
        assert one.take(row) == [], entry


def test_no_body_without_a_name_is_taken_for_any_symbol(frames_dir):
    """Their NONE: nobody says whose book it is."""
    bodies = [entry for entry in entries(frames_dir) if entry.reason() is None and is_body(entry)]
    assert len(bodies) == 6
    for entry in bodies:
        one = RecordingDecoder(load(entry.exchange), None, True, None)
        body = entry.frame.get("data", entry.frame)
        (row,) = parse_recording([json.dumps({"dir": "http", "frame": json.dumps(body)})])
        assert [event["code"] for event in one.take(row)] == ["frame.unknown_symbol"]
