"""What a page would fetch from elsewhere is found; where its links lead is not fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.site.outside import fetched_from_elsewhere


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.com/x.js"></script>',
        '<script src="//cdn.example.com/x.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example.com/css">',
        '<link rel="preconnect" href="HTTPS://fonts.example.com">',
        '<img src="http://example.com/x.png">',
        '<img srcset="x.png 1x, https://example.com/x.png 2x">',
        '<svg><image href="https://example.com/x.png"/></svg>',
        '<iframe src="https://example.com"></iframe>',
        "<style>@import 'https://example.com/x.css';</style>",
        '<p style="background: url(https://example.com/x.png)">',
    ],
)
def test_a_request_of_a_page_is_found(html: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(html)
    assert len(fetched_from_elsewhere(tmp_path)) == 1


def test_fonts_of_a_style_are_found(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("@font-face { src: url('https://fonts.example.com/x.woff2'); }")
    assert fetched_from_elsewhere(tmp_path) == ["x.css: https://fonts.example.com/x.woff2"]


def test_links_and_what_the_site_has_itself_are_none(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://example.com">x</a><script src="_static/x.js"></script> <img src="data:image/png;base64,AA==">'
        "<code>curl https://example.com</code>"
    )
    (tmp_path / "x.css").write_text("/* https://example.com */ a { background: url(x.png); }")
    assert fetched_from_elsewhere(tmp_path) == []
