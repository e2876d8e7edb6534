"""The site in a real browser: code is not cut off, and each block of code can be copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.integration.neighbours.browser import CHROMIUM, DRIVER
from tools.site.__main__ import ROOT, build

pytest.importorskip("sphinx", reason="`make docs` installs Sphinx")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="A browser is needed: `make e2e-setup` installs chromium and chromium-driver."
)

CUT_OFF = """
return [...document.querySelectorAll("pre")].filter(pre => pre.scrollWidth > pre.clientWidth).map(pre => pre.innerText)
"""
COPIED = """
const done = arguments[arguments.length - 1];
Object.defineProperty(navigator, "clipboard", {value: {writeText: async text => done(text)}});
[...document.querySelectorAll("div.highlight")].find(block => block.innerText.includes(arguments[0]))
  .querySelector("button.copy").click();
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert build(ROOT, folder) == 0
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A Chromium that runs scripts, 1280 px wide."""
    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER), log_output=str(folder / "driver.log")))
    yield driver
    driver.quit()


def test_no_line_of_code_is_cut_off_at_1280_pixels(site: Path, browser: webdriver.Chrome) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    cut = {}
    for page in pages:
        browser.get(page.as_uri())
        cut[page.name] = browser.execute_script(CUT_OFF)
    assert {name: found for name, found in cut.items() if found} == {}


def test_a_button_copies_a_command_whole_and_of_a_session_only_what_was_typed(
    site: Path, browser: webdriver.Chrome
) -> None:
    browser.get((site / "quickstart.html").as_uri())
    copied = browser.execute_async_script(COPIED, "helm install")
    assert copied.startswith("helm install pull-secret-webhook charts/pull-secret-webhook --namespace pull-secrets")
    assert copied.count("\\\n") == 2
    browser.get((site / "quickstart.html").as_uri())
    copied = browser.execute_async_script(COPIED, "kubectl get pod web")
    assert copied.splitlines() == [
        "kubectl get pod web -o jsonpath='{.spec.imagePullSecrets}'",
        "kubectl get secret registry-credentials",
    ]


def test_the_home_of_the_site_begins_with_what_the_product_is(site: Path, browser: webdriver.Chrome) -> None:
    browser.get((site / "index.html").as_uri())
    text = browser.execute_script("return document.querySelector('article').innerText")
    assert "Give every Pod in selected namespaces the credentials to pull private images." in text[:200]
    assert browser.execute_script("return document.querySelector('article img').naturalWidth") > 0
