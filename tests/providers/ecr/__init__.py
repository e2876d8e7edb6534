"""Amazon's credential provider, as nodes of EKS have it, and a small AWS on loopback that it signs in to."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import binaries, build

NAME = "ecr-credential-provider"
VERSION = "v1.37.1"
_TARGET = build.Target(
    sources=Path(__file__).parent,
    names=(NAME,),
    title=f"{NAME} {VERSION}",
    expectation="1 to 2 minutes on two cores",
    package="k8s.io/cloud-provider-aws/cmd/ecr-credential-provider",
)


def find() -> Path:
    """Return the folder with the provider, after a build if it is not there yet."""
    return binaries.built(_TARGET, f"ecr-{VERSION}")
