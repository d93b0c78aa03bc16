"""docs/queues.md against the sources: every queue is in it, and every bound it names is there."""

import ast
import re
from pathlib import Path

import pytest

from COBY.config import Config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "queues.md").read_text()
PACKAGES = ("COBY", "producers", "streams", "sinks", "replay", "api", "simulator")
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text() for name in PACKAGES for path in (ROOT / name).rglob("*.py")
}
KINDS = {"deque", "Queue", "LifoQueue", "PriorityQueue", "SimpleQueue", "Semaphore", "BoundedSemaphore"}
SETTINGS = {row.name for row in Config.documentation()}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]
OURS = {"streams/transport.py": "Queue"}  # of streams/chunks.py


def calls(text):
    """(name, has arguments) of every call of a queue's class."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in KINDS:
                yield name, bool(node.args or node.keywords)


def test_every_queue_of_the_sources_is_in_the_table():
    holding = {name for name, text in SOURCES.items() if {kind for kind, _ in calls(text)} - {OURS.get(name)}}
    holding |= {
        name for name, text in SOURCES.items() if re.search(r"queue[_.]buffering|queued\.max|_maxsize=", text)
    }
    assert holding <= {row[0].strip("`") for row in ROWS}
    assert len(holding) > 10, "it finds them"


def test_no_queue_between_tasks_or_threads_is_made_without_a_size():
    unbounded = {
        (name, kind)
        for name, text in SOURCES.items()
        for kind, has_size in calls(text)
        if kind not in ("deque", OURS.get(name)) and not has_size
    }
    assert unbounded == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_what_the_table_names_is_there(row):
    where, what, bound, full = row
    text = SOURCES[where.strip("`")]
    assert what
    assert full
    for module, name in re.findall(r"`(?:([a-z_]+)\.)?([A-Za-z_]+)`", bound):
        if module:
            assert module == Path(where.strip("`")).stem
            assert re.search(rf"^{name}\b", text, re.MULTILINE), f"{where} has no {name}"
        else:
            assert name in SETTINGS or name in text, f"{where} knows no {name}"


def test_the_bounds_that_are_numbers_are_those_of_the_sources():
    assert "stream_buffer_maxsize=2," in SOURCES["streams/app.py"]
    assert "broker_max_poll_records=2_000," in SOURCES["streams/app.py"]
    assert "min(65_536, cfg.max_memory_usage * 1024 // 4)" in SOURCES["COBY/runtime/kafka.py"]
    assert "HIGH, LOW = 0.8, 0.7" in SOURCES["COBY/runtime/memory.py"]
    assert "APART_SECONDS = 600.0" in SOURCES["COBY/runtime/memory.py"]
    assert '"max_queue"' not in SOURCES["producers/sockets.py"], "16 is the library's own"
