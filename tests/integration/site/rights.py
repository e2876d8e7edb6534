"""Rights as the API server sees them."""

from __future__ import annotations

from tests.cluster.cluster import Cluster
from tests.integration.site.playground import eventually

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def may(cluster: Cluster, user: str, verb: str, resource: str, **more: str) -> bool:
    """Return whether a user has a right now; ``more`` are its ``group``, ``namespace`` and ``name``."""
    attributes = {"verb": verb, "resource": resource, **more}
    review = cluster.api.call("POST", REVIEWS, {"spec": {"user": user, "resourceAttributes": attributes}})
    return bool(review["status"]["allowed"])


def await_right(cluster: Cluster, user: str, verb: str, resource: str, **more: str) -> None:
    """Wait until a user has a right: the API server learns of roles and bindings by watches."""
    eventually(lambda: may(cluster, user, verb, resource, **more))
