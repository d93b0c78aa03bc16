"""`python -m replay`: a worker that plays replay sessions."""

from __future__ import annotations

import os

import click

from COBY.runtime.main import run
from replay.worker import work

GENTLE = 5
"""Added to the process's niceness: where cores are few, live processing goes first."""


@click.command()
def main() -> None:
    """Play replay sessions into their topics, until stopped.

    Any number of workers may run; they share the sessions, and one takes over what another left.

    \b
    Example:
      METRICS_PORT=9108 python -m replay
    """
    os.nice(GENTLE)
    run("replay", work)


if __name__ == "__main__":
    main(prog_name="python -m replay")
