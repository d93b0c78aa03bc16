"""Options that say what is to be replayed, shared by the commands that need a range."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from COBY.replays.asked import SOURCES, Asked
from COBY.replays.sessions import CHANNELS
from COBY.utils.exceptions import ReplayError
from COBY.utils.intervals import parse_time

Offsets = dict[str, dict[int, tuple[int, int]]]


def range_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of a range, handed over together as the argument `asked` (speed 1)."""

    @wraps(command)
    def with_asked(
        since: str | None,
        until: str | None,
        offsets: tuple[str, ...],
        symbols: str,
        exchanges: str,
        channels: str,
        source: str,
        settings: tuple[str, ...],
        **more: Any,
    ) -> Any:
        asked = Asked(
            None if since is None else parse_time(since),
            None if until is None else parse_time(until),
            1.0,
            _offsets(offsets),
            _parts(symbols),
            _parts(exchanges),
            _parts(channels),
            source,
            _settings(settings),
        )
        return command(asked=asked, **more)

    for option in reversed(
        (
            click.option(
                "--from", "since", help="First stream time: RFC 3339 with an offset, or milliseconds."
            ),
            click.option("--to", "until", help="Stream time after the last."),
            click.option(
                "--offsets", multiple=True, help="TOPIC/PARTITION:FROM-TO without TO; instead of times."
            ),
            click.option("--symbols", default="", help="Only these, separated by commas.  [default: all]"),
            click.option("--exchanges", default="", help="Only these, separated by commas.  [default: all]"),
            click.option("--channels", default="", help=f"Of {' '.join(CHANNELS)}.  [default: all]"),
            click.option(
                "--source",
                type=click.Choice(SOURCES),
                default="auto",
                show_default=True,
                help="Where records come from: docs/replay.md.",
            ),
            click.option(
                "--set", "settings", multiple=True, help="NAME=VALUE to recompute under; may come again."
            ),
        )
    ):
        with_asked = option(with_asked)
    return with_asked


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _offsets(texts: tuple[str, ...]) -> Offsets:
    found: Offsets = {}
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
