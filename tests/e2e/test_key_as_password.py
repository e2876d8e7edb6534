"""A Google key file, with its line breaks, is the password: made by kubectl as people do, and by the chart's values."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.release import Release, pull_secret
from tests.e2e.site import COPY, Local, Site
from tests.e2e.workloads import pod

USER = "_json_key"
_PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(["QUJDREVGR0hJSktMTU5P" * 3] * 26) + "\n-----END PRIVATE KEY-----\n"
KEY = json.dumps(
    {
        "type": "service_account",
        "project_id": "example",
        "private_key_id": "0123456789abcdef",
        "private_key": _PEM,
        "client_email": "puller@example.iam.gserviceaccount.com",
        "universe_domain": "googleapis.com",
    },
    indent=2,
)
"""As the console gives it for download: 2 kB over several lines, and a newline at its end that ``$(cat …)`` drops."""


@pytest.fixture
def registry_knows_the_key(local: Local) -> Iterator[None]:
    """The registry lets the key in, and after the scenario only its usual user."""
    local.registry.let_in(USER, KEY)
    token = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
    local.registry.wait_open_to(f"Basic {token}")
    yield
    local.registry.set_password(local.registry.password)


@pytest.mark.usefixtures("registry_knows_the_key")
def test_a_key_file_that_kubectl_made_a_secret_of_pulls(site: Site, tmp_path: Path) -> None:
    release = Release(site, "key", pullSecrets=[pull_secret(source="google")])
    file = tmp_path / "key.json"
    file.write_text(KEY + "\n")
    site.run(
        f"kubectl create secret docker-registry google -n {release.namespace} --docker-server={site.registry_host} "
        f'--docker-username={USER} --docker-password="$(cat {file})"'
    )
    release.install()
    _pulls_with_the_key(site, release.create_tenant("key"))
    release.uninstall()


@pytest.mark.usefixtures("registry_knows_the_key")
def test_a_key_file_in_the_charts_values_pulls(site: Site, install: Callable[..., Release]) -> None:
    entry = {"name": "google", "registry": site.registry_host, "username": USER, "password": KEY}
    release = install("values", pullSecrets=[pull_secret(source="google")], sourceSecrets=[entry])
    _pulls_with_the_key(site, release.create_tenant("values"))


def _pulls_with_the_key(site: Site, tenant: str) -> None:
    """The copy holds every byte of the key, and a node pulls with it."""
    data = site.get("secret", COPY, "-n", tenant)["data"][".dockerconfigjson"]
    (entry,) = json.loads(base64.b64decode(data))["auths"].values()
    assert base64.b64decode(entry["auth"]).decode() == f"{USER}:{KEY}"
    manifest = pod("web", site.private_image)
    for part in ("containers", "initContainers"):
        manifest["spec"][part][0]["imagePullPolicy"] = "Always"
    site.apply(manifest | {"metadata": {"name": "web", "namespace": tenant}})
    site.wait_ready(tenant, "web")
