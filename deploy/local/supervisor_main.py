"""Supervisord, which a full disk under its own output does not end.

It reports what it can't write to a log on its standard error; where that is a file on the same full disk, the report
itself raises, and supervisord ends with all its programs.
"""

from __future__ import annotations

import sys
from typing import TextIO

from supervisor import supervisord  # type: ignore[import-untyped]  # ships no types


class Forgiving:
    """A text stream whose writes may fail without a word."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As far as it goes."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            return 0
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        """That of the stream behind it."""
        return self._stream.fileno()


def run() -> None:
    """The program, with the arguments of supervisord."""
    sys.stderr = Forgiving(sys.stderr)  # what print and traceback use of it is there
    supervisord.main()
