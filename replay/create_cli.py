"""`coby replay create`."""

from __future__ import annotations

import asyncio
from datetime import datetime

import click

from COBY.utils.exceptions import ReplayError
from COBY.utils.intervals import from_us, parse_time
from replay.asked import SOURCES
from replay.plan import CHANNELS
from replay.shown import follow, managing


@click.command()
@click.option("--from", "since", help="First stream time: RFC 3339 with an offset, or milliseconds.")
@click.option("--to", "until", help="Stream time after the last.")
@click.option("--offsets", multiple=True, help="TOPIC/PARTITION:FROM-TO, TO not included; instead of times.")
@click.option("--speed", default=1.0, show_default=True, help="0.1 to 1000; 0: as fast as can be.")
@click.option("--symbols", default="", help="Only these, separated by commas.  [default: all]")
@click.option("--exchanges", default="", help="Only these, separated by commas.  [default: all]")
@click.option("--channels", default="", help=f"Of {' '.join(CHANNELS)}.  [default: all]")
@click.option(
    "--source", type=click.Choice(SOURCES), default="auto", show_default=True, help="See the README."
)
@click.option(
    "--set", "settings", multiple=True, help="NAME=VALUE to recompute under; several times for several."
)
@click.option("--ttl", type=int, help="Seconds until an unused session is deleted.  [default: REPLAY_TTL]")
@click.option("--start", is_flag=True, help="Start it, and show its progress until its end.")
def create(
    since: str | None,
    until: str | None,
    offsets: tuple[str, ...],
    speed: float,
    symbols: str,
    exchanges: str,
    channels: str,
    source: str,
    settings: tuple[str, ...],
    ttl: int | None,
    start: bool,
) -> None:
    """Make a session and print its id.

    \b
    Example:
      coby replay create --from 2026-01-02T03:04:05Z --to 2026-01-02T03:14:05Z --symbols BTCUSDT --channels heatmap
    """
    with managing() as manager:
        session = manager.create_replay_session(
            _time(since),
            _time(until),
            speed,
            offsets=_offsets(offsets),
            symbols=_parts(symbols),
            exchanges=_parts(exchanges),
            channels=_parts(channels),
            source=source,
            settings=_settings(settings),
            ttl_seconds=ttl,
        )
        click.echo(session)
        if start:
            asyncio.run(manager.start_replay(session))
            follow(manager, session)


def _time(text: str | None) -> datetime | None:
    return None if text is None else from_us(parse_time(text))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _offsets(texts: tuple[str, ...]) -> dict[str, dict[int, tuple[int, int]]]:
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for text in texts:
        topic, _, rest = text.rpartition("/")
        number, _, ends = rest.partition(":")
        first, _, end = ends.partition("-")
        if not (topic and number.isdecimal() and first.isdecimal() and end.isdecimal()):
            raise ReplayError("replay.offsets", f"offsets {text!r}", allowed="TOPIC/PARTITION:FROM-TO")
        found.setdefault(topic, {})[int(number)] = (int(first), int(end))
    return found


def _settings(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        raise ReplayError("replay.settings", f"--set {wrong[0]!r}", allowed="NAME=VALUE")
    return {name: value for name, _, value in pairs}
