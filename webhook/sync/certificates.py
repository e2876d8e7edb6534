"""Carries out what :mod:`certs.rotation` decides: two Secrets and the caBundle of the webhook configuration.

Every write is conditional on the state that it was decided on, so any number of processes may try at once: one wins,
the others meet a conflict, read again and find nothing left to do.
"""

from __future__ import annotations

import threading
import uuid
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import structlog

from certs.rotation import (
    CertificateState,
    Lifetimes,
    Nothing,
    PublishBundle,
    StoreAuthority,
    StoreLeaf,
    is_published,
    next_step,
)
from webhook.core.ownership import FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL
from webhook.errors import ApiError, Conflict
from webhook.kube.reflector import Reflector
from webhook.kube.resources import MUTATING_WEBHOOK_CONFIGURATIONS, SECRETS, Collection
from webhook.kube.wire import Object, ObjectMeta, decoder
from webhook.sync.shapes import SecretObject, decode_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from certs.rotation import Step
    from webhook.kube.client import Client
    from webhook.sync.release import CertificateNames

log = structlog.get_logger(__name__)

TLS_TYPE = "kubernetes.io/tls"
CERTIFICATE_KEY = "tls.crt"
PRIVATE_KEY_KEY = "tls.key"
AUTHORITY_KEY = "ca.crt"

LOOK_SECONDS = 30.0
"""The longest sleep: after a suspended machine or a jump of the clock, what is due is noticed within this time."""

RETRY_SECONDS = 1.0
"""After a failed write; a conflict is solved by then, because the watch has told of the other one's write."""


class ClientConfig(msgspec.Struct, frozen=True):
    """The part of ``admissionregistration.k8s.io/v1`` WebhookClientConfig that is ours; base64."""

    ca_bundle: str | None = msgspec.field(default=None, name="caBundle")


class MutatingWebhook(msgspec.Struct, frozen=True, rename="camel"):
    """One webhook of a MutatingWebhookConfiguration."""

    client_config: ClientConfig


class WebhookConfigurationObject(msgspec.Struct, frozen=True):
    """An ``admissionregistration.k8s.io/v1`` MutatingWebhookConfiguration."""

    metadata: ObjectMeta
    webhooks: list[MutatingWebhook] | None = None


_decode_configuration: Callable[[bytes], WebhookConfigurationObject] = decoder(WebhookConfigurationObject)

W = TypeVar("W", bound=Object)


class _Slot(Generic[W]):
    """The one object of a name, or None; wakes the keeper when it changes."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.value: W | None = None

    def replace(self, objects: Iterable[W]) -> None:
        self.value = next(iter(objects), None)
        self._wake()

    def upsert(self, obj: W) -> None:
        self.value = obj
        self._wake()

    def remove(self, _obj: W) -> None:
        self.value = None
        self._wake()


class CertificateKeeper:
    """Keeps the certificate valid, trusted and renewed, in a thread of its own, while this process leads."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        names: CertificateNames,
        may_write: Callable[[], bool],
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._names = names
        self._may_write = may_write
        self._lifetimes = lifetimes or Lifetimes()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._published: tuple[bytes, datetime] | None = None
        self._authority: _Slot[SecretObject] = _Slot(self._wake.set)
        self._leaf: _Slot[SecretObject] = _Slot(self._wake.set)
        self._configuration: _Slot[WebhookConfigurationObject] = _Slot(self._wake.set)
        self._reflectors = self._make_reflectors()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def _make_reflectors(self) -> list[Reflector[Any, Any]]:
        secrets = ((self._names.authority_secret, self._authority), (self._names.leaf_secret, self._leaf))
        watched: list[Reflector[Any, Any]] = [
            Reflector(self._client, Collection(SECRETS, self._namespace, name), SecretObject, _same, slot)
            for name, slot in secrets
        ]
        configuration = Collection(MUTATING_WEBHOOK_CONFIGURATIONS, name=self._names.webhook_configuration)
        return [
            *watched,
            Reflector(self._client, configuration, WebhookConfigurationObject, _same, self._configuration),
        ]

    def start(self) -> None:
        """Begin to watch; writing waits for leadership."""
        for reflector in self._reflectors:
            reflector.start()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Finish the write in progress, and end."""
        self._stopping.set()
        self._wake.set()
        for reflector in self._reflectors:
            reflector.stop()
        self._thread.join(timeout)

    def lead(self, leading: bool) -> None:
        """Look at once whether there is something to do: told by the election."""
        if leading:
            self._wake.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            try:
                pause = self._look()
            except ApiError as error:
                pause = error.retry_after or RETRY_SECONDS
                level = log.info if isinstance(error, Conflict) else log.warning
                level("certificate not written", cause=str(error), retry_in=pause)
            except Exception:
                pause = LOOK_SECONDS
                log.exception("certificates failed", retry_in=pause)

    def _look(self) -> float:
        """Take the steps that are due; return the seconds until the next look."""
        if not all(reflector.has_synced for reflector in self._reflectors):
            return RETRY_SECONDS
        while not self._stopping.is_set():
            now = datetime.now(UTC)
            step = next_step(self._state(now), now, self._lifetimes)
            if isinstance(step, Nothing):
                return min(max(0.0, (step.until - now).total_seconds()), LOOK_SECONDS)
            if not self._may_write():
                return LOOK_SECONDS
            self._take(step)
        return 0.0

    def _state(self, now: datetime) -> CertificateState:
        authority, leaf = _data(self._authority.value), _data(self._leaf.value)
        configuration = self._configuration.value
        webhooks = configuration.webhooks if configuration is not None else None
        bundles = tuple(b64decode(webhook.client_config.ca_bundle or "") for webhook in webhooks or ())
        state = CertificateState(
            names=self._names.sans,
            authority=authority.get(CERTIFICATE_KEY, b""),
            authority_key=authority.get(PRIVATE_KEY_KEY, b""),
            leaf=leaf.get(CERTIFICATE_KEY, b""),
            leaf_key=leaf.get(PRIVATE_KEY_KEY, b""),
            leaf_authority=leaf.get(AUTHORITY_KEY, b""),
            ca_bundles=bundles,
        )
        return replace(state, published_since=self._since(state, now))

    def _since(self, state: CertificateState, now: datetime) -> datetime | None:
        """Remember when the present authority was first seen in every caBundle."""
        if not is_published(state):
            self._published = None
        elif self._published is None or self._published[0] != state.authority:
            self._published = (state.authority, now)
        return None if self._published is None else self._published[1]

    def _take(self, step: Step) -> None:
        match step:
            case StoreAuthority(authority, cause):
                content = {CERTIFICATE_KEY: authority.certificate_pem, PRIVATE_KEY_KEY: authority.private_key_pem}
                self._authority.value = self._store(self._names.authority_secret, self._authority.value, content)
                log.info("authority issued", secret=self._names.authority_secret, cause=cause)
            case StoreLeaf(leaf, cause):
                content = {
                    CERTIFICATE_KEY: leaf.certificate_pem,
                    PRIVATE_KEY_KEY: leaf.private_key_pem,
                    AUTHORITY_KEY: leaf.authority_pem,
                }
                self._leaf.value = self._store(self._names.leaf_secret, self._leaf.value, content)
                log.info("serving certificate issued", secret=self._names.leaf_secret, cause=cause)
            case PublishBundle(pem, unparsable):
                self._publish(pem)
                log.info("ca bundle written", webhook=self._names.webhook_configuration, dropped=unparsable)

    def _store(self, name: str, present: SecretObject | None, content: dict[str, bytes]) -> SecretObject:
        data = {key: b64encode(value).decode() for key, value in content.items()}
        metadata: dict[str, Any] = {"labels": {MANAGED_BY_LABEL: MANAGED_BY}}
        if present is None:
            # Server-side apply is the only creation that RBAC can limit to a name. Without force, and with a field
            # manager that nobody else is, a Secret that somebody created meanwhile is a conflict.
            creator = f"{FIELD_MANAGER}-{uuid.uuid4()}"
            body = {
                "metadata": {**metadata, "namespace": self._namespace, "name": name},
                "type": TLS_TYPE,
                "data": data,
            }
            return decode_secret(self._client.apply(SECRETS, body, field_manager=creator, force=False))
        patch = {"metadata": {**metadata, "resourceVersion": present.metadata.resource_version}, "data": data}
        stored = self._client.merge_patch(SECRETS, name, patch, self._namespace, field_manager=FIELD_MANAGER)
        return decode_secret(stored)

    def _publish(self, pem: bytes) -> None:
        present = self._configuration.value
        if present is None:
            return
        bundle = b64encode(pem).decode()
        operations: list[dict[str, str]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": present.metadata.resource_version}
        ]
        operations += [
            {"op": "add", "path": f"/webhooks/{position}/clientConfig/caBundle", "value": bundle}
            for position in range(len(present.webhooks or ()))
        ]
        name = self._names.webhook_configuration
        stored = self._client.json_patch(MUTATING_WEBHOOK_CONFIGURATIONS, name, operations, field_manager=FIELD_MANAGER)
        self._configuration.value = _decode_configuration(stored)


def _same(obj: W) -> W:
    return obj


def _data(secret: SecretObject | None) -> dict[str, bytes]:
    return {key: b64decode(value) for key, value in ((secret.data if secret else None) or {}).items()}
