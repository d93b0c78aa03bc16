"""What can be wrong with how the simulator was started or asked."""

from collections.abc import Iterable


class SimulatorError(Exception):
    """A wrong option, file or request. `code` is stable; `allowed` says what would have been right."""

    def __init__(self, code: str, message: str, *, allowed: Iterable[str] = ()) -> None:
        self.code = f"simulator.{code}"
        self.message = message
        self.allowed = tuple(allowed)
        super().__init__(message)

    def line(self) -> str:
        """The one line a program prints before it exits with 2."""
        hint = f" (allowed: {', '.join(self.allowed)})" if self.allowed else ""
        return f"error {self.code}: {self.message}{hint}"
