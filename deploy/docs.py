"""`python -m deploy.docs`: write the tables in docs/ from the code, so that none is kept by hand.

A table stands in a block between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; what is around it is prose and
stays. tests/unit/test_docs.py fails while a block is not what this program would write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from prometheus_client import CollectorRegistry

from COBY.config import Config
from COBY.runtime.cli import main as coby
from COBY.runtime.lag_exporter import FAMILIES
from COBY.runtime.metrics import Metrics
from COBY.topics import DAY_MS, FOREVER, REPLAY, TOPICS, Topic
from schemas import IDS, schema_text
from sinks.schema import migrations

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
WIDTH = 100
PREFIX = "coby"
PROGRAM_PACKAGES = ("COBY", "simulator", "producers", "streams", "sinks", "replay", "api", "deploy")
COMMAND = ROOT / "COBY" / "runtime" / "cli.py"
"""`coby` itself, which has a block of its own."""
_BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z]+) -->\n).*?(<!-- end: (?P=name) -->)", re.DOTALL)
_TABLE = re.compile(r"CREATE TABLE (\w+) \(\n(.*?)\n\);", re.DOTALL)
_ALTERED = re.compile(r"ALTER TABLE (\w+)\n(.*?);", re.DOTALL)
_ADDED = re.compile(r"ADD COLUMN (\w+) (.*?),?")


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """A Markdown table; a | within a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def settings() -> str:
    """Every setting."""
    rows = [
        (f"`{row.name}`", f"`{row.default}`" if row.default else "", row.allowed, row.sentence)
        for row in Config.documentation()
    ]
    return table(("setting", "default", "allowed", "what it is"), rows)


def full_name(row: Topic) -> str:
    """`coby.raw.<exchange>.v1`."""
    part = "<session>" if row is REPLAY else "<exchange>"
    return f"{PREFIX}.{row.pattern.format(part)}.v1"


def topics() -> str:
    """Every topic."""
    rows = [
        (f"`{full_name(row)}`", row.key, _value(row), row.partitions, _kept(row), row.sentence)
        for row in (*TOPICS.values(), REPLAY)
    ]
    return table(("topic", "key", "value", "partitions", "kept", "what it holds"), rows)


def _value(row: Topic) -> str:
    names = (row.schema, *row.also) if row.schema else ()
    return ", ".join(f"[{name}](#{name})" for name in names) or "bytes as they came"


def _kept(row: Topic) -> str:
    if row.cleanup == "compact":
        return "the last of each key"
    return "for ever" if row.retention_ms == FOREVER else f"{row.retention_ms // DAY_MS} d"


def schemas() -> str:
    """Every schema, field by field."""
    return "\n".join(_schema(name, number) for name, number in IDS.items())


def _schema(name: str, number: int) -> str:
    schema = json.loads(schema_text(name))
    parts = [f"### {name}\n\nSchema id {number}, `coby.{schema['name']}`. {schema['doc']}\n"]
    for record in _records(schema):
        if record is not schema:
            parts.append(f"`{record['name']}`: {record['doc']}\n")
        rows = [(f"`{field['name']}`", _type(field["type"]), field["doc"]) for field in record["fields"]]
        parts.append(table(("field", "type", "meaning"), rows))
    return "\n".join(parts)


def _records(schema: Any) -> Iterator[Any]:
    """The record and those defined within it, in order."""
    if isinstance(schema, list):
        for item in schema:
            yield from _records(item)
    elif isinstance(schema, dict):
        if schema["type"] == "record":
            yield schema
            for field in schema["fields"]:
                yield from _records(field["type"])
        elif schema["type"] == "array":
            yield from _records(schema["items"])


def _type(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(_type(item) for item in reversed(schema))
    if isinstance(schema, str):
        return schema.removeprefix("coby.")
    if schema["type"] == "array":
        return f"array of {_type(schema['items'])}"
    if schema["type"] == "record":
        return str(schema["name"])
    if schema["logicalType"] == "decimal":
        return f"decimal({schema['precision']},{schema['scale']})"
    return str(schema["logicalType"])


def columns() -> dict[str, tuple[list[tuple[str, str]], str]]:
    """Table -> its (column, type) and its key, by the migrations. ValueError for what this can't read yet."""
    found: dict[str, tuple[list[tuple[str, str]], str]] = {}
    for step in migrations():
        for name, body in _ALTERED.findall(step.sql):
            for line in body.splitlines():
                if (added := _ADDED.fullmatch(line.strip())) is None:
                    raise ValueError(f"{step.name} does {line!r}: teach deploy/docs.py to read that")
                found[name][0].append((added[1], added[2]))
        for name, body in _TABLE.findall(step.sql):
            lines = [line.strip().rstrip(",") for line in body.splitlines()]
            key = next(line for line in lines if line.startswith("PRIMARY KEY"))
            pairs = [line.split(" ", 1) for line in lines if line != key]
            found[name] = [(column, kind) for column, kind in pairs], key[len("PRIMARY KEY (") : -1]
    return found


def tables() -> str:
    """Every table, column by column."""
    parts = []
    for name, (pairs, key) in columns().items():
        rows = [(f"`{column}`", kind) for column, kind in pairs]
        parts.append(f"### {name}\n\nKey: {key}.\n\n{table(('column', 'type'), rows)}")
    return "\n".join(parts)


def make_targets() -> dict[str, str]:
    """Target -> its sentence, from the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z-]+):.*?## (.*)$", text, re.MULTILINE))


def targets() -> str:
    """Every make target."""
    return table(
        ("target", "does"), [(f"`make {name}`", sentence) for name, sentence in make_targets().items()]
    )


def programs() -> dict[str, click.Command]:
    """`python -m …` -> its command: every module of the programs' packages that can be run."""
    found = {}
    for package in PROGRAM_PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path == COMMAND:
                continue
            if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8"):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found[f"python -m {module.removesuffix('.__main__')}"] = import_module(module).main
    return found


def subcommands(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """(full name, help) of a command and of all below it."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from subcommands(below, _context(below, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)


def helps(commands: dict[str, click.Command]) -> Iterator[tuple[str, str]]:
    """(full name, help) of all these commands and of those below them."""
    for name, command in commands.items():
        yield from subcommands(command, _context(command, name))


def _commands(commands: dict[str, click.Command]) -> str:
    return "\n".join(f"### {name}\n\n```text\n{text}\n```\n" for name, text in helps(commands))


def metric_rows() -> list[tuple[str, str, str, str]]:
    """(name, type, labels, sentence) of every metric of COBY/runtime/metrics.py, then those of the lag exporter."""
    registry = CollectorRegistry()
    Metrics(registry)
    rows: list[tuple[str, str, str, str]] = []
    for (
        collector
    ) in registry._collector_to_names:  # the library has no public way from a metric to its labels
        family = next(iter(collector.describe()))  # type: ignore[attr-defined]
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in collector._labelnames)  # type: ignore[attr-defined]
        rows.append((name, family.type, labels, family.documentation))
    for name, (sentence, of) in FAMILIES.items():
        rows.append((name, "gauge", ", ".join(f"`{label}`" for label in of), sentence))
    return rows


def metrics() -> str:
    """Every metric."""
    rows = [(f"`{name}`", kind, labels, sentence) for name, kind, labels, sentence in metric_rows()]
    return table(("metric", "type", "labels", "what it counts"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "topics": topics,
    "schemas": schemas,
    "tables": tables,
    "targets": targets,
    "programs": lambda: _commands(programs()),
    "coby": lambda: _commands({"coby": coby}),
    "metrics": metrics,
}


def render(text: str) -> str:
    """The text of a document with its blocks written anew. KeyError for a block of an unknown name."""
    return _BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match['name']]()}\n{match[3]}", text)


@click.command()
def main() -> None:
    """Write the generated blocks of docs/*.md anew from the code; names the files that changed.

    \b
    Example:
      python -m deploy.docs
    """
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = render(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            click.echo(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
