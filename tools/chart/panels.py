"""A panel of the Grafana dashboard, and the queries that most panels are made of.

Grafana's own format repeats each setting many times; here it stands once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
CLUSTER = 'cluster=~"$cluster"'
OURS = f'{CLUSTER},namespace="$namespace"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries by their legends (``{{label}}`` is filled in), its unit as Grafana calls it."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    stacked: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)
    about: str = ""

    def document(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return it as Grafana has it."""
        custom = {"fillOpacity": 15, "showPoints": "never", "stacking": {"mode": "normal" if self.stacked else "none"}}
        defaults: dict[str, Any] = {"unit": self.unit, "min": 0}
        defaults |= {"custom": custom} if self.kind == "timeseries" else {}
        defaults |= {"thresholds": {"mode": "absolute", "steps": self.steps}} if self.steps else {}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
            if self.kind == "timeseries"
            else {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
            "targets": [
                {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
                for index, (legend, expr) in enumerate(self.queries.items())
            ],
        }


def stat(title: str, query: str, **panel_fields: Any) -> Panel:  # noqa: ANN401 (fields of Panel)
    """Return a single number."""
    return Panel(title, {"": query}, kind="stat", **{"width": 4, "height": 4, **panel_fields})


def rate(metric: str, by: str, matchers: str = OURS) -> str:
    """Return how many of something there are in a second."""
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, matchers: str = OURS, by: str = "le") -> str:
    """Return a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', by, matchers)})"


def per_pod(metric: str) -> dict[str, str]:
    """Return a gauge of each Pod, by its name."""
    return {"{{pod}}": f"{metric}{{{OURS}}}"}


def remaining(metric: str) -> str:
    """Return the time until something expires, where there is something."""
    return f"({metric}{{{OURS}}} > 0) - time()"
