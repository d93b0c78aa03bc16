"""The short set of the fault tests: kills of a stream worker and of the TimescaleDB sink in a small running pipeline.

All cases and more rounds: `make faults`.
"""

from dataclasses import replace

import pytest

from tests.faults.cases import all_cases
from tests.faults.pipeline import PATIENCE_SECONDS, Load
from tests.faults.runner import Progress, run_case

pytestmark = pytest.mark.usefixtures("in_real_time")

SEED = 5


@pytest.mark.parametrize(("number", "rounds"), [(2, 2), pytest.param(3, 2, marks=pytest.mark.long)])
def test_after_kills_nothing_is_lost_and_nothing_doubled(number, rounds, tmp_path, monkeypatch):
    # How fast a recovery must be is judged by `make faults`, on a machine that does nothing else.
    monkeypatch.setattr("tests.faults.runner.RECOVERY_SECONDS", PATIENCE_SECONDS)
    case = all_cases()[number]()
    case.load = replace(Load(), rate=100)
    told: list[str] = []
    result = run_case(case, tmp_path / "case", seed=SEED, rounds=rounds, tell=told.append)
    assert result.problems == []
    assert result.rounds == len(result.seconds) == rounds
    assert [line for line in told if " at " in line], "a named point was passed"
    assert Progress.load(tmp_path / "case").finished
