"""One registry, and the user name and password to sign in to it.

Who reads an entry of a pull secret, and what of it (all three were read at the time of writing):

- the kubelet (k8s.io/kubernetes v1.37, pkg/credentialprovider/config.go) takes ``auth``, else ``username`` and
  ``password``, and nothing else; one entry that does not decode makes it pass over the whole Secret;
- containerd gets user name and password from the kubelet, and refuses an empty user name;
- Knative (go-containerregistry, pkg/authn) reads the same fields; older releases accept only padded base64 in ``auth``,
  and one entry that does not decode fails every Revision of the ServiceAccount.

So what none of them could use is refused here: ``identitytoken`` and ``registrytoken`` alone (the kubelet drops them),
an empty user name or password, text that is not UTF-8, control characters (RFC 7617 forbids them).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import StrEnum

from webhook.core.imageref import DOCKER_HUB, Registry, parse_registry
from webhook.errors import SourceInvalid

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""The one spelling of Docker Hub that the kubelet, docker and go-containerregistry all look for."""

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_API_VERSION = re.compile(r"\A(?:/v[12])+(?=/|\Z)")
_SHOWABLE = re.compile(r"(?=.{1,255}\Z)(?:https?://)?(?:[\w.*-]+|\[[a-f0-9:]+\])(?::\d+)?(?:/[\w./-]*)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class SourceReason(StrEnum):
    """The stable ids of why a source is refused; Events, metrics and ``check`` use them."""

    ABSENT = "source-absent"
    TERMINATING = "source-terminating"
    IS_A_COPY = "source-is-a-copy"
    TYPE_UNSUPPORTED = "source-type-unsupported"
    KEY_ABSENT = "source-key-absent"
    BASE64_INVALID = "source-base64-invalid"
    JSON_INVALID = "source-json-invalid"
    AUTHS_INVALID = "source-auths-invalid"
    REGISTRY_INVALID = "source-registry-invalid"
    ENTRY_INVALID = "source-entry-invalid"
    CREDENTIAL_UNUSABLE = "source-credential-unusable"
    CREDENTIAL_REFUSED = "source-credential-refused"
    COPY_TOO_LARGE = "copy-too-large"


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A user name and a password; neither is ever shown."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credential(…)"

    @property
    def auth(self) -> str:
        """The ``auth`` field: padded base64 of ``username:password``."""
        return b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


def normalise(key: str) -> str:
    """Return the one spelling of a registry key; ValueError when no image reference can name such a registry.

    Scheme, ``/v1`` and ``/v2``, trailing slashes and upper case in the host are dropped; ports and paths stay. Docker
    Hub under any of its names becomes ``https://index.docker.io/v1/``, or ``docker.io/<path>`` where the key has a path
    (only the kubelet knows how to use that one).
    """
    host, slash, path = _SCHEME.sub("", key, count=1).partition("/")
    path = _API_VERSION.sub("", slash + path, count=1).rstrip("/")
    if not host.isascii():
        message = "a host name is ASCII"
        raise ValueError(message)
    registry = parse_registry(host.lower() + path)
    if not registry.is_docker_hub:
        return str(registry)
    return str(Registry(DOCKER_HUB, "", path)) if path else DOCKER_HUB_KEY


def shown(key: str, position: int) -> str:
    """Return how a message names a registry key: by itself, unless it may hide a credential (``user:pass@host``)."""
    return f'registry "{key}"' if _SHOWABLE.fullmatch(key) else f"entry {position}, whose key is no registry name,"


def read_credential(entry: object, where: str) -> Credential:
    """Return the credential that an entry of ``auths`` holds; SourceInvalid when nobody could use it.

    ``where`` begins the message: it names the Secret and the registry.
    """
    if not isinstance(entry, dict):
        raise SourceInvalid(SourceReason.ENTRY_INVALID, f"{where} is not a JSON object")
    auth, username, password = (_text(entry, field, where) for field in ("auth", "username", "password"))
    if auth:
        username, password = _decode_auth(auth, where)
    if not username or not password:
        raise SourceInvalid(SourceReason.CREDENTIAL_UNUSABLE, f"{where} {_what_is_missing(entry, username, password)}")
    if ":" in username or _CONTROL.search(username + password):
        message = (
            f"{where} has a colon in its user name or a control character in its credential, perhaps a line break at"
            " its end: HTTP basic authentication allows neither"
        )
        raise SourceInvalid(SourceReason.CREDENTIAL_UNUSABLE, message)
    return Credential(username, password)


def _text(entry: dict[str, object], field: str, where: str) -> str:
    value = entry.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SourceInvalid(SourceReason.ENTRY_INVALID, f'{where} has a "{field}" that is not text')
    return value


def _decode_auth(auth: str, where: str) -> tuple[str, str]:
    decoded = decode_base64(_padded(auth))
    text = None if decoded is None else _utf8(decoded)
    if text is None or ":" not in text:
        message = f'{where} has an "auth" that is not base64 of user:password in UTF-8'
        raise SourceInvalid(SourceReason.ENTRY_INVALID, message)
    username, _, password = text.partition(":")
    return username, password


def _padded(auth: str) -> str:
    """Return ``auth`` as Go's decoder would take it: line breaks ignored, padding optional."""
    text = auth.replace("\r", "").replace("\n", "")
    return text if "=" in text else text + "=" * (-len(text) % 4)


def _what_is_missing(entry: dict[str, object], username: str, password: str) -> str:
    if entry.get("identitytoken") or entry.get("registrytoken"):
        return "relies on a token, which the kubelet ignores: use a user name and a password"
    if username or password:
        return f"has an empty {'password' if username else 'user name'}"
    return "holds no user name and no password; a credential helper's entry is empty, write the credential itself"


def decode_base64(text: str) -> bytes | None:
    """Return the bytes of strict, padded base64; None, and no exception that might quote it, where it is not that."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _utf8(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None
