"""Rights as the API server sees them."""

from __future__ import annotations

from tests.cluster.cluster import Cluster
from tests.integration.site.playground import eventually


def await_right(cluster: Cluster, user: str, verb: str, resource: str, **more: str) -> None:
    """Wait until a user has a right: the API server learns of roles and bindings by watches."""
    eventually(lambda: cluster.may(user, verb, resource, **more))
