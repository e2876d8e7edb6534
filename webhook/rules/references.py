"""Read the ``imagePullSecrets`` of a Pod or a ServiceAccount as names with positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class LocalObjectReference(msgspec.Struct, gc=False):
    """One entry of ``imagePullSecrets`` in the API; a missing or null name counts as empty."""

    name: str | None = None


class References(msgspec.Struct, frozen=True, gc=False):
    """The ``imagePullSecrets`` of an object: its presence, and the names in it, in order.

    A list from :func:`webhook.kube.objects.read_reference_list` contains only the requested names. ``positions``
    has their positions; None stands for 0, 1, 2, and so on.
    """

    present: bool = False
    names: tuple[str, ...] = ()
    positions: tuple[int, ...] | None = None
    length: int | None = None
    """Number of entries in the whole list; None if ``names`` has all of them."""
    truncated: bool = False
    """True if the list has more entries with these names than are kept here; the last ones are kept."""

    @property
    def count(self) -> int:
        """Return the number of entries in the whole list."""
        return len(self.names) if self.length is None else self.length

    def entries(self) -> Iterable[tuple[int, str]]:
        """Return the position and the name of each kept entry, in the order of the list."""
        return enumerate(self.names) if self.positions is None else zip(self.positions, self.names, strict=True)


def references_of(entries: Sequence[LocalObjectReference | None] | None) -> References:
    """Return the references in a decoded list; null entries count as entries with an empty name."""
    if entries is None:
        return References()
    return References(present=True, names=tuple((entry.name or "") if entry else "" for entry in entries))
