"""Where the recorded frames are: they stay where they lie and are no part of the repository."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def frames_folder() -> Path | None:
    """COBY_FRAMES, else shared/frames beside the repository; None where there is neither."""
    named = os.environ.get("COBY_FRAMES")
    candidates = [Path(named)] if named else [parent / "shared" / "frames" for parent in REPOSITORY.parents]
    return next((folder for folder in candidates if (folder / "README.md").is_file()), None)
