"""The end of what a process has opened: waited for, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from COBY.utils.logging import get_logger

CLOSE_SECONDS = 3.0

log = get_logger(__name__)


async def closed(**closing: Awaitable[object]) -> None:
    """Wait for all of these, by their names, but no longer than CLOSE_SECONDS; raises what one of them raises.

    A question to a server that does not answer can't be called back. None of the answers is needed any more, so those
    that are late are logged and left: COBY.runtime.main ends the process without them.
    """
    tasks = {asyncio.ensure_future(work): name for name, work in closing.items()}
    done, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
    for task in late:
        log.warning("left_open", what=tasks[task], seconds=CLOSE_SECONDS)
        task.cancel()
    for task in done:
        task.result()
