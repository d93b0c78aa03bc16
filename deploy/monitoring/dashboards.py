"""`python -m deploy.monitoring.dashboards`: write Grafana's dashboards from panels.py.

A dashboard edited in Grafana by hand would be nobody's; what is to stay goes into panels.py. A test fails while a file
is not what this program would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from deploy.monitoring.panels import DASHBOARDS, Dashboard, Panel

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "coby-prometheus"}
"""Its uid is fixed in grafana/provisioning/datasources."""
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4


def text(dashboard: Dashboard) -> str:
    """The file of a dashboard."""
    made = {
        "uid": dashboard.name,
        "title": dashboard.title,
        "tags": ["coby"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "links": [{"type": "dashboards", "title": "COBY", "tags": ["coby"], "asDropdown": True}],
        "panels": list(_panels(dashboard)),
    }
    return json.dumps(made, indent=1) + "\n"


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    """Left to right, and on in the next line where one is full."""
    x = y = line = 0
    for number, panel in enumerate(dashboard.panels, start=1):
        height = STAT_HEIGHT if panel.kind == "stat" else HEIGHT
        if x + panel.width > WIDTH:
            x, y, line = 0, y + line, 0
        line = max(line, height)
        yield _panel(number, panel) | {"gridPos": {"x": x, "y": y, "w": panel.width, "h": height}}
        x += panel.width


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "mappings": _mappings(panel)}
    if panel.kind == "timeseries":
        defaults["min"] = 0
    return {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.queries)
        ],
    }


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    options = {
        value: {"text": word, "color": colour, "index": place}
        for place, (value, (word, colour)) in enumerate((panel.words or {}).items())
    }
    return [{"type": "value", "options": options}] if options else []


@click.command()
def main() -> None:
    """Write grafana/dashboards/*.json anew from panels.py; names the files that changed.

    \b
    Example:
      python -m deploy.monitoring.dashboards
    """
    for dashboard in DASHBOARDS:
        path, made = FOLDER / f"{dashboard.name}.json", text(dashboard)
        if not path.exists() or path.read_text(encoding="utf-8") != made:
            path.write_text(made, encoding="utf-8")
            click.echo(path.name)


if __name__ == "__main__":
    main()
