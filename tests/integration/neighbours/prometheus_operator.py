"""The part of the Prometheus operator that this chart uses: three kinds, with exactly the fields that it may set."""

from __future__ import annotations

from tests.cluster.cluster import Cluster
from tests.integration.neighbours import definitions
from tests.integration.neighbours.definitions import TEXT, a_list, a_map, an_object, definition

GROUP = "monitoring.coreos.com"
_DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}
_EXPRESSION = an_object({"key": TEXT, "operator": TEXT, "values": a_list(TEXT)}, ("key", "operator"))
_POD_MONITOR = an_object(
    {
        "jobLabel": TEXT,
        "selector": an_object({"matchLabels": a_map(TEXT), "matchExpressions": a_list(_EXPRESSION)}),
        "podMetricsEndpoints": a_list(an_object({"port": TEXT, "interval": _DURATION})),
    },
    ("selector", "podMetricsEndpoints"),
)
_SERVICE_MONITOR = an_object(
    {
        "jobLabel": TEXT,
        "selector": an_object({"matchLabels": a_map(TEXT)}),
        "endpoints": a_list(an_object({"port": TEXT, "interval": _DURATION})),
    },
    ("selector", "endpoints"),
)
_RULE = an_object(
    {"alert": TEXT, "expr": TEXT, "for": _DURATION, "labels": a_map(TEXT), "annotations": a_map(TEXT)},
    ("alert", "expr"),
)
_PROMETHEUS_RULE = an_object({"groups": a_list(an_object({"name": TEXT, "rules": a_list(_RULE)}, ("name", "rules")))})


def define(cluster: Cluster) -> None:
    """Make the three kinds known to a cluster; harmless when they are."""
    kinds = (("PodMonitor", _POD_MONITOR), ("ServiceMonitor", _SERVICE_MONITOR), ("PrometheusRule", _PROMETHEUS_RULE))
    definitions.define(cluster, [definition(GROUP, kind, spec) for kind, spec in kinds])
