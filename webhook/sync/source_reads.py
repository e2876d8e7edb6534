"""Read sources by name, when what the watches have delivered is not enough.

A new leader reads each source before its first write. Each copy names the versions of the sources that it was made
from. If a copy was made from a newer version than the one that is known here, this process is behind, or etcd was
restored, or a person edited the copy. One read shows which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from webhook.errors import Conflict, NotFound
from webhook.kube.resources import SECRETS
from webhook.sync.shapes import decode_secret
from webhook.sync.sources import absent_source, read_source

if TYPE_CHECKING:
    from webhook.kube.client import Client
    from webhook.rules.objects import Copy
    from webhook.sync.sources import Content, SourceStore

log = structlog.get_logger(__name__)


class SourceReads:
    """Reads sources in the release's ``namespace``, and passes them to the book."""

    def __init__(self, client: Client, namespace: str, sources: SourceStore) -> None:
        self._client = client
        self._namespace = namespace
        self._sources = sources

    def read(self, name: str, newer: str = "") -> bool:
        """Read the current state of a source; False if a watch has delivered a later one in the meantime.

        Raises:
            ApiError: there was no answer, and the known state is unchanged.
        """
        arrivals_before = self._sources.arrivals(name)
        try:
            source = read_source(decode_secret(self._client.get(SECRETS, name, self._namespace)))
        except NotFound:
            source = absent_source(name)
        return self._sources.observe_read(source, arrivals_before, newer)

    def verify(self, copy: Copy, content: Content) -> None:
        """Return if a copy may be overwritten with a content.

        Raises:
            Conflict: the copy was made from newer sources. They have been read, so plan again.
            ApiError: a source could not be read, so the copy must not be written.
        """
        newer = self._sources.unconfirmed(copy, content)
        for source in newer:
            log.info("source read again", source=source.name, namespace=copy.namespace, newer=source.resource_version)
            self.read(source.name, source.resource_version)
        if newer:
            names = ", ".join(source.name for source in newer)
            raise Conflict(f"Secret {copy.namespace}/{copy.name} was made from newer versions of its sources: {names}")
