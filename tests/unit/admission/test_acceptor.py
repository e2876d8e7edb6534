from __future__ import annotations

import resource
import subprocess
import sys

PROGRAM = """
import resource
from webhook.admission.acceptor import allow_files, most_connections
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), most_connections())
"""


def limits(soft: int, hard: int) -> list[int]:
    """Soft and hard limit and the number of connections, of a process that started with these limits."""
    program = PROGRAM.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def test_the_usual_limit_of_open_files_is_raised_to_what_connections_take() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= 4096:
        assert limits(1024, 4096) == [2600, 4096, 2500]
    assert limits(256, 512) == [512, 512, 412]
    assert limits(512, 512) == [512, 512, 412]
