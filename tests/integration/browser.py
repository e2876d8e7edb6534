"""A headless Chromium with scripts turned off, driven by the WebDriver protocol, as far as the tests need it.

Source: https://www.w3.org/TR/webdriver2/.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster.ports import free_port
from tests.cluster.supervise import wait_until

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
START_SECONDS = 60.0
COMMAND_SECONDS = 60.0
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_NO_SCRIPTS = {"profile.managed_default_content_settings.javascript": 2}


class Browser:
    """One session."""

    def __init__(self, port: int, session: str) -> None:
        self._port = port
        self._session = session

    def open(self, url: str) -> None:
        """Go to a page."""
        self._command("POST", "url", {"url": url})

    def resize(self, width: int, height: int) -> None:
        self._command("POST", "window/rect", {"width": width, "height": height})

    def text(self, selector: str) -> list[str]:
        """Return the visible text of each element that a CSS selector finds."""
        return [str(self._command("GET", f"element/{each}/text")) for each in self._find(selector)]

    def type(self, selector: str, text: str) -> None:
        (element,) = self._find(selector)
        self._command("POST", f"element/{element}/clear", {})
        self._command("POST", f"element/{element}/value", {"text": text})

    def follow(self, selector: str) -> None:
        """Click what leads to a page, and wait until that page is the one that is looked at."""
        (element,) = self._find(selector)
        before = self._find("html")
        self._command("POST", f"element/{element}/click", {})
        # A form has been sent, and nothing has come back yet: meanwhile elements of the old page are found.
        assert wait_until(lambda: self._find("html") not in ([], before), START_SECONDS)

    def role(self, selector: str) -> tuple[str, str]:
        """Return the role and the name of an element, as a screen reader is told."""
        (element,) = self._find(selector)
        role, label = (self._command("GET", f"element/{element}/computed{what}") for what in ("role", "label"))
        return str(role), str(label)

    def width(self) -> int:
        """Return how wide the page is, be it more than the window."""
        (element,) = self._find("html")
        return int(self._command("GET", f"element/{element}/property/scrollWidth"))

    def screenshot(self, file: Path) -> None:
        file.write_bytes(b64decode(str(self._command("GET", "screenshot"))))

    def close(self) -> None:
        self._command("DELETE", "")

    def _find(self, selector: str) -> list[str]:
        found: Any = self._command("POST", "elements", {"using": "css selector", "value": selector})
        return [each[_ELEMENT] for each in found]

    def _command(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        return _ask(self._port, method, f"/session/{self._session}/{path}".rstrip("/"), body)


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser of the test's own, with its profile in a folder."""
    port = free_port()
    with (folder / "chromedriver.log").open("w") as log:
        driver = subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=log, stderr=log)
        try:
            _await(port)
            browser = Browser(port, _session(port, folder))
            yield browser
            browser.close()
        finally:
            driver.terminate()
            driver.wait()


def _session(port: int, folder: Path) -> str:
    arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"]
    options = {
        "binary": CHROMIUM,
        "args": [*arguments, f"--user-data-dir={folder / 'profile'}"],
        "prefs": _NO_SCRIPTS,
    }
    wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
    return str(_ask(port, "POST", "/session", wanted)["sessionId"])


def _await(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if _ask(port, "GET", "/status")["ready"]:
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _ask(port: int, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=COMMAND_SECONDS)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        value = json.loads(response.read())["value"]
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise AssertionError(f"{method} {path}: {value}")
    return value
