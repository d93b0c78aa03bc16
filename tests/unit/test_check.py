"""`coby check-exchange` and `coby symbols` against the simulator, over real sockets."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from COBY.exchanges import load
from COBY.exchanges.base import Endpoints, Slot
from COBY.runtime.cli import main as coby
from producers.check import examine
from producers.rules import FAILED, NOT_APPLICABLE, OK
from producers.watch import Watch
from simulator.exchanges import EXCHANGES
from simulator.mishaps import Mishap
from simulator.server import Server
from tests.simulator_client import serving

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SECONDS = 60.0  # at most: a check ends as soon as it has seen what it is about
NAMES = sorted(EXCHANGES)


def slot(name: str, symbols: tuple[str, ...] = SYMBOLS) -> Slot:
    exchange = load(name)
    return Slot(f"{name}-0", name, {exchange.exchange_symbol(symbol): symbol for symbol in symbols})


def where(server: Server, name: str) -> Endpoints:
    return Endpoints(**server.address()["exchanges"][name])


def all_seen(watch: Watch) -> bool:
    """Both books live and changed, both traded."""
    seen = all(watch.updates[symbol] >= 10 and watch.trades[symbol] for symbol in SYMBOLS)
    return seen and watch.live() == SYMBOLS


async def states(
    name: str, *, symbols=SYMBOLS, act: Callable[[Server], object] | None = None, enough=all_seen
) -> dict:
    """The findings of a check by rule; ``act`` is done once both books and some updates have been sent."""
    async with serving(exchanges=(name,), rate=200) as (server, _):
        checking = asyncio.create_task(
            examine(load(name), slot(name, symbols), where(server, name), SECONDS, enough)
        )
        if act is not None:
            ledger = server.instances[name].hub.ledger
            async with asyncio.timeout(SECONDS):
                while ledger.of("BTCUSDT").frames["depth"] < 20:
                    await asyncio.sleep(0.01)
            done = act(server)
            if asyncio.iscoroutine(done):
                await done
        return {finding.rule: finding for finding in await checking}


@pytest.mark.parametrize("name", NAMES)
async def test_all_rules_hold_on_every_exchange_of_the_simulator(name):
    found = await states(name)
    failed = [finding.line() for finding in found.values() if finding.state == FAILED]
    assert failed == []
    others = {rule: finding.state for rule, finding in found.items() if rule != "checksum"}
    assert set(others.values()) == {OK}
    has_checksum = load(name).checksum is not None and name != "okx"  # where the field is 0
    assert found["checksum"].state == (OK if has_checksum else NOT_APPLICABLE)


async def test_a_lost_update_is_a_gap_that_the_check_ends_by_a_new_snapshot():
    found = await states(
        "binance",
        act=lambda server: server.instances["binance"].faults.deal(
            Mishap(0, "drop_frames", "BTCUSDT", "depth")
        ),
        enough=lambda watch: watch.gaps and all_seen(watch),
    )
    assert [rule for rule, finding in found.items() if finding.state == FAILED] == ["continuity"]
    figures = found["continuity"].figures
    assert figures.startswith("1 gaps (BTCUSDT sequence_gap: expected ")
    assert "blind" not in figures
    assert re.search(r"[1-9] snapshots asked for", figures)


async def test_a_connection_that_is_cut_off_is_named():
    found = await states(
        "okx",
        act=lambda server: server.instances["okx"].hub.close_all("fault", 1011, "broken"),
        enough=lambda _watch: False,
    )
    assert found["limits"].state == FAILED
    assert re.match(r"the connection ended after \d+\.\d s: received 1011 .*broken", found["limits"].figures)
    assert found["continuity"].state == FAILED
    assert found["acknowledgement"].state == OK


async def test_a_symbol_that_is_not_listed_is_named():
    found = await states(
        "okx", symbols=("BTCUSDT", "XRPUSDT"), enough=lambda watch: watch.updates["BTCUSDT"] >= 10
    )
    assert found["acknowledgement"].state == FAILED
    assert found["acknowledgement"].figures.startswith("XRPUSDT refused: 60018")
    assert found["snapshot"].figures.startswith("none of XRPUSDT; BTCUSDT 400 + 400")


async def test_nobody_there_is_the_first_line_and_the_rest_does_not_apply():
    unused = Endpoints("ws://127.0.0.1:1/x", "http://127.0.0.1:1/x")
    first, *others = await examine(load("binance"), slot("binance"), unused, SECONDS)
    assert (first.rule, first.state) == ("endpoint", FAILED)
    assert "ws://127.0.0.1:1/x" in first.figures
    assert {finding.state for finding in others} == {NOT_APPLICABLE}


# --- the commands --------------------------------------------------------------------------------------------------


@contextmanager
def simulator():
    """In a process of its own; its addresses by exchange."""
    command = [
        sys.executable,
        "-m",
        "simulator",
        "--exchange",
        "okx",
        "--exchange",
        "kraken",
        "--rate",
        "200",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["exchanges"]
        finally:
            process.terminate()


def run(*arguments: str, **environ: str):
    return CliRunner(env={"LOG_FILE": "-", **environ}).invoke(coby, arguments)


def test_the_commands_print_what_a_report_needs_and_exit_by_it():
    with simulator() as urls:
        okx, kraken = urls["okx"], urls["kraken"]
        options = ["--ws-url", okx["ws_url"], "--rest-url", okx["rest_url"], "--seconds", "8"]
        well = run("check-exchange", "okx", "--symbol", "ETHUSDT", *options)
        assert well.exit_code == 0, well.output
        lines = well.output.splitlines()
        assert re.match(r"coby \d\S* check-exchange okx, 20\d\d-\d\d-\d\dT\S+Z, 8 s$", lines[0])
        assert lines[2] == f"WebSocket {okx['ws_url']}, REST {okx['rest_url']}"
        assert lines[3] == "symbols ETHUSDT as ETH-USDT"
        assert [line.split()[0] for line in lines[4:12]] == [
            *("endpoint", "acknowledgement", "snapshot", "continuity"),
            *("checksum", "trades", "clock", "limits"),
        ]
        assert lines[12:] == ["all rules hold"]

        wrong = run(
            "check-exchange",
            "okx",
            "--seconds",
            "1",
            OKX_WS_URL=okx["ws_url"] + "/x",
            OKX_REST_URL="http://x",
        )
        assert wrong.exit_code == 1
        assert wrong.output.splitlines()[-1] == "failed: endpoint"

        settings = {"OKX_REST_URL": okx["rest_url"], "KRAKEN_REST_URL": kraken["rest_url"]}
        listed = run("symbols", EXCHANGES="kraken,okx", **settings)
        assert [line.split() for line in listed.output.splitlines()] == [
            ["kraken", "BTCUSDT", "BTC/USDT"],
            ["kraken", "ETHUSDT", "ETH/USDT"],
            ["okx", "BTCUSDT", "BTC-USDT"],
            ["okx", "ETHUSDT", "ETH-USDT"],
        ]
        assert listed.exit_code == 0
        assert run("symbols", "okx", "--match", "eth-", **settings).output.split() == [
            "okx",
            "ETHUSDT",
            "ETH-USDT",
        ]

        settings["KRAKEN_REST_URL"] += "/nothing"
        half = run("symbols", EXCHANGES="kraken,okx", **settings)
        assert half.exit_code == 1
        assert "no list of symbols at result of the answer" in half.stderr
        assert half.stdout.count("okx") == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nosuch"], "config.unknown_exchange"),
        (["okx", *(f"--symbol=A{number}USDT" for number in range(21))], "config.invalid"),
        (["okx", "--symbol", "BTCXYZ"], "config.unknown_quote"),
        (["okx", "--ws-url", "nonsense"], "config.invalid"),
    ],
)
def test_what_cannot_be_checked_is_an_error_with_a_code(arguments, code):
    result = run("check-exchange", *arguments)
    assert result.exit_code == 2
    assert code in result.output
