"""Request a renewal of a source, or the promotion or the end of a rotation, with the rights of the caller.

A request is an annotation on a source. The stage of a rotation is read from the Secret in which sync keeps its state.
So a person needs the right to change the one Secret, and for a rotation to read the other.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from webhook.errors import ApiError, ApiUnavailable, Invalid, NotFound, SourceInvalid, UsageError
from webhook.inspect.reader import lacking
from webhook.inspect.secrets import read_sources, read_state
from webhook.kube.resources import SECRETS
from webhook.report.rollout import hold_sentence
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, parse_source
from webhook.rules.renewing import RENEW, format_time
from webhook.rules.rollout import REQUEST_ANNOTATION, Stage, Verb, encode_request, is_about, request
from webhook.rules.state_document import STATE_SUFFIX
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.kube.client import Client
    from webhook.rules.configuration import PullSecret
    from webhook.rules.state_document import StoredRollout

FIELD_MANAGER = "pullsecrets-rotate"


def entry_to_rotate(installed: InstalledRelease, name: str) -> PullSecret:
    """Return a pull secret of a release; UsageError if there is no such one, or if it belongs to the namespaces."""
    entries = {entry.name: entry for entry in installed.configuration.pull_secrets}
    if name not in entries:
        hint = f"it has {listed(sorted(entries))}" if entries else "it has none"
        raise UsageError(f"release {installed.release.name} has no pull secret {name}: {hint}")
    if entries[name].tenant_owned:
        raise UsageError(
            f"Secret {name} belongs to each namespace, so its owners rotate it. Next: kubectl pullsecrets usage {name}"
        )
    return entries[name]


class Rotation(msgspec.Struct, frozen=True):
    """The rotation of one pull secret of a release in a cluster."""

    reader: Reader
    installed: InstalledRelease
    entry: PullSecret

    def read(self) -> StoredRollout | None:
        """Return the stored rollout; None while sync has not stored one, or if the right to read it is missing."""
        return read_state(self.reader, self.installed).rollouts.get(self.entry.name)

    @property
    def lacking(self) -> str:
        """The sentence about the missing right to read the stage; empty if it was not missing so far."""
        namespace, _, name = self.state_secret.partition("/")
        return self._lacks(name, namespace)

    @property
    def lacking_source(self) -> str:
        """The sentence about the missing right to read a source; empty if all can be read."""
        unseen = read_sources(self.reader, self.installed, datetime.now(UTC)).expected(self.entry).unseen
        return next((self._lacks(name, self.installed.release.namespace) for name in unseen), "")

    def _lacks(self, name: str, namespace: str) -> str:
        sentence = lacking("get", f"{SECRETS.plural}/{name}", namespace)
        return sentence if sentence in self.reader.missing else ""

    def is_behind(self, stored: StoredRollout) -> bool:
        """Return True if sync has not stored the content that the sources have now. False if that is unknown."""
        expected = read_sources(self.reader, self.installed, datetime.now(UTC)).expected(self.entry).hash
        return expected is not None and not is_about(stored.rollout, expected)

    def request(self, verb: Verb, stored: StoredRollout) -> None:
        """Write a request. Raises UsageError if the stage does not allow it, or if the right is missing."""
        rollout = stored.rollout
        if request(rollout, verb, rollout.id, datetime.now(UTC)) is rollout:
            raise UsageError(f"the rotation of {self.entry.name} cannot be {_PAST[verb]}: {_refusal_message(stored)}")
        patch = {"metadata": {"annotations": {REQUEST_ANNOTATION: encode_request(verb, rollout.id)}}}
        self._write(self.entry.sources[0], patch)

    def replace_source(self, content: bytes, source: str = "") -> None:
        """Replace the content of a source by a Docker configuration.

        Raises UsageError if that is impossible, or if the rotation could not be followed.
        """
        if source and source not in self.entry.sources:
            raise UsageError(f"{self.entry.name} has no source {source}: it has {listed(self.entry.sources)}")
        if not source and len(self.entry.sources) > 1:
            raise UsageError(f"{self.entry.name} has the sources {listed(self.entry.sources)}: choose with --source")
        name = source or self.entry.sources[0]
        encoded = b64encode(content).decode()
        try:
            parse_source(name, COPY_TYPE, {COPY_KEY: encoded}, {})
        except SourceInvalid as error:
            raise UsageError(f"the file cannot be used: {error}") from None
        if lacks := self.lacking or self.lacking_source:
            raise UsageError(f"{lacks}, so the rotation could not be followed, and the source is unchanged: ask for it")
        self._write(name, {"type": COPY_TYPE, "data": {COPY_KEY: encoded}})

    @property
    def state_secret(self) -> str:
        """The namespace and the name of the Secret with the stage."""
        return f"{self.installed.release.namespace}/{self.installed.fullname}{STATE_SUFFIX}"

    def _write(self, name: str, patch: Mapping[str, object]) -> None:
        namespace = self.installed.release.namespace
        try:
            self.reader.client.merge_patch(SECRETS, name, patch, namespace, field_manager=FIELD_MANAGER)
        except NotFound:
            raise UsageError(f"source Secret {namespace}/{name} does not exist: create it") from None
        except Invalid as error:
            # The message of the API server is not in the error, because it can quote the credential.
            look = f"kubectl -n {namespace} get secret {name} -o jsonpath='{{.type}} {{.immutable}}'"
            raise UsageError(
                f"source Secret {namespace}/{name} was not changed: {error}; perhaps it is immutable, or of another "
                f"type than {COPY_TYPE}. Next: {look}"
            ) from None
        except ApiError as error:
            raise UsageError(f"source Secret {namespace}/{name} was {_perhaps(error)}not changed: {error}") from None


def _perhaps(error: ApiError) -> str:
    """Return the word for a write without an answer: the API server may have made it."""
    return "perhaps " if isinstance(error, ApiUnavailable) else ""


_PAST = {Verb.PROMOTE: "promoted", Verb.ABORT: "aborted"}


def _refusal_message(stored: StoredRollout) -> str:
    rollout = stored.rollout
    if rollout.stage is Stage.HELD:
        return f"it is held, because {hold_sentence(rollout)}"
    if rollout.stage in (Stage.SETTLED, Stage.COMPLETE):
        return "no rotation is under way"
    return f"its stage is {rollout.stage}"


def request_renewal(client: Client, namespace: str, secret: str) -> None:
    """Write the request. Raises UsageError if the Secret does not exist, or if the caller lacks the right to it."""
    # Random, so that two requests in one second are two.
    request = f"{format_time(datetime.now(UTC))}-{secrets.token_hex(4)}"
    patch = {"metadata": {"annotations": {RENEW: request}}}
    try:
        client.merge_patch(SECRETS, secret, patch, namespace, field_manager="pullsecrets-renew")
    except NotFound:
        raise UsageError(
            f"Secret {namespace}/{secret} does not exist: sync issues it, or reports why it cannot. Look at the "
            f"Events with kubectl -n {namespace} get events --field-selector involvedObject.name={secret}"
        ) from None
    except ApiError as error:
        raise UsageError(f"the renewal was {_perhaps(error)}not requested: {error}") from None
