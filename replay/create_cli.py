"""`coby replay create`."""

from __future__ import annotations

import asyncio

import click

from COBY.replays.asked import Asked
from replay.range_cli import range_options
from replay.shown import follow, managing


@click.command()
@range_options
@click.option("--speed", default=1.0, show_default=True, help="0.1 to 1000; 0: as fast as can be.")
@click.option("--ttl", type=int, help="Seconds until an unused session is deleted.  [default: REPLAY_TTL]")
@click.option("--start", is_flag=True, help="Start it, and show its progress until its end.")
def create(asked: Asked, speed: float, ttl: int | None, start: bool) -> None:
    """Make a session and print its id.

    \b
    Example:
      coby replay create --from 2026-01-02T03:04:05Z --to 2026-01-02T03:14:05Z --symbols BTCUSDT --channels heatmap
    """
    with managing() as manager:
        session = manager.create(asked._replace(speed=speed), ttl)
        click.echo(session)
        if start:
            asyncio.run(manager.start_replay(session))
            follow(manager, session)
