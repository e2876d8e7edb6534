"""Build MutatingAdmissionPolicies from a configuration, and list what they do not do.

There is one policy and one binding for each kind of object. The patch is a JSON Patch, because the API server rejects
an ApplyConfiguration for the list of a ServiceAccount, which is atomic. The operations are those of
``webhook/rules/patch.py``.

For the files that an API server reads itself, :func:`static` renames these policies, and :func:`guards` takes the
guard policies from the manifests of a release. The expressions stay, so the decisions are the same.

Source: KEP-3962, KEP-5793.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from webhook.rules import cel
from webhook.rules.cel import ACCOUNT, DECLINED, LABELS, REPOSITORIES, SPELLED_OUT
from webhook.rules.configuration import DECLINE_ANNOTATION, OPT_OUT_VALUE, PodPolicy
from webhook.rules.gates import DEFAULT_SERVICE_ACCOUNT, GATES, MIRROR_ANNOTATION
from webhook.rules.patch import POD_PATH, SERVICE_ACCOUNT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from webhook.rules.configuration import Configuration, PullSecret

    Manifest = dict[str, Any]


API_VERSION = "admissionregistration.k8s.io/v1"

EXCLUDED = "namespace-not-excluded"
"""The match condition about the patterns of ``excludedNamespaces``; the chart gives it the same name."""

STATIC_SUFFIX = ".static.k8s.io"
"""The end of all names in static manifests; the API refuses it for other objects."""

GUARD = "ValidatingAdmissionPolicy"
_GUARD_KINDS = (GUARD, f"{GUARD}Binding")
_COMPONENT = "app.kubernetes.io/component"


class _Kind(NamedTuple):
    """The differences between Pods and ServiceAccounts."""

    resource: str
    operations: tuple[str, ...]
    path: str
    account: str

    @property
    def of_pods(self) -> bool:
        return self.path == POD_PATH

    @property
    def field(self) -> str:
        """Return the type of an entry of the list."""
        return "Object" + self.path.replace("/", ".")

    @property
    def held(self) -> str:
        """Return the names that are already referenced; an entry may lack one."""
        holder = "object.spec" if self.of_pods else "object"
        return f'{holder}.?imagePullSecrets.orValue([]).map(each, each.?name.orValue(""))'


_PODS = _Kind(
    "pods",
    ("CREATE",),
    POD_PATH,
    f'object.spec.?serviceAccountName.orValue("") == "" ? "{DEFAULT_SERVICE_ACCOUNT}" : object.spec.serviceAccountName',
)
_SERVICE_ACCOUNTS = _Kind(
    "serviceaccounts", ("CREATE", "UPDATE"), SERVICE_ACCOUNT_PATH, 'object.metadata.?name.orValue("")'
)


def manifests(configuration: Configuration, prefix: str) -> list[Manifest]:
    """Return policies and bindings that do the webhook's work at admission; none if it has none.

    ``prefix`` is the beginning of their cluster-wide names.
    """
    of_pods = [entry for entry in configuration.pull_secrets if entry.pods is not PodPolicy.NEVER]
    objects = []
    for kind, entries in ((_PODS, of_pods), (_SERVICE_ACCOUNTS, configuration.pull_secrets)):
        if entries:
            name = f"{prefix}-{kind.resource}"
            objects.append(_manifest("MutatingAdmissionPolicy", name, _policy(kind, entries, configuration)))
            objects.append(_manifest("MutatingAdmissionPolicyBinding", name, {"policyName": name}))
    return objects


def _manifest(kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _policy(kind: _Kind, entries: Sequence[PullSecret], configuration: Configuration) -> Manifest:
    return {
        # An injector never blocks requests; the webhook does not either.
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": _constraints(kind, configuration),
        "matchConditions": _match_conditions(kind, entries, configuration),
        "variables": _variables(kind, entries, configuration),
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": _patch(kind)}}],
    }


def _constraints(kind: _Kind, configuration: Configuration) -> Manifest:
    opt_in = configuration.opt_in
    operator = "NotIn" if opt_in.is_everywhere else "In"
    namespaces: list[Manifest] = [{"key": opt_in.label, "operator": operator, "values": [opt_in.deciding_value]}]
    if configuration.excluded_namespaces:
        excluded = sorted(configuration.excluded_namespaces)
        namespaces.append({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": excluded})
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": [kind.resource],
        "operations": list(kind.operations),
        "scope": "Namespaced",
    }
    disabled = {"key": opt_in.label, "operator": "NotIn", "values": [OPT_OUT_VALUE]}
    return {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": namespaces},
        "objectSelector": {"matchExpressions": [disabled]},
        "resourceRules": [rule],
    }


def _match_conditions(kind: _Kind, entries: Sequence[PullSecret], configuration: Configuration) -> list[Manifest]:
    conditions = [
        # Usually all references exist; then the object is not even copied.
        ("lacks-a-reference", f"!{cel.texts(entry.name for entry in entries)}.all(name, name in {kind.held})"),
    ]
    if configuration.excluded_patterns:
        excluded = cel.matches_any("request.namespace", configuration.excluded_patterns)
        conditions.append((EXCLUDED, f"!{excluded}"))
    if kind.of_pods:
        annotation = f"object.metadata.?annotations[?{cel.text(MIRROR_ANNOTATION)}]"
        conditions.append(("no-mirror-pod", f"!{annotation}.hasValue()"))
    else:
        # The objectSelector lets an update pass if the label is missing before or after it.
        label = f"object.metadata.?labels[?{cel.text(configuration.opt_in.label)}]"
        conditions.append(("not-disabled", f'{label}.orValue("") != {cel.text(OPT_OUT_VALUE)}'))
    return [{"name": name, "expression": expression} for name, expression in conditions]


def _variables(kind: _Kind, entries: Sequence[PullSecret], configuration: Configuration) -> list[Manifest]:
    """Return the used variables, each before those that need it."""
    additions = [(entry.name, _conditions(kind, entry, configuration)) for entry in entries]
    condition_text = "\n".join(condition for _, conditions in additions for condition in conditions)
    annotation = f"namespaceObject.metadata.?annotations[?{cel.text(DECLINE_ANNOTATION)}]"
    expressions_by_name = {
        LABELS: "namespaceObject.metadata.?labels.orValue({})",
        DECLINED: f'{annotation}.orValue("").split(",").map(name, name.trim())',
        ACCOUNT: kind.account,
        REPOSITORIES: SPELLED_OUT,
    }
    ordered = [(name, expression) for name, expression in expressions_by_name.items() if name in condition_text]
    ordered += [("variables.held", kind.held), ("variables.missing", _missing(additions))]
    return [{"name": name.removeprefix("variables."), "expression": expression} for name, expression in ordered]


def _conditions(kind: _Kind, entry: PullSecret, configuration: Configuration) -> tuple[str, ...]:
    """Return the conditions that must all hold for an object in an opted-in namespace to get a reference."""
    about = "Pod" if kind.of_pods else "ServiceAccount"
    gate_conditions = (gate.cel(entry, configuration) for gate in GATES if gate.cel is not None and about in gate.kinds)
    return tuple(condition for of_gate in gate_conditions for condition in of_gate)


def _missing(additions: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """Return the list of the names to add, in the order of the configuration."""
    lines = [
        f'{" && ".join(f"({condition})" for condition in needed)} ? {cel.text(name)} : ""' if needed else cel.text(name)
        for name, needed in additions
    ]
    names = ",\n".join(f"  {line}" for line in lines)
    return f'[\n{names}\n].filter(name, name != "" && !(name in variables.held))'


def _patch(kind: _Kind) -> str:
    """Return the operations: add the whole list if it is missing, otherwise append each name."""
    entry, path = f"{kind.field}{{name: name}}", kind.path
    holder = "object.spec" if kind.of_pods else "object"
    return (
        "variables.missing.size() == 0 ? [] :\n"
        f"has({holder}.imagePullSecrets) ?\n"
        f'variables.missing.map(name, JSONPatch{{op: "add", path: "{path}/-", value: {entry}}}) :\n'
        f'[JSONPatch{{op: "add", path: "{path}", value: variables.missing.map(name, {entry})}}]'
    )


def static(documents: Iterable[Manifest]) -> list[Manifest]:
    """Return the policies and bindings with the names that static manifests must have."""
    return [_static(document) for document in documents]


def _static(document: Manifest) -> Manifest:
    spec = document["spec"]
    if "policyName" in spec:
        spec = {**spec, "policyName": spec["policyName"] + STATIC_SUFFIX}
    return _manifest(document["kind"], document["metadata"]["name"] + STATIC_SUFFIX, spec)


def guards(documents: Iterable[Mapping[str, Any]]) -> list[Manifest]:
    """Return the guard policies of the chart, and their bindings, among the objects of a release."""
    return [dict(document) for document in documents if _is_guard(document)]


def _is_guard(document: Mapping[str, Any]) -> bool:
    # The objects come from a file, so every field can have any type; one without a spec is no policy.
    labels, spec = document["metadata"].get("labels"), document.get("spec")
    is_of_guard = isinstance(labels, Mapping) and labels.get(_COMPONENT) == "guard"
    return is_of_guard and document.get("kind") in _GUARD_KINDS and isinstance(spec, Mapping)


def static_remarks(kind: str) -> Iterator[str]:
    """Yield the remarks for people who give policies of this kind to the API server as files."""
    yield (
        f"Put this file into the staticManifestsDir of the plugin {kind} on each node of the control plane. The API"
        " server does not start with a file that it cannot load."
    )
    yield "These policies are not visible through the API: kubectl, plan, explain and check do not show them."


def guard_remarks() -> Iterator[str]:
    """Yield the remarks about guard policies in static manifests."""
    yield "They have the names of this release and its pull secrets: export them again after each change of its values."
    yield (
        "They deny requests until the file is removed, also while the release is being upgraded. Replace the file"
        " before a release gets another pull secret, and after it loses one."
    )


def remarks(configuration: Configuration, release_namespace: str) -> Iterator[str]:
    """Yield the remarks for people who apply the policies of this configuration."""
    yield (
        "These policies only add references. Copies of Secrets, existing ServiceAccounts and the cleanup after an"
        " opt-out need pullsecrets sync or another tool."
    )
    yield "A policy has no audit annotations, metrics or logs, so reasons are not reported."
    yield "If an expression fails, the object is admitted unchanged (failurePolicy: Ignore), without a report."
    if not release_namespace:
        yield "No release namespace was given (--release-namespace), so it is selected like any other namespace."
    if configuration.retired:
        yield f"Policies remove nothing, so retired pull secrets are not included: {', '.join(configuration.retired)}."
    if any(entry.pods is PodPolicy.WHEN_IMAGE_MATCHES for entry in configuration.pull_secrets):
        yield (
            "pods: WhenImageMatches compares texts, and the API server limits that work for each object: a Pod with"
            " thousands of images is admitted unchanged."
        )
