"""Find the release that is meant, and its configuration.

A release is found by its MutatingWebhookConfiguration. Without it, or without the right to list it, any other object of
the release leads to it: the chart labels all of them with the name of the release, and each copy has labels with the
name and the namespace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from webhook.errors import ConfigurationAbsent, ConfigurationInvalid, Forbidden, UsageError
from webhook.files.configuration import parse
from webhook.kube.resources import (
    CONFIG_MAPS,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    SECRETS,
    SERVICE_ACCOUNTS,
    Collection,
    Resource,
)
from webhook.kube.webhook_configuration import WebhookConfiguration, decode_webhook_configuration
from webhook.kube.wire import ConfigMap, PartialObjectMetadata, decode_config_map
from webhook.rules.ownership import MANAGED_BY, MANAGED_BY_LABEL, RELEASE_LABEL, RELEASE_NAMESPACE_LABEL, Release
from webhook.rules.text import some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webhook.files.values import ChartValues
    from webhook.inspect.reader import Reader
    from webhook.rules.configuration import Configuration

DOCUMENT_KEY = "config.yaml"
CHART = "pull-secret-webhook"
"""The name of the chart: the usual name of a release, and the label ``app.kubernetes.io/name`` of its objects."""

DEPLOYMENTS = Resource("/apis/apps/v1", "Deployment", "deployments")

_INSTANCE = "app.kubernetes.io/instance"
_OF_THE_CHART = {"labelSelector": f"app.kubernetes.io/name={CHART}"}
_COPIES = {"labelSelector": f"{MANAGED_BY_LABEL}={MANAGED_BY}"}
_COMPONENTS = ("-sync", "-webhook")
_SHOWN = 5

_FLAGS = "name it with --release and --release-namespace"

_T = TypeVar("_T")


class Wanted(msgspec.Struct, frozen=True):
    """The user's description of the release; omitted parts are empty."""

    namespace: str = ""
    name: str = ""
    configuration: Configuration | None = None
    """A configuration to use instead of the release's own."""
    values: ChartValues | None = None
    """Values that make this configuration, if it depends on the name of the release."""
    near: tuple[str, ...] = ()
    """Namespaces with objects of the release, perhaps: that of this Pod, and the one that the user looks at."""

    def fits(self, found: WebhookConfiguration) -> bool:
        """Return True if a webhook configuration can belong to the described release."""
        named = self.name in ("", found.release)
        return named and (not self.namespace or self.namespace in found.release_namespaces())

    def is_of(self, release: Release) -> bool:
        """Return True if the description fits a release."""
        return self.name in ("", release.name) and self.namespace in ("", release.namespace)


@dataclass(frozen=True, slots=True)
class Installed:
    """A release in a cluster: the marks of its copies, its webhook configuration if any, and its configuration.

    ``fullname`` is the name of its ConfigMap and MutatingWebhookConfiguration, and the prefix of its other objects.

    ``running`` is the configuration of its ConfigMap, None if that could not be read; ``configuration`` is the one to
    judge by. Both exclude the release namespace.
    """

    release: Release
    fullname: str
    configuration: Configuration
    running: Configuration | None = None
    webhook: WebhookConfiguration | None = field(default=None, repr=False)
    may_list_webhooks: bool = True


def find_release(reader: Reader, wanted: Wanted) -> Installed:
    """Return the described release; UsageError if there is none, or more than one."""
    webhooks, may_list = _webhook_configurations(reader, wanted)
    fitting = [each for each in webhooks if wanted.fits(each)]
    found = [located for each in fitting for located in _locate(reader, wanted, each, may_list=may_list)]
    if len(found) > 1:
        raise _several([each.release for each in found])
    if found:
        return found[0]
    if len(fitting) == 1 and wanted.configuration is None:
        _refuse_without_configuration(reader, wanted, fitting[0])
    others = sorted({each.release for each in webhooks} - {wanted.name, ""})
    return _without_webhook(reader, wanted, others, may_list=may_list)


def _several(releases: list[Release]) -> UsageError:
    listed = some([f"{each.name} in {each.namespace}" for each in releases], _SHOWN)
    flags = "--release and --release-namespace"
    return UsageError(f"there is more than one release: {listed}; choose with {flags}")


def _refuse_without_configuration(reader: Reader, wanted: Wanted, webhook: WebhookConfiguration) -> None:
    """Raise ConfigurationAbsent if the ConfigMap of an installed release does not exist in any likely place."""
    name = webhook.metadata.name
    namespaces = [wanted.namespace] if wanted.namespace else webhook.release_namespaces()
    found = [reader.optional(CONFIG_MAPS, name, namespace) for namespace in namespaces]
    if namespaces and all(known and content is None for content, known in found):
        raise _configuration_absent(Release(webhook.release, namespaces[0]), name)


def _configuration_absent(release: Release, name: str) -> ConfigurationAbsent:
    return ConfigurationAbsent(
        f"ConfigMap {release.namespace}/{name} of release {release.name} does not exist: install it again, or give a "
        f"configuration with --config. Next: helm get manifest {release.name} -n {release.namespace} | "
        "kubectl apply -f -"
    )


def _webhook_configurations(reader: Reader, wanted: Wanted) -> tuple[list[WebhookConfiguration], bool]:
    """Return those of this project, and True if all could be listed; else those of the likely names."""
    collection = Collection(MUTATING_WEBHOOK_CONFIGURATIONS)
    try:
        return [each for each in reader.each(collection, WebhookConfiguration) if each.is_ours], True
    except Forbidden:
        pass
    found = [_named(reader, name) for name in likely_fullnames(wanted.name)]
    webhooks = [each for each in found if each is not None and each.is_ours]
    if not webhooks:
        reader.lacks("list", "mutatingwebhookconfigurations")
    return webhooks, False


def _named(reader: Reader, name: str) -> WebhookConfiguration | None:
    try:
        content = reader.one(MUTATING_WEBHOOK_CONFIGURATIONS, name)
    except Forbidden:
        return None
    return None if content is None else decode_webhook_configuration(content)


def likely_fullnames(release: str) -> list[str]:
    """Return the names that the chart may give the objects of a release, unless a value overrides them."""
    if CHART in release:
        return [release]
    return [f"{release}-{CHART}", release] if release else [CHART]


def _locate(reader: Reader, wanted: Wanted, webhook: WebhookConfiguration, *, may_list: bool) -> Iterator[Installed]:
    """Yield the release of a webhook configuration, if its namespace can be determined."""
    name = webhook.metadata.name
    namespaces = [wanted.namespace] if wanted.namespace else webhook.release_namespaces()
    for namespace in namespaces:
        content, _ = reader.optional(CONFIG_MAPS, name, namespace)
        running = _document(content, namespace)
        if running is not None:
            release = Release(webhook.release, namespace)
            yield _installed(wanted, release, name, running, webhook, may_list=may_list)
            return
    if wanted.configuration is not None and (len(namespaces) == 1 or webhook.tells_namespace):
        release = Release(webhook.release, namespaces[0])
        yield _installed(wanted, release, name, None, webhook, may_list=may_list)


def _without_webhook(reader: Reader, wanted: Wanted, others: list[str], *, may_list: bool) -> Installed:
    """Return a release by its other objects: it may have lost its webhook configuration."""
    traces = _traces(reader, wanted)
    if len(traces) > 1:
        raise _several(sorted(traces, key=lambda each: (each.name, each.namespace)))
    if not traces and wanted.configuration is not None and wanted.name and wanted.namespace:
        traces = {Release(wanted.name, wanted.namespace): likely_fullnames(wanted.name)[0]}
    if not traces:
        raise UsageError(_not_found(reader, wanted, others))
    ((release, fullname),) = traces.items()
    content, known = reader.optional(CONFIG_MAPS, fullname, release.namespace)
    if content is None and known and wanted.configuration is None:
        raise _configuration_absent(release, fullname)
    running = _document(content, release.namespace)
    webhook = None if may_list else _named(reader, fullname)
    return _installed(wanted, release, fullname, running, webhook, may_list=may_list)


def _not_found(reader: Reader, wanted: Wanted, others: list[str]) -> str:
    name = f"release {wanted.name}" if wanted.name else "release of pull-secret-webhook"
    where = f"in namespace {wanted.namespace}" if wanted.namespace else "in this cluster"
    if wanted.name and others:
        return f"there is no {name} {where}, but {some(others, _SHOWN)}: choose with --release"
    if reader.missing:
        configuration = "" if wanted.configuration else ", and give its configuration with --config"
        return f"no {name} was found {where}, because {next(iter(reader.missing))}: {_FLAGS}{configuration}"
    return f"no {name} was found {where}: check --context, install the chart, or {_FLAGS}"


def _traces(reader: Reader, wanted: Wanted) -> dict[Release, str]:
    """Return the releases of the first kind of object that leads to one, each with its fullname."""
    for look in (_of_config_maps, _of_components, _of_copies):
        found = {release: fullname for release, fullname in look(reader, wanted) if wanted.is_of(release)}
        if found:
            return found
    return {}


def _of_config_maps(reader: Reader, wanted: Wanted) -> Iterator[tuple[Release, str]]:
    for each in _objects(reader, CONFIG_MAPS, wanted, ConfigMap, _OF_THE_CHART):
        if each.data.get(DOCUMENT_KEY, "").lstrip().startswith("apiVersion: pullsecrets.webhook/"):
            metadata = each.metadata
            yield Release((metadata.labels or {}).get(_INSTANCE, ""), metadata.namespace), metadata.name


def _of_components(reader: Reader, wanted: Wanted) -> Iterator[tuple[Release, str]]:
    for resource in (SERVICE_ACCOUNTS, DEPLOYMENTS):
        for each in _objects(reader, resource, wanted, PartialObjectMetadata, _OF_THE_CHART):
            name = each.metadata.name
            ending = next((ending for ending in _COMPONENTS if name.endswith(ending)), "")
            if ending:
                release = (each.metadata.labels or {}).get(_INSTANCE, "")
                yield Release(release, each.metadata.namespace), name.removesuffix(ending)


def _of_copies(reader: Reader, wanted: Wanted) -> Iterator[tuple[Release, str]]:
    for each in _objects(reader, SECRETS, wanted, PartialObjectMetadata, _COPIES):
        labels = each.metadata.labels or {}
        release = Release(labels.get(RELEASE_LABEL, ""), labels.get(RELEASE_NAMESPACE_LABEL, ""))
        if release.name and release.namespace:
            yield release, likely_fullnames(release.name)[0]


def _objects(
    reader: Reader, resource: Resource, wanted: Wanted, shape: type[_T], query: Mapping[str, str]
) -> Iterator[_T]:
    """Yield the objects in all namespaces; if these cannot be listed, in those where the release may be."""
    try:
        yield from reader.each(Collection(resource), shape, query)
        return
    except Forbidden:
        pass
    for namespace in dict.fromkeys(filter(None, (wanted.namespace, *wanted.near))):
        try:
            yield from reader.each(Collection(resource, namespace), shape, query)
        except Forbidden:
            continue


def _installed(
    wanted: Wanted,
    release: Release,
    fullname: str,
    running: Configuration | None,
    webhook: WebhookConfiguration | None,
    *,
    may_list: bool = True,
) -> Installed:
    chosen = wanted.configuration or running
    if wanted.values is not None:
        chosen = wanted.values.configuration(fullname)
    if chosen is None:
        raise UsageError(
            f"the configuration of release {release.name} in namespace {release.namespace} cannot be read with your "
            f"rights: give one with --config, or ask for get on configmap {fullname} there"
        )
    return Installed(release, fullname, chosen.excluding(release.namespace), running, webhook, may_list)


def _document(content: bytes | None, namespace: str) -> Configuration | None:
    config_map = None if content is None else decode_config_map(content)
    return None if config_map is None or DOCUMENT_KEY not in config_map.data else _parsed(config_map, namespace)


def _parsed(config_map: ConfigMap, namespace: str) -> Configuration:
    name = config_map.metadata.name
    look = f"kubectl get configmap {name} -n {namespace} -o yaml"
    try:
        return parse(config_map.data[DOCUMENT_KEY], f"ConfigMap {namespace}/{name}", look).excluding(namespace)
    except ConfigurationInvalid as error:
        error.look = look
        raise
