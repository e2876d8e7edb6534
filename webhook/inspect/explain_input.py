"""Read one namespace with all input for an explanation of an object in it."""

from __future__ import annotations

import socket
import ssl
from base64 import b64decode
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from webhook.errors import Forbidden, SourceInvalid, UsageError
from webhook.inspect.healing import pulled_pod, read_view
from webhook.inspect.namespaces import read_namespace
from webhook.inspect.obstacles import read_reports, read_writer
from webhook.inspect.reader import lacking
from webhook.inspect.release import DEPLOYMENTS
from webhook.inspect.secrets import read_copy, read_facts, read_sources
from webhook.inspect.workloads import RUNNING
from webhook.kube.objects import ScopedDecoder
from webhook.kube.pods import decode_pod
from webhook.kube.resources import PODS, SECRETS, SERVICE_ACCOUNTS, Collection, Resource
from webhook.kube.webhook_configuration import LabelSelector
from webhook.kube.wire import ObjectMeta, PartialObjectMetadata, decoder
from webhook.report.coverage import registries_for
from webhook.report.explain.commands import certificate_command, retire_command
from webhook.report.explain.explanation import (
    ExplainInput,
    explain_dropped,
    explain_namespace,
    explain_other,
    explain_subject,
    explain_unreadable,
    explain_workload,
)
from webhook.report.explain.images import known_expiries
from webhook.report.explain.registration import Reachability, Registration
from webhook.report.explain.rotation import RotationEvents, latest_events
from webhook.report.explain.step import HEALING_GATE
from webhook.report.preview.cluster import ORIGIN
from webhook.report.preview.cluster_view import ClusterView
from webhook.report.preview.copies import hashes_for
from webhook.report.preview.manifest import Manifest
from webhook.report.preview.objects import read_subject
from webhook.rules.credential import SourceReason
from webhook.rules.labels import Operator
from webhook.rules.objects import Copy, NamespaceState
from webhook.rules.ownership import Ownership, is_a_copy, is_labelled, ownership_of
from webhook.rules.plan import plan_namespace
from webhook.rules.scope import scope_of
from webhook.rules.state_document import STATE_SUFFIX
from webhook.rules.subject import AdmittedObject
from webhook.rules.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.inspect.secrets import CopyResult
    from webhook.kube.webhook_configuration import ClientConfig, ServiceReference
    from webhook.report.explain.commands import SecretFacts
    from webhook.report.explain.obstacle import ControllerState, Target
    from webhook.report.explain.step import Explanation
    from webhook.report.healing import HealingView
    from webhook.report.preview.secrets import Sources
    from webhook.rules.configuration import Configuration
    from webhook.rules.expiry import Expiries
    from webhook.rules.labels import Selector
    from webhook.rules.objects import Namespace, ServiceAccount, Subject

ENDPOINT_SLICES = Resource("/apis/discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
HANDSHAKE_SECONDS = 3.0


class _Conditions(msgspec.Struct, frozen=True):
    ready: bool | None = None


class _Endpoint(msgspec.Struct, frozen=True):
    conditions: _Conditions = _Conditions()


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel"):
    """A discovery/v1 EndpointSlice, with the addresses of one family."""

    metadata: ObjectMeta
    address_type: str = ""
    endpoints: tuple[_Endpoint, ...] | None = None


def registration_of(reader: Reader, installed: InstalledRelease) -> Registration | None:
    """Return the requests for which the API server calls the webhook; None without the right to read that."""
    if installed.webhook is None:
        gone = Registration(installed.fullname, (), Reachability(answers=None, message=""))
        return gone if installed.may_list_webhooks else None
    configuration = installed.webhook
    hooks = tuple(webhook.hook() for webhook in configuration.webhooks)
    if configuration.certificates_mode == "provided":
        hooks = tuple(
            replace(hook, has_ca_bundle=True) for hook in hooks
        )  # without a caBundle, the system's roots apply
    client = configuration.webhooks[0].client_config
    reach = reach_of(reader, client)
    # At a URL, a process answered, so its certificate is not missing.
    if reach.answers is False and client.service is not None:
        reach = _without_certificate(reader, installed, reach)
    return Registration(configuration.metadata.name, hooks, reach)


def _without_certificate(reader: Reader, installed: InstalledRelease, reach: Reachability) -> Reachability:
    """Return why no replica answers: without its certificate, none becomes ready."""
    name, where = f"{installed.fullname}-tls", installed.release.namespace
    content, is_known = reader.get_if_allowed(SECRETS, name, where)
    if content is not None or not is_known:
        return reach
    message = f"{reach.message}, because Secret {where}/{name} with the certificate does not exist"
    mode = installed.webhook.certificates_mode if installed.webhook is not None else ""
    return replace(reach, message=message, command=certificate_command(mode, where, name, installed.release.name))


def reach_of(reader: Reader, client: ClientConfig) -> Reachability:
    """Return whether a replica answers at the address that the API server calls."""
    if client.service is not None:
        return _of_service(reader, client.service)
    return _of_url(client)


def _of_service(reader: Reader, service: ServiceReference) -> Reachability:
    where = f"Service {service.namespace}/{service.name}"
    query = {"labelSelector": f"kubernetes.io/service-name={service.name}"}
    try:
        slices = list(reader.items(Collection(ENDPOINT_SLICES, service.namespace), EndpointSlice, query))
    except Forbidden:
        reader.report_missing("list", "endpointslices", service.namespace)
        return Reachability(
            answers=None,
            message=f"{lacking('list', 'endpointslices', service.namespace)}, so the replicas of {where} are not known",
        )
    # A replica with two addresses is in the slices of both families.
    by_family = Counter[str]()
    for endpoint_slice in slices:
        by_family[endpoint_slice.address_type] += sum(
            endpoint.conditions.ready is not False for endpoint in endpoint_slice.endpoints or ()
        )
    if ready := max(by_family.values(), default=0):
        return Reachability(answers=True, message=f"{where} leads to {counted(ready, 'ready replica')}")
    return Reachability(answers=False, message=f"{where} leads to no ready replica")


def _of_url(client: ClientConfig) -> Reachability:
    """Try a TLS handshake. The API server may still not reach an address that this machine reaches, and the reverse."""
    url = client.url
    try:
        # A PEM file may have comments in any language. Python reads only ASCII.
        authorities = b64decode(client.ca_bundle).decode("ascii", "ignore") if client.ca_bundle else None
        context = ssl.create_default_context(cadata=authorities)
    except (OSError, ValueError):
        return Reachability(answers=None, message=f"{url} was not tried, because the caBundle cannot be read")
    try:
        with (
            socket.create_connection(client.address, timeout=HANDSHAKE_SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=client.host),
        ):
            trust = "the caBundle" if client.ca_bundle else "this machine"
            return Reachability(answers=True, message=f"{url} answers with a certificate that {trust} trusts")
    except ssl.SSLCertVerificationError as error:
        return Reachability(answers=False, message=f"the certificate at {url} is refused: {error.verify_message}")
    except ssl.SSLError as error:
        return Reachability(answers=None, message=f"the TLS handshake with {url} failed: {error.reason or error}")
    except (OSError, ValueError):
        return Reachability(answers=None, message=f"{url} is not reached from here")


_decode_metadata: Callable[[bytes], PartialObjectMetadata] = decoder(PartialObjectMetadata)
_decode_object: Callable[[bytes | msgspec.Raw], AdmittedObject] = decoder(AdmittedObject)

WORKLOADS = {
    resource.kind: resource
    for resource in (
        DEPLOYMENTS,
        Resource("/apis/apps/v1", "ReplicaSet", "replicasets"),
        Resource("/apis/apps/v1", "StatefulSet", "statefulsets"),
        Resource("/apis/apps/v1", "DaemonSet", "daemonsets"),
        Resource("/apis/batch/v1", "Job", "jobs"),
        Resource("/apis/batch/v1", "CronJob", "cronjobs"),
        Resource("/api/v1", "ReplicationController", "replicationcontrollers"),
    )
}
"""The kinds that are explained by their Pod template and their running Pods."""

NAMESPACES_SHOWN = 3
"""Namespaces with a Secret of an absent source's name."""

EXPLAINED = {"Pod": PODS, "ServiceAccount": SERVICE_ACCOUNTS, **WORKLOADS}
"""The kinds in namespaces that are explained."""


class Background(msgspec.Struct, frozen=True):
    """The input that all explanations of a release share."""

    sources: Sources
    registration: Registration | None
    elsewhere: Mapping[str, Sequence[str]]
    """For each source that does not exist, the namespaces with a Secret of its name."""
    wrong: Mapping[str, SecretFacts]
    """Facts about the sources of a wrong type."""
    rotations: RotationEvents


class _Copies(msgspec.Struct, frozen=True):
    """The Secrets with copies' names in one namespace, the registries in ours, and the names that must not be read."""

    found: dict[str, Copy]
    registries: dict[str, frozenset[str]]
    expiries: dict[str, Expiries]
    unseen: frozenset[str]


def explain_live(reader: Reader, installed: InstalledRelease, kind: str, name: str, namespace: str) -> Explanation:
    """Return each gate for an object in the cluster; ``namespace`` is its namespace, if it has one.

    Raises:
        UsageError: it does not exist, or must not be read; no explanation is possible without it.
    """
    if kind == "Namespace":
        namespace_object = read_namespace(reader, name)
        accounts = read_accounts(reader, installed.configuration, name)
        inputs = _inputs(reader, installed, namespace_object, accounts or ())
        inputs = replace(inputs, can_list_accounts=accounts is not None)
        return _with_writer(reader, installed, inputs, name, lambda inputs: explain_namespace(inputs, name))
    namespace_object = read_namespace(reader, namespace)
    content = _content(reader, kind, name, namespace)
    explain = explain_content(
        kind, name, namespace, content, partial(_pods, reader, namespace), installed.configuration
    )
    inputs = replace(_inputs(reader, installed, namespace_object, ()), can_list_accounts=False)
    return _with_writer(reader, installed, inputs, namespace, explain)


def explain_content(
    kind: str,
    name: str,
    namespace: str,
    content: bytes | msgspec.Raw,
    pods_of: Callable[[object], Sequence[Subject] | None],
    configuration: Configuration,
) -> Callable[[ExplainInput], Explanation]:
    """Return the function that explains an object, given as JSON; it keeps only the fields that decide.

    ``pods_of`` returns the running Pods of a workload's selector; None if they must not be listed.
    """
    subject = _subject(kind, name, namespace, content)
    if subject is None:
        return lambda _: explain_unreadable(kind, name, namespace)
    if kind in WORKLOADS:
        pods = pods_of(msgspec.json.decode(content)["spec"].get("selector"))
        return lambda inputs: explain_workload(inputs, subject, f"{kind}/{name}", pods)
    if kind != "Pod":
        return lambda inputs: explain_subject(inputs, subject)
    owner, pulled = _owner(content), pulled_pod(content, configuration)
    return lambda inputs: explain_subject(inputs, subject, owner, pulled)


def explain_secret(reader: Reader, installed: InstalledRelease, name: str, namespace: str) -> Explanation:
    """Return what a Secret is to the release: a copy or in its place, the copy of a dropped name, or not handled."""
    configuration, release = installed.configuration, installed.release
    if name in configuration.reference_names and namespace != release.namespace:
        return explain_live(reader, installed, "Namespace", namespace, namespace)
    content, _ = reader.get_if_allowed(SECRETS, name, namespace)
    labels = {} if content is None else _decode_metadata(content).metadata.labels or {}
    if is_labelled(labels, release.name, release.namespace) and namespace != release.namespace:
        retired = sorted({*configuration.retired, name})
        command = retire_command(release.name, release.namespace, retired)
        return explain_dropped(name, namespace, release.name, command)
    return explain_other("Secret", name, namespace)


def _with_writer(
    reader: Reader,
    installed: InstalledRelease,
    inputs: ExplainInput,
    namespace: str,
    explain: Callable[[ExplainInput], Explanation],
) -> Explanation:
    is_right = partial(is_as_due, inputs, namespace)
    return explain_with_writer(
        inputs,
        explain,
        lambda: read_writer(reader, installed, namespace, is_right),
        lambda: read_view(reader, installed, namespace),
    )


def explain_with_writer(
    inputs: ExplainInput,
    explain: Callable[[ExplainInput], Explanation],
    read: Callable[[], ControllerState],
    read_healing: Callable[[], HealingView],
) -> Explanation:
    """Explain an object. The state of the controller is read only if the controller still has something to do."""
    explanation = explain(inputs)
    awaiting = {step.gate for step in explanation.steps if step.awaits_sync}
    if not awaiting:
        return explanation
    healing = read_healing() if HEALING_GATE in awaiting else inputs.healing
    return explain(replace(inputs, writer=read(), healing=healing))


def is_as_due(inputs: ExplainInput, namespace: str, target: Target) -> bool:
    """Return True if an object of the namespace was read, and needs no write."""
    kind, name = target
    plan = inputs.cluster.plans[namespace]
    if kind == "ServiceAccount":
        return inputs.can_list_accounts and name not in plan.accounts_to_write
    unseen = name in inputs.cluster.unseen_copies or name not in inputs.cluster.configuration.secret_names
    return not unseen and name not in plan.copies_to_write


def read_accounts(reader: Reader, configuration: Configuration, namespace: str) -> tuple[ServiceAccount, ...] | None:
    """Return the ServiceAccounts of a namespace; None if they must not be listed, which is reported."""
    try:
        shapes = ScopedDecoder(scope_of(configuration))
        objects = reader.items(Collection(SERVICE_ACCOUNTS, namespace), shapes.service_account)
        return tuple(shapes.to_service_account(item) for item in objects)
    except Forbidden:
        reader.report_missing("list", "serviceaccounts", namespace)
        return None


def _content(reader: Reader, kind: str, name: str, namespace: str) -> bytes:
    """Return an object as JSON. Raises UsageError if it does not exist, or must not be read."""
    resource = EXPLAINED[kind]
    try:
        content = reader.get(resource, name, namespace)
    except Forbidden:
        raise UsageError(f"{lacking('get', resource.plural, namespace)}: ask for it") from None
    if content is None:
        listing = f", or list them: kubectl get {resource.plural} -n {namespace}"
        raise UsageError(f"{kind} {name} does not exist in namespace {namespace}; choose another with -n{listing}")
    return content


def _subject(kind: str, name: str, namespace: str, content: bytes | msgspec.Raw) -> Subject | None:
    """Return the subject of a decision, for a workload one of its Pods; None if it is unreadable."""
    if kind in WORKLOADS:
        resource = WORKLOADS[kind]
        body = msgspec.json.decode(content)
        return read_subject(Manifest(resource.api_version, kind, namespace, name, body, ORIGIN))
    admitted_object = _decode_object(content)
    return admitted_object.as_pod(namespace) if kind == "Pod" else admitted_object.as_service_account(namespace)


def _owner(content: bytes | msgspec.Raw) -> str:
    """Return the workload of a Pod as kubectl writes it; empty without one."""
    kind, _, name = decode_pod(content).metadata.workload.partition("/")
    return "" if kind == "Pod" else f"{kind.lower()}/{name}"


def _pods(reader: Reader, namespace: str, selector: object) -> list[Subject] | None:
    """Return the running Pods that a workload selects; None if they must not be listed. A CronJob selects none."""
    pod_selector = workload_selector(selector)
    if pod_selector is None:
        return []
    try:
        pods = reader.items(
            Collection(PODS, namespace), msgspec.Raw, {**RUNNING, "labelSelector": _query(pod_selector)}
        )
        subjects = [_decode_object(pod).as_pod(namespace) for pod in pods]
    except Forbidden:
        reader.report_missing("list", "pods", namespace)
        return None
    return [subject for subject in subjects if subject is not None]


def workload_selector(selector: object) -> Selector | None:
    """Return a workload's selector; None if it selects no Pods. A ReplicationController has a plain map of labels."""
    if not isinstance(selector, dict) or not selector:
        return None
    if not {"matchLabels", "matchExpressions"} & selector.keys():
        selector = {"matchLabels": selector}
    return msgspec.convert(selector, LabelSelector).selector()


def _query(selector: Selector) -> str:
    """Return a selector as the API server reads it in a query."""
    forms = {
        Operator.IN: "{0} in ({1})",
        Operator.NOT_IN: "{0} notin ({1})",
        Operator.EXISTS: "{0}",
        Operator.DOES_NOT_EXIST: "!{0}",
    }
    return ",".join(
        forms[requirement.operator].format(requirement.key, ",".join(requirement.values))
        for requirement in selector.requirements
    )


def _elsewhere(reader: Reader, installed: InstalledRelease, sources: Sources) -> dict[str, list[str]]:
    """Return for each absent source the namespaces with a Secret of its name, as far as rights allow."""
    namespaces_by_source: dict[str, list[str]] = {}
    for name, problem in sources.read.items():
        if not isinstance(problem, SourceInvalid) or problem.reason != SourceReason.ABSENT:
            continue
        try:
            secrets = list(reader.items(Collection(SECRETS, None, name), PartialObjectMetadata))
        except Forbidden:
            continue
        namespaces_by_source[name] = [
            secret.metadata.namespace
            for secret in secrets
            if not is_a_copy(secret.metadata.labels or {}) and secret.metadata.namespace != installed.release.namespace
        ][:NAMESPACES_SHOWN]
    return namespaces_by_source


def read_background(reader: Reader, installed: InstalledRelease) -> Background:
    """Return what all explanations of a release share, as far as rights allow."""
    sources = read_sources(reader, installed, datetime.now(UTC))
    wrong = [
        name
        for name, problem in sources.read.items()
        if isinstance(problem, SourceInvalid) and problem.reason == SourceReason.TYPE_UNSUPPORTED
    ]
    return Background(
        sources,
        registration_of(reader, installed),
        _elsewhere(reader, installed, sources),
        {name: read_facts(reader, name, installed.release.namespace) for name in wrong},
        _rotation_events(reader, installed, sources),
    )


def _rotation_events(reader: Reader, installed: InstalledRelease, sources: Sources) -> RotationEvents:
    """Return the Events about rotations, if there are some and their stages must not be read."""
    if sources.is_state_read or all(entry.rollout is None for entry in installed.configuration.pull_secrets):
        return RotationEvents()
    namespace = installed.release.namespace
    lacks = lacking("get", f"secrets/{installed.fullname}{STATE_SUFFIX}", namespace)
    return RotationEvents(lacks, latest_events(read_reports(reader, namespace)))


def _inputs(
    reader: Reader, installed: InstalledRelease, namespace: Namespace, accounts: tuple[ServiceAccount, ...]
) -> ExplainInput:
    names, tenants = installed.configuration.reference_names, installed.configuration.tenant_names
    reads = {name: read_copy(reader, installed.release, name, namespace.name, tenant=name in tenants) for name in names}
    return inputs_in(reader, installed, read_background(reader, installed), namespace, reads, accounts)


def inputs_in(
    reader: Reader,
    installed: InstalledRelease,
    background: Background,
    namespace: Namespace,
    reads: Mapping[str, CopyResult],
    accounts: tuple[ServiceAccount, ...],
) -> ExplainInput:
    """Return the input for explanations in one namespace; ``reads`` has the Secret of each configured name."""
    configuration, sources = installed.configuration, background.sources
    expected = {entry.name: sources.expected(entry) for entry in configuration.copied}
    copies = _copies(namespace, {name: reads[name] for name in configuration.secret_names})
    tenants = {name: reads[name].of_tenant for name in configuration.tenant_names}
    state = NamespaceState(
        namespace, copies.found, accounts, _token_accounts(reader, configuration.token_accounts, namespace.name)
    )
    plan = plan_namespace(state, configuration, hashes_for(expected, state))
    cluster = ClusterView(
        configuration=configuration,
        release_namespace=installed.release.namespace,
        states={namespace.name: state},
        plans={namespace.name: plan},
        expected=expected,
        sources=sources,
        removals={},
        unseen_copies=copies.unseen,
    )
    foreign = [copy.name for copy in state.copies.values() if state.ownership(copy) is Ownership.FOREIGN]
    return ExplainInput(
        cluster,
        datetime.now(UTC),
        exists=True,
        registration=background.registration,
        registries={
            **registries_for(configuration, sources),
            **copies.registries,
            **{name: secret.registries for name, secret in tenants.items() if secret.helps},
        },
        tenants=tenants,
        expiries=copies.expiries | _of_sources(known_expiries(expected), copies.expiries, configuration),
        elsewhere=background.elsewhere,
        secrets={**background.wrong, **{name: read_facts(reader, name, namespace.name) for name in foreign}},
        rotations=background.rotations,
        release=installed.release.name,
        fullname=installed.fullname,
    )


def _token_accounts(reader: Reader, names: frozenset[str], namespace: str) -> Mapping[str, str] | None:
    """Return the UIDs of the ServiceAccounts that tokens are issued of; None without such tokens, or without rights."""
    uids: dict[str, str] = {}
    for name in names:
        content, is_known = reader.get_if_allowed(SERVICE_ACCOUNTS, name, namespace)
        if not is_known:
            return None
        metadata = None if content is None else _decode_metadata(content).metadata
        if metadata is not None and metadata.deletion_timestamp is None:
            uids[name] = metadata.uid
    return uids if names else None


def _of_sources(
    expected: Mapping[str, Expiries], in_copies: Mapping[str, Expiries], configuration: Configuration
) -> dict[str, Expiries]:
    """Return the expiries that sources contain, except of pull secrets whose tokens only the copy has."""
    issued = {entry.name for entry in configuration.pull_secrets if entry.tokens and entry.name in in_copies}
    return {name: expiries for name, expiries in expected.items() if name not in issued}


def _copies(namespace: Namespace, reads: Mapping[str, CopyResult]) -> _Copies:
    copies: dict[str, Copy] = {}
    registries: dict[str, frozenset[str]] = {}
    expiries: dict[str, Expiries] = {}
    for name, read in reads.items():
        if read.copy is not None:
            copies[name] = read.copy
            if ownership_of(read.copy.mark, namespace.uid) is not Ownership.FOREIGN:
                registries[name], expiries[name] = read.registries, read.expiries
    return _Copies(copies, registries, expiries, frozenset(name for name, read in reads.items() if not read.is_known))
