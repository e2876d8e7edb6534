"""Whose copy is it: the labels that mark what this release wrote.

A copy is ours only when its name is configured *and* it carries all three labels of this release; a name alone proves
nothing. The names of the labels are part of the chart's ValidatingAdmissionPolicy: change them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "pull-secret-webhook"
RELEASE_LABEL = "pullsecrets.webhook/release"
RELEASE_NAMESPACE_LABEL = "pullsecrets.webhook/release-namespace"
FIELD_MANAGER = "pull-secret-webhook"
"""The field manager of every write, but for creations: see :mod:`webhook.sync.writes`."""


def labels_for(release: str, release_namespace: str) -> dict[str, str]:
    """Return the labels that every copy of this release carries."""
    return {
        MANAGED_BY_LABEL: MANAGED_BY,
        RELEASE_LABEL: release,
        RELEASE_NAMESPACE_LABEL: release_namespace,
    }


def is_ours(labels: Mapping[str, str], release: str, release_namespace: str) -> bool:
    """Return whether an object with ``labels`` was written by this very release."""
    return all(labels.get(key) == value for key, value in labels_for(release, release_namespace).items())


def is_a_copy(labels: Mapping[str, str]) -> bool:
    """Return whether an object with ``labels`` was written by any release of this project."""
    return labels.get(MANAGED_BY_LABEL) == MANAGED_BY
