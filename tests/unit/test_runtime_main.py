"""The wrapper of every main, in real processes with real signals."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SYNC = """
import COBY.runtime.main as runtime
def body(config, stop):
    print("ready", flush=True)
    stop.wait()
    print("drained", config.db_port, flush=True)
runtime.run("test", body)
"""
ASYNC = """
import COBY.runtime.main as runtime
async def body(config, stop):
    print("ready", flush=True)
    await stop.wait()
    print("drained", config.db_port, flush=True)
runtime.run_async("test", body)
"""
HANGING = """
import time
import COBY.runtime.main as runtime
runtime.GRACE_SECONDS = GRACE
def body(config, stop):
    print("ready", flush=True)
    stop.wait()
    print("stopping", flush=True)
    time.sleep(60)
runtime.run("test", body)
"""


@contextmanager
def program(
    code: str, folder: Path, *, stdin: bool = False, **environ: str
) -> Iterator["subprocess.Popen[str]"]:
    environment = {"PYTHONPATH": str(ROOT), "LOG_FILE": str(folder / "{program}.log"), **environ}
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=pipe if stdin else None,
        stdout=pipe,
        stderr=pipe,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def result(code: str, folder: Path, **environ: str) -> tuple[int, str, str]:
    with program(code, folder, **environ) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_signal_lets_the_body_drain_and_ends_with_zero(tmp_path, code, number):
    with program(code, tmp_path, DB_PORT="6000") as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "drained 6000\n", "")


def test_a_second_signal_ends_at_once(tmp_path):
    with program(HANGING.replace("GRACE\n", "30\n"), tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_body_that_does_not_drain_in_time_is_ended(tmp_path):
    with program(HANGING.replace("GRACE\n", "0.1\n"), tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err == "error runtime.stop_timeout: not stopped 0.1 seconds after the signal\n"


TALKING = """
import sys
import COBY.runtime.main as runtime
from COBY.utils.logging import get_logger
def body(config, stop):
    print("ready", flush=True)
    while sys.stdin.readline().strip():
        get_logger("test").debug("detail")
        print("said", flush=True)
runtime.run("test", body)
"""


def test_signals_change_the_level_of_the_log_of_a_running_program(tmp_path):
    file = tmp_path / "test.log"

    def lines() -> list[dict]:
        return [json.loads(line) for line in file.read_text().splitlines()]

    def told(level: str) -> None:
        end = time.monotonic() + 30
        while not any(line["event"] == "log_level" and line["now"] == level for line in lines()):
            assert time.monotonic() < end
            time.sleep(0.02)

    with program(TALKING, tmp_path, LOG_LEVEL="WARNING", stdin=True) as process:
        assert process.stdout.readline() == "ready\n"
        for number, level in ((None, None), (signal.SIGUSR1, "DEBUG"), (signal.SIGUSR2, "WARNING")):
            if number is not None:
                process.send_signal(number)
                told(level)
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert process.stdout.readline() == "said\n"
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
    # Once in three: between the two signals.
    assert [line["event"] for line in lines()] == ["log_level", "detail", "log_level"]


@pytest.mark.parametrize("code", [SYNC, ASYNC], ids=["sync", "async"])
def test_wrong_settings_end_with_a_line_each_and_two(tmp_path, code):
    status, out, err = result(code, tmp_path, DB_PORT="x", HEATMAP_DEPTH="0")
    assert (status, out) == (2, "")
    assert [line.split(" (")[0] for line in err.splitlines()] == [
        "error config.invalid: DB_PORT is 'x'",
        "error config.invalid: HEATMAP_DEPTH is '0'",
    ]


ERROR = 'StorageError("db.unreachable", "login hunter22 refused", where="localhost:5432")'
FAILING = {
    "sync": f"def body(config, stop): raise {ERROR}\nrun('test', body)",
    "async": f"async def body(config, stop): raise {ERROR}\nrun_async('test', body)",
    "group": f"""
async def fail(): raise {ERROR}
async def body(config, stop):
    async with asyncio.TaskGroup() as outer:
        outer.create_task(inner())
async def inner():
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
run_async('test', body)
""",
}
IMPORTS = """
import asyncio
from COBY.runtime.main import run, run_async
from COBY.utils.exceptions import StorageError
"""


@pytest.mark.parametrize("kind", FAILING)
def test_an_error_with_a_code_ends_with_one_line_and_two(tmp_path, kind):
    status, out, err = result(IMPORTS + FAILING[kind], tmp_path, DB_PASSWORD="hunter22")
    assert (status, out) == (2, "")
    assert err == "error db.unreachable: login *** refused (at localhost:5432)\n"


BUGS = {
    "sync": "def body(config, stop): 1 / 0\nrun('test', body)",
    "group": """
async def bug(): 1 / 0
async def fail(): raise StorageError("db.unreachable", "refused")
async def body(config, stop):
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        group.create_task(bug())
run_async('test', body)
""",
}


@pytest.mark.parametrize("kind", BUGS)
def test_a_bug_is_logged_with_its_trace_and_ends_with_one(tmp_path, kind):
    status, _, err = result(IMPORTS + BUGS[kind], tmp_path)
    assert status == 1
    assert "ZeroDivisionError" in err
    assert "ZeroDivisionError" in (tmp_path / "test.log").read_text()


LEFT = """
import asyncio, threading, time
import COBY.runtime.main as runtime
from COBY.utils.exceptions import StorageError
runtime.LEAVE_SECONDS = 0.5
def hang(): time.sleep(60)
"""
LEAVING = {
    "thread": "def body(config, stop): threading.Thread(target=hang, name='stuck').start()\n"
    "runtime.run('test', body)",
    "to_thread": "async def body(config, stop):\n"
    "    threading.current_thread().name = 'stuck'\n"
    "    asyncio.get_running_loop().run_in_executor(None, hang)\n"
    "runtime.run_async('test', body)",
    "task": "async def stay():\n"
    "    threading.current_thread().name = 'stuck'\n"
    "    while True:\n"
    "        try: await asyncio.sleep(60)\n"
    "        except asyncio.CancelledError: pass\n"
    "async def body(config, stop):\n"
    "    stay.task = asyncio.create_task(stay())\n"
    "    await asyncio.sleep(0)\n"
    "runtime.run_async('test', body)",
}


@pytest.mark.parametrize("kind", LEAVING)
def test_what_is_left_when_the_body_is_over_is_not_waited_for(tmp_path, kind):
    began = time.monotonic()
    status, _, _ = result(LEFT + LEAVING[kind], tmp_path)
    assert status == 0
    assert time.monotonic() - began < 30
    (line,) = [json.loads(line) for line in (tmp_path / "test.log").read_text().splitlines()]
    assert (line["event"], "stuck" in line["threads"]) == ("left_behind", True)


def test_an_error_is_told_also_when_threads_are_left(tmp_path):
    code = "async def body(config, stop):\n    asyncio.get_running_loop().run_in_executor(None, hang)\n"
    code += "    raise StorageError('db.unreachable', 'refused')\nruntime.run_async('test', body)"
    status, _, err = result(LEFT + code, tmp_path)
    assert (status, err.splitlines()[0]) == (2, "error db.unreachable: refused")


def test_a_library_that_hangs_in_the_interpreters_own_end_is_not_waited_for(tmp_path):
    code = "class Client:\n    def __del__(self): time.sleep(60)\n"
    code += (
        "runtime.BACKSTOP_SECONDS = 0.5\nclient = Client()\nruntime.run('test', lambda config, stop: None)"
    )
    began = time.monotonic()
    status, _, err = result(LEFT + code, tmp_path)
    assert (status, "__del__" in err) == (1, True)
    assert time.monotonic() - began < 30
