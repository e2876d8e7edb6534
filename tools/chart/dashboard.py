"""The Grafana dashboard; ``python -m tools.chart.dashboard`` writes it into the chart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.cluster.helm import CHART
from tools.chart.dashboard_rows import ROWS
from tools.chart.panels import DATASOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = CHART / "files" / "dashboard.json"
WIDTH = 24


def dashboard() -> dict[str, Any]:
    """Return the whole of it."""
    return {
        "uid": "pull-secret-webhook",
        "title": "pull-secret-webhook",
        "tags": ["kubernetes", "imagePullSecrets"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    yield {
        "name": "namespace",
        "label": "Namespace of the release",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": "label_values(pullsecrets_build_info, namespace)", "refId": "namespace"},
        "refresh": 2,
        "sort": 1,
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = y = 0
    for title, panels in ROWS.items():
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": []} | {
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}
        }
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + panel.height
            number += 1
            yield panel.document(number, x, y)
            x += panel.width
        y += panels[-1].height


def text() -> str:
    """Return the dashboard as the chart holds it."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
