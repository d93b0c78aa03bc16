"""Every error of COBY, each with a stable code that logs, metrics, dead letters and API answers share.

::

    CobyError
    ├── ConfigurationError      the operator's: a setting
    │     config.invalid            a value outside what is allowed, or settings that contradict each other
    │     config.unknown_exchange   an exchange no file in COBY/exchanges is named after
    │     config.unknown_symbol     a symbol that is not configured
    │     config.unknown_quote      a symbol that can't be split in two parts
    │     config.same_symbol        two symbols under one name of an exchange
    │     config.exchange_file  config.exchange_taken   a file of EXCHANGES_PATH
    │     log.unwritable            the log's file or folder can't be written
    ├── ValidationError         the caller's or the data's: a value
    │     model.invalid             a model built from impossible values
    │     value.symbol  value.price  value.size  value.quality
    │     time.invalid  time.naive  interval.invalid
    ├── ExchangeError           an exchange refused or broke off (codes: exchange.…)
    ├── ProcessingError         a frame can't be used: it goes to the dead letters (codes: frame.…, book.…,
    │                           multiple_events)
    ├── AggregationError        records that can't be merged (codes: aggregate.…)
    ├── BrokerError             Kafka (codes: kafka.…, topics.…)
    ├── StorageError            TimescaleDB or Redis (codes: db.…, redis.…)
    ├── ReplayError             a replay session (codes: replay.…)
    └── ServiceError            this process on this machine
          runtime.port_occupied     another program listens on the port
          runtime.stop_timeout      draining took longer than the time allowed
          runtime.command_broken    a command of `coby` can't be loaded
          runtime.library_missing   a library that an extra of the package brings is not installed

A family says who can mend it, the code says what happened. A code never changes its meaning; new ones may
come. Bugs are not here: they are assertions and built-in exceptions, and end the process.
"""

from typing import TypedDict

from COBY.utils.correlation import get_correlation_id


class ErrorResponse(TypedDict):
    """An error as a structured answer; `where` and `allowed` are None where they say nothing."""

    code: str
    message: str
    where: str | None
    allowed: str | None
    correlation_id: str | None


class CobyError(Exception):
    """The root of the tree: a stable `code`, a sentence, where it happened, and what would be allowed.

    `str()` is `<code>: <message> (at <where>; allowed: <allowed>)` on one line.
    """

    def __init__(
        self, code: str, message: str, *, where: str | None = None, allowed: str | None = None
    ) -> None:
        """`code` is dotted lower case; `message` one sentence without a secret in it."""
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.where = where
        self.allowed = allowed

    def __str__(self) -> str:
        """One line: line breaks inside a message become spaces."""
        return f"{self.code}: {self.detail()}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled whole: the default would lose the keyword arguments."""
        return (_rebuild, (type(self), self.code, self.message, self.where, self.allowed), self.__dict__)

    def detail(self) -> str:
        """What follows the code, on one line."""
        extra = [f"at {self.where}"] if self.where else []
        extra += [f"allowed: {self.allowed}"] if self.allowed else []
        text = f"{self.message} ({'; '.join(extra)})" if extra else self.message
        return " ".join(text.split())

    def to_response(self) -> ErrorResponse:
        """The error as a JSON-ready object, with the correlation id of the current context."""
        return ErrorResponse(
            code=self.code,
            message=self.message,
            where=self.where,
            allowed=self.allowed,
            correlation_id=get_correlation_id(),
        )


class ConfigurationError(CobyError):
    """A wrong setting. With several at once, `problems` holds each, and `str()` has one line for each."""

    problems: tuple["ConfigurationError", ...] = ()

    @classmethod
    def of(cls, problems: "list[ConfigurationError]") -> "ConfigurationError":
        """One error that stands for all of `problems` (at least one); its code is the first one's."""
        if len(problems) == 1:
            return problems[0]
        error = cls(problems[0].code, "; ".join(problem.detail() for problem in problems))
        error.problems = tuple(problems)
        return error

    def __str__(self) -> str:
        """One line per problem."""
        return "\n".join(str(problem) for problem in self.problems) or super().__str__()


class ValidationError(CobyError):
    """A value that can't be: a price below zero, a time without an offset, an unsorted book."""


class ExchangeError(CobyError):
    """An exchange refused, broke off, or answered with something it never should."""


class ProcessingError(CobyError):
    """A frame that can't be decoded or applied; its bytes go to the dead letters with this code."""


class AggregationError(CobyError):
    """Records that can't be merged into one result."""


class BrokerError(CobyError):
    """Kafka can't be reached, refused, or holds topics that differ from the table."""


class StorageError(CobyError):
    """TimescaleDB or Redis can't be reached or refused."""


class ReplayError(CobyError):
    """A replay session that does not exist, or can't do what was asked in its state."""


class ServiceError(CobyError):
    """The process on its machine: ports, stopping, commands."""


FAMILIES: dict[str, type[CobyError]] = {
    "config": ConfigurationError,
    "kafka": BrokerError,
    "topics": BrokerError,
    "db": StorageError,
    "redis": StorageError,
    "replay": ReplayError,
    "runtime": ServiceError,
    "api": ServiceError,
    "slow_consumer": ServiceError,
    "ws": ValidationError,
    "cursor": ValidationError,
    "model": ValidationError,
    "value": ValidationError,
    "time": ValidationError,
    "interval": ValidationError,
}
"""First word of a code -> its family, for errors that come from another process."""


def error_of(code: str, message: str, *, where: str | None = None, allowed: str | None = None) -> CobyError:
    """The error that another process has told, as it would have been raised here."""
    return FAMILIES.get(code.partition(".")[0], CobyError)(code, message, where=where, allowed=allowed)


def _rebuild(
    kind: type[CobyError], code: str, message: str, where: str | None, allowed: str | None
) -> CobyError:
    return kind(code, message, where=where, allowed=allowed)
