"""A small AWS on loopback: the process of ``moto_server.py``, with packages of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.ports import free_port
from tests.cluster.processes import clean_environment
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import Program

REGION = "eu-west-1"
ACCOUNT = "123456789012"
"""The account of the user."""
AUDIENCE = "sts.amazonaws.com"
LIFETIME = 12 * 3600.0
"""Seconds of a real token of ECR."""

_REQUIREMENTS = Path(__file__).parents[3] / ".ci" / "moto.txt"
_SERVER = Path(__file__).with_name("moto_server.py")
_READY_SECONDS = 120.0


def host(account: str) -> str:
    """Return the name of an account's private registry."""
    return f"{account}.dkr.ecr.{REGION}.amazonaws.com"


def role(account: str) -> str:
    """Return the name of an account's role that may be assumed."""
    return f"arn:aws:iam::{account}:role/pull"


@dataclass(frozen=True, slots=True)
class Aws:
    """A running AWS: its URL, and the keys of a user that may get tokens of ECR."""

    program: Program
    url: str
    access_key: str
    secret_key: str


def start(cluster: Cluster, folder: Path, subjects: Mapping[str, str], lifetime: float = LIFETIME) -> Aws:
    """Start it; ``subjects`` has the subject that may assume the role of each account, with a token of the cluster."""
    port, ready = free_port(), folder / "aws.json"
    settings = {
        "port": port,
        "jwks": cluster.kubectl("get", "--raw", "/openid/v1/jwks"),
        "ready": str(ready),
        "lifetime": lifetime,
        "audience": AUDIENCE,
        "subjects": dict(subjects),
    }
    environment = {**clean_environment(), "PYTHONPATH": str(binaries.packages(_REQUIREMENTS))}
    program = cluster.keeper.start(f"aws-{port}", [sys.executable, str(_SERVER), json.dumps(settings)], environment)
    program.wait_ready(ready.exists, _READY_SECONDS)
    user = json.loads(ready.read_text())
    return Aws(program, f"http://{LOOPBACK}:{port}", user["access_key"], user["secret_key"])
