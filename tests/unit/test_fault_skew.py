"""A process with a wrong wall clock: its time of day is another, its waits last what they should."""

import os
import subprocess
import sys
import time

import pytest

from tests.faults.pipeline import CannotRunError
from tests.faults.skew import Skew

PROGRAM = """
import threading, time
from confluent_kafka import Producer
print(time.time())
began = time.monotonic()
time.sleep(0.2)
threading.Event().wait(0.2)
producer = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
producer.produce("nowhere", b"never delivered")
busy = time.process_time()
producer.flush(0.6)
print(time.process_time() - busy)
print(time.monotonic() - began)
"""


@pytest.fixture
def skew(tmp_path):
    found = Skew(tmp_path / "skew")
    if found.missing:
        pytest.skip(found.missing)
    return found


@pytest.mark.parametrize("seconds", [7200, -7200, 0])
def test_the_time_of_day_is_another_and_waits_last_what_they_should(skew, seconds):
    env = {**os.environ, **skew.env("one")}
    skew.set("one", seconds)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    at, busy, waited = map(float, done.stdout.split())
    assert abs(at - seconds - time.time()) < 60
    assert 1.0 <= waited < 20
    assert busy < 0.3, "it waited, and did not ask again and again"


def test_without_the_library_it_is_said_and_no_process_gets_anything(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.faults.skew.LIBRARIES", "nowhere/*.so")
    skew = Skew(tmp_path / "skew")
    assert skew.env("one") == {}
    with pytest.raises(CannotRunError, match="apt-get install libfaketime"):
        skew.set("one", 7200)
