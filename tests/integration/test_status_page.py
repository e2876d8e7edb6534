"""The status page of a running ``sync`` on a real API server, by itself and in a real browser without scripts."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.filling import Filling
from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.integration.day.disorder import settle
from tests.integration.neighbours.browser import CHROMIUM, DRIVER, Browser, browsing
from tests.integration.site.playground import COPY, Playground, eventually

Maker = Callable[..., Playground]

MANY = 5000
PASSWORD = "marker-hunter2"  # noqa: S105 (invented)
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
"""A folder to write what is seen into, for the documentation."""

in_a_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="A browser is needed: `make e2e-setup` installs chromium and chromium-driver."
)


def take(browser: Browser, name: str, tmp_path: Path) -> None:
    """Take a picture, into the folder for the documentation if there is one."""
    file = (Path(SCREENSHOTS) if SCREENSHOTS else tmp_path) / f"{name}.png"
    browser.screenshot(file)
    assert file.read_bytes().startswith(b"\x89PNG")


def headers(process: PullSecrets, path: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", process.metrics_port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status, dict(response.getheaders())
    finally:
        connection.close()


def test_the_page_can_be_turned_off(ours: Playground) -> None:
    off = ours.installation.start_sync("--no-status-page")
    off.wait_ready()
    assert off.get("/")[0] == 404
    assert off.get("/status")[0] == 200


@pytest.fixture(scope="module")
def small(cluster: Cluster) -> Iterator[tuple[PullSecrets, list[str], str]]:
    """Ten namespaces: nine in order, one with a foreign Secret in the copy's place."""
    with Playground.make(cluster) as ours:
        sync = ours.start_sync(PASSWORD)
        names = [ours.namespace(selected=True) for _ in range(9)]
        foreign = ours.namespace(selected=False)
        ours.apply(foreign, "Secret", COPY, {"stringData": {"theirs": "value"}})
        ours.opt(foreign, "enabled")
        settle(sync)
        yield sync, names, foreign


def test_the_page_shows_each_namespace_and_no_content(small: tuple[PullSecrets, list[str], str]) -> None:
    sync, names, foreign = small
    _, text = eventually(lambda: sync.get("/"), lambda seen: "CopyConflict" in seen[1])
    assert all(name in text for name in (*names, foreign))
    assert PASSWORD not in text
    status, told = headers(sync, "/?q=x")
    assert status == 200
    assert told["content-security-policy"].startswith("default-src 'none'")
    assert (told["content-type"], told["cache-control"]) == ("text/html; charset=utf-8", "no-store")


@in_a_browser
def test_ten_namespaces_in_a_browser_without_scripts(small: tuple[PullSecrets, list[str], str], tmp_path: Path) -> None:
    sync, _, foreign = small
    with browsing(tmp_path) as browser:
        browser.resize(1100, 1000)
        browser.open(f"http://127.0.0.1:{sync.metrics_port}/")
        assert browser.text("h1") == [f"pull-secret-webhook, release {'/'.join(release(sync))}"]
        take(browser, "status-page", tmp_path)
        assert browser.role("input[name=q]") == ("searchbox", "Name contains")
        assert browser.role("select[name=state]")[0] == "combobox"
        assert browser.role("form")[0] == "search"

        browser.type("input[name=q]", foreign)
        browser.follow("button")
        assert browser.text("tbody th:only-of-type")[-1] == foreign
        assert [text for text in browser.text("td") if text == "conflicting"] == ["conflicting"]
        browser.open(f"http://127.0.0.1:{sync.metrics_port}/?state=conflicting")
        assert foreign in browser.text("tbody th")

        browser.resize(400, 900)
        browser.open(f"http://127.0.0.1:{sync.metrics_port}/")
        assert browser.width() <= 500  # a narrow window: tables scroll by themselves, the page does not
        take(browser, "status-page-narrow", tmp_path)


def release(sync: PullSecrets) -> tuple[str, str]:
    status = json.loads(sync.get("/status")[1])
    return status["releaseNamespace"], status["release"]


@in_a_browser
def test_five_thousand_namespaces_in_a_browser(control_plane: binaries.Binaries, tmp_path: Path) -> None:  # noqa: ARG001
    names = [f"team-{number:04}" for number in range(MANY)]
    with Cluster.start() as cluster, Playground.make(cluster) as ours:
        ours.set_source("first")
        Filling(cluster.kubeconfig).create(names, {ours.label: "enabled"})
        sync = ours.installation.start_sync()
        sync.wait_ready()
        settle(sync, seconds=300)
        status, text = sync.get("/")
        assert status == 200
        assert len(text) < 100_000
        with browsing(tmp_path) as browser:
            browser.resize(1280, 1400)
            browser.open(f"http://127.0.0.1:{sync.metrics_port}/")
            take(browser, "status-page-many", tmp_path)
            browser.type("input[name=q]", "team-49")
            browser.follow("button")
            assert "1 to 100 of 100 found" in " ".join(browser.text("caption"))
            browser.open(f"http://127.0.0.1:{sync.metrics_port}/?state=current")
            browser.follow("nav a")
            assert "101 to 200 of 5000 found" in " ".join(browser.text("caption"))
