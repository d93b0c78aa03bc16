"""A full disk under the logs ends neither the supervisor nor a program, and a killed one is started again.

python -m tests.integration.test_full_logs FOLDER    # in a process of its own: the disk is in its mount namespace
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.programs import Program
from deploy.local.supervise import Programs
from tests.faults.disks import Disks
from tests.servers import eventually

TALKER = """import time
while True:
    print("x" * 500, flush=True)
    time.sleep(0.01)
"""


def program(folder: Path) -> None:
    (folder / "talker.py").write_text(TALKER)
    table = [Program("talker", (sys.executable, str(folder / "talker.py")))]
    with Disks() as disks:
        disks.mount(folder / "logs", 1)
        with Programs(folder, table) as programs:
            programs.wait_ready()
            first, log = programs.status()["talker"].pid, programs.log("talker")
            disks.fill(folder / "logs")
            length = log.stat().st_size
            time.sleep(2)  # some hundred lines that can't be written
            assert programs.running, "the supervisor has ended"
            assert programs.status()["talker"].pid == first
            programs.kill("talker")
            assert eventually(lambda: programs.status()["talker"].pid not in (None, first))
            disks.empty(folder / "logs")
            assert eventually(lambda: log.stat().st_size > length), "nothing is logged after it"


def test_a_full_log_folder_stops_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.integration.test_full_logs", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    if "CannotRunError" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert (done.returncode, done.stderr) == (0, "")


if __name__ == "__main__":
    program(Path(sys.argv[1]))
