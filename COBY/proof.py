"""Since when a book has been proven without a break, and by what: the intervals of coby.continuity.v1. Pure.

The book is the one shown: while another connection's proven book takes over, the interval goes on. It ends when the
symbol goes blind, at the last update that proved it, which is where the gap begins.
"""

from __future__ import annotations

import msgspec

from COBY.exchanges.base import Delta, Snapshot
from COBY.records import Continuity


class Interval(msgspec.Struct):
    """One that goes on; ``conn`` is shown, ``connections`` counts those shown in turn."""

    start_us: int
    conn: str
    connections: int = 1
    sequenced: int = 0
    checked: int = 0
    snapshots: int = 0

    def shown(self, conn: str) -> None:
        """The book of that connection is shown now."""
        if conn != self.conn:
            self.conn = conn
            self.connections += 1

    def proved(self, event: Snapshot | Delta) -> None:
        """An event of the book shown. A decoder hands on only what continues; without a checksum its sequence did."""
        if event.checksum is not None:
            self.checked += 1
        if isinstance(event, Snapshot):
            self.snapshots += 1
        elif event.sequence_id is not None or event.checksum is None:
            self.sequenced += 1

    @property
    def rule(self) -> str:
        """By what it is proven."""
        if self.sequenced and self.checked:
            return "both"
        return "sequence" if self.sequenced else "checksum" if self.checked else "snapshot"

    def record(self, symbol: str, exchange: str, time_us: int, end_us: int, reason: str | None) -> Continuity:
        """As it stands at the stream time ``time_us``, proven up to ``end_us``; ``reason``: why it ended."""
        return Continuity(
            symbol,
            exchange,
            time_us,
            self.start_us,
            max(self.start_us, end_us),
            self.rule,
            self.sequenced,
            self.checked,
            self.snapshots,
            self.conn,
            self.connections,
            reason,
        )
