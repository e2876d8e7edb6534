"""Whom the admission port answers, where it asks its callers for a certificate.

The TLS handshake has verified the certificate by the time a connection is made; what is left is whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from webhook.admission.protocol import AdmissionProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from certs.files import WatchedFiles

log = structlog.get_logger(__name__)

_KINDS = frozenset({"DNS", "URI", "IP Address", "email"})
"""Of names in a subjectAltName, as the ssl module calls them."""


@dataclass(frozen=True, slots=True)
class Callers:
    """The authorities of callers, in a file, and the names of those that are answered; without names, all are."""

    authorities: WatchedFiles
    names: frozenset[str]

    def include(self, certificate: Mapping[str, Any]) -> bool:
        """Return whether the owner of a verified certificate, in the form of ``ssl.getpeercert``, is answered."""
        return not self.names or not self.names.isdisjoint(names_of(certificate))


def names_of(certificate: Mapping[str, Any]) -> list[str]:
    """Return the common names and the alternative names of a certificate in the form of ``ssl.getpeercert``."""
    subject = [pair for attributes in certificate.get("subject", ()) for pair in attributes]
    common = [value for key, value in subject if key == "commonName"]
    return [*common, *(value for kind, value in certificate.get("subjectAltName", ()) if kind in _KINDS)]


class CallerProtocol(AdmissionProtocol):
    """Refuses who is not among the callers before a byte of a request is looked at."""

    callers: Callers
    refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        certificate = transport.get_extra_info("peercert") or {}
        if not self.callers.include(certificate):
            self.refused = True
            self.traffic.refused_callers += 1
            log.warning("caller refused", names=names_of(certificate))
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self.refused:
            super().data_received(data)
