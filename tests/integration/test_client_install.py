"""The client's extra in a fresh environment: the built wheel with what it asks for, and nothing of the servers' side.

The libraries come from the package registry that pip is set up for, or from pip's cache: some 25 s.
"""

import json
import re
import subprocess
import sys
import venv
from decimal import Decimal
from pathlib import Path

import fastavro
import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVERS_SIDE = (
    "aiokafka",
    "faust",
    "fastapi",
    "mode",
    "psycopg",
    "psycopg_pool",
    "redis",
    "uvicorn",
    "uvloop",
)
# Of all that COBY is, these alone speak to a database, to Redis or to Prometheus, or hold up a program that does.
NOT_THE_CLIENTS = {
    f"COBY.runtime.{name}"
    for name in (
        "database",
        "doctor",
        "growth",
        "health",
        "lag_exporter",
        "main",
        "memory",
        "metrics",
        "redis",
    )
}

LOOK = """
import importlib, importlib.util, json, pkgutil, sys
import COBY
from COBY.codec import decode
missing = {}
for module in pkgutil.walk_packages(COBY.__path__, "COBY."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        missing[module.name] = error.name
candle = decode(bytes.fromhex(sys.argv[1]))
print(json.dumps({
    "from": COBY.__path__[0],
    "missing": missing,
    "there": [name for name in sys.argv[2:] if importlib.util.find_spec(name)],
    "candle": [candle.symbol, candle.timestamp, candle.close, candle.complete],
}))
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The python of a new environment that holds the wheel with its extra `client`, at the locked versions."""
    folder = tmp_path_factory.mktemp("client")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT])
    (wheel,) = folder.glob("coby-*.whl")
    locked = re.findall(r"^[\w.-]+==[^ ]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    (folder / "constraints.txt").write_text("\n".join(locked))
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv/bin/python"
    install = ["install", "--only-binary", ":all:", "--constraint", folder / "constraints.txt"]
    run([*pip, "--python", python, *install, f"{wheel}[client]"])
    return python


def run(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=280, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def coby(fresh, *arguments, **options):
    command = [fresh.parent / "coby", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=fresh.parent, **options)


def test_the_client_part_imports_and_decodes_without_the_servers_libraries(fresh):
    schema = fastavro.schema.load_schema(ROOT / "schemas/ohlcv.avsc")
    prices = {name: Decimal("61837.63") for name in ("open", "high", "low", "close")}
    row = {
        "symbol": "BTCUSDT",
        "timestamp": 1_700_000_000_000_000,
        "timeframe": "1m",
        **prices,
        "volume": Decimal(2),
    }
    row |= {"trade_count": 3, "revision": 1, "complete": True, "received_at": 1_700_000_060_000_000}
    record = b"\0\0\0\0\x07" + written(schema, row)
    found = json.loads(run([fresh, "-IWerror", "-c", LOOK, record.hex(), *SERVERS_SIDE], cwd=fresh.parent))
    assert found["from"].startswith(str(fresh.parents[1]))  # the wheel's, not this folder's
    assert found["there"] == []
    assert set(found["missing"]) == NOT_THE_CLIENTS
    assert set(found["missing"].values()) <= {*SERVERS_SIDE, "prometheus_client", "psutil"}
    assert found["candle"] == ["BTCUSDT", 1_700_000_000_000_000, 6_183_763_000_000, True]


def written(schema, row):
    from io import BytesIO

    body = BytesIO()
    fastavro.schemaless_writer(body, schema, row)
    return body.getvalue()


def test_commands_of_the_client_work_and_the_others_name_their_extra(fresh):
    frame = '{"received_at_ns": 1700000000000000000, "frame": "{\\"result\\":null,\\"id\\":1}"}\n'
    decoded = coby(fresh, "decode", "--exchange", "binance", "-", input=frame)
    assert (decoded.returncode, decoded.stderr) == (0, "")
    for command, library in (
        ("db", "psycopg"),
        ("doctor", "psycopg"),
        ("check-exchange", "prometheus_client"),
    ):
        done = coby(fresh, command, *(["binance"] if command == "check-exchange" else []))
        line = f"error runtime.library_missing: the command {command} needs {library}: pip install 'coby[server]'\n"
        assert (done.returncode, done.stderr) == (2, line)
    assert "(not installed) the command db needs" in " ".join(coby(fresh, "--help").stdout.split())
