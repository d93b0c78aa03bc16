"""Crash points: armed by one variable, passed so often, and in a real process SIGKILL."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from COBY.runtime import crash
from COBY.utils.exceptions import ConfigurationError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def deaths():
    """Arms; holds a word for each death and hang, and disarms at the end."""

    class Deaths(list):
        def arm(self, text: str) -> None:
            crash.arm({crash.VARIABLE: text}, lambda: self.append("dead"), lambda: self.append("hangs"))

    yield Deaths()
    crash.arm({})


def test_a_process_dies_of_sigkill_at_the_third_pass_and_writes_nothing_more():
    program = (
        "from COBY.runtime import crash\ncrash.arm()\n"
        "for number in range(1, 9):\n    print(number, flush=True)\n    crash.reached('streams.delivered')\n"
    )
    env = {**os.environ, "COBY_CRASH_POINT": "streams.delivered:3"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["1", "2", "3"])


def test_without_the_variable_no_pass_kills():
    crash.arm({})
    for name in crash.POINTS:
        crash.reached(name)


def test_only_passes_of_the_armed_point_count(deaths):
    deaths.arm("streams.saved:2")
    for name in ("streams.delivered", "streams.saved", "timescale.written"):
        crash.reached(name)
    assert deaths == []
    crash.reached("streams.saved")
    assert deaths == ["dead"]


def test_without_a_number_the_first_pass_counts(deaths):
    deaths.arm("timescale.copied")
    crash.reached("timescale.copied")
    assert deaths == ["dead"]


def test_a_point_may_hang_instead(deaths, tmp_path):
    file = tmp_path / "crash"
    deaths.arm(f"@{file}")
    file.write_text("streams.processed:2:hang")
    crash.reached("streams.processed")
    assert deaths == []
    crash.reached("streams.processed")
    assert deaths == ["hangs"]
    assert not file.exists()


def test_a_process_that_hangs_goes_no_further_and_lives():
    program = (
        "from COBY.runtime import crash\ncrash.arm()\n"
        "print('before', flush=True)\ncrash.reached('streams.saved')\nprint('after', flush=True)\n"
    )
    env = {**os.environ, "COBY_CRASH_POINT": "streams.saved:1:hang"}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "before\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
        finally:
            process.kill()
        assert process.stdout.read() == ""


def test_a_file_arms_a_running_process_once(deaths, tmp_path):
    file = tmp_path / "crash"
    deaths.arm(f"@{file}")
    crash.reached("streams.saved")
    file.write_text("streams.saved:2\n")
    crash.reached("streams.saved")
    assert deaths == []
    crash.reached("streams.saved")
    assert deaths == ["dead"]
    assert not file.exists(), "the process that dies takes it away"
    crash.reached("streams.saved")
    assert deaths == ["dead"]


def test_a_file_counts_anew_each_time_it_is_written(deaths, tmp_path):
    file = tmp_path / "crash"
    deaths.arm(f"@{file}")
    file.write_text("streams.saved:2")
    crash.reached("streams.saved")
    file.unlink()
    crash.reached("streams.saved")
    file.write_text("streams.saved:2")
    crash.reached("streams.saved")
    assert deaths == []


def test_of_two_processes_that_pass_one_dies(tmp_path):
    file, died = tmp_path / "crash", []
    both = [
        crash.Crash(f"@{file}", lambda name=name: died.append(name), lambda: died.append("hangs"))
        for name in ("first", "second")
    ]
    file.write_text("streams.produced")
    for one in (*both, *both):
        one.reached("streams.produced")
    assert died == ["first"]


@pytest.mark.parametrize(
    "text",
    [
        "streams.nowhere",
        "streams.saved:0",
        "streams.saved:-1",
        "streams.saved:x",
        "streams.saved:",
        "streams.saved:hang",
        "streams.saved:1:",
        "streams.saved:1:sleep",
        "streams.saved:1:hang:1",
    ],
)
def test_what_is_no_point_is_refused_with_the_points_there_are(text):
    with pytest.raises(ConfigurationError, match=r"streams\.delivered") as caught:
        crash.arm({crash.VARIABLE: text})
    assert caught.value.code == "config.invalid"
    crash.arm({})


def test_each_point_is_passed_in_exactly_one_place_of_the_code():
    code = "".join(
        path.read_text() for part in ("replay", "sinks", "streams") for path in (ROOT / part).glob("*.py")
    )
    assert sorted(re.findall(r'crash\.reached\("([a-z.]+)"\)', code)) == sorted(crash.POINTS)
