"""A tenant's chart has a ServiceAccount, and Helm 4 applies it server-side while our references come and go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import helm4
from tests.e2e.release import Release
from tests.e2e.site import COPY, OPT_IN, Site

ACCOUNT = "builder"
_TEMPLATE = """apiVersion: v1
kind: ServiceAccount
metadata:
  name: builder
  annotations: {revision: "{{ .Release.Revision }}"}
{{- with .Values.references }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
"""


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart of a tenant's, with one ServiceAccount whose list comes from its values."""
    folder = tmp_path_factory.mktemp("tenant")
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: builder\nversion: 1.0.0\n")
    (folder / "templates").mkdir()
    (folder / "templates" / "account.yaml").write_text(_TEMPLATE)
    return folder


@pytest.fixture
def helm_four(site: Site, chart: Path) -> Callable[..., None]:
    """Install or upgrade the tenant's release in a namespace, with these references in its values."""

    def upgrade(namespace: str, *references: str) -> None:
        values = json.dumps({"references": references})
        options = ["--install", "--server-side=true", f"--namespace={namespace}", "--values=-"]
        site.program(str(helm4.find()), "upgrade", ACCOUNT, str(chart), *options, stdin=values)

    return upgrade


def test_helm_4_meets_no_conflict(site: Site, helm_four: Callable[..., None]) -> None:
    release = Release(site, "four")
    with_list, without = site.create_namespace("four-list"), site.create_namespace("four-none")
    release.install()

    def wait_for(namespace: str, *names: str) -> None:
        site.wait(lambda: site.has_references(namespace, ACCOUNT, *names), f"{namespace} references {names}")

    def label(value: str) -> None:
        for namespace in (with_list, without):
            site.kubectl("label", "namespace", namespace, f"{OPT_IN}{value}")

    helm_four(with_list, "mine")
    helm_four(without)
    label("=enabled")
    wait_for(with_list, "mine", COPY)
    wait_for(without, COPY)
    helm_four(with_list, "mine")
    wait_for(with_list, "mine", COPY)
    helm_four(with_list, "mine", "more")
    wait_for(with_list, "mine", "more", COPY)
    helm_four(without, "first")
    site.wait(lambda: set(site.references(without, name=ACCOUNT)) == {"first", COPY}, "the first list of the tenant")
    label("-")
    wait_for(with_list, "mine", "more")
    wait_for(without, "first")
    helm_four(with_list, "other")
    helm_four(without)
    wait_for(with_list, "other")
    wait_for(without)
    label("=enabled")
    wait_for(with_list, "other", COPY)
    wait_for(without, COPY)
    release.uninstall()
    wait_for(with_list, "other")
    wait_for(without)
    helm_four(with_list, "last")
    helm_four(without, "last")
    wait_for(with_list, "last")
    wait_for(without, "last")
