"""One case from its start (or from where it was left) to its verdict: a line a round, then the invariants."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.fetch import remove_tree
from tests.faults import content, invariants
from tests.faults.cases import Case
from tests.faults.pipeline import RECOVERY_SECONDS, CannotRunError, FaultError, Pipeline

Tell = Callable[[str], None]


@dataclass
class Progress:
    """What is kept between starts of one case, in `state.json` of its folder."""

    case: int
    seed: int
    rounds: int
    rate: int
    done: int = 0
    session: int = 0
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    finished: bool = False

    def save(self, folder: Path) -> None:
        """Whole or not at all."""
        fresh = folder / "state.new"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(folder / "state.json")

    @classmethod
    def load(cls, folder: Path) -> Progress | None:
        """None: nothing (usable) was left."""
        try:
            return cls(**json.loads((folder / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def continues(self, wanted: Progress) -> bool:
        """Whether what is wanted is what was left unfinished."""
        same = ("case", "seed", "rounds", "rate")
        return not self.finished and all(getattr(self, name) == getattr(wanted, name) for name in same)


@dataclass(frozen=True)
class Result:
    """A row of the table at the end."""

    case: int
    title: str
    rounds: int
    seed: int
    problems: list[str]
    seconds: list[float]
    not_run: list[str] = field(default_factory=list)
    """What could not be run on this machine, and why."""

    @property
    def holds(self) -> bool:
        """Whether all was run and nothing was wrong."""
        return not self.problems and not self.not_run

    @property
    def word(self) -> str:
        """For the table: ok, FAIL, partly (some rounds could not be run), not run."""
        if self.problems or not self.not_run:
            return "FAIL" if self.problems else "ok"
        return "partly" if self.seconds else "not run"


def run_case(case: Case, folder: Path, *, seed: int, rounds: int, tell: Tell) -> Result:
    """Deal all rounds inside one running pipeline, then check. After an interruption the next call goes on.

    Whatever goes wrong is in the result, so that other cases can follow; only an interruption is raised.
    """
    try:
        return _run_case(case, folder, seed=seed, rounds=rounds, tell=tell)
    except CannotRunError as error:
        tell(f"case {case.number}: could not be run: {error}")
        return Result(case.number, case.title, 0, seed, [], [], [str(error)])
    except Exception as error:
        traceback.print_exc()
        tell(f"case {case.number} seed {seed}: FAIL {error!r}")
        wanted, left = Progress(case.number, seed, rounds, case.load.rate), Progress.load(folder)
        left = left if left is not None and left.continues(wanted) else wanted
        problems = [*left.problems, f"{type(error).__name__}: {error}"]
        return Result(case.number, case.title, left.done, seed, problems, left.seconds, left.not_run)


def _run_case(case: Case, folder: Path, *, seed: int, rounds: int, tell: Tell) -> Result:
    wanted = Progress(case.number, seed, rounds, case.load.rate)
    left = Progress.load(folder)
    progress = left if left is not None and case.keeps_data and left.continues(wanted) else wanted
    if progress is wanted:
        remove_tree(folder)
        folder.mkdir(parents=True)
    else:
        progress.session += 1
        tell(f"case {case.number}: goes on after round {progress.done} of {rounds}")
    progress.save(folder)
    with case.make_pipeline(folder, seed, progress.session) as pipeline:
        pipeline.recover()
        before = invariants.Standing.of(pipeline)
        case.begin(pipeline)
        try:
            _rounds(case, pipeline, progress, folder, tell)
            progress.problems += _verdict(case, pipeline, before, tell)
        finally:
            content.forget(pipeline.config)
    progress.finished = True
    progress.save(folder)
    for problem in progress.problems:
        tell(f"case {case.number} seed {seed}: {problem}")
    found = (progress.problems, progress.seconds, progress.not_run)
    return Result(case.number, case.title, progress.done, seed, *found)


def _rounds(case: Case, pipeline: Pipeline, progress: Progress, folder: Path, tell: Tell) -> None:
    while progress.done < progress.rounds:
        pipeline.seen.clear()
        number = progress.done + 1
        try:
            done = case.deal(pipeline, progress.done)
            seconds = pipeline.recover()
        except CannotRunError as error:
            progress.not_run.append(f"round {number}: {error}")
            tell(f"case {case.number} round {number}/{progress.rounds}: could not be run: {error}")
            progress.done = number
            progress.save(folder)
            continue
        except Exception as error:
            if not isinstance(error, FaultError):
                traceback.print_exc()  # not of the pipeline perhaps, but of ours: the other cases go on
            progress.problems.append(f"round {number}: {error!r}")
            tell(f"case {case.number} round {number}/{progress.rounds}: FAIL {error}")
            progress.done = number
            progress.save(folder)
            return  # the pipeline is in no state for another fault
        if seconds > RECOVERY_SECONDS:
            progress.problems.append(f"I8 round {number}: recovered after {seconds:.1f} s")
        if case.is_seen and not pipeline.seen:
            progress.problems.append(f"I9 round {number}: {done} showed nowhere")
        progress.done = number
        progress.seconds.append(round(seconds, 1))
        progress.save(folder)
        tell(f"case {case.number} round {number}/{progress.rounds}: {done}; recovered in {seconds:.1f} s")


def _verdict(case: Case, pipeline: Pipeline, before: invariants.Standing, tell: Tell) -> list[str]:
    problems = case.end(pipeline)
    began = time.monotonic()
    try:
        pipeline.rest()
    except FaultError as error:
        problems.append(str(error))
    problems += invariants.check(pipeline, raw_is_whole=case.raw_is_whole, tell=tell)
    problems += case.judge(pipeline)
    # Producers and clock are down by now: what is more than before was left over.
    problems += before.problems(invariants.Standing.of(pipeline))
    tell(f"case {case.number}: rest and invariants took {time.monotonic() - began:.0f} s")
    return problems
