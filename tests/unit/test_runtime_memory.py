"""The bound on memory: when it is judged full, and a real program that grows, starts anew, stays, and shrinks."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from urllib.error import HTTPError

import pytest

from COBY.runtime.memory import Pressure, Verdict
from deploy.local.ports import free_port
from tests.frames import REPOSITORY

MIB = 1024 * 1024
WELL, START_ANEW, STAY = Verdict.WELL, Verdict.START_ANEW, Verdict.STAY


def test_full_is_eighty_percent_of_the_limit():
    pressure = Pressure(1000, None)
    assert pressure.judge(0, 799) is WELL
    assert pressure.judge(1, 800) is START_ANEW


@pytest.mark.parametrize(
    ("before", "expected"), [(1, STAY), (599.9, STAY), (600, START_ANEW), (100_000, START_ANEW)]
)
def test_twice_within_ten_minutes_it_stays(before, expected):
    assert Pressure(1000, 50_000.0).judge(50_000.0 + before, 900) is expected


def test_who_stays_goes_on_staying_until_there_is_room_and_can_then_start_anew_again():
    pressure = Pressure(1000, 0.0)
    assert pressure.judge(500, 800) is STAY
    assert [pressure.judge(at, 750) for at in (550, 650, 5_000)] == [STAY] * 3
    assert pressure.judge(5_001, 699) is WELL
    assert pressure.judge(5_002, 790) is WELL
    assert pressure.judge(5_003, 800) is START_ANEW


PROGRAM = """
import asyncio, os, time
from COBY.runtime.health import serve_health
from COBY.runtime.main import run, run_async
from COBY.runtime.memory import memory
print("life", os.getpid(), flush=True)

def grow(config):
    return bytearray(b"x" * (config.max_memory_usage << 20))

def body(config, stop):
    with serve_health(config.metrics_port):
        held = grow(config)
        while not stop.wait(0.05) and not os.path.exists("shrink"):
            pass
        del held
        stop.wait()
    print("closed", flush=True)

async def body_async(config, stop):
    with serve_health(config.metrics_port):
        held = grow(config)
        while not stop.is_set() and not os.path.exists("shrink"):
            await asyncio.sleep(0.05)
        del held
        await stop.wait()
    print("closed", flush=True)
"""


def ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=30) as answer:
            return answer.status, json.load(answer)["checks"][-1]
    except HTTPError as error:
        return error.code, json.load(error)["checks"][-1]
    except OSError:
        return 0, {}


def full_metric(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        (line,) = [one for one in answer.read().decode().splitlines() if one.startswith("coby_memory_full ")]
    return float(line.split()[1])


def wait_for(port, status, process):
    end = time.monotonic() + 60
    while (found := ready(port))[0] != status:
        assert time.monotonic() < end, found
        assert process.poll() is None
        time.sleep(0.05)
    return found[1]


@pytest.mark.parametrize("last", ["run('grows', body)", "run_async('grows', body_async)"])
def test_a_program_that_grows_starts_anew_once_then_stays_and_says_so(tmp_path, last):
    port = free_port()
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "LOG_FILE": "-"}
    env |= {"MAX_MEMORY_USAGE": "256", "METRICS_PORT": str(port)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + last], cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            assert process.stdout.readline() == f"life {process.pid}\n"
            assert process.stdout.readline() == "closed\n", "ended in order"
            assert process.stdout.readline() == f"life {process.pid}\n", "in the same place"
            check = wait_for(port, 503, process)
            assert check["name"] == "memory"
            assert check["text"].endswith("of 256 MiB, takes nothing new")
            assert full_metric(port) == 1
            (tmp_path / "shrink").touch()
            wait_for(port, 200, process)
            assert full_metric(port) == 0
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=90)
        finally:
            process.kill()
    assert (process.returncode, out) == (0, "closed\n")
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events == ["memory_start_anew", "memory_full", "memory_no_longer_full"]


def test_a_program_that_was_asked_to_stop_does_not_start_anew(tmp_path):
    slow = PROGRAM + "import COBY.runtime.memory\n"
    slow += "def slow(config, stop):\n    held = grow(config)\n    stop.wait()\n    print('stopping', flush=True)\n"
    slow += "    while not COBY.runtime.memory.memory()._asked_to_stop:\n        time.sleep(0.01)\n"
    slow += "run('grows', slow)"
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "LOG_FILE": "-",
        "MAX_MEMORY_USAGE": "256",
    }
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", slow], cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout.readline() == f"life {process.pid}\n"
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=90)
    assert (process.returncode, out) == (0, "")


@pytest.mark.parametrize(
    ("grace", "last", "told", "code"),
    [
        (60, "raise ServiceError('runtime.stop_timeout', 'as an example')", b"error runtime.stop_timeout", 0),
        (0.5, "time.sleep(60)", b"memory_stop_timeout", 3),
    ],
)
def test_an_end_that_is_no_clean_one_is_told(tmp_path, grace, last, told, code):
    hanging = "import COBY.runtime.memory as bound\nfrom COBY.utils.exceptions import ServiceError\n"
    hanging += f"bound.GRACE_SECONDS = {grace}\n"
    hanging += f"def slow(config, stop):\n    held = grow(config)\n    stop.wait()\n    {last}\n"
    hanging += "if bound.STARTED_ANEW in os.environ:\n    raise SystemExit(0)\nrun('grows', slow)"
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "LOG_FILE": "-",
        "MAX_MEMORY_USAGE": "256",
    }
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM + hanging], cwd=tmp_path, env=env, capture_output=True, timeout=90
    )
    assert ended.returncode == code
    assert ended.stdout.count(b"life") == (1 if code else 2), "a new life, or left to the supervisor"
    assert told in ended.stderr
