"""`python -m tests.faults`, that is `make faults`: the cases of FAULTS.md, one after the other, and a table."""

from __future__ import annotations

import random
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from deploy.local import fetch
from deploy.local.errors import LocalError
from deploy.local.stack import ROOT
from tests.faults.cases import Case, all_cases
from tests.faults.pipeline import PATIENCE_SECONDS
from tests.faults.runner import Result, run_case
from tests.faults.soak import Soak

FOLDER = ROOT / ".local" / "faults"
ALL = 20
"""Cases in FAULTS.md."""


def listing(cases: dict[int, type[Case]]) -> list[str]:
    """One line for each case of FAULTS.md, also for those that do not exist."""
    return [
        f"{number:2d}  {cases[number].rounds:3d} rounds  {cases[number].title}"
        if number in cases
        else f"{number:2d}  does not exist"
        for number in range(1, ALL + 1)
    ]


def table(results: list[Result]) -> list[str]:
    """Case, rounds, seed, result, seconds to recovery (median and worst)."""
    lines = [f"{'case':>4}  {'rounds':>6}  {'seed':>6}  {'result':7}  {'median s':>8}  {'worst s':>7}  fault"]
    for one in results:
        ordered = sorted(one.seconds) or [0.0]
        figures = f"{ordered[len(ordered) // 2]:8.1f}  {ordered[-1]:7.1f}"
        lines.append(f"{one.case:4d}  {one.rounds:6d}  {one.seed:6d}  {one.word:7}  {figures}  {one.title}")
    return lines


def exit_code(results: list[Result]) -> int:
    """0 all was run and held, 1 something did not hold, 2 something could not be run (and is not known to hold)."""
    if any(result.problems for result in results):
        return 1
    return 0 if all(result.holds for result in results) else 2


@click.command()
@click.option(
    "--case", "numbers", type=int, multiple=True, help="Only this case; may be given several times."
)
@click.option("--seed", type=int, help="Of every random choice; else one is drawn and told.")
@click.option("--rounds", type=click.IntRange(1), help="Else each case's own number.")
@click.option("--rate", type=click.IntRange(3, 20_000), help="Frames a second; else each case's own figure.")
@click.option(
    "--patience",
    type=click.FloatRange(30),
    default=PATIENCE_SECONDS,
    show_default=True,
    help="Seconds to wait for a recovery, for a machine that others use too; more than 30 is told all the same.",
)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=FOLDER, help="Data, logs and what is left to do."
)
@click.option("--soak", "minutes", type=click.IntRange(1), help="A random fault each minute, for so long.")
@click.option("--list", "is_list", is_flag=True, help="Say which cases there are, and end.")
def main(
    numbers: tuple[int, ...],
    seed: int | None,
    rounds: int | None,
    rate: int | None,
    patience: float,
    folder: Path,
    minutes: int | None,
    is_list: bool,
) -> None:
    """Deal faults to a running pipeline and check that nothing was lost, doubled or invented.

    The same command again goes on after the last finished round of a case that was interrupted (the seed given).
    Exit codes: 0 every invariant held, 1 one did not, 2 something could not be run (on this machine, or interrupted).

    \b
    Example:
      python -m tests.faults --case 2 --rounds 50 --seed 7
    """
    cases = all_cases()
    if is_list:
        click.echo("\n".join(listing(cases)))
        return
    if unknown := [number for number in numbers if number not in cases]:
        raise click.UsageError(f"no case {unknown[0]}; there are {' '.join(map(str, cases))}")
    seed = random.SystemRandom().randrange(1, 100_000) if seed is None else seed
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        fetch.fetch()
        if minutes is not None:
            results = [_run(Soak, folder, seed, minutes, rate, patience)]
        else:
            results = [
                _run(cases[number], folder, seed, rounds, rate, patience) for number in numbers or cases
            ]
    except KeyboardInterrupt:
        click.echo(f"interrupted; goes on with the same command and SEED={seed}")
        sys.exit(2)
    except LocalError as error:
        click.echo(f"error {error}", err=True)
        sys.exit(2)
    click.echo("\n".join(table(results)))
    sys.exit(exit_code(results))


def _run(
    kind: type[Case], folder: Path, seed: int, rounds: int | None, rate: int | None, patience: float
) -> Result:
    case = kind()
    case.load = replace(case.load, patience_seconds=patience)
    if rate is not None:
        case.load = replace(case.load, rate=rate)
    click.echo(f"case {case.number}, seed {seed}: {case.title}")
    where = folder.resolve() / f"case-{case.number}"
    return run_case(case, where, seed=seed, rounds=rounds or case.rounds, tell=click.echo)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
