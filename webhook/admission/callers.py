"""Whom the admission port answers, where it asks its callers for a certificate.

The TLS handshake has verified the certificate by the time a connection is made; what is left is whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from certs.files import WatchedFiles

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

    def refuse(self, certificate: Mapping[str, Any]) -> list[str] | None:
        """Return the names in a certificate whose owner is not answered; None for one who is."""
        return None if self.include(certificate) else names_of(certificate)


def names_of(certificate: Mapping[str, Any]) -> list[str]:
    """Return the common names and the alternative names of a certificate in the form of ``ssl.getpeercert``."""
    subject = [pair for attributes in certificate.get("subject", ()) for pair in attributes]
    common = [value for key, value in subject if key == "commonName"]
    return [*common, *(value for kind, value in certificate.get("subjectAltName", ()) if kind in _KINDS)]
