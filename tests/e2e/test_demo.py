"""`make demo FOR=…` keeps its promises, and says so when one is broken in the middle of it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.demo_facts import ask
from deploy.local.stack import ROOT
from deploy.local.supervise import Programs

pytestmark = pytest.mark.usefixtures("in_real_time")

SECONDS = 8
DISTURB_AFTER = 3.0


class RunningDemo:
    """The demo as a process of its own, as a user starts it."""

    def __init__(self, folder: Path, seconds: int = SECONDS, fresh_seconds: float | None = None) -> None:
        """``fresh_seconds``: how old the newest heatmap may be, where not the demo's own figure."""
        self.folder = folder
        program = "import deploy.local.demo as demo\n"
        program += "" if fresh_seconds is None else f"demo.FRESH_SECONDS = {fresh_seconds}\n"
        arguments = ["--for", str(seconds), "--folder", str(folder)]
        command = [sys.executable, "-c", f"{program}demo.main()", *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def wait_running(self) -> None:
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "heatmaps" in line:
                return
        raise AssertionError(f"the demo ended before it ran:\n{''.join(said)}")

    def finish(self) -> tuple[int, str]:
        output = self.process.stdout.read()
        return self.process.wait(timeout=120), output

    @property
    def simulator_url(self) -> str:
        return json.loads((self.folder / "demo.json").read_text())["simulator_url"]

    @property
    def programs(self) -> Programs:
        return Programs(self.folder)


@pytest.fixture
def demo(tmp_path, request):
    running = RunningDemo(tmp_path / "demo", fresh_seconds=getattr(request, "param", None))
    try:
        running.wait_running()
        time.sleep(DISTURB_AFTER)
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(timeout=60)
        running.process.stdout.close()


def lines(output: str, verdict: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(verdict)]


# A machine that stands still for a moment makes heatmaps older than the demo's two seconds: that is no disturbance.
@pytest.mark.parametrize("demo", [15.0], indirect=True)
def test_an_undisturbed_demo_keeps_every_promise(demo):
    code, output = demo.finish()
    assert lines(output, "FAIL") == [], output
    assert len(lines(output, "ok")) == 10, output
    assert code == 0


@pytest.mark.long
def test_a_killed_sink_shows_though_it_loses_nothing(demo):
    demo.programs.kill("sink-timescale")
    code, output = demo.finish()
    assert code == 1, output
    failed = lines(output, "FAIL")
    assert len(failed) == 1, output
    assert "sink-timescale" in failed[0]


@pytest.mark.long
def test_a_dropped_frame_is_a_gap(demo):
    request = json.dumps({"kind": "drop_frames", "count": 1}).encode()
    ask(f"{demo.simulator_url}/_sim/fault", post=True, body=request)
    code, output = demo.finish()
    assert code == 1, output
    assert any("no gap" in line for line in lines(output, "FAIL")), output


@pytest.mark.long
def test_a_stopped_clock_shows_in_the_heatmaps_age(demo):
    demo.programs.stop("clock")
    code, output = demo.finish()
    assert code == 1, output
    assert any("newest heatmap" in line for line in lines(output, "FAIL")), output
