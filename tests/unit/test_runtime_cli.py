"""`coby`: commands of its own, commands by entry points, and the doctor."""

import re
import socket
import sys
import tomllib
from importlib.metadata import EntryPoint, packages_distributions
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from COBY.runtime import cli
from COBY.runtime.doctor import Finding, examine
from COBY.runtime.extras import EXTRAS

PLUGIN = """
import click
from COBY.utils.exceptions import BrokerError

@click.command()
def greet():
    "Greet the world. Then more."
    click.echo("hello")

@click.command()
def fail():
    raise BrokerError("kafka.unreachable", "no broker", where="localhost:9092")

number = 7
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Entry points as an installed package would have them."""
    (tmp_path / "coby_test_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    targets = {
        "greet": "coby_test_plugin:greet",
        "fail": "coby_test_plugin:fail",
        "number": "coby_test_plugin:number",
        "absent": "coby_no_such_module:main",
    }
    points = [EntryPoint(name, target, cli.ENTRY_POINTS) for name, target in targets.items()]
    found = {cli.ENTRY_POINTS: points}
    monkeypatch.setattr(cli, "entry_points", lambda group: found[group])
    yield
    sys.modules.pop("coby_test_plugin", None)


def coby(*arguments: str, **environ: str) -> Result:
    return CliRunner(env=environ).invoke(cli.main, arguments)


@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"]])
def test_help_shows_an_example(arguments):
    result = coby(*arguments)
    assert result.exit_code == 0
    assert "Example" in result.output
    assert "coby doctor" in result.output


def test_commands_of_entry_points_are_listed_and_run(plugin):
    listing = coby("--help").output
    assert "Greet the world." in listing
    assert "doctor" in listing
    assert coby("greet").stdout == "hello\n"


def test_a_broken_command_harms_no_other(plugin):
    listing = coby("--help")
    assert listing.exit_code == 0
    assert "(broken) the command absent can't be loaded" in " ".join(listing.output.split())
    assert coby("greet").exit_code == 0


@pytest.mark.parametrize("name", ["absent", "number"])
def test_a_broken_command_is_one_clear_error(plugin, name):
    result = coby(name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error runtime.command_broken: the command {name} can't be loaded")
    assert len(result.stderr.splitlines()) == 1


def test_an_error_of_a_command_is_one_line_and_two(plugin):
    result = coby("fail")
    assert result.exit_code == 2
    assert result.stderr == "error kafka.unreachable: no broker (at localhost:9092)\n"


def test_an_unknown_command_is_refused():
    result = coby("dance")
    assert result.exit_code == 2
    assert "No such command 'dance'" in result.stderr


@pytest.fixture
def closed_port():
    """A port bound but not listening: connecting is refused, and nobody else can take it meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield str(holder.getsockname()[1])


def test_the_doctor_names_each_missing_server_and_what_to_do(closed_port):
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{closed_port}",
        "DB_HOST": "127.0.0.1",
        "DB_PORT": closed_port,
        "DB_PASSWORD": "hunter22",
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": closed_port,
    }
    result = coby("doctor", "--timeout", "5", **environ)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["OK", "settings"],
        ["FAIL", "kafka"],
        ["FAIL", "database"],
        ["FAIL", "redis"],
        ["FAIL", "disk"],
    ]
    assert all("refused" in line for line in lines[1:4])
    assert all(" -> " in line for line in lines[1:])
    assert "hunter22" not in result.output


def test_the_doctor_stops_at_wrong_settings_and_names_them():
    findings = list(examine(".", 0.1, {"DB_PORT": "x", "EXCHANGES": "nope"}))
    assert [(finding.name, finding.ok) for finding in findings] == [("settings", False)] * 2
    assert "DB_PORT is 'x'" in findings[0].line()
    assert "config.unknown_exchange" in findings[1].line()


def test_a_finding_is_one_line():
    assert Finding("kafka", False, "two\nlines", "start it").line() == "FAIL kafka      two lines -> start it"
    assert Finding("kafka", True, "fine", "unneeded").line() == "OK   kafka      fine"


def test_the_doctor_starts_no_client_before_it_is_asked():
    source = Path(cli.__file__).read_text()
    assert "\nfrom COBY.runtime.doctor" not in source


# --- libraries of an extra that is not installed: test_client_install.py has the real thing --------------------------


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("faust.streams", "the command greet needs faust: pip install 'coby[server]'"),
        ("pyarrow", "the command greet needs pyarrow: pip install 'coby[client]'"),
    ],
)
def test_a_command_without_its_library_names_the_extra_in_one_line(
    plugin, tmp_path, monkeypatch, module, line
):
    library = module.partition(".")[0]
    monkeypatch.setitem(sys.modules, library, None)  # importing it raises ModuleNotFoundError
    (tmp_path / "coby_test_plugin.py").write_text(f"import {module}\n{PLUGIN}")
    result = coby("greet")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert result.stderr == f"error runtime.library_missing: {line}\n"
    assert f"(not installed) {line}" in " ".join(coby("--help").output.split())


def test_the_extras_name_what_pyproject_declares_and_the_client_brings_no_more():
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    declared = {
        extra: {re.split(r"[<>=\[ ]", line)[0].lower() for line in project["optional-dependencies"][extra]}
        for extra in EXTRAS
    }
    assert declared["server"] >= {"coby"}  # coby[client]: the programs have the client's libraries too
    of_modules = {
        module: {name.lower() for name in names} for module, names in packages_distributions().items()
    }
    for extra, modules in EXTRAS.items():
        named = {name.replace("_", "-") for module in modules for name in of_modules[module]}
        assert named - {"psycopg-pool"} == declared[extra] - {"coby"}, extra
