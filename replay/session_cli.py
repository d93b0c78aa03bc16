"""`coby replay`: sessions from the command line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click

from COBY.replays.manager import KafkaReplayManager
from COBY.utils.intervals import from_us, parse_time
from replay.create_cli import create
from replay.export_command import export_
from replay.shown import follow as follow_until_ended
from replay.shown import managing, plain, say, show


@click.group("replay")
def replay() -> None:
    """Replay what was, into a topic of its own, as if it were live.

    A session is made, started, and read like any topic: coby.replay.<session>.v1.

    \b
    Example:
      coby replay create --from 2026-01-02T03:04:05Z --to 2026-01-02T03:14:05Z --speed 10 --start
    """


replay.add_command(create)
replay.add_command(export_)


def _give(session: str, order: Callable[[KafkaReplayManager], Coroutine[Any, Any, None]]) -> None:
    """Give one order to one session, and show where it is then."""
    with managing() as manager:
        asyncio.run(order(manager))
        say(manager.get_replay_status(session))


@replay.command()
@click.argument("session")
def pause(session: str) -> None:
    """Stop releasing and keep the place; nothing is released after this command's answer.

    \b
    Example:
      coby replay pause 3d3f627abc56
    """
    _give(session, lambda manager: manager.pause_replay(session))


@replay.command()
@click.argument("session")
def resume(session: str) -> None:
    """Go on where it was paused.

    \b
    Example:
      coby replay resume 3d3f627abc56
    """
    _give(session, lambda manager: manager.resume(session))


@replay.command()
@click.argument("session")
def stop(session: str) -> None:
    """End a session for good; its topic stays until it is deleted.

    \b
    Example:
      coby replay stop 3d3f627abc56
    """
    _give(session, lambda manager: manager.stop_replay(session))


@replay.command()
@click.argument("session")
@click.option("--follow", is_flag=True, help="Show its progress until its end.")
def start(session: str, follow: bool) -> None:
    """Begin to release records.

    \b
    Example:
      coby replay start 3d3f627abc56 --follow
    """
    with managing() as manager:
        asyncio.run(manager.start_replay(session))
        if follow:
            follow_until_ended(manager, session)
        else:
            say(manager.get_replay_status(session))


@replay.command()
@click.argument("session")
@click.argument("time", metavar="TIME")
def seek(session: str, time: str) -> None:
    """Go on from a stream time (RFC 3339 with an offset, or milliseconds) within its range.

    \b
    Example:
      coby replay seek 3d3f627abc56 2026-01-02T03:10:00Z
    """
    position = from_us(parse_time(time))
    _give(session, lambda manager: manager.seek(session, position))


@replay.command()
@click.argument("session")
@click.argument("speed", type=float)
def speed(session: str, speed: float) -> None:
    """Change the speed: 0.1 to 1000, or 0: as fast as can be.

    \b
    Example:
      coby replay speed 3d3f627abc56 100
    """
    _give(session, lambda manager: manager.set_speed(session, speed))


@replay.command()
@click.argument("session")
def delete(session: str) -> None:
    """Take a session and its topic away.

    \b
    Example:
      coby replay delete 3d3f627abc56
    """
    with managing() as manager:
        asyncio.run(manager.delete(session))


@replay.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def list_(as_json: bool) -> None:
    """All sessions, the oldest first.

    \b
    Example:
      coby replay list --json
    """
    with managing() as manager:
        show(manager.list_sessions(), as_json)


@replay.command()
@click.argument("session")
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of a table.")
@click.option("--follow", is_flag=True, help="Show its progress until its end.")
def status(session: str, as_json: bool, follow: bool) -> None:
    """Where a session is. Exit code 1 if it has failed.

    \b
    Example:
      coby replay status 3d3f627abc56 --follow
    """
    with managing() as manager:
        if follow:
            follow_until_ended(manager, session)
            return
        found = manager.get_replay_status(session)
        if as_json:
            click.echo(json.dumps(plain(found)))
        else:
            say(found)
        sys.exit(1 if found.state == "failed" else 0)
