"""Structured logs: structlog over the standard library, to standard error and a rotating file.

Every record carries time (UTC), level, logger and the correlation id of its context. Values of secrets and
of keys named like secrets are masked, in records of other libraries too. (In this file `logging` is the
standard library's: imports are absolute.)
"""

import logging
import logging.handlers
import re
import sys
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

from COBY.utils.correlation import clear_correlation_id, get_correlation_id, set_correlation_id
from COBY.utils.exceptions import ConfigurationError

__all__ = [
    "clear_correlation_id",
    "get_correlation_id",
    "get_logger",
    "hide",
    "mask",
    "set_correlation_id",
    "setup_logging",
]

MASK = "***"
_SECRET_KEY = re.compile(r"(?i)(password|passwd|secret|token|api_?key|authorization|credential)")
_URL_LOGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@", re.IGNORECASE)
_API_KEY = re.compile(r"coby_[A-Za-z0-9_-]{43}")
"""What api/keys.py makes: one that found its way into any text must not come out of the log."""
_OURS = "_coby_handler"
_secrets: set[str] = set()
EventDict = MutableMapping[str, Any]


def setup_logging(
    level: str = "INFO",
    log_file: str | None = "logs/coby.log",
    json: bool | None = None,
    max_bytes: int = 50 * 1024 * 1024,
    backups: int = 5,
    *,
    program: str = "coby",
    secrets: Iterable[str] = (),
) -> None:
    """Send all logs to standard error and to `log_file`; calling it again replaces what it set up before.

    `log_file`: its folder is created, `{program}` in it becomes `program`; None or "-" means no file. The
    file holds JSON lines and is rotated at `max_bytes`, `backups` old ones are kept. `json`: JSON on
    standard error too; None means only where that is no terminal. `secrets` are texts masked wherever they
    appear. Raises ConfigurationError `config.invalid` for an unknown level, `log.unwritable` for the file.
    """
    number = _level(level)
    hide(secrets)
    as_json = not sys.stderr.isatty() if json is None else json
    handlers: list[logging.Handler] = [_console(as_json)]
    if log_file and log_file != "-":
        handlers.append(_file(Path(log_file.replace("{program}", program)), max_bytes, backups))
    _install(handlers, number)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Loggers made before this call (at import) must follow it too.
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The structured logger of that name: `log.info("connected", exchange=…)`."""
    return structlog.stdlib.get_logger(name)


def hide(secrets: Iterable[str]) -> None:
    """Have these texts masked from now on; not those below 4 characters: they occur in any word."""
    _secrets.update(secret for secret in secrets if len(secret) >= 4)


def mask(text: str) -> str:
    """`text` with every known secret, every API key and every password within a URL, replaced by ***."""
    for secret in _secrets:
        text = text.replace(secret, MASK)
    text = _API_KEY.sub(MASK, text)
    return _URL_LOGIN.sub(rf"\g<scheme>:{MASK}@", text)


def _level(level: str) -> int:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        allowed = "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
        raise ConfigurationError(
            "config.invalid", f"LOG_LEVEL is {level!r}", where="LOG_LEVEL", allowed=allowed
        )
    return number


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at that moment: whoever replaced it may have closed what it was before."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _console(as_json: bool) -> logging.Handler:
    handler = _Stderr()
    plain = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    handler.setFormatter(_formatter(structlog.processors.JSONRenderer() if as_json else plain))
    return handler


def _file(path: Path, max_bytes: int, backups: int) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8"
        )
    except OSError as error:
        message = f"the log {str(path)!r} can't be written: {error.strerror}"
        allowed = "LOG_FILE: a path that can be written, or - for none"
        raise ConfigurationError("log.unwritable", message, where="LOG_FILE", allowed=allowed) from error
    handler.setFormatter(_formatter(structlog.processors.JSONRenderer()))
    return handler


def _install(handlers: list[logging.Handler], level: int) -> None:
    """Put our handlers in place of our former ones; those of others (pytest's, say) stay."""
    root = logging.getLogger()
    for former in [handler for handler in root.handlers if hasattr(handler, _OURS)]:
        root.removeHandler(former)
        former.close()
    for handler in handlers:
        setattr(handler, _OURS, True)
        root.addHandler(handler)
    root.setLevel(level)


def _shared() -> list[structlog.types.Processor]:
    """What both our records and those of other libraries go through."""
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_correlation_id,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(renderer: structlog.types.Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _mask_event, renderer],
    )


def _add_correlation_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    if (correlation_id := get_correlation_id()) is not None:
        event.setdefault("correlation_id", correlation_id)
    return event


def _mask_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    # A copy: two handlers format the same record.
    return {key: _masked(key, value) for key, value in event.items()}


def _masked(key: str, value: object) -> object:
    if _SECRET_KEY.search(key) and value is not None:
        return MASK
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {name: _masked(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked("", inner) for inner in value]
    return value if isinstance(value, bool | int | float | None) else mask(str(value))
