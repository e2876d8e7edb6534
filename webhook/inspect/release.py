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
from webhook.files.values import CHART, cut_fullname
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
DEPLOYMENTS = Resource("/apis/apps/v1", "Deployment", "deployments")

_INSTANCE = "app.kubernetes.io/instance"
_OF_THE_CHART = {"labelSelector": f"app.kubernetes.io/name={CHART}"}
_COPIES = {"labelSelector": f"{MANAGED_BY_LABEL}={MANAGED_BY}"}
_COMPONENTS = ("-sync", "-webhook")
_SHOWN = 5

_FLAGS = "name it with --release and --release-namespace"

_CONFIGURATION = "a configuration with --config, if the command has this flag"

_T = TypeVar("_T")


class ReleaseQuery(msgspec.Struct, frozen=True):
    """The user's description of the release; omitted parts are empty."""

    namespace: str = ""
    name: str = ""
    configuration: Configuration | None = None
    """A configuration to use instead of the release's own."""
    values: ChartValues | None = None
    """Values that make this configuration, if it depends on the name of the release."""
    near: tuple[str, ...] = ()
    """Namespaces with objects of the release, perhaps: that of this Pod, and the one that the user looks at."""

    def fits(self, webhook_configuration: WebhookConfiguration) -> bool:
        """Return True if a webhook configuration can belong to the described release."""
        named = self.name in ("", webhook_configuration.release)
        return named and (not self.namespace or self.namespace in webhook_configuration.release_namespaces())

    def is_of(self, release: Release) -> bool:
        """Return True if the description fits a release."""
        return self.name in ("", release.name) and self.namespace in ("", release.namespace)


@dataclass(frozen=True, slots=True)
class InstalledRelease:
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


def find_release(reader: Reader, release_query: ReleaseQuery) -> InstalledRelease:
    """Return the described release; UsageError if there is none, or more than one."""
    webhooks, may_list = _webhook_configurations(reader, release_query)
    fitting = [candidate for candidate in webhooks if release_query.fits(candidate)]
    releases = [
        located for candidate in fitting for located in _locate(reader, release_query, candidate, may_list=may_list)
    ]
    if len(releases) > 1:
        raise _ambiguous_release([candidate.release for candidate in releases])
    if releases:
        return releases[0]
    if len(fitting) == 1 and release_query.configuration is None:
        _refuse_without_configuration(reader, release_query, fitting[0])
    others = sorted({candidate.release for candidate in webhooks} - {release_query.name, ""})
    return _without_webhook(reader, release_query, others, may_list=may_list)


def _ambiguous_release(releases: list[Release]) -> UsageError:
    listed = some([f"{release.name} in {release.namespace}" for release in releases], _SHOWN)
    flags = "--release and --release-namespace"
    return UsageError(f"there is more than one release: {listed}; choose with {flags}")


def _refuse_without_configuration(reader: Reader, release_query: ReleaseQuery, webhook: WebhookConfiguration) -> None:
    """Raise ConfigurationAbsent if no ConfigMap in a likely place has the configuration of an installed release."""
    name = webhook.metadata.name
    namespaces = [release_query.namespace] if release_query.namespace else webhook.release_namespaces()
    results = [reader.get_if_allowed(CONFIG_MAPS, name, namespace) for namespace in namespaces]
    if namespaces and all(is_known for _, is_known in results):
        raise _configuration_absent(Release(webhook.release, namespaces[0]), name, results[0][0])


def _configuration_absent(release: Release, name: str, content: bytes | None) -> ConfigurationAbsent:
    problem = "does not exist" if content is None else f"has no {DOCUMENT_KEY}"
    return ConfigurationAbsent(
        f"ConfigMap {release.namespace}/{name} of release {release.name} {problem}: install it again, or give "
        f"{_CONFIGURATION}. Next: helm get manifest {release.name} -n {release.namespace} | "
        "kubectl apply -f -"
    )


def _webhook_configurations(reader: Reader, release_query: ReleaseQuery) -> tuple[list[WebhookConfiguration], bool]:
    """Return those of this project, and True if all could be listed; else those of the likely names."""
    collection = Collection(MUTATING_WEBHOOK_CONFIGURATIONS)
    try:
        return [webhook for webhook in reader.items(collection, WebhookConfiguration) if webhook.is_ours], True
    except Forbidden:
        pass
    candidates = [_named(reader, name) for name in likely_fullnames(release_query.name)]
    webhooks = [webhook for webhook in candidates if webhook is not None and webhook.is_ours]
    if not webhooks:
        reader.report_missing("list", "mutatingwebhookconfigurations")
    return webhooks, False


def _named(reader: Reader, name: str) -> WebhookConfiguration | None:
    try:
        content = reader.get(MUTATING_WEBHOOK_CONFIGURATIONS, name)
    except Forbidden:
        return None
    return None if content is None else decode_webhook_configuration(content)


def likely_fullnames(release: str, chart: str = CHART) -> list[str]:
    """Return the names that the chart may give the objects of a release, unless ``fullnameOverride`` is another.

    ``chart`` is the value ``nameOverride``.
    """
    if chart in release:
        return [cut_fullname(release)]
    return [cut_fullname(f"{release}-{chart}"), cut_fullname(release)] if release else [chart]


def _locate(
    reader: Reader, release_query: ReleaseQuery, webhook: WebhookConfiguration, *, may_list: bool
) -> Iterator[InstalledRelease]:
    """Yield the release of a webhook configuration, if its namespace can be determined."""
    name = webhook.metadata.name
    namespaces = [release_query.namespace] if release_query.namespace else webhook.release_namespaces()
    for namespace in namespaces:
        content, _ = reader.get_if_allowed(CONFIG_MAPS, name, namespace)
        running = _document(content, namespace)
        if running is not None:
            release = Release(webhook.release, namespace)
            yield _installed(release_query, release, name, running, webhook, may_list=may_list)
            return
    if release_query.configuration is not None and (len(namespaces) == 1 or webhook.tells_namespace):
        release = Release(webhook.release, namespaces[0])
        yield _installed(release_query, release, name, None, webhook, may_list=may_list)


def _without_webhook(
    reader: Reader, release_query: ReleaseQuery, others: list[str], *, may_list: bool
) -> InstalledRelease:
    """Return a release by its other objects: it may have lost its webhook configuration."""
    traces = _traces(reader, release_query)
    if len(traces) > 1:
        raise _ambiguous_release(sorted(traces, key=lambda trace: (trace.name, trace.namespace)))
    if not traces and release_query.configuration is not None and release_query.name and release_query.namespace:
        traces = {Release(release_query.name, release_query.namespace): likely_fullnames(release_query.name)[0]}
    if not traces:
        raise UsageError(_not_found(reader, release_query, others))
    ((release, fullname),) = traces.items()
    content, is_known = reader.get_if_allowed(CONFIG_MAPS, fullname, release.namespace)
    running = _document(content, release.namespace)
    if running is None and is_known and release_query.configuration is None:
        raise _configuration_absent(release, fullname, content)
    webhook = None if may_list else _named(reader, fullname)
    return _installed(release_query, release, fullname, running, webhook, may_list=may_list)


def _not_found(reader: Reader, release_query: ReleaseQuery, others: list[str]) -> str:
    name = f"release {release_query.name}" if release_query.name else "release of pull-secret-webhook"
    where = f"in namespace {release_query.namespace}" if release_query.namespace else "in this cluster"
    if release_query.name and others:
        return f"there is no {name} {where}, but {some(others, _SHOWN)}: choose with --release"
    if reader.missing:
        configuration = "" if release_query.configuration else f", and give {_CONFIGURATION}"
        return f"no {name} was found {where}, because {next(iter(reader.missing))}: {_FLAGS}{configuration}"
    return f"no {name} was found {where}: check --context, install the chart, or {_FLAGS}"


def _traces(reader: Reader, release_query: ReleaseQuery) -> dict[Release, str]:
    """Return the releases of the first kind of object that leads to one, each with its fullname."""
    for look in (_of_config_maps, _of_components, _of_copies):
        releases = {
            release: fullname for release, fullname in look(reader, release_query) if release_query.is_of(release)
        }
        if releases:
            return releases
    return {}


def _of_config_maps(reader: Reader, release_query: ReleaseQuery) -> Iterator[tuple[Release, str]]:
    for config_map in _objects(reader, CONFIG_MAPS, release_query, ConfigMap, _OF_THE_CHART):
        if config_map.data.get(DOCUMENT_KEY, "").lstrip().startswith("apiVersion: pullsecrets.webhook/"):
            metadata = config_map.metadata
            yield Release((metadata.labels or {}).get(_INSTANCE, ""), metadata.namespace), metadata.name


def _of_components(reader: Reader, release_query: ReleaseQuery) -> Iterator[tuple[Release, str]]:
    for resource in (SERVICE_ACCOUNTS, DEPLOYMENTS):
        for item in _objects(reader, resource, release_query, PartialObjectMetadata, _OF_THE_CHART):
            name = item.metadata.name
            ending = next((ending for ending in _COMPONENTS if name.endswith(ending)), "")
            if ending:
                release = (item.metadata.labels or {}).get(_INSTANCE, "")
                yield Release(release, item.metadata.namespace), name.removesuffix(ending)


def _of_copies(reader: Reader, release_query: ReleaseQuery) -> Iterator[tuple[Release, str]]:
    for secret in _objects(reader, SECRETS, release_query, PartialObjectMetadata, _COPIES):
        labels = secret.metadata.labels or {}
        release = Release(labels.get(RELEASE_LABEL, ""), labels.get(RELEASE_NAMESPACE_LABEL, ""))
        if release.name and release.namespace:
            yield release, likely_fullnames(release.name)[0]


def _objects(
    reader: Reader, resource: Resource, release_query: ReleaseQuery, shape: type[_T], query: Mapping[str, str]
) -> Iterator[_T]:
    """Yield the objects in all namespaces; if these cannot be listed, in those where the release may be."""
    try:
        yield from reader.items(Collection(resource), shape, query)
        return
    except Forbidden:
        pass
    for namespace in dict.fromkeys(filter(None, (release_query.namespace, *release_query.near))):
        try:
            yield from reader.items(Collection(resource, namespace), shape, query)
        except Forbidden:
            continue


def _installed(
    release_query: ReleaseQuery,
    release: Release,
    fullname: str,
    running: Configuration | None,
    webhook: WebhookConfiguration | None,
    *,
    may_list: bool = True,
) -> InstalledRelease:
    chosen = release_query.configuration or running
    if release_query.values is not None:
        chosen = release_query.values.configuration(fullname)
    if chosen is None:
        raise UsageError(
            f"the configuration of release {release.name} in namespace {release.namespace} cannot be read with your "
            f"rights: give {_CONFIGURATION}, or ask for get on configmap {fullname} there"
        )
    return InstalledRelease(release, fullname, chosen.excluding(release.namespace), running, webhook, may_list)


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
