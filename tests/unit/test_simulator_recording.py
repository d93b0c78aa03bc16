"""Context rows of a recording need no frame; rows that are played do."""

from pathlib import Path

import pytest

from simulator.errors import SimulatorError
from simulator.exchanges.okx_wire import OkxWire
from simulator.played import PlayedSource
from simulator.recording import Row, read_recording


def test_a_context_row_may_be_without_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"frame":null,"dir":"connect"}\n{"frame":"x","dir":"in"}\n')
    assert [(row.number, row.text) for row in read_recording(path)] == [(2, "x")]


@pytest.mark.parametrize(
    "row", ['{"frame":null,"dir":"in"}', '{"frame":null,"dir":"http"}', '{"frame":null}']
)
def test_a_row_that_is_played_may_not(tmp_path: Path, row: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"frame":"x","dir":"in"}\n' + row + "\n")
    with pytest.raises(SimulatorError, match="line 2") as refused:
        read_recording(path)
    assert refused.value.code == "simulator.recording_invalid"


def test_a_binary_frame_stands_in_base64(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"frame":"H4sA/w==","encoding":"base64"}\n{"frame":"eyJ9","dir":"http","encoding":"base64"}\n'
    )
    frame, body = read_recording(path)
    assert (frame.text, frame.is_body) == (b"\x1f\x8b\x00\xff", False)
    assert (body.as_text, body.is_body) == ('{"}', True)


@pytest.mark.parametrize(
    "row",
    [
        '{"frame":"*","encoding":"base64"}',
        '{"frame":"00","encoding":"hex"}',
        '{"frame":"A","encoding":"base64"}',
    ],
)
def test_a_frame_in_another_coding_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(row + "\n")
    with pytest.raises(SimulatorError, match="line 1"):
        read_recording(path)


def test_an_exchange_that_sends_text_alone_plays_no_binary_frame() -> None:
    rows = [Row(7, 0, False, b"\x00")]
    with pytest.raises(SimulatorError, match="line 7: okx sends text alone"):
        PlayedSource(rows, OkxWire())


def test_the_recording_of_2022_that_begins_with_such_a_row_is_read(frames_dir: Path) -> None:
    rows = read_recording(frames_dir / "okx" / "cryptofeed_ws_1_0.jsonl")
    assert rows
    assert rows[0].number > 1
