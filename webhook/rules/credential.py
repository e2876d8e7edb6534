"""Read one entry of a pull secret: the user name and the password to sign in to a registry.

These readers use an entry as follows:

- the kubelet (k8s.io/kubernetes v1.37, pkg/credentialprovider/config.go) reads only ``auth``, or else ``username`` and
  ``password``; one undecodable entry makes it reject the whole Secret;
- containerd gets user name and password from the kubelet, rejects an empty user name, and sends nothing without a
  password;
- Knative (go-containerregistry, pkg/authn) reads the same fields, and prefers ``identitytoken`` and
  ``registrytoken`` if they are given; one undecodable entry fails every Revision.

Entries that none of them can use are left out of the copies: entries with only a token, which the kubelet ignores, and
entries with an empty user name or password. So are entries with bytes that are not UTF-8, because the kubelet cannot
pass them to the runtime. RFC 7617 forbids control characters in the user name, and NUL.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from webhook.rules.go_json import DAMAGED, JsonObject

# Without @, which may separate a user name and a password from the host.
_SHOWABLE = re.compile(
    r"(?=.{1,255}\Z) *(?:(?:https?|HTTPS?|oci|docker)://)?(?:[\w.*-]+|\[[a-fA-F0-9:]+\])(?::\d*)?(?:/[\w./*-]*)? *",
    re.ASCII,
)
_WITH_TAG = re.compile(r"(?=.{1,255}\Z)(?P<name>[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:/[\w.-]+)+):[^@]*", re.ASCII)

_TOKEN = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]+|(?:gh[pousr]_|github_pat_|glpat-|gldt-|dckr_pat_|dckr_oat_)[\w.-]+", re.ASCII
)
"""Token formats that never contain a line break: a JWT, and the tokens of GitHub, GitLab and Docker Hub."""


class SourceReason(StrEnum):
    """The stable ids for rejected sources; Events, metrics and ``check`` use them."""

    ABSENT = "source-absent"
    NOT_ISSUED = "source-not-issued"
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


class Unusable(Exception):
    """An entry that readers cannot use: the reason id, and the end of a sentence that begins with the entry's name."""

    def __init__(self, reason: SourceReason, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A user name and a password; the repr hides both. The tokens are for Knative, which prefers them."""

    username: str
    password: str
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return "Credential(…)"

    @property
    def auth(self) -> str:
        """Return the ``auth`` field: padded base64 of ``username:password``."""
        return b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")

    def fields(self) -> dict[str, str]:
        """Return the entry of ``auths`` that gives every reader this credential."""
        fields = {"username": self.username, "password": self.password}
        if ":" not in self.username:
            # Padded base64, for old releases of go-containerregistry. It cannot express a colon in the user name.
            fields["auth"] = self.auth
        tokens = {"identitytoken": self.identity_token, "registrytoken": self.registry_token}
        return fields | {name: token for name, token in tokens.items() if token}


class ReadEntry(NamedTuple):
    """A credential and its warnings; each warning is the end of a sentence."""

    credential: Credential
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryNote:
    """A remark about one entry of a source: it is left out of the copies for a reason, or copied with a warning.

    ``entry`` is its name in messages. ``key`` is never shown, because it may contain a credential.
    """

    entry: str
    message: str
    reason: SourceReason | None = None
    key: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.entry} {self.message}"


def shown(key: str, position: int) -> str:
    """Return the name of a registry key in messages; keys that may hide a credential are not shown.

    An example of such a key is ``user:pass@host``.
    """
    if _SHOWABLE.fullmatch(key):
        return f'registry "{key}"'
    tagged = _WITH_TAG.fullmatch(key)
    return f'registry "{tagged["name"]}:…"' if tagged else f"entry {position}, whose key is not shown,"


def read_entry(entry: object) -> ReadEntry:
    """Return the credential in an entry of ``auths``. Raises Unusable when readers cannot use it."""
    # encoding/json decodes null as an empty struct.
    if entry is None:
        entry = JsonObject([])
    if not isinstance(entry, JsonObject):
        raise Unusable(SourceReason.ENTRY_INVALID, "is not a JSON object")
    auth, username, password = (_text(entry, name) for name in ("auth", "username", "password"))
    identity_token, registry_token = (_token(entry, name) for name in ("identitytoken", "registrytoken"))
    # A non-empty auth replaces username and password, as in UnmarshalJSON of config.go.
    if auth:
        username, password = _decode_auth(auth)
    if not username or not password:
        raise Unusable(SourceReason.CREDENTIAL_UNUSABLE, _missing(username, password, identity_token, registry_token))
    if any(unicodedata.category(character) == "Cc" for character in username):
        raise Unusable(SourceReason.CREDENTIAL_UNUSABLE, "has a control character in its user name: remove it")
    if "\0" in password:
        raise Unusable(SourceReason.CREDENTIAL_UNUSABLE, "has a NUL character in its password: remove it")
    # Only for these formats: any other password may end with a line break on purpose.
    if password.endswith(("\n", "\r")) and _TOKEN.fullmatch(password.rstrip("\r\n")):
        message = "has a line break at the end of its token: create the Secret again without it, with printf"
        raise Unusable(SourceReason.CREDENTIAL_UNUSABLE, message)
    credential = Credential(username, password, identity_token, registry_token)
    return ReadEntry(credential, tuple(_warnings(entry, credential)))


def _text(entry: JsonObject, name: str) -> str:
    text = ""
    for value in entry.named(name):
        if value is not None and not isinstance(value, str):
            raise Unusable(SourceReason.ENTRY_INVALID, f'has a "{name}" that is not text')
        # encoding/json skips null, so an earlier value of a repeated field stays.
        text = text if value is None else value
    return text


def _token(entry: JsonObject, name: str) -> str:
    """Return a field that the kubelet does not read, so that a wrong type in it does not exclude the entry."""
    return next((value for value in reversed([*entry.named(name)]) if isinstance(value, str)), "")


def _decode_auth(auth: str) -> tuple[str, str]:
    decoded = decode_base64(_padded(auth))
    if decoded is None:
        raise Unusable(SourceReason.ENTRY_INVALID, _base64_problem(auth))
    text = _utf8(decoded)
    if text is None:
        message = 'has an "auth" that is not base64 of user:password in UTF-8: nodes cannot send other bytes'
        raise Unusable(SourceReason.ENTRY_INVALID, message)
    if ":" not in text:
        raise Unusable(SourceReason.ENTRY_INVALID, _pair_problem(text))
    # At the first colon, because the kubelet splits there, and passwords may contain more.
    username, _, password = text.partition(":")
    return username, password


def _base64_problem(auth: str) -> str:
    if ":" in auth:
        return 'has an "auth" that is not base64 of user:password, but user:password itself: encode it'
    if decode_base64(_padded(auth.translate(str.maketrans("-_", "+/")))) is not None:
        return 'has an "auth" that is not base64 of user:password, but the variant for URLs: use + and / for - and _'
    return 'has an "auth" that is not base64 of user:password'


def _pair_problem(text: str) -> str:
    again = decode_base64(_padded(text))
    if again is not None and b":" in again:
        return 'has an "auth" that is not base64 of user:password, but encoded twice: encode it once'
    return 'has an "auth" that is not base64 of user:password: it has no colon'


def _padded(auth: str) -> str:
    """Return ``auth`` as Go's decoder accepts it: line breaks ignored, padding optional."""
    # Decoders of encoding/base64 skip both.
    text = auth.replace("\r", "").replace("\n", "")
    return text if "=" in text else text + "=" * (-len(text) % 4)


def _missing(username: str, password: str, identity_token: str, registry_token: str) -> str:
    if identity_token:
        return (
            "relies on an identitytoken, which the kubelet ignores: write a user name and a password. For Azure these "
            "are the ID and the secret of a service principal, or the name and the password of a token of the registry"
        )
    if registry_token:
        return "relies on a registrytoken, which the kubelet ignores: write a user name and a password"
    if username or password:
        return f"has an empty {'password' if username else 'user name'}"
    return "has no user name and no password, like the entry of a credential helper: write the credential itself"


def _warnings(entry: JsonObject, credential: Credential) -> list[str]:
    warnings = []
    repeated = [name for name in ("auth", "username", "password") if sum(1 for _ in entry.named(name)) > 1]
    if repeated:
        warnings.append(f"has {', '.join(repeated)} more than once: the last one is copied, as the kubelet reads it")
    if credential.password.endswith(("\n", "\r")):
        warnings.append(
            "has a line break at the end of its password: it is copied, but likely a mistake (echo without -n)"
        )
    if ":" in credential.username:
        warnings.append("has a colon in its user name: HTTP does not allow it, so the registry will see another user")
    if DAMAGED in credential.username + credential.password:
        warnings.append("has text that is not UTF-8: every reader gets replacement characters in its place")
    return warnings


def decode_base64(text: str) -> bytes | None:
    """Return the bytes of strict, padded base64, or None, because an exception might quote the text."""
    try:
        # Without validate, Python skips characters that are not base64. Go refuses them.
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _utf8(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None
