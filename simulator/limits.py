"""What a client of a simulated exchange may do, as far as whoever drives the exchange has to see to it."""

from collections.abc import Mapping

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What a client may do, and when it is given up. Zero: the exchange has no such limit, sends no such ping."""

    ping_seconds: float = 0.0
    pong_seconds: float = 60.0
    messages_per_second: int = 0
    streams_max: int = 0
    connects_max: int = 0
    connects_window_seconds: float = 300.0
    # A client this far behind a live market is cut off: it may neither stop the market nor fill the memory.
    unsent_bytes_max: int = 64 * 1024 * 1024

    def changed(self, changes: Mapping[str, float]) -> "Limits":
        """With other figures, by field; a limit the exchange does not have stays absent, whatever is asked."""
        known = {name: value for name, value in changes.items() if getattr(self, name)}
        return msgspec.structs.replace(self, **known)
