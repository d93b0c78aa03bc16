"""`coby lag`: how far each consumer group of ours is behind, and whether it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

import click

from COBY.config import load_config
from COBY.lag import Status
from COBY.runtime.columns import aligned
from COBY.runtime.lag import Lag, LagReader, LagWatch, Watched

CLEAR = "\x1b[2J\x1b[H"
LOOK_SECONDS = 2.0
BAD = (Status.STALL, Status.STOP)


def table(rows: Sequence[Lag | Watched]) -> Iterator[str]:
    """The rows as lines of aligned columns under a header, the last line the sum of the lags."""
    head = ("GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS")
    watched = bool(rows) and isinstance(rows[0], Watched)
    cells: list[tuple[str, ...]] = [(*head, "STATUS") if watched else head]
    cells += [
        (*_cells(row.lag), _word(row.status)) if isinstance(row, Watched) else _cells(row) for row in rows
    ]
    yield from aligned(cells, left=2)
    yield f"total lag {sum(_place(row).lag for row in rows)}"


def _place(row: Lag | Watched) -> Lag:
    return row.lag if isinstance(row, Watched) else row


def _cells(row: Lag) -> tuple[str, ...]:
    numbers = (row.partition, row.committed, row.end, row.lag)
    seconds = "-" if row.lag_seconds is None else f"{row.lag_seconds:.1f}"
    return (row.group, row.topic, *("-" if value is None else str(value) for value in numbers), seconds)


def _word(status: Status | None) -> str:
    return "-" if status is None else status.name


def as_dict(row: Lag | Watched) -> dict[str, object]:
    """A row for JSON; ``status`` only of what was watched."""
    place = _place(row)
    found = place._asdict()
    if isinstance(row, Watched):
        found["status"] = None if row.status is None else row.status.name
    return found


@click.command()
@click.option(
    "--group", "groups", multiple=True, help="Only this consumer group; may be given several times."
)
@click.option("--max-lag", type=click.IntRange(0), help="Exit with 1 if any partition's lag is above this.")
@click.option(
    "--max-seconds", type=click.FloatRange(0), help="Exit with 1 if any record waits for longer than this."
)
@click.option("--watch", is_flag=True, help="Again every two seconds, with the status, until Ctrl-C.")
@click.option(
    "--status",
    "judged",
    is_flag=True,
    help="Look for half a minute, then say how each goes on; exit with 1 on STALL or STOP.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def lag(
    groups: tuple[str, ...],
    max_lag: int | None,
    max_seconds: float | None,
    watch: bool,
    judged: bool,
    as_json: bool,
) -> None:
    """How far each consumer group is behind: committed and end offset, lag in records and in seconds.

    STATUS is by progress, not by a count: OK, WARN (it falls further behind), STALL (it stands still with something to
    read), STOP (so, and nobody is in the group).

    \b
    Example:
      coby lag --max-lag 10000
      coby lag --group coby-timescale --json
      coby lag --status || echo "a consumer stands still"
    """
    cfg = load_config()
    if watch:
        rows = _watched(LagWatch(cfg), groups, as_json)
    else:
        rows = _judged(LagWatch(cfg), groups) if judged else _read(LagReader(cfg), groups)
        _print(rows, as_json)
    if any(_is_bad(row, max_lag, max_seconds) for row in rows):
        raise SystemExit(1)


def _read(reader: LagReader, groups: tuple[str, ...]) -> Sequence[Lag | Watched]:
    with closing(reader):
        return reader.read(groups)


def _judged(looker: LagWatch, groups: tuple[str, ...]) -> Sequence[Lag | Watched]:
    """Look until there is a status for each place; the last look.

    The window counts from the end of the first look, however long looks take; places that came later may be without.
    """
    with closing(looker):
        rows = looker.look(groups)
        end = time.monotonic() + looker.window_seconds
        while any(row.status is None for row in rows):
            time.sleep(LOOK_SECONDS)
            is_last = time.monotonic() > end
            rows = looker.look(groups)
            if is_last:
                break
        return rows


def _watched(looker: LagWatch, groups: tuple[str, ...], as_json: bool) -> Sequence[Lag | Watched]:
    """Show each look, until Ctrl-C; the last one."""
    rows: Sequence[Lag | Watched] = ()
    with closing(looker), suppress(KeyboardInterrupt):
        while True:
            rows = looker.look(groups)
            click.echo("" if as_json else CLEAR, nl=False)
            _print(rows, as_json)
            time.sleep(LOOK_SECONDS)
    return rows


def _print(rows: Sequence[Lag | Watched], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([as_dict(row) for row in rows]))
        return
    for line in table(rows):
        click.echo(line)


def _is_bad(row: Lag | Watched, max_lag: int | None, max_seconds: float | None) -> bool:
    place = _place(row)
    return (
        (max_lag is not None and place.lag > max_lag)
        or (max_seconds is not None and place.lag_seconds is not None and place.lag_seconds > max_seconds)
        or (isinstance(row, Watched) and row.status in BAD)
    )
