"""Read which Secrets the Pods of a cluster would be pulled with if they started now, with the rights of the caller.

A Pod with a controller is replaced by a new one. The new Pod has the references of the old one, or of its
ServiceAccount if it has none, and those that the webhook adds. A bare Pod keeps its own. A reference of the Pod that
came from its ServiceAccount, and is no longer there, still counts: the API does not show where it came from.

Secrets are read by name: across namespaces if many have a Secret with this name, one by one otherwise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from webhook.errors import Forbidden, UsageError
from webhook.inspect.namespaces import find_namespace, list_namespaces, refuse_absent, unlisted_pods
from webhook.inspect.reader import FEW
from webhook.inspect.secrets import decode_as_kubelet
from webhook.inspect.workloads import RUNNING
from webhook.kube.objects import SecretObject, decode_secret, to_copy
from webhook.kube.pods import PodObject
from webhook.kube.resources import PODS, SECRETS, SERVICE_ACCOUNTS, Collection
from webhook.kube.wire import ObjectMeta  # noqa: TC001 - msgspec evaluates the annotation
from webhook.report.pod_groups import PodGroup
from webhook.rules.dockerconfig import COPY_KEY, LEGACY_KEY
from webhook.rules.gates import DEFAULT_SERVICE_ACCOUNT, MIRROR_ANNOTATION, decide
from webhook.rules.keyring import ReferencedSecret, SecretState
from webhook.rules.names import problem_of_subdomain
from webhook.rules.objects import Subject
from webhook.rules.references import LocalObjectReference, References, references_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.rules.objects import Namespace

READS_AT_ONCE = 8

KNATIVE_SERVICE = "serving.knative.dev/service"
"""The label of the Pods of a Knative Service, which is four owners away."""


class _Account(msgspec.Struct, rename="camel", gc=False):
    metadata: ObjectMeta
    image_pull_secrets: list[LocalObjectReference | None] | None = None


class _PodKey(NamedTuple):
    """The properties of a Pod that decide about its pulls; Pods of one workload share them."""

    namespace: str
    workload: str
    images: tuple[str, ...]
    references: tuple[str, ...]
    account: str
    label: str | None
    """The value of the label with which a Pod opts out."""
    mirror: str | None
    is_replaced: bool
    """True if a controller makes a new Pod, and False if the Pod stays as it is."""

    def subject(self, label: str, references: tuple[str, ...]) -> Subject:
        """Return the new Pod, as the webhook gets it."""
        return Subject(
            kind="Pod",
            name="",
            namespace=self.namespace,
            labels={} if self.label is None else {label: self.label},
            annotations={} if self.mirror is None else {MIRROR_ANNOTATION: self.mirror},
            references=References(present=bool(references), names=references),
            service_account=self.account,
            images=self.images,
        )


def read_pod_groups(reader: Reader, installed: InstalledRelease, namespace: str, selector: str) -> list[PodGroup]:
    """Return the Pods in one namespace, in those of a label selector, or in all.

    Raises:
        UsageError: the Pods must not be listed, the namespace does not exist, or the selector selects none.
    """
    namespaces = _namespaces(reader, installed, namespace, selector)
    label = installed.configuration.opt_in.label
    pods = _count(reader, namespace, set(namespaces) if selector else None, label)
    if namespace and not pods:
        refuse_absent(reader, namespace)  # an absent namespace would look like one without work
    accounts = _accounts(reader, {pod.namespace for pod in pods if pod.is_replaced and not any(pod.references)})
    groups: Counter[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = Counter()
    for pod, number in pods.items():
        references = pod.references
        if pod.is_replaced:
            if not any(references) and pod.mirror is None:
                references = accounts.get((pod.namespace, pod.account), ())
            where = namespaces.get(pod.namespace)
            references += decide(pod.subject(label, references), installed.configuration, where).added
        names = tuple(dict.fromkeys(filter(None, references)))
        groups[pod.namespace, pod.workload, pod.images, names] += number
    secrets = read_secrets(reader, installed, {(group[0], name) for group in groups for name in group[3]})
    return [
        PodGroup(place, workload, images, tuple(secrets[place, name] for name in names), number)
        for (place, workload, images, names), number in sorted(groups.items())
    ]


def _namespaces(reader: Reader, installed: InstalledRelease, namespace: str, selector: str) -> Mapping[str, Namespace]:
    """Return the namespaces by name; those that cannot be read are left out, and then no reference is added there."""
    if namespace:
        namespace_object, _ = find_namespace(reader, namespace)
        return {} if namespace_object is None else {namespace: namespace_object}
    if selector:
        return {item.name: item for item in list_namespaces(reader, installed.configuration, selector)}
    try:
        return {item.name: item for item in list_namespaces(reader, installed.configuration)}
    except UsageError as error:
        if not isinstance(error.__context__, Forbidden):
            raise  # no answer is no missing right
        reader.report_missing("list", "namespaces")
        return {}


def _count(reader: Reader, namespace: str, selected_namespaces: set[str] | None, label: str) -> Counter[_PodKey]:
    counts: Counter[_PodKey] = Counter()
    try:
        for pod in reader.items(Collection(PODS, namespace or None), PodObject, RUNNING):
            if selected_namespaces is None or pod.metadata.namespace in selected_namespaces:
                counts[_pod_key(pod, label)] += 1
    except Forbidden:
        raise unlisted_pods(namespace) from None
    return counts


def _pod_key(pod: PodObject, label: str) -> _PodKey:
    metadata, spec = pod.metadata, pod.spec
    is_replaced = metadata.controller is not None
    service = (metadata.labels or {}).get(KNATIVE_SERVICE)
    return _PodKey(
        namespace=metadata.namespace,
        workload=f"Service.serving.knative.dev/{service}" if service else metadata.workload,
        images=spec.pulled_images(is_replaced=is_replaced),
        references=spec.references,
        account=spec.service_account_name or DEFAULT_SERVICE_ACCOUNT,
        label=(metadata.labels or {}).get(label),
        mirror=metadata.mirror,
        is_replaced=is_replaced,
    )


def _accounts(reader: Reader, namespaces: set[str]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the references of the ServiceAccounts of some namespaces."""
    places: list[str | None] = [*sorted(namespaces)] if len(namespaces) <= FEW else [None]
    references_by_account: dict[tuple[str, str], tuple[str, ...]] = {}
    for place in places:
        try:
            for account in reader.items(Collection(SERVICE_ACCOUNTS, place), _Account):
                metadata = account.metadata
                if metadata.namespace in namespaces:
                    references_by_account[metadata.namespace, metadata.name] = references_of(
                        account.image_pull_secrets
                    ).names
        except Forbidden:
            reader.report_missing("list", f"serviceaccounts{'' if place else ' across namespaces'}", place)
    return references_by_account


def read_secrets(
    reader: Reader, installed: InstalledRelease, references: set[tuple[str, str]]
) -> Mapping[tuple[str, str], ReferencedSecret]:
    """Return the Secrets with these namespaces and names. Those with the same name and content are one object."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    secrets = _Secrets(reader, installed)
    secrets_by_name: dict[tuple[str, str], ReferencedSecret] = {}
    for namespace, name in sorted(references):
        if problem_of_subdomain(name) is None:
            places[name].append(namespace)
        else:
            # A tenant may reference "..", which is another path at the API server.
            secrets_by_name[namespace, name] = secrets.single(name, None, is_known=True)
    single: list[tuple[str, str]] = []
    for name, namespaces in places.items():
        if len(namespaces) <= FEW:
            single += [(namespace, name) for namespace in namespaces]
        else:
            secrets_by_name |= secrets.listed(name, namespaces)
    with ThreadPoolExecutor(READS_AT_ONCE, "secret") as pool:
        contents = pool.map(lambda pair: reader.get_if_allowed(SECRETS, pair[1], pair[0]), single)
        for (namespace, name), (content, is_known) in zip(single, contents, strict=True):
            secrets_by_name[namespace, name] = secrets.single(name, content, is_known=is_known)
    return secrets_by_name


class _Secrets:
    """Converts Secrets, and shares those with the same name and content: copies of a pull secret are alike."""

    def __init__(self, reader: Reader, installed: InstalledRelease) -> None:
        self._reader = reader
        self._release = installed.release
        self._shared: dict[tuple[str, object, str], ReferencedSecret] = {}

    def listed(self, name: str, namespaces: Iterable[str]) -> dict[tuple[str, str], ReferencedSecret]:
        """Return the Secrets with a name in some namespaces, from a list across all of them."""
        absent = self._without_content(name, SecretState.ABSENT)
        secrets_by_name = {(namespace, name): absent for namespace in namespaces}
        try:
            for secret in self._reader.items(Collection(SECRETS, None, name), SecretObject):
                if (secret.metadata.namespace, name) in secrets_by_name:
                    secrets_by_name[secret.metadata.namespace, name] = self._converted(secret)
        except Forbidden:
            self._reader.report_missing("list", f"{SECRETS.plural} named {name} across namespaces")
            return dict.fromkeys(secrets_by_name, self._without_content(name, SecretState.UNREAD))
        return secrets_by_name

    def single(self, name: str, content: bytes | None, *, is_known: bool) -> ReferencedSecret:
        """Return a Secret from its JSON; None stands for one that does not exist, or could not be read."""
        if content is None:
            return self._without_content(name, SecretState.ABSENT if is_known else SecretState.UNREAD)
        return self._converted(decode_secret(content))

    def _without_content(self, name: str, state: SecretState) -> ReferencedSecret:
        return self._shared.setdefault((name, state, ""), ReferencedSecret(name, state))

    def _converted(self, secret: SecretObject) -> ReferencedSecret:
        name = secret.metadata.name
        pull_secret = name if to_copy(secret, self._release).mark is not None else ""
        data = secret.data or {}
        content = "\0".join((secret.type, data.get(COPY_KEY, ""), data.get(LEGACY_KEY, "")))
        key = (name, sha256(content.encode()).digest(), pull_secret)
        if key not in self._shared:
            state, credentials = decode_as_kubelet(secret)
            self._shared[key] = ReferencedSecret(name, state, credentials, pull_secret)
        return self._shared[key]
