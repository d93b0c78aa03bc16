"""Context rows of a recording need no frame; rows that are played do."""

from pathlib import Path

import pytest

from simulator.errors import SimulatorError
from simulator.recording import read_recording


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


def test_the_recording_of_2022_that_begins_with_such_a_row_is_read(frames_dir: Path) -> None:
    rows = read_recording(frames_dir / "okx" / "cryptofeed_ws_1_0.jsonl")
    assert rows
    assert rows[0].number > 1
