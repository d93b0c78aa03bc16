"""Style as a test: sizes, names, purity, help, and nothing of this machine in what is committed."""

import ast
import configparser
import contextlib
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from COBY.runtime.cli import main as coby
from deploy import docs

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]
# The ten, as their own names and as EXCHANGES has them.
EXCHANGE = re.compile(
    r"binance|coinbase|kraken|bybit|okx|okex|huobi|htx|kucoin|gateio|gate\.io|bitfinex|mexc", re.IGNORECASE
)
NAMES_ALLOWED = (
    "COBY/exchanges/",
    "simulator/",
    "tests/",
    "dashboard/tests/",
    "docs/",
    "deploy/monitoring/prometheus/",
)
NAMES_ALLOWED_IN = {".env.example", "docker-compose.kafka.yml"}
DEFAULT = re.compile(r'\s+"[a-z]+(?:,[a-z]+)+",$')
# Package registries, mirrors and archives; XML namespaces are names, not addresses.
REGISTRY = re.compile(
    r"(?i)(?:https?|ftp)://(?!maven\.apache\.org/(?:POM|xsd)/)[^\s\"'<>]*"
    r"(?:pypi|pythonhosted|npmjs|maven|artifactory|nexus|registry\.|mirror|(?:deb|debian|ubuntu)\.|repo\d?\.|proxy)"
)
INDEX = re.compile(r"^\s*--?(?:i|index-url|extra-index-url|find-links|trusted-host)\b", re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.$~:/}-])/(?:work|root|home/\w+|Users/\w+)(?:/|\b)")
LONGEST_FILE, LONGEST_TEST_FILE, LONGEST_FUNCTION = 300, 420, 60  # a test file mirrors its module
LONGEST_EXCHANGE_FILE = 450  # an exchange is one file, both halves and its message types
# What of COBY/*.py is not pure: reading the environment is its purpose.
SETTINGS = {"COBY", "COBY.config", "COBY.environment", "COBY.settings"}
IMPURE_CALLS = {"open", "print", "input", "breakpoint", "__import__", "exec", "eval"}
UNSTABLE_CALLS = {"hash", "id"}  # differ from process to process
CLOCKS = {"now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp"}


def committed() -> dict[str, str]:
    """Path -> text of every text file that is or would be committed."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    paths = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert "pyproject.toml" in paths
    texts = {}
    for name in paths:
        with contextlib.suppress(UnicodeDecodeError):  # not text
            texts[name] = (ROOT / name).read_text(encoding="utf-8")
    return texts


FILES = committed()
# What protoc writes is no style of ours.
PYTHON = {name: text for name, text in FILES.items() if name.endswith(".py") and not name.endswith("_pb2.py")}
TYPESCRIPT = {name: text for name, text in FILES.items() if name.endswith((".ts", ".css", ".mjs"))}
del TYPESCRIPT["dashboard/src/data/records.ts"]  # generated


def functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function and method, without its decorators."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


# --- sizes ----------------------------------------------------------------------------------------------------


def test_no_file_is_too_long():
    lines = {name: len(text.splitlines()) for name, text in (PYTHON | TYPESCRIPT).items()}
    longer = {
        "tests/": LONGEST_TEST_FILE,
        "dashboard/tests/": LONGEST_TEST_FILE,
        "COBY/exchanges/": LONGEST_EXCHANGE_FILE,
    }
    limits = {
        name: next((limit for folder, limit in longer.items() if name.startswith(folder)), LONGEST_FILE)
        for name in lines
    }
    assert {name: count for name, count in lines.items() if count >= limits[name]} == {}


def test_no_function_is_too_long():
    long = [
        (name, function, count)
        for name, text in PYTHON.items()
        for function, count in functions(text)
        if count >= LONGEST_FUNCTION
    ]
    assert long == []


# --- names ----------------------------------------------------------------------------------------------------


LOCKS_AND_PROSE = (".md", ".lock", "-lock.json")


def may_name_exchanges(name: str) -> bool:
    return name.startswith(NAMES_ALLOWED) or name in NAMES_ALLOWED_IN or name.endswith(LOCKS_AND_PROSE)


def named_exchanges(name: str, text: str) -> list[str]:
    """`file:line: text` of each line that names an exchange where none may be named."""
    if may_name_exchanges(name):
        return []
    default = name == "COBY/settings.py"
    return [
        f"{name}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if EXCHANGE.search(line) and not (default and DEFAULT.fullmatch(line))
    ]


def test_exchanges_are_named_only_where_they_may_be():
    assert [line for name, text in FILES.items() for line in named_exchanges(name, text)] == []


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("COBY/book.py", "# as Binance does\n", 1),
        ("COBY/settings.py", '        "EXCHANGES",\n        "binance,okx",\n', 0),
        ("COBY/settings.py", 'NAME = "binance"\n', 1),
        ("streams/__main__.py", "      EXCHANGES=okx python -m streams\n", 1),
        ("simulator/exchanges/binance.py", "binance\n", 0),
    ],
)
def test_an_exchange_named_elsewhere_is_found(name: str, text: str, found: int):
    assert len(named_exchanges(name, text)) == found


@pytest.mark.parametrize("package", [*PACKAGES, "deploy", "tests"])
def test_our_packages_are_imported_from_this_repository(package: str):
    """Their names are common; another distribution's would be imported without a word."""
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / package / "__init__.py"


# --- nothing of this machine ----------------------------------------------------------------------------------


def test_no_file_names_a_registry_or_a_mirror():
    found = {
        (name, match[0])
        for name, text in FILES.items()
        if name != "tests/unit/test_tidy.py"
        for match in REGISTRY.finditer(text)
    }
    assert found == set()
    assert [name for name in FILES if name.endswith(".lock") and INDEX.search(FILES[name])] == []


def test_no_file_names_a_path_of_this_machine():
    found = {
        f"{name}:{number}: {line.strip()}"
        for name, text in FILES.items()
        if name != "tests/unit/test_tidy.py"
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    }
    assert found == set()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (REGISTRY, "https://pypi.example.org/simple"),
        (REGISTRY, "http://repo1.example.org/maven2"),
        (REGISTRY, "http://deb.example.org/debian"),
        (INDEX, "--index-url x"),
        (INDEX, "-i x"),
        (MACHINE_PATH, "see /work/shared"),
        (MACHINE_PATH, '"/home/someone/x"'),
        (MACHINE_PATH, "(/root/.cache)"),
    ],
)
def test_what_must_not_be_committed_is_found(pattern: re.Pattern[str], text: str):
    assert pattern.search(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (REGISTRY, "http://maven.apache.org/POM/4.0.0"),
        (REGISTRY, "http://127.0.0.1:9100/health"),
        (MACHINE_PATH, "https://host/work/x"),
        (MACHINE_PATH, "tests/root/x"),
        (MACHINE_PATH, "~/work"),
    ],
)
def test_what_may_be_committed_is_not_found(pattern: re.Pattern[str], text: str):
    assert not pattern.search(text)


# --- purity: what imports can't show ----------------------------------------------------------------------------


def pure_modules() -> list[str]:
    """The modules of the contract `pure` in .importlinter."""
    contracts = configparser.ConfigParser()
    contracts.read_string(FILES[".importlinter"])
    return contracts["importlinter:contract:pure"]["source_modules"].split()


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def impure_calls(text: str) -> list[str]:
    """Calls that read a clock, do I/O, or give another answer in another process."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS | UNSTABLE_CALLS:
            found.append(node.func.id)
        elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value).split(".")[-1] in (
            "datetime",
            "date",
        ):
            found += [node.func.attr] * (node.func.attr in CLOCKS)
    return found


def test_every_file_at_the_top_of_coby_is_pure_or_reads_settings():
    top = {module_name(name) for name in PYTHON if re.fullmatch(r"COBY/\w+\.py", name)}
    assert top - set(pure_modules()) == SETTINGS


def test_pure_files_call_no_clock_and_do_no_io():
    pure = tuple(pure_modules())
    checked = {name: text for name, text in PYTHON.items() if module_name(name).startswith(pure)}
    assert len(checked) > len(pure)  # packages among them
    assert {name: calls for name, text in checked.items() if (calls := impure_calls(text))} == {}


@pytest.mark.parametrize(
    "text",
    ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "open('x')", "print(1)", "hash('x')"],
)
def test_an_impure_call_is_found(text: str):
    assert len(impure_calls(text)) == 1


# --- help -----------------------------------------------------------------------------------------------------


def shows_an_example(text: str) -> bool:
    """An example on lines of its own; a raw docstring's literal \\b would have run it into the paragraph."""
    return "\\b" not in text and re.search(r"^ +Examples?:\n +\S", text, re.MULTILINE) is not None


def leaves(command: click.Command, name: str) -> Iterator[list[str]]:
    """The arguments that lead to a command and to each one below it."""
    yield name.split()
    if isinstance(command, click.Group):
        for below in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), below)
            assert found is not None
            yield from leaves(found, f"{name} {below}")


@pytest.mark.parametrize("path", list(leaves(coby, "")), ids=lambda path: " ".join(["coby", *path]))
def test_every_command_of_coby_has_help_with_an_example(path: list[str]):
    result = CliRunner().invoke(coby, [*path, "--help"], prog_name="coby", terminal_width=100)
    assert result.exit_code == 0
    assert "Usage: coby" in result.output
    assert shows_an_example(result.output), result.output


@pytest.mark.parametrize("program", sorted(docs.programs()))
def test_every_program_has_help_with_an_example(program: str):
    done = subprocess.run(
        [sys.executable, *program.split()[1:], "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert shows_an_example(done.stdout), done.stdout


def test_the_installed_command_answers():
    done = subprocess.run(
        [Path(sys.executable).with_name("coby"), "--help"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "(broken)" not in done.stdout
