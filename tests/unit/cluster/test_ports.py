"""Ports of several processes of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cluster.ports import free_port

ROOT = Path(__file__).parents[3]
OTHER = """
import random, sys
candidates = [int(word) for word in sys.argv[1:]]
random.sample = lambda *_: candidates
from tests.cluster.ports import free_port
print(free_port())
"""


def port_of_another_process(*candidates: int) -> int:
    """Return the port that another process takes of these, which it tries in their order."""
    command = [sys.executable, "-c", OTHER, *map(str, candidates)]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_no_port_is_handed_out_twice() -> None:
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)


def test_a_port_that_this_process_will_use_is_left_to_it_by_others() -> None:
    ours = free_port()
    others = [port for port in range(20_000, 20_200) if port != ours]
    assert port_of_another_process(ours, *others) in others
