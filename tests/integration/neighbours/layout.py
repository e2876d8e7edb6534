"""Measure how a page is laid out, in the browser that shows it."""

from __future__ import annotations

from tests.integration.neighbours.browser import Browser

CONTRAST = 7.0
"""WCAG 2.2, 1.4.6 (AAA)."""

_TEXTS = """
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), texts = [];
while (walker.nextNode()) {
  const node = walker.currentNode;
  const shown = !node.parentElement.closest("script, style") && node.parentElement.checkVisibility();
  if (shown && node.data.trim()) texts.push(node);
}
"""

_BROKEN_WORDS = (
    _TEXTS
    + """
const broken = [];
for (const node of texts) for (const word of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
  const range = document.createRange();
  range.setStart(node, word.index);
  range.setEnd(node, word.index + word[0].length);
  const lines = new Set([...range.getClientRects()].filter((each) => each.width).map((each) => Math.round(each.top)));
  if (lines.size > 1) broken.push(word[0]);
}
return broken;
"""
)

_OVERFLOWING = (
    _TEXTS
    + """
const over = texts.filter((node) => {
  const range = document.createRange();
  range.selectNodeContents(node);
  const box = range.getBoundingClientRect();
  return box.width && box.right > 0 && box.right > innerWidth + 0.5;
}).map((node) => node.data);
const width = document.documentElement.scrollWidth;
return width > innerWidth ? [`the page: ${width}`, ...over] : over;
"""
)

_CONTRASTS = (
    _TEXTS
    + """
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = (color) => {
  const [r, g, b] = numbers(color).slice(0, 3).map((each) => each / 255)
    .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const color = getComputedStyle(each).backgroundColor;
    if (numbers(color)[3] !== 0) return color;
  }
  return "rgb(255, 255, 255)";
};
return texts.map((node) => {
  const [one, other] = [getComputedStyle(node.parentElement).color, ground(node.parentElement)].map(luminance);
  return [node.data.trim(), (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)];
});
"""
)

_FOCUS = """
const element = document.activeElement, style = getComputedStyle(element);
if (element === document.body) return null;
const reachable = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")];
return [reachable.indexOf(element), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
"""

_REACHABLE = 'return document.querySelectorAll("a[href], button, input:not([type=hidden]), summary").length'
_TAB = "\ue004"


def broken_words(browser: Browser) -> list[str]:
    """Return the words that are continued in the next line without a hyphen or another place to break."""
    found: list[str] = browser.run(_BROKEN_WORDS)
    return found


def overflowing(browser: Browser) -> list[str]:
    """Return the texts that end beyond the screen."""
    found: list[str] = browser.run(_OVERFLOWING)
    return found


def contrasts(browser: Browser) -> dict[str, float]:
    """Return the contrast of each text with what is behind it."""
    return dict(browser.run(_CONTRASTS))


def tab_through(browser: Browser) -> tuple[list[int], int]:
    """Press Tab until the end of the page; return which elements had a visible focus, and how many there are."""
    reachable: int = browser.run(_REACHABLE)
    seen: list[int] = []
    for _ in range(reachable):
        browser.press(_TAB)
        focus = browser.run(_FOCUS)
        if focus is None:
            break
        number, is_visible = focus
        assert is_visible, f"the focus on element {number} is not visible"
        seen.append(number)
    return seen, reachable
