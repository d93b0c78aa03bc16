"""The correlation id: one text that follows a request or a batch through logs and error answers.

Kept in a context variable, so that threads and asyncio tasks each see their own.
"""

from contextvars import ContextVar
from uuid import uuid4

_correlation_id: ContextVar[str | None] = ContextVar("coby_correlation_id", default=None)


def set_correlation_id(correlation_id: str | None = None) -> str:
    """Set the id of the current context, a new random one if none is given; returns the id set."""
    value = correlation_id or uuid4().hex
    _correlation_id.set(value)
    return value


def get_correlation_id() -> str | None:
    """The id of the current context, None where none was set."""
    return _correlation_id.get()


def clear_correlation_id() -> None:
    """Forget the id of the current context."""
    _correlation_id.set(None)
