"""`make drill` as it is run, with fewer records."""

import re
import subprocess
import sys

import pytest

from deploy.local import fetch
from deploy.local.errors import LocalError


@pytest.mark.long
def test_the_drill_says_what_it_did_and_that_the_hashes_are_equal(tmp_path):
    try:
        fetch.check_machine()
    except LocalError as error:
        pytest.skip(f"no local servers here: {error}")
    command = [sys.executable, "-m", "tests.drill", "--records", "900", "--folder", str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"dropped market_data with 900 trades", done.stdout)
    restored = re.search(r"restored with (\d+) trades", done.stdout)
    assert restored
    assert 300 <= int(restored[1]) < 900
    assert "FAIL" not in done.stdout
    assert done.stdout.endswith("the hashes are equal\n")
