"""Find the release that is meant, and its configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.errors import ConfigurationAbsent, Forbidden, UsageError
from webhook.files.configuration import parse
from webhook.kube.resources import CONFIG_MAPS, MUTATING_WEBHOOK_CONFIGURATIONS, Collection
from webhook.kube.webhook_configuration import WebhookConfiguration
from webhook.kube.wire import ConfigMap, decode_config_map
from webhook.sync.release import Release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.inspect.reader import Reader
    from webhook.rules.configuration import Configuration

DOCUMENT_KEY = "config.yaml"
_INSTANCE = "app.kubernetes.io/instance"

_FLAGS = "name it with --release and --namespace, and its configuration with --config"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The user's description of the release; omitted parts are empty."""

    namespace: str = ""
    name: str = ""
    configuration: Configuration | None = None
    """A configuration to use instead of the release's own."""

    def fits(self, found: WebhookConfiguration) -> bool:
        """Return True if a webhook configuration can belong to the described release."""
        named = self.name in ("", found.release)
        return named and (not self.namespace or self.namespace in found.release_namespaces())


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
    try:
        webhooks = [*_webhook_configurations(reader)]
    except Forbidden:
        reader.lacks("list", "mutatingwebhookconfigurations")
        return _without_webhook(reader, wanted, may_list=False)
    fitting = [each for each in webhooks if wanted.fits(each)]
    found = [located for each in fitting for located in _locate(reader, wanted, each)]
    others = sorted({each.release for each in webhooks} - {wanted.name, ""})
    if wanted.name and others and not (found or wanted.namespace):
        raise UsageError(f"there is no release {wanted.name} here, but {', '.join(others)}: choose with --release")
    if len(found) > 1:
        listed = ", ".join(f"{each.release.name} in {each.release.namespace}" for each in found)
        raise UsageError(f"there is more than one release: {listed}; choose with --release and --namespace")
    if found:
        return found[0]
    if len(fitting) == 1 and wanted.configuration is None:
        _refuse_without_configuration(reader, wanted, fitting[0])
    return _without_webhook(reader, wanted, may_list=True)


def _refuse_without_configuration(reader: Reader, wanted: Wanted, webhook: WebhookConfiguration) -> None:
    """Raise ConfigurationAbsent if the ConfigMap of an installed release does not exist in any likely place."""
    name = webhook.metadata.name
    namespaces = [wanted.namespace] if wanted.namespace else webhook.release_namespaces()
    found = [reader.optional(CONFIG_MAPS, name, namespace) for namespace in namespaces]
    if namespaces and all(known and content is None for content, known in found):
        raise ConfigurationAbsent(
            f"ConfigMap {namespaces[0]}/{name} of release {webhook.release} does not exist: bring it back with helm "
            f"upgrade, or give a configuration with --config"
        )


def _webhook_configurations(reader: Reader) -> Iterator[WebhookConfiguration]:
    collection = Collection(MUTATING_WEBHOOK_CONFIGURATIONS)
    return (each for each in reader.each(collection, WebhookConfiguration) if each.is_ours)


def _locate(reader: Reader, wanted: Wanted, webhook: WebhookConfiguration) -> Iterator[Installed]:
    """Yield the release of a webhook configuration, if its namespace can be determined."""
    namespaces = [wanted.namespace] if wanted.namespace else webhook.release_namespaces()
    for namespace in namespaces:
        content, _ = reader.optional(CONFIG_MAPS, webhook.metadata.name, namespace)
        running = _document(content, namespace)
        if running is not None:
            yield _installed(wanted, Release(webhook.release, namespace), webhook.metadata.name, running, webhook)
            return
    if wanted.configuration is not None and (len(namespaces) == 1 or webhook.tells_namespace):
        yield _installed(wanted, Release(webhook.release, namespaces[0]), webhook.metadata.name, None, webhook)


def _without_webhook(reader: Reader, wanted: Wanted, *, may_list: bool) -> Installed:
    """Return a release from the user's description alone: it may have lost its webhook configuration."""
    if not wanted.namespace:
        absent = "no release has a MutatingWebhookConfiguration here"
        why = absent if may_list else "you may not list mutatingwebhookconfigurations"
        raise UsageError(f"the release cannot be found, because {why}: {_FLAGS}")
    running = {}
    selector = {"labelSelector": f"{_INSTANCE}={wanted.name}"} if wanted.name else {}
    try:
        for each in reader.each(Collection(CONFIG_MAPS, wanted.namespace), ConfigMap, selector):
            if each.data.get(DOCUMENT_KEY, "").lstrip().startswith("apiVersion: pullsecrets.webhook/"):
                running[(each.metadata.labels or {}).get(_INSTANCE, "")] = each
    except Forbidden:
        reader.lacks("list", "configmaps", wanted.namespace)
    name = wanted.name or (next(iter(running)) if len(running) == 1 else "")
    if not name or (name not in running and wanted.configuration is None):
        raise UsageError(f"the configuration of a release was not found in {wanted.namespace}: {_FLAGS}")
    found = running.get(name)
    configuration = None if found is None else _parsed(found, wanted.namespace)
    fullname = name if found is None else found.metadata.name
    return _installed(wanted, Release(name, wanted.namespace), fullname, configuration, None, may_list=may_list)


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
    if chosen is None:
        raise UsageError(f"the configuration of release {release.name} cannot be read: give one with --config")
    return Installed(release, fullname, chosen.excluding(release.namespace), running, webhook, may_list)


def _document(content: bytes | None, namespace: str) -> Configuration | None:
    config_map = None if content is None else decode_config_map(content)
    return None if config_map is None or DOCUMENT_KEY not in config_map.data else _parsed(config_map, namespace)


def _parsed(config_map: ConfigMap, namespace: str) -> Configuration:
    name = config_map.metadata.name
    look = f"kubectl get configmap {name} -n {namespace} -o yaml"
    return parse(config_map.data[DOCUMENT_KEY], f"ConfigMap {namespace}/{name}", look).excluding(namespace)
