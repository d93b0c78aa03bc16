"""Waiting for what a test judges."""

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object], seconds: float = 60.0) -> float:
    """Wait for it, by the loop's own clock; the time when it was first seen to hold. Fails after so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not holds():
        assert loop.time() < end, "waited in vain"
        await asyncio.sleep(0.01)
    return loop.time()
