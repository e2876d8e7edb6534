"""The status page of a running ``sync`` on a real API server, by itself and in a real browser."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.filling import Filling
from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.processes import PullSecrets
from tests.integration.day.disorder import settle
from tests.integration.neighbours.browser import CHROMIUM, DRIVER, Browser, browsing
from tests.integration.neighbours.layout import CONTRAST, broken_words, contrasts, overflowing, tab_through
from tests.integration.site import stage
from tests.integration.site.playground import COPY, Playground, eventually
from tests.integration.site.stage import CONFLICT, DENIED, LONGEST, MISTYPED, Stage
from webhook.report.explain.commands import rename_command

Maker = Callable[..., Playground]

MANY = 1000
PASSWORD = "marker-hunter2"  # noqa: S105 (invented)
in_a_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="A browser is needed: `make e2e-setup` installs chromium and chromium-driver."
)


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
        eventually(lambda: sync.get("/")[1], lambda text: "CopyConflict" in text)
        settle(sync)
        yield sync, names, foreign


def test_the_page_shows_each_namespace_and_no_content(small: tuple[PullSecrets, list[str], str]) -> None:
    sync, names, foreign = small
    _, text = sync.get("/")
    assert "CopyConflict" in text
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
        assert browser.text("h1") == ["pull-secret-webhook"]
        assert f"release {'/'.join(release(sync))}" in browser.text(".facts li")
        assert browser.role("input[name=q]") == ("searchbox", "Name contains")
        assert browser.role("form")[0] == "search"

        browser.type("input[name=q]", foreign)
        browser.follow("button")
        assert browser.text("tbody th:only-of-type")[-1] == foreign
        assert [text for text in browser.text("td") if text == "conflicting"] == ["conflicting"]
        browser.follow(".chips .bad")
        assert foreign in browser.text("tbody th")
        assert browser.text(".chips [aria-current]") == ["conflicting 1"]

        browser.resize(400, 900)
        browser.open(f"http://127.0.0.1:{sync.metrics_port}/")
        assert browser.width() <= 500


def release(sync: PullSecrets) -> tuple[str, str]:
    status = json.loads(sync.get("/status")[1])
    return status["releaseNamespace"], status["release"]


@in_a_browser
def test_a_thousand_namespaces_in_a_browser(control_plane: binaries.Binaries, tmp_path: Path) -> None:  # noqa: ARG001
    names = [f"team-{number:04}" for number in range(MANY)]
    with Cluster.start() as cluster, Playground.make(cluster) as ours:
        ours.set_source("first")
        Filling(cluster.kubeconfig).create(names, {ours.label: "enabled"})
        sync = ours.installation.start_sync()
        sync.wait_ready()
        eventually(lambda: sync.get("/?state=current")[1], lambda text: "of 1,000 found" in words_of(text), seconds=300)
        status, text = sync.get("/")
        assert status == 200
        assert len(text) < 100_000
        with browsing(tmp_path) as browser:
            browser.resize(1280, 1400)
            browser.open(f"http://127.0.0.1:{sync.metrics_port}/")
            browser.type("input[name=q]", "team-09")
            browser.follow("button")
            assert "1 to 100 of 100 found" in " ".join(browser.text("caption"))
            browser.open(f"http://127.0.0.1:{sync.metrics_port}/?state=current")
            browser.follow("nav[aria-label^=Pages] a")
            assert "101 to 200 of 1,000 found" in " ".join(browser.text("caption"))


@pytest.fixture(scope="module")
def staged(control_plane: binaries.Binaries) -> Iterator[Stage]:  # noqa: ARG001
    with stage.staged() as made:
        yield made


def words_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_what_needs_attention_comes_with_a_sentence_a_command_and_an_explanation(staged: Stage) -> None:
    headline = "3 namespaces and 2 other findings need attention"
    text = eventually(lambda: staged.sync.get("/")[1].replace("<wbr>", ""), lambda seen: headline in words_of(seen))
    words = words_of(text)
    for expected in (
        f"cluster {stage.CLUSTER_NAME}",
        " ".join(rename_command(CONFLICT, COPY).split()),
        f"kubectl -n {DENIED} get events --field-selector source=pull-secret-webhook",
        "exceeded quota",
        f"kubectl label namespace {MISTYPED} {stage.LABEL}=enabled --overwrite",
        "create secret docker-registry quay",
        "the rotation reached all copies in",
    ):
        assert expected in words, expected
    assert stage.PASSWORD not in text
    status, explained = staged.sync.get("/reasons")
    assert status == 200
    links = set(re.findall(r'href="reasons#([^"]+)"', text))
    assert {"copy-conflict", "denied", "source-absent"} <= links
    assert all(f'id="{link}"' in explained for link in links)


def test_the_commands_run_as_they_are(staged: Stage) -> None:
    text = staged.sync.get("/")[1].replace("<wbr>", "")
    commands = re.findall(r'<code class="command">([^<]+)</code>', text)
    assert len(commands) >= 4
    for command in commands:
        line = html.unescape(command)
        assert line.startswith("kubectl ")
        changes = re.search(r"kubectl (label|apply|-n \S+ create)\b", line)
        in_a_shell(staged, f"{line} --dry-run=server" if changes else line)


def in_a_shell(staged: Stage, line: str) -> None:
    """Run a command as a person pastes it, but with the kubectl and the identity of the tests."""
    cluster = staged.playground.cluster
    path = f"{cluster.kubectl_path.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(cluster.directory), "KUBECONFIG": str(cluster.kubeconfig)}
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}: {done.stderr}"


@in_a_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
@pytest.mark.parametrize("path", ["", "?q=team", "reasons"])
def test_the_layout_on_each_screen(browser: Browser, staged: Stage, path: str, width: int, *, dark: bool) -> None:
    browser.emulate(width, 900, dark=dark)
    browser.open(f"{staged.url}{path}")
    assert overflowing(browser) == []
    assert broken_words(browser) == []
    poor = {text: ratio for text, ratio in contrasts(browser).items() if ratio < CONTRAST}
    assert poor == {}


@in_a_browser
def test_the_expiry_of_each_source_is_shown_on_a_phone(browser: Browser, staged: Stage) -> None:
    browser.emulate(320, 900)
    browser.open(staged.url)

    assert stage.LONGEST_SOURCE in browser.text("tbody th")
    expiries = browser.text("td[data-label=Expiry]")
    assert sorted(text.partition(" (")[0] for text in expiries) == ["expires in 2 days", "expires in 46 days"]
    assert overflowing(browser) == []


@in_a_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_layout_of_the_page_of_coverage(browser: Browser, staged: Stage, tmp_path: Path, *, dark: bool) -> None:
    file = tmp_path / "coverage.html"
    file.write_text(staged.coverage())
    for width in (320, 390, 768, 1280, 1920):
        browser.emulate(width, 900, dark=dark)
        browser.open(file.as_uri())
        assert browser.text(".headline") == ["1 of 6 workloads would fail on a fresh node"]
        assert (overflowing(browser), broken_words(browser)) == ([], [])
        assert min(contrasts(browser).values()) >= CONTRAST


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that runs the script of the page."""
    with browsing(tmp_path_factory.mktemp("browser"), scripts=True) as made:
        yield made


@in_a_browser
def test_a_broken_word_and_an_overflow_would_be_seen(browser: Browser) -> None:
    browser.emulate(320, 900)
    browser.open("data:text/html,<body style='width:4em;overflow-wrap:anywhere;color:%23888'>incomprehensibilities")
    assert broken_words(browser) == ["incomprehensibilities"]
    assert contrasts(browser)["incomprehensibilities"] < CONTRAST
    browser.open("data:text/html,<p style='width:40em'>too wide for a phone, and not by little: it goes on and on</p>")
    assert overflowing(browser)[0].startswith("the page: ")


@in_a_browser
def test_everything_can_be_reached_with_the_keyboard(browser: Browser, staged: Stage) -> None:
    browser.emulate(1280, 900)
    browser.open(staged.url)
    seen, reachable = tab_through(browser)
    assert seen == list(range(reachable))
    assert reachable > len(stage.TEAMS)


@in_a_browser
def test_a_button_copies_the_command_and_the_policy_allows_no_other_script(browser: Browser, staged: Stage) -> None:
    browser.emulate(1280, 900)
    browser.allow_clipboard()
    browser.open(staged.url)
    browser.click("#attention + .cards .card:first-child button")
    assert browser.clipboard() == browser.text("#attention + .cards .card:first-child .command")[0]
    assert browser.complaints() == []
    browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    assert "Content Security Policy" in browser.complaints()[0]


@in_a_browser
def test_without_scripts_every_filter_works(staged: Stage, tmp_path: Path) -> None:
    with browsing(tmp_path) as browser:
        browser.open(staged.url)
        assert browser.text(".next button") == []
        browser.follow(".chips li:nth-child(2) a")
        assert browser.text(".chips [aria-current]")[0].startswith("failing")
        assert browser.text("tbody th")[-1] == DENIED
        browser.open(f"{staged.url}?q={LONGEST}")
        assert browser.text("tbody th")[-1] == LONGEST
