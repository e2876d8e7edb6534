"""``python -m tools.site``: build the site of docs/ into site/, strictly.

A link or an anchor that leads nowhere, a page that the index does not name, and anything that a page would fetch from
elsewhere are errors.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.site.outside import fetched_from_elsewhere
from tools.site.staging import stage

ROOT = Path(__file__).parents[2]


def build(root: Path, site: Path) -> int:
    """Build the site of the checkout ``root``; return the exit code."""
    shutil.rmtree(site, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="docs-") as folder:
        sources, trees = Path(folder, "docs"), Path(folder, "trees")
        stage(root, sources)
        options = [
            "--quiet",
            "--fail-on-warning",
            "--nitpicky",
            "--builder=html",
            f"--conf-dir={Path(__file__).parent}",
        ]
        sphinx = [sys.executable, "-m", "sphinx", *options, f"--doctree-dir={trees}", str(sources), str(site)]
        if code := subprocess.run(sphinx, cwd=ROOT, check=False).returncode:
            return code
    if references := fetched_from_elsewhere(site):
        print("error: fetched from elsewhere:", *references, sep="\n  ", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Build, and print the path of the site."""
    site = ROOT / "site"
    if code := build(ROOT, site):
        return code
    print(f"{len(list(site.rglob('*.html')))} pages: {site.relative_to(ROOT) / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
