"""Compare what sources offer their readers with what their copy offers, by the readers' own code."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from webhook.errors import SourceInvalid
from webhook.rules.dockerconfig import COPY_TYPE, LEGACY_TYPE, Credentials, merge, read_document, render
from webhook.rules.go_json import JsonObject, decode
from webhook.rules.registry_key import read_key

EXCEPTIONS = (
    "docker-hub-for-knative",
    "several-credentials",
    "incomplete-credential",
    "impossible-credential",
    "broken-token",
    "docker-token-key",
    "refused-as-a-whole",
)
"""Where a copy offers something else than its sources; docs/credentials.md gives the reason of each."""


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a source."""

    content: bytes
    type: str = COPY_TYPE

    @property
    def is_legacy(self) -> bool:
        return self.type == LEGACY_TYPE

    def read(self) -> tuple[Credentials, list[str]]:
        """Return its credentials and its keys; none where it cannot be read at all."""
        document = decode(self.content)
        if not isinstance(document, JsonObject):
            return Credentials({}), []
        try:
            credentials = read_document(document, legacy=self.is_legacy, where="")
        except SourceInvalid:
            return Credentials({}), []
        auths = (
            document.pairs
            if self.is_legacy
            else [pair for value in document.named("auths") if isinstance(value, JsonObject) for pair in value.pairs]
        )
        return credentials, list(dict(auths))


@dataclass(slots=True)
class Case:
    """Sources that are merged to one copy, the images that it is judged by, and what is known of the entries."""

    documents: Sequence[Document]
    images: Sequence[str]
    left_out: list[set[str]] = field(default_factory=list)
    losers: list[set[str]] = field(default_factory=list)
    copy: bytes = b""

    def __post_init__(self) -> None:
        taken: dict[str, object] = {}
        named = []
        for position, document in enumerate(self.documents):
            credentials, keys = document.read()
            named.append((str(position), credentials))
            left_out = {note.key for note in credentials.left_out.first}
            self.left_out.append(left_out)
            self.losers.append(self._losers(document, sorted(set(keys) - left_out), taken))
        self.copy = render(merge(named).credentials)

    def _losers(self, document: Document, keys: Sequence[str], taken: dict[str, object]) -> set[str]:
        spellings: dict[str, list[str]] = {}
        for key in keys:
            spellings.setdefault(str(read_key(key)), []).append(key)
        losers: set[str] = set()
        for registry, found in spellings.items():
            winner, *others = sorted(found, key=lambda key: (key != registry, key))
            losers |= set(others)
            if taken.setdefault(registry, document) is not document:
                losers.add(winner)
        return losers

    def question(self) -> dict[str, Any]:
        """Return what the oracle is asked."""
        return {
            "sources": [
                {
                    "type": document.type,
                    "content": b64encode(document.content).decode(),
                    "without": sorted(left_out | losers),
                    "alone": sorted(left_out | losers),
                }
                for document, left_out, losers in zip(self.documents, self.left_out, self.losers, strict=True)
            ],
            "copy": b64encode(self.copy).decode(),
            "images": list(self.images),
        }

    def judge(self, verdict: dict[str, Any]) -> tuple[list[str], set[str]]:
        """Return what the copy does wrong, and the exceptions that it makes use of."""
        wrong: list[str] = []
        used: set[str] = set()
        for about, exception in [
            *((each, _of_difference(each)) for each in verdict.get("differences", ())),
            *((each, self._of_entry(each)) for each in verdict.get("alone", ())),
            *(
                ((reader, each), _of_error(each))
                for reader, errors in verdict.get("errors", {}).items()
                for each in errors
            ),
        ]:
            if exception in EXCEPTIONS:
                used.add(exception)
            else:
                wrong.append(f"{about} of {self.documents}")
        return wrong, used

    def _of_entry(self, alone: dict[str, Any]) -> str:
        position, key = alone["source"], alone["key"]
        if key in self.losers[position]:
            # It gave way to another entry, so that one must be offered in its place.
            return "several-credentials" if alone["copy"] else ""
        username, password = alone["offer"][0][:2]
        if not username or not password:
            return "incomplete-credential"
        if "\0" in password or "\ufffd" in username + password or _has_control(username):
            return "impossible-credential"
        if password.endswith(("\n", "\r")) and password.startswith(("ghp_", "eyJ")):
            return "broken-token"
        if alone["reader"] == "knative" and alone["image"].startswith(("access-token/", "refresh-token/")):
            return "docker-token-key"
        return ""


def _has_control(username: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in username)


def _of_difference(difference: dict[str, Any]) -> str:
    if difference["source"]:
        return ""
    host, slash, _ = difference["image"].partition("/")
    without_dot = not slash or not set(host) & set(".:")
    # To the kubelet, a host without a dot is a part of Docker Hub: as long as docker.io itself does not name it.
    ours = host in ("docker.io", "index.docker.io") or without_dot
    default = bool(slash) and without_dot and (host == "localhost" or host != host.lower())
    return "docker-hub-for-knative" if (ours if difference["reader"] == "knative" else default) else ""


def _of_error(error: str) -> str:
    return "refused-as-a-whole" if error.startswith("sources: ") else ""
