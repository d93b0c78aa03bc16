"""`python -m simulator`: its options, its one line of error, what it prints and logs."""

import asyncio
import json
import socket as sockets
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from simulator.errors import SimulatorError
from simulator.options import Options


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--rate", "0"], "simulator.option_invalid"),
        (["--rate", "20001"], "simulator.option_invalid"),
        (["--rate", "1", "--exchange", "binance", "--exchange", "kraken"], "simulator.option_invalid"),
        (["--symbols", "BTC/USDT"], "simulator.option_invalid"),
        (["--symbols", "BTCUSDT,BTCUSDT"], "simulator.option_invalid"),
        (["--speed", "2"], "simulator.option_invalid"),
        (["--log", "nosuch/sim.jsonl"], "simulator.log_unwritable"),
        (["--recording", "nosuch.jsonl"], "simulator.recording_missing"),
        (["--recording", "nosuch.jsonl", "--seed", "3"], "simulator.option_invalid"),
    ],
)
def test_a_wrong_option_stops_it_with_one_line(arguments: list[str], code: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error {code}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("rate", "shares"), [(20_000, [6_666, 6_667, 6_667]), (500, [166, 167, 167]), (3, [1, 1, 1])]
)
def test_the_rate_is_that_of_all_exchanges_together(rate: int, shares: list[int]) -> None:
    options = Options(exchanges=("first", "second", "third"), rate=rate)
    assert sorted(options.rates().values()) == shares
    assert list(options.rates()) == ["first", "second", "third"]


def test_only_limits_there_are_can_be_set() -> None:
    with pytest.raises(SimulatorError) as refused:
        Options(limits={"patience": 1}).check(frozenset({"binance"}))
    assert refused.value.code == "simulator.option_invalid"
    assert "connects_max" in refused.value.allowed


def test_an_occupied_port_stops_it_with_one_line() -> None:
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert done.stderr.startswith("error simulator.port_occupied: ")
    assert done.stderr.count("\n") == 1


async def test_as_a_program_it_tells_its_addresses_and_logs_its_totals(tmp_path: Path) -> None:
    log = tmp_path / "sim.jsonl"
    arguments = ["-m", "simulator", "--port", "0", "--rate", "100", "--seconds", "1", "--log", str(log)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        assert ready["ws_url"] == f"ws://127.0.0.1:{ready['port']}/binance"
        async with (
            connect(ready["ws_url"] + "/ws/btcusdt@trade", max_queue=None) as socket,
            aiohttp.ClientSession() as http,
        ):
            await asyncio.wait_for(socket.recv(), 60)
            root = f"http://127.0.0.1:{ready['port']}"
            async with http.get(f"{root}/health/live") as answer:
                assert answer.status == 200
            state = ""
            while state != "ended":
                await asyncio.sleep(0.1)
                async with http.get(f"{root}/_sim/ledger") as answer:
                    state = (await answer.json())["exchanges"]["binance"]["state"]
            async with http.get(f"{root}/metrics") as answer:
                metrics = await answer.text()
        assert 'simulator_frames_total{channel="trade",exchange="binance",symbol="BTCUSDT"} 40.0' in metrics
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["final"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["exchanges"]["binance"]["symbols"]["BTCUSDT"]["frames"] == {"trade": 40}
    assert lines[-1]["exchanges"]["binance"]["state"] == "ended"


def test_the_simulator_imports_nothing_of_the_pipeline() -> None:
    """Written apart from COBY, so that a shared misunderstanding can show."""
    code = (
        "import sys, simulator.__main__; print([one for one in sys.modules if one.split('.')[0] == 'COBY'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
