"""Which settings each task worked under, from which offset on, as `coby.settings.v1` tells (DESIGN.md, Recovery 1)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from COBY.codec import decode
from COBY.config import UNITS, Config
from COBY.records import Settings
from COBY.stage import StoredRecord
from COBY.utils.exceptions import ReplayError


class Taken(NamedTuple):
    """A task took these settings up, from ``next_offset`` on."""

    next_offset: int
    config: Config


def taken_up(cfg: Config, records: Iterable[StoredRecord]) -> dict[str, list[Taken]]:
    """Source (`book.v1/2`) -> what its task took up, in order of offset. ``records``: the topic's, in order.

    ``cfg`` gives all that shapes no results. ProcessingError `codec.…`; ReplayError `replay.settings`.
    """
    found: dict[str, dict[int, Taken]] = {}
    for record in records:
        told = decode(record.value) if record.value is not None else None
        if isinstance(told, Settings) and told.source is not None and told.next_offset is not None:
            # Told again for the same offset (a crash before the next snapshot): the last one counts.
            found.setdefault(told.source, {})[told.next_offset] = Taken(
                told.next_offset, config_of(cfg, told)
            )
    return {source: [taken[at] for at in sorted(taken)] for source, taken in sorted(found.items())}


def config_of(cfg: Config, told: Settings) -> Config:
    """``cfg`` with the settings of that text. ReplayError `replay.settings` if they are not those of its hash."""
    shaping: dict[str, Any] = json.loads(told.text)
    renamed = {tuple(name.split("/")): text for name, text in shaping.get("exchange_symbols", {}).items()}
    config = dataclasses.replace(
        cfg,
        exchanges=tuple(shaping["exchanges"]),
        symbols=tuple(shaping["symbols"]),
        bucket_sizes={symbol: size / UNITS for symbol, size in shaping["bucket_sizes"].items()},
        heatmap_depth=shaping["heatmap_depth"],
        update_frequency=shaping["update_frequency_us"] / 1_000_000,
        exchange_symbols=renamed,
    )
    if config.settings_hash != told.hash:
        message = f"settings of the hash {told.hash} can't be read: {told.text}"
        raise ReplayError("replay.settings", message, allowed="settings written by this version")
    return config


def in_force(taken: list[Taken], offset: int, source: str) -> Config:
    """The settings under which that record was taken; ReplayError `replay.settings` if none are told for it."""
    before = [one for one in taken if one.next_offset <= offset]
    if not before:
        raise ReplayError("replay.settings", f"no settings are told for offset {offset}", where=source)
    return before[-1].config
