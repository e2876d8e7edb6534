"""Authorize the clients of the admission port by their certificates.

The TLS handshake has already verified the certificate; this module checks the names in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from certs.files import WatchedFiles

_KINDS = frozenset({"DNS", "URI", "IP Address", "email"})
"""Kinds of names in a subjectAltName, in the terms of the ssl module."""


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """The authorities of client certificates, in a file, and the names of the accepted clients.

    Without names, all clients with a certificate of these authorities are accepted.
    """

    authorities: WatchedFiles
    names: frozenset[str]

    def accepts(self, certificate: Mapping[str, Any]) -> bool:
        """Return whether a verified certificate, in the form of ``ssl.getpeercert``, belongs to an accepted client."""
        return not self.names or not self.names.isdisjoint(names_of(certificate))

    def rejected_names(self, certificate: Mapping[str, Any]) -> list[str] | None:
        """Return the names in the certificate of a client that is not accepted; None for an accepted client."""
        return None if self.accepts(certificate) else names_of(certificate)


def names_of(certificate: Mapping[str, Any]) -> list[str]:
    """Return the common names and the alternative names of a certificate in the form of ``ssl.getpeercert``."""
    # A client certificate of an API server may have only a common name, as those have that kubeadm issues.
    subject = [pair for attributes in certificate.get("subject", ()) for pair in attributes]
    common = [value for key, value in subject if key == "commonName"]
    return [*common, *(value for kind, value in certificate.get("subjectAltName", ()) if kind in _KINDS)]
