"""Times as text."""

from datetime import UTC, datetime


class Stamps:
    """RFC 3339 in UTC with microseconds; the second's part is made once a second, not once a frame."""

    def __init__(self) -> None:
        self._second, self._text = -1, ""

    def __call__(self, time_us: int) -> str:
        """`2026-11-21T10:00:00.123456Z` of microseconds UTC."""
        second, micros = divmod(time_us, 1_000_000)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}.{micros:06d}Z"


def ms_of(stamp: str) -> int:
    """Milliseconds UTC of an RFC 3339 text; its finer digits are dropped. ValueError when it is none."""
    time = datetime.fromisoformat(stamp)
    # Integer arithmetic: a float of a timestamp may fall below its millisecond.
    whole = int(time.replace(microsecond=0).timestamp())
    return whole * 1000 + time.microsecond // 1000
