"""``python -m tests.fuzz TARGET``: fuzz one target with atheris, and tell how often it was run."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz until the time is over, or something is found; the exit code tells which."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(each.name for each in CORPUS.iterdir()))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument(
        "--found", type=Path, default=None, help="where inputs go that were found (default: a new folder)"
    )
    wanted = parser.parse_args()
    try:
        import atheris  # noqa: PLC0415 - a group of its own: not everybody who tests needs it
    except ImportError:
        sys.exit("tests.fuzz needs atheris: uv sync --group fuzz, or make fuzz, which does it")
    with atheris.instrument_imports(include=["webhook", "tests.fuzz"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented as it is imported
    found = wanted.found or Path(tempfile.mkdtemp(prefix=f"fuzz-{wanted.target}-"))
    found.mkdir(parents=True, exist_ok=True)
    flags = [
        f"-max_total_time={wanted.seconds}",
        "-max_len=4096",
        "-timeout=5",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]
    # New inputs go into the first folder: the corpus of the repository is only read.
    argv = [sys.argv[0], *flags, f"-artifact_prefix={found}/found-", str(found), str(CORPUS / wanted.target)]
    atheris.Setup(argv, TARGETS[wanted.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
