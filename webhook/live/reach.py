"""Whether a replica of the webhook can answer, as far as that can be told without calling it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from webhook.core.explain.registration import Reach, Registration
from webhook.errors import Forbidden
from webhook.kube.resources import Collection, Resource
from webhook.kube.wire import ObjectMeta  # noqa: TC001 - msgspec evaluates the annotations

if TYPE_CHECKING:
    from webhook.live.reader import Reader
    from webhook.live.release import Installed
    from webhook.live.webhooks import ClientConfig, ServiceReference

ENDPOINT_SLICES = Resource("/apis/discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
HANDSHAKE_SECONDS = 3.0
_HTTPS = 443


class _Conditions(msgspec.Struct, frozen=True):
    ready: bool | None = None


class _Endpoint(msgspec.Struct, frozen=True):
    conditions: _Conditions = _Conditions()


class EndpointSlice(msgspec.Struct, frozen=True):
    """A discovery/v1 EndpointSlice."""

    metadata: ObjectMeta
    endpoints: tuple[_Endpoint, ...] | None = None


def registration_of(reader: Reader, installed: Installed) -> Registration | None:
    """Return what the API server asks the webhook about; None where that may not be read."""
    if installed.webhook is None:
        gone = Registration(installed.release.name, (), Reach(answers=None, why=""))
        return gone if installed.may_list_webhooks else None
    configuration = installed.webhook
    hooks = tuple(each.hook() for each in configuration.webhooks)
    client = configuration.webhooks[0].client_config
    return Registration(configuration.metadata.name, hooks, reach_of(reader, client))


def reach_of(reader: Reader, client: ClientConfig) -> Reach:
    """Return whether a replica answers where the API server would call it."""
    if client.service is not None:
        return _of_service(reader, client.service)
    return _of_url(client.url or "", client.ca_bundle)


def _of_service(reader: Reader, service: ServiceReference) -> Reach:
    where = f"Service {service.namespace}/{service.name}"
    query = {"labelSelector": f"kubernetes.io/service-name={service.name}"}
    try:
        slices = list(reader.each(Collection(ENDPOINT_SLICES, service.namespace), EndpointSlice, query))
    except Forbidden:
        reader.lacks("list", "endpointslices", service.namespace)
        return Reach(answers=None, why=f"you may not see which replicas {where} leads to")
    ready = sum(endpoint.conditions.ready is not False for each in slices for endpoint in each.endpoints or ())
    return Reach(ready > 0, f"{where} leads to {ready} replica{'' if ready == 1 else 's'} that {_are(ready)} ready")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _of_url(url: str, ca_bundle: str) -> Reach:
    """Try a TLS handshake: what is reached from here may still not be reached by the API server, and the reverse."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or _HTTPS
    try:
        context = ssl.create_default_context(cadata=b64decode(ca_bundle).decode("ascii") if ca_bundle else None)
        with (
            socket.create_connection((host, port), timeout=HANDSHAKE_SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=host),
        ):
            return Reach(answers=True, why=f"{_shown(host)}:{port} answers with a certificate that the caBundle trusts")
    except ssl.SSLCertVerificationError as error:
        return Reach(answers=False, why=f"the certificate at {_shown(host)}:{port} is refused: {error.verify_message}")
    except (OSError, ValueError):
        return Reach(answers=None, why=f"{_shown(host)}:{port} is not reached from here")


def _shown(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host  # noqa: PLR2004
    except ValueError:
        return host
