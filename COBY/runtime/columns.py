"""Tables for people: rows of text as lines of aligned columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], left: int | None = None) -> Iterator[str]:
    """A line a row; all columns to the left, or the first ``left`` and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    split = len(widths) if left is None else left
    for row in rows:
        cells = [
            cell.ljust(width) if place < split else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
