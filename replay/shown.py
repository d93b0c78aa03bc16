"""Sessions for people: a table, a JSON object, a line of progress."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from COBY.config import load_config
from COBY.models import ReplayStatus
from COBY.replays.manager import KafkaReplayManager
from COBY.replays.sessions import ENDED
from COBY.runtime.columns import aligned
from COBY.utils.intervals import format_us, to_us
from replay.progress import Progress

LOOK_SECONDS = 0.5


@contextmanager
def managing() -> Iterator[KafkaReplayManager]:
    """A manager under the settings of this process."""
    manager = KafkaReplayManager(load_config())
    try:
        yield manager
    finally:
        manager.close()


def plain(found: ReplayStatus) -> dict[str, Any]:
    """A status as JSON has it."""
    return {
        "id": found.id,
        "state": found.state,
        "position": None if found.position is None else format_us(to_us(found.position)),
        "speed": found.speed,
        "records": found.records,
        "run": found.run,
        "n": found.n,
        "error": found.error,
        "missing": list(found.missing),
    }


def show(found: list[ReplayStatus], as_json: bool) -> None:
    """A row a session, or one JSON array."""
    if as_json:
        click.echo(json.dumps([plain(one) for one in found]))
        return
    rows = [("SESSION", "STATE", "POSITION", "SPEED", "RECORDS", "RUN")]
    rows += [
        (one.id, one.state, plain(one)["position"] or "-", f"{one.speed:g}", f"{one.records:,}", str(one.run))
        for one in found
    ]
    for line in aligned(rows, left=3):
        click.echo(line)


def say(found: ReplayStatus) -> None:
    """One session, and what is wrong with it."""
    show([found], as_json=False)
    for line in found.missing:
        click.echo(f"missing: {line}", err=True)
    if found.error:
        click.echo(f"error {found.error}", err=True)


def follow(manager: KafkaReplayManager, session: str) -> None:
    """A line of progress until the end: on a terminal in place."""
    progress = Progress(manager.get_session(session))
    while True:
        found = manager.get_replay_status(session)
        line = progress.line(found, time.monotonic())
        click.echo(f"\r{line}\x1b[K" if sys.stderr.isatty() else line, err=True, nl=not sys.stderr.isatty())
        if found.state in ENDED:
            break
        time.sleep(LOOK_SECONDS if sys.stderr.isatty() else 10 * LOOK_SECONDS)
    click.echo(err=True)
    say(found)
    sys.exit(1 if found.state == "failed" else 0)
