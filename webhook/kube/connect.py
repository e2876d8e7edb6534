"""Create a client with the credentials of a kubeconfig or of the Pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.errors import UsageError
from webhook.kube.access import Access, in_cluster
from webhook.kube.client import REQUEST_TIMEOUT, Client
from webhook.kube.connectivity import Connectivity
from webhook.kube.kubeconfig import context_names, kubeconfig_files, plain_access
from webhook.rules.text import some

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from webhook.kube.client import Observer
    from webhook.kube.rights import MissingRights

CONTEXTS_SHOWN = 10
"""Names in the message about an unknown context; the closest is the first."""


def connect(
    kubeconfig: Path | None = None,
    context: str | None = None,
    *,
    observer: Observer | None = None,
    on_throttled: Callable[[float], None] | None = None,
    connectivity: Connectivity | None = None,
    request_timeout: float = REQUEST_TIMEOUT,
    rights: MissingRights | None = None,
) -> Client:
    """Return a client for a kubeconfig file, else for the Pod's own ServiceAccount, else for the default kubeconfig.

    ``observer(method, status, seconds)`` is called for every response; status 0 means that there was none.
    ``on_throttled(seconds)`` is called for every 429 of the API server itself that has a Retry-After.
    ``request_timeout`` in seconds bounds the silence in each request except a watch. Clients of one process share a
    ``connectivity``, and ``rights``, which remembers the missing ones.

    Raises:
        UsageError: there is no usable configuration.
    """
    if kubeconfig is not None and not kubeconfig.exists():
        raise UsageError(
            f"kubeconfig {kubeconfig} cannot be read: it does not exist; give a readable file with --kubeconfig"
        )
    access = _simple_access(kubeconfig, context)
    if access is None:
        # Before the slow import: the package would name the unknown context, but not those that exist.
        _refuse_unknown_context(kubeconfig, context)
        from webhook.kube.kubernetes_config import packaged_access  # noqa: PLC0415 - half a second, and 40 MiB

        access = packaged_access(kubeconfig, context)
    return Client(access, observer, on_throttled, connectivity or Connectivity(), request_timeout, rights)


def _refuse_unknown_context(kubeconfig: Path | None, context: str | None) -> None:
    """Raise UsageError for a context that readable kubeconfig files do not have, with those that they have."""
    files = kubeconfig_files(kubeconfig)
    names = context_names(files) if context else []
    if not context or not names or context in names:
        return
    from difflib import get_close_matches  # noqa: PLC0415 - only for this message

    shown = list(dict.fromkeys([*get_close_matches(context, names, n=1), *names]))
    location = f"kubeconfig {':'.join(map(str, files))}"
    raise UsageError(f"{location} has no context {context}; choose with --context: {some(shown, CONTEXTS_SHOWN)}")


def _simple_access(kubeconfig: Path | None, context: str | None) -> Access | None:
    try:
        if kubeconfig is not None:
            return plain_access(kubeconfig, context)
        # A context is an entry of a kubeconfig, so the ServiceAccount of the Pod is not meant.
        return in_cluster() if context is None else None
    except (OSError, ValueError):
        # The code that reads every kubeconfig reports the error in it.
        return None
