"""EXCHANGES_PATH: exchanges of one's own are found by name, and a file that can't be used stops the program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from COBY.config import load_config
from COBY.exchanges import BUILT_IN, load, names
from COBY.slots import slots_of
from COBY.utils.exceptions import ConfigurationError
from tests.own_exchanges import example, forgetting

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _forgotten():
    with forgetting():
        yield


def folder(place: Path, **files: str) -> str:
    place.mkdir(exist_ok=True)
    for name, text in files.items():
        (place / f"{name}.py").write_text(text)
    return str(place)


def loaded(path: str, chosen: str = "binance", **more: str):
    return load_config({"EXCHANGES_PATH": path, "EXCHANGES": chosen, **more})


def problems_of(path: str, chosen: str = "binance") -> list[ConfigurationError]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(path, chosen)
    return list(caught.value.problems) or [caught.value]


def test_without_the_setting_there_are_the_built_in_ones():
    assert load_config({}).exchanges_path is None
    assert (
        names()
        == BUILT_IN
        == tuple(sorted(path.stem for path in (ROOT / "COBY/exchanges").glob("[a-z]*.py"))[1:])
    )


def test_an_exchange_of_ones_own_is_known_by_its_name(tmp_path):
    config = loaded(folder(tmp_path, mine=example("mine")), "mine,binance", MINE_SYMBOL_ETHUSDT="ETHER")
    assert config.exchanges == ("mine", "binance")
    assert names() == tuple(sorted((*BUILT_IN, "mine")))
    assert load("mine").name == "mine"
    (slot,) = slots_of(config, "mine")
    assert (slot.name, slot.symbols) == ("mine-0", {"BTC~USDT": "BTCUSDT", "ETHER": "ETHUSDT"})
    assert load("binance").name == "binance"


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path):
    (problem,) = problems_of(folder(tmp_path, mine=example("mine")), "mine,yours")
    assert (problem.code, problem.where) == ("config.unknown_exchange", "EXCHANGES")
    assert problem.allowed == ", ".join(sorted((*BUILT_IN, "mine")))
    with pytest.raises(KeyError):
        load("yours")


@pytest.mark.parametrize("name", ["absent", "file"])
def test_a_path_that_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    (problem,) = problems_of(str(tmp_path / name))
    assert (problem.code, problem.where) == ("config.invalid", "EXCHANGES_PATH")
    assert str(tmp_path / name) in str(problem)


FILE, TAKEN = "config.exchange_file", "config.exchange_taken"
BROKEN = {
    "nothing in it": ("mine", "", FILE, "offers no EXCHANGE"),
    "no Python": ("mine", "def (", FILE, "SyntaxError"),
    "an import that fails": ("mine", "import no_such_module", FILE, "no_such_module"),
    "a bug": ("mine", "\n\nNAME = name", FILE, "'name' is not defined, line 3"),
    "lines in its error": ("mine", "raise ValueError('a\\nb')", FILE, "ValueError: a b, line 1"),
    "no exchange": ("mine", "EXCHANGE = 1", FILE, "no name, endpoints, symbols_per_slot"),
    "half an exchange": ("mine", example("mine").replace("silence_", "quiet_"), FILE, "silence_seconds"),
    "another name": ("mine", example("yours"), FILE, "'yours'"),
    "a name for no topic": ("my_own", example("my_own"), FILE, "lower case letters"),
    "capitals": ("Mine", example("Mine"), FILE, "lower case letters"),
    "too long a name": ("m" * 21, example("m" * 21), FILE, "1 to 20"),
    "a built-in one's name": ("binance", example("binance"), TAKEN, "'binance'"),
    "the contract's name": ("base", example("base"), TAKEN, "'base'"),
    "a function's name": ("load", example("load"), TAKEN, "'load'"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_file_that_is_no_exchange_is_named_with_the_reason(tmp_path, what):
    name, text, code, words = BROKEN[what]
    path = folder(tmp_path, **{name: text})
    for _ in range(2):  # as clearly the second time
        (problem,) = problems_of(path, name if code == FILE else "binance")
        assert (problem.code, problem.where) == (code, str(tmp_path / f"{name}.py"))
        assert words in str(problem)
        assert "\n" not in str(problem)
    assert names() == BUILT_IN
    assert load("binance").name == "binance"


def test_every_broken_file_has_a_line_of_its_own(tmp_path):
    problems = problems_of(folder(tmp_path, one="", two="1 +", mine=example("mine")))
    assert [Path(str(problem.where)).name for problem in problems] == ["one.py", "two.py"]


def test_files_that_begin_with_an_underscore_are_passed_over_and_can_be_shared(tmp_path):
    mine = "from COBY.exchanges._shared import WORD\nassert WORD == 'shared'\n"
    future = "from __future__ import annotations\n"
    text = example("mine").replace(future, future + mine)
    loaded(folder(tmp_path, mine=text, _shared="WORD = 'shared'"), "mine")
    assert names() == tuple(sorted((*BUILT_IN, "mine")))


def test_folders_and_other_files_beside_it_are_passed_over(tmp_path):
    path = folder(tmp_path, mine=example("mine"))
    for name in ("mine", "tests"):
        folder(tmp_path / name, server="raise AssertionError('imported')")
    (tmp_path / "notes.txt").write_text("EXCHANGE")
    (tmp_path / ".#mine.py").write_text("an editor's")
    loaded(path, "mine")
    assert names() == tuple(sorted((*BUILT_IN, "mine")))


def test_configurations_with_folders_of_their_own_live_in_one_process(tmp_path):
    first = loaded(folder(tmp_path / "a", mine=example("mine")), "mine")
    second = loaded(folder(tmp_path / "b", yours=example("yours")), "yours")
    assert [slots_of(first, "mine")[0].name, slots_of(second, "yours")[0].name] == ["mine-0", "yours-0"]
    (problem,) = problems_of(str(tmp_path / "b"), "mine")  # each knows its own folder
    assert problem.code == "config.unknown_exchange"
    with pytest.raises(ConfigurationError):
        load_config({"EXCHANGES": "mine"})


def test_the_same_folder_can_be_named_again_by_any_of_its_paths(tmp_path, monkeypatch):
    path = folder(tmp_path / "a", mine=example("mine"))
    loaded(path, "mine")
    first = load("mine")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(path)
    for other in ("a", "./a/../a/", "link"):
        loaded(other, "mine")
    assert load("mine") is first


def test_a_name_means_one_file_in_a_process(tmp_path):
    loaded(folder(tmp_path / "a", mine=example("mine")), "mine")
    first = load("mine")
    (problem,) = problems_of(folder(tmp_path / "b", mine=example("mine")), "mine")
    assert (problem.code, problem.where) == ("config.exchange_taken", str(tmp_path / "b/mine.py"))
    assert str(tmp_path / "a/mine.py") in problem.message
    assert load("mine") is first


def run_python(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.defpath, "LOG_FILE": "-", **environ}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True)


@pytest.mark.parametrize(
    "program",
    [["producers", "--exchange", "mine"], ["producers.clock"], ["streams"], ["sinks.redis"]],
    ids=" ".join,
)
def test_every_program_stops_at_its_start_with_one_line(tmp_path, program):
    path = folder(tmp_path, mine="import no_such_module")
    done = run_python("-m", *program, EXCHANGES_PATH=path, EXCHANGES="mine")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error config.exchange_file: ")
    assert str(tmp_path / "mine.py") in line
    assert "no_such_module" in line


def test_the_lazy_config_finds_them_at_its_first_use(tmp_path):
    path = folder(tmp_path, mine=example("mine"))
    code = (
        "from COBY.config import config; from COBY.exchanges import load, names\n"
        "print('mine' in names()); print(config.exchanges, load('mine').name)"
    )
    done = run_python("-c", code, EXCHANGES_PATH=path, EXCHANGES="mine")
    assert (done.stdout, done.stderr) == ("False\n('mine',) mine\n", "")
