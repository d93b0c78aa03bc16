"""docs/frames.md says what `coby decode` makes of the recorded frames."""

from tests.frames_report import PAGE, files, reason, table


def test_the_page_is_what_the_frames_give(frames_dir):
    assert PAGE.read_text(encoding="utf-8") == table(frames_dir), "make frames renews it"


def test_every_file_says_why_its_frames_are_silent(frames_dir):
    named = [(exchange, file) for exchange, file, _ in files(frames_dir)]
    unnamed = [one for one in named if not reason(*one)]
    assert unnamed == [("binance", file) for _, file in unnamed], unnamed
    assert all(file.endswith("rest_snapshots") for _, file in unnamed), "all of their bodies are books"
