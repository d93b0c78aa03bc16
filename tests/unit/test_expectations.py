"""What other clients' tests expect of real frames holds for ours, through the pipeline's own decode."""

import json
import re
from collections import Counter

import pytest

from COBY.decode import RecordingDecoder
from COBY.exchanges import load
from COBY.recordings import parse_recording
from tests import expectations_bitfinex, expectations_kucoin
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
    is_dead,
)

COMPARED, NOTHING = "compared", "nothing expected"


def body_of(entry):
    """A REST body, without what a recorder put around it."""
    return entry.frame if entry.exchange == "kucoin" else entry.frame.get("data") or entry.frame


def rows_of(entry):
    """Rows of `coby decode` after the entry's frame; an update gets a made snapshot that it continues."""
    one, rows = RecordingDecoder(load(entry.exchange), None, True, 1000), []
    data = entry.frame.get("data", {}) if isinstance(entry.frame, dict) else {}
    if entry.exchange == "bitfinex":
        rows += expectations_bitfinex.rows(entry.row["frame"])
    elif is_body(entry):
        body = body_of(entry)
        names = [value for _, word, value in entry.fields() if word in ("symbol", "pair") and value != "NONE"]
        named = as_ours("symbol", names[0]) if names else "BTCUSDT"
        rows.append({"dir": "http", "symbol": named, "frame": json.dumps(body)})
    else:
        if "U" in data and entry.row["expected"]:
            made = {"lastUpdateId": data["U"] - 1, "bids": [], "asks": []}
            rows.append({"dir": "http", "symbol": data["s"], "frame": json.dumps(made)})
        if "sequenceStart" in data and entry.row["expected"]:
            made = expectations_kucoin.before(data)
            rows.append({"dir": "http", "symbol": data["symbol"], "frame": json.dumps(made)})
        if entry.frame.get("channel") == "spot.obu" and entry.row["expected"]:
            result = entry.frame["result"]
            before = {"t": 1, "full": True, "s": result["s"], "u": result["U"] - 1}
            rows.append({"frame": json.dumps(entry.frame | {"result": before})})
        if entry.frame.get("type") == "delta":  # an update is the next of its topic
            before = {"type": "snapshot", "data": data | {"b": [], "a": [], "u": data["u"] - 1}}
            rows.append({"frame": json.dumps(entry.frame | before, default=str)})
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
    ("bitfinex", "tardis_mappers"): {COMPARED: 6, CHANNEL: 3},
    ("bitfinex", "cryptomsgparser_spot"): {COMPARED: 4, CHANNEL: 7},
    ("bitfinex", "cryptomsgparser_derivatives"): {COMPARED: 4, CHANNEL: 4},
    ("bybit", "tardis_mappers"): {COMPARED: 2, DEAD: 3, CHANNEL: 1},
    ("bybit", "tardis_derivatives_mappers"): {COMPARED: 3, DEAD: 19, CHANNEL: 5},
    ("bybit", "cryptomsgparser_derivatives"): {DEAD: 6},
    ("coinbase", "tardis_mappers"): {CHANNEL: 5},
    ("coinbase", "cryptomsgparser_spot"): {CHANNEL: 6},
    ("gateio", "tardis_mappers"): {COMPARED: 3, DEAD: 3, CHANNEL: 1},
    ("gateio", "cryptomsgparser_spot"): {COMPARED: 1, DEAD: 4, CHANNEL: 6},
    ("gateio", "cryptomsgparser_derivatives"): {CHANNEL: 18},
    ("huobi", "tardis_mappers"): {COMPARED: 3, CHANNEL: 9},
    ("huobi", "cryptomsgparser_spot"): {COMPARED: 1, CHANNEL: 7},
    ("huobi", "cryptomsgparser_derivatives"): {CHANNEL: 26},
    ("kucoin", "tardis_mappers"): {COMPARED: 6, CHANNEL: 2},
    ("kucoin", "cryptomsgparser_spot"): {COMPARED: 4, CHANNEL: 6},
    ("kucoin", "cryptomsgparser_derivatives"): {CHANNEL: 18},
    ("mexc", "cryptomsgparser_spot"): {DEAD: 8},
    ("mexc", "cryptomsgparser_derivatives"): {CHANNEL: 8},
}
FIELDS = {
    ("binance", "tardis_mappers"): {COMPARED: 16, ENVELOPE: 1},
    ("binance", "cryptomsgparser_spot"): {COMPARED: 41, EXPRESSION: 1},
    ("binance", "cryptomsgparser_derivatives"): {COMPARED: 106, CHANNEL: 58, ENVELOPE: 8, EXPRESSION: 16},
    ("kraken", "tardis_mappers"): {COMPARED: 8},
    ("okx", "tardis_mappers"): {COMPARED: 9},
    ("okx", "cryptomsgparser_spot"): {COMPARED: 8},
    ("okx", "cryptomsgparser_derivatives"): {COMPARED: 35, CHANNEL: 7, EXPRESSION: 4},
    ("bitfinex", "tardis_mappers"): {COMPARED: 16},
    ("bitfinex", "cryptomsgparser_spot"): {COMPARED: 31, ENVELOPE: 1},
    ("bitfinex", "cryptomsgparser_derivatives"): {COMPARED: 24, CHANNEL: 12, ENVELOPE: 1},
    ("bybit", "tardis_mappers"): {COMPARED: 17},
    ("bybit", "tardis_derivatives_mappers"): {COMPARED: 44},
    ("gateio", "tardis_mappers"): {COMPARED: 17},
    ("gateio", "cryptomsgparser_spot"): {COMPARED: 8},
    ("huobi", "tardis_mappers"): {COMPARED: 18},
    ("huobi", "cryptomsgparser_spot"): {COMPARED: 2, ENVELOPE: 1, EXPRESSION: 1},
    ("kucoin", "tardis_mappers"): {COMPARED: 9},
    ("kucoin", "cryptomsgparser_spot"): {COMPARED: 25, ENVELOPE: 1, EXPRESSION: 1},
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
        assert (reason == DEAD) == is_dead(entry), entry
        one = RecordingDecoder(load(entry.exchange), None, True, None)
        told = [{"frame": entry.row["frame"]}]
        if entry.exchange == "bitfinex":  # a frame says nothing without its subscription
            told = expectations_bitfinex.rows(entry.row["frame"])
        assert [one.take(row) for row in parse_recording(map(json.dumps, told))][-1] == [], entry


def test_no_body_without_a_name_is_taken_for_any_symbol(frames_dir):
    """Their NONE: nobody says whose book it is."""
    bodies = [entry for entry in entries(frames_dir) if entry.reason() is None and is_body(entry)]
    assert len(bodies) == 7
    for entry in bodies:
        one = RecordingDecoder(load(entry.exchange), None, True, None)
        body = body_of(entry)
        (row,) = parse_recording([json.dumps({"dir": "http", "frame": json.dumps(body)})])
        assert [event["code"] for event in one.take(row)] == ["frame.unknown_symbol"]
