"""Helm 4, which applies server-side, as a tenant would use it."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import binaries, build

VERSION = "v4.3.1"
_TARGET = build.Target(
    sources=Path(__file__).parent,
    names=("helm4",),
    title=f"Helm {VERSION}",
    expectation="1 to 2 minutes on two cores",
    package="helm.sh/helm/v4/cmd/helm",
)


def find() -> Path:
    """Return the program, after a build if it is not there yet."""
    return binaries.built(_TARGET, f"helm-{VERSION}") / "helm4"
