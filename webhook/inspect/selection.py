"""Explain all objects of a kind. They are listed, and the input that they share is read once.

That input is the release, its sources and the webhook's registration; for each namespace its labels, its copies and the
controller's state. In more than a few namespaces, the copies and Events come from lists of the whole cluster.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from webhook.errors import ApiError, Forbidden, UsageError
from webhook.inspect.explain_input import (
    EXPLAINED,
    explain_content,
    explain_with_writer,
    inputs_in,
    is_as_due,
    read_accounts,
    read_background,
    workload_selector,
)
from webhook.inspect.healing import read_pending, read_records, refused_evictions
from webhook.inspect.namespaces import read_namespace, refuse_wrong_selector
from webhook.inspect.obstacles import read_reports, read_writer_of_all, with_reports
from webhook.inspect.reader import FEW, lacking
from webhook.inspect.secrets import CopyResult, list_copies, read_copy
from webhook.inspect.workloads import RUNNING
from webhook.kube.objects import to_namespace
from webhook.kube.resources import NAMESPACES, PODS, Collection
from webhook.kube.wire import PartialObjectMetadata, decoder
from webhook.report.explain.explanation import explain_namespace
from webhook.report.explain.selected import selected
from webhook.report.healing import HealingView
from webhook.rules.subject import AdmittedObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.kube.resources import Resource
    from webhook.report.explain.explanation import ExplainInput
    from webhook.report.explain.obstacle import ControllerState, EventReport
    from webhook.report.explain.selected import Explanations
    from webhook.report.explain.step import Explanation
    from webhook.rules.healing import OwnerRecord
    from webhook.rules.objects import Namespace, Subject

_T = TypeVar("_T")
_Question = tuple[str, "Callable[[ExplainInput], Explanation]"]
"""The namespace of an object, and the function that explains it."""

_decode_metadata: Callable[[bytes | msgspec.Raw], PartialObjectMetadata] = decoder(PartialObjectMetadata)
_decode_pod: Callable[[bytes | msgspec.Raw], AdmittedObject] = decoder(AdmittedObject)


class Selection(msgspec.Struct, frozen=True):
    """The objects to explain: a kind, in one namespace or with an empty one in all, perhaps with labels."""

    kind: str
    namespace: str = ""
    selector: str = ""


def explain_selection(reader: Reader, installed: InstalledRelease, selection: Selection) -> Explanations:
    """Return the explanation of each object that is selected. Pods that have ended are left out.

    Raises:
        UsageError: the objects or their namespaces cannot be read, or the selector is wrong or selects nothing.
    """
    if selection.kind == "Namespace":
        namespaces = _namespaces(reader, selection.selector)
        questions: list[_Question] = [(name, partial(explain_namespace, namespace=name)) for name in namespaces]
    else:
        # The namespaces come first, so that one that does not exist is an error.
        one = selection.namespace
        namespaces = {one: read_namespace(reader, one)} if one else _namespaces(reader)
        questions = [pair for pair in _questions(reader, installed, selection) if pair[0] in namespaces]
    if selection.selector and not questions:
        resource = NAMESPACES if selection.kind == "Namespace" else EXPLAINED[selection.kind]
        where = f" -n {selection.namespace}" if selection.namespace else " -A" if resource is not NAMESPACES else ""
        raise UsageError(
            f"-l {selection.selector} selects no {selection.kind}; list their labels: "
            f"kubectl get {resource.plural}{where} --show-labels"
        )
    places = {name: namespaces[name] for name, _ in questions}
    explainer = _Explainer(reader, installed, places, with_accounts=selection.kind == "Namespace")
    return selected(selection.kind, [explainer.explain(name, question) for name, question in questions])


def _listed(
    reader: Reader, resource: Resource, namespace: str, shape: type[_T], selector: str = "", **query: str
) -> Iterator[_T]:
    """Yield the objects of a kind. Raises UsageError if they cannot be listed, or if the selector is wrong."""
    if selector:
        query["labelSelector"] = selector
    try:
        yield from reader.items(Collection(resource, namespace or None), shape, query)
    except Forbidden:
        flag = "" if resource is NAMESPACES else f" -n {namespace}" if namespace else " -A"
        raise UsageError(
            f"{lacking('list', resource.plural, namespace)}: ask for it, or name one object. "
            f"Next: kubectl auth can-i list {resource.plural}{flag}"
        ) from None
    except ApiError as error:
        refuse_wrong_selector(selector, error)
        raise


def _namespaces(reader: Reader, selector: str = "") -> dict[str, Namespace]:
    """Return namespaces with all their labels, because the webhook's selectors may differ from the configuration."""
    namespaces = map(to_namespace, _listed(reader, NAMESPACES, "", PartialObjectMetadata, selector))
    return {namespace.name: namespace for namespace in namespaces}


def _questions(reader: Reader, installed: InstalledRelease, selection: Selection) -> list[_Question]:
    kind = selection.kind
    query = RUNNING if kind == "Pod" else {}
    pods = _RunningPods(reader, selection.namespace)
    questions = []
    objects = _listed(reader, EXPLAINED[kind], selection.namespace, msgspec.Raw, selection.selector, **query)
    for content in objects:
        metadata = _decode_metadata(content).metadata
        namespace = metadata.namespace
        explain = explain_content(
            kind, metadata.name, namespace, content, partial(pods.of, namespace), installed.configuration
        )
        questions.append((namespace, explain))
    return questions


class _RunningPods:
    """Lists the running Pods once, when the first workload needs them."""

    def __init__(self, reader: Reader, namespace: str) -> None:
        self._reader = reader
        self._namespace = namespace

    def of(self, namespace: str, selector: object) -> Sequence[Subject] | None:
        """Return the Pods in a namespace that a workload's selector selects; None if they cannot be listed."""
        pod_selector = workload_selector(selector)
        if pod_selector is None:
            return []
        if self._by_namespace is None:
            return None
        return [pod for pod in self._by_namespace[namespace] if pod_selector.matches(pod.labels)]

    @cached_property
    def _by_namespace(self) -> Mapping[str, list[Subject]] | None:
        pods_by_namespace: dict[str, list[Subject]] = defaultdict(list)
        try:
            for content in self._reader.items(Collection(PODS, self._namespace or None), msgspec.Raw, RUNNING):
                namespace = _decode_metadata(content).metadata.namespace
                subject = _decode_pod(content).as_pod(namespace)
                if subject is not None:
                    pods_by_namespace[namespace].append(subject)
        except Forbidden:
            self._reader.report_missing("list", "pods", self._namespace or None)
            return None
        return pods_by_namespace


class _Explainer:
    """Explains objects of some namespaces; reads each namespace at most once."""

    def __init__(
        self, reader: Reader, installed: InstalledRelease, namespaces: Mapping[str, Namespace], *, with_accounts: bool
    ) -> None:
        self._reader = reader
        self._installed = installed
        self._namespaces = namespaces
        self._with_accounts = with_accounts
        self._background = read_background(reader, installed)
        self._is_few = len(namespaces) <= FEW
        self._inputs_by_namespace: dict[str, ExplainInput] = {}
        self._writers: dict[str, ControllerState] = {}
        self._healing_views: dict[str, HealingView] = {}

    def explain(self, namespace: str, question: Callable[[ExplainInput], Explanation]) -> Explanation:
        inputs = self._inputs(namespace)
        return explain_with_writer(
            inputs, question, lambda: self._writer(namespace, inputs), lambda: self._healing_view(namespace)
        )

    def _inputs(self, name: str) -> ExplainInput:
        if name not in self._inputs_by_namespace:
            accounts = read_accounts(self._reader, self._installed.configuration, name) if self._with_accounts else None
            inputs = inputs_in(
                self._reader,
                self._installed,
                self._background,
                self._namespaces[name],
                {secret: self._copy(secret, name) for secret in self._installed.configuration.reference_names},
                accounts or (),
            )
            self._inputs_by_namespace[name] = replace(inputs, can_list_accounts=accounts is not None)
        return self._inputs_by_namespace[name]

    def _copy(self, secret: str, namespace: str) -> CopyResult:
        if self._is_few:
            tenant = secret in self._installed.configuration.tenant_names
            return read_copy(self._reader, self._installed.release, secret, namespace, tenant=tenant)
        copies = self._copies[secret]
        return CopyResult(None, is_known=False) if copies is None else copies.get(namespace, CopyResult(None))

    @cached_property
    def _copies(self) -> Mapping[str, Mapping[str, CopyResult] | None]:
        names, tenants = self._installed.configuration.reference_names, self._installed.configuration.tenant_names
        release = self._installed.release
        return {name: list_copies(self._reader, release, name, tenant=name in tenants) for name in names}

    def _writer(self, namespace: str, inputs: ExplainInput) -> ControllerState:
        if namespace not in self._writers:
            is_right = partial(is_as_due, inputs, namespace)
            reports = self._reports[namespace] if not self._is_few else read_reports(self._reader, namespace)
            self._writers[namespace] = with_reports(self._reader, self._writer_of_all, reports, is_right)
        return self._writers[namespace]

    def _healing_view(self, namespace: str) -> HealingView:
        if namespace not in self._healing_views:
            reports = read_reports(self._reader, namespace) if self._is_few else self._reports[namespace]
            self._healing_views[namespace] = HealingView(
                read_pending(self._reader, self._installed.configuration, namespace),
                self._records,
                refused_evictions(reports, datetime.now(UTC)),
            )
        return self._healing_views[namespace]

    @cached_property
    def _records(self) -> Mapping[str, OwnerRecord] | None:
        return read_records(self._reader, self._installed)

    @cached_property
    def _writer_of_all(self) -> ControllerState:
        return read_writer_of_all(self._reader, self._installed)

    @cached_property
    def _reports(self) -> Mapping[str, list[EventReport]]:
        reports_by_namespace: dict[str, list[EventReport]] = defaultdict(list)
        for report in read_reports(self._reader, None):
            reports_by_namespace[report.namespace].append(report)
        return reports_by_namespace
