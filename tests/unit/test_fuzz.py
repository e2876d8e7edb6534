"""Each target of tests.fuzz for a moment: the corpus first, then what becomes of it when it is damaged."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.mutator import LARGEST, mutate, run
from tests.fuzz.targets import TARGETS

SECONDS = 0.4
LEAST = 100
"""Inputs in that time, even on a machine that is busy with other things."""


def seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_is_found(name: str, record_property: Callable[[str, object], None]) -> None:
    count = run(TARGETS[name], seeds(name), SECONDS, random.randrange(2**32))  # noqa: S311
    record_property("executions", count)
    assert count > LEAST


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(TARGETS)
    assert all(len(seeds(name)) > 10 for name in TARGETS)


def test_a_failure_tells_the_input() -> None:
    def target(data: bytes) -> None:
        assert b"bad" not in data

    with pytest.raises(AssertionError) as failed:
        run(target, [b"good", b"bad"], 0, 1)
    assert failed.value.__notes__ == ["input, to be kept in the corpus: b'bad'"]


def test_the_same_seed_makes_the_same_inputs() -> None:
    first, second = ([mutate(b"a" * 50, [b"b"], random.Random(7)) for _ in range(50)] for _ in range(2))  # noqa: S311
    assert first == second
    assert max(map(len, first)) <= LARGEST


def test_without_atheris_it_is_said_how_to_get_it() -> None:
    program = "import sys; sys.modules['atheris'] = None; from tests.fuzz.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "review"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "tests.fuzz needs atheris: uv sync --group fuzz, or make fuzz, which does it\n"
