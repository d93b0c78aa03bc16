"""What tests of decoders say of their events and books."""

import json

from COBY.exchanges.base import Rejected


def text(message):
    """A message as it is sent: JSON, or the bytes themselves."""
    return message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()


def codes(events):
    """The kind of each event, of a Rejected its code."""
    return [event.code if isinstance(event, Rejected) else type(event).__name__ for event in events]


def reason(one):
    """Why a processor's BTCUSDT is blind; None: it is not."""
    return one.book("BTCUSDT").reason


def sides(one):
    """A processor's BTCUSDT: price -> size of its bids, and of its asks."""
    book = one.book("BTCUSDT")
    book.flush()
    return book.bids.texts, book.asks.texts
