"""Inflation within bounds."""

import gzip
import zlib

import pytest

from COBY.inflation import MAX_INFLATED, InflationError, inflated, opening

TEXT = b'{"ch":"market.btcusdt.mbp.400","ts":1}'
WHOLE = gzip.compress(TEXT, mtime=0)


def test_a_frame_of_gzip_and_one_that_is_none():
    assert inflated(WHOLE) == TEXT
    assert inflated(gzip.compress(b"")) == b""
    assert inflated(TEXT) == TEXT
    assert inflated(b"") == b""


@pytest.mark.parametrize("cut", range(2, len(WHOLE)))
def test_a_frame_cut_short_anywhere_is_no_frame(cut):
    with pytest.raises(InflationError):
        inflated(WHOLE[:cut])


@pytest.mark.parametrize("place", range(2, len(WHOLE)))
def test_a_flipped_byte_gives_the_same_text_or_an_error(place):
    """gzip's header has fields that nobody reads; everything else is covered by its checksum and length."""
    broken = bytearray(WHOLE)
    broken[place] ^= 0xFF
    try:
        assert inflated(bytes(broken)) == TEXT
    except InflationError:
        assert place == 2 or place == 3 or place >= 10, "method, flags, or the content"


def test_bytes_behind_the_gzip_are_told_of():
    for more in (b"x", WHOLE, b"\x00" * 8):
        with pytest.raises(InflationError, match=f"{len(more)} bytes behind"):
            inflated(WHOLE + more)


def test_a_bomb_is_inflated_no_further_than_the_bound():
    bomb = gzip.compress(b"0" * (MAX_INFLATED * 16))
    assert len(bomb) < 100_000
    with pytest.raises(InflationError, match=f"more than {MAX_INFLATED} bytes"):
        inflated(bomb)
    largest = b"[" + b" " * (MAX_INFLATED - 3) + b"]"
    assert inflated(gzip.compress(largest)) == largest


def test_the_opening_of_a_frame():
    assert opening(WHOLE, 5) == TEXT[:5]
    assert opening(TEXT, 5) == TEXT[:5]
    assert opening(gzip.compress(b"0" * 10_000_000), 64) == b"0" * 64
    assert opening(b"\x1f\x8bxxxx", 5) == b""
    assert opening(b"", 5) == b""
    assert opening(WHOLE[:11], 5) in (b"", TEXT[:1]), "cut short"


def test_other_compressions_are_not_taken_for_gzip():
    """A body of zlib begins with other bytes: it is passed on, and found to be no JSON."""
    body = zlib.compress(TEXT)
    assert inflated(body) == body
