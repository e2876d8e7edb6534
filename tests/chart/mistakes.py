"""Values that Helm accepts, and values that it refuses, with words of the refusal."""

from __future__ import annotations

from typing import Any

from tests.chart.rendered import FULLNAME

LONG = "a" * 254
PROVIDER = {"name": "ecr", "command": "ecr-credential-provider", "images": ["ghcr.io"]}
MATCHING = {"pods": "WhenImageMatches"}


def entry(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 (the wrong types are the point)
    return {"pullSecrets": [{"name": "x", "sources": [{"secretName": "y"}], **fields}]}


def token(**fields: str) -> dict[str, Any]:
    """Return a source that is a token of each namespace."""
    settings = {"name": "own", "registry": "ghcr.io", "username": "jwt", "audience": "a", "serviceAccountName": "b"}
    return {"serviceAccountToken": {**settings, "perNamespace": True, **fields}}


def expression(**fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return entry(namespaceSelector={"matchExpressions": [{"key": "department", **fields}]})


GOOD_CONFIGURATIONS = [
    entry(),
    entry(name="a.b-c.0", sources=[{"secretName": "b"}, {"secretName": "a"}]),
    entry(sources=["harbor", {"secretName": "ghcr", "namespaces": ["team-*"]}]),
    entry(name="a" * 253),
    {"pullSecrets": [{"name": "x", "tenantOwned": True, "pods": "Never"}], "retired": ["x"]},
    entry(tenantOwned=False),
    entry(namespaceSelector={}),
    entry(namespaceSelector={"matchLabels": {"example.com/department": "payments", "empty": ""}}),
    expression(operator="In", values=["a"]),
    expression(operator="DoesNotExist"),
    entry(serviceAccounts={"include": ["*", "ci-?", "[a-c]*", "[!d]*"], "exclude": []}),
    entry(pods="Never", registries=[]),
    entry(
        **MATCHING, registries=["docker.io", "*.example.com", "localhost:5000", "ghcr.io/our-org/a__b", "[::1]:5000"]
    ),
    entry(**MATCHING, registries=["my_registry.example.com", "eu-*.example.com"]),
    {"retired": ["gone"], "excludedNamespaces": []},
    {"optIn": {"label": "inject", "value": "Yes_1.0"}},
]

BAD_CONFIGURATIONS = [
    ({"pullSecret": []}, "pullSecret"),
    ({"optIn": {"lable": "x"}}, "optIn lable"),
    ({"optIn": {"label": "-/x"}}, "optIn.label"),
    ({"optIn": {"value": ""}}, "optIn.value"),
    ({"excludedNamespaces": ["a.b"]}, "excludedNamespaces.0"),
    ({"retired": ["Upper"]}, "retired.0"),
    ({"retired": [7]}, "retired.0 text"),
    ({"pullSecrets": {}}, "pullSecrets list"),
    ({"pullSecrets": [{"sources": [{"secretName": "y"}]}]}, "pullSecrets.0 name"),
    ({"pullSecrets": [{"name": "x"}]}, "pullSecrets.0 sources"),
    (entry(tenantOwned=True), "pullSecrets.0.sources tenantOwned"),
    (entry(tenantOwned="yes"), "pullSecrets.0.tenantOwned boolean"),
    ({"pullSecrets": [{"name": "x", "tenantOwned": True, "rollout": {}}]}, "pullSecrets.0.rollout tenantOwned"),
    ({"pullSecrets": [{"name": "x", "tenantOwned": True, "copies": {}}]}, "pullSecrets.0.copies tenantOwned"),
    (entry(name="Upper"), "pullSecrets.0.name"),
    (entry(name=LONG), "pullSecrets.0.name 253"),
    (entry(name=1), "pullSecrets.0.name text"),
    (entry(sources=[]), "pullSecrets.0.sources 1"),
    (entry(sources=[["y"]]), "pullSecrets.0.sources.0 text mapping"),
    (entry(sources=["Upper"]), "pullSecrets.0.sources.0 Upper name"),
    (entry(sources=["y", {"secretName": "y"}]), "pullSecrets.0.sources.1 y duplicate"),
    (entry(sources=[{"name": "y"}]), "pullSecrets.0.sources.0 secretName name"),
    (entry(sources=[{"secretName": "y"}, {"secretName": "y"}]), "pullSecrets.0.sources 0 1"),
    (entry(pods="always"), "pullSecrets.0.pods Always WhenImageMatches Never"),
    (entry(**MATCHING), "pullSecrets.0 registries"),
    (entry(**MATCHING, registries=[]), "pullSecrets.0.registries WhenImageMatches"),
    (entry(**MATCHING, registries=["https://ghcr.io"]), "pullSecrets.0.registries.0"),
    (entry(**MATCHING, registries=["ghcr.io/"]), "pullSecrets.0.registries.0"),
    (entry(**MATCHING, registries=["eu-?.example.com"]), "pullSecrets.0.registries.0"),
    (entry(registries=["ghcr.io"]), "pullSecrets.0.registries Always WhenImageMatches"),
    (entry(namespaceSelector={"labels": {}}), "pullSecrets.0.namespaceSelector labels"),
    (entry(namespaceSelector={"matchLabels": {"a": "b c"}}), "matchLabels.a"),
    (expression(operator="Equals"), "matchExpressions.0.operator In NotIn Exists DoesNotExist"),
    (expression(operator="In"), "matchExpressions.0.values In"),
    (expression(operator="Exists", values=["a"]), "matchExpressions.0.values Exists"),
    (entry(serviceAccounts={"include": []}), "serviceAccounts.include 1"),
    (entry(serviceAccounts={"exclude": ["A"]}), "serviceAccounts.exclude.0"),
    (entry(copies={"annotations": {"a b": "x"}}), "pullSecrets.0.copies.annotations key"),
    (entry(rollout={"prove": {"login": False}}), "pullSecrets.0.rollout.prove.login pull"),
    (entry(rollout={"canary": {"namespaces": ["*"]}}), "pullSecrets.0.rollout.canary.namespaces every"),
    (entry(rollout={"canary": {"namespaces": ["a"], "soak": "8d"}}), "pullSecrets.0.rollout.canary.soak 1s 7d"),
    (entry(rollout={"overlap": "31d"}), "pullSecrets.0.rollout.overlap 30d"),
    (entry(sources=[token()], rollout={}), "pullSecrets.0.rollout renews"),
    (entry(sources=[token(lifetime="5m")]), "pullSecrets.0.sources.0.serviceAccountToken.lifetime 600s 30d"),
    (entry(sources=[token(username="a\nb")]), "pullSecrets.0.sources.0.serviceAccountToken.username control"),
]
"""Values, and words that Helm's message has: its sentences differ from version to version."""

BAD_VALUES = [
    ({"image": {"pullPolicy": "Sometimes"}}, "image.pullPolicy Always IfNotPresent Never"),
    ({"image": {"repository": ""}}, "image.repository"),
    ({"image": {"digest": "sha256:1"}}, "image.digest"),
    ({"log": {"level": "loud"}}, "log.level debug info warning error"),
    ({"providers": None}, "providers missing mapping"),
    # The API server accepts 64 of a webhook, and the chart can need two of them.
    (
        {"webhook": {"matchConditions": [{"name": f"m{n}", "expression": "true"} for n in range(63)]}},
        "matchConditions 62",
    ),
    ({"monitoring": {"prometheusRule": {"runbookUrl": None}}}, "monitoring.prometheusRule.runbookUrl missing text"),
    ({"webhook": {"replicas": 0}}, "webhook.replicas 1"),
    ({"webhook": {"replicas": "2"}}, "webhook.replicas 2, quotes"),
    ({"webhook": {"timeoutSeconds": 31}}, "webhook.timeoutSeconds 30"),
    ({"webhook": {"failurePolicy": "fail"}}, "webhook.failurePolicy Ignore Fail"),
    ({"webhook": {"failurePolicy": {"pods": "fail"}}}, "webhook.failurePolicy.pods Ignore Fail"),
    ({"webhook": {"failurePolicy": {"pod": "Fail"}}}, "webhook.failurePolicy.pod pods"),
    ({"webhook": {"url": "http://127.0.0.1"}}, "webhook.url"),
    ({"webhook": {"url": "https://user@127.0.0.1"}}, "webhook.url"),
    ({"webhook": {"url": "https://127.0.0.1/mutate?x=1"}}, "webhook.url"),
    ({"webhook": {"url": "https://127.0.0.1:port"}}, "webhook.url: not valid"),
    ({"webhook": {"url": "https://127.0.0.1/%zz"}}, "webhook.url: not valid"),
    ({"webhook": {"caBundle": "bm90IHBlbQ=="}}, "webhook.caBundle"),
    ({"webhook": {"clientCA": "bm90IHBlbQ=="}}, "webhook.clientCA"),
    ({"webhook": {"clientAllowedNames": [""]}}, "webhook.clientAllowedNames.0"),
    ({"webhook": {"tlsMinVersion": "1.1"}}, "webhook.tlsMinVersion 1.2 1.3"),
    ({"webhook": {"tlsMinVersion": 1.3}}, "webhook.tlsMinVersion 1.2 1.3"),
    ({"certificates": {"mode": "self-signed"}}, "certificates.mode self-managed cert-manager provided"),
    ({"certificates": {"lifetime": "30 days"}}, "certificates.lifetime"),
    ({"certificates": {"lifetime": 30}}, "certificates.lifetime 30d"),
    ({"certificates": {"caLifetime": "1y"}}, "certificates.caLifetime"),
    ({"certificates": {"caSettle": ""}}, "certificates.caSettle"),
    ({"certificates": {"issuer": {}}}, "certificates.issuer certificates.issuerRef"),
    ({"certificates": {"issuerRef": {"name": "Upper"}}}, "certificates.issuerRef.name"),
    ({"sync": {"workers": 0}}, "sync.workers 1"),
    ({"sync": {"writesPerSecond": 0}}, "sync.writesPerSecond 1"),
    ({"cleanup": {"timeout": "soon"}}, "cleanup.timeout"),
    ({"fullnameOverride": "a" * 56}, "fullnameOverride 55"),
    ({"namespaceOverride": "a.b"}, "namespaceOverride"),
    ({"commonLabels": {"a&b": "c"}}, "a&b"),
    ({"commonLabels": {"a": 1}}, "commonLabels.a quotes"),
    ({"commonAnnotations": {"a": True}}, "commonAnnotations.a quotes"),
    ({"imagePullSecrets": ["Ours"]}, "imagePullSecrets.0 Ours name"),
    ({"global": {"imagePullSecrets": [7]}}, "global.imagePullSecrets.0 text mapping"),
    ({"global": {"imageRegistry": "https://r.example.com"}}, "global.imageRegistry registry.example.com:5000 https"),
    ({"podSecurityContext": []}, "podSecurityContext mapping"),
    ({"sourceSecrets": [{"name": "x"}]}, "sourceSecrets.0 registry username password"),
    ({"sourceSecrets": [{"name": "x", "registry": "r", "username": "a:b", "password": "p"}]}, "username"),
    ({"webhook": {"reinvocationPolicy": "Always"}}, "webhook.reinvocationPolicy IfNeeded Never"),
    ({"webhook": {"namespaceSelector": {"labels": {}}}}, "webhook.namespaceSelector labels"),
    ({"webhook": {"matchConditions": [{"name": "x"}]}}, "webhook.matchConditions.0 expression"),
    ({"webhook": {"autoscaling": {"maxReplicas": 0}}}, "webhook.autoscaling.maxReplicas 1"),
    ({"webhook": {"podDisruptionBudget": {"maxUnavailable": 0}}}, "podDisruptionBudget.maxUnavailable 1"),
    ({"webhook": {"podDisruptionBudget": {"maxUnavailable": "half"}}}, "podDisruptionBudget.maxUnavailable"),
    ({"webhook": {"podDisruptionBudget": {"minAvailable": "half"}}}, "podDisruptionBudget.minAvailable 25%"),
    ({"webhook": {"livenessProbe": {"enabled": False}}}, "webhook.livenessProbe.enabled periodSeconds"),
    ({"webhook": {"service": {"type": "ExternalName"}}}, "webhook.service.type ClusterIP NodePort LoadBalancer"),
    ({"sync": {"tolerations": {}}}, "sync.tolerations list"),
    ({"sync": {"extraArgs": ["log-level=debug"]}}, "sync.extraArgs.0"),
    ({"sync": {"extraEnv": [{"value": "x"}]}}, "sync.extraEnv.0 name"),
    ({"sync": {"autoscaling": {"enabled": True}}}, "sync autoscaling"),
    ({"webhook": {"securePort": 65536}}, "webhook.securePort 65535"),
    ({"networkPolicy": {"apiServerPorts": [0]}}, "networkPolicy.apiServerPorts.0 1"),
    ({"networkPolicy": {"dnsPorts": []}}, "networkPolicy.dnsPorts 1"),
    ({"monitoring": {"podMonitor": {"interval": "30"}}}, "monitoring.podMonitor.interval"),
    ({"monitoring": {"probe": {}}}, "monitoring.probe podMonitor serviceMonitor prometheusRule dashboard"),
    ({"extraObjects": [7]}, "extraObjects.0"),
    ({"guard": {"othersMayAdd": ["a b"]}}, "guard.othersMayAdd.0"),
    ({"commonLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}, "commonLabels"),
]

TRIAL = {"name": "y", "registry": "registry.example.com", "username": "robot", "password": "invented"}
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

CONTRADICTIONS = [
    ({"optIn": {"value": "disabled"}}, 'optIn.value: "disabled" is reserved for the opt-out of a single object'),
    ({"pullSecrets": entry()["pullSecrets"] * 2}, 'pullSecrets[1].name: "x" is a duplicate'),
    (
        entry(copies={"labels": {"pullsecrets.webhook/release": "x"}}),
        'pullSecrets[0].copies.labels: "pullsecrets.webhook/release" is one by which copies are recognised; choose',
    ),
    ({**entry(), "retired": ["x"]}, 'pullSecrets[0].name: "x" is also in retired'),
    (
        entry(sources=[{"credentialProvider": {**PROVIDER, "defaultLifetime": "5s"}}]),
        'pullSecrets[0].sources[0].credentialProvider.defaultLifetime: "5s" is out of range; write at least 10s and at',
    ),
    ({"certificates": {"caLifetime": "3651d"}}, "certificates.caLifetime: 3651d is too long; use at most 3650d"),
    ({"deployments": {"enabled": False}}, "webhook.url: required if deployments.enabled is false"),
    (
        {"webhook": {"caBundle": PEM}},
        "webhook.caBundle: is set automatically in the mode self-managed; set it only with certificates.mode provided",
    ),
    (
        {"webhook": {"caBundle": PEM}, "certificates": {"mode": "cert-manager"}},
        "webhook.caBundle: is set automatically in the mode cert-manager",
    ),
    (
        {"webhook": {"clientCA": "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"}},
        "webhook.clientCA: contains no certificate; use PEM certificates",
    ),
    ({"webhook": {"clientAllowedNames": ["kube-apiserver"]}}, "webhook.clientAllowedNames: requires webhook.clientCA"),
    ({"certificates": {"lifetime": "9m59s"}}, "certificates.lifetime: 9m59s is too short to reach every replica"),
    (
        {"certificates": {"mode": "cert-manager", "lifetime": "59m"}},
        "certificates.lifetime: 59m is too short to reach every replica in time; use at least 60m",
    ),
    (
        {"certificates": {"lifetime": "30d1s", "caLifetime": "720h"}},
        "certificates.lifetime: 30d1s is longer than caLifetime, 720h; a certificate must not outlive its authority",
    ),
    (
        {"certificates": {"mode": "cert-manager", "lifetime": "90d", "caLifetime": "719d"}},
        "certificates.lifetime: 90d is more than an eighth of caLifetime, 719d; cert-manager does not renew a",
    ),
    (
        {"certificates": {"lifetime": "1h", "caSettle": "16m"}},
        "certificates.caSettle: 16m is more than a quarter of lifetime, 1h",
    ),
    (
        {"image": {"repository": "registry.example.com:5000/psw:1.2"}},
        'image.repository: "registry.example.com:5000/psw:1.2" contains a tag or a digest; set image.tag',
    ),
    ({"image": {"repository": "r.example.com/psw@sha256:12"}}, "contains a tag or a digest"),
    ({"image": {"repository": "psw:1.2"}}, "contains a tag or a digest"),
    ({"webhook": {"metricsPort": 8443}}, "webhook.metricsPort: 8443 is also securePort; choose two different ports"),
    (
        {"webhook": {"hostNetwork": True, "securePort": 443}},
        "webhook.hostNetwork: the Pods lack the right to use ports below 1024 of the node; choose higher ports",
    ),
    (
        {**entry(), "sourceSecrets": [TRIAL, TRIAL]},
        'sourceSecrets[1].name: "y" is a duplicate; remove one of them',
    ),
    (
        {"sourceSecrets": [TRIAL]},
        'sourceSecrets[0].name: "y" is not a source of any pull secret; add it to pullSecrets[].sources, or remove it',
    ),
    (
        {"webhook": {"autoscaling": {"enabled": True, "minReplicas": 7}}},
        "webhook.autoscaling: minReplicas, 7, is more than maxReplicas, 6",
    ),
    (
        {"webhook": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}},
        "webhook.autoscaling: requires webhook.resources.requests.cpu, the base of its target",
    ),
    (
        {"monitoring": {"prometheusRule": {"disabled": ["NoLeader"]}}},
        'monitoring.prometheusRule.disabled[0]: there is no alert "NoLeader"; there are PullSecretsWebhookDown, ',
    ),
    (
        {"enabled": False},
        'enabled: false has no effect on an installed chart; write "condition: pull-secret-webhook.enabled"',
    ),
    (
        {"image": {"registry": "r.example.com", "repository": "r.example.com/psw"}},
        'begins with the name of a registry, and image.registry is "r.example.com"; leave that name out of image.repos',
    ),
    (
        {"global": {"imageRegistry": "mirror.example.com"}, "image": {"repository": "r.example.com/psw"}},
        "begins with the name of a registry, and global.imageRegistry is",
    ),
    (
        {"webhook": {"serviceAccount": {"create": False}}},
        "webhook.serviceAccount.name: is required, because create is false",
    ),
    (
        {"sync": {"serviceAccount": {"name": "one"}}, "cleanup": {"serviceAccount": {"name": "one"}}},
        'cleanup.serviceAccount.name: "one" is also that of sync; use another, because each component',
    ),
    (
        {"monitoring": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        "monitoring.serviceMonitor.enabled: monitoring.podMonitor is enabled, too",
    ),
    (entry(name=f"{FULLNAME}-tls"), f'"{FULLNAME}-tls" is the name of a Secret that the release keeps for itself'),
    (entry(sources=[{"secretName": f"{FULLNAME}-ca"}]), "keeps for itself"),
    (entry(sources=[{"secretName": f"{FULLNAME}-issuer"}]), "keeps for itself"),
    ({"retired": [f"{FULLNAME}-state"]}, "keeps for itself"),
]

AGGREGATES = "rbac.authorization.k8s.io/aggregate-to-admin"
WITHOUT_SCHEMA = [
    ({"retired": [""]}, 'retired[0]: "" is not valid'),
    ({"retired": [None]}, "retired[0]: null is not text; write the name of a Secret"),
    ({"retired": None}, "retired: is missing; write a list of names, or []"),
    ({"retired": ["gone", "a b"]}, 'retired[1]: "a b" is not valid'),
    ({"retired": [7]}, 'retired[0]: 7 is not text; write it in quotes: "7"'),
    ({"pullSecrets": [{"sources": [{"secretName": "y"}]}]}, "pullSecrets[0].name: is missing"),
    ({"pullSecrets": [None]}, "pullSecrets[0]: null is not a mapping; write a mapping"),
    ({"pullSecrets": {}}, "pullSecrets: a mapping is not a list; write a list"),
    ({"pullSecrets": [{"name": "x"}]}, "pullSecrets[0].sources: is missing"),
    (entry(name=""), 'pullSecrets[0].name: "" is not valid'),
    (entry(name="a" * 254), "is not a valid name"),
    (entry(sources=[{"secretName": ""}]), 'pullSecrets[0].sources[0].secretName: "" is not valid'),
    (entry(sources=[{}]), "pullSecrets[0].sources[0].secretName: is missing"),
    (entry(sources=[7]), "pullSecrets[0].sources[0]: 7 is not text or a mapping"),
    (entry(sources=[""]), 'pullSecrets[0].sources[0]: "" is not valid'),
    (
        entry(sources=[{"secretName": "y", "namespaces": ['"']}]),
        "is not valid; write a pattern for names of Namespaces",
    ),
    (entry(sources=[{"secretName": "y", "namespaces": [""]}]), "is not valid; write a pattern for names of Namespaces"),
    ({"excludedNamespaces": [""]}, 'excludedNamespaces[0]: "" is not valid'),
    ({"excludedNamespaces": ["team-*", "*"]}, 'excludedNamespaces[1]: "*" excludes every namespace'),
    ({"excludedNamespaces": ["Team-*"]}, 'excludedNamespaces[0]: "Team-*" is not valid'),
    ({"optIn": {"scope": "all"}}, 'optIn.scope: "all" is neither Labelled nor All'),
    ({"optIn": {"value": ""}}, 'optIn.value: "" is not valid'),
    ({"optIn": {"label": ""}}, 'optIn.label: "" is not valid'),
    ({**entry(), "commonLabels": {AGGREGATES: "true"}}, f'"{AGGREGATES}" would add the rights of the release'),
    (
        {**entry(), "commonLabels": {"example.com/aggregate-to-monitoring": "true"}},
        "would add the rights of the release",
    ),
]
"""What the templates refuse where Helm is told to skip the schema: rights and the guard are made of these."""
