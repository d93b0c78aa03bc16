"""The exchanges: each module here is one of them, and is all that the pipeline knows of it.

``base`` is none, nor are modules whose names begin with ``_``: they belong to one that needs them.

Exchanges of one's own lie in a folder that the setting EXCHANGES_PATH names; loading the configuration adds them here.
How to write one: README.md beside this file.
"""

from __future__ import annotations

import re
from importlib import import_module, invalidate_caches
from pkgutil import iter_modules
from traceback import walk_tb
from typing import cast

from COBY.exchanges.base import Exchange
from COBY.utils.exceptions import ConfigurationError

BUILT_IN: tuple[str, ...] = tuple(
    sorted(
        module.name
        for module in iter_modules(__path__)
        if module.name != "base" and not module.name.startswith("_")
    )
)
"""Names of the exchanges in this folder, sorted."""
NAME_ALLOWED = "1 to 20 lower case letters and digits, the first a letter"
_NAME = re.compile(r"[a-z][a-z0-9]{0,19}", re.ASCII)
"""It becomes a part of topics and settings, and fits the tables' varchar(20)."""
_MEMBERS = (
    *Exchange.__annotations__,
    *(name for name, value in vars(Exchange).items() if callable(value) and not name.startswith("_")),
)
_added: dict[str, Exchange] = {}


def names() -> tuple[str, ...]:
    """Names of all known exchanges, sorted: the modules of this package and what `add` has added."""
    return tuple(sorted((*BUILT_IN, *_added)))


def load(name: str) -> Exchange:
    """The exchange of that name; KeyError for an unknown one."""
    if name in _added:
        return _added[name]
    if name not in BUILT_IN:
        raise KeyError(name)
    return cast(Exchange, import_module(f"{__name__}.{name}").EXCHANGE)


def add(folder: str, name: str) -> None:
    """Make the exchange of ``<folder>/<name>.py`` known to this process; ``folder`` is absolute.

    A name means one file as long as the process lives: whoever holds a configuration can load what it names. The same
    file may be added again. ConfigurationError ``config.exchange_taken`` for a name that means another file or is a
    word of this package, ``config.exchange_file`` for a file that can't be imported or offers no such exchange.
    """
    path = f"{folder}/{name}.py"
    if not _NAME.fullmatch(name):
        raise _unusable(path, "its name can't be an exchange's", NAME_ALLOWED)
    if name in BUILT_IN or name in _WORDS:
        raise _taken(name, path, "COBY.exchanges has that name")
    if folder not in __path__:
        __path__.append(folder)  # at the end: what is built in comes first
    invalidate_caches()  # the file may be newer than the last look into its folder
    try:
        module = import_module(f"{__name__}.{name}")
    except Exception as error:
        raise _unusable(path, f"{type(error).__name__}: {error}{_line(error, path)}") from error
    if module.__file__ != path:
        raise _taken(name, path, f"{module.__file__} has that name")
    _added[name] = _checked(getattr(module, "EXCHANGE", None), name, path)


def _checked(exchange: object, name: str, path: str) -> Exchange:
    """What a file offers, if it is an exchange of the file's name. Members are looked for, not their types."""
    if exchange is None:
        raise _unusable(path, "it offers no EXCHANGE")
    if lacking := [member for member in _MEMBERS if not hasattr(exchange, member)]:
        raise _unusable(path, f"its EXCHANGE has no {', '.join(lacking)}")
    found = cast(Exchange, exchange)
    if found.name != name:
        raise _unusable(path, f"its EXCHANGE is named {found.name!r}", f"the file's name, {name!r}")
    return found


def _line(error: Exception, path: str) -> str:
    """Where in the file it was raised, as far as its traceback says."""
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == path]
    return f", line {lines[-1]}" if lines else ""


def _unusable(path: str, reason: str, allowed: str | None = None) -> ConfigurationError:
    message = f"no exchange can be loaded from this file: {reason}"
    return ConfigurationError("config.exchange_file", message, where=path, allowed=allowed)


def _taken(name: str, path: str, reason: str) -> ConfigurationError:
    message = f"an exchange {name!r} can't be added: {reason}"
    return ConfigurationError(
        "config.exchange_taken", message, where=path, allowed="another name for the file"
    )


_WORDS = frozenset(globals())
"""A module of such a name would take the place of what this package offers under it."""
