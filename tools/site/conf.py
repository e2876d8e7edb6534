"""Configuration of Sphinx for the site; ``python -m tools.site`` makes errors of its warnings."""

from __future__ import annotations

from tools.image import builder

project = "pull-secret-webhook"
extensions = ["myst_parser"]
myst_heading_anchors = 6  # as GitHub makes them, which the links in the pages are written for
smartquotes = False
html_theme = "furo"
html_title = f"{project} {builder.version()}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["copy.js"]
html_copy_source = False
html_show_copyright = False
html_use_index = False
pygments_style = "friendly"
