"""How tests are spread over the workers of a parallel run."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling


class ByFile(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Keeps the integration tests of a file together, and puts every other test where there is room.

    What the tests of such a file share (an installation with running processes, namespaces that an earlier test has
    filled) is then started once. The mark ``xdist_group`` would say the same, but pytest-xdist 3.8 writes it into what
    pytest 9.2 no longer reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if "/integration/" in file else nodeid
