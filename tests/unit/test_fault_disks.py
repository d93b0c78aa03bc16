"""The small disks of the fault tests: full to the last byte, invisible to others, and gone with whoever made them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.fetch import mounts_below

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys
from pathlib import Path
from deploy.local.fetch import mounts_below
from tests.faults.disks import CannotRunError, Disks
at = Path(sys.argv[1])
try:
    with Disks() as disks:
        disks.mount(at / "disk", 2)
        print(len(mounts_below(at)), disks.fill(at / "disk", 65536) // 65536)
        with (at / "disk" / "more").open("wb", buffering=0) as file:
            file.write(bytes(65536))
            try:
                file.write(bytes(4096))
            except OSError as error:
                print(error.strerror)
        disks.empty(at / "disk")
        (at / "disk" / "again").write_bytes(bytes(4096))
        if sys.argv[2] == "killed":
            print("killed", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    print(mounts_below(at), list((at / "disk").iterdir()))
except CannotRunError as error:
    print("cannot", error)
"""


def run(folder, end):
    command = [sys.executable, "-c", PROGRAM, str(folder), end]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.stdout.startswith("cannot"):
        pytest.skip(done.stdout)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_a_disk_is_full_to_the_last_byte_and_ends_with_its_context(tmp_path):
    code, lines, errors = run(tmp_path, "orderly")
    assert (code, errors) == (0, "")
    assert lines == ["1 31", "No space left on device", "[] []"]


def test_a_killed_run_leaves_no_disk(tmp_path):
    code, lines, _ = run(tmp_path, "killed")
    assert (code, lines[-1]) == (-signal.SIGKILL, "killed")
    assert mounts_below(tmp_path) == []
    assert list((tmp_path / "disk").iterdir()) == []
