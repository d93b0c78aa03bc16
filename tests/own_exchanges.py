"""Exchanges of one's own in tests: the example of COBY/exchanges/README.md, and forgetting them afterwards."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from COBY import exchanges
from tests.frames import REPOSITORY

GUIDE = REPOSITORY / "COBY/exchanges/README.md"


def example(name: str = "example") -> str:
    """The source of the guide's exchange, under another name."""
    (source,) = (
        text
        for text in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
        if "EXCHANGE: Exchange" in text
    )
    return source.replace("example", name).replace("Example", name.title())


@contextmanager
def forgetting() -> Iterator[None]:
    """What the process knows of exchanges is put back at the end: no other test shall meet what was added."""
    path, added = list(exchanges.__path__), dict(exchanges._added)
    modules, words = set(sys.modules), set(vars(exchanges))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exchanges, "__path__", [*path])
            patch.setattr(exchanges, "_added", {**added})
            yield
    finally:
        for name in set(vars(exchanges)) - words - set(exchanges.BUILT_IN):
            delattr(exchanges, name)
            sys.modules.pop(f"{exchanges.__name__}.{name}", None)
        assert not {name for name in set(sys.modules) - modules if _is_own(name)}


def _is_own(module: str) -> bool:
    package, _, name = module.rpartition(".")
    return package == exchanges.__name__ and name not in exchanges.BUILT_IN
