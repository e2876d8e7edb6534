"""Read the Pods that run: the workload of each, its images, and the Secrets that it references, each once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from webhook.errors import Forbidden
from webhook.inspect.namespaces import list_namespaces, refuse_absent, unlisted_pods
from webhook.inspect.secrets import decode_as_kubelet, read_sources
from webhook.kube.objects import decode_secret
from webhook.kube.pods import NOT_ENDED, PodObject
from webhook.kube.resources import PODS, SECRETS, Collection
from webhook.report.coverage import Coverage, Workload, exposures, registries_for
from webhook.rules.names import problem_of_subdomain

if TYPE_CHECKING:
    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease

RUNNING = {"fieldSelector": NOT_ENDED}


def read_coverage(reader: Reader, installed: InstalledRelease, namespace: str, selector: str) -> Coverage:
    """Return the coverage of each image of each workload, in one namespace or in those of a label selector."""
    configured = registries_for(installed.configuration, read_sources(reader, installed, datetime.now(UTC)))
    workloads = _workloads(reader, installed, namespace, selector)
    secrets = _Secrets(reader)
    images = [
        exposure
        for workload in workloads
        for exposure in exposures(
            workload, {name: secrets.registries(workload.namespace, name) for name in workload.references}, configured
        )
    ]
    return Coverage(tuple(dict.fromkeys(images)))  # Pods of one workload may differ in other images


def _workloads(reader: Reader, installed: InstalledRelease, namespace: str, selector: str) -> list[Workload]:
    """Return each workload once, with the images and references of its Pods that differ."""
    namespaces = list_namespaces(reader, installed.configuration, selector) if selector else None
    selected_namespaces = None if namespaces is None else {item.name for item in namespaces}
    workloads: dict[Workload, None] = {}
    try:
        for pod in reader.items(Collection(PODS, namespace or None), PodObject, RUNNING):
            metadata, spec = pod.metadata, pod.spec
            if selected_namespaces is None or metadata.namespace in selected_namespaces:
                workloads[Workload(metadata.namespace, metadata.workload, spec.images(), spec.references)] = None
    except Forbidden:
        raise unlisted_pods(namespace) from None
    if namespace and not workloads:
        refuse_absent(reader, namespace)  # an absent namespace would look like one without work
    return sorted(workloads, key=lambda workload: (workload.namespace, workload.title))


class _Secrets:
    """Reads each Secret once; stores its registries and nothing else."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[tuple[str, str], frozenset[str] | None] = {}

    def registries(self, namespace: str, name: str) -> frozenset[str] | None:
        """Return the registries that a Secret covers, as nodes read it; empty if it does not exist, None if unread."""
        key = (namespace, name)
        if key not in self._known:
            self._known[key] = self._read(namespace, name)
        return self._known[key]

    def _read(self, namespace: str, name: str) -> frozenset[str] | None:
        # A tenant may reference "..", which is another path at the API server.
        is_possible = problem_of_subdomain(name) is None
        content, is_known = self._reader.get_if_allowed(SECRETS, name, namespace) if is_possible else (None, True)
        if content is None:
            return frozenset() if is_known else None
        _, credentials = decode_as_kubelet(decode_secret(content))
        return frozenset(map(str, credentials))
