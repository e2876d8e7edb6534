"""Store the certificate in two Secrets and the caBundle, one step at a time.

Each write is conditional on the state that it was decided on. So any number of processes can try together. One
succeeds; the others get a conflict, read again and find that the step is done. The objects are watched, and updated
from the responses to our own writes.
"""

from __future__ import annotations

import threading
import uuid
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from certs.rotation import CertificateState, Nothing, PublishBundle, StoreAuthority, StoreLeaf
from webhook.errors import Conflict, NotFound, Refused
from webhook.kube.objects import (
    AUTHORITY_KEY,
    CERTIFICATE_KEY,
    PRIVATE_KEY_KEY,
    TLS_TYPE,
    SecretObject,
    decode_secret,
)
from webhook.kube.reflector import Reflector
from webhook.kube.resources import MUTATING_WEBHOOK_CONFIGURATIONS, SECRETS, Collection
from webhook.kube.webhook_configuration import WebhookConfiguration, decode_webhook_configuration
from webhook.kube.wire import Object, WrittenMeta
from webhook.rules.ownership import FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from certs.rotation import Step
    from webhook.kube.client import Client
    from webhook.sync.settings import CertificateNames

W = TypeVar("W", bound=Object)


@dataclass(frozen=True, slots=True)
class Observed(Generic[W]):
    """The one object with a name, or None, as it was seen at one moment."""

    value: W | None = None
    generation: int = 0
    """Number of changes that the watch had reported until then."""


class ObjectCache(Generic[W]):
    """The last observed state of one object, from a watch or the response to a write; it wakes waiting threads."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self.observed: Observed[W] = Observed()

    def replace(self, objects: Iterable[W], _version: str) -> None:
        self._set(next(iter(objects), None))

    def upsert(self, obj: W) -> None:
        self._set(obj)

    def remove(self, obj: W) -> None:
        # A watch may lag behind our own writes: the deleted object need not be the current one.
        present = self.observed.value
        self._set(present if present is not None and present.metadata.uid != obj.metadata.uid else None)

    def store_response(self, obj: W | None, before: Observed[W]) -> None:
        """Store the response to a write that was decided at ``before``, unless the watch has reported a change since.

        In that case the response may be older: its object may have been changed or deleted again, and a watch never
        repeats a report. If the response is newer, the watch will still report it.
        """
        with self._lock:
            if self.observed.generation == before.generation:
                self.observed = Observed(obj, before.generation)

    def _set(self, value: W | None) -> None:
        with self._lock:
            self.observed = Observed(value, self.observed.generation + 1)
        self._wake()


_ABSENT = SecretObject(WrittenMeta())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All three objects at the time of a decision. A step is written only if they are unchanged."""

    authority: Observed[SecretObject]
    leaf: Observed[SecretObject]
    configuration: Observed[WebhookConfiguration]

    def state(self, names: tuple[str, ...]) -> CertificateState:
        """Return the state for decisions; ``names`` are the DNS names of the certificate."""
        authority, leaf = self.authority.value or _ABSENT, self.leaf.value or _ABSENT
        configuration = self.configuration.value
        webhooks = configuration.webhooks if configuration is not None else ()
        return CertificateState(
            names=names,
            authority=authority.content(CERTIFICATE_KEY),
            authority_key=authority.content(PRIVATE_KEY_KEY),
            leaf=leaf.content(CERTIFICATE_KEY),
            leaf_key=leaf.content(PRIVATE_KEY_KEY),
            leaf_authority=leaf.content(AUTHORITY_KEY),
            ca_bundles=tuple(b64decode(webhook.client_config.ca_bundle) for webhook in webhooks),
        )


class CertificateStore:
    """Tracks the present state, and carries out steps. Only one thread may use it, besides its own watches."""

    def __init__(self, client: Client, namespace: str, names: CertificateNames, wake: Callable[[], None]) -> None:
        self._client = client
        self._namespace = namespace
        self._names = names
        self._authority: ObjectCache[SecretObject] = ObjectCache(wake)
        self._leaf: ObjectCache[SecretObject] = ObjectCache(wake)
        self._configuration: ObjectCache[WebhookConfiguration] = ObjectCache(wake)
        self._reflectors = self._make_reflectors()

    def _make_reflectors(self) -> list[Reflector[Any, Any]]:
        secrets = ((self._names.authority_secret, self._authority), (self._names.leaf_secret, self._leaf))
        watched: list[Reflector[Any, Any]] = [
            Reflector(self._client, Collection(SECRETS, self._namespace, name), SecretObject, _unchanged, cache)
            for name, cache in secrets
        ]
        configuration = Collection(MUTATING_WEBHOOK_CONFIGURATIONS, name=self._names.webhook_configuration)
        return [
            *watched,
            Reflector(self._client, configuration, WebhookConfiguration, _unchanged, self._configuration),
        ]

    def start(self) -> None:
        """Start to watch."""
        for reflector in self._reflectors:
            reflector.start()

    def stop(self) -> None:
        """End the watches."""
        for reflector in self._reflectors:
            reflector.stop()

    @property
    def has_synced(self) -> bool:
        """True if everything has been read once."""
        return all(reflector.has_synced for reflector in self._reflectors)

    def snapshot(self) -> Snapshot:
        """Return the current objects, as last observed."""
        return Snapshot(self._authority.observed, self._leaf.observed, self._configuration.observed)

    def write(self, step: Step, decided_on: Snapshot) -> None:
        """Carry out one step.

        Raises:
            Conflict: the state is no longer that of ``decided_on``, because another process was faster.
            ApiError: one of its other subclasses; the step was not written.
        """
        match step:
            case StoreAuthority(authority):
                content = {CERTIFICATE_KEY: authority.certificate_pem, PRIVATE_KEY_KEY: authority.private_key_pem}
                self._store(self._names.authority_secret, self._authority, decided_on.authority, content)
            case StoreLeaf(leaf):
                content = {
                    CERTIFICATE_KEY: leaf.certificate_pem,
                    PRIVATE_KEY_KEY: leaf.private_key_pem,
                    AUTHORITY_KEY: leaf.authority_pem,
                }
                self._store(self._names.leaf_secret, self._leaf, decided_on.leaf, content)
            case PublishBundle(pem):
                self._publish(pem, decided_on.configuration)
            case Nothing():
                return

    def _store(
        self, name: str, cache: ObjectCache[SecretObject], before: Observed[SecretObject], content: dict[str, bytes]
    ) -> None:
        data = {key: b64encode(value).decode() for key, value in content.items()}
        present = before.value
        try:
            # The type of a Secret is immutable, so an update could never turn it into a TLS Secret.
            if present is not None and is_replaceable_only(present):
                self._delete(name, present)
                present = None
            stored = self._create(name, data) if present is None else self._update(name, present, data)
        except NotFound:
            # The object is gone, and a watch that missed its deletion will not report it later.
            cache.store_response(None, before)
            raise
        except Conflict:
            cache.store_response(self._read(name), before)
            raise
        cache.store_response(decode_secret(stored), before)

    def _read(self, name: str) -> SecretObject | None:
        try:
            return decode_secret(self._client.get(SECRETS, name, self._namespace))
        except NotFound:
            return None

    def _delete(self, name: str, present: SecretObject) -> None:
        metadata = present.metadata
        try:
            self._client.delete(
                SECRETS, name, self._namespace, uid=metadata.uid, resource_version=metadata.resource_version
            )
        except Refused as error:
            raise NotReplaceable(name, self._namespace, present, error) from None

    def _create(self, name: str, data: dict[str, str]) -> bytes:
        # Server-side apply is the only creation that RBAC can limit to a name. There is no force, and the field manager
        # is unique. So a Secret that was created in the meantime is a conflict.
        creator = f"{FIELD_MANAGER}-{uuid.uuid4()}"
        metadata = {"labels": {MANAGED_BY_LABEL: MANAGED_BY}, "namespace": self._namespace, "name": name}
        body = {"metadata": metadata, "type": TLS_TYPE, "data": data}
        return self._client.apply(SECRETS, body, field_manager=creator, force=False)

    def _update(self, name: str, present: SecretObject, data: dict[str, str]) -> bytes:
        metadata = {
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
            # The precondition of optimistic concurrency: a Secret that another replica has written in between gives a
            # conflict.
            "resourceVersion": present.metadata.resource_version,
        }
        patch = {"metadata": metadata, "data": data}
        return self._client.merge_patch(SECRETS, name, patch, self._namespace, field_manager=FIELD_MANAGER)

    def _publish(self, pem: bytes, before: Observed[WebhookConfiguration]) -> None:
        present = before.value
        if present is None:
            return
        bundle = b64encode(pem).decode()
        operations: list[dict[str, str]] = [
            # The test fails with 422 if a webhook was added or removed in between, so that no position below is a wrong
            # one.
            {"op": "test", "path": "/metadata/resourceVersion", "value": present.metadata.resource_version}
        ]
        operations += [
            {"op": "add", "path": f"/webhooks/{position}/clientConfig/caBundle", "value": bundle}
            for position in range(len(present.webhooks))
        ]
        name = self._names.webhook_configuration
        try:
            stored = self._client.json_patch(
                MUTATING_WEBHOOK_CONFIGURATIONS, name, operations, field_manager=FIELD_MANAGER
            )
        except NotFound:
            self._configuration.store_response(None, before)
            raise
        self._configuration.store_response(decode_webhook_configuration(stored), before)


class NotReplaceable(Refused):
    """A Secret with the name of a certificate that no update can correct, and that must not be deleted."""

    def __init__(self, name: str, namespace: str, present: SecretObject, error: Refused) -> None:
        problem = "is immutable" if present.immutable else f'has the type "{present.type}" in place of {TLS_TYPE}'
        super().__init__(
            f'Secret "{name}" {problem}, and it must not be deleted by sync: kubectl delete secret {name} '
            f"-n {namespace} ({error})",
            status=error.status,
        )


def is_replaceable_only(secret: SecretObject) -> bool:
    """Return True if no update can correct it: the API server refuses to change a type or an immutable Secret."""
    return secret.immutable is True or secret.type != TLS_TYPE


def _unchanged(obj: W) -> W:
    return obj
