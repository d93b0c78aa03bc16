"""The documents against the code, the other way: whatever they name is there, and their programs run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from COBY.config import Config
from COBY.exchanges import names
from COBY.runtime.cli import main as coby
from COBY.topics import REPLAY, TOPICS
from deploy import docs

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
BESIDE = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
ALL = {path.name: path.read_text() for path in (*PAGES, *BESIDE)}
# Variables that are no settings of the programs: of the machine, of tests, of make.
OTHER_NAMES = {"DB_ADMIN_PASSWORD", "DB_ADMIN_USER", "DB_TOOLS"}  # options of coby db
OTHER_NAMES |= {"COMPOSE_FILE", "COMPOSE_PROFILES", "COBY_TAG"}  # of compose
OTHER_NAMES |= {"COBY_CACHE", "COBY_CRASH_POINT", "COBY_FRAMES", "FOR", "TESTS", "ARGS", "PYTHON"}


def in_code(pattern: str) -> Iterator[tuple[str, str]]:
    """(file, match) within code spans and code blocks of all documents."""
    for name, text in ALL.items():
        for span in re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL):
            for match in re.findall(pattern, span):
                yield name, match


def test_no_docs_name_a_setting_that_is_not_there():
    known = {row.name for row in Config.documentation()} | OTHER_NAMES
    patterns = [re.sub(r"<[A-Z]+>", "[A-Z0-9]+|<[A-Z]+>", name) for name in known]
    settings = re.compile("|".join(f"(?:{pattern})(?:_FILE)?" for pattern in known | set(patterns)))
    wrong = [
        (name, word)
        for name, word in in_code(r"(?<![\w.<{/-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w(])")
        if not settings.fullmatch(word)
    ]
    assert wrong == []


def test_no_docs_name_a_topic_that_is_not_there():
    exchanges, rows = "|".join(("<exchange>", "<session>", *names())), (*TOPICS.values(), REPLAY)
    known = re.compile("|".join(row.pattern.replace("{}", f"(?:{exchanges})") for row in rows))
    wrong = [(name, topic) for name, topic in in_code(r"coby\.([a-z.<>]+)\.v1") if not known.fullmatch(topic)]
    assert wrong == []


def test_no_docs_name_a_make_target_that_is_not_there():
    targets = set(docs.make_targets())
    assert [
        (name, word) for name, word in in_code(r"(?<![\w.-])make ([a-z][a-z-]*)") if word not in targets
    ] == []


def test_no_docs_name_a_command_of_coby_that_is_not_there():
    known = {name for name, _ in docs.helps({"coby": coby})}
    groups = {name.rsplit(" ", 1)[0] for name in known if name.count(" ") == 2}
    wrong = []
    for name, first, second in (
        (name, *words) for name, words in in_code(r"(?<![\w./=-])coby ([a-z]+(?:-[a-z]+)*)(?: ([a-z]+))?")
    ):
        path = f"coby {first} {second}" if f"coby {first}" in groups and second else f"coby {first}"
        if path not in known:
            wrong.append((name, path))
    assert wrong == []


def test_no_docs_name_a_program_that_is_not_there():
    known = {command.removeprefix("python -m ") for command in docs.programs()} | {"pytest", "pip"}
    assert [(name, word) for name, word in in_code(r"python -m ([\w.]+)") if word not in known] == []


def test_no_docs_name_a_metric_that_is_not_there():
    known = {row[0] for row in docs.metric_rows()}
    assert [(name, word) for name, word in in_code(r"(?<!\w)coby_[a-z_]+") if word not in known] == []


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md"])
def test_the_docs_one_reads_first_are_short(name: str):
    first = ALL[name].split("## Decisions")[0]  # those are looked up one by one
    assert len(first.splitlines()) < 150


def test_every_link_between_docs_leads_somewhere():
    broken = [
        (path.name, target)
        for path in (*PAGES, *BESIDE)
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_every_path_the_docs_name_is_there():
    roots = r"(?:COBY|producers|streams|sinks|simulator|schemas|deploy|tests|docs)"
    missing = {
        (name, path)
        for name, path in in_code(rf"(?<![\w./-])({roots}/[\w./-]*[\w/])")
        if not (ROOT / path).exists()
    }
    assert missing == set()


@pytest.mark.parametrize("name", sorted(ALL))
def test_python_in_the_docs_compiles(name: str):
    for number, text in enumerate(re.findall(r"```python\n(.*?)```", ALL[name], re.DOTALL)):
        compile(text, f"{name} block {number}", "exec")
