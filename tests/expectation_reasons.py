"""Why an entry of somebody else's expectations, or a field of one, is left out."""

DEAD = "dead protocol"
CHANNEL = "channel not subscribed"
ENVELOPE = "envelope time"
EXPRESSION = "expr"


def all_of(reason: str, mark: str, *numbers: int) -> dict[int, tuple[str, str]]:
    """The same reason and mark for several entries."""
    return dict.fromkeys(numbers, (reason, mark))
