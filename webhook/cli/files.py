"""Find the configuration and missing namespaces for manifests of ``-f``.

The labels of a namespace that the files lack come from ``--assume-label``, or else from a reachable cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.cli.cluster import load, reading, release_query_of
from webhook.cli.printing import tell
from webhook.errors import UsageError
from webhook.inspect.namespaces import find_namespace
from webhook.inspect.release import find_release
from webhook.report.explain.registration import NAME_LABEL
from webhook.report.preview.cluster_view import unknown_namespaces
from webhook.rules.names import problem_of_label_key, problem_of_label_value, problem_of_namespace
from webhook.rules.objects import Namespace
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from webhook.files.values import ChartValues
    from webhook.inspect.reader import Reader
    from webhook.report.preview.manifest import Manifest
    from webhook.rules.configuration import Configuration

_ADVICE = "add its Namespace to the files, or give its labels with --assume-label KEY=VALUE"


class PlacementFlags(msgspec.Struct, frozen=True):
    """The flags that locate the configuration and the labels of namespaces."""

    config: Path | ChartValues | None
    kubeconfig: Path | None
    context: str
    release_namespace: str
    release: str
    assumed: Sequence[str] = ()

    @property
    def names_a_cluster(self) -> bool:
        """Return whether a flag names a cluster, so that it must answer."""
        return self.kubeconfig is not None or bool(self.context)


class ManifestContext(msgspec.Struct, frozen=True):
    """The context that decides about the manifests."""

    configuration: Configuration
    release_namespace: str
    namespaces: Mapping[str, Namespace] = msgspec.field(default_factory=dict)


def manifest_context(manifests: Sequence[Manifest], flags: PlacementFlags) -> ManifestContext:
    """Return the context of ``manifests``, and report the origin of labels on standard error.

    Raises:
        UsageError: the configuration is unavailable, or the cluster that a flag names does not answer.
    """
    assumed = _labels(flags.assumed)
    if flags.config is None:
        return _of_release(manifests, flags, assumed)
    configuration = load(flags.config, flags.release_namespace)
    names = unknown_namespaces(manifests, configuration)
    if assumed:
        return ManifestContext(configuration, flags.release_namespace, _assume(names, assumed))
    return ManifestContext(configuration, flags.release_namespace, _namespaces_from_cluster(names, flags))


def _of_release(manifests: Sequence[Manifest], flags: PlacementFlags, assumed: Mapping[str, str]) -> ManifestContext:
    try:
        with reading(flags.kubeconfig, flags.context) as reader:
            installed = find_release(reader, release_query_of(None, flags.release_namespace, flags.release))
            names = unknown_namespaces(manifests, installed.configuration)
            namespaces = _assume(names, assumed) if assumed else _read(reader, names)
    except UsageError as error:
        raise UsageError(f"without --config the configuration is read from the cluster, but {error}") from None
    return ManifestContext(installed.configuration, installed.release.namespace, namespaces)


def _namespaces_from_cluster(names: Sequence[str], flags: PlacementFlags) -> Mapping[str, Namespace]:
    if not names:
        return {}
    try:
        with reading(flags.kubeconfig, flags.context) as reader:
            return _read(reader, names)
    except UsageError as error:
        if flags.names_a_cluster:
            raise
        for name in names:
            tell(f"note: namespace {name} is undecided without its labels: {_ADVICE}")
        tell(f"note: labels were not read from a cluster: {error}")
        return {}


def _read(reader: Reader, names: Iterable[str]) -> Mapping[str, Namespace]:
    namespaces: dict[str, Namespace] = {}
    for name in names:
        if (problem := problem_of_namespace(name)) is not None:
            tell(f'note: namespace "{name}" {problem}: correct it in the files')
            continue
        namespace, is_known = find_namespace(reader, name)
        if namespace is not None:
            namespaces[name] = namespace
        else:
            cause = "does not exist in the cluster" if is_known else "cannot be read in the cluster with your rights"
            tell(f"note: namespace {name} {cause}, so it is undecided: {_ADVICE}")
    if namespaces:
        which = f"namespace{'' if len(namespaces) == 1 else 's'} {listed(sorted(namespaces))}"
        tell(f"note: labels of {which} were read from the cluster {reader.client.host}")
    return namespaces


def _assume(names: Iterable[str], labels: Mapping[str, str]) -> Mapping[str, Namespace]:
    return {name: Namespace(name, {NAME_LABEL: name, **labels}) for name in names}


def _labels(texts: Iterable[str]) -> dict[str, str]:
    labels = {}
    for text in texts:
        key, separator, value = text.partition("=")
        problem = problem_of_label_key(key) or problem_of_label_value(value)
        if not separator or problem is not None:
            detail = f": {key if problem_of_label_key(key) else value} {problem}" if separator else ""
            raise UsageError(
                f"--assume-label {text} is not KEY=VALUE{detail}: "
                "write --assume-label pullsecrets.webhook/inject=enabled"
            )
        labels[key] = value
    return labels
