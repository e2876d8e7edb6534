"""Read what a rotation of a pull secret would change, from its copies in a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import Forbidden, UsageError
from webhook.inspect.namespaces import list_namespaces
from webhook.inspect.reader import lacking
from webhook.kube.objects import decode_secret, to_copy
from webhook.kube.resources import SECRETS, Collection
from webhook.kube.storage import decode_stored
from webhook.report.rotation_forecast import RotationForecast, measured_pace
from webhook.rules.gates import selected_pull_secrets
from webhook.rules.ownership import Ownership, ownership_of
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import Installed
    from webhook.rules.configuration import PullSecret
    from webhook.rules.objects import Namespace


@dataclass
class _Changed:
    """The sums over the copies that a rotation changes."""

    copies: int = 0
    canary: int = 0
    stored_bytes: int = 0
    times: list[datetime] = field(default_factory=list)
    """When those outside the canary were last changed."""


def forecast_rotation(reader: Reader, installed: Installed, name: str) -> RotationForecast:
    """Return the prediction for a pull secret; UsageError if there is no such one, or if a right is missing."""
    entry = _entry(installed, name)
    configuration = installed.configuration
    namespaces = {
        namespace.name: namespace
        for namespace in list_namespaces(reader, configuration, running=installed.running)
        if not namespace.terminating and entry in selected_pull_secrets(configuration, namespace)
    }
    changed = _Changed()
    try:
        for data in reader.each(Collection(SECRETS, None, name), msgspec.Raw):
            _add(changed, data, installed, entry, namespaces)
    except Forbidden:
        what = f"{SECRETS.plural} named {name} across namespaces"
        next_command = f"kubectl auth can-i list secrets/{name} -A"
        raise UsageError(f"{lacking('list', what)}: ask for it. Next: {next_command}") from None
    return RotationForecast(
        name, changed.copies, changed.canary, changed.stored_bytes, entry.rollout, measured_pace(changed.times)
    )


def _add(
    changed: _Changed, data: msgspec.Raw, installed: Installed, entry: PullSecret, namespaces: Mapping[str, Namespace]
) -> None:
    """Add a Secret with the name to the sums, if it is a copy that sync would change."""
    copy = to_copy(decode_secret(data), installed.release)
    namespace = namespaces.get(copy.namespace)
    if namespace is None or copy.terminating or ownership_of(copy.mark, namespace.uid) is Ownership.FOREIGN:
        return
    stored = decode_stored(data)
    changed.copies += 1
    changed.stored_bytes += stored.after_update().stored_bytes()
    if entry.rollout is not None and entry.rollout.is_canary(copy.namespace):
        changed.canary += 1
    elif time := stored.changed_at:
        changed.times.append(datetime.fromisoformat(time))


def _entry(installed: Installed, name: str) -> PullSecret:
    entries = {entry.name: entry for entry in installed.configuration.pull_secrets}
    if name not in entries:
        known = f"it has {listed(sorted(entries))}" if entries else "it has none"
        raise UsageError(f"release {installed.release.name} has no pull secret {name}: {known}")
    if entries[name].tenant_owned:
        raise UsageError(
            f"Secret {name} belongs to each namespace, so its owners rotate it. Next: kubectl pullsecrets usage {name}"
        )
    return entries[name]
