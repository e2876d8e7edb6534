"""The Grafana dashboard; ``python -m tools.chart.dashboard`` writes it into the chart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.cluster.helm import CHART
from tools.chart.dashboard_rows import ANNOTATIONS, OPEN_ROWS, ROWS
from tools.chart.panels import CLUSTER, DATASOURCE

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
        "annotations": {"list": list(_annotations())},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    # The label exists only where several clusters write to one Prometheus; "All" matches series without it, too.
    yield _of_label("cluster", "Cluster", "label_values(pullsecrets_build_info, cluster)") | {
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
    query = f"label_values(pullsecrets_build_info{{{CLUSTER}}}, namespace)"
    yield _of_label("namespace", "Namespace of the release", query)


def _of_label(name: str, title: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": title,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def _annotations() -> Iterator[dict[str, Any]]:
    """Yield lines across all panels: a replica has started, as in a deployment, and another replica leads."""
    for name, colour, title, query in ANNOTATIONS:
        yield {
            "name": name,
            "datasource": DATASOURCE,
            "enable": True,
            "iconColor": colour,
            "expr": query,
            "step": "30s",
            "titleFormat": title,
        }


def _panels() -> Iterator[dict[str, Any]]:
    number = y = 0
    for title, panels in ROWS.items():
        number += 1
        top = y
        row = {"id": number, "type": "row", "title": title, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}
        placed = []
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + panel.height
            number += 1
            placed.append(panel.document(number, x, y))
            x += panel.width
        # Grafana has the panels of a closed row inside of it, and those of an open one after it.
        if title in OPEN_ROWS:
            yield row | {"collapsed": False, "panels": []}
            yield from placed
            y += panels[-1].height
        else:
            yield row | {"collapsed": True, "panels": placed}
            y = top + 1


def text() -> str:
    """Return the dashboard as the chart holds it."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
