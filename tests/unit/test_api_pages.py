"""Cursors and ranges of the REST API: what they are, and everything that they are not."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pages import Cursor, decode, encode
from api.times import DAY_US, Span, length_text, parse_span
from COBY.utils.exceptions import ValidationError

NOW = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
QUERY = {"resource": "trades", "symbol": "BTCUSDT", "exchange": None}
CURSOR = Cursor(Span(1, 2), (5, "BTCUSDT", "kraken", "17"))
TYPES = (int, str, str, str)


def refused(work, *values):
    with pytest.raises(ValidationError) as caught:
        work(*values)
    return caught.value.code, caught.value.where


@given(
    st.integers(-(2**60), 2**60),
    st.integers(-(2**60), 2**60),
    st.integers(-(2**60), 2**60),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60),
)
def test_a_cursor_comes_back_as_it_went(since, until, time, text):
    cursor = Cursor(Span(since, until), (time, text))
    assert decode(encode(cursor, QUERY), QUERY, (int, str)) == cursor


def test_every_single_change_of_a_cursor_is_found():
    whole = encode(CURSOR, QUERY)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place, was in enumerate(whole):
        for new in alphabet:
            if new != was:
                assert (
                    refused(decode, whole[:place] + new + whole[place + 1 :], QUERY, TYPES)[0] == "api.cursor"
                )
    for changed in (
        whole[:-1],
        whole + "A",
        whole + "=",
        whole[1:],
        whole.swapcase(),
        f" {whole}",
        whole + "\n",
    ):
        assert refused(decode, changed, QUERY, TYPES) == ("api.cursor", "query.cursor")


@pytest.mark.parametrize("text", ["", "A", "AAAA", "=", "🙂", "null", "x" * 5_000, "\0", "-_" * 20, "[1,2]"])
def test_what_is_no_cursor_is_refused(text):
    assert refused(decode, text, QUERY, TYPES) == ("api.cursor", "query.cursor")


def test_a_cursor_belongs_to_its_query():
    whole = encode(CURSOR, QUERY)
    for other in (
        {**QUERY, "symbol": "ETHUSDT"},
        {**QUERY, "exchange": "kraken"},
        {**QUERY, "resource": "gaps"},
    ):
        assert refused(decode, whole, other, TYPES) == ("api.cursor_other", "query.cursor")
    assert decode(whole, dict(reversed(QUERY.items())), TYPES) == CURSOR


@pytest.mark.parametrize("key", [(), ("5", "a", "b", "c"), (5, "a", "b"), (5, "a", "b", None), (5, "a", "b", "\0"),
                                 (True, "a", "b", "c"), (5.0, "a", "b", "c"), (5, "a", "b", ["c"])])  # fmt: skip
def test_a_key_of_another_form_is_refused_though_its_checksum_holds(key):
    assert refused(decode, encode(Cursor(Span(1, 2), key), QUERY), QUERY, TYPES)[0] == "api.cursor"


def test_another_version_is_refused():
    from api import pages

    body = base64.urlsafe_b64decode(encode(CURSOR, QUERY) + "==")[pages._CHECK_BYTES :]
    content = json.loads(body)
    content[0] += 1
    new = json.dumps(content, separators=(",", ":")).encode()
    text = base64.urlsafe_b64encode(pages._check(new) + new).decode().rstrip("=")
    assert refused(decode, text, QUERY, TYPES)[0] == "api.cursor"


# --- ranges ---------------------------------------------------------------------------------------------------


def span(since, until, usual=60_000_000, longest=DAY_US):
    return parse_span(since, until, NOW, usual, longest)


def test_a_range_is_what_is_asked_for_or_the_newest():
    assert span("2025-12-31T23:00:00Z", "2025-12-31T23:30:00+00:00") == (
        NOW - 3_600_000_000,
        NOW - 1_800_000_000,
    )
    assert span("1767225540000", None) == (NOW - 60_000_000, NOW)
    assert span(None, "2026-01-01T01:00:00+01:00") == (NOW - 60_000_000, NOW)
    assert span(None, None) == (NOW - 60_000_000, NOW)


@pytest.mark.parametrize(
    "text",
    ["", " ", "now", "inf", "nan", "-inf", "1e3", "1.5", "0x10", str(10**20), str(-(10**20)), "0000-01-01T00:00:00Z",
     "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01",
     "2026-01-01T00:00:60Z", "2026-01-01T00:00:00 01:00", "2026-01-01T00:00:00+25:00", "٢٠٢٦-01-01T00:00:00Z",
     "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "\0", "2026-01-01T00:00:00Z\n"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["from", "to"])
def test_nonsense_is_no_time_and_its_parameter_is_named(name, text):
    values = (text, None) if name == "from" else (None, text)
    assert refused(span, *values) == ("time.invalid", f"query.{name}")


def test_a_time_without_an_offset_is_refused():
    assert refused(span, "2026-01-01T00:00:00", None) == ("time.naive", "query.from")
    assert refused(span, None, "2026-01-01T00:00:00.5") == ("time.naive", "query.to")


def test_a_plus_that_became_a_blank_is_explained():
    with pytest.raises(ValidationError, match="%2B"):
        span("2026-01-01T00:00:00 01:00", None)


def test_the_limit_of_a_range_is_exact():
    assert span("2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z") == (NOW - DAY_US, NOW)
    with pytest.raises(ValidationError) as caught:
        span("2025-12-30T23:59:59.999999Z", "2026-01-01T00:00:00Z")
    assert (caught.value.code, caught.value.allowed) == (
        "api.range_too_long",
        "at most 1 days in one request",
    )
    assert refused(span, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z") == ("api.range_empty", "query.from")
    assert refused(span, "2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z") == ("api.range_empty", "query.from")
    assert refused(span, "1970-01-01T00:00:00Z", "2999-12-31T23:59:59Z")[0] == "api.range_too_long"


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:01Z", "1969-12-31T23:59:59.999Z", "-1", "3000-01-01T00:00:00Z"]
)
def test_times_that_are_far_away_are_refused(text):
    assert refused(span, None, text) == ("time.invalid", "query.to")
    assert refused(span, text, None) == ("time.invalid", "query.from")


@pytest.mark.parametrize(
    ("length", "text"), [(DAY_US * 7, "7 days"), (5_400_000_000, "1.5 hours"), (500_000, "0.5 seconds")]
)
def test_a_length_in_words(length, text):
    assert length_text(length) == text
