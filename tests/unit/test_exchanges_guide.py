"""COBY/exchanges/README.md: its example is an exchange, its tables say what the code says, its programs run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.config import load_config
from COBY.exchanges import BUILT_IN, load
from COBY.exchanges.base import Acknowledged, Delta, Lost, Refused, Rejected, Send, Snapshot, Trade
from tests.own_exchanges import GUIDE, example, forgetting

ROOT = Path(__file__).resolve().parents[2]
TEXT = GUIDE.read_text()
CONVERSATION = ROOT / "tests/eleventh/conversation.jsonl"
SYMBOLS = {"BTC~USDT": "BTCUSDT", "ETH~USDT": "ETHUSDT"}
T_US = 1_717_243_200_000_000


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """The guide's own, as a program would load it."""
    place = tmp_path_factory.mktemp("own")
    (place / "example.py").write_text(example())
    with forgetting():
        load_config({"EXCHANGES_PATH": str(place), "EXCHANGES": "example"})
        yield load("example")


def received() -> list[bytes]:
    rows = [json.loads(line) for line in CONVERSATION.read_text().splitlines()]
    return [row["frame"].encode() for row in rows if row["dir"] == "in"]


def events(decoder, *frames):
    return [event for frame in frames for event in decoder.decode(frame, "ws", None, None)]


def test_the_example_decodes_its_conversation_as_worked_out_by_hand(exchange):
    found = events(exchange.decoder(SYMBOLS), *received())
    first = Snapshot(
        "BTCUSDT",
        [("50000.5", "2"), ("49995", "1.5"), ("49990", "0.5")],
        [("50001", "1"), ("50009.9", "3"), ("50010", "4")],
        100,
        T_US,
    )
    assert found[0] == first
    assert found[2] == Delta("BTCUSDT", [("49995", "0")], [("50001", "2.5")], None, 102, T_US + 40_000)
    assert found[3] == Trade("BTCUSDT", "50001", "0.5", "buy", "b1", T_US + 90_000)
    assert found[4] == Lost("BTCUSDT", "sequence_gap", "expected 102, got 109")
    kinds = [type(event) for event in found]
    assert kinds == [Snapshot, Snapshot, Delta, Trade, Lost, Snapshot, Delta, Rejected, Trade, Trade, Trade]


def test_saving_and_loading_the_examples_state_between_any_frames_changes_nothing(exchange):
    frames = received()
    whole = events(exchange.decoder(SYMBOLS), *frames)
    for cut in range(len(frames) + 1):
        one, two = exchange.decoder(SYMBOLS), exchange.decoder(SYMBOLS)
        before = events(one, *frames[:cut])
        two.load(json.loads(json.dumps(one.save())))
        assert before + events(two, *frames[cut:]) == whole


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("X|1", "frame.shape"),
        ("", "frame.shape"),
        ("S|BTC~USDT|1|2|", "frame.shape"),
        ("S|XRP~USDT|1|2||", "frame.unknown_symbol"),
        ("T|XRP~USDT|1|2|hit|1|1", "frame.unknown_symbol"),
        ("T|BTC~USDT|1|2|sold|1|1", "frame.shape"),
        ("T|BTC~USDT|1|2|hit|0|1", "frame.number"),
        ("T|BTC~USDT|1|2|hit|1|0", "frame.number"),
        ("S|BTC~USDT|1|2|1|", "frame.number"),
        ("S|BTC~USDT|-1|2||", "frame.number"),
        ("S|BTC~USDT|1234567890123456789|2||", "frame.number"),
        ("S|BTC~USDT|1|٣||", "frame.number"),
    ],
)
def test_what_the_example_cannot_use_is_rejected(exchange, frame, code):
    (event,) = events(exchange.decoder(SYMBOLS), frame.encode())
    assert event.code == code


@given(
    st.lists(st.binary(max_size=40) | st.from_regex(rb"[SDT]\|BTC~USDT(\|[ -~]{0,6}){4,5}", fullmatch=True))
)
def test_the_example_never_raises(exchange, frames):
    decoder = exchange.decoder(SYMBOLS)
    for frame in frames:
        decoder.decode(frame, "ws", None, None)


def test_the_examples_session_asks_and_understands_the_answers(exchange):
    session = exchange.session(SYMBOLS, exchange.endpoints)
    assert session.connect().url == "wss://feed.example.com/feed"
    assert session.opened(0.0) == [Send("WATCH|BTC~USDT|ETH~USDT")]
    assert session.received(b"OK|BTC~USDT", 0.1) == [Acknowledged(("BTCUSDT",), ("book", "trade"))]
    assert session.received(b"NO|ETH~USDT|gone", 0.1) == [Refused("ETHUSDT", "gone", not_listed=True)]
    assert [session.received(frame, 0.1) for frame in (b"OK|XRP~USDT", b"S|BTC~USDT|", b"\xff", b".")] == [
        []
    ] * 4
    assert session.resync("BTCUSDT", "checksum", 1.0) == [Send("AGAIN|BTC~USDT")]
    assert session.resync("XRPUSDT", "checksum", 1.0) == []


def test_the_guides_program_decodes_a_recording(tmp_path):
    place = tmp_path / "exchanges"
    (place / "example").mkdir(parents=True)
    (place / "example.py").write_text(example())
    (place / "example/conversation.jsonl").write_text(CONVERSATION.read_text())
    (program,) = re.findall(r" {3}```python\n(.*?) {3}```", TEXT, re.DOTALL)
    program = re.sub("^ {3}", "", program, flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={}, capture_output=True, text=True
    )
    assert done.stderr == ""
    kinds = re.findall(r"^\{'type': '(\w+)'", done.stdout, re.MULTILINE)
    assert kinds.count("gap") == 1
    assert kinds.count("trade") == 3  # b2 came twice
    assert kinds.count("rejected") == 1


# --- its tables ---------------------------------------------------------------------------------------------------


def rows() -> dict[str, list[str]]:
    section = TEXT.split("## The exchanges there are")[1].split("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "`" in line
    ]
    return {name.strip("`"): rest for name, *rest in cells}


def test_the_guide_lists_every_built_in_exchange():
    assert tuple(rows()) == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_guides_row_of_an_exchange_says_what_its_file_says(name):
    one, source = load(name), (ROOT / f"COBY/exchanges/{name}.py").read_text()
    snapshot, rule, checksum, symbols, silence = rows()[name]
    used = set(
        re.findall(
            r"\b(?:Rest|Socket|Joined)Chain\b", "\n".join(re.findall(r"^from .*$", source, re.MULTILINE))
        )
    )
    used -= {"RestChain"} if "JoinedChain" in used else set()  # which is one
    used |= {"SocketChain"} if "import DeepestDecoder\n" in source else set()  # which has one
    assert set(re.findall(r"`(\w+Chain)`", rule)) == used
    assert ("REST" in snapshot) == ("Fetch(" in source)
    assert ("limited" in snapshot, "window" in snapshot) == ("RestChain" in used, "depth=" in source)
    assert checksum.startswith("none" if one.checksum is None else f"{one.checksum.levels} levels")
    assert int(symbols.split(",")[0]) == one.symbols_per_slot  # more sockets than one are named
    assert float(silence.removesuffix(" s")) == one.silence_seconds


def test_the_guides_codes_are_those_of_the_folder():
    source = (ROOT / "COBY/exchanges/__init__.py").read_text()
    assert set(re.findall(r"^\| `(config\.\w+)` \|", TEXT, re.MULTILINE)) == set(
        re.findall(r'"(config\.\w+)"', source)
    )


def test_the_guides_paths_are_there():
    found = re.findall(r"`((?:COBY|tests|simulator)/[\w./]*)`", TEXT)
    assert found
    assert [path for path in found if not (ROOT / path).exists()] == []
