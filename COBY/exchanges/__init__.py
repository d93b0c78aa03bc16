"""The exchanges: each module here (base aside) is one of them, and is all that the pipeline knows of it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import cast

from COBY.exchanges.base import Exchange


def names() -> tuple[str, ...]:
    """Names of all known exchanges, sorted: the modules of this package."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if module.name != "base"))


def load(name: str) -> Exchange:
    """The exchange of that name; KeyError for an unknown one."""
    if name not in names():
        raise KeyError(name)
    return cast(Exchange, import_module(f"{__name__}.{name}").EXCHANGE)
