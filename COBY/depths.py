"""Books of exchanges whose topics name a depth: of several topics of one symbol the deepest is the book. Pure.

A connection of ours has one depth; recordings may hold several, each with a sequence of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from COBY.continuity import ChainedDecoder, SocketChain


class DeepestDecoder(ChainedDecoder[SocketChain]):
    """A `ChainedDecoder` that remembers each book's depth."""

    def __init__(self, symbols: Mapping[str, str]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol, under its canonical name."""
        super().__init__(symbols, SocketChain)
        self._depths: dict[str, int] = {}

    def save(self) -> object:
        """See `Decoder.save`."""
        return {"chains": super().save(), "depths": dict(sorted(self._depths.items()))}

    def load(self, state: object) -> None:
        """See `Decoder.load`."""
        saved = msgspec.convert(state, dict[str, dict[str, Any]])
        super().load(saved["chains"])
        depths = msgspec.convert(saved["depths"], dict[str, int])
        self._depths = {symbol: depth for symbol, depth in depths.items() if symbol in self._chains}

    def _counts(self, symbol: str, depth: int, begins: bool) -> bool:
        """Whether a message of that depth is one of the book; a deeper topic takes over where it ``begins`` anew."""
        known = self._depths.get(symbol, 0)
        return depth == known or (depth > known and begins)
