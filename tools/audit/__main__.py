"""Look up known vulnerabilities of everything that is locked, if a database can be reached."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NO_ANSWER = ("error sending request", "Request failed", "dns error", "timed out")


def main() -> int:
    """Return 1 if a dependency has a known vulnerability, 0 if none has or the database cannot be reached."""
    parser = argparse.ArgumentParser(prog="python -m tools.audit", description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to use")
    return audit(parser.parse_args().uv)


def audit(uv: str) -> int:
    """Look up every dependency, those of the tests too."""
    command = [uv, "audit", "--frozen", "--preview-features=audit-command"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode and any(sign in result.stderr for sign in NO_ANSWER):
        print("not audited: the database of known vulnerabilities cannot be reached from here")
        return 0
    print(result.stdout + result.stderr, end="")
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
