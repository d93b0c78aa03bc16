"""The documents against the code: everything that is there is written down, and the tables hold nothing else."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import fastavro
import pytest

from COBY.config import load_config
from COBY.runtime.cli import main as coby
from COBY.runtime.database import connect
from COBY.topics import TOPICS
from deploy import docs
from schemas import IDS
from sinks.schema import migrate, migrations

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
SOURCES = [
    path
    for package in ("COBY", "producers", "streams", "sinks", "replay", "api")
    for path in (ROOT / package).rglob("*.py")
]
CODE = re.compile(r"[a-z]+\.[a-z_]+|multiple_events|slow_consumer")
# First parts of dotted names that are settings of Kafka's and its clients', or ours of another kind: no codes.
NO_CODES = {"bootstrap", "cleanup", "client", "coby", "compression", "enable", "group", "linger", "retention"}
NO_CODES |= {"player", "sasl", "security", "segment", "streams", "timescale"}
NO_CODES |= {"body", "query", "websocket"}  # parts of a request, and messages of ASGI
MESSAGES = {"http.request", "http.disconnect"}
NO_CODES |= {"mexc", "spot", "trade"}  # a file and channels of exchanges


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def block(page_name: str, name: str) -> str:
    found = re.search(rf"<!-- generated: {name} -->(.*?)<!-- end: {name} -->", page(page_name), re.DOTALL)
    assert found, f"{page_name} has no block {name}"
    return found[1]


def first_cells(text: str) -> list[str]:
    """The first cell of each row of the tables in a text that is written as code."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def code_words(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


# --- blocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_generated_docs_are_in_step_with_the_code(path: Path):
    assert docs.render(path.read_text()) == path.read_text(), "run: python -m deploy.docs"


def test_every_kind_of_generated_docs_block_is_used_once():
    used = re.findall(r"<!-- generated: (\w+) -->", "".join(path.read_text() for path in PAGES))
    assert sorted(used) == sorted(docs.BLOCKS)


def test_a_docs_block_of_an_unknown_name_is_refused():
    with pytest.raises(KeyError, match="nonsense"):
        docs.render("<!-- generated: nonsense -->\n<!-- end: nonsense -->")


def test_a_stale_docs_block_is_written_anew_and_prose_stays():
    text = "before\n<!-- generated: topics -->\nstale text\n<!-- end: topics -->\nafter\n"
    written = docs.render(text)
    assert "coby.heatmap.v1" in written
    assert "stale text" not in written
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")


# --- settings ------------------------------------------------------------------------------------------------


def test_the_docs_name_exactly_the_settings_there_are():
    # the classes' own source, not the table that the document is made of
    source = (ROOT / "COBY/settings.py").read_text() + (ROOT / "COBY/environment.py").read_text()
    written = re.findall(r"(?<![a-z])(?:_setting|_optional|Setting)\(\s*\"([A-Z_<>]+)\"", source)
    assert sorted(first_cells(block("settings.md", "settings"))) == sorted(written)


# --- topics, schemas, tables ---------------------------------------------------------------------------------


def test_the_docs_name_exactly_the_topics_there_are():
    expected = [f"coby.{row.pattern.replace('{}', '<exchange>')}.v1" for row in TOPICS.values()]
    assert first_cells(block("topics.md", "topics")) == [*expected, "coby.replay.<session>.v1"]


@pytest.mark.parametrize("name", IDS)
def test_the_docs_name_every_field_of_a_schema(name: str):
    section = re.search(
        rf"^### {name}$(.*?)(?=^### |\Z)", block("topics.md", "schemas"), re.MULTILINE | re.DOTALL
    )
    assert section
    schema = fastavro.schema.load_schema(ROOT / "schemas" / f"{name}.avsc")
    assert first_cells(section[1]) == list(fields_of(schema))


def fields_of(schema: object) -> Iterator[str]:
    """Fields of a record, then those of the records defined within it, in order."""
    if isinstance(schema, list):
        for item in schema:
            yield from fields_of(item)
    elif isinstance(schema, dict) and schema["type"] == "record":
        yield from (field["name"] for field in schema["fields"])
        for field in schema["fields"]:
            yield from fields_of(field["type"])
    elif isinstance(schema, dict) and schema["type"] == "array":
        yield from fields_of(schema["items"])


def test_the_docs_name_every_schema_file():
    files = {path.stem for path in (ROOT / "schemas").glob("*.avsc")}
    assert set(re.findall(r"^### (\w+)$", block("topics.md", "schemas"), re.MULTILINE)) == files


def test_the_docs_name_every_table_and_no_other():
    sql = "".join(step.sql for step in migrations())
    written = re.findall(r"^### (\w+)$", block("tables.md", "tables"), re.MULTILINE)
    assert written == re.findall(r"CREATE TABLE (\w+)", sql)
    assert "`schema_version`" in page("tables.md")


def test_the_docs_have_the_columns_that_a_real_database_has(database):
    with connect(load_config(database.env)) as conn:
        migrate(conn)
        rows = conn.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() "
            "AND table_name <> 'schema_version' ORDER BY table_name, ordinal_position"
        ).fetchall()
    sections = re.split(r"^### (\w+)$", block("tables.md", "tables"), flags=re.MULTILINE)[1:]
    written = {name: first_cells(text) for name, text in zip(sections[::2], sections[1::2], strict=True)}
    assert sorted((name, column) for name, columns in written.items() for column in columns) == sorted(rows)


# --- commands ------------------------------------------------------------------------------------------------


def test_the_docs_name_every_make_target_and_no_other():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    written = [cell.removeprefix("make ") for cell in first_cells(block("commands.md", "targets"))]
    assert {*written, "servers"} == {*phony[1].split()}  # servers: a step of setup, nobody calls it


def test_the_docs_name_every_program_and_every_command():
    expected = [name for name, _ in docs.helps({"coby": coby})] + [
        name for name, _ in docs.helps(docs.programs())
    ]
    written = re.findall(r"^### (.*)$", page("commands.md"), re.MULTILINE)
    assert sorted(written) == sorted(expected)


# --- codes and metrics ---------------------------------------------------------------------------------------


def codes(paths: Iterable[Path]) -> set[str]:
    """Every dotted code in the sources; docstrings are sentences and never match."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                found.add(node.value)
    return {code for code in found - MESSAGES if code.split(".")[0] not in NO_CODES}


def local_codes(package: str, error: str) -> set[str]:
    return {
        node.args[0].value
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == error
        and isinstance(node.args[0], ast.Constant)
    }


def test_the_docs_name_every_code_and_no_other():
    section = page("faults-and-codes.md").split("| code | what happened |")[1]
    assert sorted(first_cells(section)) == sorted(codes(SOURCES))


def test_the_docs_name_the_family_of_every_code():
    section = page("faults-and-codes.md").split("| family |")[1].split("| code |")[0]
    families = {
        word for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for word in code_words(row)
    }
    assert families == {code.split(".")[0] for code in codes(SOURCES) if "." in code}


def test_the_docs_name_the_codes_of_the_local_stack_and_the_simulator():
    last = page("faults-and-codes.md").split("The local stack's errors:")[1]
    stack, simulator = (code_words(part) for part in last.split("The simulator's, after `simulator.`:"))
    makefile = set(re.findall(r"error (\w+):", (ROOT / "Makefile").read_text()))
    assert stack == local_codes("deploy", "LocalError") | makefile
    assert simulator == local_codes("simulator", "SimulatorError") | {"sequence_unknown"}


def test_the_docs_name_every_reason_of_blindness():
    reasons = page("faults-and-codes.md").split("## Why a book is blind")[1].split("## Gaps")[0]
    doc = (ROOT / "schemas/heatmap.avsc").read_text()
    listed = re.search(r"Why it is missing: ([a-z_, ]+), or no_tick", doc)
    assert listed
    assert sorted(first_cells(reasons)) == sorted(listed[1].split(", "))


def test_the_docs_name_every_metric_and_no_other():
    source = (ROOT / "COBY/runtime/metrics.py").read_text()
    counters = {f"coby_{name}_total" for name in re.findall(r"_counter\(\s*\"(\w+)\"", source)}
    gauges = {f"coby_{name}" for name in re.findall(r"_gauge\(\s*\"(\w+)\"", source)}
    gauges |= {f"coby_{name}" for name in re.findall(r"_histogram\(\s*\"(\w+)\"", source)}
    others = set(re.findall(r"\"(coby_\w+)\"", source))
    exporter = (ROOT / "COBY/runtime/lag_exporter.py").read_text()
    others |= set(re.findall(r"^    \"((?:kafka|coby)_\w+)\": \(", exporter, re.MULTILINE))
    assert set(first_cells(block("measurements.md", "metrics"))) == counters | gauges | others
