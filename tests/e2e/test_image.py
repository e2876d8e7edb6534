"""What the image brings along and what not; and that it runs without root, without rights, on a read-only root."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import imagefiles, images
from tests.e2e.imagefiles import ImageFiles
from tests.e2e.release import Release
from tests.e2e.site import Local, Site

NOT_IN_AN_IMAGE = {
    "a compiler": r"bin/(gcc|g\+\+|cc|c\+\+|clang|ld|as|make)(-\d+)?$",
    "an installer of Python packages": r"(^|/)(pip|pip3|uv|setuptools|ensurepip|wheel)(/|$)",
    "tests": r"/(tests?|testing)/.*\.py$",
    "a kubeconfig, key or token": r"(\.kube/|\.key$|id_rsa|\.pypirc|\.netrc|\.git/)",
    "what a build left": r"(^|/)(\.cache|\.git|Dockerfile|uv\.lock|pyproject\.toml)(/|$)",
}
OURS_OR_NEEDED = re.compile(r"site-packages/(sniffio|anyio|prometheus_client|fastapi|starlette|numpy|typer)/")
"""Packages that have a module called testing, for those who use them."""


@pytest.fixture(scope="module")
def image(site: Site) -> ImageFiles:
    if not site.local:
        pytest.skip("needs the image's archive, and E2E_KUBECONFIG names another cluster")
    return imagefiles.read(images.archives().ours)


@pytest.mark.parametrize("what", NOT_IN_AN_IMAGE)
def test_there_is_nothing_in_it_that_only_a_build_needs(image: ImageFiles, what: str) -> None:
    found = {path for path in image.paths if re.search(NOT_IN_AN_IMAGE[what], path)}
    assert {path for path in found if not OURS_OR_NEEDED.search(path)} == set()


def test_nobody_becomes_somebody_else_in_it(image: ImageFiles) -> None:
    assert [path for path, member in image.members.items() if member.isfile() and member.mode & 0o6000] == []
    assert image.configuration["User"] == "65532:65532"


def test_all_of_python_that_runs_is_compiled(image: ImageFiles) -> None:
    compiled = re.compile(r"(.*)/__pycache__/([^/]+)\.cpython-\d+\.pyc$")
    done = {f"{found[1]}/{found[2]}.py" for path in image.paths if (found := compiled.match(path))}
    ours = {path for path in image.paths if re.search(r"site-packages/(webhook|certs|fastapi|msgspec)/.*\.py$", path)}
    standard = {path for path in image.paths if re.search(r"lib/python3\.\d+/(asyncio|json|ssl\.py)", path)}
    sources = {path for path in ours | standard if path.endswith(".py")}
    assert len(sources) > 200
    assert sources <= done


def test_the_templates_of_the_pages_are_in_it(image: ImageFiles) -> None:
    folder = Path(__file__).parents[2] / "webhook" / "ops" / "templates"
    found = {path.rpartition("/")[2] for path in image.paths if "site-packages/webhook/ops/templates/" in path}
    assert found == {file.name for file in folder.iterdir()}


def test_its_label_and_command_are_those_that_the_chart_expects(image: ImageFiles) -> None:
    assert image.configuration["Entrypoint"] == ["pullsecrets"]
    labels = image.configuration["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] != "unknown"


def test_its_processes_have_no_rights_on_the_node(local: Local, site: Site, install: Callable[..., Release]) -> None:
    release = install("bare")
    pods = site.get("pods", "-n", release.namespace)["items"]
    assert len(pods) == 4
    for pod in pods:
        (container,) = pod["status"]["containerStatuses"]
        status = local.node.process_status(container["containerID"])
        assert status["Uid"].split()[0] == "65532"
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2", "filtered"
        assert local.node.root_is_read_only(container["containerID"])
