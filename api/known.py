"""Which symbols and exchanges there are. Pure: the settings are passed in."""

from __future__ import annotations

from COBY.config import Config
from COBY.utils.exceptions import ConfigurationError


def known_symbol(cfg: Config, name: str) -> str:
    """The symbol of that name, however its letters are written; ConfigurationError `config.unknown_symbol`."""
    return _known(name.upper(), cfg.symbols, "symbol", "config.unknown_symbol")


def known_exchange(cfg: Config, name: str) -> str:
    """The exchange of that name, however its letters are written; ConfigurationError `config.unknown_exchange`."""
    return _known(name.lower(), cfg.exchanges, "exchange", "config.unknown_exchange")


def _known(name: str, names: tuple[str, ...], kind: str, code: str) -> str:
    if name in names:
        return name
    raise ConfigurationError(code, f"no {kind} {name[:40]!r} here", where=kind, allowed=", ".join(names))
