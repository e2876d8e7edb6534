"""A headless Chromium, driven by Selenium; without scripts unless a test turns them on."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
PAGE_SECONDS = 60.0
_ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars")
_NO_SCRIPTS = {"profile.managed_default_content_settings.javascript": 2}


class Browser:
    """One session; elements are found by CSS selectors."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver
        self.open = driver.get
        self.resize = driver.set_window_size

    def emulate(self, width: int, height: int, *, dark: bool = False) -> None:
        """Show pages as on a screen of this size, which may be narrower than a window can be, in light or dark mode."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str) -> Any:  # noqa: ANN401 (any JSON)
        """Run the body of a function of the test, which needs no leave of the page, and return its result."""
        return self._driver.execute_script(script)

    def press(self, key: str) -> None:
        """Press a key, wherever the focus is."""
        webdriver.ActionChains(self._driver).send_keys(key).perform()

    def allow_clipboard(self) -> None:
        """Let pages write to the clipboard and the test read it."""
        permissions = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        self._driver.execute_cdp_cmd("Browser.grantPermissions", permissions)

    def clipboard(self) -> str:
        """Return the text on the clipboard."""
        script = "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))"
        return str(self._driver.execute_async_script(script))

    def complaints(self) -> list[str]:
        """Return what the browser reported in its console, such as violations of a Content-Security-Policy."""
        return [entry["message"] for entry in self._driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def text(self, selector: str) -> list[str]:
        """Return the visible text of each element."""
        return [element.text for element in self._driver.find_elements(By.CSS_SELECTOR, selector)]

    def type(self, selector: str, text: str) -> None:
        element = self._one(selector)
        element.clear()
        element.send_keys(text)

    def follow(self, selector: str) -> None:
        """Click what leads to a page, and wait until the old page is gone."""
        before = self._one("html")
        self._one(selector).click()
        WebDriverWait(self._driver, PAGE_SECONDS).until(staleness_of(before))

    def click(self, selector: str) -> None:
        self._one(selector).click()

    def role(self, selector: str) -> tuple[str, str]:
        """Return the role and the name of an element, as a screen reader is told."""
        element = self._one(selector)
        return element.aria_role, element.accessible_name

    def width(self) -> int:
        """Return the width of the page, which may be larger than the window."""
        return int(str(self._one("html").get_property("scrollWidth")))

    def screenshot(self, file: Path) -> None:
        assert self._driver.save_screenshot(str(file))

    def _one(self, selector: str) -> WebElement:
        (element,) = self._driver.find_elements(By.CSS_SELECTOR, selector)
        return element


@contextlib.contextmanager
def browsing(folder: Path, *, scripts: bool = False) -> Iterator[Browser]:
    """A browser of the test's own, with its profile in a folder. Both programs are given, so nothing is downloaded."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    if not scripts:
        options.add_experimental_option("prefs", _NO_SCRIPTS)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(str(DRIVER), log_output=str(folder / "chromedriver.log"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
