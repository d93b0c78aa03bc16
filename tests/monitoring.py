"""deploy/monitoring read for tests: alerts, their unit tests, and what metrics expressions name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "monitoring"
PROMETHEUS = FOLDER / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
BOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))

WORDS = {
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "by",
    "on",
    "ignoring",
    "without",
    "group_left",
    "group_right",
}
GROUPING = r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)"
SELECTOR = re.compile(r"(?<![\w.])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?")


def alerts() -> list[dict]:
    """Every alert of the rules."""
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def tried() -> Iterator[tuple[str, int, list[dict]]]:
    """(alert, time of evaluation by its place, what is expected) of each assertion of the unit tests."""
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for place, case in enumerate(test["alert_rule_test"]):
                yield case["alertname"], place, case["exp_alerts"]


def panels() -> Iterator[tuple[str, str]]:
    """(dashboard and panel, expression) of each query of each dashboard."""
    for path in BOARDS:
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{board['title']}: {panel['title']}", target["expr"]


def expressions() -> list[tuple[str, str]]:
    """(where, expression) of rules and panels."""
    return [(rule["alert"], rule["expr"]) for rule in alerts()] + list(panels())


def selectors(expression: str) -> set[str]:
    """What it takes from the database: names of metrics, each with its matchers.

    Labels in groupings, words of the language, functions and numbers are left out.
    """
    strings: list[str] = []

    def keep(match: re.Match[str]) -> str:
        strings.append(match[0])
        return f'"{len(strings) - 1}"'

    text = re.sub(r'"[^"]*"', keep, expression)
    text = re.sub(GROUPING, " ", text)
    text = re.sub(r"\[[^\]]*\]|\boffset\s+\w+", " ", text)
    found = set()
    for match in SELECTOR.finditer(text):
        name, matchers, called = match.groups()
        if called or name in WORDS:
            continue
        matchers = re.sub(r'"(\d+)"', lambda one: strings[int(one[1])], matchers or "")
        found.add(name + matchers)
    return found
