"""The CronJob of the guide about external sources: its commands, with the rights of its Role, on a real API server."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.processes import clean_environment
from tests.integration.site.playground import Playground, eventually
from tests.integration.site.rights import await_right
from tests.unit.documented import DOCS, blocks

ACCOUNT = "ecr-renewal"
AWS = """#!/bin/sh
[ "$*" = "ecr get-login-password" ] || exit 64
printf %s "$AWS_PASSWORD"
"""


def manifests(namespace: str) -> list[dict[str, Any]]:
    """Return the objects of the guide, in another namespace."""
    (block,) = (block for block in blocks(DOCS / "howto" / "external-source.md", "yaml") if "kind: CronJob" in block)
    return list(yaml.safe_load_all(block.replace("namespace: pull-secrets", f"namespace: {namespace}")))


class Job:
    """The container of the CronJob, with kubectl of this machine and a script in place of the AWS command line."""

    def __init__(self, ours: Playground, folder: Path) -> None:
        self._ours = ours
        namespace = ours.installation.namespace
        objects = manifests(namespace)
        document = "\n---\n".join(json.dumps(each) for each in objects)
        ours.cluster.kubectl("apply", "--server-side", "--filename=-", input=document)
        user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
        await_right(ours.cluster, user, "patch", "secrets", namespace=namespace, name="ecr")
        (cron_job,) = (each for each in objects if each["kind"] == "CronJob")
        (self.container,) = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        (folder / "aws").write_text(AWS)
        (folder / "aws").chmod(0o755)
        (folder / "kubectl").symlink_to(ours.cluster.kubectl_path)
        kubeconfig = json.loads(ours.cluster.kubeconfig_for(ACCOUNT, namespace).read_text())
        kubeconfig["contexts"][0]["context"]["namespace"] = namespace  # as a Pod has it
        (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
        self._environment = {
            **clean_environment(),
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "KUBECONFIG": str(folder / "kubeconfig"),
            **{variable["name"]: variable["value"] for variable in self.container["env"]},
        }

    def run(self, password: str) -> None:
        command = [*self.container["command"], *self.container["args"]]
        done = subprocess.run(
            command,
            env={**self._environment, "AWS_PASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert password not in done.stdout + done.stderr


def test_the_commands_of_the_cron_job_write_a_source_and_renew_it_in_place(
    playground: Callable[..., Playground], tmp_path: Path
) -> None:
    ours = playground(pullSecrets=[{"name": "registry-credentials", "sources": ["ecr"]}])
    ours.installation.start_sync().wait_ready()
    namespace = ours.namespace(selected=True)
    job = Job(ours, tmp_path)

    job.run("first+/=")
    eventually(lambda: password(ours, namespace), lambda seen: seen == "first+/=")
    uid = (ours.get(ours.installation.namespace, "secrets", "ecr") or {})["metadata"]["uid"]

    job.run("second+/=")
    eventually(lambda: password(ours, namespace), lambda seen: seen == "second+/=")
    assert (ours.get(ours.installation.namespace, "secrets", "ecr") or {})["metadata"]["uid"] == uid


def password(ours: Playground, namespace: str) -> str:
    found = ours.get(namespace, "secrets", "registry-credentials")
    auths = json.loads(b64decode(found["data"][".dockerconfigjson"]))["auths"] if found else {}
    return "".join(b64decode(entry["auth"]).decode().removeprefix("AWS:") for entry in auths.values())
