"""`make sim-test`: many seeds of every simulated exchange, on all cores."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import click

from simulator.exchanges import EXCHANGES
from tests.sim.verdict import judge

EXAMPLE = """\b
Examples:
  python -m tests.sim --seeds 200
  python -m tests.sim --exchange kraken --first 17 --seeds 1
"""


@click.command(epilog=EXAMPLE)
@click.option(
    "--exchange", "exchanges", multiple=True, type=click.Choice(sorted(EXCHANGES)), help="Default: all."
)
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seeds", default=200, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option(
    "--seconds", default=20, show_default=True, type=click.IntRange(min=5), help="Market time each."
)
def main(exchanges: tuple[str, ...], first: int, seeds: int, seconds: int) -> None:
    """Lay the pipeline's books beside the simulator's after every update. Exit code 1 if one ever differed."""
    failed, began = 0, time.monotonic()
    with ProcessPoolExecutor() as pool:
        for exchange in exchanges or sorted(EXCHANGES):
            numbers = range(first, first + seeds)
            counts: Counter[str] = Counter()
            for done, verdict in enumerate(pool.map(judge, repeat(exchange), numbers, repeat(seconds)), 1):
                counts.update(updates=verdict.updates, trades=verdict.trades, failed=bool(verdict.faults))
                for fault in verdict.faults:
                    click.echo(f"\r{exchange} seed {verdict.seed}: {fault}")
                click.echo(f"\r{exchange:10} {done:4} of {seeds} seeds", nl=False, err=True)
            failed += counts["failed"]
            click.echo("\r", nl=False, err=True)
            click.echo(
                f"{exchange:10} {seeds} seeds of {seconds} s: {counts['updates']} updates compared, "
                f"{counts['trades']} trades, {counts['failed']} seeds failed"
            )
    click.echo(f"{time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(prog_name="python -m tests.sim")
