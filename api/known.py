"""Which symbols and exchanges there are. Pure: the settings are passed in."""

from __future__ import annotations

from COBY.config import Config
from COBY.utils.exceptions import ConfigurationError


def known_symbol(cfg: Config, name: str, part: str = "query") -> str:
    """The symbol of that name, however its letters are written; ConfigurationError `config.unknown_symbol`.

    ``part``: of the address, in which it came.
    """
    return _known(name.upper(), cfg.symbols, part, "symbol", "config.unknown_symbol")


def known_exchange(cfg: Config, name: str, part: str = "query") -> str:
    """The exchange of that name, however its letters are written; ConfigurationError `config.unknown_exchange`."""
    return _known(name.lower(), cfg.exchanges, part, "exchange", "config.unknown_exchange")


def _known(name: str, names: tuple[str, ...], part: str, kind: str, code: str) -> str:
    if name in names:
        return name
    message, where = f"no {kind} {name[:40]!r} here", f"{part}.{kind}"
    raise ConfigurationError(code, message, where=where, allowed=", ".join(names))
