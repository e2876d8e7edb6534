"""Parse the name of an object on the command line: ``pod/web``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHORT_NAMES: Mapping[str, str] = {
    "Pod": "po",
    "ServiceAccount": "sa",
    "Namespace": "ns",
    "Deployment": "deploy",
    "ReplicaSet": "rs",
    "StatefulSet": "sts",
    "DaemonSet": "ds",
    "Job": "",
    "CronJob": "cj",
    "ReplicationController": "rc",
    "reason": "",
}
"""The kinds, each with kubectl's short name."""

_KINDS = {
    word: kind for kind, short in _SHORT_NAMES.items() for word in (kind.lower(), f"{kind.lower()}s", short) if word
}


_GROUPS: Mapping[str, str] = {
    **dict.fromkeys(("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"), "apps"),
    **dict.fromkeys(("Job", "CronJob"), "batch"),
}
"""The API groups of the kinds; the others are in the core group, which has no name."""


class Target(msgspec.Struct, frozen=True):
    """A kind and a name. An unknown kind stays as it was typed."""

    kind: str
    name: str

    @property
    def is_known(self) -> bool:
        """Return whether objects of this kind can be explained."""
        return self.kind in _SHORT_NAMES


def complete_target(incomplete: str) -> list[str]:
    """Return completions of a target; for reasons, their ids."""
    if not incomplete.startswith("reason/"):
        return [prefix for prefix in ("pod/", "sa/", "ns/", "reason/") if prefix.startswith(incomplete)]
    from webhook.report.reasons import CATALOG  # noqa: PLC0415 - loaded only for completion

    return [completion for reason in CATALOG if (completion := f"reason/{reason}").startswith(incomplete)]


def parse_target(text: str, forms: str = "pod/NAME, deploy/NAME, sa/NAME, ns/NAME or reason/ID") -> Target:
    """Return the target of ``kind/name``. Raises UsageError, with the possible ``forms``, for other text."""
    kind, slash, name = text.partition("/")
    if not (kind and slash and name) or "/" in name:
        raise UsageError(f"{text} is not an object: write {forms}")
    plain = kind.partition(".")[0]  # kubectl allows the group, too: deployments.apps
    return Target(_KINDS.get(plain.lower(), kind), name)


def kind_of_several(word: str, name: str, *, has_flag: bool) -> str:
    """Return the kind if ``word`` is one, and no object of it is named; empty otherwise.

    Raises:
        UsageError: there is a flag about all objects of a kind (``has_flag``), and this is not a kind.
    """
    kind = "" if name or "/" in word else _KINDS.get(word.partition(".")[0].lower(), "")
    if kind and kind != "reason":
        return kind
    if has_flag:
        raise UsageError("-A, -l and -o name are about all objects of a kind: write the kind alone, such as pods")
    return ""


def kubectl_name(title: str) -> str:
    """Return an object as ``kubectl get -o name`` prints it, without its namespace: ``deployment.apps/api``."""
    kind, _, name = title.partition("/")
    group = _GROUPS.get(kind, "")
    return f"{kind.lower()}{f'.{group}' if group else ''}/{name}"
