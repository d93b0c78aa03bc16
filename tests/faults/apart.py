"""The long parts of the check, each in a process of its own: a run of half an hour is checked by every core."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from decimal import localcontext
from typing import Any, TypeVar

from COBY.config import Config
from tests.faults.content import forget
from tests.reference.decimals import CONTEXT

T = TypeVar("T")
Submit = Callable[..., "Future[Any]"]


@contextmanager
def processes() -> Iterator[Submit]:
    """Gives ``submit(part, config, *arguments)``: a module's function whose arguments and result can be pickled."""
    # Not forked: clients of Kafka have threads.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        yield lambda part, config, *more: pool.submit(_run, part, config, *more)


def _run(part: Callable[..., T], config: Config, *more: Any) -> T:
    try:
        with localcontext(CONTEXT):
            return part(config, *more)
    finally:
        forget(config)
