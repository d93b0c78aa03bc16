"""Continuity of connections whose messages are all counted, whatever their channel. Pure."""

from __future__ import annotations

import msgspec

NEAR = 100
MOST_OLD = 2


class Counted(msgspec.Struct):
    """The numbers of a connection: ``next`` is expected, None before the first; ``old`` in a row were below it."""

    next: int | None = None
    old: int = 0

    def take(self, number: int) -> str | None:
        """What is wrong with a message's number: nothing (empty), messages are missing, or None: it is an old one.

        Old ones are to be passed over. Several in a row, or one from far back, are none: the numbers have begun anew,
        and passing over what follows would freeze the books.
        """
        expected, back = self.next, 0 if self.next is None else self.next - number
        if 0 < back <= NEAR and self.old < MOST_OLD:
            self.old += 1
            return None
        self.next, self.old = number + 1, 0
        return "" if expected in (None, number) else f"expected {expected}, got {number}"
