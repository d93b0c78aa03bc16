"""`make sim-test`: many seeds of every simulated exchange, on all cores."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat

import click

from simulator.exchanges import EXCHANGES
from tests.sim.verdict import Verdict, judge, judge_bad

EXAMPLE = """\b
Examples:
  python -m tests.sim --seeds 200
  python -m tests.sim --days both --seeds 20
  python -m tests.sim --exchange kraken --first 17 --seeds 1
"""
Judge = Callable[[str, int, int], Verdict]
JUDGES: list[tuple[str, Judge]] = [("plain", judge), ("bad", judge_bad)]
GARBAGE_OBJECTS = 1_000_000


@click.command(epilog=EXAMPLE)
@click.option(
    "--exchange", "exchanges", multiple=True, type=click.Choice(sorted(EXCHANGES)), help="Default: all."
)
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seeds", default=200, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option(
    "--seconds", default=20, show_default=True, type=click.IntRange(min=5), help="Market time each."
)
@click.option(
    "--days",
    type=click.Choice(["bad", "plain", "both"]),
    default="bad",
    show_default=True,
    help="Bad: mishaps of all kinds are dealt.",
)
def main(exchanges: tuple[str, ...], first: int, seeds: int, seconds: int, days: str) -> None:
    """Lay the pipeline's books beside the simulator's after every update. Exit code 1 if one ever differed."""
    failed, began = 0, time.monotonic()
    kinds = [(name, one) for name, one in JUDGES if days in (name, "both")]
    numbers = range(first, first + seeds)
    with ProcessPoolExecutor(initializer=_look_for_garbage_rarely) as pool:
        for exchange in exchanges or sorted(EXCHANGES):
            for name, one in kinds:
                failed += _judged(pool, f"{exchange:10} {name:5}", partial(one, exchange), numbers, seconds)
    click.echo(f"{time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


def _look_for_garbage_rarely() -> None:
    """A world is many objects that live as long as it does: looking through them again and again takes a quarter."""
    gc.set_threshold(GARBAGE_OBJECTS)


def _judged(
    pool: ProcessPoolExecutor, title: str, one: Callable[[int, int], Verdict], numbers: range, seconds: int
) -> int:
    """All seeds of one exchange; how many failed."""
    counts: Counter[str] = Counter()
    for done, verdict in enumerate(pool.map(one, numbers, repeat(seconds)), 1):
        counts.update(
            updates=verdict.updates,
            trades=verdict.trades,
            mishaps=verdict.mishaps,
            failed=int(bool(verdict.faults)),
        )
        for fault in verdict.faults:
            click.echo(f"\r{title} seed {verdict.seed}: {fault}")
        click.echo(f"\r{title} {done:4} of {len(numbers)} seeds", nl=False, err=True)
    click.echo("\r", nl=False, err=True)
    click.echo(
        f"{title} {len(numbers)} seeds of {seconds} s: {counts['updates']} updates compared, "
        f"{counts['trades']} trades, {counts['mishaps']} mishaps, {counts['failed']} seeds failed"
    )
    return counts["failed"]


if __name__ == "__main__":
    main(prog_name="python -m tests.sim")
