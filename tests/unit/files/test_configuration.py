from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.documented import DOCS, ROOT, names, rows, section
from webhook.errors import ConfigurationInvalid, Problem
from webhook.files.configuration import API_VERSION, KIND, MAX_PROBLEMS, parse
from webhook.files.node import Node
from webhook.rules.configuration import (
    Configuration,
    NameFilter,
    OptIn,
    PodPolicy,
    ProofSettings,
    PullSecret,
    RolloutSettings,
    WhenUnknown,
)
from webhook.rules.copy_metadata import CopyMetadata
from webhook.rules.labels import EVERYTHING, Operator, Requirement, Selector

HEAD = "apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\n"
ONE = "pullSecrets:\n- name: registry-credentials\n  sources: [{secretName: harbor}]\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationInvalid) as caught:
        parse(text, "config.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_the_smallest_document_has_the_defaults() -> None:
    assert parse(HEAD + ONE, "config.yaml") == Configuration(
        pull_secrets=(
            PullSecret(
                name="registry-credentials",
                sources=("harbor",),
                namespace_selector=EVERYTHING,
                service_accounts=NameFilter(("*",), ()),
                pods=PodPolicy.ALWAYS,
                registries=(),
            ),
        ),
        opt_in=OptIn("pullsecrets.webhook/inject", "enabled"),
        excluded_namespaces=frozenset({"kube-system", "kube-public", "kube-node-lease"}),
        retired=(),
    )


def test_every_field_is_read() -> None:
    text = """
    apiVersion: pullsecrets.webhook/v1alpha1
    kind: Configuration
    optIn: {label: example.com/pull, value: "on"}
    excludedNamespaces: [kube-system]
    pullSecrets:
    - name: registry-credentials
      sources: [{secretName: harbor}, {secretName: ghcr.read}]
      namespaceSelector:
        matchLabels: {team: b, env: ""}
        matchExpressions:
        - {key: tier, operator: NotIn, values: [gold, silver]}
        - {key: example.com/legacy, operator: DoesNotExist}
      serviceAccounts: {include: [default, "ci-*"], exclude: ["ci-[0-9]"]}
      pods: WhenImageMatches
      registries: [ghcr.io/our-org, "*.example.com:5000", docker.io]
    retired: [old-credentials]
    """

    assert parse(text, "config.yaml") == Configuration(
        pull_secrets=(
            PullSecret(
                name="registry-credentials",
                sources=("harbor", "ghcr.read"),
                namespace_selector=Selector(
                    (
                        Requirement("env", Operator.IN, ("",)),
                        Requirement("team", Operator.IN, ("b",)),
                        Requirement("tier", Operator.NOT_IN, ("gold", "silver")),
                        Requirement("example.com/legacy", Operator.DOES_NOT_EXIST),
                    )
                ),
                service_accounts=NameFilter(("default", "ci-*"), ("ci-[0-9]",)),
                pods=PodPolicy.WHEN_IMAGE_MATCHES,
                registries=("ghcr.io/our-org", "*.example.com:5000", "docker.io"),
            ),
        ),
        opt_in=OptIn("example.com/pull", "on"),
        excluded_namespaces=frozenset({"kube-system"}),
        retired=("old-credentials",),
    )


@pytest.mark.parametrize("text", ["", "pullSecrets: []\n", "pullSecrets:\nretired:\noptIn:\n"])
def test_a_document_that_selects_nothing_is_valid_and_null_is_absent(text: str) -> None:
    assert parse(HEAD + text, "config.yaml") == Configuration(())


def test_five_errors_are_five_lines_each_with_its_path() -> None:
    text = """
    apiVersion: pullsecrets.webhook/v1
    kind: Configuration
    pullSecrets:
    - name: registry
      sources: []
      pods: Sometimes
      excludes: []
    retierd: []
    """

    with pytest.raises(ConfigurationInvalid) as caught:
        parse(text, "config.yaml")

    assert str(caught.value).splitlines() == [
        "config.yaml: the configuration has 5 problems:",
        "  retierd: unknown field, did you mean retired?",
        '  apiVersion: must be pullsecrets.webhook/v1alpha1, not "pullsecrets.webhook/v1"',
        "  pullSecrets[0].excludes: unknown field",
        '  pullSecrets[0].pods: "Sometimes" is not one of Always, WhenImageMatches, Never',
        (
            "  pullSecrets[0].sources: is required: name at least one Secret of the release namespace, or write "
            "tenantOwned: true for a Secret that each namespace has of its own"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the document is empty"),
        ("# only a comment\n", "the document is empty"),
        ("---\n", "the document is empty"),
        ("- a\n- b\n", "must be a mapping, not a list"),
        ("just text\n", "must be a mapping, not text"),
        ("a: b\n---\nc: d\n", "there is more than one document"),
        ("a: &x [1]\nb: *x\n", "the alias *x is not allowed: write the value out"),
        ("[" * 100, "the document is nested more than 32 levels deep"),
        ("a: b: c\n", "(line 1, column 5); look at it: sed -n '1,2p' config.yaml"),
        ("b: c\na: [1\nb: 2\n", "begins in line 2); look at it: sed -n '1,4p' config.yaml"),
        ("a: \x00\n", "(line 1); look at it: sed -n '1,2p' config.yaml"),
        ("\n\n\n\na: \ud800\n", "(line 5); look at it: sed -n '2,6p' config.yaml"),
        ("# " + "x" * 1024 * 1024, "the document is larger than 1048576 bytes"),
    ],
)
def test_a_text_that_is_no_single_document_is_refused(text: str, expected: str) -> None:
    assert problems(text)[0].endswith(expected)


def test_a_yaml_bomb_is_refused_before_it_is_built() -> None:
    bomb = "a0: &a0 [x, x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))

    assert problems(bomb) == ["the alias *a0 is not allowed: write the value out"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ONE + "pullSecrets: []\n", "pullSecrets: the key is repeated"),
        ("on: x\n", 'the key "on" is read by YAML as a boolean: quote it'),
        ("? [a]\n: b\n", "a key must be text"),
        ("<<: {a: b}\n", 'the key "<<" is read by YAML as a value of a special type: quote it'),
        ("optIn: [a]\n", "optIn: must be a mapping, not a list"),
        ("optIn: {value: yes}\n", 'optIn.value: "yes" is read by YAML as a boolean: quote it'),
        ("optIn: {value: !!python/object:os.system x}\n", "optIn.value: "),
        ("optIn: {value: disabled}\n", 'optIn.value: "disabled" opts a Pod or ServiceAccount out'),
        ('optIn: {value: ""}\n', "optIn.value: must not be empty"),
        ("optIn: {label: a/b/c}\n", 'optIn.label: "a/b/c" is not a valid label key'),
        ("optIn: {label: {}}\n", "optIn.label: must be text, not a mapping"),
        ("excludedNamespaces: kube-system\n", "excludedNamespaces: must be a list, not text"),
        (
            "excludedNamespaces: [2024-01-01]\n",
            'excludedNamespaces[0]: "2024-01-01" is read by YAML as a date: quote it',
        ),
        ("excludedNamespaces: [a.b]\n", 'excludedNamespaces[0]: "a.b" is not a valid namespace name'),
        ("excludedNamespaces: [null]\n", "excludedNamespaces[0]: is required"),
        ("excludedNamespaces: ['*']\n", 'excludedNamespaces[0]: "*" excludes every namespace'),
        ("excludedNamespaces: ['Team-*']\n", 'excludedNamespaces[0]: "Team-*" is not a pattern'),
        ("optIn: {scope: all}\n", 'optIn.scope: "all" is not one of Labelled, All, did you mean All?'),
        ("pullSecrets: {}\n", "pullSecrets: must be a list, not a mapping"),
        ("pullSecrets: [1]\n", "pullSecrets[0]: must be a mapping, not a number"),
        ("pullSecrets: [null]\n", "pullSecrets[0]: must be a mapping, not empty"),
        ("pullSecrets: [{sources: [{secretName: a}]}]\n", "pullSecrets[0].name: is required"),
        (
            ONE.replace("registry-credentials", "1.10"),
            'pullSecrets[0].name: "1.10" is read by YAML as a number: quote it',
        ),
        (ONE.replace("registry-credentials", "a" * 254), "is longer than 253 characters"),
        (ONE.replace("harbor", "harbor_1"), 'pullSecrets[0].sources[0].secretName: "harbor_1" is not a valid name'),
        (ONE.replace("secretName", "secretname"), "unknown field, did you mean secretName?"),
        (ONE.replace("}]", "}, {secretName: harbor}]"), '"harbor" is already at pullSecrets[0].sources[0].secretName'),
        (ONE + "- {name: registry-credentials, sources: [{secretName: a}]}\n", "is already at pullSecrets[0].name"),
        (ONE + "retired: [registry-credentials]\n", 'retired[0]: "registry-credentials" is also in pullSecrets'),
        ("retired: [a, a]\n", 'retired[1]: "a" is already at retired[0]'),
        (ONE + "  pods: whenImageMatches\n", "did you mean WhenImageMatches?"),
        (ONE + "  pods: WhenImageMatches\n", "pullSecrets[0].registries: is required with pods: WhenImageMatches"),
        (ONE + "  registries: [ghcr.io]\n", "pullSecrets[0].registries: has no effect with pods: Always"),
        (ONE + "  pods: WhenImageMatches\n  registries: ['https://ghcr.io']\n", "in lower case, without a scheme"),
        (ONE + "  serviceAccounts: {include: []}\n", "serviceAccounts.include: is empty and so matches nothing"),
        (ONE + "  serviceAccounts: {exclude: ['']}\n", 'serviceAccounts.exclude[0]: "" is not a pattern'),
        (
            ONE + "  serviceAccounts: {includes: ['*']}\n",
            "serviceAccounts.includes: unknown field, did you mean include?",
        ),
        (ONE + "  namespaceSelector: {matchLabels: {a: true}}\n", 'matchLabels.a: "true" is read by YAML as a boolean'),
        (
            ONE + "  namespaceSelector: {matchLabels: {'a b': c}}\n",
            'matchLabels["a b"]: "a b" is not a valid label key',
        ),
        (ONE + "  namespaceSelector: {matchLabels: {a: b/c}}\n", 'matchLabels.a: "b/c" is not a valid label value'),
        (
            ONE + "  namespaceSelector: {matchExpressions: [{key: a, operator: Gt, values: [b]}]}\n",
            'matchExpressions[0].operator: "Gt" is not one of In, NotIn, Exists, DoesNotExist',
        ),
        (
            ONE + "  namespaceSelector: {matchExpressions: [{key: a, operator: NotIn}]}\n",
            "matchExpressions[0].values: is required with operator NotIn",
        ),
        (
            ONE + "  namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}\n",
            "matchExpressions[0].values: is not allowed with operator Exists",
        ),
        ("optIn: {mayDecline: yes}", 'optIn.mayDecline: must be true or false, not "yes"'),
        ("optIn: {mayDecline: 'true'}", "optIn.mayDecline: must be true or false, not text"),
        ("optIn: {mayDecline: []}", "optIn.mayDecline: must be true or false, not a list"),
        (ONE.replace("harbor", "a, namespaces: []"), "pullSecrets[0].sources[0].namespaces: is empty"),
        (
            ONE.replace("harbor", "a, namespaces: [a.b]"),
            'pullSecrets[0].sources[0].namespaces[0]: "a.b" is not a pattern',
        ),
    ],
)
def test_one_mistake_is_one_problem(text: str, expected: str) -> None:
    found = [problem for problem in problems(HEAD + text) if expected in problem]

    assert len(found) == 1


def test_a_long_value_is_cut_and_stays_on_one_line() -> None:
    (problem,) = problems(HEAD + f'retired: ["{"x" * 300}\\n"]\n')

    assert len(problem) < 150
    assert "\n" not in problem


def test_a_wrong_file_does_not_fill_the_log() -> None:
    found = problems(HEAD + "".join(f"field{number}: x\n" for number in range(500)))

    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == f"and {500 - MAX_PROBLEMS} more"


def test_a_problem_without_a_path_is_its_message() -> None:
    assert str(Problem("", "the document is empty")) == "the document is empty"


NAMES = """
apiVersion kind optIn excludedNamespaces pullSecrets retired name sources secretName namespaceSelector matchLabels
matchExpressions key operator values serviceAccounts include exclude pods registries label value other
"""
field_names = st.sampled_from(NAMES.split())
scalars = st.sampled_from(
    ["a", "'1'", "1", "yes", "~", "Always", "In", "2024-01-01", '"\\n"', "!!binary YQ==", "=", "<<", ".nan"]
)
flow = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(field_names | scalars, inner), max_size=4).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}"
        )
    ),
    max_leaves=12,
)


@given(st.text(max_size=60) | flow | st.tuples(field_names, flow).map(lambda pair: f"{HEAD}{pair[0]}: {pair[1]}\n"))
def test_any_text_is_a_configuration_or_a_list_of_problems(text: str) -> None:
    try:
        configuration = parse(text, "config.yaml")
    except ConfigurationInvalid as error:
        count = len(error.problems)
        assert 0 < count <= MAX_PROBLEMS + 1
        return
    assert isinstance(configuration, Configuration)


def test_a_field_whose_name_cannot_be_printed_is_told_in_what_can() -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        parse(
            'apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\n"ret\\u202eired\\u001b[2J": []\n', "x.yaml"
        )
    assert str(refused.value).splitlines()[1] == '  ["ret?ired?[2J"]: unknown field, did you mean retired?'


def test_a_source_may_be_limited_and_namespaces_may_decline() -> None:
    read = parse(
        """
        apiVersion: pullsecrets.webhook/v1alpha1
        kind: Configuration
        optIn: {mayDecline: true}
        pullSecrets:
        - name: x
          sources:
          - {secretName: a}
          - {secretName: b, namespaces: [team-a, "team-b-*"]}
          - {secretName: c, namespaces: [t*]}
        """,
        "x.yaml",
    )
    assert read.opt_in == OptIn(may_decline=True)
    assert read.needs_namespace_labels
    (entry,) = read.pull_secrets
    assert (entry.sources, entry.limits) == (("a", "b", "c"), (("team-a", "team-b-*"), ("t*",)))


def test_in_the_scope_all_namespaces_of_kubernetes_are_excluded_whatever_the_list_has() -> None:
    head = "apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\n"
    labelled = parse(f"{head}excludedNamespaces: [infra, 'team-?']\n", "x.yaml")
    assert (labelled.excluded_namespaces, labelled.excluded_patterns) == (frozenset({"infra"}), ("team-?",))
    everywhere = parse(f"{head}optIn: {{scope: All}}\nexcludedNamespaces: [infra, 'team-?']\n", "x.yaml")
    assert everywhere.excluded_namespaces == {"infra", "kube-system", "kube-public", "kube-node-lease"}
    assert [everywhere.excludes(name) for name in ("kube-system", "team-a", "team-ab")] == [True, True, False]


def test_a_secret_of_the_tenants_has_no_sources_and_nothing_else_that_copies_have() -> None:
    head = f"{HEAD}pullSecrets:\n- name: own\n  tenantOwned: true\n"
    (entry,) = parse(f"{head}  pods: Never\n  namespaceSelector: {{matchLabels: {{a: b}}}}\n", "x.yaml").pull_secrets
    assert (entry.tenant_owned, entry.sources, entry.pods) == (True, (), PodPolicy.NEVER)
    fields = {
        "sources": "[harbor]",
        "rollout": "{maxPerSecond: 5}",
        "copies": "{labels: {a: b}}",
    }
    for field, value in fields.items():
        (problem,) = problems(f"{head}  {field}: {value}\n")
        assert problem.startswith(f"pullSecrets[0].{field}: is not allowed with tenantOwned: true")
    (problem,) = problems(f"{HEAD}pullSecrets:\n- name: own\n  tenantOwned: false\n")
    assert problem.startswith("pullSecrets[0].sources: is required")
    assert "tenantOwned: true" in problem


def test_the_copies_of_a_secret_that_now_belongs_to_the_tenants_can_be_retired() -> None:
    text = f"{HEAD}pullSecrets:\n- {{name: own, tenantOwned: true}}\nretired: [own]\n"
    configuration = parse(text, "x.yaml")
    assert (configuration.secret_names, configuration.reference_names) == (("own",), ("own",))
    (problem,) = problems(f"{HEAD}{ONE.removeprefix(HEAD)}retired: [registry-credentials]\n")
    assert "it is either configured or retired" in problem


FIELDS = {cells[0].strip("`"): cells for cells in rows(section(DOCS / "configuration.md", "Fields"))}
RENEWING_EXAMPLE = (ROOT / "examples" / "renewing.yaml").read_text()
SOURCE = "pullSecrets[].sources[]."
EXAMPLE = (ROOT / "examples" / "configuration.yaml").read_text()
MEANS_ALL = {"all", "required"}
CONDITION = {"key": "tier", "operator": "Exists"}


def path_of(node: Node, name: str) -> str:
    return re.sub(r"\[\d+\]", "[]", f"{node.path}.{name}" if node.path else name)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, bool]:
    """The fields that the program knows of, as it reads the example; whether the example has each."""
    found: dict[str, bool] = {}
    fields = Node.fields

    def recorded(node: Node, known: Sequence[str]) -> Mapping[str, Node]:
        nodes = fields(node, known)
        for name, child in nodes.items():
            path = path_of(node, name)
            found[path] = found.get(path, False) or not child.absent
        return nodes

    monkeypatch.setattr(Node, "fields", recorded)
    parse(EXAMPLE, "configuration.yaml")
    parse(RENEWING_EXAMPLE, "renewing.yaml")
    return found


def is_of_renewing(path: str) -> bool:
    """Return whether docs/renewing.md describes the field."""
    return re.match(rf"{re.escape(SOURCE)}(?:credentialProvider|serviceAccountToken)\.", path) is not None


def test_the_fields_of_renewing_sources_are_documented_on_their_page(read: Mapping[str, bool]) -> None:
    documented = {cells[0].strip("`") for cells in rows(section(DOCS / "renewing.md", "Fields"))}
    whole = {"credentialProvider.env", "credentialProvider.serviceAccountToken"}
    assert documented == {path.removeprefix(SOURCE) for path in read if is_of_renewing(path)} - whole


def test_the_documented_fields_are_those_that_the_program_reads(read: Mapping[str, bool]) -> None:
    only_of_others = {"optIn", "healing", "pullSecrets[].serviceAccounts"}
    assert set(FIELDS) == {path for path in read if not is_of_renewing(path)} - only_of_others


def test_the_example_has_every_field(read: Mapping[str, bool]) -> None:
    assert [path for path, is_there in read.items() if not is_there] == []


def document(path: str, value: object, *, given: bool) -> str:
    """Return a document with what its fields require, and with the field at ``path`` only if it is given."""
    source: dict[str, Any] = {"secretName": "harbor"}
    condition: dict[str, Any] = dict(CONDITION)
    entry: dict[str, Any] = {"name": "pull", "sources": [source]}
    root: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND, "pullSecrets": [entry]}
    canary: dict[str, Any] = {"namespaces": ["staging-*"]}
    rollout: dict[str, Any] = {"prove": {}, "canary": canary}
    if ".rollout." in path:
        entry["rollout"] = rollout
    if ".copies." in path:
        entry["copies"] = {}
    if "matchExpressions[]" in path:
        entry["namespaceSelector"] = {"matchExpressions": [condition]}
    places: dict[str, dict[str, Any]] = {
        "": root,
        "pullSecrets[]": entry,
        "pullSecrets[].sources[]": source,
        "pullSecrets[].namespaceSelector.matchExpressions[]": condition,
        "pullSecrets[].rollout": rollout,
        "pullSecrets[].copies": entry.get("copies", {}),
        "pullSecrets[].rollout.prove": rollout["prove"],
        "pullSecrets[].rollout.canary": canary,
        "healing": root.setdefault("healing", {}),
    }
    parent, _, name = path.rpartition(".")
    place = places.get(parent)
    if place is None:
        above, _, last = parent.rpartition(".")
        place = places[above].setdefault(last, {})
    place.pop(name, None)
    if given:
        place[name] = value
    return yaml.safe_dump(root)


@pytest.mark.parametrize("path", [path for path, cells in FIELDS.items() if cells[2] not in MEANS_ALL])
def test_a_field_that_is_given_its_documented_default_is_as_if_it_were_not_given(path: str) -> None:
    default = yaml.safe_load(re.split(r"`", FIELDS[path][2])[1])
    assert parse(document(path, default, given=True), "x") == parse(document(path, None, given=False), "x")


@pytest.mark.parametrize("path", [path for path, cells in FIELDS.items() if cells[2] == "required"])
def test_a_field_that_is_documented_as_required_is(path: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        parse(document(path, None, given=False), "x")
    assert f"{path.replace('[]', '[0]')}: is required" in str(refused.value)


@pytest.mark.parametrize(
    ("path", "column", "values"),
    [
        ("apiVersion", 3, {API_VERSION}),
        ("kind", 3, {KIND}),
        ("pullSecrets[].pods", 1, set(PodPolicy)),
        ("pullSecrets[].namespaceSelector.matchExpressions[].operator", 3, set(Operator)),
        ("pullSecrets[].rollout.prove.whenUnknown", 3, set(WhenUnknown)),
    ],
)
def test_the_documented_values_are_those_that_it_takes(path: str, column: int, values: set[str]) -> None:
    assert names(FIELDS[path][column]) == values


def renewing(settings: str, secret: str = "psw-issued-a") -> str:  # noqa: S107 - a name
    return f"{HEAD}pullSecrets:\n- name: pull\n  sources:\n  - {{secretName: {secret}, {settings}}}\n"


PROVIDER = "credentialProvider: {name: ecr, command: ecr-credential-provider, images: [a.example.com]"
IDENTITY = (
    "serviceAccountToken: {name: zot, registry: zot.example.com, username: jwt, audience: zot, serviceAccountName: p"
)


def test_a_renewing_source_is_kept_in_the_secret_that_it_names() -> None:
    read = parse(renewing(PROVIDER + "}"), "x")

    assert read.source_names == ("psw-issued-a",)
    assert read.issued_names == {"psw-issued-a"}
    (source,) = read.renewing
    assert (source.name, source.secret) == ("ecr", "psw-issued-a")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (PROVIDER + ", args: [7]}", "credentialProvider.args[0]: "),
        (PROVIDER.replace("ecr-credential-provider", "../sh") + "}", "is not the name of a file in the plugin folder"),
        (PROVIDER.replace("ecr-credential-provider", "/bin/sh") + "}", "is not the name of a file"),
        (PROVIDER.replace("[a.example.com]", "[]") + "}", "name at least one registry"),
        (PROVIDER.replace("a.example.com", '"*.example.com"') + "}", "has a wildcard"),
        (PROVIDER.replace("a.example.com", "https://a.example.com") + "}", "without a scheme"),
        (PROVIDER + ", env: [{name: A-B, value: x}]}", "is not a name of an environment variable"),
        (PROVIDER + ", env: [{name: A, value: x}, {name: A, value: y}]}", '"A" more than once'),
        (PROVIDER + ", defaultLifetime: 5s}", "must be at least 10s and at most 30d"),
        (PROVIDER + ", defaultLifetime: soon}", "is not a duration"),
        (PROVIDER + ", matchImages: [x]}", "matchImages: unknown field"),
        (PROVIDER + ', serviceAccountToken: {audience: "", serviceAccountName: p}}', "is empty, and a token"),
        (PROVIDER + "}, " + IDENTITY + "}", "stands beside credentialProvider"),
        (
            IDENTITY.replace("audience: zot", "audience: https://kubernetes.default.svc/") + "}",
            "audience of the API server",
        ),
        (IDENTITY.replace("username: jwt", 'username: "a:b"') + "}", "is not a user name"),
        (IDENTITY + ", lifetime: 5m}", "must be at least 600s"),
        (IDENTITY + ", perNamespace: true}", "secretName: has no effect with perNamespace"),
        (IDENTITY + ', perNamespace: "true"}', "perNamespace: must be true or false"),
        (IDENTITY + ", perNamespaces: true}", "perNamespaces: unknown field"),
    ],
)
def test_a_wrong_renewing_source_is_a_problem_with_its_path(settings: str, problem: str) -> None:
    found = problems(renewing(settings))

    assert any(problem in each for each in found), found
    assert all(each.startswith("pullSecrets[0].sources[0].") for each in found)


def test_a_token_of_each_namespace_has_no_secret_of_the_release() -> None:
    text = f"{HEAD}pullSecrets:\n- name: pull\n  sources: [harbor, {{{IDENTITY}, perNamespace: true}}}}]\n"

    (entry,) = parse(text, "x").pull_secrets

    assert entry.sources == ("harbor",)
    assert [token.name for token in entry.tokens] == ["zot"]
    assert entry.made_from == "harbor and a token of ServiceAccount p of the namespace"
    assert parse(text, "x").renewing == ()
    assert parse(text, "x").token_accounts == {"p"}


def test_a_token_of_each_namespace_has_a_name_of_its_own() -> None:
    token = f"{{{IDENTITY}, perNamespace: true}}}}"
    text = f"{HEAD}pullSecrets:\n- name: pull\n  sources: [{token}, {token}]\n"

    (found,) = problems(text)

    assert found.startswith('pullSecrets[0].sources[1].serviceAccountToken: its name "zot" is also at')


def test_two_renewing_sources_in_one_secret_and_a_pull_secret_of_its_name_are_problems() -> None:
    text = (
        f"{HEAD}pullSecrets:\n- name: one\n  sources: [{{secretName: a, {PROVIDER}}}}}]\n"
        f"- name: two\n  sources: [{{secretName: a, {IDENTITY}}}}}]\n- name: a\n  sources: [harbor]\n"
    )

    first, second = problems(text)
    assert first.startswith('pullSecrets[1].sources[0].secretName: "a" is also at pullSecrets[0].sources[0].secretName')
    assert second == "pullSecrets[2].name: is also the Secret of a source that renews itself: choose another name"


def test_one_renewing_source_can_be_in_several_pull_secrets() -> None:
    entry = f"sources: [{{secretName: a, {PROVIDER}}}}}]"
    text = f"{HEAD}pullSecrets:\n- name: one\n  {entry}\n- name: two\n  {entry}\n"

    assert len(parse(text, "x").renewing) == 1


ROLLOUT = """
apiVersion: pullsecrets.webhook/v1alpha1
kind: Configuration
pullSecrets:
  - name: pull
    sources: [harbor]
    rollout: {rollout}
"""


def rollout(text: str) -> Configuration:
    return parse(ROLLOUT.replace("{rollout}", text), "configuration.yaml")


def test_a_rollout_has_defaults() -> None:
    (entry,) = rollout("{}").pull_secrets
    assert entry.rollout == RolloutSettings()


def test_a_rollout_is_read() -> None:
    text = (
        "{prove: {login: false, pull: [nginx, ghcr.io/org/app:1], imagesFromPods: true, whenUnknown: Continue}, "
        "canary: {namespaces: [staging-*, test], soak: 90s, watchPods: true}, maxPerSecond: 20, overlap: 0s}"
    )
    (entry,) = rollout(text).pull_secrets
    pull = ("nginx", "ghcr.io/org/app:1")
    prove = ProofSettings(WhenUnknown.CONTINUE, login=False, pull=pull, images_from_pods=True)
    assert entry.rollout == RolloutSettings(
        prove=prove, canary=("staging-*", "test"), soak=90.0, watch_pods=True, max_per_second=20, overlap=0.0
    )
    assert entry.rollout.watched_by_name == ("test",)
    assert entry.rollout.is_canary("staging-a")
    assert not entry.rollout.is_canary("a")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{prove: {login: false}}", "rollout.prove.login: must be true"),
        ("{prove: {whenUnknown: hold}}", "did you mean Hold?"),
        ("{prove: {pull: ['Not An Image']}}", "is not an image reference: write it as in a Pod"),
        (f"{{prove: {{pull: [{', '.join(f'a/{number}' for number in range(33))}]}}}}", "has more than 32 images"),
        ("{canary: {}}", "rollout.canary.namespaces: is required"),
        ("{canary: {namespaces: ['*']}}", '"*" matches every namespace'),
        ("{canary: {namespaces: [Staging]}}", "is not a pattern that the name of a namespace can match"),
        ("{canary: {namespaces: [a], watchPods: [a]}}", "rollout.canary.watchPods: must be true or false"),
        ("{canary: {namespaces: [a], soak: long}}", '"long" is not a duration'),
        ("{canary: {namespaces: [a], soak: 0s}}", '"0s" must be at least 1s and at most 7d'),
        ("{maxPerSecond: 0}", 'must be a whole number from 1 to 1000, not "0"'),
        ("{maxPerSecond: '20'}", "must be a whole number from 1 to 1000, not text"),
        ("{maxPerSecond: 2.5}", 'must be a whole number from 1 to 1000, not "2.5"'),
        ("{overlap: 99d}", '"99d" must be at least 0s and at most 30d'),
        ("{canery: {}}", "rollout.canery: unknown field, did you mean canary?"),
    ],
)
def test_a_mistake_in_a_rollout_is_reported(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationInvalid) as told:
        rollout(text)
    assert problem in str(told.value)


def test_a_rollout_does_not_stand_beside_a_source_that_renews_itself() -> None:
    text = RENEWING_EXAMPLE.replace("    sources:", "    rollout: {}\n    sources:", 1)
    with pytest.raises(ConfigurationInvalid, match="each renewal would be a rotation"):
        parse(text, "renewing.yaml")


def copies(text: str) -> CopyMetadata:
    (entry,) = parse(ROLLOUT.replace("rollout: {rollout}", f"copies: {text}"), "configuration.yaml").pull_secrets
    return entry.copies


def test_labels_and_annotations_of_copies_are_read_in_order() -> None:
    text = "{labels: {team: a, example.com/b: '1'}, annotations: {note: \"two words\"}}"
    assert copies(text) == CopyMetadata((("example.com/b", "1"), ("team", "a")), (("note", "two words"),))
    assert copies("{}") == copies("{labels: {}}") == CopyMetadata()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{label: {}}", "copies.label: unknown field, did you mean labels?"),
        ("{labels: [team]}", "copies.labels: must be a mapping, not a list"),
        ("{labels: {team: true}}", 'copies.labels.team: "true" is read by YAML as a boolean: quote it'),
        ("{labels: {team: a b}}", '"a b" is not a valid label value'),
        ("{labels: {a b: a}}", '"a b" is not a valid label key'),
        ("{labels: {app.kubernetes.io/managed-by: a}}", "is one by which copies are recognised"),
        ("{annotations: {pullsecrets.webhook/sources: a}}", "is one by which copies are recognised"),
        (f"{{annotations: {{a: {'x' * 1025}}}}}", "is longer than 1,024 characters"),
        (f"{{labels: {{{', '.join(f'a{number}: b' for number in range(17))}}}}}", "has more than 16 keys"),
    ],
)
def test_a_mistake_in_the_metadata_of_copies_is_reported(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationInvalid) as told:
        copies(text)
    assert problem in str(told.value)
