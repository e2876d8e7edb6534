"""The Pods and ServiceAccounts that decisions are about, and the references that they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class LocalObjectReference(msgspec.Struct, gc=False):
    """One entry of ``imagePullSecrets``, as the API has it; a missing or null name is an empty one."""

    name: str | None = None


class References(msgspec.Struct, frozen=True, gc=False):
    """The ``imagePullSecrets`` of an object: whether the list exists, and the names in it, in order.

    A list that was read by :func:`webhook.core.referencelist.read_reference_list` holds only the names that were asked
    for. ``positions`` says where each of them is; None stands for 0, 1, 2, and so on.
    """

    present: bool = False
    names: tuple[str, ...] = ()
    positions: tuple[int, ...] | None = None
    length: int | None = None
    """Number of entries in the whole list; None where ``names`` holds all of them."""
    truncated: bool = False
    """Whether the list has more entries with these names than are kept here: then these are its last ones."""

    @property
    def count(self) -> int:
        """The number of entries in the whole list."""
        return len(self.names) if self.length is None else self.length

    def entries(self) -> Iterable[tuple[int, str]]:
        """Return the position and the name of each entry that is kept, in the order of the list."""
        return enumerate(self.names) if self.positions is None else zip(self.positions, self.names, strict=True)


def references_of(entries: Sequence[LocalObjectReference | None] | None) -> References:
    """Return the references in a decoded list; null entries count as entries with an empty name."""
    if entries is None:
        return References()
    return References(present=True, names=tuple((entry.name or "") if entry else "" for entry in entries))


def read_references(value: object) -> References | None:
    """Return the references in an ``imagePullSecrets`` of parsed JSON; None for a value of a wrong type."""
    try:
        return references_of(msgspec.convert(value, list[LocalObjectReference | None] | None))
    except msgspec.ValidationError:
        return None


class Subject(msgspec.Struct, frozen=True):
    """What a decision reads of a Pod or a ServiceAccount.

    A struct like its neighbours, because each review makes one of each: a frozen dataclass takes four times as long.
    """

    kind: Literal["Pod", "ServiceAccount"]
    name: str
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    references: References
    service_account: str = ""
    images: tuple[str, ...] = ()
    generate_name: str = ""
    """Nothing is decided by it; it tells people which Pod it was, because most come without a name yet."""
