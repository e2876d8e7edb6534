"""Keep a replica from leading while its configuration file is older than the ConfigMap.

The kubelet updates a mounted ConfigMap up to two minutes late, on one node later than on another. A replica with the
older file would revert the work of the previous leader. So before it takes the Lease, a replica reads the ConfigMap by
name. If its file differs, it leaves the Lease to others and checks again.

The read comes before the Lease is taken, which fails if another replica has led in between. So no configuration that a
previous leader had in force is newer than the one that was read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from webhook.errors import ApiError, Forbidden, NotFound
from webhook.files.watched_file import digest_of
from webhook.kube.resources import CONFIG_MAPS
from webhook.kube.wire import decode_config_map
from webhook.rules.versions import REVISION_ANNOTATION, Revision, parse_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.files.watched_file import ConfigurationFile
    from webhook.kube.client import Client

log = structlog.get_logger(__name__)

UNDECIDED_SECONDS = 30.0
"""Seconds for which an unreadable ConfigMap, or a response that is too old, keeps a replica from leading."""


class ConfigurationCheck:
    """Compares the configuration file with the ConfigMap ``name`` of the release namespace."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        file: ConfigurationFile,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.awaited = ""
        """The cause that keeps this replica from taking the Lease, by the last result of :meth:`may_lead`."""

        self._client = client
        self._namespace = namespace
        self._name = name
        self._file = file
        self._clock = clock
        self._file_revision: Revision | None = None
        self._undecided_since: float | None = None
        self._reported = ""

    def may_lead(self, lease_annotations: Mapping[str, str]) -> bool:
        """Return True if the file agrees with the ConfigMap; ``lease_annotations`` are the annotations of the Lease.

        A ConfigMap that does not exist, lacks the file, or must not be read cannot keep a replica from leading. One
        that cannot be read for another reason does so for :data:`UNDECIDED_SECONDS`.
        """
        self.awaited = self._obstacle(parse_revision(lease_annotations.get(REVISION_ANNOTATION, "")))
        return not self.awaited

    def annotations(self) -> Mapping[str, str]:
        """Return the annotations that the leader writes on its Lease."""
        return {} if self._file_revision is None else {REVISION_ANNOTATION: str(self._file_revision)}

    def file_changed(self) -> None:
        """Note the revision of a changed file, if the ConfigMap can be read and agrees with it."""
        try:
            current = self._read()
        except ApiError as error:
            log.info("configuration revision not read", cause=str(error))
            return
        # Only a revision that agrees with the file is noted: the next leader compares its ConfigMap with it.
        if current is not None and current.digest == self._file.digest:
            self._file_revision = current

    @property
    def _where(self) -> str:
        return f"ConfigMap {self._namespace}/{self._name}"

    def _obstacle(self, lease_revision: Revision | None) -> str:
        """Return the cause that prevents leading; empty if there is none."""
        try:
            current = self._read()
        except (Forbidden, NotFound) as error:
            self._report("configuration not compared", str(error))
            return ""
        except ApiError as error:
            return self._undecided(str(error))
        if current is None:
            self._report("configuration not compared", f"{self._where} has no key {self._file.path.name}")
            return ""
        # One API server of several may be behind, and its ConfigMap may be that of the time before the change.
        if current.is_older_than(lease_revision):
            return self._undecided("the API server returned an older version than the previous leader had")
        self._undecided_since = None
        if current.digest != self._file.digest:
            awaited = f"a configuration file {self._file.path} that agrees with {self._where}"
            self._report("lease left to others", f"this replica waits for {awaited}")
            return f"{awaited}: the kubelet updates it within about two minutes"
        self._file_revision, self._reported = current, ""
        return ""

    def _read(self) -> Revision | None:
        """Return the revision of the ConfigMap; None if it lacks the file."""
        config_map = decode_config_map(self._client.get(CONFIG_MAPS, self._name, self._namespace))
        document = config_map.data.get(self._file.path.name)
        if document is None:
            return None
        return Revision(config_map.metadata.uid, config_map.metadata.resource_version, digest_of(document.encode()))

    def _undecided(self, cause: str) -> str:
        """Return the obstacle if a comparison is impossible, until :data:`UNDECIDED_SECONDS` are over."""
        now = self._clock()
        if self._undecided_since is None or now - self._undecided_since > 2 * UNDECIDED_SECONDS:
            self._undecided_since = now  # not an earlier takeover, which another replica won
        if now - self._undecided_since >= UNDECIDED_SECONDS:
            self._report("configuration not compared", cause)
            return ""
        return f"the current {self._where}: {cause}"

    def _report(self, message: str, cause: str) -> None:
        """Log a message once, until it changes."""
        if self._reported != cause:
            log.warning(message, cause=cause)
        self._reported = cause
