"""Recordings as JSON lines: COBY/recordings.py, COBY/runtime/files.py."""

import base64
import gzip
import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.recordings import RecordedFrame, format_recorded, only_symbol, parse_recording
from COBY.runtime.files import reading_lines, writing_bytes
from COBY.utils.exceptions import ServiceError, ValidationError


def parse(*rows: object) -> list[RecordedFrame]:
    return list(parse_recording([json.dumps(row) for row in rows]))


def test_a_row_of_the_frames_folder_is_read_with_its_time_in_nanoseconds():
    (row,) = parse(
        {
            "exchange": "binance",
            "channel": "trade",
            "received_at": 1723161253.9370856,
            "received_at_ns": 1723161253937085768,
            "frame": '{"é":1}',
            "expected": None,
        }
    )
    assert (row.received_ns, row.dir, row.kind, row.exchange) == (1723161253937085768, "in", "ws", "binance")
    assert row.frame == '{"é":1}'.encode()
    assert (row.conn, row.seq, row.symbol, row.url, row.line) == (None, None, None, None, 1)


@pytest.mark.parametrize(
    ("written", "received_ns"),
    [
        (1633998274.865238, 1633998274865238000),
        (1618678132.3771882, 1618678132377188200),
        (1633998274, 1633998274000000000),
        ("2026-11-21T05:11:45.830Z", 1795237905830000000),
        ("2026-11-21T06:11:45.830001+01:00", 1795237905830001000),
        (None, None),
    ],
)
def test_received_at_is_exact_in_seconds_and_in_rfc_3339(written, received_ns):
    (row,) = parse({"received_at": written, "frame": "x"})
    assert row.received_ns == received_ns


def test_base64_frames_are_the_bytes_as_received_also_where_they_are_compressed():
    packed = gzip.compress(b'{"ping":1}')
    (row,) = parse(
        {
            "frame": base64.b64encode(packed).decode(),
            "encoding": "base64",
            "compression": "gzip",
            "decoded": '{"ping":1}',
        }
    )
    assert row.frame == packed


def test_context_is_known_by_its_direction_and_not_decoded():
    rows = parse(
        {"dir": "connect", "url": "wss://x", "frame": None},
        {"dir": "out", "frame": "subscribe"},
        {"dir": "meta", "frame": "note"},
        {"dir": "in-ack", "frame": "ack"},
        {"dir": "http", "frame": "{}", "symbol": "BTCUSDT"},
        {"frame": "{}"},
    )
    assert [row.kind for row in rows] == [None, None, None, None, "http", "ws"]
    assert [row.is_decoded for row in rows] == [False] * 4 + [True] * 2
    assert (rows[0].frame, rows[0].is_null) == (b"", False)


def test_a_number_without_a_connection_is_not_ours():
    (theirs, ours) = parse({"seq": 0, "frame": "x"}, {"seq": 7, "conn": "c", "frame": "x"})
    assert (theirs.seq, ours.seq) == (None, 7)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "truncated"),
        ("[]", "object"),
        ('{"frame": 1}', "str"),
        ('{"frame": "x", "dir": "sideways"}', "in http out connect meta in-ack"),
        ('{"frame": "x", "kind": "mark"}', "ws http event"),
        ('{"frame": "x", "encoding": "hex"}', "base64"),
        ('{"frame": "%%%", "encoding": "base64"}', "base64"),
        ('{"frame": "x", "received_at": "yesterday"}', "RFC 3339"),
        ('{"frame": "x", "received_at": "2026-11-21T05:11:45"}', "offset"),
        ('{"frame": "x", "received_at": 1e999}', "range"),
        ('{"frame": "x", "received_at": -1}', "1970"),
        ('{"frame": "x", "received_at": 1e300}', "1970"),
        ('{"frame": "x", "more": ' + "[" * 100_000, "recursion"),
    ],
)
def test_a_broken_row_is_an_error_with_its_line_number(line, says):
    with pytest.raises(ValidationError, match=r"recording.invalid") as caught:
        list(parse_recording(['{"frame": "good"}', "", line]))
    assert caught.value.where == "line 3"
    assert says in str(caught.value)


def test_bytes_that_are_no_utf_8_break_no_more_than_their_line():
    with pytest.raises(ValidationError, match=r"recording.invalid"):
        list(parse_recording([b'{"frame": "\xff"}']))


texts = st.none() | st.text(st.characters(codec="utf-8"))


@given(
    st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode),
    st.none() | st.integers(0, 2**63 - 1),
    st.sampled_from([("in", "ws"), ("http", "http"), ("meta", "event")]),
    st.none() | st.tuples(st.text(st.characters(codec="utf-8")), st.integers(0, 2**62)),
    texts,
    texts,
    st.booleans(),
)
def test_what_is_written_is_read_back_whatever_the_bytes(frame, received_ns, form, own, url, symbol, is_null):
    conn, seq = own or (None, None)
    record = RecordedFrame(
        received_ns,
        form[0],
        b"" if is_null else frame,
        url,
        symbol,
        conn,
        seq,
        form[1],
        "binance",
        "s",
        1,
        is_null,
    )
    line = format_recorded(record)
    assert line.count(b"\n") == 1
    assert list(parse_recording([line])) == [record]


def test_the_only_symbol_is_the_one_that_the_rows_name():
    assert only_symbol(parse({"frame": "a"}, {"frame": "b", "symbol": "BTCUSDT"})) == "BTCUSDT"
    assert only_symbol(parse({"frame": "a"})) is None
    assert only_symbol(parse({"frame": "a", "symbol": "A"}, {"frame": "b", "symbol": "B"})) is None


def test_every_recording_of_the_frames_folder_can_be_read_and_written(frames_dir):
    paths = sorted([*frames_dir.glob("*/*.jsonl"), *frames_dir.glob("*/*.jsonl.gz")])
    assert len(paths) > 50
    for path in paths:
        with reading_lines(str(path)) as lines:
            for number, row in enumerate(parse_recording(lines)):
                if number % 50 == 0:
                    (again,) = parse_recording([format_recorded(row)])
                    assert (again.frame, again.received_ns, again.kind) == (
                        row.frame,
                        row.received_ns,
                        row.kind,
                    )


def test_gzip_is_opened_by_its_bytes_and_written_by_the_name(tmp_path, monkeypatch):
    packed, plain = tmp_path / "a.jsonl.gz", tmp_path / "renamed.jsonl"
    with writing_bytes(str(packed)) as file:
        file.write(b"one\ntwo\n")
    assert gzip.decompress(packed.read_bytes()) == b"one\ntwo\n"
    plain.write_bytes(packed.read_bytes())
    for path in (packed, plain):
        with reading_lines(str(path)) as lines:
            assert list(lines) == [b"one\n", b"two\n"]
    with io.TextIOWrapper(io.BufferedReader(io.BytesIO(packed.read_bytes()))) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with reading_lines("-") as lines:
            assert list(lines) == [b"one\n", b"two\n"]


def test_files_that_cannot_be_read_or_written_are_errors_with_a_code(tmp_path):
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"x" * 10_000)[:-20])
    for path in (str(broken), str(tmp_path / "missing"), str(tmp_path)):
        with pytest.raises(ServiceError, match=r"file.unreadable"), reading_lines(path) as lines:
            list(lines)
    with pytest.raises(ServiceError, match=r"file.exists"), writing_bytes(str(broken)):
        pass
    with pytest.raises(ServiceError, match=r"file.unwritable"), writing_bytes(str(tmp_path / "no" / "x")):
        pass
    with writing_bytes(str(broken), force=True) as file:
        file.write(b"anew")
