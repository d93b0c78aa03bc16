"""`python -m replay`: a worker that plays replay sessions."""

from __future__ import annotations

import gc
import os

import click

from COBY.runtime.main import run
from replay.worker import work

GENTLE = 5
"""Added to the process's niceness: where cores are few, live processing goes first."""
GC_THRESHOLDS = (50_000, 50, 50)


@click.command()
def main() -> None:
    """Play replay sessions into their topics, until stopped.

    Any number of workers may run; they share the sessions, and one takes over what another left.

    \b
    Example:
      METRICS_PORT=9108 python -m replay
    """
    os.nice(GENTLE)
    # What is read ahead is many objects without cycles: looking for some costs a tenth of the time.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    run("replay", work)


if __name__ == "__main__":
    main(prog_name="python -m replay")
