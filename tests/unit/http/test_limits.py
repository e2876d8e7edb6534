from __future__ import annotations

import resource
import subprocess
import sys

from webhook.http.limits import RESERVED_FILES

PROGRAM = """
import resource
from webhook.http.limits import raise_file_limit, max_connections
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
raise_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), *max_connections())
"""


def limits(soft: int, hard: int) -> list[int]:
    """Soft and hard limit and the number of connections of both ports, of a process that started with these limits."""
    program = PROGRAM.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= 4096:
        assert limits(1024, 4096) == [4096, 4096, 2500, 128]
    assert limits(256, 512) == [512, 512, 309, 103]
    assert limits(512, 512) == [512, 512, 309, 103]


def test_the_two_ports_have_files_of_their_own() -> None:
    for files in (128, 256, 512, 1024):
        soft, _, admission, metrics = limits(files, files)
        assert admission + metrics <= soft - RESERVED_FILES
        assert admission > metrics > 0
