"""A healthy installation that things are done to, and that is put right again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.integration.day.disorder import settle
from tests.integration.site.commands import of_release
from tests.integration.site.playground import Playground, eventually
from webhook.rules.ownership import FIELD_MANAGER, RELEASE_LABEL

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
MERGE = "application/merge-patch+json"


class Patient:
    """A healthy installation, whose sync is stopped: what a test does to it stays. It is put right after each test."""

    def __init__(self, playground: Playground) -> None:
        self.ours = playground
        self.api = playground.cluster.api
        self.installation = playground.installation
        playground.set_source("first")
        self.team = playground.namespace(selected=True)
        self.serve = self.installation.start_serve()
        sync = self.installation.start_sync()
        sync.wait_ready()
        self.serve.wait_ready()
        playground.await_selected(self.team, "first")
        settle(sync)
        assert sync.stop() == 0
        self._restore: list[Callable[[], object]] = []

    @property
    def namespace(self) -> str:
        return self.installation.namespace

    @property
    def name(self) -> str:
        return self.installation.fullname

    @property
    def configuration_path(self) -> str:
        return f"{ADMISSION}/mutatingwebhookconfigurations/{self.name}"

    def hold_lease(self, *, renewed: datetime | None = None) -> None:
        """Say in the Lease that somebody leads, as sync would, for longer than any test takes."""
        when = (renewed or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": "test", "leaseDurationSeconds": 3600, "renewTime": when}
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{self.installation.lease}"
        self.api.call("PATCH", path, {"spec": spec}, MERGE)

    def check(self, *flags: str, kubeconfig: Path | None = None) -> dict[str, list[str]]:
        """Return what is found, by code, having seen that the exit code says the same."""
        given = (f"--release-namespace={self.namespace}", "-o", "json", *flags)
        ran = of_release(self.ours, "check", *given, kubeconfig=kubeconfig)
        assert ran.code in (0, 1), ran.err + ran.out
        checks = json.loads(ran.out)["checks"]
        found: dict[str, list[str]] = {}
        for each in checks:
            if each["result"] == "finding":
                found.setdefault(each["code"], []).append(each["detail"])
        assert ran.code == bool(found)
        return found

    def afterwards(self, restore: Callable[[], object]) -> None:
        self._restore.append(restore)

    def heal(self) -> None:
        while self._restore:
            self._restore.pop()()

    def put_back(self, path: str) -> dict[str, Any]:
        """Have the object at a path be after the test as it is now, whether it is changed or deleted; return it."""
        body = self.api.call("GET", path)

        def restore() -> None:
            self.api.request("DELETE", path)
            kept = {key: body["metadata"][key] for key in ("name", "namespace", "labels") if key in body["metadata"]}
            fresh = {**body, "metadata": kept}
            eventually(lambda: self.api.request("GET", path).status == 404)
            if kept.get("labels", {}).get(RELEASE_LABEL):  # a copy: it is ours only when our field manager applied it
                self.api.call("PATCH", f"{path}?fieldManager={FIELD_MANAGER}", fresh, "application/apply-patch+yaml")
            else:
                self.api.call("POST", f"{path.rpartition('/')[0]}?fieldManager=helm", fresh)

        self.afterwards(restore)
        return body

    def patch(self, path: str, operations: list[dict[str, Any]], manager: str = "kubectl-edit") -> None:
        """Change an object as a person would, and put it back after the test."""
        self.put_back(path)
        self.api.json_patch(f"{path}?fieldManager={manager}", operations)
