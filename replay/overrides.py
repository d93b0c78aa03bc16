"""Settings under which a range may be recomputed other than those of its time. Pure.

Only what changes the form of results: which exchanges and symbols were followed, and under which names, is in the raw
topics themselves. Ticks can only be left out: where the clock wrote no mark, nothing says when time had passed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from COBY.config import Config
from COBY.settings import table
from COBY.utils.exceptions import ReplayError
from COBY.utils.kinds import BUCKET_SIZE
from replay.settings import Taken

BY_BEGINNING = {"BTC_BUCKET_SIZE": "BTC", "ETH_BUCKET_SIZE": "ETH"}
BY_SYMBOL = "BUCKET_SIZE_"
DEPTH, FREQUENCY = "HEATMAP_DEPTH", "UPDATE_FREQUENCY"
ALLOWED = f"{' '.join(BY_BEGINNING)} {BY_SYMBOL}<SYMBOL> {DEPTH} {FREQUENCY}"
Tasks = Mapping[str, list[Taken]]


class Overrides:
    """What is to differ. ReplayError `replay.override` for a name or value that is not allowed."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Setting -> its text, as in the environment."""
        self._bucket_sizes: dict[str, float] = {}
        self._changes: dict[str, Any] = {}
        kinds = {row.name: (attribute, row.kind) for attribute, row in table().items()}
        for name, text in sorted(texts.items()):
            if name in BY_BEGINNING or (name.startswith(BY_SYMBOL) and name != BY_SYMBOL):
                self._bucket_sizes[name] = _parsed(BUCKET_SIZE, name, text)
            elif name in (DEPTH, FREQUENCY):
                attribute, kind = kinds[name]
                self._changes[attribute] = _parsed(kind, name, text)
            else:
                raise ReplayError(
                    "replay.override", f"{name} can't differ from then", where=name, allowed=ALLOWED
                )

    @property
    def grid_us(self) -> int | None:
        """UPDATE_FREQUENCY in microseconds, None where it does not differ."""
        seconds: float | None = self._changes.get("update_frequency")
        return None if seconds is None else round(seconds * 1_000) * 1_000

    def applied(self, config: Config) -> Config:
        """That configuration with ours in place of its own."""
        sizes = {symbol: self._bucket_size(config, symbol) for symbol in config.symbols}
        return dataclasses.replace(config, bucket_sizes=sizes, **self._changes)

    def over(self, taken: Tasks) -> dict[str, list[Taken]]:
        """What each task took up, with ours in place of its own."""
        return {
            source: [one._replace(config=self.applied(one.config)) for one in ours]
            for source, ours in taken.items()
        }

    def check(self, configs: Iterable[Config]) -> None:
        """Whether they fit the settings of then. ReplayError `replay.override`."""
        known: set[str] = set()
        for config in configs:
            known |= set(config.symbols)
            wanted = self._changes.get("update_frequency")
            if wanted is not None and self.applied(config).update_frequency_us % config.update_frequency_us:
                message = f"{FREQUENCY} {wanted:g}: marks come each {config.update_frequency:g} s"
                allowed = f"a multiple of {config.update_frequency:g} up to 1 second"
                raise ReplayError("replay.override", message, where=FREQUENCY, allowed=allowed)
        for name in self._bucket_sizes:
            begins = BY_BEGINNING.get(name)
            if begins is None and name.removeprefix(BY_SYMBOL) not in known:
                message = f"{name}: that symbol was not followed"
                raise ReplayError("replay.override", message, where=name, allowed=" ".join(sorted(known)))

    def _bucket_size(self, config: Config, symbol: str) -> float:
        own = self._bucket_sizes.get(f"{BY_SYMBOL}{symbol}")
        if own is not None:
            return own
        for name, begins in BY_BEGINNING.items():
            if symbol.startswith(begins) and name in self._bucket_sizes:
                return self._bucket_sizes[name]
        return config.get_bucket_size(symbol)


def _parsed(kind: Any, name: str, text: str) -> Any:
    try:
        return kind.parse(text)
    except ValueError:
        raise ReplayError("replay.override", f"{name}={text}", where=name, allowed=kind.allowed) from None
